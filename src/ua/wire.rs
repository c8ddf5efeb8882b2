//! The agent's sockets: one for UDP, or a connection for each flow.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Fault;
use super::ladder::Ladder;
use super::options::Who;
use crate::id::{Flow, SocketId, StreamId, Transport};
use crate::io::tls::Tls;
use crate::send::{Local, Output};
use crate::shard::Input;
use crate::time::Instant;

/// Something that came in.
#[derive(Debug)]
pub(super) enum News {
    /// By UDP.
    Datagram {
        /// From whom.
        peer: SocketAddr,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// A connection is up, to somebody who has proven these domains.
    Connected(StreamId, Vec<Box<str>>),
    /// By a connection.
    Read {
        /// Which.
        stream: StreamId,
        /// Its far side.
        peer: SocketAddr,
        /// The next bytes.
        bytes: Vec<u8>,
    },
    /// A connection is gone.
    Closed(StreamId),
}

impl News {
    pub(super) fn input(&self) -> Input<'_> {
        match self {
            Self::Datagram { peer, bytes } => Input::Datagram {
                socket: SocketId(0),
                peer: *peer,
                bytes,
            },
            Self::Connected(stream, identities) => Input::Connected {
                stream: *stream,
                identities,
            },
            Self::Read { stream, bytes, .. } => Input::Stream {
                stream: *stream,
                bytes,
            },
            Self::Closed(stream) => Input::Closed { stream: *stream },
        }
    }
}

/// All sockets of one agent.
pub(super) struct Wire {
    local: Local,
    /// With TLS, what all connections share.
    tls: Option<Arc<Tls>>,
    udp: Option<UdpSocket>,
    /// A second handle of the UDP socket, to send with: tokio sends at once only after it has seen
    /// the socket ready, which for the first datagram it has not.
    sender: Option<std::net::UdpSocket>,
    /// Keeps the port that the Vias and the Contact name.
    _reserved: Option<TcpSocket>,
    streams: HashMap<StreamId, (SocketAddr, Sender<Vec<u8>>)>,
    news: Receiver<News>,
    tell: Sender<News>,
    buffer: Vec<u8>,
}

/// Messages that may wait for a connection. More are dropped: their
/// transactions end by their timers.
const QUEUE_MAX: usize = 64;

impl Wire {
    /// The sockets that the options ask for.
    pub(super) fn bind(who: &Who) -> Result<Self, Fault> {
        let addr = who.local()?;
        let transport = who.transport();
        let taken = |why: io::Error| Fault::Options(format!("cannot send from {addr}: {why}"));
        let tls = who.tls()?.map(Arc::new);
        let (mut reserved, mut sender) = (None, None);
        let (udp, addr) = match transport {
            Transport::Udp => {
                let socket = std::net::UdpSocket::bind(addr).map_err(taken)?;
                socket.set_nonblocking(true)?;
                let addr = socket.local_addr()?;
                sender = Some(socket.try_clone()?);
                (Some(UdpSocket::from_std(socket)?), addr)
            }
            Transport::Tcp | Transport::Tls => {
                let socket = tcp(addr).map_err(taken)?;
                let addr = socket.local_addr()?;
                reserved = Some(socket);
                (None, addr)
            }
        };
        let (tell, news) = channel(QUEUE_MAX);
        Ok(Self {
            local: Local {
                transport,
                addr,
                upstream: false,
            },
            tls,
            udp,
            sender,
            _reserved: reserved,
            streams: HashMap::new(),
            news,
            tell,
            buffer: vec![0; crate::limits::MESSAGE_MAX],
        })
    }

    /// The endpoints as the core wants to know them.
    pub(super) fn locals(&self) -> Vec<Local> {
        vec![self.local]
    }

