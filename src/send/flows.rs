//! The flow table: this shard's own sockets and the streams it holds.
//!
//! It knows which flows live, what to write into a Via for each, and which
//! stream already leads to an address. It carries the unfinished message of a
//! stream from one read to the next and nothing else; what waits to be written
//! is the shell's queue.

use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

use crate::frame;
use crate::id::{Flow, Slab, SocketId, StreamId, Transport};
use crate::limits;
use crate::scan::uri::{Uri, host_ip};
use crate::time::Instant;

/// A bound local endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// What it speaks.
    pub transport: Transport,
    /// The bound address, with its real port.
    pub addr: SocketAddr,
    /// This shard's own socket towards the home, not a listener.
    pub upstream: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Stream {
    /// The far side.
    pub peer: SocketAddr,
    /// We opened it.
    pub opened: bool,
    /// It is up (an opened one starts out waiting).
    pub up: bool,
    /// Bytes of a message that has begun.
    pub partial: Vec<u8>,
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
}

/// Where a request is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// Over this flow and no other.
    Flow(Flow),
    /// To this address, over a flow that exists or a new one.
    To {
        /// What to speak.
        transport: Transport,
        /// Where.
        addr: SocketAddr,
    },
}

impl Hop {
    /// The hop a URI names by itself: a host (or `maddr`) that is an address
    /// needs no DNS (RFC 3263 §4; N-2, N-3). `None` for a name, or for a
    /// transport not spoken.
    #[must_use]
    pub fn literal(bytes: &[u8], uri: &Uri) -> Option<Self> {
        let target = uri.param(bytes, "maddr").flatten().unwrap_or(uri.host);
        let ip = host_ip(target.of(bytes))?;
        let transport = match uri
            .param(bytes, "transport")
            .flatten()
            .map(|value| value.of(bytes))
        {
            Some(value) if value.eq_ignore_ascii_case(b"tcp") => Transport::Tcp,
            Some(value) if !value.eq_ignore_ascii_case(b"udp") => return None,
            Some(_) | None => Transport::Udp,
        };
        Some(Self::To {
            transport,
            addr: SocketAddr::new(ip, uri.port.unwrap_or_else(|| transport.default_port())),
        })
    }

    /// Whether it crosses a reliable transport.
    #[must_use]
    pub const fn is_reliable(&self) -> bool {
        match self {
            Self::Flow(flow) => flow.is_reliable(),
            Self::To { transport, .. } => matches!(transport, Transport::Tcp),
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
    /// Nothing does: no socket of that family, no room, or the flow is gone.
    Nowhere,
}

/// All flows of a shard.
#[derive(Debug)]
pub struct Flows {
    locals: Vec<Local>,
    streams: Slab<Stream>,
    by_peer: HashMap<SocketAddr, StreamId, ahash::RandomState>,
}

impl Flows {
    /// A table over these endpoints.
    #[must_use]
    pub fn new(locals: Vec<Local>, seed: [u64; 4]) -> Self {
        let [a, b, c, d] = seed;
        let by_peer = HashMap::with_hasher(ahash::RandomState::with_seeds(a, b, c, d));
        Self {
            locals,
            streams: Slab::new(limits::STREAMS_MAX),
            by_peer,
        }
    }

    /// The endpoints.
    #[must_use]
    pub fn locals(&self) -> &[Local] {
        &self.locals
    }

    /// True when `ip` and `port` are one of our own endpoints.
    #[must_use]
    pub fn is_local(&self, ip: IpAddr, port: u16) -> bool {
        self.locals
            .iter()
            .any(|local| local.addr.ip() == ip && local.addr.port() == port)
    }

    /// The first listener of that transport and family, where others reach us.
    #[must_use]
    pub fn listener(&self, transport: Transport, v6: bool) -> Option<SocketAddr> {
        let fits = |local: &&Local| {
            !local.upstream && local.transport == transport && local.addr.is_ipv6() == v6
        };
        self.locals.iter().find(fits).map(|local| local.addr)
    }

    /// What to write as sent-by into the Via of a request over `flow`: an
    /// address where the answer reaches us even after the flow is lost.
    #[must_use]
    pub fn sent_by(&self, flow: Flow) -> Option<(Transport, SocketAddr)> {
        match flow {
            Flow::Udp { socket, .. } => self
                .locals
                .get(usize::from(socket.0))
                .map(|local| (Transport::Udp, local.addr)),
            Flow::Stream(id) => {
                let peer = self.stream(id)?.peer;
                self.listener(Transport::Tcp, peer.is_ipv6())
                    .map(|addr| (Transport::Tcp, addr))
            }
        }
    }

    /// The far side of a flow; `None` when a stream is gone.
    #[must_use]
    pub fn peer(&self, flow: Flow) -> Option<SocketAddr> {
        match flow {
            Flow::Udp { peer, .. } => Some(peer),
            Flow::Stream(id) => self.stream(id).map(|stream| stream.peer),
        }
    }

    /// What a flow speaks.
    #[must_use]
    pub const fn transport(flow: Flow) -> Transport {
        match flow {
            Flow::Udp { .. } => Transport::Udp,
            Flow::Stream(_) => Transport::Tcp,
        }
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
            Hop::Flow(_) => Reach::Nowhere,
            Hop::To {
                transport: Transport::Udp,
                addr,
            } => self.socket_towards(addr).map_or(Reach::Nowhere, |socket| {
                Reach::Flow(Flow::Udp { socket, peer: addr })
            }),
            Hop::To {
                transport: Transport::Tcp,
                addr,
            } => {
                if let Some(&id) = self.by_peer.get(&addr) {
                    return Reach::Flow(Flow::Stream(id));
                }
                // Without a listener there is nothing to write into a Via.
                self.listener(Transport::Tcp, addr.is_ipv6())
                    .and_then(|_| self.open(addr))
                    .map_or(Reach::Nowhere, Reach::Open)
            }
        }
    }

    /// The upstream socket where there is one, else the first listener.
    fn socket_towards(&self, addr: SocketAddr) -> Option<SocketId> {
        let fits = |local: &Local| {
            local.transport == Transport::Udp && local.addr.is_ipv6() == addr.is_ipv6()
        };
        let place = |wanted: bool| {
            self.locals
                .iter()
                .position(|local| fits(local) && local.upstream == wanted)
        };
        let place = place(true).or_else(|| place(false))?;
        u16::try_from(place).ok().map(SocketId)
    }

    fn open(&mut self, peer: SocketAddr) -> Option<StreamId> {
        let slot = self.streams.insert(Stream::new(peer, true)).ok()?;
        self.by_peer.insert(peer, StreamId(slot));
        Some(StreamId(slot))
    }

    /// Takes in a connection that the shell accepted; `None` at the bound.
    pub fn accept(&mut self, peer: SocketAddr) -> Option<StreamId> {
        self.streams
            .insert(Stream::new(peer, false))
            .ok()
            .map(StreamId)
    }

    /// The stream, if it is not gone.
    #[must_use]
    pub fn stream(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(id.0)
    }

    /// The stream, if it is not gone.
    pub fn stream_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(id.0)
    }

