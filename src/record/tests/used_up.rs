//! Keys that have sealed all that they may, and sequence numbers at their end.

use super::*;
use crate::Unsealed;

/// Both ends of the direction from `near` to `far` stand at this number.
fn stand_at(near: &mut Session, far: &mut Session, sequence: u64) {
    (near.tx.sequence, far.rx.sequence) = (sequence, sequence);
}

#[test]
fn a_key_that_is_used_up_is_followed_by_the_next() {
    for cipher in CIPHERS {
        let suite = Suite {
            version: Version::Tls13,
            cipher,
        };
        let most = match cipher {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => 1 << 24,
            Cipher::ChaCha20Poly1305 => 1 << 62,
        };
        let (mut near, mut far) = pair(suite);
        stand_at(&mut near, &mut far, most - 3);
        assert_eq!((near.has_new_keys(), far.has_new_keys()), (false, false));
        // Four records of data in one turn; the third one has the next key.
        let mut bytes = data(&mut near, &[b'x'; 3 * limits::CONTENT_MAX + 1]);
        assert_eq!(near.tx.sequence, 2);
        let heard = hear(&mut far, &bytes);
        assert_eq!(heard.plain.len(), 3 * limits::CONTENT_MAX + 1);
        assert_eq!((near.has_new_keys(), far.has_new_keys()), (true, true));
        // The peer was asked for its own next key, and gives it with its next data, asking back
        // for nothing: it ends there.
        assert!(far.owes_update);
        bytes = data(&mut far, b"y");
        assert_eq!(hear(&mut near, &bytes).plain, b"y");
        assert_eq!((near.owes_update, far.owes_update), (false, false));
        assert_eq!((near.rx.sequence, far.tx.sequence), (1, 1));
    }
}

#[test]
fn an_answer_asks_for_nothing_though_the_key_is_used_up() {
    let (mut near, mut far) = pair(TLS13);
    stand_at(&mut near, &mut far, (1 << 24) - 1);
    near.owes_update = true;
    assert_eq!(hear(&mut far, &data(&mut near, b"a")).plain, b"a");
    assert!(!far.owes_update);
    assert_eq!(near.tx.sequence, 1);
}

#[test]
fn both_ends_may_come_to_it_at_once() {
    let (mut near, mut far) = pair(TLS13);
    stand_at(&mut near, &mut far, (1 << 24) - 1);
    stand_at(&mut far, &mut near, (1 << 24) - 1);
    let (up, down) = (data(&mut near, b"a"), data(&mut far, b"b"));
    assert_eq!(hear(&mut far, &up).plain, b"a");
    assert_eq!(hear(&mut near, &down).plain, b"b");
    for _ in 0..3 {
        let (up, down) = (data(&mut near, b"a"), data(&mut far, b"b"));
        assert_eq!(hear(&mut far, &up).plain, b"a");
        assert_eq!(hear(&mut near, &down).plain, b"b");
    }
    // One answer each, and no more.
    assert_eq!((near.tx.sequence, far.tx.sequence), (3, 3));
}

#[test]
fn tls_12_closes_with_the_key() {
    for cipher in CIPHERS {
        let version = Version::Tls12;
        let suite = Suite { version, cipher };
        let (mut near, mut far) = pair(suite);
        stand_at(&mut near, &mut far, suite.records_max() - 2);
        assert_eq!(hear(&mut far, &data(&mut near, b"a")).plain, b"a");
        let mut out = Vec::new();
        let messages = [&b"b"[..]];
        assert_eq!(near.seal(messages, &mut out), Err(Unsealed::Exhausted));
        assert_eq!(hear(&mut far, &out).stand, Stand::Ended);
        out.clear();
        assert_eq!(near.seal(messages, &mut out), Err(Unsealed::Closed));
        assert_eq!(out, b"");
        // What the peer has still to say is heard.
        assert_eq!(hear(&mut near, &data(&mut far, b"c")).plain, b"c");
    }
}

#[test]
fn tls_12_says_beforehand_that_its_key_comes_to_an_end() {
    for suite in suites() {
        let (mut near, mut far) = pair(suite);
        assert!(!near.is_nearly_used_up());
        let most = suite.records_max();
        stand_at(&mut near, &mut far, most - limits::RECORDS_LEFT - 1);
        assert!(!near.is_nearly_used_up());
        assert_eq!(hear(&mut far, &data(&mut near, b"a")).plain, b"a");
        // TLS 1.3 goes on with the next key.
        assert_eq!(near.is_nearly_used_up(), suite.version == Version::Tls12);
        assert!(!far.is_nearly_used_up());
        near.tx.sequence = u64::MAX;
        assert_eq!(near.is_nearly_used_up(), suite.version == Version::Tls12);
    }
}

#[test]
fn no_sequence_number_comes_twice() {
    for suite in suites() {
        let (mut near, mut far) = pair(suite);
        stand_at(&mut near, &mut far, u64::MAX - 1);
        // Past every bound, as only a peer could be.
        let last = forge(&mut near, 23, b"a", 0);
        assert_eq!(near.tx.sequence, u64::MAX);
        let beyond = forge(&mut near, 23, b"b", 0);
        assert_eq!(beyond, b"");
        let mut out = Vec::new();
        let messages = [&b"b"[..]];
        let mut other = pair(suite).0;
        (near.tx.sequence, other.tx.sequence) = (u64::MAX, u64::MAX);
        near.close(&mut out);
        assert_eq!(other.seal(messages, &mut out), Err(Unsealed::Exhausted));
        assert_eq!(other.seal(messages, &mut out), Err(Unsealed::Closed));
        assert_eq!((&out[..], near.tx.sequence), (&b""[..], u64::MAX));
        assert_eq!(hear(&mut far, &last).plain, b"a");
        // Whatever comes now, none has this number.
        let beyond = [23, 3, 3, 0, 32, 1].iter().chain(&[0; 31]);
        let beyond: Vec<u8> = beyond.copied().collect();
        let (mut told, _) = pair(suite);
        check_fails(&mut told, &mut far, &beyond, b"", Failure::Exhausted);
    }
}
