//! Requests through an edge: the decision table of B-1, who may go
//! where, and the Record-Route pairs of R-6.

use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::{self, NextHop};
use steadfast::id::Transport;

pub(super) const JOE: &str = "127.0.0.1:5070";
pub(super) const ANN: &str = "127.0.0.1:5080";
pub(super) const STRANGER: &str = "127.0.0.1:5099";

/// joe registered at e1 and at his backup, and the user part of his token.
pub(super) fn lab(tokens: Tokens) -> (World, Phone, String) {
    lab_in(World::lab(tokens))
}

/// joe registered at e1 and at his backup in a given world, and the user part of his token.
pub(super) fn lab_in(mut world: World) -> (World, Phone, String) {
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
    let passed = world.last(HOME);
    let path = Phone::values(passed, "Path").remove(0);
    let token = path["<sip:".len()..].split('@').next().unwrap().to_owned();
    world.forget();
    (world, joe, token)
}

pub(super) fn route(uri: &str) -> String {
    format!("Route: <sip:{uri}>\n")
}

/// A request from `from` with these Route lines, in joe's name where he is.
pub(super) fn request_text(
    method: &str,
    uri: &str,
    from: &str,
    routes: &str,
    dialog: bool,
) -> String {
    let tag = if dialog { ";tag=t" } else { "" };
    let user = if from == JOE { "joe" } else { "x" };
    format!(
        "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK{method}{}\n{routes}Max-Forwards: 70\n\
         From: <sip:{user}@example.com>;tag=x\nTo: <{uri}>{tag}\nCall-ID: c\nCSeq: 1 {method}\nContact: <sip:x@{from}>\n\
         Content-Length: 0\n\n",
        routes.len()
    )
}

/// The status of the last answer to `to`.
#[track_caller]
pub(super) fn answer(world: &World, to: &str) -> String {
    let last = world.last(to);
    let status = last.strip_prefix("SIP/2.0 ");
    status.unwrap_or_else(|| panic!("{last}"))[..3].to_owned()
}

/// Everybody who was sent something that is not an answer.
pub(super) fn reached(world: &World) -> Vec<String> {
    let requests = world.trace.iter().skip(1);
    let requests = requests.filter(|seen| !seen.text.starts_with("SIP/2.0"));
    let mut who: Vec<_> = requests.map(|seen| seen.to.to_string()).collect();
    who.dedup();
    who
}

/// What the user part of a token stands for in the table.
const OURS: &str = "OURS";
const NOBODYS: &str = "joe+e1+e2+other";
const FORGED: &str = "joe";
/// joe's edges, and the one that is not.
const BACKUP: &str = "127.0.0.13:5060";
const THIRD: &str = "127.0.0.12:5060";

/// A request with this token from a sender to an edge: who got it after that,
/// or (when it ended there) what it was answered.
#[track_caller]
fn check(from: &str, edge: &str, user: &str, dialog: bool, want: &[&str], status: &str) {
    let (mut world, joe, token) = lab(Tokens::Clear);
    assert_eq!(joe.backup, BACKUP);
    let uri = match from {
        JOE => "sip:ann@example.com",
        _ => "sip:joe@127.0.0.1:5070",
    };
    let user = user.replace(OURS, &token);
    let routes = route(&format!("{user}@edge.example.com;lr;gunk=e1"));
    world.send(
        from,
        edge,
        &request_text("MESSAGE", uri, from, &routes, dialog),
    );
    assert_eq!(reached(&world), want, "{}", world.ladder());
    if !status.is_empty() {
        assert_eq!(answer(&world, from), status, "{}", world.ladder());
    }
}

#[test]
fn the_decision_table_line_by_line() {
    // B-1, H-10 to H-12, B-9
    const E1: &str = EDGES[0];
    // That user's own flow: outgoing.
    check(JOE, E1, OURS, false, &[HOME], "480");
    check(JOE, BACKUP, OURS, true, &[HOME], "480");
    // The home, with a local flow: incoming.
    check(HOME, E1, OURS, false, &[JOE], "");
    check(HOME, BACKUP, OURS, true, &[JOE], "");
    // The home, without one: the other edges of the token.
    check(HOME, THIRD, OURS, true, &[E1, JOE], "");
    // Nobody has it: each edge is asked once, those of the token first, and 430.
    check(HOME, E1, NOBODYS, true, &[THIRD, BACKUP], "430");
    // From another edge: never relayed again.
    check("127.0.0.12:40000", E1, NOBODYS, true, &[], "430");
    check("127.0.0.13:40001", E1, OURS, true, &[JOE], "");
    // Unknown source: inside a dialog only, which a To tag does not prove.
    check(STRANGER, E1, OURS, true, &[], "403");
    check(STRANGER, E1, OURS, false, &[], "403");
    // A bad token, whoever sends it.
    for from in [JOE, HOME, "127.0.0.12:40000", STRANGER] {
        check(from, E1, FORGED, true, &[], "403");
    }
}

#[test]
fn an_ack_is_never_answered() {
    // P-34
    for routes in [
        "joe@edge.example.com;lr",
        "joe+e1+e2+other@edge.example.com;lr",
        "203.0.113.9;lr",
    ] {
        let (mut world, _, _) = lab(Tokens::Clear);
        world.send(
            STRANGER,
            EDGES[0],
            &request_text(
                "ACK",
                "sip:joe@127.0.0.1:5070",
                STRANGER,
                &route(routes),
                false,
            ),
        );
        assert!(!world.has(STRANGER), "{}", world.ladder());
        assert_eq!(world.counter(EDGES[0], "stray_acks"), 1);
    }
}

