//! Datagrams and streams: where answers go, where messages begin and end, and
//! what a broken way means (RFC 3261 §18, RFC 3581).

use super::peer::{
    CORE, FAR, answer, branch_of, expect, long, mask, of_invite, request, respond, silent, status,
};
use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::id::Transport;
use steadfast::limits;
use steadfast::time::Duration;

const BOB: &str = "sip:bob@127.0.0.9";

#[test]
fn an_answer_goes_back_the_way_the_request_came() {
    //
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
    // What the sender says of itself is not believed, and maddr not followed.
    check(
        "10.0.0.1;received=6.6.6.6;rport=66;maddr=7.7.7.7;branch=z9hG4bKa",
        phone,
        "10.0.0.1;received=127.0.0.1;rport=5070;maddr=7.7.7.7;branch=z9hG4bKa",
    );
}

#[test]
fn a_forwarded_request_carries_what_was_seen_of_its_sender() {
    // between elements of ours without rport: and the phone's answer comes from the socket it wrote to.
    let mut world = World::lab(Tokens::Clear);
    Phone::new("joe", "127.0.0.1:5070", false).register(&mut world, EDGES[0]);
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
        vias[1].starts_with("Via: SIP/2.0/UDP 127.0.0.11:40000;branch="),
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

#[test]
fn a_long_request_goes_by_tcp() {
    //
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
            via.contains("\r\nVia: SIP/2.0/TCP 127.0.0.10;branch=OURS\r\n"),
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
    //
    let mut world = World::lab(Tokens::Clear);
    for method in ["INVITE", "MESSAGE"] {
        let text = long(method, "ref");
        world.send(CORE, HOME, &text);
        let seen = world.receive(FAR);
        assert_eq!(seen.transport, Transport::Udp);
        assert!(
            seen.text
                .contains("\r\nVia: SIP/2.0/UDP 127.0.0.10;rport;branch="),
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
fn a_long_request_goes_by_udp_once_when_tcp_takes_it_and_closes() {
    // P-31, X-6: a relay in front of nobody accepts, and is gone.
    let mut world = World::lab(Tokens::Clear);
    world.listen(FAR);
    let text = long("INVITE", "mute");
    world.send(CORE, HOME, &text);
    assert_eq!(status(&mut world, CORE), 100);
    for _ in 0..2 {
        let seen = world.receive(FAR);
        assert_eq!(seen.transport, Transport::Tcp);
        world.close(FAR, HOME);
    }
    let seen = world.receive(FAR);
    assert_eq!(seen.transport, Transport::Udp);
    silent(&world, &[FAR, CORE]);
    respond(&mut world, FAR, &seen.text, 180);
    assert_eq!(status(&mut world, CORE), 180);
    // It rings for longer than the first copies are heard out.
    world.pass(limits::T1_64 + limits::T1_64);
    silent(&world, &[FAR, CORE]);
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
    //
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

#[test]
fn a_body_without_a_length_gets_one_on_a_stream() {
    // P-15, X-8
    let mut world = World::lab(Tokens::Clear);
    world.listen(FAR);
    let text = request("MESSAGE", "sip:bob@127.0.0.9;transport=tcp", "len", "")
        .replace("Content-Length: 0\n\n", "X: 1\n\nhello");
    world.send(CORE, HOME, &text);
    let seen = world.receive(FAR);
    assert_eq!(seen.transport, Transport::Tcp);
    let head = "MESSAGE sip:bob@127.0.0.9;transport=tcp SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.10;branch=OURS\r\n\
        Max-Breadth: 60\r\nContent-Length: 5\r\nVia: ";
    let got = mask(&seen.text);
    assert!(
        got.starts_with(head) && got.ends_with("\r\nX: 1\r\n\r\nhello"),
        "{got}"
    );
    // Over UDP it stays as it was.
    world.send(
        CORE,
        HOME,
        &text.replace(";transport=tcp", "").replace("bKlen", "bKudp"),
    );
    let got = world.receive(FAR).text;
    assert!(
        !got.contains("Content-Length") && got.ends_with("\r\nX: 1\r\n\r\nhello"),
        "{got}"
    );
}
