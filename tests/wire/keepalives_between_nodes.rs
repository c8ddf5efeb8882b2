//! Keep-alives between an edge and a home are agreed on in the Vias (RFC 6223;
//! K-1 to K-3): who offers nothing owes nothing, and who is asked for
//! nothing sends nothing.

use super::failover::call_from_the_start;
use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::{ConfiguredHop, NextHop};
use steadfast::id::Transport;
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
/// A home that the test plays.
const OTHER_HOME: &str = "127.0.0.99:5060";
/// An edge that the test plays.
const OTHER_EDGE: &str = "127.0.0.12:40070";

/// The topmost Via of every request from one node to another, with its method.
fn vias(world: &World, from: &str, to: &str) -> Vec<(String, String)> {
    let ip = |addr: &str| addr.trim_end_matches(":5060").to_owned();
    let way = (ip(from), ip(to));
    let seen = world.trace.iter().filter(|seen| {
        !seen.text.starts_with("SIP/2.0 ")
            && (seen.from.ip().to_string(), seen.to.ip().to_string()) == way
    });
    seen.map(|seen| {
        let method = seen.text.split(' ').next().unwrap().to_owned();
        (method, Phone::values(&seen.text, "Via").remove(0))
    })
    .collect()
}

fn is_offered(via: &str) -> bool {
    via.split(';').any(|param| param == "keep")
}

#[test]
fn an_edge_offers_with_registrations_and_with_no_call_after_them() {
    // K-1, K-2; what was agreed on with a REGISTER is not asked for again with a call.
    let mut call = call_from_the_start(World::lab(Tokens::Sealed));
    call.joe.in_dialog(&mut call.world, EDGES[0], "BYE", 2);
    let world = call.world;
    let mut methods = Vec::new();
    for edge in EDGES {
        for (method, via) in vias(&world, edge, HOME) {
            assert_eq!(is_offered(&via), method == "REGISTER", "{method} {via}");
            methods.push(method);
        }
        // Over UDP the one that leads to the homes asks.
        let back = vias(&world, HOME, edge);
        assert!(
            back.iter().all(|(_, via)| !via.contains("keep")),
            "{back:?}"
        );
    }
    for method in ["REGISTER", "INVITE", "ACK", "BYE"] {
        assert!(methods.iter().any(|seen| seen == method), "{methods:?}");
    }
    // The home takes it up in every answer.
    let answers = world.trace.iter().filter(|seen| {
        seen.from.to_string() == HOME
            && seen.text.starts_with("SIP/2.0 ")
            && Phone::values(&seen.text, "CSeq")[0].ends_with("REGISTER")
            && seen.to.port() != 5070
            && seen.to.port() != 5080
    });
    let tops: Vec<_> = answers
        .map(|seen| Phone::values(&seen.text, "Via").remove(0))
        .collect();
    assert!(tops.len() >= 3, "{tops:?}");
    assert!(tops.iter().all(|via| via.contains(";keep=1;")), "{tops:?}");
}

#[test]
fn a_home_gets_the_keep_alives_that_it_asks_for() {
    // K-1
    for (keep_param, want) in [
        ("", 0..=0),
        (";keep=1", 25..=30),
        (";keep=10", 2..=3),
        (";keep=0", 25..=30),
    ] {
        let mut world = World::with(
            Tokens::Clear,
            |_| (),
            |_, edge| {
                edge.members.retain(|member| member.name == edge.name);
                edge.home = vec![NextHop::At(ConfiguredHop {
                    transport: Transport::Udp,
                    addr: OTHER_HOME.parse().unwrap(),
                    name: None,
                })];
            },
        );
        let joe = Phone::new("joe", JOE, false);
        world.pass(Duration::from_secs(10));
        let text = joe.request("MESSAGE", "sip:ann@example.com", 1, "", "");
        joe.send(&mut world, EDGES[0], &text);
        let came = world.receive(OTHER_HOME);
        assert!(
            is_offered(&Phone::values(&came.text, "Via")[0]),
            "{}",
            came.text
        );
        let before = world.counter(EDGES[0], "peer_pings");
        assert_eq!(before, 0, "nothing is agreed yet");
        let answer = super::peer::answer(&came.text, 200, "t", "").replace(";keep", keep_param);
        world.send(OTHER_HOME, &came.from.to_string(), &answer);
        assert_eq!(joe.status(&mut world), 200);
        world.pass(Duration::from_secs(30));
        let pings = world.counter(EDGES[0], "peer_pings");
        assert!(want.contains(&pings), "{keep_param}: {pings}");
        assert_eq!(world.counter(EDGES[0], "peers_silent"), 0);
    }
}

