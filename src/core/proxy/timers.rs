//! The ends that no answer brings: timeouts of transactions, and Timer C.

use super::branch::AnswerWeight;
use super::final_answer::local_answer;
use super::{BranchState, Net, Owner, Proxy, Turn};
use crate::id::{ServerId, Slot};
use crate::omit::Omit;
use crate::recorder::Silence;
use crate::send::Hop;

impl Proxy {
    /// No final answer came (Timer B or F).
    pub fn timed_out(&mut self, turn: &mut Turn<'_>, owner: Owner, heard: bool) {
        match owner {
            Owner::Proxy { context, branch } => {
                turn.net.counters.timeouts += 1;
                let index = usize::from(branch);
                let mut is_inside = false;
                if let Some(branch) = self.contexts.branch(context, index) {
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
                self.contexts
                    .record_silence(turn.net, context, index, Silence::TimedOut);
                self.branch_ended(turn, context, index, 408, None);
                self.contexts.transaction_ended(turn.net, context);
            }
            Owner::Cancel { context } => self.contexts.transaction_ended(turn.net, context),
            Owner::Local | Owner::Agent(_) => {}
        }
    }

    /// A client transaction ended in order.
    pub(crate) fn client_done(&mut self, net: &mut Net, owner: Owner) {
        match owner {
            Owner::Proxy { context, branch } => {
                if let Some(branch) = self.contexts.branch(context, usize::from(branch)) {
                    branch.client = None;
                }
                self.contexts.transaction_ended(net, context);
            }
            Owner::Cancel { context } => self.contexts.transaction_ended(net, context),
            Owner::Local | Owner::Agent(_) => {}
        }
    }

    /// A server transaction ended.
    pub(crate) fn server_done(&mut self, net: &mut Net, owner: Owner) {
        if let Owner::Proxy { context: slot, .. } = owner {
            if let Some(context) = self.contexts.get_mut(slot) {
                context.server = None;
            }
            self.contexts.transaction_ended(net, slot);
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
        turn.send_kept_answer(send);
    }

    /// Timer C, or the grace after a CANCEL, fired (P-30).
    pub(crate) fn branch_timer(&mut self, turn: &mut Turn<'_>, slot: Slot, number: u8) {
        let index = usize::from(number);
        let Some(branch) = self.contexts.branch(slot, index) else {
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
        let goes_on = branch.rang_out && state == (BranchState::Proceeding { cancelled: true });
        let rings = state == (BranchState::Proceeding { cancelled: false });
        if rings && (turn.net.omit.leaves_out(Omit::TimerC) || self.send_cancel(turn, slot, index))
        {
            return;
        }
        let status = match state {
            BranchState::Locating => return self.locating_ended(turn, slot, index),
            BranchState::Trying { .. } => 408,
            BranchState::Proceeding { .. } => 487,
            BranchState::Done(_) => {
                // What was kept for a late 2xx has had its time.
                if let Some(client) = client {
                    self.contexts.abandon(turn.net, slot, index, client);
                    self.contexts.transaction_ended(turn.net, slot);
                }
                return;
            }
            BranchState::Waiting | BranchState::Skipped => return,
        };
        turn.net.counters.timeouts += 1;
        let has_rung = matches!(state, BranchState::Proceeding { .. });
        let silence = if has_rung {
            Silence::RangOut
        } else {
            Silence::TimedOut
        };
        self.contexts.record_silence(turn.net, slot, index, silence);
        if goes_on {
            // The others have waited long enough; a 2xx may still be on its way.
            self.branch_ended(turn, slot, index, status, None);
            if let Some(branch) = self.contexts.branch(slot, index) {
                branch.arm_final_deadline(turn, slot, index);
            }
            return;
        }
        if let Some(client) = client {
            self.contexts.abandon(turn.net, slot, index, client);
        }
        self.branch_ended(turn, slot, index, status, None);
        self.contexts.transaction_ended(turn.net, slot);
    }

    /// A branch has been silent for as long as it may while others stand by.
    fn silent(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) {
        let Some(context) = self.contexts.get(slot) else {
            return;
        };
        let patience = context.is_invite().then(|| turn.timer_c(context, index));
        let client = context.branches.get(index).and_then(|branch| branch.client);
        if let Some(client) = client {
            turn.net.txns.note_silence(client);
        }
        if let Some((branch, patience)) = self.contexts.branch(slot, index).zip(patience) {
            branch.set_due(turn, slot, index, patience);
        }
        self.start_standby(turn, slot, index);
    }
}
