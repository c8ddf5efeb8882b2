//! Branches of client transactions: the name of the transaction, readable by
//! its writer alone.
//!
//! After the cookie of RFC 3261 §8.1.1.7 stand the index of the slot, the shard it is on,
//! and 43 bits of SipHash over slot and generation, in 14 letters of five bits each. A
//! response is found without a table, and a peer that has not seen a request cannot answer
//! it: the generation is known where the slot is, so it need not be written. Whoever
//! guesses has half a minute for each transaction, and would have to forge the address
//! that its request went to: at a million guesses a second he hits one in 300,000
//! transactions of his choice. The letters keep their meaning in either case, as §7.3.1
//! demands.

use crate::id::Slot;
use crate::limits;
use crate::secret::Mac;

/// Writes and reads branches, under a secret of this shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branches {
    mac: Mac,
    shard: u8,
}

/// A branch that one of our shards may have written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// The index of the slot that it names.
    pub(super) index: u32,
    mac: u64,
}

impl Branches {
    pub(super) const fn new(mac: Mac, shard: u8) -> Self {
        Self { mac, shard }
    }

    /// The branch of `slot`, `COOKIE` first.
    pub(super) fn text(&self, slot: Slot) -> [u8; BRANCH_LEN] {
        let bits = u128::from(slot.index)
            | u128::from(self.shard) << INDEX_BITS
            | u128::from(self.mac(slot)) << SLOT_BITS;
        let mut text = [0; BRANCH_LEN];
        let (cookie, letters) = text.split_at_mut(COOKIE.len());
        cookie.copy_from_slice(COOKIE);
        // Sixty bits at a time: a shift of 128 bits is several.
        for (half, letters) in letters.chunks_mut(HALF).enumerate() {
            let mut bits = u64::try_from(bits >> (60 * half) & SIXTY).unwrap_or_default();
            for letter in letters {
                *letter = ALPHABET[usize::from(bits.to_le_bytes()[0] & 31)];
                bits >>= 5;
            }
        }
        text
    }

    /// What a branch says, whatever follows it; `None` for one that this shard does
    /// not write.
    pub(super) fn read(&self, branch: &[u8]) -> Option<Read> {
        let bits = letters(branch)?;
        let slot = u32::try_from(bits & SLOT).unwrap_or_default();
        let is_own = slot >> INDEX_BITS == u32::from(self.shard);
        is_own.then(|| Read {
            index: slot & INDEX,
            mac: u64::try_from(bits >> SLOT_BITS).unwrap_or_default(),
        })
    }

    /// Whether the branch is that of `slot`, which has its index.
    pub(super) fn is_of(&self, read: Read, slot: Slot) -> bool {
        read.mac == self.mac(slot)
    }

    /// 43 bits that only this shard can compute.
    fn mac(&self, slot: Slot) -> u64 {
        let name = u64::from(slot.index) << 32 | u64::from(slot.generation);
        self.mac.veil(name) >> (64 - MAC_BITS)
    }
}

/// The shard that a branch of ours names. That shard checks the MAC.
#[must_use]
pub(crate) fn shard_of(branch: &[u8]) -> Option<u8> {
    let slot = letters(branch)? & SLOT;
    u8::try_from(slot >> INDEX_BITS).ok()
}

/// The bits in the letters behind the cookie.
fn letters(branch: &[u8]) -> Option<u128> {
    let (cookie, rest) = branch.split_at_checked(COOKIE.len())?;
    let letters: &[u8; LETTERS] = rest.first_chunk()?;
    if !cookie.eq_ignore_ascii_case(COOKIE) {
        return None;
    }
    // The last eight are read whole, though some of them were read before.
    let eight = |at: usize| {
        let mut text = [0; 8];
        text.copy_from_slice(&letters[at..at + 8]);
        values(u64::from_le_bytes(text))
    };
    let [(first, a), (last, b)] = [eight(0), eight(LETTERS - 8)];
    let bits = u128::from(first) | u128::from(last >> OVERLAP) << 40;
    (a | b == 0).then_some(bits)
}

/// What eight letters stand for, five bits each, and not 0 when any of them is
/// none. All eight at once, a byte each.
fn values(text: u64) -> (u64, u64) {
    /// This byte, eight times.
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    // Bit 6 tells letters from digits.
    let letter = text >> 6 & each(1);
    let is_letter = letter * 0xff;
    let digits = text & each(0x0f) & !is_letter;
    let value = digits | ((text & each(0x1f) & is_letter) + letter * 9);
    // Written again it must be the same, in lower case.
    let ten = (value + each(0x76)) >> 7 & each(1);
    let again = value + each(b'0') + ten * u64::from(b'a' - b'0' - 10);
    let wrong = again ^ (text | letter << 5) | value & each(0x60);
    // Every second one moves up to the one before it, by pairs of ever more.
    let pairs = value & 0x001f_001f_001f_001f | value >> 3 & 0x03e0_03e0_03e0_03e0;
    let fours = pairs & 0x0000_03ff_0000_03ff | pairs >> 6 & 0x000f_fc00_000f_fc00;
    let eight = fours & 0x000f_ffff | fours >> 12 & 0xff_fff0_0000;
    (eight, wrong)
}

