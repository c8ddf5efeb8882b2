//! The input of the MAC of a mark: fields written so that no two lists of fields give the same
//! octets.

use aes::Aes128Enc;

use crate::secret::cmac::{BLOCK, Cmac, CmacState};

/// The input of a MAC, gathered in one buffer.
pub(super) struct Text<'a> {
    key: &'a Cmac<Aes128Enc>,
    /// The MAC of what came before the buffer.
    state: CmacState,
    bytes: [u8; TEXT_MAX],
    len: usize,
}

/// More than nearly every dialog needs, in whole blocks; a longer input is computed in
/// pieces.
pub(super) const TEXT_MAX: usize = 24 * BLOCK;

impl<'a> Text<'a> {
    pub(super) fn of(key: &'a Cmac<Aes128Enc>) -> Self {
        Self {
            key,
            state: CmacState::default(),
            bytes: [0; TEXT_MAX],
            len: 0,
        }
    }

    pub(super) fn put(&mut self, mut part: &[u8]) {
        while let Some((now, later)) = part.split_at_checked(TEXT_MAX - self.len)
            && !later.is_empty()
        {
            self.bytes[self.len..].copy_from_slice(now);
            self.state = self.key.go_on(self.state, self.bytes.as_chunks().0);
            self.len = 0;
            part = later;
        }
        let end = self.len + part.len();
        self.bytes[self.len..end].copy_from_slice(part);
        self.len = end;
    }

    /// Writes a field with its length, so that no two lists of fields are the same octets.
    pub(super) fn field(&mut self, field: &[u8]) {
        let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
        let length = length.to_be_bytes();
        // Nearly always there is room for both.
        match self
            .bytes
            .get_mut(self.len..self.len + length.len() + field.len())
        {
            Some([first, second, room @ ..]) => {
                [*first, *second] = length;
                room.copy_from_slice(field);
                self.len += length.len() + field.len();
            }
            Some(_) | None => {
                self.put(&length);
                self.put(field);
            }
        }
    }

    /// Writes a field in lower case, since its case does not count.
    pub(super) fn caseless(&mut self, name: &[u8]) {
        let mut small = [0; HOST_MAX];
        match small.get_mut(..name.len()) {
            Some(small) => {
                small.copy_from_slice(name);
                small.make_ascii_lowercase();
                self.field(small);
            }
            None => self.field(name),
        }
    }

    pub(super) fn end(self) -> [u8; BLOCK] {
        self.key.end(self.state, &self.bytes[..self.len])
    }
}

/// Longest host that is compared without regard to its case.
const HOST_MAX: usize = 64;
