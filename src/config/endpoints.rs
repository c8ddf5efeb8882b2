//! An address and port lead to one place: to one member of the cluster, and in
//! this node to one listener.
//!
//! The kernel would not tell. Listeners share their ports with those of the other
//! shards (SO_REUSEPORT), and so with a listener of another kind as well: half of
//! the phones would come out on the side that is kept for peers.

use std::net::SocketAddr;

use super::reader::Section;
use super::{Config, Listener, Mistake, Role, names};
use crate::edge::{self, ConfiguredHop, Member, NextHop};
use crate::id::Transport;
use crate::limits;

const EVERY: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// Where phones and peers meet a member, each with the key that says so. A port of
/// a transport that this cluster does not speak is none.
fn of<'a>(
    member: &'a Member,
    is_spoken: &'a impl Fn(Transport) -> bool,
) -> impl Iterator<Item = (&'static str, SocketAddr)> + 'a {
    let access = [
        ("address", &member.addresses),
        ("advertised", &member.advertised),
    ];
    let transports = EVERY.into_iter().filter(|transport| is_spoken(*transport));
    let access = transports.flat_map(move |transport| {
        let port = member.port(transport);
        let at = move |key| move |ip: &_| (key, SocketAddr::new(*ip, port));
        access
            .into_iter()
            .flat_map(move |(key, ips)| ips.iter().map(at(key)))
    });
    let core = member.core.iter().map(|(_, addr)| ("core", *addr));
    access.chain(core)
}

/// Whether both cannot be listened at.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, at) = (one.ip().to_canonical(), other.ip().to_canonical());
    let is_everywhere = ip.is_unspecified() || at.is_unspecified();
    one.port() == other.port() && one.port() != 0 && (ip == at || is_everywhere)
}

/// Refuses a member that is met where another of those before it is, or whose core
/// side is where phones meet it. A Route names a member by address and port, so the
/// transport does not tell two of them apart.
pub(super) fn of_its_own(
    table: &Section<'_>,
    member: &Member,
    others: &[Member],
    is_spoken: &impl Fn(Transport) -> bool,
) -> Result<(), Mistake> {
    for (key, addr) in of(member, is_spoken) {
        let key = match key {
            "address" if table.has("addresses") => "addresses",
            _ => key,
        };
        let taken = others.iter().find_map(|other| {
            let mut all = of(other, is_spoken);
            let found = all.find(|(_, at)| is_same(*at, addr));
            found.map(|(its, _)| (&other.name, its))
        });
        if let Some((other, its)) = taken {
            let side = if its == "core" {
                "the core side of "
            } else {
                ""
            };
            let text = format!(
                "leads {:?} to {addr}, where {side}{other:?} is: each member has an address or ports \
                 of its own",
                member.name
            );
            return Err(table.mistake(key, &text));
        }
    }
    for (transport, addr) in &member.core {
        let mut transports = EVERY.into_iter().filter(|open| is_spoken(*open));
        let is_open = transports.any(|open| {
            open.is_stream() == transport.is_stream()
                && member
                    .addresses
                    .iter()
                    .any(|ip| is_same(SocketAddr::new(*ip, member.port(open)), *addr))
        });
        if is_open {
            let text = format!(
                "has \"{}:{addr}\", where phones meet {:?}: the core side needs an address or a port \
                 of its own",
                transport.uri_token(),
                member.name
            );
            return Err(table.mistake("core", &text));
        }
    }
    Ok(())
}

/// What this node binds, by key.
fn bound(config: &Config) -> Vec<(&'static str, Listener)> {
    let tcp = |addr| (Transport::Tcp, addr);
    let name_server = config.name_server.iter();
    let dns = name_server.flat_map(|server| server.listen.iter().copied());
    let mut all = Vec::new();
    all.extend(config.listen.iter().map(|one| ("listen", *one)));
    all.extend(config.covered.iter().map(|one| ("covers", *one)));
    all.extend(config.core_side.iter().map(|one| ("core", *one)));
    all.extend(
        config
            .core_listen
            .iter()
            .map(|addr| ("core_listen", tcp(*addr))),
    );
    all.extend(dns.map(|one| ("[dns] listen", one)));
    all.extend(config.metrics.map(|addr| ("metrics", tcp(addr))));
    all
}

