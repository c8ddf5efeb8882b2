//! Opening connections: from a core port, and from the next one where that leads to the
//! peer already.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use super::super::outgoing;
use super::super::ring::{Receiver, Ring};
use super::connection::{Connection, State};
use super::{Counters, Dial, Streams};
use crate::id::{Slot, StreamId};
use crate::limits;
use crate::time::Instant;

/// What another try to connect needs.
pub(super) struct Dialing {
    pub(super) slot: Slot,
    from: Option<IpAddr>,
    peer: SocketAddr,
    /// Ports that were tried.
    tries: u16,
}

impl Streams {
    /// Opens a connection; `on_connected`, `read` or `take_gone` tells of it later.
    pub(in crate::io) fn connect(
        &mut self,
        ring: &mut Ring,
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
        let (socket, tries) = match self.outgoing.socket(from, peer, 0, counters) {
            Ok(bound) => bound,
            Err(error) => {
                tracing::debug!(%peer, %error, "cannot connect");
                self.gone.push(stream);
                return;
            }
        };
        let connection = Connection::new(socket.into(), State::Connecting(stream), wire);
        if let Some(slot) = self.insert(ring, stream, connection) {
            self.connecting.push_back((now + limits::CONNECT_MAX, slot));
            self.dialing.push(Dialing {
                slot,
                from,
                peer,
                tries,
            });
            if let Some(connection) = self.connections.get(slot) {
                ring.connect(connection.as_fd(), peer, slot);
            }
        }
    }

    /// A connection is up, which the name of the stream tells, or cannot be.
    pub(in crate::io) fn on_connected(
        &mut self,
        into: Receiver<'_>,
        slot: Slot,
        result: Result<usize, i32>,
        counters: &mut Counters,
    ) -> Option<StreamId> {
        let Receiver { ring, room } = into;
        let index = self.dialing.iter().position(|dial| dial.slot == slot)?;
        let mut dial = self.dialing.swap_remove(index);
        let connection = self.connections.get_mut(slot)?;
        let State::Connecting(stream) = connection.state else {
            return None;
        };
        match result {
            Ok(_) if connection.tls.is_some() => {
                connection.state = State::Handshaking(stream);
                connection.is_blocked = false;
                self.receive(Receiver { ring, room }, slot);
                self.begin(ring, slot);
                None
            }
            Ok(_) => {
                connection.state = State::Open(stream);
                connection.is_blocked = false;
                self.receive(Receiver { ring, room }, slot);
                self.flush_later(slot);
                Some(stream)
            }
            Err(error) if outgoing::is_taken(error) && dial.tries <= limits::CORE_PORTS => {
                // That port leads there already: another one may not.
                let tries = dial.tries;
                match self.outgoing.socket(dial.from, dial.peer, tries, counters) {
                    Ok((socket, tries)) => {
                        let last = std::mem::replace(&mut connection.socket, socket.into());
                        ring.close(last);
                        ring.connect(connection.as_fd(), dial.peer, slot);
                        dial.tries = tries;
                        self.dialing.push(dial);
                    }
                    Err(_) => self.fail(ring, slot),
                }
                None
            }
            Err(_) => {
                self.fail(ring, slot);
                None
            }
        }
    }
}
