//! The memory behind `FlowBindings`: records in reused slots, each on two
//! chains, that of its user and that of its flow, the newest record first.
//!
//! The hash tables hold the heads of the chains as 32-bit indices; keys are
//! read from the records themselves. Chains of users are kept short by
//! `limits::USER_REGISTRATIONS_MAX`; those of flows are as long as a flow has
//! subscribers and are linked both ways, so that leaving one is one step.

use ahash::RandomState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::binding::{FlowBinding, Follows, User};
use crate::carry::carried;
use crate::edge::{EdgeSet, Subscriber};
use crate::id::{Flow, Transport};
use crate::limits::TOKEN_FIELD_MAX;
use crate::time::Instant;

/// Records by index, by user and by flow.
#[derive(Debug)]
pub(super) struct KeptBindings {
    records: Vec<Option<KeptBinding>>,
    free: Vec<u32>,
    users: HashTable<u32>,
    flows: HashTable<u32>,
    hasher: RandomState,
    /// Records whose flows the edge keeps open.
    kept_open: u32,
    /// Records by the transport of their flow.
    over: [u32; Transport::ALL.len()],
}

/// A flow binding as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptBinding {
    /// The address of record, `user@realm`, and the instance behind it.
    text: Box<[u8]>,
    pub(super) flow: Flow,
    pub(super) expires: Instant,
    pub(super) reg_id: u32,
    user_links: Links,
    flow_links: Links,
    edges: EdgeSet,
    user_len: u8,
    realm_len: u8,
    flags: u8,
    bits: u8,
}

/// Bits of `KeptBinding::bits` beside those of `Follows`: the edge keeps the flow open; the
/// binding is of an earlier run.
const KEPT_OPEN: u8 = 2;
const RESTORED: u8 = 8;
/// The flow is a connection of TLS; other connections are of TCP.
const TLS: u8 = 16;

/// Neighbours on a chain.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Links {
    newer: u32,
    older: u32,
}

#[derive(Clone, Copy)]
enum Axis {
    User,
    Flow,
}

/// No index.
const NONE: u32 = u32::MAX;
const UNLINKED: Links = Links {
    newer: NONE,
    older: NONE,
};

impl KeptBindings {
    pub(super) const fn new(seeds: [u64; 4]) -> Self {
        let [a, b, c, d] = seeds;
        Self {
            records: Vec::new(),
            free: Vec::new(),
            users: HashTable::new(),
            flows: HashTable::new(),
            hasher: RandomState::with_seeds(a, b, c, d),
            kept_open: 0,
            over: [0; Transport::ALL.len()],
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.records.len() - self.free.len()
    }

    pub(super) const fn kept_open(&self) -> u32 {
        self.kept_open
    }

    pub(super) const fn over(&self, transport: Transport) -> u32 {
        self.over[transport as usize]
    }

    /// Number of slots, free ones included.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.records.len()).unwrap_or(NONE)
    }

    pub(super) fn get(&self, index: u32) -> Option<&KeptBinding> {
        self.records.get(index as usize)?.as_ref()
    }

