//! A shard on its core.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::clock::Clock;
use super::engine::{Ends, Engine};
use super::inbox::{Inbox, inbox};
use super::tls::Tls;
use super::{DnsSender, Fault, Mesh, Orders, Record, Sockets, StoreSender};
use crate::id::ShardSet;
use crate::limits;
use crate::shard::{Role, Setup, Shard};
use crate::time::Duration;

/// What one shard starts with.
pub struct Start {
    /// Its sockets.
    pub sockets: Sockets,
    /// What it is.
    pub role: Role,
    /// Its own random numbers, 32 bytes of them.
    pub seed: [u64; 4],
    /// The random numbers of its node, the same for all shards.
    pub node_seed: [u64; 4],
    /// Its way to the other shards.
    pub mesh: Mesh,
    /// The clock of the process.
    pub clock: Clock,
    /// Its certificates, where it speaks TLS.
    pub tls: Option<Arc<Tls>>,
    /// Where its registrations go.
    pub store: Option<StoreSender>,
    /// Networks whose sources are not limited; `None`: `limits::UNLIMITED`.
    pub unlimited: Option<Vec<(IpAddr, u8)>>,
    /// Connections that one source may have at once.
    pub connections_per_source: u32,
    /// Bytes that a stranger may make it keep.
    pub source_memory: usize,
    /// How long it goes on at most once it is told to drain.
    pub drain_for: Duration,
    /// Where its questions go.
    pub dns: DnsSender,
    /// The registrations there are.
    pub restored: Arc<[Record]>,
}

/// A running shard.
pub struct Handle {
    executor: ExecutorJoinHandle<()>,
}

impl Handle {
    /// Waits for the shard to end, which it does after `Order::Drain`.
    ///
    /// # Errors
    /// When its executor could not start.
    pub fn wait(self) -> Result<(), Fault> {
        self.executor
            .join()
            .map_err(|error| Fault::Executor(error.to_string()))
    }
}

/// Finds out whether there is a core for each of so many shards.
///
/// # Errors
/// When there are too few.
pub fn check_cores(shards: usize) -> Result<(), Fault> {
    let cores = core_affinity::get_core_ids().unwrap_or_default().len();
    if shards > cores {
        return Err(Fault::Cores { shards, cores });
    }
    Ok(())
}

/// Starts the shards, each pinned to a core of its own.
///
/// # Errors
/// When there are too few cores, or an executor cannot be made.
pub fn start(starts: Vec<Start>) -> Result<Vec<(Orders, Handle)>, Fault> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    check_cores(starts.len())?;
    let shards = starts.into_iter().zip(cores).enumerate();
    shards
        .map(|(index, (start, core))| start_one(start, index, core.id))
        .collect()
}

fn start_one(start: Start, index: usize, core: usize) -> Result<(Orders, Handle), Fault> {
    let (orders, inbox) = inbox()?;
    let executor = LocalExecutorBuilder::new(Placement::Fixed(core))
        .name(&format!("shard-{index}"))
        .preempt_timer(limits::PREEMPT)
        .spawn(move || async move {
            if let Err(error) = live(start, inbox) {
                // As with a panic: better no node than one without this core.
                tracing::error!(%error, "the kernel refused what a shard cannot go on without");
                std::process::exit(1);
            }
        })
        .map_err(|error| Fault::Executor(error.to_string()))?;
    Ok((orders, Handle { executor }))
}

fn live(start: Start, inbox: Inbox) -> io::Result<()> {
    let Start {
        sockets,
        role,
        seed,
        node_seed,
        mesh,
        clock,
        tls,
        store,
        unlimited,
        connections_per_source,
        source_memory,
        drain_for,
        dns,
        restored,
    } = start;
    let number = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    let shard_set = ShardSet {
        own: number(mesh.own()),
        count: number(mesh.shards()),
        seed: node_seed,
    };
    let setup = Setup {
        locals: sockets.locals(),
        role,
        seed,
        shard_set,
        wall: clock.wall(),
    };
    let mut shard = Shard::new(setup, clock.now());
    if let Some(networks) = unlimited {
        shard.set_unlimited(networks);
    }
    shard.set_connections_per_source(connections_per_source);
    shard.set_source_memory(source_memory);
    let ends = Ends {
        sockets,
        inbox,
        mesh,
        store,
        tls,
        dns,
        drain_for,
    };
    let mut engine = Engine::new(shard, clock, ends)?;
    engine.restore(&restored);
    drop(restored);
    // A shard is the one task of its executor and waits in its own ring.
    while !engine.is_done()? {
        engine.turn()?;
    }
    engine.report();
    engine.say_what_is_left();
    engine.end()
}
