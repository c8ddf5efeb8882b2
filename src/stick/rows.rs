//! Rows: one URI bound to one flow, found by the place its URI names.
//!
//! A place is (domain, scheme, port, user); its rows form a chain, and the
//! index knows the first. The user is kept as a 128-bit keyed fingerprint only:
//! domain, scheme, port and parameters are compared in full, so even a found
//! collision would stay inside one domain, where whoever may bind one user may
//! bind them all. A row is one cache line, and the index carries 32 bits of the
//! fingerprint so that a look-up touches no row but its own.

use std::num::NonZeroU64;

use hashbrown::HashTable;

use super::Source;
use super::arena::{Arena, NONE};
use crate::time::Instant;

/// One binding.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Row {
    /// Of domain, scheme, port and user.
    pub(super) print: Print,
    pub(super) until: Instant,
    /// The dialog whose requests alone may use the row.
    pub(super) dialog: Option<NonZeroU64>,
    /// Scheme, port and whether there is a user (see `Key::place`).
    pub(super) place: u32,
    pub(super) set: u32,
    /// The flow and the domain; `NONE` in a free row.
    pub(super) link: u32,
    /// Next row of the same place.
    pub(super) next: u32,
    newer: u32,
    older: u32,
    /// When it was bound, on the table's own counter.
    pub(super) stamp: u32,
    pub(super) source: Source,
    /// Found since it was bound or since eviction last came by.
    pub(super) used: bool,
}

const _: () = assert!(size_of::<Row>() == 64, "a row is one cache line");

/// Fingerprint of a place.
pub(super) type Print = [u64; 2];

/// The rows of one link, least recently bound last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recency {
    pub(super) newest: u32,
    pub(super) oldest: u32,
    pub(super) len: u32,
}

impl Recency {
    pub(super) const EMPTY: Self = Self {
        newest: NONE,
        oldest: NONE,
        len: 0,
    };
}

/// What a new row says, before it is chained anywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    pub(super) print: Print,
    pub(super) place: u32,
    pub(super) set: u32,
    pub(super) link: u32,
    pub(super) source: Source,
    pub(super) until: Instant,
    pub(super) dialog: Option<NonZeroU64>,
    pub(super) stamp: u32,
}

/// All rows.
#[derive(Debug)]
pub(super) struct Rows {
    arena: Arena<Row>,
    index: HashTable<Head>,
}

/// The first row of a place.
#[derive(Clone, Copy, Debug)]
struct Head {
    print: u32,
    row: u32,
}