    /// The records of a user of a realm, the newest first.
    pub(super) fn of_user(
        &self,
        user: User<'_>,
    ) -> impl Iterator<Item = (u32, &KeptBinding)> + use<'_> {
        let hash = self.hasher.hash_one(user);
        let head = self.users.find(hash, |&head| {
            self.get(head).is_some_and(|record| record.user() == user)
        });
        self.chain(Axis::User, head.copied())
    }

    /// The records on a flow, the newest first.
    pub(super) fn on_flow(
        &self,
        flow: Flow,
    ) -> impl Iterator<Item = (u32, &KeptBinding)> + use<'_> {
        self.chain(Axis::Flow, self.newest_on_flow(flow))
    }

    pub(super) fn newest_on_flow(&self, flow: Flow) -> Option<u32> {
        let hash = self.hasher.hash_one(flow);
        self.flows
            .find(hash, |&head| {
                self.get(head).is_some_and(|record| record.flow == flow)
            })
            .copied()
    }

    /// Puts the record at the head of its chains and returns its index.
    pub(super) fn insert(&mut self, record: KeptBinding) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| self.slots());
        if index as usize == self.records.len() {
            self.records.push(None);
        }
        self.kept_open += u32::from(record.is_kept_open());
        self.over[record.transport() as usize] += 1;
        self.records[index as usize] = Some(record);
        self.link(Axis::User, index);
        self.link(Axis::Flow, index);
        index
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<KeptBinding> {
        self.get(index)?;
        self.unlink(Axis::User, index);
        self.unlink(Axis::Flow, index);
        self.free.push(index);
        let record = self.records[index as usize].take()?;
        self.kept_open -= u32::from(record.is_kept_open());
        self.over[record.transport() as usize] -= 1;
        Some(record)
    }

    fn chain(
        &self,
        axis: Axis,
        head: Option<u32>,
    ) -> impl Iterator<Item = (u32, &KeptBinding)> + use<'_> {
        let entry = |index: u32| self.get(index).map(|record| (index, record));
        std::iter::successors(head.and_then(entry), move |(_, record)| {
            entry(record.links(axis).older)
        })
    }

    fn link(&mut self, axis: Axis, index: u32) {
        let Self {
            records,
            users,
            flows,
            hasher,
            ..
        } = self;
        let record_at = |index: u32| records.get(index as usize).and_then(Option::as_ref);
        let Some(new) = record_at(index) else { return };
        let heads = match axis {
            Axis::User => users,
            Axis::Flow => flows,
        };
        let hash = new.hash(axis, hasher);
        let rehash = |&head: &u32| record_at(head).map_or(0, |record| record.hash(axis, hasher));
        let older = match heads.find_mut(hash, |&head| {
            record_at(head).is_some_and(|it| it.shares(axis, new))
        }) {
            Some(head) => std::mem::replace(head, index),
            None => {
                heads.insert_unique(hash, index, rehash);
                NONE
            }
        };
        self.set_links(axis, index, |links| *links = Links { newer: NONE, older });
        self.set_links(axis, older, |links| links.newer = index);
    }

    /// Replaces the places of members in all records.
    pub(super) fn renumber(&mut self, places: &[Option<usize>]) {
        for record in self.records.iter_mut().flatten() {
            record.edges = record.edges.renumbered(places);
        }
    }

    fn unlink(&mut self, axis: Axis, index: u32) {
        let Some(record) = self.get(index) else {
            return;
        };
        let Links { newer, older } = record.links(axis);
        // The hash table has the newest of a chain: the next older one takes its entry.
        if newer == NONE {
            let hash = record.hash(axis, &self.hasher);
            let heads = match axis {
                Axis::User => &mut self.users,
                Axis::Flow => &mut self.flows,
            };
            if let Ok(mut head) = heads.find_entry(hash, |&head| head == index) {
                if older == NONE {
                    head.remove();
                } else {
                    *head.get_mut() = older;
                }
            }
        }
        self.set_links(axis, newer, |links| links.older = older);
        self.set_links(axis, older, |links| links.newer = newer);
    }

    /// Changes the links of the record at an index, if there is one.
    fn set_links(&mut self, axis: Axis, index: u32, change: impl FnOnce(&mut Links)) {
        if let Some(Some(record)) = self.records.get_mut(index as usize) {
            change(match axis {
                Axis::User => &mut record.user_links,
                Axis::Flow => &mut record.flow_links,
            });
        }
    }
}

impl KeptBinding {
    /// `None` when a field is longer than a token can name.
    pub(super) fn new(binding: &FlowBinding<'_>) -> Option<Self> {
        let Subscriber {
            user,
            realm,
            instance,
        } = binding.subscriber;
        let aor = binding.aor;
        let is_whole = aor.len() == user.len() + 1 + realm.len();
        if !is_whole
            || [user, realm, instance]
                .iter()
                .any(|field| field.len() > TOKEN_FIELD_MAX)
        {
            return None;
        }
        Some(Self {
            text: [aor, instance].concat().into_boxed_slice(),
            flow: binding.flow,
            expires: binding.expires,
            reg_id: binding.reg_id,
            user_links: UNLINKED,
            flow_links: UNLINKED,
            edges: binding.edges,
            user_len: u8::try_from(user.len()).ok()?,
            realm_len: u8::try_from(realm.len()).ok()?,
            flags: binding.flags,
            bits: bits_of(binding),
        })
    }

