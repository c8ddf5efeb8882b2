//! Requests to an element of the cluster for which another one can stand in: where a
//! peer says nothing for T1, the stand-by of the branch is started beside it, and the two
//! race for the answer (T-10); where it is silent for good, the branch fails.
//!
//! Timer B and F end an attempt after 32 seconds, when the caller has hung up
//! (RFC 3261 §17.1): so the next edge or home is tried long before. The first
//! attempt is not taken back by that. Its request may have arrived, and a phone
//! that was reached twice answers the second copy with 482 (§8.2.2.2): whichever of
//! the two has the better word counts (`Context::is_waiting`).

use super::branch::{AnswerWeight, BranchState};
use super::{Context, Net};
use crate::omit::Omit;
use crate::recorder::{Decision, Silence};

/// How a branch came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BranchFailure {
    /// This was answered, by an element on the way.
    Answer(u16),
    /// This was answered by whoever the request was for: no other way leads to
    /// anybody else.
    ByTarget(u16),
    /// Nothing was heard, which comes to this.
    Silent(u16),
}

/// A branch that is to be started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch {
    pub(super) index: usize,
    /// Its share of the request's Max-Breadth (L-4).
    pub(super) breadth: u16,
}

impl BranchFailure {
    /// Whether a stand-by may try.
    const fn is_retryable(self) -> bool {
        match self {
            Self::Answer(status) | Self::Silent(status) => Context::is_retryable(status),
            Self::ByTarget(_) => false,
        }
    }

    /// What it comes to.
    const fn status(self) -> u16 {
        match self {
            Self::Answer(status) | Self::ByTarget(status) | Self::Silent(status) => status,
        }
    }

    /// Whether another server of the same name may do better (RFC 3263 §4.3).
    const fn is_of_server(self) -> bool {
        matches!(self, Self::Silent(_) | Self::Answer(503))
    }
}

impl Context {
    /// The stand-by of a branch that has ended, with the breadth that the branch leaves (O-19, O-20;
    /// L-5); `None` where nobody stands by. Who may not try is passed over for good.
    pub(super) fn standby_after(
        &mut self,
        net: &mut Net,
        mut index: usize,
        failure: BranchFailure,
    ) -> Option<Launch> {
        loop {
            let breadth = self.branches.get(index).map_or(1, |branch| branch.breadth);
            let mut branches = self.branches.iter();
            let next = branches.position(|branch| branch.stands_by_for(index))?;
            let branch = self.branches.get_mut(next)?;
            // A 408 says that the phone itself was asked, a 430 that no element of the cluster has
            // its flow. A last resort would only ask once more.
            let is_heard = matches!(failure, BranchFailure::Answer(408 | 430));
            let has_last_word = is_heard && branch.target.is_last_resort;
            let may_try = !self.closed
                && !self.answered
                && failure.is_retryable()
                && !has_last_word
                && !net.omit.leaves_out(Omit::StandBy);
            if may_try && (!branch.is_located || failure.is_of_server()) {
                let (hop, status) = (branch.target.hop, failure.status());
                net.decided_for(self.recorded, Some(hop), Decision::StandBy { status });
                return Some(Launch {
                    index: next,
                    breadth,
                });
            }
            // The same question is put to its own stand-by: behind the further servers of one name
            // may stand another edge, and what one server has answered for all servers of its name
            // says nothing of that edge.
            branch.breadth = breadth;
            branch.state = BranchState::Skipped;
            index = next;
        }
    }

    /// The stand-by that is to be started beside a branch which has heard nothing: the branch
    /// keeps its transaction and its timers, and both race for the answer. A stand-by
    /// at the host that is silent is not started: another port of a dead machine is
    /// no other way.
    pub(super) fn standby_beside(&mut self, net: &mut Net, index: usize) -> Option<Launch> {
        if self.closed || self.answered {
            return None;
        }
        // With a provisional the peer has shown that it lives and that it has the request;
        // with a CANCEL waiting nobody wants another attempt.
        let silent = self.branches.get(index);
        let silent =
            silent.filter(|silent| silent.state == BranchState::Trying { cancel: false })?;
        let (host, breadth) = (net.flows.host(silent.target.hop), silent.breadth);
        let next = self.branches.iter().position(|branch| {
            branch.stands_by_for(index) && net.flows.host(branch.target.hop) != host
        })?;
        // The silent one stays in the race: it may be slow and not dead, and its 200 counts as
        // any other. But its answer is waited for only until somebody has answered the request
        // itself, or the caller would wait for Timer B with an answer at hand.
        if let Some(silent) = self.branches.get_mut(index) {
            silent.answer_weight = AnswerWeight::StandbyStarted;
        }
        net.counters.overtaken += 1;
        let silent = self.branches.get(index).map(|branch| branch.target.hop);
        net.decided_for(self.recorded, silent, Decision::Silent(Silence::Overtaken));
        Some(Launch {
            index: next,
            breadth,
        })
    }
}
