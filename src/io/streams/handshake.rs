//! Streams over TLS: from the connection to the peer that has proven who it
//! is, and from its records to the bytes of messages.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::super::ring::{Receiver, Ring};
use super::super::tls::{self, Progress, Tls};
use super::connection::{Connection, State, Wire};
use super::{Came, Counters, Streams};
use crate::id::{Slot, StreamId};
use crate::limits;
use crate::time::{Duration, Instant};

/// Bounds what the log takes of connections that fail: anybody can make one.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    since: Option<Instant>,
    count: u32,
}

impl Complaints {
    fn may_speak(&mut self, now: Instant) -> bool {
        let is_over = |since: Instant| now.since(since) >= Duration::from_secs(1);
        if self.since.is_none_or(is_over) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
        self.count <= limits::COMPLAINTS_PER_SECOND_MAX
    }
}

impl Streams {
    /// New connections use these certificates; those that are up keep theirs.
    pub(in crate::io) fn set_tls(&mut self, tls: Option<Arc<Tls>>) {
        self.tls = tls;
    }

    /// Takes in a connection that was accepted for TLS. The core hears of it
    /// once its handshake is complete.
    pub(in crate::io) fn accept_tls(
        &mut self,
        into: Receiver<'_>,
        now: Instant,
        socket: OwnedFd,
        peer: SocketAddr,
        counters: &mut Counters,
    ) {
        let Receiver { ring, room } = into;
        let session = self.tls.as_ref().map(|tls| tls.accept(peer.ip()));
        let most = limits::HANDSHAKES_MAX + limits::HANDSHAKES_OF_PEERS_MAX;
        let Some(Ok(session)) = session.filter(|_| self.handshaking < most) else {
            ring.close(socket);
            counters.tls_refused += 1;
            self.handshakes_done.push(peer.ip());
            return;
        };
        let wire = Box::new(Wire::new(session, peer));
        let connection = Connection::new(socket, State::Accepting, Some(wire));
        if let Some(slot) = self.keep(ring, connection) {
            self.handshaking += 1;
            self.handshakes
                .push_back((now + limits::HANDSHAKE_MAX, slot));
            self.go_on(Receiver { ring, room }, slot);
        } else {
            self.handshakes_done.push(peer.ip());
        }
    }

    /// A handshake is over, well or not.
    pub(super) fn note_handshake_done(&mut self, peer: Option<IpAddr>) {
        self.handshaking -= 1;
        self.handshakes_done.extend(peer);
    }

    /// Where a connection came from whose handshake is over, if there is one
    /// left to tell of.
    pub(in crate::io) fn take_handshakes_done(&mut self) -> Option<IpAddr> {
        self.handshakes_done.pop()
    }

    /// The TLS half of a connection that is to be opened.
    pub(super) fn wire(&self, name: &str, peer: SocketAddr) -> Result<Box<Wire>, String> {
        let Some(tls) = &self.tls else {
            return Err("there is no [tls] to do it with".to_owned());
        };
        let session = tls.connect(name).map_err(|error| tls::reason(&error))?;
        Ok(Box::new(Wire::new(session, peer)))
    }

    /// The connection is up: the first bytes of the handshake leave.
    pub(super) fn begin(&mut self, ring: &mut Ring, slot: Slot) {
        self.scratch.sealed.clear();
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Some(wire) = &mut connection.tls else {
            return;
        };
        let begun = wire.session.begin(&mut self.scratch);
        let sent = wire.send(&self.scratch.sealed);
        if begun.is_err() || sent.is_err() {
            return self.fail(ring, slot);
        }
        self.flush_later(slot);
    }

