//! Byte classes of RFC 3261 §25.1, one table for all, and the white space
//! that header values are surrounded by.

use super::lanes::Lanes;
use crate::span::Span;

/// A set of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteClass(u8);

impl ByteClass {
    /// `token`: method, header name, unquoted display name, transport.
    pub(crate) const TOKEN: Self = Self(1);
    /// A host name or IPv4 address. The underscore is no host name's, but names with it are in use.
    pub(crate) const HOST: Self = Self(2);
    /// A URI: visible ASCII without `<`, `>` and `"`.
    pub(crate) const URI: Self = Self(4);
    /// A parameter's name or unquoted value: whatever cannot end it. Laxer
    /// than RFC 3261, since parameters we do not know are not ours to judge.
    pub(crate) const PARAM: Self = Self(8);
    /// Linear white space, folds included.
    pub(crate) const SPACE: Self = Self(16);
    /// An unquoted display name: tokens, white space, and UTF-8 that should
    /// have been quoted.
    pub(crate) const DISPLAY: Self = Self(32);
    /// Decimal digits.
    pub(crate) const DIGIT: Self = Self(64);

    /// Whether the byte is in the class.
    #[inline]
    pub(crate) fn holds(self, byte: u8) -> bool {
        bits(byte) & self.0 != 0
    }

    /// How many bytes from the start are in the class.
    #[inline]
    pub(crate) fn run(self, text: &[u8]) -> usize {
        text.iter()
            .position(|&byte| !self.holds(byte))
            .unwrap_or(text.len())
    }

    /// Whether there is at least one byte and all are in the class.
    #[inline]
    pub(crate) fn holds_all(self, bytes: &[u8]) -> bool {
        !bytes.is_empty() && bytes.iter().all(|&byte| self.holds(byte))
    }
}

/// How many bytes from the start are of a token, for a header's name: all but
/// a few consist of the bytes that tokens and host names share.
#[inline]
pub(crate) fn token_run(text: &[u8]) -> usize {
    let common = match text.first_chunk() {
        Some(sixteen) => (!of_host(Lanes::load(sixteen))).trailing_zeros() as usize,
        None => 0,
    };
    let rest = text.get(common..).unwrap_or_default();
    common.wrapping_add(ByteClass::TOKEN.run(rest))
}

/// Which of sixteen bytes are `ByteClass::HOST`.
#[inline(always)]
pub(crate) fn of_host(bytes: Lanes) -> u32 {
    of_marks(bytes) ^ 0xffff
}

/// Which of sixteen bytes are not.
#[inline(always)]
pub(crate) fn of_marks(bytes: Lanes) -> u32 {
    let letters = bytes.with(0x20).are_not_from(b'a', 25);
    // Hyphen, dot, slash and digits stand in a row.
    let digits = bytes.are_not_from(b'-', 12);
    let others = letters.and(digits).and_not(bytes.are(b'_'));
    others.or(bytes.are(b'/')).bits()
}

/// Which of sixteen bytes are not `ByteClass::URI`.
#[inline(always)]
pub(crate) fn not_of_uri(bytes: Lanes) -> u32 {
    // The two brackets differ in one bit, and nothing else becomes one of them by it.
    let brackets = bytes.with(2).are(b'>');
    let others = bytes.are_not_from(b'!', b'~' - b'!').or(bytes.are(b'"'));
    others.or(brackets).bits()
}

/// A text that ends at `end`, without the white space at both ends.
#[inline(always)]
pub(crate) fn trim(text: &[u8], end: usize) -> Span {
    // As nearly everybody writes it: one space before, none behind.
    if let [b' ', rest @ ..] = text
        && let [first, .., last] = rest
        && *first > b' '
        && *last > b' '
    {
        return within(end.wrapping_sub(rest.len()), end);
    }
    trim_all(text, end)
}

/// The span of a text that ends at `end`, without white space at both ends.
fn trim_all(text: &[u8], end: usize) -> Span {
    let mut text = text;
    while let [first, rest @ ..] = text
        && ByteClass::SPACE.holds(*first)
    {
        text = rest;
    }
    let start = end.wrapping_sub(text.len());
    while let [rest @ .., last] = text
        && ByteClass::SPACE.holds(*last)
    {
        text = rest;
    }
    within(start, start.wrapping_add(text.len()))
}

