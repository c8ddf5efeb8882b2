//! From the configuration file to [`Config`] in one step.
//!
//! There are no half-read configurations and no defaults applied later: what
//! [`load`] returns is complete, its files are read, its addresses parsed. What
//! is wrong is said in one sentence that names the key, the line, and what
//! would be right.
//!
//! Not here: whether the addresses can be bound ([`io`]), and the lists
//! that may change while the node runs ([`control`](crate::control)).

mod dns;
mod endpoints;
pub mod file;
mod host_names;
mod keys;
mod members;
mod names;
mod reader;
mod recording;
pub mod reference;
mod role;
mod rules;
mod shared_store;
mod source;
mod tls;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

pub use keys::{keep, random, seed};
pub use names::{address, domain};
pub use recording::{Events, Hep, Recording};
pub use shared_store::{SentinelGroup, SharedAt, StoreAt};
pub use source::{Change, Source, control_socket, open};

use reader::{Reader, Section};

use crate::id::Transport;
use crate::send::{Clear, PeerRule, Ports};
use crate::time::Duration;
use crate::zone::Zone;
use crate::{edge, home, io, limits, memory};

/// A node, as its file describes it.
#[derive(Clone)]
pub struct Config {
    /// The node's name: in its logs, and for an edge in the tokens.
    pub name: String,
    /// Where it listens, in the order of the file.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// The listeners of other members, for when their addresses come here.
    pub covered: Vec<(Transport, SocketAddr)>,
    /// The core-side listeners, which nobody but peers reaches.
    pub core_listen: Vec<SocketAddr>,
    /// The core side of an edge that has one.
    pub core_side: Vec<(Transport, SocketAddr)>,
    /// The first of the ports that it sends from to its peers.
    pub core_port: u16,
    /// Number of shards, each on a core of its own.
    pub shards: usize,
    /// The control socket, if there is to be one.
    pub control: Option<PathBuf>,
    /// Where the metrics are served as well.
    pub metrics: Option<SocketAddr>,
    /// Where the pages of other nodes are, by their names or addresses.
    pub pages: Vec<(String, String)>,
    /// Where the file names what is bound, to begin a sentence about it.
    pub places: Places,
    /// What is logged, as `EnvFilter` of tracing reads it; `None`: "info".
    pub log: Option<String>,
    /// The file is taken over whenever it changes, without anybody's word.
    pub watch: bool,
    /// The files of keys that it names.
    pub key_files: Vec<PathBuf>,
    /// Networks whose sources are not limited: address and prefix length.
    /// `None`: those of `limits::UNLIMITED`.
    pub unlimited: Option<Vec<(IpAddr, u8)>>,
    /// Connections that one source may have at once, on each shard.
    pub connections_per_source: u32,
    /// Bytes that a stranger may make a shard keep.
    pub source_memory: usize,
    /// How long it goes on once it is told to end.
    pub drain_for: Duration,
    /// What the node as a whole may use.
    pub memory: memory::Bound,
    /// What it keeps and tells of what passed.
    pub recording: Recording,
    /// What it is.
    pub role: Role,
    /// Where an edge keeps the flows of its UDP phones, if it does.
    pub flows: Option<Flows>,
    /// Its certificates, where it speaks TLS.
    pub tls: Option<io::tls::Settings>,
    /// Names of other edges that none of its certificates is for, though phones are
    /// to resolve them.
    pub unproven: Vec<String>,
    /// The name servers it asks; none: those of the system.
    pub dns_servers: Vec<SocketAddr>,
    /// The name server that it is, for the names of its cluster.
    pub name_server: Option<NameServer>,
}

/// What a node serves of the DNS, and where.
#[derive(Clone, Debug)]
pub struct NameServer {
    /// Where it is asked, over UDP and TCP.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// Where the file lists that, to begin a sentence about it.
    pub at: String,
    /// The domains of the home are served as well.
    pub home_domains: bool,
    /// The records.
    pub zone: Zone,
}

/// What is spoken, and where.
type Listener = (Transport, SocketAddr);

/// The keys of everything that a node binds, each with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// `listen`
    pub listen: String,
    /// `covers`
    pub covers: String,
    /// `core_listen`
    pub core_listen: String,
    /// `core` of the node's own entry in `members`.
    pub core: String,
    /// `core_port`
    pub core_port: String,
    /// `control`
    pub control: String,
    /// `metrics`
    pub metrics: String,
}

/// A file for the flows of UDP phones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flows {
    /// Where.
    pub path: PathBuf,
    /// For how many it has room.
    pub most: u32,
    /// Where the configuration names it, to begin a sentence about it.
    pub at: String,
}

