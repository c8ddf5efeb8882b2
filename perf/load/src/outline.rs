//! What the generator needs to know of a message that came in: what it is,
//! whose attempt it belongs to, and the lines that an answer repeats.
//!
//! Not a parser: the generator gets back what it wrote itself, forwarded by a
//! proxy that has its own. What does not look like that belongs to nobody.

use std::ops::Range;

/// Which attempt a message belongs to. It stands in the tag of From, which is
/// the same in a request, its responses and the whole dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Tells this run from another one's stragglers.
    pub(super) run: u16,
    /// The place of the attempt.
    pub(super) slot: u32,
    /// Its number, which tells it from an earlier one of the same place.
    pub(super) number: u32,
}

/// Digits of a mark.
const MARK_LEN: usize = 20;

impl Mark {
    /// Writes its 20 hex digits.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let value =
            u128::from(self.run) << 64 | u128::from(self.slot) << 32 | u128::from(self.number);
        let digits = (0..MARK_LEN).rev().map(|index| (value >> (4 * index)) & 15);
        out.extend(digits.map(|digit| DIGITS[usize::try_from(digit).unwrap_or_default()]));
    }

    /// Reads the digits that follow a tag's name.
    fn read(from: &[u8]) -> Option<Self> {
        let at = memchr::memmem::find(from, b";tag=")? + 5;
        Self::of(from.get(at..at + MARK_LEN)?)
    }

    /// Reads its digits.
    fn of(digits: &[u8]) -> Option<Self> {
        let mut value: u128 = 0;
        for byte in digits {
            let digit = char::from(*byte).to_digit(16)?;
            value = value << 4 | u128::from(digit);
        }
        Some(Self {
            run: u16::try_from(value >> 64).ok()?,
            slot: u32::try_from(value >> 32 & 0xffff_ffff).ok()?,
            number: u32::try_from(value & 0xffff_ffff).ok()?,
        })
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request.
    Request(Method),
    /// A response to such a request, with its status.
    Response(u16, Method),
}

/// The methods the generator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Invite,
    Ack,
    Bye,
    Register,
}

impl Method {
    pub(super) const fn token(self) -> &'static str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Register => "REGISTER",
        }
    }

    fn read(token: &[u8]) -> Option<Self> {
        let all = [Self::Invite, Self::Ack, Self::Bye, Self::Register];
        all.into_iter()
            .find(|method| method.token().as_bytes() == token)
    }
}

/// The header lines that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Via,
    RecordRoute,
    From,
    To,
    CallId,
    CSeq,
    Contact,
    ServiceRoute,
    OutboundProxy,
    Challenge,
}

/// With the compact forms (RFC 3261 §7.3.3).
const HEADS: [(&str, Head); 17] = [
    ("via", Head::Via),
    ("record-route", Head::RecordRoute),
    ("from", Head::From),
    ("to", Head::To),
    ("call-id", Head::CallId),
    ("cseq", Head::CSeq),
    ("contact", Head::Contact),
    ("v", Head::Via),
    ("f", Head::From),
    ("t", Head::To),
    ("i", Head::CallId),
    ("m", Head::Contact),
    ("service-route", Head::ServiceRoute),
    ("outbound-proxy", Head::OutboundProxy),
    ("outbound-proxies", Head::OutboundProxy),
    ("www-authenticate", Head::Challenge),
    ("proxy-authenticate", Head::Challenge),
];

/// The outline of a message; made once and filled again for each.
#[derive(Debug, Default)]
pub(super) struct MessageOutline {
    lines: Vec<(Head, Range<usize>)>,
}

