//! Reads forward through one value of a message. Every typed view is written
//! with it, so that no offset is ever computed by hand.

use super::class::{self, Class};
use super::lanes::{LANES, Lanes};
use crate::span::Span;

/// `start..end` of a message whose length is known to be within
/// `limits::MESSAGE_MAX`: what `Span::new` does without asking again.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "offsets in a message that was checked, or in a span, fit 16 bits"
)]
pub(super) fn within(start: usize, end: usize) -> Span {
    debug_assert!(
        start <= end && end <= usize::from(u16::MAX),
        "{start}..{end}"
    );
    Span {
        start: start as u16,
        end: end as u16,
    }
}

/// A place in the bytes of a message, and where the value ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    /// The message up to the end of the value.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `span`.
    pub(super) fn new(bytes: &'a [u8], span: Span) -> Self {
        let range = span.range();
        let bytes = bytes.get(..range.end).unwrap_or_default();
        Self {
            at: range.start.min(bytes.len()),
            bytes,
        }
    }

    /// Offset in the message.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// What is still to be read.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The span of what is still to be read.
    pub(super) fn rest_span(&self) -> Span {
        within(self.at, self.bytes.len())
    }

    /// From `start` to here.
    pub(super) fn since(&self, start: usize) -> Span {
        within(start, self.at)
    }

    pub(super) fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Moves on by `count` bytes, at most to the end.
    #[inline]
    pub(super) fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.bytes.len());
    }

    /// Moves to the end.
    pub(super) fn finish(&mut self) {
        self.at = self.bytes.len();
    }

    /// Moves over `byte` if it is next.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at = self.at.wrapping_add(1);
        }
        found
    }

    /// Moves over `byte` and white space around it; stays when it is not there.
    #[inline]
    pub(super) fn eat_spaced(&mut self, byte: u8) -> bool {
        let before = self.at;
        if self.peek().is_some_and(|next| next > b' ' && next != byte) {
            return false;
        }
        self.skip_space();
        if self.eat(byte) {
            self.skip_space();
            return true;
        }
        self.at = before;
        false
    }

    /// Moves over white space, folds included.
    #[inline]
    pub(super) fn skip_space(&mut self) {
        while let Some(byte) = self.peek()
            && byte <= b' '
            && Class::SPACE.holds(byte)
        {
            self.at = self.at.wrapping_add(1);
        }
    }

    /// The longest run of the class from here; may be empty.
    #[inline]
    pub(super) fn take(&mut self, class: Class) -> Span {
        let start = self.at;
        self.at = start.wrapping_add(class.run(self.rest()));
        self.since(start)
    }

    /// As `take`, for a class that is told of sixteen bytes at once: `strangers`
    /// says which are not in it, the seventeenth included.
    #[inline]
    fn take_sixteen(&mut self, class: Class, strangers: fn(Lanes) -> u32) -> Span {
        let start = self.at;
        while let Some(sixteen) = self.rest().first_chunk() {
            let length = strangers(Lanes::load(sixteen)).trailing_zeros() as usize;
            self.at = self.at.wrapping_add(length);
            if length < LANES {
                return self.since(start);
            }
        }
        let rest = self.rest();
        let length = match self.bytes.last_chunk() {
            // The last sixteen up to the end, without those before the cursor.
            Some(last) => {
                let before = LANES.wrapping_sub(rest.len());
                (strangers(Lanes::load(last)) >> before).trailing_zeros() as usize
            }
            None => class.run(rest),
        };
        self.skip(length);
        self.since(start)
    }

    /// A decimal number without sign or space; too large ones are `u32::MAX`.
    #[inline]
    pub(super) fn number(&mut self) -> Option<u32> {
        let mut number = None;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let before = number.unwrap_or(0_u32).saturating_mul(10);
            number = Some(before.saturating_add(u32::from(digit.wrapping_sub(b'0'))));
            self.at = self.at.wrapping_add(1);
        }
        number
    }

    /// The longest run of `Class::PARAM`.
    #[inline]
    pub(super) fn take_param(&mut self) -> Span {
        self.take_sixteen(Class::PARAM, class::not_of_param)
    }

    /// The longest run of `Class::HOST`.
    #[inline]
    pub(super) fn take_host(&mut self) -> Span {
        self.take_sixteen(Class::HOST, class::not_of_host)
    }

    /// The inside of a quoted-string that begins here, escapes left as they
    /// are; `None` when it does not begin or does not end (RFC 3261 §25.1).
    pub(super) fn quoted(&mut self) -> Option<Span> {
        if !self.eat(b'"') {
            return None;
        }
        let start = self.at;
        loop {
            self.skip(memchr::memchr2(b'"', b'\\', self.rest())?);
            if self.peek() == Some(b'"') {
                let inside = self.since(start);
                self.skip(1);
                return Some(inside);
            }
            self.skip(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], want: Option<&[u8]>) {
        let mut cursor = Cursor::new(text, Span::new(0, text.len()));
        assert_eq!(
            cursor.quoted().map(|span| span.of(text)),
            want,
            "{}",
            text.escape_ascii()
        );
    }

    #[test]
    fn quoted_strings_end_at_the_first_quote_that_is_not_escaped() {
        check(br#""a" b"#, Some(b"a"));
        check(br#""""#, Some(b""));
        check(br#""a\"b" c"#, Some(br#"a\"b"#));
        check(br#""a\\" b"#, Some(br"a\\"));
        check(br#""a\"#, None);
        check(br#""a\""#, None);
        check(br"a", None);
        check(b"", None);
    }
}
