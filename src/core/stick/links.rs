//! Links: which flow stands for which domain (the first level of the trie).
//!
//! A link joins one flow to one domain and owns the rows of that flow in that
//! domain. A link with a source is proven: it lets URIs of the domain be bound
//! and makes the flow a candidate for the domain. A link without a source only
//! carries rows scoped to a dialog. Domain names are compared in full (RFC
//! 5922 §7.2), in the canonical form that `uri::Key` makes.

use std::cell::Cell;

use ahash::RandomState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::arena::{Arena, NONE};
use super::rows::Recency;
use super::{Reopen, Source};
use crate::carry::carried;
use crate::id::Flow;
use crate::limits;
use crate::time::Instant;

/// Flows, domains and what joins them.
#[derive(Debug)]
pub(super) struct Links {
    hash: RandomState,
    flows: Arena<Holder>,
    by_flow: HashTable<u32>,
    domains: Arena<Domain>,
    by_name: HashTable<u32>,
    /// The domain found last: a node asks for the same few all day.
    recent: Cell<u32>,
    links: Arena<Link>,
    by_both: HashTable<u32>,
    name_bytes: usize,
}

/// A flow that has links, or had.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) flow: Flow,
    pub(super) state: FlowState,
    /// First of its links, or `NONE`.
    pub(super) first: u32,
    pub(super) rows: usize,
    links: usize,
}

/// What became of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FlowState {
    /// It can be used.
    Live,
    /// Its connection broke; the rows wait for it to be opened again.
    Lost {
        /// When the rows are dropped.
        until: Instant,
        /// Where to open it.
        reopen: Reopen,
    },
    /// Forgotten; the rows are being dropped.
    Gone,
}

#[derive(Debug, Serialize, Deserialize)]
struct Domain {
    name: Box<[u8]>,
    first: u32,
}

/// One flow in one domain.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Link {
    pub(super) holder: u32,
    pub(super) domain: u32,
    /// Next link of the same flow.
    pub(super) next_of_flow: u32,
    next_of_domain: u32,
    previous_of_domain: u32,
    pub(super) rows: Recency,
    /// What proves the domain; empty when nothing does.
    pub(super) proof: Proof,
}

/// The sources that prove a domain for a flow, in a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof(u8);

impl Proof {
    pub(super) fn add(&mut self, source: Source) {
        self.0 |= 1 << source as u8;
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The first source that proves it, for a human reader.
    pub(super) fn source(self) -> Option<Source> {
        [Source::Certificate, Source::Link, Source::Opened]
            .into_iter()
            .find(|&s| self.0 & 1 << s as u8 != 0)
    }
}

impl Links {
    pub(super) fn new(hash: RandomState) -> Self {
        let (flows, domains, links) = (Arena::new(), Arena::new(), Arena::new());
        let (by_flow, by_name, by_both) = (HashTable::new(), HashTable::new(), HashTable::new());
        Self {
            hash,
            flows,
            by_flow,
            domains,
            by_name,
            recent: Cell::new(NONE),
            links,
            by_both,
            name_bytes: 0,
        }
    }

    /// Number of flows that are live or lost.
    pub(super) fn flows(&self) -> usize {
        self.by_flow.len()
    }

    pub(super) fn all_flows(&self) -> impl Iterator<Item = Flow> {
        self.by_flow.iter().map(|&at| self.flows[at].flow)
    }

    pub(super) fn holder(&self, flow: Flow) -> Option<u32> {
        self.by_flow
            .find(self.hash.hash_one(flow), |&at| self.flows[at].flow == flow)
            .copied()
    }

    /// The flow's entry, made if need be; `None` at the bound on flows.
    pub(super) fn get_or_insert_flow(&mut self, flow: Flow) -> Option<u32> {
        if let Some(at) = self.holder(flow) {
            return Some(at);
        }
        if self.flows.len() >= limits::STREAMS_MAX {
            return None;
        }
        let at = self.flows.insert(Holder {
            flow,
            state: FlowState::Live,
            first: NONE,
            rows: 0,
            links: 0,
        });
        let (hash, flows) = (&self.hash, &self.flows);
        self.by_flow
            .insert_unique(hash.hash_one(flow), at, |&at| hash.hash_one(flows[at].flow));
        Some(at)
    }

