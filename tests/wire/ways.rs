//! Ways to a phone are counted by the edges they lead through, and an answer that
//! the phone gave is never a reason to ask it again (RFC 3261 §16.7, RFC 5626 §7).

use super::failover::{Call, call_in, take_up};
use super::peer;
use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::{ConfiguredHop, NextHop};
use steadfast::id::Transport;
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

/// joe, registered with e1 over one datagram after the other, and what he called
/// ann with, which was too long for one: his home knows his edge by two flows.
fn call_by_two_flows() -> Call {
    let mut world = World::lab(Tokens::Sealed);
    let mut joe = Phone::new("joe", JOE, false);
    let mut ann = Phone::new("ann", ANN, false);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    let body = "v=0\n".repeat(400);
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", &body);
    joe.send(&mut world, EDGES[0], &invite);
    let mut call = take_up(world, joe, ann).0;
    let mut trace = call.world.trace.iter();
    assert!(trace.any(|seen| {
        seen.transport == Transport::Tcp
            && seen.to.to_string() == HOME
            && seen.text.starts_with("INVITE ")
    }));
    call.world.forget();
    call
}

/// The requests of a method that came to an address, by their branches.
fn branches(world: &World, to: &str, method: &str) -> Vec<String> {
    let trace = world.trace.iter();
    let came = trace
        .filter(|seen| seen.to.to_string() == to && seen.text.starts_with(&format!("{method} ")));
    let mut branches: Vec<_> = came.map(|seen| peer::branch_of(&seen.text)).collect();
    branches.sort_unstable();
    branches.dedup();
    branches
}

/// The statuses that came to an address, but for 100.
fn statuses(world: &World, to: &str) -> Vec<u16> {
    let trace = world.trace.iter();
    let answers = trace.filter(|seen| seen.to.to_string() == to);
    let statuses = answers.filter_map(|seen| seen.text.strip_prefix("SIP/2.0 ")?.get(..3));
    let mut statuses: Vec<u16> = statuses.map(|status| status.parse().unwrap()).collect();
    statuses.retain(|status| *status != 100);
    statuses
}

/// What a caller sees of an answer that the called phone gives within a dialog.
const SEEN: [(u16, &str, &[u16]); 15] = [
    // T-9
    (408, "INFO", &[]),
    (408, "BYE", &[]),
    (408, "INVITE", &[408]),
    // O-21
    (430, "INFO", &[480]),
    (430, "BYE", &[480]),
    (430, "INVITE", &[480]),
    (480, "INFO", &[480]),
    (480, "BYE", &[480]),
    (480, "INVITE", &[480]),
    // P-24
    (503, "INFO", &[500]),
    (503, "BYE", &[500]),
    (503, "INVITE", &[500]),
    (504, "INFO", &[504]),
    (504, "BYE", &[504]),
    (504, "INVITE", &[504]),
];

/// ann asks, joe answers at the edge by which it came, and nothing more is asked of
/// him.
#[track_caller]
fn check(mut call: Call, (status, method, seen): (u16, &str, &[u16])) {
    let world = &mut call.world;
    call.ann.in_dialog(world, EDGES[1], method, 5);
    let request = call.joe.receive(world);
    assert!(request.starts_with(&format!("{method} ")), "{request}");
    let edge = world.last_to(JOE).from.to_string();
    call.joe
        .answer(world, &edge, &request, status, "As He Likes");
    world.pass(limits::T1_64 + Duration::from_secs(40));
    let seen_statuses = (branches(world, JOE, method).len(), statuses(world, ANN));
    let mut told_once = seen_statuses.1.clone();
    told_once.dedup();
    assert_eq!(
        (seen_statuses.0, &told_once[..]),
        (1, seen),
        "{status} {method}\n{}",
        world.ladder()
    );
}

#[test]
fn an_answer_of_a_phone_is_the_only_one_when_its_edge_has_two_flows() {
    for case in SEEN {
        check(call_by_two_flows(), case);
    }
}

#[test]
fn an_answer_of_a_phone_with_two_edges_is_the_only_one() {
    // O-20: it was asked, and nobody need ask by the other flow.
    for case in SEEN {
        check(call_in(World::lab(Tokens::Clear)), case);
    }
}

#[test]
fn an_answer_of_a_phone_ends_a_call_to_it() {
    // The same where the home knows the phone by its bindings.
    for (status, _, seen) in SEEN.iter().filter(|(_, method, _)| *method == "INVITE") {
        let mut world = call_in(World::lab(Tokens::Clear)).world;
        let bob = Phone::foreign("bob", "127.0.0.1:5099");
        let invite = bob.request("INVITE", "sip:joe@example.com", 1, "", "");
        bob.send(&mut world, HOME, &invite);
        let request = world.receive(JOE);
        let joe = Phone::new("joe", JOE, true);
        joe.answer(
            &mut world,
            &request.from.to_string(),
            &request.text,
            *status,
            "No",
        );
        world.pass(limits::T1_64 + Duration::from_secs(40));
        assert_eq!(branches(&world, JOE, "INVITE").len(), 1, "{status}");
        let mut seen_statuses = statuses(&world, bob.addr());
        seen_statuses.dedup();
        assert_eq!(&seen_statuses[..], *seen, "{status}\n{}", world.ladder());
    }
}

