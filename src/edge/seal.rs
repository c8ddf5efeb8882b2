//! Sealing: bytes that only the edges of the cluster can read or make, spelled
//! as `s`, two hexadecimal digits of key id, and base32.
//!
//! The cipher is AES-SIV (RFC 5297) with a 512-bit key. What ties its texts to
//! this use and this format is how the key is derived: as associated data it
//! would cost two more passes of the cipher for each token. It is deterministic:
//! equal bytes under equal keys are equal text on every edge, which is what
//! makes two edges' Path URIs strongly equivalent (H-3). That two registrations
//! are equal is all an observer learns.
//!
//! Key ids are derived from the keys, so nobody configures them. During a
//! rotation the new key stands first and mints; the old one verifies for as
//! long as the longest registration and dialog made under it.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha512};

use super::{BadToken, spelling};
use crate::secret::cmac::BLOCK;
use crate::secret::siv::Siv;

/// The live keys of a cluster.
pub struct Ring {
    mint: Box<Key>,
    older: Vec<Key>,
}

struct Key {
    id: u8,
    siv: Siv,
}

impl Ring {
    /// The ring of these keys; `None` when there are none.
    #[must_use]
    pub fn new(keys: &[[u8; 64]]) -> Option<Self> {
        let (mint, older) = keys.split_first()?;
        Some(Self {
            mint: Box::new(Key::new(mint)),
            older: older.iter().map(Key::new).collect(),
        })
    }

    /// Replaces `out[at..]`, the plain bytes, by their sealed text.
    pub(super) fn seal_tail(&self, out: &mut Vec<u8>, at: usize) {
        let id = self.mint.id;
        let mut head = [b's', 0, 0];
        HEXLOWER.encode_mut(&[id], &mut head[1..]);
        let iv_at = at + head.len();
        out.splice(at..at, head.into_iter().chain([0; BLOCK]));
        let (before, plain) = out.split_at_mut(iv_at + BLOCK);
        before[iv_at..].copy_from_slice(&self.mint.siv.seal(plain));
        spelling::base32_tail(out, iv_at);
    }

    /// Whether a sealed text that opened here was sealed by the key that seals.
    pub(super) fn seals_like(&self, text: &[u8]) -> bool {
        let mut id = [0];
        let letters = text.get(1..3).unwrap_or_default();
        letters.len() == 2
            && matches!(HEXLOWER.decode_mut(letters, &mut id), Ok(1))
            && id == [self.mint.id]
            && !self.older.iter().any(|key| key.id == self.mint.id)
    }

    /// The plain bytes of a sealed text (unescaped), written into `room`.
    ///
    /// # Errors
    /// `Malformed` when the text is not one that `seal_tail` writes,
    /// `UnknownKey` when no key here has its id, `Forged` when one has but did
    /// not seal it.
    pub(super) fn open<'a>(&self, text: &[u8], room: &'a mut [u8]) -> Result<&'a [u8], BadToken> {
        let Some((&[b's', high, low], body)) = text.split_first_chunk() else {
            return Err(BadToken::Malformed);
        };
        let mut id = [0];
        if !matches!(HEXLOWER.decode_mut(&[high, low], &mut id), Ok(1)) {
            return Err(BadToken::Malformed);
        }
        let Some((iv, sealed)) = spelling::unbase32(body, room)?.split_first_chunk_mut() else {
            return Err(BadToken::Malformed);
        };
        let mut verdict = BadToken::UnknownKey;
        let keys = std::iter::once(&*self.mint).chain(&self.older);
        for key in keys.filter(|key| [key.id] == id) {
            // A failed opening leaves the bytes sealed, for a further key whose
            // id happens to be the same.
            if key.siv.open(iv, sealed) {
                return Ok(sealed);
            }
            verdict = BadToken::Forged;
        }
        Err(verdict)
    }
}

impl Key {
    fn new(key: &[u8; 64]) -> Self {
        let own = |part: &[u8]| Sha512::new().chain_update(part).chain_update(key);
        let id = own(b"steadfast edge token 2, key id").finalize()[0];
        let key = own(b"steadfast edge token 2, key").finalize();
        Self {
            id,
            siv: Siv::new(&key.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(ring: &Ring, plain: &[u8]) -> Vec<u8> {
        let mut out = b"sip:".to_vec();
        out.extend_from_slice(plain);
        ring.seal_tail(&mut out, 4);
        assert_eq!(&out[..4], b"sip:");
        out.split_off(4)
    }

    fn open(ring: &Ring, text: &[u8]) -> Result<Vec<u8>, BadToken> {
        let mut room = [0; spelling::BYTES_MAX];
        ring.open(text, &mut room).map(<[u8]>::to_vec)
    }

    #[test]
    fn two_keys_with_one_id_are_both_tried() {
        let numbered = |n: u16| {
            let mut key = [7; 64];
            key[..2].copy_from_slice(&n.to_be_bytes());
            key
        };
        let first = Key::new(&numbered(0)).id;
        let twin = (1..).find(|&n| Key::new(&numbered(n)).id == first).unwrap();
        let both = Ring::new(&[numbered(0), numbered(twin)]).unwrap();
        let text = seal(&Ring::new(&[numbered(twin)]).unwrap(), b"joe");
        assert_eq!(open(&both, &text), Ok(b"joe".to_vec()));
        assert_eq!(
            open(&Ring::new(&[numbered(0)]).unwrap(), &text),
            Err(BadToken::Forged)
        );
    }

    /// Another form or another derivation of the keys, and the edges of one
    /// cluster no longer read each other. Computed by another library: SHA-512,
    /// AES-SIV, base32hex.
    #[test]
    fn the_sealed_form_does_not_change() {
        let ring = Ring::new(&[[7; 64]]).unwrap();
        let want = b"s1195c2nprpr8b77jv3l5c0305qjcge9a0";
        assert_eq!(seal(&ring, b"joe"), want);
    }

    #[test]
    fn a_ring_without_keys_is_none() {
        assert!(Ring::new(&[]).is_none());
    }

    #[test]
    fn text_too_short_for_a_tag_is_malformed() {
        let ring = Ring::new(&[[7; 64]]).unwrap();
        let text = seal(&ring, b"");
        assert_eq!(open(&ring, &text), Ok(Vec::new()));
        for end in 0..text.len() {
            assert_eq!(open(&ring, &text[..end]), Err(BadToken::Malformed), "{end}");
        }
    }
}
