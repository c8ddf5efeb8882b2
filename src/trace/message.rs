//! What a message says of itself that a story is made of.

use crate::scan::{Message, Name, scan};
use crate::span::Span;
use crate::uri::Uri;

/// The parts of a message, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    /// Its first line.
    pub start: String,
    /// The status; 0: it is a request.
    pub status: u16,
    /// The reason phrase of an answer.
    pub phrase: String,
    /// The method, of an answer that of its request.
    pub method: String,
    /// Call-ID.
    pub call_id: String,
    /// The number in CSeq.
    pub cseq: u32,
    /// `user@host` of From; the host alone where there is no user.
    pub from: String,
    /// The same of To.
    pub to: String,
    /// To has a tag: for a request, it is within a dialog.
    pub has_to_tag: bool,
    /// It carries credentials.
    pub has_credentials: bool,
    /// Via lines.
    pub vias: usize,
}

impl Sip {
    /// Reads one; `None` where it cannot be read.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut message = Message::default();
        scan(bytes, &mut message).ok()?;
        let text = |span: Span| String::from_utf8_lossy(span.of(bytes)).into_owned();
        let value = |name| message.first(name).map(|header| header.value);
        let start = bytes
            .split(|byte| *byte == b'\r' || *byte == b'\n')
            .next()?;
        let start = String::from_utf8_lossy(start).into_owned();
        let cseq = text(value(Name::CSeq)?);
        let (number, method) = cseq.split_once(|letter: char| letter.is_ascii_whitespace())?;
        let phrase = match message.is_request() {
            true => String::new(),
            false => start.splitn(3, ' ').nth(2).unwrap_or_default().to_owned(),
        };
        let [from, to] =
            [Name::From, Name::To].map(|name| value(name).map(text).unwrap_or_default());
        let tag = to
            .rsplit_once('>')
            .map_or(to.as_str(), |(_, params)| params);
        Some(Self {
            status: message.status(),
            phrase,
            method: method.trim().to_owned(),
            call_id: text(value(Name::CallId)?),
            cseq: number.parse().ok()?,
            has_to_tag: tag.to_ascii_lowercase().contains(";tag="),
            from: aor(&from),
            to: aor(&to),
            has_credentials: message.first(Name::Authorization).is_some()
                || message.first(Name::ProxyAuthorization).is_some(),
            vias: message.count(bytes, Name::Via),
            start,
        })
    }

    /// Whether it is a request.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        self.status == 0
    }

    /// Whether it begins a call.
    #[must_use]
    pub fn begins_call(&self) -> bool {
        self.is_request() && self.method == "INVITE" && !self.has_to_tag
    }
}

/// `user@host` in the URI of a header value.
fn aor(value: &str) -> String {
    let uri = match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or_default(),
        None => value.split(';').next().unwrap_or_default().trim(),
    };
    of_uri(uri).unwrap_or_default()
}

/// `user@host` of a URI, in the case that compares: that of the host does not matter
/// (RFC 3261 §19.1.4).
#[must_use]
pub(super) fn of_uri(uri: &str) -> Option<String> {
    let bytes = uri.as_bytes();
    let parsed = Uri::of(bytes).ok()?;
    let text = |span: Span| String::from_utf8_lossy(span.of(bytes)).into_owned();
    let host = text(parsed.host).to_ascii_lowercase();
    Some(match parsed.user {
        Some(user) => format!("{}@{host}", text(user)),
        None => host,
    })
}