#[inline]
fn bits(byte: u8) -> u8 {
    TABLE.get(usize::from(byte)).copied().unwrap_or_default()
}

static TABLE: [u8; 256] = table();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler, over its own counter below 256"
)]
const fn table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = classes(index as u8);
        index += 1;
    }
    table
}

const fn classes(byte: u8) -> u8 {
    let token = byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        );
    let host = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let uri = byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"');
    let param = (byte.is_ascii_graphic() || !byte.is_ascii())
        && !matches!(byte, b';' | b'=' | b',' | b'"' | b'<' | b'>');
    let space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let mut bits = 0;
    if token {
        bits |= ByteClass::TOKEN.0;
    }
    if host {
        bits |= ByteClass::HOST.0;
    }
    if uri {
        bits |= ByteClass::URI.0;
    }
    if param {
        bits |= ByteClass::PARAM.0;
    }
    if space {
        bits |= ByteClass::SPACE.0;
    }
    if token || space || !byte.is_ascii() {
        bits |= ByteClass::DISPLAY.0;
    }
    if byte.is_ascii_digit() {
        bits |= ByteClass::DIGIT.0;
    }
    bits
}

/// `start..end` of a message whose length is known to be within
/// `limits::MESSAGE_MAX`: what `Span::new` does without asking again.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "offsets in a message that was checked, or in a span, fit 16 bits"
)]
pub(crate) fn within(start: usize, end: usize) -> Span {
    debug_assert!(
        start <= end && end <= usize::from(u16::MAX),
        "{start}..{end}"
    );
    Span {
        start: start as u16,
        end: end as u16,
    }
}

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]
mod tests {
    use super::*;
    use crate::grammar::lanes::LANES;

    #[test]
    fn classes_hold_what_the_grammar_says() {
        let members = |class: ByteClass| {
            (0_u8..128)
                .filter(|&byte| class.holds(byte))
                .map(char::from)
                .collect::<String>()
        };
        let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let want = format!("!%'*+-.0123456789{letters}_`{}~", letters.to_lowercase());
        assert_eq!(members(ByteClass::TOKEN), want);
        assert_eq!(members(ByteClass::SPACE), "\t\n\r ");
        assert_eq!(members(ByteClass::DIGIT), "0123456789");
        assert!(!ByteClass::TOKEN.holds_all(b""));
    }

    #[test]
    fn sixteen_bytes_at_once_are_judged_as_each_alone() {
        for byte in 0..=255 {
            for at in 0..LANES {
                let mut text = [b'x'; LANES];
                text[at] = byte;
                let first = |alien| if alien { at } else { LANES };
                let lanes = Lanes::load(&text);
                let not_of_uri = u32::from(!ByteClass::URI.holds(byte)) << at;
                assert_eq!(super::not_of_uri(lanes), not_of_uri, "{byte} at {at}");
                assert_eq!(
                    (
                        (!of_host(lanes)).trailing_zeros() as usize,
                        token_run(&text)
                    ),
                    (
                        first(!ByteClass::HOST.holds(byte)),
                        first(!ByteClass::TOKEN.holds(byte))
                    ),
                    "{byte} at {at}"
                );
            }
        }
    }

    #[test]
    fn a_run_ends_at_the_first_stranger() {
        for length in 0..20 {
            let mut text = vec![b'a'; length];
            assert_eq!(ByteClass::TOKEN.run(&text), length);
            text.extend_from_slice(b"=aaaaaaaa");
            assert_eq!(ByteClass::TOKEN.run(&text), length);
        }
    }

    #[test]
    fn trimming_takes_folds_at_both_ends_only() {
        assert_eq!(trim(b" \r\n a b\t\r\n ", 13), Span::new(6, 9));
        assert_eq!(trim(b" \t ", 3), Span::new(3, 3));
        assert_eq!(trim(b" ab", 9), Span::new(7, 9));
        assert_eq!(trim(b" a", 9), Span::new(8, 9));
    }
}
