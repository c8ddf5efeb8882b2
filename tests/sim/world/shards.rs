//! Nodes of one shard or several: how they start, and which of them gets what.

use std::net::SocketAddr;

use steadfast::id::ShardSet;
use steadfast::shard::{Input, Setup, Shard};
use steadfast::time::Wall;

use super::{Actor, UNIX, World};
use crate::cast::UPSTREAM;
use crate::dice::fnv;

impl World {
    /// Adds the further shards of a node. Each has a socket towards the home to
    /// itself, the rest is shared.
    pub(super) fn widen(&mut self, first: usize) {
        let addr = self.nodes[first].addr;
        let mut shard_set = vec![first];
        for _ in 1..self.cast.shards_at(addr.ip()) {
            shard_set.push(self.nodes.len());
            let role = self.nodes[first].role.clone();
            self.node(addr, role);
        }
        for local in self.nodes[first].locals.clone() {
            let own = local.addr.port().checked_sub(UPSTREAM);
            let index = own.map_or(first, |own| shard_set[usize::from(own)]);
            self.by_addr.insert(local.addr, Actor::Node(index));
        }
        for index in &shard_set {
            self.nodes[*index].shard_set.clone_from(&shard_set);
        }
    }

    /// Starts all shards of a node with an empty memory.
    pub(super) fn start(&mut self, index: usize) {
        let seed = self.dice.seed4();
        let shard_set = self.nodes[index].shard_set.clone();
        for (own, index) in shard_set.into_iter().enumerate() {
            self.start_shard(index, u8::try_from(own).unwrap(), seed);
        }
    }

    fn start_shard(&mut self, index: usize, own: u8, all: [u64; 4]) {
        let seed = if own == 0 { all } else { self.dice.seed4() };
        let node = &mut self.nodes[index];
        node.life += 1;
        node.silent = false;
        let setup = Setup {
            locals: node.locals.clone(),
            role: node.role.clone(),
            seed,
            shard_set: ShardSet {
                own,
                count: u8::try_from(node.shard_set.len()).unwrap(),
                seed: all,
            },
            wall: Wall { unix_at_zero: UNIX },
        };
        let mut shard = Shard::new(setup, self.now + node.skew);
        shard.leave_out(self.omit);
        node.shard = Some(shard);
        node.tick = None;
        if self.cast.is_home(node.addr.ip()) {
            let rows: Vec<_> = self.store.clone().into_iter().collect();
            for (key, value) in rows {
                let (key, value) = (&key[..], &value[..]);
                self.input(index, Input::Restored { key, value });
            }
        }
        self.arm(index);
    }

    /// Who gets what goes from one address to the other: of several shards the
    /// one that the kernel's hash falls to, but for a socket of its own.
    pub(super) fn receiver(&self, from: SocketAddr, to: SocketAddr) -> Option<Actor> {
        let actor = self.actor(to)?;
        let Actor::Node(index) = actor else {
            return Some(actor);
        };
        let shard_set = &self.nodes[index].shard_set;
        if to.port() >= UPSTREAM || shard_set.len() == 1 {
            return Some(actor);
        }
        let hash = fnv(7, format!("{from} {to}").as_bytes());
        let chosen = hash % u64::try_from(shard_set.len()).unwrap();
        Some(Actor::Node(shard_set[usize::try_from(chosen).unwrap()]))
    }
}
