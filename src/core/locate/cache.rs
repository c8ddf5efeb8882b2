//! What was found, by name, for as long as the DNS said; and who waits for
//! what is being asked.
//!
//! - Requests for one question share it: it is asked once, whoever waits.
//! - An answer in use is asked for again a little before it runs out, so that
//!   a busy name never makes a request wait.
//! - When the DNS fails, what it said last goes on serving for
//!   `limits::DNS_STALE_MAX` (RFC 8767); when it says that the name is gone, it
//!   is gone.
//! - At `limits::DNS_NAMES_MAX` an old name makes room for a new one.

use std::sync::Arc;

use hashbrown::HashMap;

use super::question::Facts;
use super::{Found, Question, Records, Server, Spoken, Step, walk};
use crate::id::{Slab, Slot, Transport};
use crate::limits;
use crate::time::{Duration, Instant};
use crate::uri::Uri;

/// A name in the cache. Finds nothing once the name had to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LookupId(pub Slot);

/// Who waits for an answer: a branch of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The response context.
    pub context: Slot,
    /// Which branch.
    pub branch: u8,
}

/// What is known of a name at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find<'a> {
    /// Its servers by rank, for `order`.
    Servers(&'a [Server]),
    /// There are none: the DNS said so.
    Nothing,
    /// The DNS failed a moment ago, or the name is not in the cache any more.
    Failed,
    /// Nobody knows yet: wait.
    Asked,
}

/// What an answer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Whoever waits may go on.
    Known,
    /// The DNS failed; whoever waits is told so, or gets what it said last.
    Failed,
    /// It came for a name that had to make room.
    Unwanted,
}

/// The names of a shard.
#[derive(Debug)]
pub struct Locator {
    names: Slab<Entry>,
    by_key: HashMap<Box<[u8]>, Slot, ahash::RandomState>,
    spoken: Spoken,
    /// Questions that are out.
    asking: usize,
    key: Vec<u8>,
    /// Where the search for a name that makes room goes on.
    hand: usize,
}

#[derive(Debug)]
struct Entry {
    question: Arc<Question>,
    key: Box<[u8]>,
    known: Known,
    /// `known` is good until then.
    until: Instant,
    /// From then on it is asked for again while in use.
    refresh: Instant,
    /// When the question that is out counts as lost.
    asked_until: Option<Instant>,
    used: Instant,
    waiting: Vec<Waiter>,
}

#[derive(Debug)]
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
    pub fn new(spoken: Spoken, seed: [u64; 4]) -> Self {
        let [a, b, c, d] = seed;
        Self {
            names: Slab::new(limits::DNS_NAMES_MAX),
            by_key: HashMap::with_hasher(ahash::RandomState::with_seeds(d, a, b, c)),
            spoken,
            asking: 0,
            key: Vec::new(),
            hand: 0,
        }
    }

    /// The name that a URI has to be located by; nothing is asked yet. `None`
    /// when the DNS could not help: see `Question::of`.
    pub fn name(&mut self, now: Instant, bytes: &[u8], uri: &Uri) -> Option<LookupId> {
        let mut key = std::mem::take(&mut self.key);
        let id = Facts::read(bytes, uri, self.spoken, &mut key)
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
            asked_until: None,
            used: now,
            waiting: Vec::new(),
        };
        let slot = self.names.insert(entry).ok()?;
        self.by_key.insert(key, slot);
        Some(LookupId(slot))
    }

    /// Of a few names the one that was not used for longest goes. One that a
    /// request waits for stays.
    fn make_room(&mut self) {
        let from = self.hand % (limits::DNS_NAMES_MAX - EVICT_FROM);
        let few = from..from + EVICT_FROM;
        let few = few.filter_map(|index| self.names.at(u32::try_from(index).ok()?));
        let idle = few.filter(|(_, entry)| entry.asked_until.is_none());
        let oldest = idle.min_by_key(|(_, entry)| entry.used);
        let oldest = oldest.map(|(slot, _)| slot);
        self.hand = self.hand.wrapping_add(EVICT_FROM);
        if let Some(entry) = oldest.and_then(|slot| self.names.remove(slot)) {
            self.by_key.remove(&entry.key);
        }
    }

    /// What is known of the name, and the question to ask now, if any.
    pub fn find(&mut self, now: Instant, id: LookupId) -> (Find<'_>, Option<Arc<Question>>) {
        let Some(entry) = self.names.get_mut(id.0) else {
            return (Find::Failed, None);
        };
        entry.used = now;
        if entry.asked_until.is_some_and(|until| until <= now) {
            entry.asked_until = None;
            // Their own deadline has passed.
            entry.waiting.clear();
            self.asking = self.asking.saturating_sub(1);
        }
        let ask = entry.refresh <= now && entry.asked_until.is_none();
        let ask = ask && self.asking < limits::DNS_QUESTIONS_MAX;
        let question = ask.then(|| {
            entry.asked_until = Some(now + limits::DNS_QUESTION_LOST);
            self.asking += 1;
            entry.question.clone()
        });
        let is_out = entry.asked_until.is_some();
        (entry.find(now, is_out), question)
    }

    /// The servers that the DNS named last, for a request that has waited long
    /// enough.
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

    /// Adds a waiter to a question that is out.
    pub fn wait(&mut self, id: LookupId, waiter: Waiter) {
        if let Some(entry) = self.names.get_mut(id.0) {
            entry.waiting.push(waiter);
        }
    }

    /// Takes in an answer and hands out whoever waited for it.
    pub fn answer(
        &mut self,
        now: Instant,
        id: LookupId,
        records: &Records,
        waiting: &mut Vec<Waiter>,
    ) -> Answered {
        let Some(entry) = self.names.get_mut(id.0) else {
            return Answered::Unwanted;
        };
        if entry.asked_until.take().is_some() {
            self.asking = self.asking.saturating_sub(1);
        }
        waiting.append(&mut entry.waiting);
        match walk(&entry.question, records) {
            Step::Done(found) if !found.servers.is_empty() || !found.failed => {
                entry.learn(now, found);
                Answered::Known
            }
            // Records that do not lead to the end are as good as none.
            Step::Done(_) | Step::Ask(_) => {
                entry.fail(now);
                Answered::Failed
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

    /// What a certificate of its servers is checked against (N-8).
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
            // Too many questions are out already.
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

/// Names among which the one to make room is looked for: bounds the work.
const EVICT_FROM: usize = 16;

#[cfg(test)]
mod tests;
