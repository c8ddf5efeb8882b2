//! A server of the storm: a queue, a price for everything, and the core's own
//! admission.

use std::collections::VecDeque;

use steadfast_core::admission::{Admission, RequestClass};
use steadfast_core::limits;
use steadfast_core::time::{Duration, Instant};

/// Messages that find room in the kernel's buffer of a UDP socket.
const QUEUE_MAX: usize = limits::SOCKET_BUFFER / 1_280;
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: usize = limits::BACKLOG as usize;
/// Length of a turn, in milliseconds and in microseconds of work.
pub(super) const TURN_MS: u32 = 1;
const TURN_US: i64 = 1_000;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A connection waits to be accepted.
    Connect,
    /// The handshake that it brings.
    ClientHello,
    /// A REGISTER without credentials that hold.
    Asking,
    /// A REGISTER with credentials.
    Proven,
    /// A call is to begin.
    Call,
    /// A call is to end.
    End,
}

impl Kind {
    /// Whether `whose` is a call; else it is a flow.
    pub(super) const fn is_of_call(self) -> bool {
        matches!(self, Self::Call | Self::End)
    }
}

/// A message in a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// Whose it is: a flow, or a call.
    pub(super) whose: u32,
    /// Which of his attempts.
    pub(super) attempt: u16,
    /// When it came to this server.
    pub(super) came_ms: u32,
    /// The edge it came through, at a home.
    pub(super) edge: u8,
}

/// One server with one core.
#[derive(Debug)]
pub(super) struct Server {
    queue: VecDeque<Message>,
    /// Connections that wait to be accepted.
    backlog: VecDeque<Message>,
    /// Messages that are left of what the kernel showed last.
    round: usize,
    /// Accepted connections in their handshake.
    pub(super) greeting: usize,
    /// None: it takes in whatever comes.
    admission: Option<Admission>,
    /// Work that it may still do in this turn, in microseconds.
    left_us: i64,
    /// The message of this turn that waited longest.
    late_ms: Option<u32>,
    pub(super) oldest_ms: u32,
    /// The message of a call that waited longest.
    pub(super) oldest_call_ms: u32,
    pub(super) dropped: u64,
}

pub(super) fn at(ms: u32) -> Instant {
    Instant::from_micros(u64::from(ms) * 1_000)
}

impl Server {
    pub(super) fn new(is_paced: bool) -> Self {
        Self {
            queue: VecDeque::new(),
            backlog: VecDeque::new(),
            round: 0,
            greeting: 0,
            admission: is_paced.then(Admission::default),
            left_us: 0,
            late_ms: None,
            oldest_ms: 0,
            oldest_call_ms: 0,
            dropped: 0,
        }
    }

    /// A message comes; false: there is no room for it, and it is lost. What
    /// comes over a connection waits at its sender instead.
    pub(super) fn push(&mut self, message: Message, is_stream: bool) -> bool {
        let is_new = message.kind == Kind::Connect;
        let (queue, room) = if is_new {
            (&mut self.backlog, BACKLOG)
        } else {
            (&mut self.queue, QUEUE_MAX)
        };
        let has_room = queue.len() < room || is_stream && !is_new;
        if has_room {
            queue.push_back(message);
        } else {
            self.dropped += 1;
        }
        has_room
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.backlog.is_empty()
    }

    /// Begins a turn: what the last one overdrew is paid back.
    pub(super) fn begin(&mut self) {
        self.left_us = self.left_us.min(0) + TURN_US;
        self.late_ms = None;
    }

    /// The next message that there is time for.
    pub(super) fn next(&mut self, now_ms: u32) -> Option<Message> {
        if self.left_us <= 0 {
            return None;
        }
        if self.round == 0 {
            let count = self.backlog.len().min(limits::ACCEPTS_MAX);
            self.queue.extend(self.backlog.drain(..count));
            self.round = self.queue.len().min(limits::EVENTS_MAX);
        }
        let message = self.queue.pop_front()?;
        self.round -= 1;
        let late = now_ms.saturating_sub(message.came_ms);
        self.late_ms = Some(self.late_ms.unwrap_or(0).max(late));
        self.oldest_ms = self.oldest_ms.max(late);
        if message.kind.is_of_call() {
            self.oldest_call_ms = self.oldest_call_ms.max(late);
        }
        Some(message)
    }

    pub(super) const fn spend(&mut self, us: i64) {
        self.left_us -= us;
    }

    /// Ends a turn, as the shell does.
    pub(super) fn end(&mut self, now_ms: u32) {
        if let (Some(admission), Some(late)) = (&mut self.admission, self.late_ms) {
            let late = Duration::from_millis(late.into());
            admission.measured(at(now_ms), late);
        }
    }

    /// Whether it takes a request of that class in.
    pub(super) fn admits(&mut self, now_ms: u32, class: RequestClass) -> bool {
        let admission = self.admission.as_mut();
        admission.is_none_or(|admission| admission.admits(at(now_ms), class))
    }

    /// The share that it wants to lose, in percent.
    pub(super) const fn loss(&self) -> u8 {
        match &self.admission {
            Some(admission) => admission.loss(),
            None => 0,
        }
    }
}
