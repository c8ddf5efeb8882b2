//! A piece of a message that knows where it stands, for code that would
//! rather be obvious than fast.

use steadfast::span::Span;

/// Some bytes of a message and their offset in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Text<'a> {
    pub(crate) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// What a span of the message stands for.
    pub(crate) fn of(message: &'a [u8], span: Span) -> Self {
        Self::new(&message[span.range()], span.range().start)
    }

    pub(crate) fn span(self) -> Span {
        Span::new(self.at, self.at + self.bytes.len())
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn from(self, offset: usize) -> Self {
        Self::new(&self.bytes[offset..], self.at + offset)
    }

    pub(crate) fn to(self, offset: usize) -> Self {
        Self::new(&self.bytes[..offset], self.at)
    }

    pub(crate) fn position(self, byte: u8) -> Option<usize> {
        self.bytes.iter().position(|&other| other == byte)
    }

    /// What stands before the first `byte` and what behind it.
    pub(crate) fn split_at_first(self, byte: u8) -> Option<(Self, Self)> {
        let at = self.position(byte)?;
        Some((self.to(at), self.from(at + 1)))
    }

    /// What stands before the first space, and what behind it.
    pub(crate) fn word(self) -> (Self, Self) {
        let nothing = self.from(self.bytes.len());
        self.split_at_first(b' ').unwrap_or((self, nothing))
    }

    /// The longest start that `is_it` holds for, and the rest.
    pub(crate) fn run(self, is_it: impl Fn(u8) -> bool) -> (Self, Self) {
        let end = self.bytes.iter().position(|&byte| !is_it(byte));
        let end = end.unwrap_or(self.bytes.len());
        (self.to(end), self.from(end))
    }

    pub(crate) fn is_all(self, is_it: impl Fn(u8) -> bool) -> bool {
        !self.is_empty() && self.bytes.iter().all(|&byte| is_it(byte))
    }

    pub(crate) fn begins(self, with: &str) -> bool {
        self.bytes
            .get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    }

    pub(crate) fn is(self, word: &str) -> bool {
        self.bytes.eq_ignore_ascii_case(word.as_bytes())
    }

    /// Without the white space in front.
    pub(crate) fn trim_start(self) -> Self {
        self.run(is_space).1
    }

    /// Without the white space behind.
    pub(crate) fn trim_end(self) -> Self {
        let end = self.bytes.iter().rposition(|&byte| !is_space(byte));
        self.to(end.map_or(0, |last| last + 1))
    }

    /// Without white space around. Of nothing but white space the empty end is left.
    pub(crate) fn trim(self) -> Self {
        self.trim_start().trim_end()
    }
}

pub(crate) fn is_space(byte: u8) -> bool {
    b" \t\r\n".contains(&byte)
}

/// `token` of RFC 3261 §25.1.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// Host names and addresses, and the underscore that some have.
pub(crate) fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

/// What may stand in a URI: visible ASCII that does not delimit URIs.
pub(crate) fn is_uri(byte: u8) -> bool {
    (b'!'..=b'~').contains(&byte) && !b"<>\"".contains(&byte)
}

/// What may stand in a parameter: anything that cannot end it.
pub(crate) fn is_param(byte: u8) -> bool {
    ((b'!'..=b'~').contains(&byte) || byte >= 0x80) && !b";=,\"<>".contains(&byte)
}

/// What may stand in an unquoted display name.
pub(crate) fn is_display(byte: u8) -> bool {
    is_token(byte) || is_space(byte) || byte >= 0x80
}

/// Digits with ASCII white space around them; as large as it gets when there are too many.
pub(crate) fn number(bytes: &[u8]) -> Option<u128> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.trim_matches([' ', '\t', '\r', '\n', '\x0c']);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u128::MAX))
}

/// Length of the quoted-string the text begins with, quotes included.
pub(crate) fn quoted(text: Text<'_>) -> Option<usize> {
    if text.bytes.first() != Some(&b'"') {
        return None;
    }
    let mut escaped = false;
    for (at, &byte) in text.bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The pieces between `separator`s that stand in no quoted-string, and, when
/// asked for, in no angle brackets either. `None` when a quote or a bracket
/// does not close.
pub(crate) fn pieces(text: Text<'_>, separator: u8, brackets: bool) -> (Vec<Text<'_>>, bool) {
    let (mut pieces, mut from, mut at) = (Vec::new(), 0, 0);
    while at < text.bytes.len() {
        let rest = text.from(at);
        at += match text.bytes[at] {
            b'"' => match quoted(rest) {
                Some(length) => length,
                None => break,
            },
            b'<' if brackets => match rest.position(b'>') {
                Some(close) => close + 1,
                None => break,
            },
            byte => {
                if byte == separator {
                    pieces.push(text.from(from).to(at - from));
                    from = at + 1;
                }
                1
            }
        };
    }
    pieces.push(text.from(from));
    (pieces, at >= text.bytes.len())
}
