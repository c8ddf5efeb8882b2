//! The process that another one is to go on for.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use sd_notify::NotifyState;

use super::{ControlSocketsPart, Estate, Hello, Line, ShardPart};
use crate::io::{Clock, Legacy, Order, Orders, StoreState};
use crate::limits;

/// What a node was made with and no file says.
#[derive(Clone, Debug)]
pub struct Given {
    /// The program, where it was when it was started.
    pub program: PathBuf,
    /// Its clock.
    pub clock: Clock,
    /// Random numbers of the node.
    pub node_seed: [u64; 4],
    /// Those of each shard.
    pub seeds: Vec<[u64; 4]>,
    /// How its store is, or its table of flows.
    pub store: Arc<StoreState>,
}

/// Descriptors of the control thread's own sockets.
#[derive(Debug, Default)]
pub struct ControlSockets {
    /// The control socket.
    pub control: Option<OwnedFd>,
    /// That of the metrics.
    pub metrics: Option<OwnedFd>,
    /// UDP sockets of the name server.
    pub datagrams: Vec<OwnedFd>,
    /// TCP listeners of the name server.
    pub listeners: Vec<OwnedFd>,
}

/// What a node goes by at the moment.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its configuration file.
    pub file: PathBuf,
    /// The digest of what it goes by.
    pub digest: String,
    /// As in `Estate`.
    pub keys: ([u8; 32], Vec<[u8; 32]>, Option<[u8; 32]>),
}

/// Has a new process go on in the place of this one, which is to end then. Blocks.
///
/// # Errors
/// Why it goes on as before, in one sentence.
pub fn hand_over(
    given: &Given,
    control_sockets: &ControlSockets,
    kept: &Kept,
    shards: &[Orders],
    program: Option<&Path>,
) -> Result<String, String> {
    let program = program.unwrap_or(&given.program);
    let (line, other) = Line::pair().map_err(|why| format!("cannot make a line: {why}"))?;
    let mut command = Command::new(program);
    command.arg("take-over").arg("--config").arg(&kept.file);
    // The watchdog of the service manager is the new process's too.
    command.env_remove("WATCHDOG_PID");
    let child = command.stdin(Stdio::from(other)).spawn();
    // The other end is the child's alone: when it ends, that is heard.
    drop(command);
    let child = child.map_err(|why| format!("{} cannot be started: {why}", program.display()))?;
    let mut new = New { child, line };
    let began = Instant::now();
    let hello = new.hello()?;
    hello
        .fits(shards.len(), &kept.digest)
        .map_err(|why| new.give_up(why))?;
    let stood = Instant::now();
    let legacies = stand_still(shards);
    let done = legacies.and_then(|legacies| new.give(given, control_sockets, kept, &legacies));
    if let Err(why) = done {
        let why = new.give_up(why);
        go_on(shards);
        return Err(why);
    }
    new.wait_until_up();
    let (pid, still) = (new.child.id(), stood.elapsed());
    tell_service_manager(pid);
    let (version, ready) = (&hello.version, stood.duration_since(began));
    tracing::info!(
        pid,
        version,
        ?ready,
        ?still,
        "another process goes on in the place of this one"
    );
    let still = still.as_millis();
    Ok(format!(
        "process {pid}, version {version}, goes on; the node stood still for {still} ms\n"
    ))
}

/// A process that may go on.
struct New {
    child: Child,
    line: Line,
}

impl New {
    fn hello(&mut self) -> Result<Hello, String> {
        let text = self.hear(limits::UPGRADE_START_MAX)?;
        match text.strip_prefix("no ") {
            Some(why) => Err(self.give_up(format!("it says: {}", why.trim_end()))),
            None => Hello::read(&text)
                .ok_or_else(|| self.give_up("it is no program that could go on".to_owned())),
        }
    }

    /// Gives it everything, and the word to go on.
    fn give(
        &mut self,
        given: &Given,
        control_sockets: &ControlSockets,
        kept: &Kept,
        legacies: &[Legacy],
    ) -> Result<(), String> {
        wait_for_store(&given.store)?;
        let said = self.send(given, control_sockets, kept, legacies);
        said.map_err(|why| format!("it did not take what it was given: {why}"))?;
        let text = self.hear(limits::UPGRADE_TAKE_MAX)?;
        if let Some(why) = text.strip_prefix("no ") {
            return Err(format!("it says: {}", why.trim_end()));
        }
        let gone = self.line.say("go", &[]);
        gone.map_err(|why| format!("it ended when it was to go on: {why}"))
    }

