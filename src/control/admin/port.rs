//! The port of the metrics and of the page, which strangers may reach: how many connections it has,
//! from one customer (an IPv4 address, an IPv6 /64) and in all, and for how long one may be there for nothing.
//!
//! A connection lives as long as something can be written to it within `limits::PORT_IDLE_MAX`. So
//! ends who says nothing, who does not finish his question, and who does not read his answer; a
//! listener of the page, who is told something each second, stays. What the kernel keeps for one
//! that does not read is bounded by `limits::PORT_SEND_BUFFER`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::serve::Listener;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::{guard, limits};

/// What became of connections.
#[derive(Debug, Default)]
pub(super) struct PortCounts {
    refused: AtomicU64,
    idle: AtomicU64,
}

impl PortCounts {
    /// Its numbers, each with its name and meaning.
    pub(super) fn rows(&self) -> [(&'static str, &'static str, u64); 2] {
        [
            (
                "metrics_refused",
                "Connections to the port of the metrics that were closed at once, since there \
                 were too many from their address or in all.",
                self.refused.load(Ordering::Relaxed),
            ),
            (
                "metrics_idle",
                "Connections to the port of the metrics that were closed since they asked \
                 nothing, or took no answer.",
                self.idle.load(Ordering::Relaxed),
            ),
        ]
    }
}

/// The port.
pub(super) struct Port {
    listener: TcpListener,
    open: Arc<Mutex<OpenSources>>,
    counts: Arc<PortCounts>,
}

impl Port {
    pub(super) fn new(listener: TcpListener, counts: Arc<PortCounts>) -> Self {
        Self {
            listener,
            open: Arc::default(),
            counts,
        }
    }

    /// A place for a connection from there; `None`: there is none.
    fn place(&self, from: IpAddr) -> Option<OpenPlace> {
        let from = guard::network(from.to_canonical());
        let mut open = lock(&self.open);
        let of_source = open.iter().filter(|one| **one == from).count();
        if open.len() >= limits::PORT_CONNECTIONS_MAX || of_source >= limits::PORT_OF_SOURCE_MAX {
            return None;
        }
        open.push(from);
        Some(OpenPlace {
            from,
            open: Arc::clone(&self.open),
        })
    }
}

impl Listener for Port {
    type Io = PortStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // For want of descriptors, for one: the connection waits in the backlog.
                    tracing::debug!(%error, "a connection to the port of the metrics waits");
                    sleep(limits::PORT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = self.place(from.ip()) else {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            if let Err(error) =
                SockRef::from(&stream).set_send_buffer_size(limits::PORT_SEND_BUFFER)
            {
                tracing::debug!(%error, "the kernel keeps more for a connection than it is asked to");
            }
            let stream = PortStream {
                stream,
                idle: Box::pin(sleep(limits::PORT_IDLE_MAX)),
                counts: Arc::clone(&self.counts),
                _place: place,
            };
            return (stream, from);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Nothing under this lock can be left half done.
fn lock(open: &Mutex<OpenSources>) -> MutexGuard<'_, OpenSources> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of the places for connections, which is free again when this is dropped.
struct OpenPlace {
    from: (bool, u64),
    open: Arc<Mutex<OpenSources>>,
}

/// Where the connections that are open come from, as `guard` tells customers apart.
type OpenSources = Vec<(bool, u64)>;

impl Drop for OpenPlace {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(index) = open.iter().position(|one| *one == self.from) {
            open.swap_remove(index);
        }
    }
}

/// A connection.
pub(super) struct PortStream {
    stream: TcpStream,
    /// Over when nothing was written for so long.
    idle: Pin<Box<Sleep>>,
    counts: Arc<PortCounts>,
    _place: OpenPlace,
}

impl PortStream {
    /// An error once it has been there for nothing too long; until then whoever waits is woken
    /// when that is so.
    fn is_in_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.idle.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        self.counts.idle.fetch_add(1, Ordering::Relaxed);
        // Asked once more it must not be over already: whoever writes learns it a second time.
        self.idle = Box::pin(sleep_until(Instant::now() + limits::PORT_IDLE_MAX));
        Err(io::ErrorKind::TimedOut.into())
    }

    fn wrote(&mut self, count: usize) -> usize {
        if count > 0 {
            let until = Instant::now() + limits::PORT_IDLE_MAX;
            self.idle.as_mut().reset(until);
        }
        count
    }
}

impl AsyncRead for PortStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_in_time(context)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for PortStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_in_time(context)?;
        let count = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        Poll::Ready(Ok(self.wrote(count)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_in_time(context)?;
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes))?;
        Poll::Ready(Ok(self.wrote(count)))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_customer_has_some_of_the_places_and_gives_them_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = Port::new(listener, Arc::default());
        let place = |from: String| port.place(from.parse().unwrap());
        // A /64 is one customer, and IPv4 seen through IPv6 is IPv4.
        let first = |n: usize| place(format!("2001:db8::{n:x}"));
        let mut all: Vec<_> = (0..limits::PORT_OF_SOURCE_MAX).map_while(first).collect();
        assert_eq!(all.len(), limits::PORT_OF_SOURCE_MAX);
        assert!(first(0xffff).is_none());
        all.pop();
        all.extend(first(0xffff));
        let rest = limits::PORT_CONNECTIONS_MAX - limits::PORT_OF_SOURCE_MAX;
        let second = |n: usize| {
            place(
                if n.is_multiple_of(2) {
                    "192.0.2.1"
                } else {
                    "::ffff:192.0.2.1"
                }
                .to_owned(),
            )
        };
        let more: Vec<_> = (0..rest + 3).map_while(second).collect();
        assert_eq!(more.len(), rest);
        assert!(place("198.51.100.1".to_owned()).is_none());
        drop(all);
        assert!(place("198.51.100.1".to_owned()).is_some());
        assert_eq!(lock(&port.open).len(), rest);
    }
}
