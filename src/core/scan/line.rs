//! Lines: where one ends, folds included (RFC 3261 §7.3.1), and where the
//! header name in it does.

use super::name::Name;
use crate::grammar::block::{self, BlockHits};
use crate::grammar::class;
use crate::grammar::lanes::Lanes;

/// A line end, as one number.
const CRLF: u16 = u16::from_le_bytes(*b"\r\n");

/// One line; it begins where it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// One past its text, before the line end.
    pub(super) end: usize,
    /// Where the next line begins.
    pub(super) next: usize,
    /// No bare CR or LF stands in it or ends it.
    pub(super) clean: bool,
}

/// Finds the lines of one message. It remembers where the control characters
/// stand in the 64 bytes it looked at last, so that every byte is loaded once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    /// CR, LF and the other low control characters.
    low: BlockHits,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            low: BlockHits::before(0),
        }
    }

    /// The first line of the message: it cannot be folded.
    #[inline]
    pub(super) fn first(&mut self) -> Line {
        let line = self.end_from(0).unwrap_or_else(|| self.unended());
        self.low.pass_to(line.next);
        line
    }

    /// The header line that begins at `at`, with its folds. The blank line is one
    /// with `end == at` and has none. `None` at the end of the bytes; a line that
    /// just stops there is not clean.
    pub(super) fn next(&mut self, at: usize) -> Option<Line> {
        let line = match self.end_from(at) {
            Some(line) if line.end == at || !is_fold(self.bytes, line.next) => line,
            Some(line) => self.folded(line),
            None if at >= self.bytes.len() => return None,
            None => self.unended(),
        };
        self.low.pass_to(line.next);
        Some(line)
    }

    /// The line that goes on behind its `first` line end.
    #[cold]
    fn folded(&mut self, first: Line) -> Line {
        let mut whole = first;
        while is_fold(self.bytes, whole.next) {
            let Some(line) = self.end_from(whole.next) else {
                return self.unended();
            };
            whole = Line {
                clean: whole.clean && line.clean,
                ..line
            };
        }
        whole
    }

    const fn unended(&self) -> Line {
        Line {
            end: self.bytes.len(),
            next: self.bytes.len(),
            clean: false,
        }
    }

    /// Where the line that begins at `at` ends, when it is not blank, ends in CRLF
    /// as nearly all do, nothing odd stands in it, and no fold follows. It is
    /// passed then.
    #[inline(always)]
    pub(super) fn plain(&mut self, at: usize) -> Option<usize> {
        if self.low.is_empty() {
            self.look_on(at);
        }
        let end = self.low.first();
        match self.bytes.get(end..)?.first_chunk()? {
            // Both at once, which the compiler does not see.
            [cr, lf, next]
                if u16::from_le_bytes([*cr, *lf]) == CRLF
                    && !matches!(next, b' ' | b'\t')
                    && end > at =>
            {
                self.low.pass();
                self.low.pass();
                Some(end)
            }
            _ => None,
        }
    }

    /// The first line end at or behind `at`.
    fn end_from(&mut self, at: usize) -> Option<Line> {
        let mut at = at;
        loop {
            let end = self.low_from(at)?;
            let after = end.wrapping_add(1);
            match (self.bytes.get(end)?, self.bytes.get(after)) {
                (b'\r', Some(b'\n')) => {
                    return Some(Line {
                        end,
                        next: after.wrapping_add(1),
                        clean: true,
                    });
                }
                (b'\r' | b'\n', _) => return unclean_end(self.bytes, end),
                _ => at = after,
            }
        }
    }

    /// The first low control character at or behind `at`; what lies before is
    /// passed.
    fn low_from(&mut self, at: usize) -> Option<usize> {
        self.low.pass_to(at);
        if self.low.is_empty() {
            self.look_on(at);
        }
        (!self.low.is_empty()).then_some(self.low.first())
    }

    /// Looks for more of them, from `at` on.
    #[inline(always)]
    fn look_on(&mut self, at: usize) {
        self.low = low_from(self.bytes, at, self.low);
    }
}

