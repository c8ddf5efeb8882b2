//! Comma-separated header values (RFC 3261 §7.3.1): the list rule is one for
//! all headers, so a comma inside quotes or angle brackets never separates.

use super::class;
use super::find::find;
use crate::span::Span;

/// The values of one header line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Values<'a> {
    pub(super) fn new(bytes: &'a [u8], value: Span) -> Self {
        let range = value.range();
        Self {
            bytes,
            at: range.start,
            end: range.end,
        }
    }
}

impl Iterator for Values<'_> {
    type Item = Span;

    #[inline]
    fn next(&mut self) -> Option<Span> {
        while self.at < self.end {
            let start = self.at;
            let text = self.bytes.get(start..self.end)?;
            // Quotes and brackets matter only when there is a comma they might hold.
            let comma = find(b',', text).and_then(|_| comma(text));
            let end = comma.map_or(self.end, |length| start.saturating_add(length));
            self.at = end.saturating_add(1);
            let value = class::trim(self.bytes.get(start..end)?, end);
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    }
}

/// Offset of the first comma that separates. Quotes or brackets that never
/// close reach to the end.
fn comma(text: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    loop {
        let found = at.saturating_add(memchr::memchr3(b',', b'"', b'<', text.get(at..)?)?);
        let after = found.saturating_add(1);
        let inside = text.get(after..)?;
        let length = match text.get(found)? {
            b'"' => closing_quote(inside)?,
            b'<' => find(b'>', inside)?,
            _ => return Some(found),
        };
        at = after.saturating_add(length).saturating_add(1);
    }
}

fn closing_quote(inside: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    loop {
        let found = at.saturating_add(memchr::memchr2(b'"', b'\\', inside.get(at..)?)?);
        if inside.get(found) == Some(&b'"') {
            return Some(found);
        }
        at = found.saturating_add(2);
    }
}

#[cfg(test)]
#[expect(
    clippy::string_slice,
    reason = "a test may stop at what it did not expect"
)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        let values = Values::new(text.as_bytes(), Span::new(0, text.len()));
        let got: Vec<_> = values.map(|span| &text[span.range()]).collect();
        assert_eq!(got, want, "{text:?}");
    }

    #[test]
    fn commas_separate_only_outside_quotes_and_brackets() {
        check("a", &["a"]);
        check("a,b ,\r\n c", &["a", "b", "c"]);
        check(
            r#""x, \" y" <sip:a,b@c>;q=1, <sip:d>"#,
            &[r#""x, \" y" <sip:a,b@c>;q=1"#, "<sip:d>"],
        );
        check(";;,,;;,;", &[";;", ";;", ";"]);
        check(" , ", &[]);
        check("", &[]);
        check(r#"a, "b, c"#, &["a", r#""b, c"#]);
        check("a, <b, c", &["a", "<b, c"]);
    }
}
