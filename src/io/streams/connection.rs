//! One connection: its socket, what waits to leave through it, and over TLS
//! the session in between.

use std::io::{self, IoSlice, Write};
use std::net::{SocketAddr, TcpStream};

use super::super::readiness::Ready;
use super::super::tls::{Scratch, Session};
use crate::id::StreamId;
use crate::limits;
use crate::send::StreamQueue;

pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) state: State,
    /// Messages of the core, not yet encrypted.
    pub(super) queue: StreamQueue,
    pub(super) is_blocked: bool,
    pub(super) is_unflushed: bool,
    pub(super) tls: Option<Box<Wire>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Connecting(StreamId),
    /// The connection that the core asked for is up, TLS is not.
    Handshaking(StreamId),
    /// Accepted, TLS is not up: the core knows nothing of it.
    Accepting,
    Open(StreamId),
    /// Closed by the core; what is queued still leaves.
    Closing,
}

/// The TLS half of a connection.
pub(super) struct Wire {
    pub(super) session: Session,
    /// Who is there, for the log.
    pub(super) peer: SocketAddr,
    /// Encrypted bytes that the kernel did not take; at most what one write
    /// seals, and the answers of the protocol itself.
    waiting: Vec<u8>,
    written: usize,
    said_goodbye: bool,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, state: State, tls: Option<Box<Wire>>) -> Self {
        let queue = StreamQueue::new(limits::STREAM_QUEUE_MAX);
        let is_blocked = matches!(state, State::Connecting(_));
        Self {
            socket,
            state,
            queue,
            is_blocked,
            is_unflushed: false,
            tls,
        }
    }

    /// What its readiness set is to be asked for.
    pub(super) const fn interest(&self) -> Ready {
        if self.is_blocked {
            Ready::READ_WRITE
        } else {
            Ready::READ
        }
    }

    /// Writes what the kernel takes; true when nothing waits any more that
    /// could leave now.
    pub(super) fn write(&mut self, scratch: &mut Scratch) -> io::Result<bool> {
        if self.tls.is_some() {
            self.write_sealed(scratch)
        } else {
            self.write_clear()
        }
    }

    fn write_clear(&mut self) -> io::Result<bool> {
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); limits::DATAGRAM_BATCH];
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(self.queue.slices()) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            match self.socket.write_vectored(&slices[..count]) {
                Ok(written) => self.queue.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Messages are encrypted only when the kernel may take them, so that what
    /// waits for a slow reader waits once.
    fn write_sealed(&mut self, scratch: &mut Scratch) -> io::Result<bool> {
        loop {
            let Some(wire) = &mut self.tls else {
                return Ok(true);
            };
            if !wire.flush(&self.socket)? {
                return Ok(false);
            }
            if !wire.session.is_established() {
                return Ok(true);
            }
            scratch.sealed.clear();
            let mut sealed = Ok(());
            if !self.queue.is_empty() {
                let mut len = 0;
                let messages = self.queue.slices().take_while(|message| {
                    let goes_on = len < limits::TLS_WRITE_MAX;
                    len += if goes_on { message.len() } else { 0 };
                    goes_on
                });
                sealed = wire.session.seal(messages, scratch);
                self.queue.advance(len);
            } else if self.state == State::Closing && !wire.said_goodbye {
                wire.said_goodbye = true;
                wire.session.say_goodbye(scratch);
            } else {
                return Ok(true);
            }
            // What could not be sealed may have left a goodbye.
            wire.send(&self.socket, &scratch.sealed)?;
            sealed.map_err(io::Error::other)?;
        }
    }

    /// Answers a peer that has said that it sends nothing more, before its connection is dropped
    /// (RFC 5246 §7.2.1, RFC 8446 §6.1).
    pub(super) fn answer_goodbye(&mut self, scratch: &mut Scratch) {
        if let Some(wire) = &mut self.tls {
            scratch.sealed.clear();
            wire.session.say_goodbye(scratch);
            // Where the kernel has no room for it, the connection ends without.
            drop(wire.send(&self.socket, &scratch.sealed));
        }
    }

    /// True when bytes wait that should leave before the end.
    pub(super) fn is_writing(&self) -> bool {
        let sealed = self
            .tls
            .as_ref()
            .is_some_and(|wire| !wire.waiting.is_empty());
        sealed || !self.queue.is_empty()
    }
}

impl Wire {
    pub(super) const fn new(session: Session, peer: SocketAddr) -> Self {
        Self {
            session,
            peer,
            waiting: Vec::new(),
            written: 0,
            said_goodbye: false,
        }
    }

    /// Writes encrypted bytes after those that wait; what the kernel does not
    /// take waits too.
    ///
    /// # Errors
    /// When the connection is broken, and when the peer makes us answer without
    /// reading the answers.
    pub(super) fn send(&mut self, mut socket: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while self.waiting.is_empty() && !rest.is_empty() {
            match socket.write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.waiting.extend_from_slice(rest);
        if self.waiting.len() > limits::STREAM_QUEUE_MAX {
            return Err(io::Error::other("the peer does not read what it is sent"));
        }
        Ok(())
    }

    /// True when nothing waits any more.
    fn flush(&mut self, mut socket: &TcpStream) -> io::Result<bool> {
        while let Some(rest) = self.waiting.get(self.written..)
            && !rest.is_empty()
        {
            match socket.write(rest) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // An idle flow holds no memory for what once waited.
        (self.waiting, self.written) = (Vec::new(), 0);
        Ok(true)
    }
}
