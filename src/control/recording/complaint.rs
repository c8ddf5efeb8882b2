//! What is said of losses: at once, then once in `limits::TAP_COMPLAINT` with how many there were.

use std::fmt::Display;
use std::time::Instant;

use crate::limits;

/// Losses of one kind.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    said: Option<Instant>,
    /// Since it was said last.
    lost: u64,
}

impl Complaint {
    /// One more is lost.
    pub(super) const fn count(&mut self) {
        self.lost += 1;
    }

    /// Says why, and how many were lost, unless that was said a moment ago.
    pub(super) fn say(&mut self, what: &str, to: impl Display, why: impl Display) {
        let is_said = self
            .said
            .is_some_and(|when| when.elapsed() < limits::TAP_COMPLAINT);
        if !is_said {
            self.said = Some(Instant::now());
            let lost = std::mem::take(&mut self.lost);
            tracing::error!(%to, lost, "{what} are lost: {why}");
        }
    }

    /// How many were lost since it was said last.
    #[cfg(test)]
    pub(super) const fn unsaid(&self) -> u64 {
        self.lost
    }
}
