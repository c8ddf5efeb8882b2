//! Values found by a keyed hash that stands for what they are of, and swept a
//! bounded piece at a time.
//!
//! They lie in a row, so that the sweep goes from one to the next and comes around;
//! the table says where in it one is. The hash itself is the key: whoever makes it
//! keeps its own key secret, and nobody aims at a chain.

use hashbrown::HashTable;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::carry::{Carried, Reader, Unreadable, Writer};

/// Values by the hash of what they are of.
#[derive(Debug)]
pub struct Keyed<T> {
    /// Dense: a removed one is replaced by the last.
    rows: Vec<(u64, T)>,
    indexes: HashTable<u32>,
    /// Where the sweep goes on.
    cursor: usize,
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            indexes: HashTable::new(),
            cursor: 0,
        }
    }
}

impl<T> Keyed<T> {
    /// Number of values.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<&T> {
        self.get_if(key, |_| true)
    }

    /// The value of a key, to be changed.
    #[must_use]
    pub fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        self.get_mut_if(key, |_| true)
    }

    /// One of the values of a key that has several.
    #[must_use]
    pub(crate) fn get_if(&self, key: u64, is_it: impl Fn(&T) -> bool) -> Option<&T> {
        let index = self.index_of(key, is_it)?;
        self.rows.get(index).map(|(_, value)| value)
    }

    /// The value of a key that `is_it` accepts, to be changed.
    #[must_use]
    pub(crate) fn get_mut_if(&mut self, key: u64, is_it: impl Fn(&T) -> bool) -> Option<&mut T> {
        let index = self.index_of(key, is_it)?;
        self.rows.get_mut(index).map(|(_, value)| value)
    }

    /// All values of a key.
    pub fn all(&self, key: u64) -> impl Iterator<Item = &T> {
        let indexes = self.indexes.iter_hash(key);
        let rows = indexes.filter_map(|index| self.rows.get(*index as usize));
        rows.filter(move |row| row.0 == key).map(|(_, value)| value)
    }

    /// All values, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().map(|(_, value)| value)
    }

    /// Puts a value in the place of the one that its key had.
    pub fn insert(&mut self, key: u64, value: T) {
        match self.get_mut(key) {
            Some(known) => *known = value,
            None => self.push(key, value),
        }
    }

    /// Puts a value beside those that its key has.
    pub fn push(&mut self, key: u64, value: T) {
        let Ok(index) = u32::try_from(self.rows.len()) else {
            return;
        };
        self.rows.push((key, value));
        let rows = &self.rows;
        let rehash = |at: &u32| rows[*at as usize].0;
        self.indexes.insert_unique(key, index, rehash);
    }

    /// Takes the value of a key out.
    pub fn remove(&mut self, key: u64) -> Option<T> {
        self.remove_if(key, |_| true)
    }

    /// Takes out one of the values of a key that has several.
    pub(crate) fn remove_if(&mut self, key: u64, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let index = self.index_of(key, is_it)?;
        Some(self.take(index))
    }

    /// Takes out the value that the sweep comes to next, where one has to give way.
    pub(crate) fn remove_any(&mut self) -> Option<(u64, T)> {
        let index = self.cursor.checked_rem(self.rows.len())?;
        let key = self.rows.get(index)?.0;
        self.cursor = index + 1;
        Some((key, self.take(index)))
    }

    /// Shows `is_over` the next values, `budget` of them, and takes out those that it
    /// says it of.
    pub(crate) fn sweep(&mut self, budget: usize, mut is_over: impl FnMut(u64, &mut T) -> bool) {
        for _ in 0..budget.min(self.rows.len()) {
            if self.cursor >= self.rows.len() {
                self.cursor = 0;
            }
            let Some((key, value)) = self.rows.get_mut(self.cursor) else {
                return;
            };
            if is_over(*key, value) {
                // The last one takes its index, and is looked at next.
                self.take(self.cursor);
            } else {
                self.cursor += 1;
            }
        }
    }

    fn index_of(&self, key: u64, is_it: impl Fn(&T) -> bool) -> Option<usize> {
        let found = self.indexes.find(key, |at| {
            let (own, value) = &self.rows[*at as usize];
            *own == key && is_it(value)
        })?;
        Some(*found as usize)
    }

    fn take(&mut self, index: usize) -> T {
        self.rename(index, None);
        let last = self.rows.len() - 1;
        if last != index {
            self.rename(last, Some(index));
        }
        self.rows.swap_remove(index).1
    }

    /// Makes the table find a row at another index, or not at all.
    fn rename(&mut self, index: usize, to: Option<usize>) {
        let key = self.rows[index].0;
        let is_it = |at: &u32| *at as usize == index;
        let Ok(found) = self.indexes.find_entry(key, is_it) else {
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

impl<T: Serialize + DeserializeOwned> Carried for Keyed<T> {
    fn write(&self, out: &mut Writer) {
        out.value(&self.rows);
        out.value(&self.cursor);
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Result<(), Unreadable> {
        *self = Self::default();
        let rows: Vec<(u64, T)> = input.value()?;
        rows.into_iter()
            .for_each(|(key, value)| self.push(key, value));
        self.cursor = input.value()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_does_what_a_map_does() {
        let (mut keyed, mut naive) = (Keyed::default(), BTreeMap::new());
        let mut chance = 7_u64;
        for round in 0..20_000_u64 {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Keys that share a chain too.
            let key = (chance >> 56) << 40;
            match chance >> 33 & 7 {
                0..=3 => {
                    keyed.insert(key, round);
                    naive.insert(key, round);
                }
                4 | 5 => assert_eq!(keyed.remove(key), naive.remove(&key)),
                6 => {
                    let gone = keyed.remove_any();
                    assert_eq!(
                        gone.map(|(key, _)| key).and_then(|key| naive.remove(&key)),
                        gone.map(|(_, value)| value)
                    );
                }
                _ => {
                    let old = round.saturating_sub(200);
                    naive.retain(|_, made| *made >= old);
                    // One that has been looked at may come again in the place of
                    // one that goes, so that once around is not always all.
                    for _ in 0..3 {
                        keyed.sweep(usize::MAX, |_, made| *made < old);
                    }
                }
            }
            assert_eq!(keyed.get(key), naive.get(&key));
            assert_eq!(
                (keyed.len(), keyed.is_empty()),
                (naive.len(), naive.is_empty())
            );
        }
    }

    #[test]
    fn a_sweep_comes_around() {
        let mut keyed = Keyed::default();
        for key in 0..10_u64 {
            keyed.insert(key, 0);
        }
        for _ in 0..5 {
            keyed.sweep(4, |_, seen| {
                *seen += 1;
                false
            });
        }
        assert!((0..10).all(|key| keyed.get(key) == Some(&2)));
    }
}
