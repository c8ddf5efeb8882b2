//! name-addr and addr-spec with header parameters: From, To, Contact, Route,
//! Record-Route, Path, Service-Route (RFC 3261 §20.10, §20.20, §25.1).
//!
//! The URI is found, not parsed: `Uri::parse` does that when somebody needs
//! it. `Contact: *` is no address.

use super::first_value;
use crate::error::Malformed;
use crate::grammar::class::{self, ByteClass};
use crate::grammar::cursor::Cursor;
use crate::grammar::params;
use crate::span::Span;
use crate::uri::Uri;

/// Where the parts of an address stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The whole value.
    pub value: Span,
    /// The display name as written, quotes included; empty when none.
    pub display: Span,
    /// The URI's bytes, without brackets. In the bare form it ends at the first `;` (RFC 3261 §20).
    pub uri: Span,
    /// Whether the URI stands in angle brackets.
    pub bracketed: bool,
    /// Header parameters from their first `;`; empty when none.
    pub params: Span,
}

impl Uri {
    /// The URI in a value that is an address: of a Route or a Contact, a From
    /// or a To.
    ///
    /// # Errors
    /// As for `Address::parse` and `Uri::parse`.
    pub(crate) fn in_value(bytes: &[u8], value: Span) -> Result<Self, Malformed> {
        if let Some(uri) = Self::alone(bytes, value) {
            return Ok(uri);
        }
        let cursor = Cursor::new(bytes, value);
        let address = Address::read(bytes, cursor).ok_or(Malformed::Address(value))?;
        let uri = cursor.within(address.uri);
        Self::read(bytes, uri).ok_or(Malformed::Uri(address.uri))
    }

    /// The URI of a value that begins with its bracket, as nearly all do, and has no defect.
    #[inline]
    fn alone(bytes: &[u8], value: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, value);
        if !cursor.eat(b'<') {
            return None;
        }
        let uri = Self::read_bracketed(bytes, &mut cursor)?;
        if !cursor.eat(b'>') {
            return None;
        }
        cursor.skip_space();
        params::are_sound(cursor).then_some(uri)
    }
}

/// The URI in the first value of a list of addresses, such as the Path of a binding;
/// `None` where that is no address.
#[must_use]
pub(crate) fn first_uri(list: &[u8]) -> Option<&[u8]> {
    let address = Address::parse(list, first_value(list)).ok()?;
    Some(address.uri.of(list))
}

impl Address {
    /// Parses the value standing at `value`.
    ///
    /// # Errors
    /// `Address` with `value`: quotes or brackets that do not close, white
    /// space in the URI, a display name that should be quoted, a bare URI with
    /// `?` or a comma, a defect in the parameters.
    pub fn parse(bytes: &[u8], value: Span) -> Result<Self, Malformed> {
        Self::read(bytes, Cursor::new(bytes, value)).ok_or(Malformed::Address(value))
    }

    /// All that is still to be read, as an address.
    fn read(bytes: &[u8], mut cursor: Cursor<'_>) -> Option<Self> {
        let value = cursor.rest_span();
        let start = cursor.at();
        let mut display = Span::default();
        if cursor.peek() == Some(b'"') {
            cursor.quoted()?;
            display = cursor.since(start);
            cursor.skip_space();
        } else if cursor.peek() != Some(b'<') {
            let before = cursor;
            let words = cursor.take(ByteClass::DISPLAY);
            if cursor.peek() != Some(b'<') {
                return Self::read_bare(bytes, value, before);
            }
            display = class::trim(words.of(bytes), words.range().end);
        }
        if !cursor.eat(b'<') {
            return None;
        }
        let uri = uri_text(&mut cursor, b'>')?;
        if !cursor.eat(b'>') {
            return None;
        }
        cursor.skip_space();
        let address = Self {
            value,
            display,
            uri,
            bracketed: true,
            params: cursor.rest_span(),
        };
        params::are_sound(cursor).then_some(address)
    }

