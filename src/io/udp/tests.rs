//! What a UDP port promises, through a ring and the loopback.

use std::net::UdpSocket;

use super::*;
use crate::bytes::Pool;
use crate::io::Purpose;
use crate::io::ring::Room;
use crate::time::Duration;

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5060);

/// A port with all that it needs.
struct World {
    // Ends before the room that it receives into.
    ring: Ring,
    _room: Room,
    port: UdpPort,
    pool: Pool,
    counters: Counters,
    unreachable: Vec<Unreachable>,
}

impl World {
    fn new() -> Self {
        let socket = socket::udp("127.0.0.1:0".parse().unwrap(), Purpose::Everybody).unwrap();
        let (ring, room) = Ring::new().unwrap();
        Self {
            ring,
            _room: room,
            port: UdpPort::new(SocketId(0), 0, socket, Side::Access),
            pool: Pool::new(),
            counters: Counters::default(),
            unreachable: Vec::new(),
        }
    }

    fn push(&mut self, to: SocketAddr, bytes: &[u8]) {
        let bytes = self.pool.copy(bytes);
        self.port
            .push(&mut self.ring, to, bytes, &mut self.counters);
    }

    /// Enters until nothing is staged and the kernel has refused nothing.
    fn settle(&mut self) {
        loop {
            self.ring.enter(Some(Duration::ZERO)).unwrap();
            self.port.on_entered();
            self.counters.udp_sent += self.ring.take_sent();
            while let Some((datagram, error)) = self.ring.take_refused() {
                let (counters, unreachable) = (&mut self.counters, &mut self.unreachable);
                self.port
                    .on_refused(&mut self.ring, datagram, error, counters, unreachable);
            }
            if !self.ring.has_staged() {
                return;
            }
        }
    }

    /// The kernel refuses a datagram so many times in a row, with this error.
    fn refuse(&mut self, times: u32, error: i32) -> Option<Datagram> {
        let mut datagram = Datagram::new(0, PEER, self.pool.copy(b"OPTIONS"));
        for _ in 0..times {
            let (counters, unreachable) = (&mut self.counters, &mut self.unreachable);
            self.port
                .on_refused(&mut self.ring, datagram, error, counters, unreachable);
            datagram = self.ring.unstage()?;
        }
        Some(datagram)
    }
}

/// A socket on the loopback, and where it is.
fn receiver() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// All that has come, in order.
fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 70_000];
    std::iter::from_fn(|| {
        let length = socket.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    })
    .collect()
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

#[test]
fn what_the_kernel_has_no_room_for_waits_in_order_until_it_has() {
    let mut world = World::new();
    let (receiver, peer) = receiver();
    for byte in b"ab" {
        let datagram = Datagram::new(0, peer, world.pool.copy(&[*byte]));
        let (counters, unreachable) = (&mut world.counters, &mut world.unreachable);
        world.port.on_refused(
            &mut world.ring,
            datagram,
            libc::EAGAIN,
            counters,
            unreachable,
        );
    }
    // What comes later waits behind it.
    world.push(peer, b"c");
    assert_eq!((world.port.waiting(), received(&receiver).len()), (3, 0));
    // The kernel does have room, and says so.
    world.ring.enter(Some(Duration::from_secs(5))).unwrap();
    let ready = world.ring.next().unwrap();
    assert_eq!(ready.id, completion_id::CompletionId::UdpReady(0));
    world.port.unblock(&mut world.ring);
    world.settle();
    assert_eq!(received(&receiver), [b"a", b"b", b"c"]);
    assert_eq!((world.port.waiting(), world.counters.udp_sent), (0, 3));
}

#[test]
fn many_failures_may_be_those_of_other_datagrams_and_too_many_are_its_own() {
    for error in [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::EPROTO] {
        let mut world = World::new();
        let again = world.refuse(limits::SEND_TRIES_MAX - 1, error);
        assert!(again.is_some() && world.counters.udp_unsendable == 0);
        assert!(world.refuse(limits::SEND_TRIES_MAX, error).is_none());
        assert_eq!(world.counters.udp_unsendable, 1);
        let told = usize::from(error == libc::EHOSTUNREACH);
        assert_eq!(world.unreachable.len(), told);
    }
}

