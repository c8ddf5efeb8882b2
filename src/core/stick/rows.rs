//! Rows: one URI bound to one flow, found by domain, scheme, port and user of the URI.
//!
//! The rows that have these four in common are one chain. Its first row stands where the
//! fingerprint of the four says (`segments`), so that finding it is one read of memory;
//! the further rows of the chain lie in an arena. The user is kept as a 128-bit keyed fingerprint only:
//! domain, scheme, port and parameters are compared in full, so even a found
//! collision would stay inside one domain, where whoever may bind one user may
//! bind them all. A row is one cache line.
//!
//! A row's number holds until rows are inserted or removed: both may move
//! others.

mod segments;
carried!(Rows {
    values: heads, more;
    made: moved;
});

#[cfg(test)]
mod tests;

use std::num::NonZeroU64;

use super::Source;
use super::arena::{Arena, NONE};
use super::links::Links;
use crate::carry::carried;
use crate::time::Instant;
use segments::{Moved, Segments};
use serde::{Deserialize, Serialize};

/// One binding.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[repr(align(64))]
pub(super) struct Row {
    /// Of domain, scheme, port and user.
    pub(super) print: Print,
    pub(super) until: Instant,
    /// The dialog whose requests alone may use the row.
    pub(super) dialog: Option<NonZeroU64>,
    /// Scheme, port and whether there is a user (see `UriKey::scheme_port`).
    pub(super) scheme_port: u32,
    pub(super) set: u32,
    /// The flow and the domain; `NONE` in a free row.
    pub(super) link: u32,
    /// Next row of the same chain, in the arena.
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

/// Fingerprint of domain, scheme, port and user; its very top bit is set.
pub(super) type Print = [u64; 2];

/// The rows of one link, least recently bound last.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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
    pub(super) scheme_port: u32,
    pub(super) set: u32,
    pub(super) link: u32,
    pub(super) source: Source,
    pub(super) until: Instant,
    pub(super) dialog: Option<NonZeroU64>,
    pub(super) stamp: u32,
}

impl Draft {
    fn row(self, next: u32) -> Row {
        Row {
            print: self.print,
            until: self.until,
            dialog: self.dialog,
            scheme_port: self.scheme_port,
            set: self.set,
            link: self.link,
            next,
            newer: NONE,
            older: NONE,
            stamp: self.stamp,
            source: self.source,
            used: false,
        }
    }
}

/// All rows. Those of the arena have the top bit of their number set.
#[derive(Debug)]
pub(super) struct Rows {
    heads: Segments,
    more: Arena<Row>,
    moved: Moved,
}

/// Marks the number of a row in the arena.
const MORE: u32 = 1 << 31;