impl Rows {
    pub(super) const fn new() -> Self {
        Self {
            arena: Arena::new(),
            index: HashTable::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.arena.len()
    }

    pub(super) const fn slots(&self) -> u32 {
        self.arena.slots()
    }

    #[inline]
    pub(super) fn get(&self, row: u32) -> &Row {
        &self.arena[row]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, row: u32) -> &mut Row {
        &mut self.arena[row]
    }

    /// First row of the place, or `NONE`.
    #[inline]
    pub(super) fn head(&self, print: Print) -> u32 {
        let short = short(print);
        let found = self.index.find(spread(short), |head| {
            head.print == short && self.arena[head.row].print == print
        });
        found.map_or(NONE, |head| head.row)
    }

    /// Every row of the place.
    pub(super) fn chain(&self, print: Print) -> impl Iterator<Item = (u32, &Row)> {
        self.chain_from(self.head(print))
    }

    /// Every row of the place whose first row is `head`.
    #[inline]
    pub(super) fn chain_from(&self, head: u32) -> impl Iterator<Item = (u32, &Row)> {
        let mut at = head;
        std::iter::from_fn(move || {
            if at == NONE {
                return None;
            }
            let (index, row) = (at, &self.arena[at]);
            at = row.next;
            Some((index, row))
        })
    }

    /// Takes a row in, as the newest of `list`.
    pub(super) fn insert(&mut self, draft: Draft, list: &mut Recency) -> u32 {
        let Draft {
            print,
            place,
            set,
            link,
            source,
            until,
            dialog,
            stamp,
        } = draft;
        let head = self.head(print);
        let next = if head == NONE {
            NONE
        } else {
            self.arena[head].next
        };
        let (newer, older) = (NONE, NONE);
        let row = Row {
            print,
            until,
            dialog,
            place,
            set,
            link,
            next,
            newer,
            older,
            stamp,
            source,
            used: false,
        };
        let row = self.arena.insert(row);
        if head == NONE {
            let head = Head {
                print: short(print),
                row,
            };
            self.index
                .insert_unique(spread(head.print), head, |head| spread(head.print));
        } else {
            self.arena[head].next = row;
        }
        self.push_newest(row, list);
        row
    }

    /// Takes a row of `list` out and gives it back.
    pub(super) fn remove(&mut self, row: u32, list: &mut Recency) -> Row {
        self.take_out(row, list);
        let gone = self.arena[row];
        self.unchain(row, gone);
        self.arena[row].link = NONE;
        self.arena.remove(row);
        gone
    }

    fn unchain(&mut self, row: u32, gone: Row) {
        let head = self.head(gone.print);
        if head != row {
            let mut before = head;
            while self.arena[before].next != row {
                before = self.arena[before].next;
            }
            self.arena[before].next = gone.next;
            return;
        }
        if let Ok(mut entry) = self
            .index
            .find_entry(spread(short(gone.print)), |head| head.row == row)
        {
            if gone.next == NONE {
                entry.remove();
            } else {
                entry.get_mut().row = gone.next;
            }
        }
    }

    /// Puts a row that is in no list in front of `list`.
    pub(super) fn push_newest(&mut self, row: u32, list: &mut Recency) {
        let entry = &mut self.arena[row];
        (entry.newer, entry.older) = (NONE, list.newest);
        match list.newest {
            NONE => list.oldest = row,
            newest => self.arena[newest].newer = row,
        }
        list.newest = row;
        list.len += 1;
    }

    /// Takes a row out of `list`, leaving it in its chain.
    pub(super) fn take_out(&mut self, row: u32, list: &mut Recency) {
        let Row { newer, older, .. } = self.arena[row];
        match newer {
            NONE => list.newest = older,
            newer => self.arena[newer].older = older,
        }
        match older {
            NONE => list.oldest = newer,
            older => self.arena[older].newer = newer,
        }
        list.len -= 1;
    }

    /// Bytes of heap held.
    pub(super) fn memory(&self) -> usize {
        self.arena.memory() + self.index.allocation_size()
    }
}

/// The part of a fingerprint the index holds.
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn short(print: Print) -> u32 {
    print[0] as u32
}

/// The index takes its bucket from the low bits and its tag from the high ones.
const fn spread(short: u32) -> u64 {
    (short as u64) << 32 | short as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(print: Print, set: u32) -> Draft {
        let until = Instant::from_micros(9);
        Draft {
            print,
            place: 0,
            set,
            link: 0,
            source: Source::Path,
            until,
            dialog: None,
            stamp: 0,
        }
    }

    fn sets(rows: &Rows, print: Print) -> Vec<u32> {
        let mut sets: Vec<u32> = rows.chain(print).map(|(_, row)| row.set).collect();
        sets.sort_unstable();
        sets
    }

    #[test]
    fn a_chain_survives_the_loss_of_any_of_its_rows() {
        for gone in 0..3 {
            let (mut rows, mut list) = (Rows::new(), Recency::EMPTY);
            let all = [0, 1, 2].map(|set| rows.insert(draft([7, 7], set), &mut list));
            // Same index bits, other place.
            rows.insert(draft([7, 8], 9), &mut list);
            rows.remove(all[gone], &mut list);
            let mut want = vec![0, 1, 2];
            want.remove(gone);
            assert_eq!(
                (sets(&rows, [7, 7]), sets(&rows, [7, 8]), list.len),
                (want, vec![9], 3)
            );
        }
    }

    #[test]
    fn the_list_runs_from_the_newest_to_the_oldest() {
        let (mut rows, mut list) = (Rows::new(), Recency::EMPTY);
        let [a, b, c] = [0, 1, 2].map(|n| rows.insert(draft([n, 0], 0), &mut list));
        rows.take_out(b, &mut list);
        assert_eq!((list.newest, list.oldest), (c, a));
        rows.remove(a, &mut list);
        assert_eq!((list.newest, list.oldest), (c, c));
        rows.push_newest(b, &mut list);
        assert_eq!((list.newest, list.oldest, list.len), (b, c, 2));
        assert_eq!((rows.head([0, 0]), rows.head([1, 0])), (NONE, b));
    }
}
