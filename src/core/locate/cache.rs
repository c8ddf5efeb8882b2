//! The cache of look-ups: the servers of each name for the TTL of its records, and the branches
//! that wait for look-ups under way.
//!
//! - Requests that need the same look-up share it.
//! - A name in use is looked up again a little before its records expire, so that
//!   a request never waits for a busy name.
//! - When the DNS fails, the last records serve for another
//!   `limits::DNS_STALE_MAX` (RFC 8767); when it answers that the name does not exist, they
//!   do not.
//! - At `limits::DNS_NAMES_MAX` an old name makes room for a new one.

use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::question::PackedQuestion;
use super::{Found, Question, Records, Server, Transports, WalkStep, walk};
use crate::carry::carried;
use crate::id::{Slab, Slot, Transport};
use crate::limits;
use crate::time::{Duration, Instant};
use crate::uri::Uri;

/// A name in the cache; it finds nothing once the name was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LookupId(pub Slot);

/// A branch of a request that waits for a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// The response context.
    pub context: Slot,
    /// The index of the branch in it.
    pub branch: u8,
}

/// What the cache has of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find<'a> {
    /// Its servers by rank, for `order`.
    Servers(&'a [Server]),
    /// No servers: the DNS answered that there are none.
    Nothing,
    /// No servers: the DNS failed a moment ago, or the name was evicted.
    Failed,
    /// A look-up is under way, which a branch may wait for.
    Asked,
}

/// What `Locator::answer` has made of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupOutcome {
    /// The name has servers, or has decidedly none.
    Known,
    /// The DNS failed; a waiter gets the last servers, if there are any.
    Failed,
    /// The name was evicted meanwhile.
    Unwanted,
}

/// The names of a shard.
#[derive(Debug)]
pub struct Locator {
    names: Slab<Entry>,
    by_key: HashMap<Box<[u8]>, Slot, ahash::RandomState>,
    spoken: Transports,
    /// Number of look-ups under way.
    questions_out: usize,
    key: Vec<u8>,
    /// The index at which the search for a name to evict goes on.
    evict_at: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    question: Arc<Question>,
    key: Box<[u8]>,
    known: Known,
    /// When `known` expires.
    until: Instant,
    /// When a name in use is to be looked up again.
    refresh: Instant,
    /// When the look-up under way counts as lost; `None`: none is.
    lost_at: Option<Instant>,
    used: Instant,
    waiting: Vec<Waiter>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Known {
    /// Never answered.
    Unknown,
    /// These servers; once `failing`, the DNS has not confirmed them.
    Servers {
        list: Box<[Server]>,
        stale_until: Instant,
        failing: bool,
    },
    Nothing,
    Failed,
}

impl Locator {
    /// An empty cache of a shard that can speak this.
    #[must_use]
    pub fn new(spoken: Transports, seed: [u64; 4]) -> Self {
        let [a, b, c, d] = seed;
        Self {
            names: Slab::new(limits::DNS_NAMES_MAX),
            by_key: HashMap::with_hasher(ahash::RandomState::with_seeds(d, a, b, c)),
            spoken,
            questions_out: 0,
            key: Vec::new(),
            evict_at: 0,
        }
    }

    /// The cache entry of a URI's look-up, made if need be; the look-up does not begin here. `None`
    /// where there is nothing to look up, as for `Question::of`.
    pub fn name(&mut self, now: Instant, bytes: &[u8], uri: &Uri) -> Option<LookupId> {
        // Lent out of the cache, which is changed while the key is read.
        let mut key = std::mem::take(&mut self.key);
        let id = PackedQuestion::read(bytes, uri, self.spoken, &mut key)
            .and_then(|_| self.intern(now, bytes, uri, &key));
        self.key = key;
        id
    }

