//! The way between the shards of a node: one bounded queue for each ordered pair,
//! with one writer and one reader, and a bell for each shard.
//!
//! - A shard looks at its queues whenever it is awake, so a bell is rung only for
//!   one that may sleep. A shard says that it is about to sleep *before* it looks
//!   at its queues a last time, and a writer looks for that *after* it wrote: one
//!   of the two always sees the other.
//! - A full queue drops the newest and counts it (`limits::HANDOFFS_MAX`).
//! - The shards of a node end together: one that closed its sockets early would
//!   make the kernel give its flows to the others.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::bell::Bell;
use crate::limits;
use crate::shard::Handoff;

/// One shard's end of everything.
pub struct Mesh {
    own: usize,
    /// By shard; none to itself.
    out: Vec<Option<SyncSender<Handoff>>>,
    /// By shard; none from itself.
    queues: Vec<Option<Receiver<Handoff>>>,
    /// Taken out of the queues and not yet handled.
    waiting: VecDeque<(u8, Handoff)>,
    bells: Vec<Bell>,
    shared: Arc<Shared>,
    /// Who was written to since the last `wake`.
    written: Vec<bool>,
    has_written: bool,
}

/// What the shards of a node know of one another.
#[derive(Debug)]
struct Shared {
    states: Vec<State>,
    /// Hand-overs written and not yet handled.
    under_way: AtomicUsize,
    /// All were done with what comes before the end of a home (`Mesh::all_may_leave`).
    leave: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// It may be asleep.
    dozes: AtomicBool,
    /// It has nothing left to do before the end.
    is_done: AtomicBool,
}

/// The ends of `shards` shards.
///
/// # Errors
/// When the kernel has no more descriptors.
pub fn mesh(shards: usize) -> io::Result<Vec<Mesh>> {
    let share = limits::HANDOFFS_MAX / shards.max(1);
    let room = share.max(limits::HANDOFFS_MIN);
    let states = (0..shards).map(|_| State::default()).collect();
    let shared = Arc::new(Shared {
        states,
        under_way: AtomicUsize::new(0),
        leave: AtomicBool::new(false),
    });
    let bells: Vec<_> = (0..shards).map(|_| Bell::new()).collect::<Result<_, _>>()?;
    let mut ends = Vec::new();
    for own in 0..shards {
        let bells = bells
            .iter()
            .map(Bell::try_clone)
            .collect::<Result<_, _>>()?;
        ends.push(Mesh {
            own,
            out: (0..shards).map(|_| None).collect(),
            queues: (0..shards).map(|_| None).collect(),
            waiting: VecDeque::new(),
            bells,
            shared: Arc::clone(&shared),
            written: vec![false; shards],
            has_written: false,
        });
    }
    for from in 0..shards {
        for to in (0..shards).filter(|to| *to != from) {
            let (writer, queue) = sync_channel(room);
            ends[from].out[to] = Some(writer);
            ends[to].queues[from] = Some(queue);
        }
    }
    Ok(ends)
}

impl Mesh {
    /// How many shards there are.
    pub(super) fn shards(&self) -> usize {
        self.out.len()
    }

    /// Which of them this is.
    pub(super) const fn own(&self) -> usize {
        self.own
    }

    /// Writes to another shard's queue; false when it is full, or its reader gone.
    pub(super) fn give(&mut self, to: u8, handoff: Handoff) -> bool {
        let to = usize::from(to);
        let Some(Some(writer)) = self.out.get(to) else {
            return false;
        };
        // Counted before it can be read.
        self.shared.under_way.fetch_add(1, Ordering::SeqCst);
        let is_written = writer.try_send(handoff).is_ok();
        if !is_written {
            self.shared.under_way.fetch_sub(1, Ordering::SeqCst);
        }
        self.written[to] = true;
        self.has_written = true;
        is_written
    }

