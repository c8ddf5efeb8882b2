//! A running node: what its configuration names, started in the order in
//! which it can fail, ended in the order in which nothing is lost.
//!
//! Sockets first, because a taken port is the likeliest mistake; then the
//! disk; then the shards, which have their registrations back before they read
//! their first message; last the control thread ([`control`]), which ends them again.

mod checks;
mod fault;
mod successor;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Config, Role, Source, StoreAt, keep, seed};
use crate::control::{
    self, AdminSockets, Control, ControlSetup, FlowTable, FromShards, Kept, ListFile, LogFilter,
    NameServer, Opened as Flows, Running, SharedStore, Store, TableSource,
};
use crate::edge::is_live;
use crate::id::Transport;
use crate::io::tls::Tls;
use crate::io::{
    self, Begins, Clock, DnsSender, Handle, Listening, Orders, Record, Start, StoreSender,
    StoreState,
};
use crate::upgrade::Given;
use crate::{memory, shard};

use fault::{admin_fault, flows_fault, listen_fault};

pub use checks::{certificate_warnings, check, check_machine};
pub use fault::Fault;
pub use successor::take_over;

/// What the log says of each listener once the node takes traffic.
pub const LISTENING: &str = "listening for SIP";

/// Runs a node until a signal has ended it; `source` is the file that `config` was read from.
///
/// # Errors
/// When it cannot start.
pub fn run(config: Config, source: Source, log: LogFilter) -> Result<(), Fault> {
    let clock = Clock::start();
    prepare(&config)?;
    let sockets = io::open(&listening(&config), config.shards);
    let sockets = sockets.map_err(|fault| listen_fault(&config, fault))?;
    let admin_sockets = admin_sockets(&config)?;
    let name_server = name_server(&config)?;
    let flows = flows(&config, clock)?;
    let opened = open(&config.role)?;
    let (disk, restored) = disk(&config.role, flows)?;
    // Whoever cannot start is told that alone.
    io::warn_about_machine();
    let seeds = sockets.iter().map(|_| seed()).collect::<Result<_, _>>()?;
    let beginning = Beginning {
        shards: Shards {
            clock,
            node_seed: seed()?,
            seeds,
            begins: sockets.into_iter().map(Begins::New).collect(),
            restored,
        },
        disk,
        admin_sockets,
        name_server,
    };
    let settled = Settled {
        certificates: certificates(&config)?,
        config,
        source,
        log,
        role: opened.role,
        subscribers: opened.subscribers,
    };
    begin(settled, beginning, || Ok(()))
}

/// What every node asks of the machine first.
fn prepare(config: &Config) -> Result<(), Fault> {
    io::take_small_pages();
    Ok(check_room(config)?)
}

/// Takes all the descriptors that there are, and finds out whether the kernel, the cores and
/// those do for the node.
fn check_room(config: &Config) -> Result<(), io::Fault> {
    io::check_kernel()?;
    io::check_cores(config.shards)?;
    io::raise_open_files()?;
    io::check_files(config.shards, listeners(config).len())
}

/// What a node goes by, read from its files.
struct Settled {
    config: Config,
    source: Source,
    log: LogFilter,
    role: shard::Role,
    subscribers: Option<ListFile>,
    certificates: Option<(control::Certificates, Arc<Tls>)>,
}

/// The certificates; what changes of them from here on is noticed.
fn certificates(config: &Config) -> Result<Option<(control::Certificates, Arc<Tls>)>, Fault> {
    let Some(settings) = config.tls.clone() else {
        return Ok(None);
    };
    let mut certificates = control::Certificates::new(settings);
    let tls = certificates.load()?;
    Ok(Some((certificates, Arc::new(tls))))
}

/// What a node begins with besides its files.
struct Beginning {
    shards: Shards,
    disk: Disk,
    admin_sockets: AdminSockets,
    name_server: Option<NameServer>,
}

