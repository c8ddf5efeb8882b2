//! The io_uring of a shard: everything that its sockets accept, connect, receive and send
//! goes through it, and the shard waits nowhere else.
//!
//! - What is to be done is staged and goes to the kernel with the next `enter`, which also
//!   waits. One call moves everything that a turn has to say and to hear.
//! - Accepts and receives are started once and complete again and again; received bytes
//!   are in buffers that all sockets share (`buffers`), so that a connection that says
//!   nothing holds none.
//! - Sends are over when the enter returns that submitted them (`sends`). Hence nothing
//!   staged may outlive it: sockets are closed through the ring, behind what was staged
//!   for them.
//! - Completions are taken in by the shard alone and only within `enter`
//!   (`IORING_SETUP_DEFER_TASKRUN`), so nothing is written behind its back.

#![expect(unsafe_code, reason = "entries of a ring point at raw memory")]

mod buffers;
mod requests;
mod sends;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use io_uring::squeue::Entry;
use io_uring::types::{RecvMsgOut, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue};
use nix::sys::socket::{Shutdown, shutdown};

use super::completion_id::CompletionId;
use super::{Fault, address};
use crate::bytes::Buf;
use crate::id::Slot;
use crate::limits;
use crate::time::Duration;

pub(super) use buffers::Buffers;
pub(super) use sends::{Datagram, Sealed, Written};

use sends::Sends;

/// The ring of a shard.
pub(super) struct Ring {
    ring: IoUring,
    /// When the alarm is due, as the kernel reads it.
    alarm: Box<Timespec>,
    /// What a receive of datagrams is told of the room for names.
    template: Box<libc::msghdr>,
    sends: Sends,
    completions: VecDeque<Completion>,
    accepted: VecDeque<AcceptedSocket>,
    /// Sockets to be closed once all that is staged is submitted.
    leaving: Vec<OwnedFd>,
    /// What the kernel refused where nobody could be told.
    fault: Option<io::Error>,
}

/// What the kernel says of something that was asked of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) id: CompletionId,
    /// A length, or an error of the kernel.
    pub(super) result: Result<usize, i32>,
    /// The buffer that it filled, which is to be given back.
    pub(super) buffer: Option<u16>,
    /// It will complete again; if not, it is to be started again.
    pub(super) goes_on: bool,
}

/// A connection that a listener accepted, by its index; or why it accepts no more.
pub(super) struct AcceptedSocket {
    pub(super) listener: u16,
    pub(super) result: Result<OwnedFd, i32>,
    /// It accepts more.
    pub(super) goes_on: bool,
}

/// A ring, and the buffers that it is to receive into.
pub(super) struct Receiver<'a> {
    pub(super) ring: &'a mut Ring,
    pub(super) room: &'a Room,
}

/// The buffers that a ring receives into. A flood of datagrams at the listeners takes none of
/// those that the homes' arrive in.
pub(super) struct Room {
    access: Buffers,
    core: Buffers,
    pub(super) chunks: Buffers,
}

/// Where datagrams come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// At listeners.
    Access,
    /// At upstream sockets.
    Core,
}

impl Room {
    /// The buffers that datagrams of this side arrive in.
    pub(super) const fn datagrams(&mut self, side: Side) -> &mut Buffers {
        match side {
            Side::Access => &mut self.access,
            Side::Core => &mut self.core,
        }
    }

    const fn group(&self, side: Side) -> u16 {
        match side {
            Side::Access => self.access.group(),
            Side::Core => self.core.group(),
        }
    }
}

/// Octets of the kernel's own before the contents of a datagram: `io_uring_recvmsg_out`.
const HEAD: usize = 16;

impl Ring {
    /// A ring of the calling thread, which alone may use it, and its buffers.
    ///
    /// # Errors
    /// When the kernel has no io_uring, is older than Linux 6.1, or forbids it.
    pub(super) fn new() -> io::Result<(Self, Room)> {
        let ring = build(limits::ENTRIES_MAX, limits::COMPLETIONS_MAX)?;
        let name = address::KERNEL_NAME_LEN;
        let datagrams = |group| {
            let len = HEAD + name + limits::MESSAGE_MAX;
            Buffers::register(&ring, group, limits::DATAGRAM_BUFFERS, len)
        };
        let room = Room {
            access: datagrams(0)?,
            core: datagrams(1)?,
            chunks: Buffers::register(&ring, 2, limits::STREAM_BUFFERS, limits::STREAM_BUFFER)?,
        };
        // SAFETY: integers and raw pointers only, for which zero is a value.
        let mut template: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        template.msg_namelen = u32::try_from(name).unwrap_or_default();
        let ring = Self {
            ring,
            alarm: Box::new(Timespec::new()),
            template,
            sends: Sends::new(),
            completions: VecDeque::new(),
            accepted: VecDeque::new(),
            leaving: Vec::new(),
            fault: None,
        };
        Ok((ring, room))
    }

