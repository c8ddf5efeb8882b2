//! How connections end: closed by the core once their queue is empty, left by their peer,
//! or too slow.

use std::collections::VecDeque;
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, recv};

use super::super::completion_id;
use super::super::ring::Ring;
use super::connection::{Connection, State};
use super::{Counters, Streams};
use crate::id::{Slot, StreamId};
use crate::limits;
use crate::time::Instant;

impl Streams {
    /// Closes a stream once its queue is empty.
    pub(in crate::io) fn close(&mut self, ring: &mut Ring, now: Instant, stream: StreamId) {
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
        if never_opened {
            return self.end(ring, slot);
        }
        connection.state = State::Closing;
        // C-14: over TLS the peer is told, if there is room for it.
        if connection.tls.is_some() || connection.is_writing() {
            self.closing.push_back((now + limits::USER_TIMEOUT, slot));
            self.flush_later(slot);
        } else {
            self.end(ring, slot);
        }
    }

    /// Ends what took too long: connections not up, closed ones not drained.
    pub(in crate::io) fn expire(&mut self, ring: &mut Ring, now: Instant, counters: &mut Counters) {
        while let Some(slot) = due(&mut self.connecting, now) {
            if let Some(State::Connecting(_) | State::Handshaking(_)) = self.state(slot) {
                self.fail(ring, slot);
            }
        }
        while let Some(slot) = due(&mut self.handshakes, now) {
            if self.state(slot) == Some(State::Accepting) {
                counters.tls_failed += 1;
                self.fail(ring, slot);
            }
        }
        while let Some(slot) = due(&mut self.closing, now) {
            self.fail(ring, slot);
        }
    }

    /// Drops a connection whose peer is gone.
    pub(super) fn left(&mut self, ring: &mut Ring, slot: Slot, counters: &mut Counters) {
        counters.tls_abandoned += u64::from(self.is_handshaking(slot));
        // It may read on: what it said before is answered.
        self.say_last(ring, slot);
        self.fail(ring, slot);
    }

    /// Stages what waits on a connection that is about to be dropped, as far as the kernel
    /// takes it.
    pub(super) fn say_last(&mut self, ring: &mut Ring, slot: Slot) {
        if let Some(connection) = self.connections.get_mut(slot)
            && connection.stage(ring, slot, &mut self.scratch).is_err()
        {
            tracing::debug!("a connection is closed without its last words");
        }
    }

    /// The peer sends nothing more. What it said last was heard, and is answered first.
    pub(super) fn peer_ended(&mut self, slot: Slot) {
        if let Some(connection) = self.connections.get_mut(slot)
            && !std::mem::replace(&mut connection.has_ended, true)
        {
            self.ended.push(slot);
        }
    }

    /// Drops a connection, and remembers to tell the core if it had a name.
    pub(super) fn fail(&mut self, ring: &mut Ring, slot: Slot) {
        let Some(connection) = self.connections.remove(slot) else {
            return;
        };
        match connection.state {
            State::Connecting(stream) | State::Handshaking(stream) | State::Open(stream) => {
                self.forget(stream);
                self.gone.push(stream);
            }
            State::Accepting => {
                let peer = connection.tls.as_ref().map(|wire| wire.peer.ip());
                self.note_handshake_done(peer);
            }
            State::Closing => {}
        }
        self.hang_up(ring, slot, connection);
    }

    /// Drops a connection that the core has closed, and that has nothing left to write.
    pub(super) fn end(&mut self, ring: &mut Ring, slot: Slot) {
        if let Some(connection) = self.connections.remove(slot) {
            // Unread bytes would turn the FIN into a RST, which may overtake what
            // was just written. What one read does not find is not waited for.
            let (fd, mut unread) = (connection.socket.as_raw_fd(), [0; 4_096]);
            for _ in 0..limits::LAST_READS_MAX {
                let read = recv(fd, &mut unread, MsgFlags::MSG_DONTWAIT);
                if !read.is_ok_and(|it| it == unread.len()) {
                    break;
                }
            }
            self.hang_up(ring, slot, connection);
        }
    }

    /// Ends all that the ring does with a socket, and closes it.
    fn hang_up(&mut self, ring: &mut Ring, slot: Slot, connection: Connection) {
        if let State::Connecting(_) = connection.state {
            ring.cancel(completion_id::connected(slot));
            self.dialing.retain(|dial| dial.slot != slot);
        }
        ring.close(connection.socket);
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
