//! How tokens are spelled in the user part of a URI: base64url for sealed bytes,
//! base32 for those of flow tokens, `_HH` for odd bytes of clear fields, and the
//! `%HH` escapes that others may put in on the way.
//!
//! Every token has exactly one spelling apart from those escapes: digits of
//! the other case and needless `_HH` are refused, because the far end compares
//! user parts byte for byte (RFC 3261 §19.1.4). No spelling holds a reserved
//! character, since `%2B` is not `+` there.

use data_encoding::{BASE32_DNSSEC, BASE64URL_NOPAD, Encoding};

use super::error::BadToken;
use crate::grammar::find::find;
use crate::limits::TOKEN_MAX;
use crate::uri::escape;

/// Bytes that a token of `TOKEN_MAX` characters can stand for at most.
pub(super) const BYTES_MAX: usize = TOKEN_MAX * 3 / 4;

/// Replaces `%HH` of unreserved characters by the characters (RFC 3261 §25.1). The scratch is
/// only written when there is an escape.
///
/// # Errors
/// `Malformed` for other escapes (they never are the same URI) and for text
/// that is longer than `TOKEN_MAX`.
pub(in crate::edge) fn unescape<'a>(
    text: &'a [u8],
    scratch: &'a mut [u8; TOKEN_MAX],
) -> Result<&'a [u8], BadToken> {
    if find(text, b'%').is_none() {
        return if text.len() <= TOKEN_MAX {
            Ok(text)
        } else {
            Err(BadToken::Malformed)
        };
    }
    let mut rest = text;
    let mut len = 0;
    while let Some((byte, after)) = first(rest) {
        *scratch.get_mut(len).ok_or(BadToken::Malformed)? = byte;
        len += 1;
        rest = after;
    }
    if rest.is_empty() {
        scratch.get(..len).ok_or(BadToken::Malformed)
    } else {
        Err(BadToken::Malformed)
    }
}

/// The first character, unescaped, and what follows it; `None` at the end and
/// at an escape that no token may hold.
pub(super) fn first(text: &[u8]) -> Option<(u8, &[u8])> {
    match escape::first(text)? {
        (byte, true, rest) => escape::is_unreserved(byte).then_some((byte, rest)),
        (b'%', false, _) => None,
        (byte, false, rest) => Some((byte, rest)),
    }
}

/// Replaces `out[at..]` by its text in lower-case base32 (the extended hex
/// alphabet of RFC 4648 §7, no padding).
pub(in crate::edge) fn base32_tail(out: &mut Vec<u8>, at: usize) {
    tail(&BASE32_DNSSEC, out, at);
}

/// Replaces `out[at..]` by its text in base64url without padding (RFC 4648 §5), whose
/// characters are all unreserved in a URI. A user part is compared with regard to case
/// (RFC 3261 §19.1.4).
pub(super) fn base64_tail(out: &mut Vec<u8>, at: usize) {
    tail(&BASE64URL_NOPAD, out, at);
}

fn tail(how: &Encoding, out: &mut Vec<u8>, at: usize) {
    let end = out.len();
    let text = how.encode_len(end.saturating_sub(at));
    out.resize(end + text, 0);
    let (bytes, room) = out.split_at_mut(end);
    how.encode_mut(bytes.get(at..).unwrap_or_default(), room);
    out.drain(at..end);
}

/// The bytes that `text` stands for, written into `room`.
///
/// # Errors
/// `Malformed` for anything but the spelling `base32_tail` writes, and for
/// more bytes than there is room for.
pub(in crate::edge) fn unbase32<'a>(
    text: &[u8],
    room: &'a mut [u8],
) -> Result<&'a mut [u8], BadToken> {
    // All of it is looked at, many octets at a time: nearly none has one.
    let uppercase = text.iter().map(u8::is_ascii_uppercase);
    if uppercase.fold(false, |any, is_one| any | is_one) {
        return Err(BadToken::Malformed);
    }
    decode(&BASE32_DNSSEC, text, room)
}

/// The bytes that `text` stands for, written into `room`.
///
/// # Errors
/// `Malformed` for anything but the spelling `base64_tail` writes, and for
/// more bytes than there is room for.
pub(super) fn unbase64<'a>(text: &[u8], room: &'a mut [u8]) -> Result<&'a mut [u8], BadToken> {
    decode(&BASE64URL_NOPAD, text, room)
}

fn decode<'a>(how: &Encoding, text: &[u8], room: &'a mut [u8]) -> Result<&'a mut [u8], BadToken> {
    let Ok(len) = how.decode_len(text.len()) else {
        return Err(BadToken::Malformed);
    };
    let room = room.get_mut(..len).ok_or(BadToken::Malformed)?;
    match how.decode_mut(text, room) {
        Ok(written) if written == len => Ok(room),
        Ok(_) | Err(_) => Err(BadToken::Malformed),
    }
}

/// Appends a field of a clear token: letters, digits, `-` and `.` as they are,
/// every other byte as `_HH`.
pub(super) fn write_field(field: &[u8], out: &mut Vec<u8>) {
    for &byte in field {
        if is_plain(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[
                b'_',
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]);
        }
    }
}

