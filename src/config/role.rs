//! The sections `[edge]` and `[home]`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::file::{EdgeSection, HomeSection};
use super::members::members;
use super::reader::Section;
use super::rules::{calls_out, destinations, identities};
use super::{Flows, Home, Mistake, Role, StoreAt, host_names, keys, names, rules, shared_store};
use crate::digest::Algorithm;
use crate::edge::{self, PathPolicy};
use crate::home::{self, Redirect};
use crate::id::Transport;
use crate::limits;
use crate::send::{Clear, HostRule, PeerRule};
use crate::time::Duration;
use crate::trust::CallsOut;

pub(super) fn edge(
    section: &Section<'_>,
    name: &str,
    listen: &[(Transport, SocketAddr)],
    core_port: u16,
    folder: &Path,
) -> Result<edge::Settings, Mistake> {
    section.only::<EdgeSection>()?;
    let want = "the cluster's domain, such as \"edge.example.com\"";
    let cluster = section.parsed("cluster", want, names::domain)?;
    let cluster = cluster.ok_or_else(|| section.missing("cluster", want))?;
    let want = "the name of the core sides, such as \"core.edge.example.com;transport=tcp\"";
    let core_name = section.parsed("core_name", want, names::core_name)?;
    let want = "a list of next hops such as [\"sip:192.0.2.1:5060;transport=udp\"] or [\"sip:home.example.com\"]";
    let home = section.list("home", want, names::next_hop)?;
    let want = "a list of domains such as [\"example.com\"]";
    let home_domains = match section.maybe_list("home_domains", want, names::domain)? {
        Some(domains) => domains,
        None => vec![parent_domain(section, &cluster)?],
    };
    let members = members(section, name, listen, core_port)?;
    let homes = (&home[..], &home_domains[..]);
    let member_names = host_names::of_members(section, &cluster, &members, homes)?;
    let host_names = host_names::listed(section, homes)?;
    let set_size = set_size(section, members.len())?;
    let path = edge_path(section)?;
    let (token_keys, flow_key) = cluster_keys(section, folder)?;
    let older_flow_keys = token_keys.iter().skip(1).map(keys::flow_key).collect();
    let speaks_tls = listen.iter().any(|(one, _)| *one == Transport::Tls);
    let rules = rules::edge(section, speaks_tls)?;
    let name = name.to_owned();
    Ok(edge::Settings {
        name,
        cluster,
        core_name,
        home,
        home_domains,
        members,
        member_names,
        names: host_names,
        peers: peers(section)?,
        core_port,
        path,
        set_size,
        token_keys,
        flow_key,
        older_flow_keys,
        rules,
        keeps_flows: section.has("flows"),
        core_listen: Vec::new(),
    })
}

/// How many edges serve one subscriber of a cluster of so many.
fn set_size(section: &Section<'_>, members: usize) -> Result<usize, Mistake> {
    let most = u16::try_from(limits::EDGE_SET_MAX.min(members)).unwrap_or(u16::MAX);
    let want = "the number of edges that serve one subscriber";
    let size = section.number("set_size", 1..=most, want)?;
    Ok(size.unwrap_or_else(|| 2.min(most)).into())
}

/// The keys that seal tokens, and the one under flow tokens and marks.
fn cluster_keys(
    section: &Section<'_>,
    folder: &Path,
) -> Result<(Vec<[u8; 64]>, [u8; 32]), Mistake> {
    let token_keys = file(section, "token_key_file", folder)?
        .map(|path| keys::read(&path).map_err(|why| section.mistake("token_key_file", &why)))
        .transpose()?
        .unwrap_or_default();
    let flow_key = match token_keys.first() {
        Some(key) => keys::flow_key(key),
        None => random_key(section)?,
    };
    Ok((token_keys, flow_key))
}