#[test]
fn an_edge_that_offers_nothing_may_be_silent_and_one_that_does_may_not() {
    // K-1, K-3
    for (offer, lives) in [("", true), (";keep", false)] {
        let mut world = World::lab(Tokens::Clear);
        world.connect(OTHER_EDGE, HOME);
        let text = format!(
            "OPTIONS sip:example.com SIP/2.0\nVia: SIP/2.0/TCP {OTHER_EDGE}{offer};branch=z9hG4bKk\n\
             Max-Forwards: 70\nFrom: <sip:a@example.com>;tag=1\nTo: <sip:example.com>\n\
             Call-ID: k\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n"
        );
        world.send(OTHER_EDGE, HOME, &text);
        let answer = world.receive(OTHER_EDGE).text;
        let via = Phone::values(&answer, "Via").remove(0);
        assert_eq!(via.contains(";keep=1;"), !lives, "{via}");
        // A ping alone promises no further one.
        world.send_bytes(OTHER_EDGE, HOME, b"\r\n\r\n");
        assert_eq!(world.receive(OTHER_EDGE).bytes, b"\r\n");
        world.pass(limits::PEER_PING + limits::PEER_PATIENCE + Duration::from_millis(100));
        assert_eq!(world.is_connected(OTHER_EDGE, HOME), lives);
        assert_eq!(world.counter(HOME, "flows_silent"), u64::from(!lives));
    }
}

#[test]
fn an_edge_that_asked_once_is_not_lost_while_its_phone_thinks() {
    // K-1, T-8: it said nothing for seconds, and had not said that it would.
    let mut world = World::lab(Tokens::Clear);
    world.connect(OTHER_EDGE, HOME);
    super::peer::register(&mut world, OTHER_EDGE, "", 1);
    for pause in [0, 30, 2] {
        world.pass(Duration::from_secs(pause));
        world.send_bytes(OTHER_EDGE, HOME, b"\r\n\r\n");
        assert_eq!(world.receive(OTHER_EDGE).bytes, b"\r\n");
    }
    let text = super::peer::request("MESSAGE", "sip:ann@example.com", "think", "");
    world.send(super::peer::CORE, HOME, &text);
    let message = super::peer::expect(&mut world, OTHER_EDGE, "MESSAGE");
    world.pass(Duration::from_secs(3));
    assert!(world.is_connected(OTHER_EDGE, HOME));
    assert_eq!(world.counter(HOME, "peers_silent"), 0);
    assert!(!world.has(OTHER_EDGE), "{}", world.ladder());
    super::peer::respond(&mut world, OTHER_EDGE, &message, 200);
    assert_eq!(super::peer::status(&mut world, super::peer::CORE), 200);
}

#[test]
fn a_phone_at_the_home_is_promised_nothing() {
    // K-1: whoever has no flow to lose is not asked to keep one.
    let mut world = World::lab(Tokens::Clear);
    let joe = Phone::new("joe", JOE, false);
    let text = joe.request("OPTIONS", "sip:example.com", 1, "", "");
    joe.send(&mut world, HOME, &text.replace(";rport;", ";rport;keep;"));
    let via = Phone::values(&joe.receive(&mut world), "Via").remove(0);
    assert!(via.contains(";keep;"), "{via}");
}
