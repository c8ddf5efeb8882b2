//! Sessions that are written out and read back.

use super::*;
use crate::{BadState, State};

fn again(session: Session) -> Session {
    Session::from_state(State::copy(session.into_state().as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_session_goes_on_where_it_was_written() {
    for suite in suites() {
        let (mut near, mut far) = pair(suite);
        near.keep_keys();
        for round in 0..20_u8 {
            (near, far) = (again(near), again(far));
            let bytes = data(&mut near, &[round]);
            assert_eq!(hear(&mut far, &bytes).plain, [round]);
            if suite.version == Version::Tls13 && round % 3 == 1 {
                // In the middle of a KeyUpdate, with an answer owed.
                let first = forge(&mut near, 22, &[24, 0, 0], 0);
                let rest = forge(&mut near, 22, &[1, 1], 0);
                near.tx.update(suite);
                near = again(near);
                assert_eq!(hear(&mut far, &first).stand, Stand::Open);
                far = again(far);
                assert_eq!(hear(&mut far, &rest).stand, Stand::Open);
                far = again(far);
                assert!(far.owes_update);
            }
            let bytes = data(&mut far, b"200 OK");
            assert_eq!(hear(&mut near, &bytes).plain, b"200 OK");
        }
        assert_eq!((near.keeps_keys(), far.keeps_keys()), (true, false));
        let mut out = Vec::new();
        near.close(&mut out);
        assert_eq!(hear(&mut far, &out).stand, Stand::Ended);
        (near, far) = (again(near), again(far));
        let closed = Err(crate::Unsealed::Closed);
        assert_eq!(near.seal([&b"x"[..]], &mut out), closed);
        assert_eq!(hear(&mut far, b"x").stand, Stand::Ended);
        assert_eq!(hear(&mut near, &data(&mut far, b"x")).plain, b"x");
    }
}

#[test]
fn bounds_are_not_forgotten() {
    let (mut near, mut far) = pair(TLS13);
    for _ in 0..limits::EMPTY_RECORDS_MAX {
        let _heard = hear(&mut far, &forge(&mut near, 23, b"", 0));
    }
    for _ in 0..limits::WARNINGS_MAX {
        let _heard = hear(&mut far, &forge(&mut near, 21, &[1, 90], 0));
    }
    let mut far = again(far);
    let bytes = forge(&mut near, 23, b"", 0);
    check_fails(
        &mut near,
        &mut far,
        &bytes,
        b"",
        Failure::TooManyEmptyRecords,
    );
    let mut far = again(far);
    check_dead(&mut far);

    let (mut near, mut far) = pair(TLS12);
    for _ in 0..limits::RENEGOTIATIONS_MAX {
        let _heard = hear(&mut far, &forge(&mut near, 22, &[1, 0, 0, 0], 0));
    }
    let mut far = again(far);
    let bytes = forge(&mut near, 22, &[1, 0, 0, 0], 0);
    let why = Failure::TooManyRenegotiations;
    // The refusal of the first one was lost with the record that was never heard.
    let heard = hear(&mut far, &bytes);
    assert_eq!(heard.stand, Stand::Failed(why));
}

#[test]
fn a_session_that_failed_within_a_message_is_still_read() {
    let (mut near, mut far) = pair(TLS13);
    let bytes = forge(&mut near, 22, &[99, 0, 0, 1], 0);
    check_fails(&mut near, &mut far, &bytes, b"", Failure::UnexpectedMessage);
    check_dead(&mut again(far));
}

#[test]
fn the_layout_is_fixed() {
    let (near, _) = pair(TLS13);
    let (sequence, key) = (near.tx.sequence, near.tx.key);
    let state = near.into_state();
    let bytes = state.as_bytes();
    assert_eq!((State::LEN, bytes.len()), (221, 221));
    assert_eq!(bytes[..21], [&[1, 3, 1, 0][..], &[0; 17]].concat());
    assert_eq!(bytes[121..129], sequence.to_be_bytes());
    assert_eq!(bytes[141..173], key);
}

#[test]
fn what_was_never_written_is_not_read() {
    let read = |bytes: &[u8]| Session::from_state(State::copy(bytes)?).map(|_| ());
    for suite in suites() {
        let sound = *pair(suite).0.into_state().as_bytes();
        assert_eq!(read(&sound), Ok(()));
        assert_eq!(read(&sound[1..]), Err(BadState));
        assert_eq!(read(&[&sound[..], &[0]].concat()), Err(BadState));
        assert_eq!(read(&[]), Err(BadState));
        // Layout, version, cipher, role, both flows, two truths.
        for at in 0..8 {
            let mut bytes = sound;
            bytes[at] = 9;
            assert_eq!(read(&bytes), Err(BadState), "{at}");
        }
        // A message that no session would have begun.
        for (at, value) in [(12, 1), (16, 3), (16, 4), (16, 5), (20, 1)] {
            let mut bytes = sound;
            bytes[at] = value;
            let is_sound = (at, value) == (16, 3);
            assert_eq!(read(&bytes).is_ok(), is_sound, "{at} {value}");
        }
        // More than any session seals with one key; a peer may.
        let most = suite.records_max() + limits::RECORDS_BEHIND_MAX;
        for (at, sequence, is_sound) in [
            (121, most, true),
            (121, most + 1, false),
            (121, u64::MAX, false),
            (21, u64::MAX, true),
        ] {
            let mut bytes = sound;
            bytes[at..at + 8].copy_from_slice(&sequence.to_be_bytes());
            assert_eq!(read(&bytes).is_ok(), is_sound, "{suite:?} {at} {sequence}");
        }
        // Where TLS 1.3 has a secret, nonce and key follow from it.
        for half in [21, 121] {
            for at in half + 8..half + 100 {
                let mut bytes = sound;
                bytes[at] ^= 1;
                let is_free = suite.version == Version::Tls12
                    && (at < half + 20 || at < half + 20 + suite.key_len());
                assert_eq!(read(&bytes).is_ok(), is_free, "{suite:?} {at}");
            }
        }
    }
}
