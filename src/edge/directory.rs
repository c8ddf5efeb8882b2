//! Which shard holds a phone's flow, for requests that come to another one
//! (design: how flows find their core).
//!
//! The shards of a node divide the phones among them by the hash of user, domain
//! and instance. Whoever binds a phone tells the shard that the phone falls to, and
//! whoever has a token and no flow asks that shard by handing it the request.
//! An entry that is missing or wrong costs a relay to another edge or a 430, and
//! the phone's next refresh mends it.

use hashbrown::HashTable;

use crate::limits::DIRECTORY_MAX;
use crate::time::Instant;

/// The phones that fall to this shard, and who holds them.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// Dense: a removed one is replaced by the last.
    entries: Vec<Entry>,
    by_phone: HashTable<u32>,
    /// Where `expire` goes on.
    cursor: usize,
}

/// One phone on one shard.
#[derive(Clone, Copy, Debug)]
struct Entry {
    phone: u64,
    until: Instant,
    shard: u8,
}

impl Directory {
    /// `shard` holds `phone` until then; a time that is over: no longer.
    pub(super) fn set(&mut self, now: Instant, phone: u64, shard: u8, until: Instant) {
        let found = self.find(phone, |entry| entry.shard == shard);
        match found {
            Some(place) if until <= now => self.remove(place),
            Some(place) => self.entries[place].until = until,
            None if until <= now || self.entries.len() >= DIRECTORY_MAX => {}
            None => self.insert(Entry {
                phone,
                until,
                shard,
            }),
        }
    }

    /// Whether `shard` holds `phone`.
    pub(super) fn has(&self, now: Instant, phone: u64, shard: u8) -> bool {
        let found = self.find(phone, |entry| entry.shard == shard);
        found.is_some_and(|place| self.entries[place].until > now)
    }

    /// Whether `shard` is known to hold `phone` for longer than that.
    pub(super) fn is_later(&self, phone: u64, shard: u8, until: Instant) -> bool {
        let found = self.find(phone, |entry| entry.shard == shard);
        found.is_some_and(|place| self.entries[place].until > until)
    }

    /// The shard other than `not` that holds `phone` the longest.
    pub(super) fn holder(&self, now: Instant, phone: u64, not: u8) -> Option<u8> {
        let entries = self.by_phone.iter_hash(phone);
        let entries = entries.filter_map(|place| self.entries.get(*place as usize));
        let live = |entry: &&Entry| entry.phone == phone && entry.shard != not && entry.until > now;
        let best = entries.filter(live).max_by_key(|entry| entry.until);
        best.map(|entry| entry.shard)
    }

    /// Looks at the next `budget` entries and forgets those that are over.
    pub(super) fn expire(&mut self, now: Instant, budget: usize) {
        for _ in 0..budget.min(self.entries.len()) {
            if self.cursor >= self.entries.len() {
                self.cursor = 0;
            }
            // The last one takes the place of a removed one: it is looked at next.
            match self.entries.get(self.cursor) {
                Some(entry) if entry.until <= now => self.remove(self.cursor),
                Some(_) | None => self.cursor += 1,
            }
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    fn find(&self, phone: u64, is_it: impl Fn(&Entry) -> bool) -> Option<usize> {
        let found = self.by_phone.find(phone, |place| {
            let entry = self.entries.get(*place as usize);
            entry.is_some_and(|entry| entry.phone == phone && is_it(entry))
        });
        found.map(|place| *place as usize)
    }

    fn insert(&mut self, entry: Entry) {
        let Ok(place) = u32::try_from(self.entries.len()) else {
            return;
        };
        self.entries.push(entry);
        let entries = &self.entries;
        self.by_phone
            .insert_unique(entry.phone, place, |place| entries[*place as usize].phone);
    }

    fn remove(&mut self, place: usize) {
        self.rename(place, None);
        let last = self.entries.len() - 1;
        if last != place {
            self.rename(last, Some(place));
        }
        self.entries.swap_remove(place);
    }

    /// Makes the table find an entry at another place, or not at all.
    fn rename(&mut self, place: usize, to: Option<usize>) {
        let phone = self.entries[place].phone;
        let is_it = |at: &u32| *at as usize == place;
        let Ok(found) = self.by_phone.find_entry(phone, is_it) else {
            return;
        };
        match to.and_then(|to| u32::try_from(to).ok()) {
            Some(to) => *found.into_mut() = to,
            None => {
                found.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_last_to_expire_holds_the_phone() {
        let mut directory = Directory::default();
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
        let mut directory = Directory::default();
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
