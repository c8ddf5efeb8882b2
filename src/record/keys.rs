//! One direction of a session: what it is sealed with, and the number of the next record.
//!
//! The only place that knows ciphers, nonces and additional data. A number is used up with the
//! record that it opened or sealed, and never set back.
//!
//! Secrets and keys are wiped where they stand. What ring makes of a key is not: it lives for a
//! call on the stack, or for as long as a session keeps it. Nor is what a session
//! leaves on the stack when it moves into its place, once, after the handshake.

use std::ops::Range;

use ring::aead::{Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use ring::hkdf;
use zeroize::Zeroize;

use crate::failure::Failure;
use crate::limits::{CONTENT_MAX, HEADER_LEN, TAG_LEN};
use crate::suite::{Suite, Version};

/// Bytes of the longest key.
pub(crate) const KEY_MAX: usize = 32;
/// Bytes of the longest traffic secret.
pub(crate) const SECRET_MAX: usize = 48;
/// Bytes of a nonce (RFC 5116 §5).
pub(crate) const NONCE_LEN: usize = 12;

/// The secret of one direction (RFC 8446 §7.2), wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(pub(crate) [u8; SECRET_MAX]);

impl Secret {
    /// These bytes; `None` for more than the longest hash has.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut secret = Self([0; SECRET_MAX]);
        secret.0.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(secret)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// One direction.
pub(crate) struct Half {
    /// Of the next record.
    pub(crate) sequence: u64,
    /// Of TLS 1.3; zeros otherwise.
    pub(crate) secret: Secret,
    /// As long as the cipher's, then zeros.
    pub(crate) key: [u8; KEY_MAX],
    /// What the sequence number is added to.
    pub(crate) iv: [u8; NONCE_LEN],
}

impl Drop for Half {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

/// Where a new record stands in the bytes that leave.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    start: usize,
    content: usize,
}

impl Half {
    /// The direction of TLS 1.3 with this secret.
    pub(crate) fn of_secret(suite: Suite, secret: &Secret, sequence: u64) -> Self {
        let secret = secret.clone();
        let (key, iv) = ([0; KEY_MAX], [0; NONCE_LEN]);
        let mut half = Self {
            sequence,
            secret,
            key,
            iv,
        };
        half.derive(suite);
        half
    }

    /// RFC 8446 §7.3
    fn derive(&mut self, suite: Suite) {
        self.key.zeroize();
        let key = self.key.get_mut(..suite.key_len()).unwrap_or_default();
        expand_label(suite, &self.secret, b"key", key);
        expand_label(suite, &self.secret, b"iv", &mut self.iv);
    }

    /// The next secret and its first record (RFC 8446 §7.2).
    pub(crate) fn update(&mut self, suite: Suite) {
        let mut next = [0; SECRET_MAX];
        let room = next.get_mut(..suite.secret_len()).unwrap_or_default();
        expand_label(suite, &self.secret, b"traffic upd", room);
        self.secret.0 = next;
        next.zeroize();
        self.derive(suite);
        self.sequence = 0;
    }

    /// The key as the cipher uses it: half a KiB, a quarter of a microsecond for AES-GCM.
    pub(crate) fn expand(&self, suite: Suite) -> LessSafeKey {
        let key = self.key.get(..suite.key_len()).unwrap_or_default();
        let key = UnboundKey::new(suite.aead(), key);
        LessSafeKey::new(key.expect("the key has the length of its cipher"))
    }

    /// Opens a record where it stands: its type, and its content's place in it.
    pub(crate) fn open(
        &mut self,
        suite: Suite,
        key: &LessSafeKey,
        record: &mut [u8],
    ) -> Result<(u8, Range<usize>), Failure> {
        let Some(next) = self.sequence.checked_add(1) else {
            return Err(Failure::Exhausted);
        };
        let header = header(record);
        let content = HEADER_LEN.saturating_add(suite.explicit_len());
        let Some((head, sealed)) = record.split_at_mut_checked(content) else {
            return Err(Failure::BadRecordMac);
        };
        let Some(len) = sealed.len().checked_sub(TAG_LEN) else {
            return Err(Failure::BadRecordMac);
        };
        let mut nonce = self.nonce();
        let explicit = head.get(HEADER_LEN..).unwrap_or_default();
        if !explicit.is_empty() {
            // Behind the salt what the peer took: it need not be the sequence number.
            place(&mut nonce, 4, explicit);
        }
        let opened = key
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                self.additional(suite, header, len).as_aad(),
                sealed,
            )
            .map_err(|_forged| Failure::BadRecordMac)?;
        self.sequence = next;
        let [typ, ..] = header;
        let (typ, len) = match suite.version {
            Version::Tls12 => (typ, opened.len()),
            Version::Tls13 => inner(opened)?,
        };
        // No longer than `CONTENT_MAX`: `inner` sees to that, and before TLS 1.3 `Suite::body_max`.
        Ok((typ, content..content.saturating_add(len)))
    }

    /// Begins a record behind what stands in `out`; its content is to follow.
    pub(crate) fn begin(&self, suite: Suite, out: &mut Vec<u8>) -> Begun {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        if let Some((_, explicit)) = self.nonce().split_last_chunk::<8>()
            && suite.explicit_len() > 0
        {
            out.extend_from_slice(explicit);
        }
        let content = out.len();
        Begun { start, content }
    }

    /// Seals the record whose content ends with `out`. At the end of the sequence numbers it is
    /// taken off again: nothing is sealed with a number twice.
    pub(crate) fn seal(
        &mut self,
        suite: Suite,
        key: &LessSafeKey,
        typ: u8,
        begun: Begun,
        out: &mut Vec<u8>,
    ) {
        let Some(next) = self.sequence.checked_add(1) else {
            out.truncate(begun.start);
            return;
        };
        let len = begun.len(out);
        let outer = match suite.version {
            Version::Tls12 => typ,
            Version::Tls13 => {
                out.push(typ);
                APPLICATION_DATA
            }
        };
        let body = out.len().saturating_sub(begun.start);
        let body = body
            .saturating_sub(HEADER_LEN)
            .saturating_add(TAG_LEN)
            .to_be_bytes();
        let [.., high, low] = body;
        let header = [outer, 3, 3, high, low];
        place(out, begun.start, &header);
        let additional = self.additional(suite, header, len);
        let nonce = Nonce::assume_unique_for_key(self.nonce());
        let content = out.get_mut(begun.content..).unwrap_or_default();
        let tag = key.seal_in_place_separate_tag(nonce, additional.as_aad(), content);
        let tag: Tag = tag.expect("a record is shorter than any cipher's bound");
        out.extend_from_slice(tag.as_ref());
        self.sequence = next;
    }

    /// RFC 8446 §5.3, RFC 7905 §2. For AES-GCM in TLS 1.2 the sender may take what it likes that is
    /// never the same (RFC 5288 §3): this is what rustls has taken for the records before.
    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        let sequence = self.sequence.to_be_bytes();
        for (byte, number) in nonce.iter_mut().rev().zip(sequence.iter().rev()) {
            *byte ^= number;
        }
        nonce
    }

    /// RFC 8446 §5.2, RFC 5246 §6.2.3.3
    fn additional(&self, suite: Suite, header: [u8; HEADER_LEN], content: usize) -> Additional {
        let mut bytes = [0; 13];
        match suite.version {
            Version::Tls13 => {
                place(&mut bytes, 0, &header);
                Additional { bytes, len: 5 }
            }
            Version::Tls12 => {
                let [typ, major, minor, ..] = header;
                let [.., high, low] = content.to_be_bytes();
                place(&mut bytes, 0, &self.sequence.to_be_bytes());
                place(&mut bytes, 8, &[typ, major, minor, high, low]);
                Additional { bytes, len: 13 }
            }
        }
    }
}