impl MessageOutline {
    /// Reads a whole message; `None` for one the generator has no use for.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<(Kind, Mark)> {
        self.lines.clear();
        let mut at = memchr::memchr(b'\n', bytes)? + 1;
        let status = status(bytes);
        loop {
            let end = at + memchr::memchr(b'\n', bytes.get(at..)?)?;
            let line = bytes[at..end].trim_ascii_end();
            if line.is_empty() {
                break;
            }
            if let Some(head) = head(line) {
                self.lines.push((head, at..at + line.len()));
            }
            at = end + 1;
        }
        let method = self.value(bytes, Head::CSeq)?;
        let method = Method::read(method.rsplit(|byte| *byte == b' ').next()?)?;
        let mark = Mark::read(self.value(bytes, Head::From)?)?;
        let kind = match status {
            Some(status) => Kind::Response(status, method),
            None => Kind::Request(method),
        };
        Some((kind, mark))
    }

    /// The lines of that name, in order, without their line ends.
    pub(super) fn lines<'a>(
        &'a self,
        bytes: &'a [u8],
        head: Head,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let named = self.lines.iter().filter(move |(named, _)| *named == head);
        named.map(|(_, range)| &bytes[range.clone()])
    }

    /// What the first line of that name says.
    pub(super) fn value<'a>(&'a self, bytes: &'a [u8], head: Head) -> Option<&'a [u8]> {
        let line = self.lines(bytes, head).next()?;
        let colon = memchr::memchr(b':', line)?;
        Some(line[colon + 1..].trim_ascii_start())
    }

    /// The branch of a response whose one Via is ours, as `Request::head` wrote it: the mark of the
    /// attempt, the CSeq of the request and what tells it from another one of that number.
    pub(super) fn branch(&self, bytes: &[u8]) -> Option<(Mark, u32, u8)> {
        const COOKIE: &[u8] = b";branch=z9hG4bK";
        let mut vias = self.lines(bytes, Head::Via);
        let (via, None) = (vias.next()?, vias.next()) else {
            return None;
        };
        let branch = &via[memchr::memmem::find(via, COOKIE)? + COOKIE.len()..];
        let end = memchr::memchr2(b';', b',', branch).unwrap_or(branch.len());
        let (mark, rest) = branch[..end].split_at_checked(MARK_LEN)?;
        let (kind, cseq) = rest.split_last()?;
        let cseq = std::str::from_utf8(cseq).ok()?.parse().ok()?;
        Some((Mark::of(mark)?, cseq, *kind))
    }

    /// The lines of that name as they are, in order, each with its line end.
    pub(super) fn repeat(&self, bytes: &[u8], head: Head, out: &mut Vec<u8>) {
        for line in self.lines(bytes, head) {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The name-addrs of that name, the last one first: a caller's route set
    /// (RFC 3261 §12.1.2).
    pub(super) fn reversed<'a>(
        &'a self,
        bytes: &'a [u8],
        head: Head,
    ) -> impl Iterator<Item = &'a [u8]> {
        self.lines(bytes, head).rev().flat_map(|line| {
            let mut rest = line;
            std::iter::from_fn(move || {
                let start = memchr::memrchr(b'<', rest)?;
                let end = start + memchr::memchr(b'>', &rest[start..])?;
                let value = &rest[start..=end];
                rest = &rest[..start];
                Some(value)
            })
        })
    }
}

