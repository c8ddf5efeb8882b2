//! The servers of a name, in the order in which to try them (RFC 3263; N-1): by
//! what the DNS said, with those that failed a moment ago last.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::carry::carried;
use crate::id::Transport;
use crate::locate::{Find, Locator, LookupId, Question, order};
use crate::send::{Health, Outbox, Output};
use crate::time::Instant;

/// What became of the search for a name's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// They stand in `Servers::found`.
    Ready,
    /// The question is out.
    Pending,
    /// This is the answer to the request.
    Nowhere(u16),
}

/// Names, and the servers of the one that was looked for last.
#[derive(Debug)]
pub struct Servers {
    /// What the DNS said of each name.
    pub locator: Locator,
    /// Those of the name at hand.
    pub(super) found: Vec<(Transport, SocketAddr)>,
}

impl Servers {
    /// No name was looked for.
    #[must_use]
    pub(super) const fn new(locator: Locator) -> Self {
        Self {
            locator,
            found: Vec::new(),
        }
    }

    /// Looks for a name's servers; and the question to ask, where it is time to.
    /// `chance` decides among those of one priority (RFC 2782).
    pub(super) fn locate(
        &mut self,
        now: Instant,
        name: LookupId,
        chance: u64,
        health: &Health,
    ) -> (Located, Option<Arc<Question>>) {
        let (find, question) = self.locator.find(now, name);
        let located = match find {
            Find::Servers(servers) => {
                order(servers, chance, &mut self.found);
                Located::Ready
            }
            Find::Nothing => Located::Nowhere(404),
            Find::Failed => Located::Nowhere(480),
            Find::Asked => Located::Pending,
        };
        self.leave_failed_for_last(now, health);
        (located, question)
    }

    /// Looks for a name's servers by what the DNS said last, however old.
    pub(super) fn locate_last(
        &mut self,
        now: Instant,
        name: LookupId,
        chance: u64,
        health: &Health,
    ) -> Located {
        order(self.locator.stale(now, name), chance, &mut self.found);
        self.leave_failed_for_last(now, health);
        if self.found.is_empty() {
            Located::Nowhere(480)
        } else {
            Located::Ready
        }
    }

    /// Asks every question again that is not answered.
    pub(crate) fn ask_again(&self, outbox: &mut Outbox) {
        for (name, question) in self.locator.questions_out() {
            outbox.push(Output::Resolve { name, question });
        }
    }

    fn leave_failed_for_last(&mut self, now: Instant, health: &Health) {
        self.found
            .sort_by_key(|&(transport, addr)| health.is_open(now, transport, addr));
    }
}

carried!(Servers {
    parts: locator;
    made: found;
});
