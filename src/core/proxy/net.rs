//! What every role works with: flows, transactions, buffers, the outbox and the counters of
//! one shard. Roles decide, [`Net`] carries out.
//!
//! What needs no more than one of its fields is a method of that field: [`Flows`],
//! [`Transactions`], [`Outbox`], [`Secrets`], [`Liveness`], [`Servers`]. Methods of [`Net`]
//! are what needs several of them at once:
//!
//! | file | what |
//! |---|---|
//! | `reach` | the flow to a hop, and the wire |
//! | `answers` | answers of our own |
//! | `resolve` | where a URI leads, to an address or to the servers of a name |
//! | `circuits`, `keepalives` | who has failed, and who was heard |
//! | `handover` | what is given to the other shards |
//! | `acks` | the ACK of a refusal, which is made hop by hop |
//! | `recording` | what the flight recorder is told |

use super::{Asks, Counters, HeldAnswers, Liveness, Owner, Secrets, Servers, Timer, Traffic};
use crate::admission::Admission;
use crate::bytes::Pool;
use crate::carry::carried;
use crate::guard::Guard;
use crate::id::ShardSet;
use crate::locate::Locator;
use crate::omit::Omit;
use crate::recorder::Recorder;
use crate::send::{Flows, Outbox};
use crate::time::{Instant, Wall};
use crate::trust::Destinations;
use crate::txn::Transactions;

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
    /// Where nothing is sent to on behalf of anybody but a peer.
    pub destinations: Destinations,
    /// Names and their servers.
    pub servers: Servers,
    /// Answers that wait until what they say is on disk.
    pub(crate) held_answers: HeldAnswers,
    /// Requests that wait until the store has said where somebody is.
    pub(crate) asks: Asks,
    /// What the shell is to do.
    pub outbox: Outbox,
    /// What passed of late.
    pub(crate) recorder: Recorder,
    /// What happened.
    pub counters: Counters,
    /// What passed, and how long it took.
    pub(crate) traffic: Box<Traffic>,
    /// Calendar time of the clock's zero.
    pub wall: Wall,
    /// The shards of this node.
    pub shard_set: ShardSet,
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
            held_answers: HeldAnswers::default(),
            asks: Asks::default(),
            outbox: Outbox::default(),
            recorder: Recorder::default(),
            counters: Counters::default(),
            traffic: Box::default(),
            wall,
            shard_set,
            clock: now,
            secrets: Secrets::new(shard_set.seed, seed),
        }
    }
}

carried!(Net {
    parts: flows, txns, liveness, guard, servers, held_answers, asks, counters, secrets;
    values: admission, traffic;
    made: omit, pool, destinations, outbox, recorder, wall, shard_set, clock;
});
