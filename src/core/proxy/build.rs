//! Bytes of a forwarded request: the common changes once, then per branch a
//! Request-URI, a Via and the routes of its target (RFC 3261 §16.6).

use std::ops::Range;

use super::own_params::{GUEST, LOOSE};
use super::validate::Valid;
use super::{Context, Plan, Request, Target, loops, overload, sips};
use crate::edit::answer::{self, fill_received};
use crate::edit::{Edits, decimal};
use crate::id::Transport;
use crate::limits;
use crate::scan::{self, Header, Message, Name, Route, scan_again};
use crate::send::SentBy;
use crate::trust::{IdentityHeaders, Keep, identity};

/// What a hop adds to a request without a route of its own, about.
pub(super) const HOP_ROOM: usize = 160;

/// The Via of a datagram to a phone, with an IPv6 address.
const VIA_TO_PHONE: usize = 100;

/// Collects the changes every branch shares. Returns the length of the
/// Request-URI after them.
pub(super) fn common(
    request: &Request<'_>,
    plan: &Plan,
    valid: &Valid,
    identities: Option<&IdentityHeaders>,
    edits: &mut Edits,
) -> usize {
    let (bytes, message) = (request.bytes, request.message);
    edits.clear();
    let is_wanted = request.ingress.keep == Keep::Wanted;
    fill_received(bytes, request.via, request.ingress.source, is_wanted, edits);
    overload::strip(request, edits);
    if request.ingress.principal.is_cluster_node() {
        let is_meant = |name: &[u8]| {
            let mut ours = [LOOSE, GUEST].iter();
            ours.any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
        };
        let cuts = answer::params_named(bytes, request.via, is_meant);
        cuts.for_each(|cut| edits.remove(cut));
    }
    let top = message.headers_start();
    edits.insert(top, |out| out.extend_from_slice(&plan.lines));
    record_route(request, plan, edits);
    match valid.max_forwards {
        Some((number, span)) => edits.replace(span.range(), |out| decimal(out, number - 1)),
        None => edits.insert(top, |out| {
            out.extend_from_slice(b"Max-Forwards: ");
            decimal(out, limits::MAX_FORWARDS);
            out.extend_from_slice(b"\r\n");
        }),
    }
    // Each branch gets its own share; a proxy list from outside is not ours (D-E16).
    for name in [Name::MaxBreadth, Name::OutboundProxy] {
        for header in message.all(name) {
            edits.remove(header.line.range());
        }
    }
    if !request.ingress.principal.is_trusted() {
        if let Some(identities) = identities {
            identities.strip(bytes, message, edits);
        }
    } else if plan.is_leaving {
        identity::keep_private(bytes, message, edits);
    }
    for line in &plan.consumed {
        edits.remove(line.range());
    }
    if let Some(contact) = plan.sips_contact {
        sips::relax(contact, edits);
    }
    let uri = routes(request, plan, edits);
    // Fragments are lost behind many address translations (RFC 3261 §18.1.1).
    let is_long = |edits: &Edits, more: usize| {
        plan.is_datagram && edits.length_of(bytes.len()) + more > limits::UDP_REQUEST_MAX
    };
    if request.ingress.principal.is_trusted() && is_long(edits, HOP_ROOM) {
        identity::take_repeated(bytes, message, edits);
    }
    // Only where nothing else suffices: every phone should read them (RFC 3261 §7.3.3).
    if is_long(edits, VIA_TO_PHONE) {
        compact_names(request, plan, edits);
    }
    uri
}

/// Writes header names in the compact form that RFC 3261 §7.3.3 has for messages that
/// their transport might not carry otherwise.
fn compact_names(request: &Request<'_>, plan: &Plan, edits: &mut Edits) {
    for header in request.message.headers() {
        let Some(letter) = scan::compact_form(header.spelled(request.bytes)) else {
            continue;
        };
        if !plan.consumed.contains(&header.line) {
            let up_to_value = usize::from(header.line.start)..usize::from(header.value.start);
            edits.replace(up_to_value, |out| {
                out.extend_from_slice(&[letter, b':', b' ']);
            });
        }
    }
}

