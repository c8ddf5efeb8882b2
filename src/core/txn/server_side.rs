//! What the user above does with its server transactions, and asks of them.

use std::net::IpAddr;

use super::agenda::Transaction;
use super::server::ServerTransaction;
use super::{Send, ServerKey, TransactionKind, Transactions};
use crate::bytes::Buf;
use crate::id::{Flow, ServerId};
use crate::time::Instant;

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
        kind: TransactionKind,
        flow: Flow,
        owner: O,
    ) -> Option<ServerId> {
        let id = self
            .servers
            .insert(ServerTransaction::new(now, key, kind, flow, owner))?;
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
        self.servers
            .get(id)
            .is_some_and(ServerTransaction::is_early)
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

    pub(super) fn arm_server(&mut self, now: Instant, id: ServerId) {
        if let Some(server) = self.servers.get_mut(id) {
            let due = server.due();
            self.agenda
                .arm(now, Transaction::Server(id), due, &mut server.is_armed);
        }
    }
}
