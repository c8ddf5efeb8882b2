//! Transactions: the reliability of SIP over datagrams, and the memory that
//! tells a retransmission from a request. RFC 3261 §17, RFC 6026, RFC 4320.
//!
//! This room neither reads nor writes a message: it keeps the bytes it is
//! given, hands them back when they are due, and the caller transmits.
//!
//! - One wheel for all timers, and at most one entry on it per transaction.
//!   Events change states and leave the wheel alone; an entry that fires asks
//!   its transaction what is really due and goes back on the wheel if that is
//!   later. No state change brings a due time forward, except to "now", and
//!   such a transaction is over at once.
//! - Slots carry generations: an entry or id whose transaction has ended
//!   finds nothing.
//! - Whatever was begun ends: by its timers, or by its owner where the RFCs
//!   set none (before the user's final response, after a provisional one to
//!   an INVITE).

mod agenda;
mod branch;
mod client;
mod flow_waiters;
mod key;
mod pace;
mod server;
mod table;
#[cfg(test)]
mod trial;
mod wheel;

pub(crate) use branch::shard_of;
pub use key::{Keys, ServerKey};
pub use wheel::{TimerId, Wheel};

use std::net::IpAddr;

use crate::bytes::Buf;
use crate::id::{ClientId, Flow, ServerId};
use crate::time::Instant;
use agenda::{Agenda, Transaction};
use branch::BRANCH_LEN;
use client::Awaits;
use server::Server;
use table::{Clients, Servers};

/// The two kinds of transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// INVITE: may ring for minutes, is acknowledged.
    Invite,
    /// Everything else.
    Other,
}

impl Kind {
    /// The kind of a method's transaction.
    #[must_use]
    pub fn of(method: &[u8]) -> Self {
        if method == b"INVITE" {
            Self::Invite
        } else {
            Self::Other
        }
    }
}

/// What to put on the wire.
#[derive(Clone, Debug)]
pub struct Send {
    /// Where.
    pub flow: Flow,
    /// One message.
    pub bytes: Buf,
}

/// What a response means to the user above.
#[derive(Clone, Debug)]
pub enum ResponseAction {
    /// Pass it up: a provisional, the first final, or any 2xx to an INVITE.
    Pass,
    /// The first final to an INVITE, and not a 2xx: pass it up, build an ACK
    /// and hand it to `ack`.
    PassAndAck,
    /// That final again: send the ACK again, and nothing else.
    Again(Send),
    /// It ends here.
    Absorb,
}

/// Something that is due.
#[derive(Clone, Debug)]
pub enum Due<O, U> {
    /// A retransmission of a request.
    Repeat {
        /// Its owner.
        owner: O,
        /// The request, as it went.
        send: Send,
    },
    /// A retransmission of a final response.
    Resend(Send),
    /// Timer B or F: the client transaction is over without a final response.
    ClientTimeout {
        /// What it was.
        id: ClientId,
        /// Its owner.
        owner: O,
        /// A provisional response had come.
        heard: bool,
    },
    /// A non-INVITE over UDP is unanswered at the moment when 100 may be, and
    /// should be, sent (RFC 4320 §4.1).
    Trying {
        /// To be answered.
        id: ServerId,
        /// Its owner.
        owner: O,
    },
    /// Timer H: the server transaction is over and no ACK came.
    AckTimeout {
        /// What it was.
        id: ServerId,
        /// Its owner.
        owner: O,
    },
    /// The server transaction is over.
    ServerDone {
        /// What it was.
        id: ServerId,
        /// Its owner.
        owner: O,
    },
    /// The client transaction is over, some time after its final response.
    ClientDone {
        /// What it was.
        id: ClientId,
        /// Its owner.
        owner: O,
    },
    /// A timer of the user's own.
    User(U),
}

/// All transactions of a shard. `O` names the owner of a transaction, `U` a
/// timer of the rooms above.
#[derive(Debug)]
pub struct Transactions<O: Copy, U: Copy> {
    keys: Keys,
    servers: Servers<O>,
    clients: Clients<O>,
    agenda: Agenda<U>,
}

impl<O: Copy, U: Copy> Transactions<O, U> {
    /// None yet, with the clock at `now`. `seed` must be known to nobody
    /// else: it keeps branches from being guessed and tables from attack. The
    /// branches name `shard`, for responses that come to another one.
    #[must_use]
    pub fn new(now: Instant, seed: [u64; 4], shard: u8) -> Self {
        let keys = Keys::new(seed);
        let clients = Clients::new(&keys, seed, shard);
        Self {
            servers: Servers::new(keys.table()),
            keys,
            clients,
            agenda: Agenda::new(now),
        }
    }

