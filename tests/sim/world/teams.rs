//! Nodes of one shard or several: how they start, and which of them gets what.

use std::net::SocketAddr;

use steadfast::id::Team;
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
        let mut team = vec![first];
        for _ in 1..self.cast.shards_at(addr.ip()) {
            team.push(self.nodes.len());
            let role = self.nodes[first].role.clone();
            self.node(addr, role);
        }
        for local in self.nodes[first].locals.clone() {
            let own = local.addr.port().checked_sub(UPSTREAM);
            let place = own.map_or(first, |own| team[usize::from(own)]);
            self.by_addr.insert(local.addr, Actor::Node(place));
        }
        for place in &team {
            self.nodes[*place].team.clone_from(&team);
        }
    }

    /// Starts all shards of a node with an empty memory.
    pub(super) fn start(&mut self, place: usize) {
        let seed = self.dice.seed4();
        let team = self.nodes[place].team.clone();
        for (own, place) in team.into_iter().enumerate() {
            self.start_shard(place, u8::try_from(own).unwrap(), seed);
        }
    }

    fn start_shard(&mut self, place: usize, own: u8, all: [u64; 4]) {
        let seed = if own == 0 { all } else { self.dice.seed4() };
        let node = &mut self.nodes[place];
        node.life += 1;
        node.silent = false;
        let setup = Setup {
            locals: node.locals.clone(),
            role: node.role.clone(),
            seed,
            team: Team {
                own,
                count: u8::try_from(node.team.len()).unwrap(),
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
                self.input(place, Input::Restored { key, value });
            }
        }
        self.arm(place);
    }

    /// Who gets what goes from one address to the other: of several shards the
    /// one that the kernel's hash falls to, but for a socket of its own.
    pub(super) fn receiver(&self, from: SocketAddr, to: SocketAddr) -> Option<Actor> {
        let actor = self.actor(to)?;
        let Actor::Node(place) = actor else {
            return Some(actor);
        };
        let team = &self.nodes[place].team;
        if to.port() >= UPSTREAM || team.len() == 1 {
            return Some(actor);
        }
        let hash = fnv(7, format!("{from} {to}").as_bytes());
        let chosen = hash % u64::try_from(team.len()).unwrap();
        Some(Actor::Node(team[usize::try_from(chosen).unwrap()]))
    }
}
