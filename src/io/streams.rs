//! The connections of a shard, over TCP and TLS, with what waits to leave
//! through them.
//!
//! A connection outlives the name the core gave it: after a close it stays
//! until its queue is empty, while the core may already use the same slot for
//! another stream. Hence the connections have slots of their own.

mod connection;
mod handshake;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::readiness::{Readiness, Ready};
use super::tls::{Scratch, Tls};
use super::{Counters, Outgoing, token};
use crate::bytes::Buf;
use crate::id::{Slab, Slot, StreamId};
use crate::limits;
use crate::time::Instant;

use connection::{Connection, State};
use handshake::Complaints;

/// All connections of a shard.
pub(super) struct Streams {
    outgoing: Outgoing,
    connections: Slab<Connection>,
    /// The connection of each stream, by the stream's index; the generation
    /// is the stream's.
    named: Vec<Option<(u32, Slot)>>,
    unflushed: Vec<Slot>,
    /// All three in order of time.
    connecting: VecDeque<(Instant, Slot)>,
    handshakes: VecDeque<(Instant, Slot)>,
    closing: VecDeque<(Instant, Slot)>,
    gone: Vec<StreamId>,
    /// Connections whose peer sends nothing more.
    ended: Vec<Slot>,
    /// Accepted connections in their TLS handshake.
    handshaking: usize,
    /// Where those came from whose handshake is over.
    handshakes_done: Vec<IpAddr>,
    tls: Option<Arc<Tls>>,
    scratch: Scratch,
    /// Of the handshake completed last.
    identities: Vec<Box<str>>,
    complaints: Complaints,
}

/// A connection to be opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial<'a> {
    /// The name that the core gave it.
    pub(super) stream: StreamId,
    /// The address of ours that it leaves from; `None`: the kernel's choice.
    pub(super) from: Option<IpAddr>,
    pub(super) peer: SocketAddr,
    /// Over TLS, whose certificate is to prove this name.
    pub(super) tls: Option<&'a str>,
}

/// What reading a connection brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// That many bytes of the stream, in the buffer.
    Clear(StreamId, usize),
    /// Bytes of the stream, in `Streams::plain`.
    Sealed(StreamId),
    /// The stream asked for is up over TLS, the peer is who `identities` says;
    /// perhaps with first bytes in `plain`.
    Up(StreamId),
    /// An accepted connection is up over TLS, from this address, and wants a
    /// name; otherwise as `Up`.
    Greeted(Slot, SocketAddr),
}

impl Streams {
    pub(super) fn new(outgoing: Outgoing) -> Self {
        Self {
            outgoing,
            // As many may be closing as are open.
            connections: Slab::new(2 * limits::STREAMS_MAX),
            named: Vec::new(),
            unflushed: Vec::new(),
            connecting: VecDeque::new(),
            handshakes: VecDeque::new(),
            closing: VecDeque::new(),
            gone: Vec::new(),
            ended: Vec::new(),
            handshaking: 0,
            handshakes_done: Vec::new(),
            tls: None,
            scratch: Scratch::default(),
            identities: Vec::new(),
            complaints: Complaints::default(),
        }
    }

    /// Takes in a connection that was accepted as `stream`.
    pub(super) fn accept(&mut self, readiness: &Readiness, stream: StreamId, socket: TcpStream) {
        self.insert(
            readiness,
            stream,
            Connection::new(socket, State::Open(stream), None),
            Ready::READ,
        );
    }

