//! Requests through an edge: the decision table of B-1, who may go
//! where, and the Record-Route pairs of R-6.

use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::{self, NextHop};
use steadfast::id::Transport;
use steadfast::trust::CallsOut;

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
fn the_gate_is_shut_for_strangers() {
    let foreign = "sip:x@203.0.113.9";
    let home = "Route: <sip:example.com;lr>\n";
    #[track_caller]
    fn check(from: &str, uri: &str, routes: &str, dialog: bool, want: &[&str]) {
        let (mut world, _, token) = lab(Tokens::Sealed);
        let routes = routes.replace("TOKEN", &token);
        world.send(
            from,
            EDGES[0],
            &request_text("MESSAGE", uri, from, &routes, dialog),
        );
        assert_eq!(reached(&world), want, "{}", world.ladder());
        if want.is_empty() {
            assert_eq!(answer(&world, from), "403", "{}", world.ladder());
        }
    }
    // The served domain is open, everything else is not.
    check(STRANGER, "sip:ann@example.com", "", false, &[HOME]);
    check(STRANGER, "sip:ann@example.com", home, false, &[HOME]);
    check(STRANGER, "sip:ann@127.0.0.10", "", false, &[HOME]);
    check(STRANGER, foreign, "", false, &[]);
    check(STRANGER, foreign, home, false, &[]);
    check(STRANGER, foreign, home, true, &[]);
    check(STRANGER, "tel:+4930", "", false, &[]);
    check(
        STRANGER,
        "sip:ann@example.com",
        &route("203.0.113.9;lr"),
        false,
        &[],
    );
    check(
        STRANGER,
        "sip:ann@example.com",
        &route("203.0.113.9;lr"),
        true,
        &[],
    );
    let two = format!("{home}{}", route("203.0.113.9;lr"));
    check(STRANGER, "sip:ann@example.com", &two, false, &[]);
    // Neither does a leaked token open it, with a To tag or without: anybody
    // who was in a dialog has read one. It leads back to the cluster only.
    let with_token = format!("{}{home}", route("TOKEN@edge.example.com;lr"));
    check(STRANGER, foreign, &with_token, false, &[]);
    check(STRANGER, foreign, &with_token, true, &[]);
    let away = format!(
        "{}{}",
        route("TOKEN@edge.example.com;lr"),
        route("203.0.113.9;lr")
    );
    check(STRANGER, foreign, &away, true, &[]);
    // A phone whose edge has forgotten it still calls the subscribers.
    check(STRANGER, "sip:ann@example.com", &with_token, false, &[HOME]);
    // Subscribers go by way of the home.
    check(JOE, foreign, "", false, &[HOME, "203.0.113.9:5060"]);
    check(JOE, foreign, &route("203.0.113.8:5062;lr"), false, &[]);
}

#[test]
fn a_subscriber_goes_past_the_home_where_the_operator_lets_him() {
    let only = |domain: &str| CallsOut {
        anywhere: false,
        domains: vec![domain.to_owned()],
    };
    let far = "203.0.113.8:5062;lr";
    for (calls_out, to, may) in [
        (CallsOut::default(), far, false),
        (only("203.0.113.7"), far, false),
        (only("203.0.113.8"), far, true),
        (CallsOut::anywhere(), far, true),
        // The name of one is not the address of another.
        (
            only("example.org"),
            "example.org;maddr=203.0.113.8;lr",
            false,
        ),
    ] {
        let set = |_: usize, edge: &mut edge::Settings| edge.rules.calls_out = calls_out.clone();
        let mut world = World::with(Tokens::Clear, |_| (), set);
        Phone::new("joe", JOE, true).register(&mut world, EDGES[0]);
        world.forget();
        let text = request_text("MESSAGE", "sip:x@203.0.113.9", JOE, &route(to), false);
        world.send(JOE, EDGES[0], &text);
        if may {
            assert_eq!(reached(&world), ["203.0.113.8:5062"], "{calls_out:?}");
        } else {
            assert_eq!(reached(&world), Vec::<String>::new(), "{calls_out:?}");
            assert_eq!(answer(&world, JOE), "403");
        }
    }
}

