//! Branches of client transactions: the name of the transaction, readable by
//! its writer alone.
//!
//! After the cookie of RFC 3261 §8.1.1.7 stand the slot with the shard it is on,
//! its generation and 56 bits of SipHash over both, in 24 letters of five bits each. A response is
//! found without a table, and a peer that has not seen a request cannot answer
//! it. The letters keep their meaning in either case, as §7.3.1 demands.

use crate::id::Slot;
use crate::limits;
use crate::secret::Mac;

/// Writes and reads branches, under a secret of this shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branches {
    mac: Mac,
    shard: u8,
}

impl Branches {
    pub(super) const fn new(mac: Mac, shard: u8) -> Self {
        Self { mac, shard }
    }

    /// Appends the branch of `slot`, `COOKIE` first.
    pub(super) fn write(&self, slot: Slot, out: &mut Vec<u8>) {
        let bits = u128::from(slot.index)
            | u128::from(self.shard) << SLOT_BITS
            | u128::from(slot.generation) << 32
            | u128::from(self.mac(slot)) << 64;
        let mut text = [0; COOKIE.len() + LETTERS];
        let (cookie, letters) = text.split_at_mut(COOKIE.len());
        cookie.copy_from_slice(COOKIE);
        // Sixty bits at a time: a shift of 128 bits is several.
        for (half, letters) in letters.chunks_exact_mut(HALF).enumerate() {
            let mut bits = u64::try_from(bits >> (60 * half) & SIXTY).unwrap_or_default();
            for letter in letters {
                *letter = ALPHABET[usize::from(bits.to_le_bytes()[0] & 31)];
                bits >>= 5;
            }
        }
        out.extend_from_slice(&text);
    }

    /// The slot of a branch that `write` made, whatever follows it; `None`
    /// for any other.
    pub(super) fn read(&self, branch: &[u8]) -> Option<Slot> {
        let [i0, i1, i2, shard, g0, g1, g2, g3, mac @ ..] = letters(branch)?.to_le_bytes();
        if shard != self.shard {
            return None;
        }
        let slot = Slot {
            index: u32::from_le_bytes([i0, i1, i2, 0]),
            generation: u32::from_le_bytes([g0, g1, g2, g3]),
        };
        (u64::from_le_bytes(mac) == self.mac(slot)).then_some(slot)
    }

    /// 56 bits that only this shard can compute.
    fn mac(&self, slot: Slot) -> u64 {
        let name = u64::from(slot.index) << 32 | u64::from(slot.generation);
        self.mac.veil(name) >> 8
    }
}

/// The shard that a branch of ours names. Whether it wrote it, it finds out.
#[must_use]
pub fn shard_of(branch: &[u8]) -> Option<u8> {
    let [_, _, _, shard, ..] = letters(branch)?.to_le_bytes();
    Some(shard)
}

/// The bits in the letters behind the cookie.
fn letters(branch: &[u8]) -> Option<u128> {
    let (cookie, rest) = branch.split_at_checked(COOKIE.len())?;
    let letters = rest.get(..LETTERS)?;
    if !cookie.eq_ignore_ascii_case(COOKIE) {
        return None;
    }
    let (mut bits, mut strange) = (0u128, 0);
    for half in letters.rchunks_exact(HALF) {
        let mut sixty = 0u64;
        for letter in half.iter().rev() {
            let value = VALUES[usize::from(*letter)];
            strange |= value;
            sixty = sixty << 5 | u64::from(value & 31);
        }
        bits = bits << 60 | u128::from(sixty);
    }
    (strange < 32).then_some(bits)
}

/// Bits of a slot's index; the shard stands above them.
const SLOT_BITS: u32 = 24;
const _: () = assert!(
    limits::TRANSACTIONS_MAX <= 1 << SLOT_BITS,
    "a slot fits its bits"
);
/// What every branch since RFC 3261 begins with.
const COOKIE: &[u8] = b"z9hG4bK";
/// 120 bits, five each.
const LETTERS: usize = 24;
/// As many of them as fit into 64 bits, twice.
const HALF: usize = LETTERS / 2;
const SIXTY: u128 = (1 << 60) - 1;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// What each letter stands for, in either case; 255 for all other bytes.
static VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < 32 {
        let letter = ALPHABET[value as usize];
        values[letter as usize] = value;
        values[letter.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branches(seed: u64, shard: u8) -> Branches {
        Branches::new(Mac::new([seed, 2, 3, 4], "branch"), shard)
    }

    fn branch(slot: Slot) -> Vec<u8> {
        let mut out = Vec::new();
        branches(1, 3).write(slot, &mut out);
        out
    }

    // T-4
    #[test]
    fn a_branch_leads_back_to_its_slot() {
        let own = branches(1, 3);
        for (index, generation) in [(0, 0), (1, 0), (0, 1), (0xfffff, 77), (0xff_ffff, u32::MAX)] {
            let slot = Slot { index, generation };
            let mut text = branch(slot);
            assert_eq!((text.len(), &text[..7]), (31, &b"z9hG4bK"[..]));
            assert_eq!(own.read(&text), Some(slot));
            assert_eq!(shard_of(&text), Some(3));
            assert_eq!(branches(1, 4).read(&text), None);
            assert_eq!(own.read(&text.to_ascii_uppercase()), Some(slot));
            text.extend_from_slice(b".loop");
            assert_eq!(own.read(&text), Some(slot));
        }
    }

    // T-4, T-7
    #[test]
    fn a_flipped_character_finds_nothing() {
        let text = branch(Slot {
            index: 5,
            generation: 9,
        });
        for place in 0..text.len() {
            for other in (0..=255u8).filter(|other| !other.eq_ignore_ascii_case(&text[place])) {
                let mut forged = text.clone();
                forged[place] = other;
                assert_eq!(branches(1, 3).read(&forged), None, "{place} {other}");
            }
            assert_eq!(branches(1, 3).read(&text[..place]), None, "cut at {place}");
        }
        assert_eq!(branches(2, 3).read(&text), None);
    }
}
