//! Records that were changed, moved, repeated, or have no place.

use super::*;

#[test]
fn a_bit_that_is_turned_is_noticed_and_nothing_is_handed_out() {
    for suite in suites() {
        let sealed = data(&mut pair(suite).0, b"BYE sip:joe@example.com SIP/2.0\r\n");
        for at in 0..sealed.len() * 8 {
            let (mut near, mut far) = pair(suite);
            let mut bytes = sealed.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            // What makes the record longer waits for its end: there it is.
            bytes.resize(sealed.len().max(limits::HEADER_LEN + 20_000), 0);
            let len = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
            let why = match (at / 8, suite.version) {
                (0, Version::Tls13) => Failure::UnexpectedMessage,
                // 21, 22 and 23 are types; the type is authenticated.
                (0, Version::Tls12) if matches!(bytes[0], 21 | 22) => Failure::BadRecordMac,
                (0, Version::Tls12) => Failure::UnexpectedMessage,
                (1 | 2, Version::Tls12) => Failure::ProtocolVersion,
                (3 | 4, _) if len > suite.body_max() => Failure::RecordOverflow,
                _ => Failure::BadRecordMac,
            };
            let _sealed = data(&mut near, b"first");
            check_fails(&mut near, &mut far, &bytes, b"", why);
        }
    }
}

#[test]
fn what_was_said_before_a_fault_still_counts() {
    for suite in suites() {
        let (mut near, mut far) = pair(suite);
        let mut bytes = data(&mut near, b"INVITE");
        bytes.extend(data(&mut near, b"ACK"));
        bytes.extend(data(&mut near, b"BYE"));
        *bytes.last_mut().unwrap() ^= 1;
        let why = Failure::BadRecordMac;
        check_fails(&mut near, &mut far, &bytes, b"INVITEACK", why);
    }
}

#[test]
fn records_are_taken_once_and_in_their_order() {
    for suite in suites() {
        for order in [&[0, 0][..], &[1], &[0, 2], &[1, 0], &[0, 1, 0], &[2, 1, 0]] {
            let (mut near, mut far) = pair(suite);
            let records = [b"a", b"b", b"c"].map(|message| data(&mut near, message));
            let bytes: Vec<u8> = order.iter().flat_map(|&at| records[at].clone()).collect();
            let good = order.iter().enumerate().take_while(|&(at, &it)| at == it);
            let plain: Vec<u8> = good.map(|(_, &it)| b"abc"[it]).collect();
            let why = Failure::BadRecordMac;
            check_fails(&mut near, &mut far, &bytes, &plain, why);
        }
        // And never as the other end's.
        let (mut near, mut far) = pair(suite);
        let own = data(&mut near, b"a");
        assert_eq!(hear(&mut far, &own).plain, b"a");
        check_fails(&mut far, &mut near, &own, b"", Failure::BadRecordMac);
    }
}

#[test]
fn padding_is_taken_off_and_no_record_is_longer_than_the_rfc_has_it() {
    let body = |bytes: &[u8]| bytes.len() - limits::HEADER_LEN;
    for (content, padding) in [
        (0, 1),
        (5, 1),
        (5, 200),
        (0, 16_384),
        (16_000, 384),
        (16_384, 0),
    ] {
        let (mut near, mut far) = pair(TLS13);
        let message = vec![b'x'; content];
        let bytes = forge(&mut near, 23, &message, padding);
        assert!(body(&bytes) <= limits::CONTENT_MAX + 17);
        let heard = hear(&mut far, &bytes);
        assert_eq!((heard.stand, heard.plain), (Stand::Open, message));
    }
    // 2^14 + 1 bytes of content, type and padding are most (RFC 8446 §5.4), authentic or not.
    for (content, padding) in [(16_384, 1), (0, 16_385), (16_385, 0), (16_384, 239)] {
        let (mut near, mut far) = pair(TLS13);
        let bytes = forge(&mut near, 23, &vec![b'x'; content], padding);
        assert!(body(&bytes) <= limits::CONTENT_MAX + limits::EXPANSION_MAX);
        check_fails(&mut near, &mut far, &bytes, b"", Failure::RecordOverflow);
    }
    for (suite, most) in [(TLS13, 16_640_u16), (TLS12, 16_408)] {
        let (mut near, mut far) = pair(suite);
        let mut bytes = [23, 3, 3, 0, 0];
        bytes[3..].copy_from_slice(&most.to_be_bytes());
        assert_eq!(hear(&mut far, &bytes).stand, Stand::Open);
        bytes[4] += 1;
        // The header is enough.
        check_fails(&mut near, &mut far, &bytes, b"", Failure::RecordOverflow);
        if suite.version == Version::Tls12 {
            let (mut near, mut far) = pair(suite);
            let full = forge(&mut near, 23, &[b'x'; 16_384], 0);
            assert_eq!(hear(&mut far, &full).plain.len(), 16_384);
        }
    }
}

