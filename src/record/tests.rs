//! What a peer may do to a session, and what becomes of it. The peers are sessions of this crate
//! whose records are made by hand, rustls, and the trace of RFC 8448.

mod alerts;
mod hostile;
mod messages;
mod pieces;
mod rustls_peer;
mod states;
mod trace;
mod used_up;

use crate::keys::{Half, Secret};
use crate::session::Flow;
use crate::suite::{Cipher, Suite, Version};
use crate::{Failure, Keys, Role, Session, Stand, limits};

const CIPHERS: [Cipher; 3] = [
    Cipher::Aes128Gcm,
    Cipher::Aes256Gcm,
    Cipher::ChaCha20Poly1305,
];

/// Every suite there is.
fn suites() -> impl Iterator<Item = Suite> {
    [Version::Tls12, Version::Tls13]
        .into_iter()
        .flat_map(|version| CIPHERS.map(|cipher| Suite { version, cipher }))
}

const TLS13: Suite = Suite {
    version: Version::Tls13,
    cipher: Cipher::Aes128Gcm,
};
const TLS12: Suite = Suite {
    version: Version::Tls12,
    cipher: Cipher::Aes128Gcm,
};

/// Two ends that know one another's keys: the client and the server.
fn pair(suite: Suite) -> (Session, Session) {
    let secret = |number: u8| {
        let bytes = [number; 48];
        Secret::new(&bytes[..suite.secret_len()]).unwrap()
    };
    let bytes = [[1; 32], [2; 32]];
    let key = |number: u8| Keys {
        key: &bytes[usize::from(number)][..suite.key_len()],
        iv: [number + 3; 12],
        sequence: 0,
    };
    let end = |role, up, down| match suite.version {
        Version::Tls12 => Session::tls12(suite.cipher, role, &key(down), &key(up)).unwrap(),
        Version::Tls13 => {
            let half = |number| (secret(number + 1), 0);
            Session::tls13(suite.cipher, role, half(down), half(up))
        }
    };
    (end(Role::Client, 0, 1), end(Role::Server, 1, 0))
}

/// A record of any type and content, sealed by `from`; in TLS 1.3 with this much padding.
fn forge(from: &mut Session, typ: u8, content: &[u8], padding: usize) -> Vec<u8> {
    let (suite, mut out) = (from.suite, Vec::new());
    let key = from.tx.expand(suite);
    let begun = from.tx.begin(suite, &mut out);
    out.extend_from_slice(content);
    let mut last = typ;
    if padding > 0 {
        assert_eq!(suite.version, Version::Tls13);
        out.push(typ);
        out.extend(vec![0; padding - 1]);
        last = 0;
    }
    from.tx.seal(suite, &key, last, begun, &mut out);
    out
}

/// That many bytes, no two the same side by side.
fn counting(len: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(len).collect()
}

fn data(from: &mut Session, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    from.seal([message], &mut out).unwrap();
    out
}

/// What one end heard of some bytes.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    plain: Vec<u8>,
    stand: Stand,
    /// What it answers.
    out: Vec<u8>,
    tickets: Vec<Vec<u8>>,
}

/// Hands bytes over whole; nothing of them may be left.
fn hear(to: &mut Session, bytes: &[u8]) -> Heard {
    hear_pieces(to, bytes, bytes.len().max(1))
}

/// Hands bytes over in pieces, as from a socket.
fn hear_pieces(to: &mut Session, bytes: &[u8], piece: usize) -> Heard {
    let (mut held, mut heard) = (
        Vec::new(),
        Heard {
            plain: Vec::new(),
            stand: Stand::Open,
            out: Vec::new(),
            tickets: Vec::new(),
        },
    );
    for bytes in bytes.chunks(piece) {
        held.extend_from_slice(bytes);
        let tickets = &mut |body: &[u8]| {
            heard.tickets.push(body.to_vec());
            Ok(())
        };
        let received = to.receive(&mut held, &mut heard.out, tickets);
        heard.plain.extend_from_slice(&held[received.plain]);
        heard.stand = received.stand;
        if let Stand::Failed(_) = received.stand {
            return heard;
        }
        held.drain(..received.used);
    }
    heard
}

