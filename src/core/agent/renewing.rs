//! re-INVITE: a call that is up is offered again as it stands, so that both
//! sides know it still is (RFC 3261 §14.1).

use super::call::CallStage;
use super::dialog;
use super::request::{ClientRequest, Contact, Purpose};
use super::{Agent, emit, sdp};
use crate::proxy::{Response, Step};
use crate::send::Event;

impl Agent {
    /// Renews every call that is up and has no INVITE under way.
    pub(super) fn renew(&mut self, step: &mut Step<'_>) {
        for index in 0..self.calls.len() {
            let call = &self.calls[index];
            let number = call.number;
            let waits = self.requests.iter().any(
                |outgoing| matches!(outgoing.purpose, Purpose::Invite(n) | Purpose::Renew(n) if n == number),
            );
            if matches!(call.stage, CallStage::Up) && call.unacked.is_none() && !waits {
                self.renew_call(step, index);
            }
        }
    }

    fn renew_call(&mut self, step: &mut Step<'_>, index: usize) {
        let purpose = Purpose::Renew(self.calls[index].number);
        let Some(mut outgoing) = self.next_request(index, purpose, "INVITE") else {
            return;
        };
        outgoing.contact = Contact::Target;
        match self.flow_of_call(step, index, &outgoing) {
            Ok(flow) => {
                if let Some((_, addr)) = step.net.flows.reached_at(flow) {
                    sdp::offer(addr, step.net.secrets.chance(), &mut outgoing.body);
                }
                self.send(step, outgoing, flow);
            }
            Err(failure) => self.failed(step, outgoing, failure),
        }
    }

    /// The 2xx: the target may have moved (RFC 3261 §12.2.1.2).
    pub(super) fn renewed(
        &mut self,
        step: &mut Step<'_>,
        number: u32,
        outgoing: ClientRequest,
        response: &Response<'_>,
    ) {
        let Some(index) = self.call_index(number) else {
            return;
        };
        let call = &mut self.calls[index];
        call.flow = outgoing.flow;
        let Some(mut dialog) = call.dialog.take() else {
            return;
        };
        // A challenge may have taken numbers.
        dialog.cseq = outgoing.cseq;
        if let Some(target) = dialog::target(response.bytes, response.message) {
            dialog.target = target;
        }
        let acked = self.ack(step, &dialog);
        let call = &mut self.calls[index];
        call.acked = acked;
        call.invite = outgoing.number;
        call.dialog = Some(dialog);
        emit(step.net, Event::Renewed { call: number });
    }
}