    /// The sender and the contents of a received datagram; `None` for one that is longer
    /// than any SIP message, or not from an IP address.
    pub(super) fn datagram<'a>(&self, filled: &'a [u8]) -> Option<(SocketAddr, &'a [u8])> {
        let message = RecvMsgOut::parse(filled, &self.template).ok()?;
        if message.is_payload_truncated() {
            return None;
        }
        let peer = address::from_kernel(message.name_data())?;
        let (start, len) = (
            HEAD + address::KERNEL_NAME_LEN,
            message.payload_data().len(),
        );
        Some((peer, filled.get(start..start + len)?))
    }

    /// Closes a socket, once everything is submitted that was staged for it. What the ring
    /// still does with it ends by itself: its end is said to both sides first. (To cancel
    /// each request would have the kernel look through those of all flows.)
    pub(super) fn close(&mut self, socket: OwnedFd) {
        self.leaving.push(socket);
    }

    /// Sends a datagram, by a socket that is connected to its peer or to nobody; `take_sent`
    /// and `take_refused` tell of it after the next enter.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, datagram: Datagram, is_connected: bool) {
        self.make_room();
        let entry = self.sends.datagram(socket, datagram, is_connected);
        self.push(entry);
    }

    /// Writes messages to a connection, of the first of which so many bytes are written
    /// already; `take_written` tells of it after the next enter. Until then nothing else
    /// may be written there.
    pub(super) fn write<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        slot: Slot,
        messages: impl Iterator<Item = &'a Buf>,
        written: usize,
    ) {
        self.make_room();
        let entry = self.sends.messages(socket, slot, messages, written);
        self.push(entry);
    }

    /// As `write`, of encrypted bytes.
    pub(super) fn write_sealed(&mut self, socket: BorrowedFd<'_>, slot: Slot, sealed: Sealed) {
        self.make_room();
        let entry = self.sends.sealed(socket, slot, sealed);
        self.push(entry);
    }

    /// Empty memory for what is to be encrypted.
    pub(super) fn spare(&mut self) -> Vec<u8> {
        self.sends.spare()
    }

    /// Takes memory back that nothing waits in.
    pub(super) fn recycle(&mut self, bytes: Vec<u8>) {
        self.sends.recycle(bytes);
    }

    /// True when sends wait for the next enter.
    pub(super) fn has_staged(&self) -> bool {
        !self.sends.is_empty() || self.has_results()
    }

    /// Takes back what was staged last.
    #[cfg(test)]
    pub(super) fn unstage(&mut self) -> Option<Datagram> {
        self.sends.unstage()
    }

    /// Number of datagrams that the kernel took since it was asked last.
    pub(super) fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sends.sent)
    }

    /// A datagram that the kernel refused, in the order in which they were sent.
    pub(super) fn take_refused(&mut self) -> Option<(Datagram, i32)> {
        self.sends.refused.pop_front()
    }

    /// What came of writing to a stream.
    pub(super) fn take_written(&mut self) -> Option<Written> {
        self.sends.written.pop()
    }

    /// The next completion, if there is one.
    pub(super) fn next(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    /// The next accepted connection, if there is one.
    pub(super) fn next_accepted(&mut self) -> Option<AcceptedSocket> {
        self.accepted.pop_front()
    }

    /// True when completions are there that nobody has taken.
    pub(super) fn has_more(&self) -> bool {
        !self.completions.is_empty()
    }

    /// True when the next enter is not to wait: something came of sends that nobody has
    /// taken, or a socket is to be closed behind it.
    pub(super) fn has_results(&self) -> bool {
        self.sends.has_results() || !self.leaving.is_empty()
    }

    /// True when the kernel has more to complete than it did within the last enter.
    pub(super) fn is_pressed(&mut self) -> bool {
        self.ring.submission().taskrun()
    }

    /// Number of accepted connections that nobody has taken.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// Submits what is staged and takes in what has completed; waits for something to
    /// complete, at most that long (`None`: for ever).
    ///
    /// # Errors
    /// When the kernel refuses the ring.
    pub(super) fn enter(&mut self, most: Option<Duration>) -> io::Result<()> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let entered = match most {
            Some(most) if most.is_zero() => self.enter_now(),
            Some(most) => {
                let span = Timespec::from(most);
                let args = SubmitArgs::new().timespec(&span);
                self.ring.submitter().submit_with_args(1, &args).map(drop)
            }
            None => self.ring.submitter().submit_and_wait(1).map(drop),
        };
        pass_over(entered)?;
        self.submit_rest()
    }

    /// Ends everything that has not completed, so that the sockets are free once they are
    /// closed: the kernel would keep them until it finds the time to end the ring.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.cancel_all();
        // The first submits it, the second lets go of what it has ended.
        self.enter(Some(Duration::ZERO))?;
        self.enter(Some(Duration::from_millis(1)))
    }

    /// Submits what is staged now.
    pub(super) fn submit(&mut self) {
        if self.fault.is_some() {
            return;
        }
        let submitted = pass_over(self.enter_now()).and_then(|()| self.submit_rest());
        if let Err(error) = submitted {
            self.fault = Some(error);
        }
    }

    /// Does not wait, and is no call where there is nothing to submit or to take in.
    fn enter_now(&mut self) -> io::Result<()> {
        let queue = self.ring.submission();
        let is_idle = queue.is_empty() && !queue.taskrun() && !queue.cq_overflow();
        drop(queue);
        if is_idle {
            return Ok(());
        }
        self.ring.submit().map(drop)
    }

    /// Submits what an enter has left and has completed, for want of room, and takes in
    /// what completed.
    fn submit_rest(&mut self) -> io::Result<()> {
        self.take_in();
        for _ in 0..limits::SUBMITS_MAX {
            let queue = self.ring.submission();
            let is_done = queue.is_empty() && !queue.cq_overflow();
            drop(queue);
            if is_done {
                self.sends.settle();
                self.hang_up();
                return Ok(());
            }
            pass_over(self.ring.submit().map(drop))?;
            self.take_in();
        }
        Err(io::Error::other(
            "the kernel takes no more entries of a ring",
        ))
    }

    fn hang_up(&mut self) {
        for socket in self.leaving.drain(..) {
            if let Err(error) = shutdown(socket.as_raw_fd(), Shutdown::Both) {
                // The peer is gone already.
                tracing::debug!(%error, "a connection was over before it was closed");
            }
        }
    }

    fn take_in(&mut self) {
        for entry in self.ring.completion() {
            let (result, flags) = (entry.result(), entry.flags());
            let goes_on = cqueue::more(flags);
            match CompletionId::unpack(entry.user_data()) {
                CompletionId::Nothing => {}
                CompletionId::Datagram(index) => self.sends.on_datagram(index, result),
                CompletionId::Write(index) => self.sends.on_write(index, result),
                CompletionId::Listener(listener) => self.accepted.push_back(AcceptedSocket {
                    listener,
                    result: accepted(result),
                    goes_on,
                }),
                // That of an alarm that was set anew.
                CompletionId::Alarm if result == -libc::ECANCELED => {}
                id @ (CompletionId::Inbox
                | CompletionId::Alarm
                | CompletionId::Mesh
                | CompletionId::Udp(_)
                | CompletionId::UdpReady(_)
                | CompletionId::ListenerReady(_)
                | CompletionId::Stream(_)
                | CompletionId::Writable(_)
                | CompletionId::Readable(_)
                | CompletionId::Connected(_)) => self.completions.push_back(Completion {
                    id,
                    result: usize::try_from(result).map_err(|_negative| -result),
                    buffer: cqueue::buffer_select(flags),
                    goes_on,
                }),
            }
        }
    }

    fn make_room(&mut self) {
        // Room for the entry as well: one that has to wait for an enter would point at
        // what that enter has ended.
        if self.sends.is_full() || self.ring.submission().is_full() {
            self.submit();
        }
    }

    fn push(&mut self, entry: Entry) {
        for _ in 0..2 {
            if self.fault.is_some() {
                return;
            }
            // SAFETY: what an entry points at is the template, which lives as long as the
            // ring; the name of a peer, which is submitted before it goes; or staged in
            // `sends` until the entry is submitted.
            let pushed = unsafe { self.ring.submission().push(&entry) };
            if pushed.is_ok() {
                return;
            }
            self.submit();
        }
        let full = io::Error::other("a ring has no room for an entry");
        self.fault.get_or_insert(full);
    }
}

