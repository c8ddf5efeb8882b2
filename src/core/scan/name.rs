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
    /// Allow, Content-Type or User-Agent, which nearly every message has and nobody here reads.
    Unread,
    /// Anything else.
    Other,
}

/// Length of a table with one place for every name.
pub(super) const NAMES: usize = Name::Other as usize + 1;

impl Name {
    /// The name these bytes spell, without white space around them.
    #[must_use]
    #[inline]
    pub(crate) fn from_bytes(name: &[u8]) -> Self {
        // Length and first letter leave one candidate, so one comparison decides.
        let [first, ..] = name else {
            return Self::Other;
        };
        let (candidate, spelled): (Self, &[u8]) = match (name.len(), first.to_ascii_lowercase()) {
            (1, letter) => return Self::from_compact(letter),
            (2, b't') => (Self::To, b"To"),
            (3, b'v') => (Self::Via, b"Via"),
            (5, b'a') => (Self::Unread, b"Allow"),
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
            (10, b'u') => (Self::Unread, b"User-Agent"),
            (11, b'm') if matches!(name, [_, b'a' | b'A', ..]) => {
                (Self::MaxBreadth, b"Max-Breadth")
            }
            (11, b'm') => (Self::MinExpires, b"Min-Expires"),
            (11, b'r') => (Self::RetryAfter, b"Retry-After"),
            (11, b'u') => (Self::Unsupported, b"Unsupported"),
            (12, b'c') => (Self::Unread, b"Content-Type"),
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

    /// Name and what stands behind the colon of a header line that many
    /// messages have and that is written as nearly everybody does.
    #[inline(always)]
    pub(super) fn usual(line: &[u8]) -> Option<(Self, &[u8])> {
        // The first four bytes are one number and leave one candidate; what is
        // compared then is a constant, so nothing here is a loop or a call.
        match u32::from_le_bytes(*line.first_chunk()?) {
            starts::ALLO => Some((Self::Unread, line.strip_prefix(b"Allow:")?)),
            starts::CSEQ => Some((Self::CSeq, line.strip_prefix(b"CSeq:")?)),
            starts::CALL => Some((Self::CallId, line.strip_prefix(b"Call-ID:")?)),
            starts::CONT => Self::usual_content(line),
            starts::FROM => Some((Self::From, line.strip_prefix(b"From:")?)),
            starts::MAX => Some((Self::MaxForwards, line.strip_prefix(b"Max-Forwards:")?)),
            starts::RECO => Some((Self::RecordRoute, line.strip_prefix(b"Record-Route:")?)),
            starts::ROUT => Some((Self::Route, line.strip_prefix(b"Route:")?)),
            starts::SUPP => Some((Self::Supported, line.strip_prefix(b"Supported:")?)),
            starts::TO => Some((Self::To, line.get(3..)?)),
            starts::USER => Some((Self::Unread, line.strip_prefix(b"User-Agent:")?)),
            starts::VIA => Some((Self::Via, line.get(4..)?)),
            _ => None,
        }
    }

    /// The name of a header line that begins with `Cont` and is spelled as usual, and the rest of
    /// the line.
    #[inline(always)]
    fn usual_content(line: &[u8]) -> Option<(Self, &[u8])> {
        if let Some(value) = line.strip_prefix(b"Contact:") {
            return Some((Self::Contact, value));
        }
        if let Some(value) = line.strip_prefix(b"Content-Length:") {
            return Some((Self::ContentLength, value));
        }
        Some((Self::Unread, line.strip_prefix(b"Content-Type:")?))
    }

    const fn from_compact(letter: u8) -> Self {
        match letter {
            b'c' => Self::Unread,
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

/// The compact form of a header name that is written in full; `None` where RFC 3261 §7.3.3 has none, which every element reads
/// (later documents have more of them, which a phone may not know).
#[must_use]
pub(crate) fn compact_form(name: &[u8]) -> Option<u8> {
    let spelled = |(full, _): &&(&str, u8)| name.eq_ignore_ascii_case(full.as_bytes());
    COMPACT.iter().find(spelled).map(|(_, letter)| *letter)
}

const COMPACT: [(&str, u8); 10] = [
    ("Via", b'v'),
    ("From", b'f'),
    ("To", b't'),
    ("Call-ID", b'i'),
    ("Contact", b'm'),
    ("Supported", b'k'),
    ("Content-Type", b'c'),
    ("Content-Length", b'l'),
    ("Content-Encoding", b'e'),
    ("Subject", b's'),
];

/// How the names begin that `usual` knows, as numbers.
mod starts {
    pub(super) const ALLO: u32 = u32::from_le_bytes(*b"Allo");
    pub(super) const CALL: u32 = u32::from_le_bytes(*b"Call");
    pub(super) const CONT: u32 = u32::from_le_bytes(*b"Cont");
    pub(super) const CSEQ: u32 = u32::from_le_bytes(*b"CSeq");
    pub(super) const FROM: u32 = u32::from_le_bytes(*b"From");
    pub(super) const MAX: u32 = u32::from_le_bytes(*b"Max-");
    pub(super) const RECO: u32 = u32::from_le_bytes(*b"Reco");
    pub(super) const ROUT: u32 = u32::from_le_bytes(*b"Rout");
    pub(super) const SUPP: u32 = u32::from_le_bytes(*b"Supp");
    pub(super) const TO: u32 = u32::from_le_bytes(*b"To: ");
    pub(super) const USER: u32 = u32::from_le_bytes(*b"User");
    pub(super) const VIA: u32 = u32::from_le_bytes(*b"Via:");
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPELLED: [(&str, Name); 38] = [
        ("Allow", Name::Unread),
        ("Content-Type", Name::Unread),
        ("User-Agent", Name::Unread),
        ("c", Name::Unread),
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
    fn a_compact_form_is_read_as_the_name_it_stands_for() {
        // RFC 3261 §7.3.3
        for (full, letter) in COMPACT {
            assert_eq!(
                Name::from_bytes(&[letter]),
                Name::from_bytes(full.as_bytes()),
                "{full}"
            );
            for name in [full.to_owned(), full.to_uppercase()] {
                assert_eq!(compact_form(name.as_bytes()), Some(letter), "{name}");
            }
        }
        for name in ["v", "CSeq", "Record-Route", "Vi", "Event", ""] {
            assert_eq!(compact_form(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn the_short_cut_says_what_the_table_says() {
        let mut usual = 0;
        for (text, want) in SPELLED {
            let line = format!("{text}: x");
            let found = Name::usual(line.as_bytes());
            usual += usize::from(found.is_some());
            assert!(found.is_none_or(|found| found == (want, b" x")), "{text}");
            let without_colon = format!("{text}    x");
            assert_eq!(Name::usual(without_colon.as_bytes()), None, "{text}");
        }
        assert_eq!(usual, 14);
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
