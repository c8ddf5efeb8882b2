//! Lines: where one ends, folds included (RFC 3261 §7.3.1), and where the
//! header name in it does.

use super::class::Class;

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

/// The first line of a message: it cannot be folded.
pub(super) fn first(bytes: &[u8]) -> Line {
    end_from(bytes, 0).unwrap_or(Line {
        end: bytes.len(),
        next: bytes.len(),
        clean: false,
    })
}

/// The header line that begins at `at`, with its folds. The blank line is one
/// with `end == at` and has none. `None` at the end of the bytes; a line that
/// just stops there is not clean.
#[inline]
pub(super) fn next(bytes: &[u8], at: usize) -> Option<Line> {
    match end_from(bytes, at) {
        Some(line) if line.end == at || !is_fold(bytes, line.next) => Some(line),
        Some(line) => Some(folded(bytes, line)),
        None if at >= bytes.len() => None,
        None => Some(Line {
            end: bytes.len(),
            next: bytes.len(),
            clean: false,
        }),
    }
}

/// The line that goes on behind its `first` line end.
fn folded(bytes: &[u8], first: Line) -> Line {
    let mut whole = first;
    while is_fold(bytes, whole.next) {
        let Some(line) = end_from(bytes, whole.next) else {
            return Line {
                end: bytes.len(),
                next: bytes.len(),
                clean: false,
            };
        };
        whole = Line {
            clean: whole.clean && line.clean,
            ..line
        };
    }
    whole
}

#[inline]
fn is_fold(bytes: &[u8], next: usize) -> bool {
    matches!(bytes.get(next), Some(b' ' | b'\t'))
}

/// The first line end at or behind `at`.
#[inline]
fn end_from(bytes: &[u8], at: usize) -> Option<Line> {
    let end = at.wrapping_add(memchr::memchr2(b'\r', b'\n', bytes.get(at..)?)?);
    let after = end.wrapping_add(1);
    if bytes.get(end) == Some(&b'\r') && bytes.get(after) == Some(&b'\n') {
        return Some(Line {
            end,
            next: after.wrapping_add(1),
            clean: true,
        });
    }
    unclean_end(bytes, end)
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
#[inline]
pub(super) fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, mut rest) = text.split_at_checked(Class::TOKEN.run(text))?;
    while let [b' ' | b'\t', after @ ..] = rest {
        rest = after;
    }
    if name.is_empty() {
        None
    } else {
        Some((name, rest.strip_prefix(b":")?))
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
        assert_eq!(next(bytes, 0), Some(want), "{}", bytes.escape_ascii());
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
        assert_eq!(next(b"", 0), None);
    }

    #[test]
    fn the_name_ends_before_white_space_and_colon() {
        assert_eq!(split(b"TO \t: x:y"), Some((&b"TO"[..], &b" x:y"[..])));
        assert_eq!(split(b"l:"), Some((&b"l"[..], &b""[..])));
        assert_eq!(split(b"X%-!:"), Some((&b"X%-!"[..], &b""[..])));
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
