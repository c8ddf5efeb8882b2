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

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::files::config_name;
use super::{EDGES, Fault, HOME, NodeAddress};
use crate::limits;
use crate::node::LISTENING;

/// The nodes that run.
pub(super) struct Nodes {
    running: Vec<Node>,
}

struct Node {
    address: NodeAddress,
    child: Child,
    log: PathBuf,
}

impl Nodes {
    /// Starts all of them.
    pub(super) fn start(folder: &Path) -> Result<Self, Fault> {
        let program = std::env::current_exe()?;
        let mut running = Vec::new();
        for address in std::iter::once(HOME).chain(EDGES) {
            let log = folder.join(format!("{}.log", address.name));
            let file = File::create(&log).map_err(|why| Fault::File {
                path: log.clone(),
                why,
            })?;
            let mut command = Command::new(&program);
            command
                .args(["run", "--config"])
                .arg(folder.join(config_name(address)));
            command
                .stdin(Stdio::null())
                .stdout(file.try_clone()?)
                .stderr(file);
            // Ctrl-C at the terminal is for the lab, which ends them in order.
            command.process_group(0).kill_on_drop(true);
            die_with_parent(&mut command);
            running.push(Node {
                address,
                child: command.spawn()?,
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
            .map(|node| (node.address, node.child.id().unwrap_or(0)));
        ids.collect()
    }

    /// Ends one of them as a power cut would.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) async fn kill(&mut self, address: NodeAddress) -> io::Result<()> {
        for node in &mut self.running {
            if node.address.name == address.name {
                node.child.kill().await?;
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
            child,
            log,
        } in &mut self.running
        {
            match timeout(limits::LAB_PATIENCE, until_listening(child, log)).await {
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

    /// Waits until one of them ends; there must be one.
    pub(super) async fn next_end(&mut self) -> (&'static str, ExitStatus) {
        let (name, status) = poll_fn(|cx| {
            for node in &mut self.running {
                if let Poll::Ready(Ok(status)) = pin!(node.child.wait()).poll(cx) {
                    return Poll::Ready((node.address.name, status));
                }
            }
            Poll::Pending
        })
        .await;
        self.running.retain(|node| node.address.name != name);
        (name, status)
    }

    /// Ends all of them, the impatient way those that do not end themselves.
    pub(super) async fn stop(mut self) -> io::Result<()> {
        for node in &self.running {
            terminate(&node.child);
        }
        for node in &mut self.running {
            if timeout(limits::LAB_PATIENCE, node.child.wait())
                .await
                .is_err()
            {
                node.child.kill().await?;
            }
        }
        Ok(())
    }
}

/// `None` once the node says that it listens, its status if it ends instead.
/// Its word counts, because a connection may be taken by a stranger.
async fn until_listening(child: &mut Child, log: &Path) -> Option<ExitStatus> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
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

fn terminate(child: &Child) {
    let Some(id) = child.id().and_then(|id| libc::pid_t::try_from(id).ok()) else {
        return;
    };
    // A node that somebody has stopped hears SIGTERM when it goes on.
    for signal in [libc::SIGTERM, libc::SIGCONT] {
        // SAFETY: takes numbers only; the child is ours and not waited for yet,
        // so that nobody else can have its id. One that has ended ignores it.
        unsafe { libc::kill(id, signal) };
    }
}