pub(super) fn home(
    section: &Section<'_>,
    plain: Clear,
    core_port: u16,
    folder: &Path,
) -> Result<Home, Mistake> {
    section.only::<HomeSection>()?;
    let want = "the domain served, such as \"example.com\"";
    let domain = section.parsed("domain", want, names::domain)?;
    let domain = domain.ok_or_else(|| section.missing("domain", want))?;
    let want = "the home's name among several, such as \"h1\"";
    let name = section.parsed("name", want, names::node)?;
    let want = "the cluster's URI, such as \"sip:edge.example.com;lr\"";
    let edges = section.parsed("edges", want, edges_uri)?;
    let edges = edges.ok_or_else(|| section.missing("edges", want))?;
    let (edge_peers, plain_is_tls) = edge_peers(section, plain, core_port)?;
    let want = "a list of \"SHA-512-256\", \"SHA-256\" and \"MD5\", strongest first";
    let algorithms = section
        .maybe_list("algorithms", want, algorithm)?
        .unwrap_or_else(|| vec![Algorithm::Sha256, Algorithm::Md5]);
    let (store, is_durable) = store(section, folder)?;
    let keys = nonce_keys(section, folder, store.as_ref())?;
    let settings = home::Settings {
        domain,
        name: name.unwrap_or_default(),
        edges,
        edge_peers,
        peers: peers(section)?,
        nonce_key: keys.first,
        older_nonce_keys: keys.older,
        algorithms,
        authenticates: flag_or(section, "authenticate", true)?,
        redirect: redirect(section)?,
        ring_time: ring_time(section)?,
        challenges_calls: flag_or(section, "challenge_calls", true)?,
        requires_path: requires_path(section)?,
        requires_outbound: requires_outbound(section)?,
        calls_out: calls_out(section)?.unwrap_or(CallsOut::anywhere()),
        destinations: destinations(section)?,
        identities: identities(section)?,
        is_stored: store.is_some(),
        is_shared: matches!(store, Some(StoreAt::Shared(_))),
        is_durable,
    };
    let subscribers = existing(section, "subscribers", "the file of subscribers", folder)?;
    Ok(Home {
        settings,
        subscribers,
        store,
        has_made_key: keys.is_made,
        new_key: keys.new_key,
        plain_is_tls,
    })
}

fn flag_or(section: &Section<'_>, key: &str, default: bool) -> Result<bool, Mistake> {
    Ok(section.flag(key, "true or false")?.unwrap_or(default))
}

/// What keeps the registrations, and whether an answer waits until its own is there.
fn store(section: &Section<'_>, folder: &Path) -> Result<(Option<StoreAt>, bool), Mistake> {
    let store = shared_store::read(section, folder)?;
    let is_durable = flag_or(section, "durable", false)?;
    if is_durable && store.is_none() {
        return Err(section.mistake(
            "durable",
            "has phones wait until their registration is in the `store`, and there is none: \
             name one",
        ));
    }
    Ok((store, is_durable))
}

/// The file that keeps the flows of UDP phones, and how many.
pub(super) fn flows(section: &Section<'_>, folder: &Path) -> Result<Option<Flows>, Mistake> {
    let want = "the file that keeps the flows of UDP phones, such as \"flows.table\"";
    let path = section.text("flows", want)?.map(|file| folder.join(file));
    let want = "the number of flows that are kept at the most";
    let most = section.number("flows_max", 1..=limits::FLOWS_KEPT_MAX, want)?;
    if path.is_none() && most.is_some() {
        return Err(section.mistake(
            "flows_max",
            "says how many flows the file `flows` is to keep, and there is none: name one",
        ));
    }
    Ok(path.map(|path| Flows {
        path,
        most: most.unwrap_or(limits::FLOWS_KEPT),
        at: section.place("flows"),
    }))
}

/// The files of keys that a configuration names.
pub(super) fn key_files(root: &Section<'_>, folder: &Path) -> Result<Vec<PathBuf>, Mistake> {
    let mut files = Vec::new();
    for (section, key) in [("edge", "token_key_file"), ("home", "nonce_key_file")] {
        if let Some(section) = root.section(section)? {
            files.extend(file(&section, key, folder)?);
        }
    }
    Ok(files)
}

/// The keys of a home's nonces and dialog marks.
struct NonceKeys {
    first: [u8; 32],
    older: Vec<[u8; 32]>,
    /// The first one was made just now.
    is_made: bool,
    /// The file that it is to be kept in from the first start on.
    new_key: Option<PathBuf>,
}

