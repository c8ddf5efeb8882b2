//! Bytes come in any pieces, and may stop anywhere.

use super::*;

/// What a peer might say in a while, with what should be heard of it.
fn conversation(suite: Suite) -> (Vec<u8>, Vec<u8>) {
    let (mut near, _) = pair(suite);
    let mut bytes = data(&mut near, b"REGISTER");
    bytes.extend(forge(&mut near, 23, b"", 0));
    if suite.version == Version::Tls13 {
        bytes.extend(forge(&mut near, 23, b" sip:", 31));
        bytes.extend(forge(&mut near, 22, &[24, 0], 0));
        bytes.extend(forge(&mut near, 22, &[0, 1, 1], 3));
        near.tx.update(suite);
    } else {
        bytes.extend(data(&mut near, b" sip:"));
        bytes.extend(forge(&mut near, 21, &[1, 41], 0));
    }
    bytes.extend(data(&mut near, &[b'x'; 700]));
    near.close(&mut bytes);
    (bytes, [b"REGISTER sip:", &[b'x'; 700][..]].concat())
}

#[test]
fn pieces_of_any_length_are_heard_alike() {
    for suite in suites() {
        let (bytes, plain) = conversation(suite);
        let whole = hear(&mut pair(suite).1, &bytes);
        assert_eq!((&whole.plain, whole.stand), (&plain, Stand::Ended));
        for piece in 1..bytes.len() {
            assert_eq!(hear_pieces(&mut pair(suite).1, &bytes, piece), whole);
        }
    }
}

#[test]
fn what_is_cut_short_is_heard_up_to_there_and_is_no_end() {
    for suite in suites() {
        let (bytes, plain) = conversation(suite);
        for at in 0..bytes.len() {
            let heard = hear(&mut pair(suite).1, &bytes[..at]);
            assert!(plain.starts_with(&heard.plain));
            assert_eq!(
                heard.stand,
                Stand::Open,
                "a connection cut is no close_notify"
            );
        }
    }
}

#[test]
fn the_first_record_stays_where_it_stood() {
    let (mut near, mut far) = pair(TLS13);
    let mut bytes = data(&mut near, b"INVITE");
    bytes.extend(data(&mut near, b"ACK"));
    bytes.extend([23, 3, 3]);
    let received = far.receive(&mut bytes, &mut Vec::new(), &mut |_| Ok(()));
    assert_eq!((received.plain.clone(), received.used), (5..14, 28 + 25));
    assert_eq!(&bytes[received.plain], b"INVITEACK");
}
