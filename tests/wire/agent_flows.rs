//! The user agent whose flows fall silent or are lost, against an edge that the test plays:
//! keep-alives, and what becomes of the requests under way (O-25, O-26; S-22, H-8).

use super::agent_alone::{EDGE, JOE, OTHER, answer, redirected};
use super::world::{Tokens, World};
use steadfast::agent::Command;
use steadfast::send::{Event, Party};
use steadfast::time::Duration;

#[test]
fn a_connection_that_two_registrations_share_is_lost_to_both() {
    // O-11
    let mut world = World::lab(Tokens::Clear);
    for addr in [EDGE, OTHER] {
        world.listen(addr);
    }
    world.add_stream_agent("joe", JOE, "secret", &[EDGE, OTHER]);
    world.command(JOE, Command::Register);
    let offer = format!(
        "Service-Route: <sip:t@edge.example.com;lr;ob>\n\
         Outbound-Proxy: <sip:t@edge.example.com;lr;maddr={};transport=tcp>\n",
        OTHER.trim_end_matches(":5060")
    );
    let register = world.receive(EDGE).text;
    answer(&mut world, EDGE, &register, "200 OK", &offer);
    let register = world.receive(OTHER).text;
    let route = "Service-Route: <sip:t@edge.example.com;lr;ob>\n";
    answer(&mut world, OTHER, &register, "200 OK", route);
    // The first flow dies, and its registration comes to the other edge.
    world.close(EDGE, JOE);
    world.pass(Duration::from_secs(91));
    while world.has(OTHER) {
        let text = world.receive(OTHER).text;
        if text.starts_with("REGISTER ") {
            answer(&mut world, OTHER, &text, "200 OK", route);
        }
    }
    world.close(OTHER, JOE);
    world.events(JOE);
    world.command(JOE, Command::Call("sip:ann@example.com".to_owned()));
    let events = world.events(JOE);
    let why = "no flow is registered";
    assert!(
        matches!(&events[..], [Event::Failed { why: it, .. }] if it == why),
        "{events:?}"
    );
}

#[test]
fn a_connection_is_asked_by_empty_lines_and_given_up_when_it_is_silent() {
    // O-25: at 80 to 100 % of Flow-Timer, and ten seconds for the answer.
    let mut world = World::lab(Tokens::Clear);
    world.listen(EDGE);
    world.add_stream_agent("joe", JOE, "secret", &[EDGE]);
    world.command(JOE, Command::Register);
    let register = world.receive(EDGE).text;
    let lines = "Service-Route: <sip:t@edge.example.com;lr;ob>\nPath: <sip:t@edge.example.com;lr;ob>\n\
                 Require: outbound\nFlow-Timer: 100\n";
    answer(&mut world, EDGE, &register, "200 OK", lines);
    world.events(JOE);
    for _ in 0..3 {
        world.pass(Duration::from_millis(79_900));
        assert!(!world.has(EDGE), "{}", world.ladder());
        let mut waited = 0;
        while !world.has(EDGE) {
            world.pass(Duration::from_millis(10));
            waited += 1;
            assert!(waited < 2_020, "{}", world.ladder());
        }
        assert_eq!(world.receive(EDGE).text, "\r\n\r\n");
        assert_eq!(world.events(JOE), []);
        world.send_bytes(EDGE, JOE, b"\r\n");
    }
    // Asked once more, it says nothing.
    while !world.has(EDGE) {
        world.pass(Duration::from_millis(10));
    }
    world.pass(Duration::from_millis(9_980));
    assert_eq!(world.events(JOE), []);
    world.pass(Duration::from_millis(30));
    let events = world.events(JOE);
    assert!(
        matches!(&events[..], [Event::FlowLost { reg_id: 1, .. }]),
        "{events:?}"
    );
}

/// joe registered over a flow that he keeps alive at an edge that answers no keep-alive;
/// the first one leaves 24 to 29 s later.
fn kept_alive_by_nobody() -> World {
    let (mut world, register) = redirected();
    let lines = "Service-Route: <sip:t@edge.example.com;lr;ob>\n\
                 Path: <sip:t@edge.example.com;lr;ob>\nRequire: outbound\n";
    answer(&mut world, EDGE, &register.text, "200 OK", lines);
    world.events(JOE);
    world.mute.push(EDGE.parse().unwrap());
    world
}

/// Whether joe has lost a flow while that time passed.
fn loses(world: &mut World, milliseconds: u64) -> bool {
    world.pass(Duration::from_millis(milliseconds));
    world.events(JOE).iter().any(is_lost)
}

fn is_lost(event: &Event) -> bool {
    matches!(event, Event::FlowLost { .. })
}

#[test]
fn a_keep_alive_is_waited_for_as_long_as_stun_says() {
    // O-26; RFC 5389 §7.2.1: 39.5 s with the numbers that it gives.
    let mut world = kept_alive_by_nobody();
    assert!(!loses(&mut world, 24_000 + 39_499), "{}", world.ladder());
    assert!(loses(&mut world, 5_002), "{}", world.ladder());
}

