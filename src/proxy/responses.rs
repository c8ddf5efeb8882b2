//! A response comes in: to which branch, and what it means for the request
//! (RFC 3261 §16.7, RFC 6026 §8).

use super::{Branch, Context, Net, Owner, Policy, Proxy, Response, State};
use crate::edit::derive::{self, Derived};
use crate::id::{ClientId, Slot};
use crate::limits;
use crate::scan::uri::host_ip;
use crate::scan::via::Via;
use crate::scan::{Message, Method, Name, scan};
use crate::time::Instant;
use crate::txn::Heard;

impl Proxy {
    /// Takes in one response that scanned; `via` is its topmost Via.
    pub fn response(
        &mut self,
        net: &mut Net,
        policy: &mut dyn Policy,
        now: Instant,
        via: &Via,
        response: &Response<'_>,
    ) {
        net.counters.responses_in += 1;
        let Some(client) = net.client_of(via, response) else {
            net.counters.stray_responses += 1;
            return;
        };
        let owner = net.txns.client_owner(client);
        let heard = net.txns.response(now, client, response.status);
        // The answer to a CANCEL of ours ends its transaction and nothing else.
        let Some(Owner::Proxy {
            context: slot,
            branch,
        }) = owner
        else {
            return;
        };
        let index = usize::from(branch);
        match heard {
            Heard::Pass => self.heard(net, policy, now, slot, index, response),
            Heard::PassAndAck => {
                net.acknowledge(client, response, &mut self.again);
                self.heard(net, policy, now, slot, index, response);
            }
            Heard::Again(send) => {
                net.counters.retransmissions_in += 1;
                net.transmit_send(Some(send));
            }
            Heard::Absorb => net.counters.retransmissions_in += 1,
        }
    }

    fn heard(
        &mut self,
        net: &mut Net,
        policy: &mut dyn Policy,
        now: Instant,
        slot: Slot,
        index: usize,
        response: &Response<'_>,
    ) {
        match response.status {
            ..200 => self.provisional(net, now, slot, index, response),
            200..300 => self.success(net, policy, now, slot, index, response),
            300.. => {
                // P-20: without a further Via it leads nowhere; its status
                // still ends the branch, and we say it in our own words.
                let bytes = leads_on(response).then(|| self.strip(net, response));
                self.ended(net, policy, now, slot, index, response.status, bytes);
            }
        }
    }

    fn provisional(
        &mut self,
        net: &mut Net,
        now: Instant,
        slot: Slot,
        index: usize,
        response: &Response<'_>,
    ) {
        let Some(branch) = self.branch(slot, index) else {
            return;
        };
        let wanted = branch.state == State::Trying { cancel: true };
        if matches!(branch.state, State::Trying { .. }) {
            branch.state = State::Proceeding { cancelled: false };
        }
        if response.status > 100 && branch.state == (State::Proceeding { cancelled: false }) {
            // P-30: the timer on the wheel stays where it is and looks here.
            branch.due = now + limits::TIMER_C;
        }
        if wanted {
            self.send_cancel(net, now, slot, index);
        }
        let answered = self
            .contexts
            .get(slot)
            .is_none_or(|context| context.answered);
        if response.status == 100 || answered || !leads_on(response) {
            return;
        }
        let bytes = self.strip(net, response);
        self.upstream(net, now, slot, response.status, bytes);
    }

    /// P-21, P-27: every 2xx passes at once, also after another final.
    fn success(
        &mut self,
        net: &mut Net,
        policy: &mut dyn Policy,
        now: Instant,
        slot: Slot,
        index: usize,
        response: &Response<'_>,
    ) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        self.edits.clear();
        remove_top_via(response, &mut self.edits);
        policy.accepted(net, now, context, response, &mut self.edits);
        let edits = &mut self.edits;
        let room = response.bytes.len() + edits.growth();
        let bytes = net.pool.build(room, |out| edits.apply(response.bytes, out));
        let first = !context.answered;
        let pass = first || context.is_invite();
        context.answered = true;
        if let Some(branch) = context.branches.get_mut(index) {
            branch.state = State::Done(response.status);
            if let Some(timer) = branch.timer.take() {
                net.txns.cancel_timer(timer);
            }
        }
        if pass {
            self.upstream(net, now, slot, response.status, bytes);
        }
        self.close(net, now, slot);
        if let Some(context) = self.contexts.get_mut(slot)
            && !context.branches.iter().any(Branch::is_pending)
        {
            context.base = None;
        }
    }

    /// The response without our Via.
    fn strip(&mut self, net: &Net, response: &Response<'_>) -> crate::bytes::Buf {
        self.edits.clear();
        remove_top_via(response, &mut self.edits);
        let edits = &mut self.edits;
        net.pool
            .build(response.bytes.len(), |out| edits.apply(response.bytes, out))
    }
}

/// True when a Via is left for the way back.
fn leads_on(response: &Response<'_>) -> bool {
    response
        .message
        .values(response.bytes, Name::Via)
        .nth(1)
        .is_some()
}

/// Takes our own Via off.
fn remove_top_via(response: &Response<'_>, edits: &mut crate::edit::Edits) {
    let bytes = response.bytes;
    let Some(line) = response.message.first(Name::Via) else {
        return;
    };
    let mut values = response.message.values(bytes, Name::Via);
    let Some(top) = values.next() else { return };
    match values.next() {
        Some(next) if next.end <= line.value.end => {
            edits.remove(usize::from(top.start)..usize::from(next.start))
        }
        _ => edits.remove(line.line.range()),
    }
}

impl Net {
    /// The client transaction a response belongs to: our own sent-by (P-19)
    /// and a branch that we wrote. The CSeq method tells a CANCEL's answer
    /// from its INVITE's, since both carry the same branch.
    #[must_use]
    pub fn client_of(&self, via: &Via, response: &Response<'_>) -> Option<ClientId> {
        let host = host_ip(via.host.of(response.bytes))?;
        if !self.flows.is_local(host, via.port.unwrap_or(5060)) {
            return None;
        }
        let branch = via.branch?.of(response.bytes);
        self.txns
            .find_client(branch, response.message.cseq_method().of(response.bytes))
    }

    /// P-35: the ACK to a non-2xx, hop by hop. `again` is room for the outline
    /// of the request.
    pub fn acknowledge(&mut self, client: ClientId, response: &Response<'_>, again: &mut Message) {
        let Some(sent) = self.txns.client_request(client).cloned() else {
            return;
        };
        if scan(&sent, again).is_err() {
            return;
        }
        let to = response
            .message
            .first(Name::To)
            .map(|header| header.line.of(response.bytes))
            .unwrap_or_default();
        let ack = self.pool.build(sent.len(), |out| {
            derive::write(Derived::Ack { to }, &sent, again, out)
        });
        let send = self.txns.ack(client, ack);
        self.transmit_send(send);
    }
}

impl Context {
    /// The method of the request this context stands for.
    #[must_use]
    pub const fn is_register(&self) -> bool {
        matches!(self.method, Method::Register)
    }
}
