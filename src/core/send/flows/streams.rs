//! Connections in the flow table: taken in, opened, used again by whoever may
//! (RFC 5923), and gone.

use std::net::SocketAddr;

use super::{AcceptedConnection, Destination, Flows, NameId, Stream};
use crate::frame;
use crate::id::{Flow, StreamId, Transport};
use crate::time::Instant;

impl Flows {
    pub(super) fn open(
        &mut self,
        transport: Transport,
        peer: SocketAddr,
        name: Option<NameId>,
    ) -> Option<StreamId> {
        if transport == Transport::Tls {
            self.names.get(name?)?;
        }
        let mut stream = Stream::new(transport, peer, true);
        stream.name = name;
        let id = self.streams.insert(stream).ok().map(StreamId)?;
        self.by_peer.insert((transport, peer, name), id);
        if let Some(name) = name {
            self.names.hold(name);
        }
        Some(id)
    }

    /// Whether the far side may send requests back over the flow: a connection
    /// over TLS that we opened (C-9, C-12).
    #[must_use]
    pub(crate) fn offers_alias(&self, flow: Flow) -> bool {
        let Flow::Stream(id) = flow else {
            return false;
        };
        self.stream(id)
            .is_some_and(|stream| stream.opened && stream.transport == Transport::Tls)
    }

    /// The peer of an accepted connection asks for requests over it (`alias` in
    /// its Via), where it listens at `port` of its address. Granted only over
    /// TLS and to a peer that has proven a domain: it gets what is meant for
    /// that domain and nothing else (C-10, C-11).
    pub(crate) fn grant_alias(&mut self, id: StreamId, port: u16) {
        let Some(stream) = self.streams.get_mut(id.0) else {
            return;
        };
        let fits = !stream.opened && stream.transport == Transport::Tls;
        if !fits || stream.identities.is_empty() || stream.alias == Some(port) {
            return;
        }
        let ip = stream.peer.ip();
        let old = stream.alias.replace(port);
        if let Some(old) = old.map(|port| SocketAddr::new(ip, port))
            && self.by_alias.get(&old) == Some(&id)
        {
            self.by_alias.remove(&old);
        }
        self.by_alias.insert(SocketAddr::new(ip, port), id);
    }

    pub(super) fn alias(&self, addr: SocketAddr, name: NameId) -> Option<StreamId> {
        let &id = self.by_alias.get(&addr)?;
        let name = self.names.get(name)?;
        self.proves(Flow::Stream(id), name.as_bytes()).then_some(id)
    }

    /// Takes in a connection that the shell accepted; `None` at the bound.
    pub fn accept(&mut self, accepted: &AcceptedConnection<'_>) -> Option<StreamId> {
        let mut stream = Stream::new(accepted.transport, accepted.peer, false);
        stream.identities = accepted.identities.into();
        stream.core_side = accepted.core_side;
        self.streams.insert(stream).ok().map(StreamId)
    }

    /// The stream, if it is not gone.
    #[must_use]
    pub fn stream(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(id.0)
    }

    /// The stream, if it is not gone.
    pub(crate) fn stream_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(id.0)
    }

    /// Has requests to the far side of a connection that we opened take another one from here on,
    /// whatever still runs over this one; false where they do already, and for one that the far
    /// side opened.
    pub(crate) fn replace(&mut self, id: StreamId) -> bool {
        let destination = self.stream(id).map(Stream::destination);
        let is_it = destination.is_some_and(|it| self.by_peer.get(&it) == Some(&id));
        if let Some(destination) = destination.filter(|_| is_it) {
            self.by_peer.remove(&destination);
        }
        is_it
    }

    /// Whether `replace` was called for this connection.
    #[must_use]
    pub(crate) fn is_replaced(&self, id: StreamId) -> bool {
        self.stream(id).is_some_and(|stream| {
            stream.opened && self.by_peer.get(&stream.destination()) != Some(&id)
        })
    }

    /// Forgets a stream; its id is dead from now on.
    pub fn close(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.streams.remove(id.0)?;
        let destination = stream.destination();
        if self.by_peer.get(&destination) == Some(&id) {
            self.by_peer.remove(&destination);
        }
        if let Some(name) = stream.name {
            self.names.release(name);
        }
        let alias = stream
            .alias
            .map(|port| SocketAddr::new(stream.peer.ip(), port));
        if let Some(alias) = alias
            && self.by_alias.get(&alias) == Some(&id)
        {
            self.by_alias.remove(&alias);
        }
        Some(stream)
    }

    /// The streams that the far side opened.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = StreamId> {
        let accepted = self.streams.iter().filter(|(_, stream)| !stream.opened);
        accepted.map(|(slot, _)| StreamId(slot))
    }

    /// Streams held.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }
}

impl Stream {
    fn new(transport: Transport, peer: SocketAddr, opened: bool) -> Self {
        Self {
            transport,
            peer,
            opened,
            core_side: false,
            name: None,
            identities: Box::default(),
            alias: None,
            up: !opened,
            partial: Vec::new(),
            counted: 0,
            resume: frame::Resume::default(),
            begun: None,
            watched: false,
            heard: Instant::ZERO,
            promised: false,
            spoke: false,
            shared: false,
        }
    }

    /// What it was opened for.
    const fn destination(&self) -> Destination {
        (self.transport, self.peer, self.name)
    }
}
