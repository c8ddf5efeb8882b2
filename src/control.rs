//! The cold thread: whatever may wait for a disk or a person.
//!
//! One tokio runtime on a thread of its own handles signals, keeps the
//! registrations of a home and the flows of an edge on disk, watches the list of
//! subscribers and the certificates, asks the DNS, and answers it for the names
//! of the cluster. It talks to the
//! shards through bounded channels and never blocks one; the shards never
//! wait for it.
//!
//! - SIGTERM and SIGINT drain the node; a second one ends it at once.
//! - SIGHUP has the configuration, the certificates and the list of subscribers read again
//!   (`reload`).
//! - SIGUSR1 has every shard log its counters.
//! - Questions come in over the control socket (`admin`).
//!
//! Not here: starting and ending it in the right order ([`node`](crate::node)).

mod admin;
mod certificates;
mod cluster;
mod dns;
mod flow_table;
mod name_server;
pub(crate) mod private;
mod recording;
mod reload;
pub mod service;
mod shared_store;
mod stamp;
mod store;
mod subscribers;
mod upgrading;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::signal::{SigSet, Signal};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::sleep;

pub use admin::{AdminFault, AdminSockets, check as check_admin};
pub use certificates::{Certificates, ShownCertificates};
pub use dns::look_up;
pub use flow_table::{FlowTable, FlowsFault, Opened, TableSource, check as check_flows};
pub use name_server::{NameServer, NameServerFault};
pub use reload::{LOG, LogFilter, Running};
pub use shared_store::{FromShards, SharedStore, reach as reach_store};
pub use store::{Store, StoreFault, check as check_store};
pub use subscribers::{ListFault, ListFile, read as read_subscribers};

use crate::io::{DnsRequest, Order, Orders, Record, StoreState};
use crate::upgrade::{ControlSockets, Given};
use crate::{limits, memory};
use admin::{Node, Page};
use cluster::Cluster;
use name_server::Served;
use recording::{TapCounts, Taps};
use reload::{Shown, Told};
use upgrading::Handing;

/// What the thread takes care of.
pub struct ControlSetup {
    /// The shards.
    pub shards: Vec<Orders>,
    /// The registrations that are kept.
    pub store: Option<Kept>,
    /// The flows of UDP phones on disk, what is to be written there, and whether
    /// something was dropped on the way.
    pub flows: Option<(TableSource, mpsc::Receiver<Record>, Arc<AtomicBool>)>,
    /// What no file says, for the process that goes on in the place of this one.
    pub given: Given,
    /// What the node goes by.
    pub running: Running,
    /// Where questions come in.
    pub admin_sockets: AdminSockets,
    /// The names that the shards want located.
    pub questions: mpsc::Receiver<DnsRequest>,
    /// What it answers of the DNS itself.
    pub name_server: Option<NameServer>,
}

/// Where registrations are kept, and what is to be written there.
pub enum Kept {
    /// On disk.
    File(Store, mpsc::Receiver<Record>),
    /// In a store that several homes share.
    Shared(SharedStore, FromShards),
}

impl Kept {
    fn state(&self) -> Arc<StoreState> {
        match self {
            Self::File(store, _) => store.state(),
            Self::Shared(store, _) => store.state(),
        }
    }

    fn start(self, shards: &Arc<[Orders]>) -> io::Result<JoinHandle<()>> {
        match self {
            Self::File(store, records) => store.start_writing(records, shards),
            Self::Shared(store, from) => store.start(from, shards),
        }
    }
}

/// The running thread.
pub struct Control {
    thread: JoinHandle<io::Result<()>>,
    end: oneshot::Sender<()>,
}

/// Starts the thread.
///
/// # Errors
/// When there can be no further thread.
pub fn start(duties: ControlSetup) -> io::Result<Control> {
    let (end, ended) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(serve(duties, ended))
        })?;
    Ok(Control { thread, end })
}

impl Control {
    /// Ends the thread once the last record of the shards, which must have
    /// ended, is on disk.
    ///
    /// # Errors
    /// What kept the thread from its duties.
    pub fn finish(self) -> io::Result<()> {
        // A dropped sender is as good a sign as a sent one.
        drop(self.end);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the control thread panicked")))
    }
}

