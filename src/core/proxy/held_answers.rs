//! The answers that wait until what they say is on disk, in order (`holding`).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Place;
use crate::bytes::{Buf, Pool};
use crate::carry::carried;
use crate::id::ServerId;
use crate::limits;
use crate::time::Instant;

/// The answers that wait for the store.
#[derive(Debug, Default)]
pub(crate) struct HeldAnswers {
    /// In the order of their numbers.
    list: VecDeque<HeldAnswer>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeldAnswer {
    /// The last `Output::Store` that it waits for.
    pub(super) number: u64,
    pub(super) server: ServerId,
    pub(super) since: Instant,
    /// Where its REGISTER came in.
    pub(super) place: Place,
    /// What it says once that is on disk.
    pub(super) kept: Buf,
    /// What it says where that does not get there.
    pub(super) failed: Buf,
}

impl HeldAnswers {
    /// True when no answer waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// True when no further one may.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= limits::HELD_ANSWERS_MAX
    }

    /// True when the oldest one waits for too long.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        let oldest = self.list.front();
        oldest.is_some_and(|answer| now >= answer.since + limits::STORE_WAIT_MAX)
    }

    /// Adds one, whose number is no less than those of the others.
    pub(super) fn push(&mut self, answer: HeldAnswer) {
        self.list.push_back(answer);
    }

    /// The next one that waits for nothing after `up_to`.
    pub(super) fn take(&mut self, up_to: u64) -> Option<HeldAnswer> {
        let is_due = self.list.front()?.number <= up_to;
        is_due.then(|| self.list.pop_front()).flatten()
    }

    /// The next one that waits for this number and no other.
    pub(super) fn take_one(&mut self, number: u64) -> Option<HeldAnswer> {
        let at = self.list.partition_point(|answer| answer.number < number);
        let is_it = self.list.get(at)?.number == number;
        is_it.then(|| self.list.remove(at)).flatten()
    }
}

impl HeldAnswers {
    /// Has the buffers that were read belong to a pool.
    pub(crate) fn adopt_bufs(&mut self, pool: &Pool) {
        for HeldAnswer { kept, failed, .. } in &mut self.list {
            pool.adopt_all([kept, failed]);
        }
    }
}

carried!(HeldAnswers {
    values: list;
});