/// The status of a response; `None` for a request.
fn status(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn head(line: &[u8]) -> Option<Head> {
    let colon = memchr::memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    let found = HEADS.iter().find(|(known, _)| {
        known.len() == name.len() && known.as_bytes().eq_ignore_ascii_case(name)
    });
    found.map(|(_, head)| *head)
}

/// The URI of a name-addr, or all of an addr-spec without its parameters.
pub(super) fn uri(value: &[u8]) -> &[u8] {
    let inside = memchr::memchr(b'<', value).and_then(|start| {
        let end = memchr::memchr(b'>', &value[start..])?;
        Some(&value[start + 1..start + end])
    });
    inside.unwrap_or_else(|| {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        value[..end].trim_ascii()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark {
        run: 0xbeef,
        slot: 7,
        number: 0x0102_0304,
    };

    #[test]
    fn a_response_is_known_by_its_tag_and_its_cseq() {
        let bytes = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKa\r\n\
            via: SIP/2.0/UDP 127.0.0.2\r\nRecord-Route: <sip:a;lr>, <sip:b;lr>\r\n\
            Record-Route: <sip:c;lr>\r\nFrom: <sip:a@b>;tag=beef000000070102030 4\r\n\
            From : <sip:a@b>;tag=beef0000000701020304\r\nCSeq: 2 BYE\r\n\r\nContact: <x>\r\n";
        let mut outline = MessageOutline::default();
        assert_eq!(outline.read(bytes), None, "the first From has no mark");
        let bytes = String::from_utf8_lossy(bytes).replace("02030 4\r\n", "020304\r\n");
        let bytes = bytes.as_bytes();
        assert_eq!(
            outline.read(bytes),
            Some((Kind::Response(200, Method::Bye), MARK))
        );
        let routes: Vec<_> = outline.reversed(bytes, Head::RecordRoute).collect();
        assert_eq!(routes, [&b"<sip:c;lr>"[..], b"<sip:b;lr>", b"<sip:a;lr>"]);
        assert_eq!(outline.lines(bytes, Head::Via).count(), 2);
        assert_eq!(outline.branch(bytes), None, "it is somebody else's as well");
        assert_eq!(outline.value(bytes, Head::Contact), None);
        // As an edge writes to a phone what would be fragmented otherwise.
        let bytes = b"INVITE sip:x SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.1\r\nt: <sip:x>\r\ni: 1\r\n\
            f: <sip:a@b>;tag=beef0000000701020304\r\nCSeq: 1 INVITE\r\nm: <sip:y>\r\n\r\n";
        let kind = Kind::Request(Method::Invite);
        assert_eq!(outline.read(bytes), Some((kind, MARK)));
        for (head, want) in [
            (Head::To, "<sip:x>"),
            (Head::CallId, "1"),
            (Head::Contact, "<sip:y>"),
        ] {
            assert_eq!(outline.value(bytes, head), Some(want.as_bytes()));
        }
        assert_eq!(outline.lines(bytes, Head::Via).count(), 1);
    }

    #[test]
    fn a_mark_reads_as_it_was_written() {
        let mut text = b"x;tag=".to_vec();
        MARK.write(&mut text);
        assert_eq!(text, b"x;tag=beef0000000701020304");
        assert_eq!(Mark::read(&text), Some(MARK));
        assert_eq!(Mark::read(b"x;tag=beef"), None);
        assert_eq!(Mark::read(b"x"), None);
    }

    #[test]
    fn a_response_is_to_the_request_whose_branch_it_has() {
        let check = |via: &str, want: Option<(u32, u8)>| {
            let bytes = format!(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;{via}\r\n\
                 From: a;tag=beef0000000701020304\r\nCSeq: 2 BYE\r\n\r\n"
            );
            let mut outline = MessageOutline::default();
            outline.read(bytes.as_bytes()).unwrap();
            let want = want.map(|(cseq, kind)| (MARK, cseq, kind));
            assert_eq!(outline.branch(bytes.as_bytes()), want, "{via}");
        };
        let ours = "branch=z9hG4bKbeef0000000701020304";
        check(&format!("{ours}2b"), Some((2, b'b')));
        let more = format!("rport=1;{ours}12r;received=127.0.0.2");
        check(&more, Some((12, b'r')));
        for other in [ours, "branch=beef00000007010203042b", "rport"] {
            check(other, None);
        }
        check(&format!("{ours}b"), None);
    }

    #[test]
    fn a_contact_may_stand_in_brackets() {
        assert_eq!(
            uri(b"\"x\" <sip:a@b;transport=tcp>;q=1"),
            b"sip:a@b;transport=tcp"
        );
        assert_eq!(uri(b"sip:a@b ;q=1"), b"sip:a@b");
    }

    #[test]
    fn what_ends_early_is_nobodys() {
        let whole = b"BYE sip:a SIP/2.0\r\nFrom: a;tag=beef0000000701020304\r\nCSeq: 1 BYE\r\n\r\n";
        let mut outline = MessageOutline::default();
        assert_eq!(
            outline.read(whole),
            Some((Kind::Request(Method::Bye), MARK))
        );
        for end in 0..whole.len() - 1 {
            assert_eq!(outline.read(&whole[..end]), None, "{end}");
        }
    }
}
