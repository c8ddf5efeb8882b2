//! What a lost flow, or a datagram that did not arrive, means for the requests that wait on it (P-31,
//!

use super::branch::{AnswerWeight, Branch, BranchState, TcpFallback};
use super::contexts::Contexts;
use super::standby::Launch;
use super::{Owner, Proxy, Turn};
use crate::id::{ClientId, Flow, Slot};
use crate::limits;
use crate::omit::Omit;
use crate::recorder::Silence;
use crate::send::Hop;
use crate::stick::Reopen;

/// What became of a request that did not arrive, or whose flow was lost.
#[derive(Clone, Copy, Debug)]
struct Loss {
    /// There had been a connection, so that there may be another one.
    was_up: bool,
    /// To there.
    back: Option<Reopen>,
    /// Nobody can have taken it.
    is_untaken: bool,
}

impl Proxy {
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
                self.contexts
                    .record_silence(turn.net, context, branch.into(), Silence::FlowLost);
                let loss = Loss {
                    was_up,
                    back,
                    is_untaken: !was_up,
                };
                self.request_lost(turn, context, branch.into(), client, loss);
            }
        }
        // After their INVITEs: those look whether their CANCEL is still unanswered
        // (`loss_status`), or have just sent one over the flow that is lost.
        turn.net.txns.clients_on(flow, &mut waiting);
        for (client, owner) in waiting {
            if let Owner::Cancel { context } = owner {
                turn.net.txns.abandon(client);
                self.contexts.transaction_ended(turn.net, context);
            }
        }
    }

    /// One datagram did not arrive: its request fails, and nothing else.
    pub(crate) fn unreached(&mut self, turn: &mut Turn<'_>, client: ClientId) {
        match turn.net.txns.client_owner(client) {
            Some(Owner::Proxy { context, branch }) => {
                self.contexts.record_silence(
                    turn.net,
                    context,
                    branch.into(),
                    Silence::Unreachable,
                );
                let loss = Loss {
                    was_up: false,
                    back: None,
                    is_untaken: turn.net.txns.was_sent_once(client)
                        || turn.net.omit.leaves_out(Omit::OnlyUntaken),
                };
                if !loss.is_untaken && self.contexts.goes_on(turn, context, branch.into()) {
                    return;
                }
                self.request_lost(turn, context, branch.into(), client, loss);
            }
            Some(Owner::Cancel { context }) => {
                turn.net.txns.abandon(client);
                self.contexts.transaction_ended(turn.net, context);
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
        loss: Loss,
    ) {
        let Loss { was_up, back, .. } = loss;
        let pending = self.contexts.branch(slot, index).filter(|b| b.is_pending());
        let Some(branch) = pending else {
            // It has ended already: its transaction lingers by its own timers.
            return;
        };
        let status = branch.loss_status(turn.net);
        turn.net.counters.transport_failures += 1;
        if was_up && self.send_again(turn, slot, index, client, back) {
            return;
        }
        if was_up && self.contexts.keep_for_late_answer(slot, index) {
            self.branch_ended(turn, slot, index, status, None);
            if let Some(branch) = self.contexts.branch(slot, index) {
                branch.arm_final_deadline(turn, slot, index);
            }
            return;
        }
        self.contexts.abandon(turn.net, slot, index, client);
        if let Some(branch) = self.contexts.branch(slot, index) {
            // One that was sent again has gone over an earlier connection as well.
            branch.is_untaken = loss.is_untaken && branch.answer_weight != AnswerWeight::FlowLost;
        }
        self.branch_ended(turn, slot, index, status, None);
        self.contexts.transaction_ended(turn.net, slot);
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
                && lost.state == BranchState::Trying { cancel: false }
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
        self.launch(
            turn,
            slot,
            Launch {
                index: copy,
                breadth,
            },
        );
        // Both copies went to the same place: what is to follow the first one
        // goes the way of the second.
        let other = self
            .contexts
            .branch(slot, copy)
            .and_then(|again| again.client);
        if let Some(flow) = other.and_then(|other| turn.net.txns.client_flow(other)) {
            turn.net.txns.set_client_flow(client, flow);
        }
        self.advance(turn, slot);
        true
    }
}

impl Contexts {
    /// True for an INVITE that may have arrived before its connection was lost:
    /// its transaction stays for a 2xx over another connection (X-4, P-27). Not
    /// where the same branch goes by UDP next.
    fn keep_for_late_answer(&mut self, slot: Slot, index: usize) -> bool {
        let Some(context) = self.get_mut(slot).filter(|c| c.is_invite()) else {
            return false;
        };
        let branch = context.branches.get_mut(index);
        let Some(branch) = branch.filter(|branch| {
            let unheard = matches!(branch.state, BranchState::Trying { .. });
            let may_leave = unheard && matches!(branch.tcp_fallback, TcpFallback::Stream(_));
            !may_leave || branch.answer_weight == AnswerWeight::FlowLost
        }) else {
            return false;
        };
        branch.answer_weight = AnswerWeight::FlowLost;
        true
    }
}
