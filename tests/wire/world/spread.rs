//! Nodes of several shards: which of them a flow comes to, and what passes
//! between them.

use std::net::SocketAddr;

use super::World;

impl World {
    /// Whatever comes from `addr` comes to that shard from now on, as the kernel
    /// may decide.
    pub(crate) fn steer(&mut self, addr: &str, shard: usize) {
        self.steered.insert(addr.parse().unwrap(), shard);
    }

    /// The shard of the node at `to` that a flow from `from` comes to.
    pub(super) fn index(&self, from: SocketAddr, to: SocketAddr) -> usize {
        let (first, count) = self.nodes[&to];
        let chosen = self.steered.get(&from).copied();
        first + chosen.unwrap_or_else(|| usize::from(from.port())) % count
    }

    /// The shards of the node at `addr`.
    pub(super) fn shards_of(&self, addr: &str) -> std::ops::Range<usize> {
        let (first, count) = self.nodes[&addr.parse().unwrap()];
        first..first + count
    }

    /// How many shards a node has.
    pub(crate) fn shard_count(&self, addr: &str) -> usize {
        self.shards_of(addr).len()
    }

    /// The queues between the shards of a node are full from now on, or no more.
    pub(crate) fn fill_rings(&mut self, addr: &str, are_full: bool) {
        let ip = addr.parse::<SocketAddr>().unwrap().ip();
        self.full.retain(|full| *full != ip);
        if are_full {
            self.full.push(ip);
        }
    }
}
