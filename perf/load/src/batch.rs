//! Many datagrams for one system call, each with the address it leaves from.
//!
//! The whole of 127.0.0.0/8 is local, so one socket bound to no address can
//! speak for thousands of phones: the source address of each datagram stands
//! in a control message (`IP_PKTINFO`), and so does, for one that arrived, the
//! address it was sent to. A batch then costs one call, however many phones
//! are in it, and the generator stays cheaper than what it loads.

#![expect(
    unsafe_code,
    reason = "recvmmsg and sendmmsg, with an address for each datagram, take raw pointers"
)]

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl::set_timerslack;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::Ipv4PacketInfo;

use crate::bounds::{BATCH, MESSAGE_MAX};

/// One control message that says which local address a datagram belongs to,
/// laid out as `struct cmsghdr` followed by `struct in_pktinfo`.
#[repr(C)]
#[derive(Clone, Copy)]
struct LocalAddress {
    len: usize,
    level: libc::c_int,
    kind: libc::c_int,
    info: libc::in_pktinfo,
    padding: u32,
}

/// `CMSG_LEN(sizeof(struct in_pktinfo))`: everything but the padding.
const LOCAL_LEN: usize = size_of::<LocalAddress>() - size_of::<u32>();

impl LocalAddress {
    const fn new(local: Ipv4Addr) -> Self {
        let nobody = libc::in_addr { s_addr: 0 };
        let spec = libc::in_addr {
            s_addr: u32::from_ne_bytes(local.octets()),
        };
        Self {
            len: LOCAL_LEN,
            level: libc::IPPROTO_IP,
            kind: libc::IP_PKTINFO,
            info: libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: spec,
                ipi_addr: nobody,
            },
            padding: 0,
        }
    }

    const fn addr(&self) -> Ipv4Addr {
        ipv4(self.info.ipi_addr)
    }
}

const fn ipv4(addr: libc::in_addr) -> Ipv4Addr {
    let [a, b, c, d] = addr.s_addr.to_ne_bytes();
    Ipv4Addr::new(a, b, c, d)
}

#[expect(clippy::cast_possible_truncation, reason = "2 of 16 bits")]
const fn name_of(addr: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: addr.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(addr.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

#[expect(clippy::cast_possible_truncation, reason = "16 bytes")]
const NAME_LEN: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;

/// Everything the kernel reads and writes through the headers of a batch.
struct Slots {
    names: Box<[libc::sockaddr_in]>,
    locals: Box<[LocalAddress]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl Slots {
    fn new() -> Self {
        let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let empty = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        let mut names = vec![name_of(nowhere); BATCH].into_boxed_slice();
        let mut locals = vec![LocalAddress::new(Ipv4Addr::UNSPECIFIED); BATCH].into_boxed_slice();
        let mut vectors = vec![empty; BATCH].into_boxed_slice();
        let headers = names
            .iter_mut()
            .zip(&mut locals)
            .zip(&mut vectors)
            .map(|((name, local), vector)| {
                // SAFETY: integers and raw pointers only, for which zero is a value.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header.msg_hdr.msg_namelen = NAME_LEN;
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_control = ptr::from_mut(local).cast();
                header.msg_hdr.msg_controllen = size_of::<LocalAddress>();
                header
            })
            .collect();
        Self {
            names,
            locals,
            vectors,
            headers,
        }
    }
}

/// Datagrams received by one call.
pub(super) struct Received {
    slots: Slots,
    bytes: Box<[u8]>,
    filled: usize,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram<'a> {
    /// Who sent it.
    pub(super) peer: SocketAddrV4,
    /// The address it was sent to.
    pub(super) local: Ipv4Addr,
    /// All of it.
    pub(super) bytes: &'a [u8],
}

impl Received {
    pub(super) fn new() -> Self {
        let mut bytes = vec![0; BATCH * MESSAGE_MAX].into_boxed_slice();
        let mut slots = Slots::new();
        let rooms = bytes.chunks_exact_mut(MESSAGE_MAX);
        for (vector, room) in slots.vectors.iter_mut().zip(rooms) {
            vector.iov_base = room.as_mut_ptr().cast();
            vector.iov_len = MESSAGE_MAX;
        }
        Self {
            slots,
            bytes,
            filled: 0,
        }
    }

    /// Receives what is there, without waiting; how many, zero for none.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for header in &mut self.slots.headers {
            header.msg_hdr.msg_namelen = NAME_LEN;
            header.msg_hdr.msg_controllen = size_of::<LocalAddress>();
        }
        // SAFETY: every header points at a name, a control message and a
        // vector of this batch, and every vector at a slot of `bytes` as long
        // as it says. All live as long as `self`, which is borrowed.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.slots.headers.as_mut_ptr(),
                COUNT,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.filled = match usize::try_from(received) {
            Ok(count) => count,
            Err(_negative) => none_yet()?,
        };
        Ok(self.filled)
    }

    /// The datagram in slot `index`; `None` past the last one, and for one cut
    /// at the length of a slot.
    pub(super) fn datagram(&self, index: usize) -> Option<Datagram<'_>> {
        let header = self.slots.headers[..self.filled].get(index)?;
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let (name, start) = (&self.slots.names[index], index * MESSAGE_MAX);
        Some(Datagram {
            peer: SocketAddrV4::new(ipv4(name.sin_addr), u16::from_be(name.sin_port)),
            local: self.slots.locals[index].addr(),
            bytes: &self.bytes[start..start + header.msg_len as usize],
        })
    }
}

