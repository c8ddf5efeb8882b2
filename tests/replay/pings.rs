//! STUN: whatever is answered is answered within its bound, and says where
//! the question came from.

use std::net::SocketAddr;

use steadfast::frame::stun;

/// Answers the bytes, and reads them as an answer.
///
/// # Panics
/// When an answer is too long or does not say who asked.
pub(crate) fn check(bytes: &[u8]) {
    for peer in ["192.0.2.1:5060", "[2001:db8::1]:5061"] {
        let peer: SocketAddr = peer.parse().unwrap();
        let mut out = b"before".to_vec();
        if !stun::answer(bytes, peer, &mut out) {
            assert_eq!(out, b"before");
            continue;
        }
        let answer = &out[6..];
        assert!(answer.len() <= bytes.len() + 24 + 8, "{}", answer.len());
        let id: [u8; 12] = bytes[8..20].try_into().unwrap();
        let error = answer.starts_with(&[1, 0x11]);
        assert_eq!(stun::mapped(answer, &id), (!error).then_some(peer));
    }
    let mut id = [0; 12];
    for (to, from) in id.iter_mut().zip(bytes.iter().skip(8)) {
        *to = *from;
    }
    if let Some(address) = stun::mapped(bytes, &id) {
        assert!(
            bytes.len() >= stun::HEADER && bytes.starts_with(&[1, 1]),
            "{address}"
        );
    }
}
