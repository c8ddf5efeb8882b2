//! Datagrams and streams: where answers go, where messages begin and end, and
//! what a broken way means (RFC 3261 §18, RFC 3581; protocol 1.F, 1.M).

use super::peer::{
    CORE, FAR, answer, branch_of, expect, mask, of_invite, request, respond, silent, status,
};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::id::Transport;
use steadfast::time::Duration;

const BOB: &str = "sip:bob@127.0.0.9";

#[test]
fn an_answer_goes_back_the_way_the_request_came() {
    // X-2, X-3
    #[track_caller]
    fn check(via: &str, to: &str, want: &str) {
        let mut world = World::lab(Tokens::Clear);
        let text = request("OPTIONS", "sip:127.0.0.11", "via", "");
        let text = text.replace(&format!("{CORE};branch=z9hG4bKvia"), via);
        world.send("127.0.0.1:5070", EDGES[0], &text);
        let seen = world.receive(to);
        let line = seen.text.split("\r\n").nth(1).unwrap();
        assert_eq!(line, format!("Via: SIP/2.0/UDP {want}"));
        assert_eq!(seen.from.to_string(), EDGES[0]);
    }
    let phone = "127.0.0.1:5070";
    check(
        "127.0.0.1:5070;branch=z9hG4bKa",
        phone,
        "127.0.0.1:5070;branch=z9hG4bKa",
    );
    check(
        "127.0.0.1;branch=z9hG4bKa",
        "127.0.0.1:5060",
        "127.0.0.1;branch=z9hG4bKa",
    );
    check(
        "127.0.0.1:5070;rport;branch=z9hG4bKa",
        phone,
        "127.0.0.1:5070;received=127.0.0.1;rport=5070;branch=z9hG4bKa",
    );
    check(
        "10.0.0.1:5070;branch=z9hG4bKa;rport",
        phone,
        "10.0.0.1:5070;received=127.0.0.1;branch=z9hG4bKa;rport=5070",
    );
    check(
        "h.example:9;branch=z9hG4bKa",
        "127.0.0.1:9",
        "h.example:9;received=127.0.0.1;branch=z9hG4bKa",
    );
    // What the sender says of itself is not believed, and maddr not followed (X-5).
    check(
        "10.0.0.1;received=6.6.6.6;rport=66;maddr=7.7.7.7;branch=z9hG4bKa",
        phone,
        "10.0.0.1;received=127.0.0.1;rport=5070;maddr=7.7.7.7;branch=z9hG4bKa",
    );
}

#[test]
fn a_forwarded_request_carries_what_was_seen_of_its_sender() {
    // X-2, X-12: and the phone's answer comes from the socket it wrote to.
    let mut world = World::lab(Tokens::Clear);
    let text =
        request("INVITE", BOB, "nat", "").replace(&format!("{CORE};"), "10.0.0.1:5060;rport;");
    world.send("127.0.0.1:5070", EDGES[0], &text);
    let received = expect(&mut world, FAR, "INVITE");
    let vias: Vec<_> = received
        .split("\r\n")
        .filter(|line| line.starts_with("Via: "))
        .collect();
    assert_eq!(
        vias[2],
        "Via: SIP/2.0/UDP 10.0.0.1:5060;received=127.0.0.1;rport=5070;branch=z9hG4bKnat"
    );
    assert!(
        vias[1].starts_with(
            "Via: SIP/2.0/UDP 127.0.0.11:40000;received=127.0.0.11;rport=40000;branch="
        ),
        "{vias:?}"
    );
    respond(&mut world, FAR, &received, 486);
    for code in ["100", "486"] {
        let seen = world.receive("127.0.0.1:5070");
        assert_eq!(
            (seen.from.to_string().as_str(), &seen.text[8..11]),
            (EDGES[0], code)
        );
    }
}

/// A request longer than a datagram should be.
fn long(method: &str, branch: &str) -> String {
    let extra = format!("X-Long: {}\n", "x".repeat(1_200));
    request(method, BOB, branch, &extra)
}

