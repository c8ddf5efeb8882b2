//! One shard and everything it owns of the machine: its sockets, its clock,
//! its inbox. Looks at the kernel, feeds the shard, carries its output out.
//!
//! Nothing here waits except `turn`, in the kernel and no longer than told.
//! Every batch of input is followed by a full drain of the output, and the
//! output of a batch leaves in as few calls as it has destinations.

mod input;
mod output;
mod report;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

use super::accept::Listener;
use super::batch::{ReceiveBatch, SendBatch};
use super::clock::Clock;
use super::inbox::Inbox;
use super::mesh::Mesh;
use super::readiness::{Alarm, Readiness, Ready};
use super::streams::Streams;
use super::tls::Tls;
use super::token::{self, Token};
use super::udp::UdpPort;
use super::{Counters, DnsSender, Record, Sockets, StoreSender};
use crate::id::{SocketId, Transport};
use crate::limits;
use crate::locate::LookupId;
use crate::shard::{Input, Shard};
use crate::time::{Duration, Instant};

/// A running shard.
pub(super) struct Engine {
    shard: Shard,
    clock: Clock,
    now: Instant,
    readiness: Readiness,
    /// The accepted connections that are in their handshake have a set of their
    /// own, in the other one: nothing else waits behind many of them.
    handshakes: Readiness,
    alarm: Alarm,
    /// What the alarm is set to.
    alarm_at: Option<Instant>,
    inbox: Inbox,
    mesh: Mesh,
    store: Option<StoreSender>,
    dns: DnsSender,
    /// Questions that could not be asked.
    unasked: Vec<LookupId>,
    /// By `SocketId`; the places of TCP listeners and of other shards' sockets
    /// are empty.
    ports: Vec<Option<UdpPort>>,
    /// What each speaks, and whether it is a core-side one.
    listeners: Vec<(Listener, Transport, bool)>,
    streams: Streams,
    received: ReceiveBatch,
    sending: SendBatch,
    bytes: Box<[u8]>,
    unreachable: Vec<Unreachable>,
    /// Ports with something to send since the last flush.
    unflushed: Vec<SocketId>,
    /// When the shard last looked at the kernel with nothing left from before:
    /// whatever it has not taken in since came later. `None`: nothing is left.
    behind_since: Option<Instant>,
    /// This turn leaves something behind.
    is_behind: bool,
    /// The last turn ended with output left.
    is_unsettled: bool,
    counters: Counters,
    /// Set by the order to drain: when the shard ends at the latest.
    ends_at: Option<Instant>,
}

/// A socket of ours, who is not there, and how what was sent there begins.
pub(super) type Unreachable = (SocketId, SocketAddr, Box<[u8]>);

/// What connects a shard to the world: the network, its siblings, the control
/// thread.
pub(super) struct Ends {
    pub(super) sockets: Sockets,
    pub(super) inbox: Inbox,
    pub(super) mesh: Mesh,
    pub(super) store: Option<StoreSender>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) dns: DnsSender,
}

impl Engine {
    pub(super) fn new(
        shard: Shard,
        clock: Clock,
        Ends {
            sockets,
            inbox,
            mesh,
            store,
            tls,
            dns,
        }: Ends,
    ) -> io::Result<Self> {
        let mut streams = Streams::new(sockets.outgoing());
        streams.set_tls(tls);
        let readiness = Readiness::new()?;
        let handshakes = Readiness::with_room(limits::HANDSHAKE_STEPS_MAX)?;
        readiness.add(handshakes.as_fd(), token::HANDSHAKES, Ready::READ)?;
        let alarm = Alarm::new()?;
        readiness.add(inbox.as_fd(), token::INBOX, Ready::READ)?;
        readiness.add(alarm.as_fd(), token::ALARM, Ready::READ)?;
        readiness.add(mesh.as_fd(), token::MESH, Ready::READ)?;
        let (mut ports, mut listeners) = (Vec::new(), Vec::new());
        for (index, bound) in (0..).zip(sockets.bound) {
            let Some(socket) = bound.socket else {
                ports.push(None);
                continue;
            };
            let transport = bound.local.transport;
            match transport {
                Transport::Udp => {
                    readiness.add(socket.as_fd(), token::udp(index), Ready::READ)?;
                    ports.push(Some(UdpPort::new(SocketId(index), socket)));
                }
                Transport::Tcp | Transport::Tls => {
                    let at = token::listener(u16::try_from(listeners.len()).unwrap_or(u16::MAX));
                    readiness.add(socket.as_fd(), at, Ready::READ)?;
                    listeners.push((Listener::new(socket)?, transport, bound.is_core_side));
                    ports.push(None);
                }
            }
        }
        Ok(Self {
            shard,
            now: clock.now(),
            clock,
            readiness,
            handshakes,
            alarm,
            alarm_at: None,
            inbox,
            mesh,
            store,
            dns,
            unasked: Vec::new(),
            ports,
            listeners,
            streams,
            received: ReceiveBatch::new(),
            sending: SendBatch::new(),
            bytes: vec![0; limits::STREAM_READ_MAX].into(),
            unreachable: Vec::new(),
            unflushed: Vec::new(),
            behind_since: None,
            is_behind: false,
            is_unsettled: false,
            counters: Counters::default(),
            ends_at: None,
        })
    }

