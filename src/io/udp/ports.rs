//! The UDP sockets of a shard: by the numbers that the core knows them by, and behind these
//! the ones that are connected to a peer.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use socket2::Socket;

use super::peers::{Peers, Wanted};
use super::{UdpPort, Unreachable};
use crate::bytes::Buf;
use crate::id::SocketId;
use crate::io::icmp::{self, News};
use crate::io::ring::{Receiver, Ring, Side};
use crate::io::{Counters, completion_id, socket};
use crate::limits;

/// All UDP sockets of a shard.
#[derive(Default)]
pub(in crate::io) struct UdpPorts {
    /// By `SocketId`, then those connected to a peer. The entries of TCP listeners and of other
    /// shards' sockets are empty.
    ports: Vec<Option<UdpPort>>,
    /// By `SocketId`: who talks to an upstream socket.
    peers: Vec<Option<Peers>>,
    unreachable: Vec<Unreachable>,
}

impl UdpPorts {
    /// The next socket that the core knows; `None` for one that is no UDP socket of this shard.
    pub(in crate::io) fn add(&mut self, into: Receiver<'_>, socket: Option<Socket>, side: Side) {
        let Receiver { ring, room } = into;
        let index = self.ports.len();
        let id = SocketId(u16::try_from(index).unwrap_or(u16::MAX));
        let mut port = socket.map(|socket| UdpPort::new(id, id.0, socket, side));
        if let Some(port) = &mut port {
            port.receive(ring, room);
        }
        self.ports.push(port);
        self.peers.push((side == Side::Core).then(Peers::default));
    }

    /// Sends a datagram with the next enter, or when the kernel takes more.
    pub(in crate::io) fn push(
        &mut self,
        ring: &mut Ring,
        socket: SocketId,
        peer: SocketAddr,
        bytes: Buf,
        counters: &mut Counters,
    ) {
        let index = usize::from(socket.0);
        let peers = self.peers.get_mut(index).and_then(Option::as_mut);
        let connected = peers.and_then(|peers| peers.port_to(peer));
        if let Some(port) = self.port(connected.unwrap_or(index)) {
            port.push(ring, peer, bytes, counters);
        }
    }

    /// What came of the sends that the last enter submitted.
    pub(in crate::io) fn on_sent(&mut self, ring: &mut Ring, counters: &mut Counters) {
        counters.udp_sent += ring.take_sent();
        for port in self.ports.iter_mut().flatten() {
            port.on_entered();
        }
        while let Some((datagram, error)) = ring.take_refused() {
            let index = datagram.port;
            let Some(Some(port)) = self.ports.get_mut(usize::from(index)) else {
                continue;
            };
            port.on_refused(ring, datagram, error, counters, &mut self.unreachable);
            if error != libc::EAGAIN {
                // It may be what the socket remembers of another one, of which its error
                // queue says more.
                self.read_errors(index);
            }
        }
    }

    /// The number by which the core knows the socket that received a datagram of this peer.
    pub(in crate::io) fn on_datagram(&mut self, index: u16, peer: SocketAddr) -> Option<SocketId> {
        if let Some(Some(peers)) = self.peers.get_mut(usize::from(index)) {
            peers.on_datagram(peer);
        }
        self.port(usize::from(index)).map(|port| port.id)
    }

    /// Where a socket receives.
    pub(in crate::io) fn side(&self, index: u16) -> Side {
        let port = self.ports.get(usize::from(index)).and_then(Option::as_ref);
        port.map_or(Side::Access, |port| port.side)
    }

    /// Starts a receive again that has ended.
    pub(in crate::io) fn receive(&mut self, into: Receiver<'_>, index: u16) {
        let Receiver { ring, room } = into;
        if let Some(port) = self.port(usize::from(index)) {
            port.is_receiving = false;
            port.receive(ring, room);
        }
    }

    /// The ring receives from a socket no more.
    pub(in crate::io) fn on_cancelled(&mut self, index: u16) {
        if let Some(port) = self.port(usize::from(index)) {
            port.is_receiving = false;
        }
    }

    /// True while the ring receives from any of them.
    pub(in crate::io) fn are_receiving(&self) -> bool {
        self.ports.iter().flatten().any(|port| port.is_receiving)
    }

    /// Begins again after all was cancelled.
    pub(in crate::io) fn go_on(&mut self, into: Receiver<'_>) {
        let Receiver { ring, room } = into;
        for port in self.ports.iter_mut().flatten() {
            port.receive(ring, room);
            if port.is_blocked {
                ring.poll_writable(port.socket.as_fd(), completion_id::udp_ready(port.index));
            }
        }
    }

    /// The descriptor of a socket that the core knows by this index.
    pub(in crate::io) fn fd(&self, index: usize) -> Option<RawFd> {
        let port = self.ports.get(index).and_then(Option::as_ref);
        port.map(|port| port.socket.as_raw_fd())
    }