    fn send(
        &self,
        given: &Given,
        control_sockets: &ControlSockets,
        kept: &Kept,
        legacies: &[Legacy],
    ) -> io::Result<()> {
        let parts = legacies.iter().zip(&given.seeds);
        let parts = parts.map(|(legacy, seed)| ShardPart {
            seed: *seed,
            core: legacy.core.len(),
            shell: legacy.shell.len(),
            sockets: legacy.sockets.len(),
        });
        let estate = Estate {
            clock: given.clock.written()?,
            node_seed: given.node_seed,
            keys: kept.keys.clone(),
            shards: parts.collect(),
            control_sockets: control_sockets.part(),
        };
        let file = estate.write(legacies)?;
        self.line.say("estate", &[file.as_raw_fd()])?;
        let sockets = legacies.iter().flat_map(|legacy| &legacy.sockets).copied();
        let all: Vec<RawFd> = sockets.chain(control_sockets.all()).collect();
        for some in all.chunks(limits::UPGRADE_DESCRIPTORS_MAX) {
            self.line.say("sockets", some)?;
        }
        Ok(())
    }

    /// Waits until it has taken up all connections: until then the node stands still. This process
    /// has no part in it any more, so it only looks.
    fn wait_until_up(&self) {
        if let Err(error) = self.line.hear(Some(limits::UPGRADE_UP_MAX)) {
            tracing::warn!(%error, "the new process has not said that it is up");
        }
    }

    /// What it says next; otherwise it is ended, and why.
    fn hear(&mut self, within: std::time::Duration) -> Result<String, String> {
        match self.line.hear(Some(within)) {
            Ok(Some(heard)) => Ok(heard.text),
            Ok(None) => {
                let ended = self.child.wait();
                let ended = ended.map_or_else(|why| why.to_string(), |status| status.to_string());
                Err(format!(
                    "the new program ended ({ended}) before it could go on; what it said is in \
                     the log of this node, which goes on as before"
                ))
            }
            Err(why) => Err(self.give_up(format!("nothing was heard of it: {why}"))),
        }
    }

    /// Ends it: from here on it uses nothing that it was given.
    fn give_up(&mut self, why: String) -> String {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            tracing::debug!(%error, "the new process has ended by itself");
        }
        let goes_on = "which goes on as before";
        match why.contains(goes_on) {
            true => why,
            false => {
                format!("the new program cannot take the place of this node, {goes_on}: {why}")
            }
        }
    }
}

impl ControlSockets {
    fn part(&self) -> ControlSocketsPart {
        ControlSocketsPart {
            control: self.control.is_some(),
            metrics: self.metrics.is_some(),
            datagrams: self.datagrams.len(),
            listeners: self.listeners.len(),
        }
    }

    /// All of them, in the order of the fields.
    fn all(&self) -> impl Iterator<Item = RawFd> {
        let one = self.control.iter().chain(&self.metrics);
        let all = one.chain(&self.datagrams).chain(&self.listeners);
        all.map(AsRawFd::as_raw_fd)
    }
}

/// Has every shard stand still; what they leave, in order.
fn stand_still(shards: &[Orders]) -> Result<Vec<Legacy>, String> {
    let (leaves, left) = channel();
    for (shard, orders) in shards.iter().enumerate() {
        let order = Order::StandStill {
            leaves: leaves.clone(),
            shard,
        };
        offer(orders, &order);
    }
    drop(leaves);
    let mut all: Vec<Option<Legacy>> = shards.iter().map(|_| None).collect();
    let until = Instant::now() + limits::SETTLE_MAX + limits::UPGRADE_TAKE_MAX;
    for _ in shards {
        let rest = until.saturating_duration_since(Instant::now());
        let one = left.recv_timeout(rest);
        let (shard, legacy) = one.map_err(|_late| "a shard did not stand still in time")?;
        let legacy = legacy.map_err(|why| format!("a shard cannot be handed on: {why}"))?;
        if let Some(place) = all.get_mut(shard) {
            *place = Some(legacy);
        }
    }
    let all: Option<Vec<_>> = all.into_iter().collect();
    all.ok_or_else(|| "a shard said nothing".to_owned())
}

fn go_on(shards: &[Orders]) {
    for orders in shards {
        offer(orders, &Order::GoOn);
    }
}

/// Gives a shard an order, also one whose inbox is full.
fn offer(orders: &Orders, order: &Order) {
    while !orders.offer(order.clone()) {
        std::thread::sleep(limits::INBOX_PAUSE);
    }
}

/// Waits until all that the shards have put out is on disk: the new process has no part in it.
fn wait_for_store(store: &StoreState) -> Result<(), String> {
    let until = Instant::now() + limits::SETTLE_MAX;
    while store.unsaved() > 0 {
        if Instant::now() >= until {
            return Err("what is registered is not on disk yet".to_owned());
        }
        std::thread::sleep(limits::UPGRADE_POLL);
    }
    Ok(())
}

/// Tells the service manager which process is the service from here on.
fn tell_service_manager(pid: u32) {
    if let Err(error) = sd_notify::notify(&[NotifyState::MainPid(pid)]) {
        tracing::warn!(%error, "the service manager was not told of the new process");
    }
}
