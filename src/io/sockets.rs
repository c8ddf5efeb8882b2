//! The sockets of a node, opened before any shard runs.

use std::net::{IpAddr, SocketAddr};
use std::thread;

use socket2::Socket;

use super::purpose::Purpose;
use super::{Fault, Outgoing, socket};
use crate::id::Transport;
use crate::limits;
use crate::shard::Local;

/// What a node opens.
#[derive(Clone, Copy, Debug)]
pub struct Listening<'a> {
    /// Where everybody comes in.
    pub listen: &'a [(Transport, SocketAddr)],
    /// The same at addresses of other members, which may come to this machine later.
    pub covered: &'a [(Transport, SocketAddr)],
    /// Where peers connect to, over TCP.
    pub core_listen: &'a [SocketAddr],
    /// Its core side, where it has one: peers connect there too, and datagrams to
    /// them leave from there.
    pub core: &'a [(Transport, SocketAddr)],
    /// The first of the ports from which it sends to peers.
    pub core_port: u16,
    /// Each shard gets a UDP socket of its own: the flow by which the home knows
    /// the shard. It is at one of those ports of the first UDP listener's address,
    /// or of the core side's; the first shard's is the core side's own.
    pub sends_from_core: bool,
}

/// Everything one shard listens on, bound.
pub struct Sockets {
    /// In the order of `shard::Setup::locals`.
    pub(super) bound: Vec<Bound>,
    outgoing: Outgoing,
}

/// An endpoint.
pub(super) struct Bound {
    pub(super) local: Local,
    /// None where it is another shard's.
    pub(super) socket: Option<Socket>,
    /// A listener that peers alone connect to.
    pub(super) accepts_peers: bool,
}

impl Sockets {
    /// Those of a process before.
    pub(super) const fn inherited(bound: Vec<Bound>, outgoing: Outgoing) -> Self {
        Self { bound, outgoing }
    }

    /// What the shard is told about them.
    pub fn locals(&self) -> Vec<Local> {
        self.bound.iter().map(|bound| bound.local).collect()
    }

    /// Where connections are opened from.
    pub(super) fn outgoing(&self) -> Outgoing {
        self.outgoing.clone()
    }
}

impl Listening<'_> {
    /// Where a shard opens connections from.
    #[must_use]
    pub fn outgoing(&self, shard: usize) -> Outgoing {
        let number = u16::try_from(shard).unwrap_or_default();
        Outgoing::new(self.connects_from(), self.core_port, number)
    }

    /// Every listener, and what it is for. Those of this node's own addresses come
    /// first: by them others reach it.
    fn all(&self) -> impl Iterator<Item = (Transport, SocketAddr, Purpose)> {
        let with = |purpose| move |&(transport, addr)| (transport, addr, purpose);
        let open = self.listen.iter().map(with(Purpose::Everybody));
        let covered = self.covered.iter().map(with(Purpose::Covering));
        let core = self.core_listen.iter();
        let core = core.map(|&addr| (Transport::Tcp, addr, Purpose::Peers));
        let side = self.core.iter();
        let side = side.filter(|(transport, _)| transport.is_stream());
        open.chain(covered)
            .chain(core)
            .chain(side.map(with(Purpose::CoreSide)))
    }

    /// The sockets of a shard towards the homes: as many of each shard.
    fn upstream(&self, shard: usize) -> impl Iterator<Item = SocketAddr> {
        let is_udp = |(transport, _): &&(Transport, SocketAddr)| *transport == Transport::Udp;
        let core = self.core.iter().filter(is_udp);
        let first = self.listen.iter().find(is_udp);
        let first = first.filter(|_| core.clone().next().is_none());
        let port = u16::try_from(shard)
            .ok()
            .map(|shard| self.core_port + shard);
        let at_port = move |addr: SocketAddr| Some(SocketAddr::new(addr.ip(), port?));
        let core = core.filter_map(move |(_, addr)| match shard {
            0 => Some(*addr),
            _ => at_port(*addr),
        });
        let first = first.and_then(|(_, addr)| at_port(*addr));
        let sends = self.sends_from_core;
        core.chain(first).filter(move |_| sends)
    }

    /// Why there is no socket to send from: the core side's own is listed as one, and
    /// the others are core ports.
    fn upstream_fault(&self, addr: SocketAddr, why: std::io::Error) -> Fault {
        if self.core.contains(&(Transport::Udp, addr)) {
            Fault::Listen {
                transport: Transport::Udp,
                addr,
                purpose: Purpose::CoreSide,
                why,
            }
        } else {
            Fault::CorePort { addr, why }
        }
    }

    /// The addresses that connections are opened from: the first TCP listeners',
    /// by which peers know this node.
    fn connects_from(&self) -> impl Iterator<Item = IpAddr> + Clone {
        let tcp = |(transport, _): &&(Transport, SocketAddr)| *transport == Transport::Tcp;
        let first = self.listen.iter().filter(tcp);
        first.chain(self.listen).map(|(_, addr)| addr.ip())
    }
}

