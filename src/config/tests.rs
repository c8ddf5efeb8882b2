//! Configurations and the exact sentence each mistake in one is answered with.

use super::*;
use crate::edge::{Hop, Member, NextHop, PathPolicy};
use crate::home::Redirect;
use crate::send::HostRule;

pub(super) const HEAD: &str = "\
name = \"e1\"
listen = [\"udp:127.0.0.11:5060\", \"tcp:127.0.0.11:5060\"]
";
pub(super) const EDGE: &str = "\
[edge]
cluster = \"edge.example.com\"
home = [\"sip:127.0.0.10:5060;transport=udp\"]
members = [{ name = \"e1\", address = \"127.0.0.11\" }, { name = \"e2\", address = \"127.0.0.12\", tcp = 5070 }]
";
/// `Cargo.toml` stands for any file that is there.
pub(super) const HOME: &str = "\
[home]
domain = \"example.com\"
subscribers = \"Cargo.toml\"
store = \"location.redb\"
edges = \"sip:edge.example.com;lr\"
edge_peers = [\"127.0.0.11\", \"127.0.0.12/31\"]
";

pub(super) fn read(text: &str) -> Result<Config, Mistake> {
    parse("e1.toml", text, Path::new(env!("CARGO_MANIFEST_DIR")))
}

/// Reads head and section with `old` replaced by `new`.
#[track_caller]
pub(super) fn check(section: &str, old: &str, new: &str, want: &str) {
    let text = format!("{HEAD}{section}");
    assert!(text.contains(old), "{old} is not there");
    assert_eq!(
        read(&text.replace(old, new)).err().unwrap().to_string(),
        want
    );
}

fn cores() -> usize {
    core_affinity::get_core_ids().unwrap().len()
}

#[test]
fn an_edge_is_read_with_its_defaults() {
    let config = read(&format!("{HEAD}{EDGE}")).unwrap();
    let addr = "127.0.0.11:5060".parse().unwrap();
    assert_eq!((config.name.as_str(), config.shards), ("e1", cores()));
    let one = read(&format!("{HEAD}shards = 1\n{EDGE}")).unwrap();
    assert_eq!(one.shards, 1);
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
        name: None,
    };
    assert_eq!(
        (edge.home, edge.home_domains),
        (vec![NextHop::At(hop)], vec!["example.com".into()])
    );
    let second = Member {
        tcp: 5070,
        ..Member::at("e2", "127.0.0.12".parse().unwrap())
    };
    assert_eq!((edge.members.len(), &edge.members[1]), (2, &second));
    assert_eq!((edge.set_size, edge.token_keys.len()), (2, 0));
}

#[test]
fn a_home_is_read_with_its_defaults() {
    let Role::Home(home) = read(&format!("{HEAD}{HOME}")).unwrap().role else {
        panic!("not a home")
    };
    let peers = ["127.0.0.11", "127.0.0.12/31"];
    let peers = peers.map(|text| HostRule::edge(text, Clear::Any, 15_060).unwrap());
    assert_eq!(home.settings.edge_peers, peers);
    assert_eq!(home.settings.redirect, Redirect::IfSupported);
    assert!(!home.settings.requires_outbound);
    assert_eq!(home.settings.ring_time, Some(limits::RING_TIME));
    let store = home.store.unwrap();
    assert!(home.settings.is_stored && store.ends_with("location.redb") && store.is_absolute());
    let text = format!("{HEAD}{HOME}").replace("store = \"location.redb\"\n", "");
    let Role::Home(home) = read(&text).unwrap().role else {
        panic!("not a home")
    };
    assert!(!home.settings.is_stored && home.store.is_none());
}

#[test]
fn the_doors_of_the_operator_are_read() {
    let head = format!("{HEAD}control = \"e1.sock\"\nmetrics = \"127.0.0.1:9090\"\n");
    let bounds =
        "unlimited = [\"192.0.2.0/24\"]\nconnections_per_source = 500\nsource_memory = 4\n";
    let config = read(&format!("{head}{bounds}{EDGE}")).unwrap();
    assert_eq!(
        (config.connections_per_source, config.source_memory),
        (500, 4 << 20)
    );
    assert!(
        config
            .control
            .is_some_and(|path| path.ends_with("e1.sock") && path.is_absolute())
    );
    assert_eq!(config.metrics, Some("127.0.0.1:9090".parse().unwrap()));
    assert_eq!(
        [config.places.control, config.places.metrics],
        ["e1.toml, line 3: `control`", "e1.toml, line 4: `metrics`"]
    );
    assert_eq!(
        config.unlimited,
        Some(vec![("192.0.2.0".parse().unwrap(), 24)])
    );
    let config = read(&format!("{HEAD}{EDGE}")).unwrap();
    assert_eq!(
        (config.connections_per_source, config.source_memory),
        (limits::SOURCE_STREAMS, limits::SOURCE_MEMORY)
    );
    assert_eq!(
        (config.control, config.metrics, config.unlimited),
        (None, None, None)
    );
    let wrong = format!("{HEAD}source_memory = 300\n{EDGE}");
    assert_eq!(
        read(&wrong).err().unwrap().to_string(),
        "e1.toml, line 3: `source_memory` must be a number of MiB, from 1 to 256, and is 300"
    );
    let wrong = format!("{HEAD}connections_per_source = 0\n{EDGE}");
    assert_eq!(
        read(&wrong).err().unwrap().to_string(),
        "e1.toml, line 3: `connections_per_source` must be a number of connections, from 1 to 65535, and is 0"
    );
    let wrong = format!("{HEAD}metrics = \"9090\"\n{EDGE}");
    assert_eq!(
        read(&wrong).err().unwrap().to_string(),
        "e1.toml, line 3: `metrics` is \"9090\", which should be like \"127.0.0.1:9090\""
    );
}

#[test]
fn policies_are_read_and_a_wrong_one_is_named() {
    let text = format!("{HEAD}{EDGE}path = \"require\"\n");
    let text = text.replace("tcp = 5070", "retire = true, site = \"north\"");
    let Role::Edge(edge) = read(&text).unwrap().role else {
        panic!("not an edge")
    };
    assert!(
        edge.path == PathPolicy::Require && edge.members[1].retires && !edge.members[0].retires
    );
    assert_eq!(
        (&*edge.members[0].site, &*edge.members[1].site),
        ("", "north")
    );
    let text =
        format!("{HEAD}{HOME}path = \"accept\"\nchallenge_calls = false\nauthenticate = false\n");
    let text = format!("{text}name = \"h1\"\n");
    let Role::Home(home) = read(&text).unwrap().role else {
        panic!("not a home")
    };
    assert!(
        !home.settings.requires_path
            && !home.settings.challenges_calls
            && !home.settings.authenticates
            && home.settings.name == "h1"
    );
    check(
        EDGE,
        "tcp = 5070",
        "retire = 1",
        "e1.toml, line 6: [edge] `members`: `retire` must be true or false, and is 1",
    );
    let wrong = format!("{HEAD}{HOME}path = \"maybe\"\n");
    assert_eq!(
        read(&wrong).err().unwrap().to_string(),
        "e1.toml, line 9: [home] `path` is \"maybe\", which should be \"accept\" or \"require\""
    );
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
         store, name, edges, edge_peers, peers, nonce_key_file, algorithms, authenticate, \
         challenge_calls, path, outbound, redirect, ring_time, calls_out, reach, deny, identity_headers",
    );
}

#[test]
fn homes_and_name_servers_are_read() {
    let text = format!("{HEAD}{EDGE}").replace(
        "[\"sip:127.0.0.10:5060;transport=udp\"]",
        "[\"sip:127.0.0.10\", \"sip:home.example.com;transport=tcp\"]",
    );
    let config = read(&format!(
        "{text}[dns]\nservers = [\"192.0.2.53\", \"[::1]:5353\"]\n"
    ));
    let config = config.unwrap();
    let servers = ["192.0.2.53:53", "[::1]:5353"].map(|addr| addr.parse().unwrap());
    assert_eq!(config.dns_servers, servers);
    let Role::Edge(edge) = config.role else {
        panic!("not an edge")
    };
    let named = NextHop::Named("sip:home.example.com;transport=tcp".into());
    assert!(matches!(edge.home[0], NextHop::At(_)) && edge.home[1] == named);
    let wrong = format!("{text}[dns]\nservers = [\"ns.example.com\"]\n");
    let mistake = read(&wrong).err().unwrap().to_string();
    let want = "[dns] `servers` has \"ns.example.com\", which should be like \"192.0.2.53\" or \
                \"127.0.0.1:5353\"";
    assert!(mistake.ends_with(want), "{mistake}");
    check(
        EDGE,
        "sip:127.0.0.10:5060;transport=udp",
        "sip:home.example.com;transport=sctp",
        "e1.toml, line 5: [edge] `home` has \"sip:home.example.com;transport=sctp\", which should be \
         like \"sip:home.example.com\" or \"sip:home.example.com;transport=tcp\"",
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
         [\"sip:192.0.2.1:5060;transport=udp\"] or [\"sip:home.example.com\"], and is a text",
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
        "e1.toml, line 3: `other` is unknown; the keys here are name, listen, core_listen, core_port, shards, tls, edge, home, control, metrics, unlimited, connections_per_source, source_memory, dns",
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
         \"udp:192.0.2.1:5060\", \"tcp:[2001:db8::1]:5060\" or \"tls:192.0.2.1:5061\"",
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
         should be like \"sip:192.0.2.1:5060;transport=udp\" or \
         \"sips:home.example.com;maddr=192.0.2.1\"",
    );
    check(
        HOME,
        "127.0.0.12/31",
        "127.0.0.12/33",
        "e1.toml, line 8: [home] `edge_peers` has \"127.0.0.12/33\", which should be like \
         \"192.0.2.1\" or \"192.0.2.0/24\", or say what is spoken, such as \"udp:192.0.2.1\", \
         \"tcp:192.0.2.1:5070\" or \"tls:192.0.2.1\"; with its first core port behind it, such as \
         \"192.0.2.1+20000\", where that is another",
    );
    check(
        HOME,
        "[home]\n",
        "[home]\nredirect = \"sometimes\"\n",
        "e1.toml, line 4: [home] `redirect` is \"sometimes\", which should be \"always\", \
         \"if-supported\" or \"never\"",
    );
    check(
        HOME,
        "[home]\n",
        "[home]\nring_time = 200\n",
        "e1.toml, line 4: [home] `ring_time` must be the seconds that phones ring before others of \
         a lower q are tried, from 0 to 185, and is 200",
    );
    let text = format!("{HEAD}{HOME}").replace("[home]\n", "[home]\nring_time = 0\n");
    let Role::Home(home) = read(&text).unwrap().role else {
        panic!("not a home")
    };
    assert_eq!(home.settings.ring_time, None);
    check(
        HOME,
        "[home]\n",
        "[home]\noutbound = \"maybe\"\n",
        "e1.toml, line 4: [home] `outbound` is \"maybe\", which should be \"ignore\" or \"require\"",
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
    //
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
        "shards = 1000\n[edge]\n",
        &format!(
            "e1.toml, line 3: `shards` must be how many of this machine's cores to use, from 1 to \
             {}, and is 1000",
            cores()
        ),
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

#[test]
fn a_home_over_tls_is_named_by_its_domain() {
    // D-U12, C-3
    let hop = |text| names::hop(text).map(|hop| (hop.transport, hop.addr.to_string(), hop.name));
    let tls = |addr: &str, name: &str| Ok((Transport::Tls, addr.to_owned(), Some(name.to_owned())));
    let home = "home.example.com";
    assert_eq!(
        hop("sip:Home.example.com;maddr=192.0.2.1;transport=tls"),
        tls("192.0.2.1:5061", home)
    );
    assert_eq!(
        hop("sips:home.example.com:5071;maddr=192.0.2.1"),
        tls("192.0.2.1:5071", home)
    );
    assert_eq!(hop("sips:192.0.2.1"), tls("192.0.2.1:5061", "192.0.2.1"));
    for wrong in [
        "sips:192.0.2.1;transport=udp",
        "sip:joe@192.0.2.1",
        "sip:192.0.2.1;x=y",
    ] {
        assert!(hop(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_tls_needs_is_said() {
    let listener = "\"tcp:127.0.0.11:5060\"";
    let with = "\"tcp:127.0.0.11:5060\", \"tls:127.0.0.11:5061\"";
    check(
        EDGE,
        listener,
        with,
        "e1.toml, line 2: `listen` has a \"tls:\" listener, which needs a section [tls] with \
         `certs`",
    );
    check(
        EDGE,
        "sip:127.0.0.10:5060;transport=udp",
        "sips:example.com;maddr=127.0.0.10",
        "e1.toml, line 2: `listen` needs a \"tls:ADDRESS:PORT\" too, since [edge] `home` is \
         reached over TLS and answers must find the way back",
    );
    let pair = "certs = [{ cert = \"Cargo.toml\", key = \"Cargo.toml\" }]";
    let tls = format!("{EDGE}[tls]\n{pair}\n");
    check(
        &tls,
        "[tls]",
        "[tls]",
        "e1.toml, line 2: `listen` needs a \"tls:ADDRESS:PORT\" too, since there is a section \
         [tls]",
    );
    check(
        &tls,
        listener,
        with,
        "e1.toml, line 7: `ca` is missing: the file of the roots that certificates of homes and \
         edges are checked with; without any, set `require_client_cert` to \"never\"",
    );
    let never = format!("{tls}require_client_cert = \"never\"\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let text = format!(
        "e1.toml, line 8: [tls] `certs` names {}, which holds no certificate in PEM",
        file.display()
    );
    check(&never, listener, with, &text);
    check(
        &never,
        "\"never\"",
        "\"sometimes\"",
        "e1.toml, line 2: `listen` needs a \"tls:ADDRESS:PORT\" too, since there is a section \
         [tls]",
    );
}

mod dns;
mod endpoints;
mod host_names;
mod keeping;
mod members;
mod peers;
