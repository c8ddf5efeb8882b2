//! A shard that stands still, so that another process goes on in its place, and one that does.
//!
//! It accepts nothing more, waits a moment for what is in its handshake, has the ring end all
//! that it does, and takes in what had come until then. What comes later waits in the sockets.
//! Connections are ended one by one: the kernel would look for each next one among all that it
//! has ended already, which takes half a second for 10,000 of them. Its timers rest. When nothing is under way between the shards either, each says what it
//! leaves; what becomes of it the control thread decides.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::mpsc::Sender;

use socket2::Socket;

use super::super::completion_id::{self, CompletionId};
use super::super::legacy::{DialLeft, Inheritance, Legacy, LocalLeft, Shell};
use super::super::ring::{Completion, Receiver};
use super::super::sockets::{Bound, Sockets};
use super::super::streams::Dial;
use super::Engine;
use crate::bytes::Buf;
use crate::id::{StreamId, Transport};
use crate::io::Outgoing;
use crate::io::inbox::Order;
use crate::limits;
use crate::time::Instant;

/// How a shard comes to stand still.
pub(super) struct Standing {
    leaves: Sender<(usize, io::Result<Legacy>)>,
    shard: usize,
    /// Until when handshakes are awaited.
    until: Instant,
    /// The ring was told to end what it does with connections.
    pub(super) is_still: bool,
    /// It was told to end all else.
    has_ended_rest: bool,
    /// What the core has asked for since.
    dials: Vec<DialLeft>,
    /// What the control thread has said since.
    orders: Vec<Order>,
}

impl Engine {
    pub(super) fn begin_standing(
        &mut self,
        leaves: Sender<(usize, io::Result<Legacy>)>,
        shard: usize,
    ) {
        for listener in &mut self.listeners {
            listener.pause(&mut self.ring);
        }
        self.standing = Some(Standing {
            leaves,
            shard,
            until: self.now + limits::SETTLE_MAX,
            is_still: false,
            has_ended_rest: false,
            dials: Vec::new(),
            orders: Vec::new(),
        });
    }

    /// It need not stand still any more, and does not yet.
    pub(super) fn end_standing(&mut self) {
        if self.standing.take().is_some() {
            for listener in &mut self.listeners {
                listener.go_on(&mut self.ring);
            }
        }
    }

    pub(super) fn is_still(&self) -> bool {
        self.standing.as_ref().is_some_and(|it| it.is_still)
    }

    /// When handshakes are awaited no longer.
    pub(super) fn settles_until(&self) -> Option<Instant> {
        let standing = self.standing.as_ref()?;
        (!standing.is_still).then_some(standing.until)
    }

    /// Stands still, where it was told to: returns once this process is to go on.
    ///
    /// # Errors
    /// When the kernel refuses the ring.
    pub(in crate::io) fn stand_still(&mut self) -> io::Result<()> {
        let Some(standing) = &mut self.standing else {
            return Ok(());
        };
        if !standing.is_still {
            if self.now < standing.until && self.streams.is_settling() {
                return Ok(());
            }
            standing.is_still = true;
            self.streams.drop_unsettled(&mut self.ring);
            self.settle();
            self.streams.end_receiving(&mut self.ring);
            return Ok(());
        }
        let are_streams_still = !self.ring.has_more() && self.streams.stand_still();
        if are_streams_still && !std::mem::replace(&mut standing.has_ended_rest, true) {
            self.ring.cancel_all();
            return Ok(());
        }
        let is_quiet = are_streams_still
            && !self.ports.are_receiving()
            && !self.listeners.iter().any(|it| it.is_accepting())
            && !self.ring.has_staged()
            && self.ring.accepted() == 0
            && !self.is_unsettled;
        if self.mesh.all_done(is_quiet)? {
            let legacy = self.write();
            if let Some(standing) = &self.standing
                && standing.leaves.send((standing.shard, legacy)).is_err()
            {
                tracing::debug!("nobody wants what a shard leaves");
            }
            while let Some(order) = self.inbox.wait()
                && !self.is_to_go_on(order)
            {}
            return self.go_on();
        }
        while let Some(order) = self.inbox.next() {
            if self.is_to_go_on(order) {
                return self.go_on();
            }
        }
        Ok(())
    }

    /// Keeps an order for later; true for the one that ends the standing.
    fn is_to_go_on(&mut self, order: Order) -> bool {
        if let Order::GoOn = order {
            return true;
        }
        if let Some(standing) = &mut self.standing {
            standing.orders.push(order);
        }
        false
    }

    /// What the ring ended because it was told to.
    pub(super) fn on_cancelled(&mut self, completion: &Completion) {
        match completion.id {
            CompletionId::Stream(slot) => self.streams.on_cancelled(slot),
            CompletionId::Udp(index) => self.ports.on_cancelled(index),
            CompletionId::ListenerReady(index) => {
                if let Some(listener) = self.listeners.get_mut(usize::from(index)) {
                    listener.on_cancelled();
                }
            }
            CompletionId::Inbox
            | CompletionId::Mesh
            | CompletionId::Alarm
            | CompletionId::UdpReady(_)
            | CompletionId::Writable(_)
            | CompletionId::Readable(_)
            | CompletionId::Connected(_)
            | CompletionId::Nothing
            | CompletionId::Listener(_)
            | CompletionId::Datagram(_)
            | CompletionId::Write(_) => {}
        }
    }

    /// Keeps for later what would begin something new now. False: it may begin.
    pub(super) fn dial_later(&mut self, dial: &Dial<'_>) -> bool {
        let Some(standing) = self.standing.as_mut().filter(|it| it.is_still) else {
            return false;
        };
        standing.dials.push(DialLeft {
            stream: dial.stream,
            from: dial.from,
            peer: dial.peer,
            tls: dial.tls.map(Into::into),
            unsent: Vec::new(),
        });
        true
    }