/// Puts our own values before those that are there, each into a line of its own: of
/// several in one line (RFC 3261 §7.3.1) linphone gives all but the first back more than
/// once in its answers, and so none of them would count.
fn record_route(request: &Request<'_>, plan: &Plan, edits: &mut Edits) {
    let values = &plan.record_route[..];
    if values.is_empty() {
        return;
    }
    edits.insert(request.message.headers_start(), |out| {
        let mut start = 0;
        for end in memchr::memchr_iter(b',', values).chain([values.len()]) {
            let value = values[start..end].trim_ascii();
            for part in [b"Record-Route: ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
            start = end + 1;
        }
    });
}

/// Takes our own values off the Route set and makes the two strict-routing
/// repairs: P-7 (§16.4) and P-11 (§16.6-6).
fn routes(request: &Request<'_>, plan: &Plan, edits: &mut Edits) -> usize {
    let (bytes, message) = (request.bytes, request.message);
    let received = message.request_uri();
    let set = message.routes();
    let total = set.len();
    // A Route that cannot be read, or has header parts, is left to whoever it
    // is for: it never becomes a Request-URI.
    let uri_of = |route: &Route| route.uri.filter(|uri| uri.headers.is_empty());
    let (mut front, mut back) = (plan.pop.min(total), 0);
    let mut uri = (!plan.request_uri.is_empty()).then_some(&plan.request_uri[..]);
    if plan.restore_uri
        && let Some(last) = set.last().and_then(uri_of)
    {
        uri = Some(last.whole.of(bytes));
        back = 1;
    }
    if front + back < total
        && let Some(next) = set.get(front).and_then(uri_of)
        && !next.is_loose(bytes)
    {
        // A strict router wants its own URI in the Request-URI and the real
        // one at the end of the route.
        let last = uri.unwrap_or_else(|| received.of(bytes));
        if let Some(line) = message.all(Name::Route).last() {
            edits.insert(usize::from(line.line.end), |out| {
                out.extend_from_slice(b"Route: <");
                out.extend_from_slice(last);
                out.extend_from_slice(b">\r\n");
            });
        }
        uri = Some(next.whole.of(bytes));
        front += 1;
    }
    pop(request, front, back, edits);
    let Some(uri) = uri else {
        return received.len();
    };
    edits.replace(received.range(), |out| out.extend_from_slice(uri));
    uri.len()
}

/// Removes `front` Route values from the front and `back` from the end.
fn pop(request: &Request<'_>, front: usize, back: usize, edits: &mut Edits) {
    let mut rest = request.message.routes();
    let mut keep = front..rest.len().saturating_sub(back);
    if keep == (0..rest.len()) {
        return;
    }
    for header in request.message.all(Name::Route) {
        let inside = rest.iter();
        let count = inside
            .take_while(|route| route.value.end <= header.value.end)
            .count();
        let (values, after) = rest.split_at(count);
        match values.get(keep.start.min(count)..keep.end.min(count)) {
            Some([first, .., last]) => trim(header, values, first, last, edits),
            Some([only]) => trim(header, values, only, only, edits),
            Some([]) | None => edits.remove(header.line.range()),
        }
        keep = keep.start.saturating_sub(count)..keep.end.saturating_sub(count);
        rest = after;
    }
}

/// Leaves of a line with `values` those from `first` to `last`.
fn trim(header: &Header, values: &[Route], first: &Route, last: &Route, edits: &mut Edits) {
    if values.first() != Some(first) {
        edits.remove(usize::from(header.value.start)..usize::from(first.value.start));
    }
    if values.last() != Some(last) {
        edits.remove(usize::from(last.value.end)..usize::from(header.value.end));
    }
}

/// What a branch adds to the base, which is one for all branches of a request: see
/// [`Context::request`].
pub(super) struct BranchParams<'a> {
    pub(super) target: &'a Target,
    pub(super) sent_by: SentBy<'a>,
    /// It is an element of ours.
    pub(super) is_inside: bool,
    /// Requests may come back over this connection (RFC 5923 §8.1).
    pub(super) alias: bool,
    /// Transaction part of the branch parameter.
    pub(super) branch: &'a [u8],
    /// Max-Breadth of this branch.
    pub(super) breadth: u16,
    /// Keep-alives are offered in the Via (K-1).
    pub(super) offers_keep: bool,
    /// Overload control is offered in the Via (V-1).
    pub(super) offers_oc: bool,
    /// Say in the Via that a loose redirect is followed.
    pub(super) is_loose: bool,
    /// Say in the Via that a stranger sent it, whom the next hop may answer.
    pub(super) is_guest: bool,
    /// It is for a phone over UDP and of a length that many address translations lose
    /// (RFC 3261 §18.1.1): Max-Breadth, which it ignores (RFC 5393 §5.3.5), is left out,
    /// and Via has its compact name.
    pub(super) is_lean: bool,
    /// What the target's route stands in for.
    pub(super) replaced: Option<Range<usize>>,
}