    /// Takes over everything of a binding but subscriber and reg-id, in which the two agree.
    pub(super) fn renew(&mut self, binding: &FlowBinding<'_>) {
        self.flow = binding.flow;
        self.expires = binding.expires;
        self.edges = binding.edges;
        self.flags = binding.flags;
        self.bits = bits_of(binding);
    }

    pub(super) const fn is_kept_open(&self) -> bool {
        self.bits & KEPT_OPEN != 0
    }

    pub(super) const fn transport(&self) -> Transport {
        match self.flow {
            Flow::Udp { .. } => Transport::Udp,
            Flow::Stream(_) if self.bits & TLS != 0 => Transport::Tls,
            Flow::Stream(_) => Transport::Tcp,
        }
    }

    pub(super) fn view(&self) -> FlowBinding<'_> {
        FlowBinding {
            subscriber: self.subscriber(),
            aor: self.aor(),
            reg_id: self.reg_id,
            flow: self.flow,
            edges: self.edges,
            flags: self.flags,
            follows: Follows::of_bits(self.bits),
            is_tls: self.bits & TLS != 0,
            is_kept_open: self.is_kept_open(),
            is_restored: self.bits & RESTORED != 0,
            expires: self.expires,
        }
    }

    pub(super) fn subscriber(&self) -> Subscriber<'_> {
        let (aor, instance) = self.text.split_at(self.aor_len());
        let (user, realm) = aor.split_at(usize::from(self.user_len));
        Subscriber {
            user,
            realm: realm.get(1..).unwrap_or_default(),
            instance,
        }
    }

    fn aor(&self) -> &[u8] {
        self.text.get(..self.aor_len()).unwrap_or_default()
    }

    fn aor_len(&self) -> usize {
        usize::from(self.user_len) + 1 + usize::from(self.realm_len)
    }

    fn user(&self) -> User<'_> {
        User::of(&self.subscriber())
    }

    const fn links(&self, axis: Axis) -> Links {
        match axis {
            Axis::User => self.user_links,
            Axis::Flow => self.flow_links,
        }
    }

    fn hash(&self, axis: Axis, hasher: &RandomState) -> u64 {
        match axis {
            Axis::User => hasher.hash_one(self.user()),
            Axis::Flow => hasher.hash_one(self.flow),
        }
    }

    fn shares(&self, axis: Axis, other: &Self) -> bool {
        match axis {
            Axis::User => self.user() == other.user(),
            Axis::Flow => self.flow == other.flow,
        }
    }
}

fn bits_of(binding: &FlowBinding<'_>) -> u8 {
    let restored = u8::from(binding.is_restored) * RESTORED;
    let kept_open = u8::from(binding.is_kept_open) * KEPT_OPEN;
    let tls = u8::from(binding.is_tls) * TLS;
    binding.follows.bits() | restored | kept_open | tls
}

const _: () = assert!(
    (KEPT_OPEN | RESTORED | TLS) & Follows::BITS == 0,
    "the flags are apart"
);
const _: () = assert!(
    size_of::<Option<KeptBinding>>() <= 88,
    "a record grew: mind the memory of a million phones"
);

carried!(KeptBindings {
    values: records, free, kept_open, over;
    made: users, flows, hasher;
    then: index;
});

impl KeptBindings {
    fn index(&mut self) {
        let Self {
            records,
            users,
            flows,
            hasher,
            ..
        } = self;
        let hash = |axis: Axis, at: u32| {
            let record = records.get(at as usize).and_then(Option::as_ref);
            record.map_or(0, |record| record.hash(axis, hasher))
        };
        for (axis, heads) in [(Axis::User, users), (Axis::Flow, flows)] {
            let hash = |&at: &u32| hash(axis, at);
            for (at, record) in (0..).zip(records.iter()) {
                let record = record.as_ref();
                if record.is_some_and(|record| record.links(axis).newer == NONE) {
                    heads.insert_unique(hash(&at), at, hash);
                }
            }
        }
    }
}
