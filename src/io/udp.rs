//! A UDP socket of a shard, with what waits to leave through it.

mod peers;
mod ports;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Socket};

use super::Counters;
use super::ring::{Datagram, Ring, Room, Side};
use super::{completion_id, socket};
use crate::bytes::Buf;
use crate::id::SocketId;
use crate::limits;
use crate::send::DatagramQueue;

pub(super) use ports::UdpPorts;

/// A socket of ours, who is not there, and how what was sent there begins.
pub(super) type Unreachable = (SocketId, SocketAddr, Box<[u8]>);

/// A bound socket, and what waits while the kernel's buffer is full.
struct UdpPort {
    /// What the core knows it by, which those of one port have in common.
    id: SocketId,
    /// Its own index among the sockets of the shard.
    index: u16,
    socket: Socket,
    side: Side,
    /// Whom it is connected to.
    connected: Option<SocketAddr>,
    queue: DatagramQueue,
    /// The kernel took no more the last time: it tells when it does.
    is_blocked: bool,
    /// The ring receives from it.
    is_receiving: bool,
    /// What the socket was last told about fragments.
    fragments: Fragments,
    /// Something that may be fragmented is staged.
    has_staged_long: bool,
}

/// Whether the kernel may fragment what the socket sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fragments {
    /// It may, always.
    Always,
    /// It may, for now: something long is sent.
    Now,
    /// It may not: what is sent is short.
    None,
}

/// What is to be done with a datagram that the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// It waits until the kernel takes more.
    Wait,
    /// It is sent again: the error may be that of another datagram.
    Again,
    /// It is sent again in as many fragments as it takes.
    Fragment,
    /// It is given up.
    GiveUp,
}

impl UdpPort {
    fn new(id: SocketId, index: u16, socket: Socket, side: Side) -> Self {
        let queue = DatagramQueue::new(limits::DATAGRAM_QUEUE_MAX);
        let is_v4 = matches!(socket.domain(), Ok(Domain::IPV4));
        let fragments = if is_v4 {
            Fragments::Now
        } else {
            Fragments::Always
        };
        Self {
            id,
            index,
            socket,
            side,
            connected: None,
            queue,
            is_blocked: false,
            is_receiving: false,
            fragments,
            has_staged_long: false,
        }
    }

    /// Has the kernel send to this peer without looking up the way each time, and receive here
    /// what it sends. Nothing may be staged meanwhile.
    fn connect(&mut self, peer: SocketAddr) -> io::Result<()> {
        self.socket.connect(&peer.into())?;
        self.connected = Some(peer);
        Ok(())
    }

    /// Receives datagrams until that fails.
    fn receive(&mut self, ring: &mut Ring, room: &Room) {
        if !std::mem::replace(&mut self.is_receiving, true) {
            ring.receive_datagrams(self.socket.as_fd(), self.index, room, self.side);
        }
    }

    /// Number of datagrams that wait.
    fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Some way carries no datagram of ours whole: they may be fragmented from now on.
    /// Whoever forges the news that asks for it makes each datagram a little dearer, and
    /// no more.
    fn fragment(&mut self) {
        let was = std::mem::replace(&mut self.fragments, Fragments::Always);
        if was == Fragments::None {
            self.allow_fragments(true);
        }
    }

    /// Sends a datagram with the next enter, or when the kernel takes more.
    fn push(&mut self, ring: &mut Ring, peer: SocketAddr, bytes: Buf, counters: &mut Counters) {
        if self.is_blocked {
            return self.queue(peer, bytes, counters);
        }
        self.stage(ring, Datagram::new(self.index, peer, bytes));
    }

    /// An enter has taken what was staged.
    const fn on_entered(&mut self) {
        self.has_staged_long = false;
    }

    /// The kernel takes datagrams again.
    fn unblock(&mut self, ring: &mut Ring) {
        self.is_blocked = false;
        while let Some((peer, bytes)) = self.queue.pop() {
            self.stage(ring, Datagram::new(self.index, peer, bytes));
        }
    }

    /// The kernel refused a datagram. A peer that it knows no way to goes to `unreachable`.
    fn on_refused(
        &mut self,
        ring: &mut Ring,
        mut datagram: Datagram,
        error: i32,
        counters: &mut Counters,
        unreachable: &mut Vec<Unreachable>,
    ) {
        match self.judge(&datagram, error) {
            Refusal::Wait => {
                if !std::mem::replace(&mut self.is_blocked, true) {
                    ring.poll_writable(self.socket.as_fd(), completion_id::udp_ready(self.index));
                }
                self.queue(datagram.peer, datagram.bytes, counters);
            }
            Refusal::Again => {
                datagram.tries += 1;
                self.stage(ring, datagram);
            }
            Refusal::Fragment => {
                self.fragment();
                self.stage(ring, datagram);
            }
            Refusal::GiveUp => {
                counters.udp_unsendable += 1;
                if is_unreachable(error) {
                    let bytes = &datagram.bytes;
                    let quoted = bytes.get(..limits::QUOTE_MAX).unwrap_or(bytes);
                    unreachable.push((self.id, datagram.peer, quoted.into()));
                }
            }
        }
    }

    fn judge(&self, datagram: &Datagram, error: i32) -> Refusal {
        match error {
            libc::EAGAIN => Refusal::Wait,
            libc::EMSGSIZE if self.fragments == Fragments::None => Refusal::Fragment,
            // It may be the socket's memory of an ICMP error about another datagram, which
            // this send has cleared, and the next one may be too: who forges them is not to
            // fail what others send.
            _ if datagram.tries + 1 < limits::SEND_TRIES_MAX => Refusal::Again,
            _ => Refusal::GiveUp,
        }
    }

    fn queue(&mut self, peer: SocketAddr, bytes: Buf, counters: &mut Counters) {
        let is_request = is_request(&bytes);
        let before = self.queue.dropped();
        self.queue.push(peer, bytes, is_request);
        let after = self.queue.dropped();
        counters.udp_dropped_requests += after.requests - before.requests;
        counters.udp_dropped_others += after.others - before.others;
    }

    /// Stages a datagram: whole where all that is staged is short.
    fn stage(&mut self, ring: &mut Ring, datagram: Datagram) {
        let is_long = datagram.bytes.len() > limits::UNFRAGMENTED_MAX;
        match self.fragments {
            Fragments::None if is_long => {
                self.fragments = Fragments::Now;
                self.allow_fragments(true);
            }
            Fragments::Now if !is_long && !self.has_staged_long => {
                self.fragments = Fragments::None;
                self.allow_fragments(false);
            }
            Fragments::Always | Fragments::Now | Fragments::None => {}
        }
        self.has_staged_long |= is_long;
        // What waited while the socket was connected to somebody else names its peer.
        let is_connected = self.connected == Some(datagram.peer);
        ring.send(self.socket.as_fd(), datagram, is_connected);
    }

    fn allow_fragments(&self, are_allowed: bool) {
        if let Err(error) = socket::allow_fragments(&self.socket, are_allowed) {
            tracing::warn!(%error, "cannot say whether datagrams may be fragmented");
        }
    }
}

/// Whether the kernel knows no way there. That a connection is refused it says of
/// a datagram that has left, and never of one that is about to.
fn is_unreachable(error: i32) -> bool {
    matches!(
        io::Error::from_raw_os_error(error).kind(),
        io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

impl AsFd for UdpPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether a datagram of ours is a request, which its sender repeats: it begins with the
/// letters of a method, where STUN and the answer to CRLF begin with a control character.
fn is_request(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_alphabetic) && !bytes.starts_with(b"SIP/2.0")
}

#[cfg(test)]
mod tests;
