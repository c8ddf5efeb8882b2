//! The flow table: this shard's own sockets and the streams it holds, and what
//! is known of those of the other shards.
//!
//! It knows which flows are open, what to write into a Via for each (`locals`), and
//! which stream already leads to an address. It keeps the unfinished message of a
//! stream from one read to the next and nothing else; what waits to be written
//! is in the shell's queue.

use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::carry::carried;
use crate::frame;
use crate::id::{Flow, ShardSet, Slab, StreamId, Transport};
use crate::limits;
use crate::locate::is_unicast;
use crate::time::Instant;

pub use far::Far;
pub use hop::Hop;
pub use locals::{KnownAs, Local, SentBy};
pub use names::{NameId, Names};
pub use peer_rule::{Clear, End, HostRule, PeerRule, Ports, network};

/// One connection.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stream {
    /// TCP or TLS.
    pub transport: Transport,
    /// The address of the far side.
    pub peer: SocketAddr,
    /// We opened it.
    pub opened: bool,
    /// It was accepted at a core-side listener.
    pub core_side: bool,
    /// The domain that the peer's certificate had to name, where we opened it over TLS.
    pub name: Option<NameId>,
    /// The domains its verified certificate names (RFC 5922 §7.1); none
    /// without one.
    pub identities: Box<[Box<str>]>,
    /// It is connected; a stream that we open is not at first.
    pub up: bool,
    /// The port that the peer listens at, once it has asked for requests over
    /// this connection.
    pub alias: Option<u16>,
    /// The bytes received of an unfinished message.
    pub partial: Vec<u8>,
    /// How many bytes of `partial` are counted for its source.
    pub counted: usize,
    /// How far the end of the message was searched in `partial`.
    pub resume: frame::Resume,
    /// When the unfinished message began.
    pub begun: Option<Instant>,
    /// A timer is set for `begun`.
    pub watched: bool,
    /// When anything was received last; kept where `promised`.
    pub heard: Instant,
    /// The phone got a Flow-Timer: when it is silent for longer, it is gone.
    pub promised: bool,
    /// A complete message was received.
    pub spoke: bool,
    /// Other shards know of it, and get a message when it ends.
    pub shared: bool,
}

/// A connection that the shell has accepted.
#[derive(Clone, Copy, Debug)]
pub struct AcceptedConnection<'a> {
    /// TCP or TLS.
    pub transport: Transport,
    /// The address of the far side.
    pub peer: SocketAddr,
    /// It was accepted at a core-side listener.
    pub core_side: bool,
    /// The domains its verified certificate names (RFC 5922 §7.1).
    pub identities: &'a [Box<str>],
}

impl AcceptedConnection<'_> {
    /// Its far end.
    #[must_use]
    pub const fn end(&self) -> End {
        End {
            transport: self.transport,
            addr: self.peer,
            core_side: self.core_side,
        }
    }
}

/// The result of `Flows::reach`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This flow leads there.
    Flow(Flow),
    /// This stream will lead there: the shell is to connect it.
    Open(StreamId),
    /// Nothing leads there: no socket of that family, no free stream, no domain to verify
    /// over TLS, or the flow is gone.
    Nowhere,
}

/// All flows of a shard.
#[derive(Debug)]
pub struct Flows {
    shard_set: ShardSet,
    locals: Vec<Local>,
    /// Names and addresses of the node besides those of `locals`.
    known_as: KnownAs,
    /// Which of `locals` stand on the core side.
    are_core: Vec<bool>,
    /// The addresses of the homes.
    homes: Vec<IpAddr>,
    /// The shard of each of `locals`; `None`: a listener, which all shards share.
    owners: Vec<Option<u8>>,
    streams: Slab<Stream>,
    /// The far sides of streams that other shards hold.
    remote: HashMap<StreamId, Far, ahash::RandomState>,
    by_peer: HashMap<Destination, StreamId, ahash::RandomState>,
    /// Accepted connections that asked to be used for requests to the address
    /// they listen at (RFC 5923 §8.2).
    by_alias: HashMap<SocketAddr, StreamId, ahash::RandomState>,
    /// The domains that peers of our TLS connections must prove.
    pub names: Names,
}

/// What a connection of ours was opened for. One address may serve several
/// domains, each of which must be proven.
type Destination = (Transport, SocketAddr, Option<NameId>);

impl Flows {
    /// A table over these endpoints (`shard::Setup::locals`).
    #[must_use]
    pub fn new(locals: Vec<Local>, seed: [u64; 4], shard_set: ShardSet) -> Self {
        let [a, b, c, d] = seed;
        let hash = ahash::RandomState::with_seeds(a, b, c, d);
        let names = Names::new(hash.clone());
        let first = StreamId::first(shard_set.own);
        Self {
            shard_set,
            owners: locals::owners(&locals, shard_set),
            are_core: vec![false; locals.len()],
            homes: Vec::new(),
            locals,
            known_as: KnownAs::default(),
            streams: Slab::numbered(first, limits::STREAMS_MAX),
            remote: HashMap::with_hasher(hash.clone()),
            by_alias: HashMap::with_hasher(hash.clone()),
            by_peer: HashMap::with_hasher(hash),
            names,
        }
    }

    /// The other shard that alone can send over `flow`; `None` where this one
    /// can. All shards can send from a listener's address.
    #[must_use]
    pub fn elsewhere(&self, flow: Flow) -> Option<u8> {
        if self.shard_set.is_alone() {
            return None;
        }
        let owner = match flow {
            Flow::Udp { socket, .. } => (*self.owners.get(usize::from(socket.0))?)?,
            Flow::Stream(stream) => stream.shard(),
        };
        self.shard_set.is_other(owner).then_some(owner)
    }

