//! A shard on its core.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, mpsc};

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::clock::Clock;
use super::engine::{Ends, Engine, take_apart};
use super::inbox::{Inbox, inbox};
use super::ring::Ring;
use super::tls::Tls;
use super::{DnsSender, Fault, Inheritance, Mesh, Orders, Outgoing, Record, Sockets, StoreSender};
use crate::id::ShardSet;
use crate::limits;
use crate::shard::{Role, Setup, Shard};
use crate::time::Duration;

/// What one shard starts with.
pub struct Start {
    /// Its sockets, or all that the process before has left.
    pub begins: Begins,
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
    /// Bytes of its flight recorder.
    pub recorder: usize,
    /// Where its questions go.
    pub dns: DnsSender,
    /// The registrations there are.
    pub restored: Arc<[Record]>,
}

/// What a shard begins with.
pub enum Begins {
    /// Sockets that nobody has used.
    New(Sockets),
    /// What one of another process has left.
    Inherited(Inherited),
}

/// What a shard goes on with, and when.
pub struct Inherited {
    /// What it is.
    pub inheritance: Inheritance,
    /// Where it opens connections from.
    pub outgoing: Outgoing,
    /// Where it says that it could go on, or why not; and then, that it does.
    pub ready: mpsc::Sender<Result<(), String>>,
    /// Told when it is to.
    pub go: mpsc::Receiver<()>,
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
    // What may fail comes before the process before this one is told that it may end.
    let ring = Ring::new()?;
    let number = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    let shard_set = ShardSet {
        own: number(start.mesh.own()),
        count: number(start.mesh.shards()),
        seed: start.node_seed,
    };
    let (role, seed, clock) = (start.role, start.seed, start.clock);
    let setup = |sockets: &Sockets| Setup {
        locals: sockets.locals(),
        role,
        seed,
        shard_set,
        wall: clock.wall(),
    };
    let (mut shard, sockets, rest) = match start.begins {
        Begins::New(sockets) => (Shard::new(setup(&sockets), clock.now()), sockets, None),
        Begins::Inherited(inherited) => {
            let Inherited {
                inheritance,
                outgoing,
                ready,
                go,
            } = inherited;
            let (core, sockets, rest) = take_apart(inheritance, outgoing)?;
            let read = Shard::read(setup(&sockets), clock.now(), &core);
            let said = read.as_ref().map(drop).map_err(ToString::to_string);
            // The process before may use its keys until it says that it will not.
            let is_to_go = ready.send(said).is_ok() && go.recv().is_ok();
            match read {
                Ok(shard) if is_to_go => (shard, sockets, Some((rest, ready))),
                // The process ends.
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    };
    if let Some(networks) = start.unlimited {
        shard.set_unlimited(networks);
    }
    shard.set_connections_per_source(start.connections_per_source);
    shard.set_source_memory(start.source_memory);
    shard.set_recorder(start.recorder);
    let ends = Ends {
        ring,
        sockets,
        inbox,
        mesh: start.mesh,
        store: start.store,
        tls: start.tls,
        dns: start.dns,
        drain_for: start.drain_for,
    };
    let mut engine = Engine::new(shard, clock, ends)?;
    match rest {
        None => engine.restore(&start.restored),
        Some((rest, is_up)) => {
            engine.take_up(rest)?;
            if is_up.send(Ok(())).is_err() {
                tracing::debug!("nobody waits for a shard to go on");
            }
        }
    }
    drop(start.restored);
    // A shard is the one task of its executor and waits in its own ring.
    while !engine.is_done()? {
        engine.turn()?;
        engine.stand_still()?;
    }
    engine.report();
    engine.say_what_is_left();
    engine.end()
}