    /// Rings for those who were written to and may be asleep.
    pub(super) fn wake(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.has_written) {
            return Ok(());
        }
        for (to, written) in self.written.iter_mut().enumerate() {
            let dozes = &self.shared.states[to].dozes;
            if std::mem::take(written) && dozes.swap(false, Ordering::SeqCst) {
                self.bells[to].ring()?;
            }
        }
        Ok(())
    }

    /// The next hand-over for this shard and who it is from.
    pub(super) fn take(&mut self) -> Option<(u8, Handoff)> {
        if self.waiting.is_empty() {
            self.look();
        }
        self.waiting.pop_front()
    }

    /// To be called once a hand-over that was taken is dealt with, and what it
    /// brought about is written.
    pub(super) fn handled(&self, count: usize) {
        if count > 0 {
            self.shared.under_way.fetch_sub(count, Ordering::SeqCst);
        }
    }

    /// Says that this shard is about to sleep. False: it must not, something
    /// waits.
    pub(super) fn doze(&mut self) -> bool {
        if self.shards() <= 1 {
            return true;
        }
        self.shared.states[self.own]
            .dozes
            .store(true, Ordering::SeqCst);
        if self.waiting.is_empty() {
            self.look();
        }
        let may_sleep = self.waiting.is_empty();
        if !may_sleep {
            self.rise();
        }
        may_sleep
    }

    /// Says that this shard is awake.
    pub(super) fn rise(&self) {
        if self.shards() > 1 {
            self.shared.states[self.own]
                .dozes
                .store(false, Ordering::SeqCst);
        }
    }

    /// Says whether this shard is done, and whether all are and nothing is
    /// under way between them: then they end.
    pub(super) fn all_done(&self, is_done: bool) -> io::Result<bool> {
        let states = &self.shared.states;
        let was_done = states[self.own].is_done.swap(is_done, Ordering::SeqCst);
        let all = states
            .iter()
            .all(|state| state.is_done.load(Ordering::SeqCst))
            && self.shared.under_way.load(Ordering::SeqCst) == 0;
        if is_done && (all || !was_done) {
            // The others wait for this.
            for (to, bell) in self.bells.iter().enumerate() {
                if to != self.own {
                    bell.ring()?;
                }
            }
        }
        Ok(all)
    }

    /// The same for what is done before they end: once all are, it is true for all of them.
    pub(super) fn all_may_leave(&self, is_done: bool) -> io::Result<bool> {
        if self.shared.leave.load(Ordering::SeqCst) {
            return Ok(true);
        }
        let all = self.all_done(is_done)?;
        if all {
            // What follows is to be done anew.
            for state in &self.shared.states {
                state.is_done.store(false, Ordering::SeqCst);
            }
            self.shared.leave.store(true, Ordering::SeqCst);
        }
        Ok(all)
    }

    /// Takes a batch out of each queue.
    fn look(&mut self) {
        for (from, queue) in (0..).zip(&self.queues) {
            let Some(queue) = queue else { continue };
            let batch = queue.try_iter().take(limits::HANDOFF_BATCH);
            self.waiting.extend(batch.map(|handoff| (from, handoff)));
        }
    }
}

impl AsFd for Mesh {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bells[self.own].as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::EdgeHandoff;
    use crate::time::Instant;

    const fn word(phone: u64) -> Handoff {
        let (until, came) = (Instant::ZERO, None);
        Handoff::Edge(EdgeHandoff::Holds { phone, until, came })
    }

    #[test]
    fn what_one_writes_the_other_reads_in_order() {
        let mut ends = mesh(3).unwrap();
        let mut third = ends.pop().unwrap();
        for (phone, end) in (0..).zip(&mut ends) {
            assert!(end.give(2, word(phone)) && end.give(2, word(phone + 10)));
        }
        let mut read = Vec::new();
        while let Some(taken) = third.take() {
            read.push(taken);
            third.handled(1);
        }
        let want = [(0, 0), (0, 10), (1, 1), (1, 11)];
        assert_eq!(read, want.map(|(from, phone)| (from, word(phone))));
    }

    #[test]
    fn a_full_queue_takes_no_more_until_it_is_read() {
        let mut ends = mesh(2).unwrap();
        let room = limits::HANDOFFS_MAX / 2;
        let taken = (0..room + 5).filter(|_| ends[0].give(1, word(1))).count();
        assert_eq!(taken, room);
        assert!(ends[1].take().is_some());
        assert!(ends[0].give(1, word(2)));
        // Nobody is there.
        assert!(!ends[0].give(2, word(3)) && !ends[0].give(0, word(4)));
    }

    #[test]
    fn nobody_sleeps_while_something_waits() {
        let mut ends = mesh(2).unwrap();
        assert!(ends[1].doze());
        assert!(ends[0].give(1, word(1)));
        ends[0].wake().unwrap();
        // It was rung awake.
        assert!(!ends[1].shared.states[1].dozes.load(Ordering::SeqCst));
        assert!(!ends[1].doze());
        assert!(ends[1].take().is_some());
        assert!(ends[1].doze());
    }

    #[test]
    fn the_shards_end_together_and_nothing_is_left_between_them() {
        let mut ends = mesh(2).unwrap();
        assert!(ends[0].give(1, word(1)));
        assert!(!ends[0].all_done(true).unwrap());
        assert!(!ends[1].all_done(true).unwrap(), "something is under way");
        assert!(ends[1].take().is_some());
        ends[1].handled(1);
        assert!(ends[1].all_done(true).unwrap() && ends[0].all_done(true).unwrap());
        assert!(!ends[1].all_done(false).unwrap() && !ends[0].all_done(true).unwrap());
        assert!(mesh(1).unwrap()[0].all_done(true).unwrap());
    }

    #[test]
    fn the_shards_leave_together_and_are_then_done_anew() {
        let ends = mesh(2).unwrap();
        assert!(!ends[0].all_may_leave(true).unwrap());
        assert!(!ends[1].all_may_leave(false).unwrap());
        assert!(!ends[0].all_may_leave(true).unwrap());
        assert!(ends[1].all_may_leave(true).unwrap());
        assert!(!ends[1].all_done(true).unwrap(), "the other one is not");
        assert!(ends[0].all_may_leave(false).unwrap(), "whatever came since");
        assert!(!ends[0].all_done(false).unwrap());
        assert!(ends[0].all_done(true).unwrap() && ends[1].all_done(true).unwrap());
    }
}
