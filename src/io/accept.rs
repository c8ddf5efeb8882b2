//! Listeners, and what they do when no descriptor is left.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::Socket;

use super::ring::Ring;
use super::{Counters, token};
use crate::id::Transport;

/// A listening socket.
pub(super) struct Listener {
    index: u16,
    socket: Socket,
    pub(super) transport: Transport,
    /// Peers alone connect to it.
    pub(super) is_core_side: bool,
    /// It accepts no more until those that it accepted are dealt with.
    is_paused: bool,
    /// A descriptor to give up when there is no other left.
    spare: Option<File>,
}

impl Listener {
    pub(super) fn new(
        index: u16,
        socket: Socket,
        transport: Transport,
        is_core_side: bool,
    ) -> io::Result<Self> {
        Ok(Self {
            index,
            socket,
            transport,
            is_core_side,
            is_paused: false,
            spare: Some(File::open("/dev/null")?),
        })
    }

    /// Has the ring accept connections.
    pub(super) fn start(&self, ring: &mut Ring) {
        ring.accept(self.socket.as_fd(), self.index);
    }

    /// Has the ring accept no more for now.
    pub(super) fn pause(&mut self, ring: &mut Ring) {
        if !std::mem::replace(&mut self.is_paused, true) {
            ring.cancel(token::listener(self.index));
        }
    }

    /// Has the ring accept again.
    pub(super) fn go_on(&mut self, ring: &mut Ring) {
        if std::mem::take(&mut self.is_paused) {
            self.start(ring);
        }
    }

    /// The ring accepts no more for this reason: it goes on at once, or, where no
    /// descriptor is left, once it has one more connection to accept.
    pub(super) fn on_failed(&self, ring: &mut Ring, error: i32) {
        if matches!(error, libc::EMFILE | libc::ENFILE) {
            // Without one it would fail whether or not a connection waits.
            let token = token::listener_ready(self.index);
            return ring.poll_readable(self.socket.as_fd(), token);
        }
        // One that is paused goes on later.
        if error != libc::ECANCELED {
            self.start(ring);
        }
    }

    /// A connection waits, and no descriptor was left. Without one it would stay in the
    /// backlog: the spare one is used to close it.
    pub(super) fn turn_away(&mut self, ring: &mut Ring, counters: &mut Counters) {
        if File::open("/dev/null").is_err() {
            tracing::warn!("out of file descriptors: a connection was turned away");
            counters.tcp_refused += 1;
            self.spare = None;
            drop(self.socket.accept());
        }
        if self.spare.is_none() {
            self.spare = File::open("/dev/null").ok();
        }
        self.start(ring);
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
