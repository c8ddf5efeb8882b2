//! Where connections are opened from: the address by which peers know this node,
//! and one of its core ports, by which they know that it is the node.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::SystemTime;

use socket2::Socket;

use super::{Counters, socket};
use crate::limits;

/// The core ports of one shard and what came of them.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The addresses of the first listeners of each family.
    v4: IpAddr,
    v6: IpAddr,
    /// The first core port.
    first: u16,
    /// Which of them is next.
    turn: u16,
}

impl Outgoing {
    /// From these addresses, of which the first of each family counts. Where the
    /// ports begin differs from shard to shard and from start to start: one that
    /// the last process used may stand half open at the far end.
    pub(super) fn new(addrs: impl Iterator<Item = IpAddr> + Clone, first: u16, shard: u16) -> Self {
        let of = |is_v4: bool| addrs.clone().find(|addr| addr.is_ipv4() == is_v4);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let chance = now.map_or(0, |now| {
            now.subsec_micros() / 16 % u32::from(limits::CORE_PORTS)
        });
        let chance = u16::try_from(chance).unwrap_or_default();
        Self {
            v4: of(true).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            v6: of(false).unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            first,
            turn: chance.wrapping_add(shard.wrapping_mul(limits::CORE_PORTS / 4)),
        }
    }

    /// A socket to connect to `peer` with, bound to the next core port, after so many
    /// tries; bound to any port when those were all. From that address, or else by which
    /// peers know this node. With the number of ports that were tried now.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub(super) fn socket(
        &mut self,
        from: Option<IpAddr>,
        peer: SocketAddr,
        tries: u16,
        counters: &mut Counters,
    ) -> io::Result<(Socket, u16)> {
        let usual = if peer.is_ipv4() { self.v4 } else { self.v6 };
        let local = from.unwrap_or(usual);
        for tries in tries..limits::CORE_PORTS {
            let port = self.first + self.turn % limits::CORE_PORTS;
            self.turn = self.turn.wrapping_add(1);
            match socket::outgoing(SocketAddr::new(local, port)) {
                Err(error) if error.raw_os_error().is_some_and(is_taken) => {}
                result => return result.map(|socket| (socket, tries + 1)),
            }
        }
        counters.core_ports_exhausted += 1;
        let socket = socket::outgoing(SocketAddr::new(local, 0))?;
        Ok((socket, limits::CORE_PORTS + 1))
    }
}

/// The port is listened at, or it leads to that peer already, be it in a
/// connection that has just ended.
pub(super) const fn is_taken(error: i32) -> bool {
    matches!(error, libc::EADDRINUSE | libc::EADDRNOTAVAIL)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A connection, made as the shard makes it.
    fn connect(ours: &mut Outgoing, peer: SocketAddr, counters: &mut Counters) -> Socket {
        let mut tries = 0;
        loop {
            let (socket, tried) = ours.socket(None, peer, tries, counters).unwrap();
            socket.set_nonblocking(false).unwrap();
            tries = tried;
            match socket.connect(&peer.into()) {
                Err(error) if error.raw_os_error().is_some_and(is_taken) => {}
                result => {
                    result.unwrap();
                    return socket;
                }
            }
        }
    }

    /// Outside of what the kernel gives away, and of what a lab uses.
    const FIRST: u16 = 16_300;

    #[test]
    fn each_connection_to_a_peer_leaves_by_a_core_port_while_there_is_one() {
        let here = IpAddr::from([127, 0, 0, 79]);
        let mut ours = Outgoing::new([here].into_iter(), FIRST, 3);
        let mut counters = Counters::default();
        let peers = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        for peer in &peers {
            let addr = peer.local_addr().unwrap();
            let mut streams = Vec::new();
            let mut ports = Vec::new();
            for _ in 0..limits::CORE_PORTS {
                streams.push(connect(&mut ours, addr, &mut counters));
                let (far_end, from) = peer.accept().unwrap();
                drop(far_end);
                assert_eq!(from.ip(), here);
                ports.push(from.port());
            }
            ports.sort_unstable();
            let all: Vec<u16> = (FIRST..FIRST + limits::CORE_PORTS).collect();
            assert_eq!(ports, all);
        }
        assert_eq!(counters.core_ports_exhausted, 0);
    }

    #[test]
    fn with_all_of_them_in_use_it_leaves_by_any_port_and_is_counted() {
        let here = IpAddr::from([127, 0, 0, 80]);
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = peer.local_addr().unwrap();
        let mut counters = Counters::default();
        // Two shards have the same ports.
        let mut shards = [0, 1].map(|shard| Outgoing::new([here].into_iter(), FIRST, shard));
        let mut held = Vec::new();
        for index in 0..usize::from(limits::CORE_PORTS) {
            let near_end = connect(&mut shards[index % 2], addr, &mut counters);
            held.push((near_end, peer.accept().unwrap()));
        }
        assert_eq!(counters.core_ports_exhausted, 0);
        let more = connect(&mut shards[0], addr, &mut counters);
        assert_eq!(counters.core_ports_exhausted, 1);
        let port = more.local_addr().unwrap().as_socket().unwrap().port();
        assert!(!(FIRST..FIRST + limits::CORE_PORTS).contains(&port));
    }
}
