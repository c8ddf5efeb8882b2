//! Connections between elements that are lost while requests are under way: they
//! go again over a new one (RFC 3263 §4.3, P-31, S-28), and what had arrived
//! before is answered all the same (X-4, P-27).

use super::failover::{Call, take_up};
use super::peer::{CORE, FAR, answer, branch_of, expect, of_invite, request, silent, status};
use super::phone::{Phone, Register};
use super::silence::{call, hop};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::{self, NextHop};
use steadfast::home;
use steadfast::id::Transport;
use steadfast::limits;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
/// Two phones' connections, and a later one of the first.
const FIRST: &str = "127.0.0.13:40061";
const SECOND: &str = "127.0.0.12:40062";
const AGAIN: &str = "127.0.0.13:40063";

/// Joe sends a request at the moment in which his edge, awake again, learns
/// that the home has closed their connection.
fn sent_into_a_closed_connection(call: &mut Call, method: &str, cseq: u32) {
    call.world.freeze(EDGES[0]);
    call.joe.in_dialog(&mut call.world, EDGES[0], method, cseq);
    assert!(call.world.cut(EDGES[0], HOME) > 0);
    call.world.thaw(EDGES[0]);
}

#[test]
fn a_request_whose_connection_is_lost_goes_again_over_a_new_one() {
    // RFC 3263 §4.3, P-31
    let mut call = call(Transport::Tcp);
    sent_into_a_closed_connection(&mut call, "BYE", 2);
    let bye = call.ann.receive(&mut call.world);
    assert!(bye.starts_with("BYE "), "{bye}");
    call.ann.answer(&mut call.world, EDGES[1], &bye, 200, "OK");
    assert_eq!(call.joe.status(&mut call.world), 200);
    assert_eq!(call.world.counter(EDGES[0], "sent_again"), 1);
    assert!(!call.world.has(JOE) && !call.world.has(ANN));
    call.world.drained();
}

#[test]
fn a_phone_whose_edge_reaches_no_home_may_try_the_other_edge() {
    // P-24: whatever it asks this edge next would fare the same (RFC 3261 §16.7).
    let mut call = call(Transport::Tcp);
    call.world.refuse(HOME);
    assert!(call.world.cut(EDGES[0], HOME) > 0);
    for (cseq, method) in (20..).zip(["MESSAGE", "INVITE", "SUBSCRIBE", "OPTIONS", "REGISTER"]) {
        let uri = if method == "REGISTER" {
            "sip:example.com"
        } else {
            "sip:ann@example.com"
        };
        let request = call.joe.request(method, uri, cseq, "", "");
        call.joe.send(&mut call.world, EDGES[0], &request);
        if cseq == 20 {
            // V-8: it might be back in a moment.
            call.world.pass(limits::HELD_FOR + limits::HELD_PAUSE);
        }
        let mut answer = call.joe.receive(&mut call.world);
        if answer.starts_with("SIP/2.0 100 ") {
            answer = call.joe.receive(&mut call.world);
        }
        assert!(answer.starts_with("SIP/2.0 503 "), "{method}: {answer}");
        assert!(answer.contains("\r\nRetry-After: "), "{method}: {answer}");
    }
}

#[test]
fn what_has_arrived_before_its_connection_is_lost_is_answered_once() {
    // the answer to the first copy comes over another connection, and the
    // phone's word to the second one, that it has it already, is no answer.
    let mut call = call(Transport::Tcp);
    call.joe.in_dialog(&mut call.world, EDGES[0], "INFO", 2);
    let first = call.ann.receive(&mut call.world);
    assert!(call.world.cut(EDGES[0], HOME) > 0);
    let second = call.ann.receive(&mut call.world);
    let (world, edge) = (&mut call.world, EDGES[1]);
    call.ann.answer(world, edge, &second, 482, "Loop Detected");
    assert!(!world.has(JOE));
    call.ann.answer(world, edge, &first, 200, "OK");
    assert_eq!(call.joe.status(&mut call.world), 200);
    assert!(!call.world.has(JOE));
    // Nothing speaks against the home.
    call.world.drained();
    assert_eq!(call.world.counter(EDGES[0], "circuits_opened"), 0);
}

