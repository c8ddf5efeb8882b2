//! Digest credentials and challenges (RFC 3261 §25.1, RFC 7616): the
//! comma-separated `name=value` list after `Digest`.
//!
//! Nothing is checked here but the grammar; which fields must be there is for
//! whoever verifies.

use crate::error::Malformed;
use crate::grammar::class::ByteClass;
use crate::grammar::cursor::Cursor;
use crate::span::Span;

/// The fields of an Authorization or Proxy-Authorization, or of a challenge (WWW-/Proxy-Authenticate). Quotes are not part of the spans; backslash escapes inside stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each field is the parameter of that name; an absent one is empty or None"
)]
pub struct Digest {
    pub username: Span,
    pub realm: Span,
    pub nonce: Span,
    pub uri: Span,
    pub response: Span,
    pub algorithm: Option<Span>,
    pub qop: Option<Span>,
    pub nc: Option<Span>,
    pub cnonce: Option<Span>,
    pub opaque: Option<Span>,
    /// Whether `stale` is `true`.
    pub stale: bool,
}

impl Digest {
    /// Ok(None) when the scheme is not Digest (RFC 4475 §3.3.7: treated as no credentials).
    ///
    /// # Errors
    /// `Credentials` with `value`: a field without name or value, quotes that
    /// do not close, or a field of `Digest` that stands twice.
    pub fn parse(bytes: &[u8], value: Span) -> Result<Option<Self>, Malformed> {
        let mut cursor = Cursor::new(bytes, value);
        if !cursor
            .take(ByteClass::TOKEN)
            .of(bytes)
            .eq_ignore_ascii_case(b"Digest")
        {
            return Ok(None);
        }
        Self::read(bytes, cursor)
            .map(Some)
            .ok_or(Malformed::Credentials(value))
    }

    fn read(bytes: &[u8], mut cursor: Cursor<'_>) -> Option<Self> {
        let mut fields = Fields::default();
        if !cursor.is_done()
            && !cursor
                .peek()
                .is_some_and(|byte| ByteClass::SPACE.holds(byte))
        {
            return None;
        }
        loop {
            cursor.skip_space();
            while cursor.eat_spaced(b',') {}
            if cursor.is_done() {
                return Some(fields.digest(bytes));
            }
            let name = cursor.take(ByteClass::TOKEN);
            if name.is_empty() || !cursor.eat_spaced(b'=') {
                return None;
            }
            let quoted = cursor.peek() == Some(b'"');
            let value = if quoted {
                cursor.quoted()?
            } else {
                cursor.take(ByteClass::PARAM)
            };
            if !fields.keep(name.of(bytes), value) {
                return None;
            }
            cursor.skip_space();
            if !cursor.is_done() && cursor.peek() != Some(b',') {
                return None;
            }
        }
    }
}

/// The fields as they are found, in the order of `NAMES`.
#[derive(Default)]
struct Fields([Option<Span>; Self::NAMES.len()]);

impl Fields {
    const NAMES: [&[u8]; 11] = [
        b"username",
        b"realm",
        b"nonce",
        b"uri",
        b"response",
        b"algorithm",
        b"qop",
        b"nc",
        b"cnonce",
        b"opaque",
        b"stale",
    ];

    /// False when the field stands twice.
    fn keep(&mut self, name: &[u8], value: Span) -> bool {
        let mut fields = Self::NAMES.iter().zip(&mut self.0);
        let field = fields.find(|(known, _)| name.eq_ignore_ascii_case(known));
        field.is_none_or(|(_, field)| field.replace(value).is_none())
    }

    fn digest(self, bytes: &[u8]) -> Digest {
        let [
            username,
            realm,
            nonce,
            uri,
            response,
            algorithm,
            qop,
            nc,
            cnonce,
            opaque,
            stale,
        ] = self.0;
        Digest {
            username: username.unwrap_or_default(),
            realm: realm.unwrap_or_default(),
            nonce: nonce.unwrap_or_default(),
            uri: uri.unwrap_or_default(),
            response: response.unwrap_or_default(),
            algorithm,
            qop,
            nc,
            cnonce,
            opaque,
            stale: stale
                .unwrap_or_default()
                .of(bytes)
                .eq_ignore_ascii_case(b"true"),
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

    fn parse(text: &str) -> Result<Option<Digest>, Malformed> {
        Digest::parse(text.as_bytes(), Span::new(0, text.len()))
    }

    #[test]
    fn credentials_come_apart() {
        let text = "Digest username=\"jo\\\"e\", realm=\"a, b\" ,nonce=\"84a4cc6f\",\r\n uri=\"sip:example.com\", \
                    response=\"7587\", algorithm=SHA-256,,qop=auth, nc=00000001, cnonce=\"c\", opaque=\"\", other=x";
        let digest = parse(text).unwrap().unwrap();
        let part = |span: Span| &text[span.range()];
        let required = [
            digest.username,
            digest.realm,
            digest.nonce,
            digest.uri,
            digest.response,
        ]
        .map(part);
        assert_eq!(
            required,
            ["jo\\\"e", "a, b", "84a4cc6f", "sip:example.com", "7587"]
        );
        let optional = [
            digest.algorithm,
            digest.qop,
            digest.nc,
            digest.cnonce,
            digest.opaque,
        ]
        .map(|span| span.map(part));
        assert_eq!(
            optional,
            [
                Some("SHA-256"),
                Some("auth"),
                Some("00000001"),
                Some("c"),
                Some("")
            ]
        );
        assert!(!digest.stale);
    }

    #[test]
    fn challenges_come_apart() {
        let text =
            "digest realm=\"h\", nonce=\"n\", qop=\"auth,auth-int\", STALE=TRUE, algorithm=MD5";
        let digest = parse(text).unwrap().unwrap();
        assert_eq!(
            digest.qop.map(|span| &text[span.range()]),
            Some("auth,auth-int")
        );
        assert_eq!((digest.stale, digest.username.is_empty()), (true, true));
    }

    // RFC 4475 §3.3.7
    #[test]
    fn an_unknown_scheme_is_no_credentials() {
        for text in [
            "NoOneKnowsThisScheme opaque-data=here",
            "Basic QWxhZGRpbg==",
            "",
            "Digestive x=y",
        ] {
            assert_eq!(parse(text), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn defects_are_named() {
        for text in [
            "Digest x",
            "Digest =x",
            "Digest realm=\"x",
            "Digest realm=\"a\" nonce=\"b\"",
            "Digest nc=1, nc=2",
            "Digest/x",
        ] {
            assert_eq!(
                parse(text),
                Err(Malformed::Credentials(Span::new(0, text.len()))),
                "{text:?}"
            );
        }
    }
}
