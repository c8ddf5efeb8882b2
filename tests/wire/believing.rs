//! Who is believed to be a home or an edge: by transport, address, port and
//! listener, for every way of configuring them (D-H2, S-12).
//!
//! An edge shows it by what it does with a request for a phone of its own,
//! which a peer's token brings through; a home by its answer to a REGISTER,
//! which it redirects (300) unless an edge brings it (401).

use std::net::SocketAddr;

use steadfast::edge::{self, NextHop};
use steadfast::id::Transport;
use steadfast::send::{Clear, HostRule, PeerRule};
use steadfast::time::Duration;

use super::phone::Phone;
use super::settings::CORE_PORT;
use super::world::{EDGES, HOME, Tokens, World};

const JOE: &str = "127.0.0.1:5070";
const HOME_TLS: &str = "127.0.0.10:5061";
/// Another home, which the test plays.
const OTHER_HOME: &str = "127.0.0.9:5070";
/// Whose certificates the sources of `tls` cases show, in their order.
const NOBODY: &str = "tls 203.0.113.9:40001";

/// A way to the node: `udp`, `tcp`, `core` (over TCP to a core-side listener) or
/// `tls`, and where it comes from.
fn open(world: &mut World, source: &str, node: &str) -> (String, String) {
    let (how, from) = source.split_once(' ').unwrap();
    let tls = node.replace(":5060", ":5061");
    match how {
        "udp" => return (from.to_owned(), node.to_owned()),
        "tcp" => world.connect(from, node),
        "core" => world.connect_at_core(from, node),
        "tls" => {
            world.connect(from, &tls);
            return (from.to_owned(), tls);
        }
        _ => panic!("{how}"),
    }
    (from.to_owned(), node.to_owned())
}

fn hop(transport: Transport, addr: &str) -> NextHop {
    NextHop::At(edge::ConfiguredHop {
        transport,
        addr: addr.parse().unwrap(),
        name: (transport == Transport::Tls).then(|| "example.com".to_owned()),
    })
}

/// The lab, whose edges reach these homes.
fn edges(width: u8, homes: &[NextHop]) -> World {
    let mut world = World::wide(
        width,
        Tokens::Sealed,
        |_| (),
        |_, edge| edge.home = homes.to_vec(),
    );
    world.prove("203.0.113.1:40001", &["example.com"]);
    world.prove("203.0.113.2:40001", &["edge.example.com"]);
    world.prove("203.0.113.3:40001", &["bad.example.com"]);
    world
}

/// Whether what a source sends through joe's token reaches him.
fn reaches(world: &mut World, source: &str) -> bool {
    let mut joe = Phone::new("joe", JOE, false);
    joe.register(world, EDGES[0]);
    let paths = Phone::values(&world.ladder(), "Path");
    let path = paths.last().unwrap().replace(";ob>", ">");
    let (from, to) = open(world, source, EDGES[0]);
    world.send(
        &from,
        &to,
        &format!(
            "MESSAGE sip:joe@{JOE} SIP/2.0\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bKbelieve\n\
             Route: {path}\nMax-Forwards: 70\nFrom: <sip:x@y>;tag=f\nTo: <sip:joe@example.com>\n\
             Call-ID: believe\nCSeq: 1 MESSAGE\nContent-Length: 0\n\n"
        ),
    );
    world.has(JOE)
}

#[track_caller]
fn check_edge(homes: &[NextHop], peers: &[&str], strangers: &[&str]) {
    let believed = |source: &str| reaches(&mut edges(1, homes), source);
    for source in peers {
        assert!(believed(source), "{source} is no peer by {homes:?}");
    }
    for source in strangers {
        assert!(!believed(source), "{source} is a peer by {homes:?}");
    }
}

