//! The slots of unfinished attempts: reused, and never mistaken for one
//! another.

use super::outline::Mark;
use crate::bounds::PENDING_MAX;

/// Unfinished attempts by their mark.
#[derive(Debug)]
pub(super) struct Attempts<T> {
    run: u16,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    begun: u32,
}

#[derive(Debug)]
struct Slot<T> {
    /// The number of its attempt; `None` when it has ended.
    number: Option<u32>,
    attempt: T,
}

impl<T: Default> Attempts<T> {
    /// `run` tells the marks of this process from those of another.
    pub(super) const fn new(run: u16) -> Self {
        Self {
            run,
            slots: Vec::new(),
            free: Vec::new(),
            begun: 0,
        }
    }

    /// Attempts that have not ended.
    pub(super) const fn pending(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Begins an attempt, in a slot that may hold what an earlier one left; `None`
    /// where `PENDING_MAX` are unfinished.
    pub(super) fn begin(&mut self) -> Option<Mark> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < PENDING_MAX => {
                let slot = u32::try_from(self.slots.len()).ok()?;
                let (number, attempt) = (None, T::default());
                self.slots.push(Slot { number, attempt });
                slot
            }
            None => return None,
        };
        let number = self.begun;
        self.begun = self.begun.wrapping_add(1);
        self.slots.get_mut(index(slot))?.number = Some(number);
        Some(Mark {
            run: self.run,
            slot,
            number,
        })
    }

    /// The attempt of a mark, while it lasts.
    pub(super) fn find(&mut self, mark: Mark) -> Option<&mut T> {
        let slot = self.slots.get_mut(index(mark.slot))?;
        let lasts = mark.run == self.run && slot.number == Some(mark.number);
        lasts.then_some(&mut slot.attempt)
    }

    /// The unfinished attempt of a slot, and its mark.
    pub(super) fn at(&mut self, slot: u32) -> Option<(Mark, &mut T)> {
        let entry = self.slots.get_mut(index(slot))?;
        let mark = Mark {
            run: self.run,
            slot,
            number: entry.number?,
        };
        Some((mark, &mut entry.attempt))
    }

    /// Ends an attempt and frees its slot.
    pub(super) fn end(&mut self, mark: Mark) {
        if self.find(mark).is_some() {
            self.slots[index(mark.slot)].number = None;
            self.free.push(mark.slot);
        }
    }
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_reused_and_its_earlier_mark_finds_nothing() {
        let mut attempts = Attempts::<u8>::new(7);
        let first = attempts.begin().unwrap();
        *attempts.find(first).unwrap() = 1;
        attempts.end(first);
        attempts.end(first);
        assert_eq!(attempts.find(first), None);
        assert_eq!(attempts.pending(), 0);
        let second = attempts.begin().unwrap();
        assert_eq!((second.slot, second.number), (first.slot, first.number + 1));
        assert_eq!(attempts.find(second), Some(&mut 1));
        assert_eq!(attempts.find(Mark { run: 8, ..second }), None);
        assert_eq!(attempts.pending(), 1);
    }

    #[test]
    fn there_is_an_end_to_the_room() {
        let mut attempts = Attempts::<()>::new(7);
        for _ in 0..PENDING_MAX {
            attempts.begin().unwrap();
        }
        assert_eq!(attempts.begin(), None);
    }
}