#[test]
fn what_went_to_the_only_edge_over_its_own_connection_goes_again_to_its_address() {
    // S-28: where another edge stands by, that one is asked.
    let one = |home: &mut home::Settings| home.edge_peers.truncate(1);
    let tcp = |_, edge: &mut edge::Settings| {
        edge.home = vec![NextHop::At(hop(HOME, Transport::Tcp))];
    };
    let mut world = World::with(Tokens::Sealed, one, tcp);
    let mut joe = Phone::new("joe", JOE, false);
    let mut ann = Phone::new("ann", ANN, false);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[0]);
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    let mut call = take_up(world, joe, ann).0;
    call.ann.in_dialog(&mut call.world, EDGES[0], "BYE", 1);
    let first = call.joe.receive(&mut call.world);
    assert!(call.world.cut(EDGES[0], HOME) > 0);
    let mut copies = vec![first];
    while call.world.has(JOE) {
        copies.push(call.joe.receive(&mut call.world));
    }
    assert_eq!(call.world.counter(HOME, "sent_again"), 1);
    // He knows no such call any more when the copies come.
    for (status, bye) in [200, 481, 481, 481].into_iter().zip(&copies) {
        let world = &mut call.world;
        call.joe.answer(world, EDGES[0], bye, status, "So");
    }
    assert_eq!(call.ann.status(&mut call.world), 200, "{copies:?}");
    call.world.drained();
}

#[test]
fn a_call_that_rings_when_its_connection_is_lost_can_still_be_taken() {
    // X-4, P-27: the stand-by learns that the phone has it already, which ends
    // the search; the phone's own answer comes over another connection.
    let mut call = call(Transport::Tcp);
    let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
    call.ann.send(&mut call.world, EDGES[1], &invite);
    assert_eq!(call.ann.status(&mut call.world), 100);
    let first = call.joe.receive(&mut call.world);
    call.joe
        .answer(&mut call.world, EDGES[0], &first, 180, "Ringing");
    assert_eq!(call.ann.status(&mut call.world), 180);
    assert!(call.world.cut(EDGES[0], HOME) > 0);
    let copy = call.joe.receive(&mut call.world);
    let backup = call.joe.backup.clone();
    call.joe
        .answer(&mut call.world, &backup, &copy, 482, "Merged Request");
    assert_eq!(call.ann.status(&mut call.world), 482);
    let ack = of_invite("ACK", &invite);
    call.ann.send(&mut call.world, EDGES[1], &ack);
    assert!(call.joe.receive(&mut call.world).starts_with("ACK "));
    call.joe
        .answer(&mut call.world, EDGES[0], &first, 200, "OK");
    assert_eq!(call.ann.status(&mut call.world), 200);
    assert!(!call.world.has(ANN), "{}", call.world.ladder());
    call.world.drained();
}

#[test]
fn a_cancel_that_was_answered_is_not_sent_again_over_a_new_connection() {
    // P-33: one that may have been lost with its connection is.
    for (is_stopped, cancels) in [(false, 1), (true, 2)] {
        let mut call = call(Transport::Tcp);
        let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
        call.ann.send(&mut call.world, EDGES[1], &invite);
        let first = call.joe.receive(&mut call.world);
        call.joe
            .answer(&mut call.world, EDGES[0], &first, 180, "Ringing");
        if is_stopped {
            call.world.freeze(EDGES[0]);
        }
        let cancel = of_invite("CANCEL", &invite);
        call.ann.send(&mut call.world, EDGES[1], &cancel);
        for heard in [100, 180, 200] {
            assert_eq!(call.ann.status(&mut call.world), heard);
        }
        assert!(call.world.cut(EDGES[0], HOME) > 0);
        assert_eq!(call.ann.status(&mut call.world), 487);
        call.world.thaw(EDGES[0]);
        assert!(call.joe.receive(&mut call.world).starts_with("CANCEL "));
        call.joe
            .answer(&mut call.world, EDGES[0], &first, 180, "Ringing");
        let sent = call
            .world
            .trace
            .iter()
            .filter(|seen| seen.from.to_string() == HOME && seen.text.starts_with("CANCEL "));
        assert_eq!(sent.count(), cancels, "{}", call.world.ladder());
    }
}