impl Config {
    /// Bytes that the recorders have together: what `recorder` says, but no more than the part of
    /// `memory` that is theirs, and as much as a shard needs to keep anything.
    #[must_use]
    pub fn recorder(&self) -> usize {
        let wanted = self.recording.recorder;
        let most = self.memory.bytes(memory::cgroup_limit());
        let most = most.map(|bytes| bytes / limits::RECORDER_PART_OF_MEMORY);
        let least = limits::RECORDER_BYTES_MIN * self.shards;
        most.map_or(wanted, |most| wanted.min(most.max(least)))
    }

    /// What may surprise the operator of a node that can run, each in one
    /// sentence without a full stop.
    #[must_use]
    pub fn warnings(&self) -> Vec<Cow<'static, str>> {
        let mut found: Vec<Cow<'static, str>> = Vec::new();
        if self.recording.is_said && self.recorder() < self.recording.recorder {
            found.push(Cow::Owned(format!(
                "the recorder keeps {} MiB and not what `recorder` says, since that is an eighth of \
                 the memory that the node may use: give it more by `memory`, or name less",
                self.recorder() >> 20
            )));
        }
        match &self.role {
            Role::Edge(edge) => {
                if edge.token_keys.is_empty() {
                    found.push(
                        "tokens are readable and can be forged, which is for a lab: \
                         `token_key_file` seals them"
                            .into(),
                    );
                }
                if self.flows.is_none() {
                    found.push(
                        "a restart makes this edge deaf to its UDP phones until they refresh: \
                         `flows` keeps where they are in a file"
                            .into(),
                    );
                }
                found.extend(self.deaf_to(&edge.peers).map(Cow::Borrowed));
                if !self.unproven.is_empty() {
                    found.push(Cow::Owned(format!(
                        "none of the certificates in `certs` is for {}: phones over TLS whose own \
                         edge is dead, and that come here by its name, will not believe this one",
                        self.unproven.join(", ")
                    )));
                }
            }
            Role::Home(home) => {
                if home.store.is_none() {
                    found.push(
                        "a restart forgets who is registered until the phones refresh: `store` \
                         keeps it in a file"
                            .into(),
                    );
                }
                if home.plain_is_tls {
                    found.push(
                        "since there is a `ca`, an address in `edge_peers` is an edge over TLS \
                         alone: \"udp:ADDRESS\" is one over UDP and TCP too, and \"tls:ADDRESS\" \
                         says that none is meant"
                            .into(),
                    );
                }
                found.extend(self.deaf_to(&home.settings.peers).map(Cow::Borrowed));
            }
        }
        found
    }

    /// A carrier over TCP connects from any port, at which nobody is believed.
    fn deaf_to(&self, peers: &[PeerRule]) -> Option<&'static str> {
        let usual = Ports::one(Transport::Tcp.default_port());
        let mut hosts = peers.iter().filter_map(PeerRule::host);
        let is_deaf = hosts.any(|host| host.clear == Clear::Tcp && host.tcp == usual);
        (is_deaf && self.core_listen.is_empty()).then_some(
            "a carrier \"tcp:ADDRESS\" in `peers` is believed where this node connects to it, but \
             not when it connects from a port of its own choice: give it a `core_listen`, or its \
             ports as \"tcp:ADDRESS:FIRST-LAST\"",
        )
    }
}

/// What a node is.
#[derive(Clone)]
pub enum Role {
    /// An edge of a cluster.
    Edge(edge::Settings),
    /// The home of a domain.
    Home(Home),
}

impl Role {
    /// `drain_for` where the file says nothing.
    const fn drain_for(&self) -> Duration {
        match self {
            Self::Edge(_) => limits::EDGE_DRAIN_MAX,
            Self::Home(_) => limits::DRAIN_MAX,
        }
    }
}

/// A home with its files.
#[derive(Clone, Debug)]
pub struct Home {
    /// What its shards are told.
    pub settings: home::Settings,
    /// The list of subscribers, read again whenever it changes.
    pub subscribers: PathBuf,
    /// Where the registrations are; `None`: in memory alone.
    pub store: Option<StoreAt>,
    /// The key of nonces and marks is in no file yet: it was made for this start.
    pub has_made_key: bool,
    /// Where such a key is to be kept for the next ones.
    pub new_key: Option<PathBuf>,
    /// Addresses in `edge_peers` that say no transport are edges over TLS alone.
    pub plain_is_tls: bool,
}

/// What is wrong with a configuration, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mistake(String);

