//! Datagrams and streams by example, and every stream at every split.

use super::*;

const BYE: &[u8] = b"BYE sip:a@h SIP/2.0\r\nl: 0\r\n\r\n";
const MESSAGE: &[u8] =
    b"MESSAGE sip:a@h SIP/2.0\r\nX: y\r\nContent-Length : \r\n 5\r\nZ:\r\n\r\nhello";

#[track_caller]
fn check_datagram(bytes: &[u8], want: DatagramFrame<'_>) {
    assert_eq!(datagram(bytes), want, "{}", bytes.escape_ascii());
}

// X-8, X-10
#[test]
fn a_datagram_holds_one_message() {
    check_datagram(BYE, DatagramFrame::Sip(BYE));
    check_datagram(MESSAGE, DatagramFrame::Sip(MESSAGE));
    check_datagram(
        &[b"\r\n\r\n\r\n", MESSAGE].concat(),
        DatagramFrame::Sip(MESSAGE),
    );
}

#[test]
fn what_is_no_message_is_told_apart() {
    for bytes in [&b"\r\n\r\n"[..], b"\r\n"] {
        check_datagram(bytes, DatagramFrame::KeepAlive);
    }
    for bytes in [
        &b""[..],
        b"\0",
        b"jaK",
        b"\x16\x03\x01\r\n",
        b"\x80abc",
        b" \r\n",
        b"\0\x01\0\0",
    ] {
        check_datagram(bytes, DatagramFrame::Noise);
    }
    let stun = [0; 20];
    check_datagram(&stun, DatagramFrame::Stun(&stun));
}

/// What a stream's reader saw, with the pings it owed an answer for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    messages: Vec<Vec<u8>>,
    pings: usize,
    broken: Option<(usize, Malformed)>,
    begun: bool,
}

/// Feeds the pieces as a connection would and reads all there is after each.
fn read(pieces: &[&[u8]]) -> Seen {
    let (mut seen, mut unread, mut resume) = (Seen::default(), Vec::new(), Resume::default());
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            let consumed = match stream(&unread, &mut resume) {
                StreamFrame::NeedMore { begun } => {
                    seen.begun = begun;
                    break;
                }
                StreamFrame::Ping { len } => {
                    seen.pings += 1;
                    len
                }
                StreamFrame::Skip { len } | StreamFrame::Noise { len } => len,
                StreamFrame::Message { start, end } => {
                    seen.messages.push(unread.get(start..end).unwrap().to_vec());
                    end
                }
                StreamFrame::Broken { end, defect } => {
                    seen.broken = Some((end, defect));
                    return seen;
                }
            };
            unread.drain(..consumed);
        }
    }
    seen
}

/// Whole, cut in two at every place, and byte by byte.
#[track_caller]
fn check_stream(bytes: &[u8], messages: &[&[u8]], pings: usize) {
    let want = Seen {
        messages: messages.iter().map(|message| message.to_vec()).collect(),
        pings,
        ..Seen::default()
    };
    assert_eq!(read(&[bytes]), want, "whole");
    for at in 0..=bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(read(&[left, right]), want, "split at {at}");
    }
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(read(&single), want, "byte by byte");
}

// X-9, X-10, O-7
#[test]
fn a_stream_gives_the_same_messages_at_every_split() {
    check_stream(BYE, &[BYE], 0);
    check_stream(&[BYE, MESSAGE, BYE].concat(), &[BYE, MESSAGE, BYE], 0);
    check_stream(
        &[b"\r\n\r\n", BYE, b"\r\n\r\n\r\n", MESSAGE, b"\r\n"].concat(),
        &[BYE, MESSAGE],
        2,
    );
    check_stream(b"\r\n\r\n", &[], 1);
    check_stream(b"\r\n\r\n\r\n", &[], 1);
    check_stream(b"\r\n\r\n\r\n\r\n", &[], 2);
    check_stream(b"\r\n", &[], 0);
}

// O-7
#[test]
fn a_crlfcrlf_inside_a_body_is_no_ping() {
    let message = b"INFO sip:a@h SIP/2.0\r\nl: 8\r\n\r\n\r\n\r\n\r\n\r\n";
    check_stream(message, &[message], 0);
}

