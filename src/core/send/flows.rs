//! The flow table: this shard's own sockets and the streams it holds, and what
//! it was told of those of the other shards.
//!
//! It knows which flows live, what to write into a Via for each (`locals`), and
//! which stream already leads to an address. It carries the unfinished message of a
//! stream from one read to the next and nothing else; what waits to be written
//! is the shell's queue.

use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

use super::Far;
use crate::frame;
use crate::id::{Flow, ShardSet, Slab, StreamId, Transport};
use crate::limits;
use crate::locate::is_unicast;
use crate::time::Instant;

pub use hop::Hop;
pub use locals::{KnownAs, Local, SentBy};
pub use names::{NameId, Names};
pub use peer_rule::{Clear, End, HostRule, PeerRule, Ports, network};

/// One connection.
#[derive(Debug)]
pub struct Stream {
    /// What it speaks.
    pub transport: Transport,
    /// The far side.
    pub peer: SocketAddr,
    /// We opened it.
    pub opened: bool,
    /// It came in at a core-side listener.
    pub core_side: bool,
    /// Who had to be there when we opened it over TLS.
    pub name: Option<NameId>,
    /// The domains its verified certificate names (RFC 5922 §7.1); none
    /// without one.
    pub identities: Box<[Box<str>]>,
    /// It is up (an opened one starts out waiting).
    pub up: bool,
    /// The port that the peer listens at, once it has asked for requests over
    /// this connection.
    pub alias: Option<u16>,
    /// Bytes of a message that has begun.
    pub partial: Vec<u8>,
    /// Bytes of it that are counted for its source.
    pub counted: usize,
    /// How far `partial` is already searched.
    pub resume: frame::Resume,
    /// When the unfinished message began.
    pub begun: Option<Instant>,
    /// A timer watches `begun`.
    pub watched: bool,
    /// When anything came last; kept once keep-alives are promised.
    pub heard: Instant,
    /// The phone was told a Flow-Timer: silence means that it is gone.
    pub promised: bool,
    /// A whole message has come.
    pub spoke: bool,
    /// Other shards know of it, and must be told of its end.
    pub shared: bool,
}

/// A connection that the shell took in.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a> {
    /// What it speaks.
    pub transport: Transport,
    /// The far side.
    pub peer: SocketAddr,
    /// Where it came in is a core-side listener.
    pub core_side: bool,
    /// The domains its verified certificate names (RFC 5922 §7.1).
    pub identities: &'a [Box<str>],
}

impl Accepted<'_> {
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

/// What became of `Flows::reach`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This flow leads there.
    Flow(Flow),
    /// This stream will, once it is opened: ask the shell to connect it.
    Open(StreamId),
    /// Nothing does: no socket of that family, no room, nobody's name to ask
    /// for over TLS, or the flow is gone.
    Nowhere,
}

/// All flows of a shard.
#[derive(Debug)]
pub struct Flows {
    shard_set: ShardSet,
    locals: Vec<Local>,
    /// What they are called besides.
    known_as: KnownAs,
    /// Which of `locals` stand on the core side.
    are_core: Vec<bool>,
    /// Where the homes are.
    homes: Vec<IpAddr>,
    /// Whose each of `locals` is; `None`: a listener, which is everybody's.
    owners: Vec<Option<u8>>,
    streams: Slab<Stream>,
    /// The far sides of streams that other shards hold.
    away: HashMap<StreamId, Far, ahash::RandomState>,
    by_peer: HashMap<Destination, StreamId, ahash::RandomState>,
    /// Accepted connections that asked to be used for requests to the address
    /// they listen at (RFC 5923 §8.2).
    by_alias: HashMap<SocketAddr, StreamId, ahash::RandomState>,
    /// Who must be at the far ends of our TLS connections.
    pub names: Names,
}

/// What a connection of ours was opened for. One address may stand for several
/// domains, of which each must be proven.
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
            away: HashMap::with_hasher(hash.clone()),
            by_alias: HashMap::with_hasher(hash.clone()),
            by_peer: HashMap::with_hasher(hash),
            names,
        }
    }

    /// The other shard that must send what goes over `flow`; `None`: this one
    /// can. Listeners are everybody's, since all shards share their addresses.
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

    /// Another shard says who is at the far end of a flow; true when that is
    /// news. That it is gone is said as well, at the latest when something is
    /// sent over it.
    pub fn learn(&mut self, flow: Flow, far: Far) -> bool {
        let Flow::Stream(stream) = flow else {
            return false;
        };
        self.shard_set.is_other(stream.shard())
            && self.away.len() < limits::AWAY_STREAMS_MAX
            && self.away.insert(stream, far).is_none()
    }

    /// What another shard must know to use a flow.
    #[must_use]
    pub fn far(&self, flow: Flow) -> Option<Far> {
        Some(Far {
            end: self.end(flow)?,
            identities: self.identities(flow).into(),
        })
    }

    /// A stream of another shard is gone; whether it was known.
    pub(crate) fn unlearn(&mut self, stream: StreamId) -> bool {
        self.away.remove(&stream).is_some()
    }

    /// Other shards are about to hear of this flow: they are told of its end.
    pub fn share(&mut self, flow: Flow) {
        if let Flow::Stream(stream) = flow
            && let Some(stream) = self.stream_mut(stream)
        {
            stream.shared = true;
        }
    }

    /// The far side of a flow; `None` when a stream is gone.
    #[must_use]
    pub fn peer(&self, flow: Flow) -> Option<SocketAddr> {
        match flow {
            Flow::Udp { peer, .. } => Some(peer),
            Flow::Stream(id) => self
                .stream(id)
                .map(|stream| stream.peer)
                .or_else(|| self.away.get(&id).map(|far| far.end.addr)),
        }
    }

    /// The far end of a flow, by which a peer is told; `None` when a stream is
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
                None => self.away.get(&id).map(|far| far.end),
            },
        }
    }

    /// What a flow speaks; TCP for a stream that is gone.
    #[must_use]
    pub fn transport(&self, flow: Flow) -> Transport {
        match flow {
            Flow::Udp { .. } => Transport::Udp,
            Flow::Stream(id) => match self.stream(id) {
                Some(stream) => stream.transport,
                None => self
                    .away
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
                None => self.away.get(&id).map_or(&[], |far| &far.identities),
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
                // Without a listener there is nothing to write into a Via.
                self.listener_towards(transport, addr)
                    .and_then(|_| self.open(transport, addr, name))
                    .map_or(Reach::Nowhere, Reach::Open)
            }
        }
    }
}

mod far_side;
mod hop;
mod locals;
mod names;
mod peer_rule;
mod streams;
#[cfg(test)]
mod tests;
