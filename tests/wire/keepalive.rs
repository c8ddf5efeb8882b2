//! Keep-alives on the sockets phones talk to (RFC 5626 §4.4 and §5.4,
//! RFC 8489).

use super::phone::{Phone, authorization};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::NatKeepalive;
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";

/// A Binding Request with this attribute block.
fn binding(attributes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(attributes.len()).unwrap().to_be_bytes();
    let mut out = vec![0, 1, length[0], length[1], 0x21, 0x12, 0xA4, 0x42];
    out.extend_from_slice(b"transaction!");
    out.extend_from_slice(attributes);
    out
}

#[test]
fn noise_is_counted_and_not_answered() {
    // O-7, K-4
    let mut world = World::lab(Tokens::Clear);
    for noise in [
        &b"\r\n\r\n"[..],
        b"\r\n",
        b"\0",
        b"\0\0\0\0",
        b"jaK",
        b"",
        b" ",
    ] {
        for node in [EDGES[0], HOME] {
            world.send_bytes(JOE, node, noise);
            assert!(!world.has(JOE), "{}", noise.escape_ascii());
        }
    }
    assert_eq!(world.counter(EDGES[0], "keepalives"), 7);
    assert_eq!(world.counter(EDGES[0], "malformed"), 0);
}

#[test]
fn stun_tells_a_phone_its_address() {
    // O-8, O-26, K-4: 127.0.0.1:5070 under the magic cookie.
    let mut world = World::lab(Tokens::Clear);
    for node in [EDGES[0], "127.0.0.11:40000", HOME] {
        world.send_bytes(JOE, node, &binding(b""));
        let answer = world.receive(JOE);
        assert_eq!(answer.from.to_string(), node);
        let mut want = vec![1, 1, 0, 12, 0x21, 0x12, 0xA4, 0x42];
        want.extend_from_slice(b"transaction!");
        want.extend_from_slice(&[0, 0x20, 0, 8, 0, 1]);
        want.extend_from_slice(&(5070_u16 ^ 0x2112).to_be_bytes());
        want.extend_from_slice(&[127 ^ 0x21, 0x12, 0xA4, 1 ^ 0x42]);
        assert_eq!(answer.bytes, want, "{node}");
    }
    assert_eq!(world.counter(EDGES[0], "stun"), 2);
}

#[test]
fn stun_refuses_what_it_does_not_know_and_drops_what_is_none() {
    // K-4
    let mut world = World::lab(Tokens::Clear);
    world.send_bytes(JOE, EDGES[0], &binding(&[0x7F, 0, 0, 0]));
    let answer = world.receive(JOE).bytes;
    assert_eq!(answer[..2], [1, 0x11]);
    assert!(
        answer.windows(4).any(|bytes| bytes == [0, 0, 4, 20]),
        "{answer:02x?}"
    );
    let mut indication = binding(b"");
    indication[1] = 0x11;
    let mut cookie = binding(b"");
    cookie[4] = 0x22;
    let mut short = binding(b"");
    short.pop();
    for bytes in [indication, cookie, short] {
        world.send_bytes(JOE, EDGES[0], &bytes);
        assert!(!world.has(JOE), "{bytes:02x?}");
    }
}

#[test]
fn stun_is_for_datagrams_alone() {
    // K-6: on a connection it is no SIP, and what follows cannot be cut.
    for node in [EDGES[0], "127.0.0.11:5061", HOME] {
        let mut world = World::lab(Tokens::Clear);
        world.connect(JOE, node);
        world.send_bytes(JOE, node, &binding(b""));
        assert!(!world.has(JOE), "{node}");
        assert!(!world.is_connected(JOE, node), "{node}");
        for node in [EDGES[0], HOME] {
            assert_eq!(world.counter(node, "stun"), 0);
        }
    }
}

#[test]
fn a_keep_alive_does_not_disturb_a_call() {
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
    world.send_bytes(JOE, EDGES[0], b"\r\n\r\n");
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    // empty lines in front of a message.
    world.send(JOE, EDGES[0], &format!("\n\n{invite}"));
    assert_eq!(joe.status(&mut world), 100);
    assert_eq!(joe.status(&mut world), 480);
}

#[test]
fn a_flow_that_was_to_be_kept_alive_and_was_not_is_closed() {
    // O-9, O-11
    let mut world = World::lab(Tokens::Clear);
    for edge in EDGES {
        world.connect(JOE, edge);
    }
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
    let backup = joe.backup.clone();
    for _ in 0..4 {
        world.pass(Duration::from_secs(100));
        world.send_bytes(JOE, &backup, b"\r\n\r\n");
        assert_eq!(world.receive(JOE).bytes, b"\r\n");
    }
    assert!(!world.is_connected(JOE, EDGES[0]));
    assert!(world.is_connected(JOE, &backup));
    assert_eq!(world.counter(EDGES[0], "flows_silent"), 1);
    assert_eq!(world.gauge(EDGES[0], "registered"), 0);
    // On the third nobody ever registered.
    let third = EDGES
        .iter()
        .find(|edge| **edge != backup && **edge != EDGES[0]);
    assert!(!world.is_connected(JOE, third.unwrap()));
}

