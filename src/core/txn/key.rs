//! Keys of server transactions, RFC 3261 §17.2.3: what makes two requests the
//! same request.
//!
//! A key is 128 bits of two hashes under independent seeds that no peer knows,
//! so equal keys are taken for equal requests and the fields are not kept. The
//! caller says which method a request stands for: an ACK looks for its INVITE
//! and so does whoever asks what a CANCEL is to cancel.
//!
//! Branches are hashed byte for byte. RFC 3261 has them compare without regard
//! to case, yet a retransmission is a copy: a sender that changes the case
//! between copies does not exist, while one that tells branches apart by case
//! alone does, and must not have its transactions merged.

use std::hash::{BuildHasher, Hash, Hasher};

use ahash::RandomState;
use serde::{Deserialize, Serialize};

/// Identity of a server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKey([u64; 2]);

impl ServerKey {
    /// The part that places the key in a table.
    pub(crate) const fn hash(self) -> u64 {
        self.0[0]
    }
}

/// Computes keys, under the seeds of this process.
#[derive(Clone, Debug)]
pub struct TransactionKeys {
    states: [RandomState; 2],
}

impl TransactionKeys {
    /// Keys under `seed`. Four words make all seeds: those of the second hash
    /// are drawn from the first.
    #[must_use]
    pub fn new(seed: [u64; 4]) -> Self {
        let first = seeded(seed);
        let second = seeded([0u64, 1, 2, 3].map(|n| first.hash_one((seed, n))));
        Self {
            states: [first, second],
        }
    }

    /// The key of a request whose top Via has a branch with the RFC 3261
    /// cookie. `port` is the one of `sent_by` or else the transport's default;
    /// the host compares without regard to case. `method` is `INVITE` for an
    /// ACK, and for a CANCEL when its INVITE is looked for.
    #[must_use]
    pub fn cookie(&self, branch: &[u8], host: &[u8], port: u16, method: &[u8]) -> ServerKey {
        let mut both = self.states.each_ref().map(|state| state.build_hasher());
        for hasher in &mut both {
            hasher.write_u16(port);
            branch.hash(hasher);
        }
        hash_lower(host, &mut both);
        for hasher in &mut both {
            method.hash(hasher);
        }
        ServerKey(both.map(|hasher| hasher.finish()))
    }

    /// The key of a request without the cookie, by the rule for RFC 2543
    /// clients: of Request-URI, From tag, Call-ID, CSeq number, method (as in
    /// `cookie`) and top Via, always in the same order. The To tag stays out:
    /// an ACK carries the one of our response, which its INVITE did not have,
    /// and the CSeq number tells requests of a dialog apart without it.
    #[must_use]
    pub(crate) fn without_cookie(&self, parts: &[&[u8]]) -> ServerKey {
        ServerKey(self.states.each_ref().map(|state| state.hash_one(parts)))
    }

    /// A fingerprint of a method, to compare the CSeq of a response with.
    pub(super) fn method(&self, method: &[u8]) -> u32 {
        (self.states[0].hash_one(method) >> 32) as u32
    }

    /// The hasher of a table whose entries a peer can influence.
    pub(super) fn table(&self) -> RandomState {
        self.states[0].clone()
    }
}

fn seeded(seed: [u64; 4]) -> RandomState {
    RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3])
}

/// Hashes text as if it were lower case. Pieces have a fixed length, so equal
/// texts are cut at equal places.
fn hash_lower(text: &[u8], hashers: &mut [impl Hasher]) {
    for hasher in &mut *hashers {
        hasher.write_usize(text.len());
    }
    for piece in text.chunks(64) {
        let mut lower = [0; 64];
        let lower = &mut lower[..piece.len()];
        lower.copy_from_slice(piece);
        lower.make_ascii_lowercase();
        for hasher in &mut *hashers {
            hasher.write(lower);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [u64; 4] = [1, 2, 3, 4];

    type Fields<'a> = (&'a [u8], &'a [u8], u16, &'a [u8]);

    #[track_caller]
    fn check(name: &str, a: Fields<'_>, b: Fields<'_>, same: bool) {
        let keys = TransactionKeys::new(KEYS);
        let key =
            |(branch, host, port, method): Fields<'_>| keys.cookie(branch, host, port, method);
        for half in 0..2 {
            assert_eq!(
                key(a).0[half] == key(b).0[half],
                same,
                "{name}, half {half}"
            );
        }
    }

    // T-3
    #[test]
    fn branch_sent_by_and_method_make_the_key() {
        let base: Fields<'_> = (b"z9hG4bK77", b"pc33.example.com", 5060, b"INVITE");
        let long = [b'A'; 130];
        let long_lower = [b'a'; 130];
        check("itself", base, base, true);
        check(
            "host in capitals",
            base,
            (base.0, b"PC33.Example.COM", base.2, base.3),
            true,
        );
        check(
            "long host in capitals",
            (b"z", &long, 1, b"X"),
            (b"z", &long_lower, 1, b"X"),
            true,
        );
        check(
            "long host, last byte",
            (b"z", &long, 1, b"X"),
            (b"z", &long[1..], 1, b"X"),
            false,
        );
        check(
            "other host",
            base,
            (base.0, b"pc34.example.com", base.2, base.3),
            false,
        );
        check("other port", base, (base.0, base.1, 5061, base.3), false);
        check(
            "other method",
            base,
            (base.0, base.1, base.2, b"CANCEL"),
            false,
        );
        check(
            "other branch",
            base,
            (b"z9hG4bK78", base.1, base.2, base.3),
            false,
        );
        check(
            "branch in other case",
            base,
            (b"z9hG4bk77", base.1, base.2, base.3),
            false,
        );
        check(
            "byte that moved",
            (b"z9hG4bKa", b"b", 1, b""),
            (b"z9hG4bK", b"ab", 1, b""),
            false,
        );
    }

    // T-3
    #[test]
    fn without_the_cookie_every_part_counts() {
        let keys = TransactionKeys::new(KEYS);
        let parts: [&[u8]; 6] = [
            b"sip:b@x",
            b"tag",
            b"call",
            b"7",
            b"INVITE",
            b"SIP/2.0/UDP h",
        ];
        let key = keys.without_cookie(&parts);
        assert_eq!(keys.without_cookie(&parts), key);
        for changed in 0..parts.len() {
            let mut other = parts;
            other[changed] = b"?";
            assert_ne!(keys.without_cookie(&other), key, "part {changed}");
        }
        assert_ne!(
            keys.without_cookie(&[b"ab", b"c"]),
            keys.without_cookie(&[b"a", b"bc"])
        );
    }

    #[test]
    fn another_seed_makes_other_keys() {
        let (a, b) = (
            TransactionKeys::new(KEYS),
            TransactionKeys::new([1, 2, 3, 5]),
        );
        assert_ne!(
            a.cookie(b"z9hG4bK1", b"h", 1, b"BYE"),
            b.cookie(b"z9hG4bK1", b"h", 1, b"BYE")
        );
        assert_ne!(a.method(b"BYE"), a.method(b"INFO"));
    }
}
