//! What a running node reads again: its configuration, its certificates, its list of
//! subscribers.
//!
//! The certificates and the list are read whenever their files change. The configuration is
//! read when somebody says so (`steadfast reload`, SIGHUP), and with `watch = true` whenever
//! it changes. It is taken over as a whole or not at all: everything that it names has been
//! read before the first shard is told, and each shard gets all of it as one order, which it
//! carries out between two turns. What is wrong with it is said in one sentence, and the node
//! goes on as before.
//!
//! Not here: which keys wait for a restart (`config::Source`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::certificates::{Certificates, ShownCertificates};
use super::cluster::Cluster;
use super::name_server::Served;
use super::stamp::{Stamp, stamp};
use super::subscribers::ListFile;
use super::upgrading::{Handing, Standing};
use super::{give_all, service};
use crate::config::{Change, Config, Recording, Role, Source};
use crate::home::{Revoked, Subscribers};
use crate::io::tls::{Settings, Tls};
use crate::io::{NewSettings, Order, Orders};
use crate::shard::{Configuration, RoleSettings};
use crate::upgrade::Kept;
use crate::{limits, memory};

/// What a node goes by, and the files that say so.
pub struct Running {
    /// The configuration.
    pub config: Config,
    /// Its file.
    pub source: Source,
    /// The files of the certificates.
    pub certificates: Option<Certificates>,
    /// The file of the subscribers.
    pub subscribers: Option<ListFile>,
    /// What is logged.
    pub log: LogFilter,
}

/// Says what is logged from now on.
pub struct LogFilter {
    /// Takes what `log` says.
    pub set: Box<dyn Fn(&str) + Send>,
    /// The environment has said it, and `log` says nothing.
    pub is_fixed: bool,
}

/// What is logged where nobody has said it.
pub const LOG: &str = "info";

/// What an operator is told of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) file: PathBuf,
    /// 1 at the start, one more each time that the file was taken over.
    pub(super) generation: u64,
    /// The SHA-256 of the file as it was then.
    pub(super) digest: String,
    pub(super) since: Instant,
    /// The keys that wait for a restart.
    pub(super) pending: Vec<String>,
    /// Why the file could not be taken over the last time, unless it was since.
    pub(super) refused: Option<(Instant, String)>,
    /// How often it could not.
    pub(super) refusals: u64,
    /// Shards that have not taken it over yet.
    pub(super) behind: usize,
}

impl Status {
    /// That of a node that was just started.
    pub(super) fn at_start(file: &Path, digest: &str) -> Self {
        Self {
            file: file.to_owned(),
            generation: 1,
            digest: digest.to_owned(),
            since: Instant::now(),
            pending: Vec::new(),
            refused: None,
            refusals: 0,
            behind: 0,
        }
    }
}

/// The status, for whoever is asked for it.
#[derive(Clone, Debug)]
pub(super) struct Shown(Arc<Mutex<Status>>);

impl Shown {
    pub(super) fn new(source: &Source) -> Self {
        let status = Status::at_start(source.path(), source.digest());
        Self(Arc::new(Mutex::new(status)))
    }

