//! Local answers, built from the request's own spans (RFC 3261 §8.2.6).

use std::net::SocketAddr;
use std::ops::Range;

use super::{Edits, decimal};
use crate::grammar::params;
use crate::limits;
use crate::scan::address::Address;
use crate::scan::via::Via;
use crate::scan::{Header, Message, Name};
use crate::span::Span;

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
    /// The keep-alives that the top Via offers are wanted (K-1).
    pub keeps: bool,
    /// What the top Via says of overload in place of what it said; `None`: it
    /// stays as it is.
    pub report: Option<Report>,
}

/// What a server says in the Via of a peer that takes part in overload control
/// (RFC 7339 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Share to leave out, in percent.
    pub loss: u8,
    /// How long it is valid, in milliseconds; 0: overload is over.
    pub validity_ms: u32,
    /// oc-seq: the calendar time of the last change, in hundred-thousandths of a
    /// second.
    pub seq: u64,
}

impl Report {
    /// Writes its parameters, a `;` in front.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b";oc=");
        decimal(out, self.loss);
        out.extend_from_slice(b";oc-algo=\"loss\";oc-validity=");
        decimal(out, self.validity_ms);
        out.extend_from_slice(b";oc-seq=");
        decimal(out, self.seq / SEQ_SECOND);
        out.push(b'.');
        for unit in [10_000, 1_000, 100, 10, 1] {
            let digit = self.seq % SEQ_SECOND / unit % 10;
            out.push(b'0' + u8::try_from(digit).unwrap_or_default());
        }
    }
}

/// A second, as oc-seq counts: its fraction has five digits at most.
pub(crate) const SEQ_SECOND: u64 = 100_000;

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
            let line = header.line.range();
            top_via(request, message, source, answer, line, out);
        } else if header.name == Name::To {
            to(request, message, header, answer.tag, out);
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
    answer: &Answer<'_>,
    line: Range<usize>,
    out: &mut Vec<u8>,
) {
    let Some(via) = message.top_via() else {
        out.extend_from_slice(request.get(line).unwrap_or_default());
        return;
    };
    let mut from = line.start;
    let mut copy = |up_to: usize, next: usize, out: &mut Vec<u8>| {
        out.extend_from_slice(request.get(from..up_to).unwrap_or_default());
        from = next;
    };
    let keeps = answer.keeps;
    if let Some(report) = answer.report {
        let mut cuts: [Option<(Range<usize>, Fill)>; VIA_CUTS] = [const { None }; VIA_CUTS];
        let old = overload(request, via).map(|cut| (cut, Fill::Nothing));
        for (slot, cut) in cuts
            .iter_mut()
            .zip(in_order(request, via, source, keeps).chain(old))
        {
            *slot = Some(cut);
        }
        cuts.sort_by_key(|cut| cut.as_ref().map_or(usize::MAX, |(cut, _)| cut.start));
        for (cut, put) in cuts.into_iter().flatten() {
            copy(cut.start, cut.end, out);
            put.write(source, out);
        }
        let end = usize::from(via.value.end);
        copy(end, end, out);
        report.write(out);
    } else {
        for (cut, put) in in_order(request, via, source, keeps) {
            copy(cut.start, cut.end, out);
            put.write(source, out);
        }
    }
    copy(line.end, line.end, out);
}

/// Changes that a top Via may need: four of `received`, and the parameters of
/// RFC 7339 with one to spare.
const VIA_CUTS: usize = 8;

/// The overload parameters of a Via (RFC 7339 §4), each with its `;`.
pub fn overload<'a>(bytes: &'a [u8], via: &Via) -> impl Iterator<Item = Range<usize>> + 'a {
    params_named(bytes, via, |name| match name {
        [b'o' | b'O', b'c' | b'C', rest @ ..] => rest.first().is_none_or(|next| *next == b'-'),
        _ => false,
    })
}

/// The parameters of a Via whose names are meant, each with its `;`.
pub(crate) fn params_named<'a>(
    bytes: &'a [u8],
    via: &Via,
    is_meant: impl Fn(&[u8]) -> bool + 'a,
) -> impl Iterator<Item = Range<usize>> + 'a {
    let all = params::iter(bytes, via.params);
    let meant = all.filter(move |param| is_meant(param.name.of(bytes)));
    meant.map(move |param| with_separator(bytes, param.whole))
}

