//! Server transactions, RFC 3261 §17.2 with RFC 6026 §7.1 and RFC 4320 §4:
//! one request that came in and what we answered.
//!
//! Each function is one event and its effect on the state; timers are not
//! kept here but asked for with `due`. No event brings the due time forward
//! except to "now", so whoever keeps the timers never moves one.

use hashbrown::HashTable;

use super::Kind;
use super::key::ServerKey;
use super::pace::{Beat, Growth, Pace};
use crate::bytes::Buf;
use crate::id::{Flow, ServerId, Slab, Slot};
use crate::limits;
use crate::time::Instant;

/// All server transactions, by id and by key.
#[derive(Debug)]
pub(super) struct Servers<O> {
    slab: Slab<Server<O>>,
    by_key: HashTable<Slot>,
}

impl<O: Copy> Servers<O> {
    pub(super) const fn new() -> Self {
        Self { slab: Slab::new(limits::TRANSACTIONS_MAX), by_key: HashTable::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn find(&self, key: ServerKey) -> Option<ServerId> {
        let is_it = |&slot: &Slot| self.slab.get(slot).is_some_and(|server| server.key == key);
        self.by_key.find(key.hash(), is_it).map(|&slot| ServerId(slot))
    }

    pub(super) fn get(&self, id: ServerId) -> Option<&Server<O>> {
        self.slab.get(id.0)
    }

    pub(super) fn get_mut(&mut self, id: ServerId) -> Option<&mut Server<O>> {
        self.slab.get_mut(id.0)
    }

    pub(super) fn insert(&mut self, server: Server<O>) -> Option<ServerId> {
        let key = server.key;
        let slot = self.slab.insert(server).ok()?;
        let slab = &self.slab;
        self.by_key.insert_unique(key.hash(), slot, |&other| slab.get(other).map_or(0, |server| server.key.hash()));
        Some(ServerId(slot))
    }

    pub(super) fn remove(&mut self, id: ServerId) -> Option<Server<O>> {
        let server = self.slab.remove(id.0)?;
        if let Ok(entry) = self.by_key.find_entry(server.key.hash(), |&slot| slot == id.0) {
            entry.remove();
        }
        Some(server)
    }
}

/// One server transaction.
#[derive(Debug)]
pub(super) struct Server<O> {
    pub(super) key: ServerKey,
    /// Where responses go.
    pub(super) flow: Flow,
    pub(super) owner: O,
    /// True while the wheel holds an entry for it.
    pub(super) is_armed: bool,
    state: State,
}

/// The states of both machines. Where nothing ends a state by time, the user
/// above does by answering.
#[derive(Debug)]
enum State {
    InviteProceeding { last: Option<Buf> },
    InviteAccepted { end: Instant },
    InviteCompleted { response: Buf, pace: Pace },
    InviteConfirmed { end: Instant },
    /// Unanswered, and too early for a 100 (RFC 4320 §4.1).
    OtherTrying { until: Instant },
    /// No final response, and a 100 may go or has gone.
    OtherProceeding { last: Option<Buf> },
    /// Without a response when the user gave up: nothing may be sent then
    /// (RFC 4320 §4.2).
    OtherCompleted { response: Option<Buf>, end: Instant },
}

/// What a wake-up did.
#[derive(Debug)]
pub(super) enum ServerWake {
    /// Nothing; the due time has moved.
    Rest,
    /// Send this again.
    Resend(Buf),
    /// A non-INVITE is unanswered at the time a 100 is due.
    Trying,
    /// Over: no ACK came.
    AckTimeout,
    /// Over.
    Done,
}

impl<O: Copy> Server<O> {
    pub(super) fn new(now: Instant, key: ServerKey, kind: Kind, flow: Flow, owner: O) -> Self {
        let state = match kind {
            Kind::Invite => State::InviteProceeding { last: None },
            Kind::Other if flow.is_reliable() => State::OtherProceeding { last: None },
            Kind::Other => State::OtherTrying { until: now + limits::NON_INVITE_TRYING },
        };
        Self { key, flow, owner, is_armed: false, state }
    }

    /// The request came again: what is to be said to it.
    pub(super) fn request_again(&self) -> Option<Buf> {
        match &self.state {
            State::InviteProceeding { last: response }
            | State::OtherProceeding { last: response }
            | State::OtherCompleted { response, .. } => response.clone(),
            State::InviteCompleted { response, .. } => Some(response.clone()),
            State::InviteAccepted { .. } | State::InviteConfirmed { .. } | State::OtherTrying { .. } => None,
        }
    }

    /// The user answers. `None`: the rules forbid to send it.
    pub(super) fn respond(&mut self, now: Instant, status: u16, response: Buf) -> Option<Buf> {
        match &mut self.state {
            State::InviteProceeding { last } => {
                match status {
                    ..200 => *last = Some(response.clone()),
                    200..300 => self.state = State::InviteAccepted { end: now + limits::T1_64 },
                    300.. => {
                        let growth = if self.flow.is_reliable() { Growth::Never } else { Growth::DoublingToT2 };
                        let pace = Pace::new(now, growth);
                        self.state = State::InviteCompleted { response: response.clone(), pace };
                    }
                }
                Some(response)
            }
            State::InviteAccepted { .. } => matches!(status, 200..300).then_some(response),
            State::OtherTrying { until } if status < 200 && now < *until => None,
            State::OtherTrying { .. } | State::OtherProceeding { .. } => self.respond_other(now, status, response),
            State::InviteCompleted { .. } | State::InviteConfirmed { .. } | State::OtherCompleted { .. } => None,
        }
    }

    fn respond_other(&mut self, now: Instant, status: u16, response: Buf) -> Option<Buf> {
        let response = match status {
            100 => {
                self.state = State::OtherProceeding { last: Some(response.clone()) };
                return Some(response);
            }
            ..200 => return None,
            408 => None,
            200.. => Some(response),
        };
        // Timer J.
        let end = if self.flow.is_reliable() { now } else { now + limits::T1_64 };
        self.state = State::OtherCompleted { response: response.clone(), end };
        response
    }

    /// An ACK came. False: it is none of this transaction's business, because
    /// it acknowledges a 2xx (RFC 6026 §7.1) or nothing at all.
    pub(super) fn acked(&mut self, now: Instant) -> bool {
        match self.state {
            State::InviteCompleted { .. } => {
                // Timer I.
                let end = if self.flow.is_reliable() { now } else { now + limits::T4 };
                self.state = State::InviteConfirmed { end };
                true
            }
            State::InviteConfirmed { .. } => true,
            State::InviteProceeding { .. }
            | State::InviteAccepted { .. }
            | State::OtherTrying { .. }
            | State::OtherProceeding { .. }
            | State::OtherCompleted { .. } => false,
        }
    }

    /// When `wake` is to be called; `None` while only an event can go on.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.state {
            State::InviteProceeding { .. } | State::OtherProceeding { .. } => None,
            State::InviteCompleted { pace, .. } => Some(pace.due()),
            State::OtherTrying { until: at }
            | State::InviteAccepted { end: at }
            | State::InviteConfirmed { end: at }
            | State::OtherCompleted { end: at, .. } => Some(*at),
        }
    }

    /// Time has passed.
    pub(super) fn wake(&mut self, now: Instant) -> ServerWake {
        if self.due().is_none_or(|due| now < due) {
            return ServerWake::Rest;
        }
        match &mut self.state {
            State::InviteProceeding { .. } | State::OtherProceeding { .. } => ServerWake::Rest,
            State::InviteCompleted { response, pace } => match pace.beat(now) {
                Beat::Rest => ServerWake::Rest,
                Beat::Send => ServerWake::Resend(response.clone()),
                Beat::End => ServerWake::AckTimeout,
            },
            State::OtherTrying { .. } => {
                self.state = State::OtherProceeding { last: None };
                ServerWake::Trying
            }
            State::InviteAccepted { .. } | State::InviteConfirmed { .. } | State::OtherCompleted { .. } => {
                ServerWake::Done
            }
        }
    }
}

const _: () = assert!(size_of::<Server<Slot>>() <= 96, "a million of these linger for 32 s");