/// Finds out whether every address can be listened on, and lets go of it.
///
/// # Errors
/// The first address that cannot.
pub fn check(listening: &Listening<'_>, shards: usize) -> Result<(), Fault> {
    wait_until_free(listening, shards)
}

fn try_all(listening: &Listening<'_>, shards: usize) -> Result<(), Fault> {
    for (transport, addr, purpose) in listening.all() {
        socket::probe(transport, addr, purpose).map_err(|why| Fault::Listen {
            transport,
            addr,
            purpose,
            why,
        })?;
    }
    for addr in (0..shards).flat_map(|shard| listening.upstream(shard)) {
        socket::probe(Transport::Udp, addr, Purpose::CoreSide)
            .map_err(|why| listening.upstream_fault(addr, why))?;
    }
    Ok(())
}

/// Opens the sockets of `shards` shards.
///
/// # Errors
/// The first address that cannot be bound.
pub fn open(listening: &Listening<'_>, shards: usize) -> Result<Vec<Sockets>, Fault> {
    wait_until_free(listening, shards)?;
    let (mut all, mut own) = (Vec::new(), Vec::new());
    for shard in 0..shards {
        all.push(Sockets {
            bound: open_listeners(listening)?,
            outgoing: listening.outgoing(shard),
        });
        for addr in listening.upstream(shard) {
            let socket = socket::upstream(addr);
            let socket = socket.map_err(|why| listening.upstream_fault(addr, why))?;
            own.push((shard, named(Transport::Udp, socket, true)?));
        }
    }
    // Every shard knows every socket by the same index.
    for (shard, (local, socket)) in own {
        let mut socket = Some(socket);
        for (index, sockets) in all.iter_mut().enumerate() {
            let socket = if index == shard { socket.take() } else { None };
            sockets.bound.push(Bound {
                local,
                socket,
                accepts_peers: false,
            });
        }
    }
    Ok(all)
}

/// A process that has just ended may hold its ports a little longer: the
/// kernel takes io_uring down in the background.
fn wait_until_free(listening: &Listening<'_>, shards: usize) -> Result<(), Fault> {
    let start = std::time::Instant::now();
    loop {
        match try_all(listening, shards) {
            Err(Fault::Listen { why, .. } | Fault::CorePort { why, .. })
                if why.kind() == std::io::ErrorKind::AddrInUse
                    && start.elapsed() < limits::BIND_PATIENCE =>
            {
                thread::sleep(limits::BIND_PATIENCE / 20);
            }
            result => return result,
        }
    }
}

fn open_listeners(listening: &Listening<'_>) -> Result<Vec<Bound>, Fault> {
    let mut bound = Vec::new();
    for (transport, addr, purpose) in listening.all() {
        let socket = match transport {
            Transport::Udp => socket::udp(addr, purpose)?,
            Transport::Tcp | Transport::Tls => socket::tcp(addr, purpose)?,
        };
        let (local, socket) = named(transport, socket, false)?;
        bound.push(Bound {
            local,
            socket: Some(socket),
            accepts_peers: matches!(purpose, Purpose::Peers | Purpose::CoreSide),
        });
    }
    Ok(bound)
}

