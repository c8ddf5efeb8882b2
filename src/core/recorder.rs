//! The flight recorder: the last messages that a shard has received and sent, and what it
//! decided in between, in memory of a fixed size.
//!
//! Writing is two copies: the bytes go into a ring, one message behind the other, and an
//! `Entry` with its time, its way and its place goes into another. Nothing is allocated once
//! both are full, and nothing is formatted: a [`Decision`] is a plain value that becomes a
//! sentence when somebody reads it. What is written over is gone, and a reader is told how
//! much that was ([`Piece::missed`]).
//!
//! Every entry names its cause: the message during whose step it was written. So a decision
//! leads to its request, whose Call-ID no decision carries.
//!
//! Not here: who may read it. The bytes are as they passed, credentials included; the shell
//! blanks those before anything leaves the process.

mod decision;
mod reading;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::id::{SocketId, Transport};
use crate::limits;
use crate::time::Instant;

pub use decision::{Decision, FlowLack, PhoneFlow, Silence};
pub use reading::{Filter, Piece, RecordedEntry};

/// What one entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A message that came.
    In,
    /// A message that another shard of the node has received and handed over.
    Handed,
    /// A message that left.
    Out,
    /// What was decided.
    Decided(Decision),
}

/// The far side of a message or of a decision, and our end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLink {
    /// What is spoken.
    pub transport: Transport,
    /// The far side.
    pub peer: SocketAddr,
    /// Our socket, over UDP.
    pub socket: Option<SocketId>,
}

/// No message: the cause of what a timer or a lost connection brings about.
pub(crate) const NOBODY: u64 = u64::MAX;

/// One entry; an old one is written over field by field, since most of them have no decision.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    /// Where its bytes begin, counted from the first byte ever written.
    start: u64,
    /// Of a decision.
    cause: u64,
    len: usize,
    kind: EntryKind,
    peer: SocketAddr,
    decision: Decision,
}

/// What an entry is, in one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryKind {
    event: Event,
    transport: Transport,
    has_peer: bool,
    socket: Option<SocketId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    In,
    Handed,
    Out,
    Decided,
}

impl EntryKind {
    /// A message that came, handed over by another shard or not.
    pub(crate) const fn came(
        is_handed: bool,
        transport: Transport,
        socket: Option<SocketId>,
    ) -> Self {
        Self {
            event: if is_handed { Event::Handed } else { Event::In },
            transport,
            has_peer: true,
            socket,
        }
    }

    /// A message that leaves.
    pub(crate) const fn left(transport: Transport, socket: Option<SocketId>) -> Self {
        Self {
            event: Event::Out,
            transport,
            has_peer: true,
            socket,
        }
    }
}

impl Entry {
    const EMPTY: Self = Self {
        at: Instant::ZERO,
        start: 0,
        cause: NOBODY,
        len: 0,
        kind: EntryKind {
            event: Event::Decided,
            transport: Transport::Udp,
            has_peer: false,
            socket: None,
        },
        peer: NOWHERE,
        decision: Decision::Dropped,
    };

    const fn what(&self) -> What {
        match self.kind.event {
            Event::In => What::In,
            Event::Handed => What::Handed,
            Event::Out => What::Out,
            Event::Decided => What::Decided(self.decision),
        }
    }

    /// The message that brought the entry of this number about.
    const fn cause_of(&self, number: u64) -> Option<u64> {
        match self.kind.event {
            Event::In | Event::Handed => Some(number),
            Event::Out => None,
            Event::Decided if self.cause == NOBODY => None,
            Event::Decided => Some(self.cause),
        }
    }

    fn link(&self) -> Option<PeerLink> {
        self.kind.has_peer.then_some(PeerLink {
            transport: self.kind.transport,
            peer: self.peer,
            socket: self.kind.socket,
        })
    }
}

/// The far side where there is none.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// Entries that are made at a time until all places are there: the memory is taken as it is used.
const PLACES: usize = 256;

/// What passed of late.
#[derive(Debug, Default)]
pub struct Recorder {
    /// Empty: the recorder is off.
    bytes: Box<[u8]>,
    /// Where the next message goes.
    place: usize,
    /// Bytes that were written, or left free at the end, in the rounds before this one.
    before: u64,
    entries: Vec<Entry>,
    /// Entries that may be kept, a power of two; 0: the recorder is off.
    most: usize,
    /// Entries that were ever written: the number of the next one.
    next: u64,
    /// The message that the step at hand is about.
    cause: u64,
}

