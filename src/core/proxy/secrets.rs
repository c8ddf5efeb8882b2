//! Numbers that nobody outside can foresee: keyed hashes, and chance.

use std::hash::{BuildHasher, Hasher};

use crate::carry::carried;
use crate::secret::{Chance, Mac};

/// The keys of a shard's process, and its source of chance.
#[derive(Debug)]
pub struct Secrets {
    hasher: ahash::RandomState,
    mac: Mac,
    chance: Chance,
}

impl Secrets {
    /// `shared` is of all shards of the node, `own` of this one alone.
    #[must_use]
    pub(super) fn new(shared: [u64; 4], own: [u64; 4]) -> Self {
        let [a, b, c, d] = shared;
        Self {
            hasher: ahash::RandomState::with_seeds(b, c, d, a),
            mac: Mac::new(shared, "steadfast words"),
            chance: Chance::new(own),
        }
    }

    /// A number nobody outside can foresee.
    pub fn chance(&mut self) -> u64 {
        self.chance.number()
    }

    /// A keyed hash of these parts that may be shown to anybody, the same on all
    /// shards of the process for as long as it lives.
    #[must_use]
    pub fn mac<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        self.mac.of(parts)
    }

    /// A hash as by `mac` at less cost, where two inputs that come to one result do no
    /// more harm than a collision of the result itself.
    #[must_use]
    pub fn print<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        self.mac.veil(self.hash(parts))
    }

    /// A fast keyed hash of these parts, the same on all shards of the process
    /// for as long as it lives. Nobody outside may see it.
    #[must_use]
    pub fn hash<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for part in parts {
            hasher.write(part);
            hasher.write_usize(part.len());
        }
        hasher.finish()
    }
}

carried!(Secrets {
    parts: chance;
    made: hasher, mac;
});
