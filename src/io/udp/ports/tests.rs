//! A shard's UDP sockets, through a ring and the loopback.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::*;
use crate::bytes::Pool;
use crate::io::Purpose;
use crate::io::completion_id::CompletionId;
use crate::io::ring::Room;

const PATIENCE: Duration = Duration::from_secs(5);
const NOW: Duration = Duration::ZERO;

/// One upstream socket, as an engine drives it.
struct World {
    // Ends before the room that it receives into.
    ring: Ring,
    room: Room,
    ports: UdpPorts,
    addr: SocketAddr,
    pool: Pool,
    counters: Counters,
}

impl World {
    fn new() -> Self {
        let (mut ring, room) = Ring::new().unwrap();
        let socket = socket::upstream("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        let mut ports = UdpPorts::default();
        ports.add(
            Receiver {
                ring: &mut ring,
                room: &room,
            },
            Some(socket),
            Side::Core,
        );
        Self {
            ring,
            room,
            ports,
            addr,
            pool: Pool::new(),
            counters: Counters::default(),
        }
    }

    /// Each of these sends a datagram, and one turn takes them in: which sockets they came
    /// through, and whose they are.
    fn hear(&mut self, senders: &[&UdpSocket]) -> Vec<(u16, SocketAddr)> {
        for sender in senders {
            sender.send_to(b"OPTIONS", self.addr).unwrap();
        }
        let (mut heard, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        while heard.len() < senders.len() {
            let most = if self.ring.has_more() { NOW } else { PATIENCE };
            self.ring.enter(Some(most)).unwrap();
            self.ports.connect(
                Receiver {
                    ring: &mut self.ring,
                    room: &self.room,
                },
                &mut self.counters,
            );
            self.ports.on_sent(&mut self.ring, &mut self.counters);
            while let Some(completion) = self.ring.next() {
                let CompletionId::Udp(index) = completion.id else {
                    continue;
                };
                if let (Ok(count), Some(buffer)) = (completion.result, completion.buffer) {
                    let filled = self.room.datagrams(Side::Core).filled(buffer, count);
                    let (peer, _) = self.ring.datagram(filled).unwrap();
                    let id = self.ports.on_datagram(index, peer);
                    assert_eq!(id, Some(SocketId(0)), "the core knows one socket");
                    heard.push((index, peer));
                    self.room.datagrams(Side::Core).give_back(buffer);
                }
                if !completion.goes_on {
                    self.ports.receive(
                        Receiver {
                            ring: &mut self.ring,
                            room: &self.room,
                        },
                        index,
                    );
                }
            }
            assert!(Instant::now() < deadline, "all of them come");
        }
        heard
    }

    /// So many datagrams of each, one turn after the other; through which sockets the last came.
    fn hear_much(&mut self, senders: &[&UdpSocket]) -> Vec<u16> {
        for _ in 0..limits::PEER_SOCKET_AFTER + 4 {
            self.hear(senders);
        }
        let mut last = self.hear(senders);
        last.sort_by_key(|(_, peer)| senders.iter().position(|it| addr_of(it) == *peer));
        last.into_iter().map(|(index, _)| index).collect()
    }

    /// Sends, and what the receiver makes of it.
    fn say(&mut self, to: &UdpSocket) -> SocketAddr {
        let bytes = self.pool.copy(b"SIP/2.0");
        let peer = addr_of(to);
        let (ring, counters) = (&mut self.ring, &mut self.counters);
        self.ports.push(ring, SocketId(0), peer, bytes, counters);
        self.ring.enter(Some(NOW)).unwrap();
        self.ports.on_sent(&mut self.ring, &mut self.counters);
        let (len, from) = to.recv_from(&mut [0; 100]).unwrap();
        assert_eq!(len, 7);
        from
    }
}

fn peer() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    patient(&socket);
    socket
}

fn patient(socket: &UdpSocket) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
}

fn addr_of(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().unwrap()
}

#[test]
fn homes_get_sockets_of_their_own_and_everybody_else_is_still_heard() {
    let mut world = World::new();
    let (homes, other) = ([peer(), peer()], peer());
    assert_eq!(world.hear_much(&[&homes[0], &homes[1]]), [1, 2]);
    assert_eq!(world.counters.udp_peers_connected, 2);
    assert_eq!(world.hear(&[&other]), [(0, addr_of(&other))]);
    for to in [&homes[0], &other, &homes[1]] {
        assert_eq!(world.say(to), world.addr, "one port for all");
    }
    assert_eq!(world.counters.udp_sent, 3);
}

#[test]
fn a_home_that_moved_takes_the_socket_of_one_that_is_gone() {
    let mut world = World::new();
    let peers: Vec<_> = (0..limits::PEER_SOCKETS_MAX).map(|_| peer()).collect();
    for (number, peer) in (1..).zip(&peers) {
        assert_eq!(world.hear_much(&[peer]), [number]);
    }
    // The first time says since when the others are idle.
    let moved = peer();
    assert_eq!(world.hear_much(&[&moved]), [0]);
    for peer in &peers[1..] {
        world.say(peer);
    }
    assert_eq!(world.hear_much(&[&moved]), [1]);
    // The one that gave way is met as before it had a socket.
    assert_eq!(world.hear(&[&peers[0]]), [(0, addr_of(&peers[0]))]);
    for to in [&peers[0], &moved, &peers[1]] {
        assert_eq!(world.say(to), world.addr);
    }
}

#[test]
fn what_waited_for_another_peer_goes_to_that_one() {
    let mut world = World::new();
    let (first, second) = (peer(), peer());
    let socket = socket::udp("127.0.0.1:0".parse().unwrap(), Purpose::Everybody).unwrap();
    let mut port = UdpPort::new(SocketId(0), 1, socket, Side::Core);
    port.connect(addr_of(&first)).unwrap();
    port.is_blocked = true;
    for (to, text) in [(&first, b"1"), (&second, b"2")] {
        let bytes = world.pool.copy(text);
        port.push(&mut world.ring, addr_of(to), bytes, &mut world.counters);
    }
    port.connect(addr_of(&second)).unwrap();
    port.unblock(&mut world.ring);
    world.ring.enter(Some(NOW)).unwrap();
    for (at, text) in [(&first, b"1"), (&second, b"2")] {
        let mut got = [0; 10];
        assert_eq!(at.recv(&mut got).unwrap(), 1);
        assert_eq!(&got[..1], text);
    }
}

#[test]
fn a_home_that_is_started_again_is_reached_at_once() {
    let mut world = World::new();
    let home = peer();
    assert_eq!(world.hear_much(&[&home]), [1]);
    let addr = addr_of(&home);
    drop(home);
    // The port is closed: ICMP says so, and the socket remembers it.
    for _ in 0..3 {
        let bytes = world.pool.copy(b"OPTIONS");
        let (ring, counters) = (&mut world.ring, &mut world.counters);
        world.ports.push(ring, SocketId(0), addr, bytes, counters);
        world.ring.enter(Some(NOW)).unwrap();
        world.ports.on_sent(&mut world.ring, &mut world.counters);
    }
    world.ring.enter(Some(NOW)).unwrap();
    world.ports.on_sent(&mut world.ring, &mut world.counters);
    world.ports.read_errors(1);
    let (socket, told, quoted) = world.ports.take_unreachable().unwrap();
    assert_eq!(
        (socket, told, &quoted[..]),
        (SocketId(0), addr, &b"OPTIONS"[..])
    );
    let home = UdpSocket::bind(addr).unwrap();
    patient(&home);
    assert_eq!(world.say(&home), world.addr);
    assert_eq!(world.hear(&[&home]), [(1, addr)]);
}
