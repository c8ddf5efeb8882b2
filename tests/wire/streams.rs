//! Streams: where a message ends, how long it may take, and what stands
//! between messages (RFC 3261 §18.3, RFC 5626 §4.4.1).

use super::peer::{CORE, FAR, answer, expect, long, request, silent, status};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::time::Duration;

const BOB: &str = "sip:bob@127.0.0.9";

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
    // O-7, O-8, K-4
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