    /// Computes the keys of requests.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Server transactions there are.
    #[must_use]
    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Client transactions there are, reserved ones included.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.len()
    }
}

/// The server side.
impl<O: Copy, U: Copy> Transactions<O, U> {
    /// The transaction that a request belongs to.
    #[must_use]
    pub fn find_server(&self, key: ServerKey) -> Option<ServerId> {
        self.servers.find(key)
    }

    /// The owner of a server transaction; `None` when it is over.
    #[must_use]
    pub(crate) fn server_owner(&self, id: ServerId) -> Option<O> {
        self.servers.get(id).map(|server| server.owner)
    }

    /// Gives a server transaction another owner.
    pub(crate) fn set_server_owner(&mut self, id: ServerId, owner: O) {
        if let Some(server) = self.servers.get_mut(id) {
            server.owner = owner;
        }
    }

    /// The flow that the responses of a server transaction take; `None` when it is over.
    #[must_use]
    pub(crate) fn server_flow(&self, id: ServerId) -> Option<Flow> {
        self.servers.get(id).map(|server| server.flow)
    }

    /// Sends its responses another way from now on (RFC 3261 §18.2.2: the
    /// connection of the request is gone and another one was opened).
    pub(crate) fn set_server_flow(&mut self, id: ServerId, flow: Flow) {
        if let Some(server) = self.servers.get_mut(id) {
            server.flow = flow;
        }
    }

    /// Opens the transaction of a request that `find_server` did not find;
    /// `None` at the bound.
    pub fn open_server(
        &mut self,
        now: Instant,
        key: ServerKey,
        kind: Kind,
        flow: Flow,
        owner: O,
    ) -> Option<ServerId> {
        let id = self
            .servers
            .insert(Server::new(now, key, kind, flow, owner))?;
        self.arm_server(now, id);
        Some(id)
    }

    /// Charges the source of a request with `bytes`, for what is kept of the request until its
    /// final answer; from then on it is charged with that answer.
    pub(crate) fn charge_server(&mut self, id: ServerId, source: IpAddr, bytes: usize) {
        self.servers.charge(id, source, bytes);
    }

    /// Bytes that a source is charged with.
    pub(crate) fn charged(&mut self, source: IpAddr) -> usize {
        self.servers.ledger.held(source)
    }

    /// Sources that are charged with any.
    #[must_use]
    pub const fn sources(&self) -> usize {
        self.servers.ledger.len()
    }

    /// The request of a server transaction came again: what to send again, if anything.
    #[must_use]
    pub(crate) fn request_again(&self, id: ServerId) -> Option<Send> {
        let server = self.servers.get(id)?;
        Some(Send {
            flow: server.flow,
            bytes: server.request_again()?,
        })
    }

    /// An ACK came that matches the transaction. True: it acknowledges a
    /// final response other than 2xx and ends here. False: it does not, and
    /// is for the user (RFC 6026 §7.1). `forks`: a 2xx may still follow.
    pub fn acked(&mut self, now: Instant, id: ServerId, forks: bool) -> bool {
        let is_ours = self
            .servers
            .get_mut(id)
            .is_some_and(|server| server.acked(now, forks));
        self.arm_server(now, id);
        is_ours
    }

    /// Whether an ACK to that INVITE comes before any final response: it is of this
    /// transaction (RFC 3261 §17.2.3), and acknowledges nothing.
    #[must_use]
    pub(crate) fn is_early(&self, id: ServerId) -> bool {
        self.servers.get(id).is_some_and(Server::is_early)
    }

    /// The user answers. `None` when nothing may be sent: a final response
    /// has gone before (only a 2xx to an INVITE may follow a 2xx), or it is a
    /// provisional to a non-INVITE that is not a 100 or comes too early, or a
    /// 408 to a non-INVITE, which silently completes it (RFC 4320 §4).
    pub fn respond(
        &mut self,
        now: Instant,
        id: ServerId,
        status: u16,
        response: Buf,
    ) -> Option<Send> {
        let server = self.servers.get_mut(id)?;
        let flow = server.flow;
        let bytes = server.respond(now, status, response);
        if status >= 200 {
            self.servers.settle(id);
        }
        self.arm_server(now, id);
        Some(Send {
            flow,
            bytes: bytes?,
        })
    }