/// Reads or makes them. The dialogs of a home that has come back with
/// another key would be strangers' there, so one that keeps its registrations
/// keeps its key beside them.
fn nonce_keys(
    section: &Section<'_>,
    folder: &Path,
    store: Option<&StoreAt>,
) -> Result<NonceKeys, Mistake> {
    let of = |mut keys: Vec<[u8; 32]>| {
        let older = keys.split_off(1);
        NonceKeys {
            first: keys[0],
            older,
            is_made: false,
            new_key: None,
        }
    };
    let made = |new_key| {
        Ok(NonceKeys {
            first: random_key(section)?,
            older: Vec::new(),
            is_made: true,
            new_key,
        })
    };
    if let Some(path) = file(section, "nonce_key_file", folder)? {
        let keys = keys::read(&path);
        return keys
            .map(of)
            .map_err(|why| section.mistake("nonce_key_file", &why));
    }
    let store = match store {
        None => return made(None),
        Some(StoreAt::File(store)) => store,
        Some(StoreAt::Shared(_)) => {
            let text = "is shared by several homes, which check one another's nonces: name the \
                        file of their keys in `nonce_key_file`, the same on each";
            return Err(section.mistake("store", text));
        }
    };
    let mut path = store.as_os_str().to_owned();
    path.push(".key");
    let path = PathBuf::from(path);
    if path.exists() {
        return keys::read(&path).map(of).map_err(|why| {
            let text = format!("keeps its key beside it, and {why}");
            section.mistake("store", &text.replace("and names", "and that is"))
        });
    }
    made(Some(path))
}

/// Who is an edge, and whether some are over TLS alone without saying so.
fn edge_peers(
    section: &Section<'_>,
    plain: Clear,
    core_port: u16,
) -> Result<(Vec<HostRule>, bool), Mistake> {
    let want = "a list of addresses such as [\"192.0.2.1\", \"192.0.2.0/24\"]";
    let edge_peers = section.list("edge_peers", want, |text| {
        names::edge_peer(text, plain, core_port).map(|edge| (edge, names::says_transport(text)))
    })?;
    let is_silent = |(_, says_transport): &(_, bool)| !says_transport;
    let plain_is_tls = plain == Clear::No && edge_peers.iter().any(is_silent);
    let edges = edge_peers.into_iter().map(|(edge, _)| edge).collect();
    Ok((edges, plain_is_tls))
}

/// Other carriers.
fn peers(section: &Section<'_>) -> Result<Vec<PeerRule>, Mistake> {
    let want = "a list of carriers such as [\"tls:carrier.example.net\", \"udp:192.0.2.50:5060\"]";
    let peers = section.maybe_list("peers", want, names::carrier)?;
    Ok(peers.unwrap_or_default())
}

/// what an edge makes of a phone that does not show `Supported: path`.
fn edge_path(section: &Section<'_>) -> Result<PathPolicy, Mistake> {
    const WANT: &str = "\"vouch\", \"accept\" or \"require\"";
    let policy = section.parsed("path", WANT, |text| match text {
        "vouch" => Ok(PathPolicy::Vouch),
        "accept" => Ok(PathPolicy::Accept),
        "require" => Ok(PathPolicy::Require),
        _ => Err(format!("is {text:?}, which should be {WANT}")),
    })?;
    Ok(policy.unwrap_or_default())
}

/// what becomes of a phone that does not show `Supported: path`.
fn requires_path(section: &Section<'_>) -> Result<bool, Mistake> {
    let policy = section.parsed("path", "\"accept\" or \"require\"", |text| match text {
        "accept" => Ok(false),
        "require" => Ok(true),
        _ => Err(format!(
            "is {text:?}, which should be \"accept\" or \"require\""
        )),
    })?;
    Ok(policy.unwrap_or(false))
}

/// O-12: what becomes of a phone whose first hop has no part in RFC 5626.
fn requires_outbound(section: &Section<'_>) -> Result<bool, Mistake> {
    const WANT: &str = "\"ignore\" or \"require\"";
    let policy = section.parsed("outbound", WANT, |text| match text {
        "ignore" => Ok(false),
        "require" => Ok(true),
        _ => Err(format!("is {text:?}, which should be {WANT}")),
    })?;
    Ok(policy.unwrap_or(false))
}