#[test]
fn a_ping_is_seen_whole_or_in_halves_and_a_message_ends_the_half() {
    let mut resume = Resume::default();
    assert_eq!(
        stream(b"\r\n\r\n", &mut resume),
        StreamFrame::Ping { len: 4 }
    );
    assert_eq!(stream(b"\r\n", &mut resume), StreamFrame::Skip { len: 2 });
    assert_eq!(
        stream(b"\r", &mut resume),
        StreamFrame::NeedMore { begun: false }
    );
    assert_eq!(stream(b"\r\n", &mut resume), StreamFrame::Ping { len: 2 });
    assert_eq!(stream(b"\r\n", &mut resume), StreamFrame::Skip { len: 2 });
    assert_eq!(
        stream(BYE, &mut resume),
        StreamFrame::Message {
            start: 0,
            end: BYE.len()
        }
    );
    assert_eq!(stream(b"\r\n", &mut resume), StreamFrame::Skip { len: 2 });
}

#[test]
fn a_message_has_begun_with_its_first_byte() {
    assert_eq!(read(&[b"\r\n\r"]), Seen::default());
    assert_eq!(
        read(&[b"B"]),
        Seen {
            begun: true,
            ..Seen::default()
        }
    );
    let unfinished = MESSAGE.strip_suffix(b"o").unwrap();
    assert_eq!(
        read(&[unfinished]),
        Seen {
            begun: true,
            ..Seen::default()
        }
    );
}

#[track_caller]
fn check_broken(bytes: &[u8], want: (usize, Malformed)) {
    assert_eq!(
        read(&[bytes]).broken,
        Some(want),
        "{}",
        bytes.escape_ascii()
    );
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(read(&single).broken, Some(want), "byte by byte");
}

// X-9
#[test]
fn a_stream_without_a_sound_length_cannot_be_framed() {
    for lengths in [
        "X: y",
        "l: -999",
        "l: x",
        "l: 5\r\nl: 5",
        "Content-Length: 13\r\nl: 5",
    ] {
        let head = format!("BYE sip:a@h SIP/2.0\r\n{lengths}\r\n\r\n");
        check_broken(head.as_bytes(), (head.len(), Malformed::ContentLength));
    }
}

#[test]
fn garbage_on_a_stream_is_known_by_its_first_line() {
    for bytes in [
        &b"\x16\x03\x01"[..],
        b"GET / HTTP/1.1\r\n",
        b"hello\r\nworld",
    ] {
        check_broken(bytes, (0, Malformed::NotSip));
    }
}

#[test]
fn what_neither_a_message_nor_another_protocol_begins_with_is_skipped() {
    let message = b"BYE sip:a@h SIP/2.0\r\nl: 0\r\n\r\n";
    for noise in [
        &b"\0"[..],
        b"\n\r\n",
        b"\r\n\0",
        b" \t\n",
        b"\r",
        b"\r\r\n",
        b"\0\0\0\r\n",
    ] {
        let read = read(&[noise, message, noise, message]);
        assert_eq!(read.broken, None, "{noise:?}");
        assert_eq!(read.messages.len(), 2, "{noise:?}");
    }
}

#[test]
fn a_stream_longer_than_a_message_may_be_is_broken() {
    let fits = limits::MESSAGE_MAX - 40;
    let head = format!("BYE sip:a@h SIP/2.0\r\nl: {fits:07}\r\n\r\n");
    assert_eq!(head.len(), 35);
    let whole = [head.as_bytes(), &vec![b'x'; fits]].concat();
    assert_eq!(read(&[&whole]).messages.len(), 1);
    for length in [limits::MESSAGE_MAX - 34, usize::MAX] {
        let head = format!("BYE sip:a@h SIP/2.0\r\nl: {length:07}\r\n\r\n");
        assert_eq!(
            read(&[head.as_bytes()]).broken,
            Some((head.len(), Malformed::TooLong))
        );
    }
    let endless = [
        &b"BYE sip:a@h SIP/2.0\r\nX: "[..],
        &vec![b'x'; limits::MESSAGE_MAX],
    ]
    .concat();
    assert_eq!(
        read(&[&endless]).broken,
        Some((limits::MESSAGE_MAX, Malformed::TooLong))
    );
    let ended = [&endless[..], b"\r\nl: 0\r\n\r\n"].concat();
    assert_eq!(
        read(&[&ended]).broken,
        Some((limits::MESSAGE_MAX, Malformed::TooLong))
    );
}
