//! Parameter sets: the third level of the trie, each distinct one kept once.
//!
//! Most bindings share a handful of sets (`;lr;ob`, `;edge=e1;lr`), so a row
//! holds a number. Sets are compared by their canonical bytes, never by hash
//! alone. The last row that lets go of a set frees its bytes.

use ahash::RandomState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::arena::Arena;
use crate::carry::carried;

/// The sets in use, by canonical text (see `key`).
#[derive(Debug)]
pub(super) struct Sets {
    hash: RandomState,
    index: HashTable<u32>,
    sets: Arena<Set>,
    bytes: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Set {
    text: Box<[u8]>,
    rows: u32,
}

impl Sets {
    pub(super) fn new(hash: RandomState) -> Self {
        Self {
            hash,
            index: HashTable::new(),
            sets: Arena::new(),
            bytes: 0,
        }
    }

    /// The number of a set that some row has.
    #[inline]
    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        let hash = self.hash.hash_one(text);
        self.index
            .find(hash, |&set| *self.sets[set].text == *text)
            .copied()
    }

    /// The canonical text of a set in use.
    pub(super) fn text(&self, set: u32) -> &[u8] {
        &self.sets[set].text
    }

    /// The number of the set, with one more row that has it.
    pub(super) fn hold(&mut self, text: &[u8]) -> u32 {
        if let Some(set) = self.find(text) {
            self.sets[set].rows += 1;
            return set;
        }
        let set = self.sets.insert(Set {
            text: text.into(),
            rows: 1,
        });
        self.bytes += text.len();
        let (hash, sets) = (&self.hash, &self.sets);
        self.index.insert_unique(hash.hash_one(text), set, |&set| {
            hash.hash_one(&*sets[set].text)
        });
        set
    }

    /// One row fewer has the set; without any it is gone.
    pub(super) fn release(&mut self, set: u32) {
        let entry = &mut self.sets[set];
        entry.rows -= 1;
        if entry.rows > 0 {
            return;
        }
        let text = std::mem::take(&mut entry.text);
        self.bytes -= text.len();
        if let Ok(found) = self
            .index
            .find_entry(self.hash.hash_one(&*text), |&other| other == set)
        {
            found.remove();
        }
        self.sets.remove(set);
    }

    /// Number of distinct sets.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    /// Bytes of heap held.
    pub(super) fn memory(&self) -> usize {
        self.index.allocation_size() + self.sets.memory() + self.bytes
    }
}

carried!(Sets {
    values: sets, bytes;
    made: hash, index;
    then: index;
});

impl Sets {
    fn index(&mut self) {
        let (hash, sets) = (&self.hash, &self.sets);
        let hash = |&at: &u32| hash.hash_one(&*sets[at].text);
        for at in sets.used() {
            self.index.insert_unique(hash(&at), at, hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_lives_as_long_as_a_row_has_it() {
        let mut sets = Sets::new(RandomState::with_seeds(1, 2, 3, 4));
        let lr = sets.hold(b";lr");
        let ob = sets.hold(b";lr;ob");
        assert_eq!(
            (sets.hold(b";lr"), sets.len(), sets.text(ob)),
            (lr, 2, &b";lr;ob"[..])
        );
        sets.release(lr);
        assert_eq!(sets.find(b";lr"), Some(lr));
        sets.release(lr);
        assert_eq!(
            (sets.find(b";lr"), sets.find(b";lr;ob"), sets.bytes),
            (None, Some(ob), 6)
        );
    }
}
