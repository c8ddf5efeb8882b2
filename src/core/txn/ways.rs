//! The flows that requests have left by, and who waits on each: what the death
//! of a flow concerns is found without a look at anybody else.
//!
//! A client transaction names its way by number, which is shorter than a flow.
//! Those that wait for a final response stand in a ring, the oldest first,
//! whose links are in the transactions themselves; a way is forgotten with the
//! last transaction that names it. Of those in the ring it is also known how
//! many have heard nothing at all.

use hashbrown::HashTable;

use super::client::{Client, Standing};
use crate::id::{Flow, Slab, Slot};
use crate::limits;

/// No transaction, or no way.
pub(super) const NONE: u32 = u32::MAX;

/// One flow that transactions name.
#[derive(Debug)]
struct Way {
    flow: Flow,
    /// Transactions that name it.
    users: u32,
    /// The oldest of those that wait for a final response.
    first: u32,
    /// Those among them that have heard nothing.
    unheard: u32,
    /// One of these has waited for longer than a phone is given to show itself.
    is_silent: bool,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Ways {
    slab: Slab<Way>,
    by_flow: HashTable<u32>,
    hasher: ahash::RandomState,
    /// The one that was asked for last.
    last: u32,
}

/// A transaction's place among those that wait on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Its way; `NONE`: it has not left yet.
    pub(super) way: u32,
    /// Its neighbours in the ring; `NONE` while it is in none.
    before: u32,
    after: u32,
}

impl Place {
    pub(super) const NOWHERE: Self = Self {
        way: NONE,
        before: NONE,
        after: NONE,
    };
}

impl Ways {
    pub(super) const fn new(hasher: ahash::RandomState) -> Self {
        Self {
            slab: Slab::new(limits::TRANSACTIONS_MAX),
            by_flow: HashTable::new(),
            hasher,
            last: NONE,
        }
    }

    /// The flow of a way.
    pub(super) fn flow(&self, way: u32) -> Option<Flow> {
        self.slab.at(way).map(|(_, way)| way.flow)
    }

    /// Requests that wait on a flow and have heard nothing.
    pub(super) fn unheard(&mut self, flow: Flow) -> u32 {
        let way = self.find(flow);
        let way = way.and_then(|way| self.slab.at(way));
        way.map_or(0, |(_, way)| way.unheard)
    }

    /// Whether one of the requests that have heard nothing was said to have waited
    /// too long.
    pub(super) fn is_silent(&mut self, flow: Flow) -> bool {
        let way = self.find(flow).and_then(|way| self.slab.at(way));
        way.is_some_and(|(_, way)| way.is_silent)
    }

    /// A transaction of this way has waited too long for its first response.
    pub(super) fn note_silence(&mut self, way: u32) {
        if let Some(way) = self.slab.at_mut(way) {
            way.is_silent = way.unheard > 0;
        }
    }

    /// The first of those that wait on a flow.
    pub(super) fn first(&self, flow: Flow) -> u32 {
        let way = self.seek(flow).and_then(|way| self.slab.at(way));
        way.map_or(NONE, |(_, way)| way.first)
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
        let is_it = |&way: &u32| self.flow(way) == Some(flow);
        self.by_flow
            .find(self.hasher.hash_one(flow), is_it)
            .copied()
    }

    /// Names the way of a flow once more; `NONE` at the bound, which is that of
    /// the transactions.
    fn hold(&mut self, flow: Flow) -> u32 {
        let way = self.find(flow).unwrap_or_else(|| self.begin(flow));
        if let Some(way) = self.slab.at_mut(way) {
            way.users += 1;
        }
        way
    }

    fn begin(&mut self, flow: Flow) -> u32 {
        let way = Way {
            flow,
            users: 0,
            first: NONE,
            unheard: 0,
            is_silent: false,
        };
        let Ok(Slot { index, .. }) = self.slab.insert(way) else {
            return NONE;
        };
        let (slab, hasher) = (&self.slab, &self.hasher);
        let rehash = |&way: &u32| slab.at(way).map_or(0, |(_, way)| hasher.hash_one(way.flow));
        self.by_flow
            .insert_unique(hasher.hash_one(flow), index, rehash);
        self.last = index;
        index
    }

