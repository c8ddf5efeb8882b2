//! A program on the other side: what it is told, and what it says.

use std::io::{Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long the other side may take for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running program; dropped, it is gone.
pub(crate) struct Tool {
    child: Child,
    said: Arc<(Mutex<Vec<u8>>, Condvar)>,
}

impl Tool {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.unwrap_or_else(|error| {
            let name = command.get_program().display();
            panic!("{name} does not start ({error}): tests/run installs it")
        });
        let said = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        listen(child.stdout.take().expect("it is piped"), Arc::clone(&said));
        listen(child.stderr.take().expect("it is piped"), Arc::clone(&said));
        Self { child, said }
    }

    /// Types these words.
    pub(crate) fn tell(&mut self, words: &[u8]) {
        let stdin = self.child.stdin.as_mut().expect("it is piped");
        stdin.write_all(words).expect("it listens");
        stdin.flush().expect("it listens");
    }

    /// Waits until it has said this: everything up to there, which is not heard again.
    pub(crate) fn hear(&self, words: &str) -> String {
        let (said, more) = &*self.said;
        let (mut bytes, until) = (
            said.lock().expect("nobody panics with it"),
            Instant::now() + PATIENCE,
        );
        loop {
            let found = bytes
                .windows(words.len())
                .position(|it| it == words.as_bytes());
            if let Some(at) = found {
                let heard: Vec<u8> = bytes.drain(..at + words.len()).collect();
                return String::from_utf8_lossy(&heard).into_owned();
            }
            let text = String::from_utf8_lossy(&bytes);
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it never says {words:?}: {text}");
            bytes = more
                .wait_timeout(bytes, left)
                .expect("nobody panics with it")
                .0;
        }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn listen(mut pipe: impl Read + Send + 'static, said: Arc<(Mutex<Vec<u8>>, Condvar)>) {
    std::thread::spawn(move || {
        let mut room = [0; 4_096];
        while let Ok(len) = pipe.read(&mut room)
            && len > 0
        {
            let (all, more) = &*said;
            all.lock()
                .expect("nobody panics with it")
                .extend_from_slice(&room[..len]);
            more.notify_all();
        }
    });
}
