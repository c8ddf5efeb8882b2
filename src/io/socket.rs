//! Making sockets, every option set before anyone uses them.

#![expect(
    unsafe_code,
    reason = "IP_RECVERR and IP_MTU_DISCOVER have no setter in socket2"
)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::Fault;
use super::purpose::Purpose;
use crate::id::Transport;
use crate::limits;

/// Finds out whether `addr` can be bound, alone. A socket that shares its port
/// between shards (SO_REUSEPORT) would share it with a second node as well and
/// take half of its traffic; this one shares with nobody.
pub(super) fn probe(transport: Transport, addr: SocketAddr, purpose: Purpose) -> io::Result<()> {
    match transport {
        Transport::Udp => {
            let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
            bind_for(&socket, addr, purpose)
        }
        Transport::Tcp | Transport::Tls => {
            let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
            // Past connections of this port are no reason to refuse it.
            socket.set_reuse_address(true)?;
            bind_for(&socket, addr, purpose)?;
            socket.listen(1)
        }
    }
}

/// A bound UDP socket, which shares its port with those of other shards.
pub(super) fn udp(addr: SocketAddr, purpose: Purpose) -> Result<Socket, Fault> {
    bound_udp(addr, purpose).map_err(|why| Fault::Listen {
        transport: Transport::Udp,
        addr,
        purpose,
        why,
    })
}

/// One shard's own UDP socket towards the homes, which shares its port with those that will
/// be connected to one of them.
pub(super) fn upstream(addr: SocketAddr) -> io::Result<Socket> {
    bound_udp(addr, Purpose::CoreSide)
}

/// A UDP socket at the port of another one of this shard, to be connected to a peer.
pub(super) fn beside(socket: &Socket) -> io::Result<Socket> {
    let addr = socket.local_addr()?.as_socket();
    let addr = addr.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
    bound_udp(addr, Purpose::CoreSide)
}

fn bound_udp(addr: SocketAddr, purpose: Purpose) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_port(true)?;
    socket.set_recv_buffer_size(limits::SOCKET_BUFFER)?;
    socket.set_send_buffer_size(limits::SOCKET_BUFFER)?;
    report_errors(&socket, addr.ip())?;
    bind_for(&socket, addr, purpose)?;
    warn_about_buffers(&socket, addr);
    Ok(socket)
}

/// Binds; to another member's address also while this machine does not have it.
fn bind_for(socket: &Socket, addr: SocketAddr, purpose: Purpose) -> io::Result<()> {
    if purpose == Purpose::Covering {
        if addr.is_ipv4() {
            socket.set_freebind_v4(true)?;
        } else {
            socket.set_freebind_v6(true)?;
        }
    }
    socket.bind(&addr.into())
}

/// A listening TCP socket.
pub(super) fn tcp(addr: SocketAddr, purpose: Purpose) -> Result<Socket, Fault> {
    let make = || {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        bind_for(&socket, addr, purpose)?;
        // Each connection that it accepts has them, too.
        keep(&socket)?;
        socket.listen(limits::BACKLOG)?;
        Ok(socket)
    };
    make().map_err(|why| Fault::Listen {
        transport: Transport::Tcp,
        addr,
        purpose,
        why,
    })
}

/// A socket to open a stream from `local` with; port 0 is any. A port that leads
/// elsewhere already leads there as well.
pub(super) fn outgoing(local: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(local),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    if local.port() != 0 {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&local.into())?;
    keep(&socket)?;
    Ok(socket)
}

/// Options of every stream, accepted or opened: small messages leave at once,
/// and a peer that vanished is noticed.
pub(super) fn keep(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(limits::USER_TIMEOUT))?;
    let keepalive = TcpKeepalive::new()
        .with_time(limits::TCP_KEEPALIVE)
        .with_interval(limits::USER_TIMEOUT)
        .with_retries(2);
    socket.set_tcp_keepalive(&keepalive)
}

