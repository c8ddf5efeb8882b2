//! A node that is about to stop: it begins nothing more, and ends once every request has
//! had its answer and every INVITE the time for its ACK.

use crate::limits;
use crate::time::Instant;

/// What a drain waits for, counted from the start on.
#[derive(Debug)]
pub(super) struct Drain {
    has_begun: bool,
    /// INVITEs with a final answer whose ACK has not come yet.
    unacknowledged: u32,
    /// When the last of them was answered.
    last_answered: Instant,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            has_begun: false,
            unacknowledged: 0,
            last_answered: Instant::ZERO,
        }
    }
}

impl Drain {
    pub(super) const fn begin(&mut self) {
        self.has_begun = true;
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
