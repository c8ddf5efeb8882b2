//! What every role works with: flows, transactions, buffers, the outbox and
//! the counters of one shard. Roles decide, [`Net`] carries out.
//!
//! Its methods stand in the files of what they are about: where something goes
//! (`reach`), answers of our own (`answers`), other shards (`handing`), keep-alives
//! (`keepalives`), what failed (`circuits`), names (`locating`). What needs no more than one
//! of its fields is a method of that field: [`Flows`], [`Secrets`], [`Liveness`], [`Servers`].

use std::collections::VecDeque;

use super::{Counters, Liveness, Rejected, Restraint, Secrets, Servers};
use crate::admission::Admission;
use crate::bytes::Pool;
use crate::guard::Guard;
use crate::id::{Flow, ShardSet, Slot};
use crate::locate::Locator;
use crate::omit::Omit;
use crate::send::{Flows, Output};
use crate::time::{Instant, Wall};
use crate::trust::Destinations;
use crate::txn::Transactions;

/// Whose transaction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A proxied request and one of its branches (the server side: branch 0).
    Proxy {
        /// The response context.
        context: Slot,
        /// Which branch.
        branch: u8,
    },
    /// The CANCEL of a branch.
    Cancel {
        /// The response context.
        context: Slot,
    },
    /// Answered here; nobody waits.
    Local,
    /// A request of the user agent.
    Agent(u32),
}

/// Timers that share the transactions' wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Timer C of a branch, or the grace of its CANCEL (RFC 3261 §16.8, §9.1).
    Branch {
        /// The response context.
        context: Slot,
        /// Which branch.
        branch: u8,
    },
    /// A stream's unfinished message is due.
    Partial(Slot),
    /// A stream whose phone promised keep-alives must have been heard.
    Silence(Slot),
    /// Keep-alives between the elements of the cluster.
    Liveness,
    /// The next piece of what the role has put off.
    Later,
    /// Bounded sweep of expired registrations and bindings.
    Sweep,
    /// The user agent's own.
    Agent(u32),
}

/// The machinery of one shard.
#[derive(Debug)]
pub struct Net {
    /// What the simulation leaves out.
    pub omit: Omit,
    /// Buffers.
    pub pool: Pool,
    /// Flows.
    pub flows: Flows,
    /// Transactions and timers.
    pub txns: Transactions<Owner, Timer>,
    /// Which peers and destinations live.
    pub liveness: Liveness,
    /// Who asks for too much.
    pub guard: Guard,
    /// How much of what is new is taken in.
    pub admission: Admission,
    /// What servers of the cluster ask us to leave out.
    pub restraint: Restraint,
    /// Where nothing is sent to on behalf of anybody but a peer.
    pub destinations: Destinations,
    /// Names and their servers.
    pub servers: Servers,
    /// What the shell is to do.
    pub outbox: VecDeque<Output>,
    /// What happened.
    pub counters: Counters,
    /// What was refused, and why.
    pub rejected: Rejected,
    /// Calendar time of the clock's zero.
    pub wall: Wall,
    /// SIGTERM came.
    pub draining: bool,
    /// The operator knows that `sips` is refused.
    pub(super) told_of_sips: bool,
    /// The shards of this node.
    pub shard_set: ShardSet,
    /// The flow of the datagram at hand, where it came to this shard itself.
    pub ingress_flow: Option<Flow>,
    /// Room for a branch parameter.
    pub(super) text: Vec<u8>,
    /// The time of the step.
    pub(crate) clock: Instant,
    /// Keyed hashes and chance.
    pub secrets: Secrets,
}

impl Net {
    /// The machinery over these endpoints.
    #[must_use]
    pub fn new(
        flows: Flows,
        wall: Wall,
        seed: [u64; 4],
        shard_set: ShardSet,
        now: Instant,
    ) -> Self {
        Self {
            omit: Omit::Nothing,
            pool: Pool::new(),
            destinations: Destinations::default(),
            servers: Servers::new(Locator::new(flows.spoken(), seed)),
            flows,
            txns: Transactions::new(now, seed, shard_set.own),
            liveness: Liveness::new(seed),
            guard: Guard::new(seed),
            admission: Admission::default(),
            restraint: Restraint::default(),
            outbox: VecDeque::new(),
            counters: Counters::default(),
            rejected: Rejected::default(),
            wall,
            draining: false,
            told_of_sips: false,
            shard_set,
            ingress_flow: None,
            text: Vec::new(),
            clock: now,
            secrets: Secrets::new(shard_set.seed, seed),
        }
    }
}
