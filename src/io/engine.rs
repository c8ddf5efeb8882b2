//! One shard and everything it owns of the machine: its sockets, its clock,
//! its inbox. Looks at the kernel, feeds the shard, carries its output out.
//!
//! Nothing here waits except `turn`, in the enter of the ring. All that completed is fed
//! to the shard, whose output is staged for the next enter: one call for all that a turn
//! has to say, and each stream in one write.

mod backlog;
mod input;
mod output;
mod report;
mod standing;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::accept::{Descriptors, Listener};
use super::clock::Clock;
use super::completion_id::{self, CompletionId};
use super::inbox::Inbox;
use super::mesh::Mesh;
use super::notices::Notices;
use super::ring::{Completion, Receiver, Ring, Room, Side};
use super::sockets::Bound;
use super::streams::Streams;
use super::tls::Tls;
use super::udp::UdpPorts;
use super::{Counters, DnsSender, Record, Sockets, StoreSender, Turns};
use crate::bytes::Pool;
use crate::id::Transport;
use crate::limits;
use crate::locate::LookupId;
use crate::memory;
use crate::send::Local;
use crate::shard::{Input, Shard};
use crate::time::{Duration, Instant};
use backlog::Backlog;
use standing::Standing;

pub(super) use standing::take_apart;

/// A running shard.
pub(super) struct Engine {
    shard: Shard,
    clock: Clock,
    now: Instant,
    // Ends before the room that it receives into.
    ring: Ring,
    room: Room,
    /// What the alarm is set to.
    alarm_at: Option<Instant>,
    inbox: Inbox,
    mesh: Mesh,
    store: Option<StoreSender>,
    /// The store did not take a record that an answer waits for.
    is_not_stored: bool,
    dns: DnsSender,
    /// Look-ups that could not be handed to the control thread.
    unsent_lookups: Vec<LookupId>,
    /// The same for a store that several homes share.
    unsent_asks: Vec<u64>,
    ports: UdpPorts,
    listeners: Vec<Listener>,
    /// All endpoints of the node, by `SocketId`, and which are of its core side.
    locals: Vec<(Local, bool)>,
    /// Buffers of the shell's own.
    pool: Pool,
    /// It is to stand still.
    standing: Option<Standing>,
    /// Until when it is late because nobody has read for a while, and not for want of time.
    excused_until: Instant,
    streams: Streams,
    backlog: Backlog,
    /// This turn leaves something behind.
    is_behind: bool,
    /// The last turn ended with output left.
    is_unsettled: bool,
    counters: Counters,
    turns: Turns,
    /// How long a drain lasts at most.
    drain_for: Duration,
    notices: Notices,
    descriptors: Descriptors,
    /// When it is looked at next how much memory is in use.
    memory_at: Instant,
    /// Set by the order to drain: when the shard ends at the latest.
    ends_at: Option<Instant>,
}

/// What connects a shard to the world: the network, its siblings, the control
/// thread.
pub(super) struct Ends {
    /// Of the calling thread.
    pub(super) ring: (Ring, Room),
    pub(super) sockets: Sockets,
    pub(super) inbox: Inbox,
    pub(super) mesh: Mesh,
    pub(super) store: Option<StoreSender>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) dns: DnsSender,
    /// How long it goes on at most once it is told to drain.
    pub(super) drain_for: Duration,
}

