//! The ends that no answer brings: timeouts of transactions, Timer C, and what a lost flow
//! means for the requests that wait on it.

use super::context::{AnswerWeight, TcpFallback};
use super::final_answer::local_answer;
use super::{Branch, Net, Owner, Proxy, State, Turn};
use crate::id::{ClientId, Flow, ServerId, Slot};
use crate::limits;
use crate::omit::Omit;
use crate::send::Hop;
use crate::stick::Reopen;
use crate::time::{Duration, Instant};

impl Proxy {
    /// No final answer came (Timer B or F).
    pub fn timed_out(&mut self, turn: &mut Turn<'_>, owner: Owner, heard: bool) {
        match owner {
            Owner::Proxy { context, branch } => {
                turn.net.counters.timeouts += 1;
                let index = usize::from(branch);
                let mut is_inside = false;
                if let Some(branch) = self.branch(context, index) {
                    branch.client = None;
                    is_inside = branch.is_inside;
                    if let Hop::To {
                        transport, addr, ..
                    } = branch.target.hop
                        && !heard
                        && branch.answer_weight != AnswerWeight::FlowLost
                    {
                        if turn.policy.is_cluster_node(turn.net, branch.target.hop) {
                            turn.net.note_failure(
                                turn.now,
                                transport,
                                addr,
                                "requests get no answer",
                            );
                        } else {
                            turn.net.liveness.health.failed(turn.now, transport, addr);
                        }
                    }
                }
                if let Some(context) = self.contexts.get_mut(context)
                    && (heard || is_inside && !context.is_invite())
                {
                    // The next hop lives; whoever is behind it did not answer,
                    // and the sender has given up by now (RFC 4320 §3). An element
                    // of ours that has said nothing may have had a 408, which is passed on
                    // to nobody (RFC 4320 §4.2): were it silent, that would have been found
                    // out long ago (`standby`).
                    context.closed = true;
                }
                self.branch_ended(turn, context, index, 408, None);
                self.transaction_ended(turn.net, context);
            }
            Owner::Cancel { context } => self.transaction_ended(turn.net, context),
            Owner::Local | Owner::Agent(_) => {}
        }
    }

    /// A client transaction ended in order.
    pub(crate) fn client_done(&mut self, net: &mut Net, owner: Owner) {
        match owner {
            Owner::Proxy { context, branch } => {
                if let Some(branch) = self.branch(context, usize::from(branch)) {
                    branch.client = None;
                }
                self.transaction_ended(net, context);
            }
            Owner::Cancel { context } => self.transaction_ended(net, context),
            Owner::Local | Owner::Agent(_) => {}
        }
    }

    /// A server transaction ended.
    pub(crate) fn server_done(&mut self, net: &mut Net, owner: Owner) {
        if let Owner::Proxy { context: slot, .. } = owner {
            if let Some(context) = self.contexts.get_mut(slot) {
                context.server = None;
            }
            self.transaction_ended(net, slot);
        }
    }

    /// T-8: a non-INVITE is unanswered for so long that its sender wants to
    /// know that it arrived.
    pub fn trying(&mut self, turn: &mut Turn<'_>, server: ServerId, owner: Owner) {
        let Owner::Proxy { context, .. } = owner else {
            return;
        };
        let Some(context) = self.contexts.get(context) else {
            return;
        };
        let Some(base) = context.base.clone() else {
            return;
        };
        let (from, again) = (context.ingress, &mut self.again);
        let bytes = local_answer(turn.net, &base, again, from, 100, "Trying", b"");
        let send = turn.net.txns.respond(turn.now, server, 100, bytes);
        turn.answer_send(send);
    }

    /// Timer C, or the grace after a CANCEL, fired (P-30).
    pub(crate) fn branch_timer(&mut self, turn: &mut Turn<'_>, slot: Slot, number: u8) {
        let index = usize::from(number);
        let Some(branch) = self.branch(slot, index) else {
            return;
        };
        branch.timer = None;
        if branch.due > turn.now {
            let timer = super::Timer::Branch {
                context: slot,
                branch: number,
            };
            branch.timer = Some(turn.net.txns.set_timer(branch.due, timer));
            return;
        }
        if branch.target.silence.take().is_some() && branch.is_pending() {
            return self.silent(turn, slot, index);
        }
        let (state, client) = (branch.state, branch.client);
        let goes_on = branch.rang_out && state == (State::Proceeding { cancelled: true });
        let rings = state == (State::Proceeding { cancelled: false });
        if rings && (turn.net.omit.leaves_out(Omit::TimerC) || self.send_cancel(turn, slot, index))
        {
            return;
        }
        let status = match state {
            State::Locating => return self.locating_ended(turn, slot, index),
            State::Trying { .. } => 408,
            State::Proceeding { .. } => 487,
            State::Done(_) => {
                // What was kept for a late 2xx has had its time.
                if let Some(client) = client {
                    self.abandon(turn.net, slot, index, client);
                    self.transaction_ended(turn.net, slot);
                }
                return;
            }
            State::Waiting | State::Skipped => return,
        };
        turn.net.counters.timeouts += 1;
        if goes_on {
            // The others have waited long enough; a 2xx may still be on its way.
            self.branch_ended(turn, slot, index, status, None);
            return self.arm_final_deadline(turn, slot, index);
        }
        if let Some(client) = client {
            self.abandon(turn.net, slot, index, client);
        }
        self.branch_ended(turn, slot, index, status, None);
        self.transaction_ended(turn.net, slot);
    }