    /// The next thing that comes in.
    pub(super) async fn next(&mut self) -> io::Result<News> {
        loop {
            let datagram = async {
                match &self.udp {
                    Some(udp) => udp.recv_from(&mut self.buffer).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // `None` cannot be: the wire holds a sender itself.
                Some(news) = self.news.recv() => return Ok(news),
                came = datagram => match came {
                    Ok((len, peer)) => {
                        let bytes = self.buffer[..len].to_vec();
                        return Ok(News::Datagram { peer, bytes });
                    }
                    // ICMP about an earlier datagram: its transaction finds out.
                    Err(why) if is_passing(&why) => {}
                    Err(why) => return Err(why),
                },
            }
        }
    }

    /// Does what the core asks for.
    pub(super) fn perform(
        &mut self,
        output: Output,
        ladder: &mut Ladder,
        now: Instant,
    ) -> io::Result<()> {
        match output {
            Output::Transmit {
                flow: Flow::Udp { peer, .. },
                bytes,
            } => {
                ladder.sent(now, peer, &bytes);
                match self.sender.as_ref().map(|udp| udp.send_to(&bytes, peer)) {
                    // A full buffer loses a datagram, as the network may.
                    None | Some(Ok(_)) => {}
                    Some(Err(why)) if is_passing(&why) => {}
                    Some(Err(why)) => return Err(why),
                }
            }
            Output::Transmit {
                flow: Flow::Stream(stream),
                bytes,
            } => {
                if let Some((peer, queue)) = self.streams.get(&stream) {
                    ladder.sent(now, *peer, &bytes);
                    if queue.try_send(bytes.to_vec()).is_err() {
                        self.streams.remove(&stream);
                    }
                }
            }
            Output::Connect {
                stream, peer, tls, ..
            } => {
                let (queue, waiting) = channel(QUEUE_MAX);
                self.streams.insert(stream, (peer, queue));
                let line = Line {
                    stream,
                    peer,
                    tell: self.tell.clone(),
                };
                let session = tls.zip(self.tls.clone());
                tokio::spawn(line.carry(self.local.addr, session, waiting));
            }
            Output::Close { stream } => {
                self.streams.remove(&stream);
            }
            Output::Store { .. }
            | Output::Ask { .. }
            | Output::Resolve { .. }
            | Output::Handoff { .. }
            | Output::Notice(_)
            | Output::Event(_) => {}
        }
        Ok(())
    }
}

/// Whether an error of one datagram says nothing about the socket.
fn is_passing(why: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, WouldBlock};
    matches!(
        why.kind(),
        ConnectionRefused | HostUnreachable | NetworkUnreachable | WouldBlock
    )
}

/// One connection, in a task of its own.
pub(super) struct Line {
    pub(super) stream: StreamId,
    pub(super) peer: SocketAddr,
    pub(super) tell: Sender<News>,
}

impl Line {
    /// Lives from the connection's beginning to its end. With a name and what
    /// TLS needs, that name must be proven first.
    async fn carry(
        self,
        local: SocketAddr,
        tls: Option<(Box<str>, Arc<Tls>)>,
        waiting: Receiver<Vec<u8>>,
    ) {
        let connecting =
            tokio::time::timeout(crate::limits::CONNECT_MAX, connect(local, self.peer));
        if let Ok(Ok(socket)) = connecting.await {
            match tls {
                Some((name, tls)) => {
                    if let Err(why) = self.relay_sealed(socket, &name, &tls, waiting).await {
                        eprintln!("steadfast: {} as {name}: {why}", self.peer);
                    }
                }
                None => self.relay(socket, waiting).await,
            }
        }
        // An error means that the agent itself is gone.
        self.tell.send(News::Closed(self.stream)).await.ok();
    }

    /// False when the agent is gone.
    pub(super) async fn says(&self, bytes: Vec<u8>) -> bool {
        let Self { stream, peer, .. } = *self;
        let news = News::Read {
            stream,
            peer,
            bytes,
        };
        self.tell.send(news).await.is_ok()
    }

    async fn relay(&self, mut socket: TcpStream, mut waiting: Receiver<Vec<u8>>) {
        let up = News::Connected(self.stream, Vec::new());
        if self.tell.send(up).await.is_err() {
            return;
        }
        let (mut read, mut write) = socket.split();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            tokio::select! {
                bytes = waiting.recv() => {
                    let Some(bytes) = bytes else { return };
                    if write.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                len = read.read(&mut buffer) => {
                    let Some(len) = len.ok().filter(|len| *len > 0) else { return };
                    if !self.says(buffer[..len].to_vec()).await {
                        return;
                    }
                }
            }
        }
    }
}

async fn connect(local: SocketAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    // The port stays the kernel's choice: one port cannot be several flows' own.
    tcp(SocketAddr::new(local.ip(), 0))?.connect(peer).await
}

fn tcp(local: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if local.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    // A 180 and a 200 follow each other: the second must not wait for an ACK.
    socket.set_nodelay(true)?;
    socket.bind(local)?;
    Ok(socket)
}