    /// Enters the far side of another shard's flow; true where it was unknown. `unlearn` removes
    /// it when that shard says that the flow is gone, at the latest when something is sent over it.
    pub fn learn(&mut self, flow: Flow, far: Far) -> bool {
        let Flow::Stream(stream) = flow else {
            return false;
        };
        self.shard_set.is_other(stream.shard())
            && self.remote.len() < limits::AWAY_STREAMS_MAX
            && self.remote.insert(stream, far).is_none()
    }

    /// What another shard must know to use a flow.
    #[must_use]
    pub fn far(&self, flow: Flow) -> Option<Far> {
        Some(Far {
            end: self.end(flow)?,
            identities: self.identities(flow).into(),
        })
    }

    /// Removes a stream of another shard that is gone; true where it was known.
    pub(crate) fn unlearn(&mut self, stream: StreamId) -> bool {
        self.remote.remove(&stream).is_some()
    }

    /// Marks a flow that other shards get to know, so that they get a message when it ends.
    pub fn share(&mut self, flow: Flow) {
        if let Flow::Stream(stream) = flow
            && let Some(stream) = self.stream_mut(stream)
        {
            stream.shared = true;
        }
    }

    /// The address of the far side of a flow; `None` when a stream is gone.
    #[must_use]
    pub fn peer(&self, flow: Flow) -> Option<SocketAddr> {
        match flow {
            Flow::Udp { peer, .. } => Some(peer),
            Flow::Stream(id) => self
                .stream(id)
                .map(|stream| stream.peer)
                .or_else(|| self.remote.get(&id).map(|far| far.end.addr)),
        }
    }

    /// The far end of a flow, by which nodes and carriers are recognised; `None` when a stream is
    /// gone.
    #[must_use]
    pub fn end(&self, flow: Flow) -> Option<End> {
        match flow {
            Flow::Udp { peer, .. } => Some(End::new(Transport::Udp, peer)),
            Flow::Stream(id) => match self.stream(id) {
                Some(stream) => Some(End {
                    transport: stream.transport,
                    addr: stream.peer,
                    core_side: stream.core_side,
                }),
                None => self.remote.get(&id).map(|far| far.end),
            },
        }
    }

    /// The transport of a flow; TCP for a stream that is gone.
    #[must_use]
    pub fn transport(&self, flow: Flow) -> Transport {
        match flow {
            Flow::Udp { .. } => Transport::Udp,
            Flow::Stream(id) => match self.stream(id) {
                Some(stream) => stream.transport,
                None => self
                    .remote
                    .get(&id)
                    .map_or(Transport::Tcp, |far| far.end.transport),
            },
        }
    }

    /// The domains that the peer's verified certificate names; none for a flow
    /// without one.
    #[must_use]
    pub fn identities(&self, flow: Flow) -> &[Box<str>] {
        match flow {
            Flow::Udp { .. } => &[],
            Flow::Stream(id) => match self.stream(id) {
                Some(stream) => &stream.identities,
                None => self.remote.get(&id).map_or(&[], |far| &far.identities),
            },
        }
    }

    /// True when the peer's certificate names that domain, in full and in any
    /// case (RFC 5922 §7.2).
    #[must_use]
    pub fn proves(&self, flow: Flow, domain: &[u8]) -> bool {
        let mut identities = self.identities(flow).iter();
        identities.any(|name| name.as_bytes().eq_ignore_ascii_case(domain))
    }

    /// True for every UDP flow and for a stream that is not gone.
    #[must_use]
    pub fn lives(&self, flow: Flow) -> bool {
        self.peer(flow).is_some()
    }

    /// The flow that a request to `hop` takes. Streams we opened are reused by
    /// address; an accepted stream is found only as `Hop::Flow`, since its
    /// source port says nothing about who it is (RFC 5923 §9.3).
    pub fn reach(&mut self, hop: Hop) -> Reach {
        match hop {
            Hop::Flow(flow) if self.lives(flow) => Reach::Flow(flow),
            Hop::Flow(_) | Hop::Named(_) => Reach::Nowhere,
            Hop::To { addr, .. } if !is_unicast(addr.ip()) => Reach::Nowhere,
            Hop::To {
                transport: Transport::Udp,
                addr,
                ..
            } => self.socket_towards(addr).map_or(Reach::Nowhere, |socket| {
                Reach::Flow(Flow::Udp { socket, peer: addr })
            }),
            Hop::To {
                transport: transport @ (Transport::Tcp | Transport::Tls),
                addr,
                name,
            } => {
                let name = name.filter(|_| transport == Transport::Tls);
                if let Some(&id) = self.by_peer.get(&(transport, addr, name)) {
                    return Reach::Flow(Flow::Stream(id));
                }
                if let Some(id) = name.and_then(|name| self.alias(addr, name)) {
                    return Reach::Flow(Flow::Stream(id));
                }
                // Without a listener there is no address for our Via, and so for the answer.
                self.listener_towards(transport, addr)
                    .and_then(|_| self.open(transport, addr, name))
                    .map_or(Reach::Nowhere, Reach::Open)
            }
        }
    }
}

mod far;
mod far_side;
mod hop;
mod locals;
mod names;
mod peer_rule;
mod streams;
carried!(Flows {
    parts: remote, by_peer, by_alias, names;
    values: homes, streams;
    made: shard_set, locals, known_as, are_core, owners;
});

#[cfg(test)]
mod tests;
