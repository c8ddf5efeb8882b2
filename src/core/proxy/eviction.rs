//! Memory is short: whoever holds much of it gives some back before somebody who
//! holds little is refused.
//!
//! What is given up are pending requests of strangers, of sources that hold more
//! than `limits::SOURCE_EVICTED_FROM`: who calls now and then is never among them,
//! however many addresses a flood pretends to come from. They are looked for at
//! random, since it is the one who holds most that is met most often; so nothing is
//! kept in order for it while memory is not short.

use super::contexts::Contexts;
use super::messages::is_sos;
use super::{BranchState, Context, Proxy, Request, Turn};
use crate::id::Slot;
use crate::limits;
use crate::trust::Principal;

impl Proxy {
    /// Makes room for a request that there is none for; whether it may be kept now.
    pub(super) fn makes_room(&mut self, turn: &mut Turn<'_>, request: &Request<'_>) -> bool {
        let held = turn.net.txns.charged(request.ingress.source.ip()) + request.bytes.len();
        if held > limits::SOURCE_EVICTED_FROM && !request.ingress.principal.is_cluster_node() {
            return false;
        }
        for _ in 0..limits::EVICTIONS_MAX {
            let Some(slot) = self.contexts.pick_of_heaviest_source(turn) else {
                return false;
            };
            turn.net.counters.evicted += 1;
            self.evict(turn, slot);
            if turn.has_room(request) {
                return true;
            }
        }
        false
    }

    /// Gives a request up: what rings is cancelled, and a branch that nothing was heard of
    /// is not waited for.
    fn evict(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        self.cancel_pending(turn, slot);
        let branches = self
            .contexts
            .get(slot)
            .map_or(0, |context| context.branches.len());
        for index in 0..branches {
            let Some(branch) = self.contexts.branch(slot, index) else {
                break;
            };
            let waits = match branch.state {
                BranchState::Trying { .. } | BranchState::Proceeding { cancelled: false } => {
                    branch.client
                }
                BranchState::Proceeding { cancelled: true }
                | BranchState::Waiting
                | BranchState::Locating
                | BranchState::Done(_)
                | BranchState::Skipped => None,
            };
            if let Some(client) = waits {
                self.contexts.abandon(turn.net, slot, index, client);
                self.branch_ended(turn, slot, index, 503, None);
                self.contexts.transaction_ended(turn.net, slot);
            }
        }
        self.advance(turn, slot);
        self.contexts.remove_if_over(turn.net, slot);
        // The answer has left its lines there.
        self.plan.clear();
    }
}

impl Contexts {
    /// A pending request of the source that holds most, among some that are looked at.
    fn pick_of_heaviest_source(&self, turn: &mut Turn<'_>) -> Option<Slot> {
        let len = u64::try_from(self.end().max(1)).unwrap_or(u64::MAX);
        let chance = turn.net.secrets.chance();
        let [start, stride] = [chance, chance >> 32].map(|part| part & u64::from(u32::MAX));
        let mut most = (limits::SOURCE_EVICTED_FROM, None);
        for step in 0..limits::EVICTION_SAMPLE {
            let index = (start + step * (stride | 1)) % len;
            let found = u32::try_from(index).ok().and_then(|at| self.at(at));
            if let Some((slot, context)) = found.filter(|(_, context)| context.is_evictable()) {
                let held = turn.net.txns.charged(context.ingress.source.ip());
                if held > most.0 {
                    most = (held, Some(slot));
                }
            }
        }
        most.1
    }
}

impl Context {
    /// A stranger's, which has not been given up before; not an emergency call.
    fn is_evictable(&self) -> bool {
        let uri = self.base.as_deref().map(|base| self.uri.of(base));
        matches!(self.ingress.principal, Principal::Stranger)
            && !self.answered
            && !self.closed
            && !uri.is_some_and(is_sos)
    }
}

impl Turn<'_> {
    /// Whether there is memory for a request, and its source may have it.
    pub(super) fn has_room(&mut self, request: &Request<'_>) -> bool {
        self.may_keep(request) && !self.net.pool.is_exhausted()
    }
}
