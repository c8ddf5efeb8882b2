//! A node by itself, without a lab: its folder, its start, its control socket.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, poll};

/// A folder for files of one test, gone when dropped unless that has failed.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// An empty one, and in it another one of that name.
    pub(crate) fn with(name: &str, inner: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(place.join(inner)).expect("a folder can be made");
        Self(place)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file can be written");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking()
            && let Err(error) = std::fs::remove_dir_all(&self.0)
        {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

/// Runs a node by a command, and returns once it listens.
#[track_caller]
pub(crate) fn start(name: &str, run: &mut Command, log: PathBuf, patience: Duration) -> Process {
    let mut node = Process::start(name, run, log);
    let listens = poll(patience, || {
        (node.ended().is_some() || node.output().contains("listening for SIP")).then_some(())
    });
    let is_up = listens.is_some() && node.ended().is_none();
    assert!(is_up, "{}", node.output());
    node
}

/// What a control socket answers to a GET, with these lines of the head more.
pub(crate) fn get(socket: &Path, path: &str, more: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: node\r\n{more}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