/// Sources that an edge takes for peers where homes are reached in clear.
const SIBLINGS: [&str; 6] = [
    "udp 127.0.0.12:5060",
    "udp 127.0.0.13:40000",
    "udp 127.0.0.12:40127",
    "tcp 127.0.0.12:40003",
    "core 127.0.0.12:50000",
    "tls 203.0.113.2:40001",
];
const CLEAR_HOME: [&str; 4] = [
    "udp 127.0.0.10:5060",
    "tcp 127.0.0.10:40003",
    "core 127.0.0.10:50000",
    "tls 203.0.113.1:40001",
];
/// And those that never are any.
const STRANGERS: [&str; 17] = [
    "udp 127.0.0.10:5062",
    "udp 127.0.0.10:40000",
    "udp 127.0.0.10:50000",
    "udp 127.0.0.12:50000",
    "udp 127.0.0.12:40128",
    "udp 127.0.0.12:39999",
    "udp 127.0.0.11:5060",
    "udp 127.0.0.14:5060",
    "tcp 127.0.0.10:50000",
    "tcp 127.0.0.12:50000",
    "tcp 127.0.0.14:40003",
    "core 127.0.0.14:40003",
    "core 127.0.0.11:40003",
    "tls 127.0.0.10:40003",
    "tls 127.0.0.12:5060",
    "tls 203.0.113.3:40001",
    NOBODY,
];

#[test]
fn an_edge_believes_homes_and_edges_as_it_is_told_to_reach_them() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let peers = [&SIBLINGS[..], &CLEAR_HOME].concat();
        check_edge(&[hop(transport, HOME)], &peers, &STRANGERS);
    }
}

#[test]
fn with_tls_to_every_home_an_edge_believes_certificates_alone() {
    let (tls, clear): (Vec<&str>, Vec<&str>) = SIBLINGS
        .into_iter()
        .chain(CLEAR_HOME)
        .partition(|source| source.starts_with("tls"));
    let strangers = [&clear[..], &STRANGERS].concat();
    check_edge(&[hop(Transport::Tls, HOME_TLS)], &tls, &strangers);
}

#[test]
fn of_two_homes_the_one_over_tls_is_nobody_in_clear() {
    let homes = [
        hop(Transport::Tls, HOME_TLS),
        hop(Transport::Udp, OTHER_HOME),
    ];
    let peers = [
        "udp 127.0.0.9:5070",
        "tcp 127.0.0.9:40001",
        "core 127.0.0.9:50000",
    ];
    let peers = [&SIBLINGS[..], &peers].concat();
    let strangers = ["udp 127.0.0.9:5060", "udp 127.0.0.9:40001"];
    let (_, clear) = CLEAR_HOME.split_last().unwrap();
    let strangers = [&strangers[..], clear, &STRANGERS].concat();
    check_edge(&homes, &peers, &strangers);
}

#[test]
fn a_home_that_the_dns_names_is_where_the_dns_says() {
    // N-5
    let named = NextHop::Named("sip:home.example.com".to_owned());
    let believed = |zone: &str, source: &str| {
        let mut world = edges(1, std::slice::from_ref(&named));
        world.names.zone = zone.to_owned();
        world.pass(Duration::from_secs(3));
        reaches(&mut world, source)
    };
    let udp = "_sip._udp.home.example.com 60 SRV 10 0 5060 h.example.com
        h.example.com 60 A 127.0.0.10";
    for source in CLEAR_HOME.iter().chain(&SIBLINGS) {
        assert!(believed(udp, source), "{source}");
    }
    for source in STRANGERS {
        assert!(!believed(udp, source), "{source}");
    }
}

#[test]
fn where_the_dns_leads_to_tls_alone_certificates_alone_count() {
    let named = |text: &str| NextHop::Named(text.to_owned());
    let zone = "example.com 60 NAPTR 10 10 s SIPS+D2T _sips._tcp.example.com
        _sips._tcp.example.com 60 SRV 10 0 5061 h.example.com
        h.example.com 60 A 127.0.0.10";
    for home in ["sip:example.com", "sips:example.com"] {
        let believed = |source: &str| {
            let mut world = edges(1, &[named(home)]);
            world.names.zone = zone.to_owned();
            world.pass(Duration::from_secs(3));
            reaches(&mut world, source)
        };
        for source in CLEAR_HOME.iter().chain(&SIBLINGS) {
            assert_eq!(believed(source), source.starts_with("tls"), "{source}");
        }
    }
}

