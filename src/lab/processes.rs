//! The lab's nodes as processes.

#![expect(
    unsafe_code,
    reason = "PR_SET_PDEATHSIG has to be set between fork and exec"
)]

use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::task::Poll;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::files::config_name;
use super::heirs::{self, Heir};
use super::{EDGES, Fault, HOME, NodeAddress};
use crate::limits;
use crate::node::LISTENING;

/// The nodes that run.
pub(super) struct Nodes {
    running: Vec<Node>,
}

struct Node {
    address: NodeAddress,
    process: Process,
    config: PathBuf,
    log: PathBuf,
}

/// The process of a node.
enum Process {
    /// The lab has started it.
    Child(Child),
    /// It goes on for one that the lab has started.
    Heir(Heir),
}

/// What has become of the process of a node that has ended.
pub(super) struct NodeEnd {
    pub(super) name: &'static str,
    pub(super) status: ExitStatus,
    /// The process in which the node goes on.
    pub(super) heir: Option<i32>,
}

impl Nodes {
    /// Starts all of them.
    pub(super) fn start(folder: &Path) -> Result<Self, Fault> {
        heirs::take_in()?;
        let program = std::env::current_exe()?;
        let mut running = Vec::new();
        for address in std::iter::once(HOME).chain(EDGES) {
            let log = folder.join(format!("{}.log", address.name));
            let file = File::create(&log).map_err(|why| Fault::File {
                path: log.clone(),
                why,
            })?;
            let config = folder.join(config_name(address));
            let mut command = Command::new(&program);
            command.args(["run", "--config"]).arg(&config);
            command
                .stdin(Stdio::null())
                .stdout(file.try_clone()?)
                .stderr(file);
            // Ctrl-C at the terminal is for the lab, which ends them in order.
            command.process_group(0).kill_on_drop(true);
            die_with_parent(&mut command);
            running.push(Node {
                address,
                process: Process::Child(command.spawn()?),
                config,
                log,
            });
        }
        Ok(Self { running })
    }

    /// Places and process ids.
    pub(super) fn ids(&self) -> Vec<(NodeAddress, u32)> {
        let ids = self
            .running
            .iter()
            .map(|node| (node.address, node.process.id()));
        ids.collect()
    }

    /// Ends one of them as a power cut would.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) async fn kill(&mut self, address: NodeAddress) -> io::Result<()> {
        for node in &mut self.running {
            if node.address.name == address.name {
                node.process.kill().await?;
            }
        }
        self.running
            .retain(|node| node.address.name != address.name);
        Ok(())
    }

    /// True when none is left.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Waits until each of them takes connections.
    pub(super) async fn until_all_listen(&mut self) -> Result<(), Fault> {
        for Node {
            address,
            process,
            log,
            ..
        } in &mut self.running
        {
            match timeout(limits::LAB_PATIENCE, until_listening(process, log)).await {
                Ok(None) => {}
                Ok(Some(_)) => {
                    let text = std::fs::read_to_string(&*log).unwrap_or_default();
                    let last = text
                        .lines()
                        .rfind(|line| !line.trim().is_empty())
                        .unwrap_or("");
                    let sentence = last.strip_prefix("steadfast: ").unwrap_or(last).to_owned();
                    return Err(Fault::Node {
                        name: address.name,
                        sentence,
                    });
                }
                Err(_) => {
                    return Err(Fault::Silent {
                        name: address.name,
                        log: log.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Waits until the process of one of them ends; there must be one.
    pub(super) async fn next_end(&mut self) -> NodeEnd {
        loop {
            if let Ok((index, status)) = timeout(limits::LAB_POLL, self.process_ends()).await
                && let Some(node) = self.running.get_mut(index)
            {
                let name = node.address.name;
                let heir = Heir::of(&node.config);
                let id = heir.as_ref().map(Heir::id);
                match heir {
                    Some(heir) => node.process = Process::Heir(heir),
                    None => drop(self.running.remove(index)),
                }
                return NodeEnd {
                    name,
                    status,
                    heir: id,
                };
            }
        }
    }

    /// The place of the first one whose process has ended, and how. Only the end of a child of
    /// the lab wakes who waits here.
    async fn process_ends(&mut self) -> (usize, ExitStatus) {
        poll_fn(|cx| {
            for (index, node) in self.running.iter_mut().enumerate() {
                let ended = match &mut node.process {
                    Process::Child(child) => match pin!(child.wait()).poll(cx) {
                        Poll::Ready(status) => status.ok(),
                        Poll::Pending => None,
                    },
                    Process::Heir(heir) => heir.end(),
                };
                if let Some(status) = ended {
                    return Poll::Ready((index, status));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Ends all of them, the impatient way those that do not end themselves.
    pub(super) async fn stop(mut self) -> io::Result<()> {
        for node in &self.running {
            node.process.terminate();
        }
        for node in &mut self.running {
            if timeout(limits::LAB_PATIENCE, node.process.ends())
                .await
                .is_err()
            {
                node.process.kill().await?;
            }
        }
        Ok(())
    }
}

impl Process {
    /// Its number; 0 when it has ended.
    fn id(&self) -> u32 {
        match self {
            Self::Child(child) => child.id().unwrap_or(0),
            Self::Heir(heir) => heir.id().unsigned_abs(),
        }
    }

    /// How it has ended; `None` while it runs.
    fn end(&mut self) -> Option<ExitStatus> {
        match self {
            Self::Child(child) => child.try_wait().ok().flatten(),
            Self::Heir(heir) => heir.end(),
        }
    }

    async fn ends(&mut self) {
        while self.end().is_none() {
            sleep(limits::LAB_POLL).await;
        }
    }

    async fn kill(&mut self) -> io::Result<()> {
        match self {
            Self::Child(child) => child.kill().await,
            Self::Heir(heir) => {
                heir.send(Signal::SIGKILL);
                self.ends().await;
                Ok(())
            }
        }
    }

    fn terminate(&self) {
        // A node that somebody has stopped hears SIGTERM when it goes on.
        for signal in [Signal::SIGTERM, Signal::SIGCONT] {
            match self {
                Self::Child(child) => send(child, signal),
                Self::Heir(heir) => heir.send(signal),
            }
        }
    }
}

/// `None` once the node says that it listens, its status if it ends instead.
/// Its word counts, because a connection may be taken by a stranger.
async fn until_listening(process: &mut Process, log: &Path) -> Option<ExitStatus> {
    loop {
        if let Some(status) = process.end() {
            return Some(status);
        }
        if std::fs::read_to_string(log).is_ok_and(|text| text.contains(LISTENING)) {
            return None;
        }
        sleep(limits::LAB_POLL).await;
    }
}

fn die_with_parent(command: &mut Command) {
    let die = || {
        // SAFETY: takes numbers only, and is allowed after a fork.
        let done = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    };
    // SAFETY: `die` makes one system call and touches no memory of others.
    unsafe { command.pre_exec(die) };
}

/// Sends a signal to a child that is not waited for yet, so that nobody else can have its id. One
/// that has ended ignores it.
fn send(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(Err(error)) = id.map(|id| nix::sys::signal::kill(Pid::from_raw(id), signal)) {
        tracing::debug!(%error, ?id, "a process of the lab is gone");
    }
}
