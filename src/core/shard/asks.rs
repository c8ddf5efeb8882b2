//! What a store that several homes share says, and the requests that wait for it.

use super::{RoleState, Shard};
use crate::home::{SharedRow, Tell};
use crate::proxy::{Asked, Step, Timer};
use crate::time::Instant;

impl Shard {
    /// The store says how an address of record is, or that it cannot say; the request that has
    /// asked goes on.
    pub(super) fn shared(&mut self, now: Instant, row: Option<&SharedRow<'_>>, id: u64) {
        let asked = self.net.asks.take(id);
        if let Some(row) = row
            && let RoleState::Home(home) = &mut self.role
        {
            let step = &mut Step::new(&mut self.net, now);
            home.take_in_shared(step, row, asked.is_some());
        }
        self.go_on(now, asked);
    }

    /// The store is to be told of every address of record, or asked for it.
    pub(super) fn tell_shared(&mut self, now: Instant, what: Tell) {
        if let RoleState::Home(home) = &mut self.role {
            home.tell_shared(&mut Step::new(&mut self.net, now), what);
        }
    }

    /// Those go on whose time is over.
    pub(super) fn end_asks(&mut self, now: Instant) {
        while let Some(asked) = self.net.asks.take_late(now) {
            self.net.counters.shared_late += 1;
            self.go_on(now, Some(asked));
        }
        if let Some(end) = self.net.asks.next_end() {
            self.net.txns.set_timer(end, Timer::Asks);
        }
    }

    fn go_on(&mut self, now: Instant, asked: Option<Asked>) {
        if let Some(Asked { ingress, bytes, .. }) = asked {
            self.message(now, ingress, &bytes, None);
        }
    }
}