impl Begun {
    /// Bytes of content so far.
    pub(crate) const fn len(self, out: &[u8]) -> usize {
        out.len().saturating_sub(self.content)
    }
}

/// What is authenticated besides the content.
struct Additional {
    bytes: [u8; 13],
    len: usize,
}

impl Additional {
    fn as_aad(&self) -> Aad<&[u8]> {
        Aad::from(self.bytes.get(..self.len).unwrap_or_default())
    }
}

/// The type that every record of TLS 1.3 shows.
pub(crate) const APPLICATION_DATA: u8 = 23;

/// The type and the length of the content before it (RFC 8446 §5.4).
fn inner(plain: &[u8]) -> Result<(u8, usize), Failure> {
    if plain.len() > CONTENT_MAX.saturating_add(1) {
        return Err(Failure::RecordOverflow);
    }
    let at = plain.iter().rposition(|&byte| byte != 0);
    let found = at.and_then(|at| Some((*plain.get(at)?, at)));
    found.ok_or(Failure::UnexpectedMessage)
}

/// The header of a record; zeros where there is none.
pub(crate) fn header(record: &[u8]) -> [u8; HEADER_LEN] {
    let header = record.first_chunk::<HEADER_LEN>();
    header.copied().unwrap_or_default()
}

/// Writes `bytes` over what stands at `at`.
fn place(room: &mut [u8], at: usize, bytes: &[u8]) {
    let room = room.get_mut(at..).unwrap_or_default();
    for (old, new) in room.iter_mut().zip(bytes) {
        *old = *new;
    }
}

/// HKDF-Expand-Label without context (RFC 8446 §7.1).
fn expand_label(suite: Suite, secret: &Secret, label: &[u8], room: &mut [u8]) {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let secret = secret.0.get(..suite.secret_len()).unwrap_or_default();
    let prk = hkdf::Prk::new_less_safe(suite.hkdf(), secret);
    let [.., high, low] = room.len().to_be_bytes();
    let [.., label_len] = label.len().saturating_add(b"tls13 ".len()).to_be_bytes();
    let info: [&[u8]; 5] = [&[high, low], &[label_len], b"tls13 ", label, &[0]];
    let made = prk.expand(&info, Len(room.len()));
    made.and_then(|made| made.fill(room))
        .expect("no more is asked of HKDF than one hash");
}
