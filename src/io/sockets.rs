//! The sockets of a node, opened before any shard runs.

use std::net::{IpAddr, SocketAddr};
use std::thread;

use socket2::Socket;

use super::{Fault, socket};
use crate::id::Transport;
use crate::limits;
use crate::shard::Local;

/// Everything one shard listens on, bound.
pub struct Sockets {
    /// In the order of `shard::Setup::locals`; without a socket where it is
    /// another shard's.
    pub(super) bound: Vec<(Local, Option<Socket>)>,
}

impl Sockets {
    /// What the shard is told about them.
    pub fn locals(&self) -> Vec<Local> {
        self.bound
            .iter()
            .map(|(local, _)| Local {
                transport: local.transport,
                addr: local.addr,
                upstream: local.upstream,
            })
            .collect()
    }

    /// The address that connections are opened from: the first TCP listener's,
    /// by which peers know this node.
    pub(super) fn connect_from(&self) -> Option<IpAddr> {
        let tcp = self
            .bound
            .iter()
            .find(|(local, _)| local.transport == Transport::Tcp);
        tcp.or_else(|| self.bound.first())
            .map(|(local, _)| local.addr.ip())
    }
}

/// Finds out whether every address can be listened on, and lets go of it.
///
/// # Errors
/// The first address that cannot.
pub fn check(listen: &[(Transport, SocketAddr)]) -> Result<(), Fault> {
    listen
        .iter()
        .try_for_each(|&(transport, addr)| socket::probe(transport, addr))
}

/// Opens the listeners of `shards` shards. With `upstream` each shard gets a
/// UDP socket of its own as well, on any port of the first UDP listener's
/// address: the flow by which the home knows the shard.
///
/// # Errors
/// The first address that cannot be bound.
pub fn open(
    listen: &[(Transport, SocketAddr)],
    shards: usize,
    upstream: bool,
) -> Result<Vec<Sockets>, Fault> {
    wait_until_free(listen)?;
    let (mut all, mut own) = (Vec::new(), Vec::new());
    for _ in 0..shards {
        let bound = open_listeners(listen)?;
        all.push(Sockets { bound });
        if upstream {
            own.extend(open_upstream(listen)?);
        }
    }
    // Every shard knows every socket by the same place.
    for (shard, (local, socket)) in own.into_iter().enumerate() {
        let mut socket = Some(socket);
        for (place, sockets) in all.iter_mut().enumerate() {
            let whose = if place == shard { socket.take() } else { None };
            sockets.bound.push((local, whose));
        }
    }
    Ok(all)
}

/// A process that has just ended may hold its ports a little longer: the
/// kernel takes io_uring down in the background.
fn wait_until_free(listen: &[(Transport, SocketAddr)]) -> Result<(), Fault> {
    let start = std::time::Instant::now();
    loop {
        match check(listen) {
            Err(Fault::Listen { why, .. })
                if why.kind() == std::io::ErrorKind::AddrInUse
                    && start.elapsed() < limits::BIND_PATIENCE =>
            {
                thread::sleep(limits::BIND_PATIENCE / 20);
            }
            result => return result,
        }
    }
}

type Bound = (Local, Socket);

fn open_listeners(
    listen: &[(Transport, SocketAddr)],
) -> Result<Vec<(Local, Option<Socket>)>, Fault> {
    let mut bound = Vec::new();
    for &(transport, addr) in listen {
        let socket = match transport {
            Transport::Udp => socket::udp(addr)?,
            Transport::Tcp | Transport::Tls => socket::tcp(addr)?,
        };
        let (local, socket) = named(transport, socket, false)?;
        bound.push((local, Some(socket)));
    }
    Ok(bound)
}

fn open_upstream(listen: &[(Transport, SocketAddr)]) -> Result<Option<Bound>, Fault> {
    let mut udp = listen
        .iter()
        .filter(|(transport, _)| *transport == Transport::Udp);
    let Some(&(_, addr)) = udp.next() else {
        return Ok(None);
    };
    let socket = socket::udp(SocketAddr::new(addr.ip(), 0))?;
    named(Transport::Udp, socket, true).map(Some)
}

fn named(transport: Transport, socket: Socket, upstream: bool) -> Result<Bound, Fault> {
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

    #[test]
    fn the_upstream_socket_is_the_last_and_has_a_port_of_its_own() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let opened = open(&[(Transport::Tcp, any), (Transport::Udp, any)], 1, true).unwrap();
        let locals = opened[0].locals();
        let kinds: Vec<_> = locals
            .iter()
            .map(|local| (local.transport, local.upstream))
            .collect();
        let udp = Transport::Udp;
        assert_eq!(kinds, [(Transport::Tcp, false), (udp, false), (udp, true)]);
        assert!(locals.iter().all(|local| local.addr.port() != 0));
        assert_ne!(locals[1].addr.port(), locals[2].addr.port());
    }

    #[test]
    fn a_home_has_no_upstream_socket_and_shards_share_their_ports() {
        let free = std::net::UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let opened = open(&[(Transport::Udp, free)], 2, false).unwrap();
        let ports: Vec<_> = opened
            .iter()
            .flat_map(Sockets::locals)
            .map(|l| l.addr)
            .collect();
        assert_eq!(ports, [free, free]);
    }

    #[test]
    fn every_shard_knows_the_upstream_sockets_of_all_by_the_same_place() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let opened = open(&[(Transport::Udp, any)], 3, true).unwrap();
        let upstream = |sockets: &Sockets| {
            let locals = sockets.locals();
            locals[1..]
                .iter()
                .map(|local| (local.addr, local.upstream))
                .collect::<Vec<_>>()
        };
        assert_eq!(upstream(&opened[0]), upstream(&opened[1]));
        assert_eq!(upstream(&opened[0]), upstream(&opened[2]));
        for (shard, sockets) in opened.iter().enumerate() {
            let own = sockets.bound[1..].iter().position(|(_, own)| own.is_some());
            assert_eq!((own, sockets.bound.len()), (Some(shard), 4));
        }
    }
}
