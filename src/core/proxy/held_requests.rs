//! The requests that wait for a home, the oldest first (`untaken`).

use std::collections::VecDeque;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Net;
use crate::carry::carried;
use crate::guard;
use crate::id::{Keyed, Slot};
use crate::limits;
use crate::time::{Duration, Instant};

/// The requests that wait.
#[derive(Debug, Default)]
pub(super) struct HeldRequests {
    queue: VecDeque<HeldRequest>,
    /// How many each source has among them, by the keyed hash of its network.
    of_source: Keyed<u32>,
    /// Since when no home has taken anything.
    since: Option<Instant>,
    /// A home is back: they are let go, and not tried out one by one.
    is_open: bool,
    /// `Timer::Held` is set.
    is_armed: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct HeldRequest {
    slot: Slot,
    source: u64,
    /// When it is answered, whoever is back by then.
    until: Instant,
}

/// A request that is to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    pub(super) slot: Slot,
    /// Where it came from.
    pub(super) source: IpAddr,
    /// It was tried in vain.
    pub(super) has_waited: bool,
    /// Until then.
    pub(super) until: Instant,
}

/// Why a request leaves the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// It is to be tried.
    Try(Slot),
    /// Its time is over.
    Over(Slot),
}

impl HeldRequests {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// True until a home is back, whether anything waits for it or not.
    pub(super) const fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Takes in a request; false at the bounds, and for one that comes when no home has taken
    /// anything for so long that none is about to. One that has waited is the oldest again.
    pub(super) fn push(&mut self, net: &Net, now: Instant, hold: Hold) -> bool {
        let Hold {
            slot,
            source,
            has_waited,
            until,
        } = hold;
        let since = *self.since.get_or_insert(now);
        if !has_waited && now >= since + limits::HELD_FOR {
            return false;
        }
        let (is_v6, bits) = guard::network(source);
        let source = net
            .secrets
            .hash([&bits.to_be_bytes()[..], &[u8::from(is_v6)]]);
        let count = self.of_source.get(source).copied().unwrap_or(0);
        if self.queue.len() >= limits::HELD_MAX || count >= limits::HELD_OF_SOURCE {
            return false;
        }
        self.of_source.insert(source, count + 1);
        let held = HeldRequest {
            slot,
            source,
            until,
        };
        let is_older = |first: &HeldRequest| until < first.until;
        if self.queue.front().is_some_and(is_older) {
            self.queue.push_front(held);
        } else {
            self.queue.push_back(held);
        }
        // Where homes were back, this one's is gone again.
        self.is_open = false;
        true
    }

    /// A home is back.
    pub(super) fn open(&mut self) {
        self.since = None;
        self.is_open = !self.queue.is_empty();
    }

    /// How many may be tried now.
    pub(super) const fn may_try(&self) -> usize {
        match self.is_open {
            true => limits::HELD_LET_GO,
            false => limits::HELD_TRIED,
        }
    }

    /// In how long `Timer::Held` is to fire, where it is to be set, which it is then.
    pub(super) fn arm(&mut self) -> Option<Duration> {
        let is_set = self.queue.is_empty() || std::mem::replace(&mut self.is_armed, true);
        let pause = match self.is_open {
            true => limits::HELD_STEP,
            false => limits::HELD_PAUSE,
        };
        (!is_set).then_some(pause)
    }

    /// The timer fired.
    pub(super) const fn fired(&mut self) {
        self.is_armed = false;
    }

    /// The next one whose time is over, or that is to be tried; those of the first kind come first.
    pub(super) fn pop(&mut self, now: Instant, may_try: bool) -> Option<Release> {
        let first = self.queue.front()?;
        let is_over = now >= first.until;
        if !is_over && !may_try {
            return None;
        }
        let HeldRequest { slot, source, .. } = self.queue.pop_front()?;
        match self.of_source.get_mut(source) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(self.of_source.remove(source)),
        }
        self.is_open &= !self.queue.is_empty();
        Some(match is_over {
            true => Release::Over(slot),
            false => Release::Try(slot),
        })
    }
}

carried!(HeldRequests {
    parts: of_source;
    values: queue, since, is_open, is_armed;
});
