//! Header field names: case-insensitive, with the compact forms of RFC 3261
//! §7.3.3 as the same name.

/// The header fields that somebody here reads; compact forms are the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the header field of that name")]
pub enum Name {
    Authorization,
    CallId,
    Contact,
    ContentLength,
    CSeq,
    Expires,
    FlowTimer,
    From,
    MaxBreadth,
    MaxForwards,
    MinExpires,
    /// Outbound-Proxy, Outbound-Proxies or Alternative-Proxies.
    OutboundProxy,
    Path,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyRequire,
    RecordRoute,
    Require,
    RetryAfter,
    Route,
    ServiceRoute,
    Supported,
    Timestamp,
    To,
    Unsupported,
    Via,
    WwwAuthenticate,
    /// Anything else.
    Other,
}

/// Length of a table with one place for every name.
pub(super) const NAMES: usize = Name::Other as usize + 1;

impl Name {
    /// The name these bytes spell, without white space around them.
    #[must_use]
    #[inline]
    pub fn from_bytes(name: &[u8]) -> Self {
        // Length and first letter leave one candidate, so one comparison decides.
        let [first, ..] = name else {
            return Self::Other;
        };
        let (candidate, spelled): (Self, &[u8]) = match (name.len(), first.to_ascii_lowercase()) {
            (1, letter) => return Self::from_compact(letter),
            (2, b't') => (Self::To, b"To"),
            (3, b'v') => (Self::Via, b"Via"),
            (4, b'c') => (Self::CSeq, b"CSeq"),
            (4, b'f') => (Self::From, b"From"),
            (4, b'p') => (Self::Path, b"Path"),
            (5, b'r') => (Self::Route, b"Route"),
            (7, b'c') if matches!(name, [_, b'a' | b'A', ..]) => (Self::CallId, b"Call-ID"),
            (7, b'c') => (Self::Contact, b"Contact"),
            (7, b'e') => (Self::Expires, b"Expires"),
            (7, b'r') => (Self::Require, b"Require"),
            (9, b's') => (Self::Supported, b"Supported"),
            (9, b't') => (Self::Timestamp, b"Timestamp"),
            (10, b'f') => (Self::FlowTimer, b"Flow-Timer"),
            (11, b'm') if matches!(name, [_, b'a' | b'A', ..]) => {
                (Self::MaxBreadth, b"Max-Breadth")
            }
            (11, b'm') => (Self::MinExpires, b"Min-Expires"),
            (11, b'r') => (Self::RetryAfter, b"Retry-After"),
            (11, b'u') => (Self::Unsupported, b"Unsupported"),
            (12, b'm') => (Self::MaxForwards, b"Max-Forwards"),
            (12, b'r') => (Self::RecordRoute, b"Record-Route"),
            (13, b'a') => (Self::Authorization, b"Authorization"),
            (13, b'p') => (Self::ProxyRequire, b"Proxy-Require"),
            (13, b's') => (Self::ServiceRoute, b"Service-Route"),
            (14, b'c') => (Self::ContentLength, b"Content-Length"),
            (14, b'o') => (Self::OutboundProxy, b"Outbound-Proxy"),
            (16, b'o') => (Self::OutboundProxy, b"Outbound-Proxies"),
            (16, b'w') => (Self::WwwAuthenticate, b"WWW-Authenticate"),
            (18, b'p') => (Self::ProxyAuthenticate, b"Proxy-Authenticate"),
            (19, b'a') => (Self::OutboundProxy, b"Alternative-Proxies"),
            (19, b'p') => (Self::ProxyAuthorization, b"Proxy-Authorization"),
            _ => return Self::Other,
        };
        // Nearly everybody writes a name as the RFC does.
        if name == spelled || name.eq_ignore_ascii_case(spelled) {
            candidate
        } else {
            Self::Other
        }
    }