#[test]
fn a_way_that_is_too_narrow_gets_fragments_from_then_on() {
    let mut world = World::new();
    world.push(PEER, b"short");
    assert_eq!(world.port.fragments, Fragments::None);
    world.settle();
    assert!(world.refuse(1, libc::EMSGSIZE).is_some());
    assert_eq!(world.port.fragments, Fragments::Always);
    // What no fragments help is lost alone.
    assert!(
        world
            .refuse(limits::SEND_TRIES_MAX, libc::EMSGSIZE)
            .is_none()
    );
    assert_eq!(world.counters.udp_unsendable, 1);
}

/// In their order, whole where all of them are short.
#[test]
fn only_what_is_short_is_sent_whole() {
    let longest = limits::UNFRAGMENTED_MAX;
    for (lengths, want) in [
        (&[longest, 10][..], Fragments::None),
        (&[10, longest + 1, 60_000, longest], Fragments::Now),
    ] {
        let mut world = World::new();
        let (receiver, peer) = receiver();
        for (number, length) in lengths.iter().enumerate() {
            world.push(peer, &vec![u8::try_from(number).unwrap(); *length]);
        }
        assert_eq!(world.port.fragments, want);
        world.settle();
        let got = received(&receiver);
        assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
        assert!(
            got.iter()
                .zip(0..)
                .all(|(bytes, number)| bytes[0] == number)
        );
        world.push(peer, b"short");
        assert_eq!(world.port.fragments, Fragments::None);
    }
}

#[test]
fn an_error_about_one_peer_costs_the_others_nothing() {
    let mut world = World::new();
    let (receiver, peer) = receiver();
    let (gone, closed) = self::receiver();
    drop(gone);
    for _ in 0..10 {
        for to in [closed, peer] {
            world.push(to, b"OPTIONS");
            world.settle();
        }
    }
    assert_eq!(received(&receiver).len(), 10);
}

#[test]
fn a_datagram_that_cannot_leave_is_counted_and_blocks_nobody() {
    let mut world = World::new();
    let (receiver, peer) = receiver();
    world.push(peer, &vec![0; 65_520]);
    world.push(peer, b"fits");
    world.settle();
    let counters = &world.counters;
    assert_eq!((counters.udp_unsendable, counters.udp_sent), (1, 1));
    assert_eq!((received(&receiver).len(), world.unreachable.len()), (1, 0));
}

/// The loopback takes a datagram from the sender's buffer at once and loses it at a
/// full receiver: this burst shows that nothing arrives cut or out of order even from
/// the smallest SO_SNDBUF, and that what does not arrive was lost by the receiver's
/// kernel buffer, not here.
#[test]
fn a_burst_toward_a_slow_receiver_arrives_whole_or_not_at_all() {
    let mut world = World::new();
    world.port.socket.set_send_buffer_size(1).unwrap();
    let (receiver, peer) = receiver();
    let count = 4_000;
    for number in 0..count {
        world.push(peer, &message(number));
    }
    world.settle();
    assert_eq!(world.counters.udp_sent, count as u64);
    let got = received(&receiver);
    assert!(
        got.iter()
            .enumerate()
            .all(|(number, bytes)| *bytes == message(number))
    );
    assert_eq!(got.len() + lost_by_receiver(peer), count);
}

/// A datagram whose every byte is its number.
fn message(number: usize) -> Vec<u8> {
    let byte = u8::try_from(number % 251).unwrap();
    vec![byte; 1_000 + number % 7]
}

/// Datagrams for which the socket at `addr` had no room, as the kernel counts them.
fn lost_by_receiver(addr: SocketAddr) -> usize {
    let port = format!(":{:04X}", addr.port());
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let mut rows = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row[1].ends_with(&port)).unwrap();
    row.last().unwrap().parse().unwrap()
}