/// Reads and checks a configuration file and the key files that it names.
///
/// # Errors
/// The first mistake in it.
pub fn load(path: &Path) -> Result<Config, Mistake> {
    open(path).map(|(config, _)| config)
}

fn file_name(name: &std::ffi::OsStr) -> String {
    name.to_string_lossy().into_owned()
}

pub(crate) fn parse(file: &str, text: &str, folder: &Path) -> Result<Config, Mistake> {
    let reader = Reader { file, text };
    let document = reader.document()?;
    let root = reader.root(&document);
    root.only::<file::NodeFile>()?;
    let name = root.string("name", "the node's name, such as \"e1\"")?;
    let listen = listen(&root)?;
    let core_port = core(&root, &listen)?;
    let shards = shards(&root)?;
    let core_listen = core_listen(&root)?;
    let role = role(&root, &name, &listen, &core_listen, core_port, folder)?;
    let covered = role::covered(&root, &role, &listen)?;
    let flows = root.section("edge")?;
    let flows = flows.map(|edge| role::flows(&edge, folder)).transpose()?;
    let (control, metrics) = admin_sockets(&root, folder)?;
    let want = "what is logged, such as \"info\" or \"warn,steadfast=debug\"";
    let log = root.parsed("log", want, names::log)?;
    let watch = root.flag("watch", "true or false")?.unwrap_or(false);
    let want = "a list of networks such as [\"192.0.2.0/24\"]";
    let unlimited = root.any_list("unlimited", want, names::prefix)?;
    let want = "a number of connections";
    let connections = root.number("connections_per_source", 1..=u16::MAX, want)?;
    let want = "a number of MiB";
    let source_memory = root.number("source_memory", 1..=limits::SOURCE_MEMORY_MAX_MIB, want)?;
    let source_memory = source_memory.map(|mib| usize::from(mib) << 20);
    let want = "how much memory the node may use, such as \"512M\" or \"2G\", or \"none\"";
    let bound = root.parsed("memory", want, names::memory)?;
    let want = "the seconds that the node goes on for once it is told to end";
    let most = u32::try_from(limits::DRAIN_FOR_MAX.as_secs()).unwrap_or(u32::MAX);
    let drain_for = root.number("drain_for", 0..=most, want)?;
    let drain_for = drain_for.map_or_else(|| role.drain_for(), |s| Duration::from_secs(s.into()));
    let core_side = match &role {
        Role::Edge(edge) => edge.core_side(),
        Role::Home(_) => Vec::new(),
    };
    let tls::Read {
        settings: tls,
        unproven,
    } = tls::read(&root, &listen, &core_side, &role, folder)?;
    let places = places(&root, &name)?;
    let mut config = Config {
        control,
        metrics,
        pages: pages(&root)?,
        log,
        watch,
        key_files: role::key_files(&root, folder)?,
        unlimited,
        connections_per_source: connections.map_or(limits::SOURCE_STREAMS, u32::from),
        source_memory: source_memory.unwrap_or(limits::SOURCE_MEMORY),
        memory: bound.unwrap_or(memory::Bound::OfGroup),
        drain_for,
        recording: recording::read(&root, shards, folder)?,
        name,
        listen,
        covered,
        core_listen,
        core_side,
        core_port,
        places,
        shards,
        role,
        flows: flows.flatten(),
        tls,
        unproven,
        dns_servers: Vec::new(),
        name_server: None,
    };
    dns::read(&root, &mut config)?;
    endpoints::apart(&root, &config)?;
    Ok(config)
}

fn places(root: &Section<'_>, name: &str) -> Result<Places, Mistake> {
    let edge = root.section("edge")?;
    let own = edge.as_ref().map(|edge| members::own(edge, name));
    let own = own.transpose()?.flatten();
    Ok(Places {
        listen: root.place("listen"),
        covers: edge.as_ref().unwrap_or(root).place("covers"),
        core_listen: root.place("core_listen"),
        core: own.as_ref().unwrap_or(root).place("core"),
        core_port: root.place("core_port"),
        control: root.place("control"),
        metrics: root.place("metrics"),
    })
}

/// True for UDP at an address where none of the listeners speaks TCP.
fn lacks_tcp(all: &[Listener], (transport, addr): Listener) -> bool {
    transport == Transport::Udp && !all.contains(&(Transport::Tcp, addr))
}

