//! The agent's sockets: one for UDP, or a connection for each flow.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Fault;
use super::ladder::Ladder;
use super::options::Who;
use crate::id::{Flow, SocketId, StreamId, Transport};
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
    /// A connection is up.
    Connected(StreamId),
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
            Self::Connected(stream) => Input::Connected {
                stream: *stream,
                identities: &[],
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
    udp: Option<UdpSocket>,
    /// The same socket. tokio sends at once only after it has seen the socket
    /// ready, which for the first datagram it has not.
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
            Output::Connect { stream, peer, .. } => {
                let (queue, waiting) = channel(QUEUE_MAX);
                self.streams.insert(stream, (peer, queue));
                let local = self.local.addr;
                tokio::spawn(carry(stream, local, peer, waiting, self.tell.clone()));
            }
            Output::Close { stream } => {
                self.streams.remove(&stream);
            }
            Output::Store { .. }
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

/// One connection from its beginning to its end.
async fn carry(
    stream: StreamId,
    local: SocketAddr,
    peer: SocketAddr,
    waiting: Receiver<Vec<u8>>,
    tell: Sender<News>,
) {
    let connecting = tokio::time::timeout(crate::limits::CONNECT_MAX, connect(local, peer));
    if let Ok(Ok(socket)) = connecting.await {
        let told = tell.send(News::Connected(stream)).await;
        if told.is_ok() {
            relay(stream, peer, socket, waiting, &tell).await;
        }
    }
    // An error means that the agent itself is gone.
    tell.send(News::Closed(stream)).await.ok();
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

async fn relay(
    stream: StreamId,
    peer: SocketAddr,
    mut socket: TcpStream,
    mut waiting: Receiver<Vec<u8>>,
    tell: &Sender<News>,
) {
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
                let bytes = buffer[..len].to_vec();
                if tell.send(News::Read { stream, peer, bytes }).await.is_err() {
                    return;
                }
            }
        }
    }
}