fn named(transport: Transport, socket: Socket, upstream: bool) -> Result<(Local, Socket), Fault> {
    let addr = socket.local_addr()?.as_socket();
    let addr = addr.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::Unsupported))?;
    Ok((
        Local {
            transport,
            addr,
            upstream,
        },
        socket,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outside of what the kernel gives away, and of what a lab uses.
    const CORE: u16 = 16_500;

    fn listening(listen: &[(Transport, SocketAddr)], core_port: Option<u16>) -> Listening<'_> {
        Listening {
            listen,
            covered: &[],
            core_listen: &[],
            core: &[],
            core_port: core_port.unwrap_or(CORE),
            sends_from_core: core_port.is_some(),
        }
    }

    fn any(host: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 1, host], 0))
    }

    #[test]
    fn the_upstream_socket_is_the_last_and_has_the_core_port() {
        let listen = [(Transport::Tcp, any(1)), (Transport::Udp, any(1))];
        let opened = open(&listening(&listen, Some(CORE)), 1).unwrap();
        let locals = opened[0].locals();
        let kinds: Vec<_> = locals
            .iter()
            .map(|local| (local.transport, local.upstream))
            .collect();
        let udp = Transport::Udp;
        assert_eq!(kinds, [(Transport::Tcp, false), (udp, false), (udp, true)]);
        assert!(locals.iter().all(|local| local.addr.port() != 0));
        assert_eq!(locals[2].addr.port(), CORE);
    }

    #[test]
    fn a_core_port_that_is_taken_is_named() {
        let addr = SocketAddr::new(any(2).ip(), CORE + 1);
        let taken = std::net::UdpSocket::bind(addr).unwrap();
        let listen = [(Transport::Udp, any(2))];
        check(&listening(&listen, Some(CORE)), 1).unwrap();
        let fault = check(&listening(&listen, Some(CORE)), 2).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "cannot send from udp:127.0.1.2:16501: another process has that port; end it, if it is \
             this node running already, or name another `core_port`, here and to its peers"
        );
        drop(taken);
        check(&listening(&listen, Some(CORE)), 2).unwrap();
    }

    // 192.0.2.0/24 is nobody's (RFC 5737).
    #[test]
    fn an_address_of_another_member_is_listened_at_before_it_comes() {
        let listen = [(Transport::Udp, any(6)), (Transport::Tcp, any(6))];
        let away: SocketAddr = "192.0.2.11:5060".parse().unwrap();
        let covered = [(Transport::Udp, away), (Transport::Tcp, away)];
        let without = listening(&covered, None);
        let fault = open(&without, 1).err().unwrap().to_string();
        assert!(
            fault.contains("no interface of this machine has"),
            "{fault}"
        );
        let listening = Listening {
            covered: &covered,
            ..listening(&listen, None)
        };
        let opened = open(&listening, 1).unwrap();
        let ips = opened[0].bound.iter().map(|bound| bound.local.addr.ip());
        let own = any(6).ip();
        assert_eq!(ips.collect::<Vec<_>>(), [own, own, away.ip(), away.ip()]);
    }

    #[test]
    fn core_side_listeners_stand_behind_the_others() {
        let listen = [(Transport::Tcp, any(3))];
        let opened = open(
            &Listening {
                core_listen: &[any(4)],
                ..listening(&listen, None)
            },
            1,
        );
        let opened = opened.unwrap();
        let sides = opened[0].bound.iter();
        let sides: Vec<_> = sides
            .map(|bound| (bound.local.addr.ip(), bound.accepts_peers))
            .collect();
        assert_eq!(sides, [(any(3).ip(), false), (any(4).ip(), true)]);
    }

    #[test]
    fn the_first_shard_sends_from_the_core_side_and_the_others_from_core_ports_there() {
        let listen = [(Transport::Udp, any(6))];
        let free = std::net::UdpSocket::bind(any(7)).unwrap();
        let core = free.local_addr().unwrap();
        drop(free);
        let opened = open(
            &Listening {
                core: &[(Transport::Udp, core), (Transport::Tcp, core)],
                ..listening(&listen, Some(CORE))
            },
            2,
        );
        let opened = opened.unwrap();
        let shape: Vec<_> = opened[0]
            .locals()
            .iter()
            .map(|local| (local.transport, local.addr, local.upstream))
            .skip(1)
            .collect();
        let second = SocketAddr::new(core.ip(), CORE + 1);
        assert_eq!(
            shape,
            [
                (Transport::Tcp, core, false),
                (Transport::Udp, core, true),
                (Transport::Udp, second, true)
            ]
        );
        assert!(opened[0].bound[1].accepts_peers);
    }

    #[test]
    fn a_home_has_no_upstream_socket_and_shards_share_their_ports() {
        let free = std::net::UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let opened = open(&listening(&[(Transport::Udp, free)], None), 2).unwrap();
        let ports: Vec<_> = opened
            .iter()
            .flat_map(Sockets::locals)
            .map(|l| l.addr)
            .collect();
        assert_eq!(ports, [free, free]);
    }

    #[test]
    fn every_shard_knows_the_upstream_sockets_of_all_by_the_same_place() {
        let listen = [(Transport::Udp, any(5))];
        let opened = open(&listening(&listen, Some(CORE)), 3).unwrap();
        let upstream = |sockets: &Sockets| {
            let locals = sockets.locals();
            locals[1..]
                .iter()
                .map(|local| (local.addr.port(), local.upstream))
                .collect::<Vec<_>>()
        };
        let want = [0, 1, 2].map(|shard| (CORE + shard, true));
        for (shard, sockets) in opened.iter().enumerate() {
            assert_eq!(upstream(sockets), want);
            let own = sockets.bound[1..]
                .iter()
                .position(|bound| bound.socket.is_some());
            assert_eq!((own, sockets.bound.len()), (Some(shard), 4));
        }
    }
}