    /// One transaction less names the way.
    fn let_go(&mut self, index: u32) {
        let Some(way) = self.slab.at_mut(index) else {
            return;
        };
        way.users -= 1;
        if way.users > 0 {
            return;
        }
        let hash = self.hasher.hash_one(way.flow);
        if let Ok(found) = self.by_flow.find_entry(hash, |&way| way == index) {
            found.remove();
        }
        if let Some((slot, _)) = self.slab.at(index) {
            self.slab.remove(slot);
        }
    }

    /// Gives a transaction a way, or another one than it has; it takes its
    /// place there as the youngest.
    pub(super) fn lead<O: Copy>(&mut self, clients: &mut Slab<Client<O>>, index: u32, flow: Flow) {
        let Some(client) = clients.at_mut(index) else {
            return;
        };
        let (old, standing) = (client.place.way, client.standing());
        let way = self.hold(flow);
        self.stand(clients, index, standing, Standing::Settled);
        if let Some(client) = clients.at_mut(index) {
            client.place.way = way;
        }
        self.stand(clients, index, Standing::Settled, standing);
        self.let_go(old);
    }

    /// Takes a transaction out that is about to go.
    pub(super) fn leave<O: Copy>(&mut self, clients: &mut Slab<Client<O>>, index: u32) {
        let Some(client) = clients.at_mut(index) else {
            return;
        };
        let (way, standing) = (client.place.way, client.standing());
        if way != NONE {
            self.stand(clients, index, standing, Standing::Settled);
            self.let_go(way);
        }
    }

    /// What a transaction waits for has changed.
    pub(super) fn stand<O: Copy>(
        &mut self,
        clients: &mut Slab<Client<O>>,
        index: u32,
        was: Standing,
        is: Standing,
    ) {
        if was == is {
            return;
        }
        let Some(place) = clients.at_mut(index).map(|client| client.place) else {
            return;
        };
        let Some(way) = self.slab.at_mut(place.way) else {
            return;
        };
        way.unheard += u32::from(is == Standing::Unheard);
        way.unheard -= u32::from(was == Standing::Unheard);
        way.is_silent &= way.unheard > 0;
        match (was, is) {
            (Standing::Settled, _) => way.enter(clients, index),
            (_, Standing::Settled) => way.exit(clients, index, place),
            _ => {}
        }
    }
}

impl Way {
    /// Puts a transaction at the end of the ring.
    fn enter<O: Copy>(&mut self, clients: &mut Slab<Client<O>>, index: u32) {
        if self.first == NONE {
            self.first = index;
        }
        let first = self.first;
        let oldest = clients.at(first).filter(|_| first != index);
        let last = oldest.map_or(index, |(_, client)| client.place.before);
        if let Some(client) = clients.at_mut(index) {
            (client.place.before, client.place.after) = (last, first);
        }
        if let Some(client) = clients.at_mut(last) {
            client.place.after = index;
        }
        if let Some(client) = clients.at_mut(first) {
            client.place.before = index;
        }
    }

    /// Takes a transaction out of the ring.
    fn exit<O: Copy>(&mut self, clients: &mut Slab<Client<O>>, index: u32, place: Place) {
        let Place { before, after, .. } = place;
        if let Some(client) = clients.at_mut(index) {
            (client.place.before, client.place.after) = (NONE, NONE);
        }
        if after == index {
            self.first = NONE;
            return;
        }
        if let Some(client) = clients.at_mut(before) {
            client.place.after = after;
        }
        if let Some(client) = clients.at_mut(after) {
            client.place.before = before;
        }
        if self.first == index {
            self.first = after;
        }
    }
}

/// Everyone in the ring that begins with `first`; `step` is told of each.
pub(super) fn ring<O: Copy>(
    clients: &Slab<Client<O>>,
    first: u32,
    step: impl Fn(),
) -> impl Iterator<Item = (Slot, &Client<O>)> {
    let mut next = first;
    std::iter::from_fn(move || {
        let (slot, client) = clients.at(next)?;
        step();
        next = client.place.after;
        if next == first {
            next = NONE;
        }
        Some((slot, client))
    })
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
        assert_eq!((t.txn.clients(), t.txn.clients.ways()), (0, 0));
    }

    #[test]
    fn a_lost_flow_costs_what_it_holds() {
        // Its ring is all that is walked: of one among a hundred thousand it has
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
        assert_eq!((found.len(), t.txn.clients.ways()), (1, 2));
        let steps = t.txn.clients.steps();
        t.txn.clients_on(flow(3), &mut found);
        assert_eq!(t.txn.clients.steps() - steps, 1);
    }
}