    /// Name and length of the name, colon not counted, of a header line that
    /// nearly every message has and that is written as nearly everybody does.
    #[inline]
    pub(super) fn usual(line: &[u8]) -> Option<(Self, usize)> {
        // Each comparison is with a constant, so none is a loop or a call.
        match line.first()? {
            b'C' if line.starts_with(b"CSeq:") => Some((Self::CSeq, 4)),
            b'C' if line.starts_with(b"Call-ID:") => Some((Self::CallId, 7)),
            b'C' if line.starts_with(b"Contact:") => Some((Self::Contact, 7)),
            b'C' if line.starts_with(b"Content-Length:") => Some((Self::ContentLength, 14)),
            b'F' if line.starts_with(b"From:") => Some((Self::From, 4)),
            b'M' if line.starts_with(b"Max-Forwards:") => Some((Self::MaxForwards, 12)),
            b'R' if line.starts_with(b"Record-Route:") => Some((Self::RecordRoute, 12)),
            b'R' if line.starts_with(b"Route:") => Some((Self::Route, 5)),
            b'S' if line.starts_with(b"Supported:") => Some((Self::Supported, 9)),
            b'T' if line.starts_with(b"To:") => Some((Self::To, 2)),
            b'V' if line.starts_with(b"Via:") => Some((Self::Via, 3)),
            _ => None,
        }
    }

    const fn from_compact(letter: u8) -> Self {
        match letter {
            b'f' => Self::From,
            b'i' => Self::CallId,
            b'k' => Self::Supported,
            b'l' => Self::ContentLength,
            b'm' => Self::Contact,
            b't' => Self::To,
            b'v' => Self::Via,
            _ => Self::Other,
        }
    }

    /// Whether a second line of it makes a message ambiguous for a proxy.
    pub(super) const fn is_single(self) -> bool {
        matches!(
            self,
            Self::CallId
                | Self::ContentLength
                | Self::CSeq
                | Self::From
                | Self::MaxBreadth
                | Self::MaxForwards
                | Self::To
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPELLED: [(&str, Name); 34] = [
        ("Authorization", Name::Authorization),
        ("Call-ID", Name::CallId),
        ("Contact", Name::Contact),
        ("Content-Length", Name::ContentLength),
        ("CSeq", Name::CSeq),
        ("Expires", Name::Expires),
        ("Flow-Timer", Name::FlowTimer),
        ("From", Name::From),
        ("Max-Breadth", Name::MaxBreadth),
        ("Max-Forwards", Name::MaxForwards),
        ("Min-Expires", Name::MinExpires),
        ("Outbound-Proxy", Name::OutboundProxy),
        ("Outbound-Proxies", Name::OutboundProxy),
        ("Alternative-Proxies", Name::OutboundProxy),
        ("Path", Name::Path),
        ("Proxy-Authenticate", Name::ProxyAuthenticate),
        ("Proxy-Authorization", Name::ProxyAuthorization),
        ("Proxy-Require", Name::ProxyRequire),
        ("Record-Route", Name::RecordRoute),
        ("Require", Name::Require),
        ("Retry-After", Name::RetryAfter),
        ("Route", Name::Route),
        ("Service-Route", Name::ServiceRoute),
        ("Supported", Name::Supported),
        ("To", Name::To),
        ("Unsupported", Name::Unsupported),
        ("Via", Name::Via),
        ("WWW-Authenticate", Name::WwwAuthenticate),
        ("v", Name::Via),
        ("f", Name::From),
        ("t", Name::To),
        ("i", Name::CallId),
        ("k", Name::Supported),
        ("m", Name::Contact),
    ];

    #[test]
    fn names_are_found_whatever_their_case() {
        for (text, want) in SPELLED {
            for spelling in [text.to_owned(), text.to_uppercase(), text.to_lowercase()] {
                assert_eq!(Name::from_bytes(spelling.as_bytes()), want, "{spelling}");
            }
        }
        assert_eq!(Name::from_bytes(b"L"), Name::ContentLength);
    }

    #[test]
    fn the_short_cut_says_what_the_table_says() {
        let mut usual = 0;
        for (text, want) in SPELLED {
            let found = Name::usual(format!("{text}: x").as_bytes());
            usual += usize::from(found.is_some());
            assert!(
                found.is_none_or(|found| found == (want, text.len())),
                "{text}"
            );
            assert_eq!(Name::usual(text.as_bytes()), None);
        }
        assert_eq!(usual, 11);
    }

    #[test]
    fn a_name_off_by_one_byte_is_another() {
        for (text, _) in SPELLED {
            let mut bytes = text.as_bytes().to_vec();
            *bytes.last_mut().unwrap() = b'%';
            assert_eq!(
                Name::from_bytes(&bytes),
                Name::Other,
                "{}",
                bytes.escape_ascii()
            );
        }
        assert_eq!(Name::from_bytes(b""), Name::Other);
        assert_eq!(Name::from_bytes(b"C%6Fntact"), Name::Other);
    }
}
