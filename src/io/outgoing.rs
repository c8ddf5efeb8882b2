//! Where connections are opened from: the address by which peers know this node,
//! and one of its core ports, by which they know that it is the node.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::SystemTime;

use super::{Counters, socket};
use crate::limits;

/// The core ports of one shard and what came of them.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
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

    /// A stream on its way to `peer`, from the next core port that does not lead
    /// there yet; from any port when all do. From that address, or else by which
    /// peers know this node.
    pub(super) fn connect(
        &mut self,
        from: Option<IpAddr>,
        peer: SocketAddr,
        counters: &mut Counters,
    ) -> io::Result<TcpStream> {
        let usual = if peer.is_ipv4() { self.v4 } else { self.v6 };
        let local = from.unwrap_or(usual);
        for _ in 0..limits::CORE_PORTS {
            let port = self.first + self.turn % limits::CORE_PORTS;
            self.turn = self.turn.wrapping_add(1);
            match socket::connect(SocketAddr::new(local, port), peer) {
                Err(error) if is_taken(&error) => {}
                result => return result,
            }
        }
        counters.core_ports_exhausted += 1;
        socket::connect(SocketAddr::new(local, 0), peer)
    }
}

/// The port is listened at, or it leads to that peer already, be it in a
/// connection that has just ended.
fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL)
    )
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

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
                streams.push(ours.connect(None, addr, &mut counters).unwrap());
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
            held.push(
                shards[index % 2]
                    .connect(None, addr, &mut counters)
                    .unwrap(),
            );
            held.push(peer.accept().unwrap().0);
        }
        assert_eq!(counters.core_ports_exhausted, 0);
        let more = shards[0].connect(None, addr, &mut counters).unwrap();
        assert_eq!(counters.core_ports_exhausted, 1);
        let port = more.local_addr().unwrap().port();
        assert!(!(FIRST..FIRST + limits::CORE_PORTS).contains(&port));
    }
}
