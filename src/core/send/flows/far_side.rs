//! What is behind a flow or a hop: its address, where a connection in place of one
//! that is gone would be opened, and whether what it says is ours.

use std::net::{IpAddr, SocketAddr};

use super::{Flows, Hop};
use crate::id::{Flow, StreamId, Transport};
use crate::scan::via::Via;
use crate::stick::Reopen;

impl Flows {
    /// Where a connection in place of this one would be opened (S-28): where we
    /// opened it, else the port that its transport has by default, since the
    /// one it came from says nothing. `None` for a datagram flow, which needs
    /// no opening, and for a connection that is not up.
    #[must_use]
    pub(crate) fn reconnect_target(&self, flow: Flow) -> Option<Reopen> {
        let Flow::Stream(id) = flow else { return None };
        let stream = self.stream(id).filter(|stream| stream.up)?;
        let transport = stream.transport;
        let addr = if stream.opened {
            stream.peer
        } else {
            SocketAddr::new(stream.peer.ip(), transport.default_port())
        };
        Some(Reopen { transport, addr })
    }

    /// Where the peer at the end of a flow is reached by others: it is there
    /// that it lives or does not, and not at the port that it connected from.
    #[must_use]
    pub(crate) fn listens_at(&self, flow: Flow) -> Option<(Transport, SocketAddr)> {
        let back = self.reconnect_target(flow);
        let back = back.map(|back| (back.transport, back.addr));
        back.or_else(|| self.far_side(flow))
    }

    /// The transport and the address of the far side; `None` when a stream is gone.
    #[must_use]
    pub(crate) fn far_side(&self, flow: Flow) -> Option<(Transport, SocketAddr)> {
        let peer = self.peer(flow)?;
        Some((self.transport(flow), peer))
    }

    /// The address a hop leads to; `None` for a connection that is gone, and
    /// for a name.
    #[must_use]
    pub fn host(&self, hop: Hop) -> Option<IpAddr> {
        match hop {
            Hop::To { addr, .. } => Some(addr.ip()),
            Hop::Flow(flow) => self.peer(flow).map(|peer| peer.ip()),
            Hop::Named(_) => None,
        }
    }

    /// The connection behind a flow, while it is being opened.
    #[must_use]
    pub(crate) fn opening(&self, flow: Flow) -> Option<StreamId> {
        let Flow::Stream(id) = flow else { return None };
        let stream = self.stream(id).filter(|stream| !stream.up);
        stream.map(|_| id)
    }

    /// Whether a Via has a sent-by of ours (P-19): one of our addresses, or a
    /// name that our certificate proves.
    pub(crate) fn wrote(&self, bytes: &[u8], via: &Via) -> bool {
        match via.ip {
            Some(ip) => self.is_local(ip, via.port.unwrap_or(5060)),
            None => self.is_named(via.host.of(bytes), via.port),
        }
    }

    /// O-9: the phone at the end of this flow was told to keep it alive, so
    /// that its silence means something even while it is registered. UDP needs
    /// no watch: a flow without refresh expires.
    pub(crate) fn expect_keepalives(&mut self, flow: Flow) {
        if let Flow::Stream(id) = flow
            && let Some(stream) = self.stream_mut(id)
        {
            stream.promised = true;
        }
    }
}
