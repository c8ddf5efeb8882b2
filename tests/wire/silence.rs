//! Elements that fall silent without a word, over UDP and over TCP (K-3,
//! protocol 3.20): what is under way goes to the next best at once, and what
//! the silent one says later does no harm.

use super::failover::{Call, call_in};
use super::peer::{CORE, FAR, answer, branch_of, expect, of_invite, request, silent, status};
use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::{self, Hop, NextHop};
use steadfast::id::Transport;
use steadfast::limits;
use steadfast::shard::Notice;
use steadfast::time::Duration;
use steadfast::trust::Strangers;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
const SECOND_HOME: &str = "127.0.0.20:5060";
/// Two phones' connections, and a later one of the first.
const FIRST: &str = "127.0.0.13:40061";
const SECOND: &str = "127.0.0.12:40062";
const AGAIN: &str = "127.0.0.13:40063";

/// The call of the failover tests, edges and home joined by this transport.
pub(super) fn call(transport: Transport) -> Call {
    call_in(World::with(
        Tokens::Sealed,
        |_| (),
        |_, edge| edge.home = vec![NextHop::At(hop(HOME, transport))],
    ))
}

pub(super) fn hop(addr: &str, transport: Transport) -> Hop {
    let addr = addr.parse().unwrap();
    Hop {
        transport,
        addr,
        name: None,
    }
}

/// What the node said of others that came or went.
pub(super) fn notices(world: &World, of: &str) -> Vec<String> {
    let said = world.notices.iter();
    let said = said.filter(|(who, _)| who.to_string() == of);
    said.map(|(_, notice)| match notice {
        Notice::PeerUp { peer, .. } => format!("{peer} up"),
        Notice::PeerDown { peer, .. } => format!("{peer} down"),
        Notice::SourceNear { source, .. } => format!("{source} near"),
        Notice::UnrecognisedEdge { source, .. } => format!("{source} unrecognised"),
    })
    .collect()
}

#[test]
fn a_request_that_hears_nothing_for_t1_takes_the_next_best_flow() {
    // H-7, H-19, S-22, T-10, 3.20
    let mut call = call(Transport::Udp);
    call.world.kill(EDGES[0]);
    call.ann.in_dialog(&mut call.world, EDGES[1], "BYE", 1);
    call.world.pass(limits::T1 - Duration::from_millis(1));
    assert!(!call.world.has(JOE));
    call.world.pass(Duration::from_millis(1));
    call.ends_by_the_backup();
    assert_eq!(call.world.counter(HOME, "overtaken"), 1);
    assert_eq!(notices(&call.world, HOME), ["127.0.0.11:40000 down"]);
    call.world.drained();
}

#[test]
fn once_known_to_be_silent_it_costs_no_time() {
    let mut call = call(Transport::Udp);
    call.world.kill(EDGES[0]);
    call.world.pass(Duration::from_secs(3));
    for (cseq, method) in [(1, "INFO"), (2, "BYE")] {
        call.ann.in_dialog(&mut call.world, EDGES[1], method, cseq);
        let received = call.joe.receive(&mut call.world);
        assert!(received.starts_with(method), "{received}");
        let backup = call.joe.backup.clone();
        call.joe
            .answer(&mut call.world, &backup, &received, 200, "OK");
        assert_eq!(call.ann.status(&mut call.world), 200);
    }
    assert_eq!(call.world.counter(HOME, "overtaken"), 0);
    // A new call finds the other flow without a pause too.
    let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
    call.ann.send(&mut call.world, EDGES[1], &invite);
    assert!(call.joe.receive(&mut call.world).starts_with("INVITE "));
}

#[test]
fn a_phone_that_thinks_does_not_make_its_edge_look_dead() {
    // T-8: the edge says nothing for 3.5 s, and lives.
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut call = call(transport);
        call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 1);
        call.world.pass(Duration::from_secs(3));
        let info = call.joe.receive(&mut call.world);
        call.joe.answer(&mut call.world, EDGES[0], &info, 200, "OK");
        assert_eq!(call.ann.status(&mut call.world), 200);
        for counter in ["overtaken", "peers_silent", "circuits_opened"] {
            assert_eq!(call.world.counter(HOME, counter), 0, "{counter}");
        }
    }
}

