//! A slab: values in reused slots, each tenant under its own generation.

use serde::{Deserialize, Deserializer, Serialize};

use super::Slot;

/// Values by `Slot`. Grows up to its bound by chunks, so that what is there
/// never moves and no message waits while a million entries are copied, and
/// gives back what it does not need: the lowest free slot is the next one used,
/// so that the upper chunks run empty after a flood, and of the empty ones all
/// but one are freed: a load that swings by as much as a chunk asks the
/// allocator for nothing. A slot that comes back later goes on counting its
/// tenants where it was, so that no name of the past means anybody again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// A bit for each chunk that has memory and room.
    open: Vec<u64>,
    /// The chunk that has memory and no tenant.
    spare: Option<usize>,
    len: usize,
    max: usize,
    /// The index of the first slot.
    first: u32,
}

/// Entries in a chunk.
const CHUNK: usize = 1 << 10;
const _: () = assert!(CHUNK == 64 * u16::BITS as usize, "a bit for each word");

#[derive(Debug, Serialize, Deserialize)]
struct Chunk<T> {
    /// Those that had a tenant since it has memory, in order; none: it has none.
    #[serde(deserialize_with = "roomy", bound(deserialize = "T: Deserialize<'de>"))]
    entries: Vec<Entry<T>>,
    /// A bit for each slot without a tenant.
    free: [u64; CHUNK / 64],
    /// A bit for each word of them that has any.
    roomy: u16,
    /// Tenants.
    used: usize,
    /// Where the generations of new entries begin.
    floor: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Chunk<T> {
    const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: [u64::MAX; CHUNK / 64],
            roomy: u16::MAX,
            used: 0,
            floor: 0,
        }
    }

    /// The lowest free index.
    fn vacancy(&self) -> Option<usize> {
        let at = self.roomy.trailing_zeros() as usize;
        let word = self.free.get(at)?;
        Some(at * 64 + word.trailing_zeros() as usize)
    }

    /// Gives its memory back and remembers how far its generations have come;
    /// they may have gone past the last number to the first.
    fn release(&mut self) {
        let tenants = |entry: &Entry<T>| entry.generation.wrapping_sub(self.floor);
        let most = self.entries.iter().map(tenants).max().unwrap_or(0);
        self.floor = self.floor.wrapping_add(most);
        self.entries = Vec::new();
    }
}

