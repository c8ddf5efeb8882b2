//! The names that servers must prove over TLS: each the domain that a URI was
//! resolved from, whatever address came of it (RFC 5922 §4).
//!
//! A hop carries a small number for its name, so that it stays a plain value.
//! A name that a connection was opened for stays as long as the connection;
//! others give way to newer ones once the table is full, and a hop that still
//! has such a name finds nothing.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use crate::carry::carried;
use crate::limits;

/// A name in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NameId {
    index: u32,
    generation: u32,
}

/// All names of a shard, in lower case.
#[derive(Debug)]
pub struct Names {
    hash: ahash::RandomState,
    entries: Vec<Entry>,
    by_name: HashTable<u32>,
    /// Where the search for a name that may give way goes on.
    hand: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: Box<str>,
    generation: u32,
    /// Connections that were opened for it.
    held: u32,
}

impl Names {
    pub(super) fn new(hash: ahash::RandomState) -> Self {
        Self {
            hash,
            entries: Vec::new(),
            by_name: HashTable::new(),
            hand: 0,
        }
    }

    /// The number of a host name or address, made if need be. `None` for what
    /// is no text, and when every name is in use.
    pub(crate) fn intern(&mut self, host: &[u8]) -> Option<NameId> {
        let is_it = |entry: &Entry| entry.name.as_bytes().eq_ignore_ascii_case(host);
        let hash = hash(&self.hash, host);
        if let Some(&index) = self
            .by_name
            .find(hash, |&index| is_it(&self.entries[index as usize]))
        {
            return Some(self.id(index));
        }
        let name: Box<str> = std::str::from_utf8(host).ok()?.to_ascii_lowercase().into();
        let index = self.room()?;
        match self.entries.get_mut(index as usize) {
            Some(entry) => entry.name = name,
            None => self.entries.push(Entry {
                name,
                generation: 0,
                held: 0,
            }),
        }
        let (state, entries) = (&self.hash, &self.entries);
        self.by_name.insert_unique(hash, index, |&index| {
            self::hash(state, entries[index as usize].name.as_bytes())
        });
        Some(self.id(index))
    }

    /// The name, unless it has given way to another one.
    #[must_use]
    pub fn get(&self, id: NameId) -> Option<&str> {
        let entry = self.entries.get(id.index as usize)?;
        (entry.generation == id.generation).then_some(&*entry.name)
    }

    /// A connection was opened for the name.
    pub(super) fn hold(&mut self, id: NameId) {
        if let Some(entry) = self.entry(id) {
            entry.held += 1;
        }
    }

    /// A connection opened for the name is gone.
    pub(super) fn release(&mut self, id: NameId) {
        if let Some(entry) = self.entry(id) {
            entry.held = entry.held.saturating_sub(1);
        }
    }

    fn entry(&mut self, id: NameId) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(id.index as usize)?;
        (entry.generation == id.generation).then_some(entry)
    }

    fn id(&self, index: u32) -> NameId {
        let generation = self.entries[index as usize].generation;
        NameId { index, generation }
    }

    /// A free entry: the next one, or that of the next name that no connection
    /// needs.
    fn room(&mut self) -> Option<u32> {
        if self.entries.len() < limits::SERVER_NAMES_MAX {
            return u32::try_from(self.entries.len()).ok();
        }
        let count = self.entries.len();
        let free = (self.hand..count)
            .chain(0..self.hand)
            .find(|&index| self.entries[index].held == 0)?;
        self.hand = (free + 1) % count;
        let index = u32::try_from(free).ok()?;
        let old = hash(&self.hash, self.entries[free].name.as_bytes());
        if let Ok(found) = self.by_name.find_entry(old, |&at| at == index) {
            found.remove();
        }
        self.entries[free].generation = self.entries[free].generation.wrapping_add(1);
        Some(index)
    }
}

/// Over the lower-case letters, so that no copy is needed to look a name up.
fn hash(state: &ahash::RandomState, host: &[u8]) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = state.build_hasher();
    for byte in host {
        hasher.write_u8(byte.to_ascii_lowercase());
    }
    hasher.finish()
}

carried!(Names {
    values: entries, hand;
    made: hash, by_name;
    then: index;
});

impl Names {
    fn index(&mut self) {
        let (state, entries) = (&self.hash, &self.entries);
        let hash = |&at: &u32| hash(state, entries[at as usize].name.as_bytes());
        for index in 0..u32::try_from(entries.len()).unwrap_or_default() {
            self.by_name.insert_unique(hash(&index), index, hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(ahash::RandomState::with_seeds(1, 2, 3, 4))
    }

    #[test]
    fn a_name_is_the_same_in_any_case() {
        let mut names = names();
        let id = names.intern(b"Example.COM").unwrap();
        assert_eq!(names.intern(b"example.com"), Some(id));
        assert_eq!(names.get(id), Some("example.com"));
        assert_ne!(names.intern(b"example.org"), Some(id));
        assert_eq!(names.intern(b"\xff"), None);
    }

    #[test]
    fn a_full_table_keeps_the_names_of_connections() {
        let mut names = names();
        let nth = |n: usize| format!("n{n}.example.com");
        let held = names.intern(nth(0).as_bytes()).unwrap();
        names.hold(held);
        let idle = names.intern(nth(1).as_bytes()).unwrap();
        for n in 2..2 * limits::SERVER_NAMES_MAX {
            assert!(names.intern(nth(n).as_bytes()).is_some());
        }
        assert_eq!(
            (names.get(held), names.get(idle)),
            (Some("n0.example.com"), None)
        );
        assert_eq!(names.entries.len(), limits::SERVER_NAMES_MAX);
        assert_eq!(names.by_name.len(), limits::SERVER_NAMES_MAX);
        names.release(held);
        for n in 0..limits::SERVER_NAMES_MAX {
            names.intern(nth(3 * limits::SERVER_NAMES_MAX + n).as_bytes());
        }
        assert_eq!(names.get(held), None);
    }
}
