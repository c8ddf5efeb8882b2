//! Nonces that need no memory to be checked, and the little memory that keeps
//! an answer from being used twice.
//!
//! A nonce is 36 bytes in base64url: the second it was minted in (6), a salt
//! (6), the network it was sent to (8), and the first 16 bytes of an HMAC-SHA256
//! over all that under the cluster's key. Whoever has the key can check it: any
//! home, and a home after a restart.
//!
//! It serves the source it was sent to, and is stale for any other: nobody fails
//! logins in the name of an address that he can write into a datagram but not
//! read at.
//!
//! `Replay` remembers per shard which counts were used (RFC 7616 §3.4.6). An
//! answer taken to another shard or home within `limits::NONCE_S` passes there
//! once more: closing that gap would cost every REGISTER a shared table.

use std::collections::VecDeque;
use std::net::IpAddr;

use ahash::RandomState;
use data_encoding::BASE64URL_NOPAD;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::carry::carried;
use crate::guard::network;
use crate::limits;

/// Length of a nonce, in characters.
pub(crate) const NONCE_LEN: usize = 48;

const SIGNED_LEN: usize = 20;
const RAW_LEN: usize = 36;
/// Keeps these MACs apart from all others under the same key.
const LABEL: &[u8] = b"steadfast nonce";

/// What the check of a nonce found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NonceVerdict {
    /// Ours and young enough; its counts are checked next, with `Replay`.
    Fresh(NonceStamp),
    /// Ours, older than `limits::NONCE_S`: a new challenge says `stale=true`.
    Stale,
    /// Ours and young, but sent to another source: a new challenge says `stale=true`.
    OtherSource,
    /// Not minted by this cluster.
    Forged,
}

/// What identifies a nonce that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NonceStamp {
    /// The first half of the MAC: nobody without the key can choose it.
    id: u64,
    minted_unix: u64,
}

/// Appends a new nonce for a source, minted at `now_unix` (seconds since 1970).
/// The lower 48 bits of `salt` tell apart the nonces of one second; it need not
/// be secret.
pub(crate) fn mint(key: &[u8; 32], now_unix: u64, salt: u64, source: IpAddr, out: &mut Vec<u8>) {
    let mut raw = [0; RAW_LEN];
    raw[..6].copy_from_slice(&now_unix.to_be_bytes()[2..]);
    raw[6..12].copy_from_slice(&salt.to_be_bytes()[2..]);
    raw[12..SIGNED_LEN].copy_from_slice(&network_bytes(source));
    let tag = mac(key, &raw[..SIGNED_LEN]).finalize().into_bytes();
    raw[SIGNED_LEN..].copy_from_slice(&tag[..RAW_LEN - SIGNED_LEN]);
    let start = out.len();
    out.resize(start + NONCE_LEN, 0);
    BASE64URL_NOPAD.encode_mut(&raw, &mut out[start..]);
}

/// Checks a nonce that came from `source` at `now_unix`, by its bytes and the
/// key alone.
#[must_use]
pub(super) fn check(key: &[u8; 32], nonce: &[u8], source: IpAddr, now_unix: u64) -> NonceVerdict {
    let mut raw = [0; RAW_LEN];
    if nonce.len() != NONCE_LEN || BASE64URL_NOPAD.decode_mut(nonce, &mut raw).is_err() {
        return NonceVerdict::Forged;
    }
    let (signed, tag) = raw.split_at(SIGNED_LEN);
    if mac(key, signed).verify_truncated_left(tag).is_err() {
        return NonceVerdict::Forged;
    }
    let minted_unix = from_big_endian(&raw[..6]);
    if minted_unix > now_unix.saturating_add(limits::NONCE_SKEW_S) {
        return NonceVerdict::Forged;
    }
    if has_expired(minted_unix, now_unix) {
        return NonceVerdict::Stale;
    }
    if signed[12..] != network_bytes(source) {
        return NonceVerdict::OtherSource;
    }
    NonceVerdict::Fresh(NonceStamp {
        id: from_big_endian(&tag[..8]),
        minted_unix,
    })
}

/// The value of an `nc` parameter: exactly eight hex digits (RFC 7616 §3.4).
#[must_use]
pub(super) fn count(nc: &[u8]) -> Option<u32> {
    if nc.len() != 8 {
        return None;
    }
    nc.iter().try_fold(0, |value: u32, digit| {
        Some(value << 4 | char::from(*digit).to_digit(16)?)
    })
}

/// The counts used so far, nonce by nonce, at most `limits::NONCE_COUNTS_MAX`.
///
/// A nonce is forgotten when it expires. At the bound the oldest is dropped early, and
/// from then on a nonce without a count that is no younger than the one dropped
/// is refused: its owner answers one more challenge, and no
/// replay passes.
#[derive(Debug)]
pub(super) struct Replay {
    counts: HashMap<u64, u32, RandomState>,
    /// In the order of first use.
    order: VecDeque<NonceStamp>,
    /// Nonces minted up to this second may have been dropped.
    dropped_unix: Option<u64>,
    /// Most nonces.
    max: usize,
}

