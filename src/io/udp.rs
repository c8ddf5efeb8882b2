//! A UDP socket of a shard, with what waits to leave through it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Socket};

use super::Counters;
use super::batch::SendBatch;
use super::engine::Unreachable;
use super::readiness::Ready;
use super::socket;
use crate::bytes::Buf;
use crate::id::SocketId;
use crate::limits;
use crate::send::DatagramQueue;

/// A bound socket and its queue.
pub(super) struct UdpPort {
    id: SocketId,
    sender: Sender,
    queue: DatagramQueue,
    /// The kernel took no more the last time.
    is_blocked: bool,
    /// The readiness set tells when it takes more.
    is_watched: bool,
}

/// The socket, and what it was last told about fragments.
struct Sender {
    socket: Socket,
    /// Nothing it sends is fragmented. `None`: all of it may be, always.
    is_whole: Option<bool>,
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
        let is_v4 = matches!(socket.domain(), Ok(Domain::IPV4));
        Self {
            id,
            sender: Sender {
                socket,
                is_whole: is_v4.then_some(false),
            },
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

    /// Some way carries no datagram of ours whole: they may be fragmented.
    pub(super) fn fragment(&mut self) {
        if let Err(error) = self.sender.fragment() {
            tracing::warn!(%error, "cannot let datagrams be fragmented");
        }
    }

    /// Adds a datagram; it leaves with the next flush.
    pub(super) fn push(&mut self, peer: SocketAddr, bytes: Buf, counters: &mut Counters) {
        let is_request = is_request(&bytes);
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
        unreachable: &mut Vec<Unreachable>,
    ) -> Flushed {
        let send = |socket: &Socket, queue: &DatagramQueue| {
            batch.send(socket.as_fd(), queue.front(limits::DATAGRAM_BATCH))
        };
        self.flush_with(send, counters, unreachable)
    }

    /// `send` sends from the front of the queue and says how many the kernel
    /// took, as `SendBatch::send` does.
    fn flush_with(
        &mut self,
        mut send: impl FnMut(&Socket, &DatagramQueue) -> io::Result<usize>,
        counters: &mut Counters,
        unreachable: &mut Vec<Unreachable>,
    ) -> Flushed {
        let mut refusals = 0;
        while !self.queue.is_empty() {
            let error = match self.sender.send(&self.queue, &mut send) {
                Ok(sent) => {
                    self.queue.advance(sent);
                    counters.udp_sent += sent as u64;
                    refusals = 0;
                    continue;
                }
                Err(error) => error,
            };
            if error.kind() == io::ErrorKind::WouldBlock {
                self.is_blocked = true;
                return Flushed::Blocked;
            }
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            // It may be the socket's memory of an ICMP error about another
            // datagram, which this call has cleared, and the next one may be
            // too: who forges them is not to fail what others send.
            refusals += 1;
            if refusals < limits::SEND_TRIES_MAX {
                continue;
            }
            refusals = 0;
            counters.udp_unsendable += 1;
            if is_unreachable(error.kind()) {
                let first = self.queue.front(1).next();
                unreachable.extend(first.map(|(peer, bytes)| {
                    let quoted = bytes.get(..limits::QUOTE_MAX).unwrap_or(bytes);
                    (self.id, peer, quoted.into())
                }));
            }
            self.queue.advance(1);
        }
        self.is_blocked = false;
        Flushed::All
    }
}

impl Sender {
    /// Sends from the front of the queue by `send`: whole where all of that is
    /// short, and where any way turned out too narrow in as many fragments as
    /// it takes.
    fn send(
        &mut self,
        queue: &DatagramQueue,
        mut send: impl FnMut(&Socket, &DatagramQueue) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let is_short = |(_, bytes): (_, &[u8])| bytes.len() <= limits::UNFRAGMENTED_MAX;
        if let Some(is_whole) = self.is_whole {
            let whole = queue.front(limits::DATAGRAM_BATCH).all(is_short);
            if whole != is_whole {
                socket::allow_fragments(&self.socket, !whole)?;
                self.is_whole = Some(whole);
            }
        }
        match send(&self.socket, queue) {
            Err(error)
                if self.is_whole == Some(true) && error.raw_os_error() == Some(libc::EMSGSIZE) =>
            {
                self.fragment()?;
                send(&self.socket, queue)
            }
            sent => sent,
        }
    }