#[test]
fn an_offer_to_keep_alive_is_taken_up() {
    // K-1
    let mut world = World::lab(Tokens::Clear);
    Phone::new("joe", JOE, false).register(&mut world, EDGES[0]);
    let joe = Phone::new("joe", JOE, false);
    let request = joe.request("OPTIONS", "sip:example.com", 1, "", "");
    joe.send(
        &mut world,
        EDGES[0],
        &request.replace(";rport;", ";rport;keep;"),
    );
    let via = Phone::values(&joe.receive(&mut world), "Via").remove(0);
    let spread = limits::FLOW_TIMER_SPREAD;
    Phone::shortened(&via, ";keep=", limits::FLOW_TIMER_S, spread);
    let again = joe.request("OPTIONS", "sip:example.com", 2, "", "");
    joe.send(&mut world, EDGES[0], &again);
    let via = Phone::values(&joe.receive(&mut world), "Via").remove(0);
    assert!(!via.contains("keep"), "{via}");
}

/// joe registers from `JOE` with this sent-by and these parameters in his Via, and
/// these lines; the answer.
#[track_caller]
fn registers(world: &mut World, sent_by: &str, via: &str, lines: &str) -> String {
    let request = |cseq: u32, more: &str| {
        format!(
            "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {sent_by};rport;branch=z9hG4bKnat{cseq}{via}\n\
             Route: <sip:edge.example.com;lr>\nMax-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\n\
             To: <sip:joe@example.com>\nCall-ID: nat\nCSeq: {cseq} REGISTER\n{lines}{more}Content-Length: 0\n\n"
        )
    };
    let cseq = u32::try_from(world.now.since(steadfast::time::Instant::ZERO).as_secs()).unwrap();
    world.send(JOE, EDGES[0], &request(2 * cseq + 1, ""));
    let challenge = world.receive(JOE).text;
    let proof = authorization("joe", &challenge);
    world.send(JOE, EDGES[0], &request(2 * cseq + 2, &proof));
    let answer = world.receive(JOE).text;
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    answer
}

/// What comes to joe in that time, which must be keep-alives.
#[track_caller]
fn pings(world: &mut World, time: Duration) -> usize {
    world.pass(time);
    let mut count = 0;
    while world.has(JOE) {
        let seen = world.receive(JOE);
        assert_eq!(seen.bytes, [0; 4], "{}", seen.text);
        assert_eq!(seen.from.to_string(), EDGES[0]);
        count += 1;
    }
    count
}

const CONTACT: &str = "Contact: <sip:joe@10.1.1.1:5060>;expires=600\n";

#[test]
fn a_restarted_edge_goes_on_keeping_a_phone_behind_a_nat_reachable() {
    let keeps = |_, edge: &mut steadfast::edge::Settings| edge.keeps_flows = true;
    let mut world = World::with(Tokens::Sealed, |_| (), keeps);
    registers(&mut world, "10.1.1.1:5060", "", CONTACT);
    world.restart(EDGES[0]);
    assert_eq!(pings(&mut world, 10 * limits::NAT_PING_EVERY), 10);
}

#[test]
fn a_phone_behind_a_nat_is_kept_reachable() {
    // K-7: what its Via says is not where it is (RFC 3581 §4): it would be deaf before long.
    let mut world = World::lab(Tokens::Sealed);
    registers(&mut world, "10.1.1.1:5060", "", CONTACT);
    assert_eq!(pings(&mut world, limits::NAT_PING_EVERY / 2), 0);
    assert_eq!(pings(&mut world, limits::NAT_PING_EVERY / 2), 1);
    assert_eq!(pings(&mut world, 10 * limits::NAT_PING_EVERY), 10);
    assert_eq!(world.counter(EDGES[0], "nat_pings"), 11);
    // A refresh makes no second one of it.
    registers(&mut world, "10.1.1.1:5060", "", CONTACT);
    assert_eq!(pings(&mut world, 4 * limits::NAT_PING_EVERY), 4);
    // They end with the registration, and the timer with them.
    assert!(pings(&mut world, Duration::from_secs(600)) <= 20);
    assert_eq!(pings(&mut world, Duration::from_secs(600)), 0);
    registers(&mut world, "10.1.1.1:5060", "", CONTACT);
    assert_eq!(pings(&mut world, limits::NAT_PING_EVERY), 1);
    let leaves = CONTACT.replace("=600", "=0");
    registers(&mut world, "10.1.1.1:5060", "", &leaves);
    assert_eq!(pings(&mut world, Duration::from_secs(600)), 0);
}

#[test]
fn who_keeps_himself_reachable_is_left_alone() {
    let outbound = "Contact: <sip:joe@10.1.1.1:5060>;reg-id=1;+sip.instance=\"<urn:1>\"\n\
                    Supported: path, outbound\n";
    for (sent_by, via, lines) in [
        // No translation.
        (JOE, "", CONTACT),
        // RFC 6223, RFC 5626.
        ("10.1.1.1:5060", ";keep", CONTACT),
        ("10.1.1.1:5060", "", outbound),
    ] {
        let mut world = World::lab(Tokens::Sealed);
        registers(&mut world, sent_by, via, lines);
        assert_eq!(
            pings(&mut world, 4 * limits::NAT_PING_EVERY),
            0,
            "{via}{lines}"
        );
    }
    // The port alone is enough, and so is a name.
    for sent_by in ["127.0.0.1:5060", "phone.local:5070"] {
        let mut world = World::lab(Tokens::Sealed);
        registers(&mut world, sent_by, "", CONTACT);
        assert_eq!(pings(&mut world, limits::NAT_PING_EVERY), 1, "{sent_by}");
    }
    // And the operator may not want it.
    let off =
        |_, edge: &mut steadfast::edge::Settings| edge.rules.nat_keepalive = NatKeepalive::Off;
    let mut world = World::with(Tokens::Sealed, |_| (), off);
    registers(&mut world, "10.1.1.1:5060", "", CONTACT);
    assert_eq!(pings(&mut world, 4 * limits::NAT_PING_EVERY), 0);
}
