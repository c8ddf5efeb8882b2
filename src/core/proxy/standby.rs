//! Requests to an element of the cluster for which another one can stand in: where a
//! peer says nothing for T1, the stand-by of the branch is started beside it, and the two
//! race for the answer (T-10); where it is silent for good, the branch fails.
//!
//! Timer B and F end an attempt after 32 seconds, when the caller has hung up
//! (RFC 3261 §17.1): so the next edge or home is tried long before. The first
//! attempt is not taken back by that. Its request may have arrived, and a phone
//! that was reached twice answers the second copy with 482 (§8.2.2.2): whichever of
//! the two has the better word counts (`Context::is_waiting`).

use super::context::AnswerWeight;
use super::{Branch, Context, Net, Owner, Proxy, State, Turn};
use crate::id::{Flow, Slot};
use crate::limits;
use crate::omit::Omit;

/// How a branch came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// This was answered, by an element on the way.
    Answer(u16),
    /// This was answered by whoever the request was for: no other way leads to
    /// anybody else.
    ByTarget(u16),
    /// Nothing was heard, which comes to this.
    Silent(u16),
}

impl Failure {
    /// Whether a stand-by may try.
    const fn is_retryable(self) -> bool {
        match self {
            Self::Answer(status) | Self::Silent(status) => Context::is_retryable(status),
            Self::ByTarget(_) => false,
        }
    }

    /// Whether another server of the same name may do better (RFC 3263 §4.3).
    const fn is_of_server(self) -> bool {
        matches!(self, Self::Silent(_) | Self::Answer(503))
    }
}

impl Proxy {
    /// A branch has ended: starts its stand-by, with the breadth that the branch leaves, or
    /// passes it over for good (O-19, O-20; L-5).
    pub(super) fn try_standby(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        index: usize,
        failure: Failure,
    ) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        let breadth = context.branches.get(index).map(|branch| branch.breadth);
        let mut branches = context.branches.iter();
        let standby = branches.position(|branch| branch.stands_by_for(index));
        let Some(next) = standby else { return };
        // A 408 says that the phone itself was asked, a 430 that no element of the cluster has
        // its flow. A last resort would only ask once more.
        let is_heard = matches!(failure, Failure::Answer(408 | 430));
        let last_word = context.branches[next].target.is_last_resort && is_heard;
        let open = !context.closed
            && !context.answered
            && failure.is_retryable()
            && !last_word
            && !turn.net.omit.leaves_out(Omit::StandBy);
        let Some(branch) = self.branch(slot, next) else {
            return;
        };
        if open && (!branch.is_located || failure.is_of_server()) {
            return self.launch(turn, slot, next, breadth.unwrap_or(1));
        }
        // It is passed over, and the same question is put to its own stand-by: behind the further
        // servers of one name may stand another edge, and what one server has answered for all
        // servers of its name says nothing of that edge.
        branch.breadth = breadth.unwrap_or(1);
        branch.state = State::Skipped;
        self.try_standby(turn, slot, next, failure);
    }

    /// A peer has been silent for too long (T1): every request that has heard
    /// nothing of it goes to its stand-by at once. What rings there already is left
    /// alone: a second INVITE would ring the phone twice.
    pub(crate) fn peer_suspected(&mut self, turn: &mut Turn<'_>, flow: Flow) {
        for (slot, index) in branches_on(turn.net, flow) {
            self.start_standby(turn, slot, index);
        }
    }

    /// A peer is silent for good: nothing waits for it any longer. Its
    /// transactions stay, so that a 2xx that comes after all is not lost.
    pub(crate) fn peer_lost(&mut self, turn: &mut Turn<'_>, flow: Flow) {
        for (slot, index) in branches_on(turn.net, flow) {
            let Some(branch) = self
                .branch(slot, index)
                .filter(|branch| branch.is_pending())
            else {
                continue;
            };
            let status = branch.loss_status(turn.net);
            // Its request may have arrived and its answer be lost, so a late answer still counts
            // where another branch says so (482, `Context::is_waiting`).
            branch.answer_weight = AnswerWeight::FlowLost;
            turn.net.counters.transport_failures += 1;
            self.branch_ended(turn, slot, index, status, None);
            self.arm_final_deadline(turn, slot, index);
        }
    }

    /// Sets an end to the transaction of a branch that has ended without it:
    /// an INVITE that was heard of has no timer but Timer C, which went with
    /// its branch.
    pub(super) fn arm_final_deadline(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) {
        let Some(branch) = self.branch(slot, index) else {
            return;
        };
        if branch.client.is_none() || !matches!(branch.state, State::Done(_)) {
            return;
        }
        branch.set_due(turn, slot, index, limits::T1_64);
    }

    /// Starts the stand-by of a branch that has heard nothing, beside it: the branch
    /// keeps its transaction and its timers, and both race for the answer. A stand-by
    /// at the host that is silent is not started: another port of a dead machine is
    /// no other way.
    pub(super) fn start_standby(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        // With a provisional the peer has shown that it lives and that it has the request;
        // with a CANCEL waiting nobody wants another attempt.
        let silent = context.branches.get(index);
        let Some(silent) = silent.filter(|silent| {
            !context.closed && !context.answered && silent.state == State::Trying { cancel: false }
        }) else {
            return;
        };
        let (host, breadth) = (turn.net.flows.host(silent.target.hop), silent.breadth);
        let next = context.branches.iter().position(|branch| {
            branch.stands_by_for(index) && turn.net.flows.host(branch.target.hop) != host
        });
        let Some(next) = next else { return };
        // The silent one stays in the race: it may be slow and not dead, and its 200 counts as
        // any other. But its answer is waited for only until somebody has answered the request
        // itself, or the caller would wait for Timer B with an answer at hand.
        if let Some(silent) = context.branches.get_mut(index) {
            silent.answer_weight = AnswerWeight::StandbyStarted;
        }
        turn.net.counters.overtaken += 1;
        self.launch(turn, slot, next, breadth);
    }
}

/// The branches whose requests wait for a final answer on `flow`.
fn branches_on(net: &Net, flow: Flow) -> impl Iterator<Item = (Slot, usize)> + use<> {
    let mut waiting = Vec::new();
    net.txns.clients_on(flow, &mut waiting);
    waiting.into_iter().filter_map(|(_, owner)| match owner {
        Owner::Proxy { context, branch } => Some((context, usize::from(branch))),
        Owner::Cancel { .. } | Owner::Local | Owner::Agent(_) => None,
    })
}

impl Branch {
    /// It is a target of its own, and has not been started.
    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Waiting && self.target.after.is_none()
    }

    /// It is the stand-by of another branch, and has not been started.
    pub(super) fn is_standby(&self) -> bool {
        self.state == State::Waiting && self.target.after.is_some()
    }

    /// It is the stand-by of that branch, and has not been started.
    pub(super) fn stands_by_for(&self, index: usize) -> bool {
        self.state == State::Waiting && self.target.after.map(usize::from) == Some(index)
    }
}
