//! Numbers that nobody outside can foresee, and hashes that nobody outside can
//! compute. Whatever strangers get to see of us and must not learn from comes
//! from here: nonces' salts, tags, branches, Call-IDs, transaction ids of STUN,
//! boot numbers. The hashes of our tables are faster, and stay inside: their
//! results would give their keys away.
//!
//! All of it follows from the seed that the shell gives a shard, 32 bytes of the
//! operating system; each use has a key of its own. What other nodes have to read
//! too is made under keys that the configuration gives, by `cmac` and `siv`.

pub mod cmac;
pub mod siv;

use std::fmt;

use aes::Aes256Enc;
use aes::cipher::{BlockEncrypt, KeyInit};
use sha2::{Digest, Sha256};

use crate::carry::carried;

/// 32 bytes of the operating system.
pub type Seed = [u64; 4];

/// The key of one use.
fn key(seed: Seed, purpose: &str) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(purpose);
    for word in seed {
        hash.update(word.to_le_bytes());
    }
    hash.finalize().into()
}

/// A generator of random numbers: AES-256 in counter mode.
pub struct Chance {
    cipher: Aes256Enc,
    blocks: u128,
    ready: [u64; READY],
    /// Numbers of `ready` that are left.
    left: usize,
}

/// Numbers made at a time.
const READY: usize = 16;

impl Chance {
    /// The generator of this seed.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self {
            cipher: Aes256Enc::new(&key(seed, "steadfast chance").into()),
            blocks: 0,
            ready: [0; READY],
            left: 0,
        }
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        if self.left == 0 {
            self.refill();
        }
        self.left -= 1;
        // What was given out may be a secret of somebody, and is not kept here.
        std::mem::take(&mut self.ready[self.left])
    }

    fn refill(&mut self) {
        let mut blocks = [aes::Block::default(); READY / 2];
        for block in &mut blocks {
            *block = self.blocks.to_le_bytes().into();
            self.blocks += 1;
        }
        self.cipher.encrypt_blocks(&mut blocks);
        for (pair, block) in self.ready.chunks_exact_mut(2).zip(&blocks) {
            let bits = u128::from_le_bytes((*block).into());
            let [low, high] = [bits, bits >> 64].map(|half| half & u128::from(u64::MAX));
            let halves = [low, high].map(|half| u64::try_from(half).unwrap_or_default());
            pair.copy_from_slice(&halves);
        }
        self.left = READY;
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance")
    }
}

/// A keyed hash that gives nothing of its key away: SipHash-2-4.
#[derive(Clone, Copy)]
pub struct Mac(u64, u64);

impl Mac {
    /// The hash whose key follows from a seed and a purpose.
    #[must_use]
    pub fn new(seed: Seed, purpose: &str) -> Self {
        let key = key(seed, purpose);
        let word = |at: usize| {
            let bytes = key.iter().skip(at).take(8);
            bytes.fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        Self(word(0), word(8))
    }

    /// Over these parts, each behind its length and filled up to whole words.
    #[must_use]
    pub fn of<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        let (mut state, mut words) = (self.start(), 0_u64);
        for part in parts {
            let (whole, rest) = part.as_chunks::<8>();
            state = absorb(state, part.len() as u64);
            for word in whole {
                state = absorb(state, u64::from_le_bytes(*word));
            }
            let last = rest.iter().rev();
            let last = last.fold(0, |word, byte| word << 8 | u64::from(*byte));
            state = absorb(state, last);
            words += 2 + whole.len() as u64;
        }
        finish(state, 8 * words)
    }

    /// Over a secret hash, so that it may be shown.
    #[must_use]
    pub(crate) const fn veil(&self, hash: u64) -> u64 {
        finish(absorb(self.start(), hash), 8)
    }

    const fn start(&self) -> [u64; 4] {
        [
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ]
    }
}