impl Replay {
    /// An empty memory; `seed` keeps peers from aiming collisions.
    #[must_use]
    pub(super) fn new(seed: [u64; 4]) -> Self {
        Self::with_max(seed, limits::NONCE_COUNTS_MAX)
    }

    fn with_max(seed: [u64; 4], max: usize) -> Self {
        let state = RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]);
        Self {
            counts: HashMap::with_hasher(state),
            order: VecDeque::new(),
            dropped_unix: None,
            max,
        }
    }

    /// Notes a count, once the response was found right. True when it
    /// is higher than all before it under this nonce; false for a replay, which
    /// is answered like a stale nonce. Gaps are fine: the phone may have spent
    /// the counts between on another shard. An answer without qop has no count
    /// and is admitted as count 1, that is, once.
    pub(crate) fn admit(&mut self, stamp: NonceStamp, nc: u32, now_unix: u64) -> bool {
        self.expire(now_unix);
        let lost = self
            .dropped_unix
            .is_some_and(|dropped| stamp.minted_unix <= dropped);
        match self.counts.entry(stamp.id) {
            Entry::Occupied(mut entry) => {
                let is_higher = nc > *entry.get();
                if is_higher {
                    entry.insert(nc);
                }
                return is_higher;
            }
            Entry::Vacant(_) if lost || nc == 0 => return false,
            Entry::Vacant(entry) => {
                entry.insert(nc);
            }
        }
        self.order.push_back(stamp);
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.counts.remove(&oldest.id);
            self.dropped_unix = self.dropped_unix.max(Some(oldest.minted_unix));
        }
        true
    }

    /// Nonces remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.order.len()
    }

    /// Forgets the nonces that have expired. Each call of `admit` adds one at most, so the
    /// work of removing them is bounded by that of adding them.
    fn expire(&mut self, now_unix: u64) {
        while let Some(oldest) = self.order.front()
            && has_expired(oldest.minted_unix, now_unix)
        {
            self.counts.remove(&oldest.id);
            self.order.pop_front();
        }
    }
}

/// The network of a source, as it stands in its nonces. The low half of an IPv6 address is
/// whatever one customer likes.
fn network_bytes(source: IpAddr) -> [u8; 8] {
    network(source.to_canonical()).1.to_be_bytes()
}

const fn has_expired(minted_unix: u64, now_unix: u64) -> bool {
    now_unix.saturating_sub(minted_unix) > limits::NONCE_S
}

fn mac(key: &[u8; 32], signed: &[u8]) -> Hmac<Sha256> {
    // The block a key of 32 bytes is padded to (RFC 2104 §2): a key of just
    // the block's length is taken as it is, and has no wrong length.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new(&block.into());
    mac.update(LABEL);
    mac.update(signed);
    mac
}

/// The number in eight big-endian bytes at most.
fn from_big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

