//! CANCEL in every order (RFC 3261 §9, §16.10; P-32, P-33).

use super::peer::{CORE, FAR, branch_of, expect, of_invite, request, respond, silent, status};
use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
/// A second phone of ann's that never says anything.
const DEAF: &str = "127.0.0.1:5090";
const BOB: &str = "sip:bob@127.0.0.9";
const ROUTE: &str = "Route: <sip:example.com;lr>, <sip:127.0.0.9;lr>, <sip:x;lr>\nRequire: 100rel\nProxy-Require: path\n";

fn invite() -> String {
    request("INVITE", BOB, "can", ROUTE)
}

fn ringing() -> (World, String) {
    let mut world = World::lab(Tokens::Clear);
    world.send(CORE, HOME, &invite());
    assert_eq!(status(&mut world, CORE), 100);
    let received = expect(&mut world, FAR, "INVITE");
    (world, received)
}

#[test]
fn a_cancel_is_the_invite_of_its_branch_in_short() {
    // P-32, P-33
    let (mut world, received) = ringing();
    respond(&mut world, FAR, &received, 180);
    assert_eq!(status(&mut world, CORE), 180);
    world.send(CORE, HOME, &of_invite("CANCEL", &invite()));
    let ok = world.receive(CORE).text;
    assert!(
        ok.starts_with("SIP/2.0 200 ") && ok.contains("CSeq: 1 CANCEL\r\n"),
        "{ok}"
    );
    let want = format!(
        "CANCEL {BOB} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.10;rport;branch={}\r\n\
         From: <sip:joe@example.com>;tag=j\r\nTo: <sip:ann@example.com>\r\nCall-ID: can\r\n\
         Route: <sip:127.0.0.9;lr>, <sip:x;lr>\r\nMax-Forwards: 70\r\nCSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n",
        branch_of(&received)
    );
    assert_eq!(world.receive(FAR).text, want);
    respond(&mut world, FAR, &want, 200);
    respond(&mut world, FAR, &received, 487);
    let ack = expect(&mut world, FAR, "ACK");
    assert_eq!(branch_of(&ack), branch_of(&received));
    assert_eq!(status(&mut world, CORE), 487);
    world.send(CORE, HOME, &of_invite("ACK", &invite()));
    world.drained();
    silent(&world, &[CORE, FAR]);
}

#[test]
fn before_any_provisional_it_is_kept() {
    // P-33
    let (mut world, received) = ringing();
    world.send(CORE, HOME, &of_invite("CANCEL", &invite()));
    assert_eq!(status(&mut world, CORE), 200);
    silent(&world, &[FAR]);
    // Meanwhile the INVITE is repeated.
    world.pass(Duration::from_millis(500));
    expect(&mut world, FAR, "INVITE");
    silent(&world, &[FAR]);
    respond(&mut world, FAR, &received, 100);
    let cancel = expect(&mut world, FAR, "CANCEL");
    respond(&mut world, FAR, &cancel, 200);
    respond(&mut world, FAR, &received, 487);
    expect(&mut world, FAR, "ACK");
    assert_eq!(status(&mut world, CORE), 487);
    world.send(CORE, HOME, &of_invite("ACK", &invite()));
    world.drained();
    silent(&world, &[CORE, FAR]);
}

#[test]
fn a_final_answer_may_cross_it() {
    // P-27: the 2xx that comes instead of a provisional passes.
    let (mut world, received) = ringing();
    world.send(CORE, HOME, &of_invite("CANCEL", &invite()));
    assert_eq!(status(&mut world, CORE), 200);
    respond(&mut world, FAR, &received, 200);
    assert_eq!(status(&mut world, CORE), 200);
    silent(&world, &[FAR]);
    world.drained();
}

#[test]
fn what_was_cancelled_and_never_heard_of_ends_as_487() {
    // P-33
    let (mut world, _) = ringing();
    world.send(CORE, HOME, &of_invite("CANCEL", &invite()));
    assert_eq!(status(&mut world, CORE), 200);
    world.pass(Duration::from_secs(32));
    assert_eq!(status(&mut world, CORE), 487);
    world.send(CORE, HOME, &of_invite("ACK", &invite()));
    world.forget();
    world.drained();
    silent(&world, &[CORE, FAR]);
}

#[test]
fn after_the_final_answer_it_does_nothing() {
    // 3.16
    for code in [200, 486] {
        let (mut world, received) = ringing();
        respond(&mut world, FAR, &received, code);
        assert_eq!(status(&mut world, CORE), code);
        if code > 299 {
            expect(&mut world, FAR, "ACK");
        }
        world.send(CORE, HOME, &of_invite("CANCEL", &invite()));
        assert_eq!(status(&mut world, CORE), 200);
        silent(&world, &[FAR]);
        world.send(CORE, HOME, &of_invite("ACK", &invite()));
        world.forget();
        world.drained();
        silent(&world, &[CORE, FAR]);
    }
}

