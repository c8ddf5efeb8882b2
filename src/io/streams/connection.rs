//! One connection: its socket, what waits to leave through it, and over TLS
//! the session in between.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::super::ring::{Ring, Sealed, Written};
use super::super::tls::{Scratch, Session};
use crate::id::{Slot, StreamId};
use crate::limits;
use crate::send::StreamQueue;

pub(super) struct Connection {
    pub(super) socket: OwnedFd,
    pub(super) state: State,
    /// Messages of the core, not yet encrypted.
    pub(super) queue: StreamQueue,
    /// The kernel took no more the last time, or the connection is not up: it tells when.
    pub(super) is_blocked: bool,
    /// Something is to be written.
    pub(super) is_unflushed: bool,
    /// A write is staged: the next one waits until that is over.
    pub(super) is_staged: bool,
    /// The ring receives from it.
    pub(super) is_receiving: bool,
    /// The peer sends nothing more: it is dropped once it has its last answers.
    pub(super) has_ended: bool,
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
    waiting: Sealed,
    has_sent_close_notify: bool,
    /// The core knows that the key comes to an end.
    is_replaced: bool,
}

/// How much of what a connection has to write is with the kernel or on its way there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Staged {
    /// There is nothing.
    Nothing,
    /// All of it, or the rest waits for the kernel.
    All,
    /// More is to follow.
    Part,
}