/// Refuses to listen twice at one place, where another member is, at a port that
/// this node sends from, and a home that is this cluster.
pub(super) fn apart(root: &Section<'_>, config: &Config) -> Result<(), Mistake> {
    let all = bound(config);
    for (index, &(key, one)) in all.iter().enumerate() {
        let is_taken = |(_, other): &&(_, Listener)| {
            other.0.is_stream() == one.0.is_stream() && is_same(other.1, one.1)
        };
        let (token, addr) = (one.0.uri_token(), one.1);
        if let Some((other, _)) = all.iter().take(index).find(is_taken) {
            let text = format!(
                "has \"{token}:{addr}\", where this node listens by `{other}` already: each listener \
                 needs an address or a port of its own"
            );
            return Err(mistake(root, key, &text)?);
        }
        sends_from(root, config, (key, one))?;
    }
    match &config.role {
        Role::Edge(edge) => {
            let of_others = edge.members.iter().filter(|one| one.name != config.name);
            let is_spoken = transports(config);
            for member in of_others {
                not_of(root, &all, member, &is_spoken)?;
            }
            for home in &edge.home {
                match home {
                    NextHop::At(hop) => not_home(root, &all, &edge.members, &is_spoken, hop)?,
                    NextHop::Named(_) => not_named_home(root, edge, home)?,
                }
            }
            Ok(())
        }
        Role::Home(_) => Ok(()),
    }
}

fn transports(config: &Config) -> impl Fn(Transport) -> bool + '_ {
    |transport| config.listen.iter().any(|(one, _)| *one == transport)
}

/// A listener at the core ports would be in the way of what this node sends.
fn sends_from(
    root: &Section<'_>,
    config: &Config,
    (key, (transport, addr)): (&str, Listener),
) -> Result<(), Mistake> {
    let first = config.core_port;
    let range = first..=first + (limits::CORE_PORTS - 1);
    let own = config.listen.iter().chain(&config.core_side);
    let mut own = own.map(|(_, own)| SocketAddr::new(own.ip(), addr.port()));
    if !range.contains(&addr.port()) || !own.any(|own| is_same(own, addr)) {
        return Ok(());
    }
    let text = format!(
        "has \"{}:{addr}\", but the ports {first} to {} are this node's for sending to its peers: \
         choose another port, or another `core_port`",
        transport.uri_token(),
        range.end()
    );
    Err(mistake(root, key, &text)?)
}

/// Refuses a listener of this node where another member is. What `covers` says is
/// meant to be there.
fn not_of(
    root: &Section<'_>,
    all: &[(&'static str, Listener)],
    member: &Member,
    is_spoken: &impl Fn(Transport) -> bool,
) -> Result<(), Mistake> {
    let own = all.iter().filter(|(key, _)| *key != "covers");
    for &(key, (transport, addr)) in own {
        if of(member, is_spoken).any(|(_, at)| is_same(at, addr)) {
            let text = format!(
                "has \"{}:{addr}\", where `members` has {:?}: list this node's own, and for that \
                 member's address, should it come here, `covers`",
                transport.uri_token(),
                member.name
            );
            return Err(mistake(root, key, &text)?);
        }
    }
    Ok(())
}

/// Refuses a home that is this node or another member: requests would go round.
fn not_home(
    root: &Section<'_>,
    all: &[(&'static str, Listener)],
    members: &[Member],
    is_spoken: &impl Fn(Transport) -> bool,
    home: &ConfiguredHop,
) -> Result<(), Mistake> {
    let is_own = all.iter().any(|(_, (_, addr))| is_same(*addr, home.addr));
    let is_edge = |member: &Member| of(member, is_spoken).any(|(_, at)| is_same(at, home.addr));
    let who = match members.iter().find(|member| is_edge(member)) {
        Some(member) => format!("{:?} of `members`", member.name),
        None if is_own => "this node".to_owned(),
        None => return Ok(()),
    };
    let text = format!("leads to {}, which is {who} itself", home.addr);
    Err(mistake(root, "home", &text)?)
}

/// The same of a home that is given by a name: those of the cluster lead to its edges.
fn not_named_home(
    root: &Section<'_>,
    edge: &edge::Settings,
    home: &NextHop,
) -> Result<(), Mistake> {
    let core = edge.core_name.iter().map(|core| core.host.clone());
    let members = edge.members.iter();
    let members = members.map(|member| format!("{}.{}", member.name, edge.cluster));
    let mut names = std::iter::once(edge.cluster.clone())
        .chain(core)
        .chain(members);
    match names.find(|name| names::is_named(home, name)) {
        Some(name) => {
            let text = format!("leads to {name:?}, which is the edges' own name");
            Err(mistake(root, "home", &text)?)
        }
        None => Ok(()),
    }
}

/// The mistake about a key, in the section that has it.
fn mistake(root: &Section<'_>, key: &str, text: &str) -> Result<Mistake, Mistake> {
    let (section, key) = match key {
        "covers" | "home" => ("edge", key),
        "core" => ("edge", "members"),
        "[dns] listen" => ("dns", "listen"),
        _ => return Ok(root.mistake(key, text)),
    };
    Ok(match root.section(section)? {
        Some(section) => section.mistake(key, text),
        None => root.mistake(key, text),
    })
}
