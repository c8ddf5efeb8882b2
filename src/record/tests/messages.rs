//! Handshake messages after the handshake: KeyUpdate, tickets, and attempts to negotiate anew.

use super::*;

const HANDSHAKE: u8 = 22;
const ASKS: [u8; 5] = [24, 0, 0, 1, 1];
const TELLS: [u8; 5] = [24, 0, 0, 1, 0];

/// `near` goes on to its next key with this KeyUpdate.
fn update(near: &mut Session, message: [u8; 5]) -> Vec<u8> {
    let bytes = forge(near, HANDSHAKE, &message, 0);
    near.tx.update(near.suite);
    bytes
}

/// A ticket with a body of `len` bytes.
fn ticket(len: usize) -> Vec<u8> {
    let [.., a, b, c] = len.to_be_bytes();
    [vec![4, a, b, c], counting(len)].concat()
}

#[test]
fn keys_are_updated_both_ways_and_asked_for_once() {
    for cipher in CIPHERS {
        let version = Version::Tls13;
        let (mut near, mut far) = pair(Suite { version, cipher });
        let mut bytes = data(&mut near, b"a");
        bytes.extend(update(&mut near, TELLS));
        bytes.extend(data(&mut near, b"b"));
        // Three requests are one answer.
        for _ in 0..3 {
            bytes.extend(update(&mut near, ASKS));
        }
        bytes.extend(data(&mut near, b"c"));
        let heard = hear(&mut far, &bytes);
        assert_eq!((&heard.plain[..], heard.stand), (&b"abc"[..], Stand::Open));
        // It is given with the next data, and asks for nothing.
        assert_eq!(heard.out, b"");
        let answer = data(&mut far, b"d");
        assert_eq!(answer.len(), (5 + 5 + 17) + (5 + 1 + 17));
        assert_eq!(hear(&mut near, &answer).plain, b"d");
        assert!(!near.owes_update);
        assert_eq!((near.rx.sequence, far.tx.sequence), (1, 1));
        let bytes = data(&mut far, b"e");
        assert_eq!(bytes.len(), 5 + 1 + 17);
        assert_eq!(hear(&mut near, &bytes).plain, b"e");
        // The key of before opens nothing any more.
        let (mut old, _) = pair(Suite { version, cipher });
        old.tx.sequence = near.tx.sequence;
        let bytes = data(&mut old, b"f");
        check_fails(&mut near, &mut far, &bytes, b"", Failure::BadRecordMac);
    }
}

#[test]
fn a_flood_of_key_updates_and_tickets_is_bounded() {
    let (mut near, mut far) = pair(TLS13);
    for _ in 0..3 {
        for _ in 0..limits::MESSAGES_MAX {
            let bytes = update(&mut near, ASKS);
            let heard = hear(&mut far, &bytes);
            assert_eq!((heard.stand, &heard.out[..]), (Stand::Open, &b""[..]));
            // Records without content do not set it back.
            let bytes = forge(&mut near, 23, b"", 0);
            assert_eq!(hear(&mut far, &bytes).stand, Stand::Open);
        }
        assert_eq!(hear(&mut far, &data(&mut near, b"x")).plain, b"x");
    }
    let flood: Vec<u8> = (0..=limits::MESSAGES_MAX)
        .flat_map(|_| update(&mut near, TELLS))
        .collect();
    check_fails(&mut near, &mut far, &flood, b"", Failure::TooManyMessages);

    let (mut near, mut far) = pair(TLS13);
    let flood = ticket(9).repeat(usize::from(limits::MESSAGES_MAX) + 1);
    let bytes = forge(&mut far, HANDSHAKE, &flood, 0);
    check_fails(&mut far, &mut near, &bytes, b"", Failure::TooManyMessages);
}

#[test]
fn messages_that_have_no_place_end_the_session() {
    let update_and = |more: &[u8]| [&TELLS, more].concat();
    let both = [
        (vec![24, 0, 0, 1, 2], Failure::IllegalParameter),
        (vec![24, 0, 0, 1, 255], Failure::IllegalParameter),
        (vec![24, 0, 0, 0], Failure::DecodeError),
        (vec![24, 0, 0, 2, 0, 0], Failure::DecodeError),
        // Nothing may follow it in its record: that has another key.
        (update_and(&[24]), Failure::UnexpectedMessage),
        (update_and(&TELLS), Failure::UnexpectedMessage),
        (vec![20, 0, 0, 32], Failure::UnexpectedMessage),
        (vec![0, 0, 0, 0], Failure::UnexpectedMessage),
        (vec![1, 0, 1, 0], Failure::UnexpectedMessage),
        (vec![2, 0, 0, 0], Failure::UnexpectedMessage),
        // A certificate is asked for of who has offered that, and nobody has.
        (vec![13, 0, 0, 3, 0, 0, 0], Failure::UnexpectedMessage),
        (Vec::new(), Failure::UnexpectedMessage),
    ];
    for (content, why) in both {
        let (mut near, mut far) = pair(TLS13);
        let bytes = forge(&mut near, HANDSHAKE, &content, 0);
        check_fails(&mut near, &mut far, &bytes, b"", why);
        let (mut near, mut far) = pair(TLS13);
        let bytes = forge(&mut far, HANDSHAKE, &content, 0);
        check_fails(&mut far, &mut near, &bytes, b"", why);
    }
    // Tickets go to clients alone.
    let (mut near, mut far) = pair(TLS13);
    let bytes = forge(&mut near, HANDSHAKE, &ticket(9), 0);
    check_fails(&mut near, &mut far, &bytes, b"", Failure::UnexpectedMessage);
    // The head alone says that one is too long.
    let (mut near, mut far) = pair(TLS13);
    let bytes = forge(&mut far, HANDSHAKE, &[4, 1, 0, 0], 0);
    check_fails(&mut far, &mut near, &bytes, b"", Failure::DecodeError);
}