impl<T> Slab<T> {
    /// An empty slab that holds at most `max` values.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self::numbered(0, max)
    }

    /// An empty slab whose slots are numbered from `first` on.
    #[must_use]
    pub(crate) const fn numbered(first: u32, max: usize) -> Self {
        Self {
            chunks: Vec::new(),
            open: Vec::new(),
            spare: None,
            len: 0,
            max,
            first,
        }
    }

    #[inline]
    fn entry(&self, index: u32) -> Option<&Entry<T>> {
        let offset = index.wrapping_sub(self.first) as usize;
        let chunk = self.chunks.get(offset / CHUNK)?;
        chunk.entries.get(offset % CHUNK)
    }

    #[inline]
    fn entry_mut(&mut self, index: u32) -> Option<&mut Entry<T>> {
        let offset = index.wrapping_sub(self.first) as usize;
        let chunk = self.chunks.get_mut(offset / CHUNK)?;
        chunk.entries.get_mut(offset % CHUNK)
    }

    /// Number of values held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when it holds nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True when `insert` would refuse.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len >= self.max
    }

    /// Slots that have memory, free ones included.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.chunks
            .iter()
            .map(|chunk| chunk.entries.capacity())
            .sum()
    }

    /// One past the highest slot that has had a tenant since it has memory.
    #[must_use]
    pub fn end(&self) -> usize {
        let used = self
            .chunks
            .iter()
            .rposition(|chunk| !chunk.entries.is_empty());
        let last = used.and_then(|at| Some((at, self.chunks.get(at)?)));
        self.first as usize + last.map_or(0, |(at, chunk)| at * CHUNK + chunk.entries.len())
    }

    /// Takes the value in, or gives it back when the slab is full.
    ///
    /// # Errors
    /// The value itself, at the bound.
    pub fn insert(&mut self, value: T) -> Result<Slot, T> {
        if self.is_full() {
            return Err(value);
        }
        let at = self.roomy();
        let Some((offset, chunk)) = self.chunks.get_mut(at).and_then(|chunk| {
            let offset = chunk.vacancy()?;
            Some((offset, chunk))
        }) else {
            return Err(value);
        };
        let index = u32::try_from(at * CHUNK + offset).ok();
        let Some(index) = index.and_then(|index| index.checked_add(self.first)) else {
            return Err(value);
        };
        let value = Some(value);
        let generation = match chunk.entries.get_mut(offset) {
            Some(entry) => {
                entry.value = value;
                entry.generation
            }
            None => {
                // The lowest free index is the one behind the last.
                let generation = chunk.floor;
                chunk.entries.push(Entry { generation, value });
                generation
            }
        };
        if chunk.used == 0 {
            self.spare = None;
        }
        chunk.used += 1;
        let word = &mut chunk.free[offset / 64];
        *word &= *word - 1;
        if *word == 0 {
            chunk.roomy &= chunk.roomy - 1;
        }
        if chunk.used == CHUNK {
            self.open[at / 64] &= !(1 << (at % 64));
        }
        self.len += 1;
        Ok(Slot { index, generation })
    }

    /// The lowest chunk that has memory and room, or one that gets memory.
    fn roomy(&mut self) -> usize {
        let mut words = self.open.iter().enumerate();
        if let Some((at, word)) = words.find(|(_, word)| **word != 0) {
            return at * 64 + word.trailing_zeros() as usize;
        }
        // Once for a chunk that has filled up.
        let cold = self
            .chunks
            .iter()
            .position(|chunk| chunk.entries.is_empty());
        let at = cold.unwrap_or(self.chunks.len());
        if cold.is_none() {
            self.chunks.push(Chunk::new());
            self.open.resize(self.chunks.len().div_ceil(64), 0);
        }
        self.chunks[at].entries.reserve_exact(CHUNK.min(self.max));
        self.open[at / 64] |= 1 << (at % 64);
        at
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

    /// The tenant at an index, whichever it is, and its slot: for who keeps
    /// indices of tenants that cannot go without his knowledge.
    #[must_use]
    #[inline]
    pub fn at(&self, index: u32) -> Option<(Slot, &T)> {
        let entry = self.entry(index)?;
        let slot = Slot {
            index,
            generation: entry.generation,
        };
        Some((slot, entry.value.as_ref()?))
    }

    /// The slots of an index whose tenants somebody may still speak of: that of the
    /// tenant it has or is to have next, and that of the one before.
    pub(crate) fn slots_at(&self, index: u32) -> impl Iterator<Item = Slot> + use<T> {
        let entry = self.entry(index).map(|entry| entry.generation);
        let both = entry.map(|now| [now, now.wrapping_sub(1)]);
        let both = both.into_iter().flatten();
        both.map(move |generation| Slot { index, generation })
    }

    /// The value at an index, whatever its generation, to be changed.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.entry_mut(index)?.value.as_mut()
    }

    /// Takes the tenant out; the slot's next tenant has another generation.
    pub fn remove(&mut self, slot: Slot) -> Option<T> {
        let offset = slot.index.wrapping_sub(self.first) as usize;
        let (at, offset) = (offset / CHUNK, offset % CHUNK);
        let chunk = self.chunks.get_mut(at)?;
        let entry = chunk.entries.get_mut(offset)?;
        if entry.generation != slot.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        chunk.free[offset / 64] |= 1 << (offset % 64);
        chunk.roomy |= 1 << (offset / 64);
        chunk.used -= 1;
        let is_empty = chunk.used == 0;
        self.len -= 1;
        self.open[at / 64] |= 1 << (at % 64);
        if is_empty {
            self.emptied(at);
        }
        Some(value)
    }

    /// Every tenant with its slot, in slot order. Walks over all of them: not for
    /// what a peer can bring about.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        let chunks = (self.first..).step_by(CHUNK).zip(&self.chunks);
        chunks.flat_map(|(first, chunk)| {
            (first..).zip(&chunk.entries).filter_map(|(index, entry)| {
                let slot = Slot {
                    index,
                    generation: entry.generation,
                };
                Some((slot, entry.value.as_ref()?))
            })
        })
    }

    /// As `iter`, to be changed.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let chunks = self.chunks.iter_mut();
        chunks.flat_map(|chunk| chunk.entries.iter_mut().filter_map(|it| it.value.as_mut()))
    }

    /// Of two empty chunks the upper one is freed.
    fn emptied(&mut self, at: usize) {
        let Some(spare) = self.spare.replace(at) else {
            return;
        };
        self.spare = Some(at.min(spare));
        let gone = at.max(spare);
        self.chunks[gone].release();
        self.open[gone / 64] &= !(1 << (gone % 64));
    }
}

