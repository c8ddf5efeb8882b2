//! Values by 32-bit index, in chunks that never move.
//!
//! Growth allocates one more chunk and copies nothing, so a bind never stalls
//! its shard on a million rows being moved. A freed index is the next one
//! used; memory is kept for reuse and never returned before the table goes.

use std::mem::size_of;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Deserializer, Serialize};

/// "No value": the end of every chain and list.
pub(super) const NONE: u32 = u32::MAX;

/// The values. The value of a freed index stays until the index is reused, so
/// whoever frees it empties what it owns first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Arena<T> {
    #[serde(deserialize_with = "roomy", bound(deserialize = "T: Deserialize<'de>"))]
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
    slots: u32,
}

impl<T> Arena<T> {
    pub(super) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            slots: 0,
        }
    }

    /// Number of indices ever given out: all live ones are below it.
    pub(super) const fn slots(&self) -> u32 {
        self.slots
    }

    /// Number of values held.
    pub(super) fn len(&self) -> usize {
        self.slots as usize - self.free.len()
    }

    /// Takes the value in. Callers bound the number of values far below `NONE`.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self[index] = value;
            return index;
        }
        let index = self.slots;
        let chunk = (index >> SHIFT) as usize;
        if chunk == self.chunks.len() {
            // A table of a few rows (one phone's) must not pay for a whole chunk.
            let room = if chunk == 0 { 1 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        self.chunks[chunk].push(value);
        self.slots += 1;
        index
    }

    /// The indexes in use.
    pub(super) fn used(&self) -> impl Iterator<Item = u32> + use<T> {
        let mut is_used = vec![true; self.slots as usize];
        for free in &self.free {
            is_used[*free as usize] = false;
        }
        let all = (0..self.slots).zip(is_used);
        all.filter_map(|(at, is_used)| is_used.then_some(at))
    }

    /// Frees the index, which must be in use.
    pub(super) fn remove(&mut self, index: u32) {
        debug_assert!(index < self.slots && self.free.len() < self.slots as usize);
        self.free.push(index);
    }

    /// Bytes of heap held.
    pub(super) fn memory(&self) -> usize {
        let values: usize = self.chunks.iter().map(Vec::capacity).sum();
        values * size_of::<T>()
            + self.chunks.capacity() * size_of::<Vec<T>>()
            + self.free.capacity() * size_of::<u32>()
    }
}

impl<T> Index<u32> for Arena<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        &self.chunks[(index >> SHIFT) as usize][(index & MASK) as usize]
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.chunks[(index >> SHIFT) as usize][(index & MASK) as usize]
    }
}

const SHIFT: u32 = 10;
const CHUNK: usize = 1 << SHIFT;
const MASK: u32 = (1 << SHIFT) - 1;

/// Chunks that were written, each with its room.
fn roomy<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<T>>, D::Error> {
    let mut chunks: Vec<Vec<T>> = Vec::deserialize(from)?;
    // The first one grows as it did before.
    for chunk in chunks.iter_mut().skip(1) {
        chunk.reserve_exact(CHUNK.saturating_sub(chunk.len()));
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_outlives_growth_and_is_reused_after_its_removal() {
        let mut arena = Arena::new();
        let all: Vec<u32> = (0..3_000u32).map(|n| arena.insert(n)).collect();
        assert!(
            all.iter()
                .zip(0..)
                .all(|(&index, want)| arena[index] == want)
        );
        arena.remove(all[1_500]);
        assert_eq!(
            (arena.len(), arena.insert(7), arena.len()),
            (2_999, all[1_500], 3_000)
        );
        assert_eq!((arena[all[1_500]], arena.slots()), (7, 3_000));
    }
}
