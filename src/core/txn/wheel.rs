//! The timing wheel: every timer of a shard, set and cancelled in constant
//! time.
//!
//! One level for each byte of the tick count, one slot for each value of that
//! byte. A timer stands on the level of the highest byte in which it differs
//! from the cursor, so the lowest level in use always holds what comes first,
//! and a timer moves down at most once per level.
//!
//! - Never early, and less than one tick late.
//! - Timers of one tick fire in the order they were set; one set for the past
//!   queues behind those of the present tick.
//! - Jumps of the clock cost nothing: bit maps skip empty slots.
//! - Warm, it allocates nothing: nodes are reused and lists run through them.

use serde::{Deserialize, Serialize};

use crate::id::Slot;
use crate::time::Instant;

/// Names a timer that was set; it goes stale when the timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerId(Slot);

/// Timers, each carrying a `T` that says what it is for. Holds as many as its
/// users set: they bound themselves.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wheel<T> {
    nodes: Vec<Node<T>>,
    /// First of the unused nodes, chained by `next`.
    free: u32,
    /// First node of each slot's list, level by level.
    heads: Vec<u32>,
    /// A bit for each slot that is not empty.
    filled: [[u64; SLOTS / 64]; LEVELS],
    /// Every tick before this one has been emptied.
    cursor: u64,
    /// No slot begins before this tick: nearly always there is nothing to look for.
    quiet_until: u64,
    len: usize,
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel whose clock stands at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            nodes: Vec::new(),
            free: NIL,
            heads: vec![NIL; LEVELS * SLOTS],
            filled: [[0; SLOTS / 64]; LEVELS],
            cursor: now.as_micros() / TICK_US,
            quiet_until: 0,
            len: 0,
        }
    }

    /// Timers that are set.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when no timer is set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer for `at`; one in the past is due at once.
    ///
    /// # Panics
    /// When more timers are set than 32 bits count, which no memory holds.
    pub fn set(&mut self, at: Instant, what: T) -> TimerId {
        let tick = at.as_micros().div_ceil(TICK_US).max(self.cursor);
        let index = if self.free == NIL {
            let index = u32::try_from(self.nodes.len()).expect("timers are counted in 32 bits");
            self.nodes.push(Node {
                tick,
                prev: NIL,
                next: NIL,
                generation: 0,
                is_set: true,
                what,
            });
            index
        } else {
            let index = self.free;
            let node = &mut self.nodes[index as usize];
            self.free = node.next;
            (node.tick, node.is_set, node.what) = (tick, true, what);
            index
        };
        self.len += 1;
        self.link(index);
        TimerId(Slot {
            index,
            generation: self.nodes[index as usize].generation,
        })
    }

    /// Takes a timer off before it fires and gives back what it carried;
    /// `None` when it has fired or was cancelled.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let node = self.nodes.get(id.0.index as usize)?;
        if !node.is_set || node.generation != id.0.generation {
            return None;
        }
        Some(self.take(id.0.index))
    }

    /// The next timer that is due at `at`, earliest tick first. The work is
    /// constant over the life of a timer: a call may move a whole slot down a
    /// level, but each timer goes that way at most once per level.
    pub fn pop(&mut self, at: Instant) -> Option<T> {
        let now = at.as_micros() / TICK_US;
        loop {
            if self.is_quiet(at) {
                return None;
            }
            let first = self.first();
            let Some((level, slot, start)) = first.filter(|&(_, _, start)| start <= now) else {
                self.quiet_until = first.map_or(u64::MAX, |(_, _, start)| start);
                continue;
            };
            debug_assert!(start >= self.cursor, "a slot was passed over");
            self.cursor = start;
            if level == 0 {
                return Some(self.take(self.heads[slot]));
            }
            self.lower(level, slot);
        }
    }

    /// Whether `pop` would find nothing, as far as that is known without a search; time has gone
    /// on to `now` then.
    #[inline]
    pub(super) fn is_quiet(&mut self, now: Instant) -> bool {
        let now = now.as_micros() / TICK_US;
        let is_quiet = now < self.quiet_until;
        if is_quiet {
            self.cursor = self.cursor.max(now);
        }
        is_quiet
    }

    /// When to call `pop` at the latest. Exact for a timer that is near, else
    /// the beginning of its slot: then `pop` finds nothing and the next
    /// deadline is later. `None` when no timer is set.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let (_, _, start) = self.first()?;
        Some(Instant::from_micros(start.saturating_mul(TICK_US)))
    }

    /// The earliest slot in use: its level, its index on the level, its first tick.
    fn first(&self) -> Option<(usize, usize, u64)> {
        let (level, words) = self
            .filled
            .iter()
            .enumerate()
            .find(|(_, words)| words.iter().any(|&word| word != 0))?;
        let (index, word) = words.iter().enumerate().find(|&(_, &word)| word != 0)?;
        let slot = index * 64 + word.trailing_zeros() as usize;
        let shift = BITS * level;
        let above = self.cursor >> (shift + BITS) << (shift + BITS);
        Some((level, slot, above | (slot as u64) << shift))
    }

    /// The level and slot of a tick as seen from the cursor. The cursor never enters
    /// a slot without emptying it, so the answer holds as long as the timer
    /// stands there.
    fn level_and_slot(&self, tick: u64) -> (usize, usize) {
        let differing = tick ^ self.cursor;
        let level = differing.checked_ilog2().unwrap_or(0) as usize / BITS;
        (level, usize::from(tick.to_le_bytes()[level]))
    }

    /// Moves a slot that the cursor has entered to the levels below.
    fn lower(&mut self, level: usize, slot: usize) {
        let head = std::mem::replace(&mut self.heads[level * SLOTS + slot], NIL);
        self.filled[level][slot / 64] &= !(1 << (slot % 64));
        let mut index = head;
        loop {
            let next = self.nodes[index as usize].next;
            self.link(index);
            if next == head {
                return;
            }
            index = next;
        }
    }

    /// Puts a node at the end of its slot's list.
    fn link(&mut self, index: u32) {
        let tick = self.nodes[index as usize].tick;
        let (level, slot) = self.level_and_slot(tick);
        // A slot is looked at when it begins, and then its timers go a level down.
        let start = tick >> (BITS * level) << (BITS * level);
        self.quiet_until = self.quiet_until.min(start);
        let head = self.heads[level * SLOTS + slot];
        let (prev, next) = if head == NIL {
            self.heads[level * SLOTS + slot] = index;
            self.filled[level][slot / 64] |= 1 << (slot % 64);
            (index, index)
        } else {
            let tail = self.nodes[head as usize].prev;
            self.nodes[tail as usize].next = index;
            self.nodes[head as usize].prev = index;
            (tail, head)
        };
        let node = &mut self.nodes[index as usize];
        (node.prev, node.next) = (prev, next);
    }

    /// Takes a node out of its list and frees it.
    fn take(&mut self, index: u32) -> T {
        let node = &self.nodes[index as usize];
        let (prev, next, what) = (node.prev, node.next, node.what);
        let (level, slot) = self.level_and_slot(node.tick);
        let head = &mut self.heads[level * SLOTS + slot];
        if next == index {
            *head = NIL;
            self.filled[level][slot / 64] &= !(1 << (slot % 64));
        } else {
            if *head == index {
                *head = next;
            }
            self.nodes[prev as usize].next = next;
            self.nodes[next as usize].prev = prev;
        }
        let node = &mut self.nodes[index as usize];
        node.generation = node.generation.wrapping_add(1);
        node.is_set = false;
        node.next = self.free;
        self.free = index;
        self.len -= 1;
        what
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Node<T> {
    tick: u64,
    prev: u32,
    next: u32,
    generation: u32,
    is_set: bool,
    what: T,
}

/// One millisecond: every timer of RFC 3261 is a whole number of them.
const TICK_US: u64 = 1_000;
/// Bits of the tick count per level.
const BITS: usize = 8;
const SLOTS: usize = 1 << BITS;
/// Enough bytes for the last tick of the clock, so nothing is out of range.
const LEVELS: usize = 7;
const NIL: u32 = u32::MAX;

const _: () = assert!(
    u64::MAX / TICK_US < (1 << (BITS * LEVELS)) - 1,
    "every instant has a slot"
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn ms(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    #[test]
    fn a_timer_is_never_early_and_less_than_a_tick_late() {
        let mut wheel = Wheel::new(Instant::from_micros(300));
        wheel.set(Instant::from_micros(1_001), 'a');
        wheel.set(Instant::from_micros(3_000), 'b');
        assert_eq!(wheel.pop(Instant::from_micros(1_999)), None);
        assert_eq!(wheel.deadline(), Some(Instant::from_micros(2_000)));
        assert_eq!(wheel.pop(Instant::from_micros(2_000)), Some('a'));
        assert_eq!(wheel.pop(Instant::from_micros(2_999)), None);
        assert_eq!(wheel.pop(Instant::from_micros(3_000)), Some('b'));
        assert_eq!((wheel.len(), wheel.deadline()), (0, None));
    }

    #[test]
    fn one_tick_fires_in_the_order_of_setting() {
        let mut wheel = Wheel::new(ms(0));
        wheel.set(ms(70_000), 1);
        wheel.set(ms(300), 0);
        wheel.set(ms(70_000), 2);
        assert_eq!(wheel.pop(ms(69_000)), Some(0));
        assert_eq!(wheel.pop(ms(69_999)), None);
        wheel.set(ms(70_000), 3);
        let all: Vec<_> = std::iter::from_fn(|| wheel.pop(ms(70_000))).collect();
        assert_eq!(all, [1, 2, 3]);
    }

    #[test]
    fn a_cancelled_timer_is_gone_and_its_id_stale() {
        let mut wheel = Wheel::new(ms(0));
        let ids: Vec<_> = (0..3).map(|n| wheel.set(ms(500), n)).collect();
        assert_eq!(
            (wheel.cancel(ids[0]), wheel.cancel(ids[0])),
            (Some(0), None)
        );
        let again = wheel.set(ms(400), 9);
        assert_eq!(
            (again.0.index, wheel.cancel(ids[0])),
            (ids[0].0.index, None)
        );
        assert_eq!(wheel.cancel(ids[2]), Some(2));
        let all: Vec<_> = std::iter::from_fn(|| wheel.pop(ms(500))).collect();
        assert_eq!(all, [9, 1]);
        assert_eq!(wheel.cancel(again), None);
    }

    #[test]
    fn the_end_of_the_clock_has_a_slot() {
        let end = Instant::from_micros(u64::MAX);
        let mut wheel = Wheel::new(ms(0));
        wheel.set(end, ());
        assert_eq!(wheel.pop(end - Duration::from_secs(1)), None);
        assert_eq!(wheel.len(), 1);
    }

    #[test]
    fn a_warm_wheel_reuses_its_nodes() {
        let mut wheel = Wheel::new(ms(0));
        for round in 0..1_000u64 {
            for n in 0..100 {
                wheel.set(ms(round * 40_000 + n * 320), n);
            }
            while wheel.pop(ms(round * 40_000 + 32_000)).is_some() {}
        }
        assert_eq!((wheel.len(), wheel.nodes.len()), (0, 100));
    }

    /// Marsaglia's xorshift: chance that repeats itself.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }
    }

    /// A span of time that is short, long or absurd, in microseconds.
    fn span(chance: &mut Chance) -> u64 {
        let bits = chance.below(45);
        chance.below(1 << bits)
    }

    fn agrees_with_a_sorted_map(seed: u64) {
        let mut chance = Chance(seed);
        let mut now = chance.below(1 << 40);
        let mut wheel = Wheel::new(Instant::from_micros(now));
        let mut naive = BTreeMap::new();
        let mut cursor = now / 1_000;
        let mut set: Vec<(TimerId, (u64, u64))> = Vec::new();
        for serial in 0..3_000 {
            match chance.below(8) {
                0..4 => {
                    let at = (now + span(&mut chance)).saturating_sub(chance.below(5_000));
                    let key = (at.div_ceil(1_000).max(cursor), serial);
                    naive.insert(key, serial);
                    set.push((wheel.set(Instant::from_micros(at), serial), key));
                }
                4 if !set.is_empty() => {
                    let pick = usize::try_from(chance.below(set.len() as u64)).unwrap();
                    let (id, key) = set.swap_remove(pick);
                    assert_eq!(wheel.cancel(id), naive.remove(&key));
                }
                _ => {
                    now += span(&mut chance);
                    // Not always drained: timers are also set between pops.
                    for _ in 0..chance.below(40) {
                        let due = naive
                            .first_key_value()
                            .filter(|(key, _)| key.0 <= now / 1_000);
                        let want = due.map(|(&key, &serial)| (key, serial));
                        cursor = want.map_or(now / 1_000, |(key, _)| key.0);
                        assert_eq!(
                            wheel.pop(Instant::from_micros(now)),
                            want.map(|(_, serial)| serial)
                        );
                        let Some((key, _)) = want else { break };
                        naive.remove(&key);
                    }
                }
            }
            let next = naive
                .first_key_value()
                .map(|(key, _)| Instant::from_micros(key.0 * 1_000));
            assert_eq!(wheel.len(), naive.len());
            assert_eq!(wheel.deadline().is_some(), next.is_some());
            assert!(wheel.deadline() <= next, "a deadline later than the timer");
        }
    }

    #[test]
    fn it_agrees_with_a_sorted_map() {
        for seed in 1..40 {
            agrees_with_a_sorted_map(seed * 0x9e37_79b9);
        }
    }

    #[test]
    fn sleeping_until_the_deadline_reaches_every_timer() {
        let mut wheel = Wheel::new(ms(7));
        for at in [8, 507, 32_007, 185_007, 36_000_007] {
            wheel.set(ms(at), at);
        }
        let (mut fired, mut wakes) = (Vec::new(), 0);
        while let Some(now) = wheel.deadline() {
            wakes += 1;
            while let Some(at) = wheel.pop(now) {
                assert_eq!(ms(at), now);
                fired.push(at);
            }
        }
        assert_eq!(fired, [8, 507, 32_007, 185_007, 36_000_007]);
        assert!(wakes <= 20, "{wakes} wakes for five timers");
    }
}
