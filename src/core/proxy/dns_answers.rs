//! What an answer of the DNS, or its silence, means for the branches that wait for it.

use super::branch::BranchState;
use super::locating::BranchHop;
use super::servers::Located;
use super::standby::Launch;
use super::{Proxy, Step, Turn};
use crate::id::Slot;
use crate::locate::{LookupId, LookupOutcome, Records};

impl Proxy {
    /// An answer of the DNS: whoever waited for it goes on.
    pub fn resolved(&mut self, turn: &mut Turn<'_>, name: LookupId, records: &Records) {
        let mut waiting = Vec::new();
        let locator = &mut turn.net.servers.locator;
        if locator.answer(turn.now, name, records, &mut waiting) == LookupOutcome::Failed {
            turn.net.counters.names_failed += 1;
        }
        // The role first: whether an address is a home's, and may be sent to, follows from this very
        // answer.
        turn.policy
            .on_dns_answer(&mut Step::new(turn.net, turn.now));
        for waiter in waiting {
            let (slot, index) = (waiter.context, usize::from(waiter.branch));
            let Some(branch) = self.contexts.branch(slot, index) else {
                continue;
            };
            // It may have been cancelled meanwhile, or its time be up.
            if branch.state != BranchState::Locating {
                continue;
            }
            branch.state = BranchState::Waiting;
            let breadth = branch.breadth;
            if let Some(timer) = branch.timer.take() {
                turn.net.txns.cancel_timer(timer);
            }
            self.launch(turn, slot, Launch { index, breadth });
            self.advance(turn, slot);
        }
        self.returns.located(turn, name);
    }

    /// The DNS is silent: what it said last has to do.
    pub(super) fn locating_ended(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) {
        let Some(name) = self.contexts.name_of(slot, index) else {
            return;
        };
        let breadth = self
            .contexts
            .branch(slot, index)
            .map_or(1, |branch| branch.breadth);
        let chance = turn.net.secrets.chance();
        // A record whose time is over leads to the right server more often than none does.
        let way = match turn.net.locate_last(turn.now, name, chance) {
            Located::Ready => self.contexts.spread_over_servers(turn, slot, index),
            Located::Pending | Located::Nowhere(_) => {
                turn.net.counters.timeouts += 1;
                BranchHop::Nowhere(480)
            }
        };
        let next = match way {
            BranchHop::Nowhere(status) => {
                let context = self.contexts.get_mut(slot);
                context.and_then(|context| context.not_located(turn.net, index, status))
            }
            BranchHop::Known | BranchHop::Awaited => Some(Launch { index, breadth }),
        };
        if let Some(next) = next {
            self.launch(turn, slot, next);
        }
        self.advance(turn, slot);
    }
}