/// Starts the shards and then, once `is_up` has said so, the control thread; runs until both
/// have ended.
fn begin(
    settled: Settled,
    beginning: Beginning,
    is_up: impl FnOnce() -> Result<(), Fault>,
) -> Result<(), Fault> {
    for warning in settled.config.warnings() {
        tracing::warn!("{warning}");
    }
    memory::hold(settled.config.memory);
    if settled.config.recorder() < settled.config.recording.recorder {
        let bytes = settled.config.recorder();
        tracing::info!(
            bytes,
            "keeps less of what passes, an eighth of the memory that it may use"
        );
    }
    let Beginning {
        shards,
        disk,
        admin_sockets,
        name_server,
    } = beginning;
    let given = Given {
        program: std::env::current_exe()?,
        clock: shards.clock,
        node_seed: shards.node_seed,
        seeds: shards.seeds.clone(),
        store: disk.state(),
    };
    let (to_store, records) = io::to_store(disk.state());
    let (to_store, questions_to_store) = to_store.with_questions();
    let has_dropped = to_store.has_dropped();
    let (to_dns, questions) = io::to_dns();
    // The writer ends when the last shard's sender is gone.
    let to_store = (!matches!(disk, Disk::Nothing)).then_some(to_store);
    let (shards, handles) = shards.start(&settled, to_store, &to_dns)?;
    is_up()?;
    let (store, flows) = match disk {
        Disk::Nothing => (None, None),
        Disk::Store(store) => (Some(Kept::File(store, records)), None),
        Disk::Shared(store) => {
            let from = FromShards {
                records,
                questions: questions_to_store,
                has_dropped,
            };
            (Some(Kept::Shared(store, from)), None)
        }
        Disk::Flows(table, _) => (None, Some((table, records, has_dropped))),
    };
    let name = settled.config.name.clone();
    let all = listeners(&settled.config);
    let control = control::start(ControlSetup {
        shards,
        store,
        flows,
        given,
        running: Running {
            config: settled.config,
            source: settled.source,
            certificates: settled.certificates.map(|(files, _)| files),
            subscribers: settled.subscribers,
            log: settled.log,
        },
        admin_sockets,
        questions,
        name_server,
    })?;
    say_listening(&name, all.into_iter());
    wait(handles, control)
}

/// What the shards of a node begin with.
struct Shards {
    clock: Clock,
    node_seed: [u64; 4],
    /// Of each shard.
    seeds: Vec<[u64; 4]>,
    begins: Vec<Begins>,
    restored: Arc<[Record]>,
}

impl Shards {
    /// Starts them.
    fn start(
        self,
        settled: &Settled,
        to_store: Option<StoreSender>,
        to_dns: &DnsSender,
    ) -> Result<(Vec<Orders>, Vec<Handle>), Fault> {
        let config = &settled.config;
        let tls = settled.certificates.as_ref().map(|(_, tls)| tls);
        let meshes = io::mesh(config.shards)?;
        let parts = self.begins.into_iter().zip(meshes).zip(self.seeds);
        let starts = parts
            .enumerate()
            .map(|(shard, ((begins, mesh), seed))| Start {
                begins,
                role: settled.role.clone(),
                seed,
                node_seed: self.node_seed,
                mesh,
                clock: self.clock,
                tls: tls.cloned(),
                store: to_store.clone(),
                unlimited: config.unlimited.clone(),
                connections_per_source: config.connections_per_source,
                source_memory: config.source_memory,
                drain_for: config.drain_for,
                recorder: config.recorder() / config.shards.max(1),
                dns: to_dns.of(shard),
                restored: Arc::clone(&self.restored),
            });
        Ok(io::start(starts.collect())?.into_iter().unzip())
    }
}

/// Every listener, in the order of the file.
fn listeners(config: &Config) -> Vec<(Transport, SocketAddr)> {
    let core = config.core_listen.iter();
    let core = core.map(|addr| (Transport::Tcp, *addr));
    let core = core.chain(config.core_side.iter().copied());
    let all = config.listen.iter().chain(&config.covered).copied();
    all.chain(core).collect()
}

/// Tells of every listener, which whoever waits for the start of a node reads, and the service
/// manager.
fn say_listening(node: &str, all: impl Iterator<Item = (Transport, SocketAddr)>) {
    for (transport, addr) in all {
        tracing::info!(node, transport = transport.uri_token(), %addr, "{LISTENING}");
    }
    control::service::ready();
}

/// What a node keeps on disk.
enum Disk {
    Nothing,
    /// The registrations of a home.
    Store(Store),
    /// Nothing: the registrations of a home are where those of others are.
    Shared(SharedStore),
    /// The flows of an edge, and how they are.
    Flows(TableSource, Arc<StoreState>),
}