impl Rows {
    pub(super) fn new() -> Self {
        Self {
            heads: Segments::new(),
            more: Arena::new(),
            moved: Moved::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.heads.len() + self.more.len()
    }

    /// Number of slots, free or in use: `at` takes an index below it.
    pub(super) fn slots(&self) -> u32 {
        self.heads.slots() + self.more.slots()
    }

    /// The number of the row in the nth slot, if one is there.
    pub(super) fn at(&self, nth: u32) -> Option<u32> {
        let row = match nth.checked_sub(self.heads.slots()) {
            None => nth,
            Some(more) => more | MORE,
        };
        (self.get(row).link != NONE).then_some(row)
    }

    #[inline]
    pub(super) fn get(&self, row: u32) -> &Row {
        if row & MORE == 0 {
            self.heads.get(row)
        } else {
            &self.more[row & !MORE]
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, row: u32) -> &mut Row {
        if row & MORE == 0 {
            self.heads.get_mut(row)
        } else {
            &mut self.more[row & !MORE]
        }
    }

    /// Begins to read what `head` will look at first.
    #[inline]
    pub(super) fn prefetch(&self, print: Print) {
        self.heads.prefetch(print);
    }

    /// First row of the chain with this fingerprint, or `NONE`.
    #[inline]
    pub(super) fn head(&self, print: Print) -> u32 {
        self.heads.find(print).unwrap_or(NONE)
    }

    /// Every row of the chain with this fingerprint.
    pub(super) fn chain(&self, print: Print) -> impl Iterator<Item = (u32, &Row)> {
        self.chain_from(self.head(print))
    }

    /// Every row of the chain that begins with `head`.
    #[inline]
    pub(super) fn chain_from(&self, head: u32) -> impl Iterator<Item = (u32, &Row)> {
        let mut at = head;
        std::iter::from_fn(move || {
            if at == NONE {
                return None;
            }
            let (index, row) = (at, self.get(at));
            at = row.next;
            Some((index, row))
        })
    }

    /// Takes a row in, as the newest of its link. `None` when the segment of
    /// its first row cannot grow, which its secret key keeps from happening.
    pub(super) fn insert(&mut self, draft: Draft, links: &mut Links) -> Option<u32> {
        let head = self.head(draft.print);
        let row = if head == NONE {
            let row = self.heads.insert(draft.row(NONE), &mut self.moved);
            self.follow_moved(links);
            row?
        } else {
            let row = self.more.insert(draft.row(self.get(head).next)) | MORE;
            self.get_mut(head).next = row;
            row
        };
        self.push_newest(row, &mut links.link_mut(draft.link).rows);
        Some(row)
    }

    /// Takes a row out of its link and its chain, and gives it back.
    pub(super) fn remove(&mut self, row: u32, links: &mut Links) -> Row {
        let gone = *self.get(row);
        self.take_out(row, &mut links.link_mut(gone.link).rows);
        if row & MORE != 0 {
            let mut before = self.head(gone.print);
            while self.get(before).next != row {
                before = self.get(before).next;
            }
            self.get_mut(before).next = gone.next;
            self.free(row);
        } else if gone.next == NONE {
            self.heads.remove(row);
        } else {
            // The next of the chain is its head now.
            let heir = gone.next;
            *self.heads.get_mut(row) = *self.get(heir);
            self.free(heir);
            self.settle(row, links);
        }
        gone
    }

    /// Frees a row of the arena.
    fn free(&mut self, more: u32) {
        self.get_mut(more).link = NONE;
        self.more.remove(more & !MORE);
    }

    /// Tells the neighbours of rows that growth moved.
    fn follow_moved(&mut self, links: &mut Links) {
        let moved = std::mem::take(&mut self.moved);
        // First the rows themselves: neighbours may have moved together.
        for &row in &moved.rows {
            let Row { newer, older, .. } = *self.get(row);
            let entry = self.get_mut(row);
            (entry.newer, entry.older) = (moved.now(newer), moved.now(older));
        }
        for &row in &moved.rows {
            self.settle(row, links);
        }
        self.moved = moved;
        self.moved.clear();
    }

    /// Makes the neighbours of a row in its list point at it.
    fn settle(&mut self, row: u32, links: &mut Links) {
        let Row {
            newer, older, link, ..
        } = *self.get(row);
        match newer {
            NONE => links.link_mut(link).rows.newest = row,
            newer => self.get_mut(newer).older = row,
        }
        match older {
            NONE => links.link_mut(link).rows.oldest = row,
            older => self.get_mut(older).newer = row,
        }
    }

    /// Puts a row that is in no list in front of `list`.
    pub(super) fn push_newest(&mut self, row: u32, list: &mut Recency) {
        let entry = self.get_mut(row);
        (entry.newer, entry.older) = (NONE, list.newest);
        match list.newest {
            NONE => list.oldest = row,
            newest => self.get_mut(newest).newer = row,
        }
        list.newest = row;
        list.len += 1;
    }

    /// Takes a row out of `list`, leaving it in its chain.
    pub(super) fn take_out(&mut self, row: u32, list: &mut Recency) {
        let Row { newer, older, .. } = *self.get(row);
        match newer {
            NONE => list.newest = older,
            newer => self.get_mut(newer).older = older,
        }
        match older {
            NONE => list.oldest = newer,
            older => self.get_mut(older).newer = newer,
        }
        list.len -= 1;
    }

    /// Bytes of heap held.
    pub(super) fn memory(&self) -> usize {
        self.heads.memory() + self.more.memory() + self.moved.memory()
    }
}