#[test]
fn a_long_request_goes_by_tcp() {
    // X-6, X-7
    let mut world = World::lab(Tokens::Clear);
    world.listen(FAR);
    for branch in ["one", "two"] {
        world.send(CORE, HOME, &long("MESSAGE", branch));
        let seen = world.receive(FAR);
        assert_eq!(
            (seen.transport, seen.from.to_string().as_str()),
            (Transport::Tcp, HOME)
        );
        let via = mask(&seen.text);
        assert!(
            via.contains("\r\nVia: SIP/2.0/TCP 127.0.0.10:5060;branch=OURS\r\n"),
            "{via}"
        );
        world.send(FAR, HOME, &answer(&seen.text, 200, "far", ""));
        assert_eq!(status(&mut world, CORE), 200);
    }
    // A short one still goes by UDP.
    world.send(CORE, HOME, &request("MESSAGE", BOB, "short", ""));
    let seen = world.receive(FAR);
    assert_eq!(seen.transport, Transport::Udp);
    respond(&mut world, FAR, &seen.text, 200);
    // Nothing is sent twice on a stream.
    world.send(CORE, HOME, &long("MESSAGE", "three"));
    world.receive(FAR);
    world.pass(Duration::from_secs(10));
    silent(&world, &[FAR]);
    world.drained();
}

#[test]
fn a_long_request_goes_by_udp_when_tcp_is_refused() {
    // X-6
    let mut world = World::lab(Tokens::Clear);
    for method in ["INVITE", "MESSAGE"] {
        let text = long(method, "ref");
        world.send(CORE, HOME, &text);
        let seen = world.receive(FAR);
        assert_eq!(seen.transport, Transport::Udp);
        assert!(
            seen.text
                .contains(&format!("\r\nVia: SIP/2.0/UDP {HOME};rport;branch=")),
            "{}",
            seen.text
        );
        silent(&world, &[FAR]);
        respond(&mut world, FAR, &seen.text, 404);
        if method == "INVITE" {
            expect(&mut world, FAR, "ACK");
            world.send(CORE, HOME, &of_invite("ACK", &text));
        }
        world.drained();
    }
    // Refused both ways it is a 503, once.
    world.forget();
    world.send(CORE, HOME, &long("MESSAGE", "both"));
    world.receive(FAR);
    world.unreachable(HOME, FAR);
    assert_eq!(status(&mut world, CORE), 500);
    world.drained();
    silent(&world, &[FAR]);
}

#[test]
fn a_stream_that_breaks_fails_what_waits_on_it() {
    // P-31, X-6: what was heard of is not sent a second time by UDP.
    let mut world = World::lab(Tokens::Clear);
    world.listen(FAR);
    let text = long("INVITE", "brk");
    world.send(CORE, HOME, &text);
    assert_eq!(status(&mut world, CORE), 100);
    let received = expect(&mut world, FAR, "INVITE");
    world.send(FAR, HOME, &answer(&received, 180, "far", ""));
    assert_eq!(status(&mut world, CORE), 180);
    world.close(FAR, HOME);
    assert_eq!(status(&mut world, CORE), 500);
    world.send(CORE, HOME, &of_invite("ACK", &text));
    silent(&world, &[FAR]);
    world.drained();
    // What was not heard of is.
    world.send(CORE, HOME, &long("MESSAGE", "unh"));
    assert_eq!(world.receive(FAR).transport, Transport::Tcp);
    world.refuse(FAR);
    world.close(FAR, HOME);
    let seen = world.receive(FAR);
    assert_eq!(seen.transport, Transport::Udp);
    respond(&mut world, FAR, &seen.text, 200);
    assert_eq!(status(&mut world, CORE), 200);
    world.drained();
}

#[test]
fn an_answer_survives_the_connection_of_its_request() {
    // X-4, P-31
    for listens in [true, false] {
        let mut world = World::lab(Tokens::Clear);
        let source = "127.0.0.12:40001";
        world.connect(source, HOME);
        let text = request("INVITE", BOB, "gone", "").replace("/UDP", "/TCP");
        world.send(source, HOME, &text);
        assert_eq!(status(&mut world, source), 100);
        let received = expect(&mut world, FAR, "INVITE");
        assert!(
            received.contains(&format!("Via: SIP/2.0/TCP {CORE};branch=z9hG4bKgone\r\n")),
            "{received}"
        );
        world.close(source, HOME);
        // To the port in the Via, not to the one the connection came from.
        if listens {
            world.listen(CORE);
        }
        respond(&mut world, FAR, &received, 200);
        assert_eq!(world.has(CORE), listens);
        assert!(!world.has(FAR), "the branch is not cancelled");
        if listens {
            let seen = world.receive(CORE);
            assert_eq!((seen.transport, &seen.text[8..11]), (Transport::Tcp, "200"));
        }
        world.drained();
    }
}

