//! Local answers, built from the request's own spans (RFC 3261 §8.2.6).

use std::net::SocketAddr;

use super::{Edits, decimal};
use crate::scan::via::Via;
use crate::scan::{Header, Message, Name};

/// What a local answer says.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// Reason phrase.
    pub reason: &'a str,
    /// To tag for a final answer to a request that has none; empty: none is
    /// added (100, RFC 3261 §17.2.1).
    pub tag: &'a [u8],
    /// Whole header lines to add, CRLF included.
    pub headers: &'a [u8],
    /// The body, whose type stands in `headers`.
    pub body: &'a [u8],
}

/// Writes the answer to `request`, which came from `source`.
pub fn write(
    answer: &Answer<'_>,
    request: &[u8],
    message: &Message,
    source: SocketAddr,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"SIP/2.0 ");
    decimal(out, answer.status);
    out.push(b' ');
    out.extend_from_slice(answer.reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut top = true;
    for header in message.headers() {
        let line = header.line.of(request);
        if header.name == Name::Via && top {
            top = false;
            top_via(request, message, source, header.line.range(), out);
        } else if header.name == Name::To {
            to(request, header, answer.tag, out);
        } else if matches!(
            header.name,
            Name::Via | Name::From | Name::CallId | Name::CSeq
        ) || header.name == Name::Timestamp && answer.status == 100
        {
            // RFC 3261 §8.2.6.1: a Timestamp goes back in the 100.
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(answer.headers);
    out.extend_from_slice(b"Content-Length: ");
    decimal(out, answer.body.len() as u64);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(answer.body);
}

/// The first Via line with `received` and `rport` filled in.
fn top_via(
    request: &[u8],
    message: &Message,
    source: SocketAddr,
    line: std::ops::Range<usize>,
    out: &mut Vec<u8>,
) {
    let parsed = message
        .values(request, Name::Via)
        .next()
        .map(|value| Via::parse(request, value));
    let Some(Ok(via)) = parsed else {
        out.extend_from_slice(request.get(line).unwrap_or_default());
        return;
    };
    let mut from = line.start;
    for (cut, put) in received(request, &via, source) {
        out.extend_from_slice(request.get(from..cut.start).unwrap_or_default());
        put.write(source, out);
        from = cut.end;
    }
    out.extend_from_slice(request.get(from..line.end).unwrap_or_default());
}

/// A To line, with `tag` when it has none. A request that is refused may hold
/// more than one.
fn to(request: &[u8], header: &Header, tag: &[u8], out: &mut Vec<u8>) {
    let (line, value) = (header.line, header.value);
    let tagged = crate::scan::address::Address::parse(request, value)
        .map_or(true, |address| address.param(request, "tag").is_some());
    if tag.is_empty() || tagged {
        out.extend_from_slice(line.of(request));
        return;
    }
    let behind = value.range().end;
    out.extend_from_slice(request.get(line.range().start..behind).unwrap_or_default());
    out.extend_from_slice(b";tag=");
    out.extend_from_slice(tag);
    out.extend_from_slice(request.get(behind..line.range().end).unwrap_or_default());
}

/// One of the two things that the top Via of a received request may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// `rport=PORT`, in place of the bare `rport`.
    Rport,
    /// `;received=IP` behind the sent-by.
    Received,
    /// A `received` that the sender wrote is not to be trusted.
    Nothing,
}

impl Fill {
    /// Writes the text of it.
    pub fn write(self, source: SocketAddr, out: &mut Vec<u8>) {
        match self {
            Self::Rport => {
                out.extend_from_slice(b"rport=");
                decimal(out, source.port());
            }
            Self::Received => {
                out.extend_from_slice(b";received=");
                super::ip(out, source.ip());
            }
            Self::Nothing => {}
        }
    }
}

/// The changes that X-2 asks for on the top Via, in order of place: with
/// `rport` always both, else `received` when the sent-by is a name or another
/// address (RFC 3261 §18.2.1, RFC 3581 §4).
pub fn received(
    request: &[u8],
    via: &Via,
    source: SocketAddr,
) -> impl Iterator<Item = (std::ops::Range<usize>, Fill)> {
    let sent_by = crate::scan::uri::host_ip(via.host.of(request));
    let wanted = via.rport.is_some() || sent_by != Some(source.ip());
    let stale = via.received_param.map(|param| {
        // The `;` in front of the parameter goes with it.
        (
            usize::from(param.start).saturating_sub(1)..usize::from(param.end),
            Fill::Nothing,
        )
    });
    let at = usize::from(via.sent_by.end);
    let add = wanted.then_some((at..at, Fill::Received));
    let rport = via.rport.map(|(param, _)| (param.range(), Fill::Rport));
    let mut fills = [add, stale, rport];
    fills.sort_by_key(|fill| fill.as_ref().map_or(usize::MAX, |(cut, _)| cut.start));
    fills.into_iter().flatten()
}

/// The same changes as splices on the request that goes on.
pub fn fill_received(request: &[u8], via: &Via, source: SocketAddr, edits: &mut Edits) {
    for (cut, put) in received(request, via, source) {
        edits.replace(cut, |out| put.write(source, out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::scan;

    #[track_caller]
    fn check(via: &str, source: &str, want: &str) {
        let request = format!(
            "OPTIONS sip:a@b SIP/2.0\r\nVia: {via}\r\nFrom: <sip:x@y>;tag=1\r\nTo: <sip:a@b> \r\nCall-ID: c\r\n\
             CSeq: 7 OPTIONS\r\nSubject: no\r\nContent-Length: 0\r\n\r\n"
        );
        let mut message = Message::default();
        scan(request.as_bytes(), &mut message).unwrap();
        let mut out = Vec::new();
        let answer = Answer {
            status: 404,
            reason: "Not Found",
            tag: b"t1",
            headers: b"Allow: BYE\r\n",
            body: b"",
        };
        write(
            &answer,
            request.as_bytes(),
            &message,
            source.parse().unwrap(),
            &mut out,
        );
        let want = format!(
            "SIP/2.0 404 Not Found\r\nVia: {want}\r\nFrom: <sip:x@y>;tag=1\r\nTo: <sip:a@b>;tag=t1 \r\nCall-ID: c\r\n\
             CSeq: 7 OPTIONS\r\nAllow: BYE\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn an_answer_fills_received_and_rport() {
        //
        check(
            "SIP/2.0/UDP 10.0.0.1:5070;branch=z",
            "10.0.0.1:5070",
            "SIP/2.0/UDP 10.0.0.1:5070;branch=z",
        );
        check(
            "SIP/2.0/UDP h:5070;branch=z",
            "10.0.0.1:9",
            "SIP/2.0/UDP h:5070;received=10.0.0.1;branch=z",
        );
        check(
            "SIP/2.0/UDP 10.0.0.1;rport;branch=z",
            "10.0.0.1:5060",
            "SIP/2.0/UDP 10.0.0.1;received=10.0.0.1;rport=5060;branch=z",
        );
        check(
            "SIP/2.0/UDP 10.0.0.1;received=9.9.9.9;rport=1;branch=z",
            "10.0.0.2:5062",
            "SIP/2.0/UDP 10.0.0.1;received=10.0.0.2;rport=5062;branch=z",
        );
        check(
            "SIP/2.0/UDP h;branch=z",
            "[2001:db8::9]:5060",
            "SIP/2.0/UDP h;received=2001:db8::9;branch=z",
        );
    }
}