/// A parameter with the `;` in front of it.
fn with_separator(bytes: &[u8], param: Span) -> Range<usize> {
    let before = bytes.get(..usize::from(param.start)).unwrap_or_default();
    let semicolon = before.iter().rposition(|byte| *byte == b';');
    semicolon.unwrap_or(before.len())..usize::from(param.end)
}

/// A To line, with `tag` when it has none. A request that is refused may hold
/// more than one.
fn to(request: &[u8], message: &Message, header: &Header, tag: &[u8], out: &mut Vec<u8>) {
    let (line, value) = (header.line, header.value);
    let tagged = || {
        let known = message.to().filter(|to| to.value == value).copied();
        let address = known.map_or_else(|| Address::parse(request, value), Ok);
        address.map_or(true, |address| address.param(request, "tag").is_some())
    };
    if tag.is_empty() || tagged() {
        out.extend_from_slice(line.of(request));
        return;
    }
    let behind = value.range().end;
    out.extend_from_slice(request.get(line.range().start..behind).unwrap_or_default());
    out.extend_from_slice(b";tag=");
    out.extend_from_slice(tag);
    out.extend_from_slice(request.get(behind..line.range().end).unwrap_or_default());
}

/// What the top Via of a received request may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    /// `rport=PORT`, in place of the bare `rport`.
    Rport,
    /// `;received=IP` behind the sent-by.
    Received,
    /// `=SECONDS` behind a bare `keep`.
    Keep,
    /// A `received` that the sender wrote is not to be trusted.
    Nothing,
}

impl Fill {
    /// Writes the text of it.
    fn write(self, source: SocketAddr, out: &mut Vec<u8>) {
        match self {
            Self::Rport => {
                out.extend_from_slice(b"rport=");
                decimal(out, source.port());
            }
            Self::Received => {
                out.extend_from_slice(b";received=");
                super::ip(out, source.ip());
            }
            Self::Keep => {
                out.push(b'=');
                decimal(out, limits::PEER_PING.as_secs());
            }
            Self::Nothing => {}
        }
    }
}

/// The changes that X-2 asks for on the top Via, in no order: with
/// `rport` always both, else `received` when the sent-by is a name or another
/// address (RFC 3261 §18.2.1, RFC 3581 §4). Where keep-alives are wanted, an
/// offer of them gets its interval (RFC 6223 §4.4).
fn received(
    request: &[u8],
    via: &Via,
    source: SocketAddr,
    keeps: bool,
) -> [Option<(Range<usize>, Fill)>; 4] {
    let wanted = via.rport.is_some() || via.ip != Some(source.ip());
    let stale = via
        .received_param
        .map(|param| (with_separator(request, param), Fill::Nothing));
    let at = usize::from(via.sent_by.end);
    let add = wanted.then_some((at..at, Fill::Received));
    let rport = via.rport.map(|(param, _)| (param.range(), Fill::Rport));
    let offer = via.keep_offer().filter(|_| keeps);
    let keep = offer.map(|offer| {
        let end = usize::from(offer.end);
        (end..end, Fill::Keep)
    });
    [add, stale, rport, keep]
}

/// The changes of `received` in the order in which they stand.
fn in_order(
    request: &[u8],
    via: &Via,
    source: SocketAddr,
    keeps: bool,
) -> impl Iterator<Item = (Range<usize>, Fill)> {
    let mut fills = received(request, via, source, keeps);
    fills.sort_by_key(|fill| fill.as_ref().map_or(usize::MAX, |(cut, _)| cut.start));
    fills.into_iter().flatten()
}

/// The changes of `received` as splices on the request that goes on.
pub(crate) fn fill_received(
    request: &[u8],
    via: &Via,
    source: SocketAddr,
    keeps: bool,
    edits: &mut Edits,
) {
    for (cut, put) in received(request, via, source, keeps).into_iter().flatten() {
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
            keeps: false,
            report: None,
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