#[test]
fn a_datagram_is_one_message() {
    // X-8, X-10
    let mut world = World::lab(Tokens::Clear);
    let text = request("MESSAGE", BOB, "dg", "").replace("Content-Length: 0", "Content-Length: 2");
    world.send(CORE, HOME, &format!("\n\n\n{text}abcdef"));
    let got = mask(&world.receive(FAR).text);
    assert!(
        got.starts_with("MESSAGE ") && got.ends_with("\r\n\r\nab"),
        "{got}"
    );
    world.send(
        CORE,
        HOME,
        &format!("{text}a").replace("z9hG4bKdg", "z9hG4bKd2"),
    );
    assert_eq!(status(&mut world, CORE), 400);
    silent(&world, &[FAR]);
    // A response that is too short is dropped, and so is what is no message.
    let received = answer(&got, 200, "far", "").replace("Content-Length: 0", "Content-Length: 1");
    for noise in [
        &received[..],
        "\n\n",
        "\n",
        "\0",
        "jaK",
        "",
        "GET / HTTP/1.1\nHost: x\n\n",
        "SIP/2.0 200 OK\n\n",
    ] {
        world.send(FAR, HOME, noise);
        silent(&world, &[CORE, FAR]);
    }
    world.drained();
}

#[test]
fn a_stream_is_cut_by_content_length() {
    // X-9, X-10: at every place where a read may end.
    let source = "127.0.0.12:40001";
    let one = request("MESSAGE", BOB, "s1", "")
        .replace("Content-Length: 0\n\n", "Content-Length: 5\n\nab\n\nc");
    let two = request("INFO", BOB, "s2", "");
    let text = format!("\n{one}\n\n{two}\n")
        .replace('\n', "\r\n")
        .replace("Content-Length: 5", "Content-Length: 7");
    for at in 0..=text.len() {
        let mut world = World::lab(Tokens::Clear);
        world.connect(source, HOME);
        world.send_bytes(source, HOME, &text.as_bytes()[..at]);
        world.send_bytes(source, HOME, &text.as_bytes()[at..]);
        let got = expect(&mut world, FAR, "MESSAGE");
        assert!(
            got.ends_with("\r\nContent-Length: 7\r\n\r\nab\r\n\r\nc"),
            "{at}: {got}"
        );
        expect(&mut world, FAR, "INFO");
        silent(&world, &[FAR]);
        // O-7: the double CRLF between them was a ping.
        assert_eq!(world.receive(source).text, "\r\n", "{at}");
        silent(&world, &[source]);
        assert!(world.is_connected(source, HOME));
    }
}

#[test]
fn a_stream_that_cannot_be_cut_is_closed() {
    // X-9
    let source = "127.0.0.12:40001";
    let valid = request("MESSAGE", BOB, "bad", "");
    let with = |field: &str| valid.replace("Content-Length: 0\n", field);
    for (text, code) in [
        (with(""), Some(400)),
        (with("Content-Length: -1\n"), Some(400)),
        (with("Content-Length: x\n"), Some(400)),
        (with("Content-Length: 0\nl: 0\n"), Some(400)),
        (with("Content-Length: 65536\n"), Some(513)),
        ("GET / HTTP/1.1\n\n".to_owned(), None),
        ("\x16\x03\x01".to_owned(), None),
    ] {
        let mut world = World::lab(Tokens::Clear);
        world.connect(source, HOME);
        world.send(source, HOME, &text);
        assert_eq!(world.has(source), code.is_some(), "{text}");
        if let Some(code) = code {
            assert_eq!(status(&mut world, source), code, "{text}");
        }
        assert!(!world.is_connected(source, HOME), "{text}");
        silent(&world, &[FAR]);
        world.drained();
    }
    // A message with another defect is answered, and the stream goes on.
    let mut world = World::lab(Tokens::Clear);
    world.connect(source, HOME);
    world.send(
        source,
        HOME,
        &valid.replace("CSeq: 1 MESSAGE", "CSeq: 1 INFO"),
    );
    assert_eq!(status(&mut world, source), 400);
    world.send(source, HOME, &valid);
    expect(&mut world, FAR, "MESSAGE");
}