#[test]
fn a_phone_that_does_not_answer_is_asked_by_its_edge_once() {
    // P-23: ann is told after the 32 seconds that its edge waits.
    let mut call = call_by_two_flows();
    let world = &mut call.world;
    call.ann.in_dialog(world, EDGES[1], "INVITE", 5);
    assert!(call.joe.receive(world).starts_with("INVITE "));
    world.pass(limits::T1_64 - Duration::from_millis(10));
    assert_eq!(statuses(world, ANN), [0_u16; 0]);
    world.pass(Duration::from_millis(20));
    assert_eq!(statuses(world, ANN), [408], "{}", world.ladder());
    world.pass(Duration::from_secs(80));
    assert_eq!(branches(world, JOE, "INVITE").len(), 1);
}

#[test]
fn a_request_that_nobody_answers_is_not_asked_again_when_its_sender_has_gone() {
    // RFC 4320 §3: two edges, and what the first of them got no answer to.
    for method in ["INFO", "BYE"] {
        let mut call = call_in(World::lab(Tokens::Clear));
        let world = &mut call.world;
        call.ann.in_dialog(world, EDGES[1], method, 5);
        assert!(call.joe.receive(world).starts_with(method));
        world.pass(Duration::from_secs(100));
        assert_eq!(branches(world, JOE, method).len(), 1);
        assert_eq!(statuses(world, ANN), [0_u16; 0]);
    }
}

#[test]
fn what_an_edge_says_itself_is_a_reason_to_ask_the_next_one() {
    // O-20, S-22, B-11: e1 was restarted and does not know joe any more.
    let mut call = call_in(World::lab(Tokens::Clear));
    call.world.restart(EDGES[0]);
    let world = &mut call.world;
    call.ann.in_dialog(world, EDGES[1], "INFO", 5);
    let request = world.receive(JOE);
    assert_ne!(request.from.to_string(), EDGES[0]);
    call.joe
        .answer(world, &request.from.to_string(), &request.text, 200, "OK");
    assert_eq!(call.ann.status(world), 200);
}

/// Where somebody else's home is, which the test plays.
pub(crate) const FOREIGN: &str = "127.0.0.9:5060";

/// joe at e1, before such a home: its registrar reflects what it got. The Path of his.
pub(crate) fn before_a_foreign_home(width: u8) -> (World, String) {
    let home = NextHop::At(ConfiguredHop {
        transport: Transport::Udp,
        addr: FOREIGN.parse().unwrap(),
        name: None,
    });
    let mut world = World::wide(
        width,
        Tokens::Sealed,
        |_| (),
        |_, edge| edge.home = vec![home.clone()],
    );
    for at in [JOE, FOREIGN] {
        world.steer(at, 0);
    }
    let path = register_there(&mut world, JOE, EDGES[0]);
    (world, path)
}

/// joe registers from there; his Path.
pub(crate) fn register_there(world: &mut World, from: &str, edge: &str) -> String {
    let branch = format!("{}x{}", from.replace([':', '.'], ""), world.trace.len());
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK{branch}\n\
         Route: <sip:edge.example.com;lr>\nMax-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\n\
         To: <sip:joe@example.com>\nCall-ID: reg{branch}\nCSeq: 1 REGISTER\n\
         Contact: <sip:joe@{JOE}>\nSupported: path\nContent-Length: 0\n\n"
    );
    world.send(from, edge, &text);
    let request = world.receive(FOREIGN);
    let path = Phone::values(&request.text, "Path").remove(0);
    let lines = format!("Contact: <sip:joe@{JOE}>;expires=600\nPath: {path}\n");
    let ok = peer::answer(&request.text, 200, "r", &lines);
    world.send(FOREIGN, &request.from.to_string(), &ok);
    let ok = world.receive(from).text;
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    path
}

/// bob calls joe through that home, which is in no Record-Route: what he sends, with a
/// CSeq, to these Routes and under this To tag.
pub(crate) fn of_bob(method: &str, cseq: u32, (routes, tag): (&str, &str)) -> String {
    format!(
        "{method} sip:joe@{JOE} SIP/2.0\nVia: SIP/2.0/UDP {FOREIGN};branch=z9hG4bKf{method}{cseq}\n\
         Max-Forwards: 70\n{routes}From: <sip:bob@example.org>;tag=bob\n\
         To: <sip:joe@example.com>{tag}\nCall-ID: c\nCSeq: {cseq} {method}\n\
         Contact: <sip:bob@{FOREIGN}>\nContent-Length: 0\n\n"
    )
}

