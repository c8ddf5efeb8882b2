//! Stickiness: which flow is this URI's (S-1 to S-35).
//!
//! A [`Table`] maps URIs to the flows that proved them. It is a trie of domain,
//! user and parameter set, and its three depths are the three match levels ([`Level`]):
//! strongly equivalent, equal under RFC 3261 §19.1.4, same domain.
//!
//! What it is *not*: it opens nothing, resolves nothing and knows no dialogs or
//! registrations. Its caller says which URI of which message to bind (S-3 to
//! S-8), links nothing to a flow for a password in its request (S-6), and keeps
//! CANCEL, ACK and responses away from it (S-20).
//!
//! Invariants:
//! - No URI is bound to a flow without proof of its whole domain name (S-9 to
//!   S-11), dialog-scoped addresses excepted, which only their dialog finds.
//! - A row expires on its own; no row prolongs another flow's.
//! - Everything is bounded by `limits::STICK_*`, and what eviction loses costs a
//!   redirect or a relay, never a request (S-31, S-34).
//! - Memory is reused, not returned: rows and links by free index, the bytes of
//!   domains and parameter sets by the allocator when their last row goes.

mod arena;
mod bind;
mod evict;
mod explain;
mod find;
mod life;
mod links;
#[cfg(test)]
mod naive;
mod rows;
mod sets;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU64;

use ahash::RandomState;
use serde::{Deserialize, Serialize};

pub use self::explain::ExplainLine;
use self::links::Links;
use self::rows::{Print, Rows};
use self::sets::Sets;
use crate::carry::carried;
use crate::id::{Flow, Transport};
use crate::limits;
use crate::time::Instant;
use crate::uri::UriKey;

/// URIs and the flows they stick to.
#[derive(Debug)]
pub struct Table {
    /// Buffers lent to each look-up; boxed so that lending moves a pointer.
    key: Option<Box<UriKey>>,
    prints: [RandomState; 2],
    links: Links,
    rows: Rows,
    sets: Sets,
    /// Rows of flows that are not forgotten.
    len: usize,
    /// Counts binds; the age of a row is its distance from here.
    stamp: u32,
    /// Buffer of a look-up for the rows that match equally well.
    ties: Vec<u32>,
    /// The slot at which the sweep for expired rows goes on.
    sweep_at: u32,
    /// Lost flows with the end of their waiting, soonest first.
    lost: VecDeque<(Instant, u32)>,
    /// Forgotten flows whose rows are being dropped.
    gone: Vec<u32>,
    bounds: Bounds,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    rows: usize,
    flow: usize,
    chain: usize,
}

/// How well a URI matches a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Strongly equivalent: the same set of parameters too (S-14).
    Exact,
    /// Equal under RFC 3261 §19.1.4 (S-15).
    Equal,
    /// Only the domain is the same (S-16).
    Domain,
}

/// Why a URI or a domain belongs to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The peer's certificate names the domain (S-2).
    Certificate,
    /// The operator linked the domain to the peer's address (S-12).
    Link,
    /// The flow was opened to reach it (S-3).
    Opened,
    /// Topmost Path of a REGISTER answered 2xx (S-4).
    Path,
    /// Service-Route of such an answer (S-7).
    ServiceRoute,
    /// The neighbour's Record-Route (S-5, S-8).
    RecordRoute,
    /// A redirect led here (S-24).
    Redirect,
}

/// What came of an attempt to bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A new binding.
    New,
    /// The binding was there; its end moved.
    Refreshed,
    /// The flow has no proof of the URI's domain, or the URI has no key.
    Refused,
    /// At a bound, and the flow has nothing of its own to give up for it.
    Full,
}

/// A flow for a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Where the request goes.
    pub flow: Flow,
    /// How well it matches; never `Domain`.
    pub level: Level,
}

/// Where a lost connection is opened again (S-28).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopen {
    /// The protocol it had.
    pub transport: Transport,
    /// The address it had.
    pub addr: SocketAddr,
}

/// A dialog, by a keyed hash of its Call-ID and tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialogHash(pub NonZeroU64);

impl Table {
    /// An empty table that holds no heap. The seed keeps peers from aiming
    /// collisions; it is secret and chosen once per process.
    #[must_use]
    pub fn new(seed: [u64; 4]) -> Self {
        let [a, b, c, d] = seed;
        let state = |salt: u64| RandomState::with_seeds(a ^ salt, b, c.wrapping_add(salt), d);
        let bounds = Bounds {
            rows: limits::STICK_BINDINGS_MAX,
            flow: limits::STICK_URIS_PER_FLOW_MAX,
            chain: limits::STICK_CHAIN_MAX,
        };
        Self {
            key: None,
            prints: [state(0), state(0x9E37_79B9_7F4A_7C15)],
            links: Links::new(state(0xC2B2_AE3D_27D4_EB4F)),
            rows: Rows::new(),
            sets: Sets::new(state(0x1656_67B1_9E37_79F9)),
            len: 0,
            stamp: 0,
            ties: Vec::new(),
            sweep_at: 0,
            lost: VecDeque::new(),
            gone: Vec::new(),
            bounds,
        }
    }

    /// Number of bindings, of live and of lost flows, the expired included
    /// until the sweep meets them.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when nothing is bound.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of flows, live and lost.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.links.flows()
    }

    /// Bytes of heap the table holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.rows.memory()
            + self.links.memory()
            + self.sets.memory()
            + self.ties.capacity() * size_of::<u32>()
            + self.gone.capacity() * size_of::<u32>()
            + self.lost.capacity() * size_of::<(Instant, u32)>()
    }

    /// Lends the key's buffers to `work` together with the rest of the table.
    #[inline]
    fn with_key<T>(&mut self, work: impl FnOnce(&mut Self, &mut UriKey) -> T) -> T {
        let mut key = self.key.take().unwrap_or_default();
        let done = work(self, &mut key);
        self.key = Some(key);
        done
    }

    fn print(&self, domain: u32, key: &UriKey) -> Print {
        let domain_port = u64::from(domain) << 32 | u64::from(key.scheme_port());
        let [a, b] = &self.prints;
        let user = (domain_port, key.user());
        [a.hash_one(user), b.hash_one(user) | 1 << 63]
    }

    fn row_of(&self, print: Print, is_it: impl Fn(&rows::Row) -> bool) -> Option<u32> {
        self.rows
            .chain(print)
            .find(|(_, row)| is_it(row))
            .map(|(index, _)| index)
    }
}

/// The end of what lasts as long as its flow.
const FOREVER: Instant = Instant::from_micros(u64::MAX);

carried!(Table {
    parts: links, rows, sets;
    values: len, stamp, sweep_at, lost, gone;
    made: key, prints, ties, bounds;
});