/// The status of a REGISTER that comes to the home.
fn registers(world: &mut World, source: &str) -> String {
    let (from, to) = open(world, source, HOME);
    world.send(
        &from,
        &to,
        &format!(
            "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bKr\n\
             Max-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\nTo: <sip:joe@example.com>\n\
             Call-ID: r\nCSeq: 1 REGISTER\nContact: <sip:joe@{from}>\nContent-Length: 0\n\n"
        ),
    );
    let answer = world.last(&from);
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[track_caller]
fn check_home(plain: Clear, rules: &[&str], peers: &[&str], strangers: &[&str]) {
    let rule = |text: &&str| HostRule::edge(text, plain, CORE_PORT).unwrap();
    let rules: Vec<HostRule> = rules.iter().map(rule).collect();
    let status = |source: &str| {
        let mut world = World::with(
            Tokens::Clear,
            |home| home.edge_peers.clone_from(&rules),
            |_, _| (),
        );
        world.prove("203.0.113.2:40001", &["edge.example.com"]);
        registers(&mut world, source)
    };
    for source in peers {
        assert_eq!(status(source), "401", "{source} is no edge by {rules:?}");
    }
    for source in strangers {
        assert_eq!(status(source), "300", "{source} is an edge by {rules:?}");
    }
}

const EDGE_TLS: &str = "tls 203.0.113.2:40001";
/// Where edges come from over UDP, and over TCP.
const EDGE_UDP: [&str; 3] = [
    "udp 127.0.0.11:5060",
    "udp 127.0.0.11:40000",
    "udp 127.0.0.13:40127",
];
const EDGE_TCP: [&str; 3] = [
    "tcp 127.0.0.11:40005",
    "tcp 127.0.0.12:5060",
    "core 127.0.0.13:50000",
];
/// Whoever is none, whatever the home is told of those three.
const NO_EDGE: [&str; 9] = [
    "udp 127.0.0.11:50000",
    "udp 127.0.0.11:40128",
    "udp 127.0.0.11:15060",
    "udp 127.0.0.14:5060",
    "tcp 127.0.0.11:50000",
    "tcp 127.0.0.14:40005",
    "core 127.0.0.14:40005",
    "tls 127.0.0.11:40005",
    NOBODY,
];

#[test]
fn a_home_believes_edges_by_address_and_port_or_by_certificate() {
    let plain = ["127.0.0.11", "127.0.0.12/31"];
    let udp = ["udp:127.0.0.11", "udp:127.0.0.12/31"];
    let tcp = ["tcp:127.0.0.11", "tcp:127.0.0.12/31"];
    let tls = ["tls:127.0.0.11", "tls:127.0.0.12/31"];
    let clear = [&EDGE_UDP[..], &EDGE_TCP].concat();
    let all = [&clear[..], &[EDGE_TLS]].concat();
    let none = [&clear[..], &NO_EDGE].concat();
    for secured in [Clear::Any, Clear::No] {
        check_home(secured, &udp, &all, &NO_EDGE);
        check_home(secured, &tls, &[EDGE_TLS], &none);
        let some = [&EDGE_TCP[..], &[EDGE_TLS]].concat();
        check_home(secured, &tcp, &some, &[&EDGE_UDP[..], &NO_EDGE].concat());
    }
    check_home(Clear::Any, &plain, &all, &NO_EDGE);
    // With `ca` in [tls] an address that says no more is one of TLS.
    check_home(Clear::No, &plain, &[EDGE_TLS], &none);
    check_home(
        Clear::No,
        &["127.0.0.11", "udp:127.0.0.12:6000"],
        &["udp 127.0.0.12:6000", "core 127.0.0.12:50000", EDGE_TLS],
        &[
            "udp 127.0.0.12:5060",
            "udp 127.0.0.11:6000",
            "tcp 127.0.0.12:40005",
        ],
    );
}

#[test]
fn a_carrier_has_no_rights_by_being_named() {
    // What it may do is decided elsewhere; it is no edge and no home.
    let carriers = ["tls:bad.example.com", "udp:127.0.0.8:5060"];
    let carriers = carriers.map(|text| PeerRule::carrier(text).unwrap());
    for source in ["tls 203.0.113.3:40001", "udp 127.0.0.8:5060"] {
        let mut world = World::with(
            Tokens::Sealed,
            |home| home.peers = carriers.to_vec(),
            |_, edge| edge.peers = carriers.to_vec(),
        );
        world.prove("203.0.113.3:40001", &["bad.example.com"]);
        assert!(!reaches(&mut world, source), "{source}");
        world.forget();
        if source.starts_with("udp") {
            assert_eq!(registers(&mut world, source), "300");
        }
    }
}

#[test]
fn what_is_too_long_for_udp_comes_from_the_same_edge_by_tcp() {
    // the edge opens the connection from one of its core ports.
    let mut world = edges(1, &[hop(Transport::Udp, HOME)]);
    let extra = format!(
        "X-Long: {}\nRoute: <sip:edge.example.com;lr>\nSupported: path\n",
        "x".repeat(1_300)
    );
    let request = format!(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {JOE};rport;branch=z9hG4bKlong\n\
         Max-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\nTo: <sip:joe@example.com>\n\
         Call-ID: long\nCSeq: 1 REGISTER\nContact: <sip:joe@{JOE}>\n{extra}Content-Length: 0\n\n"
    );
    world.send(JOE, EDGES[0], &request);
    let request = world.last_to(HOME);
    assert_eq!(request.transport, Transport::Tcp);
    let answer = world.receive(JOE).text;
    assert!(answer.starts_with("SIP/2.0 401 "), "{answer}");
}

#[test]
fn edges_with_tls_to_their_homes_relay_over_tls_what_a_phone_sends_in_clear() {
    // D-E4: over anything else the sibling would take it for a phone's.
    let mut world = edges(1, &[hop(Transport::Tls, HOME_TLS)]);
    let request = format!(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {JOE};rport;branch=z9hG4bKrelay\n\
         Route: <sip:edge.example.com;lr;maddr=127.0.0.13>\nMax-Forwards: 70\n\
         From: <sip:joe@example.com>;tag=f\nTo: <sip:joe@example.com>\nCall-ID: relay\n\
         CSeq: 1 REGISTER\nContact: <sip:joe@{JOE}>\nSupported: path\nContent-Length: 0\n\n"
    );
    world.send(JOE, EDGES[0], &request);
    let mut relayed = world.trace.iter();
    let relayed = relayed.find(|seen| seen.to.ip() == EDGES[2].parse::<SocketAddr>().unwrap().ip());
    assert_eq!(relayed.unwrap().transport, Transport::Tls);
    assert_eq!(world.counter(EDGES[0], "relays"), 1);
    let answer = world.receive(JOE).text;
    assert!(answer.starts_with("SIP/2.0 401 "), "{answer}");
}

#[test]
fn another_shard_believes_the_same() {
    // Joe's flow belongs to one shard, and the connection to the other.
    for joe in [0, 1] {
        for (source, want) in [
            ("tcp 127.0.0.10:40003", true),
            ("core 127.0.0.10:50001", true),
            ("tcp 127.0.0.10:50001", false),
            ("core 127.0.0.14:40003", false),
            ("udp 127.0.0.10:5060", true),
            ("udp 127.0.0.10:50001", false),
            ("tls 203.0.113.2:40001", true),
            ("tls 203.0.113.3:40001", false),
        ] {
            let mut world = edges(2, &[hop(Transport::Udp, HOME)]);
            world.steer(JOE, joe);
            let (_, from) = source.split_once(' ').unwrap();
            world.steer(from, 1 - joe);
            assert_eq!(reaches(&mut world, source), want, "{source}, joe at {joe}");
            let handed = world.counter(EDGES[0], "handed_over");
            assert!(handed > 0 || !want, "{source}, joe at {joe}");
        }
    }
}
