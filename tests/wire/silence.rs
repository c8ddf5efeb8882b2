//! Elements that fall silent without a word, over UDP and over TCP (K-3,
//! T-10): what is under way goes to the next best at once, and what
//! the silent one says later does no harm.

use super::failover::{Call, call_in};
use super::peer::{branch_of, of_invite};
use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::{self, ConfiguredHop, NextHop};
use steadfast::id::Transport;
use steadfast::limits;
use steadfast::shard::Notice;
use steadfast::time::Duration;
use steadfast::trust::Strangers;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
const SECOND_HOME: &str = "127.0.0.20:5060";

/// The call of the failover tests, edges and home joined by this transport.
pub(super) fn call(transport: Transport) -> Call {
    call_in(World::with(
        Tokens::Sealed,
        |_| (),
        |_, edge| edge.home = vec![NextHop::At(hop(HOME, transport))],
    ))
}

pub(super) fn hop(addr: &str, transport: Transport) -> ConfiguredHop {
    let addr = addr.parse().unwrap();
    ConfiguredHop {
        transport,
        addr,
        name: None,
    }
}

/// What the node said of others that came or went.
pub(super) fn notices(world: &World, of: &str) -> Vec<String> {
    let notices = world.notices.iter();
    let notices = notices.filter(|(who, _)| who.to_string() == of);
    notices
        .map(|(_, notice)| match notice {
            Notice::PeerUp { peer, .. } => format!("{peer} up"),
            Notice::PeerDown { peer, .. } => format!("{peer} down"),
            Notice::SourceNear { source, .. } => format!("{source} near"),
            Notice::UnrecognisedEdge { source, .. } => format!("{source} unrecognised"),
            Notice::SheddingBegan { .. } => "sheds".to_owned(),
            Notice::SheddingEnded { .. } => "sheds no longer".to_owned(),
            Notice::SipsRefused { source } => format!("{source} asks for sips"),
        })
        .collect()
}

#[test]
fn a_request_that_hears_nothing_for_t1_takes_the_next_best_flow() {
    // H-7, H-19, S-22, T-10
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
    // N-7, H-13, T-10: several homes, in order.
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
    world.shrink(HOME, 0);
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
    // P-24: whatever she asks this edge now would fare the same.
    assert_eq!(call.ann.status(&mut call.world), 503);
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
