//! The files of the lab's nodes.

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use data_encoding::HEXLOWER;

use crate::authority;
use crate::control::private;
use crate::id::Transport;
use crate::limits;

use super::{DNS_PORT, EDGES, Fault, HOME, NodeAddress, PAGE_PORT, PORT, TLS_PORT};

/// Whom the nodes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// Everybody but programs of this machine, as any node does.
    Strangers,
    /// Everybody.
    Everybody,
}

/// What all nodes of a lab have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// What the edges speak to the home. With TLS everybody has certificates,
    /// and phones may speak it too.
    pub(super) core: Transport,
    /// Shards of each node.
    pub(super) shards: u8,
    /// Whose requests and connections are bounded.
    pub(super) counts: Counts,
}

/// Writes all of them; without a key the tokens are clear.
pub(super) fn write(folder: &Path, key: Option<&[u8; 64]>, shape: Shape) -> Result<(), Fault> {
    put(folder, "users.txt", USERS)?;
    if shape.core == Transport::Tls {
        put_certificates(folder)?;
    }
    put(folder, &config_name(HOME), &home(shape))?;
    for node in EDGES {
        put(
            folder,
            &config_name(node),
            &edge(node, key.is_some(), shape),
        )?;
    }
    if let Some(key) = key {
        let hex = HEXLOWER.encode(key);
        let text = format!("# The first key seals tokens; every key opens them.\n{hex}\n");
        put(folder, "cluster.key", &text)?;
    }
    Ok(())
}

/// The root, a certificate for the home and one that all edges share (S-35), with the name of
/// each of them (C-6, M-3), and one for phones that want to show any.
fn put_certificates(folder: &Path) -> Result<(), Fault> {
    const PAIRS: [(&str, &[&str]); 3] = [
        ("home", &["example.com"]),
        (
            "edge",
            &[
                "edge.example.com",
                "e1.edge.example.com",
                "e2.edge.example.com",
                "e3.edge.example.com",
            ],
        ),
        ("phone", &["phone.example.com"]),
    ];
    let made = authority::make("steadfast lab", &PAIRS.map(|(_, domains)| domains));
    let made = made.map_err(|why| Fault::Certificates(why.to_string()))?;
    put(folder, "ca.pem", &made.root)?;
    for ((name, _), signed) in PAIRS.iter().zip(&made.pairs) {
        put(folder, &format!("{name}.pem"), &signed.certificate)?;
        put(folder, &format!("{name}.key"), &signed.key)?;
    }
    Ok(())
}

pub(super) fn config_name(node: NodeAddress) -> String {
    format!("{}.toml", node.name)
}

const USERS: &str = "\
# user, realm, and the password or its hashes
joe example.com password=secret
ann example.com password=secret
";

/// `pair` names the files of its certificate, for TLS.
fn head(node: NodeAddress, pair: &str, shape: Shape) -> String {
    let Shape {
        core,
        shards,
        counts,
    } = shape;
    let tls = core == Transport::Tls;
    let NodeAddress { name, ip } = node;
    let mut text = format!("name = \"{name}\"\nlisten = [\"udp:{ip}:{PORT}\", \"tcp:{ip}:{PORT}\"");
    if tls {
        text.push_str(&format!(", \"tls:{ip}:{TLS_PORT}\""));
    }
    text.push_str(&format!(
        "]\ncontrol = \"{name}.sock\"\nmetrics = \"{ip}:{PAGE_PORT}\"\npages = [{}]\nshards = {shards}\n\
         drain_for = {}\n",
        pages(),
        limits::DRAIN_MAX.as_secs()
    ));
    if counts == Counts::Everybody {
        // Few, so that one attacker can reach it.
        text.push_str("unlimited = []\nconnections_per_source = 500\n");
    }
    if tls {
        text.push_str(&format!(
            "\n[tls]\ncerts = [{{ cert = \"{pair}.pem\", key = \"{pair}.key\" }}]\nca = \"ca.pem\"\n"
        ));
    }
    text
}

/// Where the page of each node is.
fn pages() -> String {
    let all = [HOME].into_iter().chain(EDGES);
    let page = |NodeAddress { ip, .. }| format!("\"{ip}=http://{ip}:{PAGE_PORT}/\"");
    let pages: Vec<_> = all.map(page).collect();
    pages.join(", ")
}

