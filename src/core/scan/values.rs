//! Comma-separated header values (RFC 3261 §7.3.1): the list rule is one for
//! all headers, so a comma inside quotes or angle brackets never separates.

use crate::grammar::class;
use crate::grammar::cursor::Cursor;
use crate::grammar::find::find;
use crate::span::Span;

/// The values of one header line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    bytes: &'a [u8],
    cursor: Cursor<'a>,
    /// The whole line, where no comma stands in it: nearly always.
    alone: Option<Span>,
}

impl<'a> Values<'a> {
    pub(super) fn new(bytes: &'a [u8], value: Span) -> Self {
        let is_alone = find(value.of(bytes), b',').is_none();
        Self {
            bytes,
            cursor: Cursor::new(bytes, value),
            alone: is_alone.then_some(value),
        }
    }
}

impl Iterator for Values<'_> {
    type Item = Span;

    #[inline]
    fn next(&mut self) -> Option<Span> {
        if let Some(value) = self.alone.take() {
            self.cursor.finish();
            let value = class::trim(value.of(self.bytes), value.range().end);
            return Some(value).filter(|value| !value.is_empty());
        }
        while !self.cursor.is_done() {
            let start = self.cursor.at();
            to_comma(&mut self.cursor);
            let text = self.cursor.since(start);
            self.cursor.skip(1);
            let value = class::trim(text.of(self.bytes), text.range().end);
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    }
}

/// The first value of a list, or what is empty.
#[must_use]
pub(crate) fn first_value(list: &[u8]) -> Span {
    let first = Values::new(list, Span::new(0, list.len())).next();
    first.unwrap_or_default()
}

/// Moves to the first comma that separates, or to the end. Quotes or brackets
/// that never close reach to the end.
#[inline]
fn to_comma(cursor: &mut Cursor<'_>) {
    while let Some(mark) = cursor.next_mark() {
        match mark {
            b',' => return,
            b'"' if cursor.quoted().is_some() => {}
            b'"' => return cursor.finish(),
            b'<' => {
                cursor.seek(b'>');
                cursor.skip(1);
            }
            _ => cursor.pass(),
        }
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

    #[test]
    fn the_first_value_has_its_parameters_and_its_name() {
        for (list, want) in [
            (
                r#""a>b, c" <sip:e;lr>;x=1, <sip:f>"#,
                r#""a>b, c" <sip:e;lr>;x=1"#,
            ),
            ("<sip:e,f>,<sip:g>", "<sip:e,f>"),
            (" <sip:e> ", "<sip:e>"),
            ("", ""),
        ] {
            assert_eq!(&list[first_value(list.as_bytes()).range()], want);
        }
    }
}