#[test]
fn the_late_answer_of_the_first_does_no_harm() {
    // The edge was only stopped: it delivers its copy, too late.
    for (late, reason) in [(482, "Loop Detected"), (200, "OK"), (180, "Ringing")] {
        let mut call = call(Transport::Udp);
        call.world.freeze(EDGES[0]);
        let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
        call.ann.send(&mut call.world, EDGES[1], &invite);
        assert_eq!(call.ann.status(&mut call.world), 100);
        call.world.pass(limits::T1);
        let invite = call.joe.receive(&mut call.world);
        let backup = call.joe.backup.clone();
        call.joe
            .answer(&mut call.world, &backup, &invite, 200, "OK");
        assert_eq!(call.ann.status(&mut call.world), 200);
        call.world.thaw(EDGES[0]);
        let copy = call.joe.receive(&mut call.world);
        assert!(copy.starts_with("INVITE "), "{copy}");
        call.joe
            .answer(&mut call.world, EDGES[0], &copy, late, reason);
        if late == 200 {
            // P-27: accepted is accepted, and the caller must know.
            assert_eq!(call.ann.status(&mut call.world), 200);
        }
        if late == 180 {
            // The home has taken its copy back as soon as it could (P-33).
            let cancel = call.joe.receive(&mut call.world);
            assert!(cancel.starts_with("CANCEL "), "{cancel}");
        }
        assert!(!call.world.has("127.0.0.1:5080"), "{}", call.world.ladder());
    }
}

#[test]
fn a_call_taken_after_it_was_refused_reaches_the_caller_all_the_same() {
    // P-27: through every hop, also when the transactions of the refusal have
    // ended towards the caller.
    for wait in [Duration::ZERO, limits::T4 + limits::T4] {
        let mut call = call(Transport::Udp);
        call.world.freeze(EDGES[0]);
        let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
        call.ann.send(&mut call.world, EDGES[1], &invite);
        assert_eq!(call.ann.status(&mut call.world), 100);
        call.world.pass(limits::T1);
        let first = call.joe.receive(&mut call.world);
        let backup = call.joe.backup.clone();
        call.joe
            .answer(&mut call.world, &backup, &first, 486, "Busy");
        assert_eq!(call.ann.status(&mut call.world), 486);
        let ack = of_invite("ACK", &invite);
        call.ann.send(&mut call.world, EDGES[1], &ack);
        call.world.thaw(EDGES[0]);
        let copy = loop {
            let text = call.joe.receive(&mut call.world);
            if text.starts_with("INVITE ") && branch_of(&text) != branch_of(&first) {
                break text;
            }
        };
        call.world.pass(wait);
        call.joe.answer(&mut call.world, EDGES[0], &copy, 200, "OK");
        assert_eq!(call.ann.status(&mut call.world), 200, "{wait:?}");
        assert!(!call.world.has(ANN), "{}", call.world.ladder());
        call.world.drained();
    }
}

#[test]
fn what_the_backup_answers_does_not_wait_for_the_silent_one() {
    // T-10: a refusal of the phone's own is the answer; the flow that failed
    // at the backup is not, while the first may still deliver.
    let mut call = call(Transport::Udp);
    call.world.freeze(EDGES[0]);
    call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 1);
    call.world.pass(limits::T1);
    let info = call.joe.receive(&mut call.world);
    let backup = call.joe.backup.clone();
    call.joe.answer(&mut call.world, &backup, &info, 415, "No");
    assert_eq!(call.ann.status(&mut call.world), 415);

    call.world.restart(&backup);
    call.world.thaw(EDGES[0]);
    call.world.pass(Duration::from_secs(2));
    call.world.forget();
    call.world.freeze(EDGES[0]);
    call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 2);
    call.world.pass(limits::T1);
    assert!(!call.world.has("127.0.0.1:5080"), "{}", call.world.ladder());
    call.world.thaw(EDGES[0]);
    let info = call.joe.receive(&mut call.world);
    call.joe.answer(&mut call.world, EDGES[0], &info, 200, "OK");
    assert_eq!(call.ann.status(&mut call.world), 200);
}

#[test]
fn an_edge_turns_to_the_next_home_and_back() {
    // N-7, H-13, 3.20: several homes, in order.
    let homes = |_: usize, edge: &mut edge::Settings| {
        edge.home = [HOME, SECOND_HOME]
            .map(|home| NextHop::At(hop(home, Transport::Udp)))
            .to_vec();
        edge.rules.strangers = Strangers::Answer;
    };
    let mut world = World::with(Tokens::Sealed, |_| (), homes);
    world.add_home(SECOND_HOME);
    let joe = Phone::foreign("joe", JOE);
    let mut cseq = 0;
    let mut ask = |world: &mut World| {
        cseq += 1;
        let request = joe.request("MESSAGE", "sip:ann@example.com", cseq, "", "");
        joe.send(world, EDGES[0], &request);
    };
    world.kill(HOME);
    ask(&mut world);
    assert!(!world.has(JOE));
    world.pass(limits::T1);
    assert_eq!(joe.status(&mut world), 480, "ann is not registered there");
    // Known by now.
    ask(&mut world);
    assert_eq!(joe.status(&mut world), 480);
    world.restart(HOME);
    world.pass(Duration::from_secs(1));
    let down_and_up = ["127.0.0.10:5060 down", "127.0.0.10:5060 up"];
    assert_eq!(notices(&world, EDGES[0]), down_and_up);
    world.forget();
    ask(&mut world);
    assert_eq!(joe.status(&mut world), 480);
    let at_home = world.trace.iter().any(|seen| seen.to.to_string() == HOME);
    assert!(at_home, "{}", world.ladder());
}

