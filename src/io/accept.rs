//! Listeners, and what they do when no descriptor is left.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use socket2::Socket;

use super::ring::Ring;
use super::{Counters, completion_id, rlimit};
use crate::id::Transport;
use crate::limits;
use crate::time::Instant;

/// A listening socket.
pub(super) struct Listener {
    index: u16,
    socket: Socket,
    pub(super) transport: Transport,
    /// Peers alone connect to it.
    pub(super) accepts_peers: bool,
    /// The ring accepts connections, or waits for one where no descriptor is left.
    is_accepting: bool,
    /// It is not to accept more until those that it accepted are dealt with.
    is_paused: bool,
    /// A descriptor to give up when there is no other left.
    spare: Option<File>,
}

impl Listener {
    pub(super) fn new(
        index: u16,
        socket: Socket,
        transport: Transport,
        accepts_peers: bool,
    ) -> io::Result<Self> {
        Ok(Self {
            index,
            socket,
            transport,
            accepts_peers,
            is_accepting: false,
            is_paused: false,
            spare: Some(File::open("/dev/null")?),
        })
    }

    /// Has the ring accept connections, unless it does or is not to.
    pub(super) fn start(&mut self, ring: &mut Ring) {
        if !self.is_paused && !std::mem::replace(&mut self.is_accepting, true) {
            ring.accept(self.socket.as_fd(), self.index);
        }
    }

    /// Has the ring accept no more for now.
    pub(super) fn pause(&mut self, ring: &mut Ring) {
        if !std::mem::replace(&mut self.is_paused, true) {
            ring.cancel(completion_id::listener(self.index));
        }
    }

    /// True while the ring accepts connections.
    pub(super) const fn is_accepting(&self) -> bool {
        self.is_accepting
    }

    /// The ring does nothing more with it, as it was told.
    pub(super) const fn on_cancelled(&mut self) {
        self.is_accepting = false;
    }

    /// Has the ring accept again.
    pub(super) fn go_on(&mut self, ring: &mut Ring) {
        if std::mem::take(&mut self.is_paused) {
            self.start(ring);
        }
    }

    /// The ring accepts no more, perhaps for this error: it goes on at once, or, where no
    /// descriptor is left, once it has one more connection to accept.
    pub(super) fn on_ended(&mut self, ring: &mut Ring, error: Option<i32>) {
        if matches!(error, Some(libc::EMFILE | libc::ENFILE)) {
            // Without one it would fail whether or not a connection waits.
            let ready = completion_id::listener_ready(self.index);
            return ring.poll_readable(self.socket.as_fd(), ready);
        }
        self.is_accepting = false;
        self.start(ring);
    }

    /// A connection waits, and no descriptor was left. Without one it would stay in the
    /// backlog: the spare one is used to close it. Whether one was.
    pub(super) fn turn_away(&mut self, ring: &mut Ring) -> bool {
        let is_out = File::open("/dev/null").is_err();
        if is_out {
            self.spare = None;
            drop(self.socket.accept());
        }
        if self.spare.is_none() {
            self.spare = File::open("/dev/null").ok();
        }
        self.is_accepting = false;
        self.start(ring);
        is_out
    }
}

/// The descriptors that connections may have.
pub(super) struct Descriptors {
    /// From this one on they are kept for others: the kernel gives the lowest one that is free,
    /// so that as many are in use.
    reserved_from: RawFd,
    /// Connections closed for want of one, since the log said so last.
    refused: u64,
    said_at: Option<Instant>,
}

impl Descriptors {
    /// Those that the limit of the process allows.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(super) fn new() -> io::Result<Self> {
        let from = rlimit::open_files()?.saturating_sub(limits::FILES_RESERVED);
        Ok(Self {
            reserved_from: RawFd::try_from(from).unwrap_or(RawFd::MAX),
            refused: 0,
            said_at: None,
        })
    }

    /// Whether a stranger's connection has taken one that is kept back.
    pub(super) fn is_reserved(&self, socket: &OwnedFd) -> bool {
        socket.as_raw_fd() >= self.reserved_from
    }

    /// A connection was closed for want of one: the log says so once a second.
    pub(super) fn refused(&mut self, now: Instant, counters: &mut Counters) {
        counters.tcp_refused += 1;
        counters.files_exhausted += 1;
        self.refused += 1;
        let is_due = |at: Instant| now.since(at) >= limits::REFUSAL_ALERT_EVERY;
        if self.said_at.is_none_or(is_due) {
            let closed = std::mem::take(&mut self.refused);
            self.said_at = Some(now);
            tracing::warn!(
                closed,
                "connections were closed, since no more files may be open: `ulimit -n`, for \
                 systemd `LimitNOFILE`"
            );
        }
    }
}

/// Where an accepted connection comes from; `None` when it is gone already.
pub(super) fn peer(socket: OwnedFd) -> Option<(OwnedFd, SocketAddr)> {
    let socket = Socket::from(socket);
    let peer = socket.peer_addr().ok()?.as_socket()?;
    Some((socket.into(), peer))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::time::Duration;

    #[test]
    fn a_paused_listener_accepts_once_it_goes_on_and_never_twice_at_once() {
        let socket = Socket::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        let (mut ring, _room) = Ring::new().unwrap();
        let mut listener = Listener::new(0, socket, Transport::Tcp, false).unwrap();
        listener.start(&mut ring);
        let mut clients = Vec::new();
        for goes_on_at_once in [false, true, false] {
            listener.pause(&mut ring);
            listener.start(&mut ring);
            if goes_on_at_once {
                listener.go_on(&mut ring);
            }
            // The accept that was cancelled says so, and is begun again where it may.
            let end = loop {
                ring.enter(Some(Duration::from_secs(5))).unwrap();
                if let Some(end) = ring.next_accepted() {
                    break end;
                }
            };
            assert_eq!(end.result.err(), Some(libc::ECANCELED));
            listener.on_ended(&mut ring, Some(libc::ECANCELED));
            listener.go_on(&mut ring);
            clients.push(TcpStream::connect(addr).unwrap());
            let accepted = loop {
                ring.enter(Some(Duration::from_secs(5))).unwrap();
                if let Some(accepted) = ring.next_accepted() {
                    break accepted;
                }
            };
            assert!(accepted.goes_on && ring.next_accepted().is_none());
            drop(accepted.result.unwrap());
        }
    }
}
