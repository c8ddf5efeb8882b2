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

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use keys::random;

use reader::{Reader, Section};

use crate::id::Transport;
use crate::{edge, home};

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
    /// What it is.
    pub role: Role,
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
    /// The registrations on disk.
    pub store: PathBuf,
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
    root.only(&["name", "listen", "shards", "edge", "home"])?;
    let name = root.string("name", "the node's name, such as \"e1\"")?;
    let listen = listen(&root)?;
    let shards = shards(&root)?;
    let role = match (root.section("edge")?, root.section("home")?) {
        (Some(edge), None) => Role::Edge(role::edge(&edge, &name, folder)?),
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
    Ok(Config {
        name,
        listen,
        listen_at: root.place("listen"),
        shards,
        role,
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

fn shards(root: &Section<'_>) -> Result<usize, Mistake> {
    match root.number("shards", 1..=1_024, "the number of cores to use")? {
        None | Some(1) => Ok(1),
        Some(_) => Err(root.mistake(
            "shards",
            "can only be 1 so far: a phone's flow is not found from another core",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::{Hop, Member};
    use crate::home::Redirect;

    const HEAD: &str = "\
name = \"e1\"
listen = [\"udp:127.0.0.11:5060\", \"tcp:127.0.0.11:5060\"]
";
    const EDGE: &str = "\
[edge]
cluster = \"edge.example.com\"
home = [\"sip:127.0.0.10:5060;transport=udp\"]
members = [{ name = \"e1\", address = \"127.0.0.11\" }, { name = \"e2\", address = \"127.0.0.12\", tcp = 5070 }]
";
    /// `Cargo.toml` stands for any file that is there.
    const HOME: &str = "\
[home]
domain = \"example.com\"
subscribers = \"Cargo.toml\"
store = \"location.redb\"
edges = \"sip:edge.example.com;lr\"
edge_peers = [\"127.0.0.11\", \"127.0.0.12/31\"]
";

    fn read(text: &str) -> Result<Config, Mistake> {
        parse("e1.toml", text, Path::new(env!("CARGO_MANIFEST_DIR")))
    }

    /// Reads head and section with `old` replaced by `new`.
    #[track_caller]
    fn check(section: &str, old: &str, new: &str, want: &str) {
        let text = format!("{HEAD}{section}");
        assert!(text.contains(old), "{old} is not there");
        assert_eq!(
            read(&text.replace(old, new)).err().unwrap().to_string(),
            want
        );
    }

    #[test]
    fn an_edge_is_read_with_its_defaults() {
        let config = read(&format!("{HEAD}{EDGE}")).unwrap();
        let addr = "127.0.0.11:5060".parse().unwrap();
        assert_eq!((config.name.as_str(), config.shards), ("e1", 1));
        assert_eq!(
            config.listen,
            [(Transport::Udp, addr), (Transport::Tcp, addr)]
        );
        let Role::Edge(edge) = config.role else {
            panic!("not an edge")
        };
        let hop = Hop {
            transport: Transport::Udp,
            addr: "127.0.0.10:5060".parse().unwrap(),
        };
        assert_eq!(
            (edge.home, edge.home_domains),
            (vec![hop], vec!["example.com".into()])
        );
        let second = Member {
            name: "e2".into(),
            address: "127.0.0.12".parse().unwrap(),
            udp: 5060,
            tcp: 5070,
            tls: 5061,
        };
        assert_eq!((edge.members.len(), &edge.members[1]), (2, &second));
        assert_eq!((edge.set_size, edge.token_keys.len()), (2, 0));
    }

    #[test]
    fn a_home_is_read_with_its_defaults() {
        let Role::Home(home) = read(&format!("{HEAD}{HOME}")).unwrap().role else {
            panic!("not a home")
        };
        let peers =
            [("127.0.0.11", 32), ("127.0.0.12", 31)].map(|(ip, len)| (ip.parse().unwrap(), len));
        assert_eq!(home.settings.edge_peers, peers);
        assert_eq!(home.settings.redirect, Redirect::Always);
        assert!(home.store.ends_with("location.redb") && home.store.is_absolute());
    }

    #[test]
    fn keys_without_a_file_differ_from_start_to_start() {
        let nonce_key = || match read(&format!("{HEAD}{HOME}")).unwrap().role {
            Role::Home(home) => home.settings.nonce_key,
            Role::Edge(_) => panic!("not a home"),
        };
        assert_ne!(nonce_key(), nonce_key());
    }

    #[test]
    fn a_mistyped_key_is_named_with_its_line_and_the_likely_one() {
        check(
            EDGE,
            "listen",
            "listne",
            "e1.toml, line 2: `listne` is unknown; did you mean `listen`?",
        );
        check(
            EDGE,
            "cluster =",
            "clutser =",
            "e1.toml, line 4: [edge] `clutser` is unknown; did you mean `cluster`?",
        );
        check(
            EDGE,
            "tcp = 5070",
            "tpc = 5070",
            "e1.toml, line 6: [edge] `members`: `tpc` is unknown; did you mean `tcp`?",
        );
        check(
            HOME,
            "store =",
            "workers =",
            "e1.toml, line 6: [home] `workers` is unknown; the keys here are domain, subscribers, \
             store, edges, edge_peers, nonce_key_file, algorithms, redirect",
        );
    }

    #[test]
    fn a_wrong_type_is_answered_with_the_right_one() {
        check(
            EDGE,
            "\"e1\"\n",
            "7\n",
            "e1.toml, line 1: `name` must be the node's name, such as \"e1\", and is 7",
        );
        check(
            EDGE,
            "[\"sip:127.0.0.10:5060;transport=udp\"]",
            "\"sip:127.0.0.10\"",
            "e1.toml, line 5: [edge] `home` must be a list of next hops such as \
             [\"sip:192.0.2.1:5060;transport=udp\"], and is a text",
        );
        check(
            EDGE,
            "tcp = 5070",
            "tcp = 70000",
            "e1.toml, line 6: [edge] `members`: `tcp` must be a port, from 1 to 65535, and is 70000",
        );
        check(
            EDGE,
            "[edge]\n",
            "[edge]\nset_size = 3\n",
            "e1.toml, line 4: [edge] `set_size` must be the number of edges that serve one \
             subscriber, from 1 to 2, and is 3",
        );
    }

    #[test]
    fn a_missing_key_is_named_with_what_it_must_be() {
        check(
            EDGE,
            "cluster = \"edge.example.com\"\n",
            "",
            "e1.toml, line 3: [edge] `cluster` is missing; it must be the cluster's domain, such \
             as \"edge.example.com\"",
        );
        check(
            HOME,
            "[home]",
            "[other]",
            "e1.toml, line 3: `other` is unknown; the keys here are name, listen, shards, edge, home",
        );
        assert_eq!(
            read(HEAD).err().unwrap().to_string(),
            "e1.toml, line 1: a section [edge] or [home] is missing: it says which of the two the \
             node is"
        );
    }

    #[test]
    fn a_value_that_means_nothing_is_shown_beside_one_that_does() {
        check(
            EDGE,
            "udp:127.0.0.11:5060",
            "udp:localhost",
            "e1.toml, line 2: `listen` has \"udp:localhost\", which should be like \
             \"udp:192.0.2.1:5060\" or \"tcp:[2001:db8::1]:5060\"",
        );
        check(
            EDGE,
            "udp:127.0.0.11:5060",
            "udp:0.0.0.0:5060",
            "e1.toml, line 2: `listen` has \"udp:0.0.0.0:5060\", but peers must be told one \
             address: name the interface's own",
        );
        check(
            EDGE,
            "transport=udp",
            "transport=sctp",
            "e1.toml, line 5: [edge] `home` has \"sip:127.0.0.10:5060;transport=sctp\", which \
             should be like \"sip:192.0.2.1:5060;transport=udp\"",
        );
        check(
            HOME,
            "127.0.0.12/31",
            "127.0.0.12/33",
            "e1.toml, line 8: [home] `edge_peers` has \"127.0.0.12/33\", which should be like \
             \"192.0.2.1\" or \"192.0.2.0/24\"",
        );
        check(
            HOME,
            "[home]\n",
            "[home]\nredirect = \"sometimes\"\n",
            "e1.toml, line 4: [home] `redirect` is \"sometimes\", which should be \"always\", \
             \"if-supported\" or \"never\"",
        );
    }

    #[test]
    fn what_does_not_fit_together_is_said() {
        check(
            EDGE,
            "\"e1\"\n",
            "\"e9\"\n",
            "e1.toml, line 6: [edge] `members` must hold this node too: none of its names is \"e9\"",
        );
        check(
            EDGE,
            "name = \"e2\"",
            "name = \"e1\"",
            "e1.toml, line 6: [edge] `members`: `name` is \"e1\" a second time: each member has a \
             name of its own",
        );
        check(
            EDGE,
            ", \"tcp:127.0.0.11:5060\"",
            "",
            "e1.toml, line 2: `listen` has \"udp:127.0.0.11:5060\" without \
             \"tcp:127.0.0.11:5060\", but large messages need both",
        );
        check(
            EDGE,
            "[edge]\n",
            "shards = 4\n[edge]\n",
            "e1.toml, line 3: `shards` can only be 1 so far: a phone's flow is not found from \
             another core",
        );
        check(
            EDGE,
            "[edge]\n",
            "[home]\n[edge]\n",
            "e1.toml, line 3: [home] and [edge] exclude each other: a node is one of them",
        );
        check(
            EDGE,
            "edge.example.com",
            "edge",
            "e1.toml, line 4: [edge] `cluster` has no parent domain, so `home_domains` must list \
             what the home serves",
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let folder = env!("CARGO_MANIFEST_DIR");
        check(
            HOME,
            "Cargo.toml",
            "users.txt",
            &format!(
                "e1.toml, line 5: [home] `subscribers` names {folder}/users.txt, which cannot be \
                 read: No such file or directory (os error 2)"
            ),
        );
        check(
            EDGE,
            "[edge]\n",
            "[edge]\ntoken_key_file = \"Cargo.toml\"\n",
            &format!(
                "e1.toml, line 4: [edge] `token_key_file` names {folder}/Cargo.toml, whose line 1 \
                 should be one key of 128 hex digits"
            ),
        );
    }

    #[test]
    fn what_is_not_toml_is_said_with_its_line() {
        check(
            EDGE,
            "cluster = \"edge.example.com\"",
            "cluster = edge.example.com",
            "e1.toml, line 4: the file is not TOML: string values must be quoted, expected literal \
             string",
        );
    }
}