fn home(shape: Shape) -> String {
    let by = if shape.core == Transport::Tls {
        "tls:"
    } else {
        ""
    };
    let peers: Vec<_> = EDGES
        .iter()
        .map(|edge| format!("\"{by}{}\"", edge.ip))
        .collect();
    format!(
        "{}
[home]
domain = \"example.com\"
subscribers = \"users.txt\"
store = \"location.redb\"
edges = \"sip:edge.example.com;lr\"
edge_peers = [{}]
# SIPp and baresip answer only the first challenge, and only this one.
algorithms = [\"MD5\"]
",
        head(HOME, "home", shape),
        peers.join(", ")
    )
}

fn edge(node: NodeAddress, is_sealed: bool, shape: Shape) -> String {
    let (ip, core) = (HOME.ip, shape.core);
    let home = if core == Transport::Tls {
        format!("sip:example.com:{TLS_PORT};maddr={ip};transport=tls")
    } else {
        format!("sip:{ip}:{PORT};transport={}", core.uri_token())
    };
    let members = EDGES.map(|NodeAddress { name, ip }| {
        format!("    {{ name = \"{name}\", address = \"{ip}\" }},\n")
    });
    let mut text = format!(
        "{}
[edge]
cluster = \"edge.example.com\"
home = [\"{home}\"]
members = [
{}]
set_size = 2
member_names = true
",
        head(node, "edge", shape),
        members.concat()
    );
    text.push_str(&format!(
        "flows = \"{}.flows\"\nflows_max = 20000\n",
        node.name
    ));
    if is_sealed {
        text.push_str("token_key_file = \"cluster.key\"\n");
    }
    text + &name_server(node)
}

/// Each edge answers for the names of all, and for the domain; on the usual port as
/// well where that may be had, since some phones know no other.
fn name_server(node: NodeAddress) -> String {
    let NodeAddress { ip, .. } = node;
    let usual = (ip, USUAL_DNS_PORT);
    let is_free = UdpSocket::bind(usual).is_ok() && TcpListener::bind(usual).is_ok();
    let ports = std::iter::once(DNS_PORT).chain(is_free.then_some(USUAL_DNS_PORT));
    let both = ports.map(|port| format!("\"udp:{ip}:{port}\", \"tcp:{ip}:{port}\""));
    let both: Vec<_> = both.collect();
    let listen = both.join(", ");
    format!("\n[dns]\nlisten = [{listen}]\nhome_domains = true\n")
}

/// The port of the DNS (RFC 1035 §4.2).
const USUAL_DNS_PORT: u16 = 53;

/// Readable by nobody else: there are a key and passwords among them.
fn put(folder: &Path, name: &str, text: &str) -> Result<(), Fault> {
    let path = folder.join(name);
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(private::FILE)
        .open(&path);
    let written = file.and_then(|mut file| {
        // It may be there already, and be looser.
        private::keep(&file, &path)?;
        file.write_all(text.as_bytes())
    });
    written.map_err(|why| Fault::File { path, why })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{self, Role, reference};

    const fn shape(core: Transport) -> Shape {
        Shape {
            core,
            shards: 1,
            counts: Counts::Everybody,
        }
    }

    #[test]
    fn the_nodes_read_what_the_lab_writes() {
        let folder = std::env::temp_dir().join(format!("steadfast-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let key = folder.join("cluster.key");
        std::fs::write(&key, "an older one, readable by all").unwrap();
        std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
        write(&folder, Some(&[7; 64]), shape(Transport::Udp)).unwrap();
        let mode = std::fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for edge in EDGES {
            let file = folder.join(config_name(edge));
            reference::tests::fits(&std::fs::read_to_string(&file).unwrap());
            let config = config::load(&file).unwrap();
            let Role::Edge(settings) = config.role else {
                panic!("not an edge")
            };
            assert_eq!(config.unlimited, Some(Vec::new()));
            let server = config.name_server.unwrap();
            let asked = format!("{}:{DNS_PORT}", edge.ip).parse().unwrap();
            assert_eq!(server.listen.first(), Some(&(Transport::Udp, asked)));
            assert_eq!(server.zone.domains(), ["example.com"]);
            assert_eq!(
                (config.name.as_str(), settings.members.len()),
                (edge.name, 3)
            );
            assert_eq!((settings.token_keys, settings.set_size), (vec![[7; 64]], 2));
        }
        let config = config::load(&folder.join(config_name(HOME))).unwrap();
        let Role::Home(home) = config.role else {
            panic!("not a home")
        };
        assert_eq!(home.settings.edge_peers.len(), EDGES.len());
        assert_eq!(std::fs::read_to_string(&home.subscribers).unwrap(), USERS);
        write(&folder, None, shape(Transport::Tcp)).unwrap();
        let config = config::load(&folder.join(config_name(EDGES[0]))).unwrap();
        assert!(matches!(config.role, Role::Edge(settings) if settings.token_keys.is_empty()));
        write(&folder, None, shape(Transport::Tls)).unwrap();
        for node in EDGES.into_iter().chain([HOME]) {
            let file = folder.join(config_name(node));
            reference::tests::fits(&std::fs::read_to_string(&file).unwrap());
            let config = config::load(&file).unwrap();
            assert!(
                config
                    .tls
                    .is_some_and(|tls| tls.ca.is_some() && !tls.peers.is_empty())
            );
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