#[test]
fn a_call_cancelled_before_it_was_heard_of_ends_as_asked_when_its_connection_is_lost() {
    // P-33: what arrived is cancelled when it rings.
    let mut call = call(Transport::Tcp);
    call.world.freeze(EDGES[0]);
    let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
    call.ann.send(&mut call.world, EDGES[1], &invite);
    let cancel = of_invite("CANCEL", &invite);
    call.ann.send(&mut call.world, EDGES[1], &cancel);
    for heard in [100, 200] {
        assert_eq!(call.ann.status(&mut call.world), heard);
    }
    assert!(call.world.cut(EDGES[0], HOME) > 0);
    assert_eq!(call.ann.status(&mut call.world), 487);
    call.world.thaw(EDGES[0]);
    let first = call.joe.receive(&mut call.world);
    assert!(first.starts_with("INVITE "), "{first}");
    call.joe
        .answer(&mut call.world, EDGES[0], &first, 180, "Ringing");
    assert!(call.joe.receive(&mut call.world).starts_with("CANCEL "));
}

#[test]
fn a_call_that_rings_again_is_cancelled_when_another_phone_takes_it() {
    // P-29, P-33: one of two phones has rung over a new connection, and says no more.
    let mut world = World::lab(Tokens::Clear);
    for (call_id, phone) in [("r1", FIRST), ("r2", SECOND)] {
        world.connect(phone, HOME);
        let mut joe = Register::new("joe", phone);
        (joe.route, joe.call_id) = (String::new(), call_id);
        assert!(joe.login(&mut world, HOME).starts_with("SIP/2.0 200 "));
    }
    let invite = request("INVITE", "sip:joe@example.com", "fork", "");
    world.send(CORE, HOME, &invite);
    let first = expect(&mut world, FIRST, "INVITE");
    let second = expect(&mut world, SECOND, "INVITE");
    world.send(FIRST, HOME, &answer(&first, 180, "f", ""));
    world.close(FIRST, HOME);
    world.connect(AGAIN, HOME);
    world.send(AGAIN, HOME, &answer(&first, 180, "f", ""));
    world.send(SECOND, HOME, &answer(&second, 200, "o", ""));
    let cancel = expect(&mut world, AGAIN, "CANCEL");
    assert_eq!(branch_of(&cancel), branch_of(&first));
}

#[test]
fn a_call_that_arrives_when_it_was_given_up_is_cancelled() {
    // P-33: over the connection that its ringing came by.
    let mut call = call(Transport::Tcp);
    call.world.freeze(EDGES[0]);
    let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
    call.ann.send(&mut call.world, EDGES[1], &invite);
    assert_eq!(call.ann.status(&mut call.world), 100);
    assert!(call.world.cut(EDGES[0], HOME) > 0);
    let copy = call.joe.receive(&mut call.world);
    let backup = call.joe.backup.clone();
    call.joe
        .answer(&mut call.world, &backup, &copy, 486, "Busy");
    assert_eq!(call.ann.status(&mut call.world), 486);
    let ack = of_invite("ACK", &invite);
    call.ann.send(&mut call.world, EDGES[1], &ack);
    assert!(call.joe.receive(&mut call.world).starts_with("ACK "));
    call.world.thaw(EDGES[0]);
    let late = call.joe.receive(&mut call.world);
    assert!(late.starts_with("INVITE "), "{late}");
    call.joe
        .answer(&mut call.world, EDGES[0], &late, 180, "Ringing");
    let cancel = call.joe.receive(&mut call.world);
    assert!(cancel.starts_with("CANCEL "), "{cancel}");
    call.joe
        .answer(&mut call.world, EDGES[0], &cancel, 200, "OK");
    call.joe
        .answer(&mut call.world, EDGES[0], &late, 487, "Terminated");
    assert!(call.joe.receive(&mut call.world).starts_with("ACK "));
    assert!(!call.world.has(ANN), "{}", call.world.ladder());
    call.world.drained();
}

