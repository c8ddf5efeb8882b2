//! Shards that go on in another process: each is written, and read again from its bytes.

use std::net::IpAddr;
use std::sync::Arc;

use steadfast::home::Subscribers;
use steadfast::limits;
use steadfast::shard::Shard;

use super::World;
use super::staging::Kind;

/// Networks without limits, and connections of one source.
type Limits = (Option<Vec<(IpAddr, u8)>>, u32);

/// What a shard was started with, or was told since: a new process reads it from its files.
pub(super) struct Run {
    pub(super) run: u64,
    pub(super) list: Option<Arc<Subscribers>>,
    pub(super) limits: Option<Limits>,
}

impl Run {
    pub(super) const fn new(run: u64) -> Self {
        Self {
            run,
            list: None,
            limits: None,
        }
    }
}

/// Whether all tests are to be passed by shards that go on in another one again and again
/// (`STEADFAST_UPGRADES=1 cargo test --test wire`): what is not carried over is missed at once.
pub(super) fn always() -> bool {
    std::env::var_os("STEADFAST_UPGRADES").is_some()
}

/// Whether a shard is to go on in another one after so many inputs of a test: after each of the
/// first ones, and then after some, since those that repeat are many.
pub(super) const fn is_due(inputs: u32) -> bool {
    inputs < 300 || inputs.is_multiple_of(97)
}

impl World {
    /// Every shard of a node goes on in another process.
    pub(crate) fn upgrade(&mut self, addr: &str) {
        for index in self.shards_of(addr) {
            self.succeed(index);
        }
    }

    /// What the first shard of a node leaves.
    pub(crate) fn written(&self, addr: &str) -> Vec<u8> {
        self.shards[self.shards_of(addr).start].write().unwrap()
    }

    /// Whether a shard like the first one of a node goes on from these bytes.
    pub(crate) fn reads(&self, addr: &str, bytes: &[u8]) -> bool {
        let setup = self.setup(self.shards_of(addr).start);
        Shard::read(setup, self.now, bytes).is_ok()
    }

    /// Puts a shard that has read what this one has written in its place.
    pub(super) fn succeed(&mut self, index: usize) {
        if matches!(self.kinds[index], Kind::Agent(_)) {
            return;
        }
        let bytes = self.shards[index].write().unwrap();
        let mut shard = Shard::read(self.setup(index), self.now, &bytes).unwrap();
        if let Some((unlimited, connections)) = &self.runs[index].limits {
            let unlimited = unlimited.as_deref().unwrap_or(&limits::UNLIMITED);
            shard.set_unlimited(unlimited.to_vec());
            shard.set_connections_per_source(*connections);
        }
        self.shards[index] = shard;
    }
}