#[test]
fn the_home_may_name_the_edge() {
    // D-E4, S-25: a maddr from the home is followed, once. Who relays has not
    // found the flow where the maddr leads.
    let (world, joe, token) = lab(Tokens::Clear);
    drop(world);
    let backup = joe.backup;
    let third = EDGES
        .into_iter()
        .find(|edge| *edge != EDGES[0] && *edge != backup)
        .unwrap();
    let maddr = backup.trim_end_matches(":5060");
    let uri = route(&format!("{token}@edge.example.com;lr;maddr={maddr}"));
    let (mut world, _, _) = lab(Tokens::Clear);
    world.send(
        HOME,
        third,
        &request_text("MESSAGE", "sip:joe@127.0.0.1:5070", HOME, &uri, true),
    );
    assert_eq!(reached(&world), [&*backup, JOE]);
    let edge = third.replace(":5060", ":40000");
    let nobody = route(&format!(
        "joe+e1+e2+other@edge.example.com;lr;maddr={maddr}"
    ));
    let bare = route(&format!("edge.example.com;lr;maddr={maddr}"));
    for (uri, phones, status) in [
        (uri, &[JOE][..], ""),
        (nobody, &[], "430"),
        (bare, &[], "482"),
    ] {
        let (mut world, _, _) = lab(Tokens::Clear);
        let message = request_text("MESSAGE", "sip:joe@127.0.0.1:5070", &edge, &uri, true);
        world.send(&edge, EDGES[0], &message);
        assert_eq!(reached(&world), phones, "{uri}");
        assert!(
            phones.len() == 1 || answer(&world, &edge) == status,
            "{uri}"
        );
    }
}

#[test]
fn a_route_loop_between_two_edges_ends_after_one_relay() {
    // H-12, B-1: nobody has the phone. The token names both
    // edges, or the Route names each of them in turn.
    let plain = route("joe+e1+e2+other@edge.example.com;lr");
    let round = [
        "joe+e1+e2+other@edge.example.com;lr;maddr=127.0.0.12",
        "joe+e1+e2+other@edge.example.com;lr;maddr=127.0.0.11",
    ]
    .map(route)
    .concat();
    for (routes, edge, other) in [
        (&plain, EDGES[0], THIRD),
        (&plain, THIRD, EDGES[0]),
        (&round, EDGES[0], THIRD),
    ] {
        for method in ["BYE", "INVITE"] {
            let (mut world, _, _) = lab(Tokens::Clear);
            let bye = request_text(method, "sip:joe@127.0.0.1:5070", HOME, routes, true);
            world.send(HOME, edge, &bye);
            let relayed = |world: &World, to: &str| {
                let requests = world
                    .trace
                    .iter()
                    .filter(|seen| seen.to.to_string() == to && seen.text.starts_with(method));
                requests.count()
            };
            // Towards the first edge only the request itself went.
            assert_eq!(
                (relayed(&world, other), relayed(&world, edge)),
                (1, 1),
                "{}",
                world.ladder()
            );
            assert_eq!(answer(&world, HOME), "430", "{}", world.ladder());
            assert_eq!(world.counter(edge, "relays"), 1);
            assert_eq!(world.counter(other, "relays"), 0);
        }
    }
}

#[test]
fn an_edge_answers_a_ping() {
    // S-32, P-3
    for (uri, routes) in [
        ("sip:edge.example.com", ""),
        ("sip:127.0.0.11:5060", "Route: <sip:edge.example.com;lr>\n"),
    ] {
        for from in [STRANGER, HOME] {
            let (mut world, _, _) = lab(Tokens::Clear);
            world.send(
                from,
                EDGES[0],
                &request_text("OPTIONS", uri, from, routes, false),
            );
            let ok = world.last(from);
            assert!(ok.starts_with("SIP/2.0 200 OK\r\n"), "{ok}");
            assert_eq!(
                Phone::values(ok, "Supported"),
                ["path", "outbound", "sticky"]
            );
        }
    }
}

#[test]
fn an_escaped_token_is_read_and_another_case_is_not() {
    // B-7
    let (_, _, token) = lab(Tokens::Sealed);
    let escaped: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for (spelling, status) in [
        (&escaped, ""),
        (&token.to_uppercase(), "403"),
        (&format!("{token}%2B"), "403"),
    ] {
        let (mut world, _, _) = lab(Tokens::Sealed);
        let routes = route(&format!("{spelling}@edge.example.com;lr"));
        world.send(
            HOME,
            EDGES[0],
            &request_text("INFO", "sip:joe@127.0.0.1:5070", HOME, &routes, true),
        );
        if status.is_empty() {
            assert_eq!(reached(&world), [JOE], "{spelling}");
        } else {
            assert_eq!(answer(&world, HOME), status, "{spelling}");
        }
    }
}

#[test]
fn a_second_home_stands_by() {
    // S-22, N-7
    const SECOND: &str = "127.0.0.20:5060";
    let mut world = World::with(
        Tokens::Clear,
        |_| (),
        |_, edge| {
            edge.home.push(NextHop::At(edge::ConfiguredHop {
                transport: Transport::Udp,
                addr: SECOND.parse().unwrap(),
                name: None,
            }));
        },
    );
    world.add_home(SECOND);
    world.icmp = true;
    world.kill(HOME);
    let ok = Register::new("joe", JOE).login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    // Its origin counts as the home's.
    let path = Phone::values(&ok, "Path").remove(0);
    world.send(
        SECOND,
        EDGES[0],
        &request_text(
            "INFO",
            "sip:joe@127.0.0.1:5070",
            SECOND,
            &format!("Route: {path}\n"),
            false,
        ),
    );
    assert!(world.last(JOE).starts_with("INFO "));
}
