//! The pace of retransmission: timers A, E and G together with the timer that
//! ends them (B, F and H), RFC 3261 §17.
//!
//! All are counted from the first send, so a late wake-up delays one copy and
//! never the schedule; copies that a stall made obsolete are left out.

use serde::{Deserialize, Serialize};

use crate::limits::{T1, T1_64, T2};
use crate::time::{Duration, Instant};

/// When the next copy of a message is due, and when there are no more.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Pace {
    /// When the first copy went out.
    since: Instant,
    /// When the next one goes, in microseconds after `since`.
    next_us: u32,
    backoff: Backoff,
}

/// How the interval between copies develops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Backoff {
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
pub(super) enum TimerEvent {
    /// Not yet.
    Rest,
    /// Send a copy.
    Send,
    /// 64·T1 have passed.
    End,
}

impl Pace {
    /// The schedule of a message whose first copy goes out at `now`.
    pub(super) fn new(now: Instant, backoff: Backoff) -> Self {
        Self {
            since: now,
            next_us: micros(T1),
            backoff,
        }
    }

    /// True until a second copy is sent.
    pub(super) fn is_at_first(&self) -> bool {
        self.next_us == micros(T1)
    }

    /// The next moment of interest.
    pub(super) fn due(&self) -> Instant {
        match self.backoff {
            Backoff::Never => self.end(),
            Backoff::Doubling | Backoff::DoublingToT2 | Backoff::Steady => {
                self.next().min(self.end())
            }
        }
    }

    /// A provisional response came: the copy under way keeps its time, the
    /// later ones follow at T2 (RFC 3261 §17.1.2.2).
    pub(super) fn slow_down(&mut self) {
        if self.backoff != Backoff::Never {
            self.backoff = Backoff::Steady;
        }
    }

    /// Moves on to `now`.
    pub(super) fn advance(&mut self, now: Instant) -> TimerEvent {
        if now >= self.end() {
            return TimerEvent::End;
        }
        if now < self.due() {
            return TimerEvent::Rest;
        }
        while self.next() <= now {
            // Doubling from T1, the sum of all intervals so far is one T1
            // short of the next interval.
            let interval = match self.backoff {
                Backoff::Doubling => self.next_us + micros(T1),
                Backoff::DoublingToT2 => (self.next_us + micros(T1)).min(micros(T2)),
                Backoff::Steady | Backoff::Never => micros(T2),
            };
            self.next_us = self.next_us.saturating_add(interval);
        }
        TimerEvent::Send
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
    fn check(backoff: Backoff, calm_after: Option<usize>, want_ms: &[u64]) {
        let start = Instant::from_micros(123_456);
        let mut pace = Pace::new(start, backoff);
        let mut copies = Vec::new();
        loop {
            let now = pace.due();
            match pace.advance(now) {
                TimerEvent::Rest => panic!("woken for nothing"),
                TimerEvent::Send => copies.push(now.since(start)),
                TimerEvent::End => break assert_eq!(now, start + T1_64),
            }
            if calm_after == Some(copies.len()) {
                pace.slow_down();
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
            Backoff::Doubling,
            None,
            &[500, 1_500, 3_500, 7_500, 15_500, 31_500],
        );
        check(
            Backoff::DoublingToT2,
            None,
            &[
                500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
            ],
        );
        check(
            Backoff::DoublingToT2,
            Some(1),
            &[
                500, 1_500, 5_500, 9_500, 13_500, 17_500, 21_500, 25_500, 29_500,
            ],
        );
        check(Backoff::Never, None, &[]);
        check(Backoff::Never, Some(0), &[]);
    }

    #[test]
    fn a_stall_costs_copies_and_not_the_schedule() {
        let start = Instant::from_micros(0);
        let mut pace = Pace::new(start, Backoff::Doubling);
        assert_eq!(
            pace.advance(start + Duration::from_millis(499)),
            TimerEvent::Rest
        );
        assert_eq!(
            pace.advance(start + Duration::from_millis(4_000)),
            TimerEvent::Send
        );
        assert_eq!(pace.due(), start + Duration::from_millis(7_500));
        assert_eq!(
            pace.advance(start + Duration::from_secs(60)),
            TimerEvent::End
        );
    }
}
