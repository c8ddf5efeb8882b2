//! What one source makes a node keep, and what one silent phone makes it send
//! (trust: cost).

use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::limits;
use steadfast::time::Duration;

const STRANGER: &str = "203.0.113.6:5060";
const OTHER: &str = "203.0.113.77:5060";
const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

/// A first REGISTER of so many bytes, about.
fn register(from: &str, number: usize, length: usize) -> String {
    let subject = "x".repeat(length);
    format!(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {from};branch=z9hG4bKr{number}\n\
         Route: <sip:edge.example.com;lr>\nMax-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\n\
         To: <sip:joe@example.com>\nCall-ID: r{number}\nCSeq: 1 REGISTER\n\
         Contact: <sip:joe@{from}>\nSubject: {subject}\nContent-Length: 0\n\n"
    )
}

#[test]
fn what_a_stranger_makes_an_edge_keep_is_bounded() {
    // Nobody answers, so that all of it stays.
    let mut world = World::lab(Tokens::Clear);
    world.kill(HOME);
    let most = limits::SOURCE_MEMORY / (2 * 60_000);
    for number in 0..2 * most {
        world.send(STRANGER, EDGES[0], &register(STRANGER, number, 60_000));
    }
    let kept = world.gauge(EDGES[0], "contexts");
    assert!((most / 2..=most).contains(&kept), "{kept} of {most}");
    let refused = usize::try_from(world.counter(EDGES[0], "kept_out")).unwrap();
    assert_eq!(refused, 2 * most - kept);
    // Over UDP it is told nothing, and nobody else is refused for it.
    assert!(!world.has(STRANGER));
    world.send(OTHER, EDGES[0], &register(OTHER, 0, 60_000));
    assert_eq!(world.gauge(EDGES[0], "contexts"), kept + 1);
    assert_eq!(world.gauge(EDGES[0], "sources_keeping"), 2);
    // What ends is given back.
    world.forget();
    world.drained();
    world.send(STRANGER, EDGES[0], &register(STRANGER, 9_999, 60_000));
    assert_eq!(world.gauge(EDGES[0], "contexts"), 1);
    world.drained();
}

#[test]
fn who_has_registered_may_make_an_edge_keep_more() {
    // Many phones may be behind his address, over whatever they speak.
    for is_stream in [false, true] {
        let mut world = World::lab(Tokens::Clear);
        if is_stream {
            world.connect(STRANGER, EDGES[0]);
        }
        Phone::new("joe", STRANGER, false).register(&mut world, EDGES[0]);
        world.kill(HOME);
        let number = 2 * limits::SOURCE_MEMORY / (2 * 60_000);
        for number in 0..number {
            world.send(STRANGER, EDGES[0], &register(STRANGER, number, 60_000));
        }
        assert_eq!(world.gauge(EDGES[0], "contexts"), number, "{is_stream}");
        assert_eq!(world.counter(EDGES[0], "kept_out"), 0, "{is_stream}");
    }
}

#[test]
fn requests_to_a_silent_phone_do_not_multiply() {
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Phone::new("joe", JOE, true);
    let mut ann = Phone::new("ann", ANN, true);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    world.forget();
    let flood = 4 * limits::FLOW_UNHEARD_MAX;
    for cseq in 1..=flood {
        let message = ann.request("MESSAGE", "sip:joe@example.com", cseq, "", "");
        ann.send(&mut world, EDGES[1], &message);
    }
    let to = |addr: &str, begins: &str, world: &World| {
        let trace = world.trace.iter();
        let seen = trace.filter(|seen| seen.to.to_string() == addr);
        u32::try_from(seen.filter(|seen| seen.text.starts_with(begins)).count()).unwrap()
    };
    // He has two flows, and each is tried.
    let most = 2 * limits::FLOW_UNHEARD_MAX;
    assert_eq!(to(JOE, "MESSAGE ", &world), most);
    let refused = to(ANN, "SIP/2.0 480 ", &world);
    assert_eq!(refused, flood - most);
    // What was refused is sent to nobody again.
    world.pass(Duration::from_secs(40));
    let sent = to(JOE, "MESSAGE ", &world);
    assert!(sent <= 12 * most, "{sent}");
    // Once it speaks again it is reached again.
    world.forget();
    let message = ann.request("MESSAGE", "sip:joe@example.com", flood + 1, "", "");
    ann.send(&mut world, EDGES[1], &message);
    let message = joe.receive(&mut world);
    joe.answer(&mut world, EDGES[0], &message, 200, "OK");
    assert_eq!(ann.status(&mut world), 200);
    world.drained();
}

