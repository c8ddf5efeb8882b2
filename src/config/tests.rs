//! Configurations and the exact sentence each mistake in one is answered with.

use super::*;
use crate::edge::{ConfiguredHop, Member, NextHop, PathPolicy};
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
    let read = parse("e1.toml", text, Path::new(env!("CARGO_MANIFEST_DIR")));
    if read.is_ok() {
        reference::tests::fits(text);
    }
    read
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
    let hop = ConfiguredHop {
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
    let store = home.store.as_ref().and_then(StoreAt::file).unwrap();
    assert!(home.settings.is_stored && store.ends_with("location.redb") && store.is_absolute());
    assert!(!home.settings.is_durable && !home.settings.is_shared);
    let text = format!("{HEAD}{HOME}").replace("store = \"location.redb\"\n", "");
    let Role::Home(home) = read(&text).unwrap().role else {
        panic!("not a home")
    };
    assert!(!home.settings.is_stored && home.store.is_none());
}

#[test]
fn registrations_are_durable_where_there_is_a_store() {
    let Role::Home(home) = read(&format!("{HEAD}{HOME}durable = true\n")).unwrap().role else {
        panic!("not a home")
    };
    assert!(home.settings.is_durable);
    let text = format!("{HEAD}{HOME}").replace("store = \"location.redb\"", "durable = true");
    let sentence = read(&text).err().unwrap().to_string();
    let want = "e1.toml, line 6: [home] `durable` has phones wait until their registration is in the \
                `store`, and there is none: name one";
    assert_eq!(sentence, want);
}

#[test]
fn the_sockets_of_the_operator_are_read() {
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
    let memory = |value: &str| read(&format!("{HEAD}memory = \"{value}\"\n{EDGE}"));
    for (value, want) in [
        ("512M", memory::Bound::Bytes(512 << 20)),
        ("2G", memory::Bound::Bytes(2 << 30)),
        ("none", memory::Bound::Nothing),
    ] {
        assert_eq!(memory(value).unwrap().memory, want);
    }
    assert_eq!(config.memory, memory::Bound::OfGroup);
    for (value, want) in [
        ("1M", "is \"1M\", but a node needs 64M at the least"),
        (
            "512",
            "is \"512\", which should be like \"512M\" or \"2G\", or \"none\"",
        ),
        (
            "99999999999999G",
            "is \"99999999999999G\", which should be like \"512M\" or \"2G\", or \"none\"",
        ),
    ] {
        let said = memory(value).err().unwrap().to_string();
        assert_eq!(said, format!("e1.toml, line 3: `memory` {want}"));
    }
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

#[test]
fn a_drain_lasts_as_long_as_the_file_says() {
    let of = |text: &str| read(text).unwrap().drain_for.as_secs();
    assert_eq!(
        of(&format!("{HEAD}{EDGE}")),
        300,
        "an edge has calls to keep"
    );
    assert_eq!(of(&format!("{HEAD}drain_for = 0\n{EDGE}")), 0);
    assert_eq!(of(&format!("{HEAD}drain_for = 86400\n{EDGE}")), 86_400);
    let wrong = format!("{HEAD}drain_for = 86401\n{EDGE}");
    assert_eq!(
        read(&wrong).err().unwrap().to_string(),
        "e1.toml, line 3: `drain_for` must be the seconds that the node goes on for once it is told to end, from 0 to 86400, \
         and is 86401"
    );
}

#[test]
fn the_pages_of_other_nodes_are_urls_by_name_or_address() {
    assert_eq!(read(&format!("{HEAD}{EDGE}")).unwrap().pages, []);
    let pages = "pages = [\"e2=http://127.0.0.12:9090/\", \"127.0.0.10 = https://home.example.com/page?a=b\"]";
    let config = read(&format!("{HEAD}{pages}\n{EDGE}")).unwrap();
    let want = [
        ("e2", "http://127.0.0.12:9090/"),
        ("127.0.0.10", "https://home.example.com/page?a=b"),
    ];
    assert_eq!(
        config.pages,
        want.map(|(node, url)| (node.to_owned(), url.to_owned()))
    );
    for wrong in [
        "e2",
        "=http://127.0.0.12/",
        "e2=javascript:alert(1)",
        "e2=http://",
        "e2=http://a b",
        "e2=http://a/<b>",
        "e 2=http://a/",
    ] {
        let text = format!("{HEAD}pages = [\"{wrong}\"]\n{EDGE}");
        assert_eq!(
            read(&text).err().unwrap().to_string(),
            format!(
                "e1.toml, line 3: `pages` has {wrong:?}, which should be like \"e2=http://192.0.2.12:9090/\""
            )
        );
    }
}

#[test]
fn what_is_logged_and_watched_is_said() {
    let config = read(&format!("{HEAD}{EDGE}")).unwrap();
    assert_eq!((config.log, config.watch), (None, false));
    let config = read(&format!(
        "{HEAD}watch = true\nlog = \"warn,steadfast=debug\"\n{EDGE}token_key_file = \"Cargo.lock\"\n"
    ));
    // A file that holds no key is named by its line, and what stands before it was read.
    assert_eq!(
        config.err().unwrap().to_string().split(" names ").next(),
        Some("e1.toml, line 9: [edge] `token_key_file`")
    );
    let config = read(&format!(
        "{HEAD}watch = true\nlog = \"warn,steadfast=debug\"\n{EDGE}"
    ));
    let config = config.unwrap();
    assert_eq!(config.log.as_deref(), Some("warn,steadfast=debug"));
    assert!(config.watch);
    check(
        &format!("log = \"inof\"\n{EDGE}"),
        "inof",
        "inof",
        "e1.toml, line 3: `log` is \"inof\", which should be a level (off, error, warn, info, debug, \
         trace), or several such as \"warn,steadfast=debug\"",
    );
}

mod dns;
mod endpoints;
mod host_names;
mod keeping;
mod members;
mod mistakes;
mod peers;
mod recording;
mod shared_store;