impl Engine {
    pub(super) fn new(
        shard: Shard,
        clock: Clock,
        Ends {
            ring: (mut ring, room),
            sockets,
            inbox,
            mesh,
            store,
            tls,
            dns,
            drain_for,
        }: Ends,
    ) -> io::Result<Self> {
        let mut streams = Streams::new(sockets.outgoing());
        streams.set_tls(tls);
        ring.watch(inbox.as_fd(), completion_id::INBOX);
        ring.watch(mesh.as_fd(), completion_id::MESH);
        let (mut ports, mut listeners) = (UdpPorts::default(), Vec::new());
        let mut locals = Vec::new();
        for Bound {
            local,
            socket,
            accepts_peers,
        } in sockets.bound
        {
            locals.push((local, accepts_peers));
            let (datagrams, stream) = match local.transport {
                Transport::Udp => (socket, None),
                Transport::Tcp | Transport::Tls => (None, socket),
            };
            let side = if local.upstream {
                Side::Core
            } else {
                Side::Access
            };
            // The listener of a stream takes up a `SocketId`, too.
            ports.add(
                Receiver {
                    ring: &mut ring,
                    room: &room,
                },
                datagrams,
                side,
            );
            if let Some(socket) = stream {
                let at = u16::try_from(listeners.len()).unwrap_or(u16::MAX);
                let mut listener = Listener::new(at, socket, local.transport, accepts_peers)?;
                listener.start(&mut ring);
                listeners.push(listener);
            }
        }
        Ok(Self {
            shard,
            now: clock.now(),
            clock,
            ring,
            room,
            alarm_at: None,
            inbox,
            mesh,
            store,
            is_not_stored: false,
            dns,
            unsent_lookups: Vec::new(),
            unsent_asks: Vec::new(),
            ports,
            listeners,
            locals,
            pool: Pool::new(),
            standing: None,
            excused_until: Instant::ZERO,
            streams,
            backlog: Backlog::default(),
            is_behind: false,
            is_unsettled: false,
            counters: Counters::default(),
            turns: Turns::default(),
            drain_for,
            notices: Notices::default(),
            descriptors: Descriptors::new()?,
            memory_at: Instant::ZERO,
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

    /// Waits for something to do, and does it.
    ///
    /// # Errors
    /// When the kernel refuses the ring.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        let began = self.clock.now();
        self.now = began;
        let most = self.wait();
        self.ring.enter(most)?;
        self.mesh.rise();
        let woke = self.clock.now();
        self.now = woke;
        let waited = woke.since(began);
        self.look_at_memory();
        let since = self.backlog.begin(self.now);
        let mut count = self.on_completions();
        // The kernel reads a few datagrams of a socket at a time.
        let ends = self.now + limits::TURN_MAX;
        while self.is_behind && count < limits::EVENTS_MAX && self.now < ends {
            self.ring.enter(Some(Duration::ZERO))?;
            self.now = self.clock.now();
            count += self.on_completions();
        }
        self.go_on_with_handshakes();
        let was_handed = self.on_rings();
        let has_ticked = self.tick();
        self.settle();
        self.mesh.wake()?;
        let now = self.clock.now();
        if (count > 0 || was_handed || has_ticked) && now >= self.excused_until {
            let late = now.since(since);
            self.turns.delay.record(now.since(woke));
            self.turns.queue.record(late);
            self.shard.late(now, late);
        }
        self.backlog.end(now, self.is_behind, || self.ports.held());
        // What another thread gives ends a wait: one that nothing ended found nothing.
        let was_quiet = count == 0 && waited >= limits::QUIET_WAIT;
        let is_late = was_quiet && (self.take_orders() || was_handed);
        self.counters.late_wakes += u64::from(is_late);
        Ok(())
    }

    /// Tells the shard what it is to refuse for want of memory.
    fn look_at_memory(&mut self) {
        if self.now >= self.memory_at {
            self.memory_at = self.now + limits::MEMORY_LOOK;
            let share = memory::share(self.mesh.shards());
            self.shard
                .set_memory(self.now, share.refused, share.buffers);
        }
    }

    /// How long to wait for something to complete at most; `None`: until the alarm rings.
    fn wait(&mut self) -> Option<Duration> {
        let has_more = self.is_unsettled
            || self.is_still()
            || self.is_behind
            || self.ring.has_more()
            || self.ring.has_results()
            || self.ring.accepted() > 0
            || self.streams.is_in_a_hurry();
        if has_more || !self.mesh.doze() {
            return Some(Duration::ZERO);
        }
        if let Some(due) = self.deadline()
            && self.alarm_at.is_none_or(|at| due < at)
        {
            // One that rings too early costs a turn, and is left at that.
            self.ring
                .set_alarm(due.since(self.now), self.alarm_at.is_some());
            self.alarm_at = Some(due);
        }
        None
    }

    /// Deals with what has completed; how much that was.
    fn on_completions(&mut self) -> usize {
        self.on_sent();
        let (mut count, ends) = (0, self.now + limits::TURN_MAX);
        self.is_behind = self.ring.is_pressed();
        while count < limits::EVENTS_MAX
            && self.now < ends
            && let Some(completion) = self.ring.next()
        {
            count += usize::from(completion.id != CompletionId::Alarm);
            self.on_completion(completion);
            self.carry_out();
            if count % limits::COMPLETIONS_OF_NOW == 0 {
                self.now = self.clock.now();
            }
        }
        self.is_behind |= self.ring.has_more();
        count += self.on_all_accepted();
        count
    }

    /// Takes in accepted connections; how many.
    fn on_all_accepted(&mut self) -> usize {
        if self.ring.accepted() >= limits::ACCEPTED_MAX {
            // The others wait in the backlogs.
            self.listeners
                .iter_mut()
                .for_each(|it| it.pause(&mut self.ring));
        }
        let mut count = 0;
        while count < limits::ACCEPTS_MAX
            && let Some(accepted) = self.ring.next_accepted()
        {
            count += 1;
            self.on_accepted(accepted);
        }
        if self.ring.accepted() == 0 && self.standing.is_none() {
            self.listeners
                .iter_mut()
                .for_each(|it| it.go_on(&mut self.ring));
        }
        count
    }

    fn go_on_with_handshakes(&mut self) {
        for _ in 0..limits::HANDSHAKE_STEPS_MAX {
            if !self.streams.next_handshake(Receiver {
                ring: &mut self.ring,
                room: &self.room,
            }) {
                break;
            }
        }
    }

    fn on_completion(&mut self, completion: Completion) {
        if completion.result == Err(libc::ECANCELED) && self.is_still() {
            return self.on_cancelled(&completion);
        }
        match completion.id {
            CompletionId::Inbox => self.on_inbox(completion),
            CompletionId::Alarm => self.alarm_at = None,
            CompletionId::Mesh if !completion.goes_on && !self.is_still() => {
                self.ring.watch(self.mesh.as_fd(), completion_id::MESH);
            }
            CompletionId::Udp(index) => self.on_datagram(index, completion),
            CompletionId::UdpReady(index) => self.ports.on_ready(&mut self.ring, index),
            CompletionId::ListenerReady(index) => self.on_listener_ready(usize::from(index)),
            CompletionId::Stream(slot) => self.on_stream(slot, completion),
            CompletionId::Writable(slot) => self.streams.on_writable(slot),
            CompletionId::Readable(slot) => self.streams.on_readable(slot),
            CompletionId::Connected(slot) => self.on_connected(slot, completion),
            // The ring keeps these to itself; and all that a bell of the mesh does is end
            // the wait.
            CompletionId::Mesh
            | CompletionId::Nothing
            | CompletionId::Listener(_)
            | CompletionId::Datagram(_)
            | CompletionId::Write(_) => {}
        }
    }

    /// True when a drain is complete or has lasted its time.
    ///
    /// The shards of a node are complete when all are: the flows of one that
    /// closed its sockets would come to the others.
    pub(super) fn is_done(&mut self) -> io::Result<bool> {
        let Some(end) = self.ends_at else {
            return Ok(false);
        };
        let is_sent =
            !self.ports.are_waiting() && !self.ring.has_staged() && !self.streams.is_writing();
        if self.shard.goes_on() {
            let is_done = self.shard.is_idle(self.now) && is_sent;
            let is_late = self.leaves_at().is_some_and(|at| self.now >= at);
            if !self.mesh.all_may_leave(is_done)? && !is_late {
                return Ok(false);
            }
            self.shard.handle(self.now, Input::Leave);
            self.ends_at = Some(end.min(self.now + limits::HOME_LEAVES_FOR));
        }
        let is_done = self.shard.is_idle(self.now) && is_sent;
        Ok(self.mesh.all_done(is_done)? || self.now >= end)
    }

    /// Lets go of every socket.
    ///
    /// # Errors
    /// When the kernel refuses the ring.
    pub(super) fn end(self) -> io::Result<()> {
        self.ring.end()
    }

    fn deadline(&self) -> Option<Instant> {
        let settles = self.settles_until();
        let all = [
            self.shard.deadline(),
            self.streams.deadline(),
            self.leaves_at(),
            self.ends_at,
            settles,
        ];
        all.into_iter().flatten().min()
    }

    /// When a home that drains leaves at the latest.
    fn leaves_at(&self) -> Option<Instant> {
        let end = self.ends_at.filter(|_| self.shard.goes_on())?;
        Some(end - limits::HOME_LEAVES_FOR)
    }

    fn tick(&mut self) -> bool {
        if self.is_still() {
            return false;
        }
        self.streams
            .expire(&mut self.ring, self.now, &mut self.counters);
        let is_due = self.shard.deadline().is_some_and(|due| due <= self.now);
        if is_due {
            self.shard.handle(self.now, Input::Tick);
        }
        is_due
    }
}