/// The next low control characters behind those that were `found`, from `at` on: nearly always
/// some of the next 64 bytes.
#[inline(never)]
fn low_from(bytes: &[u8], at: usize, found: BlockHits) -> BlockHits {
    let next = found.look_next(bytes, at, |block| block::of_block(block, are_low));
    if next.is_empty() {
        return low_further(bytes, at, next);
    }
    next
}

#[cold]
#[inline(never)]
fn low_further(bytes: &[u8], at: usize, found: BlockHits) -> BlockHits {
    found.look_on(at, bytes.len(), |at| block::bits(bytes, at, are_low))
}

/// Which of sixteen bytes are no higher than CR.
#[inline(always)]
fn are_low(bytes: Lanes) -> u32 {
    bytes.are_from(0, b'\r').bits()
}

#[inline]
fn is_fold(bytes: &[u8], next: usize) -> bool {
    matches!(bytes.get(next), Some(b' ' | b'\t'))
}

/// A bare LF ends the line, though not well; a bare CR does not end it.
#[cold]
fn unclean_end(bytes: &[u8], from: usize) -> Option<Line> {
    let lf = from.wrapping_add(memchr::memchr(b'\n', bytes.get(from..)?)?);
    let before = lf.wrapping_sub(1);
    let end = if lf > from && bytes.get(before) == Some(&b'\r') {
        before
    } else {
        lf
    };
    Some(Line {
        end,
        next: lf.wrapping_add(1),
        clean: false,
    })
}

/// The name and what stands behind the colon: a token, white space and a
/// colon. `None` when it is not that.
pub(super) fn split(text: &[u8]) -> Option<(Name, &[u8])> {
    let (name, mut rest) = text.split_at_checked(class::token_run(text))?;
    while let [b' ' | b'\t', after @ ..] = rest {
        rest = after;
    }
    if name.is_empty() {
        None
    } else {
        Some((Name::from_bytes(name), rest.strip_prefix(b":")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], end: usize, next_at: usize, clean: bool) {
        let want = Line {
            end,
            next: next_at,
            clean,
        };
        assert_eq!(
            Lines::new(bytes).next(0),
            Some(want),
            "{}",
            bytes.escape_ascii()
        );
    }

    #[test]
    fn a_header_line_ends_where_no_fold_follows() {
        check(b"a: b\r\nc: d\r\n", 4, 6, true);
        check(b"a: b\r\n c\r\n\td\r\n\r\n", 12, 14, true);
        check(b"\r\n folded body", 0, 2, true);
        check(b"a: b\r\n", 4, 6, true);
    }

    #[test]
    fn bare_line_ends_are_not_clean() {
        check(b"a: b\nc: d\r\n", 4, 5, false);
        check(b"a: b\rc: d\r\n", 9, 11, false);
        check(b"a: b\r\r\n", 5, 7, false);
        check(b"a: b\n c\r\n", 7, 9, false);
        check(b"a: b\r\n c\nd", 8, 9, false);
        check(b"\nbody", 0, 1, false);
        check(b"a: b", 4, 4, false);
        check(b"a: b\r", 5, 5, false);
        check(b"a: b\r\n c", 8, 8, false);
        assert_eq!(Lines::new(b"").next(0), None);
    }

    #[test]
    fn the_name_ends_before_white_space_and_colon() {
        assert_eq!(split(b"TO \t: x:y"), Some((Name::To, &b" x:y"[..])));
        assert_eq!(split(b"l:"), Some((Name::ContentLength, &b""[..])));
        assert_eq!(split(b"X%-!:"), Some((Name::Other, &b""[..])));
        for none in [
            &b"Foobar roobar"[..],
            b"Foobar",
            b"",
            b":x",
            b" :x",
            b"a b: c",
            b"a\xe9: c",
            b"a<: c",
        ] {
            assert_eq!(split(none), None, "{}", none.escape_ascii());
        }
    }
}