    fn intern(&mut self, now: Instant, bytes: &[u8], uri: &Uri, key: &[u8]) -> Option<LookupId> {
        if let Some(&slot) = self.by_key.get(key) {
            return Some(LookupId(slot));
        }
        let question = Question::of(bytes, uri, self.spoken)?;
        if self.names.is_full() {
            self.make_room();
        }
        let key: Box<[u8]> = key.into();
        let entry = Entry {
            question: Arc::new(question),
            key: key.clone(),
            known: Known::Unknown,
            until: now,
            refresh: now,
            lost_at: None,
            used: now,
            waiting: Vec::new(),
        };
        let slot = self.names.insert(entry).ok()?;
        self.by_key.insert(key, slot);
        Some(LookupId(slot))
    }

    /// The questions that wait for their answers.
    pub(crate) fn questions_out(&self) -> impl Iterator<Item = (LookupId, Arc<Question>)> {
        let out = self
            .names
            .iter()
            .filter(|(_, entry)| entry.lost_at.is_some());
        out.map(|(slot, entry)| (LookupId(slot), Arc::clone(&entry.question)))
    }

    /// Evicts, of `EVICT_FROM` names, the least recently used one that is not being looked up.
    fn make_room(&mut self) {
        let from = self.evict_at % (limits::DNS_NAMES_MAX - EVICT_FROM);
        let few = from..from + EVICT_FROM;
        let few = few.filter_map(|index| self.names.at(u32::try_from(index).ok()?));
        let idle = few.filter(|(_, entry)| entry.lost_at.is_none());
        let oldest = idle.min_by_key(|(_, entry)| entry.used);
        let oldest = oldest.map(|(slot, _)| slot);
        self.evict_at = self.evict_at.wrapping_add(EVICT_FROM);
        if let Some(entry) = oldest.and_then(|slot| self.names.remove(slot)) {
            self.by_key.remove(&entry.key);
        }
    }

    /// What the cache has of the name, and the look-up to begin now, if any.
    pub fn find(&mut self, now: Instant, id: LookupId) -> (Find<'_>, Option<Arc<Question>>) {
        let Some(entry) = self.names.get_mut(id.0) else {
            return (Find::Failed, None);
        };
        entry.used = now;
        if entry.lost_at.is_some_and(|until| until <= now) {
            entry.lost_at = None;
            // Each waiter has a deadline of its own, which has passed by now.
            entry.waiting.clear();
            self.questions_out = self.questions_out.saturating_sub(1);
        }
        let is_wanted = entry.refresh <= now && entry.lost_at.is_none();
        let is_wanted = is_wanted && self.questions_out < limits::DNS_QUESTIONS_MAX;
        let question = is_wanted.then(|| {
            entry.lost_at = Some(now + limits::DNS_QUESTION_LOST);
            self.questions_out += 1;
            entry.question.clone()
        });
        let is_out = entry.lost_at.is_some();
        (entry.find(now, is_out), question)
    }

    /// The servers that the DNS named last, unless that was more than `limits::DNS_STALE_MAX` after
    /// they expired; for a request whose look-up takes too long.
    #[must_use]
    pub fn stale(&self, now: Instant, id: LookupId) -> &[Server] {
        self.names.get(id.0).map_or(&[], |entry| entry.servers(now))
    }

    /// The servers that the DNS named last, however long ago, best rank first.
    #[must_use]
    pub(crate) fn last_known(&self, id: LookupId) -> &[Server] {
        match self.names.get(id.0).map(|entry| &entry.known) {
            Some(Known::Servers { list, .. }) => list,
            Some(Known::Unknown | Known::Nothing | Known::Failed) | None => &[],
        }
    }

    /// Adds a waiter to a look-up under way.
    pub fn wait(&mut self, id: LookupId, waiter: Waiter) {
        if let Some(entry) = self.names.get_mut(id.0) {
            entry.waiting.push(waiter);
        }
    }

