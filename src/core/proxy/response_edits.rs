//! What a response is changed by on its way upstream (RFC 3261 §16.7 steps 3 and 8): our own
//! Via is removed, the mark of the dialog becomes the one for the calling side, and what is for
//! our own elements alone goes no further.

use super::own_params::FROM_TARGET;
use super::route_set::{KnownBy, Recorded};
use super::{Context, Note, Response, Turn, overload, sips};
use crate::edit::{Edits, decimal};
use crate::grammar::params;
use crate::omit::Omit;
use crate::scan::Name;
use crate::scan::via::Via;
use crate::send::Hop;
use crate::trust::identity;
use crate::trust::mark::{Next, Turned};

impl Turn<'_> {
    /// Changes an answer as its request was: the mark of its dialog is turned
    /// to the calling side (RFC 3261 §16.7-8), and what only the trust domain may
    /// say, or is to be kept private, is taken off at its border (I-3, I-4).
    pub(super) fn edit_response(
        &self,
        context: &Context,
        response: &Response<'_>,
        edits: &mut Edits,
    ) {
        let (bytes, message) = (response.bytes, response.message);
        overload::report_upstream(self.net, context, response, edits);
        let caller = context.ingress.flow;
        sips::relax_answer(self.net, context.method, caller, response, edits);
        if context.ingress.principal.is_cluster_node() && self.is_of_target(response) {
            mark_upstream(response, edits);
        }
        if let Note::Dialog(Some(recorded)) = &context.note
            && (101..300).contains(&response.status)
            && !self.turn_mark(recorded, response, edits)
        {
            // The caller gets no route set for a way that this request did not go.
            for header in message.all(Name::RecordRoute) {
                edits.remove(header.line.range());
            }
        }
        let identities = self.policy.identities();
        if !identities.are_in(bytes, message) || self.net.omit.leaves_out(Omit::Stripping) {
            return;
        }
        let hop = Hop::Flow(response.flow);
        if !self.policy.is_cluster_node(self.net, hop) {
            identities.strip(bytes, message, edits);
        } else if !context.ingress.principal.is_trusted() {
            identity::keep_private(bytes, message, edits);
        }
    }

    /// Turns our Record-Route value to the calling side. False where the answer says
    /// another way than its request went: one from outside leaves the Record-Route as it
    /// was, and claims no element of ours for what is behind whoever gave it.
    fn turn_mark(&self, recorded: &Recorded, response: &Response<'_>, edits: &mut Edits) -> bool {
        let index = match recorded.known_by {
            KnownBy::Set(set) => match set.index_in(self.net, response) {
                None => return false,
                index @ Some(_) => index,
            },
            KnownBy::Value(_) => None,
        };
        let turned = Turned {
            mark: recorded.mark,
            there: recorded.there.as_deref(),
            index,
        };
        let is_own = |value: &[u8]| recorded.known_by.is_way_of(value);
        let is_claim =
            |next: Next<'_>| index.is_some() && self.policy.names_cluster_node(next.uri());
        let (bytes, message) = (response.bytes, response.message);
        let marks = self.policy.marks();
        marks.turn(&turned, bytes, message, edits, is_own, is_claim)
    }

    /// Whether a final answer that lets stand-bys try is that of whoever the request
    /// was for: a phone, or whoever else stands behind the cluster. An element of
    /// the cluster says so of what it passes on, and speaks for itself else.
    pub(super) fn is_of_target(&self, response: &Response<'_>) -> bool {
        if !Context::is_retryable(response.status) {
            return false;
        }
        if !self
            .policy
            .is_cluster_node(self.net, Hop::Flow(response.flow))
        {
            return true;
        }
        let via = response.message.top_via();
        via.is_some_and(|via| params::find(response.bytes, via.params, FROM_TARGET).is_some())
    }
}

/// Writes into the Via of a peer that the answer is of whoever the request was for.
fn mark_upstream(response: &Response<'_>, edits: &mut Edits) {
    let (bytes, message) = (response.bytes, response.message);
    let next = message.values(bytes, Name::Via).nth(1);
    let Some(Ok(via)) = next.map(|value| Via::parse(bytes, value)) else {
        return;
    };
    if params::find(bytes, via.params, FROM_TARGET).is_none() {
        edits.insert(usize::from(via.value.end), |out| {
            out.push(b';');
            out.extend_from_slice(FROM_TARGET.as_bytes());
        });
    }
}

/// What any answer is changed by on its way: our own Via is removed, and one that came by
/// datagram, and may leave on a stream, gets the length of its body (RFC 3261 §20.14).
pub(super) fn remove_via(response: &Response<'_>, edits: &mut Edits) {
    remove_top_via(response, edits);
    let message = response.message;
    if message.is_sized() {
        return;
    }
    for header in message.all(Name::ContentLength) {
        edits.remove(header.line.range());
    }
    edits.insert(message.headers_end(), |out| {
        out.extend_from_slice(b"Content-Length: ");
        decimal(out, message.body().len() as u64);
        out.extend_from_slice(b"\r\n");
    });
}

/// Takes our own Via off.
fn remove_top_via(response: &Response<'_>, edits: &mut Edits) {
    let bytes = response.bytes;
    let (Some(line), Some(top)) = (
        response.message.first(Name::Via),
        response.message.top_via(),
    ) else {
        return;
    };
    if top.value.end == line.value.end {
        return edits.remove(line.line.range());
    }
    let mut values = response.message.values(bytes, Name::Via);
    let Some(top) = values.next() else { return };
    match values.next() {
        Some(next) if next.end <= line.value.end => {
            edits.remove(usize::from(top.start)..usize::from(next.start))
        }
        _ => edits.remove(line.line.range()),
    }
}
