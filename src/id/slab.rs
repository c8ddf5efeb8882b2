//! A slab: values in reused slots, each tenant under its own generation.

use super::Slot;

/// Values by `Slot`. Grows up to its bound and never shrinks; a freed slot is
/// the next one used, so the memory in use stays warm.
#[derive(Debug)]
pub struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    max: usize,
    /// The index of the first slot.
    first: u32,
}

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
            entries: Vec::new(),
            free: Vec::new(),
            max,
            first,
        }
    }

    fn place(&self, slot: Slot) -> usize {
        slot.index.wrapping_sub(self.first) as usize
    }

    /// Number of values held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
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
        if let Some(index) = self.free.pop() {
            let entry = &mut self.entries[index.wrapping_sub(self.first) as usize];
            entry.value = Some(value);
            return Ok(Slot {
                index,
                generation: entry.generation,
            });
        }
        let next = u32::try_from(self.entries.len()).ok();
        let Some(index) = next.and_then(|next| next.checked_add(self.first)) else {
            return Err(value);
        };
        if self.entries.len() >= self.max {
            return Err(value);
        }
        self.entries.push(Entry {
            generation: 0,
            value: Some(value),
        });
        Ok(Slot {
            index,
            generation: 0,
        })
    }

    /// The tenant of `slot`, if it still is the same one.
    #[must_use]
    #[inline]
    pub fn get(&self, slot: Slot) -> Option<&T> {
        let entry = self.entries.get(self.place(slot))?;
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
        let place = self.place(slot);
        let entry = self.entries.get_mut(place)?;
        if entry.generation == slot.generation {
            entry.value.as_mut()
        } else {
            None
        }
    }

    /// Takes the tenant out; the slot's next tenant has another generation.
    pub fn remove(&mut self, slot: Slot) -> Option<T> {
        let place = self.place(slot);
        let entry = self.entries.get_mut(place)?;
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
        self.entries
            .iter()
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
    fn the_bound_gives_the_value_back() {
        let mut slab = Slab::new(1);
        let a = slab.insert('a').unwrap();
        assert_eq!(slab.insert('b'), Err('b'));
        slab.remove(a);
        assert!(!slab.is_full() && slab.is_empty());
    }
}