/// Entries that were written, with the room that a chunk has.
fn roomy<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<Entry<T>>, D::Error> {
    let mut entries = Vec::deserialize(from)?;
    if !entries.is_empty() {
        entries.reserve_exact(CHUNK.saturating_sub(entries.len()));
    }
    Ok(entries)
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
        for slot in &slots {
            slab.remove(*slot);
        }
        assert!(slab.is_empty());
        assert_eq!(slab.insert(1).unwrap().index, 0);
    }

    #[test]
    fn what_a_flood_needed_is_given_back() {
        let mut slab = Slab::numbered(7, 64 * CHUNK);
        let flood: Vec<_> = (0..20 * CHUNK).map(|n| slab.insert(n).unwrap()).collect();
        assert_eq!(slab.slots(), 20 * CHUNK);
        // One that stays keeps its own chunk and no other.
        let (stays, rest) = flood.split_last().unwrap();
        for slot in rest {
            slab.remove(*slot);
        }
        assert_eq!((slab.len(), slab.slots()), (1, 2 * CHUNK));
        assert_eq!(slab.get(*stays), Some(&(20 * CHUNK - 1)));
        // It swings by a chunk: nothing is asked for and nothing is given.
        for _ in 0..3 {
            let swing: Vec<_> = (0..CHUNK).map(|n| slab.insert(n).unwrap()).collect();
            assert_eq!(slab.slots(), 2 * CHUNK);
            for slot in swing {
                assert!(slot.index < 7 + 1_024);
                slab.remove(slot);
            }
        }
        assert_eq!(slab.slots(), 2 * CHUNK);
        slab.remove(*stays);
        assert_eq!(slab.slots(), CHUNK);
    }

    #[test]
    fn no_name_means_anybody_again() {
        // Random comings and goings, with floods between, beside a naive model.
        let mut slab = Slab::new(6 * CHUNK);
        let (mut live, mut seen) = (Vec::new(), std::collections::HashSet::new());
        let mut chance = 1_u64;
        for round in 0..60_000_usize {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let flood = round / 8_000 % 2 == 0;
            let number = usize::try_from(chance >> 33).unwrap();
            if number % 100 < if flood { 80 } else { 15 } {
                match slab.insert(round) {
                    Ok(slot) => {
                        assert!(seen.insert(slot), "{slot:?} was somebody else's name");
                        live.push((slot, round));
                    }
                    Err(_) => assert_eq!(live.len(), 6 * CHUNK),
                }
            } else if !live.is_empty() {
                let (slot, value) = live.swap_remove(number % live.len());
                assert_eq!((slab.remove(slot), slab.remove(slot)), (Some(value), None));
            }
            if round % 512 == 0 {
                assert_eq!(slab.len(), live.len());
                assert!(
                    live.iter()
                        .all(|(slot, value)| slab.get(*slot) == Some(value))
                );
            }
        }
        let chunks: std::collections::BTreeSet<_> = live
            .iter()
            .map(|(slot, _)| slot.index as usize / CHUNK)
            .collect();
        assert!(slab.slots() <= (chunks.len() + 1) * CHUNK);
    }

    #[test]
    fn generations_go_on_past_their_last_number() {
        let mut chunk = Chunk::new();
        chunk.floor = u32::MAX - 1;
        let entry = |generation| Entry::<u8> {
            generation,
            value: None,
        };
        chunk.entries = vec![entry(u32::MAX), entry(3), entry(u32::MAX - 1)];
        chunk.release();
        assert_eq!(chunk.floor, 3);
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
