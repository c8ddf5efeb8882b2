//! What the user above does with its client transactions, and asks of them.

use super::agenda::Transaction;
use super::branch::BRANCH_LEN;
use super::client::{Awaits, ClientTransaction, Heard};
use super::{ResponseAction, Send, TransactionKind, Transactions};
use crate::bytes::Buf;
use crate::id::{ClientId, Flow};
use crate::time::Instant;

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
        client.is_some_and(ClientTransaction::is_proceeding)
    }

    /// Whether the request of a client transaction has left once, and nothing was heard.
    #[must_use]
    pub(crate) fn was_sent_once(&self, id: ClientId) -> bool {
        let client = self.clients.get(id);
        client.is_some_and(ClientTransaction::was_sent_once)
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
        if self.clients.get(id).is_none_or(ClientTransaction::has_left) {
            return;
        }
        self.clients.lead(id, flow);
        let (kind, print) = (TransactionKind::of(method), self.keys.method(method));
        self.clients.change(id, |client| {
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
            .change(id, |client| client.stop_retransmitting());
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
        if self
            .clients
            .get(id)
            .is_some_and(ClientTransaction::has_left)
        {
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
        let clients = &mut self.clients;
        let heard = clients.change(id, |client| client.response(now, status));
        self.arm_client(now, id);
        match heard {
            Some(Heard::Pass) => ResponseAction::Pass,
            Some(Heard::PassAndAck) => ResponseAction::PassAndAck,
            Some(Heard::Again(bytes)) => match self.clients.flow(id) {
                Some(flow) => ResponseAction::Again(Send { flow, bytes }),
                None => ResponseAction::Absorb,
            },
            Some(Heard::Absorb) | None => ResponseAction::Absorb,
        }
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

    pub(super) fn arm_client(&mut self, now: Instant, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id) {
            let due = client.due();
            self.agenda
                .arm(now, Transaction::Client(id), due, &mut client.is_armed);
        }
    }
}
