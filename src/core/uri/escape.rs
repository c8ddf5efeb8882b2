//! `%HH`: which characters it stands for, and when it is the same as the plain
//! one (RFC 3261 §19.1.2, §19.1.4 and §25.1; RFC 2396 §2).

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

/// The first character, whether it was escaped, and what follows it; `None` at
/// the end. A `%` that begins no escape is itself.
#[inline]
pub(crate) fn first(text: &[u8]) -> Option<(u8, bool, &[u8])> {
    if let [b'%', high, low, rest @ ..] = text
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        return Some((high << 4 | low, true, rest));
    }
    let (&byte, rest) = text.split_first()?;
    Some((byte, false, rest))
}

/// Each character, and whether it was escaped.
pub(super) fn characters(text: &[u8]) -> impl Iterator<Item = (u8, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (byte, was_escaped, after) = first(rest)?;
        rest = after;
        Some((byte, was_escaped))
    })
}

/// The bytes with every escape undone.
pub(crate) fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> {
    characters(text).map(|(byte, _)| byte)
}

/// Appends the escape of a byte.
pub(super) fn push_escape(byte: u8, out: &mut Vec<u8>) {
    let digits = [byte >> 4, byte & 15].map(|nibble| DIGITS.get(usize::from(nibble)));
    out.push(b'%');
    out.extend(digits.into_iter().flatten());
}

/// `unreserved`: equal to their escapes, and what needs none anywhere.
pub(crate) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
        )
}

/// `reserved` (RFC 2396 §2.2): never equal to their escapes.
pub(super) const fn is_reserved(byte: u8) -> bool {
    matches!(
        byte,
        b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b','
    )
}

/// Value of a hexadecimal digit.
const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a' - 10)),
        b'A'..=b'F' => Some(byte.wrapping_sub(b'A' - 10)),
        _ => None,
    }
}

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_two_digits_behind_a_percent_sign() {
        for (text, want) in [
            (&b"a"[..], Some((b'a', false, &b""[..]))),
            (b"%61b", Some((b'a', true, b"b"))),
            (b"%3B", Some((b';', true, b""))),
            (b"%3b", Some((b';', true, b""))),
            (b"%6", Some((b'%', false, b"6"))),
            (b"%6g", Some((b'%', false, b"6g"))),
            (b"%%41", Some((b'%', false, b"%41"))),
            (b"", None),
        ] {
            assert_eq!(first(text), want, "{}", text.escape_ascii());
        }
        let text: Vec<u8> = unescaped(b"%2541%zz%").collect();
        assert_eq!(text, b"%41%zz%");
    }

    #[test]
    fn every_escape_is_read_back() {
        for byte in 0..=255 {
            let mut out = Vec::new();
            push_escape(byte, &mut out);
            assert_eq!(first(&out), Some((byte, true, &b""[..])));
            assert!(!(is_reserved(byte) && is_unreserved(byte)));
        }
    }
}
