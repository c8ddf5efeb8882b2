//! What a shard asks of its ring besides sends: each is staged for the next enter.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::opcode;
use io_uring::squeue::Flags;
use io_uring::types::{CancelBuilder, Fd, Timespec};
use socket2::SockAddr;

use super::{Ring, Room, Side};
use crate::id::Slot;
use crate::io::completion_id;
use crate::time::Duration;

impl Ring {
    /// Completes whenever the bell is rung.
    pub(in crate::io) fn watch(&mut self, bell: BorrowedFd<'_>, completion_id: u64) {
        let poll = opcode::PollAdd::new(Fd(bell.as_raw_fd()), READABLE).multi(true);
        self.push(poll.build().user_data(completion_id));
    }

    /// Completes once after that time, and no more for the alarm that was set before. To set
    /// it is dear: an enter that has to end by a time sets a timer as well, each time.
    pub(in crate::io) fn set_alarm(&mut self, after: Duration, is_set: bool) {
        if is_set {
            let remove = opcode::TimeoutRemove::new(completion_id::ALARM).build();
            self.push(
                remove
                    .flags(Flags::SKIP_SUCCESS)
                    .user_data(completion_id::NOTHING),
            );
        }
        *self.alarm = Timespec::from(after);
        let alarm = opcode::Timeout::new(std::ptr::from_ref(&*self.alarm));
        self.push(alarm.build().user_data(completion_id::ALARM));
    }

    /// Completes once when the socket takes bytes.
    pub(in crate::io) fn poll_writable(&mut self, socket: BorrowedFd<'_>, completion_id: u64) {
        self.poll(socket, WRITABLE, completion_id);
    }

    /// Completes once when the socket has bytes, or a connection.
    pub(in crate::io) fn poll_readable(&mut self, socket: BorrowedFd<'_>, completion_id: u64) {
        self.poll(socket, READABLE, completion_id);
    }

    fn poll(&mut self, socket: BorrowedFd<'_>, what: u32, completion_id: u64) {
        let poll = opcode::PollAdd::new(Fd(socket.as_raw_fd()), what);
        self.push(poll.build().user_data(completion_id));
    }

    /// Accepts connections until that fails.
    pub(in crate::io) fn accept(&mut self, listener: BorrowedFd<'_>, index: u16) {
        let accept = opcode::AcceptMulti::new(Fd(listener.as_raw_fd()))
            .flags(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
        self.push(accept.build().user_data(completion_id::listener(index)));
    }

    /// Receives datagrams until that fails.
    pub(in crate::io) fn receive_datagrams(
        &mut self,
        socket: BorrowedFd<'_>,
        index: u16,
        room: &Room,
        side: Side,
    ) {
        let template = std::ptr::from_ref(&*self.template);
        let group = room.group(side);
        let receive = opcode::RecvMsgMulti::new(Fd(socket.as_raw_fd()), template, group);
        self.push(receive.build().user_data(completion_id::udp(index)));
    }

    /// Receives bytes of a connection until that fails or it ends.
    pub(in crate::io) fn receive(&mut self, socket: BorrowedFd<'_>, slot: Slot, room: &Room) {
        let group = room.chunks.group();
        let receive = opcode::RecvMulti::new(Fd(socket.as_raw_fd()), group);
        self.push(receive.build().user_data(completion_id::stream(slot)));
    }

    /// Receives bytes of a connection once.
    pub(in crate::io) fn receive_once(&mut self, socket: BorrowedFd<'_>, slot: Slot, room: &Room) {
        let group = room.chunks.group();
        let fd = Fd(socket.as_raw_fd());
        let receive = opcode::Recv::new(fd, std::ptr::null_mut(), 0).buf_group(group);
        let entry = receive.build().flags(Flags::BUFFER_SELECT);
        self.push(entry.user_data(completion_id::stream(slot)));
    }

    /// Connects a socket.
    pub(in crate::io) fn connect(&mut self, socket: BorrowedFd<'_>, peer: SocketAddr, slot: Slot) {
        let name = SockAddr::from(peer);
        let fd = Fd(socket.as_raw_fd());
        let connect = opcode::Connect::new(fd, name.as_ptr().cast(), name.len());
        self.push(connect.build().user_data(completion_id::connected(slot)));
        // The kernel copies the name as it takes the entry.
        self.submit();
    }

    /// Ends all that completes by itself; each says so.
    pub(in crate::io) fn cancel_all(&mut self) {
        let all = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        self.push(all.user_data(completion_id::NOTHING));
    }

    /// Ends what has that token; it completes no more.
    pub(in crate::io) fn cancel(&mut self, token: u64) {
        let cancel = opcode::AsyncCancel::new(token).build();
        self.push(
            cancel
                .flags(Flags::SKIP_SUCCESS)
                .user_data(completion_id::NOTHING),
        );
    }
}

/// What a poll is asked for.
const READABLE: u32 = libc::POLLIN as u32;
const WRITABLE: u32 = libc::POLLOUT as u32;
