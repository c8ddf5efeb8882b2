//! Child processes that cannot outlive their test, and waiting by deadline.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use steadfast::limits;

/// How long a process may take to end once it was asked to. The lab waits that
/// long for its nodes, which drain: five seconds while an answer of theirs to an
/// INVITE is not acknowledged, as after a stop in mid-call.
const STOP_MAX: Duration = limits::LAB_PATIENCE.saturating_add(Duration::from_secs(1));

/// A running child in a process group of its own; dropped, it is gone.
pub(crate) struct Process {
    name: String,
    child: Child,
    out: PathBuf,
}

impl Process {
    /// Starts `command` with both outputs in the file `out`.
    pub(crate) fn start(name: &str, command: &mut Command, out: PathBuf) -> Self {
        let file = File::create(&out).expect("the log file can be made");
        let copy = file.try_clone().expect("a file handle can be copied");
        command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy)
            .process_group(0);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!(
                "{name} does not start ({error}): tests/run installs what the live tests need"
            ),
        };
        Self {
            name: name.to_owned(),
            child,
            out,
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("a child can be asked for its end")
    }

    /// Waits for its end until `limit` has passed.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        poll(limit, || self.ended())
    }

    /// Its process id.
    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// The last lines it wrote.
    pub(crate) fn last_words(&self) -> String {
        tail(&self.out, 4_000)
    }

    /// Everything it wrote.
    pub(crate) fn output(&self) -> String {
        tail(&self.out, usize::MAX)
    }

    /// Ends it and its children: politely, then not.
    pub(crate) fn stop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal("-TERM");
        if self.wait(STOP_MAX).is_none() {
            eprintln!("{} did not end on SIGTERM within {STOP_MAX:?}", self.name);
        }
        // What is left of the group, if anything: the leader may have died before its children.
        self.signal("-KILL");
        if self.wait(STOP_MAX).is_none() {
            eprintln!("{} did not end on SIGKILL", self.name);
        }
    }

    /// Sends a signal to it and its children.
    pub(crate) fn signal(&self, signal: &str) {
        let group = format!("-{}", self.child.id());
        let sent = Command::new("kill")
            .args([signal, "--", &group])
            .stderr(Stdio::null())
            .status();
        sent.expect("kill(1) is there");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Asks until there is an answer; `None` once `limit` has passed.
pub(crate) fn poll<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The last `len` bytes of a file, as far as they are text; empty without a file.
pub(crate) fn tail(path: &Path, len: usize) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(len)..]).into_owned()
}