    /// A branch has been silent for as long as it may while others stand by.
    fn silent(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) {
        let Some(context) = self.contexts.get(slot) else {
            return;
        };
        let patience = context.is_invite().then(|| turn.patience(context, index));
        let client = context.branches.get(index).and_then(|branch| branch.client);
        if let Some(client) = client {
            turn.net.txns.note_silence(client);
        }
        if let Some((branch, patience)) = self.branch(slot, index).zip(patience) {
            branch.set_due(turn, slot, index, patience);
        }
        self.start_standby(turn, slot, index);
    }

    /// Drops the transaction of a branch at once. The context still counts it until
    /// `transaction_ended` is called.
    pub(super) fn abandon(&mut self, net: &mut Net, slot: Slot, index: usize, client: ClientId) {
        net.txns.abandon(client);
        if let Some(branch) = self.branch(slot, index) {
            branch.client = None;
        }
    }

    /// A flow died: every request that waits on it is sent again, or fails (P-31,
    /// `Target::failure_status`) without waiting for its timer. `was_up`: there had been
    /// a connection, so that there may be another one; `back`: to there.
    pub(crate) fn flow_lost(
        &mut self,
        turn: &mut Turn<'_>,
        flow: Flow,
        was_up: bool,
        back: Option<Reopen>,
    ) {
        self.returns.flow_lost(turn, flow);
        let mut waiting = Vec::new();
        turn.net.txns.clients_on(flow, &mut waiting);
        for (client, owner) in waiting.drain(..) {
            if let Owner::Proxy { context, branch } = owner {
                self.request_lost(turn, context, branch.into(), client, was_up, back);
            }
        }
        // After their INVITEs: those look whether their CANCEL is still unanswered
        // (`loss_status`), or have just sent one over the flow that is lost.
        turn.net.txns.clients_on(flow, &mut waiting);
        for (client, owner) in waiting {
            if let Owner::Cancel { context } = owner {
                turn.net.txns.abandon(client);
                self.transaction_ended(turn.net, context);
            }
        }
    }

    /// One datagram did not arrive: its request fails, and nothing else.
    pub(crate) fn unreached(&mut self, turn: &mut Turn<'_>, client: ClientId) {
        match turn.net.txns.client_owner(client) {
            Some(Owner::Proxy { context, branch }) => {
                self.request_lost(turn, context, branch.into(), client, false, None);
            }
            Some(Owner::Cancel { context }) => {
                turn.net.txns.abandon(client);
                self.transaction_ended(turn.net, context);
            }
            Some(Owner::Local | Owner::Agent(_)) | None => turn.net.txns.fail(client),
        }
    }

    /// The flow of a request was lost, or its datagram did not arrive: it is sent again, kept
    /// for an answer by another way, or fails.
    fn request_lost(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        index: usize,
        client: ClientId,
        was_up: bool,
        back: Option<Reopen>,
    ) {
        let pending = self.branch(slot, index).filter(|b| b.is_pending());
        let Some(branch) = pending else {
            // It has ended already: its transaction lingers by its own timers.
            return;
        };
        let status = branch.loss_status(turn.net);
        turn.net.counters.transport_failures += 1;
        if was_up && self.send_again(turn, slot, index, client, back) {
            return;
        }
        if was_up && self.keep_for_late_answer(slot, index) {
            self.branch_ended(turn, slot, index, status, None);
            return self.arm_final_deadline(turn, slot, index);
        }
        self.abandon(turn.net, slot, index, client);
        self.branch_ended(turn, slot, index, status, None);
        self.transaction_ended(turn.net, slot);
    }

