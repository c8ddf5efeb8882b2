//! A response comes in: to which branch, and what it means for the request
//! (RFC 3261 §16.7, RFC 6026 §8).

use super::contexts::Contexts;
use super::response_edits::remove_via;
use super::untaken::is_for_later;
use super::{BranchState, Net, Owner, Proxy, Response, Step, Turn};
use crate::bytes::Buf;
use crate::guard::SourceLimit;
use crate::id::{ClientId, Flow, Slot};
use crate::limits;
use crate::omit::Omit;
use crate::scan::via::Via;
use crate::scan::{Name, scan_again};
use crate::send::Hop;
use crate::txn::ResponseAction;

impl Proxy {
    /// Takes in one response that scanned; `via` is its topmost Via.
    pub fn response(&mut self, turn: &mut Turn<'_>, via: &Via, response: &Response<'_>) {
        turn.net.counters.responses_in += 1;
        let Some(client) = response.client(via, &turn.net.flows, &turn.net.txns) else {
            turn.count_stray(response.flow);
            return;
        };
        if let Some((_, Some(interval))) = via.keep {
            turn.on_keepalive_accepted(response, interval);
        }
        if via.oc.is_some_and(|oc| !oc.is_empty()) {
            self.restraint.note_answer(turn, via, response);
        }
        let owner = turn.net.txns.client_owner(client);
        if let Some(Owner::Proxy { context, .. }) = owner
            && response.status < 300
            && !self.has_matching_vias(context, response)
        {
            // P-20: by other Vias than the request had, it would reach nobody, or somebody
            // else. A refusal still ends its branch, and is put into our own words.
            turn.net.counters.stray_responses += 1;
            return;
        }
        if self
            .contexts
            .is_impostor(turn, owner, client, response.flow)
        {
            turn.net.counters.stray_responses += 1;
            return;
        }
        switch_to_live_flow(turn.net, client, response.flow);
        let action = turn.net.txns.response(turn.now, client, response.status);
        // The answer to a CANCEL of ours ends its transaction and nothing else.
        let Some(Owner::Proxy {
            context: slot,
            branch,
        }) = owner
        else {
            return;
        };
        let index = usize::from(branch);
        match action {
            ResponseAction::Pass => self.pass_response(turn, slot, index, response),
            ResponseAction::PassAndAck => {
                if !turn.net.omit.leaves_out(Omit::HopAck) {
                    turn.net.acknowledge(client, response, &mut self.again);
                }
                self.pass_response(turn, slot, index, response);
            }
            ResponseAction::Again(send) => {
                turn.net.counters.retransmissions_in += 1;
                turn.net.transmit_send(Some(send));
            }
            ResponseAction::Absorb => turn.net.counters.retransmissions_in += 1,
        }
        self.contexts.remove_if_over(turn.net, slot);
    }

    /// Whether a response has as many Vias as the request that it answers: phones
    /// and ALGs leave some out or write some twice, and then it reaches nobody.
    fn has_matching_vias(&mut self, slot: Slot, response: &Response<'_>) -> bool {
        let (bytes, message) = (response.bytes, response.message);
        let Some(context) = self.contexts.get(slot) else {
            return false;
        };
        if message.via_lines() == context.vias + 1 {
            return true;
        }
        // Lines may have been joined on the way (RFC 3261 §7.3.1).
        match &context.base {
            Some(base) if scan_again(base, &mut self.again).is_ok() => {
                message.count(bytes, Name::Via) == self.again.count(base, Name::Via) + 1
            }
            Some(_) | None => message.has_second_via(),
        }
    }

    /// A response that is no retransmission: what it means for its branch.
    fn pass_response(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        index: usize,
        response: &Response<'_>,
    ) {
        if let Some(branch) = self.contexts.branch(slot, index) {
            turn.update_health(&branch.target, response);
            branch.is_from_target = turn.is_of_target(response);
            branch.is_untaken = branch.is_inside && is_for_later(response);
        }
        self.home_answers(turn, response);
        if let Some(context) = self.contexts.get(slot) {
            let is_inside = context.branches.get(index).is_some_and(|it| it.is_inside);
            turn.count_received(context.method, response, is_inside);
        }
        match response.status {
            ..200 => self.provisional(turn, slot, index, response),
            200..300 => self.success(turn, slot, index, response),
            300..400 if self.redirected(turn, slot, index, response) => {}
            300.. => {
                // P-20: with other Vias it leads nowhere; its status still ends the
                // branch, and is put into our own words.
                let has_caller = self.has_matching_vias(slot, response);
                let bytes = has_caller.then(|| self.without_own_via(turn, slot, response));
                self.branch_ended(turn, slot, index, response.status, bytes);
            }
        }
    }