impl Disk {
    /// How it is with the registrations on it.
    fn state(&self) -> Arc<StoreState> {
        match self {
            Self::Store(store) => store.state(),
            Self::Shared(store) => store.state(),
            Self::Flows(_, state) => Arc::clone(state),
            Self::Nothing => Arc::default(),
        }
    }
}

/// What is kept, and what of it there is.
fn disk(role: &Role, flows: Flows) -> Result<(Disk, Arc<[Record]>), Fault> {
    let home = match role {
        Role::Home(home) => home.store.as_ref().map(|store| (home, store)),
        Role::Edge(_) => None,
    };
    let (disk, records) = match (home, flows.table) {
        (Some((home, StoreAt::File(path))), _) => {
            let mut store = Store::open(path)?;
            store.set_awaited(home.settings.is_durable);
            let records = store.take_records();
            (Disk::Store(store), records)
        }
        (Some((home, StoreAt::Shared(at))), _) => {
            let home = &home.settings;
            let store = SharedStore::new(at.clone(), &home.domain, home.is_durable, false);
            (Disk::Shared(store), Vec::new())
        }
        (None, Some(table)) => {
            let table = TableSource::Open(Box::new(table));
            (Disk::Flows(table, Arc::default()), flows.rows)
        }
        (None, None) => (Disk::Nothing, Vec::new()),
    };
    if !records.is_empty() {
        tracing::info!(records = records.len(), "read the registrations back");
    }
    Ok((disk, records.into()))
}

/// What a node is, with the files it needs for that.
struct Opened {
    role: shard::Role,
    /// The list that is read again when it changes.
    subscribers: Option<ListFile>,
}

fn open(role: &Role) -> Result<Opened, Fault> {
    match role {
        Role::Edge(settings) => Ok(Opened {
            role: shard::Role::Edge(settings.clone()),
            subscribers: None,
        }),
        Role::Home(home) => {
            let algorithms = &home.settings.algorithms;
            let (list, file) = ListFile::open(home.subscribers.clone(), algorithms)?;
            // What is no store stays as it is, and no key is left beside it.
            home.store
                .as_ref()
                .and_then(StoreAt::file)
                .map(control::check_store)
                .transpose()?;
            if let Some(path) = &home.new_key {
                keep(path, &home.settings.nonce_key).map_err(|why| Fault::Key {
                    path: path.clone(),
                    why,
                })?;
            }
            Ok(Opened {
                role: shard::Role::Home(home.settings.clone(), list),
                subscribers: Some(file),
            })
        }
    }
}

fn name_server(config: &Config) -> Result<Option<NameServer>, Fault> {
    let Some(settings) = &config.name_server else {
        return Ok(None);
    };
    let opened = NameServer::open(settings, seed()?);
    let opened = opened.map_err(|fault| Fault::Names {
        at: settings.at.clone(),
        fault,
    })?;
    Ok(Some(opened))
}

/// The flows that an earlier run has left.
fn flows(config: &Config, clock: Clock) -> Result<Flows, Fault> {
    let (Some(flows), Role::Edge(edge)) = (&config.flows, &config.role) else {
        let (table, rows) = (None, Vec::new());
        return Ok(Flows { table, rows });
    };
    let owner = format!("{}/{}", edge.cluster, edge.name);
    let is_live = |key: &[u8], value: &[u8]| is_live(clock.now(), clock.wall(), key, value);
    let opened = FlowTable::open(&flows.path, &owner, flows.most, is_live);
    opened.map_err(flows_fault(flows))
}

fn admin_sockets(config: &Config) -> Result<AdminSockets, Fault> {
    AdminSockets::open(config.control.as_deref(), config.metrics)
        .map_err(|fault| admin_fault(config, fault))
}

/// What a node opens. An edge sends to its homes from ports of its own.
fn listening(config: &Config) -> Listening<'_> {
    Listening {
        listen: &config.listen,
        covered: &config.covered,
        core_listen: &config.core_listen,
        core: &config.core_side,
        core_port: config.core_port,
        sends_from_core: matches!(config.role, Role::Edge(_)),
    }
}

fn wait(handles: Vec<Handle>, control: Control) -> Result<(), Fault> {
    for handle in handles {
        handle.wait()?;
    }
    control.finish()?;
    tracing::info!("ended");
    Ok(())
}

#[cfg(test)]
mod tests;
