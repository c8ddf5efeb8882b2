//! What the network says of datagrams that did not arrive, and who forges it
//! (trust: ICMP is a hint).

use super::failover::Call;
use super::peer::branch_of;
use super::silence::call;
use super::world::{EDGES, HOME};
use steadfast::id::Transport;
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

#[test]
fn icmp_fails_the_request_that_it_quotes_and_nothing_else() {
    // O-11, X-11, I-8: anybody may write it about a phone whose address he knows.
    let mut call = call(Transport::Udp);
    let registered = call.world.gauge(EDGES[0], "registered");
    let strange = |call: &Call| call.world.counter(EDGES[0], "unreachable_strange");
    call.world.unreachable(EDGES[0], JOE);
    call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 1);
    let info = call.joe.receive(&mut call.world);
    let branch = branch_of(&info);
    // Another port of the phone's host is another flow, and another method, or
    // a branch that we did not write, is another request.
    call.world
        .object(EDGES[0], "127.0.0.1:5071", info.as_bytes());
    for forged in [
        info.replace("INFO", "INVITE"),
        info.replace(&branch, &format!("{}x{}", &branch[..20], &branch[21..])),
        info.replace("INFO sip", "SIP/2.0 200 OK\r\nVia: x"),
        info[..40].to_owned(),
        String::new(),
    ] {
        call.world.object(EDGES[0], JOE, forged.as_bytes());
    }
    assert_eq!(strange(&call), 7);
    assert!(!call.world.has(JOE) && !call.world.has(ANN));
    // What was sent goes by the other edge at once, and the phone stays
    // registered: the next one goes the first way again.
    call.world.object(EDGES[0], JOE, &info.as_bytes()[..400]);
    let backup = call.joe.backup.clone();
    let again = call.joe.receive(&mut call.world);
    call.joe.answer(&mut call.world, &backup, &again, 200, "OK");
    assert_eq!(call.ann.status(&mut call.world), 200);
    call.world.object(EDGES[0], JOE, info.as_bytes());
    assert_eq!(strange(&call), 8);
    assert_eq!(call.world.gauge(EDGES[0], "registered"), registered);
    assert_eq!(call.world.counter(EDGES[0], "circuits_opened"), 0);
    call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 2);
    let next = call.joe.receive(&mut call.world);
    call.joe.answer(&mut call.world, EDGES[0], &next, 200, "OK");
    assert_eq!(call.ann.status(&mut call.world), 200);
    call.world.drained();
}

#[test]
fn icmp_about_a_peer_has_it_asked_and_nothing_more() {
    // The home answers: nothing is held against it any longer, and it is not asked
    // again for each word of somebody who forges them.
    let mut call = call(Transport::Udp);
    call.world.pass(Duration::from_millis(1_500));
    call.joe.in_dialog(&mut call.world, EDGES[0], "INFO", 2);
    assert!(call.ann.receive(&mut call.world).starts_with("INFO "));
    let sent = call.world.trace.iter().rev();
    let mut sent = sent.filter(|seen| seen.to.to_string() == HOME);
    let info = sent.find(|seen| seen.text.starts_with("INFO ")).unwrap();
    let (upstream, info) = (info.from.to_string(), info.bytes.clone());
    let beats = call.world.beats;
    for _ in 0..100 {
        call.world.object(&upstream, HOME, &info);
    }
    // One question, and its answer.
    assert_eq!(call.world.beats, beats + 2);
    assert_eq!(call.world.counter(EDGES[0], "unreachable_heeded"), 1);
    // V-8: the one copy of it is said not to have arrived, so it is sent again.
    call.world.pass(limits::HELD_PAUSE);
    let again = call.ann.receive(&mut call.world);
    assert!(again.starts_with("INFO "), "{again}");
    call.ann
        .answer(&mut call.world, EDGES[1], &again, 200, "OK");
    assert_eq!(call.joe.status(&mut call.world), 200);
    call.joe.in_dialog(&mut call.world, EDGES[0], "INFO", 3);
    assert!(call.ann.receive(&mut call.world).starts_with("INFO "));
    assert_eq!(
        call.world.counter(EDGES[0], "circuits_opened"),
        1,
        "until it answered"
    );
    assert_eq!(call.world.counter(EDGES[0], "peers_silent"), 0);
}