/// How long contacts ring before those of a lower `q`; zero: until Timer C.
fn ring_time(section: &Section<'_>) -> Result<Option<Duration>, Mistake> {
    let most = u16::try_from(limits::TIMER_C.as_secs()).unwrap_or(u16::MAX);
    let want = "the seconds that phones ring before others of a lower q are tried";
    let seconds = section.number("ring_time", 0..=most, want)?;
    let time = seconds.map_or(limits::RING_TIME, |s| Duration::from_secs(s.into()));
    Ok((time > Duration::ZERO).then_some(time))
}

/// `covers`: where those members listen, for what this node listens for itself.
pub(super) fn covered(
    root: &Section<'_>,
    role: &Role,
    listen: &[(Transport, SocketAddr)],
) -> Result<Vec<(Transport, SocketAddr)>, Mistake> {
    let (Some(section), Role::Edge(edge)) = (root.section("edge")?, role) else {
        return Ok(Vec::new());
    };
    let find = |name: &str| {
        let mut members = edge.members.iter();
        let member = members.find(|member| member.name == name);
        match member {
            Some(_) if name == edge.name => Err("names this node itself".to_owned()),
            Some(member) => Ok(member),
            None => Err(format!("names {name:?}, which is none of `members`")),
        }
    };
    let want = "a list of other members such as [\"e1\"]";
    let members = section.maybe_list("covers", want, find)?;
    let mut covered = Vec::new();
    for member in members.unwrap_or_default() {
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            let is_spoken = listen.iter().any(|(spoken, _)| *spoken == transport);
            for ip in member.addresses.iter().filter(|_| is_spoken) {
                let addr = SocketAddr::new(*ip, member.port(transport));
                if !covered.contains(&(transport, addr)) {
                    covered.push((transport, addr));
                }
            }
        }
    }
    Ok(covered)
}

fn parent_domain(section: &Section<'_>, cluster: &str) -> Result<String, Mistake> {
    match cluster.split_once('.') {
        Some((_, parent)) => Ok(parent.to_owned()),
        None => Err(section.mistake(
            "cluster",
            "has no parent domain, so `home_domains` must list what the home serves",
        )),
    }
}

fn edges_uri(text: &str) -> Result<String, String> {
    let is_uri = text.starts_with("sip:") && text.len() > 4;
    if is_uri
        && !text
            .bytes()
            .any(|b| b.is_ascii_whitespace() || b == b'<' || b == b'>')
    {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "is {text:?}, which should be a URI such as \"sip:edge.example.com;lr\""
        ))
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(Some(text.as_bytes())).ok_or_else(|| {
        format!("holds {text:?}, which should be \"SHA-512-256\", \"SHA-256\" or \"MD5\"")
    })
}

/// D-H5: whether a REGISTER that passed no edge is sent to one.
fn redirect(section: &Section<'_>) -> Result<Redirect, Mistake> {
    const WANT: &str = "\"always\", \"if-supported\" or \"never\"";
    let policy = section.parsed("redirect", WANT, |text| match text {
        "always" => Ok(Redirect::Always),
        "if-supported" => Ok(Redirect::IfSupported),
        "never" => Ok(Redirect::Never),
        _ => Err(format!("is {text:?}, which should be {WANT}")),
    })?;
    Ok(policy.unwrap_or_default())
}

/// A file named relative to the folder of the configuration.
fn file(section: &Section<'_>, key: &str, folder: &Path) -> Result<Option<PathBuf>, Mistake> {
    Ok(section
        .text(key, "a file name")?
        .map(|name| folder.join(name)))
}

pub(super) fn existing(
    section: &Section<'_>,
    key: &str,
    want: &str,
    folder: &Path,
) -> Result<PathBuf, Mistake> {
    let path = folder.join(section.string(key, want)?);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => Ok(path),
        Ok(_) => Err(section.mistake(key, &format!("names {}, which is no file", path.display()))),
        Err(why) => {
            let text = format!("names {}, which cannot be read: {why}", path.display());
            Err(section.mistake(key, &text))
        }
    }
}

fn random_key(section: &Section<'_>) -> Result<[u8; 32], Mistake> {
    keys::random().map_err(|why| {
        section.mistake_at_head(&format!("the kernel gives no random numbers: {why}"))
    })
}
