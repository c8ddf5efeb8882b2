//! The sockets of a load: phones and callee, datagrams and connections, in one
//! epoll set and one thread.

mod stream;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rustls::ClientConnection;
use socket2::{Domain, Protocol, Socket, Type};
use steadfast_core::frame;
use steadfast_core::limits;

use super::batch::{self, Outgoing, Received};
use super::bounds;
use super::trust::Trust;
use stream::Stream;
pub(super) use stream::later;

/// Batches read from one UDP socket before the other sockets have their turn.
const BATCHES_MAX: usize = 4;
/// Bytes read from one stream before the other sockets have their turn.
const STREAM_READ_MAX: usize = 64 * 1024;

/// Where a message came in or goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A UDP socket, and the local address it speaks for.
    Datagrams {
        /// Which socket.
        port: u16,
        /// The address.
        local: Ipv4Addr,
    },
    /// A connection.
    Stream(u32),
}

/// A message that came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    /// Where.
    pub(super) line: Line,
    /// From whom.
    pub(super) peer: SocketAddrV4,
    /// All of it.
    pub(super) bytes: &'a [u8],
}

/// What waits to leave.
pub(super) struct Out {
    /// By socket.
    ports: Vec<Outgoing>,
    /// Their port numbers.
    numbers: Vec<u16>,
    /// By connection.
    streams: Vec<Vec<u8>>,
    /// The local end of each.
    ends: Vec<SocketAddrV4>,
    /// Connections with something to send.
    dirty: Vec<u32>,
}

impl Out {
    /// Adds a message; it leaves with the next flush.
    pub(super) fn write(&mut self, line: Line, to: SocketAddrV4, fill: impl FnOnce(&mut Vec<u8>)) {
        match line {
            Line::Datagrams { port, local } => {
                self.ports[usize::from(port)].write(local, to, fill);
            }
            Line::Stream(index) => {
                let queue = &mut self.streams[usize_of(index)];
                if queue.is_empty() {
                    self.dirty.push(index);
                }
                fill(queue);
            }
        }
    }

    /// The address that peers see of a line.
    pub(super) fn address(&self, line: Line) -> SocketAddrV4 {
        match line {
            Line::Datagrams { port, local } => {
                SocketAddrV4::new(local, self.numbers[usize::from(port)])
            }
            Line::Stream(index) => self.ends[usize_of(index)],
        }
    }
}

/// All sockets.
pub(super) struct Wires {
    ready: Epoll,
    events: Box<[EpollEvent]>,
    ports: Vec<UdpSocket>,
    streams: Vec<Stream>,
    listener: Option<TcpListener>,
    received: Received,
    buffer: Box<[u8]>,
    /// What waits to leave.
    pub(super) out: Out,
}

/// The token of the listener; sockets and connections count from zero on.
const LISTENER: u64 = u64::MAX;
/// Set in the token of a connection.
const STREAM: u64 = 1 << 32;

