//! Who is a peer, and the ports by which one is told.

use super::*;
use crate::send::{HostRule, PeerRule};

#[test]
fn peers_and_the_ports_of_the_core_are_read() {
    let head =
        format!("{HEAD}core_port = 20000\ncore_listen = [\"tcp:127.0.0.11:5080\"]\nshards = 1\n");
    let edge = EDGE.replace("tcp = 5070", "core_port = 30000");
    let peers = "peers = [\"tls:Carrier.example.net\", \"tcp:192.0.2.50\"]\n";
    let flows = "flows = \"flows.table\"\n";
    let config = read(&format!("{head}{edge}{peers}{flows}")).unwrap();
    assert_eq!(config.core_listen, ["127.0.0.11:5080".parse().unwrap()]);
    assert_eq!(
        (config.core_port, &*config.places.core_port),
        (20_000, "e1.toml, line 3: `core_port`")
    );
    assert_eq!(config.warnings().len(), 1, "{:?}", config.warnings());
    let Role::Edge(edge) = config.role else {
        panic!("not an edge")
    };
    assert_eq!(edge.core_listen, config.core_listen);
    let ports = edge.members.iter().map(|member| member.core_port);
    assert!(ports.eq([20_000, 30_000]));
    let carriers = ["tls:carrier.example.net", "tcp:192.0.2.50"];
    let carriers = carriers.map(|text| PeerRule::carrier(text).unwrap());
    assert_eq!((edge.core_port, &edge.peers[..]), (20_000, &carriers[..]));
    let home = HOME.replace(
        "\"127.0.0.11\"",
        "\"udp:127.0.0.11\", \"tcp:127.0.0.9:5070\"",
    );
    let config = read(&format!("{head}{home}{peers}")).unwrap();
    let Role::Home(home) = config.role else {
        panic!("not a home")
    };
    let edges = ["udp:127.0.0.11", "tcp:127.0.0.9:5070", "127.0.0.12/31"];
    let edges = edges.map(|text| HostRule::edge(text, Clear::Any, 20_000).unwrap());
    assert_eq!(home.settings.edge_peers, edges);
    assert_eq!(home.settings.peers, carriers);
}

#[test]
fn what_names_no_peer_is_said() {
    check(
        EDGE,
        "[edge]\n",
        "[edge]\npeers = [\"192.0.2.50\"]\n",
        "e1.toml, line 4: [edge] `peers` has \"192.0.2.50\", which should be like \
         \"tls:carrier.example.net\", \"udp:192.0.2.50:5060\" or \"tcp:192.0.2.50\"",
    );
    check(
        EDGE,
        "[edge]\n",
        "core_listen = [\"udp:127.0.0.11:5080\"]\n[edge]\n",
        "e1.toml, line 3: `core_listen` has \"udp:127.0.0.11:5080\", which should be like \
         \"tcp:192.0.2.1:5080\": over UDP the source port tells who it is, over TLS the \
         certificate",
    );
    check(
        EDGE,
        "[edge]\n",
        "core_port = 5000\n[edge]\n",
        "e1.toml, line 2: `listen` has \"udp:127.0.0.11:5060\", but the ports 5000 to 5127 are \
         this node's for sending to its peers: choose another port, or another `core_port`",
    );
    check(
        EDGE,
        "[edge]\n",
        "core_port = 65409\n[edge]\n",
        "e1.toml, line 3: `core_port` must be the first of the ports that a node sends from to its \
         peers, from 1024 to 65408, and is 65409",
    );
    check(
        EDGE,
        "address = \"127.0.0.11\"",
        "address = \"127.0.0.11\", core_port = 20000",
        "e1.toml, line 6: [edge] `members` says that the `core_port` of \"e1\", this node, is \
         20000, but it is 15060",
    );
}

#[test]
fn what_a_file_means_otherwise_than_it_seems_is_said_in_one_sentence() {
    let said = |text: &str| {
        let config = read(text).unwrap();
        config.warnings().pop().unwrap_or_default()
    };
    let deaf = "a carrier \"tcp:ADDRESS\" in `peers` is believed where this node connects to it";
    let peers = "peers = [\"tcp:192.0.2.50\"]\n";
    assert!(said(&format!("{HEAD}{HOME}{peers}")).starts_with(deaf));
    let ports = peers.replace("50\"", "50:1024-65535\"");
    assert_eq!(said(&format!("{HEAD}{HOME}{ports}")), "");
    let tls = |peer: &str| {
        let head = HEAD.replace("\"]", "\", \"tls:127.0.0.11:5061\"]");
        let home = HOME.replace(
            "[\"127.0.0.11\", \"127.0.0.12/31\"]",
            &format!("[\"{peer}\"]"),
        );
        let file = |name: &str| format!("{}/{name}", scratch().display());
        let (cert, key, ca) = (file("home.pem"), file("home.key"), file("ca.pem"));
        format!(
            "{head}{home}[tls]\ncerts = [{{ cert = \"{cert}\", key = \"{key}\" }}]\nca = \"{ca}\"\n"
        )
    };
    let folder = scratch();
    std::fs::create_dir_all(&folder).unwrap();
    certificate(&folder);
    let alone = "since there is a `ca`, an address in `edge_peers` is an edge over TLS alone";
    assert!(said(&tls("127.0.0.11")).starts_with(alone));
    assert_eq!(said(&tls("tls:127.0.0.11")), "");
    let clear = |peer: &str| {
        let Role::Home(home) = read(&tls(peer)).unwrap().role else {
            panic!("not a home")
        };
        home.settings.edge_peers[0].clear
    };
    let all = [
        "127.0.0.11",
        "tls:127.0.0.11",
        "tcp:127.0.0.11",
        "udp:127.0.0.11",
    ];
    let want = [Clear::No, Clear::No, Clear::Tcp, Clear::Any];
    assert_eq!(all.map(clear), want);
    std::fs::remove_dir_all(&folder).unwrap();
}

fn scratch() -> PathBuf {
    std::env::temp_dir().join(format!("steadfast-config-{}", std::process::id()))
}

/// A certificate that is its own authority.
fn certificate(folder: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["example.com".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    for (name, text) in [
        ("home.pem", &pem),
        ("ca.pem", &pem),
        ("home.key", &key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}