/// Calls `push` with each of the bytes that a field of a clear token stands for.
///
/// # Errors
/// `Malformed` for anything that `write_field` does not write, and what `push`
/// returns.
pub(super) fn read_field(
    text: &[u8],
    mut push: impl FnMut(u8) -> Result<(), BadToken>,
) -> Result<(), BadToken> {
    let mut rest = text;
    loop {
        match rest {
            [] => return Ok(()),
            [b'_', high, low, after @ ..] => {
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                    return Err(BadToken::Malformed);
                };
                let byte = high << 4 | low;
                if is_plain(byte) {
                    return Err(BadToken::Malformed);
                }
                push(byte)?;
                rest = after;
            }
            [byte, after @ ..] if is_plain(*byte) => {
                push(*byte)?;
                rest = after;
            }
            [..] => return Err(BadToken::Malformed),
        }
    }
}

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// The value of an upper-case hexadecimal digit.
const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_unescape(text: &[u8], want: Result<&[u8], BadToken>) {
        assert_eq!(
            unescape(text, &mut [0; TOKEN_MAX]),
            want,
            "{}",
            text.escape_ascii()
        );
    }

    #[test]
    fn only_unreserved_characters_may_come_escaped() {
        check_unescape(b"joe+e1", Ok(b"joe+e1"));
        check_unescape(b"%6Aoe%5f41", Ok(b"joe_41"));
        check_unescape(b"%6aoe", Ok(b"joe"));
        check_unescape(b"joe%2Be1", Err(BadToken::Malformed)); // B-7: %2B is not +
        check_unescape(b"joe%40", Err(BadToken::Malformed));
        check_unescape(b"joe%4", Err(BadToken::Malformed));
        check_unescape(b"joe%", Err(BadToken::Malformed));
        check_unescape(b"joe%6g", Err(BadToken::Malformed));
        check_unescape(&[b'a'; TOKEN_MAX], Ok(&[b'a'; TOKEN_MAX]));
        check_unescape(&[b'a'; TOKEN_MAX + 1], Err(BadToken::Malformed));
        check_unescape(&b"%61".repeat(TOKEN_MAX), Ok(&[b'a'; TOKEN_MAX]));
        check_unescape(&b"%61".repeat(TOKEN_MAX + 1), Err(BadToken::Malformed));
    }

    #[test]
    fn base32_has_one_spelling() {
        let mut out = b"s".to_vec();
        out.extend_from_slice(b"foobar");
        base32_tail(&mut out, 1);
        assert_eq!(out, b"scpnmuoj1e8"); // RFC 4648 §10, lower case and unpadded
        let mut room = [0; 8];
        assert_eq!(
            unbase32(b"cpnmuoj1e8", &mut room),
            Ok(&mut b"foobar".to_owned()[..])
        );
        for text in [
            &b"Cpnmuoj1e8"[..],
            b"cpnmuoj1e9",
            b"cpnmuoj1e",
            b"cpnmuoj1w8",
            b"cpnmuoj1e8======",
        ] {
            assert_eq!(
                unbase32(text, &mut room),
                Err(BadToken::Malformed),
                "{}",
                text.escape_ascii()
            );
        }
        assert_eq!(unbase32(&[b'0'; 16], &mut room), Err(BadToken::Malformed));
    }

    #[test]
    fn base64_has_one_spelling() {
        let mut out = b"t".to_vec();
        out.extend_from_slice(&[0xfb, 0xef, 0xff, b'f']);
        base64_tail(&mut out, 1);
        assert_eq!(out, b"t--__Zg"); // RFC 4648 §5, unpadded
        let mut room = [0; 8];
        assert_eq!(
            unbase64(b"--__Zg", &mut room),
            Ok(&mut [0xfb, 0xef, 0xff, b'f'][..])
        );
        for text in [&b"++__Zg"[..], b"--__Zh", b"--__Z", b"--__Zg=="] {
            assert_eq!(
                unbase64(text, &mut room),
                Err(BadToken::Malformed),
                "{}",
                text.escape_ascii()
            );
        }
        assert_eq!(unbase64(&[b'0'; 12], &mut room), Err(BadToken::Malformed));
    }

    #[test]
    fn fields_hold_no_reserved_character() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = Vec::new();
        write_field(&all, &mut text);
        assert_eq!(
            text.iter().find(|&&byte| !is_plain(byte) && byte != b'_'),
            None
        );
        let read = |text: &[u8]| {
            let mut back = Vec::new();
            let keep = |byte| {
                back.push(byte);
                Ok(())
            };
            read_field(text, keep).map(|()| back)
        };
        assert_eq!(read(&text), Ok(all));
        for text in [
            &b"_3a"[..],
            b"_41",
            b"_4",
            b"_",
            b"a@b",
            b"a%41",
            b"a+b",
            b"_G0",
        ] {
            assert_eq!(
                read(text),
                Err(BadToken::Malformed),
                "{}",
                text.escape_ascii()
            );
        }
    }
}
