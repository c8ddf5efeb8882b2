//! Where the lines of calls go: the end of a file, or whoever listens on a socket.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::complaint::Complaint;
use crate::config::Events;
use crate::limits;

/// A way for lines.
pub(super) struct EventLines {
    to: Events,
    way: Option<Way>,
    /// Since when nothing is tried, where it has failed.
    failed: Option<Instant>,
    /// The last line is there in part.
    is_torn: bool,
    complaint: Complaint,
}

enum Way {
    File(File),
    Socket(UnixStream),
}

impl EventLines {
    pub(super) fn new(to: Events) -> Self {
        Self {
            to,
            way: None,
            failed: None,
            is_torn: false,
            complaint: Complaint::default(),
        }
    }

    /// Whether it leads there.
    pub(super) fn is_to(&self, to: &Events) -> bool {
        self.to == *to
    }

    /// Opens the file or the socket anew with the next line: whoever rotates logs has moved it.
    pub(super) fn reopen(&mut self) {
        (self.way, self.failed, self.is_torn) = (None, None, false);
    }

    /// Writes one line; false: it is lost, which is said once in `limits::TAP_COMPLAINT`.
    pub(super) fn write(&mut self, line: &str) -> bool {
        let is_left_alone = self
            .failed
            .is_some_and(|since| since.elapsed() < limits::TAP_PAUSE);
        if is_left_alone {
            self.complaint.count();
            return false;
        }
        match self.try_write(line) {
            Ok(()) => {
                self.failed = None;
                true
            }
            Err(error) => {
                (self.failed, self.way) = (Some(Instant::now()), None);
                self.complaint.count();
                let to = path(&self.to).display();
                self.complaint.say("lines of `events`", to, error);
                false
            }
        }
    }

    fn try_write(&mut self, line: &str) -> io::Result<()> {
        let way = match &mut self.way {
            Some(way) => way,
            None => self.way.insert(open(&self.to)?),
        };
        let mut text = Vec::with_capacity(line.len() + 2);
        if self.is_torn {
            text.push(b'\n');
        }
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
        match way {
            Way::File(file) => write_counted(file, &text, &mut self.is_torn),
            Way::Socket(socket) => socket.write_all(&text),
        }
    }
}

/// Writes all of it; where it fails on the way a part of a line is left.
fn write_counted(file: &mut File, text: &[u8], is_torn: &mut bool) -> io::Result<()> {
    let mut written = 0;
    while written < text.len() {
        match file.write(text.get(written..).unwrap_or_default()) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                *is_torn |= written > 0;
                return Err(error);
            }
        }
    }
    *is_torn = false;
    Ok(())
}

fn open(to: &Events) -> io::Result<Way> {
    match to {
        Events::File(path) => {
            let mut options = File::options();
            // Who calls whom is nobody else's business.
            options.create(true).append(true).mode(0o640);
            options.open(path).map(Way::File)
        }
        Events::Socket(path) => {
            let socket = UnixStream::connect(path)?;
            socket.set_write_timeout(Some(limits::TAP_CONNECT))?;
            Ok(Way::Socket(socket))
        }
    }
}

fn path(to: &Events) -> &std::path::Path {
    match to {
        Events::File(path) | Events::Socket(path) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_file_that_was_moved_is_made_anew() {
        let folder = folder("event-lines");
        let (path, moved) = (folder.join("events"), folder.join("events.1"));
        let mut lines = EventLines::new(Events::File(path.clone()));
        assert!(lines.write("one"));
        std::fs::rename(&path, &moved).unwrap();
        assert!(lines.write("two"));
        lines.reopen();
        assert!(lines.write("three"));
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let mut lines = EventLines::new(Events::File("/dev/full".into()));
        assert!(!lines.write("one"));
        assert!(!lines.write("two"));
        // The first was said at once, and the other waits for its minute.
        assert_eq!(lines.complaint.unsaid(), 1);
    }

    #[test]
    fn whoever_listens_on_a_socket_gets_them() {
        use std::io::Read as _;
        let folder = folder("event-socket");
        let path = folder.join("socket");
        let mut lines = EventLines::new(Events::Socket(path.clone()));
        assert!(!lines.write("before"));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        lines.reopen();
        assert!(lines.write("after"));
        let (mut stream, _) = listener.accept().unwrap();
        drop(lines);
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "after\n");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
