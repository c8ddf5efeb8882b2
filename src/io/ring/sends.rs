//! What a shard sends, staged for the next enter.
//!
//! Every send is told not to wait, and to send all or say how much: the kernel does it
//! within the enter that submits it, and only one that was not done in full completes.
//! So when an enter returns, each staged send is over, and nothing that it pointed at is
//! read any more.

#![expect(
    unsafe_code,
    reason = "message headers are raw memory that the kernel reads"
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};
use socket2::SockAddr;

use super::super::completion_id;
use crate::bytes::Buf;
use crate::id::Slot;
use crate::limits;

/// A datagram on its way to the kernel.
pub(in crate::io) struct Datagram {
    /// The socket that it leaves through, by its place among those of the shard.
    pub(in crate::io) port: u16,
    pub(in crate::io) peer: SocketAddr,
    pub(in crate::io) bytes: Buf,
    /// How often the kernel has refused it.
    pub(in crate::io) tries: u32,
}

impl Datagram {
    pub(in crate::io) const fn new(port: u16, peer: SocketAddr, bytes: Buf) -> Self {
        Self {
            port,
            peer,
            bytes,
            tries: 0,
        }
    }
}

/// Encrypted bytes of a stream, of which the first `written` are with the kernel.
#[derive(Default)]
pub(in crate::io) struct Sealed {
    pub(in crate::io) bytes: Vec<u8>,
    pub(in crate::io) written: usize,
}

/// What came of writing to a stream.
pub(in crate::io) struct Written {
    pub(in crate::io) slot: Slot,
    /// Bytes that the kernel took, or its error.
    pub(in crate::io) result: Result<usize, i32>,
    /// Bytes that it was to take.
    pub(in crate::io) len: usize,
    /// The bytes, where they were encrypted for this.
    pub(in crate::io) sealed: Option<Sealed>,
}

/// Sends that the next enter submits, and what came of those before.
pub(super) struct Sends {
    names: Vec<SockAddr>,
    datagrams: Vec<Datagram>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::msghdr>,
    writes: Vec<Written>,
    /// What the vectors point at.
    held: Vec<Buf>,
    /// Datagrams that the kernel took.
    pub(super) sent: u64,
    /// Datagrams that it refused, with its error.
    pub(super) refused: VecDeque<(Datagram, i32)>,
    /// Errors of staged datagrams, by their index.
    errors: Vec<(usize, i32)>,
    pub(super) written: Vec<Written>,
    /// Memory for what is encrypted next.
    spare: Vec<Vec<u8>>,
}

/// Vectors of one enter.
const VECTORS: usize = 16 * limits::WRITE_MESSAGES_MAX;

impl Sends {
    pub(super) fn new() -> Self {
        let most = limits::SENDS_MAX;
        Self {
            names: Vec::with_capacity(most),
            datagrams: Vec::with_capacity(most),
            vectors: Vec::with_capacity(VECTORS),
            headers: Vec::with_capacity(most),
            writes: Vec::with_capacity(most),
            held: Vec::with_capacity(VECTORS),
            sent: 0,
            refused: VecDeque::new(),
            errors: Vec::new(),
            written: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// True when the next send has to wait for an enter.
    pub(super) fn is_full(&self) -> bool {
        self.datagrams.len() >= limits::SENDS_MAX
            || self.writes.len() >= limits::SENDS_MAX
            || self.vectors.len() + limits::WRITE_MESSAGES_MAX > VECTORS
    }

    /// True when nothing is staged.
    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty() && self.writes.is_empty()
    }

    /// True when something came of sends that nobody has taken.
    pub(super) fn has_results(&self) -> bool {
        !self.refused.is_empty() || !self.written.is_empty()
    }

    /// Stages a datagram, where there is room (`is_full`). A socket that is connected to its
    /// peer knows where it goes.
    pub(super) fn datagram(
        &mut self,
        socket: BorrowedFd<'_>,
        datagram: Datagram,
        is_connected: bool,
    ) -> Entry {
        debug_assert!(
            self.names.len() < self.names.capacity(),
            "names stay where they are"
        );
        let index = self.datagrams.len();
        let len = u32::try_from(datagram.bytes.len()).unwrap_or(u32::MAX);
        let mut send =
            opcode::Send::new(types::Fd(socket.as_raw_fd()), datagram.bytes.as_ptr(), len)
                .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        if !is_connected {
            let at = self.names.len();
            self.names.push(SockAddr::from(datagram.peer));
            let name = &self.names[at];
            send = send
                .dest_addr(name.as_ptr().cast())
                .dest_addr_len(name.len());
        }
        self.datagrams.push(datagram);
        send.build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(completion_id::datagram(index))
    }

    /// Stages the messages of a stream, of the first of which so many bytes are written
    /// already, where there is room (`is_full`).
    pub(super) fn messages<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        slot: Slot,
        messages: impl Iterator<Item = &'a Buf>,
        written: usize,
    ) -> Entry {
        let from = self.vectors.len();
        let (mut skip, mut len) = (written, 0);
        for message in messages.take(limits::WRITE_MESSAGES_MAX) {
            let rest = message.get(skip..).unwrap_or_default();
            self.vectors.push(libc::iovec {
                iov_base: rest.as_ptr().cast_mut().cast(),
                iov_len: rest.len(),
            });
            len += rest.len();
            skip = 0;
            self.held.push(message.clone());
        }
        let index = self.write(slot, len, None);
        let fd = types::Fd(socket.as_raw_fd());
        let entry = if let [only] = &self.vectors[from..] {
            let len = u32::try_from(only.iov_len).unwrap_or(u32::MAX);
            opcode::Send::new(fd, only.iov_base.cast(), len)
                .flags(WHOLE)
                .build()
        } else {
            // SAFETY: integers and raw pointers only, for which zero is a value.
            let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
            header.msg_iov = self.vectors[from..].as_mut_ptr();
            header.msg_iovlen = self.vectors.len() - from;
            debug_assert!(self.headers.len() < self.headers.capacity());
            self.headers.push(header);
            let header = self
                .headers
                .last()
                .map_or(std::ptr::null(), std::ptr::from_ref);
            opcode::SendMsg::new(fd, header)
                .flags(WHOLE.cast_unsigned())
                .build()
        };
        finish(entry, index)
    }

