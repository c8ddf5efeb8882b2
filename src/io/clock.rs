//! The monotonic clock, as the core's instants.

use crate::time::{Instant, Wall};

/// Counts microseconds since the process started it (CLOCK_MONOTONIC).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: std::time::Instant,
    wall: Wall,
}

impl Clock {
    /// A clock whose zero is now.
    #[must_use]
    pub fn start() -> Self {
        let unix = std::time::UNIX_EPOCH
            .elapsed()
            .map_or(0, |since| since.as_secs());
        Self {
            zero: std::time::Instant::now(),
            wall: Wall { unix_at_zero: unix },
        }
    }

    /// The time now. Asked once per batch, not once per message.
    #[must_use]
    pub fn now(&self) -> Instant {
        let micros = self.zero.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The calendar time of the zero.
    #[must_use]
    pub const fn wall(&self) -> Wall {
        self.wall
    }
}
