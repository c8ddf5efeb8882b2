//! Nodes that have too much to do.

use steadfast::time::Duration;

use super::World;

impl World {
    /// The shards of a node are so late for so many turns of 10 ms.
    pub(crate) fn late(&mut self, addr: &str, late: Duration, turns: usize) {
        for _ in 0..turns {
            self.pass(Duration::from_millis(10));
            for place in self.places(addr) {
                self.shards[place].late(self.now, late);
            }
        }
    }
}