    #[inline]
    pub(super) fn entry(&self, holder: u32) -> &Holder {
        &self.flows[holder]
    }

    pub(super) fn entry_mut(&mut self, holder: u32) -> &mut Holder {
        &mut self.flows[holder]
    }

    #[inline]
    pub(super) fn link(&self, link: u32) -> &Link {
        &self.links[link]
    }

    pub(super) fn link_mut(&mut self, link: u32) -> &mut Link {
        &mut self.links[link]
    }

    /// The flow's entry a link belongs to.
    #[inline]
    pub(super) fn owner(&self, link: u32) -> &Holder {
        &self.flows[self.links[link].holder]
    }

    #[inline]
    pub(super) fn domain(&self, name: &[u8]) -> Option<u32> {
        let is_it = |at: u32| *self.domains[at].name == *name;
        let recent = self.recent.get();
        // A dropped domain has no name, and no host is empty.
        if recent != NONE && is_it(recent) {
            return Some(recent);
        }
        let found = self
            .by_name
            .find(self.hash.hash_one(name), |&at| is_it(at))
            .copied();
        self.recent.set(found.unwrap_or(recent));
        found
    }

    /// The domain's name.
    pub(super) fn name(&self, domain: u32) -> &[u8] {
        &self.domains[domain].name
    }

    /// The link between a flow and a domain.
    pub(super) fn between(&self, holder: u32, domain: u32) -> Option<u32> {
        let is_it = |&at: &u32| self.links[at].holder == holder && self.links[at].domain == domain;
        self.by_both
            .find(self.hash.hash_one((holder, domain)), is_it)
            .copied()
    }

    /// The links of a flow.
    pub(super) fn of_flow(&self, holder: u32) -> impl Iterator<Item = u32> {
        walk(self.flows[holder].first, |link| {
            self.links[link].next_of_flow
        })
    }

    /// The links of a domain, newest first.
    pub(super) fn of_domain(&self, domain: u32) -> impl Iterator<Item = u32> {
        walk(self.domains[domain].first, |link| {
            self.links[link].next_of_domain
        })
    }

    /// The link between the flow and the named domain, made if need be; `None`
    /// at the bound on a flow's domains.
    pub(super) fn join(&mut self, holder: u32, name: &[u8]) -> Option<u32> {
        let known = self.domain(name);
        if let Some(link) = known.and_then(|domain| self.between(holder, domain)) {
            return Some(link);
        }
        if self.flows[holder].links >= limits::STICK_DOMAINS_PER_FLOW_MAX {
            return None;
        }
        let domain = known.unwrap_or_else(|| self.add_domain(name));
        let next_of_domain = self.domains[domain].first;
        let link = self.links.insert(Link {
            holder,
            domain,
            next_of_flow: NONE,
            next_of_domain,
            previous_of_domain: NONE,
            rows: Recency::EMPTY,
            proof: Proof::default(),
        });
        if next_of_domain != NONE {
            self.links[next_of_domain].previous_of_domain = link;
        }
        self.domains[domain].first = link;
        self.enter(link);
        Some(link)
    }

    fn add_domain(&mut self, name: &[u8]) -> u32 {
        let domain = self.domains.insert(Domain {
            name: name.into(),
            first: NONE,
        });
        self.name_bytes += name.len();
        let (hash, domains) = (&self.hash, &self.domains);
        self.by_name
            .insert_unique(hash.hash_one(name), domain, |&at| {
                hash.hash_one(&*domains[at].name)
            });
        domain
    }

    /// Gives a link, with all its rows, to another flow that has none to the
    /// same domain.
    pub(super) fn move_to(&mut self, link: u32, holder: u32) {
        self.leave(link);
        self.links[link].holder = holder;
        self.enter(link);
    }

