//! The first rows of all chains, each where its fingerprint says.
//!
//! A hash table whose entries are the rows themselves, in segments of bounded
//! size: the top bits of a fingerprint name the segment by way of a directory,
//! the other half says where in it the search begins (open addressing, linear
//! probing; what was removed leaves a mark where the search has to go on).
//! A full segment is split in two and the directory grows with the depth, so
//! that growth moves one segment's rows and never all of them.

use serde::{Deserialize, Serialize};

use super::{Print, Row};
use crate::stick::Source;
use crate::stick::arena::NONE;
use crate::time::Instant;

/// The segments.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Segments {
    /// By the top `depth` bits of a fingerprint: which segment.
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Segment>,
    len: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Segment {
    /// A power of two of them.
    rows: Box<[Row]>,
    /// Rows in it.
    live: usize,
    /// Rows in it and marks of removed ones.
    taken: usize,
    /// How many bits of the fingerprint all its rows have in common.
    depth: u32,
}

/// Rows of one segment that growth has moved.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Their numbers now.
    pub(super) rows: Vec<u32>,
    /// The segment they were in.
    from: u32,
    /// The new numbers by their slots in it.
    now: Vec<u32>,
}

impl Moved {
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.now.clear();
    }

    /// The number that the row of an old number has now.
    pub(super) fn now(&self, old: u32) -> u32 {
        if old >> SHIFT != self.from {
            return old;
        }
        self.now.get((old & MASK) as usize).copied().unwrap_or(old)
    }

    pub(super) fn memory(&self) -> usize {
        (self.rows.capacity() + self.now.capacity()) * size_of::<u32>()
    }
}

