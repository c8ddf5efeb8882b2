//! When which transaction is to be woken: the timing wheel, and before it a queue of those
//! that are due at once.
//!
//! A transaction has at most one entry on the wheel, and says itself whether
//! it has one. The entry may stand too early, never too late, and it may outlive
//! its transaction by up to 64·T1: it then finds nothing.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::wheel::Wheel;
use crate::id::{ClientId, ServerId};
use crate::time::Instant;

/// Everything that waits for its time, or whose time has come.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Agenda<U> {
    pub(super) wheel: Wheel<Task<U>>,
    /// To be looked at without delay, next to what the wheel may hold for
    /// them: mostly those that an event has ended at once.
    pub(super) at_once: VecDeque<Transaction>,
    at_once_since: Instant,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Transaction {
    Server(ServerId),
    Client(ClientId),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Task<U> {
    Wake(Transaction),
    User(U),
}

impl<U: Copy> Agenda<U> {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            wheel: Wheel::new(now),
            at_once: VecDeque::new(),
            at_once_since: now,
        }
    }

    /// Sees to it that a transaction is looked at when it is `due`. An entry
    /// on the wheel stays where it is, since it never stands too late.
    pub(super) fn arm(
        &mut self,
        now: Instant,
        transaction: Transaction,
        due: Option<Instant>,
        is_armed: &mut bool,
    ) {
        let Some(due) = due else { return };
        if due <= now {
            self.at_once.push_back(transaction);
            self.at_once_since = now;
        } else if !*is_armed {
            *is_armed = true;
            self.wheel.set(due, Task::Wake(transaction));
        }
    }

    /// When there is something to do at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.at_once.is_empty() {
            self.wheel.deadline()
        } else {
            Some(self.at_once_since)
        }
    }
}
