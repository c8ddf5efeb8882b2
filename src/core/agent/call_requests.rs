//! The requests of a call that is there: CANCEL, ACK, BYE (RFC 3261 §9.1, §13.2.2.4, §15.1.1). A
//! request of a dialog takes the flow that its Route sticks to (H-6).

use super::Agent;
use super::call::{CallStage, switched};
use super::dialog::Dialog;
use super::request::{ClientRequest, Purpose, RequestFailure};
use crate::bytes::Buf;
use crate::edit::derive::{self, Derived};
use crate::id::Flow;
use crate::proxy::{Owner, Step};
use crate::scan::scan;

impl Agent {
    /// CANCEL, to where the INVITE went.
    pub(super) fn cancel(&mut self, step: &mut Step<'_>, number: u32) {
        let invite = self
            .requests
            .iter()
            .find(|outgoing| outgoing.purpose == Purpose::Invite(number));
        let Some((client, flow)) = invite.and_then(|outgoing| outgoing.client.zip(outgoing.flow))
        else {
            return;
        };
        let Some(sent) = step.net.txns.client_request(client).cloned() else {
            return;
        };
        if scan(&sent, &mut self.again).is_err() {
            return;
        }
        let Some(id) = step.net.txns.reserve_cancel(client, Owner::Local) else {
            return;
        };
        let again = &self.again;
        let bytes = step.net.pool.build(sent.len(), |out| {
            derive::write(Derived::Cancel { reason: b"" }, &sent, again, out)
        });
        step.net
            .txns
            .start(step.now, id, b"CANCEL", flow, bytes.clone());
        step.net.transmit(flow, bytes);
    }

    /// The ACK to a 2xx: a request of its own that nobody answers (S-20).
    pub(super) fn ack(&mut self, step: &mut Step<'_>, dialog: &Dialog) -> Option<(Flow, Buf)> {
        let outgoing = self.request_within(dialog, Purpose::Unowned, "ACK");
        let flow = self.sticky_flow(step, &outgoing).ok()?;
        let (transport, sent_by) = step.net.flows.reached_at(flow)?;
        // Only the branch is wanted of it.
        let client = step.net.txns.reserve(Owner::Local)?;
        let branch = step.net.txns.branch(client);
        step.net.txns.abandon(client);
        let cnonce = step.net.secrets.chance();
        let bytes = step.net.pool.build(1_024, |out| {
            self.write(&outgoing, transport, sent_by, &branch, cnonce, out);
        });
        step.net.transmit(flow, bytes.clone());
        Some((flow, bytes))
    }

    /// BYE.
    pub(super) fn leave(&mut self, step: &mut Step<'_>, index: usize) {
        let purpose = Purpose::Bye(self.calls[index].number);
        let Some(outgoing) = self.next_request(index, purpose, "BYE") else {
            return;
        };
        let call = &mut self.calls[index];
        call.unacked = None;
        call.stage = CallStage::Leaving;
        match self.flow_of_call(step, index, &outgoing) {
            Ok(flow) => self.send(step, outgoing, flow),
            Err(failure) => self.failed(step, outgoing, failure),
        }
    }

    /// The next request of a call's dialog.
    pub(super) fn next_request(
        &mut self,
        index: usize,
        purpose: Purpose,
        method: &'static str,
    ) -> Option<ClientRequest> {
        self.calls[index].dialog.as_mut()?.cseq += 1;
        let dialog = self.calls[index].dialog.as_ref()?;
        Some(self.request_within(dialog, purpose, method))
    }

    /// The flow for a request of a call, and an event where that is another one than the
    /// call was set up on.
    pub(super) fn flow_of_call(
        &mut self,
        step: &mut Step<'_>,
        index: usize,
        outgoing: &ClientRequest,
    ) -> Result<Flow, RequestFailure> {
        let flow = self.sticky_flow(step, outgoing)?;
        let call = &self.calls[index];
        if call.flow != Some(flow) {
            switched(step.net, call.number, flow);
        }
        Ok(flow)
    }
}