/// Bits of a slot's index; the shard stands above them.
const INDEX_BITS: u32 = 20;
const INDEX: u32 = (1 << INDEX_BITS) - 1;
/// Bits of the index and the shard.
const SLOT_BITS: u32 = INDEX_BITS + 7;
const SLOT: u128 = (1 << SLOT_BITS) - 1;
const MAC_BITS: u32 = 43;
const _: () = assert!(
    limits::TRANSACTIONS_MAX <= 1 << INDEX_BITS && limits::SHARDS_MAX <= 1 << 7,
    "a slot and a shard fit their bits"
);
/// What every branch since RFC 3261 begins with.
const COOKIE: &[u8] = b"z9hG4bK";
/// 70 bits, five each.
const LETTERS: usize = 14;
/// Bytes of a branch.
pub(super) const BRANCH_LEN: usize = COOKIE.len() + LETTERS;
const _: () = assert!(
    (SLOT_BITS + MAC_BITS) as usize == LETTERS * 5,
    "a slot and its MAC fill the letters"
);
/// Bits of the last eight letters that are in the first eight as well.
const OVERLAP: usize = (16 - LETTERS) * 5;
/// As many of them as fit into 64 bits.
const HALF: usize = 12;
const SIXTY: u128 = (1 << 60) - 1;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

#[cfg(test)]
mod tests {
    use super::*;

    fn branches(seed: u64, shard: u8) -> Branches {
        Branches::new(Mac::new([seed, 2, 3, 4], "branch"), shard)
    }

    fn branch(slot: Slot) -> Vec<u8> {
        branches(1, 3).text(slot).to_vec()
    }

    /// Whether it is the branch of that slot.
    fn is_of(own: Branches, branch: &[u8], slot: Slot) -> bool {
        let read = own.read(branch);
        read.is_some_and(|read| read.index == slot.index && own.is_of(read, slot))
    }

    // T-4
    #[test]
    fn a_branch_leads_back_to_its_slot() {
        let own = branches(1, 3);
        for (index, generation) in [(0, 0), (1, 0), (0, 1), (0xfffff, 77), (0xf_fffe, u32::MAX)] {
            let slot = Slot { index, generation };
            let mut text = branch(slot);
            assert_eq!((text.len(), &text[..7]), (21, &b"z9hG4bK"[..]));
            assert!(is_of(own, &text, slot));
            assert_eq!(shard_of(&text), Some(3));
            assert!(!is_of(branches(1, 4), &text, slot));
            assert!(is_of(own, &text.to_ascii_uppercase(), slot));
            for other in [index ^ 1, index ^ 0x8_0000] {
                let other = Slot {
                    index: other,
                    generation,
                };
                assert!(!is_of(own, &text, other));
            }
            let later = Slot {
                index,
                generation: generation.wrapping_add(1),
            };
            assert!(!is_of(own, &text, later), "another tenant of the slot");
            text.extend_from_slice(b".loop");
            assert!(is_of(own, &text, slot));
        }
        for shard in [0, 1, 64, 127] {
            let slot = Slot {
                index: 0xf_ffff,
                generation: 5,
            };
            let own = branches(1, shard);
            let text = own.text(slot);
            assert!(is_of(own, &text, slot));
            assert_eq!(shard_of(&text), Some(shard));
        }
    }

    #[test]
    fn each_letter_stands_for_its_index_and_nothing_else_does() {
        for byte in 0..=u8::MAX {
            let mut letters = ALPHABET.iter();
            let want = letters.position(|letter| letter.eq_ignore_ascii_case(&byte));
            for index in 0..8 {
                let mut text = *b"v0v0v0v0";
                text[index] = byte;
                let (bits, wrong) = values(u64::from_le_bytes(text));
                let value = usize::try_from(bits >> (5 * index) & 31).unwrap();
                assert_eq!((wrong == 0).then_some(value), want, "{byte}");
            }
        }
    }

    // T-4, T-7
    #[test]
    fn a_flipped_character_finds_nothing() {
        let slot = Slot {
            index: 5,
            generation: 9,
        };
        let text = branch(slot);
        for index in 0..text.len() {
            for other in (0..=255u8).filter(|other| !other.eq_ignore_ascii_case(&text[index])) {
                let mut forged = text.clone();
                forged[index] = other;
                let found = is_of(branches(1, 3), &forged, slot);
                assert!(!found, "{index} {other}");
            }
            assert!(
                !is_of(branches(1, 3), &text[..index], slot),
                "cut at {index}"
            );
        }
        assert!(!is_of(branches(2, 3), &text, slot));
    }
}