#[test]
fn when_memory_is_short_it_is_taken_from_who_holds_most() {
    // Even ports, which is one shard: each has buffers of its own.
    let source = |n: usize| format!("198.51.100.{n}:5060");
    let mut world = World::lab(Tokens::Clear);
    world.kill(HOME);
    world.shrink(EDGES[0], 12 << 20);
    let flood = |world: &mut World, n: usize, first: usize| {
        for number in first..first + 60 {
            world.send(&source(n), EDGES[0], &register(&source(n), number, 60_000));
        }
    };
    for n in 1..5 {
        flood(&mut world, n, 0);
    }
    let contexts = world.gauge(EDGES[0], "contexts");
    assert!((40..70).contains(&contexts), "{contexts}");
    assert_eq!(world.counter(EDGES[0], "evicted"), 0);
    // What they hold is all that there is.
    world.shrink(EDGES[0], contexts * (2 << 16) + 1);
    let kept_out = world.counter(EDGES[0], "kept_out");
    // Somebody who holds little gets what he asks for, and so do others like him.
    for n in 100..110 {
        world.send(&source(n), EDGES[0], &register(&source(n), 0, 60_000));
    }
    assert_eq!(world.counter(EDGES[0], "kept_out"), kept_out);
    let evicted = usize::try_from(world.counter(EDGES[0], "evicted")).unwrap();
    assert!((10..20).contains(&evicted), "{evicted}");
    assert_eq!(world.gauge(EDGES[0], "contexts"), contexts + 10 - evicted);
    // Who holds much himself takes nothing from anybody.
    flood(&mut world, 1, 1_000);
    let taken = usize::try_from(world.counter(EDGES[0], "evicted")).unwrap();
    assert_eq!(taken, evicted);
    world.drained();
}

#[test]
fn an_emergency_call_is_given_up_for_nobody() {
    // Its source holds more than anybody else when memory is short.
    let source = |number: usize| format!("198.51.100.{number}:5060");
    let mut world = World::lab(Tokens::Clear);
    world.kill(HOME);
    world.shrink(EDGES[0], 12 << 20);
    let caller = source(1);
    for call in 0..12 {
        let text = format!(
            "INVITE urn:service:sos SIP/2.0\nVia: SIP/2.0/UDP {caller};rport;branch=z9hG4bKsos{call}\n\
             Max-Forwards: 70\nFrom: <sip:help@elsewhere.example>;tag=x\nTo: <urn:service:sos>\n\
             Call-ID: sos{call}\nCSeq: 1 INVITE\nContact: <sip:help@{caller}>\nContent-Length: 0\n\n"
        );
        world.send(&caller, EDGES[0], &text);
    }
    for number in 0..60 {
        let from = source(1 + number % 2);
        world.send(&from, EDGES[0], &register(&from, number, 60_000));
    }
    let contexts = world.gauge(EDGES[0], "contexts");
    world.shrink(EDGES[0], (contexts - 12) * (2 << 16) + 1);
    for number in 100..140 {
        let from = source(number);
        world.send(&from, EDGES[0], &register(&from, 0, 60_000));
    }
    assert!(world.counter(EDGES[0], "evicted") > 0);
    let mut answers = world
        .trace
        .iter()
        .filter(|seen| seen.to.to_string() == caller && seen.text.contains("CSeq: 1 INVITE"));
    assert!(
        answers.all(|seen| seen.text.starts_with("SIP/2.0 100 ")),
        "{}",
        world.ladder()
    );
}