#[test]
fn a_message_that_does_not_end_closes_its_stream() {
    let source = "127.0.0.12:40001";
    let text = request("MESSAGE", BOB, "loris", "").replace('\n', "\r\n");
    let (first, rest) = text.as_bytes().split_at(200);
    let mut world = World::lab(Tokens::Clear);
    world.connect(source, HOME);
    // Idle it may be for ever, also between the two halves of a line end.
    world.send_bytes(source, HOME, b"\r");
    world.pass(Duration::from_secs(60));
    // In nine seconds a message may come, also one after the other.
    world.send_bytes(source, HOME, b"\n");
    for _ in 0..3 {
        world.send_bytes(source, HOME, first);
        world.pass(Duration::from_secs(9));
        world.send_bytes(source, HOME, rest);
        assert!(world.is_connected(source, HOME));
    }
    world.send_bytes(source, HOME, first);
    for _ in 0..99 {
        world.pass(Duration::from_millis(100));
        world.send_bytes(source, HOME, b"");
    }
    assert!(world.is_connected(source, HOME));
    world.pass(Duration::from_millis(100));
    assert!(!world.is_connected(source, HOME));
    world.drained();
}

#[test]
fn keep_alives_are_answered_where_they_ask_for_it() {
    // O-7, O-8, protocol 3.8, 3.9
    let phone = "127.0.0.1:5070";
    let mut world = World::lab(Tokens::Clear);
    world.send(phone, EDGES[0], "\n\n");
    silent(&world, &[phone]);
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], b"twelve bytes"].concat();
    world.send_bytes(phone, EDGES[0], &stun);
    let got = world.receive(phone);
    let xored = [0x13 ^ 0x21, 0xce ^ 0x12, 127 ^ 0x21, 0x12, 0xa4, 1 ^ 0x42];
    assert_eq!(got.bytes[..2], [1, 1]);
    assert_eq!(got.bytes[4..20], stun[4..20]);
    assert!(
        got.bytes.windows(6).any(|part| part == xored),
        "{:?}",
        got.bytes
    );
    assert_eq!(got.from.to_string(), EDGES[0]);
    world.connect(phone, EDGES[0]);
    for (bytes, want) in [
        ("\r\n", 0),
        ("\r\n\r\n", 1),
        ("\r\n\r\n\r\n", 1),
        ("\r\n\r\n\r\n\r\n", 2),
    ] {
        world.send_bytes(phone, EDGES[0], bytes.as_bytes());
        // The odd one out is the first half of the next.
        for _ in 0..want {
            assert_eq!(world.receive(phone).text, "\r\n", "{bytes:?}");
        }
        world.close(phone, EDGES[0]);
        silent(&world, &[phone]);
        world.connect(phone, EDGES[0]);
    }
    assert_eq!(world.counter(EDGES[0], "stun"), 1);
    // Two pongs on a stream that the proxy opened are no ping.
    world.forget();
    world.listen(FAR);
    world.send(CORE, HOME, &long("MESSAGE", "pong"));
    let received = expect(&mut world, FAR, "MESSAGE");
    world.send(FAR, HOME, "\n\n");
    silent(&world, &[FAR]);
    world.send(FAR, HOME, &answer(&received, 200, "far", ""));
    assert_eq!(status(&mut world, CORE), 200);
}

#[test]
fn icmp_fails_at_once_what_waits_for_that_peer() {
    // X-11, P-31
    let mut world = World::lab(Tokens::Clear);
    let text = request("INVITE", BOB, "icmp", "");
    world.send(CORE, HOME, &text);
    assert_eq!(status(&mut world, CORE), 100);
    let received = expect(&mut world, FAR, "INVITE");
    // Somebody else's trouble is not ours.
    world.unreachable(HOME, "127.0.0.9:5061");
    silent(&world, &[CORE]);
    world.unreachable(HOME, FAR);
    assert_eq!(status(&mut world, CORE), 500);
    world.send(CORE, HOME, &of_invite("ACK", &text));
    // Nothing is repeated towards it, and a late answer is a stray.
    respond(&mut world, FAR, &received, 200);
    assert_eq!(world.counter(HOME, "stray_responses"), 1);
    world.drained();
    silent(&world, &[CORE, FAR]);
    assert!(!branch_of(&received).is_empty());
}
