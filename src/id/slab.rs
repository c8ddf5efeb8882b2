//! A slab: values in reused slots, each tenant under its own generation.

use super::Slot;

/// Values by `Slot`. Grows up to its bound and never shrinks; a freed slot is
/// the next one used, so the memory in use stays warm. Grows by chunks: what is
/// there never moves, so no message waits while a million entries are copied.
#[derive(Debug)]
pub struct Slab<T> {
    /// All but the last are full.
    chunks: Vec<Vec<Entry<T>>>,
    free: Vec<u32>,
    max: usize,
    /// The index of the first slot.
    first: u32,
}

/// Entries in a chunk.
const CHUNK: usize = 1 << 10;

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    /// An empty slab that holds at most `max` values.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self::numbered(0, max)
    }

    /// The same with slots that are numbered from `first` on.
    #[must_use]
    pub const fn numbered(first: u32, max: usize) -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            max,
            first,
        }
    }

    /// Slots there are, free ones included.
    fn slots(&self) -> usize {
        let last = self.chunks.last().map_or(0, Vec::len);
        self.chunks.len().saturating_sub(1) * CHUNK + last
    }

    #[inline]
    fn entry(&self, index: u32) -> Option<&Entry<T>> {
        let place = index.wrapping_sub(self.first) as usize;
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    #[inline]
    fn entry_mut(&mut self, index: u32) -> Option<&mut Entry<T>> {
        let place = index.wrapping_sub(self.first) as usize;
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    /// Number of values held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots() - self.free.len()
    }

    /// True when it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True when `insert` would refuse.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() >= self.max
    }

    /// Takes the value in, or gives it back when the slab is full.
    ///
    /// # Errors
    /// The value itself, at the bound.
    pub fn insert(&mut self, value: T) -> Result<Slot, T> {
        if let Some(index) = self.free.pop()
            && let Some(entry) = self.entry_mut(index)
        {
            entry.value = Some(value);
            return Ok(Slot {
                index,
                generation: entry.generation,
            });
        }
        let slots = self.slots();
        let next = u32::try_from(slots).ok();
        let Some(index) = next.and_then(|next| next.checked_add(self.first)) else {
            return Err(value);
        };
        if slots >= self.max {
            return Err(value);
        }
        if slots.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK.min(self.max)));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(Entry {
                generation: 0,
                value: Some(value),
            });
        }
        Ok(Slot {
            index,
            generation: 0,
        })
    }

    /// The tenant of `slot`, if it still is the same one.
    #[must_use]
    #[inline]
    pub fn get(&self, slot: Slot) -> Option<&T> {
        let entry = self.entry(slot.index)?;
        if entry.generation == slot.generation {
            entry.value.as_ref()
        } else {
            None
        }
    }

    /// The tenant of `slot`, if it still is the same one.
    #[must_use]
    #[inline]
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let entry = self.entry_mut(slot.index)?;
        if entry.generation == slot.generation {
            entry.value.as_mut()
        } else {
            None
        }
    }

    /// Takes the tenant out; the slot's next tenant has another generation.
    pub fn remove(&mut self, slot: Slot) -> Option<T> {
        let entry = self.entry_mut(slot.index)?;
        if entry.generation != slot.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot.index);
        Some(value)
    }

    /// Every tenant with its slot, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        self.chunks
            .iter()
            .flatten()
            .zip(self.first..)
            .filter_map(|(entry, index)| {
                let value = entry.value.as_ref()?;
                Some((
                    Slot {
                        index,
                        generation: entry.generation,
                    },
                    value,
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_slot_finds_nothing() {
        let mut slab = Slab::new(2);
        let a = slab.insert('a').unwrap();
        assert_eq!(slab.remove(a), Some('a'));
        let b = slab.insert('b').unwrap();
        assert_eq!(
            (a.index, slab.get(a), slab.get(b)),
            (b.index, None, Some(&'b'))
        );
        assert_eq!(slab.remove(a), None);
    }

    #[test]
    fn what_is_there_stays_where_it_is_while_it_grows() {
        let mut slab = Slab::new(5 * CHUNK);
        let slots: Vec<_> = (0..3 * CHUNK + 7)
            .map(|value| slab.insert(value).unwrap())
            .collect();
        assert_eq!(slab.len(), 3 * CHUNK + 7);
        for (value, slot) in slots.iter().enumerate() {
            assert_eq!(slab.get(*slot), Some(&value));
        }
        assert_eq!(
            slab.iter().map(|(_, value)| *value).max(),
            Some(3 * CHUNK + 6)
        );
        for slot in &slots {
            slab.remove(*slot);
        }
        assert!(slab.is_empty());
        assert_eq!(slab.insert(1).unwrap().index, slots[slots.len() - 1].index);
    }

    #[test]
    fn the_bound_gives_the_value_back() {
        let mut slab = Slab::new(1);
        let a = slab.insert('a').unwrap();
        assert_eq!(slab.insert('b'), Err('b'));
        slab.remove(a);
        assert!(!slab.is_full() && slab.is_empty());
    }
}
