//! The connections of a shard, over TCP and TLS, with what waits to leave
//! through them.
//!
//! A connection outlives the name the core gave it: after a close it stays
//! until its queue is empty, while the core may already use the same slot for
//! another stream. Hence the connections have slots of their own.

mod connection;
mod ending;
mod handshake;
mod opening;
mod standing;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::ring::{Completion, Receiver, Ring};
use super::tls::{Scratch, Tls};
use super::{Counters, Outgoing, completion_id};
use crate::bytes::Buf;
use crate::id::{Slab, Slot, StreamId};
use crate::limits;
use crate::time::Instant;

use connection::{Broken, Connection, Staged, State};
use handshake::Complaints;
use opening::Dialing;

/// All connections of a shard.
pub(super) struct Streams {
    outgoing: Outgoing,
    connections: Slab<Connection>,
    /// The connection of each stream, by the stream's index; the generation
    /// is the stream's.
    named: Vec<Option<(u32, Slot)>>,
    unflushed: Vec<Slot>,
    /// Connections on their way up, with what another try needs.
    dialing: Vec<Dialing>,
    /// Something is to be done as soon as what is staged is written.
    is_in_a_hurry: bool,
    /// By when a connection has to be up, in order of time.
    connecting: VecDeque<(Instant, Slot)>,
    /// By when its handshake has to be done, in order of time.
    handshakes: VecDeque<(Instant, Slot)>,
    /// By when its peer has to close it, too, in order of time.
    closing: VecDeque<(Instant, Slot)>,
    gone: Vec<StreamId>,
    /// Streams whose keys come to their end.
    used_up: Vec<StreamId>,
    /// Connections whose peer sends nothing more.
    ended: Vec<Slot>,
    /// Accepted connections in their TLS handshake.
    handshaking: usize,
    /// Those of them that have sent something, in the order in which it came.
    ready: VecDeque<Slot>,
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
            dialing: Vec::new(),
            is_in_a_hurry: false,
            connecting: VecDeque::new(),
            handshakes: VecDeque::new(),
            closing: VecDeque::new(),
            gone: Vec::new(),
            used_up: Vec::new(),
            ended: Vec::new(),
            handshaking: 0,
            ready: VecDeque::new(),
            handshakes_done: Vec::new(),
            tls: None,
            scratch: Scratch::default(),
            identities: Vec::new(),
            complaints: Complaints::default(),
        }
    }

    /// Takes in a connection that was accepted as `stream`.
    pub(super) fn accept(&mut self, into: Receiver<'_>, stream: StreamId, socket: OwnedFd) {
        let Receiver { ring, room } = into;
        let connection = Connection::new(socket, State::Open(stream), None);
        if let Some(slot) = self.insert(ring, stream, connection) {
            self.receive(Receiver { ring, room }, slot);
        }
    }

    /// Adds a message to a stream; it leaves with the next flush. For a stream
    /// that is gone this does nothing: its `Closed` is on the way.
    pub(super) fn push(
        &mut self,
        ring: &mut Ring,
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
            return self.fail(ring, slot);
        }
        let is_long = connection.queue.len() > limits::STREAM_QUEUE_MAX / 2;
        let could_drain = is_long && !connection.is_blocked;
        self.flush_later(slot);
        if could_drain {
            // A burst of messages must not overflow a queue that could drain.
            self.flush(ring);
            ring.submit();
            self.on_written(ring);
        }
    }

    /// Stages what waits on every stream that has anything new.
    pub(super) fn flush(&mut self, ring: &mut Ring) {
        while let Some(slot) = self.unflushed.pop() {
            let Some(connection) = self.connections.get_mut(slot) else {
                continue;
            };
            connection.is_unflushed = false;
            let staged = connection.stage(ring, slot, &mut self.scratch);
            if let (State::Open(stream), Some(wire)) = (connection.state, &mut connection.tls)
                && wire.comes_to_its_end()
            {
                self.used_up.push(stream);
            }
            match staged {
                Ok(Staged::All) => self.is_in_a_hurry |= connection.state == State::Closing,
                Ok(Staged::Part) => self.is_in_a_hurry = true,
                Ok(Staged::Nothing) if connection.state == State::Closing => self.end(ring, slot),
                Ok(Staged::Nothing) => {}
                Err(Broken) => {
                    self.say_last(ring, slot);
                    self.fail(ring, slot);
                }
            }
        }
        self.is_in_a_hurry |= !self.ended.is_empty();
    }

    /// True when the shard is not to wait after the next enter: something more is to be
    /// written or closed then.
    pub(super) fn is_in_a_hurry(&self) -> bool {
        self.is_in_a_hurry || !self.ready.is_empty()
    }

    /// Takes in what came of the writes of the last enter.
    pub(super) fn on_written(&mut self, ring: &mut Ring) {
        self.is_in_a_hurry = false;
        while let Some(written) = ring.take_written() {
            let slot = written.slot;
            let Some(connection) = self.connections.get_mut(slot) else {
                continue;
            };
            if connection.on_written(ring, written).is_err() {
                self.fail(ring, slot);
                continue;
            }
            if connection.is_blocked {
                ring.poll_writable(connection.as_fd(), completion_id::writable(slot));
            } else if connection.can_write() || connection.state == State::Closing {
                self.flush_later(slot);
            }
        }
        // What they said last was heard, and answered, before.
        for slot in std::mem::take(&mut self.ended) {
            let connection = self.connections.get(slot);
            if connection.is_some_and(|it| it.is_staged || it.can_write()) {
                self.ended.push(slot);
            } else {
                if let Some(connection) = self.connections.get_mut(slot) {
                    connection.answer_close_notify(&mut self.scratch);
                }
                self.say_last(ring, slot);
                self.fail(ring, slot);
            }
        }
    }

    /// Goes on with a connection that takes bytes again.
    pub(super) fn on_writable(&mut self, slot: Slot) {
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.is_blocked = false;
            self.flush_later(slot);
        }
    }

    /// A connection in its handshake has sent something: it waits for its turn.
    pub(super) fn on_readable(&mut self, slot: Slot) {
        if self.is_handshaking(slot) {
            self.ready.push_back(slot);
        }
    }

    /// Reads from the next of the handshakes that have sent something. False: none has.
    pub(super) fn next_handshake(&mut self, into: Receiver<'_>) -> bool {
        let Receiver { ring, room } = into;
        let Some(slot) = self.ready.pop_front() else {
            return false;
        };
        if let Some(connection) = self.connections.get(slot) {
            ring.receive_once(connection.as_fd(), slot, room);
        }
        true
    }

    /// Takes in what was received, or why nothing was; `None` when there is nothing for
    /// the core.
    pub(super) fn read(
        &mut self,
        ring: &mut Ring,
        now: Instant,
        slot: Slot,
        completion: &Completion,
        bytes: &mut [u8],
        counters: &mut Counters,
    ) -> Option<Came> {
        let connection = self.connections.get_mut(slot)?;
        connection.is_receiving = completion.goes_on;
        match completion.result {
            Ok(0) => match connection.state {
                State::Open(_) => self.peer_ended(slot),
                State::Connecting(_)
                | State::Handshaking(_)
                | State::Accepting
                | State::Closing => self.left(ring, slot, counters),
            },
            Ok(read) => {
                counters.tcp_received += read as u64;
                if connection.tls.is_some() {
                    return self.unseal(ring, now, slot, bytes, counters);
                }
                if let State::Open(stream) = connection.state {
                    return Some(Came::Clear(stream, read));
                }
            }
            Err(libc::ENOBUFS) => counters.buffers_exhausted += 1,
            Err(libc::EINTR | libc::EAGAIN) => {}
            Err(_) => self.left(ring, slot, counters),
        }
        None
    }

    /// Goes on receiving from a connection, where that has ended.
    pub(super) fn go_on(&mut self, into: Receiver<'_>, slot: Slot) {
        let Receiver { ring, room } = into;
        match self.connections.get(slot) {
            Some(connection) if connection.state == State::Accepting => {
                ring.poll_readable(connection.as_fd(), completion_id::readable(slot));
            }
            Some(connection) if !connection.has_ended => {
                self.receive(Receiver { ring, room }, slot)
            }
            Some(_) | None => {}
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

    /// A stream that is to be replaced before its keys have sealed all that they may, if there is
    /// one left.
    pub(super) fn take_used_up(&mut self) -> Option<StreamId> {
        self.used_up.pop()
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
        ring: &mut Ring,
        stream: StreamId,
        connection: Connection,
    ) -> Option<Slot> {
        let slot = self.keep(ring, connection);
        match slot {
            Some(slot) => self.bind_name(stream, slot),
            None => self.gone.push(stream),
        }
        slot
    }

    /// Has the core's name for a stream mean a connection.
    fn bind_name(&mut self, stream: StreamId, slot: Slot) {
        let index = stream.index();
        if self.named.len() <= index {
            self.named.resize(index + 1, None);
        }
        self.named[index] = Some((stream.0.generation, slot));
    }

    /// Gives a connection a slot, or closes it where none is left.
    fn keep(&mut self, ring: &mut Ring, connection: Connection) -> Option<Slot> {
        match self.connections.insert(connection) {
            Ok(slot) => Some(slot),
            Err(connection) => {
                ring.close(connection.socket);
                None
            }
        }
    }

    /// Has the ring receive from a connection, unless it does.
    fn receive(&mut self, into: Receiver<'_>, slot: Slot) {
        let Receiver { ring, room } = into;
        if let Some(connection) = self.connections.get_mut(slot)
            && !std::mem::replace(&mut connection.is_receiving, true)
        {
            ring.receive(connection.as_fd(), slot, room);
        }
    }

    /// The next flush has something to do for a connection.
    fn flush_later(&mut self, slot: Slot) {
        if let Some(connection) = self.connections.get_mut(slot)
            && !connection.is_blocked
            && !std::mem::replace(&mut connection.is_unflushed, true)
        {
            self.unflushed.push(slot);
        }
    }

    fn state(&self, slot: Slot) -> Option<State> {
        self.connections
            .get(slot)
            .map(|connection| connection.state)
    }

    fn slot(&self, stream: StreamId) -> Option<Slot> {
        let &(generation, slot) = self.named.get(stream.index())?.as_ref()?;
        (generation == stream.0.generation).then_some(slot)
    }

    fn forget(&mut self, stream: StreamId) {
        if self.slot(stream).is_some() {
            self.named[stream.index()] = None;
        }
    }
}

#[cfg(test)]
mod tests;