#[test]
fn what_is_too_short_to_be_sealed_is_not() {
    for suite in suites() {
        for len in 0..24 {
            if usize::from(len) == suite.explicit_len() + limits::TAG_LEN {
                break;
            }
            let (mut near, mut far) = pair(suite);
            let bytes = [&[23, 3, 3, 0, len], &vec![0; usize::from(len)][..]].concat();
            check_fails(&mut near, &mut far, &bytes, b"", Failure::BadRecordMac);
        }
    }
    // Sealed, but of no type: nothing but zeros, or nothing at all.
    for content in [&[][..], &[0; 40]] {
        let (mut near, mut far) = pair(TLS13);
        let mut bytes = Vec::new();
        let key = near.tx.expand(TLS13);
        let begun = near.tx.begin(TLS13, &mut bytes);
        bytes.extend_from_slice(content);
        near.tx.seal(TLS13, &key, 0, begun, &mut bytes);
        check_fails(&mut near, &mut far, &bytes, b"", Failure::UnexpectedMessage);
    }
}

#[test]
fn records_without_content_are_bounded_in_a_row() {
    for suite in suites() {
        let (mut near, mut far) = pair(suite);
        let empty = |near: &mut Session| forge(near, 23, b"", 0);
        for _ in 0..3 {
            for _ in 0..limits::EMPTY_RECORDS_MAX {
                assert_eq!(hear(&mut far, &empty(&mut near)).stand, Stand::Open);
            }
            assert_eq!(hear(&mut far, &data(&mut near, b"x")).plain, b"x");
        }
        for _ in 0..limits::EMPTY_RECORDS_MAX {
            assert_eq!(hear(&mut far, &empty(&mut near)).stand, Stand::Open);
        }
        let one_more = empty(&mut near);
        let why = Failure::TooManyEmptyRecords;
        check_fails(&mut near, &mut far, &one_more, b"", why);
    }
}

#[test]
fn types_that_have_no_place_end_the_session() {
    // change_cipher_spec, heartbeat, and what nobody has heard of; sealed well.
    for suite in suites() {
        for typ in [20, 24, 25, 255, 1] {
            let (mut near, mut far) = pair(suite);
            let bytes = forge(&mut near, typ, &[1], 0);
            check_fails(&mut near, &mut far, &bytes, b"", Failure::UnexpectedMessage);
        }
    }
    // In the clear, and change_cipher_spec as it may stand in the handshake (RFC 8446 §5).
    for suite in suites() {
        for bytes in [
            &[20, 3, 3, 0, 1, 1][..],
            &[20, 3, 3, 0, 1, 2],
            &[24, 3, 3, 0, 3, 1, 64, 0],
            b"OPTIONS sip:e",
            &[0x80, 0x2e, 1, 3, 1],
        ] {
            let (mut near, mut far) = pair(suite);
            check_fails(&mut near, &mut far, bytes, b"", Failure::UnexpectedMessage);
        }
        // Alerts and handshake messages in the clear are no better than forged.
        for bytes in [&[21, 3, 3, 0, 2, 1, 0][..], &[22, 3, 3, 0, 4, 0, 0, 0, 0]] {
            let (mut near, mut far) = pair(suite);
            let why = match suite.version {
                Version::Tls12 => Failure::BadRecordMac,
                Version::Tls13 => Failure::UnexpectedMessage,
            };
            check_fails(&mut near, &mut far, bytes, b"", why);
        }
    }
    // The version of a record is nothing to TLS 1.3, but authenticated.
    let (mut near, mut far) = pair(TLS12);
    check_fails(
        &mut near,
        &mut far,
        &[23, 3, 1, 0, 40],
        b"",
        Failure::ProtocolVersion,
    );
}

#[test]
fn nonces_of_tls_12_are_the_senders_own() {
    // RFC 5288 §3: any explicit nonce will do for reading.
    let (mut near, mut far) = pair(TLS12);
    near.tx.iv[4..].copy_from_slice(&[0xa5; 8]);
    let bytes = data(&mut near, b"a");
    assert_eq!(bytes[5..13], [0xa5; 8]);
    assert_eq!(hear(&mut far, &bytes).plain, b"a");
    let bytes = data(&mut near, b"b");
    assert_eq!(
        bytes[5..13],
        [0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa4]
    );
    assert_eq!(hear(&mut far, &bytes).plain, b"b");
}
