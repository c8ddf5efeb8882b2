//! Lines: where one ends, folds included (RFC 3261 §7.3.1), and where the
//! header name in it does.

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
    end_from(bytes, 0, 0).unwrap_or(Line {
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
    if at >= bytes.len() {
        return None;
    }
    let mut clean = true;
    let mut from = at;
    loop {
        let Some(line) = end_from(bytes, from, at) else {
            return Some(Line {
                end: bytes.len(),
                next: bytes.len(),
                clean: false,
            });
        };
        clean &= line.clean;
        if line.end == at || !matches!(bytes.get(line.next), Some(b' ' | b'\t')) {
            return Some(Line { clean, ..line });
        }
        from = line.next;
    }
}

/// The first line end at or behind `from`, in a line that begins at `at`.
#[inline]
fn end_from(bytes: &[u8], mut from: usize, at: usize) -> Option<Line> {
    let mut clean = true;
    loop {
        let end = from.saturating_add(memchr::memchr2(b'\r', b'\n', bytes.get(from..)?)?);
        let after = end.saturating_add(1);
        if bytes.get(end) == Some(&b'\n') {
            return Some(Line {
                end,
                next: after,
                clean: false,
            });
        }
        if bytes.get(after) == Some(&b'\n') {
            return Some(Line {
                end: end.max(at),
                next: after.saturating_add(1),
                clean,
            });
        }
        clean = false;
        from = after;
    }
}

/// The name, without the white space that may precede the colon, and what
/// stands behind the colon. `None` without a colon.
#[inline]
pub(super) fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut name, value) = text.split_at_checked(memchr::memchr(b':', text)?)?;
    while let [before @ .., b' ' | b'\t'] = name {
        name = before;
    }
    Some((name, value.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], end: usize, next_at: usize, clean: bool) {
        assert_eq!(
            next(bytes, 0),
            Some(Line {
                end,
                next: next_at,
                clean
            }),
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
        check(b"a: b\n c\r\n", 7, 9, false);
        check(b"\nbody", 0, 1, false);
        check(b"a: b", 4, 4, false);
        check(b"a: b\r", 5, 5, false);
        assert_eq!(next(b"", 0), None);
    }

    #[test]
    fn the_name_ends_before_white_space_and_colon() {
        assert_eq!(split(b"TO \t: x:y"), Some((&b"TO"[..], &b" x:y"[..])));
        assert_eq!(split(b"l:"), Some((&b"l"[..], &b""[..])));
        assert_eq!(split(b"Foobar roobar"), None);
    }
}
