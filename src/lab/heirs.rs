//! Nodes of the lab that go on in another process (`steadfast upgrade`).
//!
//! The process in which a node goes on is a child of the one before it, which ends. The lab has
//! such orphans handed to it, so that it hears of their end and ends them as its own.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use procfs::process::all_processes;

/// A process in which a node goes on.
#[derive(Debug)]
pub(super) struct Heir(Pid);

/// Has the kernel hand orphans of the lab's processes to the lab.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn take_in() -> io::Result<()> {
    set_child_subreaper(true).map_err(io::Error::from)
}

impl Heir {
    /// The one that goes on for the node of this file, whose process has ended.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let own = getpid().as_raw();
        let file = file.as_os_str().to_string_lossy();
        let mut children = all_processes().ok()?.filter_map(|process| {
            let process = process.ok()?;
            (process.stat().ok()?.ppid == own).then_some(process)
        });
        let heir = children.find(|process| {
            let words = process.cmdline().unwrap_or_default();
            words.get(1).is_some_and(|word| word == "take-over")
                && words.iter().any(|it| *it == file)
        })?;
        Some(Self(Pid::from_raw(heir.pid)))
    }

    pub(super) const fn id(&self) -> i32 {
        self.0.as_raw()
    }

    /// How it has ended; `None` while it runs.
    pub(super) fn end(&self) -> Option<ExitStatus> {
        match waitpid(self.0, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw(code << 8)),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(ExitStatus::from_raw(signal as i32)),
            Ok(_) => None,
            // Nobody is there any more to be waited for.
            Err(_) => Some(ExitStatus::default()),
        }
    }

    /// Sends a signal; one that has ended ignores it, since nobody else has its id until it was
    /// waited for.
    pub(super) fn send(&self, signal: Signal) {
        if let Err(error) = kill(self.0, signal) {
            tracing::debug!(%error, pid = self.id(), "a process of the lab is gone");
        }
    }
}
