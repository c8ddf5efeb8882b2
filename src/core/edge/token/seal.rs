//! Sealing: bytes that only the edges of the cluster can read or make, spelled
//! as `t` and base64url of a key id and what is sealed.
//!
//! The cipher is AES-SIV (RFC 5297) with a 512-bit key and a synthetic IV of 96
//! bits. What ties its texts to this use and this format is how the key is derived:
//! as associated data it would cost two more passes of the cipher for each token. It
//! is deterministic: equal bytes under equal keys are equal text on every edge, which
//! is what makes two edges' Path URIs strongly equivalent (H-3). That two
//! registrations are equal is all an observer learns.
//!
//! 96 bits suffice. Each guess at a token is a request to an edge that answers it 403,
//! and a token opens nothing by itself: it says where a phone is, and who shows it
//! needs a flow or the mark of a dialog besides. Among a thousand million different
//! tokens under one key, two have the same IV with a chance of 2^-37.
//!
//! Key ids are derived from the keys, so nobody configures them. During a
//! rotation the new key stands first and mints; the old one verifies for as
//! long as the longest registration and dialog made under it. The form before this
//! one, `s` with two hexadecimal digits of key id and base32 of the sealed bytes with
//! an IV of 128 bits, is read for as long.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha512};

use super::error::BadToken;
use super::spelling;
use crate::secret::cmac::BLOCK;
use crate::secret::siv::Siv;

/// Octets of the synthetic IV.
const TAG: usize = 12;
/// The letters that the forms begin with.
const PACKED: u8 = b't';
const SPELLED_OUT: u8 = b's';

/// The live keys of a cluster.
pub(super) struct KeyRing {
    mint: Box<Key>,
    older: Vec<Key>,
}

struct Key {
    packed: Use,
    spelled_out: Use,
}

/// A key derived for one of the forms.
struct Use {
    id: u8,
    siv: Siv,
}

/// How the plain bytes of a token are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The form in which tokens are written.
    Packed,
    /// The form of earlier versions, which is read only.
    SpelledOut,
}

impl KeyRing {
    /// The ring of these keys; `None` when there are none.
    pub(super) fn new(keys: &[[u8; 64]]) -> Option<Self> {
        let (mint, older) = keys.split_first()?;
        Some(Self {
            mint: Box::new(Key::new(mint)),
            older: older.iter().map(Key::new).collect(),
        })
    }

    /// Replaces `out[at..]`, the plain bytes, by their sealed text.
    pub(super) fn seal_tail(&self, out: &mut Vec<u8>, at: usize) {
        let Use { id, siv } = &self.mint.packed;
        let head = [PACKED, *id];
        out.splice(at..at, head.into_iter().chain([0; TAG]));
        let tag_at = at + head.len();
        let (before, plain) = out.split_at_mut(tag_at + TAG);
        before[tag_at..].copy_from_slice(&siv.seal::<TAG>(plain));
        spelling::base64_tail(out, at + 1);
    }

    /// Whether a sealed text that was opened is the one that sealing its bytes would give now:
    /// it is under the first key and of the written form.
    pub(super) fn seals_like(&self, text: &[u8]) -> bool {
        let mut head = [0; 3];
        let Some((&[PACKED, a, b, c, d], _)) = text.split_first_chunk() else {
            return false;
        };
        let id = self.mint.packed.id;
        matches!(BASE64URL_NOPAD.decode_mut(&[a, b, c, d], &mut head), Ok(3))
            && head[0] == id
            && !self.older.iter().any(|key| key.packed.id == id)
    }