    /// Lets everything be fragmented from now on. Whoever forges the news that
    /// asks for it makes each datagram a little dearer, and no more.
    fn fragment(&mut self) -> io::Result<()> {
        if self.is_whole.take() == Some(true) {
            socket::allow_fragments(&self.socket, true)?;
        }
        Ok(())
    }
}

/// Whether the kernel knows no way there. That a connection is refused it says of
/// a datagram that has left, and never of one that is about to.
const fn is_unreachable(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

impl AsFd for UdpPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sender.socket.as_fd()
    }
}

/// Whether a datagram of ours is a request, which its sender repeats: it begins with the
/// letters of a method, where STUN and the answer to CRLF begin with a control character.
fn is_request(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_alphabetic) && !bytes.starts_with(b"SIP/2.0")
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::bytes::Pool;
    use crate::io::batch::ReceiveBatch;
    use crate::io::sockets::Purpose;

    const PEER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5060);

    fn port() -> UdpPort {
        UdpPort::new(
            SocketId(0),
            socket::udp("127.0.0.1:0".parse().unwrap(), Purpose::Everybody).unwrap(),
        )
    }

    #[test]
    fn what_its_sender_repeats_is_a_request() {
        for (bytes, want) in [
            (&b"INVITE sip:a SIP/2.0\r\n"[..], true),
            (b"SIPHON sip:a SIP/2.0\r\n", true),
            (b"SIP/2.0 200 OK\r\n", false),
            (b"\x01\x01\x00\x0c\x21\x12\xa4\x42", false),
            (b"\r\n", false),
            (b"", false),
        ] {
            assert_eq!(is_request(bytes), want, "{}", bytes.escape_ascii());
        }
    }

    /// A datagram whose every byte is its number.
    fn message(number: usize) -> Vec<u8> {
        let byte = u8::try_from(number % 251).unwrap();
        vec![byte; 1_000 + number % 7]
    }

    /// Flushes five datagrams through a kernel that answers as listed; what
    /// it was offered, by the first byte of each datagram, and the end.
    #[track_caller]
    fn check(answers: &[Result<usize, i32>], want: &[&str], end: Flushed) -> Counters {
        let (mut port, mut counters, pool) = (port(), Counters::default(), Pool::new());
        for byte in b"abcde" {
            port.push(PEER, pool.copy(&[*byte]), &mut counters);
        }
        let (mut offered, mut answers) = (Vec::new(), answers.iter());
        let send = |_: &Socket, queue: &DatagramQueue| {
            let bytes = queue
                .front(limits::DATAGRAM_BATCH)
                .map(|(_, bytes)| char::from(bytes[0]));
            offered.push(bytes.collect::<String>());
            answers
                .next()
                .unwrap()
                .map_err(io::Error::from_raw_os_error)
        };
        assert_eq!(port.flush_with(send, &mut counters, &mut Vec::new()), end);
        assert_eq!(
            (offered, answers.len()),
            (want.iter().map(ToString::to_string).collect(), 0)
        );
        counters
    }

    #[test]
    fn a_full_send_buffer_keeps_the_rest_in_order() {
        let full = Err(libc::EAGAIN);
        let counters = check(&[Ok(2), full], &["abcde", "cde"], Flushed::Blocked);
        assert_eq!((counters.udp_sent, counters.udp_unsendable), (2, 0));
        check(&[full], &["abcde"], Flushed::Blocked);
        check(
            &[Ok(1), Err(libc::EINTR), Ok(4)],
            &["abcde", "bcde", "bcde"],
            Flushed::All,
        );
    }

    #[test]
    fn many_failures_may_be_those_of_other_datagrams_and_too_many_are_its_own() {
        let most = limits::SEND_TRIES_MAX as usize;
        for error in [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::EPROTO] {
            let mut answers = vec![Err(error); most - 1];
            answers.push(Ok(5));
            let counters = check(&answers, &vec!["abcde"; most], Flushed::All);
            assert_eq!((counters.udp_sent, counters.udp_unsendable), (5, 0));
            let mut answers = vec![Ok(2)];
            answers.extend(vec![Err(error); most]);
            answers.push(Ok(2));
            let mut want = vec!["abcde"];
            want.extend(vec!["cde"; most]);
            want.push("de");
            let counters = check(&answers, &want, Flushed::All);
            assert_eq!((counters.udp_sent, counters.udp_unsendable), (4, 1));
        }
    }

    /// The loopback takes a datagram from the sender's buffer at once and
    /// loses it at a full receiver: this burst shows that nothing arrives cut
    /// or out of order even from the smallest SO_SNDBUF, and that what does
    /// not arrive was lost by the receiver's kernel buffer, not here.
    #[test]
    fn a_burst_toward_a_slow_receiver_arrives_whole_or_not_at_all() {
        let (mut port, mut counters) = (port(), Counters::default());
        port.sender.socket.set_send_buffer_size(1).unwrap();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = receiver.local_addr().unwrap();
        let (pool, count) = (Pool::new(), 4_000);
        for number in 0..count {
            port.push(peer, pool.copy(&message(number)), &mut counters);
        }
        let flushed = port.flush(&mut SendBatch::new(), &mut counters, &mut Vec::new());
        assert_eq!((flushed, counters.udp_sent), (Flushed::All, count as u64));
        let (mut receive, mut arrived) = (ReceiveBatch::new(), 0);
        while receive.receive(receiver.as_fd()).unwrap() > 0 {
            for index in 0.. {
                let Some((_, bytes)) = receive.datagram(index) else {
                    break;
                };
                assert!(
                    bytes == message(arrived),
                    "datagram {arrived} is not what was sent"
                );
                arrived += 1;
            }
        }
        assert_eq!(arrived + lost_by_receiver(peer), count);
    }

    /// Datagrams for which the socket at `addr` had no room, as the kernel
    /// counts them.
    fn lost_by_receiver(addr: SocketAddr) -> usize {
        let port = format!(":{:04X}", addr.port());
        let table = std::fs::read_to_string("/proc/net/udp").unwrap();
        let mut rows = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row[1].ends_with(&port)).unwrap();
        row.last().unwrap().parse().unwrap()
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

    /// In their order and in one call, whole where all of them are short.
    #[test]
    fn only_what_is_short_is_sent_whole() {
        let longest = limits::UNFRAGMENTED_MAX;
        for (lengths, whole) in [
            (&[longest, 10][..], true),
            (&[10, longest + 1, 60_000, longest], false),
        ] {
            let (mut port, mut counters) = (port(), Counters::default());
            let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
            let peer = receiver.local_addr().unwrap();
            let pool = Pool::new();
            for (number, length) in lengths.iter().enumerate() {
                let bytes = vec![u8::try_from(number).unwrap(); *length];
                port.push(peer, pool.copy(&bytes), &mut counters);
            }
            let flushed = port.flush(&mut SendBatch::new(), &mut counters, &mut Vec::new());
            assert_eq!((flushed, port.sender.is_whole), (Flushed::All, Some(whole)));
            let mut receive = ReceiveBatch::new();
            assert_eq!(receive.receive(receiver.as_fd()).unwrap(), lengths.len());
            for (number, length) in lengths.iter().enumerate() {
                let (_, bytes) = receive.datagram(number).unwrap();
                assert_eq!((usize::from(bytes[0]), bytes.len()), (number, *length));
            }
        }
    }

    #[test]
    fn a_way_that_is_too_narrow_gets_fragments_from_then_on() {
        let narrow = Err(libc::EMSGSIZE);
        let counters = check(&[narrow, Ok(5)], &["abcde", "abcde"], Flushed::All);
        assert_eq!((counters.udp_sent, counters.udp_unsendable), (5, 0));
        // What no fragments help is lost alone. The first try is two.
        let most = limits::SEND_TRIES_MAX as usize;
        let mut answers = vec![narrow; most + 1];
        answers.push(Ok(4));
        let mut want = vec!["abcde"; most + 1];
        want.push("bcde");
        let counters = check(&answers, &want, Flushed::All);
        assert_eq!((counters.udp_sent, counters.udp_unsendable), (4, 1));
        let mut port = port();
        port.push(PEER, Pool::new().copy(b"a"), &mut Counters::default());
        let sent = port.sender.send(&port.queue, |_, _| Ok(1));
        assert_eq!((sent.unwrap(), port.sender.is_whole), (1, Some(true)));
        port.fragment();
        assert_eq!(port.sender.is_whole, None);
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