#[test]
fn nobody_borrows_the_voice_of_an_edge() {
    // B-9: what an edge sends counts as vouched for.
    let (world, joe, token) = lab(Tokens::Clear);
    drop(world);
    let backup = joe.backup.trim_end_matches(":5060").to_owned();
    let cluster = format!("{token}@edge.example.com;lr");
    let anns = "ann+e1+e2+x@edge.example.com;lr";
    for (from, routes, status) in [
        (STRANGER, route(&format!("{cluster};maddr={backup}")), "403"),
        (
            STRANGER,
            route(&format!("{backup};lr")) + &route(&cluster),
            "403",
        ),
        (
            STRANGER,
            route("edge.example.com;lr") + &route(&cluster),
            "403",
        ),
        (
            STRANGER,
            route(&format!("{cluster};maddr=127.0.0.77")),
            "403",
        ),
        (JOE, route(&format!("{backup};lr")) + &route(anns), "403"),
        (
            JOE,
            route(&cluster) + &route(&format!("{backup};lr;x")) + &route(&format!("{backup};lr")),
            "403",
        ),
    ] {
        let (mut world, _, _) = lab(Tokens::Clear);
        world.send(
            from,
            EDGES[0],
            &request_text("MESSAGE", "sip:joe@127.0.0.1:5070", from, &routes, false),
        );
        assert_eq!(
            reached(&world),
            Vec::<String>::new(),
            "{routes}{}",
            world.ladder()
        );
        assert_eq!(answer(&world, from), status, "{routes}");
    }
}

#[test]
fn a_phone_is_never_sent_its_own_request() {
    // Protocol 3.4: whatever its configuration puts in front of the route set.
    let (world, joe, token) = lab(Tokens::Clear);
    drop(world);
    let backup = joe.backup.trim_end_matches(":5060").to_owned();
    let service = format!(
        "{}Route: <sip:example.com;lr>\n",
        route(&format!("{token}@edge.example.com;lr;ob"))
    );
    for routes in [
        service.clone(),
        route("edge.example.com;lr") + &service,
        route("127.0.0.11;lr") + &service,
        route(&format!("{backup};lr")) + &service,
        route(&format!("{token}@edge.example.com;lr;maddr={backup}")),
        route(&format!("edge.example.com;lr;maddr={backup}")),
        route(&format!("{token}@edge.example.com;lr;maddr=127.0.0.11"))
            + "Route: <sip:example.com;lr>\n",
    ] {
        let (mut world, _, _) = lab(Tokens::Clear);
        world.send(
            JOE,
            EDGES[0],
            &request_text("MESSAGE", "sip:ann@example.com", JOE, &routes, false),
        );
        assert_eq!(reached(&world), [HOME], "{routes}");
        let passed = world
            .trace
            .iter()
            .find(|seen| seen.to.to_string() == HOME)
            .unwrap();
        assert!(!passed.text.contains("edge.example.com"), "{}", passed.text);
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
fn from_the_core_a_token_is_needed() {
    // H-11
    for routes in [
        String::new(),
        route("127.0.0.11;lr"),
        route("edge.example.com;lr"),
        route("example.com;lr"),
    ] {
        let (mut world, _, _) = lab(Tokens::Clear);
        world.send(
            HOME,
            EDGES[0],
            &request_text("MESSAGE", "sip:joe@127.0.0.1:5070", HOME, &routes, true),
        );
        assert_eq!(reached(&world), Vec::<String>::new(), "{routes}");
        assert_eq!(answer(&world, HOME), "404", "{routes}");
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
            edge.home.push(NextHop::At(edge::Hop {
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