#[test]
fn a_home_that_asks_to_be_left_alone_is() {
    // N-7, 3261 §21.5.4
    let homes = |_: usize, edge: &mut edge::Settings| {
        edge.home = [HOME, SECOND_HOME]
            .map(|home| NextHop::At(hop(home, Transport::Udp)))
            .to_vec();
        edge.rules.strangers = Strangers::Answer;
    };
    let mut world = World::with(Tokens::Sealed, |_| (), homes);
    world.add_home(SECOND_HOME);
    let joe = Phone::foreign("joe", JOE);
    let asked = |world: &mut World, cseq| {
        world.forget();
        let request = joe.request("MESSAGE", "sip:ann@example.com", cseq, "", "");
        joe.send(world, EDGES[0], &request);
        assert_eq!(joe.status(world), 480);
        world.trace.iter().any(|seen| seen.to.to_string() == HOME)
    };
    world.drain(HOME);
    assert!(asked(&mut world, 1), "it says 503, the other home 480");
    let mut refusals = world.trace.iter();
    let refusal = refusals
        .find(|seen| seen.text.starts_with("SIP/2.0 503 "))
        .unwrap();
    let pause = Phone::values(&refusal.text, "Retry-After")
        .remove(0)
        .parse::<u64>()
        .unwrap();
    assert!(!asked(&mut world, 2));
    world.pass(Duration::from_secs(pause - 1));
    assert!(!asked(&mut world, 3), "though it answers every keep-alive");
    world.pass(Duration::from_secs(1));
    assert!(asked(&mut world, 4));
}

#[test]
fn a_stopped_edge_is_known_on_its_connection_within_three_seconds() {
    // K-3, C-13: nothing is lost, and nothing waits for TCP to notice.
    let mut call = call(Transport::Tcp);
    call.world.pass(Duration::from_secs(2));
    let streams = call.world.gauge(HOME, "streams");
    call.world.freeze(EDGES[0]);
    call.ann.in_dialog(&mut call.world, EDGES[1], "BYE", 1);
    call.world.pass(limits::PEER_PING + limits::T1);
    call.ends_by_the_backup();
    call.world
        .pass(Duration::from_secs(3) - limits::PEER_PING - limits::T1);
    assert_eq!(call.world.gauge(HOME, "streams"), streams - 1);
    assert_eq!(call.world.counter(HOME, "flows_silent"), 1);
}

#[test]
fn a_stopped_home_is_known_to_the_edge_that_asks_it() {
    // K-3: the opener asks; and it opens a new connection when one is needed.
    let mut call = call(Transport::Tcp);
    call.world.pass(Duration::from_secs(2));
    assert!(call.world.beats > 0);
    call.world.freeze(HOME);
    call.world.pass(Duration::from_secs(3));
    assert_eq!(call.world.gauge(EDGES[0], "streams"), 0);
    call.world.thaw(HOME);
    call.world.forget();
    call.joe.in_dialog(&mut call.world, EDGES[0], "BYE", 5);
    assert!(call.ann.receive(&mut call.world).starts_with("BYE "));
}

#[test]
fn a_call_that_rang_when_its_home_fell_silent_is_forgotten_in_the_end() {
    // P-28, P-30: its transaction is kept for a late 2xx, but not for ever.
    let mut call = call(Transport::Udp);
    let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
    call.ann.send(&mut call.world, EDGES[1], &invite);
    assert_eq!(call.ann.status(&mut call.world), 100);
    let invite = call.joe.receive(&mut call.world);
    let edge = call.world.trace.last().unwrap().from.to_string();
    call.joe
        .answer(&mut call.world, &edge, &invite, 180, "Ringing");
    assert_eq!(call.ann.status(&mut call.world), 180);
    call.world.pass(Duration::from_secs(2));
    call.world.kill(HOME);
    call.world.pass(Duration::from_secs(60));
    assert_eq!(call.ann.status(&mut call.world), 500);
    call.world.drained();
}

#[test]
fn silence_is_nobodys_fault_when_it_was_our_own() {
    // A node that was stopped itself must not blame all others when it goes on.
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut call = call(transport);
        call.world.pass(Duration::from_secs(2));
        let streams = call.world.gauge(HOME, "streams");
        call.world.freeze(HOME);
        call.world.pass(Duration::from_secs(2));
        call.world.thaw(HOME);
        assert_eq!(call.world.counter(HOME, "peers_silent"), 0);
        assert_eq!(call.world.gauge(HOME, "streams"), streams);
    }
}

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
fn where_nobody_is_there_any_more_it_fails_at_once() {
    let mut call = call(Transport::Tcp);
    call.world.icmp = true;
    call.world.kill(HOME);
    sent_into_a_closed_connection(&mut call, "BYE", 2);
    assert_eq!(call.joe.status(&mut call.world), 500);
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