    /// Stages encrypted bytes of a stream, where there is room (`is_full`).
    pub(super) fn sealed(&mut self, socket: BorrowedFd<'_>, slot: Slot, sealed: Sealed) -> Entry {
        let rest = sealed.bytes.get(sealed.written..).unwrap_or_default();
        let (start, len) = (rest.as_ptr(), rest.len());
        let index = self.write(slot, len, Some(sealed));
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(types::Fd(socket.as_raw_fd()), start, len);
        finish(entry.flags(WHOLE).build(), index)
    }

    fn write(&mut self, slot: Slot, len: usize, sealed: Option<Sealed>) -> usize {
        let result = Ok(len);
        self.writes.push(Written {
            slot,
            result,
            len,
            sealed,
        });
        self.writes.len() - 1
    }

    /// Takes note of a send that was not done in full.
    pub(super) fn on_datagram(&mut self, index: usize, result: i32) {
        if result < 0 {
            self.errors.push((index, -result));
        }
    }

    /// As `on_datagram`, for a stream.
    pub(super) fn on_write(&mut self, index: usize, result: i32) {
        if let Some(write) = self.writes.get_mut(index) {
            write.result = usize::try_from(result).map_err(|_negative| -result);
        }
    }

    /// All that is staged was submitted, and what the kernel said of it was noted.
    pub(super) fn settle(&mut self) {
        self.sent += (self.datagrams.len() - self.errors.len()) as u64;
        if self.errors.is_empty() {
            self.datagrams.clear();
        } else {
            // In the order in which they were staged, whatever order they completed in.
            self.errors.sort_unstable();
            let mut errors = self.errors.drain(..).peekable();
            for (index, datagram) in self.datagrams.drain(..).enumerate() {
                if let Some((_, error)) = errors.next_if(|&(failed, _)| failed == index) {
                    self.refused.push_back((datagram, error));
                }
            }
        }
        self.names.clear();
        self.vectors.clear();
        self.headers.clear();
        self.held.clear();
        self.written.append(&mut self.writes);
    }

    #[cfg(test)]
    pub(super) fn unstage(&mut self) -> Option<Datagram> {
        self.names.pop();
        self.datagrams.pop()
    }

    /// Empty memory for what is to be encrypted.
    pub(super) fn spare(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes memory back that nothing waits in.
    pub(super) fn recycle(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < SPARES && bytes.capacity() <= 2 * limits::TLS_WRITE_MAX {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}

/// Buffers for encryption that are kept.
const SPARES: usize = 64;

/// Send all of it without waiting, and say so where that is not possible.
const WHOLE: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

fn finish(entry: Entry, index: usize) -> Entry {
    entry
        .flags(Flags::SKIP_SUCCESS)
        .user_data(completion_id::write(index))
}