#[test]
fn tickets_are_shown_whole_or_not_at_all() {
    let (mut near, mut far) = pair(TLS13);
    let two = [ticket(300), ticket(7)].concat();
    let heard = hear(&mut near, &forge(&mut far, HANDSHAKE, &two, 40));
    assert_eq!(heard.tickets, [&ticket(300)[4..], &ticket(7)[4..]]);
    assert_eq!((heard.stand, &heard.out[..]), (Stand::Open, &b""[..]));
    // Cut anywhere, and followed by another one.
    let three = [ticket(30), ticket(40), ticket(5)].concat();
    for at in 1..three.len() {
        let (mut near, mut far) = pair(TLS13);
        let mut bytes = forge(&mut far, HANDSHAKE, &three[..at], 0);
        bytes.extend(forge(&mut far, HANDSHAKE, &three[at..], 0));
        bytes.extend(data(&mut far, b"INVITE"));
        let heard = hear(&mut near, &bytes);
        assert_eq!(
            (heard.stand, &heard.plain[..]),
            (Stand::Open, &b"INVITE"[..])
        );
        let whole = [(0, 34), (34, 78), (78, 87)];
        let want = whole
            .into_iter()
            .filter(|&(start, end)| at <= start || end <= at);
        let want: Vec<_> = want.map(|(start, end)| &three[start + 4..end]).collect();
        assert_eq!(heard.tickets, want, "{at}");
    }
    // The longest one, byte by byte.
    let long = ticket(0xffff);
    for message in long.chunks(1_000) {
        let bytes = forge(&mut far, HANDSHAKE, message, 0);
        assert_eq!(hear(&mut near, &bytes).tickets, [b""; 0]);
    }
    assert!(!near.message.has_begun());
    assert_eq!(hear(&mut near, &data(&mut far, b"x")).plain, b"x");
}

#[test]
fn nothing_comes_between_the_parts_of_a_message() {
    for at in 1..5 {
        for (typ, content) in [(23, &b"x"[..]), (23, b""), (21, &[1, 0])] {
            let (mut near, mut far) = pair(TLS13);
            let mut bytes = forge(&mut near, HANDSHAKE, &TELLS[..at], 0);
            bytes.extend(forge(&mut near, typ, content, 0));
            check_fails(&mut near, &mut far, &bytes, b"", Failure::UnexpectedMessage);
        }
        let (mut near, mut far) = pair(TLS13);
        let mut bytes = forge(&mut near, HANDSHAKE, &ASKS[..at], 0);
        bytes.extend(forge(&mut near, HANDSHAKE, &ASKS[at..], 0));
        near.tx.update(TLS13);
        bytes.extend(data(&mut near, b"x"));
        assert_eq!(hear(&mut far, &bytes).plain, b"x");
        assert!(far.owes_update);
    }
}

#[test]
fn tls_12_is_never_negotiated_anew() {
    let hello = |len: u8| [vec![1, 0, 0, len], vec![7; usize::from(len)]].concat();
    for (role, message) in [(Role::Server, hello(200)), (Role::Client, vec![0; 4])] {
        for at in 1..=message.len() {
            let (mut near, mut far) = pair(TLS12);
            let (from, to) = match role {
                Role::Server => (&mut near, &mut far),
                Role::Client => (&mut far, &mut near),
            };
            let mut bytes = forge(from, HANDSHAKE, &message[..at], 0);
            if at < message.len() {
                bytes.extend(forge(from, HANDSHAKE, &message[at..], 0));
            }
            bytes.extend(data(from, b"x"));
            let heard = hear(to, &bytes);
            assert_eq!((heard.stand, &heard.plain[..]), (Stand::Open, &b"x"[..]));
            // no_renegotiation, a warning: the other end goes on as well.
            let told = hear(from, &heard.out);
            assert_eq!((told.stand, from.warnings), (Stand::Open, 1));
            let again = forge(from, HANDSHAKE, &message, 0);
            let why = Failure::TooManyRenegotiations;
            check_fails(from, to, &again, b"", why);
        }
    }
    // What the other side would begin, and what TLS 1.3 alone knows.
    for (role, message) in [
        (Role::Client, hello(200)),
        (Role::Server, vec![0; 4]),
        (Role::Server, TELLS.to_vec()),
        (Role::Client, TELLS.to_vec()),
        (Role::Client, ticket(9)),
    ] {
        let (mut near, mut far) = pair(TLS12);
        let (from, to) = match role {
            Role::Server => (&mut near, &mut far),
            Role::Client => (&mut far, &mut near),
        };
        let bytes = forge(from, HANDSHAKE, &message, 0);
        check_fails(from, to, &bytes, b"", Failure::UnexpectedMessage);
    }
    let (mut near, mut far) = pair(TLS12);
    let bytes = forge(&mut far, HANDSHAKE, &[0, 0, 0, 1, 0], 0);
    check_fails(&mut far, &mut near, &bytes, b"", Failure::DecodeError);
}

#[test]
fn a_ticket_that_is_refused_ends_the_session() {
    let (mut near, mut far) = pair(TLS13);
    let bytes = forge(&mut far, HANDSHAKE, &ticket(9), 0);
    let (mut out, mut bytes) = (Vec::new(), bytes);
    let received = near.receive(&mut bytes, &mut out, &mut |_| Err(Failure::DecodeError));
    assert_eq!(received.stand, Stand::Failed(Failure::DecodeError));
    let told = Failure::Alerted(crate::Alert::DECODE_ERROR);
    assert_eq!(hear(&mut far, &out).stand, Stand::Failed(told));
    check_dead(&mut near);
}