#[test]
fn where_nobody_is_there_any_more_it_fails_in_the_end() {
    let mut call = call(Transport::Tcp);
    call.world.icmp = true;
    call.world.kill(HOME);
    sent_into_a_closed_connection(&mut call, "BYE", 2);
    // V-8: it might be back in a moment.
    call.world.pass(limits::HELD_FOR + limits::HELD_PAUSE);
    assert_eq!(call.joe.status(&mut call.world), 100);
    // P-24: another edge may reach it.
    assert_eq!(call.joe.status(&mut call.world), 503);
    assert_eq!(call.world.counter(EDGES[0], "sent_again"), 1);
    call.world.drained();
}

/// An INVITE to somebody far away whose connection is lost before he says a
/// word: its first copy, and as it was sent. He answers the second one as the
/// merged request that it is.
fn sent_twice(world: &mut World) -> (String, String) {
    world.listen(FAR);
    let invite = request("INVITE", "sip:bob@127.0.0.9;transport=tcp", "twice", "");
    world.send(CORE, HOME, &invite);
    assert_eq!(status(world, CORE), 100);
    let first = expect(world, FAR, "INVITE");
    assert_eq!(world.cut(HOME, FAR), 1);
    let second = expect(world, FAR, "INVITE");
    assert_ne!(branch_of(&first), branch_of(&second));
    assert_eq!(world.counter(HOME, "sent_again"), 1);
    world.send(FAR, HOME, &answer(&second, 482, "m", ""));
    let ack = expect(world, FAR, "ACK");
    assert_eq!(branch_of(&ack), branch_of(&second));
    (first, invite)
}

#[test]
fn the_ack_of_a_copy_whose_connection_is_lost_takes_the_new_one() {
    // RFC 3261 §17.1.1.3, P-35
    let mut world = World::lab(Tokens::Clear);
    let (first, _) = sent_twice(&mut world);
    world.send(FAR, HOME, &answer(&first, 486, "b", ""));
    let ack = expect(&mut world, FAR, "ACK");
    assert_eq!(branch_of(&ack), branch_of(&first));
    assert_eq!(status(&mut world, CORE), 486);
    silent(&world, &[CORE, FAR]);
}

#[test]
fn the_cancel_of_a_copy_whose_connection_is_lost_takes_the_new_one() {
    // RFC 3261 §9.1, P-33
    let mut world = World::lab(Tokens::Clear);
    let (first, invite) = sent_twice(&mut world);
    world.send(FAR, HOME, &answer(&first, 180, "b", ""));
    assert_eq!(status(&mut world, CORE), 180);
    world.send(CORE, HOME, &of_invite("CANCEL", &invite));
    assert_eq!(status(&mut world, CORE), 200);
    let cancel = expect(&mut world, FAR, "CANCEL");
    assert_eq!(branch_of(&cancel), branch_of(&first));
    world.send(FAR, HOME, &answer(&cancel, 200, "b", ""));
    world.send(FAR, HOME, &answer(&first, 487, "b", ""));
    let ack = expect(&mut world, FAR, "ACK");
    assert_eq!(branch_of(&ack), branch_of(&first));
    assert_eq!(status(&mut world, CORE), 487);
    silent(&world, &[CORE, FAR]);
}
