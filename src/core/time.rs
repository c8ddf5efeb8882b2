//! Time as a plain value. The core never asks what time it is: every entry
//! point is told. One microsecond resolution, counted from an arbitrary zero
//! that the shell (or a test) chooses; `Wall` ties that zero to the calendar
//! for the few things that outlive a process (nonces, registrations).

use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

pub use std::time::Duration;

/// A point on the shard's own monotonic clock, in microseconds since its zero.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
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
    pub(crate) const fn instant(self, unix: u64) -> Instant {
        Instant::from_micros(
            unix.saturating_sub(self.unix_at_zero)
                .saturating_mul(1_000_000),
        )
    }
}

/// A calendar second as people and machines write it: `2026-11-29 13:43:33 UTC`.
#[must_use]
pub fn date(unix: u64) -> String {
    // Days since 1 March of a year 0, in eras of 400 years (after Hinnant).
    let day = unix / 86_400 + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let since_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * since_march + 2) / 5 + 1;
    let month = (since_march + 2) % 12 + 1;
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (unix / 3_600 % 24, unix / 60 % 60, unix % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix, want) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_800_000_000, "2027-01-15 08:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(date(unix), want);
        }
    }

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