    fn arm_server(&mut self, now: Instant, id: ServerId) {
        if let Some(server) = self.servers.get_mut(id) {
            let due = server.due();
            self.agenda
                .arm(now, Transaction::Server(id), due, &mut server.is_armed);
        }
    }
}

/// The client side.
impl<O: Copy, U: Copy> Transactions<O, U> {
    /// Reserves a transaction, so that its branch can be written before its
    /// request exists; `None` at the bound. It stays until it is started or
    /// abandoned.
    pub fn reserve(&mut self, owner: O) -> Option<ClientId> {
        self.clients.reserve(owner)
    }

    /// Reserves the transaction of a CANCEL for `invite`, whose branch it
    /// shares; `None` at the bound or when there is one.
    pub(crate) fn reserve_cancel(&mut self, invite: ClientId, owner: O) -> Option<ClientId> {
        self.clients.reserve_cancel(invite, owner)
    }

    /// Whether that INVITE has had a provisional answer and no other.
    #[must_use]
    pub(crate) fn is_proceeding(&self, invite: ClientId) -> bool {
        let client = self.clients.get(invite);
        client.is_some_and(client::Client::is_proceeding)
    }

    /// Whether a CANCEL for `invite` waits for its answer.
    #[must_use]
    pub(crate) fn has_cancel(&self, invite: ClientId) -> bool {
        self.clients.has_cancel(invite)
    }

    /// The branch of that transaction, cookie first. The caller may let more token
    /// characters follow: `find_client` ignores them.
    #[must_use]
    pub fn branch(&self, id: ClientId) -> [u8; BRANCH_LEN] {
        self.clients.branch(id)
    }

    /// Starts a reserved transaction. The caller sends the first copy of
    /// `request`; the others come out of `due`.
    pub fn start(&mut self, now: Instant, id: ClientId, method: &[u8], flow: Flow, request: Buf) {
        if self.clients.get(id).is_none_or(client::Client::has_left) {
            return;
        }
        self.clients.lead(id, flow);
        let (kind, print) = (Kind::of(method), self.keys.method(method));
        self.clients.change(id, |client, _| {
            client.start(now, kind, print, flow.is_reliable(), request);
        });
        self.arm_client(now, id);
    }

    /// Removes the transaction at once, and no `Due` tells of it: its responses match nothing.
    pub(crate) fn abandon(&mut self, id: ClientId) {
        self.clients.remove(id);
    }

    /// Ends the retransmissions of an INVITE; responses to the copies that have left still match.
    /// Without Timer B it has no end of its own: the user abandons it.
    pub(crate) fn stop_retransmitting(&mut self, id: ClientId) {
        self.clients
            .change(id, |client, _| client.stop_retransmitting());
    }

    /// The transport has failed. Removes the transaction, and no `Due` tells of it, if it
    /// still waits for a final response; one that has it stays, since the
    /// peer may yet repeat it.
    pub fn fail(&mut self, id: ClientId) {
        let client = self.clients.get(id);
        if client.is_some_and(|client| client.awaits() != Awaits::Nothing) {
            self.clients.remove(id);
        }
    }

    /// The transaction of a response, by the branch of its top Via and the
    /// method of its CSeq (RFC 3261 §17.1.3). `None`: a stray response, which
    /// goes nowhere (RFC 6026 §8).
    #[must_use]
    pub fn find_client(&self, branch: &[u8], method: &[u8]) -> Option<ClientId> {
        self.clients
            .find(branch, self.keys.method(method), method == b"CANCEL")
    }

    /// The transaction whose request was sent by `flow` with that branch and
    /// method and still waits for its final response.
    #[must_use]
    pub(crate) fn waiting_client(
        &self,
        flow: Flow,
        branch: &[u8],
        method: &[u8],
    ) -> Option<ClientId> {
        let id = self.find_client(branch, method)?;
        let waits = self.clients.get(id)?.awaits() != Awaits::Nothing;
        (waits && self.clients.flow(id) == Some(flow)).then_some(id)
    }

    /// The owner of a client transaction; `None` when it is over.
    #[must_use]
    pub(crate) fn client_owner(&self, id: ClientId) -> Option<O> {
        self.clients.get(id).map(|client| client.owner)
    }