    fn provisional(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        index: usize,
        response: &Response<'_>,
    ) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        let answered = context.answered;
        let is_over = context.is_invite() && (answered || context.closed);
        let ring = turn.ring_time(context, index);
        let Some(branch) = context.branches.get_mut(index) else {
            return;
        };
        // A CANCEL is owed: it had to wait for this (P-33), or the branch was given up with its
        // connection and its request had arrived all the same. With 487 it had its CANCEL.
        let wanted = match branch.state {
            BranchState::Trying { cancel } => cancel,
            BranchState::Done(status) => is_over && status != 487,
            BranchState::Waiting
            | BranchState::Locating
            | BranchState::Proceeding { .. }
            | BranchState::Skipped => false,
        };
        if matches!(branch.state, BranchState::Trying { .. }) {
            branch.state = BranchState::Proceeding { cancelled: false };
            if branch.target.silence.take().is_some() {
                // It is heard: what is left is Timer C, of an INVITE.
                branch.due = turn.now + limits::TIMER_C;
            }
        }
        if response.status > 100 && branch.state == (BranchState::Proceeding { cancelled: false }) {
            match ring {
                // P-30: the timer on the wheel stays where it is and looks here.
                None => branch.due = turn.now + limits::TIMER_C,
                // The time to ring begins with the first provisional, and no further one
                // prolongs it: others wait for their turn.
                Some(ring) if !branch.rings => branch.set_due(turn, slot, index, ring),
                Some(_) => {}
            }
            branch.rings = true;
        }
        if wanted {
            // Without room for its transaction none is sent, and Timer C ends the branch.
            self.send_cancel(turn, slot, index);
        }
        if response.status == 100 || answered {
            return;
        }
        let bytes = self.without_own_via(turn, slot, response);
        self.upstream(turn, slot, response.status, bytes);
    }

    /// P-21, P-27: every 2xx to an INVITE passes at once, also after another
    /// final; of any other request only the first.
    fn success(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize, response: &Response<'_>) {
        let Some((context, was_answered)) = self.contexts.answer(slot) else {
            return;
        };
        let mut learns = None;
        let mut callee = None;
        if let Some(branch) = context.branches.get_mut(index) {
            callee = (!branch.is_inside).then_some(response.flow);
            learns = branch.target.learns.take();
            branch.state = BranchState::Done(response.status);
            if let Some(timer) = branch.timer.take() {
                turn.net.txns.cancel_timer(timer);
            }
        }
        if was_answered && !context.is_invite() {
            return;
        }
        if !was_answered {
            turn.count_set_up(context);
        }
        let edits = &mut self.edits;
        edits.clear();
        remove_via(response, edits);
        turn.edit_response(context, response, edits);
        let step = &mut Step::new(turn.net, turn.now);
        turn.policy.on_accepted(step, context, response, edits);
        if let Some(uri) = learns {
            turn.policy.on_redirect_accepted(step, response.flow, &uri);
        }
        // It is kept for half a minute: without room for the Via that was taken off.
        let room = edits.length_of(response.bytes.len());
        let pool = &turn.net.pool;
        let bytes = pool.build(room, |out| edits.apply(response.bytes, out));
        context.base = None;
        for branch in &mut context.branches {
            branch.last = None;
        }
        if context.is_invite() && !was_answered {
            let ingress = context.ingress;
            let caller = (!ingress.principal.is_cluster_node()).then_some(ingress.flow);
            let opens = context.is_out_of_dialog;
            self.note_dialog(turn, response, [caller, callee], opens);
        }
        self.upstream(turn, slot, response.status, bytes);
        // P-29: the callee has taken the call at one phone, and the others stop ringing.
        self.cancel_pending(turn, slot);
    }

    /// The response without our Via.
    fn without_own_via(&mut self, turn: &Turn<'_>, slot: Slot, response: &Response<'_>) -> Buf {
        self.edits.clear();
        remove_via(response, &mut self.edits);
        let edits = &mut self.edits;
        if let Some(context) = self.contexts.get(slot) {
            turn.edit_response(context, response, edits);
        }
        let room = response.bytes.len() + edits.growth();
        turn.net
            .pool
            .build(room, |out| edits.apply(response.bytes, out))
    }
}

impl Contexts {
    /// Whether somebody else answers what was sent to an element of ours: whoever the request
    /// went on to can read our branch in its Vias.
    fn is_impostor(
        &mut self,
        turn: &Turn<'_>,
        owner: Option<Owner>,
        client: ClientId,
        flow: Flow,
    ) -> bool {
        let Some(Owner::Proxy { context, branch }) = owner else {
            return false;
        };
        let is_elsewhere = turn.net.txns.client_flow(client) != Some(flow);
        is_elsewhere
            && self
                .branch(context, branch.into())
                .is_some_and(|branch| branch.is_inside)
            && !turn.policy.is_cluster_node(turn.net, Hop::Flow(flow))
    }
}

impl Turn<'_> {
    /// A response matches nothing here.
    fn count_stray(&mut self, flow: Flow) {
        self.net.counters.stray_responses += 1;
        if let Some(peer) = self.net.flows.peer(flow)
            && !self.policy.is_cluster_node(self.net, Hop::Flow(flow))
            && !self
                .net
                .guard
                .admit(self.now, peer.ip(), SourceLimit::Stray)
        {
            self.net.counters.limited += 1;
        }
    }
}

/// What follows the answer to a request, its ACK and its CANCEL, takes the connection that
/// the answer came by when that of the request is gone.
fn switch_to_live_flow(net: &mut Net, client: ClientId, flow: Flow) {
    let is_lost = |sent: Flow| sent != flow && !net.flows.lives(sent);
    if net.txns.client_flow(client).is_some_and(is_lost) {
        net.txns.set_client_flow(client, flow);
    }
}
