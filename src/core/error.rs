//! What can be wrong with what a peer sent, by fault and without strings:
//! `Malformed` is the peer's bytes, `Refused` our policy. Each knows the
//! status and the reason phrase it is answered with.

use crate::span::Span;

/// The peer's bytes are not the message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not SIP at all: no start line of RFC 3261 §7.1 or §7.2. Dropped.
    #[error("not a SIP message")]
    NotSip,
    /// The Request-Line has stray white space, brackets or too few parts.
    #[error("the request line is malformed")]
    StartLine,
    /// A version other than SIP/2.0. Answered 505.
    #[error("the SIP version is not 2.0")]
    Version,
    /// A status code outside 100 to 699. Dropped.
    #[error("the status code is out of range")]
    Status,
    /// A mandatory header is missing (RFC 3261 §8.1.1).
    #[error("a mandatory header is missing")]
    Missing,
    /// A header that may stand once stands twice.
    #[error("a single header is repeated")]
    Repeated(Span),
    /// A header line without a colon, or a name with bytes no name may hold.
    #[error("a header line is malformed")]
    HeaderLine(Span),
    /// More headers or values than `limits` allow.
    #[error("too many headers")]
    TooMany,
    /// The message is longer than `limits::MESSAGE_MAX`. Answered 513.
    #[error("the message is too long")]
    TooLong,
    /// Content-Length is no number, negative, repeated or missing on a stream.
    #[error("the Content-Length is malformed")]
    ContentLength,
    /// Fewer body bytes than Content-Length says, in a datagram.
    #[error("the body is shorter than its Content-Length")]
    Truncated,
    /// CSeq is no number, out of range, or names another method.
    #[error("the CSeq is malformed or does not match the method")]
    CSeq,
    /// A Via value that does not parse.
    #[error("a Via is malformed")]
    Via(Span),
    /// A URI that does not parse.
    #[error("a URI is malformed")]
    Uri(Span),
    /// A name-addr (From, To, Contact, Route) that does not parse.
    #[error("an address is malformed")]
    Address(Span),
    /// A number that is none or is out of range (Max-Forwards, Expires).
    #[error("a number is malformed")]
    Number(Span),
    /// Credentials that do not parse.
    #[error("the credentials are malformed")]
    Credentials(Span),
}

impl Malformed {
    /// The answer a request with this defect gets; `None` means silence.
    #[must_use]
    pub const fn answer(self) -> Option<(u16, &'static str)> {
        match self {
            Self::NotSip | Self::Status => None,
            Self::Version => Some((505, "Version Not Supported")),
            Self::TooLong => Some((513, "Message Too Large")),
            Self::StartLine => Some((400, "Malformed Request-Line")),
            Self::Missing => Some((400, "Missing Mandatory Header")),
            Self::Repeated(_) => Some((400, "Repeated Single Header")),
            Self::HeaderLine(_) => Some((400, "Malformed Header Line")),
            Self::TooMany => Some((400, "Too Many Headers")),
            Self::ContentLength => Some((400, "Bad Content-Length")),
            Self::Truncated => Some((400, "Body Shorter Than Content-Length")),
            Self::CSeq => Some((400, "Bad CSeq")),
            Self::Via(_) => Some((400, "Malformed Via")),
            Self::Uri(_) => Some((400, "Malformed URI")),
            Self::Address(_) => Some((400, "Malformed Address")),
            Self::Number(_) => Some((400, "Malformed Number")),
            Self::Credentials(_) => Some((400, "Malformed Credentials")),
        }
    }
}
