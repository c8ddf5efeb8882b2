//! Who has not shown that he receives at his address: what is sent there once, and how he comes to
//! be believed (X-2, T-2).

use super::abuse::padding;
use super::forging::{FORGED, forger};
use super::phone::{Login, Phone};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

/// How often `method` goes to the caller of a call that ann has taken, who then
/// sends it in the dialog and gets no answer to it; `caller` begins the call.
fn copies(method: &str, caller: impl Fn(&mut World) -> Phone) -> (usize, u64) {
    copies_after(method, caller, |_, _, _| ())
}

/// The same after the caller has done something of its own: it, and ann who is in
/// the dialog.
fn copies_after(
    method: &str,
    caller: impl Fn(&mut World) -> Phone,
    then: impl Fn(&mut World, &mut Phone, &Phone),
) -> (usize, u64) {
    let mut world = World::hospitable(Tokens::Clear);
    let mut ann = Phone::new("ann", ANN, true);
    ann.register(&mut world, EDGES[1]);
    let mut caller = caller(&mut world);
    let invite = caller.request("INVITE", "sip:ann@example.com", 1, "", "");
    caller.send(&mut world, EDGES[0], &invite);
    let invite = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    ann.dialog(&invite, false);
    then(&mut world, &mut caller, &ann);
    let before = world.counter(EDGES[0], "withheld");
    ann.in_dialog(&mut world, EDGES[1], method, 1);
    world.pass(Duration::from_secs(40));
    let to_caller = world.trace.iter().filter(|seen| {
        seen.to.to_string() == caller.addr() && seen.text.starts_with(&format!("{method} "))
    });
    let withheld = world.counter(EDGES[0], "withheld") - before;
    (to_caller.count(), withheld)
}

#[test]
fn a_request_is_repeated_to_nobody_who_is_known_by_a_forged_call() {
    // Whoever forges the INVITE has a phone that takes it up.
    let forged = |_: &mut World| forger();
    for method in ["BYE", "INFO", "INVITE"] {
        let (sent, withheld) = copies(method, forged);
        let most = if method == "INVITE" { 7 } else { 11 };
        assert_eq!(sent, 1, "{method}");
        assert_eq!(withheld, most - 1, "{method}");
    }
}

#[test]
fn a_request_is_repeated_to_whoever_registered_or_sent_as_much() {
    // The flow of a registration is proven, however long ago it began.
    let registered = |world: &mut World| {
        let mut joe = Phone::new("joe", FORGED, false);
        joe.register(world, EDGES[0]);
        joe
    };
    assert_eq!(copies("BYE", registered), (11, 0));
    // What a stranger has sent pays for as much that goes there.
    let talkative = |world: &mut World| {
        let padded = padding().repeat(6);
        let options = forger().request("OPTIONS", "sip:edge.example.com", 7, &padded, "");
        forger().send(world, EDGES[0], &options);
        forger()
    };
    let (sent, withheld) = copies("BYE", talkative);
    assert!(sent > 2 && withheld > 2, "{sent} {withheld}");
}

#[test]
fn a_caller_is_where_it_shows_the_mark_that_came_with_its_answer() {
    // Nobody else has got it.
    let acknowledges = |world: &mut World, caller: &mut Phone, _: &Phone| {
        let mut ok = caller.receive(world);
        while !ok.starts_with("SIP/2.0 200 ") {
            ok = caller.receive(world);
        }
        caller.dialog(&ok, true);
        caller.in_dialog(world, EDGES[0], "ACK", 1);
    };
    let stranger = |_: &mut World| forger();
    assert_eq!(copies_after("BYE", stranger, acknowledges), (11, 0));
}

#[test]
fn the_marks_of_the_called_side_prove_nothing_of_the_caller() {
    // An accomplice has them, and the flow token beside them.
    let pretends = |world: &mut World, caller: &mut Phone, ann: &Phone| {
        caller.enter(ann);
        caller.routes.reverse();
        for routes in [ann.routes.clone(), caller.routes.clone()] {
            caller.routes = routes;
            caller.in_dialog(world, EDGES[0], "INFO", 7);
            caller.in_dialog(world, EDGES[0], "ACK", 1);
        }
    };
    let stranger = |_: &mut World| forger();
    let (sent, withheld) = copies_after("BYE", stranger, pretends);
    assert!(sent < 11 && withheld > 0, "{sent} {withheld}");
}

#[test]
fn a_phone_whose_challenge_is_longer_asks_again_and_is_known_from_then_on() {
    let mut world = World::lab(Tokens::Clear);
    let text = |cseq: u32, proof: &str| {
        format!(
            "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {FORGED};branch=z9hG4bKr{cseq}\n\
             Route: <sip:edge.example.com;lr>\nFrom: <sip:joe@example.com>;tag=f\nTo: <sip:joe@example.com>\n\
             Call-ID: r\nCSeq: {cseq} REGISTER\nContact: <sip:joe@{FORGED}>\n{proof}Content-Length: 0\n\n"
        )
    };
    world.send(FORGED, EDGES[0], &text(1, ""));
    assert!(!world.has(FORGED), "{}", world.ladder());
    assert_eq!(world.counter(EDGES[0], "withheld"), 1);
    world.pass(limits::T1);
    world.send(FORGED, EDGES[0], &text(1, ""));
    let challenge = world.receive(FORGED).text;
    assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
    let proof = Login::new("joe").answer(&challenge);
    world.send(FORGED, EDGES[0], &text(2, &proof));
    let ok = world.receive(FORGED).text;
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    for cseq in 3..30 {
        world.send(FORGED, EDGES[0], &text(cseq, ""));
        let challenge = world.receive(FORGED).text;
        assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
    }
}

#[test]
fn an_unproven_caller_gets_its_100_when_it_asks_again() {
    // T-2: the 100 would end the timers that bring a longer refusal.
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
    let invite = forger().request("INVITE", "sip:joe@example.com", 1, "", "");
    world.forget();
    forger().send(&mut world, HOME, &invite);
    let ringing = joe.receive(&mut world);
    assert!(ringing.starts_with("INVITE "), "{ringing}");
    assert!(!world.has(FORGED), "{}", world.ladder());
    forger().send(&mut world, HOME, &invite);
    assert_eq!(forger().status(&mut world), 100);
    joe.answer(&mut world, EDGES[0], &ringing, 180, "Ringing");
    assert_eq!(forger().status(&mut world), 180);
    joe.answer(&mut world, EDGES[0], &ringing, 200, "OK");
    assert_eq!(forger().status(&mut world), 200);
}
