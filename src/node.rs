//! A running node: what its configuration names, started in the order in
//! which it can fail, ended in the order in which nothing is lost.
//!
//! Sockets first, because a taken port is the likeliest mistake; then the
//! disk; then the shards, which have their registrations back before they read
//! their first message; last the control thread ([`control`]), which ends them again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{self, Config, Role, Source, keep, seed};
use crate::control::{
    self, AdminFault, AdminSockets, Control, ControlSetup, FlowTable, FlowsFault, ListFault,
    ListFile, LogFilter, NameServer, NameServerFault, Opened as Flows, Running, Store, StoreFault,
};
use crate::edge::is_live;
use crate::id::Transport;
use crate::io::{self, Clock, Handle, Listening, Record, Start, StoreState};
use crate::{memory, shard};

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
    io::take_small_pages();
    check_room(&config)?;
    let sockets = io::open(&listening(&config), config.shards);
    let sockets = sockets.map_err(|fault| listen_fault(&config, fault))?;
    let admin_sockets = admin_sockets(&config)?;
    let name_server = name_server(&config)?;
    let flows = flows(&config, clock)?;
    let opened = open(&config.role)?;
    let (role, subscribers) = (opened.role, opened.subscribers);
    let (disk, restored) = disk(opened.store, flows);
    say_warnings(&config);
    memory::hold(config.memory);
    // What changes from here on is noticed.
    let mut certificates = config.tls.clone().map(control::Certificates::new);
    let tls = certificates.as_mut().map(control::Certificates::load);
    let tls = tls.transpose()?.map(Arc::new);
    let (to_store, records) = io::to_store(disk.state());
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
            drain_for: config.drain_for,
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
    let name = config.name.clone();
    let all = listeners(&config);
    let control = control::start(ControlSetup {
        shards,
        store,
        flows,
        running: Running {
            config,
            source,
            certificates,
            subscribers,
            log,
        },
        admin_sockets,
        questions,
        name_server,
    })?;
    say_listening(&name, all.into_iter());
    wait(handles, control)
}

/// Says what may surprise the operator. Whoever cannot start is told that alone.
fn say_warnings(config: &Config) {
    io::warn_about_machine();
    for warning in config.warnings() {
        tracing::warn!("{warning}");
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
    /// The flows of an edge.
    Flows(Box<FlowTable>),
}

impl Disk {
    /// How it is with the registrations on it.
    fn state(&self) -> Arc<StoreState> {
        match self {
            Self::Store(store) => store.state(),
            Self::Nothing | Self::Flows(_) => Arc::default(),
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
        (None, Some(table)) => (Disk::Flows(Box::new(table)), flows.rows),
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
    store: Option<Store>,
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
            let mut store = home.store.as_deref().map(Store::open).transpose()?;
            if let Some(store) = &mut store {
                store.set_awaited(home.settings.is_durable);
            }
            Ok(Opened {
                role: shard::Role::Home(home.settings.clone(), list),
                subscribers: Some(file),
                store,
            })
        }
    }
}

/// Finds out whether a node could run by its files, and changes nothing: whatever else may run
/// here, and wherever its addresses are.
///
/// # Errors
/// Why it could not.
pub fn check(config: &Config) -> Result<(), Fault> {
    check_files(config)?;
    check_doors(config, false)
}

/// Finds out whether a node could run on this machine and now, and leaves everything as it was.
///
/// # Errors
/// Why it could not.
pub fn check_machine(config: &Config) -> Result<(), Fault> {
    check_room(config)?;
    check_files(config)?;
    io::check(&listening(config), config.shards).map_err(|fault| listen_fault(config, fault))?;
    name_server(config)?;
    check_doors(config, true)
}

/// Takes all the descriptors that there are, and finds out whether the kernel, the cores and
/// those do for the node.
fn check_room(config: &Config) -> Result<(), io::Fault> {
    io::check_kernel()?;
    io::check_cores(config.shards)?;
    io::raise_open_files()?;
    io::check_files(config.shards, listeners(config).len())
}

fn check_files(config: &Config) -> Result<(), Fault> {
    if let Role::Home(home) = &config.role {
        control::read_subscribers(&home.subscribers, &home.settings.algorithms)?;
        home.store
            .as_deref()
            .map(control::check_store)
            .transpose()?;
    }
    if let Some(flows) = &config.flows {
        control::check_flows(&flows.path).map_err(flows_fault(flows))?;
    }
    Ok(())
}

fn check_doors(config: &Config, binds: bool) -> Result<(), Fault> {
    let checked = control::check_admin(config.control.as_deref(), config.metrics, binds);
    checked.map_err(|fault| door_fault(config, fault))
}

/// What an operator is to know of the certificates, a sentence for each.
///
/// # Errors
/// When one cannot be used.
pub fn certificate_warnings(config: &Config) -> Result<Vec<String>, Fault> {
    let Some(settings) = &config.tls else {
        return Ok(Vec::new());
    };
    let mut certificates = control::Certificates::new(settings.clone());
    certificates.load()?;
    Ok(certificates.warnings())
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