    pub(super) fn read(&self) -> Status {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Nothing under this lock can be left half done.
    fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Somebody wants the configuration to be taken over; answered by the keys that changed, or by
/// what is wrong.
pub(super) type Request = oneshot::Sender<Result<Vec<String>, String>>;

/// Who is told beside the shards.
pub(super) struct Told {
    pub(super) shards: Arc<[Orders]>,
    /// The name servers that are asked.
    pub(super) servers: watch::Sender<Vec<SocketAddr>>,
    /// What is served of the DNS.
    pub(super) zone: watch::Sender<Option<Served>>,
    /// What is shown of the cluster.
    pub(super) cluster: watch::Sender<Cluster>,
    /// What is told of what passes.
    pub(super) taps: watch::Sender<Recording>,
    pub(super) status: Shown,
    /// The certificates, for whoever asks.
    pub(super) certificates: Arc<ShownCertificates>,
    /// The node was told to end.
    pub(super) drains: Arc<AtomicBool>,
}

impl Told {
    /// What the control thread itself goes by.
    fn show(&self, config: &Config) {
        self.servers.send_replace(config.dns_servers.clone());
        self.zone.send_replace(Served::of(config));
        self.cluster.send_replace(Cluster::of(config));
        self.taps.send_replace(config.recording.clone());
    }
}

/// Reads again whatever changes, or is asked for, until the thread ends.
pub(super) async fn serve(
    mut running: Running,
    told: Told,
    hangup: &Notify,
    mut requests: mpsc::Receiver<Request>,
    mut handing: Handing,
) {
    let mut seen = stamps(&running);
    let mut last = seen.clone();
    loop {
        tokio::select! {
            () = sleep(limits::FILE_WATCH) => {
                if let Some(certificates) = &mut running.certificates {
                    certificates.look(&told.shards).await;
                }
                if let Some(list) = &mut running.subscribers {
                    list.look(&told.shards).await;
                }
                // An editor empties a file before it writes it.
                let found = stamps(&running);
                let list = running.subscribers.as_ref();
                let is_settled = found == last && list.is_none_or(ListFile::is_settled);
                last = found;
                if running.config.watch && last != seen && is_settled {
                    running = take_over(running, &told).await.0;
                    seen = known(&running, &last);
                    last.clone_from(&seen);
                }
            }
            Some(request) = handing.requests.recv() => {
                handing.hand_over(standing(&running, &told), request).await;
            }
            () = hangup.notified() => {
                // Logs were rotated, whatever is wrong with the configuration.
                told.taps.send_modify(|_| {});
                if let Some(certificates) = &mut running.certificates {
                    certificates.read_again(&told.shards).await;
                }
                if let Some(list) = &mut running.subscribers {
                    list.read_again(&told.shards).await;
                }
                let found = stamps(&running);
                running = take_over(running, &told).await.0;
                seen = known(&running, &found);
            }
            Some(request) = requests.recv() => {
                if let Some(list) = &running.subscribers
                    && timeout(limits::RELOAD_MAX / 2, list.settle()).await.is_err()
                {
                    tracing::warn!("the list of subscribers changes all the time");
                }
                let found = stamps(&running);
                let (next, result) = take_over(running, &told).await;
                running = next;
                seen = known(&running, &found);
                if request.send(result).is_err() {
                    tracing::debug!("whoever asked for it has gone");
                }
            }
        }
    }
}

/// What the node goes by now.
fn standing(running: &Running, told: &Told) -> Standing {
    Standing {
        kept: Kept {
            file: running.source.path().to_owned(),
            digest: running.source.digest().to_owned(),
            keys: running.source.keys(&running.config),
        },
        pending: told.status.read().pending,
        drains: told.drains.load(Ordering::Acquire),
        shards: Arc::clone(&told.shards),
    }
}

/// Takes the file over if it can be; the keys that are different, or what is wrong.
async fn take_over(running: Running, told: &Told) -> (Running, Result<Vec<String>, String>) {
    service::reloading();
    let taken = take_over_now(running, told).await;
    service::ready();
    taken
}

async fn take_over_now(running: Running, told: &Told) -> (Running, Result<Vec<String>, String>) {
    match read(&running) {
        Ok(next) => {
            let changed = next.change.changed.clone();
            (put_in_place(running, next, told).await, Ok(changed))
        }
        Err(why) => {
            tracing::error!("{why}; the configuration before it stays");
            give_all(&told.shards, &Order::ReloadRefused).await;
            told.status.change(|status| {
                status.refusals += 1;
                status.refused = Some((Instant::now(), why.clone()));
            });
            (running, Err(why))
        }
    }
}

/// A configuration with everything that it names.
struct Next {
    change: Change,
    certificates: Option<(Certificates, Arc<Tls>)>,
    /// The list, where the file is another or says something else.
    subscribers: Option<(ListFile, Arc<Subscribers>, Revoked)>,
}

/// Reads it, and changes nothing.
fn read(running: &Running) -> Result<Next, String> {
    let change = running.source.read_again(&running.config);
    let change = change.map_err(|mistake| mistake.to_string())?;
    // Sessions of before are resumed as long as nothing is another.
    let is_other = |settings: &Settings| {
        let before = running.certificates.as_ref();
        before.is_none_or(|before| !before.are_of(settings))
    };
    let certificates = change.config.tls.clone().filter(is_other).map(|settings| {
        let mut certificates = Certificates::new(settings);
        let tls = certificates.load()?;
        Ok((certificates, Arc::new(tls)))
    });
    let certificates = certificates.transpose();
    let certificates = certificates.map_err(|fault: crate::io::tls::BadFile| {
        format!("the certificates cannot be used: {fault}")
    })?;
    let subscribers = match (&change.config.role, &running.subscribers) {
        (Role::Home(home), Some(before)) if !before.is_of(home) => {
            let (list, file) = ListFile::open(home.subscribers.clone(), &home.settings.algorithms)
                .map_err(|fault| fault.to_string())?;
            let revoked = before.revoked_by(&list);
            Some((file.in_the_place_of(before), list, revoked))
        }
        (Role::Home(_) | Role::Edge(_), _) => None,
    };
    Ok(Next {
        change,
        certificates,
        subscribers,
    })
}

async fn put_in_place(running: Running, next: Next, told: &Told) -> Running {
    let Next {
        change,
        certificates,
        subscribers,
    } = next;
    let Change {
        config,
        changed,
        mut pending,
        source,
    } = change;
    let Running {
        config: before,
        subscribers: list_before,
        certificates: certificates_before,
        log,
        ..
    } = running;
    if config.log != before.log {
        if log.is_fixed {
            tracing::warn!("`log` says nothing: RUST_LOG does, for as long as this node runs");
        } else {
            (log.set)(config.log.as_deref().unwrap_or(LOG));
        }
    }
    if log.is_fixed && config.log.is_some() {
        pending.push("`log`".to_owned());
    }
    let (mut certificates, tls) = certificates.unzip();
    if let Some(certificates) = &mut certificates {
        certificates.take_the_place_of(&told.certificates);
    }
    let (list, new_list) = match subscribers {
        Some((file, list, revoked)) => (Some(file), Some((list, revoked))),
        None => (list_before, None),
    };
    let settings = Arc::new(NewSettings {
        configuration: configuration(&config),
        tls,
        subscribers: new_list,
        drain_for: config.drain_for,
    });
    let behind = tell_shards(&told.shards, &settings).await;
    memory::hold(config.memory);
    told.show(&config);
    warn(&config, &before);
    told.status.change(|status| {
        status.generation += 1;
        source.digest().clone_into(&mut status.digest);
        status.since = Instant::now();
        status.pending.clone_from(&pending);
        status.refused = None;
        status.behind = behind;
        let generation = status.generation;
        let (changed, pending) = (changed.join(", "), pending.join(", "));
        tracing::info!(generation, changed, pending, "took the configuration over");
    });
    Running {
        config,
        source,
        certificates: certificates.or(certificates_before),
        subscribers: list,
        log,
    }
}

/// Says what may surprise about it, as far as it was not so before.
fn warn(config: &Config, before: &Config) {
    if config.recorder() < before.recorder() {
        tracing::warn!(
            "the recorder keeps what it has, more than an eighth of the memory that the node may use \
             now, until the next start"
        );
    }
    let known = before.warnings();
    for warning in config.warnings() {
        if !known.contains(&warning) {
            tracing::warn!("{warning}");
        }
    }
}

/// What the shards take over of it.
fn configuration(config: &Config) -> Configuration {
    Configuration {
        role: match &config.role {
            Role::Edge(edge) => RoleSettings::Edge(edge.clone()),
            Role::Home(home) => RoleSettings::Home(home.settings.clone()),
        },
        unlimited: config.unlimited.clone(),
        connections_per_source: config.connections_per_source,
        source_memory: config.source_memory,
    }
}

/// Gives each shard the settings, also one whose inbox is full; how many have not taken them
/// over after `limits::ANSWER_MAX`.
async fn tell_shards(shards: &[Orders], settings: &Arc<NewSettings>) -> usize {
    let (done, mut answers) = mpsc::channel(shards.len().max(1));
    let settings = Arc::clone(settings);
    // Without an end: half of the node would go by other settings than the rest.
    give_all(shards, &Order::Settings { settings, done }).await;
    let mut behind = shards.len();
    while behind > 0
        && let Ok(Some(())) = timeout(limits::ANSWER_MAX, answers.recv()).await
    {
        behind -= 1;
    }
    behind
}

/// The configuration and the files of keys that it names, with their stamps.
fn stamps(running: &Running) -> Vec<(PathBuf, Stamp)> {
    known(running, &[])
}

/// The same by what was found before they were read, for those that were looked at.
fn known(running: &Running, found: &[(PathBuf, Stamp)]) -> Vec<(PathBuf, Stamp)> {
    let keys = running.config.key_files.iter().map(PathBuf::as_path);
    let all = std::iter::once(running.source.path()).chain(keys);
    let with_stamp = |path: &Path| {
        let before = found.iter().find(|(one, _)| one == path);
        let found = before.map_or_else(|| stamp(path), |(_, stamp)| *stamp);
        (path.to_owned(), found)
    };
    all.map(with_stamp).collect()
}