    /// Gives the shard its registrations back, before any traffic.
    pub(super) fn restore(&mut self, records: &[Record]) {
        for record in records {
            if let Some(value) = &record.value {
                self.shard.handle(
                    self.now,
                    Input::Restored {
                        key: &record.key,
                        value,
                    },
                );
                self.settle();
            }
        }
    }

    /// Looks around after a sleep that nothing ended: what there is to do now
    /// should have. False when there is nothing.
    pub(super) fn look(&mut self) -> io::Result<bool> {
        let is_late = self.turn(Duration::ZERO)?;
        self.counters.late_wakes += u64::from(is_late);
        Ok(is_late)
    }

    /// Waits for something to do, at most as long as `most`, and does it.
    /// False when nothing happened.
    pub(super) fn turn(&mut self, most: Duration) -> io::Result<bool> {
        self.now = self.clock.now();
        let until_due = self.deadline().map_or(most, |due| due.since(self.now));
        let most = if self.is_unsettled || !self.mesh.doze() {
            Duration::ZERO
        } else {
            most.min(until_due)
        };
        let count = self.readiness.wait(most)?;
        self.mesh.rise();
        self.now = self.clock.now();
        let since = *self.behind_since.get_or_insert(self.now);
        self.is_behind = count >= limits::EVENTS_MAX;
        for index in 0..count {
            let (token, ready) = self.readiness.event(index);
            match Token::unpack(token) {
                Token::Inbox => self.on_inbox()?,
                Token::Alarm => self.on_alarm()?,
                Token::Mesh => self.mesh.silence()?,
                Token::Udp(place) => self.on_udp(SocketId(place), ready),
                Token::Listener(place) => self.on_listener(usize::from(place)),
                Token::Stream(slot) => self.on_stream(slot, ready),
                Token::Greetings => self.on_handshakes()?,
            }
        }
        let was_handed = self.on_rings();
        let has_ticked = self.tick();
        self.settle();
        self.mesh.wake()?;
        let was_busy = count > 0 || was_handed || has_ticked;
        if was_busy {
            let now = self.clock.now();
            self.shard.late(now, now.since(since));
        }
        if !self.is_behind {
            self.behind_since = None;
        }
        Ok(was_busy)
    }

    /// Makes ready for a sleep outside of `turn`: whatever ends it is a
    /// readiness event.
    pub(super) fn doze(&mut self) -> io::Result<()> {
        self.mesh.wake()?;
        if self.is_unsettled || !self.mesh.doze() {
            self.mesh.ring_self()?;
        }
        self.set_alarm()
    }

    /// Makes the deadline a readiness event.
    fn set_alarm(&mut self) -> io::Result<()> {
        let Some(due) = self.deadline() else {
            return Ok(());
        };
        // An alarm that rings too early costs one turn; setting it costs a
        // call, which most of the time would be for the same reason again.
        if self.alarm_at.is_none_or(|at| due < at) {
            self.alarm.set(due.since(self.clock.now()))?;
            self.alarm_at = Some(due);
        }
        Ok(())
    }

    /// True when a drain is complete or has lasted its time.
    ///
    /// The shards of a node are complete when all are: the flows of one that
    /// closed its sockets would come to the others.
    pub(super) fn is_done(&self) -> io::Result<bool> {
        let Some(end) = self.ends_at else {
            return Ok(false);
        };
        let is_sent = self.ports.iter().flatten().all(|port| port.waiting() == 0)
            && !self.streams.is_writing();
        let is_done = self.shard.is_idle(self.now) && is_sent;
        Ok(self.mesh.all_done(is_done)? || self.now >= end)
    }

    fn deadline(&self) -> Option<Instant> {
        let all = [self.shard.deadline(), self.streams.deadline(), self.ends_at];
        all.into_iter().flatten().min()
    }

    fn tick(&mut self) -> bool {
        self.streams.expire(self.now, &mut self.counters);
        let is_due = self.shard.deadline().is_some_and(|due| due <= self.now);
        if is_due {
            self.shard.handle(self.now, Input::Tick);
        }
        is_due
    }
}

impl AsRawFd for Engine {
    fn as_raw_fd(&self) -> RawFd {
        self.readiness.as_raw_fd()
    }
}