/// Bytes that a branch adds to the base at most, for the choice of a buffer.
pub(super) fn room(target: &Target) -> usize {
    let uri = target.uri.as_deref().map_or(0, <[u8]>::len);
    let route = target.route.as_deref().map_or(0, <[u8]>::len);
    256 + uri + route
}

/// Writes the request of one branch.
pub(super) fn branch(context: &Context, base: &[u8], hop: &BranchParams<'_>, out: &mut Vec<u8>) {
    let uri = context.uri;
    out.extend_from_slice(base.get(..usize::from(uri.start)).unwrap_or_default());
    out.extend_from_slice(hop.target.uri.as_deref().unwrap_or_else(|| uri.of(base)));
    out.extend_from_slice(
        base.get(usize::from(uri.end)..context.headers_start)
            .unwrap_or_default(),
    );
    out.extend_from_slice(if hop.is_lean { b"v" } else { b"Via" });
    out.extend_from_slice(b": SIP/2.0/");
    out.extend_from_slice(hop.sent_by.transport.via_token().as_bytes());
    out.push(b' ');
    hop.sent_by.write(out);
    if hop.sent_by.transport == Transport::Udp && !hop.is_inside {
        // An element of ours is told by its address and port: no NAT is in between,
        // and what it would fill in goes all the way to the phone.
        out.extend_from_slice(b";rport");
    }
    if hop.alias {
        // C-9
        out.extend_from_slice(b";alias");
    }
    if hop.offers_keep {
        // K-1
        out.extend_from_slice(b";keep");
    }
    if hop.offers_oc {
        out.extend_from_slice(overload::OFFER);
    }
    if hop.is_loose {
        out.extend_from_slice(b";");
        out.extend_from_slice(LOOSE.as_bytes());
    }
    if hop.is_guest {
        out.extend_from_slice(b";");
        out.extend_from_slice(GUEST.as_bytes());
    }
    out.extend_from_slice(b";branch=");
    out.extend_from_slice(hop.branch);
    if let Some(hash) = context.loop_hash {
        loops::write_part(hash, out);
    }
    out.extend_from_slice(b"\r\n");
    if !hop.is_lean {
        out.extend_from_slice(b"Max-Breadth: ");
        decimal(out, hop.breadth);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(route) = &hop.target.route {
        out.extend_from_slice(b"Route: ");
        out.extend_from_slice(route);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(length) = context.unsized_body
        && hop.sent_by.transport != Transport::Udp
    {
        // P-15: a stream cannot do without.
        out.extend_from_slice(b"Content-Length: ");
        decimal(out, length as u64);
        out.extend_from_slice(b"\r\n");
    }
    let start = context.headers_start;
    let cut = hop.replaced.clone().unwrap_or(start..start);
    for rest in [start..cut.start, cut.end..base.len()] {
        out.extend_from_slice(base.get(rest).unwrap_or_default());
    }
}

/// Where the first Route value stands: its whole line when it is alone there.
pub(super) fn first_route(base: &[u8]) -> Option<Range<usize>> {
    let mut message = Message::default();
    scan_again(base, &mut message).ok()?;
    let line = *message.first(Name::Route)?;
    let (first, rest) = message.routes().split_first()?;
    Some(match rest.first() {
        Some(next) if next.value.end <= line.value.end => {
            first.value.start.into()..next.value.start.into()
        }
        Some(_) | None => line.line.range(),
    })
}
