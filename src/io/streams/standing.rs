//! Connections while their shard stands still, and in the process that goes on with them.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use super::super::completion_id;
use super::super::legacy::{StreamLeft, TlsLeft};
use super::super::ring::{Receiver, Ring};
use super::super::tls::Session;
use super::Streams;
use super::connection::{Connection, State, Wire};
use crate::bytes::Pool;
use crate::id::Slot;

impl Streams {
    /// True while a connection is being opened, or in its handshake: nobody could go on with it.
    pub(in crate::io) fn is_settling(&self) -> bool {
        let mut opening = self.connecting.iter();
        let is_opening = |slot| {
            let state = self.state(slot);
            matches!(state, Some(State::Connecting(_) | State::Handshaking(_)))
        };
        self.handshaking > 0 || opening.any(|(_, slot)| is_opening(*slot))
    }

    /// Drops the connections that are not up.
    pub(in crate::io) fn drop_unsettled(&mut self, ring: &mut Ring) {
        let all = self.connections.iter();
        let slots: Vec<Slot> = all
            .filter(|(_, it)| !matches!(it.state, State::Open(_) | State::Closing))
            .map(|(slot, _)| slot)
            .collect();
        for slot in slots {
            self.fail(ring, slot);
        }
    }

    /// Has the ring end what it receives; each says so.
    pub(in crate::io) fn end_receiving(&self, ring: &mut Ring) {
        let receiving = self.connections.iter().filter(|(_, it)| it.is_receiving);
        receiving.for_each(|(slot, _)| ring.cancel(completion_id::stream(slot)));
    }

    /// True when the ring has nothing to do with any of them.
    pub(in crate::io) fn stand_still(&self) -> bool {
        self.connections
            .iter()
            .all(|(_, it)| !it.is_receiving && !it.is_staged && !it.is_unflushed)
            && self.ended.is_empty()
    }

    /// The ring receives from it no more.
    pub(in crate::io) fn on_cancelled(&mut self, slot: Slot) {
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.is_receiving = false;
        }
    }

    /// What another process needs to go on with those that are up. Nothing may go over them any
    /// more, until `take_back`.
    pub(in crate::io) fn write(&mut self) -> (Vec<StreamLeft>, Vec<RawFd>) {
        let (mut left, mut sockets) = (Vec::new(), Vec::new());
        let all: Vec<Slot> = self.connections.iter().map(|(slot, _)| slot).collect();
        for slot in all {
            let Some(connection) = self.connections.get_mut(slot) else {
                continue;
            };
            let State::Open(stream) = connection.state else {
                continue;
            };
            let unsent: Vec<&[u8]> = connection.queue.slices().collect();
            let unsent = unsent.concat();
            let tls = match &mut connection.tls {
                None => None,
                Some(wire) => match wire.write() {
                    Some(tls) => Some(tls),
                    // Its session has failed, and it ends with this process.
                    None => continue,
                },
            };
            left.push(StreamLeft {
                stream,
                unsent,
                has_ended: connection.has_ended,
                tls,
            });
            sockets.push(connection.socket.as_raw_fd());
        }
        (left, sockets)
    }

    /// Goes on with all of them: no other process does.
    pub(in crate::io) fn take_back(&mut self, into: Receiver<'_>) {
        let Receiver { ring, room } = into;
        let all: Vec<Slot> = self.connections.iter().map(|(slot, _)| slot).collect();
        for slot in all {
            if let Some(connection) = self.connections.get_mut(slot)
                && let Some(wire) = &mut connection.tls
            {
                wire.session.take_back();
            }
            self.begin_again(Receiver { ring, room }, slot);
        }
    }

    /// Takes in a connection of the process before.
    ///
    /// # Errors
    /// When its session cannot be read.
    pub(in crate::io) fn take_up(
        &mut self,
        into: Receiver<'_>,
        pool: &Pool,
        left: StreamLeft,
        socket: OwnedFd,
    ) -> Result<(), steadfast_record::BadState> {
        let Receiver { ring, room } = into;
        let StreamLeft {
            stream,
            unsent,
            has_ended,
            tls,
        } = left;
        let wire = tls.map(Wire::read).transpose()?;
        let mut connection = Connection::new(socket, State::Open(stream), wire.map(Box::new));
        if connection.queue.push(pool.copy(&unsent)).is_err() {
            tracing::debug!("a connection has more to send than it may");
        }
        if let Some(slot) = self.insert(ring, stream, connection) {
            self.begin_again(Receiver { ring, room }, slot);
            if has_ended {
                self.peer_ended(slot);
            }
        }
        Ok(())
    }

    fn begin_again(&mut self, into: Receiver<'_>, slot: Slot) {
        let Receiver { ring, room } = into;
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        if connection.is_blocked {
            ring.poll_writable(connection.as_fd(), completion_id::writable(slot));
        } else if connection.is_writing() {
            self.flush_later(slot);
        }
        let connection = self.connections.get(slot);
        if connection.is_some_and(|it| !it.has_ended) {
            self.receive(Receiver { ring, room }, slot);
        }
    }
}

impl Wire {
    fn write(&mut self) -> Option<TlsLeft> {
        let sealed = self.sealed().to_vec();
        let peer = self.peer;
        let (session, held) = self.session.write()?;
        Some(TlsLeft {
            peer,
            session: session.to_vec(),
            held: held.to_vec(),
            sealed,
        })
    }

    fn read(left: TlsLeft) -> Result<Self, steadfast_record::BadState> {
        let TlsLeft {
            peer,
            session,
            held,
            sealed,
        } = left;
        let mut wire = Self::new(Session::read(&session, held)?, peer);
        wire.put_sealed(sealed);
        Ok(wire)
    }
}
