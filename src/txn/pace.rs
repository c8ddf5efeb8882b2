//! The pace of retransmission: timers A, E and G together with the timer that
//! ends them (B, F and H), RFC 3261 §17.
//!
//! All are counted from the first send, so a late wake-up delays one copy and
//! never the schedule; copies that a stall made obsolete are left out.

use crate::limits::{T1, T1_64, T2};
use crate::time::{Duration, Instant};

/// When the next copy of a message is due, and when there are no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// When the first copy went out.
    since: Instant,
    /// When the next one goes, in microseconds after `since`.
    next_us: u32,
    growth: Growth,
}

/// How the interval between copies develops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// T1, doubling without end (Timer A).
    Doubling,
    /// T1, doubling up to T2 (timers E and G).
    DoublingToT2,
    /// Always T2 (Timer E after a provisional response).
    Steady,
    /// No copies: the transport is reliable.
    Never,
}

/// What a wake-up means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Not yet.
    Rest,
    /// Send a copy.
    Send,
    /// 64·T1 have passed.
    End,
}

impl Pace {
    /// The schedule of a message whose first copy goes out at `now`.
    pub(super) fn new(now: Instant, growth: Growth) -> Self {
        Self {
            since: now,
            next_us: micros(T1),
            growth,
        }
    }

    /// The next moment of interest.
    pub(super) fn due(&self) -> Instant {
        match self.growth {
            Growth::Never => self.end(),
            Growth::Doubling | Growth::DoublingToT2 | Growth::Steady => self.next().min(self.end()),
        }
    }

    /// A provisional response came: the copy under way keeps its time, the
    /// later ones follow at T2 (RFC 3261 §17.1.2.2).
    pub(super) fn calm(&mut self) {
        if self.growth != Growth::Never {
            self.growth = Growth::Steady;
        }
    }

    /// Moves on to `now`.
    pub(super) fn beat(&mut self, now: Instant) -> Beat {
        if now >= self.end() {
            return Beat::End;
        }
        if now < self.due() {
            return Beat::Rest;
        }
        while self.next() <= now {
            // Doubling from T1, the sum of all intervals so far is one T1
            // short of the next interval.
            let interval = match self.growth {
                Growth::Doubling => self.next_us + micros(T1),
                Growth::DoublingToT2 => (self.next_us + micros(T1)).min(micros(T2)),
                Growth::Steady | Growth::Never => micros(T2),
            };
            self.next_us = self.next_us.saturating_add(interval);
        }
        Beat::Send
    }

    fn next(&self) -> Instant {
        self.since + Duration::from_micros(u64::from(self.next_us))
    }

    fn end(&self) -> Instant {
        self.since + T1_64
    }
}

/// Microseconds of a duration that is at most an hour.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

const _: () = assert!(
    T1_64.as_secs() * 4 < u32::MAX as u64 / 1_000_000,
    "a schedule fits 32 bits"
);

#[cfg(test)]
mod tests {
    use super::*;

    /// Sleeps from one due time to the next; a provisional response comes
    /// after the copy number `calm_after`.
    #[track_caller]
    fn check(growth: Growth, calm_after: Option<usize>, want_ms: &[u64]) {
        let start = Instant::from_micros(123_456);
        let mut pace = Pace::new(start, growth);
        let mut copies = Vec::new();
        loop {
            let now = pace.due();
            match pace.beat(now) {
                Beat::Rest => panic!("woken for nothing"),
                Beat::Send => copies.push(now.since(start)),
                Beat::End => break assert_eq!(now, start + T1_64),
            }
            if calm_after == Some(copies.len()) {
                pace.calm();
            }
        }
        let want: Vec<_> = want_ms
            .iter()
            .map(|&ms| Duration::from_millis(ms))
            .collect();
        assert_eq!(copies, want);
    }

    // T-1
    #[test]
    fn copies_keep_the_schedule_of_rfc_3261() {
        check(
            Growth::Doubling,
            None,
            &[500, 1_500, 3_500, 7_500, 15_500, 31_500],
        );
        check(
            Growth::DoublingToT2,
            None,
            &[
                500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
            ],
        );
        check(
            Growth::DoublingToT2,
            Some(1),
            &[
                500, 1_500, 5_500, 9_500, 13_500, 17_500, 21_500, 25_500, 29_500,
            ],
        );
        check(Growth::Never, None, &[]);
        check(Growth::Never, Some(0), &[]);
    }

    #[test]
    fn a_stall_costs_copies_and_not_the_schedule() {
        let start = Instant::from_micros(0);
        let mut pace = Pace::new(start, Growth::Doubling);
        assert_eq!(pace.beat(start + Duration::from_millis(499)), Beat::Rest);
        assert_eq!(pace.beat(start + Duration::from_millis(4_000)), Beat::Send);
        assert_eq!(pace.due(), start + Duration::from_millis(7_500));
        assert_eq!(pace.beat(start + Duration::from_secs(60)), Beat::End);
    }
}