#[test]
fn an_answer_to_a_request_says_that_its_flow_lives() {
    // O-26: its edge was away for some copies of a keep-alive, and is there again.
    let mut world = kept_alive_by_nobody();
    assert!(!loses(&mut world, 60_000), "{}", world.ladder());
    world.command(JOE, Command::Call("sip:ann@example.com".to_owned()));
    let invite = world.receive(EDGE).text;
    answer(&mut world, EDGE, &invite, "404 Not Found", "");
    // The next one is another question.
    assert!(!loses(&mut world, 24_000 + 39_499), "{}", world.ladder());
    assert!(loses(&mut world, 5_002), "{}", world.ladder());
}

#[test]
fn an_answer_that_outlives_the_keep_alives_is_acknowledged() {
    // RFC 3261 §13.2.2.4: the flow has failed by O-26, and the callee answers.
    for answers in [true, false] {
        let mut world = kept_alive_by_nobody();
        world.command(JOE, Command::Call("sip:ann@example.com".to_owned()));
        let invite = world.receive(EDGE).text;
        let lines = "To: <sip:ann@example.com>;tag=t\nContact: <sip:ann@127.0.0.97>\n";
        answer(&mut world, EDGE, &invite, "180 Ringing", lines);
        let mut lost = false;
        for _ in 0..120 {
            world.pass(Duration::from_secs(1));
            let events = world.events(JOE);
            let failed = |event: &Event| matches!(event, Event::Failed { .. });
            assert!(!events.iter().any(failed), "{events:?}");
            lost = events
                .iter()
                .any(|event| matches!(event, Event::FlowLost { .. }));
            if lost {
                break;
            }
        }
        assert!(lost, "{}", world.ladder());
        if answers {
            answer(&mut world, EDGE, &invite, "200 OK", lines);
            let ack = world.receive("127.0.0.97:5060").text;
            assert!(ack.starts_with("ACK sip:ann@127.0.0.97 "), "{ack}");
        }
        world.pass(steadfast::limits::T1_64);
        let events = world.events(JOE);
        let failed = events
            .iter()
            .any(|event| matches!(event, Event::Failed { call: 1, .. }));
        assert_eq!(failed, !answers, "{events:?}");
    }
}

/// joe registered through both edges.
fn registered_twice() -> World {
    let (mut world, register) = redirected();
    let path = "Service-Route: <sip:t@edge.example.com;lr;ob>\n\
                Path: <sip:t@edge.example.com;lr;ob>\nRequire: outbound\n";
    let lines = format!(
        "{path}Outbound-Proxy: <sip:t@edge.example.com;lr;maddr=127.0.0.99>, \
         <sip:t@edge.example.com;lr;maddr=127.0.0.98>\n"
    );
    answer(&mut world, EDGE, &register.text, "200 OK", &lines);
    let second = world.receive(OTHER).text;
    answer(&mut world, OTHER, &second, "200 OK", path);
    world
}

#[test]
fn an_invite_whose_flow_is_lost_is_heard_out() {
    // RFC 3261 §13.2.2.4: it had arrived, and another copy has gone since.
    for (wait, is_told) in [(0, true), (33, false)] {
        let mut world = registered_twice();
        world.command(JOE, Command::Call("sip:ann@example.com".to_owned()));
        let first = world.receive(EDGE).text;
        world.unreachable(JOE, EDGE);
        let second = world.receive(OTHER).text;
        let lines = "To: <sip:ann@example.com>;tag=t\nContact: <sip:ann@127.0.0.97>\n";
        answer(&mut world, OTHER, &second, "404 Not Found", lines);
        world.pass(Duration::from_secs(wait));
        world.forget();
        answer(&mut world, EDGE, &first, "200 OK", lines);
        let received = ["ACK ", "BYE "].map(|method| {
            let mut trace = world.trace.iter();
            trace.any(|seen| seen.text.starts_with(method))
        });
        assert_eq!(received, [is_told; 2], "{}", world.ladder());
        let copies = world.trace.iter();
        let copies = copies.filter(|seen| seen.text.starts_with("INVITE "));
        assert_eq!(copies.count(), 0, "{}", world.ladder());
    }
}

#[test]
fn with_no_flow_left_a_call_ends_over_the_one_it_was_set_up_over() {
    // S-22, H-8: one flow has failed by its keep-alives, and then the other.
    let mut world = registered_twice();
    world.command(JOE, Command::Call("sip:ann@example.com".to_owned()));
    let invite = world.receive(EDGE).text;
    let lines = "To: <sip:ann@example.com>;tag=t\nContact: <sip:ann@127.0.0.97>\n\
                 Record-Route: <sip:t@edge.example.com;lr;gunk=e1>\n";
    answer(&mut world, EDGE, &invite, "200 OK", lines);
    assert!(world.receive(EDGE).text.starts_with("ACK "));
    world.events(JOE);
    world.mute.push(EDGE.parse().unwrap());
    for second in 0.. {
        assert!(second < 120, "{}", world.ladder());
        world.pass(Duration::from_secs(1));
        if world.events(JOE).iter().any(is_lost) {
            break;
        }
    }
    world.forget();
    world.command(JOE, Command::Hangup);
    assert!(world.receive(OTHER).text.starts_with("BYE "));
    world.unreachable(JOE, OTHER);
    let bye = world.receive(EDGE).text;
    assert!(bye.starts_with("BYE "), "{bye}");
    answer(&mut world, EDGE, &bye, "200 OK", "");
    let ended = Event::Ended {
        call: 1,
        by: Party::Us,
    };
    assert!(world.events(JOE).contains(&ended), "{}", world.ladder());
}
