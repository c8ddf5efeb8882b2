//! What stands in the file of flows.
//!
//! One page says what the file is: `MAGIC`, a version, the length of a slot and the
//! number of slots (4 bytes each), the id of the file (16), the name of the edge it
//! belongs to (length in 2 bytes, name), zeros, and the SHA-256 of all that. The
//! slots follow. A slot in use begins with a seal, an AES-CMAC under the id over the
//! number of the slot and all the rest of it: the lengths of key and value (2 each),
//! key, value, zeros. A free slot is zeros. Numbers are little-endian.
//!
//! The seal finds what was torn or damaged, and what was written before the file got
//! its id: a new id in the first page empties the whole file. It is no protection
//! from somebody who may write the file, which its owner and mode are.

use aes::Aes128Enc;
use sha2::{Digest, Sha256};

use crate::limits;
use crate::secret::cmac::{BLOCK, Cmac};

/// Length of the first page.
pub(super) const HEAD: usize = 4_096;
/// Length of a slot: a part of a page and of a sector.
pub(super) const SLOT: usize = 256;
const MAGIC: &[u8; 16] = b"steadfast flows\n";
const VERSION: u32 = 1;
const NAME_AT: usize = 46;
const DIGEST_AT: usize = HEAD - 32;
const LENGTHS: usize = 4;

const _: () = assert!(
    BLOCK + LENGTHS + limits::FLOW_ROW_MAX == SLOT,
    "a row and what stands before it fill a slot"
);

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) slots: u32,
    pub(super) id: [u8; 16],
    /// The edge whose flows they are.
    pub(super) owner: Box<str>,
}

/// Why a first page is not of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadHead {
    #[error("it is no table of flows")]
    Foreign,
    #[error("another version of steadfast wrote it")]
    Version,
    #[error("its first page is damaged")]
    Damaged,
}

impl Head {
    /// Length of the whole file.
    pub(super) fn file_len(&self) -> u64 {
        offset_of(self.slots)
    }

    pub(super) fn write(&self) -> [u8; HEAD] {
        let mut page = [0; HEAD];
        let owner = self.owner.as_bytes();
        let owner = owner.get(..DIGEST_AT - NAME_AT).unwrap_or(owner);
        let len = u16::try_from(owner.len()).unwrap_or(u16::MAX);
        let slot = u32::try_from(SLOT).unwrap_or_default();
        let parts = [
            &MAGIC[..],
            &VERSION.to_le_bytes(),
            &slot.to_le_bytes(),
            &self.slots.to_le_bytes(),
            &self.id,
            &len.to_le_bytes(),
            owner,
        ];
        let written = parts.concat();
        page[..written.len()].copy_from_slice(&written);
        let digest = Sha256::digest(&page[..DIGEST_AT]);
        page[DIGEST_AT..].copy_from_slice(&digest);
        page
    }

    pub(super) fn read(page: &[u8; HEAD]) -> Result<Self, BadHead> {
        let (magic, rest) = page.split_first_chunk::<16>().ok_or(BadHead::Foreign)?;
        if magic != MAGIC {
            return Err(BadHead::Foreign);
        }
        let (content, digest) = page.split_at(DIGEST_AT);
        if Sha256::digest(content)[..] != *digest {
            return Err(BadHead::Damaged);
        }
        let number = |at: usize| {
            let bytes = rest.get(at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        if number(0) != VERSION || number(4) as usize != SLOT {
            return Err(BadHead::Version);
        }
        let id = rest.get(12..).and_then(<[u8]>::first_chunk);
        let len = rest.get(28..).and_then(<[u8]>::first_chunk);
        let len = len.map_or(0, |len| usize::from(u16::from_le_bytes(*len)));
        let owner = page.get(NAME_AT..NAME_AT + len);
        let owner = owner.and_then(|owner| std::str::from_utf8(owner).ok());
        Ok(Self {
            slots: number(8),
            id: *id.ok_or(BadHead::Damaged)?,
            owner: owner.ok_or(BadHead::Damaged)?.into(),
        })
    }
}

/// The offset in the file at which a slot begins, in octets.
pub(super) fn offset_of(slot: u32) -> u64 {
    HEAD as u64 + u64::from(slot) * SLOT as u64
}

/// What the slots of one file are sealed with.
pub(super) struct Seal(Cmac<Aes128Enc>);

impl Seal {
    pub(super) fn new(id: &[u8; 16]) -> Self {
        Self(Cmac::new(id.into()))
    }

    /// A slot in use; `None` when the row is too long for one.
    pub(super) fn write(&self, slot: u32, key: &[u8], value: &[u8]) -> Option<[u8; SLOT]> {
        let mut bytes = [0; SLOT];
        let lengths = [key, value].map(|part| u16::try_from(part.len()).map(u16::to_le_bytes));
        let [Ok(key_len), Ok(value_len)] = lengths else {
            return None;
        };
        let row = [&key_len[..], &value_len, key, value].concat();
        bytes
            .get_mut(BLOCK..BLOCK + row.len())?
            .copy_from_slice(&row);
        let seal = self.over(slot, &bytes);
        bytes[..BLOCK].copy_from_slice(&seal);
        Some(bytes)
    }

    /// The key and the value in a slot.
    pub(super) fn read<'a>(&self, slot: u32, bytes: &'a [u8; SLOT]) -> Found<'a> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Found::Free;
        }
        let (seal, row) = bytes.split_at(BLOCK);
        if self.over(slot, bytes) != *seal {
            return Found::Torn;
        }
        let parts = row.split_first_chunk().and_then(|(lengths, row)| {
            let [a, b, c, d] = *lengths;
            let (key, rest) = row.split_at_checked(u16::from_le_bytes([a, b]).into())?;
            Some((key, rest.get(..u16::from_le_bytes([c, d]).into())?))
        });
        parts.map_or(Found::Torn, |(key, value)| Found::Row(key, value))
    }

    fn over(&self, slot: u32, bytes: &[u8; SLOT]) -> [u8; BLOCK] {
        let mut sealed = *bytes;
        let (front, _) = sealed.split_at_mut(BLOCK);
        front.fill(0);
        front[..4].copy_from_slice(&slot.to_le_bytes());
        self.0.of(&sealed)
    }
}

/// What a slot holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Nothing.
    Free,
    /// A key and its value.
    Row(&'a [u8], &'a [u8]),
    /// What was not written whole, or not under this id.
    Torn,
}
