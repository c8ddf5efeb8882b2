//! Whole answers to one source, counted in a table of fixed size.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::guard;
use crate::limits;

/// When the bucket of each source is full again (as `guard` keeps them), for all
/// sources of one hash together: who comes to share a place gets truncated answers
/// at worst, and no memory is taken by whoever forges sources.
pub(super) struct Pace {
    full: Box<[Option<Instant>]>,
    hasher: ahash::RandomState,
}

impl Pace {
    /// Nobody has asked yet.
    pub(super) fn new(seed: [u64; 4]) -> Self {
        let [a, b, c, d] = seed;
        Self {
            full: vec![None; limits::ZONE_SOURCES].into(),
            hasher: ahash::RandomState::with_seeds(a, b, c, d),
        }
    }

    /// Whether this source gets a whole answer now.
    pub(super) fn take(&mut self, now: Instant, source: IpAddr) -> bool {
        let (rate, depth) = limits::ZONE_ANSWERS;
        let token = Duration::from_secs(1) / rate;
        let buckets = u64::try_from(self.full.len()).unwrap_or(1);
        let index = self.hasher.hash_one(guard::network(source)) % buckets;
        let index = usize::try_from(index).unwrap_or_default();
        let Some(full) = self.full.get_mut(index) else {
            return false;
        };
        let next = full.map_or(now, |full| full.max(now)) + token;
        let admitted = next.duration_since(now) <= token * depth;
        if admitted {
            *full = Some(next);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_gets_its_share_and_another_one_too() {
        let [one, two] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let (mut pace, now) = (Pace::new([1, 2, 3, 4]), Instant::now());
        let (rate, depth) = limits::ZONE_ANSWERS;
        let taken = |pace: &mut Pace, now, source| {
            let all = (0..2 * depth).filter(|_| pace.take(now, source));
            u32::try_from(all.count()).unwrap()
        };
        assert_eq!(taken(&mut pace, now, one), depth);
        assert_eq!(taken(&mut pace, now, two), depth);
        let later = now + Duration::from_secs(1);
        assert_eq!(taken(&mut pace, later, one), rate);
        assert_eq!(
            taken(&mut pace, later + Duration::from_secs(3_600), one),
            depth
        );
    }

    #[test]
    fn the_addresses_of_one_customer_share() {
        let (mut pace, now) = (Pace::new([1, 2, 3, 4]), Instant::now());
        let one = |host: u32| format!("2001:db8::{host:x}").parse().unwrap();
        let taken = (0..10_000)
            .filter(|host| pace.take(now, one(*host)))
            .count();
        assert_eq!(u32::try_from(taken).unwrap(), limits::ZONE_ANSWERS.1);
    }
}