impl Recorder {
    /// A recorder that takes about so many bytes of memory; one of less than
    /// `limits::RECORDER_BYTES_MIN` is off.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        if bytes < limits::RECORDER_BYTES_MIN {
            return Self::default();
        }
        let for_entries = bytes / limits::RECORDER_PARTS;
        let most = 1 << (for_entries / size_of::<Entry>()).ilog2();
        let for_entries = most * size_of::<Entry>();
        Self {
            // Zeroed by the kernel as the pages are written to, and not before.
            bytes: vec![0; bytes - for_entries].into(),
            entries: Vec::with_capacity(most),
            most,
            cause: NOBODY,
            ..Self::default()
        }
    }

    /// Whether it keeps anything.
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        self.most > 0
    }

    /// The message that the step at hand is about.
    #[inline]
    pub(crate) const fn cause(&self) -> u64 {
        self.cause
    }

    /// A step begins that no message has brought about.
    #[inline]
    pub(crate) const fn begin(&mut self) {
        self.cause = NOBODY;
    }

    /// A message came; what follows in this step is because of it.
    #[inline(always)]
    pub(crate) fn came(&mut self, at: Instant, kind: EntryKind, peer: &SocketAddr, bytes: &[u8]) {
        self.cause = self.next;
        self.put(at, kind, peer, bytes);
    }

    /// A message leaves.
    #[inline(always)]
    pub(crate) fn left(&mut self, at: Instant, kind: EntryKind, peer: &SocketAddr, bytes: &[u8]) {
        self.put(at, kind, peer, bytes);
    }

    /// Something was decided about the message `cause`, and about the way to `link`.
    pub(crate) fn decided(
        &mut self,
        at: Instant,
        cause: u64,
        link: Option<PeerLink>,
        what: Decision,
    ) {
        let kind = EntryKind {
            event: Event::Decided,
            transport: link.map_or(Transport::Udp, |link| link.transport),
            has_peer: link.is_some(),
            socket: link.and_then(|link| link.socket),
        };
        let peer = link.map_or(NOWHERE, |link| link.peer);
        let index = self.index(self.next);
        self.put(at, kind, &peer, b"");
        if let Some(entry) = self.entries.get_mut(index) {
            (entry.cause, entry.decision) = (cause, what);
        }
    }

    /// Writes an entry. Its bytes come last and whatever is rare is done elsewhere, so that nothing
    /// has to be saved meanwhile: most of the cost is the copy.
    #[inline(always)]
    fn put(&mut self, at: Instant, kind: EntryKind, peer: &SocketAddr, bytes: &[u8]) {
        let (place, index) = (self.place, self.index(self.next));
        let room = self.bytes.get_mut(place..);
        let room = room.and_then(|room| room.get_mut(..bytes.len()));
        let (Some(room), Some(entry)) = (room, self.entries.get_mut(index)) else {
            return self.put_after_making_room(at, kind, peer, bytes);
        };
        entry.at = at;
        entry.start = self.before + place as u64;
        entry.len = bytes.len();
        entry.kind = kind;
        entry.peer = *peer;
        self.place = place + bytes.len();
        self.next += 1;
        room.copy_from_slice(bytes);
    }

    /// Begins another round of bytes, or adds places for entries. A message longer than all of it
    /// is left out.
    #[cold]
    #[inline(never)]
    fn put_after_making_room(
        &mut self,
        at: Instant,
        kind: EntryKind,
        peer: &SocketAddr,
        bytes: &[u8],
    ) {
        if bytes.len() > self.bytes.len() {
            return;
        }
        if bytes.len() > self.bytes.len() - self.place {
            // What is left at the end is too short for a message, which lies in one piece.
            self.before += self.bytes.len() as u64;
            self.place = 0;
        }
        if self.index(self.next) >= self.entries.len() {
            let places = (self.entries.len() + PLACES).min(self.most);
            self.entries.resize(places, Entry::EMPTY);
        }
        self.put(at, kind, peer, bytes);
    }

    /// Bytes that were ever written, or left free at the end of a round.
    const fn written(&self) -> u64 {
        self.before + self.place as u64
    }

    /// The place of an entry.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the upper bits are masked")]
    const fn index(&self, number: u64) -> usize {
        number as usize & self.most.wrapping_sub(1)
    }
}

const _: () = assert!(
    limits::MESSAGE_MAX < limits::RECORDER_BYTES_MIN / 2,
    "every message has room"
);

#[cfg(test)]
mod tests;
