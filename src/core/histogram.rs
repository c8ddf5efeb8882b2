//! How often something took how long: counts in fixed classes, kept by whoever measures and
//! copied by whoever reads.

use serde::{Deserialize, Serialize};

use crate::time::Duration;

/// The longest duration of each class but the last, in microseconds: 1, 2.5 and 5 of each
/// power of ten from 0.1 ms, which is a turn of a shard, to a minute, which is how long a
/// phone rings.
pub const BOUNDS_US: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Durations, counted by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    counts: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = BOUNDS_US.partition_point(|bound| *bound < took);
        self.counts[class] += 1;
        self.sum_us = self.sum_us.saturating_add(took);
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// What was counted since an earlier state of this histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = *self;
        for (count, before) in since.counts.iter_mut().zip(earlier.counts) {
            *count = count.saturating_sub(before);
        }
        since.sum_us = since.sum_us.saturating_sub(earlier.sum_us);
        since
    }

    /// The counts of the classes, each with its bound in microseconds; the last one has none.
    pub fn classes(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = BOUNDS_US.into_iter().map(Some).chain([None]);
        bounds.zip(self.counts)
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together, in microseconds.
    #[must_use]
    pub const fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// The bound of the class in which the given part of all durations (0 to 1) is reached, in
    /// microseconds: at least that part took no longer. `None`: nothing was counted, or that
    /// part took longer than the last bound.
    #[must_use]
    pub fn quantile_us(&self, part: f64) -> Option<u64> {
        let all = self.count();
        let mut seen = 0;
        let mut classes = self.classes();
        let reached = classes.find(|(_, count)| {
            seen += count;
            seen > 0 && seen as f64 >= part * all as f64
        });
        reached.and_then(|(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_class_that_it_does_not_exceed() {
        let mut all = Histogram::default();
        for micros in [0, 100, 101, 60_000_000, 60_000_001] {
            all.record(Duration::from_micros(micros));
        }
        let counted: Vec<_> = all.classes().filter(|(_, count)| *count > 0).collect();
        let want = [
            (Some(100), 2),
            (Some(250), 1),
            (Some(60_000_000), 1),
            (None, 1),
        ];
        assert_eq!(counted, want);
        assert_eq!((all.count(), all.sum_us()), (5, 120_000_202));
        let before = all;
        all.record(Duration::from_millis(3));
        let since = all.since(&before);
        assert_eq!((since.count(), since.sum_us()), (1, 3_000));
        let mut twice = before;
        twice.merge(&since);
        assert_eq!(twice, all);
    }

    #[test]
    fn a_quantile_is_the_bound_that_so_many_keep() {
        let mut all = Histogram::default();
        assert_eq!(all.quantile_us(0.5), None);
        for _ in 0..99 {
            all.record(Duration::from_micros(200));
        }
        all.record(Duration::from_secs(90));
        assert_eq!(all.quantile_us(0.5), Some(250));
        assert_eq!(all.quantile_us(0.99), Some(250));
        assert_eq!(all.quantile_us(1.0), None);
    }
}
