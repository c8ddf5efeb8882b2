//! The tables: every transaction by id, server transactions also by the key
//! of their request and client transactions by the branch of their response
//! (RFC 3261 §17.1.3, §17.2.3).

use std::net::IpAddr;

use hashbrown::{HashMap, HashTable};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::branch::{BRANCH_LEN, Branches};
use super::client::{ClientTransaction, ResponseMatch};
use super::flow_waiters::{self, FlowWaiters};
use super::key::{ServerKey, TransactionKeys};
use super::server::ServerTransaction;
use crate::bytes::Pool;
use crate::carry::{Carried, Reader, Unreadable, Writer};
use crate::guard::Ledger;
use crate::id::{ClientId, Flow, ServerId, Slab, Slot};
use crate::limits;
use crate::secret::{Mac, Seed};

/// All server transactions, by id and by key.
#[derive(Debug)]
pub(super) struct ServerTransactions<O> {
    slab: Slab<ServerTransaction<O>>,
    by_key: HashTable<Slot>,
    /// Who makes us keep them.
    pub(super) ledger: Ledger,
}

impl<O: Copy> ServerTransactions<O> {
    pub(super) const fn new(hasher: ahash::RandomState) -> Self {
        Self {
            slab: Slab::new(limits::TRANSACTIONS_MAX),
            by_key: HashTable::new(),
            ledger: Ledger::new(hasher),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn find(&self, key: ServerKey) -> Option<ServerId> {
        let is_it = |&slot: &Slot| self.slab.get(slot).is_some_and(|server| server.key == key);
        self.by_key
            .find(key.hash(), is_it)
            .map(|&slot| ServerId(slot))
    }

    pub(super) fn get(&self, id: ServerId) -> Option<&ServerTransaction<O>> {
        self.slab.get(id.0)
    }

    pub(super) fn get_mut(&mut self, id: ServerId) -> Option<&mut ServerTransaction<O>> {
        self.slab.get_mut(id.0)
    }

    pub(super) fn insert(&mut self, server: ServerTransaction<O>) -> Option<ServerId> {
        let key = server.key;
        let slot = self.slab.insert(server).ok()?;
        let slab = &self.slab;
        self.by_key.insert_unique(key.hash(), slot, |&other| {
            slab.get(other).map_or(0, |server| server.key.hash())
        });
        Some(ServerId(slot))
    }

    /// Charges a source with so many bytes for a transaction, until it ends.
    pub(super) fn charge(&mut self, id: ServerId, ip: IpAddr, bytes: usize) {
        if let Some(server) = self.slab.get_mut(id.0) {
            let charge = self.ledger.charge(ip, bytes);
            self.ledger
                .refund(std::mem::replace(&mut server.charge, charge));
        }
    }

    /// Once it has its final answer it costs no more than that.
    pub(super) fn settle(&mut self, id: ServerId) {
        if let Some(server) = self.slab.get_mut(id.0)
            && let Some(kept) = server.kept()
        {
            let bytes = limits::TRANSACTION_BYTES + kept;
            self.ledger.change(&mut server.charge, bytes);
        }
    }

    pub(super) fn remove(&mut self, id: ServerId) -> Option<ServerTransaction<O>> {
        let mut server = self.slab.remove(id.0)?;
        self.ledger.refund(std::mem::take(&mut server.charge));
        if let Ok(entry) = self
            .by_key
            .find_entry(server.key.hash(), |&slot| slot == id.0)
        {
            entry.remove();
        }
        Some(server)
    }
}

/// All client transactions, by id, by branch and by the flow they wait on.
#[derive(Debug)]
pub(super) struct ClientTransactions<O> {
    slab: Slab<ClientTransaction<O>>,
    /// The transactions of CANCELs, which have no branch of their own, by
    /// that of the INVITE. They may outlive it.
    cancels: HashMap<Slot, ClientId, ahash::RandomState>,
    branches: Branches,
    waiters: FlowWaiters,
    #[cfg(test)]
    steps: std::cell::Cell<usize>,
}

impl<O: Copy> ClientTransactions<O> {
    pub(super) fn new(keys: &TransactionKeys, seed: Seed, shard: u8) -> Self {
        Self {
            slab: Slab::new(limits::TRANSACTIONS_MAX),
            cancels: HashMap::with_hasher(keys.table()),
            branches: Branches::new(Mac::new(seed, "steadfast branches"), shard),
            waiters: FlowWaiters::new(keys.table()),
            #[cfg(test)]
            steps: std::cell::Cell::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn get(&self, id: ClientId) -> Option<&ClientTransaction<O>> {
        self.slab.get(id.0)
    }

    /// To change what is no event of the transaction itself.
    pub(super) fn get_mut(&mut self, id: ClientId) -> Option<&mut ClientTransaction<O>> {
        self.slab.get_mut(id.0)
    }

    /// One event of a transaction, after which it may wait for something else.
    pub(super) fn change<R>(
        &mut self,
        id: ClientId,
        event: impl FnOnce(&mut ClientTransaction<O>) -> R,
    ) -> Option<R> {
        let client = self.slab.get_mut(id.0)?;
        let was = client.awaits();
        let done = event(client);
        let is = client.awaits();
        if was != is {
            self.waiters.stand(&mut self.slab, id.0.index, was, is);
        }
        Some(done)
    }

    /// Its request leaves by this flow, or its ACK and CANCEL will.
    pub(super) fn lead(&mut self, id: ClientId, flow: Flow) {
        if self.slab.get(id.0).is_some() {
            self.waiters.lead(&mut self.slab, id.0.index, flow);
        }
    }

    /// Where its request went.
    pub(super) fn flow(&self, id: ClientId) -> Option<Flow> {
        self.waiters.flow(self.get(id)?.queue.entry)
    }

    /// Requests that wait on a flow and have heard nothing.
    pub(super) fn unheard(&mut self, flow: Flow) -> u32 {
        self.waiters.unheard(flow)
    }

    /// Whether a request that has heard nothing on a flow was said to wait too long.
    pub(super) fn is_silent(&mut self, flow: Flow) -> bool {
        self.waiters.is_silent(flow)
    }

    /// This one has waited too long for its first response.
    pub(super) fn note_silence(&mut self, id: ClientId) {
        if let Some(entry) = self.get(id).map(|client| client.queue.entry) {
            self.waiters.note_silence(entry);
        }
    }

    pub(super) fn reserve(&mut self, owner: O) -> Option<ClientId> {
        self.slab
            .insert(ClientTransaction::new(
                owner,
                ResponseMatch::Own { method: 0 },
            ))
            .ok()
            .map(ClientId)
    }

    pub(super) fn has_cancel(&self, invite: ClientId) -> bool {
        self.cancels.contains_key(&invite.0)
    }

    /// `None` also when there is a CANCEL for that INVITE already.
    pub(super) fn reserve_cancel(&mut self, invite: ClientId, owner: O) -> Option<ClientId> {
        if self.cancels.contains_key(&invite.0) {
            return None;
        }
        let id = ClientId(
            self.slab
                .insert(ClientTransaction::new(
                    owner,
                    ResponseMatch::Cancel { invite: invite.0 },
                ))
                .ok()?,
        );
        self.cancels.insert(invite.0, id);
        Some(id)
    }

    pub(super) fn branch(&self, id: ClientId) -> [u8; BRANCH_LEN] {
        let slot = match self.get(id).map(|client| client.name) {
            Some(ResponseMatch::Cancel { invite }) => invite,
            Some(ResponseMatch::Own { .. }) | None => id.0,
        };
        self.branches.text(slot)
    }

    /// The transaction of a response by the branch of its top Via and the
    /// fingerprint of its CSeq method.
    pub(super) fn find(&self, branch: &[u8], method: u32, is_cancel: bool) -> Option<ClientId> {
        let read = self.branches.read(branch)?;
        let mut slots = self.slab.slots_at(read.index);
        let slot = slots.find(|slot| self.branches.is_of(read, *slot))?;
        let cancel = if is_cancel {
            self.cancels.get(&slot)
        } else {
            None
        };
        let id = cancel.copied().unwrap_or(ClientId(slot));
        let client = self.get(id).filter(|client| client.has_left())?;
        match client.name {
            ResponseMatch::Own { method: own } => (own == method).then_some(id),
            ResponseMatch::Cancel { .. } => is_cancel.then_some(id),
        }
    }

    pub(super) fn remove(&mut self, id: ClientId) -> Option<ClientTransaction<O>> {
        self.slab.get(id.0)?;
        self.waiters.leave(&mut self.slab, id.0.index);
        let client = self.slab.remove(id.0)?;
        if let ResponseMatch::Cancel { invite } = client.name {
            self.cancels.remove(&invite);
        }
        Some(client)
    }

    /// Those that still wait for a final response on `flow`, the oldest first.
    pub(super) fn waiting_on(&self, flow: Flow) -> impl Iterator<Item = (ClientId, O)> {
        let step = || {
            #[cfg(test)]
            self.steps.set(self.steps.get() + 1);
        };
        flow_waiters::queue(&self.slab, self.waiters.first(flow), step)
            .map(|(slot, client)| (ClientId(slot), client.owner))
    }

    /// Flows that somebody waits on.
    #[cfg(test)]
    pub(super) fn waiters(&self) -> usize {
        self.waiters.len()
    }

    /// Transactions that any walk has looked at.
    #[cfg(test)]
    pub(super) const fn steps(&self) -> usize {
        self.steps.get()
    }
}

impl<O: Copy + Serialize + DeserializeOwned> Carried for ServerTransactions<O> {
    fn write(&self, out: &mut Writer) {
        out.value(&self.slab);
        self.ledger.write(out);
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Result<(), Unreadable> {
        self.slab = input.value()?;
        self.ledger.read(input)?;
        let slab = &self.slab;
        let hash = |&slot: &Slot| slab.get(slot).map_or(0, |server| server.key.hash());
        for (slot, server) in slab.iter() {
            self.by_key.insert_unique(server.key.hash(), slot, hash);
        }
        Ok(())
    }
}

impl<O: Copy> ServerTransactions<O> {
    /// Has the buffers that were read belong to a pool.
    pub(super) fn adopt_bufs(&mut self, pool: &Pool) {
        let servers = self.slab.values_mut();
        servers.for_each(|server| pool.adopt_all(server.buf()));
    }
}

impl<O: Copy> ClientTransactions<O> {
    /// As for servers.
    pub(super) fn adopt_bufs(&mut self, pool: &Pool) {
        let clients = self.slab.values_mut();
        clients.for_each(|client| pool.adopt_all(client.buf()));
    }
}

impl<O: Copy + Serialize + DeserializeOwned> Carried for ClientTransactions<O> {
    fn write(&self, out: &mut Writer) {
        out.value(&self.slab);
        self.cancels.write(out);
        self.waiters.write(out);
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Result<(), Unreadable> {
        self.slab = input.value()?;
        self.cancels.read(input)?;
        self.waiters.read(input)
    }
}

#[cfg(test)]
mod tests {
    use crate::txn::TransactionKind;
    use crate::txn::trial::{TCP, Trial, UDP};

    // T-3
    #[test]
    fn a_request_finds_its_transaction_while_there_is_one() {
        let mut t = Trial::new();
        let keys = t.txn.keys().clone();
        let key = |method: &[u8]| keys.cookie(b"z9hG4bK1", b"host", 5060, method);
        let invite = t
            .txn
            .open_server(t.now, key(b"INVITE"), TransactionKind::Invite, UDP, 4)
            .unwrap();
        let cancel = t
            .txn
            .open_server(t.now, key(b"CANCEL"), TransactionKind::Other, UDP, 5)
            .unwrap();
        assert_eq!(t.txn.find_server(key(b"INVITE")), Some(invite));
        assert_eq!(t.txn.find_server(key(b"CANCEL")), Some(cancel));
        assert_eq!(t.txn.find_server(key(b"BYE")), None);
        assert_eq!(
            (t.txn.server_owner(invite), t.txn.server_flow(cancel)),
            (Some(4), Some(UDP))
        );
        assert_eq!(
            (t.answer(invite, 200), t.answer(cancel, 200)),
            ("200", "200")
        );
        t.check(99_000, &[(32_000, "server done"), (32_000, "server done")]);
        assert_eq!(
            (
                t.txn.find_server(key(b"INVITE")),
                t.txn.server_owner(invite)
            ),
            (None, None)
        );
    }

    // T-3
    #[test]
    fn many_transactions_are_found_while_the_table_grows() {
        let mut t = Trial::new();
        let keys = t.txn.keys().clone();
        let key = |n: u32| keys.cookie(&n.to_le_bytes(), b"host", 5060, b"INVITE");
        let ids: Vec<_> = (0..5_000)
            .map(|n| {
                t.txn
                    .open_server(t.now, key(n), TransactionKind::Invite, UDP, n)
                    .unwrap()
            })
            .collect();
        for (n, &id) in (0..).zip(&ids) {
            assert_eq!(
                (t.txn.find_server(key(n)), t.txn.server_owner(id)),
                (Some(id), Some(n))
            );
        }
        for &id in ids.iter().step_by(2) {
            assert_eq!(t.answer(id, 200), "200");
        }
        t.run(32_000);
        let left = (0..5_000)
            .filter(|&n| t.txn.find_server(key(n)).is_some())
            .count();
        assert_eq!((left, t.txn.servers()), (2_500, 2_500));
    }

    // T-4, T-7
    #[test]
    fn a_response_matches_by_branch_and_method() {
        let mut t = Trial::new();
        let reserved = t.txn.reserve(1).unwrap();
        let branch = t.branch(reserved);
        assert_eq!(t.txn.find_client(&branch, b"INVITE"), None);
        t.txn
            .start(t.now, reserved, b"INVITE", UDP, t.pool.copy(b"INVITE"));
        assert_eq!(t.txn.find_client(&branch, b"INVITE"), Some(reserved));
        assert_eq!(
            (t.txn.client_owner(reserved), t.txn.client_flow(reserved)),
            (Some(1), Some(UDP))
        );
        for stray in ["CANCEL", "BYE", "ACK", "invite"] {
            assert_eq!(
                t.txn.find_client(&branch, stray.as_bytes()),
                None,
                "{stray}"
            );
        }
        let mut forged = branch.clone();
        forged[12] ^= 1;
        assert_eq!(t.txn.find_client(&forged, b"INVITE"), None);
        t.txn.abandon(reserved);
        let next = t.client("INVITE", UDP);
        assert_eq!(
            (next.0.index, t.txn.find_client(&branch, b"INVITE")),
            (reserved.0.index, None)
        );
        t.check(499, &[]);
    }

    // T-4
    #[test]
    fn a_cancel_shares_the_branch_and_not_the_transaction() {
        let mut t = Trial::new();
        let invite = t.client("INVITE", TCP);
        let branch = t.branch(invite);
        let cancel = t.txn.reserve_cancel(invite, 2).unwrap();
        assert_eq!(
            (t.branch(cancel), t.txn.reserve_cancel(invite, 3)),
            (branch.clone(), None)
        );
        assert_eq!(t.txn.find_client(&branch, b"CANCEL"), None);
        t.txn
            .start(t.now, cancel, b"CANCEL", TCP, t.pool.copy(b"CANCEL"));
        assert_eq!(t.txn.find_client(&branch, b"CANCEL"), Some(cancel));
        assert_eq!(t.txn.find_client(&branch, b"INVITE"), Some(invite));
        // The INVITE may be over before the answer to the CANCEL comes.
        t.txn.abandon(invite);
        assert_eq!(t.txn.find_client(&branch, b"INVITE"), None);
        assert_eq!(t.txn.find_client(&branch, b"CANCEL"), Some(cancel));
        assert_eq!(t.hear(cancel, 200), "pass");
        t.check(10, &[(0, "client done")]);
        assert_eq!(
            (t.txn.find_client(&branch, b"CANCEL"), t.txn.clients()),
            (None, 0)
        );
        assert!(t.txn.clients.cancels.is_empty());
    }
}
