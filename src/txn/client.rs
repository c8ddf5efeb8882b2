//! Client transactions, RFC 3261 §17.1 with RFC 6026 §7.2: one request that
//! we sent and what we heard.
//!
//! As on the server side each function is one event, timers are asked for
//! with `due`, and no event brings the due time forward except to "now".
//! The request is kept until its final response and no longer.

use std::mem;

use super::branch::Branches;
use super::key::Keys;
use super::pace::{Beat, Growth, Pace};
use super::{Heard, Kind, Send};
use crate::bytes::Buf;
use crate::id::{ClientId, Flow, Slab, Slot};
use crate::limits;
use crate::time::Instant;

/// All client transactions, by id and by branch.
#[derive(Debug)]
pub(super) struct Clients<O> {
    slab: Slab<Client<O>>,
    /// The transactions of CANCELs, which have no branch of their own, by
    /// that of the INVITE. They may outlive it.
    cancels: hashbrown::HashMap<Slot, ClientId, ahash::RandomState>,
    branches: Branches,
}

impl<O: Copy> Clients<O> {
    pub(super) fn new(keys: &Keys) -> Self {
        Self {
            slab: Slab::new(limits::TRANSACTIONS_MAX),
            cancels: hashbrown::HashMap::with_hasher(keys.table()),
            branches: Branches::new(keys.secret("branch")),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn get(&self, id: ClientId) -> Option<&Client<O>> {
        self.slab.get(id.0)
    }

    pub(super) fn get_mut(&mut self, id: ClientId) -> Option<&mut Client<O>> {
        self.slab.get_mut(id.0)
    }

    pub(super) fn reserve(&mut self, owner: O) -> Option<ClientId> {
        self.slab.insert(Client::new(owner, Name::Own)).ok().map(ClientId)
    }

    /// `None` also when there is a CANCEL for that INVITE already.
    pub(super) fn reserve_cancel(&mut self, invite: ClientId, owner: O) -> Option<ClientId> {
        if self.cancels.contains_key(&invite.0) {
            return None;
        }
        let id = ClientId(self.slab.insert(Client::new(owner, Name::Cancel { invite: invite.0 })).ok()?);
        self.cancels.insert(invite.0, id);
        Some(id)
    }

    pub(super) fn write_branch(&self, id: ClientId, out: &mut Vec<u8>) {
        let slot = match self.get(id).map(|client| client.name) {
            Some(Name::Cancel { invite }) => invite,
            Some(Name::Own) | None => id.0,
        };
        self.branches.write(slot, out);
    }

    /// The transaction of a response by the branch of its top Via and the
    /// fingerprint of its CSeq method.
    pub(super) fn find(&self, branch: &[u8], method: u32, is_cancel: bool) -> Option<ClientId> {
        let slot = self.branches.read(branch)?;
        let cancel = if is_cancel { self.cancels.get(&slot) } else { None };
        let id = cancel.copied().unwrap_or(ClientId(slot));
        self.get(id).filter(|client| client.flow.is_some() && client.method == method).map(|_| id)
    }

    pub(super) fn remove(&mut self, id: ClientId) -> Option<Client<O>> {
        let client = self.slab.remove(id.0)?;
        if let Name::Cancel { invite } = client.name {
            self.cancels.remove(&invite);
        }
        Some(client)
    }

    /// Those that still wait for a final response on `flow`.
    pub(super) fn waiting_on(&self, flow: Flow) -> impl Iterator<Item = (ClientId, O)> {
        let waits = move |client: &Client<O>| client.is_waiting() && client.flow == Some(flow);
        self.slab.iter().filter(move |(_, client)| waits(client)).map(|(slot, client)| (ClientId(slot), client.owner))
    }
}

/// One client transaction.
#[derive(Debug)]
pub(super) struct Client<O> {
    /// Where the request went, once it has gone.
    pub(super) flow: Option<Flow>,
    pub(super) owner: O,
    /// True while the wheel holds an entry for it.
    pub(super) is_armed: bool,
    /// Fingerprint of the method: the INVITE and its CANCEL share a branch
    /// (RFC 3261 §17.1.3).
    method: u32,
    name: Name,
    state: State,
}

/// By which branch its responses find it.
#[derive(Clone, Copy, Debug)]
enum Name {
    Own,
    /// RFC 3261 §9.1: a CANCEL has the branch of what it cancels.
    Cancel { invite: Slot },
}

/// The states of both machines.
#[derive(Debug)]
enum State {
    Reserved,
    InviteCalling { request: Buf, pace: Pace },
    /// No timer: the proxy bounds this state by Timer C (RFC 3261 §16.6-11).
    InviteProceeding { request: Buf },
    InviteAccepted { end: Instant },
    /// Completed, and the user has yet to make the ACK out of the request.
    InviteRefused { request: Buf, end: Instant },
    /// Completed; without an ACK where nothing is sent twice.
    InviteCompleted { ack: Option<Buf>, end: Instant },
    OtherTrying { request: Buf, pace: Pace },
    OtherProceeding { request: Buf, pace: Pace },
    OtherCompleted { end: Instant },
}

/// What a wake-up did.
#[derive(Debug)]
pub(super) enum ClientWake {
    /// Nothing; the due time has moved.
    Rest,
    /// Send this again.
    Resend(Buf),
    /// Over: no final response came, though a provisional one may have.
    Timeout { heard: bool },
    /// Over.
    Done,
}

impl<O: Copy> Client<O> {
    const fn new(owner: O, name: Name) -> Self {
        Self { flow: None, owner, is_armed: false, method: 0, name, state: State::Reserved }
    }

    /// The first copy of `request` goes out now.
    pub(super) fn start(&mut self, now: Instant, kind: Kind, method: u32, flow: Flow, request: Buf) {
        (self.method, self.flow) = (method, Some(flow));
        let pace = |unreliable| Pace::new(now, if flow.is_reliable() { Growth::Never } else { unreliable });
        self.state = match kind {
            Kind::Invite => State::InviteCalling { request, pace: pace(Growth::Doubling) },
            Kind::Other => State::OtherTrying { request, pace: pace(Growth::DoublingToT2) },
        };
    }

    /// The request, while it may be needed: for retransmission, CANCEL, ACK.
    pub(super) const fn request(&self) -> Option<&Buf> {
        match &self.state {
            State::InviteCalling { request, .. }
            | State::InviteProceeding { request }
            | State::InviteRefused { request, .. }
            | State::OtherTrying { request, .. }
            | State::OtherProceeding { request, .. } => Some(request),
            State::Reserved
            | State::InviteAccepted { .. }
            | State::InviteCompleted { .. }
            | State::OtherCompleted { .. } => None,
        }
    }

    /// True while a final response is still to come.
    pub(super) const fn is_waiting(&self) -> bool {
        match &self.state {
            State::InviteCalling { .. }
            | State::InviteProceeding { .. }
            | State::OtherTrying { .. }
            | State::OtherProceeding { .. } => true,
            State::Reserved
            | State::InviteAccepted { .. }
            | State::InviteRefused { .. }
            | State::InviteCompleted { .. }
            | State::OtherCompleted { .. } => false,
        }
    }

    /// A response came.
    pub(super) fn response(&mut self, now: Instant, status: u16) -> Heard {
        let is_reliable = self.is_reliable();
        let (state, heard) = match (mem::replace(&mut self.state, State::Reserved), status) {
            (State::InviteCalling { request, .. } | State::InviteProceeding { request }, ..200) => {
                (State::InviteProceeding { request }, Heard::Pass)
            }
            (State::InviteCalling { .. } | State::InviteProceeding { .. }, 200..300) => {
                (State::InviteAccepted { end: now + limits::T1_64 }, Heard::Pass)
            }
            (State::InviteCalling { request, .. } | State::InviteProceeding { request }, 300..) => {
                // Timer D.
                let end = if is_reliable { now } else { now + limits::T1_64 };
                (State::InviteRefused { request, end }, Heard::PassAndAck)
            }
            (state @ State::InviteAccepted { .. }, 200..300) => (state, Heard::Pass),
            (State::InviteCompleted { ack: Some(ack), end }, 300..) => {
                let heard = self.send(ack.clone()).map_or(Heard::Absorb, Heard::Again);
                (State::InviteCompleted { ack: Some(ack), end }, heard)
            }
            (State::OtherTrying { request, mut pace } | State::OtherProceeding { request, mut pace }, ..200) => {
                pace.calm();
                (State::OtherProceeding { request, pace }, Heard::Pass)
            }
            (State::OtherTrying { .. } | State::OtherProceeding { .. }, 200..) => {
                // Timer K.
                let end = if is_reliable { now } else { now + limits::T4 };
                (State::OtherCompleted { end }, Heard::Pass)
            }
            (
                state @ (State::Reserved
                | State::InviteAccepted { .. }
                | State::InviteRefused { .. }
                | State::InviteCompleted { .. }
                | State::OtherCompleted { .. }),
                _,
            ) => (state, Heard::Absorb),
        };
        self.state = state;
        heard
    }

    /// The ACK for the final response; `None` when none is awaited.
    pub(super) fn ack(&mut self, ack: Buf) -> Option<Send> {
        let State::InviteRefused { end, .. } = self.state else { return None };
        let kept = (!self.is_reliable()).then(|| ack.clone());
        self.state = State::InviteCompleted { ack: kept, end };
        self.send(ack)
    }

    /// When `wake` is to be called; `None` while only an event can go on.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Reserved | State::InviteProceeding { .. } => None,
            State::InviteCalling { pace, .. }
            | State::OtherTrying { pace, .. }
            | State::OtherProceeding { pace, .. } => Some(pace.due()),
            State::InviteAccepted { end }
            | State::InviteRefused { end, .. }
            | State::InviteCompleted { end, .. }
            | State::OtherCompleted { end } => Some(*end),
        }
    }

    /// Time has passed.
    pub(super) fn wake(&mut self, now: Instant) -> ClientWake {
        if self.due().is_none_or(|due| now < due) {
            return ClientWake::Rest;
        }
        let heard = matches!(self.state, State::OtherProceeding { .. });
        match &mut self.state {
            State::Reserved | State::InviteProceeding { .. } => ClientWake::Rest,
            State::InviteCalling { request, pace }
            | State::OtherTrying { request, pace }
            | State::OtherProceeding { request, pace } => match pace.beat(now) {
                Beat::Rest => ClientWake::Rest,
                Beat::Send => ClientWake::Resend(request.clone()),
                Beat::End => ClientWake::Timeout { heard },
            },
            State::InviteAccepted { .. }
            | State::InviteRefused { .. }
            | State::InviteCompleted { .. }
            | State::OtherCompleted { .. } => ClientWake::Done,
        }
    }

    fn is_reliable(&self) -> bool {
        self.flow.is_some_and(|flow| flow.is_reliable())
    }

    fn send(&self, bytes: Buf) -> Option<Send> {
        self.flow.map(|flow| Send { flow, bytes })
    }
}

const _: () = assert!(size_of::<Client<Slot>>() <= 96, "a million of these linger for 32 s");