    /// The plain bytes of a sealed text (unescaped), written into `room`.
    ///
    /// # Errors
    /// `Malformed` when the text is not one that `seal_tail` writes,
    /// `UnknownKey` when no key here has its id, `Forged` when one has but did
    /// not seal it.
    pub(super) fn open<'a>(
        &self,
        text: &[u8],
        room: &'a mut [u8],
    ) -> Result<(Form, &'a [u8]), BadToken> {
        match text {
            [PACKED, body @ ..] => {
                let all = spelling::unbase64(body, room)?;
                let (id, sealed) = all.split_first_mut().ok_or(BadToken::Malformed)?;
                let plain = self.unseal::<TAG>(*id, sealed, |key| &key.packed)?;
                Ok((Form::Packed, plain))
            }
            [SPELLED_OUT, high, low, body @ ..] => {
                let mut id = [0];
                if !matches!(HEXLOWER.decode_mut(&[*high, *low], &mut id), Ok(1)) {
                    return Err(BadToken::Malformed);
                }
                let sealed = spelling::unbase32(body, room)?;
                let plain = self.unseal::<BLOCK>(id[0], sealed, |key| &key.spelled_out)?;
                Ok((Form::SpelledOut, plain))
            }
            [..] => Err(BadToken::Malformed),
        }
    }

    /// Opens what is behind a tag of `N` octets, with the keys that have that id.
    fn unseal<'a, const N: usize>(
        &self,
        id: u8,
        sealed: &'a mut [u8],
        of: impl Fn(&Key) -> &Use,
    ) -> Result<&'a [u8], BadToken> {
        let Some((tag, sealed)) = sealed.split_first_chunk_mut::<N>() else {
            return Err(BadToken::Malformed);
        };
        let mut verdict = BadToken::UnknownKey;
        let keys = std::iter::once(&*self.mint).chain(&self.older).map(of);
        for key in keys.filter(|key| key.id == id) {
            // A failed opening leaves the bytes sealed, for a further key whose
            // id happens to be the same.
            if key.siv.open(tag, sealed) {
                return Ok(sealed);
            }
            verdict = BadToken::Forged;
        }
        Err(verdict)
    }
}

impl Key {
    fn new(key: &[u8; 64]) -> Self {
        Self {
            packed: Use::new(key, "steadfast edge token 3"),
            spelled_out: Use::new(key, "steadfast edge token 2"),
        }
    }
}

impl Use {
    fn new(key: &[u8; 64], form: &str) -> Self {
        let own = |what: &str| {
            let context = Sha512::new().chain_update(form).chain_update(what);
            context.chain_update(key).finalize()
        };
        Self {
            id: own(", key id")[0],
            siv: Siv::new(&own(", key").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(ring: &KeyRing, plain: &[u8]) -> Vec<u8> {
        let mut out = b"sip:".to_vec();
        out.extend_from_slice(plain);
        ring.seal_tail(&mut out, 4);
        assert_eq!(&out[..4], b"sip:");
        out.split_off(4)
    }

    fn open(ring: &KeyRing, text: &[u8]) -> Result<Vec<u8>, BadToken> {
        let mut room = [0; spelling::BYTES_MAX];
        ring.open(text, &mut room).map(|(form, plain)| {
            assert_eq!(form, Form::Packed);
            plain.to_vec()
        })
    }

    #[test]
    fn two_keys_with_one_id_are_both_tried() {
        let numbered = |n: u16| {
            let mut key = [7; 64];
            key[..2].copy_from_slice(&n.to_be_bytes());
            key
        };
        let id = |n| Key::new(&numbered(n)).packed.id;
        let colliding = (1..).find(|&n| id(n) == id(0)).unwrap();
        let both = KeyRing::new(&[numbered(0), numbered(colliding)]).unwrap();
        let text = seal(&KeyRing::new(&[numbered(colliding)]).unwrap(), b"joe");
        assert_eq!(open(&both, &text), Ok(b"joe".to_vec()));
        assert_eq!(
            open(&KeyRing::new(&[numbered(0)]).unwrap(), &text),
            Err(BadToken::Forged)
        );
    }

    /// Another form or another derivation of the keys, and the edges of one
    /// cluster no longer read each other. Computed with other programs: SHA-512,
    /// AES-256-CMAC and AES-256 of OpenSSL, base64url and base32hex.
    #[test]
    fn the_sealed_forms_do_not_change() {
        let ring = KeyRing::new(&[[7; 64]]).unwrap();
        assert_eq!(seal(&ring, b"joe"), b"tKuwT-bRoiULcAcPxq3dujQ");
        let before = b"s1195c2nprpr8b77jv3l5c0305qjcge9a0";
        let mut room = [0; spelling::BYTES_MAX];
        let want = Ok((Form::SpelledOut, &b"joe"[..]));
        assert_eq!(ring.open(before, &mut room), want);
        assert!(!ring.seals_like(before), "it is written in the other form");
    }

    #[test]
    fn a_ring_without_keys_is_none() {
        assert!(KeyRing::new(&[]).is_none());
    }

    #[test]
    fn text_too_short_for_a_tag_is_malformed() {
        let ring = KeyRing::new(&[[7; 64]]).unwrap();
        let text = seal(&ring, b"");
        assert_eq!(open(&ring, &text), Ok(Vec::new()));
        for end in 0..text.len() {
            assert_eq!(open(&ring, &text[..end]), Err(BadToken::Malformed), "{end}");
        }
    }
}