/// One word more.
const fn absorb([v0, v1, v2, v3]: [u64; 4], word: u64) -> [u64; 4] {
    let [v0, v1, v2, v3] = round(round([v0, v1, v2, v3 ^ word]));
    [v0 ^ word, v1, v2, v3]
}

/// The hash of so many bytes, which were whole words.
const fn finish(state: [u64; 4], length: u64) -> u64 {
    let [v0, v1, v2, v3] = absorb(state, length << 56);
    let [v0, v1, v2, v3] = round(round(round(round([v0, v1, v2 ^ 0xff, v3]))));
    v0 ^ v1 ^ v2 ^ v3
}

/// SipRound.
const fn round([mut v0, mut v1, mut v2, mut v3]: [u64; 4]) -> [u64; 4] {
    v0 = v0.wrapping_add(v1);
    v2 = v2.wrapping_add(v3);
    v1 = v1.rotate_left(13) ^ v0;
    v3 = v3.rotate_left(16) ^ v2;
    v0 = v0.rotate_left(32);
    v2 = v2.wrapping_add(v1);
    v0 = v0.wrapping_add(v3);
    v1 = v1.rotate_left(17) ^ v2;
    v3 = v3.rotate_left(21) ^ v0;
    v2 = v2.rotate_left(32);
    [v0, v1, v2, v3]
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac")
    }
}

carried!(Chance {
    values: blocks, ready, left;
    made: cipher;
});

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;

    const SEED: Seed = [1, 2, 3, 4];

    #[test]
    fn the_numbers_are_those_of_aes_in_counter_mode() {
        let cipher = Aes256Enc::new(&key(SEED, "steadfast chance").into());
        let mut want: Vec<u64> = (0..64_u128)
            .flat_map(|block| {
                let mut block = block.to_le_bytes().into();
                cipher.encrypt_block(&mut block);
                let bytes: [u8; 16] = block.into();
                let (low, high) = bytes.split_at(8);
                [low, high].map(|half| u64::from_le_bytes(half.try_into().unwrap()))
            })
            .collect();
        let mut chance = Chance::new(SEED);
        let mut got: Vec<u64> = (0..128).map(|_| chance.number()).collect();
        // A buffer is used up from its end.
        got.chunks_mut(READY).for_each(<[u64]>::reverse);
        assert_eq!(got, want);
        want.sort_unstable();
        want.dedup();
        assert_eq!(want.len(), 128);
        assert_ne!(
            Chance::new([1, 2, 3, 5]).number(),
            Chance::new(SEED).number()
        );
    }

    #[test]
    fn a_mac_is_of_its_seed_its_purpose_and_each_part() {
        let mac = Mac::new(SEED, "tag");
        let of = |parts: &[&[u8]]| mac.of(parts.iter().copied());
        assert_eq!(of(&[b"a", b"bc"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"a", b"bc"]), of(&[b"ab", b"c"]));
        assert_ne!(of(&[b"a", b""]), of(&[b"a"]));
        assert_ne!(of(&[b"a"]), Mac::new(SEED, "loop").of([&b"a"[..]]));
        assert_ne!(mac.veil(1), Mac::new([1, 2, 3, 5], "tag").veil(1));
        assert_ne!(mac.veil(1), mac.veil(2));
    }

    #[test]
    #[expect(deprecated, reason = "the library's own is the reference")]
    fn it_is_siphash() {
        let mac = Mac::new(SEED, "tag");
        let naive = |words: &[u64]| {
            let mut hasher = std::hash::SipHasher::new_with_keys(mac.0, mac.1);
            words.iter().for_each(|word| hasher.write_u64(word.to_le()));
            hasher.finish()
        };
        for word in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(mac.veil(word), naive(&[word]));
        }
        let [one, two] = [u64::from_le_bytes(*b"Call-ID1"), 0x3332];
        assert_eq!(mac.of([&b"Call-ID123"[..]]), naive(&[10, one, two]));
        assert_eq!(mac.of([&b"Call-ID1"[..], b""]), naive(&[8, one, 0, 0, 0]));
    }
}
