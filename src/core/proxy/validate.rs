//! Request validation, RFC 3261 §16.3: only what the proxy itself uses.

use super::{Reply, Request, sips};
use crate::error::Malformed;
use crate::id::Transport;
use crate::limits;
use crate::scan::{Method, Name};
use crate::span::Span;
use crate::uri::{Scheme, Uri};

/// Extensions in Proxy-Require that this proxy honours.
const EXTENSIONS: [&str; 2] = ["path", "outbound"];

/// The headers whose values are walked.
const LISTS: [Name; 5] = [
    Name::Via,
    Name::Route,
    Name::RecordRoute,
    Name::Path,
    Name::Contact,
];

/// A request that may be routed, with what validation read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Valid {
    /// The value of Max-Forwards, when there is one.
    pub(super) max_forwards: Option<(u32, Span)>,
    /// Max-Breadth as received or by default, capped.
    pub(super) breadth: u16,
    /// Where the URI of a `sips` Contact begins, by which the far side is to come back.
    pub(super) sips_contact: Option<usize>,
}

/// Checks `request`, which `transport` has carried; an `Err` is the answer it gets, with the header lines
/// written to `lines`.
pub(super) fn check(
    request: &Request<'_>,
    transport: Transport,
    lines: &mut Vec<u8>,
) -> Result<Valid, Reply> {
    let bytes = request.bytes;
    within_bounds(request)?;
    check_uri(request, transport, lines)?;
    let bad_number = |_| Reply::new(400, "Malformed Number");
    let number = request
        .message
        .number(bytes, Name::MaxForwards)
        .map_err(bad_number)?;
    let max_forwards = match number {
        Some(0) => return Err(Reply::new(483, "Too Many Hops")),
        Some(number) if number > 255 => return Err(Reply::new(400, "Malformed Number")),
        Some(number) => request
            .message
            .first(Name::MaxForwards)
            .map(|header| (number, header.value)),
        None => None,
    };
    let breadth = request
        .message
        .number(bytes, Name::MaxBreadth)
        .map_err(bad_number)?;
    let most = u32::from(limits::MAX_BREADTH);
    let breadth = u16::try_from(breadth.unwrap_or(most).min(most)).unwrap_or(limits::MAX_BREADTH);
    if breadth == 0 && request.message.method() != Method::Ack {
        return Err(Reply::new(440, "Max-Breadth Exceeded"));
    }
    if !matches!(request.message.method(), Method::Ack | Method::Cancel) {
        proxy_require(request, lines)?;
    }
    let mut sips_contact = None;
    if request.message.method().refreshes_target() {
        let contact = contact(request);
        if request.message.method().forms_dialog() && !can_be_called(request, transport, contact) {
            return Err(Reply::new(400, "Contact Cannot Be Called"));
        }
        let contact = contact.and_then(Result::ok);
        let contact = contact.filter(|uri| uri.scheme == Scheme::Sips);
        sips_contact = contact.map(|uri| uri.whole.start.into());
    }
    Ok(Valid {
        max_forwards,
        breadth,
        sips_contact,
    })
}

/// Whether a Request-URI can be routed by, or need not be.
fn check_uri(
    request: &Request<'_>,
    transport: Transport,
    lines: &mut Vec<u8>,
) -> Result<(), Reply> {
    let goes_by_route = || request.in_dialog() && request.message.goes_by_route(request.bytes);
    let Some(uri) = request.message.target() else {
        return if goes_by_route() {
            Ok(())
        } else {
            Err(Reply::new(400, "Malformed Request-URI"))
        };
    };
    match uri.scheme {
        // C-15: what came over less was downgraded already.
        Scheme::Sips if transport != Transport::Tls => {
            lines.extend_from_slice(sips::NOT_ALLOWED);
            Err(Reply::new(480, "SIPS Needs TLS"))
        }
        Scheme::Sip | Scheme::Sips | Scheme::Tel => Ok(()),
        // I-7
        Scheme::Other if request.is_emergency() || goes_by_route() => Ok(()),
        // P-2
        Scheme::Other => Err(Reply::new(416, "Unsupported URI Scheme")),
    }
}

/// Whether the far side's requests of the dialog may have the Contact for their
/// Request-URI (RFC 3261 §8.1.1.8): where it is none that is taken there, the call
/// would begin, and its ACK and BYE be refused one by one. Port 0 is taken: it
/// leads nowhere, and the phone is reached over its flow. None at all is RFC
/// 2543's; of several the far side takes the first. A phone that is not there by TLS
/// is not reached by a `sips` either (C-15).
fn can_be_called(
    request: &Request<'_>,
    transport: Transport,
    contact: Option<Result<Uri, Malformed>>,
) -> bool {
    contact.is_none_or(|uri| {
        uri.is_ok_and(|uri| match uri.scheme {
            Scheme::Sips if transport != Transport::Tls && request.is_first_hop() => false,
            Scheme::Sip | Scheme::Sips => uri.headers.is_empty(),
            Scheme::Tel => true,
            Scheme::Other => false,
        })
    })
}

/// The first Contact, which is the one that the far side takes.
fn contact(request: &Request<'_>) -> Option<Result<Uri, Malformed>> {
    let mut contacts = request.message.values(request.bytes, Name::Contact);
    let first = contacts.next()?;
    Some(Uri::in_value(request.bytes, first))
}

/// What this proxy adds must fit too, since it reads its own requests again;
/// and no list is so long that walking it holds up another flow.
fn within_bounds(request: &Request<'_>) -> Result<(), Reply> {
    let (bytes, message) = (request.bytes, request.message);
    if bytes.len() + limits::ADDED_BYTES_MAX > limits::MESSAGE_MAX {
        return Err(Reply::new(513, "Message Too Large"));
    }
    if message.headers().len() + limits::ADDED_HEADERS_MAX > limits::HEADERS_MAX {
        return Err(Reply::new(400, "Too Many Headers"));
    }
    // A value has two bytes at least, with its comma, so that short lines have few.
    let may_be_long = |name: &Name| {
        let lines = message.all(*name);
        let most: usize = lines.map(|header| 1 + header.value.len() / 2).sum();
        most > limits::VALUES_MAX
    };
    let is_long = |name| message.count(bytes, name) > limits::VALUES_MAX;
    if LISTS.into_iter().filter(may_be_long).any(is_long) {
        return Err(Reply::new(400, "Too Many Values In A Header"));
    }
    Ok(())
}

/// P-4: lists exactly the extensions it does not know.
fn proxy_require(request: &Request<'_>, lines: &mut Vec<u8>) -> Result<(), Reply> {
    let known = |tag: &[u8]| {
        EXTENSIONS
            .iter()
            .any(|known| tag.eq_ignore_ascii_case(known.as_bytes()))
    };
    let mut found = false;
    for value in request.message.values(request.bytes, Name::ProxyRequire) {
        let tag = value.of(request.bytes);
        if known(tag) {
            continue;
        }
        lines.extend_from_slice(if found { b", " } else { b"Unsupported: " });
        lines.extend_from_slice(tag);
        found = true;
    }
    if !found {
        return Ok(());
    }
    lines.extend_from_slice(b"\r\n");
    Err(Reply::new(420, "Bad Extension"))
}
