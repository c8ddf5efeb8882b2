//! Many datagrams for one system call: `recvmmsg` and `sendmmsg`.
//!
//! Both batches own everything the kernel reads and writes through their
//! message headers, on the heap and never resized, so that the headers are
//! written once and moving a batch moves no target. A datagram is received
//! whole or reported as none: every slot holds the longest there is.

#![expect(unsafe_code, reason = "recvmmsg and sendmmsg take raw message headers")]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use socket2::SockAddr;

use super::address::{NAME_LEN, no_name, socket_addr};
use crate::limits::{DATAGRAM_BATCH, MESSAGE_MAX};

/// Distance of two receive slots: the longest datagram, and 13 cache lines
/// more, because slots a power of two apart fight for the same cache sets.
const STRIDE: usize = (MESSAGE_MAX + 1) + 13 * 64;
#[expect(clippy::cast_possible_truncation, reason = "a batch is small")]
const BATCH: libc::c_uint = DATAGRAM_BATCH as libc::c_uint;

/// Datagrams received by one call.
pub(super) struct ReceiveBatch {
    bytes: Box<[u8]>,
    names: Box<[libc::sockaddr_storage]>,
    /// Only reached through `headers`.
    _vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    filled: usize,
}

impl ReceiveBatch {
    pub(super) fn new() -> Self {
        let mut bytes = vec![0; DATAGRAM_BATCH * STRIDE].into_boxed_slice();
        let mut names = vec![no_name(); DATAGRAM_BATCH].into_boxed_slice();
        let mut vectors: Box<[libc::iovec]> = bytes
            .chunks_exact_mut(STRIDE)
            .map(|slot| libc::iovec {
                iov_base: slot.as_mut_ptr().cast(),
                iov_len: MESSAGE_MAX,
            })
            .collect();
        let headers = names
            .iter_mut()
            .zip(&mut vectors)
            .map(|(name, vector)| {
                let mut header = no_header();
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self {
            bytes,
            names,
            _vectors: vectors,
            headers,
            filled: 0,
        }
    }

    /// Receives what is there, without waiting; the number of datagrams, zero
    /// when there is none.
    ///
    /// # Errors
    /// What an earlier datagram of ours met on its way, or a broken socket.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for header in &mut self.headers {
            header.msg_hdr.msg_namelen = NAME_LEN;
        }
        self.filled = 0;
        // SAFETY: every header points at a name and a vector of this batch,
        // and every vector at a slot of `bytes` that is at least as long as
        // it says. All of them live as long as `self`, which is borrowed.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.filled = usize::try_from(received).or_else(|_| nothing_yet())?;
        Ok(self.filled)
    }

    /// The datagram in slot `index` and who sent it; `None` past the last one,
    /// and for one without an IP address or longer than any SIP message.
    pub(super) fn datagram(&self, index: usize) -> Option<(SocketAddr, &[u8])> {
        let header = self.headers[..self.filled].get(index)?;
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let peer = socket_addr(&self.names[index])?;
        let start = index * STRIDE;
        Some((peer, &self.bytes[start..start + header.msg_len as usize]))
    }
}

/// Room to send many datagrams by one call.
pub(super) struct SendBatch {
    names: Vec<SockAddr>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl SendBatch {
    pub(super) fn new() -> Self {
        Self {
            names: Vec::with_capacity(DATAGRAM_BATCH),
            vectors: Vec::with_capacity(DATAGRAM_BATCH),
            headers: Vec::with_capacity(DATAGRAM_BATCH),
        }
    }

    /// Sends the first `DATAGRAM_BATCH` of `datagrams` without waiting, each
    /// whole or not at all; how many of them the kernel took, from the front.
    ///
    /// # Errors
    /// `WouldBlock` when it takes none for now; else what is wrong with the
    /// first one, or what an earlier datagram met on its way.
    pub(super) fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>,
    ) -> io::Result<usize> {
        self.names.clear();
        self.vectors.clear();
        self.headers.clear();
        for (peer, bytes) in datagrams.take(DATAGRAM_BATCH) {
            self.names.push(SockAddr::from(peer));
            let base = bytes.as_ptr().cast_mut().cast();
            self.vectors.push(libc::iovec {
                iov_base: base,
                iov_len: bytes.len(),
            });
        }
        for (name, vector) in self.names.iter().zip(&mut self.vectors) {
            let mut header = no_header();
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            self.headers.push(header);
        }
        let count = libc::c_uint::try_from(self.headers.len()).unwrap_or(BATCH);
        // SAFETY: `count` headers are filled in; each points at a name and a
        // vector in `self`, neither of which changes before the call returns,
        // and each vector at bytes borrowed for 'a. The kernel only reads.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).map_err(|_negative| io::Error::last_os_error())
    }
}

fn no_header() -> libc::mmsghdr {
    // SAFETY: integers and raw pointers only, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

fn nothing_yet<T: From<u8>>() -> io::Result<T> {
    let error = io::Error::last_os_error();
    let is_for_later = matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    );
    if is_for_later {
        Ok(T::from(0))
    } else {
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    fn pair() -> (UdpSocket, UdpSocket, SocketAddr, SocketAddr) {
        let [a, b] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let [a_addr, b_addr] = [&a, &b].map(|socket| socket.local_addr().unwrap());
        (a, b, a_addr, b_addr)
    }

    #[test]
    fn datagrams_of_every_length_arrive_whole_and_in_order() {
        let (from, to, from_addr, to_addr) = pair();
        let lengths = [0, 1, 500, 1_500, 9_000, 65_507];
        let messages: Vec<Vec<u8>> = lengths
            .iter()
            .zip(b'a'..)
            .map(|(&len, byte)| vec![byte; len])
            .collect();
        let datagrams = messages.iter().map(|bytes| (to_addr, &bytes[..]));
        assert_eq!(
            SendBatch::new().send(from.as_fd(), datagrams).unwrap(),
            lengths.len()
        );
        let mut batch = ReceiveBatch::new();
        assert_eq!(batch.receive(to.as_fd()).unwrap(), lengths.len());
        for (index, bytes) in messages.iter().enumerate() {
            assert!(
                batch.datagram(index) == Some((from_addr, &bytes[..])),
                "{}",
                bytes.len()
            );
        }
        assert_eq!(batch.datagram(lengths.len()), None);
        assert_eq!(batch.receive(to.as_fd()).unwrap(), 0);
        assert_eq!(batch.datagram(0), None);
    }

    #[test]
    fn one_call_takes_no_more_than_a_batch() {
        let (from, to, _, to_addr) = pair();
        let datagrams = std::iter::repeat((to_addr, &b"x"[..]));
        assert_eq!(
            SendBatch::new().send(from.as_fd(), datagrams).unwrap(),
            DATAGRAM_BATCH
        );
        assert_eq!(
            ReceiveBatch::new().receive(to.as_fd()).unwrap(),
            DATAGRAM_BATCH
        );
    }

    #[test]
    fn an_unsendable_datagram_is_an_error_and_not_a_shorter_one() {
        let (from, _to, _, to_addr) = pair();
        let long = vec![0; 65_508];
        let datagrams = [(to_addr, &long[..])].into_iter();
        let error = SendBatch::new().send(from.as_fd(), datagrams).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    }
}
