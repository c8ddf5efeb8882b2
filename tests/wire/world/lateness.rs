//! Nodes that have too much to do, and what became of all of it.

use steadfast::limits;
use steadfast::shard::Shard;
use steadfast::time::Duration;

use super::World;

impl World {
    /// The shards of a node are to refuse such a share of what is new for want of memory.
    pub(crate) fn short_of_memory(&mut self, addr: &str, percent: u8) {
        for index in self.shards_of(addr) {
            self.shards[index].set_memory(self.now, percent, limits::BUFFER_BYTES_MAX);
        }
    }

    /// The shards of a node are so late for so many turns of 10 ms.
    pub(crate) fn late(&mut self, addr: &str, late: Duration, turns: usize) {
        for _ in 0..turns {
            self.pass(Duration::from_millis(10));
            for index in self.shards_of(addr) {
                self.shards[index].late(self.now, late);
            }
        }
    }
}

/// Every request was sent on, answered, absorbed, handed over or dropped.
#[track_caller]
pub(super) fn balances(shard: &Shard) {
    let rows = || shard.counters().rows();
    let came = rows().find(|(name, _)| *name == "requests_in").unwrap().1;
    let fates = rows().filter(|(name, _)| name.starts_with("taken_"));
    let fates: Vec<_> = fates.collect();
    assert_eq!(fates.len(), 5);
    let went: u64 = fates.iter().map(|(_, count)| count).sum();
    assert_eq!(came, went, "{fates:?}");
}
