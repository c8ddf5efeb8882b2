//! Which shard holds a phone's flow, for requests that come to another one.
//!
//! Each phone has one shard with its directory entry, by the hash of user, domain
//! and instance. The shard that binds a phone announces it there, and a shard that has a token
//! and no flow hands the request to that shard.
//! An entry that is missing or wrong costs a relay to another edge or a 430, and
//! the phone's next refresh mends it.

use serde::{Deserialize, Serialize};

use crate::carry::carried;
use crate::id::Keyed;
use crate::limits::DIRECTORY_MAX;
use crate::time::Instant;

/// The phones whose entries are on this shard, and the shards that hold their flows.
#[derive(Debug, Default)]
pub(super) struct PhoneDirectory {
    /// By the hash of the phone, one for each shard that holds it.
    entries: Keyed<Entry>,
}

/// One phone on one shard.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Entry {
    until: Instant,
    shard: u8,
}

impl PhoneDirectory {
    /// Enters that `shard` holds `phone` until `until`; a time that is over removes the entry.
    pub(super) fn set(&mut self, now: Instant, phone: u64, shard: u8, until: Instant) {
        let is_it = |entry: &Entry| entry.shard == shard;
        let has_room = self.entries.len() < DIRECTORY_MAX;
        match self.entries.get_mut_if(phone, is_it) {
            Some(entry) if until > now => entry.until = until,
            Some(_) => {
                self.entries.remove_if(phone, is_it);
            }
            None if until > now && has_room => self.entries.push(phone, Entry { until, shard }),
            None => {}
        }
    }

    /// Whether the entry says that `shard` holds `phone` for longer than `until`.
    pub(super) fn is_later(&self, phone: u64, shard: u8, until: Instant) -> bool {
        let found = self.entries.get_if(phone, |entry| entry.shard == shard);
        found.is_some_and(|entry| entry.until > until)
    }

    /// The shard other than `not` that holds `phone` the longest.
    pub(super) fn holder(&self, now: Instant, phone: u64, not: u8) -> Option<u8> {
        let entries = self.entries.all(phone);
        let live = entries.filter(|entry| entry.shard != not && entry.until > now);
        let best = live.max_by_key(|entry| entry.until);
        best.map(|entry| entry.shard)
    }

    /// Looks at the next `budget` entries and forgets those that are over.
    pub(super) fn expire(&mut self, now: Instant, budget: usize) {
        self.entries.sweep(budget, |_, entry| entry.until <= now);
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }
}

carried!(PhoneDirectory {
    parts: entries;
});

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_last_to_expire_holds_the_phone() {
        let mut directory = PhoneDirectory::default();
        directory.set(at(0), 7, 1, at(60));
        directory.set(at(0), 7, 2, at(90));
        assert_eq!(directory.holder(at(1), 7, 0), Some(2));
        assert_eq!(directory.holder(at(1), 7, 2), Some(1));
        assert_eq!(directory.holder(at(60), 7, 2), None);
        directory.set(at(60), 7, 2, at(0));
        assert_eq!((directory.holder(at(60), 7, 0), directory.len()), (None, 1));
    }

    #[test]
    fn what_is_over_is_forgotten_and_nothing_else() {
        let mut directory = PhoneDirectory::default();
        for phone in 0..100 {
            let until = if phone % 3 == 0 { at(5) } else { at(50) };
            // Hashes that share a bucket too.
            directory.set(at(0), phone << 40, u8::try_from(phone % 4).unwrap(), until);
        }
        for _ in 0..10 {
            directory.expire(at(5), 20);
        }
        assert_eq!(directory.len(), 66);
        for phone in 0..100 {
            let held = directory.holder(at(5), phone << 40, 9).is_some();
            assert_eq!(held, phone % 3 != 0, "{phone}");
        }
        directory.expire(at(50), 100);
        directory.expire(at(50), 100);
        assert_eq!(directory.len(), 0);
    }
}