/// Datagrams that wait to leave, and the room to send them by few calls.
pub(super) struct Outgoing {
    slots: Slots,
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    start: usize,
    end: usize,
    to: SocketAddrV4,
    from: Ipv4Addr,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            slots: Slots::new(),
            bytes: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Adds the datagram that `fill` writes; it leaves with the next `flush`.
    pub(super) fn write(
        &mut self,
        from: Ipv4Addr,
        to: SocketAddrV4,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        fill(&mut self.bytes);
        let end = self.bytes.len();
        self.waiting.push(Waiting {
            start,
            end,
            to,
            from,
        });
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends everything; what the kernel has no room for stays for the next
    /// time.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let mut done = 0;
        while done < self.waiting.len() {
            let count = self.prepare(done);
            // SAFETY: `count` headers are filled in; each points at a name, a
            // control message and a vector of `self`, and each vector at bytes
            // of `self` that do not move before the call returns.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.slots.headers.as_mut_ptr(),
                    count,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) => done += sent,
                Err(_negative) => {
                    none_yet()?;
                    break;
                }
            }
        }
        if done == self.waiting.len() {
            self.waiting.clear();
            self.bytes.clear();
        } else {
            self.waiting.drain(..done);
        }
        Ok(())
    }

    /// Points the headers at what waits from `done` on; how many.
    fn prepare(&mut self, done: usize) -> libc::c_uint {
        let mut count = 0;
        for (index, waiting) in self.waiting[done..].iter().take(BATCH).enumerate() {
            self.slots.names[index] = name_of(waiting.to);
            self.slots.locals[index] = LocalAddress::new(waiting.from);
            let bytes = &self.bytes[waiting.start..waiting.end];
            let vector = &mut self.slots.vectors[index];
            vector.iov_base = bytes.as_ptr().cast_mut().cast();
            vector.iov_len = bytes.len();
            count += 1;
        }
        count
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a batch is small")]
const COUNT: libc::c_uint = BATCH as libc::c_uint;

/// Waits until `set` has something to do, at most as long as `most`, which
/// counts to the nanosecond where epoll counts milliseconds.
pub(super) fn wait(set: BorrowedFd<'_>, most: Duration) -> io::Result<()> {
    let mut asked = [PollFd::new(set, PollFlags::POLLIN)];
    match ppoll(&mut asked, Some(most.into()), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

/// Has `socket` tell the address each datagram was sent to.
pub(super) fn tell_addresses(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, Ipv4PacketInfo, &true)?)
}

/// Lets waits end when they should: threads are woken up to 50 µs late
/// otherwise (prctl(2), `PR_SET_TIMERSLACK`).
///
/// # Errors
/// When the kernel refuses; the slack is then what it was.
pub(super) fn wake_on_time() -> io::Result<()> {
    Ok(set_timerslack(1)?)
}

fn none_yet() -> io::Result<usize> {
    let error = io::Error::last_os_error();
    let is_for_later = matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    );
    if is_for_later { Ok(0) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_datagram_leaves_from_its_address_and_says_where_it_went() {
        let [a, b] = [(); 2].map(|()| UdpSocket::bind("0.0.0.0:0").unwrap());
        let [a_port, b_port] = [&a, &b].map(|socket| socket.local_addr().unwrap().port());
        tell_addresses(&b).unwrap();
        let mut out = Outgoing::new();
        for last in 1..=200 {
            let (from, to) = (
                Ipv4Addr::new(127, 16, 0, last),
                Ipv4Addr::new(127, 17, 0, last),
            );
            out.write(from, SocketAddrV4::new(to, b_port), |bytes| {
                bytes.extend_from_slice(&vec![last; usize::from(last)]);
            });
        }
        out.flush(a.as_fd()).unwrap();
        assert!(out.is_empty());
        let (mut received, mut last) = (Received::new(), 0);
        while received.receive(b.as_fd()).unwrap() > 0 {
            for index in 0.. {
                let Some(datagram) = received.datagram(index) else {
                    break;
                };
                last += 1;
                assert_eq!(
                    datagram.peer,
                    SocketAddrV4::new(Ipv4Addr::new(127, 16, 0, last), a_port)
                );
                assert_eq!(datagram.local, Ipv4Addr::new(127, 17, 0, last));
                assert_eq!(datagram.bytes, vec![last; usize::from(last)]);
            }
        }
        assert_eq!(last, 200);
    }
}