    /// An addr-spec: what follows its first `;` are header parameters.
    fn read_bare(bytes: &[u8], value: Span, mut cursor: Cursor<'_>) -> Option<Self> {
        if cursor.rest().contains(&b'?') {
            return None;
        }
        let uri = uri_text(&mut cursor, b';')?;
        cursor.skip_space();
        if uri.of(bytes).contains(&b',') {
            return None;
        }
        let address = Self {
            value,
            display: Span::default(),
            uri,
            bracketed: false,
            params: cursor.rest_span(),
        };
        params::are_sound(cursor).then_some(address)
    }

    /// A header parameter: None absent, Some(None) without value, Some(Some(span)) with; quotes are not part of the span.
    #[must_use]
    pub fn param(&self, bytes: &[u8], name: &str) -> Option<Option<Span>> {
        params::find(bytes, self.params, name)
    }

    /// A header parameter as a number; `None` when it is absent or is none.
    #[must_use]
    pub fn number(&self, bytes: &[u8], name: &str) -> Option<u32> {
        let digits = self.param(bytes, name).flatten()?.of(bytes);
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The `+sip.instance`: a URN, without the angle brackets that stand inside
    /// its quotes (RFC 5626 §4.1).
    #[must_use]
    pub fn instance(&self, bytes: &[u8]) -> Option<Span> {
        let value = self.param(bytes, "+sip.instance").flatten()?;
        Some(match value.of(bytes) {
            [b'<', .., b'>'] => Span {
                start: value.start.saturating_add(1),
                end: value.end.saturating_sub(1),
            },
            _ => value,
        })
    }
}

/// The bytes that may stand in a URI, up to `last` or whatever else may not;
/// `None` when no colon follows something in them.
#[inline]
fn uri_text(cursor: &mut Cursor<'_>, last: u8) -> Option<Span> {
    let start = cursor.at();
    let mut colon = None;
    while let Some(mark) = cursor.next_mark() {
        let here = cursor.at();
        if mark == last || !ByteClass::URI.holds(mark) {
            break;
        }
        if mark == b':' {
            colon.get_or_insert(here);
        }
        cursor.pass();
    }
    (colon? > start).then(|| cursor.since(start))
}

/// Parses a value of Outbound-Proxy (and its older names). In the bare form
/// the whole value is the URI: an addr-spec has no header parameters there, so
/// that `sip:token@edge;lr;maddr=192.0.2.3` keeps its maddr.
///
/// # Errors
/// As `Address::parse`.
pub fn outbound_proxy(bytes: &[u8], value: Span) -> Result<Address, Malformed> {
    let address = Address::parse(bytes, value)?;
    if address.bracketed {
        return Ok(address);
    }
    if !ByteClass::URI.holds_all(value.of(bytes)) {
        return Err(Malformed::Address(value));
    }
    Ok(Address {
        uri: value,
        params: Span::default(),
        ..address
    })
}

#[cfg(test)]
#[expect(
    clippy::string_slice,
    reason = "a test may stop at what it did not expect"
)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, Malformed> {
        Address::parse(text.as_bytes(), Span::new(0, text.len()))
    }

    /// display, uri, bracketed, params.
    type Parts<'a> = (&'a str, &'a str, bool, &'a str);

    #[track_caller]
    fn check(text: &str, want: Parts<'_>) {
        let part = |span: Span| &text[span.range()];
        let address = parse(text).unwrap();
        assert_eq!(
            (
                part(address.display),
                part(address.uri),
                address.bracketed,
                part(address.params)
            ),
            want,
            "{text:?}"
        );
    }

    #[test]
    fn addresses_come_apart() {
        check("<sip:a@b>", ("", "sip:a@b", true, ""));
        check("sip:a@b;tag=1", ("", "sip:a@b", false, ";tag=1"));
        check(
            "sip:a@b ;   tag    = 1",
            ("", "sip:a@b", false, ";   tag    = 1"),
        );
        check(
            "<sip:a@b;lr?x=y>;tag=1",
            ("", "sip:a@b;lr?x=y", true, ";tag=1"),
        );
        check(
            "\"J \\\\\\\"\"   <sip:a@b>\r\n  ;\r\n tag=1",
            ("\"J \\\\\\\"\"", "sip:a@b", true, ";\r\n tag=1"),
        );
        check("\"<sip:x>\"<sip:a@b>", ("\"<sip:x>\"", "sip:a@b", true, ""));
        check(
            "caller<sip:a@b>;tag=323",
            ("caller", "sip:a@b", true, ";tag=323"),
        );
        check(
            "token1~` token2'+_ <sip:a@b>",
            ("token1~` token2'+_", "sip:a@b", true, ""),
        );
        check("Jürgen <sip:a@b>", ("Jürgen", "sip:a@b", true, ""));
        check("isbn:2983792873", ("", "isbn:2983792873", false, ""));
        check(
            "<http://www.example.com>;tag=3",
            ("", "http://www.example.com", true, ";tag=3"),
        );
    }

    // RFC 4475 §3.1.2.6, §3.1.2.13 to §3.1.2.15
    #[test]
    fn what_is_not_balanced_or_not_quoted_is_refused() {
        for text in [
            "",
            "*",
            "\"Mr. J. User <sip:a@b>",
            "\"x\" sip:a@b",
            "\"x\"",
            "<sip:a@b",
            "sip:a@b>",
            "<sip:a@b> x",
            "< sip:a@b >",
            "<sip:a b@c>",
            "<>",
            "<a>",
            "Bell, Alexander <sip:a@b>",
            "a\"b\" <sip:a@b>",
            "x:y <sip:a@b>",
            "sip:a@b?Route=%3Csip:c%3E",
            "sip:a,b@c",
            "sip:a@b;x?y",
            "alan.jasomi.com",
            "<sip:a@b>;;",
            "<sip:a@b>;tag=\"x",
            "sip:a@b;;tag=1",
        ] {
            assert_eq!(
                parse(text),
                Err(Malformed::Address(Span::new(0, text.len()))),
                "{text:?}"
            );
        }
    }

    // RFC 4475 §3.1.1.12
    #[test]
    fn bare_parameters_are_the_headers_and_bracketed_ones_the_uris() {
        for (text, want) in [
            ("sip:a@b;x=1", Some(Some(&b"1"[..]))),
            ("<sip:a@b;x=1>", None),
            ("<sip:a@b>;X", Some(None)),
        ] {
            let found = parse(text).unwrap().param(text.as_bytes(), "x");
            assert_eq!(
                found.map(|value| value.map(|span| span.of(text.as_bytes()))),
                want,
                "{text:?}"
            );
        }
    }

    // D-U9
    #[test]
    fn a_bare_outbound_proxy_keeps_its_uri_parameters() {
        for (text, uri, params) in [
            (
                "sip:joe+e1+3@edge.example.com;lr;maddr=192.0.2.3",
                "sip:joe+e1+3@edge.example.com;lr;maddr=192.0.2.3",
                "",
            ),
            (
                "<sip:joe@edge;maddr=192.0.2.3>;x",
                "sip:joe@edge;maddr=192.0.2.3",
                ";x",
            ),
        ] {
            let address = outbound_proxy(text.as_bytes(), Span::new(0, text.len())).unwrap();
            assert_eq!(
                (&text[address.uri.range()], &text[address.params.range()]),
                (uri, params)
            );
        }
        let spaced = b"sip:joe@edge ;lr";
        let span = Span::new(0, spaced.len());
        assert_eq!(outbound_proxy(spaced, span), Err(Malformed::Address(span)));
    }

    #[test]
    fn the_first_uri_of_a_list_is_that_of_its_first_value() {
        for (list, want) in [
            (r#""a>b, c" <sip:e;lr>;x=1, <sip:f>"#, Some("sip:e;lr")),
            ("<sip:e,f>,<sip:g>", Some("sip:e,f")),
            ("<sip:e>", Some("sip:e")),
            ("<sip:e, <sip:f>", None),
            ("", None),
        ] {
            let want = want.map(str::as_bytes);
            assert_eq!(first_uri(list.as_bytes()), want, "{list}");
        }
    }
}