#[test]
fn what_was_never_asked_for_gets_481() {
    // P-32
    let (mut world, received) = ringing();
    let other = of_invite("CANCEL", &invite()).replace("z9hG4bKcan", "z9hG4bKother");
    for _ in 0..2 {
        world.send(CORE, HOME, &other);
        assert_eq!(status(&mut world, CORE), 481);
    }
    silent(&world, &[FAR]);
    respond(&mut world, FAR, &received, 200);
    assert_eq!(status(&mut world, CORE), 200);
    // A non-INVITE cannot be cancelled.
    world.send(CORE, HOME, &request("MESSAGE", BOB, "msg", ""));
    let message = expect(&mut world, FAR, "MESSAGE");
    world.send(CORE, HOME, &request("CANCEL", BOB, "msg", ""));
    assert_eq!(status(&mut world, CORE), 481);
    silent(&world, &[FAR]);
    respond(&mut world, FAR, &message, 200);
    assert_eq!(status(&mut world, CORE), 200);
    world.drained();
}

#[test]
fn a_cancel_that_comes_again_is_answered_again() {
    // T-3
    let (mut world, received) = ringing();
    respond(&mut world, FAR, &received, 180);
    assert_eq!(status(&mut world, CORE), 180);
    let cancel = of_invite("CANCEL", &invite());
    world.send(CORE, HOME, &cancel);
    let first = world.receive(CORE).text;
    world.send(CORE, HOME, &cancel);
    assert_eq!(world.receive(CORE).text, first);
    expect(&mut world, FAR, "CANCEL");
    silent(&world, &[CORE, FAR]);
    // The 200 has the tag that a local answer to the INVITE would have had (§9.2).
    assert_eq!(first.matches(";tag=").count(), 2, "{first}");
    world.pass(Duration::from_millis(500));
    expect(&mut world, FAR, "CANCEL");
    // It is forgotten in the end, answered or not: 64·T1 and T4 after the CANCEL.
    world.pass(Duration::from_millis(36_500));
    assert_eq!(status(&mut world, CORE), 487);
    world.send(CORE, HOME, &of_invite("ACK", &invite()));
    world.forget();
    world.drained();
    silent(&world, &[CORE, FAR]);
}

#[test]
fn the_answer_to_our_cancel_ends_here() {
    // P-32: also 481.
    let (mut world, received) = ringing();
    respond(&mut world, FAR, &received, 180);
    assert_eq!(status(&mut world, CORE), 180);
    world.send(CORE, HOME, &of_invite("CANCEL", &invite()));
    assert_eq!(status(&mut world, CORE), 200);
    let cancel = expect(&mut world, FAR, "CANCEL");
    respond(&mut world, FAR, &cancel, 481);
    silent(&world, &[CORE]);
    respond(&mut world, FAR, &received, 487);
    expect(&mut world, FAR, "ACK");
    assert_eq!(status(&mut world, CORE), 487);
    world.send(CORE, HOME, &of_invite("ACK", &invite()));
    world.drained();
    silent(&world, &[CORE, FAR]);
}

#[test]
fn what_is_cancelled_at_a_phone_that_never_answers_is_over_with_one_answer() {
    // P-30: the edge gives the phone up after 64·T1, and the home is still there to hear it.
    for edge in EDGES {
        let mut world = World::lab(Tokens::Sealed);
        let mut joe = Phone::new("joe", JOE, true);
        joe.register(&mut world, EDGES[0]);
        let mut ann = Phone::new("ann", ANN, true);
        ann.register(&mut world, EDGES[1]);
        let mut deaf = Register::new("ann", DEAF);
        deaf.call_id = "deaf";
        let ok = deaf.login(&mut world, edge);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        world.forget();
        let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
        joe.send(&mut world, EDGES[0], &invite);
        let got = ann.receive(&mut world);
        assert!(world.has(DEAF), "{}", world.ladder());
        let from = world.last_to(ANN).from.to_string();
        ann.answer(&mut world, &from, &got, 200, "OK");
        assert_eq!(joe.status(&mut world), 100);
        let ok = joe.receive(&mut world);
        joe.dialog(&ok, true);
        joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
        world.forget();
        world.pass(limits::T1_64 + limits::T4 + limits::T4);
        let at_home = |start: &str| {
            let to_home = world
                .trace
                .iter()
                .filter(|seen| seen.to.to_string() == HOME);
            to_home.filter(|seen| seen.text.starts_with(start)).count()
        };
        assert_eq!(at_home("SIP/2.0 487 "), 1, "{}", world.ladder());
        world.drained();
    }
}
