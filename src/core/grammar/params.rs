//! `;name=value` lists, shared by Via, URIs and addresses.
//!
//! Names compare case-insensitively; white space, folds included, may stand
//! around `;` and `=`. A name without anything between two semicolons is a
//! defect; a name whose value is missing behind `=` has an empty one.

use super::class::ByteClass;
use super::cursor::Cursor;
use super::find::find_either;
use crate::span::Span;

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// `name=value` as written, without the `;`.
    pub whole: Span,
    /// The name.
    pub name: Span,
    /// The value without its quotes; escapes in it are left as they are.
    pub value: Option<Span>,
}

/// Iterates over `;a=b;c` (span starts at or before the first `;`). Quoted
/// values may hold `;`. Stops at a defect.
pub fn iter(bytes: &[u8], params: Span) -> impl Iterator<Item = Param> + '_ {
    Walk::new(Cursor::new(bytes, params)).map_while(Result::ok)
}

/// The first parameter of that name: `None` absent, `Some(None)` without value.
#[must_use]
pub fn find(bytes: &[u8], params: Span, name: &str) -> Option<Option<Span>> {
    if params.is_empty() {
        return None;
    }
    // Most of what is looked for is not there, and neither is its first letter.
    let first = name.as_bytes().first()?;
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    find_either(params.of(bytes), lower, upper)?;
    let mut found = iter(bytes, params)
        .filter(|param| param.name.of(bytes).eq_ignore_ascii_case(name.as_bytes()));
    found.next().map(|param| param.value)
}

/// Whether all that is still to be read is a parameter list.
#[inline]
pub(crate) fn are_sound(cursor: Cursor<'_>) -> bool {
    cursor.is_done() || are_plain(cursor) || Walk::new(cursor).all(|param| param.is_ok())
}

/// Whether it is one of nothing but letters, digits, `;` and `=`, as nearly all are.
#[inline]
fn are_plain(mut cursor: Cursor<'_>) -> bool {
    while cursor.eat(b';') {
        if cursor.take_host().is_empty() {
            return false;
        }
        if cursor.eat(b'=') {
            cursor.take_host();
        }
        if cursor.is_done() {
            return true;
        }
    }
    false
}

/// Something that is no parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Defect;

/// Every parameter up to the first defect, and that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Walk<'a> {
    /// Over what is still to be read.
    pub(crate) fn new(cursor: Cursor<'a>) -> Self {
        Self { cursor }
    }

    #[inline(never)]
    fn param(&mut self) -> Option<Param> {
        let cursor = &mut self.cursor;
        if !cursor.eat(b';') {
            return None;
        }
        cursor.skip_space();
        let name = cursor.take(ByteClass::PARAM);
        if name.is_empty() {
            return None;
        }
        if !cursor.eat_spaced(b'=') {
            let (whole, value) = (name, None);
            return Some(Param { whole, name, value });
        }
        let value = if cursor.peek() == Some(b'"') {
            cursor.quoted()?
        } else {
            cursor.take(ByteClass::PARAM)
        };
        Some(Param {
            whole: cursor.since(usize::from(name.start)),
            name,
            value: Some(value),
        })
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Param, Defect>;

    // Whether there is another one costs less than a call.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.skip_space();
        if self.cursor.is_done() {
            return None;
        }
        let param = self.param();
        if param.is_none() {
            self.cursor.finish();
        }
        Some(param.ok_or(Defect))
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
    fn check(text: &str, want: &[(&str, Option<&str>, &str)], sound: bool) {
        let bytes = text.as_bytes();
        let span = Span::new(0, bytes.len());
        let part = |span: Span| &text[span.range()];
        let got: Vec<_> = iter(bytes, span)
            .map(|param| (part(param.name), param.value.map(part), part(param.whole)))
            .collect();
        assert_eq!(
            (&got[..], are_sound(Cursor::new(bytes, span))),
            (want, sound),
            "{text:?}"
        );
    }

    #[test]
    fn lists_are_walked_to_the_first_defect() {
        check(";a=b;c", &[("a", Some("b"), "a=b"), ("c", None, "c")], true);
        check(
            "  ;\r\n a\t= b ; c ",
            &[("a", Some("b"), "a\t= b"), ("c", None, "c")],
            true,
        );
        check(
            r#";a="x;\"y" ;b"#,
            &[("a", Some(r#"x;\"y"#), r#"a="x;\"y""#), ("b", None, "b")],
            true,
        );
        check(
            ";received=2001:db8::1;r=[::1]",
            &[
                ("received", Some("2001:db8::1"), "received=2001:db8::1"),
                ("r", Some("[::1]"), "r=[::1]"),
            ],
            true,
        );
        check(
            r#";a="";b="#,
            &[("a", Some(""), r#"a="""#), ("b", Some(""), "b=")],
            true,
        );
        check("", &[], true);
        check(";a;;b", &[("a", None, "a")], false);
        check(";a;", &[("a", None, "a")], false);
        check(r#";a;b="x"#, &[("a", None, "a")], false);
        check(";a b;c", &[("a", None, "a")], false);
        check("a=b", &[], false);
    }

    #[test]
    fn the_first_of_a_name_is_found_whatever_its_case() {
        let text = b";TAG=1;tag=2;lr";
        let span = Span::new(0, text.len());
        assert_eq!(
            find(text, span, "tag")
                .flatten()
                .map(|value| value.of(text)),
            Some(&b"1"[..])
        );
        assert_eq!(find(text, span, "lr"), Some(None));
        assert_eq!(find(text, span, "l"), None);
    }
}
