//! A UDP socket of a shard, with what waits to leave through it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::Socket;

use super::Counters;
use super::batch::SendBatch;
use super::readiness::Ready;
use crate::bytes::Buf;
use crate::id::SocketId;
use crate::limits;
use crate::send::DatagramQueue;

/// A bound socket and its queue.
pub(super) struct UdpPort {
    id: SocketId,
    socket: Socket,
    queue: DatagramQueue,
    /// The kernel took no more the last time.
    is_blocked: bool,
    /// The readiness set tells when it takes more.
    is_watched: bool,
}

/// Why a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Nothing waits.
    All,
    /// The kernel takes no more for now.
    Blocked,
}

impl UdpPort {
    pub(super) fn new(id: SocketId, socket: Socket) -> Self {
        let queue = DatagramQueue::new(limits::DATAGRAM_QUEUE_MAX);
        Self {
            id,
            socket,
            queue,
            is_blocked: false,
            is_watched: false,
        }
    }

    /// Number of datagrams that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// True from a flush that found the kernel's buffer full until `unblock`.
    pub(super) const fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// The kernel takes datagrams again.
    pub(super) const fn unblock(&mut self) {
        self.is_blocked = false;
    }

    /// What the readiness set should be asked for, where that has changed.
    pub(super) fn new_interest(&mut self) -> Option<Ready> {
        if self.is_watched == self.is_blocked {
            return None;
        }
        self.is_watched = self.is_blocked;
        Some(if self.is_watched {
            Ready::READ_WRITE
        } else {
            Ready::READ
        })
    }

    /// Adds a datagram; it leaves with the next flush.
    pub(super) fn push(&mut self, peer: SocketAddr, bytes: Buf, counters: &mut Counters) {
        let is_request = !bytes.starts_with(b"SIP/2.0");
        let before = self.queue.dropped();
        self.queue.push(peer, bytes, is_request);
        let after = self.queue.dropped();
        counters.udp_dropped_requests += after.requests - before.requests;
        counters.udp_dropped_others += after.others - before.others;
    }

    /// Sends what waits until the kernel takes no more. Peers that the kernel
    /// itself knows no way to go to `unreachable`.
    pub(super) fn flush(
        &mut self,
        batch: &mut SendBatch,
        counters: &mut Counters,
        unreachable: &mut Vec<(SocketId, SocketAddr)>,
    ) -> Flushed {
        let mut failed_before = false;
        while !self.queue.is_empty() {
            let front = self.queue.front(limits::DATAGRAM_BATCH);
            let error = match batch.send(self.socket.as_fd(), front) {
                Ok(sent) => {
                    self.queue.advance(sent);
                    counters.udp_sent += sent as u64;
                    failed_before = false;
                    continue;
                }
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return Flushed::Blocked;
                }
                io::ErrorKind::Interrupted => {}
                // The first failure may be the socket's memory of an ICMP
                // error about another datagram; reading it clears it. A
                // second one is about this datagram.
                _ if !failed_before => failed_before = true,
                kind => {
                    failed_before = false;
                    counters.udp_unsendable += 1;
                    let first = self.queue.front(1).next();
                    let is_unreachable = matches!(
                        kind,
                        io::ErrorKind::HostUnreachable
                            | io::ErrorKind::NetworkUnreachable
                            | io::ErrorKind::NetworkDown
                            | io::ErrorKind::ConnectionRefused
                    );
                    let peer = first.filter(|_| is_unreachable).map(|(peer, _)| peer);
                    unreachable.extend(peer.map(|peer| (self.id, peer)));
                    self.queue.advance(1);
                }
            }
        }
        self.is_blocked = false;
        Flushed::All
    }
}

impl AsFd for UdpPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::bytes::Pool;
    use crate::io::batch::ReceiveBatch;
    use crate::io::readiness::Readiness;
    use crate::io::socket;
    use crate::time::Duration;

    fn port() -> UdpPort {
        UdpPort::new(
            SocketId(0),
            socket::udp("127.0.0.1:0".parse().unwrap()).unwrap(),
        )
    }

    /// A datagram whose every byte is its number.
    fn message(number: usize) -> Vec<u8> {
        let byte = u8::try_from(number % 251).unwrap();
        vec![byte; 1_000 + number % 7]
    }

    /// The smallest SO_SNDBUF holds two or three of these, so a queue full of
    /// them meets the full buffer many times. The receiver reads all there is
    /// each time, so that what is missing at the end was lost by the sender.
    #[test]
    fn a_full_send_buffer_delays_datagrams_and_neither_loses_nor_cuts_any() {
        let (mut port, mut counters) = (port(), Counters::default());
        port.socket.set_send_buffer_size(1).unwrap();
        let mut readiness = Readiness::new().unwrap();
        readiness.add(port.as_fd(), 0, Ready::READ_WRITE).unwrap();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = receiver.local_addr().unwrap();
        let (pool, count) = (Pool::new(), limits::DATAGRAM_QUEUE_MAX);
        for number in 0..count {
            port.push(peer, pool.copy(&message(number)), &mut counters);
        }
        let (mut send, mut receive) = (SendBatch::new(), ReceiveBatch::new());
        let (mut blocked, mut arrived) = (0, 0);
        while arrived < count {
            let flushed = port.flush(&mut send, &mut counters, &mut Vec::new());
            blocked += usize::from(flushed == Flushed::Blocked);
            for index in 0..receive.receive(receiver.as_fd()).unwrap() {
                let (_, bytes) = receive.datagram(index).unwrap();
                assert!(
                    bytes == message(arrived),
                    "datagram {arrived} is not what was sent"
                );
                arrived += 1;
            }
            let writable = readiness.wait(Duration::from_secs(5)).unwrap();
            assert_eq!(
                writable, 1,
                "{arrived} of {count} arrived, then the buffer stayed full"
            );
        }
        assert!(blocked > 100, "the buffer was full only {blocked} times");
        assert_eq!((port.waiting(), counters.udp_sent), (0, count as u64));
        assert_eq!(
            (counters.udp_dropped_requests, counters.udp_unsendable),
            (0, 0)
        );
    }

    #[test]
    fn an_error_about_one_peer_costs_the_others_nothing() {
        let (mut port, mut counters) = (port(), Counters::default());
        let closed = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = receiver.local_addr().unwrap();
        let (pool, mut send) = (Pool::new(), SendBatch::new());
        for _ in 0..10 {
            for to in [closed, peer] {
                port.push(to, pool.copy(b"OPTIONS"), &mut counters);
                let flushed = port.flush(&mut send, &mut counters, &mut Vec::new());
                assert_eq!(flushed, Flushed::All);
            }
        }
        assert_eq!(ReceiveBatch::new().receive(receiver.as_fd()).unwrap(), 10);
    }

    #[test]
    fn a_datagram_that_cannot_leave_is_counted_and_blocks_nobody() {
        let (mut port, mut counters) = (port(), Counters::default());
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = receiver.local_addr().unwrap();
        let (pool, mut unreachable) = (Pool::new(), Vec::new());
        port.push(peer, pool.copy(&vec![0; 65_520]), &mut counters);
        port.push(peer, pool.copy(b"fits"), &mut counters);
        port.flush(&mut SendBatch::new(), &mut counters, &mut unreachable);
        assert_eq!((counters.udp_unsendable, counters.udp_sent), (1, 1));
        assert_eq!(unreachable, []);
    }
}