    /// The sockets that are connected to a peer: beside which one they are, and the peer.
    pub(in crate::io) fn connected(&self) -> impl Iterator<Item = (u16, SocketAddr, RawFd)> {
        let ports = self.ports.iter().flatten();
        ports.filter_map(|port| {
            let peer = port.connected?;
            Some((port.id.0, peer, port.socket.as_raw_fd()))
        })
    }

    /// Takes in a socket of the process before that is connected to a peer.
    pub(in crate::io) fn take_up(
        &mut self,
        into: Receiver<'_>,
        base: u16,
        peer: SocketAddr,
        socket: Socket,
    ) {
        let Receiver { ring, room } = into;
        let index = self.ports.len();
        let number = u16::try_from(index).unwrap_or(u16::MAX);
        let side = self.side(base);
        let mut port = UdpPort::new(SocketId(base), number, socket, side);
        port.connected = Some(peer);
        port.receive(ring, room);
        self.ports.push(Some(port));
        self.note(usize::from(base), Some(peer), index);
    }

    /// The kernel takes datagrams of a socket again.
    pub(in crate::io) fn on_ready(&mut self, ring: &mut Ring, index: u16) {
        if let Some(port) = self.port(usize::from(index)) {
            port.unblock(ring);
        }
    }

    /// Takes in what a socket's error queue tells.
    pub(in crate::io) fn read_errors(&mut self, index: u16) {
        let Some(Some(port)) = self.ports.get_mut(usize::from(index)) else {
            return;
        };
        for _ in 0..limits::ERRORS_OF_TURN {
            match icmp::next(port.as_fd()) {
                Ok(Some(News::Unreachable(peer, quoted))) => {
                    self.unreachable.push((port.id, peer, quoted));
                }
                Ok(Some(News::TooLong)) => port.fragment(),
                Ok(Some(News::Nothing)) => {}
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "cannot read a socket's error queue");
                    break;
                }
            }
        }
    }

    /// Who is not there.
    pub(in crate::io) fn take_unreachable(&mut self) -> Option<Unreachable> {
        self.unreachable.pop()
    }

    /// Connects a socket to each peer that is to have one. Only while nothing is staged: what
    /// is staged for a socket has no other name than that of its peer.
    pub(in crate::io) fn connect(&mut self, into: Receiver<'_>, counters: &mut Counters) {
        let Receiver { ring, room } = into;
        for index in 0..self.peers.len() {
            let Some(Some(peers)) = self.peers.get_mut(index) else {
                continue;
            };
            let Some(wanted) = peers.take_wanted() else {
                continue;
            };
            match self.connect_one(Receiver { ring, room }, index, wanted) {
                Ok(()) => counters.udp_peers_connected += 1,
                // Its datagrams go on by the socket that is connected to nobody.
                Err(error) => tracing::debug!(?wanted, %error, "cannot connect a UDP socket"),
            }
        }
    }

    fn connect_one(
        &mut self,
        into: Receiver<'_>,
        base: usize,
        wanted: Wanted,
    ) -> std::io::Result<()> {
        let Receiver { ring, room } = into;
        let (peer, index) = match wanted {
            Wanted::Reuse(peer, index) => {
                let port = self.port(index);
                let was = port.as_ref().and_then(|port| port.connected);
                let connected = port.map_or(Ok(()), |port| port.connect(peer));
                let now = connected.is_ok().then_some(peer);
                self.note(base, now.or(was), index);
                return connected;
            }
            Wanted::New(peer) => (peer, self.ports.len()),
        };
        let Some(of) = self.port(base) else {
            return Ok(());
        };
        let number = u16::try_from(index).unwrap_or(u16::MAX);
        let socket = socket::beside(&of.socket)?;
        let mut port = UdpPort::new(of.id, number, socket, of.side);
        port.connect(peer)?;
        port.receive(ring, room);
        self.ports.push(Some(port));
        self.note(base, Some(peer), index);
        Ok(())
    }

    /// The upstream socket's peer has a socket of its own from now on.
    fn note(&mut self, base: usize, peer: Option<SocketAddr>, index: usize) {
        if let (Some(Some(peers)), Some(peer)) = (self.peers.get_mut(base), peer) {
            peers.on_connected(peer, index);
        }
    }

    /// Bytes of kernel memory that what waits to be received holds.
    pub(in crate::io) fn held(&self) -> u64 {
        let ports = self.ports.iter().flatten();
        ports.map(|port| socket::held(port.as_fd())).sum()
    }

    /// True when datagrams wait to be sent.
    pub(in crate::io) fn are_waiting(&self) -> bool {
        self.ports.iter().flatten().any(|port| port.waiting() > 0)
    }

    fn port(&mut self, index: usize) -> Option<&mut UdpPort> {
        self.ports.get_mut(index).and_then(Option::as_mut)
    }
}

#[cfg(test)]
mod tests;
