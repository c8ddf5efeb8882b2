//! Changes of bindings that are not on disk yet, with what was there before each.
//!
//! RFC 3261 §10.3: where the database does not take the change of a REGISTER, the request fails
//! with 500 and what was tentative is removed. So each change is kept with the bindings
//! before it until the store has it. No more are kept than answers may wait, and none of
//! what a sweep or an operator changes, which is not taken back.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Binding;
use crate::limits;
use crate::time::Instant;

/// The changes that are not on disk yet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct TentativeChanges {
    /// In the order of their numbers.
    list: VecDeque<TentativeChange>,
    /// The number of the last row that was put out.
    put_out: u64,
    /// The number of the last row that is on disk.
    on_disk: u64,
    /// Until when the store is taken for one that cannot be written.
    fails_until: Option<Instant>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TentativeChange {
    number: u64,
    aor: Box<[u8]>,
    before: Vec<Binding>,
}

impl TentativeChanges {
    /// The number of the last row that was put out.
    pub(super) const fn put_out(&self) -> u64 {
        self.put_out
    }

    /// The number of the next row that is put out.
    pub(super) const fn next_number(&mut self) -> u64 {
        self.put_out += 1;
        self.put_out
    }

    /// The number that an answer has to wait for that says how things are now; `None` when all
    /// of it is on disk.
    pub(super) fn awaited(&self) -> Option<u64> {
        (self.on_disk < self.put_out).then_some(self.put_out)
    }

    /// Whether the store was said to fail a moment ago, and has written nothing since.
    pub(super) fn is_failing(&self, now: Instant) -> bool {
        self.fails_until.is_some_and(|until| now < until)
    }

    /// Whether no further change may be remembered.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= limits::HELD_ANSWERS_MAX
    }

    /// Remembers what the bindings of an address of record were before the record was put out
    /// that was the last one.
    pub(super) fn push(&mut self, aor: &[u8], before: Vec<Binding>) {
        self.list.push_back(TentativeChange {
            number: self.put_out,
            aor: aor.into(),
            before,
        });
    }

    /// Everything up to this row is on disk.
    pub(super) fn note_stored(&mut self, up_to: u64) {
        self.fails_until = None;
        self.on_disk = self.on_disk.max(up_to);
        while self
            .list
            .front()
            .is_some_and(|change| change.number <= up_to)
        {
            self.list.pop_front();
        }
    }

    /// The store has refused what this row was put out for, and said what is there instead.
    pub(super) fn note_refused(&mut self, number: u64) {
        self.list.retain(|change| change.number != number);
    }

    /// The store cannot be written.
    pub(super) fn note_not_stored(&mut self, now: Instant) {
        self.fails_until = Some(now + limits::STORE_FAILS_FOR);
    }

    /// Takes off the last change: whose it was, and what was there before.
    pub(super) fn pop(&mut self) -> Option<(Box<[u8]>, Vec<Binding>)> {
        let change = self.list.pop_back()?;
        Some((change.aor, change.before))
    }

    /// Nothing of this address of record comes back: it was revoked.
    pub(super) fn forget(&mut self, aor: &[u8]) {
        for change in &mut self.list {
            if *change.aor == *aor {
                change.before = Vec::new();
            }
        }
    }
}