    /// Takes in the records of a look-up and moves its waiters to `waiting`.
    pub fn answer(
        &mut self,
        now: Instant,
        id: LookupId,
        records: &Records,
        waiting: &mut Vec<Waiter>,
    ) -> LookupOutcome {
        let Some(entry) = self.names.get_mut(id.0) else {
            return LookupOutcome::Unwanted;
        };
        if entry.lost_at.take().is_some() {
            self.questions_out = self.questions_out.saturating_sub(1);
        }
        waiting.append(&mut entry.waiting);
        match walk(&entry.question, records) {
            WalkStep::Done(found) if !found.servers.is_empty() || !found.failed => {
                entry.learn(now, found);
                LookupOutcome::Known
            }
            // Records from which further queries would follow are as good as none.
            WalkStep::Done(_) | WalkStep::Missing(_) => {
                entry.fail(now);
                LookupOutcome::Failed
            }
        }
    }

    /// Whether every server of the name is to be reached over TLS: a URI with
    /// `sips` or `transport=tls` asked for it.
    #[must_use]
    pub(crate) fn is_secure(&self, id: LookupId) -> bool {
        let entry = self.names.get(id.0);
        entry.is_some_and(|entry| {
            let question = &entry.question;
            question.secure || question.transport == Some(Transport::Tls)
        })
    }

    /// The domain that the certificates of its servers must name (N-8).
    #[must_use]
    pub fn domain(&self, id: LookupId) -> Option<&str> {
        self.names.get(id.0).map(|entry| &*entry.question.domain)
    }

    /// Names in the cache.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True when it knows no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl Entry {
    fn find(&self, now: Instant, is_out: bool) -> Find<'_> {
        let is_good = now < self.until;
        match &self.known {
            Known::Servers { list, failing, .. }
                if is_good || *failing && !self.servers(now).is_empty() =>
            {
                Find::Servers(list)
            }
            Known::Nothing if is_good => Find::Nothing,
            Known::Failed if is_good => Find::Failed,
            _ if is_out => Find::Asked,
            // No look-up is under way, since there are `limits::DNS_QUESTIONS_MAX` already.
            Known::Unknown | Known::Servers { .. } | Known::Nothing | Known::Failed => Find::Failed,
        }
    }

    fn servers(&self, now: Instant) -> &[Server] {
        match &self.known {
            Known::Servers {
                list, stale_until, ..
            } if now < *stale_until => list,
            Known::Servers { .. } | Known::Unknown | Known::Nothing | Known::Failed => &[],
        }
    }

    fn learn(&mut self, now: Instant, found: Found) {
        let mut ttl = Duration::from_secs(found.ttl_s.into());
        if found.failed {
            ttl = ttl.min(limits::DNS_RETRY);
        }
        let ttl_max = if found.servers.is_empty() {
            limits::DNS_NEGATIVE_MAX
        } else {
            limits::DNS_TTL_MAX
        };
        let ttl = ttl.clamp(limits::DNS_TTL_MIN, ttl_max);
        self.until = now + ttl;
        if found.servers.is_empty() {
            self.known = Known::Nothing;
            self.refresh = self.until;
        } else {
            self.known = Known::Servers {
                list: found.servers.into(),
                stale_until: self.until + limits::DNS_STALE_MAX,
                failing: false,
            };
            self.refresh = now + ttl - ttl / 5;
        }
    }

    fn fail(&mut self, now: Instant) {
        let is_stale = !self.servers(now).is_empty();
        match &mut self.known {
            Known::Servers { failing, .. } if is_stale => *failing = true,
            known @ (Known::Servers { .. } | Known::Unknown | Known::Nothing | Known::Failed) => {
                *known = Known::Failed;
                self.until = now + limits::DNS_RETRY;
            }
        }
        self.refresh = now + limits::DNS_RETRY;
    }
}

/// Number of names among which one eviction chooses: bounds the work.
const EVICT_FROM: usize = 16;

carried!(Locator {
    parts: by_key;
    values: names, questions_out, evict_at;
    made: spoken, key;
});

#[cfg(test)]
mod tests;
