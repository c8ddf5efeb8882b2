//! The flows that requests have left by, and who waits on each: what the death
//! of a flow concerns is found without a look at anybody else.
//!
//! A client transaction names the entry of its flow by number, which is shorter than a
//! flow. Those that wait for a final response stand in a queue, the oldest first,
//! whose links are in the transactions themselves; an entry is forgotten with the
//! last transaction that names it. Of those in the queue it is also known how
//! many have heard nothing at all.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::client::{Awaits, ClientTransaction};
use super::queue_links::{NONE, QueueLinks};
use crate::carry::carried;
use crate::id::{Flow, Slab, Slot};
use crate::limits;

/// One flow that transactions name.
#[derive(Debug, Serialize, Deserialize)]
struct Waiters {
    flow: Flow,
    /// Transactions that name it.
    users: u32,
    /// The oldest of those that wait for a final response.
    first: u32,
    /// Those among them that have heard nothing.
    unheard: u32,
    /// One of these has waited for longer than its flow may be silent (`note_silence`).
    is_silent: bool,
}

/// An entry for each flow that a client transaction names.
#[derive(Debug)]
pub(super) struct FlowWaiters {
    slab: Slab<Waiters>,
    by_flow: HashTable<u32>,
    hasher: ahash::RandomState,
    /// The entry that was looked up last.
    last: u32,
}

impl FlowWaiters {
    pub(super) const fn new(hasher: ahash::RandomState) -> Self {
        Self {
            slab: Slab::new(limits::TRANSACTIONS_MAX),
            by_flow: HashTable::new(),
            hasher,
            last: NONE,
        }
    }

    /// The flow of an entry.
    pub(super) fn flow(&self, entry: u32) -> Option<Flow> {
        self.slab.at(entry).map(|(_, entry)| entry.flow)
    }

    /// Requests that wait on a flow and have heard nothing.
    pub(super) fn unheard(&mut self, flow: Flow) -> u32 {
        let entry = self.find(flow);
        let entry = entry.and_then(|entry| self.slab.at(entry));
        entry.map_or(0, |(_, entry)| entry.unheard)
    }

    /// Whether one of the requests that have heard nothing was said to have waited
    /// too long.
    pub(super) fn is_silent(&mut self, flow: Flow) -> bool {
        let entry = self.find(flow).and_then(|entry| self.slab.at(entry));
        entry.is_some_and(|(_, entry)| entry.is_silent)
    }

    /// A transaction of this entry has waited too long for its first response.
    pub(super) fn note_silence(&mut self, entry: u32) {
        if let Some(entry) = self.slab.at_mut(entry) {
            entry.is_silent = entry.unheard > 0;
        }
    }

