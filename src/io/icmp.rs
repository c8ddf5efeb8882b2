//! What the network says about datagrams that did not arrive (RFC 3261 §18.4).

#![expect(
    unsafe_code,
    reason = "the error queue is read with recvmsg and control messages"
)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::address::{NAME_LEN, no_name, socket_addr};
use crate::limits;

/// One reported error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Report {
    errno: u32,
    origin: u8,
    kind: u8,
    code: u8,
}

/// What one entry of the error queue tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Something did not get to this peer: this is how it began.
    Unreachable(SocketAddr, Box<[u8]>),
    /// Something on the way carries no datagram of that length whole.
    TooLong,
    /// Nothing that is of use here.
    Nothing,
}

impl Report {
    /// True for host, network, port and protocol unreachable and for a
    /// parameter problem; false for all that must be ignored (source quench,
    /// time exceeded, fragmentation needed).
    const fn is_failure(self) -> bool {
        match (self.origin, self.kind, self.code) {
            (libc::SO_EE_ORIGIN_LOCAL, _, _) => !self.is_too_long(),
            // RFC 792: 3 is unreachable, of which code 4 asks for fragments;
            // 12 is a parameter problem.
            (libc::SO_EE_ORIGIN_ICMP, 3, code) => code != 4,
            (libc::SO_EE_ORIGIN_ICMP, 12, _) => true,
            // RFC 4443: 1 is unreachable, 4 a parameter problem.
            (libc::SO_EE_ORIGIN_ICMP6, 1 | 4, _) => true,
            _ => false,
        }
    }

    const fn is_too_long(self) -> bool {
        match self.origin {
            libc::SO_EE_ORIGIN_LOCAL => self.errno == libc::EMSGSIZE.cast_unsigned(),
            libc::SO_EE_ORIGIN_ICMP => self.kind == 3 && self.code == 4,
            _ => false,
        }
    }
}

/// Takes one entry from the error queue. `None`: it is empty.
pub(super) fn next(socket: BorrowedFd<'_>) -> io::Result<Option<News>> {
    let mut name = no_name();
    // u64: aligned for the control messages in it.
    let mut control = [0u64; 64];
    let mut quoted = [0; limits::QUOTE_MAX];
    let mut vector = libc::iovec {
        iov_base: quoted.as_mut_ptr().cast(),
        iov_len: quoted.len(),
    };
    // SAFETY: integers and raw pointers only, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = NAME_LEN;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header points at `name`, `quoted` and `control` with their
    // lengths.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let Ok(length) = usize::try_from(length) else {
        let error = io::Error::last_os_error();
        let is_empty = error.kind() == io::ErrorKind::WouldBlock;
        return if is_empty { Ok(None) } else { Err(error) };
    };
    let quoted = quoted.get(..length).unwrap_or_default();
    Ok(Some(match (report(&header), socket_addr(&name)) {
        (Some(report), _) if report.is_too_long() => News::TooLong,
        (Some(report), Some(peer)) if report.is_failure() => News::Unreachable(peer, quoted.into()),
        _ => News::Nothing,
    }))
}

/// The extended error among the control messages.
fn report(header: &libc::msghdr) -> Option<Report> {
    // SAFETY: the kernel has filled the control buffer and its length in.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: not null, hence within the control buffer, which is aligned
        // for it and lives on.
        let head: &libc::cmsghdr = unsafe { &*message };
        if matches!(
            (head.cmsg_level, head.cmsg_type),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        ) {
            // SAFETY: the data begins behind the header.
            let data: *const libc::sock_extended_err = unsafe { libc::CMSG_DATA(message).cast() };
            // SAFETY: with this level and type it is a `sock_extended_err`,
            // which may lie unaligned.
            let error = unsafe { ptr::read_unaligned(data) };
            return Some(Report {
                errno: error.ee_errno,
                origin: error.ee_origin,
                kind: error.ee_type,
                code: error.ee_code,
            });
        }
        // SAFETY: `message` came from this header.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;
    use crate::io::Purpose;
    use crate::io::socket;

    #[track_caller]
    fn check(origin: u8, kind: u8, code: u8, want: bool) {
        let report = Report {
            errno: 0,
            origin,
            kind,
            code,
        };
        assert_eq!(report.is_failure(), want);
        let asks = (origin, kind, code) == (libc::SO_EE_ORIGIN_ICMP, 3, 4);
        assert_eq!(report.is_too_long(), asks);
    }

    //
    #[test]
    fn unreachable_and_parameter_problem_fail_and_the_rest_is_ignored() {
        let (v4, v6) = (libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6);
        for code in 0..4 {
            check(v4, 3, code, true); // network, host, protocol, port
        }
        check(v4, 3, 4, false); // fragmentation needed
        check(v4, 4, 0, false); // source quench
        check(v4, 11, 0, false); // time exceeded
        check(v4, 12, 0, true); // parameter problem
        check(v6, 1, 4, true); // port
        check(v6, 2, 0, false); // packet too big
        check(v6, 3, 0, false); // time exceeded
        check(v6, 4, 0, true); // parameter problem
        check(libc::SO_EE_ORIGIN_LOCAL, 0, 0, true);
        check(libc::SO_EE_ORIGIN_NONE, 3, 3, false);
        let ours = Report {
            errno: libc::EMSGSIZE.cast_unsigned(),
            origin: libc::SO_EE_ORIGIN_LOCAL,
            kind: 0,
            code: 0,
        };
        assert!(ours.is_too_long() && !ours.is_failure());
    }

    #[test]
    fn a_closed_port_is_reported_with_its_address() {
        let socket = socket::udp("127.0.0.1:0".parse().unwrap(), Purpose::Everybody).unwrap();
        let closed = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        assert_eq!(next(socket.as_fd()).unwrap(), None);
        socket.send_to(b"OPTIONS", &closed.into()).unwrap();
        // On the loopback the answer is there before `send_to` returns.
        assert_eq!(
            next(socket.as_fd()).unwrap(),
            Some(News::Unreachable(closed, b"OPTIONS"[..].into()))
        );
        assert_eq!(next(socket.as_fd()).unwrap(), None);
    }
}
