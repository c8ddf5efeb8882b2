//! Time as a plain value. The core never asks what time it is: every entry
//! point is told. One microsecond resolution, counted from an arbitrary zero
//! that the shell (or a test) chooses; `Wall` ties that zero to the calendar
//! for the few things that outlive a process (nonces, registrations).

use std::ops::{Add, Sub};

pub use std::time::Duration;

/// A point on the shard's own monotonic clock, in microseconds since its zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The zero of the clock.
    pub const ZERO: Self = Self(0);

    /// The instant `micros` microseconds after zero.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since zero.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time since `earlier`, or zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of the clock (half a million years).
    fn add(self, rhs: Duration) -> Self {
        let micros = u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at zero.
    fn sub(self, rhs: Duration) -> Self {
        let micros = u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }
}

/// The calendar time at `Instant::ZERO`, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wall {
    /// Seconds since 1970 at `Instant::ZERO`.
    pub unix_at_zero: u64,
}

impl Wall {
    /// Seconds since 1970 at `now`.
    #[must_use]
    pub const fn unix(self, now: Instant) -> u64 {
        self.unix_at_zero + now.as_micros() / 1_000_000
    }

    /// The instant of a calendar second; `ZERO` when it lies before the zero.
    #[must_use]
    pub const fn instant(self, unix: u64) -> Instant {
        Instant::from_micros(
            unix.saturating_sub(self.unix_at_zero)
                .saturating_mul(1_000_000),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let t = Instant::from_micros(5);
        assert_eq!(t - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(Instant::ZERO.since(t), Duration::ZERO);
        assert_eq!(
            Instant::from_micros(u64::MAX) + Duration::from_secs(1),
            Instant::from_micros(u64::MAX)
        );
    }

    #[test]
    fn the_calendar_follows_the_clock() {
        let wall = Wall {
            unix_at_zero: 1_000,
        };
        assert_eq!(wall.unix(Instant::from_micros(2_500_000)), 1_002);
        assert_eq!(wall.instant(1_002), Instant::from_micros(2_000_000));
    }
}
