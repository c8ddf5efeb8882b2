//! What has to be sent again when nothing comes back (RFC 3261 §17.1).
//!
//! One queue for each interval there is: what enters a queue later leaves it
//! later, so the next one due is always at a front, and nothing is ever taken
//! out of the middle. Who is no longer waiting is told by its stamp.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use steadfast_core::limits::{T1, T2};

use crate::bounds::PATIENCE;

/// Somebody who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    /// The place of the attempt.
    pub(super) slot: u32,
    /// What it waited for; another stamp there means that it came.
    pub(super) stamp: u32,
    /// When the waiting began.
    pub(super) since: Instant,
    /// How its intervals grow.
    pub(super) growth: Growth,
}

/// How the intervals of a transaction grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// Doubled each time (timer A).
    Doubling,
    /// Doubled up to T2 (timers E and G).
    Capped,
}

/// T1 doubled once more is the patience itself.
const INTERVALS: usize = 6;

/// Everybody who waits.
#[derive(Debug)]
pub(super) struct Retries {
    queues: [VecDeque<(Instant, Waiter)>; INTERVALS],
}

impl Retries {
    pub(super) fn new() -> Self {
        Self {
            queues: [const { VecDeque::new() }; INTERVALS],
        }
    }

    /// Asks to be told after the first interval.
    pub(super) fn wait(&mut self, waiter: Waiter) {
        self.queues[0].push_back((waiter.since + T1, waiter));
    }

    /// When the next one is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let fronts = self.queues.iter().filter_map(VecDeque::front);
        fronts.map(|(due, _)| *due).min()
    }

    /// Somebody whose interval is over at `now`, and who waits on unless this
    /// was the last one: `None` then.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Waiter, Option<Again>)> {
        let index = self
            .queues
            .iter()
            .position(|queue| queue.front().is_some_and(|(due, _)| *due <= now))?;
        let (_, waiter) = self.queues[index].pop_front()?;
        let grown = match waiter.growth {
            Growth::Doubling => index + 1,
            Growth::Capped if interval(index) < T2 => index + 1,
            Growth::Capped => index,
        };
        let waits_until = now.duration_since(waiter.since) + interval(grown);
        let is_over = grown >= INTERVALS || waits_until > PATIENCE;
        Some((waiter, (!is_over).then_some(Again { index: grown })))
    }

    /// Has somebody who was due wait on.
    pub(super) fn again(&mut self, now: Instant, waiter: Waiter, again: Again) {
        self.queues[again.index].push_back((now + interval(again.index), waiter));
    }
}

/// The next interval of whoever waits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Again {
    index: usize,
}

fn interval(index: usize) -> Duration {
    T1 * (1 << index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When somebody who hears nothing is told, in tenths of a second, and
    /// that it is over at the last.
    fn due_times(growth: Growth) -> Vec<u128> {
        let since = Instant::now();
        let mut retries = Retries::new();
        let (slot, stamp) = (1, 2);
        retries.wait(Waiter {
            slot,
            stamp,
            since,
            growth,
        });
        let mut due_times = Vec::new();
        while let Some(now) = retries.deadline() {
            let (waiter, again) = retries.due(now).unwrap();
            assert_eq!(retries.due(now), None);
            due_times.push(now.duration_since(since).as_millis() / 100);
            match again {
                Some(again) => retries.again(now, waiter, again),
                None => assert_eq!(retries.deadline(), None),
            }
        }
        due_times
    }

    #[test]
    fn an_invite_doubles_and_the_others_stop_at_t2() {
        assert_eq!(due_times(Growth::Doubling), [5, 15, 35, 75, 155, 315]);
        assert_eq!(
            due_times(Growth::Capped),
            [5, 15, 35, 75, 115, 155, 195, 235, 275, 315]
        );
    }
}