    /// Opens a connection; `writable`, `read` or `take_gone` tells of it later.
    pub(super) fn connect(
        &mut self,
        readiness: &Readiness,
        now: Instant,
        dial: Dial<'_>,
        counters: &mut Counters,
    ) {
        let Dial {
            stream,
            from,
            peer,
            tls,
        } = dial;
        let wire = match tls.map(|name| self.wire(name, peer)).transpose() {
            Ok(wire) => wire,
            Err(why) => {
                tracing::warn!(%peer, why, "cannot connect over TLS");
                self.gone.push(stream);
                return;
            }
        };
        counters.tcp_connects += 1;
        match self.outgoing.connect(from, peer, counters) {
            Ok(socket) => {
                let connection = Connection::new(socket, State::Connecting(stream), wire);
                if let Some(slot) = self.insert(readiness, stream, connection, Ready::READ_WRITE) {
                    self.connecting.push_back((now + limits::CONNECT_MAX, slot));
                }
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "cannot connect");
                self.gone.push(stream);
            }
        }
    }

    /// Adds a message to a stream; it leaves with the next flush. For a stream
    /// that is gone this does nothing: its `Closed` is on the way.
    pub(super) fn push(
        &mut self,
        readiness: &Readiness,
        stream: StreamId,
        bytes: Buf,
        counters: &mut Counters,
    ) {
        let Some(slot) = self.slot(stream) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        if connection.queue.push(bytes).is_err() {
            counters.tcp_overflows += 1;
            return self.fail(slot);
        }
        if !connection.is_unflushed && !connection.is_blocked {
            connection.is_unflushed = true;
            self.unflushed.push(slot);
        }
        // A burst of messages must not overflow a queue that could drain.
        if self.unflushed.len() >= limits::EVENTS_MAX || self.is_long(slot) {
            self.flush(readiness);
        }
    }

    /// Closes a stream once its queue is empty.
    pub(super) fn close(&mut self, now: Instant, stream: StreamId) {
        let Some(slot) = self.slot(stream) else {
            return;
        };
        self.forget(stream);
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let never_opened = matches!(
            connection.state,
            State::Connecting(_) | State::Handshaking(_)
        );
        let mut is_done = connection.queue.is_empty() || never_opened;
        connection.state = State::Closing;
        if connection.tls.is_some() && !never_opened && !connection.is_blocked {
            // C-14: the peer is told, if there is room for it now.
            is_done = connection.write(&mut self.scratch).unwrap_or(true);
        }
        if is_done {
            self.finish(slot);
        } else {
            self.closing.push_back((now + limits::USER_TIMEOUT, slot));
        }
    }

    /// Writes what waits on every stream that has anything new.
    pub(super) fn flush(&mut self, readiness: &Readiness) {
        while let Some(slot) = self.unflushed.pop() {
            if let Some(connection) = self.connections.get_mut(slot) {
                connection.is_unflushed = false;
                self.write(readiness, slot);
            }
        }
        // What they said last was heard, and answered, before.
        while let Some(slot) = self.ended.pop() {
            if let Some(connection) = self.connections.get_mut(slot) {
                connection.answer_goodbye(&mut self.scratch);
            }
            self.fail(slot);
        }
    }

    /// Goes on with a connection that became writable. `Some` when that means
    /// that a stream asked for is up: its name and its local address.
    pub(super) fn writable(
        &mut self,
        readiness: &Readiness,
        slot: Slot,
    ) -> Option<(StreamId, SocketAddr)> {
        let connection = self.connections.get_mut(slot)?;
        let mut connected = None;
        if let State::Connecting(stream) = connection.state {
            match (
                connection.socket.take_error(),
                connection.socket.local_addr(),
            ) {
                (Ok(None), Ok(_)) if connection.tls.is_some() => {
                    connection.state = State::Handshaking(stream);
                    self.begin(readiness, slot);
                    return None;
                }
                (Ok(None), Ok(local)) => {
                    connection.state = State::Open(stream);
                    connected = Some((stream, local));
                }
                (Ok(Some(_)) | Err(_), _) | (_, Err(_)) => {
                    self.fail(slot);
                    return None;
                }
            }
        }
        self.write(readiness, slot);
        connected
    }

    /// Reads once; `None` when there is nothing for the core.
    pub(super) fn read(
        &mut self,
        readiness: &Readiness,
        now: Instant,
        slot: Slot,
        buffer: &mut [u8],
        counters: &mut Counters,
    ) -> Option<Came> {
        let connection = self.connections.get_mut(slot)?;
        match connection.socket.read(buffer) {
            Ok(0) => self.left(slot, counters),
            Ok(read) => {
                counters.tcp_received += read as u64;
                if connection.tls.is_some() {
                    let bytes = buffer.get_mut(..read).unwrap_or_default();
                    return self.unseal(readiness, now, slot, bytes, counters);
                }
                if let State::Open(stream) = connection.state {
                    return Some(Came::Clear(stream, read));
                }
            }
            Err(error) => {
                let is_for_later = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
                if !is_for_later.contains(&error.kind()) {
                    self.left(slot, counters);
                }
            }
        }
        None
    }

    /// Ends what took too long: connections not up, closed ones not drained.
    pub(super) fn expire(&mut self, now: Instant, counters: &mut Counters) {
        while let Some(slot) = due(&mut self.connecting, now) {
            if let Some(State::Connecting(_) | State::Handshaking(_)) = self.state(slot) {
                self.fail(slot);
            }
        }
        while let Some(slot) = due(&mut self.handshakes, now) {
            if self.state(slot) == Some(State::Accepting) {
                counters.tls_failed += 1;
                self.fail(slot);
            }
        }
        while let Some(slot) = due(&mut self.closing, now) {
            self.fail(slot);
        }
    }

    /// When `expire` has something to do at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let fronts = [&self.connecting, &self.handshakes, &self.closing].map(VecDeque::front);
        fronts.into_iter().flatten().map(|&(when, _)| when).min()
    }

    /// A stream that ended without being told to, if there is one left.
    pub(super) fn take_gone(&mut self) -> Option<StreamId> {
        self.gone.pop()
    }

    /// Number of connections, those that are closing included.
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    /// True when bytes wait on any of them.
    pub(super) fn is_writing(&self) -> bool {
        self.connections
            .iter()
            .any(|(_, connection)| connection.is_writing())
    }

    fn insert(
        &mut self,
        readiness: &Readiness,
        stream: StreamId,
        connection: Connection,
        interest: Ready,
    ) -> Option<Slot> {
        let slot = self.watch(readiness, connection, interest);
        match slot {
            Some(slot) => self.call(stream, slot),
            None => self.gone.push(stream),
        }
        slot
    }

    /// Has the core's name for a stream mean a connection.
    fn call(&mut self, stream: StreamId, slot: Slot) {
        let index = stream.place();
        if self.named.len() <= index {
            self.named.resize(index + 1, None);
        }
        self.named[index] = Some((stream.0.generation, slot));
    }

    fn watch(
        &mut self,
        readiness: &Readiness,
        connection: Connection,
        interest: Ready,
    ) -> Option<Slot> {
        let slot = self.connections.insert(connection).ok()?;
        let connection = self.connections.get(slot)?;
        let watched = readiness.add(connection.socket.as_fd(), token::stream(slot), interest);
        if let Err(error) = watched {
            tracing::warn!(%error, "cannot watch a connection");
            self.connections.remove(slot);
            return None;
        }
        Some(slot)
    }

    fn state(&self, slot: Slot) -> Option<State> {
        self.connections
            .get(slot)
            .map(|connection| connection.state)
    }

    fn write(&mut self, readiness: &Readiness, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Ok(is_done) = connection.write(&mut self.scratch) else {
            return self.fail(slot);
        };
        if connection.is_blocked == is_done {
            connection.is_blocked = !is_done;
            let (fd, interest) = (connection.socket.as_fd(), connection.interest());
            if readiness.change(fd, token::stream(slot), interest).is_err() {
                return self.fail(slot);
            }
        }
        if is_done && connection.state == State::Closing {
            self.finish(slot);
        }
    }

    fn is_long(&self, slot: Slot) -> bool {
        let waiting = self
            .connections
            .get(slot)
            .map(|connection| connection.queue.len());
        waiting.is_some_and(|waiting| waiting > limits::STREAM_QUEUE_MAX / 2)
    }

    fn slot(&self, stream: StreamId) -> Option<Slot> {
        let &(generation, slot) = self.named.get(stream.place())?.as_ref()?;
        (generation == stream.0.generation).then_some(slot)
    }

    fn forget(&mut self, stream: StreamId) {
        if self.slot(stream).is_some() {
            self.named[stream.place()] = None;
        }
    }

    /// Drops a connection whose peer is gone.
    fn left(&mut self, slot: Slot, counters: &mut Counters) {
        counters.tls_abandoned += u64::from(self.is_handshaking(slot));
        self.fail(slot);
    }

    /// Drops a connection, and remembers to tell the core if it had a name.
    fn fail(&mut self, slot: Slot) {
        let Some(connection) = self.connections.remove(slot) else {
            return;
        };
        match connection.state {
            State::Connecting(stream) | State::Handshaking(stream) | State::Open(stream) => {
                self.forget(stream);
                self.gone.push(stream);
            }
            State::Accepting => self.has_handshakes_done(connection.tls.as_deref()),
            State::Closing => {}
        }
    }

    /// Drops a connection that has nothing left to write.
    fn finish(&mut self, slot: Slot) {
        let Some(mut connection) = self.connections.remove(slot) else {
            return;
        };
        // Unread bytes would turn the FIN into a RST, which may overtake what
        // was just written. What one read does not find is not waited for.
        let mut unread = [0; 4_096];
        while connection
            .socket
            .read(&mut unread)
            .is_ok_and(|read| read == unread.len())
        {}
    }
}

/// Takes the first entry out if its time has come.
fn due(queue: &mut VecDeque<(Instant, Slot)>, now: Instant) -> Option<Slot> {
    let &(when, slot) = queue.front()?;
    if when > now {
        return None;
    }
    queue.pop_front();
    Some(slot)
}

#[cfg(test)]
mod tests;