    /// True for an INVITE that may have arrived before its connection was lost:
    /// its transaction stays for a 2xx over another connection (X-4, P-27). Not
    /// where the same branch goes by UDP next.
    fn keep_for_late_answer(&mut self, slot: Slot, index: usize) -> bool {
        let Some(context) = self.contexts.get_mut(slot).filter(|c| c.is_invite()) else {
            return false;
        };
        let branch = context.branches.get_mut(index);
        let Some(branch) = branch.filter(|branch| {
            let unheard = matches!(branch.state, State::Trying { .. });
            let may_leave = unheard && matches!(branch.tcp_fallback, TcpFallback::Stream(_));
            !may_leave || branch.answer_weight == AnswerWeight::FlowLost
        }) else {
            return false;
        };
        branch.answer_weight = AnswerWeight::FlowLost;
        true
    }

    /// Sends a request of which nothing was heard once more, over a new
    /// connection to the same place and before any stand-by: that the old one is
    /// gone says nothing of who is there (RFC 3263 §4.3; RFC 3261 §18.4). The
    /// new branch stands beside the old one, whose copy may have arrived: its
    /// answer then comes over another connection. False when the request
    /// was for the flow of a phone, for one of the flows of a set, or was sent again
    /// before.
    fn send_again(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        index: usize,
        client: ClientId,
        back: Option<Reopen>,
    ) -> bool {
        let Some(context) = self.contexts.get_mut(slot) else {
            return false;
        };
        let copy = context.branches.len();
        let open = !context.closed
            && !context.answered
            && copy < limits::BRANCHES_MAX
            && !turn.net.omit.leaves_out(Omit::SendingAgain);
        let stands_elsewhere = context.branches.iter().any(|branch| {
            let host = turn.net.flows.host(branch.target.hop);
            branch.is_standby() && host != back.map(|back| back.addr.ip())
        });
        let Some(lost) = context.branches.get_mut(index).filter(|lost| {
            open && !lost.is_resent
                && lost.answer_weight == AnswerWeight::Awaited
                && lost.state == State::Trying { cancel: false }
        }) else {
            return false;
        };
        let hop = match lost.target.hop {
            hop @ Hop::To { .. } => Some(hop),
            // Nobody may listen there any more, and to find that out takes time, while a
            // stand-by at another host can be reached at once.
            Hop::Flow(_) if stands_elsewhere => None,
            Hop::Flow(_) => back.and_then(|back| turn.policy.hop_to_reopen(turn.net, back)),
            Hop::Named(_) => None,
        };
        let Some(hop) = hop else {
            return false;
        };
        lost.answer_weight = AnswerWeight::FlowLost;
        let mut again = Branch::new(lost.target.clone());
        (again.is_resent, again.tcp_fallback, again.target.hop) = (true, lost.tcp_fallback, hop);
        let breadth = lost.breadth;
        context.append_standbys(index, std::iter::once(again));
        turn.net.counters.sent_again += 1;
        self.launch(turn, slot, copy, breadth);
        // Both copies went to the same place: what is to follow the first one
        // goes the way of the second.
        let other = self.branch(slot, copy).and_then(|again| again.client);
        if let Some(flow) = other.and_then(|other| turn.net.txns.client_flow(other)) {
            turn.net.txns.set_client_flow(client, flow);
        }
        self.advance(turn, slot);
        true
    }

    /// True when `limits::DRAIN_MAX` need not be waited for.
    #[must_use]
    pub(crate) fn is_drained(&self, now: Instant) -> bool {
        self.drain.is_over(now)
    }
}

impl Branch {
    /// Has its timer fire after a while, and not when it was to fire before.
    pub(super) fn set_due(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        index: usize,
        after: Duration,
    ) {
        if let Some(timer) = self.timer.take() {
            turn.net.txns.cancel_timer(timer);
        }
        self.due = turn.now + after;
        let timer = super::Timer::Branch {
            context: slot,
            branch: u8::try_from(index).unwrap_or(u8::MAX),
        };
        self.timer = Some(turn.net.txns.set_timer(self.due, timer));
    }

    /// What it ends with when whoever was to answer it is gone.
    pub(super) fn loss_status(&self, net: &Net) -> u16 {
        match (self.state, self.client) {
            // Its request may have arrived: a provisional has it cancelled then.
            (State::Trying { cancel: true }, _) => 408,
            // Its CANCEL is unanswered and may be lost as well, so that it may ring on.
            (State::Proceeding { cancelled: true }, Some(invite))
                if net.txns.has_cancel(invite) =>
            {
                408
            }
            (State::Proceeding { cancelled: true }, _) => 487,
            _ => self.target.failure_status(),
        }
    }
}
