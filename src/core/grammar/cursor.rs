//! Reads forward through one value of a message. Every typed view is written
//! with it, so that no offset is ever computed by hand.
//!
//! All that separates anything in a value is a byte that no host name has: a
//! mark. Between two marks nothing has to be looked at, so the cursor finds
//! them for 64 bytes at a time and steps from one to the next.

use super::block::{self, BlockHits};
pub(crate) use super::class::within;

use super::class::{self, ByteClass};
use crate::span::Span;

/// A place in the bytes of a message, and where the value ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    /// The whole message.
    all: &'a [u8],
    /// The message up to the end of the value.
    text: &'a [u8],
    at: usize,
    marks: BlockHits,
}

impl<'a> Cursor<'a> {
    /// At the start of `span`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], span: Span) -> Self {
        let range = span.range();
        let text = bytes.get(..range.end).unwrap_or_default();
        let at = range.start.min(text.len());
        Self {
            all: bytes,
            text,
            at,
            marks: BlockHits::before(at),
        }
    }

    /// A cursor at the same offset of a value that is cut at `end`.
    #[inline]
    pub(crate) fn until(self, end: usize) -> Self {
        Self {
            text: self.text.get(..end).unwrap_or(self.text),
            ..self
        }
    }

    /// At the start of `part`, which is behind this place, in a value that ends with it.
    #[inline]
    pub(crate) fn within(mut self, part: Span) -> Self {
        let range = part.range();
        self.go(range.start);
        self.until(range.end)
    }

    /// Looks at what is next, so that copies of this cursor need not.
    #[inline]
    pub(crate) fn ready(mut self) -> Self {
        if self.marks.is_empty() {
            self.look_on();
        }
        self
    }

    /// Offset in the message.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// What is still to be read.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The span of what is still to be read.
    #[inline]
    pub(crate) fn rest_span(&self) -> Span {
        within(self.at, self.text.len())
    }

    /// From `start` to here.
    #[inline]
    pub(crate) fn since(&self, start: usize) -> Span {
        within(start, self.at)
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.text.len()
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Moves on by `count` bytes, at most to the end.
    #[inline]
    pub(crate) fn skip(&mut self, count: usize) {
        self.go(self.at.saturating_add(count));
    }

    /// Moves on to `at`, at most to the end.
    #[inline]
    pub(crate) fn go(&mut self, at: usize) {
        self.at = at.min(self.text.len());
        self.marks.pass_to(self.at);
    }

    /// Moves to the end.
    pub(crate) fn finish(&mut self) {
        self.go(self.text.len());
    }

    /// Moves to the next mark and tells which it is; to the end when there is
    /// none.
    #[inline(always)]
    pub(crate) fn next_mark(&mut self) -> Option<u8> {
        if self.marks.is_empty() {
            self.look_on();
        }
        self.at = self.marks.first();
        let mark = self.peek();
        if mark.is_none() {
            self.at = self.text.len();
        }
        mark
    }

    /// Looks for more marks.
    #[inline(always)]
    fn look_on(&mut self) {
        self.marks = marks_from(self.all, self.at, self.text.len(), self.marks);
    }

    /// Moves over the mark that stands here.
    #[inline(always)]
    pub(crate) fn pass(&mut self) {
        debug_assert!(!self.peek().is_some_and(|byte| ByteClass::HOST.holds(byte)));
        self.at = self.at.wrapping_add(1);
        self.marks.pass();
    }

    /// Moves over `mark`, which is one, if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, mark: u8) -> bool {
        let found = self.peek() == Some(mark);
        if found {
            self.pass();
        }
        found
    }

    /// Moves over `mark` and white space around it; stays when it is not there.
    #[inline]
    pub(crate) fn eat_spaced(&mut self, mark: u8) -> bool {
        match self.peek() {
            Some(next) if next == mark => self.pass(),
            Some(next) if ByteClass::SPACE.holds(next) => return self.eat_behind_space(mark),
            _ => return false,
        }
        self.skip_space();
        true
    }

    #[cold]
    fn eat_behind_space(&mut self, mark: u8) -> bool {
        let before = *self;
        self.skip_space();
        let found = self.eat(mark);
        if found {
            self.skip_space();
        } else {
            *self = before;
        }
        found
    }

    /// Moves over white space, folds included.
    #[inline]
    pub(crate) fn skip_space(&mut self) {
        while let Some(byte) = self.peek()
            && byte <= b' '
            && ByteClass::SPACE.holds(byte)
        {
            self.pass();
        }
    }

    /// Moves to the next `mark`, which is one; false and at the end when there
    /// is none.
    #[inline]
    pub(crate) fn seek(&mut self, mark: u8) -> bool {
        while let Some(found) = self.next_mark() {
            if found == mark {
                return true;
            }
            self.pass();
        }
        false
    }

    /// The longest run of a class that has every byte of a host name; may be
    /// empty.
    #[inline]
    pub(crate) fn take(&mut self, class: ByteClass) -> Span {
        let start = self.at;
        while let Some(mark) = self.next_mark()
            && class.holds(mark)
        {
            self.pass();
        }
        self.since(start)
    }

    /// The longest run of `ByteClass::HOST`.
    #[inline]
    pub(crate) fn take_host(&mut self) -> Span {
        let start = self.at;
        self.next_mark();
        self.since(start)
    }

    /// A decimal number without sign or space; too large ones are `u32::MAX`.
    #[inline]
    pub(crate) fn number(&mut self) -> Option<u32> {
        let mut number = None;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let before = number.unwrap_or(0_u32).saturating_mul(10);
            number = Some(before.saturating_add(u32::from(digit.wrapping_sub(b'0'))));
            self.at = self.at.wrapping_add(1);
        }
        number
    }

    /// The inside of a quoted-string that begins here, escapes left as they
    /// are; `None` when it does not begin or does not end (RFC 3261 §25.1).
    pub(crate) fn quoted(&mut self) -> Option<Span> {
        if !self.eat(b'"') {
            return None;
        }
        let start = self.at;
        loop {
            match self.next_mark()? {
                b'"' => {
                    let inside = self.since(start);
                    self.pass();
                    return Some(inside);
                }
                b'\\' => self.skip(2),
                _ => self.pass(),
            }
        }
    }
}

/// The next marks of a message, behind those that were `found`, from `at` on: nearly always some of
/// the next 64 bytes. What lies behind the message counts as a mark.
#[inline(never)]
fn marks_from(all: &[u8], at: usize, end: usize, found: BlockHits) -> BlockHits {
    let next = found.look_next(all, at, |block| block::of_block(block, class::of_marks));
    if next.is_empty() {
        return marks_further(all, at, end, next);
    }
    next
}

#[cold]
#[inline(never)]
fn marks_further(all: &[u8], at: usize, end: usize, found: BlockHits) -> BlockHits {
    found.look_on(at, end, |at| !block::bits(all, at, class::of_host))
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
