//! A node that is about to stop: it ends once every request has had its answer and every
//! INVITE the time for its ACK. What `shard/draining` says of edges and homes goes beyond this.

use serde::{Deserialize, Serialize};

use super::contexts::Contexts;
use crate::id::Slot;
use crate::limits;
use crate::time::Instant;

/// What a drain waits for, counted from the start on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Drain {
    has_begun: bool,
    /// Of a node that goes on with what is new: the requests that had no final answer at the
    /// beginning, which are all that it waits for.
    awaited: Option<Vec<Slot>>,
    /// It takes in nothing that is new any more, whoever sends it.
    leaves: bool,
    /// INVITEs with a final answer whose ACK has not come yet.
    unacknowledged: u32,
    /// When the last of them was answered.
    last_answered: Instant,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            has_begun: false,
            awaited: None,
            leaves: false,
            unacknowledged: 0,
            last_answered: Instant::ZERO,
        }
    }
}

impl Drain {
    /// `awaited`: only these requests are waited for.
    pub(super) fn begin(&mut self, awaited: Option<Vec<Slot>>) {
        self.has_begun = true;
        self.awaited = awaited;
    }

    /// True when all requests that alone are waited for have an answer; `None`: all are.
    pub(super) fn are_answered(&mut self, contexts: &Contexts) -> Option<bool> {
        let awaited = self.awaited.as_mut()?;
        let is_open = |slot: &Slot| contexts.get(*slot).is_some_and(|it| !it.answered);
        while awaited.last().is_some_and(|slot| !is_open(slot)) {
            awaited.pop();
        }
        Some(awaited.is_empty())
    }

    /// Of a node that went on with what is new: it does so no longer, and waits for all that it has.
    pub(super) fn leave(&mut self) {
        if self.awaited.take().is_some() {
            self.leaves = true;
        }
    }

    /// True while it goes on with what is new.
    pub(super) const fn goes_on(&self) -> bool {
        self.awaited.is_some()
    }

    pub(super) const fn leaves(&self) -> bool {
        self.leaves
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// An INVITE is answered finally, and owes us an ACK.
    pub(super) const fn ack_is_due(&mut self, now: Instant) {
        self.unacknowledged = self.unacknowledged.saturating_add(1);
        self.last_answered = now;
    }

    /// An ACK came that may be that of one of them.
    pub(super) const fn ack_came(&mut self) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
    }

    /// True when no ACK is waited for. It may be lost, or go another way.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let has_waited = now >= self.last_answered + limits::T4;
        self.unacknowledged == 0 || has_waited
    }
}
