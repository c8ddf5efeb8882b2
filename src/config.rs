//! From the configuration file to `Config` in one step.
//!
//! There are no half-read configurations and no defaults applied later: what
//! `load` returns is complete, its files are read, its addresses parsed. What
//! is wrong is said in one sentence that names the key, the line, and what
//! would be right.
//!
//! Not here: whether the addresses can be bound (`io::check`), and the lists
//! that may change while the node runs (`control`).

mod keys;
mod names;
mod reader;
mod role;
mod rules;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

pub use keys::{keep, random, seed};

use reader::{Reader, Section};

use crate::id::Transport;
use crate::{edge, home, io, limits};

/// A node, as its file describes it.
#[derive(Clone)]
pub struct Config {
    /// The node's name: in its logs, and for an edge in the tokens.
    pub name: String,
    /// Where it listens, in the order of the file.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// Where the file lists the listeners, to begin a sentence about them.
    pub listen_at: String,
    /// Number of shards, each on a core of its own.
    pub shards: usize,
    /// The control socket, if there is to be one.
    pub control: Option<PathBuf>,
    /// Where the metrics are served as well.
    pub metrics: Option<SocketAddr>,
    /// Where the file names the two, to begin a sentence about them.
    pub doors_at: [String; 2],
    /// Networks whose sources are not limited: address and prefix length.
    /// `None`: those of `limits::UNLIMITED`.
    pub unlimited: Option<Vec<(IpAddr, u8)>>,
    /// Connections that one source may have at once, on each shard.
    pub connections_per_source: u32,
    /// What it is.
    pub role: Role,
    /// Its certificates, where it speaks TLS.
    pub tls: Option<io::tls::Settings>,
    /// The name servers it asks; none: those of the system.
    pub dns_servers: Vec<SocketAddr>,
}

impl Config {
    /// What may surprise the operator of a node that can run, in one sentence
    /// without a full stop.
    #[must_use]
    pub fn warning(&self) -> Option<&'static str> {
        match &self.role {
            Role::Edge(edge) if edge.token_keys.is_empty() => Some(
                "tokens are readable and can be forged, which is for a lab: `token_key_file` \
                 seals them",
            ),
            Role::Home(home) if home.store.is_none() => Some(
                "a restart forgets who is registered until the phones refresh: `store` keeps it \
                 in a file",
            ),
            Role::Edge(_) | Role::Home(_) => None,
        }
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

/// A home with its files.
#[derive(Clone, Debug)]
pub struct Home {
    /// What its shards are told.
    pub settings: home::Settings,
    /// The list of subscribers, read again whenever it changes.
    pub subscribers: PathBuf,
    /// The registrations on disk; `None`: in memory alone.
    pub store: Option<PathBuf>,
    /// Where a key that was made for this start is to be kept for the next ones.
    pub new_key: Option<PathBuf>,
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
    let text = std::fs::read_to_string(path).map_err(|why| {
        Mistake(format!(
            "cannot read the configuration {}: {why}",
            path.display()
        ))
    })?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let name = path
        .file_name()
        .map_or_else(|| path.display().to_string(), file_name);
    parse(&name, &text, folder)
}

fn file_name(name: &std::ffi::OsStr) -> String {
    name.to_string_lossy().into_owned()
}

fn parse(file: &str, text: &str, folder: &Path) -> Result<Config, Mistake> {
    let reader = Reader { file, text };
    let document = reader.document()?;
    let root = reader.root(&document);
    root.only(&[
        "name",
        "listen",
        "shards",
        "tls",
        "edge",
        "home",
        "control",
        "metrics",
        "unlimited",
        "connections_per_source",
        "dns",
    ])?;
    let name = root.string("name", "the node's name, such as \"e1\"")?;
    let listen = listen(&root)?;
    let shards = shards(&root)?;
    let role = match (root.section("edge")?, root.section("home")?) {
        (Some(edge), None) => {
            let speaks_tls = listen.iter().any(|(one, _)| *one == Transport::Tls);
            Role::Edge(role::edge(&edge, (&name, speaks_tls), folder)?)
        }
        (None, Some(home)) => Role::Home(role::home(&home, folder)?),
        (Some(_), Some(home)) => {
            return Err(
                home.mistake_at_head("[home] and [edge] exclude each other: a node is one of them")
            );
        }
        (None, None) => {
            return Err(root.mistake_at_head(
                "a section [edge] or [home] is missing: it says which of the two the node is",
            ));
        }
    };
    let want = "the path of a socket, such as \"/run/steadfast/e1.sock\"";
    let control = root.text("control", want)?.map(|path| folder.join(path));
    let metrics = root.parsed("metrics", "an address and port", |text| {
        let said = format!("is {text:?}, which should be like \"127.0.0.1:9090\"");
        text.parse().map_err(|_not_an_address| said)
    })?;
    let want = "a list of networks such as [\"192.0.2.0/24\"]";
    let unlimited = root.any_list("unlimited", want, names::prefix)?;
    let want = "a number of connections";
    let connections = root.number("connections_per_source", 1..=u16::MAX, want)?;
    let tls = tls::settings(&root, &listen, &role, folder)?;
    Ok(Config {
        control,
        metrics,
        doors_at: ["control", "metrics"].map(|key| root.place(key)),
        unlimited,
        connections_per_source: connections.map_or(limits::SOURCE_STREAMS, u32::from),
        name,
        listen,
        listen_at: root.place("listen"),
        shards,
        role,
        tls,
        dns_servers: dns_servers(&root)?,
    })
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
        if transport == Transport::Udp && !listen.contains(&(Transport::Tcp, addr)) {
            let text =
                format!("has \"udp:{addr}\" without \"tcp:{addr}\", but large messages need both");
            return Err(root.mistake("listen", &text));
        }
    }
    Ok(listen)
}

/// `[dns] servers`.
fn dns_servers(root: &Section<'_>) -> Result<Vec<SocketAddr>, Mistake> {
    let Some(dns) = root.section("dns")? else {
        return Ok(Vec::new());
    };
    dns.only(&["servers"])?;
    let want = "a list of name servers such as [\"192.0.2.53\", \"127.0.0.1:5353\"]";
    dns.list("servers", want, names::name_server)
}

fn shards(root: &Section<'_>) -> Result<usize, Mistake> {
    let cores = core_affinity::get_core_ids().map_or(1, |cores| cores.len());
    let cores = cores.clamp(1, limits::SHARDS_MAX);
    let most = u16::try_from(cores).unwrap_or(1);
    let want = "how many of this machine's cores to use";
    let shards = root.number("shards", 1..=most, want)?;
    Ok(shards.map_or(cores, usize::from))
}

#[cfg(test)]
mod tests;