impl Wires {
    pub(super) fn new() -> io::Result<Self> {
        let out = Out {
            ports: Vec::new(),
            numbers: Vec::new(),
            streams: Vec::new(),
            ends: Vec::new(),
            dirty: Vec::new(),
        };
        Ok(Self {
            ready: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); limits::EVENTS_MAX].into(),
            ports: Vec::new(),
            streams: Vec::new(),
            listener: None,
            received: Received::new(),
            buffer: vec![0; STREAM_READ_MAX].into(),
            out,
        })
    }

    /// Opens a UDP socket; which it is.
    pub(super) fn datagrams(&mut self, at: SocketAddrV4) -> io::Result<u16> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(limits::SOCKET_BUFFER)?;
        socket.set_send_buffer_size(limits::SOCKET_BUFFER)?;
        batch::tell_addresses(&socket)?;
        socket.bind(&at.into())?;
        let socket = UdpSocket::from(socket);
        let port = u16::try_from(self.ports.len()).map_err(io::Error::other)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, port.into());
        self.ready.add(&socket, event)?;
        self.out.numbers.push(socket.local_addr()?.port());
        self.out.ports.push(Outgoing::new());
        self.ports.push(socket);
        Ok(port)
    }

    /// Opens a connection from `local`, with `trust` over TLS; which it is.
    pub(super) fn connect(
        &mut self,
        local: Ipv4Addr,
        to: SocketAddrV4,
        trust: Option<&Trust>,
    ) -> io::Result<Line> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddrV4::new(local, 0).into())?;
        socket.connect(&to.into())?;
        let mut socket = TcpStream::from(socket);
        let session = trust.map(|trust| trust.greet(&mut socket)).transpose()?;
        self.adopt(socket, to, session)
    }

    /// Accepts connections at `at`.
    pub(super) fn listen(&mut self, at: SocketAddrV4) -> io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        socket.listen(limits::BACKLOG)?;
        let listener = TcpListener::from(socket);
        let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
        self.ready.add(&listener, event)?;
        self.listener = Some(listener);
        Ok(())
    }

    fn adopt(
        &mut self,
        socket: TcpStream,
        peer: SocketAddrV4,
        session: Option<ClientConnection>,
    ) -> io::Result<Line> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let index = u32::try_from(self.streams.len()).map_err(io::Error::other)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, STREAM | u64::from(index));
        self.ready.add(&socket, event)?;
        self.out.ends.push(v4(socket.local_addr()?));
        self.out.streams.push(Vec::new());
        self.streams.push(Stream::new(socket, peer, session));
        Ok(Line::Stream(index))
    }

    /// Connections that have ended.
    pub(super) fn closed(&self) -> usize {
        self.streams.iter().filter(|stream| !stream.is_open).count()
    }

    /// Sends what waits, as far as the kernel takes it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        for (socket, outgoing) in self.ports.iter().zip(&mut self.out.ports) {
            if !outgoing.is_empty() {
                outgoing.flush(socket.as_fd())?;
            }
        }
        let mut dirty = std::mem::take(&mut self.out.dirty);
        for index in dirty.drain(..) {
            self.flush_stream(index)?;
        }
        self.out.dirty = dirty;
        Ok(())
    }

    /// A connection that is full goes on when the readiness set says so.
    fn flush_stream(&mut self, index: u32) -> io::Result<()> {
        let stream = &mut self.streams[usize_of(index)];
        let queue = &mut self.out.streams[usize_of(index)];
        if !stream.is_open {
            queue.clear();
            return Ok(());
        }
        let is_full = stream.send(queue).unwrap_or_else(|_gone| {
            stream.is_open = false;
            queue.clear();
            false
        });
        if is_full == stream.is_watched {
            return Ok(());
        }
        stream.is_watched = is_full;
        let mut interest = EpollFlags::EPOLLIN;
        interest.set(EpollFlags::EPOLLOUT, is_full);
        let mut event = EpollEvent::new(interest, STREAM | u64::from(index));
        Ok(self.ready.modify(&stream.socket, &mut event)?)
    }

    /// Waits at most as long as `most`, then takes all there is; false when
    /// nothing came.
    pub(super) fn receive(
        &mut self,
        most: Duration,
        mut each: impl FnMut(Instant, Arrival<'_>, &mut Out),
    ) -> io::Result<bool> {
        if !most.is_zero() {
            batch::wait(self.ready.0.as_fd(), most)?;
        }
        let count = self.ready.wait(&mut self.events, EpollTimeout::ZERO)?;
        for index in 0..count {
            let event = self.events[index];
            let token = event.data();
            match (token, token & STREAM != 0) {
                (LISTENER, _) => self.accept()?,
                (_, true) => {
                    let index = u32::try_from(token & (STREAM - 1)).map_err(io::Error::other)?;
                    if event.events().contains(EpollFlags::EPOLLOUT) {
                        self.flush_stream(index)?;
                    }
                    self.read(index, &mut each)?;
                }
                (_, false) => {
                    self.drain(u16::try_from(token).map_err(io::Error::other)?, &mut each)?;
                }
            }
        }
        Ok(count > 0)
    }

    /// Reads datagrams until there are none, or others should have their turn.
    fn drain(
        &mut self,
        port: u16,
        each: &mut impl FnMut(Instant, Arrival<'_>, &mut Out),
    ) -> io::Result<()> {
        for _ in 0..BATCHES_MAX {
            let count = self
                .received
                .receive(self.ports[usize::from(port)].as_fd())?;
            // Read once a batch: its messages came at one time.
            let now = Instant::now();
            for index in 0..count {
                // Loopback only, also where a socket is bound to no address.
                let datagram = self.received.datagram(index);
                let Some(datagram) = datagram.filter(|datagram| datagram.local.is_loopback())
                else {
                    continue;
                };
                let local = datagram.local;
                let arrival = Arrival {
                    line: Line::Datagrams { port, local },
                    peer: datagram.peer,
                    bytes: datagram.bytes,
                };
                each(now, arrival, &mut self.out);
            }
            if count < bounds::BATCH {
                break;
            }
            self.flush()?;
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..limits::ACCEPTS_MAX {
            let accepted = self.listener.as_ref().map(TcpListener::accept);
            let Some(Ok((socket, peer))) = accepted else {
                break;
            };
            self.adopt(socket, v4(peer), None)?;
        }
        Ok(())
    }

    fn read(
        &mut self,
        index: u32,
        each: &mut impl FnMut(Instant, Arrival<'_>, &mut Out),
    ) -> io::Result<()> {
        let stream = &mut self.streams[usize_of(index)];
        let goes_on = stream.receive(&mut self.buffer).unwrap_or(false);
        stream.is_open &= goes_on;
        if stream.session.as_ref().is_some_and(|it| it.wants_write()) {
            self.out.dirty.push(index);
        }
        let (mut done, now) = (0, Instant::now());
        loop {
            match frame::stream(&stream.partial[done..], &mut stream.resume) {
                frame::StreamFrame::NeedMore { .. } => break,
                frame::StreamFrame::Ping { len }
                | frame::StreamFrame::Skip { len }
                | frame::StreamFrame::Noise { len } => done += len,
                frame::StreamFrame::Message { start, end } => {
                    let (line, peer) = (Line::Stream(index), stream.peer);
                    let bytes = &stream.partial[done + start..done + end];
                    each(now, Arrival { line, peer, bytes }, &mut self.out);
                    done += end;
                }
                frame::StreamFrame::Broken { .. } => {
                    stream.is_open = false;
                    break;
                }
            }
        }
        stream.partial.drain(..done);
        if !stream.is_open {
            // Else it would be ready for ever.
            self.ready.delete(&stream.socket)?;
        }
        Ok(())
    }
}

fn usize_of(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// Everything here is bound to IPv4.
fn v4(addr: SocketAddr) -> SocketAddrV4 {
    match addr {
        SocketAddr::V4(addr) => addr,
        SocketAddr::V6(addr) => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, addr.port()),
    }
}
