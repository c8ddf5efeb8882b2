//! The monotonic clock, as the core's instants.

use std::io;

use nix::time::{ClockId, clock_gettime};

use crate::time::{Duration, Instant, Wall};

/// Counts microseconds since the process started it (CLOCK_MONOTONIC).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: std::time::Instant,
    unix_micros_at_zero: u64,
}

impl Clock {
    /// A clock whose zero is the beginning of this second of the calendar: the core knows the zero
    /// in whole seconds, and what it says of a time is to be what the recorder says of it.
    #[must_use]
    pub fn start() -> Self {
        let now = std::time::Instant::now();
        let unix = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let begun = Duration::from_nanos(unix.subsec_nanos().into());
        // On a machine that has just been started there may be no such instant.
        let zero = now.checked_sub(begun).unwrap_or(now);
        Self {
            zero,
            unix_micros_at_zero: unix.as_secs().saturating_mul(1_000_000),
        }
    }

    /// What another process of this machine needs to go on with the same clock: the zero in
    /// nanoseconds of CLOCK_MONOTONIC, and the calendar time of it in microseconds.
    ///
    /// # Errors
    /// When the kernel does not know the time.
    pub fn written(&self) -> io::Result<(u64, u64)> {
        let zero = monotonic()?.saturating_sub(self.zero.elapsed());
        let nanos = u64::try_from(zero.as_nanos()).unwrap_or(u64::MAX);
        Ok((nanos, self.unix_micros_at_zero))
    }

    /// The clock that another process has written.
    ///
    /// # Errors
    /// When the kernel does not know the time, or that one would begin after it.
    pub fn read((zero, unix_micros_at_zero): (u64, u64)) -> io::Result<Self> {
        let since = monotonic()?.checked_sub(Duration::from_nanos(zero));
        let zero = since.and_then(|since| std::time::Instant::now().checked_sub(since));
        let zero = zero.ok_or_else(|| io::Error::other("the clock begins in the future"))?;
        Ok(Self {
            zero,
            unix_micros_at_zero,
        })
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
        Wall {
            unix_at_zero: self.unix_micros_at_zero / 1_000_000,
        }
    }

    /// Microseconds since 1970 at an instant of this clock.
    #[must_use]
    pub(crate) const fn unix_micros(&self, at: Instant) -> u64 {
        self.unix_micros_at_zero + at.as_micros()
    }
}

fn monotonic() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_and_the_recorder_mean_the_same_time() {
        let clock = Clock::start();
        let by_recorder = clock.unix_micros(clock.now());
        let by_core = clock.wall().unix_at_zero * 1_000_000 + clock.now().as_micros();
        let unix = std::time::UNIX_EPOCH.elapsed().unwrap();
        let unix = u64::try_from(unix.as_micros()).unwrap();
        for said in [by_recorder, by_core] {
            assert!(said.abs_diff(unix) < 10_000, "{said}, and it is {unix}");
        }
    }

    #[test]
    fn a_clock_that_is_read_again_goes_on_where_it_was() {
        let clock = Clock::start();
        let again = Clock::read(clock.written().unwrap()).unwrap();
        let (before, between, after) = (clock.now(), again.now(), clock.now());
        let slack = Duration::from_millis(1);
        assert!(before.since(between) < slack && between.since(after) < slack);
        assert_eq!(again.wall(), clock.wall());
        Clock::read((u64::MAX, 0)).unwrap_err();
    }
}