    /// Gives a client transaction another owner.
    pub(crate) fn set_client_owner(&mut self, id: ClientId, owner: O) {
        if let Some(client) = self.clients.get_mut(id) {
            client.owner = owner;
        }
    }

    /// The flow that the request of a client transaction took; `None` before it has left and when
    /// it is over.
    #[must_use]
    pub(crate) fn client_flow(&self, id: ClientId) -> Option<Flow> {
        self.clients.flow(id)
    }

    /// Sends its CANCEL and its ACK another way from now on: the connection of
    /// the request is gone, and another one leads to the same place (RFC 3261
    /// §9.1, §17.1.1.3).
    pub(crate) fn set_client_flow(&mut self, id: ClientId, flow: Flow) {
        if self.clients.get(id).is_some_and(client::Client::has_left) {
            self.clients.lead(id, flow);
        }
    }

    /// The request of a client transaction as sent: kept until the final response, and after a final
    /// response other than 2xx to an INVITE until `ack`.
    #[must_use]
    pub(crate) fn client_request(&self, id: ClientId) -> Option<&Buf> {
        self.clients.get(id)?.request()
    }

    /// Takes in a response to a client transaction.
    #[must_use]
    pub fn response(&mut self, now: Instant, id: ClientId, status: u16) -> ResponseAction {
        let heard = self
            .clients
            .change(id, |client, waiters| client.response(now, status, waiters));
        self.arm_client(now, id);
        heard.unwrap_or(ResponseAction::Absorb)
    }

    /// Takes the ACK that `ResponseAction::PassAndAck` asked for and gives it back to
    /// be sent; `None` when none was asked for. To be called before `due`.
    pub fn ack(&mut self, id: ClientId, ack: Buf) -> Option<Send> {
        let flow = self.clients.flow(id)?;
        self.clients.get_mut(id)?.ack(ack, flow)
    }

    /// Appends every client transaction that still waits for its final
    /// response on `flow`, the oldest first. Looks at nobody else.
    pub(crate) fn clients_on(&self, flow: Flow, out: &mut Vec<(ClientId, O)>) {
        out.extend(self.clients.waiting_on(flow));
    }

    /// Number of requests on `flow` that have had no response.
    pub(crate) fn unheard_on(&mut self, flow: Flow) -> u32 {
        self.clients.unheard(flow)
    }

    /// Notes that the request of `id` has had no response for as long as its flow may be silent.
    pub(crate) fn note_silence(&mut self, id: ClientId) {
        self.clients.note_silence(id);
    }

    /// Whether a request on `flow` that `note_silence` was called for still has no response.
    #[must_use]
    pub fn is_silent(&mut self, flow: Flow) -> bool {
        self.clients.is_silent(flow)
    }

    fn arm_client(&mut self, now: Instant, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id) {
            let due = client.due();
            self.agenda
                .arm(now, Transaction::Client(id), due, &mut client.is_armed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::trial::{Trial, UDP};
    use crate::limits;

    #[test]
    fn at_the_bound_nothing_that_runs_is_disturbed() {
        let mut t = Trial::new();
        let ids: Vec<_> = std::iter::from_fn(|| t.txn.reserve(0)).collect();
        assert_eq!(
            (ids.len(), t.txn.reserve_cancel(ids[0], 0)),
            (limits::TRANSACTIONS_MAX, None)
        );
        assert_eq!(t.txn.client_owner(ids[0]), Some(0));
        t.txn.abandon(ids[7]);
        assert_eq!(t.txn.reserve(0).map(|id| id.0.index), Some(7));
    }

    #[test]
    fn buffers_return_as_soon_as_they_cannot_be_needed() {
        let mut t = Trial::new();
        let id = t.client("INVITE", UDP);
        assert_eq!(
            (t.pool.idle(), t.hear(id, 200), t.pool.idle()),
            (0, "pass", 1)
        );
        let id = t.client("INVITE", UDP);
        assert_eq!(
            (t.pool.idle(), t.hear(id, 404), t.pool.idle()),
            (0, "pass and ack", 0)
        );
        assert_eq!((t.ack(id), t.pool.idle()), ("ACK", 1));
        let id = t.server("INVITE", UDP);
        assert_eq!((t.answer(id, 180), t.pool.idle()), ("180", 0));
        assert_eq!((t.answer(id, 200), t.pool.idle()), ("200", 2));
    }
}