/// `to` fails so on these bytes after these words, tells `from` why, and is dead.
#[track_caller]
fn check_fails(from: &mut Session, to: &mut Session, bytes: &[u8], plain: &[u8], why: Failure) {
    let heard = hear(to, bytes);
    assert_eq!(heard.stand, Stand::Failed(why));
    assert_eq!(heard.plain, plain);
    if let Some(alert) = why.alert() {
        let told = hear(from, &heard.out);
        assert_eq!(told.stand, Stand::Failed(Failure::Alerted(alert)));
    } else {
        assert_eq!(heard.out, b"");
    }
    check_dead(to);
}

#[track_caller]
fn check_dead(session: &mut Session) {
    let mut out = Vec::new();
    let again = session.receive(&mut [23, 3, 3, 0, 32, 1, 2], &mut out, &mut |_| Ok(()));
    assert_eq!(again.stand, Stand::Failed(Failure::Over));
    assert_eq!((again.used, again.plain), (0, 0..0));
    let closed = Err(crate::Unsealed::Closed);
    assert_eq!(session.seal([&b"x"[..]], &mut out), closed);
    session.close(&mut out);
    assert_eq!(out, b"");
}

#[test]
fn a_session_is_small_and_its_keys_are_wiped() {
    assert_eq!(size_of::<Session>(), 240);
    let wipes = [
        std::mem::needs_drop::<Half>(),
        std::mem::needs_drop::<Secret>(),
        std::mem::needs_drop::<crate::State>(),
    ];
    assert_eq!(wipes, [true; 3]);
}

#[test]
fn both_ends_speak_in_every_suite_and_at_every_length() {
    for suite in suites() {
        let (mut near, mut far) = pair(suite);
        for len in [0_usize, 1, 800, 16_383, 16_384, 16_385, 40_000] {
            let message = counting(len);
            let bytes = data(&mut near, &message);
            let records = len.div_ceil(limits::CONTENT_MAX);
            let overhead = suite.explicit_len() + 21 + usize::from(suite.version == Version::Tls13);
            assert_eq!(bytes.len(), len + records * overhead, "{suite:?} {len}");
            assert_eq!(hear(&mut far, &bytes).plain, message);
            let bytes = data(&mut far, &message);
            assert_eq!(hear(&mut near, &bytes).plain, message);
        }
        let mut out = Vec::new();
        near.close(&mut out);
        near.close(&mut out);
        assert_eq!(hear(&mut far, &out).stand, Stand::Ended);
        assert_eq!((near.writing, far.reading), (Flow::Ended, Flow::Ended));
    }
}

#[test]
fn messages_of_a_turn_share_a_record() {
    let (mut near, mut far) = pair(TLS13);
    let mut out = b"before".to_vec();
    let messages = [&b"INVITE"[..], b"", b"ACK", &[7; 16_384], b"BYE"];
    near.seal(messages, &mut out).unwrap();
    let len: usize = messages.iter().map(|message| message.len()).sum();
    assert_eq!(out.len(), b"before".len() + len + 2 * 22);
    assert_eq!(hear(&mut far, &out[6..]).plain, messages.concat());
    assert_eq!(far.rx.sequence, 2);
}

#[test]
fn keys_that_are_kept_say_the_same() {
    for suite in suites() {
        let ((mut near, mut far), (mut other, _)) = (pair(suite), pair(suite));
        near.keep_keys();
        far.keep_keys();
        for round in 0..6 {
            if suite.version == Version::Tls13 && round == 3 {
                (near.owes_update, other.owes_update) = (true, true);
            }
            let bytes = data(&mut near, b"INVITE");
            assert_eq!(bytes, data(&mut other, b"INVITE"));
            assert_eq!(hear(&mut far, &bytes).plain, b"INVITE");
        }
    }
}