    /// The first of those that wait on a flow.
    pub(super) fn first(&self, flow: Flow) -> u32 {
        let entry = self.seek(flow).and_then(|entry| self.slab.at(entry));
        entry.map_or(NONE, |(_, entry)| entry.first)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.slab.len(), self.by_flow.len());
        self.slab.len()
    }

    fn find(&mut self, flow: Flow) -> Option<u32> {
        if self.flow(self.last) == Some(flow) {
            return Some(self.last);
        }
        self.last = self.seek(flow)?;
        Some(self.last)
    }

    fn seek(&self, flow: Flow) -> Option<u32> {
        let is_it = |&entry: &u32| self.flow(entry) == Some(flow);
        self.by_flow
            .find(self.hasher.hash_one(flow), is_it)
            .copied()
    }

    /// Names the entry of a flow once more; `NONE` at the bound, which is that of
    /// the transactions.
    fn hold(&mut self, flow: Flow) -> u32 {
        let entry = self.find(flow).unwrap_or_else(|| self.begin(flow));
        if let Some(entry) = self.slab.at_mut(entry) {
            entry.users += 1;
        }
        entry
    }

    fn begin(&mut self, flow: Flow) -> u32 {
        let entry = Waiters {
            flow,
            users: 0,
            first: NONE,
            unheard: 0,
            is_silent: false,
        };
        let Ok(Slot { index, .. }) = self.slab.insert(entry) else {
            return NONE;
        };
        let (slab, hasher) = (&self.slab, &self.hasher);
        let rehash = |&entry: &u32| {
            slab.at(entry)
                .map_or(0, |(_, entry)| hasher.hash_one(entry.flow))
        };
        self.by_flow
            .insert_unique(hasher.hash_one(flow), index, rehash);
        self.last = index;
        index
    }

    /// A transaction names the entry no longer.
    fn release(&mut self, index: u32) {
        let Some(entry) = self.slab.at_mut(index) else {
            return;
        };
        entry.users -= 1;
        if entry.users > 0 {
            return;
        }
        let hash = self.hasher.hash_one(entry.flow);
        if let Ok(found) = self.by_flow.find_entry(hash, |&entry| entry == index) {
            found.remove();
        }
        if let Some((slot, _)) = self.slab.at(index) {
            self.slab.remove(slot);
        }
    }

    /// Puts a transaction among those of a flow, or moves it there: it takes its
    /// place as the youngest.
    pub(super) fn lead<O: Copy>(
        &mut self,
        clients: &mut Slab<ClientTransaction<O>>,
        index: u32,
        flow: Flow,
    ) {
        let Some(client) = clients.at_mut(index) else {
            return;
        };
        let (old, standing) = (client.queue.entry, client.awaits());
        let entry = self.hold(flow);
        self.stand(clients, index, standing, Awaits::Nothing);
        if let Some(client) = clients.at_mut(index) {
            client.queue.entry = entry;
        }
        self.stand(clients, index, Awaits::Nothing, standing);
        self.release(old);
    }

    /// Takes a transaction out that is about to go.
    pub(super) fn leave<O: Copy>(&mut self, clients: &mut Slab<ClientTransaction<O>>, index: u32) {
        let Some(client) = clients.at_mut(index) else {
            return;
        };
        let (entry, standing) = (client.queue.entry, client.awaits());
        if entry != NONE {
            self.stand(clients, index, standing, Awaits::Nothing);
            self.release(entry);
        }
    }

    /// What a transaction waits for has changed.
    pub(super) fn stand<O: Copy>(
        &mut self,
        clients: &mut Slab<ClientTransaction<O>>,
        index: u32,
        was: Awaits,
        is: Awaits,
    ) {
        if was == is {
            return;
        }
        let Some(links) = clients.at_mut(index).map(|client| client.queue) else {
            return;
        };
        let Some(entry) = self.slab.at_mut(links.entry) else {
            return;
        };
        entry.unheard += u32::from(is == Awaits::AnyResponse);
        entry.unheard -= u32::from(was == Awaits::AnyResponse);
        entry.is_silent &= entry.unheard > 0;
        match (was, is) {
            (Awaits::Nothing, _) => entry.enter(clients, index),
            (_, Awaits::Nothing) => entry.exit(clients, index, links),
            _ => {}
        }
    }
}

impl Waiters {
    /// Puts a transaction at the end of the queue.
    fn enter<O: Copy>(&mut self, clients: &mut Slab<ClientTransaction<O>>, index: u32) {
        if self.first == NONE {
            self.first = index;
        }
        let first = self.first;
        let oldest = clients.at(first).filter(|_| first != index);
        let last = oldest.map_or(index, |(_, client)| client.queue.before);
        if let Some(client) = clients.at_mut(index) {
            (client.queue.before, client.queue.after) = (last, first);
        }
        if let Some(client) = clients.at_mut(last) {
            client.queue.after = index;
        }
        if let Some(client) = clients.at_mut(first) {
            client.queue.before = index;
        }
    }

    /// Takes a transaction out of the queue.
    fn exit<O: Copy>(
        &mut self,
        clients: &mut Slab<ClientTransaction<O>>,
        index: u32,
        links: QueueLinks,
    ) {
        let QueueLinks { before, after, .. } = links;
        if let Some(client) = clients.at_mut(index) {
            (client.queue.before, client.queue.after) = (NONE, NONE);
        }
        if after == index {
            self.first = NONE;
            return;
        }
        if let Some(client) = clients.at_mut(before) {
            client.queue.after = after;
        }
        if let Some(client) = clients.at_mut(after) {
            client.queue.before = before;
        }
        if self.first == index {
            self.first = after;
        }
    }
}

/// Everyone in the queue that begins with `first`; `step` is told of each.
pub(super) fn queue<O: Copy>(
    clients: &Slab<ClientTransaction<O>>,
    first: u32,
    step: impl Fn(),
) -> impl Iterator<Item = (Slot, &ClientTransaction<O>)> {
    let mut next = first;
    std::iter::from_fn(move || {
        let (slot, client) = clients.at(next)?;
        step();
        next = client.queue.after;
        if next == first {
            next = NONE;
        }
        Some((slot, client))
    })
}

carried!(FlowWaiters {
    values: slab, last;
    made: by_flow, hasher;
    then: index;
});

