//! A running node: what its configuration names, started in the order in
//! which it can fail, ended in the order in which nothing is lost.
//!
//! Sockets first, because a taken port is the likeliest mistake; then the
//! disk; then the shards, which have their registrations back before they read
//! their first message; last the control thread ([`control`]), which ends them again.

mod checks;
mod successor;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{self, Config, Role, Source, keep, seed};
use crate::control::{
    self, AdminFault, AdminSockets, Control, ControlSetup, FlowTable, FlowsFault, ListFault,
    ListFile, LogFilter, NameServer, NameServerFault, Opened as Flows, Running, Store, StoreFault,
    TableSource,
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

pub use checks::{certificate_warnings, check, check_machine};
pub use successor::take_over;

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
        fault: AdminFault,
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
    /// The process before, which this one was to go on for.
    #[error("cannot go on for another process: {0}")]
    TakeOver(String),
    /// Threads and randomness, which the kernel has plenty of.
    #[error("the kernel refused what every node needs: {0}")]
    Kernel(#[from] std::io::Error),
}

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
    let mut store = opened.store.as_deref().map(Store::open).transpose()?;
    if let Some(store) = &mut store {
        store.set_awaited(opened.role.is_durable());
    }
    let (disk, restored) = disk(store, flows);
    // Whoever cannot start is told that alone.
    io::warn_about_machine();
    let seeds = sockets.iter().map(|_| seed()).collect::<Result<_, _>>()?;
    let beginning = Beginning {
        clock,
        node_seed: seed()?,
        seeds,
        begins: sockets.into_iter().map(Begins::New).collect(),
        restored,
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
    clock: Clock,
    node_seed: [u64; 4],
    /// Of each shard.
    seeds: Vec<[u64; 4]>,
    begins: Vec<Begins>,
    restored: Arc<[Record]>,
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
    let given = Given {
        program: std::env::current_exe()?,
        clock: beginning.clock,
        node_seed: beginning.node_seed,
        seeds: beginning.seeds.clone(),
        store: beginning.disk.state(),
    };
    let (to_store, records) = io::to_store(beginning.disk.state());
    let has_dropped = to_store.has_dropped();
    let (to_dns, questions) = io::to_dns();
    let Beginning {
        disk,
        admin_sockets,
        name_server,
        ..
    } = beginning;
    let started = Shards {
        clock: beginning.clock,
        node_seed: beginning.node_seed,
        seeds: beginning.seeds,
        begins: beginning.begins,
        restored: beginning.restored,
        store: (!matches!(disk, Disk::Nothing)).then_some(to_store),
    };
    let (shards, handles) = started.start(&settled, &to_dns)?;
    is_up()?;
    let (store, flows) = match disk {
        Disk::Nothing => (None, None),
        Disk::Store(store) => (Some((store, records)), None),
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
    seeds: Vec<[u64; 4]>,
    begins: Vec<Begins>,
    restored: Arc<[Record]>,
    /// The writer ends when the last shard's sender is gone.
    store: Option<StoreSender>,
}

impl Shards {
    /// Starts them.
    fn start(
        self,
        settled: &Settled,
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
                store: self.store.clone(),
                unlimited: config.unlimited.clone(),
                connections_per_source: config.connections_per_source,
                source_memory: config.source_memory,
                drain_for: config.drain_for,
                recorder: config.recording.recorder / config.shards.max(1),
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
    /// The flows of an edge, and how they are.
    Flows(TableSource, Arc<StoreState>),
}

impl Disk {
    /// How it is with the registrations on it.
    fn state(&self) -> Arc<StoreState> {
        match self {
            Self::Store(store) => store.state(),
            Self::Flows(_, state) => Arc::clone(state),
            Self::Nothing => Arc::default(),
        }
    }
}

/// What is kept, and what of it there is.
fn disk(store: Option<Store>, flows: Flows) -> (Disk, Arc<[Record]>) {
    let (disk, records) = match (store, flows.table) {
        (Some(mut store), _) => {
            let records = store.take_records();
            (Disk::Store(store), records)
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
    (disk, records.into())
}

/// What a node is, with the files it needs for that.
struct Opened {
    role: shard::Role,
    /// The list that is read again when it changes.
    subscribers: Option<ListFile>,
    /// Where its registrations are.
    store: Option<PathBuf>,
}

fn open(role: &Role) -> Result<Opened, Fault> {
    match role {
        Role::Edge(settings) => Ok(Opened {
            role: shard::Role::Edge(settings.clone()),
            subscribers: None,
            store: None,
        }),
        Role::Home(home) => {
            let algorithms = &home.settings.algorithms;
            let (list, file) = ListFile::open(home.subscribers.clone(), algorithms)?;
            // What is no store stays as it is, and no key is left beside it.
            home.store
                .as_deref()
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
                store: home.store.clone(),
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

fn flows_fault(flows: &config::Flows) -> impl Fn(FlowsFault) -> Fault + '_ {
    |fault| Fault::Flows {
        at: flows.at.clone(),
        fault,
    }
}

fn admin_sockets(config: &Config) -> Result<AdminSockets, Fault> {
    AdminSockets::open(config.control.as_deref(), config.metrics)
        .map_err(|fault| door_fault(config, fault))
}

fn door_fault(config: &Config, fault: AdminFault) -> Fault {
    let at = match fault {
        AdminFault::Control { .. } => &config.places.control,
        AdminFault::Metrics { .. } => &config.places.metrics,
    };
    let at = at.clone();
    Fault::Door { at, fault }
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

fn listen_fault(config: &Config, fault: io::Fault) -> Fault {
    let places = &config.places;
    let at = match &fault {
        io::Fault::CorePort { .. } => &places.core_port,
        io::Fault::Listen { purpose, .. } => match purpose {
            io::Purpose::Everybody => &places.listen,
            io::Purpose::Covering => &places.covers,
            io::Purpose::Peers => &places.core_listen,
            io::Purpose::CoreSide => &places.core,
        },
        io::Fault::LockedMemory { .. }
        | io::Fault::OpenFiles { .. }
        | io::Fault::Cores { .. }
        | io::Fault::Executor(_)
        | io::Fault::OldKernel { .. }
        | io::Fault::Kernel(_) => return Fault::Io(fault),
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

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::path::Path;

    use super::*;

    /// What `check` says of an edge at `127.0.1.31` with these lines, and this more
    /// in its entry.
    fn sentence(root: &str, entry: &str, edge: &str) -> String {
        let text = format!(
            "name = \"e1\"\nlisten = [\"udp:127.0.1.31:0\", \"tcp:127.0.1.31:0\"]\nshards = 1\n{root}\n\
             [edge]\ncluster = \"edge.example.com\"\nhome = [\"sip:127.0.0.10:5060;transport=udp\"]\n\
             members = [{{ name = \"e1\", address = \"127.0.1.31\"{entry} }},\n\
             {{ name = \"e2\", address = \"127.0.1.32\", udp = PORT, tcp = PORT }}]\n{edge}\n"
        );
        let taken = UdpSocket::bind("127.0.1.32:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let _stream = TcpListener::bind(addr).unwrap();
        let port = addr.port().to_string();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let config = config::parse("e1.toml", &text.replace("PORT", &port), folder);
        let sentence = check_machine(&config.unwrap()).unwrap_err().to_string();
        sentence.replace(&port, "PORT")
    }

    // 192.0.2.0/24 is nobody's (RFC 5737).
    #[test]
    fn what_cannot_be_bound_is_named_by_its_own_key() {
        let nobodys = "no interface of this machine has that address; list one that `ip address` \
                       shows";
        let core = ", core = [\"udp:192.0.2.1:5070\", \"tcp:192.0.2.1:5070\"]";
        assert_eq!(
            sentence("", core, ""),
            format!("e1.toml, line 8: `core`: cannot listen on tcp:192.0.2.1:5070: {nobodys}")
        );
        let listens = "core_listen = [\"tcp:192.0.2.1:5080\"]";
        assert_eq!(
            sentence(listens, "", ""),
            format!(
                "e1.toml, line 4: `core_listen`: cannot listen on tcp:192.0.2.1:5080: {nobodys}"
            )
        );
        let dns = "[dns]\nlisten = [\"tcp:192.0.2.1:53\"]";
        assert_eq!(
            sentence("", "", dns),
            format!(
                "e1.toml, line 11: `listen`: cannot answer the DNS on tcp:192.0.2.1:53: {nobodys}"
            )
        );
        assert_eq!(
            sentence("metrics = \"192.0.2.1:9090\"", "", ""),
            format!(
                "e1.toml, line 4: `metrics`: cannot serve metrics on 192.0.2.1:9090: {nobodys}"
            )
        );
        assert_eq!(
            sentence("", "", "covers = [\"e2\"]"),
            "e1.toml, line 10: `covers`: cannot listen on udp:127.0.1.32:PORT: another process has \
             that port; end it, if it is this node running already, or list another port"
        );
    }

    #[test]
    fn the_datagrams_of_the_core_side_are_its_own_business_and_the_others_the_core_port_s() {
        let taken = UdpSocket::bind("127.0.1.33:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let core = format!(", core = [\"udp:{addr}\", \"tcp:{addr}\"]");
        assert_eq!(
            sentence("", &core, ""),
            format!(
                "e1.toml, line 8: `core`: cannot listen on udp:{addr}: another process has that port; \
                 end it, if it is this node running already, or list another port"
            )
        );
        let taken = UdpSocket::bind("127.0.1.31:16600").unwrap();
        let sentence = sentence("core_port = 16600", ", core_port = 16600", "");
        drop(taken);
        assert!(
            sentence.starts_with(
                "e1.toml, line 4: `core_port`: cannot send from udp:127.0.1.31:16600: "
            ),
            "{sentence}"
        );
    }
}