    /// Forgets a stream; its id is dead from now on.
    pub fn close(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.streams.remove(id.0)?;
        if self.by_peer.get(&stream.peer) == Some(&id) {
            self.by_peer.remove(&stream.peer);
        }
        Some(stream)
    }

    /// Streams held.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }
}

impl Stream {
    fn new(peer: SocketAddr, opened: bool) -> Self {
        Self {
            peer,
            opened,
            up: !opened,
            partial: Vec::new(),
            resume: frame::Resume::default(),
            begun: None,
            watched: false,
            heard: Instant::ZERO,
            promised: false,
            spoke: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flows() -> Flows {
        let local = |transport, addr: &str, upstream| Local {
            transport,
            addr: addr.parse().unwrap(),
            upstream,
        };
        let locals = vec![
            local(Transport::Udp, "127.0.0.11:5060", false),
            local(Transport::Tcp, "127.0.0.11:5060", false),
            local(Transport::Udp, "127.0.0.11:40000", true),
        ];
        Flows::new(locals, [1, 2, 3, 4])
    }

    #[test]
    fn requests_leave_by_the_upstream_socket_and_name_it() {
        let mut flows = flows();
        let addr = "127.0.0.10:5060".parse().unwrap();
        let Reach::Flow(flow) = flows.reach(Hop::To {
            transport: Transport::Udp,
            addr,
        }) else {
            panic!("no flow")
        };
        assert_eq!(
            flow,
            Flow::Udp {
                socket: SocketId(2),
                peer: addr
            }
        );
        assert_eq!(
            flows.sent_by(flow),
            Some((Transport::Udp, "127.0.0.11:40000".parse().unwrap()))
        );
    }

    #[test]
    fn an_opened_stream_is_reused_until_it_closes() {
        let mut flows = flows();
        let hop = Hop::To {
            transport: Transport::Tcp,
            addr: "127.0.0.10:5060".parse().unwrap(),
        };
        let Reach::Open(id) = flows.reach(hop) else {
            panic!("no stream")
        };
        assert_eq!(flows.reach(hop), Reach::Flow(Flow::Stream(id)));
        flows.close(id);
        assert_eq!(flows.reach(Hop::Flow(Flow::Stream(id))), Reach::Nowhere);
        assert!(matches!(flows.reach(hop), Reach::Open(again) if again != id));
    }

    #[test]
    fn no_stream_is_opened_that_nothing_could_answer() {
        let mut flows = flows();
        let hop = Hop::To {
            transport: Transport::Tcp,
            addr: "[2001:db8::1]:5060".parse().unwrap(),
        };
        assert_eq!((flows.reach(hop), flows.streams()), (Reach::Nowhere, 0));
    }

    #[test]
    fn an_accepted_stream_is_never_found_by_its_source_port() {
        let mut flows = flows();
        let addr: SocketAddr = "127.0.0.1:40001".parse().unwrap();
        let id = flows.accept(addr).unwrap();
        assert!(
            matches!(flows.reach(Hop::To { transport: Transport::Tcp, addr }), Reach::Open(other) if other != id)
        );
        assert_eq!(
            flows.reach(Hop::Flow(Flow::Stream(id))),
            Reach::Flow(Flow::Stream(id))
        );
    }
}