impl Segments {
    pub(super) const fn new() -> Self {
        Self {
            directory: Vec::new(),
            depth: 0,
            segments: Vec::new(),
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Places in all segments.
    pub(super) fn slots(&self) -> u32 {
        let Some((last, before)) = self.segments.split_last() else {
            return 0;
        };
        // Only a table of one segment has a smaller one.
        at(number_of(before.len()), 0) + number_of(last.rows.len())
    }

    #[inline]
    pub(super) fn get(&self, row: u32) -> &Row {
        &self.segments[(row >> SHIFT) as usize].rows[(row & MASK) as usize]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, row: u32) -> &mut Row {
        &mut self.segments[(row >> SHIFT) as usize].rows[(row & MASK) as usize]
    }

    #[inline]
    pub(super) fn prefetch(&self, print: Print) {
        if let Some((_, segment)) = self.segment_of(print) {
            // A read that nothing waits for.
            std::hint::black_box(segment.rows[segment.start(print)].stamp);
        }
    }

    #[inline]
    pub(super) fn find(&self, print: Print) -> Option<u32> {
        let (number, segment) = self.segment_of(print)?;
        let slot = segment.find(print)?;
        Some(at(number, slot))
    }

    #[inline]
    fn segment_of(&self, print: Print) -> Option<(u32, &Segment)> {
        let number = *self.directory.get(top(print, self.depth))?;
        Some((number, &self.segments[number as usize]))
    }

    /// Takes in the first row of a chain and returns its number. Rows that had
    /// to move are in `moved`, which comes empty, also where the result is
    /// `None`: the segment is full and can be split no further.
    pub(super) fn insert(&mut self, row: Row, moved: &mut Moved) -> Option<u32> {
        if self.directory.is_empty() {
            self.directory.push(0);
            self.segments.push(Segment::new(SMALLEST, 0));
        }
        let mut number = self.directory[top(row.print, self.depth)];
        if self.segments[number as usize].is_full() {
            self.grow(number, moved);
            number = self.directory[top(row.print, self.depth)];
        }
        let segment = &mut self.segments[number as usize];
        // Split as often as allowed, and still all in one.
        if segment.live == segment.rows.len() {
            return None;
        }
        self.len += 1;
        Some(at(number, segment.insert(row)))
    }

    /// Removes the row, which is there.
    pub(super) fn remove(&mut self, row: u32) {
        self.segments[(row >> SHIFT) as usize].remove((row & MASK) as usize);
        self.len -= 1;
    }

    /// Makes room in a segment: marks go, or it is doubled, or split.
    fn grow(&mut self, number: u32, moved: &mut Moved) {
        let segment = &mut self.segments[number as usize];
        let (room, depth) = (segment.rows.len(), segment.depth);
        let has_marks = segment.live * 16 < room * 11;
        let splits = !has_marks && room == SEGMENT;
        if splits && depth == DEPTH_MAX {
            return;
        }
        let old = std::mem::take(&mut segment.rows);
        if splits {
            let sibling = self.split(number, depth);
            let bit = 63 - depth;
            self.pour(number, &old, moved, |print| match print[0] >> bit & 1 {
                0 => number,
                _ => sibling,
            });
        } else {
            let room = if has_marks { room } else { room * 2 };
            *segment = Segment::new(room, depth);
            self.pour(number, &old, moved, |_| number);
        }
    }

    /// Puts two empty segments where one was; the number of the second.
    fn split(&mut self, number: u32, depth: u32) -> u32 {
        if depth == self.depth {
            self.directory = self.directory.iter().flat_map(|&one| [one, one]).collect();
            self.depth += 1;
        }
        let sibling = number_of(self.segments.len());
        self.segments[number as usize] = Segment::new(SEGMENT, depth + 1);
        self.segments.push(Segment::new(SEGMENT, depth + 1));
        // Of the directory's entries for the old segment the upper half is the sibling's.
        let own = self
            .directory
            .iter()
            .filter(|&&entry| entry == number)
            .count();
        let entries = self.directory.iter_mut().filter(|entry| **entry == number);
        entries.skip(own / 2).for_each(|entry| *entry = sibling);
        sibling
    }

    /// Puts the rows that segment `from` had into the segments that `which` says.
    fn pour(&mut self, from: u32, old: &[Row], moved: &mut Moved, which: impl Fn(Print) -> u32) {
        moved.from = from;
        moved.now.resize(old.len(), NONE);
        for (slot, row) in old.iter().enumerate().filter(|(_, row)| row.link != NONE) {
            let number = which(row.print);
            let now = at(number, self.segments[number as usize].insert(*row));
            moved.rows.push(now);
            moved.now[slot] = now;
        }
    }

    pub(super) fn memory(&self) -> usize {
        let rows: usize = self.segments.iter().map(|segment| segment.rows.len()).sum();
        rows * size_of::<Row>()
            + self.segments.capacity() * size_of::<Segment>()
            + self.directory.capacity() * size_of::<u32>()
    }
}

impl Segment {
    fn new(room: usize, depth: u32) -> Self {
        Self {
            rows: vec![EMPTY; room].into_boxed_slice(),
            live: 0,
            taken: 0,
            depth,
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
    fn start(&self, print: Print) -> usize {
        print[1] as usize & (self.rows.len() - 1)
    }

    fn is_full(&self) -> bool {
        // A search for what is not there meets a free slot after some fifteen at most on average.
        self.taken >= self.rows.len() - self.rows.len() * 3 / 16
    }

    #[inline]
    fn find(&self, print: Print) -> Option<usize> {
        let mask = self.rows.len() - 1;
        let start = self.start(print);
        for step in 0..=mask {
            let at = (start + step) & mask;
            let row = &self.rows[at];
            if row.print == print {
                return Some(at);
            }
            if row.print == EMPTY.print {
                return None;
            }
        }
        None
    }

    /// Puts a row whose chain is not in the segment where the search will meet
    /// it. There is room.
    fn insert(&mut self, row: Row) -> usize {
        let mask = self.rows.len() - 1;
        let mut at = self.start(row.print);
        while self.rows[at].link != NONE {
            at = (at + 1) & mask;
        }
        self.taken += usize::from(self.rows[at].print == EMPTY.print);
        self.live += 1;
        self.rows[at] = row;
        at
    }

    fn remove(&mut self, at: usize) {
        let mask = self.rows.len() - 1;
        self.live -= 1;
        self.rows[at] = MARK;
        // No search needs a mark before a free slot.
        let mut at = at;
        while self.rows[at].print == MARK.print && self.rows[(at + 1) & mask].print == EMPTY.print {
            self.rows[at] = EMPTY;
            self.taken -= 1;
            at = at.wrapping_sub(1) & mask;
        }
    }
}

/// The directory's entry for a fingerprint.
#[inline]
const fn top(print: Print, depth: u32) -> usize {
    // In two steps, since no shift takes all 64 bits away.
    (print[0] >> 1 >> (63 - depth)) as usize
}

/// A count of segments or slots, which is far below 32 bits.
fn number_of(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(NONE)
}

/// The number of the row in a slot of a segment.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a slot is below 1,024")]
const fn at(segment: u32, slot: usize) -> u32 {
    segment << SHIFT | slot as u32
}

const SHIFT: u32 = 10;
/// Rows of a whole segment: what one insertion may have to move.
const SEGMENT: usize = 1 << SHIFT;
const MASK: u32 = (1 << SHIFT) - 1;
/// Room of the first segment: a table of a few rows (one phone's) must not pay for a whole one.
const SMALLEST: usize = 4;
/// Bits of the fingerprint that may tell segments apart. Rows that agree in more
/// fill their segment, and then the segment takes no more; with a secret key
/// that takes more rows than a table may have.
const DEPTH_MAX: u32 = 20;

const EMPTY: Row = Row {
    print: [0, 0],
    until: Instant::ZERO,
    dialog: None,
    scheme_port: 0,
    set: NONE,
    link: NONE,
    next: NONE,
    newer: NONE,
    older: NONE,
    stamp: 0,
    source: Source::Opened,
    used: false,
};
/// Where a row was removed that searches for others have passed.
const MARK: Row = Row {
    print: [1, 0],
    ..EMPTY
};
