//! `[edge] members`: the edges of the cluster and their addresses.

use std::net::{IpAddr, SocketAddr};

use super::file::MemberTable;
use super::reader::Section;
use super::{Mistake, core_port, endpoints, lacks_tcp, names};
use crate::edge::Member;
use crate::id::Transport;
use crate::limits;

/// The keys of a member that say where it listens, and what others are told of that.
pub(super) const ENDPOINT_KEYS: [&str; 8] = [
    "address",
    "addresses",
    "advertised",
    "core",
    "udp",
    "tcp",
    "tls",
    "core_port",
];

/// The members, of which this node, `own`, is one.
pub(super) fn members(
    section: &Section<'_>,
    own: &str,
    listen: &[(Transport, SocketAddr)],
    core_port: u16,
) -> Result<Vec<Member>, Mistake> {
    let want = "a list such as [{ name = \"e1\", address = \"192.0.2.1\" }]";
    let tables = section.tables("members", want)?;
    if tables.len() > limits::MEMBERS_MAX {
        let text = format!(
            "has {} members, and {} is the most",
            tables.len(),
            limits::MEMBERS_MAX
        );
        return Err(section.mistake("members", &text));
    }
    let has_transport = |transport| listen.iter().any(|(one, _)| *one == transport);
    let mut members: Vec<Member> = Vec::new();
    for table in &tables {
        let member = member(table, core_port)?;
        if members.iter().any(|other| other.name == member.name) {
            let text = format!(
                "is {:?} a second time: each member has a name of its own",
                member.name
            );
            return Err(table.mistake("name", &text));
        }
        if member.name == own {
            own_addresses(table, &member, listen)?;
            own_core(table, &member, listen)?;
        }
        endpoints::of_its_own(table, &member, &members, &has_transport)?;
        members.push(member);
    }
    match members.iter().find(|member| member.name == own) {
        None => {
            let text = format!("must hold this node too: none of its names is {own:?}");
            Err(section.mistake("members", &text))
        }
        Some(member) if member.core_port != core_port => {
            let text = format!(
                "says that the `core_port` of {own:?}, this node, is {}, but it is {core_port}",
                member.core_port
            );
            Err(section.mistake("members", &text))
        }
        Some(_) => Ok(members),
    }
}

/// The entry of this node, `name`.
pub(super) fn own<'a>(section: &Section<'a>, name: &str) -> Result<Option<Section<'a>>, Mistake> {
    let mut tables = section.tables("members", "a list of members")?.into_iter();
    Ok(tables.find(|table| matches!(table.text("name", "a name"), Ok(Some(one)) if one == name)))
}

fn member(table: &Section<'_>, default_port: u16) -> Result<Member, Mistake> {
    table.only::<MemberTable>()?;
    let want = "the member's name, such as \"e1\"";
    let name = table.parsed("name", want, names::node)?;
    let name = name.ok_or_else(|| table.missing("name", want))?;
    let addresses = addresses(table)?;
    let advertised = advertised(table, &addresses)?;
    let port = |key, default| {
        Ok(table
            .number(key, 1..=u16::MAX, "a port")?
            .unwrap_or(default))
    };
    Ok(Member {
        name,
        addresses,
        advertised,
        core: core(table, core_port(table)?.unwrap_or(default_port))?,
        udp: port("udp", 5060)?,
        tcp: port("tcp", 5060)?,
        tls: port("tls", 5061)?,
        core_port: core_port(table)?.unwrap_or(default_port),
        retires: table.flag("retire", "true or false")?.unwrap_or(false),
        site: table
            .text("site", "the name of where it stands, such as \"north\"")?
            .unwrap_or_default(),
    })
}

/// `address`, or `addresses` where there are several.
fn addresses(table: &Section<'_>) -> Result<Vec<IpAddr>, Mistake> {
    let want = "the member's IP address, such as \"192.0.2.1\"";
    let one = table.parsed("address", want, names::address)?;
    let want_all = "a list of IP addresses such as [\"192.0.2.1\", \"2001:db8::1\"]";
    let all = table.maybe_list("addresses", want_all, names::one_address)?;
    match (one, all) {
        (Some(one), None) => Ok(vec![one]),
        (None, Some(all)) if all.len() > limits::MEMBER_ADDRESSES_MAX => {
            let text = format!(
                "has {} addresses, and {} is the most",
                all.len(),
                limits::MEMBER_ADDRESSES_MAX
            );
            Err(table.mistake("addresses", &text))
        }
        (None, Some(all)) => Ok(all),
        (Some(_), Some(_)) => Err(table.mistake(
            "addresses",
            "and `address` exclude each other: `addresses` lists all of them",
        )),
        (None, None) => Err(table.missing("address", want)),
    }
}