/// joe takes bob's call; his side of it, and bob's route set.
pub(crate) fn call_by_bob(world: &mut World, path: &str) -> (Phone, String) {
    let route = format!("Route: {path}\n");
    world.send(FOREIGN, EDGES[0], &of_bob("INVITE", 1, (&route, "")));
    assert_eq!(peer::status(world, FOREIGN), 100);
    let mut joe = Phone::new("joe", JOE, false);
    let invite = joe.receive(world);
    joe.answer(world, EDGES[0], &invite, 200, "OK");
    let ok = world.receive(FOREIGN).text;
    joe.dialog(&invite, false);
    let mut routes = Phone::values(&ok, "Record-Route");
    routes.reverse();
    let routes = routes.iter().map(|route| format!("Route: {route}\n"));
    let routes: String = routes.collect();
    world.send(FOREIGN, EDGES[0], &of_bob("ACK", 1, (&routes, ";tag=joe")));
    assert!(joe.receive(world).starts_with("ACK "));
    (joe, routes)
}

#[test]
fn an_edge_says_to_its_home_whose_answer_it_is() {
    let (mut world, path) = before_a_foreign_home(1);
    let joe = Phone::new("joe", JOE, false);
    for (count, (status, passed)) in [(408, 408), (430, 430), (503, 500), (504, 504)]
        .into_iter()
        .enumerate()
    {
        let invite = format!(
            "INVITE sip:joe@{JOE} SIP/2.0\nVia: SIP/2.0/UDP {FOREIGN};branch=z9hG4bKf{count}\nMax-Forwards: 70\n\
             Route: {path}\nFrom: <sip:bob@example.com>;tag=b\nTo: <sip:joe@example.com>\nCall-ID: c{count}\n\
             CSeq: 1 INVITE\nContact: <sip:bob@127.0.0.1:5099>\nContent-Length: 0\n\n"
        );
        world.send(FOREIGN, EDGES[0], &invite);
        assert!(world.receive(FOREIGN).text.starts_with("SIP/2.0 100 "));
        let request = world.receive(JOE).text;
        joe.answer(&mut world, EDGES[0], &request, status, "No");
        assert!(joe.receive(&mut world).starts_with("ACK "));
        let said = world.receive(FOREIGN).text;
        let via = Phone::values(&said, "Via").remove(0);
        let mark = if status == 503 { "" } else { ";said" };
        assert!(said.starts_with(&format!("SIP/2.0 {passed} ")), "{said}");
        assert_eq!(
            via,
            format!("SIP/2.0/UDP {FOREIGN};branch=z9hG4bKf{count}{mark}")
        );
    }
}

#[test]
fn an_answer_that_reaches_nobody_is_the_phones_word_too() {
    // P-20: with a Via that it has not come with; the edge says it in its own words.
    for status in [430, 504] {
        let mut call = call_in(World::lab(Tokens::Clear));
        let world = &mut call.world;
        call.ann.in_dialog(world, EDGES[1], "INFO", 5);
        let request = call.joe.receive(world);
        let edge = world.last_to(JOE).from.to_string();
        let answer = call.joe.response(&request, status, "No");
        let answer = answer.replacen(
            "From:",
            "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx\nFrom:",
            1,
        );
        world.send(JOE, &edge, &answer);
        world.pass(Duration::from_secs(100));
        assert_eq!(branches(world, JOE, "INFO").len(), 1, "{}", world.ladder());
        let seen = if status == 430 { 480 } else { 504 };
        assert_eq!(statuses(world, ANN), [seen]);
    }
}

#[test]
fn a_phone_cannot_say_that_its_edge_said_it() {
    // What it writes into our Via is true of its own answers, and of no others.
    let mut call = call_in(World::lab(Tokens::Clear));
    let world = &mut call.world;
    call.ann.in_dialog(world, EDGES[1], "INFO", 5);
    let request = call.joe.receive(world);
    let edge = world.last_to(JOE).from.to_string();
    let answer = call.joe.response(&request, 430, "Flow Failed");
    let answer = answer.replace(
        "Via: SIP/2.0/UDP 127.0.0.10;",
        "Via: SIP/2.0/UDP 127.0.0.10;said;",
    );
    assert!(answer.contains(";said"), "{answer}");
    world.send(JOE, &edge, &answer);
    assert_eq!(call.ann.status(world), 480);
    world.pass(Duration::from_secs(100));
    assert_eq!(branches(world, JOE, "INFO").len(), 1);
}
