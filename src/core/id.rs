//! Identities: small values that name a thing owned by a shard. Slots are
//! reused, generations are not, so a stale id finds nothing.

mod keyed;
mod slab;

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::limits;

pub use keyed::Keyed;
pub use slab::Slab;

/// The shards of a node, and which of them this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardSet {
    /// This one, from 0.
    pub own: u8,
    /// How many there are.
    pub count: u8,
    /// Secret, the same on all of them and different in each process: keys what
    /// they must agree on.
    pub seed: [u64; 4],
}

impl ShardSet {
    /// The only shard of its node.
    #[must_use]
    pub const fn alone(seed: [u64; 4]) -> Self {
        Self {
            own: 0,
            count: 1,
            seed,
        }
    }

    /// True when there is no other.
    #[must_use]
    pub(crate) const fn is_alone(self) -> bool {
        self.count <= 1
    }

    /// Everyone else.
    pub fn others(self) -> impl Iterator<Item = u8> {
        (0..self.count).filter(move |shard| *shard != self.own)
    }

    /// Whose business the thing with this hash is.
    #[must_use]
    pub fn of(self, hash: u64) -> u8 {
        let count = u64::from(self.count.max(1));
        u8::try_from(hash % count).unwrap_or_default()
    }

    /// True when a shard of that number exists and is another one.
    #[must_use]
    pub(crate) const fn is_other(self, shard: u8) -> bool {
        shard != self.own && shard < self.count
    }
}

/// A slot of a slab together with the generation that lives in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// Index in the slab.
    pub index: u32,
    /// Counts the tenants of that index.
    pub generation: u32,
}

/// A bound UDP socket, by its index in `shard::Setup::locals`: the same name for
/// the same address on every shard of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SocketId(pub u16);

/// A connection over TCP or TLS, accepted or opened. Each shard numbers its own from
/// `StreamId::first`, so that a name means one connection of the whole node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamId(pub Slot);

impl StreamId {
    /// Where the slots of a shard's streams begin.
    #[must_use]
    pub fn first(shard: u8) -> u32 {
        u32::from(shard) << STREAM_BITS
    }

    /// The shard that holds the connection.
    #[must_use]
    pub fn shard(self) -> u8 {
        u8::try_from(self.0.index >> STREAM_BITS).unwrap_or(u8::MAX)
    }

    /// Its index among the streams of its shard.
    #[must_use]
    pub const fn index(self) -> usize {
        (self.0.index & ((1 << STREAM_BITS) - 1)) as usize
    }
}

/// Bits of a stream's index on its shard; the shard stands above them.
const STREAM_BITS: u32 = 20;
const _: () = assert!(
    limits::STREAMS_MAX <= 1 << STREAM_BITS && limits::SHARDS_MAX < u8::MAX as usize,
    "the name of a stream names its shard"
);

/// A server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServerId(pub Slot);

/// A client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientId(pub Slot);

/// A flow in the sense of RFC 5626: the way back to one peer. For UDP the
/// local socket and the remote address, for a stream the connection itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Flow {
    /// Datagrams between one of our sockets and one address.
    Udp {
        /// Our side.
        socket: SocketId,
        /// Their side.
        peer: SocketAddr,
    },
    /// A connection.
    Stream(StreamId),
}

impl Flow {
    /// Its connection, if it is one.
    #[must_use]
    pub(crate) const fn stream(self) -> Option<StreamId> {
        match self {
            Self::Stream(stream) => Some(stream),
            Self::Udp { .. } => None,
        }
    }
}

/// In one piece where it is short: several tables are asked for each message.
impl Hash for Flow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Stream(StreamId(slot)) => {
                state.write_u64(u64::from(slot.index) << 32 | u64::from(slot.generation));
            }
            Self::Udp {
                socket: SocketId(socket),
                peer: SocketAddr::V4(peer),
            } => {
                let (ip, port) = (peer.ip().to_bits(), peer.port());
                state.write_u64(u64::from(ip) << 32 | u64::from(port) << 16 | u64::from(*socket));
            }
            Self::Udp { socket, peer } => (socket, peer).hash(state),
        }
    }
}

impl Flow {
    /// True when the transport itself delivers or fails (RFC 3261 §17: no
    /// retransmission timers run).
    #[must_use]
    pub(crate) const fn is_reliable(&self) -> bool {
        matches!(self, Self::Stream(_))
    }
}

/// What carries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transport {
    /// RFC 3261 over UDP.
    Udp,
    /// RFC 3261 over TCP.
    Tcp,
    /// RFC 3261 over TLS over TCP (§26.3.1).
    Tls,
}

impl Transport {
    /// Every one of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// The token of a Via header.
    #[must_use]
    pub const fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// The transport that a Via header names, if it is one of these.
    #[must_use]
    pub(crate) fn from_via_token(token: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| token.eq_ignore_ascii_case(known.via_token().as_bytes()))
    }

    /// The value of a `transport` URI parameter. RFC 5630 §3.1.2 deprecates
    /// `tls`: it is understood, and written only where nothing else can say
    /// what a phone must do.
    #[must_use]
    pub const fn uri_token(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The port a URI or a Via means when it names none (RFC 3261 §19.1.2).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }

    /// True when messages are octets of a connection and not datagrams.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }
}