/// What phones are told: one of a family, in place of an address of that family.
fn advertised(table: &Section<'_>, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Mistake> {
    let want = "a list of IP addresses such as [\"198.51.100.1\"]";
    let public = table.maybe_list("advertised", want, names::one_address)?;
    let public = public.unwrap_or_default();
    for (index, ip) in public.iter().enumerate() {
        let alike = |other: &&IpAddr| other.is_ipv6() == ip.is_ipv6();
        let family = if ip.is_ipv6() { "IPv6" } else { "IPv4" };
        if public.iter().take(index).any(|other| alike(&other)) {
            let text = format!("has \"{ip}\" too, but phones are told one {family} address");
            return Err(table.mistake("advertised", &text));
        }
        if !addresses.iter().any(|own| alike(&own)) {
            let text = format!(
                "has \"{ip}\", but none of its addresses is of IPv{}: list the one behind the \
                 translation in `addresses`",
                if ip.is_ipv6() { 6 } else { 4 }
            );
            return Err(table.mistake("advertised", &text));
        }
    }
    Ok(public)
}

/// `core`: where peers meet the member.
fn core(table: &Section<'_>, port: u16) -> Result<Vec<(Transport, SocketAddr)>, Mistake> {
    let want = "a list such as [\"udp:10.0.0.1:5070\", \"tcp:10.0.0.1:5070\"]";
    let core = table.maybe_list("core", want, names::listener)?;
    let core = core.unwrap_or_default();
    let range = port..=port.saturating_add(limits::CORE_PORTS - 1);
    for (index, &(transport, addr)) in core.iter().enumerate() {
        let token = transport.uri_token();
        let same = |(other, at): &(Transport, SocketAddr)| {
            *other == transport && at.is_ipv6() == addr.is_ipv6()
        };
        if core.iter().take(index).any(same) {
            let text = format!(
                "has \"{token}:{addr}\" too, but peers meet it at one address of each transport \
                 and family"
            );
            return Err(table.mistake("core", &text));
        }
        // RFC 3261 §18.2.1.
        if lacks_tcp(&core, (transport, addr)) {
            let text =
                format!("has \"udp:{addr}\" without \"tcp:{addr}\", but large messages need both");
            return Err(table.mistake("core", &text));
        }
        if range.contains(&addr.port()) {
            let text = format!(
                "has \"{token}:{addr}\", but the ports {port} to {} are its own for sending to its \
                 peers: choose another port, or another `core_port`",
                range.end()
            );
            return Err(table.mistake("core", &text));
        }
    }
    Ok(core)
}

/// The two sides are two: what everybody reaches is not kept for peers.
fn own_core(
    table: &Section<'_>,
    own: &Member,
    listen: &[(Transport, SocketAddr)],
) -> Result<(), Mistake> {
    let is_open = |(transport, addr): &&(Transport, SocketAddr)| {
        let mut open = listen.iter();
        open.any(|(other, at)| at == addr && other.is_stream() == transport.is_stream())
    };
    own.core.iter().find(is_open).map_or(Ok(()), |(transport, addr)| {
        let text = format!(
            "has \"{}:{addr}\", which is in `listen` too: the core side needs an address or a port \
             of its own",
            transport.uri_token()
        );
        Err(table.mistake("core", &text))
    })
}

/// Behind an address translation the listeners must be those that are translated:
/// what arrives for the advertised address comes to one of them.
fn own_addresses(
    table: &Section<'_>,
    own: &Member,
    listen: &[(Transport, SocketAddr)],
) -> Result<(), Mistake> {
    for public in &own.advertised {
        let mut behind = own.addresses.iter();
        let behind = behind.find(|ip| ip.is_ipv6() == public.is_ipv6());
        let is_bound = |ip: &IpAddr| listen.iter().any(|(_, addr)| addr.ip() == *ip);
        if let Some(behind) = behind.filter(|ip| !is_bound(ip)) {
            let text = format!(
                "has \"{public}\" for \"{behind}\", but this node does not listen there: `addresses` \
                 are those in `listen`"
            );
            return Err(table.mistake("advertised", &text));
        }
    }
    Ok(())
}