/// Has ICMP errors queued on the socket (RFC 3261 §18.4), and lets the kernel
/// fragment what exceeds the path's MTU: with the error queue on, it would
/// refuse such a datagram instead.
fn report_errors(socket: &Socket, ip: IpAddr) -> io::Result<()> {
    match ip {
        IpAddr::V4(_) => {
            set(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
            allow_fragments(socket, true)
        }
        IpAddr::V6(_) => {
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
            set(
                socket,
                libc::IPPROTO_IPV6,
                libc::IPV6_MTU_DISCOVER,
                libc::IPV6_PMTUDISC_DONT,
            )
        }
    }
}

/// Whether what an IPv4 socket sends next may be fragmented. If not, the kernel
/// refuses what is longer than the interface takes (EMSGSIZE), and reports what
/// ICMP says of narrower ways without learning their MTU from it.
pub(super) fn allow_fragments(socket: &Socket, are_allowed: bool) -> io::Result<()> {
    let way = if are_allowed {
        libc::IP_PMTUDISC_DONT
    } else {
        libc::IP_PMTUDISC_PROBE
    };
    set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, way)
}

/// Bytes of kernel memory that what waits in a socket to be received holds.
pub(super) fn held(socket: BorrowedFd<'_>) -> u64 {
    // As many numbers as the kernel has, of which the first is this.
    let mut numbers = [0u32; 9];
    let mut len = libc::socklen_t::try_from(size_of_val(&numbers)).unwrap_or_default();
    // SAFETY: the kernel writes `len` bytes at most, which `numbers` has.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if done < 0 { 0 } else { numbers[0].into() }
}

fn set(socket: &Socket, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: `value` is read during the call only, with its own length.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            INT_LEN,
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "4 bytes")]
const INT_LEN: libc::socklen_t = size_of::<libc::c_int>() as libc::socklen_t;

fn warn_about_buffers(socket: &Socket, addr: SocketAddr) {
    let ways = [
        ("receive", "net.core.rmem_max", socket.recv_buffer_size()),
        ("send", "net.core.wmem_max", socket.send_buffer_size()),
    ];
    for (way, sysctl, granted) in ways {
        // The kernel reports twice what it lets us use (socket(7)).
        let granted = granted.unwrap_or(0) / 2;
        if granted < limits::SOCKET_BUFFER {
            tracing::warn!(
                %addr,
                granted,
                "the kernel gave the UDP socket a smaller {way} buffer than the {} bytes asked \
                 for, so bursts may be lost: raise it with `sysctl -w {sysctl}={}`",
                limits::SOCKET_BUFFER,
                limits::SOCKET_BUFFER,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn address(socket: &Socket) -> SocketAddr {
        socket.local_addr().unwrap().as_socket().unwrap()
    }

    #[test]
    fn shards_share_a_port_but_nodes_do_not() {
        for transport in [Transport::Udp, Transport::Tcp] {
            let make = |addr| match transport {
                Transport::Udp => udp(addr, Purpose::Everybody),
                Transport::Tcp | Transport::Tls => tcp(addr, Purpose::Everybody),
            };
            let first = make(ANY).unwrap();
            let addr = address(&first);
            let second = make(addr).unwrap();
            let why = probe(transport, addr, Purpose::Everybody).unwrap_err();
            let taken = Fault::Listen {
                transport,
                addr,
                purpose: Purpose::Everybody,
                why,
            };
            let want = format!(
                "cannot listen on {}:{addr}: another process has that port; end it, if it \
                 is this node running already, or list another port",
                transport.uri_token()
            );
            assert_eq!(taken.to_string(), want);
            drop((first, second));
            probe(transport, addr, Purpose::Everybody).unwrap();
        }
    }

    #[test]
    fn what_waits_in_a_socket_holds_memory() {
        let socket = udp(ANY, Purpose::Everybody).unwrap();
        assert_eq!(held(socket.as_fd()), 0);
        for count in 1..=3 {
            socket
                .send_to(&[b'x'; 700], &address(&socket).into())
                .unwrap();
            let held = held(socket.as_fd());
            assert!((count * 700..count * 4_096).contains(&held), "{held}");
        }
    }

    #[test]
    fn an_opened_stream_comes_from_the_address_of_the_listener() {
        let listener = tcp(ANY, Purpose::Everybody).unwrap();
        let from = SocketAddr::from(([127, 0, 0, 77], 0));
        let stream = outgoing(from).unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.connect(&address(&listener).into()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer.as_socket().unwrap().ip(), from.ip());
        for end in [stream, accepted] {
            assert!(end.tcp_nodelay().unwrap() && end.keepalive().unwrap());
            assert_eq!(end.tcp_user_timeout().unwrap(), Some(limits::USER_TIMEOUT));
            assert_eq!(end.tcp_keepalive_time().unwrap(), limits::TCP_KEEPALIVE);
        }
    }
}
