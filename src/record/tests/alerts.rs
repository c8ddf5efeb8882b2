//! Alerts, in every state.

use super::*;
use crate::{Alert, Unsealed};

/// What becomes of `to` by an alert record.
#[track_caller]
fn check(suite: Suite, content: &[u8], want: Stand) {
    for role in [Role::Client, Role::Server] {
        let (mut near, mut far) = pair(suite);
        let (from, to) = match role {
            Role::Client => (&mut far, &mut near),
            Role::Server => (&mut near, &mut far),
        };
        let bytes = forge(from, 21, content, 0);
        if let Stand::Failed(why) = want {
            check_fails(from, to, &bytes, b"", why);
        } else {
            let heard = hear(to, &bytes);
            assert_eq!(heard.stand, want, "{suite:?} {content:?}");
            assert_eq!((&heard.plain[..], &heard.out[..]), (&b""[..], &b""[..]));
        }
    }
}

#[test]
fn alerts_mean_what_their_rfc_says() {
    let alerted = |code| Stand::Failed(Failure::Alerted(Alert(code)));
    for suite in suites() {
        let is_new = suite.version == Version::Tls13;
        check(suite, &[1, 0], Stand::Ended);
        check(suite, &[2, 0], Stand::Ended);
        for code in [10, 20, 42, 80, 90, 116, 255] {
            let is_overlooked = is_new && code == 90;
            let want = if is_overlooked {
                Stand::Open
            } else {
                alerted(code)
            };
            check(suite, &[2, code], want);
            // In TLS 1.3 the level says nothing.
            let want = match is_new && code != 90 {
                true => alerted(code),
                false => Stand::Open,
            };
            check(suite, &[1, code], want);
        }
        let want = match is_new {
            true => alerted(40),
            false => Stand::Failed(Failure::IllegalParameter),
        };
        check(suite, &[3, 40], want);
        // One alert a record, whole, and never none.
        check(suite, b"", Stand::Failed(Failure::UnexpectedMessage));
        check(suite, &[1], Stand::Failed(Failure::DecodeError));
        check(suite, &[1, 0, 0], Stand::Failed(Failure::DecodeError));
        check(suite, &[1, 0, 1, 0], Stand::Failed(Failure::DecodeError));
    }
}

#[test]
fn warnings_are_bounded_in_a_life() {
    for (suite, code) in [(TLS12, 41), (TLS12, 100), (TLS13, 90)] {
        let (mut near, mut far) = pair(suite);
        for _ in 0..limits::WARNINGS_MAX {
            let bytes = forge(&mut near, 21, &[1, code], 0);
            assert_eq!(hear(&mut far, &bytes).stand, Stand::Open);
            assert_eq!(hear(&mut far, &data(&mut near, b"x")).plain, b"x");
        }
        let bytes = forge(&mut near, 21, &[1, code], 0);
        check_fails(&mut near, &mut far, &bytes, b"", Failure::TooManyWarnings);
    }
}

#[test]
fn one_direction_may_end_before_the_other() {
    for suite in suites() {
        let (mut near, mut far) = pair(suite);
        let mut out = data(&mut near, b"BYE");
        near.close(&mut out);
        // What follows a close_notify is overlooked, whatever it is.
        out.extend_from_slice(b"GET / HTTP/1.1\r\n");
        let heard = hear(&mut far, &out);
        assert_eq!((heard.stand, &heard.plain[..]), (Stand::Ended, &b"BYE"[..]));
        let mut more = *b"anything";
        let received = far.receive(&mut more, &mut out, &mut |_| Ok(()));
        assert_eq!((received.stand, received.used), (Stand::Ended, 8));
        assert_eq!(
            near.seal([&b"x"[..]], &mut Vec::new()),
            Err(Unsealed::Closed)
        );
        // The other one goes on, with faults as ever.
        let bytes = data(&mut far, b"200 OK");
        assert_eq!(hear(&mut near, &bytes).plain, b"200 OK");
        let mut bytes = data(&mut far, b"again");
        bytes[9] ^= 1;
        let heard = hear(&mut near, &bytes);
        assert_eq!(heard.stand, Stand::Failed(Failure::BadRecordMac));
        // Who has sent its close_notify says nothing more, not even why.
        assert_eq!(heard.out, b"");
        check_dead(&mut near);
    }
}

#[test]
fn who_ends_it_with_an_alert_hears_nothing_back() {
    for suite in suites() {
        let (mut near, mut far) = pair(suite);
        let bytes = forge(&mut near, 21, &[2, 48], 0);
        let why = Failure::Alerted(Alert(48));
        check_fails(&mut near, &mut far, &bytes, b"", why);
    }
}