/// Where its operator asks it.
fn admin_sockets(
    root: &Section<'_>,
    folder: &Path,
) -> Result<(Option<PathBuf>, Option<SocketAddr>), Mistake> {
    let want = "the path of a socket, such as \"/run/steadfast/e1.sock\"";
    let control = root.text("control", want)?.map(|path| folder.join(path));
    let metrics = root.parsed("metrics", "an address and port", |text| {
        let refusal = format!("is {text:?}, which should be like \"127.0.0.1:9090\"");
        text.parse().map_err(|_not_an_address| refusal)
    })?;
    Ok((control, metrics))
}

/// Where the pages of other nodes are.
fn pages(root: &Section<'_>) -> Result<Vec<(String, String)>, Mistake> {
    let want = "a list such as [\"e2=http://192.0.2.12:9090/\"]";
    let pages = root.maybe_list("pages", want, names::page)?;
    Ok(pages.unwrap_or_default())
}

/// What the node is.
fn role(
    root: &Section<'_>,
    name: &str,
    listen: &[Listener],
    core_listen: &[SocketAddr],
    core_port: u16,
    folder: &Path,
) -> Result<Role, Mistake> {
    match (root.section("edge")?, root.section("home")?) {
        (Some(edge), None) => {
            let mut edge = role::edge(&edge, name, listen, core_port, folder)?;
            edge.core_listen.extend(core_listen);
            Ok(Role::Edge(edge))
        }
        (None, Some(home)) => {
            // With roots to check certificates by, an address proves nothing.
            let tls = root.section("tls")?;
            let plain = match tls.filter(|tls| tls.has("ca")) {
                Some(_) => Clear::No,
                None => Clear::Any,
            };
            Ok(Role::Home(role::home(&home, plain, core_port, folder)?))
        }
        (Some(_), Some(home)) => {
            Err(home.mistake_at_head("[home] and [edge] exclude each other: a node is one of them"))
        }
        (None, None) => Err(root.mistake_at_head(
            "a section [edge] or [home] is missing: it says which of the two the node is",
        )),
    }
}

fn core_listen(root: &Section<'_>) -> Result<Vec<SocketAddr>, Mistake> {
    let want = "a list of listeners such as [\"tcp:192.0.2.1:5080\"]";
    let listen = root.maybe_list("core_listen", want, names::core_listener)?;
    Ok(listen.unwrap_or_default())
}

fn listen(root: &Section<'_>) -> Result<Vec<(Transport, SocketAddr)>, Mistake> {
    let want = "a list of listeners such as [\"udp:192.0.2.1:5060\", \"tcp:192.0.2.1:5060\"]";
    let listen = root.list("listen", want, names::listener)?;
    if !listen
        .iter()
        .any(|(transport, _)| *transport == Transport::Udp)
    {
        return Err(root.mistake("listen", "needs at least one \"udp:ADDRESS:PORT\""));
    }
    // RFC 3261 §18.2.1.
    for &(transport, addr) in &listen {
        if lacks_tcp(&listen, (transport, addr)) {
            let text =
                format!("has \"udp:{addr}\" without \"tcp:{addr}\", but large messages need both");
            return Err(root.mistake("listen", &text));
        }
    }
    Ok(listen)
}

/// `core_port`, whose range nothing is listened at.
fn core(root: &Section<'_>, listen: &[(Transport, SocketAddr)]) -> Result<u16, Mistake> {
    let port = core_port(root)?.unwrap_or(limits::CORE_PORT);
    let range = port..=port + (limits::CORE_PORTS - 1);
    let mut listen = listen.iter();
    if let Some((transport, addr)) = listen.find(|(_, addr)| range.contains(&addr.port())) {
        let text = format!(
            "has \"{}:{addr}\", but the ports {port} to {} are this node's for sending to its \
             peers: choose another port, or another `core_port`",
            transport.uri_token(),
            range.end()
        );
        return Err(root.mistake("listen", &text));
    }
    Ok(port)
}

fn core_port(section: &Section<'_>) -> Result<Option<u16>, Mistake> {
    let last = u16::MAX - (limits::CORE_PORTS - 1);
    let want = "the first of the ports that a node sends from to its peers";
    section.number("core_port", 1_024..=last, want)
}

fn shards(root: &Section<'_>) -> Result<usize, Mistake> {
    let cores = core_affinity::get_core_ids().map_or(1, |cores| cores.len());
    let cores = cores.clamp(1, limits::SHARDS_MAX);
    // The file may be for another machine than it is read on.
    let most = u16::try_from(limits::SHARDS_MAX).unwrap_or(u16::MAX);
    let want = "how many of the machine's cores to use";
    let shards = root.number("shards", 1..=most, want)?;
    Ok(shards.map_or(cores, usize::from))
}

#[cfg(test)]
mod tests;