    /// Keeps what goes over a connection that is to be opened later. False: it is no such one.
    pub(super) fn push_later(&mut self, stream: StreamId, bytes: &Buf) -> bool {
        let dials = self.standing.as_mut().map(|it| &mut it.dials);
        let dial = dials.and_then(|dials| dials.iter_mut().find(|dial| dial.stream == stream));
        dial.map(|dial| dial.unsent.push(bytes.to_vec())).is_some()
    }

    /// Forgets a connection that was to be opened later.
    pub(super) fn close_later(&mut self, stream: StreamId) {
        if let Some(standing) = &mut self.standing {
            standing.dials.retain(|dial| dial.stream != stream);
        }
    }

    /// Goes on as before.
    fn go_on(&mut self) -> io::Result<()> {
        let Some(Standing { dials, orders, .. }) = self.standing.take() else {
            return Ok(());
        };
        self.mesh.all_done(false)?;
        self.excused_until = self.clock.now() + limits::UPGRADE_EXCUSED;
        self.alarm_at = None;
        self.ring.watch(self.inbox.as_fd(), completion_id::INBOX);
        self.ring.watch(self.mesh.as_fd(), completion_id::MESH);
        let (ring, room) = (&mut self.ring, &self.room);
        self.ports.go_on(Receiver { ring, room });
        self.streams.take_back(Receiver { ring, room });
        for listener in &mut self.listeners {
            listener.go_on(&mut self.ring);
        }
        self.dial(dials);
        for order in orders {
            self.obey(order);
        }
        Ok(())
    }

    fn dial(&mut self, dials: Vec<DialLeft>) {
        for dial in dials {
            self.connect(Dial {
                stream: dial.stream,
                from: dial.from,
                peer: dial.peer,
                tls: dial.tls.as_deref(),
            });
            for bytes in &dial.unsent {
                let bytes = self.pool.copy(bytes);
                self.streams
                    .push(&mut self.ring, dial.stream, bytes, &mut self.counters);
            }
        }
        self.settle();
    }

    /// What another process needs to go on in the place of this shard.
    fn write(&mut self) -> io::Result<Legacy> {
        let core = self.shard.write().map_err(io::Error::other)?;
        let mut shell = Shell::default();
        let mut sockets = Vec::new();
        let mut listeners = self.listeners.iter();
        for (index, (local, accepts_peers)) in self.locals.iter().enumerate() {
            let socket = match local.transport {
                Transport::Udp => self.ports.fd(index),
                Transport::Tcp | Transport::Tls => listeners
                    .next()
                    .map(|listener| listener.as_fd().as_raw_fd()),
            };
            shell.locals.push(LocalLeft {
                local: *local,
                accepts_peers: *accepts_peers,
                is_own: socket.is_some(),
            });
            sockets.extend(socket);
        }
        for (base, peer, socket) in self.ports.connected() {
            shell.connected.push((base, peer));
            sockets.push(socket);
        }
        let (streams, of_streams) = self.streams.write();
        shell.streams = streams;
        sockets.extend(of_streams);
        if let Some(standing) = &self.standing {
            shell.dials.clone_from(&standing.dials);
        }
        let shell = postcard::to_allocvec(&shell).map_err(io::Error::other)?;
        Ok(Legacy {
            core,
            shell,
            sockets,
        })
    }

    /// Goes on with what a shard of the process before has left besides its listeners.
    ///
    /// # Errors
    /// When a connection cannot be gone on with.
    pub(in crate::io) fn take_up(&mut self, rest: Rest) -> io::Result<()> {
        let Rest { shell, mut sockets } = rest;
        let lacks = || io::Error::other("a socket is missing");
        let (ring, room) = (&mut self.ring, &self.room);
        for (base, peer) in shell.connected {
            let socket = Socket::from(sockets.next().ok_or_else(lacks)?);
            self.ports
                .take_up(Receiver { ring, room }, base, peer, socket);
        }
        for left in shell.streams {
            let socket = sockets.next().ok_or_else(lacks)?;
            let into = Receiver { ring, room };
            let taken = self.streams.take_up(into, &self.pool, left, socket);
            taken.map_err(io::Error::other)?;
        }
        self.excused_until = self.now + limits::UPGRADE_EXCUSED;
        self.shard.take_up(self.now);
        self.dial(shell.dials);
        Ok(())
    }
}

/// What a shard has left besides what it listens on.
pub(in crate::io) struct Rest {
    shell: Shell,
    sockets: std::vec::IntoIter<OwnedFd>,
}

/// Takes an inheritance apart: what the core holds, the sockets that it listens on, the rest.
///
/// # Errors
/// When it is none.
pub(in crate::io) fn take_apart(
    inheritance: Inheritance,
    outgoing: Outgoing,
) -> io::Result<(Vec<u8>, Sockets, Rest)> {
    let Inheritance {
        core,
        shell,
        sockets,
    } = inheritance;
    let mut shell: Shell = postcard::from_bytes(&shell).map_err(io::Error::other)?;
    let mut sockets = sockets.into_iter();
    let mut bound = Vec::new();
    for left in std::mem::take(&mut shell.locals) {
        let socket = left.is_own.then(|| sockets.next()).flatten();
        if left.is_own && socket.is_none() {
            return Err(io::Error::other("a listener is missing"));
        }
        bound.push(Bound {
            local: left.local,
            socket: socket.map(Socket::from),
            accepts_peers: left.accepts_peers,
        });
    }
    let rest = Rest { shell, sockets };
    Ok((core, Sockets::inherited(bound, outgoing), rest))
}
