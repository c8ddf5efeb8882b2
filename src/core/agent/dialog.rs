//! A dialog as one of its ends keeps it (RFC 3261 §12).

use super::request::{ClientRequest, Contact, Purpose, uri_of};
use super::{Agent, compose};
use crate::id::Flow;
use crate::limits;
use crate::scan::address::Address;
use crate::scan::{Message, Name};
use crate::span::Span;
use crate::stick::{Source, Table};
use crate::time::Instant;
use crate::uri::Uri;

/// One dialog.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) call_id: Vec<u8>,
    /// From (or To) value of our side, tag included.
    pub(super) local: Vec<u8>,
    /// That of the other side.
    pub(super) remote: Vec<u8>,
    pub(super) cseq: u32,
    /// The other side's last CSeq.
    pub(super) remote_cseq: u32,
    /// The remote target.
    pub(super) target: Vec<u8>,
    /// The route set, each a name-addr.
    pub(super) routes: Vec<Vec<u8>>,
}

impl Dialog {
    /// The neighbour's Record-Route sticks to the flow of the dialog.
    pub(super) fn bind_route(&self, stick: &mut Table, now: Instant, flow: Flow) {
        if let Some(first) = self.routes.first() {
            let until = now + limits::AGENT_DIALOG_MAX;
            stick.bind(now, flow, uri_of(first), Source::RecordRoute, until);
        }
    }

    /// The caller's dialog from the 2xx (RFC 3261 §12.1.2).
    pub(super) fn of_answer(bytes: &[u8], message: &Message, cseq: u32) -> Self {
        let mut routes = record_route(bytes, message);
        routes.reverse();
        Self {
            call_id: value(bytes, message, Name::CallId),
            local: value(bytes, message, Name::From),
            remote: value(bytes, message, Name::To),
            cseq,
            remote_cseq: 0,
            target: target(bytes, message).unwrap_or_default(),
            routes,
        }
    }

    /// The called side's dialog from the INVITE (RFC 3261 §12.1.1).
    pub(super) fn of_invite(bytes: &[u8], message: &Message, tag: &[u8]) -> Self {
        let to = value(bytes, message, Name::To);
        Self {
            call_id: value(bytes, message, Name::CallId),
            local: [&to, &b";tag="[..], tag].concat(),
            remote: value(bytes, message, Name::From),
            cseq: 0,
            remote_cseq: message.cseq(),
            target: target(bytes, message).unwrap_or_default(),
            routes: record_route(bytes, message),
        }
    }

    /// Whether a request from the other side belongs to it.
    pub(super) fn holds(&self, bytes: &[u8], message: &Message) -> bool {
        value(bytes, message, Name::CallId) == self.call_id
            && tag(&value(bytes, message, Name::To)) == tag(&self.local)
            && tag(&value(bytes, message, Name::From)) == tag(&self.remote)
    }

    /// Whether a response to our INVITE made this very dialog.
    pub(super) fn is_from(&self, bytes: &[u8], message: &Message) -> bool {
        value(bytes, message, Name::CallId) == self.call_id
            && tag(&value(bytes, message, Name::To)) == tag(&self.remote)
    }
}

impl Agent {
    /// A request of the dialog, with its Route set as the next hop wants it
    /// (RFC 3261 §12.2.1.1).
    pub(super) fn request_within(
        &self,
        dialog: &Dialog,
        purpose: Purpose,
        method: &'static str,
    ) -> ClientRequest {
        let mut outgoing = self.start_request(purpose, method);
        outgoing.uri.clone_from(&dialog.target);
        outgoing.routes.clone_from(&dialog.routes);
        let first = outgoing.routes.first().map(|route| uri_of(route).to_vec());
        if let Some(first) = first
            && !is_loose(&first)
        {
            // A strict router: it wants its own URI in the Request-URI, and the real one at
            // the end of the Route.
            outgoing.routes.remove(0);
            outgoing.routes.push(compose::bracketed(&dialog.target));
            outgoing.uri = first;
        }
        outgoing.from.clone_from(&dialog.local);
        outgoing.to.clone_from(&dialog.remote);
        outgoing.call_id.clone_from(&dialog.call_id);
        outgoing.cseq = dialog.cseq;
        outgoing.contact = Contact::Absent;
        outgoing
    }
}

fn is_loose(uri: &[u8]) -> bool {
    Uri::of(uri).is_ok_and(|parsed| parsed.is_loose(uri))
}

/// The value of a header that stands once.
pub(super) fn value(bytes: &[u8], message: &Message, name: Name) -> Vec<u8> {
    let header = message.first(name);
    header
        .map(|header| header.value.of(bytes).to_vec())
        .unwrap_or_default()
}

/// The URI of the first Contact.
pub(super) fn target(bytes: &[u8], message: &Message) -> Option<Vec<u8>> {
    let contact = message.values(bytes, Name::Contact).next()?;
    let address = Address::parse(bytes, contact).ok()?;
    Some(address.uri.of(bytes).to_vec())
}

fn record_route(bytes: &[u8], message: &Message) -> Vec<Vec<u8>> {
    let values = message.values(bytes, Name::RecordRoute);
    values.map(|value| value.of(bytes).to_vec()).collect()
}

/// The tag of a From or To value.
pub(super) fn tag(value: &[u8]) -> Option<&[u8]> {
    let address = Address::parse(value, Span::new(0, value.len())).ok()?;
    address.param(value, "tag")?.map(|tag| tag.of(value))
}
