//! One connection, in the clear or over TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};

use rustls::ClientConnection;
use steadfast_core::frame::Resume;

pub(super) struct Stream {
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddrV4,
    /// Over TLS.
    pub(super) session: Option<Box<ClientConnection>>,
    /// The beginning of a message whose end has not come yet.
    pub(super) partial: Vec<u8>,
    pub(super) resume: Resume,
    /// The readiness set tells when it takes more.
    pub(super) is_watched: bool,
    pub(super) is_open: bool,
}

impl Stream {
    pub(super) fn new(
        socket: TcpStream,
        peer: SocketAddrV4,
        session: Option<ClientConnection>,
    ) -> Self {
        Self {
            socket,
            peer,
            session: session.map(Box::new),
            partial: Vec::new(),
            resume: Resume::default(),
            is_watched: false,
            is_open: true,
        }
    }

    /// Sends what waits, as far as the kernel takes it; whether some of it is
    /// left.
    pub(super) fn send(&mut self, queue: &mut Vec<u8>) -> io::Result<bool> {
        let Some(session) = &mut self.session else {
            let count = later(self.socket.write(queue))?;
            queue.drain(..count.unwrap_or(0));
            return Ok(!queue.is_empty());
        };
        session.writer().write_all(queue)?;
        queue.clear();
        while session.wants_write() {
            if later(session.write_tls(&mut self.socket))?.is_none() {
                break;
            }
        }
        Ok(session.wants_write())
    }

    /// Adds what came to the unread; false: it was the end.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let Some(session) = &mut self.session else {
            let count = later(self.socket.read(buffer))?;
            self.partial
                .extend_from_slice(&buffer[..count.unwrap_or(0)]);
            return Ok(count != Some(0));
        };
        let count = later(session.read_tls(&mut self.socket))?;
        let state = session.process_new_packets().map_err(io::Error::other)?;
        let unread = self.partial.len();
        self.partial
            .resize(unread + state.plaintext_bytes_to_read(), 0);
        session.reader().read_exact(&mut self.partial[unread..])?;
        Ok(count != Some(0))
    }
}

/// `None` for what the kernel does not do yet.
pub(crate) fn later(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(count) => Ok(Some(count)),
        Err(why) if why.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(why) => Err(why),
    }
}
