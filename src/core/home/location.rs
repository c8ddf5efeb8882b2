//! The bindings of the domain: which contacts an address of record has
//! (RFC 3261 §10.3), through which Path (RFC 3327) and flows (RFC 5626 §6).
//!
//! It stores what the registrar decided; it grants no lifetimes, challenges
//! nobody and knows no messages. Addresses of record come in the form of
//! `home::aor`.
//!
//! Invariants: a REGISTER is applied whole or not at all; a binding that has
//! expired is seen by nobody, swept or not; the bindings of an address of
//! record stand in the order of their last update; an address of record
//! without bindings takes no memory.

mod binding;
mod change;
mod shared;
mod stored;
mod update;

use std::cell::Cell;

use ahash::RandomState;
use hashbrown::HashTable;

use crate::carry::carried;
use crate::limits;
use crate::time::Instant;

use serde::{Deserialize, Serialize};
use update::Update;

pub(super) use binding::Binding;
pub(crate) use binding::same_instance;
pub(super) use change::{Change, Conflict, Register};
pub(super) use shared::ChangeOrigin;
pub use shared::{ChangeKind, ChangedBinding, SharedChange, row_of};

/// Every binding of this shard.
#[derive(Debug)]
pub(super) struct Location {
    /// Dense: a removed one is replaced by the last.
    aors: Vec<Aor>,
    /// Indexes in `aors`.
    by_name: HashTable<usize>,
    hasher: RandomState,
    /// Index in `aors` at which the sweep goes on.
    cursor: usize,
    /// Index in `aors` of the one that was found last: a REGISTER looks it up several times.
    last_found: Cell<usize>,
    /// Most addresses of record.
    max: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Aor {
    name: Box<[u8]>,
    /// Least recently updated first.
    bindings: Vec<Binding>,
    /// The version of them in a store that several homes share; 0: it has given none.
    version: u64,
}

impl Location {
    /// No bindings; `seed` keeps peers from aiming collisions.
    #[must_use]
    pub(super) fn new(seed: [u64; 4]) -> Self {
        Self::with_max(seed, limits::AORS_MAX)
    }

