//! STUN by example, the sample of RFC 5769 among them.

use super::*;

const ID: [u8; 12] = *b"abcdefghijkl";

fn binding(attributes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    request(ID, &mut out);
    out.extend_from_slice(attributes);
    set_length(&mut out, 0, 0);
    out
}

fn peer(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

// K-4
#[test]
fn a_binding_request_is_told_where_it_came_from() {
    let mut out = b"kept".to_vec();
    assert!(answer(&binding(&[]), peer("192.0.2.1:32853"), &mut out));
    let want = b"\x01\x01\x00\x0c\x21\x12\xa4\x42abcdefghijkl\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43";
    assert_eq!(out, [&b"kept"[..], want].concat());
}

// K-4
#[test]
fn what_is_answered_can_be_read_back_for_both_families() {
    for (from, want) in [
        ("192.0.2.9:5060", "192.0.2.9:5060"),
        (
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
        ),
        ("[::ffff:192.0.2.9]:5060", "192.0.2.9:5060"),
    ] {
        let mut out = Vec::new();
        assert!(answer(&binding(&[]), peer(from), &mut out));
        assert_eq!(mapped(&out, &ID), Some(peer(want)), "{from}");
        assert_eq!(mapped(&out, b"abcdefghijkX"), None, "{from}");
    }
}

// K-4
#[test]
fn an_unknown_required_attribute_gets_420_and_its_name() {
    let mut out = Vec::new();
    // CHANGE-REQUEST is unknown; SOFTWARE may be ignored; 0x7001 is unknown.
    let attributes = b"\x00\x03\x00\x04\0\0\0\x06\x80\x22\x00\x03abc\0\x70\x01\x00\x00";
    assert!(answer(
        &binding(attributes),
        peer("192.0.2.1:5060"),
        &mut out
    ));
    let want = b"\x01\x11\x00\x10\x21\x12\xa4\x42abcdefghijkl\x00\x09\x00\x04\x00\x00\x04\x14\x00\x0a\x00\x04\x00\x03\x70\x01";
    assert_eq!(out, want);
}

#[test]
fn what_follows_the_integrity_is_ignored() {
    let mut out = Vec::new();
    let integrity = [&b"\x00\x08\x00\x14"[..], &[0; 20], b"\x70\x01\x00\x00"].concat();
    assert!(answer(
        &binding(&integrity),
        peer("192.0.2.1:5060"),
        &mut out
    ));
    assert_eq!(mapped(&out, &ID), Some(peer("192.0.2.1:5060")));
}

// K-4
#[test]
fn what_is_no_request_gets_no_answer() {
    let good = binding(&[]);
    let mut indication = good.clone();
    indication[1] = 0x11;
    let mut cookie = good.clone();
    cookie[4] = 0;
    let mut length = good.clone();
    length[3] = 4;
    let odd = binding(b"abc");
    let overrun = binding(b"\x80\x22\x00\x08abcd");
    for (name, bytes) in [
        ("indication", &indication[..]),
        ("wrong cookie", &cookie[..]),
        ("wrong length", &length[..]),
        ("length not a multiple of four", &odd[..]),
        ("attribute runs over the end", &overrun[..]),
        ("short", &good[..19]),
        ("empty", &[]),
    ] {
        let mut out = Vec::new();
        assert!(!answer(bytes, peer("192.0.2.1:5060"), &mut out), "{name}");
        assert_eq!(out, [0_u8; 0], "{name}");
    }
}

// K-5, with the sample request of RFC 5769 §2.1.
#[test]
fn the_fingerprint_is_verified_and_returned() {
    let sample: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\
        \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09evtj:h6vY\x20\x20\x20\
        \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";
    let mut out = Vec::new();
    // PRIORITY (0x0024) belongs to ICE, which is not spoken here.
    assert!(answer(sample, peer("192.0.2.1:5060"), &mut out));
    assert_eq!(&out[..2], b"\x01\x11");
    assert!(Message::parse(&out).is_some_and(|message| message.fingerprinted));
    let mut forged = sample.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    out.clear();
    assert!(!answer(&forged, peer("192.0.2.1:5060"), &mut out));
}

#[test]
fn no_prefix_of_a_message_is_answered_or_panics() {
    let whole = binding(b"\x80\x22\x00\x03abc\0");
    for end in 0..whole.len() {
        let mut out = Vec::new();
        assert!(
            !answer(&whole[..end], peer("192.0.2.1:5060"), &mut out),
            "{end}"
        );
    }
}
