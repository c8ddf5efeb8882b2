//! The search for the end of a header section, and the one header that
//! framing stands on: Content-Length (RFC 3261 §18.3, §20.14).

use serde::{Deserialize, Serialize};

/// How far a header section has been searched. Offsets are those of the
/// bytes handed in, which must be the same bytes, or more, on every call.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Search {
    /// No line end stands before this offset that is not already counted.
    searched: usize,
    /// Where the line begins that `searched` stands in.
    line: usize,
    /// One past the LF of the first line; 0 until it is known.
    first_line_end: usize,
    /// Where the first Content-Length line begins, and how many there are.
    length_at: usize,
    lengths: usize,
}

/// What the header section says of the body's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Absent,
    Bad,
    Is(usize),
}

impl Search {
    /// One past the blank line, or `None` when it is not there yet.
    pub(super) fn end_of_head(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            let Some(found) = memchr::memchr(b'\n', bytes.get(self.searched..)?) else {
                self.searched = bytes.len();
                return None;
            };
            let next = self.searched.saturating_add(found).saturating_add(1);
            if self.first_line_end == 0 {
                self.first_line_end = next;
            }
            let line = bytes.get(self.line..next)?;
            self.searched = next;
            if is_content_length(line) {
                if self.lengths == 0 {
                    self.length_at = self.line;
                }
                self.lengths = self.lengths.saturating_add(1);
            }
            self.line = next;
            if line == b"\r\n" && bytes.get(..next)?.ends_with(b"\r\n\r\n") {
                return Some(next);
            }
        }
    }

    /// The first line with its line end, once it is complete.
    pub(super) fn first_line<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        if self.first_line_end == 0 {
            None
        } else {
            bytes.get(..self.first_line_end)
        }
    }

    /// What Content-Length says, once `end_of_head` has found the end. A
    /// number too large to count is `usize::MAX`: longer than any limit.
    pub(super) fn length(&self, bytes: &[u8]) -> Length {
        match self.lengths {
            0 => Length::Absent,
            1 => self.only_length(bytes).map_or(Length::Bad, Length::Is),
            _ => Length::Bad,
        }
    }

    fn only_length(&self, bytes: &[u8]) -> Option<usize> {
        let rest = bytes.get(self.length_at..)?;
        let value = rest.get(memchr::memchr(b':', rest)?.checked_add(1)?..)?;
        decimal(value.get(..unfolded_end(value))?)
    }
}

/// Where the logical line ends that `bytes` begins in: at the first LF that no
/// SP or HT follows (RFC 3261 §7.3.1).
fn unfolded_end(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes)
        .find(|&lf| !matches!(bytes.get(lf.saturating_add(1)), Some(b' ' | b'\t')))
        .unwrap_or(bytes.len())
}

/// A decimal number with white space around it, as header values hold it.
/// `None` when it is no number; saturates at `usize::MAX`.
pub(crate) fn decimal(value: &[u8]) -> Option<usize> {
    let digits = value.trim_ascii();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_usize, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit <= 9)?;
        Some(number.saturating_mul(10).saturating_add(usize::from(digit)))
    })
}

/// Whether the line is `Content-Length :` or `l :` whatever follows.
fn is_content_length(line: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    let after = match line {
        [b'l' | b'L', after @ ..] => after,
        [b'c' | b'C', b'o' | b'O', ..] => match line.split_at_checked(NAME.len()) {
            Some((name, after)) if name.eq_ignore_ascii_case(NAME) => after,
            _ => return false,
        },
        _ => return false,
    };
    after.iter().find(|&&byte| byte != b' ' && byte != b'\t') == Some(&b':')
}

/// Whether a message can begin with this byte: a token character of a method
/// or of `SIP/2.0` (RFC 3261 §25.1).
pub(super) const fn may_begin(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

/// Whether a first line claims to be SIP: it begins or ends with `SIP/`, or it
/// is a method and a URI whose version was lost. Other protocols' first lines
/// are not: nobody answers them.
pub(crate) fn is_sip_line(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let begins = |text: &[u8]| {
        text.get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
    };
    let last_space = memchr::memrchr(b' ', line);
    let last = last_space
        .and_then(|at| line.get(at.saturating_add(1)..))
        .unwrap_or_default();
    begins(line)
        || begins(last)
        || (last_space == memchr::memchr(b' ', line) && last.contains(&b':'))
}