impl FlowWaiters {
    fn index(&mut self) {
        let (slab, hasher) = (&self.slab, &self.hasher);
        let hash = |&at: &u32| slab.at(at).map_or(0, |(_, it)| hasher.hash_one(it.flow));
        for (slot, _) in slab.iter() {
            let index = slot.index;
            self.by_flow.insert_unique(hash(&index), index, hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::id::{ClientId, Flow, Slot, SocketId, StreamId};
    use crate::txn::trial::Trial;

    fn flow(number: u32) -> Flow {
        match number % 3 {
            0 => Flow::Stream(StreamId(Slot {
                index: number,
                generation: 7,
            })),
            1 => Flow::Udp {
                socket: SocketId(1),
                peer: ([192, 0, 2, 1], u16::try_from(number).unwrap()).into(),
            },
            _ => Flow::Udp {
                socket: SocketId(0),
                peer: ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 5060).into(),
            },
        }
    }

    /// What waits on a flow, as a look at everybody would find it.
    fn naive(t: &Trial, flow: Flow, all: &[(ClientId, bool, bool)]) -> (Vec<ClientId>, usize) {
        let here = all
            .iter()
            .filter(|(id, ..)| t.txn.client_flow(*id) == Some(flow));
        let waiting = here.filter(|(_, waits, _)| *waits);
        let unheard = waiting.clone().filter(|(.., heard)| !heard).count();
        (waiting.map(|(id, ..)| *id).collect(), unheard)
    }

    #[test]
    fn who_waits_on_a_flow_is_known_whatever_happens() {
        let mut t = Trial::new();
        let mut all: Vec<(ClientId, bool, bool)> = Vec::new();
        let mut chance = 9_u64;
        for round in 0..6_000 {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let number = usize::try_from(chance >> 40).unwrap();
            let which = number / 8 % all.len().max(1);
            match number % 8 {
                0..=2 => {
                    let method = ["INVITE", "BYE"][number / 8 % 2];
                    let on = flow(u32::try_from(number / 16 % 7).unwrap());
                    all.push((t.client(method, on), true, false));
                }
                3 if !all.is_empty() => {
                    t.hear(all[which].0, 180);
                    all[which].2 = true;
                }
                4 if !all.is_empty() => {
                    t.hear(all[which].0, [200, 486][number % 16 / 8]);
                    all[which].1 = false;
                }
                5 if !all.is_empty() => t.txn.abandon(all.remove(which).0),
                6 if !all.is_empty() => {
                    let to = flow(u32::try_from(number / 64 % 7).unwrap());
                    // It is the youngest there from now on.
                    let moved = all.remove(which);
                    t.txn.set_client_flow(moved.0, to);
                    all.push(moved);
                }
                7 if !all.is_empty() => {
                    let (id, waits, _) = all[which];
                    t.txn.fail(id);
                    if waits {
                        all.remove(which);
                    }
                }
                _ => {}
            }
            let on = flow(round % 7);
            let mut found = Vec::new();
            t.txn.clients_on(on, &mut found);
            let mut found: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
            let (mut want, unheard) = naive(&t, on, &all);
            found.sort_unstable();
            want.sort_unstable();
            assert_eq!(found, want, "at {round}");
            assert_eq!(t.txn.unheard_on(on) as usize, unheard, "at {round}");
            // Silence is of those that hear nothing, and ends with them.
            if let Some((id, ..)) = all.iter().find(|_| number % 3 == 0) {
                t.txn.note_silence(*id);
                let is_unheard = t.txn.client_flow(*id).map(|on| t.txn.unheard_on(on) > 0);
                let is_silent = t.txn.client_flow(*id).map(|on| t.txn.is_silent(on));
                assert_eq!(is_silent, is_unheard, "at {round}");
            }
            assert!(unheard > 0 || !t.txn.is_silent(on), "at {round}");
        }
        for (id, ..) in all {
            t.txn.abandon(id);
        }
        assert_eq!((t.txn.clients(), t.txn.clients.waiters()), (0, 0));
    }

    #[test]
    fn a_lost_flow_costs_what_it_holds() {
        // Its queue is all that is walked: of one among a hundred thousand it has
        // one member.
        let mut t = Trial::new();
        for _ in 0..100_000 {
            t.client("INVITE", flow(1));
        }
        let mine = t.client("BYE", flow(3));
        let mut found = Vec::new();
        t.txn.clients_on(flow(3), &mut found);
        assert_eq!(found, [(mine, 0)]);
        t.txn.clients_on(flow(6), &mut found);
        assert_eq!((found.len(), t.txn.clients.waiters()), (1, 2));
        let steps = t.txn.clients.steps();
        t.txn.clients_on(flow(3), &mut found);
        assert_eq!(t.txn.clients.steps() - steps, 1);
    }
}