carried!(Replay {
    parts: counts;
    values: order, dropped_unix;
    made: max;
});

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const NOW: u64 = 1_700_000_000;
    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn minted(now_unix: u64, salt: u64) -> Vec<u8> {
        let mut out = Vec::new();
        mint(&KEY, now_unix, salt, SOURCE, &mut out);
        out
    }

    #[track_caller]
    fn stamp(now_unix: u64, salt: u64) -> NonceStamp {
        match check(&KEY, &minted(now_unix, salt), SOURCE, now_unix) {
            NonceVerdict::Fresh(stamp) => stamp,
            other @ (NonceVerdict::Stale | NonceVerdict::OtherSource | NonceVerdict::Forged) => {
                panic!("{other:?}")
            }
        }
    }

    // the MAC comes from Python's hmac, so another home agrees byte for byte.
    #[test]
    fn every_home_mints_the_same_bytes() {
        let mut out = b"nonce=".to_vec();
        mint(&KEY, NOW, 0x0102_0304_0506_0708, SOURCE, &mut out);
        assert_eq!(
            out,
            b"nonce=AABlU_EAAwQFBgcIAAAAAMAAAgGN6kVUmNAJp-aje2nygZRB"
        );
        assert_eq!(out.len(), b"nonce=".len() + NONCE_LEN);
    }

    //
    #[test]
    fn a_nonce_is_judged_by_age_and_key() {
        let nonce = minted(NOW, 1);
        let fresh = NonceVerdict::Fresh(stamp(NOW, 1));
        let judge = |now_unix: u64, want: NonceVerdict| {
            assert_eq!(check(&KEY, &nonce, SOURCE, now_unix), want, "at {now_unix}");
        };
        judge(NOW, fresh);
        judge(NOW + limits::NONCE_S, fresh);
        judge(NOW + limits::NONCE_S + 1, NonceVerdict::Stale);
        judge(u64::MAX, NonceVerdict::Stale);
        judge(NOW - limits::NONCE_SKEW_S, fresh);
        judge(NOW - limits::NONCE_SKEW_S - 1, NonceVerdict::Forged);
        judge(0, NonceVerdict::Forged);
        assert_eq!(check(&[8; 32], &nonce, SOURCE, NOW), NonceVerdict::Forged);
    }

    #[test]
    fn a_nonce_serves_the_source_it_was_sent_to() {
        let judge = |minted_for: &str, source: &str, want: bool| {
            let mut nonce = Vec::new();
            mint(&KEY, NOW, 1, minted_for.parse().unwrap(), &mut nonce);
            let verdict = check(&KEY, &nonce, source.parse().unwrap(), NOW);
            assert_eq!(matches!(verdict, NonceVerdict::Fresh(_)), want, "{source}");
            assert_eq!(verdict == NonceVerdict::OtherSource, !want, "{source}");
        };
        judge("192.0.2.1", "192.0.2.1", true);
        judge("192.0.2.1", "::ffff:192.0.2.1", true);
        judge("192.0.2.1", "192.0.2.2", false);
        judge("2001:db8::1", "2001:db8::2", true);
        judge("2001:db8::1", "2001:db8:0:1::1", false);
    }

    //
    #[test]
    fn a_nonce_with_any_character_changed_is_forged() {
        let nonce = minted(NOW, 1);
        for index in 0..nonce.len() {
            let mut other = nonce.clone();
            other[index] = if other[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                check(&KEY, &other, SOURCE, NOW),
                NonceVerdict::Forged,
                "at {index}"
            );
            other[index] = b'=';
            assert_eq!(
                check(&KEY, &other, SOURCE, NOW),
                NonceVerdict::Forged,
                "at {index}"
            );
        }
        assert_eq!(check(&KEY, &nonce[..47], SOURCE, NOW), NonceVerdict::Forged);
        assert_eq!(
            check(&KEY, &[&nonce[..], b"A"].concat(), SOURCE, NOW),
            NonceVerdict::Forged
        );
        assert_eq!(check(&KEY, b"", SOURCE, NOW), NonceVerdict::Forged);
        assert_eq!(
            check(&KEY, &[0xff; NONCE_LEN], SOURCE, NOW),
            NonceVerdict::Forged
        );
    }

    #[test]
    fn a_count_is_eight_hex_digits() {
        #[track_caller]
        fn check(nc: &str, want: Option<u32>) {
            assert_eq!(count(nc.as_bytes()), want);
        }
        check("00000001", Some(1));
        check("0000000A", Some(10));
        check("ffffffff", Some(u32::MAX));
        check("1", None);
        check("000000001", None);
        check("0000000g", None);
        check("+0000001", None);
    }

    //
    #[test]
    fn a_count_passes_once() {
        let mut replay = Replay::new([1, 2, 3, 4]);
        let (a, b) = (stamp(NOW, 1), stamp(NOW, 2));
        assert!(!replay.admit(a, 0, NOW));
        assert!(replay.admit(a, 1, NOW));
        assert!(!replay.admit(a, 1, NOW));
        assert!(replay.admit(a, 5, NOW + 1));
        assert!(!replay.admit(a, 4, NOW + 2));
        assert!(replay.admit(a, 6, NOW + 2));
        assert!(replay.admit(b, 1, NOW + 2));
        assert_eq!(replay.len(), 2);
    }

    // a count is forgotten only when its nonce is stale anyway.
    #[test]
    fn a_nonce_is_remembered_as_long_as_it_is_fresh() {
        let mut replay = Replay::new([1, 2, 3, 4]);
        assert!(replay.admit(stamp(NOW, 1), 1, NOW));
        let end = NOW + limits::NONCE_S;
        assert!(!replay.admit(stamp(NOW, 1), 1, end));
        assert!(replay.admit(stamp(end, 2), 1, end + 1));
        assert_eq!(replay.len(), 1);
        assert_eq!(replay.counts.len(), 1);
    }

    // the bound costs round trips, never a replay.
    #[test]
    fn at_the_bound_the_oldest_is_dropped_and_refused() {
        let mut replay = Replay::with_max([1, 2, 3, 4], 2);
        let [a, b, c, d] = [1, 2, 3, 4].map(|age| stamp(NOW + age, age));
        assert!(replay.admit(a, 1, NOW));
        assert!(replay.admit(b, 1, NOW));
        assert!(replay.admit(c, 1, NOW));
        assert_eq!(replay.len(), 2);
        assert!(!replay.admit(a, 1, NOW));
        assert!(!replay.admit(a, 2, NOW));
        assert!(!replay.admit(stamp(NOW, 9), 1, NOW));
        assert!(replay.admit(b, 2, NOW));
        assert!(replay.admit(d, 1, NOW));
        assert!(!replay.admit(b, 3, NOW));
        assert_eq!((replay.len(), replay.counts.len()), (2, 2));
    }
}