    /// Drops a link without rows, and its domain if it was the last.
    pub(super) fn drop_link(&mut self, link: u32) {
        self.leave(link);
        let Link {
            domain,
            next_of_domain: next,
            previous_of_domain: previous,
            ..
        } = self.links[link];
        if next != NONE {
            self.links[next].previous_of_domain = previous;
        }
        match previous {
            NONE => self.domains[domain].first = next,
            previous => self.links[previous].next_of_domain = next,
        }
        self.links.remove(link);
        if self.domains[domain].first == NONE {
            self.drop_domain(domain);
        }
    }

    fn drop_domain(&mut self, domain: u32) {
        let name = std::mem::take(&mut self.domains[domain].name);
        self.name_bytes -= name.len();
        if let Ok(entry) = self
            .by_name
            .find_entry(self.hash.hash_one(&*name), |&at| at == domain)
        {
            entry.remove();
        }
        self.domains.remove(domain);
    }

    fn enter(&mut self, link: u32) {
        let Link {
            holder,
            domain,
            rows,
            ..
        } = self.links[link];
        let owner = &mut self.flows[holder];
        self.links[link].next_of_flow = owner.first;
        owner.first = link;
        owner.links += 1;
        owner.rows += rows.len as usize;
        let (hash, links) = (&self.hash, &self.links);
        let both = |at: &u32| hash.hash_one((links[*at].holder, links[*at].domain));
        self.by_both
            .insert_unique(hash.hash_one((holder, domain)), link, both);
    }

    fn leave(&mut self, link: u32) {
        let Link {
            holder,
            domain,
            next_of_flow,
            rows,
            ..
        } = self.links[link];
        if let Ok(entry) = self
            .by_both
            .find_entry(self.hash.hash_one((holder, domain)), |&at| at == link)
        {
            entry.remove();
        }
        let owner = &mut self.flows[holder];
        owner.links -= 1;
        owner.rows -= rows.len as usize;
        if owner.first == link {
            owner.first = next_of_flow;
            return;
        }
        let mut before = owner.first;
        while self.links[before].next_of_flow != link {
            before = self.links[before].next_of_flow;
        }
        self.links[before].next_of_flow = next_of_flow;
    }

    /// Takes the flow out of sight, so that its name may be used again.
    pub(super) fn mark_gone(&mut self, holder: u32) {
        let flow = self.flows[holder].flow;
        if let Ok(entry) = self
            .by_flow
            .find_entry(self.hash.hash_one(flow), |&at| at == holder)
        {
            entry.remove();
        }
        self.flows[holder].state = FlowState::Gone;
    }

    /// Drops a buried flow without links.
    pub(super) fn remove_flow(&mut self, holder: u32) {
        self.flows.remove(holder);
    }

    /// Bytes of heap held.
    pub(super) fn memory(&self) -> usize {
        let tables = [&self.by_flow, &self.by_name, &self.by_both].map(HashTable::allocation_size);
        let arenas = [
            self.flows.memory(),
            self.domains.memory(),
            self.links.memory(),
        ];
        tables.into_iter().chain(arenas).sum::<usize>() + self.name_bytes
    }
}

fn walk(first: u32, next: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    std::iter::successors(some(first), move |&at| some(next(at)))
}

fn some(index: u32) -> Option<u32> {
    (index != NONE).then_some(index)
}

carried!(Links {
    values: flows, domains, links, name_bytes;
    made: hash, by_flow, by_name, recent, by_both;
    then: index;
});

impl Links {
    fn index(&mut self) {
        let hash = &self.hash;
        let by_flow = |&at: &u32| hash.hash_one(self.flows[at].flow);
        let by_name = |&at: &u32| hash.hash_one(&*self.domains[at].name);
        let by_both = |&at: &u32| hash.hash_one((self.links[at].holder, self.links[at].domain));
        for at in self.flows.used() {
            // A flow that was forgotten is found no more, whatever rows it still has.
            if self.flows[at].state != FlowState::Gone {
                self.by_flow.insert_unique(by_flow(&at), at, by_flow);
            }
        }
        for at in self.domains.used() {
            self.by_name.insert_unique(by_name(&at), at, by_name);
        }
        for at in self.links.used() {
            self.by_both.insert_unique(by_both(&at), at, by_both);
        }
    }
}
