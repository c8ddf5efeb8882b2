//! Who lies about where he is, or fills what is bounded: no answer is longer
//! than what came, nobody else gets one, and nobody's place is taken (X-2,
//! X-5, I-13; RFC 3261 §18.2, §26.3.2.4).

use super::abuse::padding;
use super::phone::{Login, Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
/// Addresses that anybody may write into a datagram.
pub(super) const FORGED: &str = "203.0.113.6:5060";

pub(super) fn forger() -> Phone {
    Phone::foreign("mallory", FORGED)
}

/// Bytes that came from the forged address, and that went there.
fn balance(world: &World) -> (usize, usize) {
    let forged = FORGED.parse().unwrap();
    let sum = |is_it: &dyn Fn(&super::world::Seen) -> bool| -> usize {
        let seen = world.trace.iter().filter(|seen| is_it(seen));
        seen.map(|seen| seen.bytes.len()).sum()
    };
    (
        sum(&|seen| seen.from == forged),
        sum(&|seen| seen.to == forged),
    )
}

#[test]
fn nobody_is_flooded_through_us() {
    // A refusal is repeated for half a minute; the victim gets none of that.
    let lines = [
        ("OPTIONS", "sip:edge.example.com", "edge", ""),
        ("REGISTER", "sip:example.com", "edge", ""),
        ("INVITE", "sip:joe@example.com", "edge", ""),
        ("INVITE", "sip:nobody@example.com", "home", ""),
        (
            "INVITE",
            "sip:edge.example.com",
            "edge",
            "Proxy-Require: a\n",
        ),
        (
            "SUBSCRIBE",
            "sip:joe@example.com",
            "home",
            "Max-Forwards: 0\n",
        ),
        ("INVITE", "sip:joe@example.com", "home", "CSeq: 9 INVITE\n"),
        ("CANCEL", "sip:joe@example.com", "edge", ""),
        ("BYE", "mailto:joe@example.com", "edge", ""),
    ];
    for (method, uri, whom, line) in lines {
        let mut world = World::lab(Tokens::Clear);
        let text = forger().request(method, uri, 1, line, "");
        let to = if whom == "home" { HOME } else { EDGES[0] };
        forger().send(&mut world, to, &text);
        world.pass(Duration::from_secs(40));
        let (came, went) = balance(&world);
        assert!(went <= came, "{method} {uri}: {went}\n{}", world.ladder());
        // And again: what came once was paid for once.
        for _ in 0..20 {
            forger().send(&mut world, to, &text);
        }
        let (came, went) = balance(&world);
        assert!(went <= came, "{method} {uri}: {went} of {came}");
    }
}

#[test]
fn a_refused_invite_is_repeated_only_to_who_acknowledges() {
    let mut world = World::lab(Tokens::Clear);
    let invite = forger().request("INVITE", "sip:nobody@example.com", 1, "", "");
    forger().send(&mut world, HOME, &invite);
    let refusal = forger().receive(&mut world);
    assert!(refusal.starts_with("SIP/2.0 4"), "{refusal}");
    world.pass(Duration::from_secs(3));
    assert!(!world.has(FORGED), "{}", world.ladder());
    assert!(world.counter(HOME, "withheld") >= 2);
    // An ACK with somebody's tag proves nothing, one with ours does.
    let to = Phone::values(&refusal, "To").remove(0);
    let ack = |to: &str| {
        let ack = forger().request("ACK", "sip:nobody@example.com", 1, "", "");
        ack.replace("To: <sip:nobody@example.com>", &format!("To: {to}"))
    };
    let withheld = |world: &mut World, cseq| {
        let options = forger().request("OPTIONS", "sip:example.com", cseq, "", "");
        let before = world.counter(HOME, "withheld");
        for _ in 0..100 {
            forger().send(
                world,
                HOME,
                &options.replace("Contact: <sip:mallory@203.0.113.6:5060>\n", ""),
            );
        }
        world.counter(HOME, "withheld") > before
    };
    forger().send(
        &mut world,
        HOME,
        &ack("<sip:nobody@example.com>;tag=0123456789abcdef"),
    );
    assert!(withheld(&mut world, 2), "{}", world.ladder());
    let mut world = World::lab(Tokens::Clear);
    forger().send(&mut world, HOME, &invite);
    forger().send(&mut world, HOME, &ack(&to));
    let refusal = forger().receive(&mut world);
    assert!(refusal.contains(&to), "the tag follows from the request");
    assert!(!withheld(&mut world, 2), "{}", world.ladder());
    // It shows that it got that one, not what comes for hours.
    world.pass(limits::SOURCE_ACKNOWLEDGED);
    assert!(withheld(&mut world, 3), "{}", world.ladder());
}

#[test]
fn a_tag_that_was_received_elsewhere_proves_nothing() {
    // Learned once at one's own address, shown from the victim's.
    const OWN: &str = "203.0.113.7:5060";
    let mut world = World::lab(Tokens::Clear);
    let invite = forger().request("INVITE", "sip:nobody@example.com", 1, "", "");
    world.send(OWN, HOME, &invite);
    let learned = Phone::values(&world.receive(OWN).text, "To").remove(0);
    forger().send(
        &mut world,
        HOME,
        &invite.replace("branch=z9", "branch=z9hG4bKo.z9"),
    );
    let ack = forger().request("ACK", "sip:nobody@example.com", 1, "", "");
    let ack = ack.replace("To: <sip:nobody@example.com>", &format!("To: {learned}"));
    forger().send(&mut world, HOME, &ack);
    let refusal = forger().receive(&mut world);
    assert!(!refusal.contains(&learned), "{refusal}");
    let before = world.counter(HOME, "withheld");
    world.pass(Duration::from_secs(3));
    assert!(
        world.counter(HOME, "withheld") > before,
        "{}",
        world.ladder()
    );
}

#[test]
fn a_cancel_from_elsewhere_cancels_nothing() {
    // RFC 3261 §9.1: hop by hop.
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
    let bob = Phone::foreign("bob", "127.0.0.1:5090");
    let invite = bob.request("INVITE", "sip:joe@example.com", 1, "", "");
    bob.send(&mut world, HOME, &invite);
    let rings = world.receive(JOE);
    joe.answer(
        &mut world,
        &rings.from.to_string(),
        &rings.text,
        180,
        "Ringing",
    );
    world.forget();
    let cancel = invite.replace("INVITE", "CANCEL");
    world.send(FORGED, HOME, &cancel);
    assert_eq!(world.counter(HOME, "spoofed_cancels"), 1);
    assert!(!world.has(JOE), "{}", world.ladder());
    // What is said of it is what is said where there is nothing to cancel.
    assert!(world.last(FORGED).starts_with("SIP/2.0 481 "));
    bob.send(&mut world, HOME, &cancel);
    assert_eq!(bob.status(&mut world), 200);
    assert!(world.last(JOE).starts_with("CANCEL "), "{}", world.ladder());
    // Any number of them without an INVITE leaves nothing behind.
    let held = world.gauge(HOME, "server_transactions");
    for cseq in 10..200 {
        let stray = forger().request("CANCEL", "sip:joe@example.com", cseq, "", "");
        forger().send(&mut world, HOME, &stray);
    }
    assert_eq!(world.gauge(HOME, "server_transactions"), held);
}

#[test]
fn what_a_via_says_aims_nothing() {
    // Protocol 3.1; RFC 3261 §18.2.1
    let victim = "198.51.100.9:5060";
    for lie in [
        ";maddr=198.51.100.9",
        ";received=198.51.100.9;rport=5060",
        ";received=198.51.100.9;maddr=198.51.100.9;ttl=1",
    ] {
        for to in [EDGES[0], HOME] {
            let mut world = World::lab(Tokens::Clear);
            let uri = if to == HOME {
                "sip:example.com"
            } else {
                "sip:edge.example.com"
            };
            let text = forger().request("OPTIONS", uri, 1, "", "");
            let text = text.replace(FORGED, victim).replace(";rport", lie);
            let text = text.replace("Content-Length", &format!("{}Content-Length", padding()));
            forger().send(&mut world, to, &text);
            let reached = world
                .trace
                .iter()
                .any(|seen| seen.to == victim.parse().unwrap());
            assert!(!reached, "{lie}\n{}", world.ladder());
            let answer = world.receive(FORGED).text;
            assert!(answer.contains(";received=203.0.113.6"), "{answer}");
            assert_eq!(world.counter(to, "aimed_vias"), 1);
        }
    }
}

#[test]
fn stuffed_lists_are_refused_and_not_multiplied() {
    let lists = [
        ("Via", "SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKx"),
        ("Record-Route", "<sip:198.51.100.9;lr>"),
        ("Route", "<sip:198.51.100.9;lr>"),
    ];
    for (name, value) in lists {
        let stuffed = format!(
            "{name}: {}\n",
            vec![value; limits::VALUES_MAX + 1].join(",")
        );
        for to in [EDGES[0], HOME] {
            let mut world = World::lab(Tokens::Clear);
            let text = forger().request("INVITE", "sip:joe@example.com", 1, &stuffed, "");
            forger().send(&mut world, to, &text);
            let answer = world.receive(FORGED).text;
            assert!(answer.starts_with("SIP/2.0 400 "), "{name}: {answer}");
            assert_eq!(world.trace.len(), 2, "{}", world.ladder());
            let (came, went) = balance(&world);
            assert!(went <= came);
        }
    }
}

#[test]
fn a_captured_register_moves_nobody() {
    // its nonce count is spent, also from elsewhere and with a new branch.
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Register::new("joe", JOE);
    let challenge = joe.send(&mut world, EDGES[0], "");
    let proof = Login::new("joe").answer(&challenge);
    let ok = joe.send(&mut world, EDGES[0], &proof);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    let captured = world
        .trace
        .iter()
        .rfind(|seen| seen.from == JOE.parse().unwrap());
    let captured = captured.unwrap().text.replace("\r\n", "\n");
    world.forget();
    // To the letter it is a retransmission, whose answer goes to joe.
    world.send(FORGED, EDGES[0], &captured);
    assert!(!world.has(FORGED), "{}", world.ladder());
    let moved = captured.replace("z9hG4bK", "z9hG4bKm").replace(JOE, FORGED);
    let padded = format!("{}Content-Length", padding());
    world.send(FORGED, EDGES[0], &moved.replace("Content-Length", &padded));
    assert!(
        world.last(FORGED).starts_with("SIP/2.0 401 "),
        "{}",
        world.ladder()
    );
    // Not even with joe's address, where its nonce was sent.
    let neighbour = "127.0.0.1:5666";
    let moved = captured.replace("z9hG4bK", "z9hG4bKn");
    assert_eq!(world.counter(HOME, "replayed_digests"), 0);
    world.send(neighbour, EDGES[0], &moved.replace(JOE, neighbour));
    assert_eq!(world.counter(HOME, "replayed_digests"), 1);
    assert!(world.receive(neighbour).text.starts_with("SIP/2.0 401 "));
    // joe's calls still go to joe.
    let bob = Phone::foreign("bob", "127.0.0.1:5090");
    let invite = bob.request("INVITE", "sip:joe@example.com", 1, "", "");
    world.forget();
    bob.send(&mut world, HOME, &invite);
    assert!(world.last(JOE).starts_with("INVITE "), "{}", world.ladder());
    assert!(!world.has(FORGED));
}

#[test]
fn nobody_fails_logins_in_the_name_of_an_address_he_cannot_read_at() {
    // A nonce serves where it was sent; whoever forges a source has none.
    let mut world = World::lab(Tokens::Clear);
    let mut mallory = Register::new("joe", FORGED);
    mallory.lines.push_str(&padding());
    let challenge = mallory.send(&mut world, EDGES[0], "");
    let proof = Login::new("joe").answer(&challenge);
    let wrong = |n: u32| {
        format!(
            "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {JOE};branch=z9hG4bKw{n}\n\
             Route: <sip:edge.example.com;lr>\nFrom: <sip:joe@example.com>;tag=w\nTo: <sip:joe@example.com>\n\
             Call-ID: w{n}\nCSeq: 1 REGISTER\nContact: <sip:joe@{FORGED}>\n{proof}Content-Length: 0\n\n"
        )
        .replace("uri=\"", "uri=\"sip:other@")
    };
    for n in 0..3 * limits::SOURCE_FAILED_DIGESTS.1 {
        world.send(JOE, EDGES[0], &wrong(n));
    }
    assert_eq!(world.counter(HOME, "failed_digests"), 0);
    assert!(world.counter(HOME, "foreign_nonces") > 0);
    world.forget();
    // The right answer from elsewhere asks for one more round, not for a user.
    let other = Register::new("joe", JOE).send(&mut world, EDGES[0], &proof);
    assert!(other.contains(", stale=true"), "{other}");
    let mut joe = Register::new("joe", JOE);
    let challenge = joe.send(&mut world, EDGES[0], "");
    let ok = joe.send(&mut world, EDGES[0], &Login::new("joe").answer(&challenge));
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
}

#[test]
fn a_source_opens_its_depth_of_connections_and_then_its_rate() {
    let mut world = World::lab(Tokens::Clear);
    let (rate, depth) = limits::SOURCE_CONNECTIONS;
    // Even ports: one shard, since each counts for itself.
    let from = |n: u32| format!("203.0.113.6:{}", 10_000 + 2 * n);
    for n in 0..depth {
        assert!(world.knock(&from(n), EDGES[0]), "{n}");
    }
    assert!(!world.knock(&from(depth), EDGES[0]));
    assert_eq!(world.counter(EDGES[0], "connections_refused"), 1);
    assert!(world.knock("203.0.113.7:10000", EDGES[0]));
    assert!(world.knock("127.0.0.1:10000", EDGES[0]));
    world.pass(Duration::from_secs(1));
    let more = (depth..).take_while(|n| world.knock(&from(*n), EDGES[0]));
    assert_eq!(more.count(), usize::try_from(rate).unwrap());
}

#[test]
fn a_source_that_finishes_no_message_loses_its_connections() {
    let mut world = World::lab(Tokens::Clear);
    // Even ports: one shard, since each counts for itself.
    let from = |n: usize| format!("203.0.113.6:{}", 10_000 + 2 * n);
    let start = format!(
        "OPTIONS sip:example.com SIP/2.0\r\nX: {}",
        "x".repeat(60_000)
    );
    let fit = limits::SOURCE_PARTIAL_BYTES_MAX / start.len();
    for n in 0..fit + 10 {
        world.connect(&from(n), EDGES[0]);
        world.send_bytes(&from(n), EDGES[0], start.as_bytes());
    }
    assert_eq!(world.counter(EDGES[0], "partials_refused"), 10);
    let open = (0..fit + 10).filter(|n| world.is_connected(&from(*n), EDGES[0]));
    assert_eq!(open.count(), fit);
    // Somebody else still may, and the rest gives way to time.
    world.connect("203.0.113.7:10000", EDGES[0]);
    world.send_bytes("203.0.113.7:10000", EDGES[0], start.as_bytes());
    assert!(world.is_connected("203.0.113.7:10000", EDGES[0]));
    world.pass(limits::PARTIAL_MESSAGE_MAX);
    assert_eq!(
        world.counter(EDGES[0], "partials_late"),
        u64::try_from(fit + 1).unwrap()
    );
    assert_eq!(world.gauge(EDGES[0], "streams"), 0);
    world.connect(&from(0), EDGES[0]);
    world.send_bytes(&from(0), EDGES[0], start.as_bytes());
    assert!(world.is_connected(&from(0), EDGES[0]));
}
