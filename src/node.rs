//! A running node: what its configuration names, started in the order in
//! which it can fail, ended in the order in which nothing is lost.
//!
//! Sockets first, because a taken port is the likeliest mistake; then the
//! disk; then the shards, which have their registrations back before they read
//! their first message; last the control thread, which ends them again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{self, Config, Role, keep, seed};
use crate::control::{
    self, Control, Dns, DoorFault, Doors, Duties, FlowTable, FlowsFault, ListFault, ListFile,
    NameServer, NameServerFault, Opened as Flows, Store, StoreFault,
};
use crate::edge::is_live;
use crate::id::Transport;
use crate::io::{self, Clock, Handle, Listening, Record, Start};
use crate::shard;

/// Why a node cannot run, each a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Cores or limits.
    #[error(transparent)]
    Io(#[from] io::Fault),
    /// A listener.
    #[error("{at}: {fault}")]
    Listen {
        /// Where the configuration lists it.
        at: String,
        /// What is wrong with it.
        fault: io::Fault,
    },
    /// The registrations on disk.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The flows of UDP phones on disk.
    #[error("{at}: {fault}")]
    Flows {
        /// Where the configuration names them.
        at: String,
        /// What is wrong with them.
        fault: FlowsFault,
    },
    /// The control socket and the port of the metrics.
    #[error("{at}: {fault}")]
    Door {
        /// Where the configuration names it.
        at: String,
        /// What is wrong with it.
        fault: DoorFault,
    },
    /// The sockets of the name server.
    #[error("{at}: {fault}")]
    Names {
        /// Where the configuration lists them.
        at: String,
        /// What is wrong with one.
        fault: NameServerFault,
    },
    /// The list of subscribers.
    #[error(transparent)]
    Subscribers(#[from] ListFault),
    /// The certificates.
    #[error("the certificates cannot be used: {0}")]
    Tls(#[from] io::tls::BadFile),
    /// The key of the home.
    #[error("cannot keep the key of the home in {}: {why}; make its folder writable, or name a `nonce_key_file`", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: std::io::Error,
    },
    /// Threads and randomness, which the kernel has plenty of.
    #[error("the kernel refused what every node needs: {0}")]
    Kernel(#[from] std::io::Error),
}

/// What the log says of each listener once the node takes traffic.
pub const LISTENING: &str = "listening for SIP";

/// Runs a node until a signal has ended it.
///
/// # Errors
/// When it cannot start.
pub fn run(config: Config) -> Result<(), Fault> {
    let clock = Clock::start();
    io::take_small_pages();
    io::locked_memory()?;
    io::raise_open_files()?;
    let sockets = io::open(&listening(&config), config.shards);
    let sockets = sockets.map_err(|fault| listen_fault(&config, fault))?;
    let doors = doors(&config)?;
    let name_server = name_server(&config)?;
    let warnings = config.warnings();
    let flows = flows(&config, clock)?;
    let opened = open(config.role)?;
    let (role, subscribers) = (opened.role, opened.subscribers);
    let (disk, restored) = disk(opened.store, flows)?;
    // Whoever cannot start is told that alone.
    io::warn_about_machine();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    // What changes from here on is noticed.
    let certificates = config.tls.map(control::Certificates::new);
    let tls = certificates.as_ref().map(control::Certificates::load);
    let tls = tls.transpose()?.map(Arc::new);
    let (to_store, records) = io::to_store();
    let has_dropped = to_store.has_dropped();
    let (to_dns, questions) = io::to_dns();
    let mut starts = Vec::new();
    let node_seed = seed()?;
    let parts = sockets.into_iter().zip(io::mesh(config.shards)?);
    for (shard, (sockets, mesh)) in parts.enumerate() {
        starts.push(Start {
            sockets,
            role: role.clone(),
            seed: seed()?,
            node_seed,
            mesh,
            clock,
            tls: tls.clone(),
            store: (!matches!(disk, Disk::Nothing)).then(|| to_store.clone()),
            unlimited: config.unlimited.clone(),
            connections_per_source: config.connections_per_source,
            source_memory: config.source_memory,
            dns: to_dns.of(shard),
            restored: Arc::clone(&restored),
        });
    }
    // The writer ends when the last shard's sender is gone.
    drop(to_store);
    let (shards, handles) = io::start(starts)?.into_iter().unzip();
    drop(restored);
    let (store, flows) = match disk {
        Disk::Nothing => (None, None),
        Disk::Store(store) => (Some((store, records)), None),
        Disk::Flows(table) => (None, Some((*table, records, has_dropped))),
    };
    let control = control::start(Duties {
        shards,
        store,
        flows,
        subscribers,
        doors: (doors, config.name.clone()),
        certificates,
        dns: Dns {
            servers: config.dns_servers,
            questions,
        },
        name_server,
    })?;
    let core = config.core_listen.iter();
    let core = core.map(|addr| (Transport::Tcp, *addr));
    let core = core.chain(config.core_side.iter().copied());
    let all = config.listen.iter().chain(&config.covered).copied();
    say_listening(&config.name, all.chain(core));
    wait(handles, control)
}

/// Tells of every listener, which whoever waits for the start of a node reads.
fn say_listening(node: &str, all: impl Iterator<Item = (Transport, SocketAddr)>) {
    for (transport, addr) in all {
        tracing::info!(node, transport = transport.uri_token(), %addr, "{LISTENING}");
    }
}

/// What a node keeps on disk.
enum Disk {
    Nothing,
    /// The registrations of a home.
    Store(Store),
    /// The flows of an edge.
    Flows(Box<FlowTable>),
}

/// What is kept, and what of it there is.
fn disk(store: Option<Store>, flows: Flows) -> Result<(Disk, Arc<[Record]>), Fault> {
    let (disk, records) = match (store, flows.table) {
        (Some(store), _) => {
            let records = store.records()?;
            (Disk::Store(store), records)
        }
        (None, Some(table)) => (Disk::Flows(Box::new(table)), flows.rows),
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
    store: Option<Store>,
}

fn open(role: Role) -> Result<Opened, Fault> {
    match role {
        Role::Edge(settings) => Ok(Opened {
            role: shard::Role::Edge(settings),
            subscribers: None,
            store: None,
        }),
        Role::Home(home) => {
            let (list, file) = ListFile::open(home.subscribers)?;
            if let Some(path) = &home.new_key {
                keep(path, &home.settings.nonce_key).map_err(|why| Fault::Key {
                    path: path.clone(),
                    why,
                })?;
            }
            let store = home.store.as_deref().map(Store::open).transpose()?;
            Ok(Opened {
                role: shard::Role::Home(home.settings, list),
                subscribers: Some(file),
                store,
            })
        }
    }
}

/// Finds out whether a node could run, and leaves everything as it was.
///
/// # Errors
/// Why it cannot start.
pub fn check(config: &Config) -> Result<(), Fault> {
    io::locked_memory()?;
    if let Role::Home(home) = &config.role {
        control::read_subscribers(&home.subscribers)?;
    }
    if let Some(flows) = &config.flows {
        control::check_flows(&flows.path).map_err(flows_fault(flows))?;
    }
    io::check(&listening(config), config.shards).map_err(|fault| listen_fault(config, fault))?;
    name_server(config)?;
    doors(config).map(drop)
}

fn name_server(config: &Config) -> Result<Option<NameServer>, Fault> {
    let Some(settings) = &config.name_server else {
        return Ok(None);
    };
    let opened = NameServer::open(settings, config.unlimited.as_deref(), seed()?);
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

fn flows_fault(flows: &config::Flows) -> impl Fn(FlowsFault) -> Fault + '_ {
    |fault| Fault::Flows {
        at: flows.at.clone(),
        fault,
    }
}

fn doors(config: &Config) -> Result<Doors, Fault> {
    Doors::open(config.control.as_deref(), config.metrics).map_err(|fault| {
        let [control, metrics] = config.doors_at.clone();
        let at = match fault {
            DoorFault::Control { .. } => control,
            DoorFault::Metrics { .. } => metrics,
        };
        Fault::Door { at, fault }
    })
}

/// What a node opens. An edge sends to its homes from ports of its own.
fn listening(config: &Config) -> Listening<'_> {
    Listening {
        listen: &config.listen,
        covered: &config.covered,
        core_listen: &config.core_listen,
        core: &config.core_side,
        core_port: config.core.port,
        sends_from_core: matches!(config.role, Role::Edge(_)),
    }
}

fn listen_fault(config: &Config, fault: io::Fault) -> Fault {
    let at = match &fault {
        io::Fault::CorePort { .. } => &config.core.at,
        io::Fault::Listen { .. }
        | io::Fault::LockedMemory { .. }
        | io::Fault::Cores { .. }
        | io::Fault::Executor(_)
        | io::Fault::Kernel(_) => &config.listen_at,
    };
    let at = at.clone();
    Fault::Listen { at, fault }
}

fn wait(handles: Vec<Handle>, control: Control) -> Result<(), Fault> {
    for handle in handles {
        handle.wait()?;
    }
    control.finish()?;
    tracing::info!("ended");
    Ok(())
}
