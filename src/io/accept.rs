//! Accepting connections.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};

use socket2::Socket;

use super::{Counters, socket};

/// A listening socket.
pub(super) struct Listener {
    socket: Socket,
    /// A descriptor to give up when there is no other left.
    spare: Option<File>,
}

impl Listener {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        Ok(Self {
            socket,
            spare: Some(File::open("/dev/null")?),
        })
    }

    /// The next connection; `None` when none waits.
    pub(super) fn accept(&mut self, counters: &mut Counters) -> Option<(TcpStream, SocketAddr)> {
        let (socket, peer) = match self
            .socket
            .accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
        {
            Ok(accepted) => accepted,
            Err(error) => {
                if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
                    self.turn_away(counters);
                }
                return None;
            }
        };
        let peer = peer.as_socket()?;
        // Fails only when the peer is gone already; the first read tells.
        socket::keep(&socket).ok()?;
        Some((socket.into(), peer))
    }

    /// Without a free descriptor the connection would stay in the backlog, and
    /// the listener ready for ever. The spare one is used to close it.
    fn turn_away(&mut self, counters: &mut Counters) {
        tracing::warn!("out of file descriptors: a connection was turned away");
        counters.tcp_refused += 1;
        self.spare = None;
        drop(self.socket.accept());
        self.spare = File::open("/dev/null").ok();
    }
}
