//! The name of a phone in the Record-Route value of its own side of a dialog, where a token
//! would be of no use to anybody and ten times as long.

use std::ops::Range;

use super::{MarkKey, Text};

/// The name of a phone among the values of one dialog: the same at every edge that has
/// the key, and without a meaning to anybody else.
///
/// It has 30 bits. It tells the phones that one call has forked to from each other, and
/// the mark in the same value vouches for it: nobody gains by guessing the name of another
/// phone, and two phones of one dialog have the same name by chance alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhoneName([u8; LEN]);

const LEN: usize = 5;
/// The alphabet of base64url (RFC 4648 §5): all its characters are unreserved in a URI.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Keeps the MAC of a name apart from that of a mark, which begins with the letter of its side.
const CONTEXT: u8 = b'n';

impl PhoneName {
    /// Reads a user part as a name; `None` where it has another length. The mark beside it
    /// vouches for the name.
    #[must_use]
    pub fn read(user: &[u8]) -> Option<Self> {
        user.try_into().ok().map(Self)
    }

    /// The user part of its URI.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl MarkKey {
    /// The places of the keys in the ring.
    pub(crate) fn places(&self) -> Range<usize> {
        0..self.older.len() + 1
    }

    /// The name of the phone that these fields tell from any other.
    #[must_use]
    pub(crate) fn phone_name(&self, fields: &[&[u8]]) -> PhoneName {
        self.phone_name_by(0, fields)
    }

    /// The name that it has, or had, by the key of that place in the ring, of which 0 is the one
    /// that writes: a dialog keeps the name that it began with.
    #[must_use]
    pub(crate) fn phone_name_by(&self, place: usize, fields: &[&[u8]]) -> PhoneName {
        let older = place.checked_sub(1).and_then(|place| self.older.get(place));
        let mut text = Text::of(older.unwrap_or(&self.mint));
        text.put(&[CONTEXT]);
        fields.iter().for_each(|field| text.field(field));
        let mut name = [0; LEN];
        for (letter, byte) in name.iter_mut().zip(text.end()) {
            *letter = ALPHABET[usize::from(byte & 63)];
        }
        PhoneName(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_one_phone_and_one_key() {
        let [one, other] = [1, 2].map(|byte| MarkKey::new(&[byte; 32]));
        let name = one.phone_name(&[b"joe", b"example.com", b"urn:uuid:1"]);
        assert_eq!(
            name,
            one.phone_name(&[b"joe", b"example.com", b"urn:uuid:1"])
        );
        for fields in [
            [&b"joe"[..], b"example.com", b"urn:uuid:2"],
            [b"joe", b"example.co", b"murn:uuid:1"],
            [b"joe", b"example.com", b""],
        ] {
            assert_ne!(name, one.phone_name(&fields));
        }
        let fields: [&[u8]; 3] = [b"joe", b"example.com", b"urn:uuid:1"];
        assert_ne!(name, other.phone_name(&fields));
        let ring = MarkKey::ring(&[2; 32], &[[3; 32], [1; 32]]);
        let names = ring
            .places()
            .map(|place| ring.phone_name_by(place, &fields));
        let names: Vec<_> = names.collect();
        assert_eq!((names[0], names[2]), (other.phone_name(&fields), name));
        assert_eq!((names.len(), ring.phone_name(&fields)), (3, names[0]));
        let is_unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        assert!(name.as_bytes().iter().all(is_unreserved));
    }
}