    /// Gives a connection whose handshake is done the name that the core has for it.
    pub(in crate::io) fn name(&mut self, slot: Slot, stream: StreamId) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.state = State::Open(stream);
        let peer = connection.tls.as_ref().map(|wire| wire.peer.ip());
        self.note_handshake_done(peer);
        self.bind_name(stream, slot);
    }

    /// Whether an accepted connection is in its handshake.
    pub(in crate::io) fn is_handshaking(&self, slot: Slot) -> bool {
        self.state(slot) == Some(State::Accepting)
    }

    /// Closes a connection whose handshake is done that the core has no room for.
    pub(in crate::io) fn refuse(&mut self, ring: &mut Ring, slot: Slot) {
        self.fail(ring, slot);
    }

    /// What the last read decrypted.
    pub(in crate::io) fn plain(&self) -> &[u8] {
        &self.scratch.plain
    }

    /// Whom the peer of the handshake that was just completed has proven to be.
    pub(in crate::io) fn identities(&self) -> &[Box<str>] {
        &self.identities
    }

    /// Takes in records.
    pub(super) fn unseal(
        &mut self,
        ring: &mut Ring,
        now: Instant,
        slot: Slot,
        bytes: &mut [u8],
        counters: &mut Counters,
    ) -> Option<Came> {
        self.scratch.plain.clear();
        self.scratch.sealed.clear();
        let connection = self.connections.get_mut(slot)?;
        let wire = connection.tls.as_mut()?;
        let progress = wire.session.receive(bytes, &mut self.scratch);
        let sent = wire.send(&self.scratch.sealed);
        // Whatever becomes of the connection: it was authentic when it was opened.
        let said = match connection.state {
            State::Open(stream) if !self.scratch.plain.is_empty() => Some(Came::Sealed(stream)),
            State::Open(_)
            | State::Handshaking(_)
            | State::Accepting
            | State::Connecting(_)
            | State::Closing => None,
        };
        match progress {
            Err(error) => {
                self.refused(ring, now, slot, &error, counters);
                return said;
            }
            Ok(Progress::Ended) => self.peer_ended(slot),
            Ok(Progress::Handshaking | Progress::Established) => {}
        }
        if sent.is_err() {
            self.left(ring, slot, counters);
            return said;
        }
        if !self.scratch.sealed.is_empty() {
            self.flush_later(slot);
        }
        let is_up = progress != Ok(Progress::Handshaking);
        match self.state(slot)? {
            State::Handshaking(_) | State::Accepting if is_up => {
                self.established(ring, now, slot, counters)
            }
            State::Open(_)
            | State::Handshaking(_)
            | State::Accepting
            | State::Connecting(_)
            | State::Closing => said,
        }
    }

    /// The handshake is complete: who is there?
    fn established(
        &mut self,
        ring: &mut Ring,
        now: Instant,
        slot: Slot,
        counters: &mut Counters,
    ) -> Option<Came> {
        let connection = self.connections.get_mut(slot)?;
        let wire = connection.tls.as_mut()?;
        let peer = wire.peer;
        let found = self.tls.as_ref()?.identities(&wire.session);
        wire.session.forget_peer();
        counters.tls_resumed += u64::from(wire.session.is_resumed());
        match found {
            Ok(found) => self.identities = found,
            Err(error) => {
                self.refused(ring, now, slot, &error, counters);
                return None;
            }
        }
        let State::Handshaking(stream) = connection.state else {
            counters.tls_accepted += 1;
            return Some(Came::Greeted(slot, peer));
        };
        connection.state = State::Open(stream);
        counters.tls_opened += 1;
        self.flush_later(slot);
        Some(Came::Up(stream))
    }

    /// A peer that is not who it must be, or speaks no TLS.
    fn refused(
        &mut self,
        ring: &mut Ring,
        now: Instant,
        slot: Slot,
        error: &rustls::Error,
        counters: &mut Counters,
    ) {
        counters.tls_failed += 1;
        let wire = self.connections.get(slot).and_then(|it| it.tls.as_ref());
        if let Some(peer) = wire.map(|wire| wire.peer) {
            let why = tls::reason(error);
            if !tls::is_about_identity(error) {
                tracing::debug!(%peer, why, "a TLS connection failed");
            } else {
                counters.tls_unproven += 1;
                if self.complaints.may_speak(now) {
                    tracing::warn!(%peer, why, "a TLS connection is closed");
                }
            }
        }
        // The alert is the last word.
        self.say_last(ring, slot);
        self.fail(ring, slot);
    }
}