    fn with_max(seed: [u64; 4], max: usize) -> Self {
        let hasher = RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]);
        Self {
            aors: Vec::new(),
            by_name: HashTable::new(),
            hasher,
            cursor: 0,
            last_found: Cell::new(0),
            max,
        }
    }

    /// Number of addresses of record.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.aors.len()
    }

    /// The live bindings of an address of record, the last updated last.
    pub(super) fn bindings(&self, now: Instant, aor: &[u8]) -> impl Iterator<Item = &Binding> {
        let bindings = self
            .find(aor)
            .map_or(&[][..], |index| &self.aors[index].bindings);
        bindings.iter().filter(move |binding| binding.is_live(now))
    }

    /// The version of an address of record in a store that several homes share; 0: none is
    /// known.
    pub(super) fn version(&self, aor: &[u8]) -> u64 {
        let found = self.find(aor);
        found.map_or(0, |index| self.aors[index].version)
    }

    /// The store that several homes share has what is here, as this version.
    pub(super) fn set_version(&mut self, aor: &[u8], version: u64) {
        if let Some(index) = self.find(aor) {
            self.aors[index].version = version;
        }
    }

    /// The address of record at an index from 0 to `len`.
    pub(super) fn name_at(&self, index: usize) -> Option<&[u8]> {
        self.aors.get(index).map(|aor| &*aor.name)
    }

    /// Adds, refreshes and removes contacts as one REGISTER says.
    ///
    /// A contact with instance and reg-id is the binding with both, wherever it
    /// points now (RFC 5626 §6); any other is the binding with an equal URI
    /// whose key is its URI. The two kinds do not touch each other, so a phone
    /// with outbound and one without share an address of record, and a phone
    /// that changes kind is there twice until the older binding expires.
    ///
    /// # Errors
    /// `Conflict`, with nothing changed.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        aor: &[u8],
        register: &Register<'_>,
        changes: &[Change<'_>],
    ) -> Result<(), Conflict> {
        let found = self.find(aor);
        let existing = found.map_or(&[][..], |index| &self.aors[index].bindings);
        let update = Update::new(now, existing, register, changes)?;
        let index = match found {
            Some(index) => index,
            None if update.adds_nothing() => return Ok(()),
            None if self.is_full() => return Err(Conflict::Full),
            None => {
                self.insert(Aor {
                    name: aor.into(),
                    bindings: Vec::new(),
                    version: 0,
                });
                self.aors.len() - 1
            }
        };
        update.carry_out(now, &mut self.aors[index].bindings);
        self.remove_if_empty(index);
        Ok(())
    }

    /// Removes every contact, as `Contact: *` with `Expires: 0` says
    /// (RFC 3261 §10.3 step 6).
    ///
    /// # Errors
    /// `Conflict::OutOfOrder`, with nothing changed.
    pub(super) fn clear(
        &mut self,
        now: Instant,
        aor: &[u8],
        call_id: &[u8],
        cseq: u32,
    ) -> Result<(), Conflict> {
        let Some(index) = self.find(aor) else {
            return Ok(());
        };
        let bindings = &mut self.aors[index].bindings;
        let is_late = |b: &Binding| b.is_live(now) && b.call_id() == call_id && cseq <= b.cseq;
        if bindings.iter().any(is_late) {
            return Err(Conflict::OutOfOrder);
        }
        bindings.clear();
        self.remove_if_empty(index);
        Ok(())
    }

    /// Removes every binding of an address of record and gives them back; some may have
    /// expired.
    pub(super) fn take(&mut self, aor: &[u8]) -> Vec<Binding> {
        let Some(index) = self.find(aor) else {
            return Vec::new();
        };
        let bindings = std::mem::take(&mut self.aors[index].bindings);
        self.remove_if_empty(index);
        bindings
    }

    /// Looks at `budget` addresses of record, going on where the last call
    /// ended, and removes what has expired. Gives the number of bindings
    /// removed; the addresses of record that lost any are appended to
    /// `changed`. A late sweep only holds memory: expired bindings are not seen.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        budget: usize,
        changed: &mut Vec<Box<[u8]>>,
    ) -> usize {
        let mut removed = 0;
        for _ in 0..budget.min(self.aors.len()) {
            if self.cursor >= self.aors.len() {
                self.cursor = 0;
            }
            let Some(aor) = self.aors.get_mut(self.cursor) else {
                break;
            };
            let before = aor.bindings.len();
            aor.bindings.retain(|binding| binding.is_live(now));
            let gone = before - aor.bindings.len();
            if gone > 0 {
                removed += gone;
                changed.push(aor.name.clone());
                aor.bindings.shrink_to_fit();
            }
            // The last one is moved to the index of a removed one: it is looked at next.
            if !self.remove_if_empty(self.cursor) {
                self.cursor += 1;
            }
        }
        removed
    }

    fn is_full(&self) -> bool {
        self.aors.len() >= self.max
    }

    /// The index in `aors` of an address of record.
    fn find(&self, name: &[u8]) -> Option<usize> {
        let last = self.last_found.get();
        if self.aors.get(last).is_some_and(|aor| *aor.name == *name) {
            return Some(last);
        }
        let hash = self.hasher.hash_one(name);
        let found = self
            .by_name
            .find(hash, |index| *self.aors[*index].name == *name)
            .copied();
        self.last_found.set(found.unwrap_or(last));
        found
    }

    /// Adds an address of record whose name is not there yet.
    fn insert(&mut self, aor: Aor) {
        let hash = self.hasher.hash_one(&*aor.name);
        let index = self.aors.len();
        self.aors.push(aor);
        self.last_found.set(index);
        let (aors, hasher) = (&self.aors, &self.hasher);
        self.by_name
            .insert_unique(hash, index, |index| hasher.hash_one(&*aors[*index].name));
    }

    /// Removes the address of record at `index` where it has no bindings; true when it did.
    fn remove_if_empty(&mut self, index: usize) -> bool {
        if self
            .aors
            .get(index)
            .is_none_or(|aor| !aor.bindings.is_empty())
        {
            return false;
        }
        let last = self.aors.len() - 1;
        let hash = self.hasher.hash_one(&*self.aors[index].name);
        if let Ok(entry) = self.by_name.find_entry(hash, |known| *known == index) {
            entry.remove();
        }
        let moved = self.hasher.hash_one(&*self.aors[last].name);
        if let Some(known) = self.by_name.find_mut(moved, |known| *known == last) {
            *known = index;
        }
        self.aors.swap_remove(index);
        true
    }
}

carried!(Location {
    values: aors, cursor;
    made: by_name, hasher, last_found, max;
    then: index;
});

impl Location {
    fn index(&mut self) {
        let (aors, hasher) = (&self.aors, &self.hasher);
        let hash = |&at: &usize| hasher.hash_one(&*aors[at].name);
        for at in 0..aors.len() {
            self.by_name.insert_unique(hash(&at), at, hash);
        }
    }
}

#[cfg(test)]
mod tests;