async fn serve(duties: ControlSetup, ended: oneshot::Receiver<()>) -> io::Result<()> {
    let ControlSetup {
        shards,
        store,
        flows,
        given,
        running,
        admin_sockets,
        questions,
        name_server,
    } = duties;
    let shards: Arc<[Orders]> = shards.into();
    let hangup = Notify::new();
    let (ask_reload, reloads) = mpsc::channel(limits::RELOADS_WAITING_MAX);
    let (ask_upgrade, upgrades) = mpsc::channel(1);
    let (to_dns, servers) = watch::channel(running.config.dns_servers.clone());
    let (to_name_server, served) = watch::channel(Served::of(&running.config));
    let (to_page, cluster) = watch::channel(Cluster::of(&running.config));
    let drains = Arc::new(AtomicBool::new(false));
    let tap_counts = Arc::new(TapCounts::default());
    let (for_taps, counts) = (Arc::clone(&shards), Arc::clone(&tap_counts));
    let taps = Taps::start(&running.config, for_taps, counts)?;
    let node = Node {
        name: running.config.name.clone(),
        shards: Arc::clone(&shards),
        status: Shown::new(&running.source),
        reload: ask_reload,
        upgrade: ask_upgrade,
        store: store.as_ref().map(Kept::state),
        certificates: shown_certificates(&running),
        taps: tap_counts,
        drains: Arc::clone(&drains),
        cluster,
        page: Page::new(&shards),
        started: Instant::now(),
        handed_on: Arc::default(),
    };
    let told = Told {
        shards: Arc::clone(&shards),
        servers: to_dns,
        zone: to_name_server,
        cluster: to_page,
        taps: taps.settings(),
        status: node.status.clone(),
        certificates: Arc::clone(&node.certificates),
        drains: Arc::clone(&drains),
    };
    let state = Arc::clone(&given.store);
    let control_sockets = control_sockets(&admin_sockets, name_server.as_ref())?;
    let handing = Handing::new(given, control_sockets, &node.handed_on, upgrades);
    let writer = store.map(|kept| kept.start(&shards)).transpose()?;
    let flows = flows
        .map(|(table, records, dropped)| tokio::spawn(table.write_behind(records, dropped, state)));
    tokio::select! {
        () = watch_memory(&shards, running.config.recorder()) => {}
        result = handle_signals(&shards, &hangup, &drains) => result?,
        () = reload::serve(running, told, &hangup, reloads, handing) => {}
        result = admin::serve(admin_sockets, node) => result?,
        () = dns::serve(questions, servers, &shards) => {}
        result = name_server::serve(name_server, served) => result?,
        () = service::watchdog(Arc::clone(&shards)) => {}
        _ = ended => {}
    }
    taps.finish()?;
    if let Some(flows) = flows {
        flows.await?;
    }
    end_writing(writer)
}

/// Looks at the memory from when every shard has made what it begins with.
async fn watch_memory(shards: &[Orders], recorder: usize) {
    if !service::all_answer(shards).await {
        tracing::warn!("a shard does not answer at the start: what it takes is not known");
    }
    memory::watch(recorder).await;
}

/// Waits until the last record is on disk.
fn end_writing(writer: Option<JoinHandle<()>>) -> io::Result<()> {
    let written = writer.map_or(Ok(()), JoinHandle::join);
    written.map_err(|_panic| io::Error::other("the thread of the store panicked"))
}

/// The certificates of a node that has some, for whoever asks.
fn shown_certificates(running: &Running) -> Arc<ShownCertificates> {
    let certificates = running.certificates.as_ref();
    certificates.map(Certificates::shown).unwrap_or_default()
}

/// The sockets of the thread, for another process.
fn control_sockets(
    admin_sockets: &AdminSockets,
    name_server: Option<&NameServer>,
) -> io::Result<ControlSockets> {
    let [control, metrics] = admin_sockets.descriptors()?;
    let named = name_server.map(NameServer::descriptors).transpose()?;
    let (datagrams, listeners) = named.unwrap_or_default();
    Ok(ControlSockets {
        control,
        metrics,
        datagrams,
        listeners,
    })
}

/// Has SIGHUP wait until `start` takes it up: it would end a process that is still reading what
/// it was started with.
///
/// # Errors
/// When the kernel refuses.
pub fn hold_hangups() -> io::Result<()> {
    Ok(hangups().thread_block()?)
}

fn hangups() -> SigSet {
    let mut set = SigSet::empty();
    set.add(Signal::SIGHUP);
    set
}

/// `told` hears of SIGHUP, which ends a process that does not handle it.
async fn handle_signals(shards: &[Orders], told: &Notify, drains: &AtomicBool) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut report = signal(SignalKind::user_defined1())?;
    let mut hangup = signal(SignalKind::hangup())?;
    hangups().thread_unblock()?;
    loop {
        let order = tokio::select! {
            () = next(&mut terminate) => Order::Drain,
            () = next(&mut interrupt) => Order::Drain,
            () = next(&mut report) => Order::Report,
            () = next(&mut hangup) => {
                // One that comes meanwhile is not lost.
                told.notify_one();
                continue;
            }
        };
        if matches!(order, Order::Drain) {
            drains.store(true, Ordering::Release);
            service::stopping();
        }
        give_all(shards, &order).await;
    }
}

/// Gives each shard an order that none may miss, also one whose inbox is full. Nobody waits for
/// one that is behind: the others get it at once.
async fn give_all(shards: &[Orders], order: &Order) {
    let mut left: Vec<_> = shards.iter().collect();
    loop {
        left.retain(|shard| !shard.offer(order.clone()));
        if left.is_empty() {
            return;
        }
        sleep(limits::INBOX_PAUSE).await;
    }
}

/// The next signal; never, once there can be no more.
async fn next(signal: &mut Signals) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}