/// The peer makes us answer without reading the answers, or the keys are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Connection {
    pub(super) const fn new(socket: OwnedFd, state: State, tls: Option<Box<Wire>>) -> Self {
        let queue = StreamQueue::new(limits::STREAM_QUEUE_MAX);
        let is_blocked = matches!(state, State::Connecting(_));
        Self {
            socket,
            state,
            queue,
            is_blocked,
            is_unflushed: false,
            is_staged: false,
            is_receiving: false,
            has_ended: false,
            tls,
        }
    }

    /// Stages what is to be written next, unless it has to wait for the kernel.
    pub(super) fn stage(
        &mut self,
        ring: &mut Ring,
        slot: Slot,
        scratch: &mut Scratch,
    ) -> Result<Staged, Broken> {
        if self.is_blocked {
            return Ok(Staged::All);
        }
        if self.is_staged {
            // A write that succeeds wakes nobody.
            return Ok(Staged::Part);
        }
        let is_all = if self.tls.is_some() {
            let Some(sealed) = self.seal(ring, scratch)? else {
                return Ok(Staged::Nothing);
            };
            ring.write_sealed(self.socket.as_fd(), slot, sealed);
            !self.can_write()
        } else if self.queue.is_empty() {
            return Ok(Staged::Nothing);
        } else {
            let (messages, written) = self.queue.messages();
            let is_all = messages.len() <= limits::WRITE_MESSAGES_MAX;
            ring.write(self.socket.as_fd(), slot, messages, written);
            is_all
        };
        self.is_staged = true;
        Ok(if is_all { Staged::All } else { Staged::Part })
    }

    /// What is to be written next over TLS. Messages are encrypted only when the kernel
    /// may take them, so that what waits for a slow reader waits once.
    fn seal(&mut self, ring: &mut Ring, scratch: &mut Scratch) -> Result<Option<Sealed>, Broken> {
        let Some(wire) = &mut self.tls else {
            return Ok(None);
        };
        if !wire.waiting.bytes.is_empty() {
            return Ok(Some(std::mem::take(&mut wire.waiting)));
        }
        if !wire.session.is_established() {
            return Ok(None);
        }
        let is_closing = self.state == State::Closing && !wire.has_sent_close_notify;
        if self.queue.is_empty() && !is_closing {
            return Ok(None);
        }
        scratch.sealed = ring.spare();
        let mut len = 0;
        let messages = self.queue.slices().take_while(|message| {
            let goes_on = len < limits::TLS_WRITE_MAX;
            len += if goes_on { message.len() } else { 0 };
            goes_on
        });
        let sealed = wire.session.seal(messages, scratch);
        self.queue.advance(len);
        if sealed.is_err() {
            // It may have left an alert.
            wire.waiting.bytes = std::mem::take(&mut scratch.sealed);
            return Err(Broken);
        }
        if self.queue.is_empty() && is_closing {
            wire.has_sent_close_notify = true;
            wire.session.send_close_notify(scratch);
        }
        let bytes = std::mem::take(&mut scratch.sealed);
        Ok(Some(Sealed { bytes, written: 0 }))
    }

    /// Answers a peer that has said that it sends nothing more, before its connection is dropped
    /// (RFC 5246 §7.2.1, RFC 8446 §6.1). Where the kernel has no room for it, the
    /// connection ends without.
    pub(super) fn answer_close_notify(&mut self, scratch: &mut Scratch) {
        if let Some(wire) = &mut self.tls {
            scratch.sealed.clear();
            wire.session.send_close_notify(scratch);
            wire.waiting.bytes.extend_from_slice(&scratch.sealed);
        }
    }

    /// What was staged is over.
    ///
    /// # Errors
    /// The kernel's, when the connection is broken.
    pub(super) fn on_written(&mut self, ring: &mut Ring, written: Written) -> Result<(), i32> {
        self.is_staged = false;
        let count = match written.result {
            Ok(count) => count,
            Err(libc::EAGAIN) => 0,
            Err(error) => return Err(error),
        };
        self.is_blocked = count < written.len;
        let Some(mut sealed) = written.sealed else {
            self.queue.advance(count);
            return Ok(());
        };
        sealed.written += count;
        if !self.is_blocked {
            // An idle flow holds no memory for what it once wrote.
            ring.recycle(sealed.bytes);
        } else if let Some(wire) = &mut self.tls {
            wire.put_back(sealed);
        }
        Ok(())
    }

    /// True when bytes wait that should leave before the end.
    pub(super) fn is_writing(&self) -> bool {
        self.is_staged || !self.queue.is_empty() || self.has_sealed()
    }

    /// True when there is something to write that does not wait for the kernel.
    pub(super) fn can_write(&self) -> bool {
        !self.is_blocked && (!self.queue.is_empty() || self.has_sealed())
    }

    fn has_sealed(&self) -> bool {
        let wire = self.tls.as_ref();
        wire.is_some_and(|wire| !wire.waiting.bytes.is_empty())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Wire {
    pub(super) fn new(session: Session, peer: SocketAddr) -> Self {
        Self {
            session,
            peer,
            waiting: Sealed::default(),
            has_sent_close_notify: false,
            is_replaced: false,
        }
    }

    /// Has encrypted bytes leave after those that wait.
    ///
    /// # Errors
    /// When the peer makes us answer without reading the answers.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.waiting.bytes.extend_from_slice(bytes);
        if self.waiting.bytes.len() > limits::STREAM_QUEUE_MAX {
            return Err(Broken);
        }
        Ok(())
    }

    /// Whether the key has come near its end since this was asked last; true once.
    pub(super) fn comes_to_its_end(&mut self) -> bool {
        !self.is_replaced && {
            self.is_replaced = self.session.is_nearly_used_up();
            self.is_replaced
        }
    }

    /// The records that the kernel has not taken.
    pub(super) fn sealed(&self) -> &[u8] {
        let Sealed { bytes, written } = &self.waiting;
        bytes.get(*written..).unwrap_or_default()
    }

    /// Records that are to leave before all others.
    pub(super) fn put_sealed(&mut self, bytes: Vec<u8>) {
        self.waiting = Sealed { bytes, written: 0 };
    }

    /// Bytes that the kernel did not take leave before those that came to wait since.
    fn put_back(&mut self, mut sealed: Sealed) {
        sealed.bytes.extend_from_slice(&self.waiting.bytes);
        self.waiting = sealed;
    }
}