/// The ring of the calling thread.
fn build(entries: u32, completions: u32) -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(completions)
        .build(entries)
}

/// Finds out whether this kernel has what a shard needs, and leaves nothing behind.
///
/// # Errors
/// `Fault::Executor` without io_uring, `Fault::OldKernel` where it is older than Linux 6.1.
pub(super) fn check_ring() -> Result<(), Fault> {
    let made =
        build(1, 2).and_then(|ring| Buffers::register(&ring, 0, 1, 1).map(|room| (ring, room)));
    match made {
        // In the order in which they have to end.
        Ok((ring, room)) => {
            drop(ring);
            drop(room);
            Ok(())
        }
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let name = nix::sys::utsname::uname().map_err(io::Error::from)?;
            let release = name.release().to_string_lossy().into_owned();
            Err(Fault::OldKernel { release })
        }
        Err(error) => Err(Fault::Executor(error.to_string())),
    }
}

fn accepted(result: i32) -> Result<OwnedFd, i32> {
    if result < 0 {
        return Err(-result);
    }
    // SAFETY: the kernel has just made it for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// What ends an enter and is no failure: the time is over, a signal came, completions
/// are to be taken in first.
fn pass_over(entered: io::Result<()>) -> io::Result<()> {
    match entered {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
            ) =>
        {
            Ok(())
        }
        entered => entered,
    }
}

#[cfg(test)]
mod tests;
