//! Identities: small values that name a thing owned by a shard. Slots are
//! reused, generations are not, so a stale id finds nothing.

mod slab;

use std::net::SocketAddr;

pub use slab::Slab;

/// A slot of a slab together with the generation that lives in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// Index in the slab.
    pub index: u32,
    /// Counts the tenants of that index.
    pub generation: u32,
}

/// A bound UDP socket of this shard, by its place in `shard::Setup::locals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u16);

/// A connection of this shard over TCP or TLS, accepted or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub Slot);

/// A server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub Slot);

/// A client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub Slot);

/// A flow in the sense of RFC 5626: the way back to one peer. For UDP the
/// local socket and the remote address, for a stream the connection itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// True when the transport itself delivers or fails (RFC 3261 §17: no
    /// retransmission timers run).
    #[must_use]
    pub const fn is_reliable(&self) -> bool {
        matches!(self, Self::Stream(_))
    }
}

/// What carries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// RFC 3261 over UDP.
    Udp,
    /// RFC 3261 over TCP.
    Tcp,
    /// RFC 3261 over TLS over TCP (§26.3.1).
    Tls,
}

impl Transport {
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
    pub fn from_via_token(token: &[u8]) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls]
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
