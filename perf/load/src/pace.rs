//! When the next attempt should begin.

use std::time::{Duration, Instant};

/// How attempts follow one another, and when there are enough of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) arrivals: Arrivals,
    /// No attempt begins later.
    pub(super) until: Instant,
    /// Attempts in all.
    pub(super) most: u64,
}

/// What makes an attempt begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrivals {
    /// The clock, whatever came of the ones before: the n-th begins n times
    /// `every` after `first`.
    Open {
        /// When the first one begins.
        first: Instant,
        /// Seconds from one to the next.
        every: f64,
    },
    /// The end of an earlier one: so many are unfinished at once.
    Closed {
        /// How many.
        window: usize,
    },
}

/// What to do about the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Begin it; it should have begun at that time.
    Now(Instant),
    /// It begins then.
    At(Instant),
    /// It begins when an earlier one ends.
    Later,
    /// There is none.
    Never,
}

impl Pace {
    /// About the attempt after `begun` others, of which `pending` have not
    /// ended.
    pub(super) fn next(&self, now: Instant, begun: u64, pending: usize) -> Next {
        if begun >= self.most || now >= self.until {
            return Next::Never;
        }
        match self.arrivals {
            Arrivals::Open { first, every } => {
                let at = first + Duration::from_secs_f64(every * exact(begun));
                match (at >= self.until, at <= now) {
                    (true, _) => Next::Never,
                    (false, true) => Next::Now(at),
                    (false, false) => Next::At(at),
                }
            }
            Arrivals::Closed { window } if pending < window => Next::Now(now),
            Arrivals::Closed { .. } => Next::Later,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
const fn exact(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_goes_by_the_clock_alone() {
        let first = Instant::now();
        let ms = |ms| first + Duration::from_millis(ms);
        let pace = Pace {
            arrivals: Arrivals::Open { first, every: 0.01 },
            until: ms(100),
            most: 1_000,
        };
        assert_eq!(pace.next(ms(0), 0, 0), Next::Now(ms(0)));
        assert_eq!(pace.next(ms(0), 1, 1), Next::At(ms(10)));
        // Late: the time it should have been stays.
        assert_eq!(pace.next(ms(55), 1, 9_999), Next::Now(ms(10)));
        assert_eq!(pace.next(ms(99), 10, 0), Next::Never);
        assert_eq!(pace.next(ms(100), 5, 0), Next::Never);
        let few = Pace { most: 5, ..pace };
        assert_eq!(few.next(ms(50), 5, 0), Next::Never);
    }

    #[test]
    fn a_closed_loop_goes_by_what_ended() {
        let now = Instant::now();
        let pace = Pace {
            arrivals: Arrivals::Closed { window: 2 },
            until: now + Duration::from_secs(1),
            most: 3,
        };
        assert_eq!(pace.next(now, 0, 0), Next::Now(now));
        assert_eq!(pace.next(now, 2, 2), Next::Later);
        assert_eq!(pace.next(now, 2, 1), Next::Now(now));
        assert_eq!(pace.next(now, 3, 0), Next::Never);
    }
}
