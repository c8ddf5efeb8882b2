//! A node that is about to stop.
//!
//! An edge has siblings: its phones begin nothing more here, and the connections on which
//! nothing is under way are closed at a pace that those siblings can follow, so that the
//! phones come back to one of them. It is done when every call has ended. A home may have nobody
//! who knows its phones: it goes on with all that comes, until what had no answer when it was
//! told has one. Then it leaves: for a moment it refuses all that is new, so that it ends with
//! nothing under way; its edges hold that (V-8), or take another home.

use serde::{Deserialize, Serialize};

use super::{RoleMut, Shard};
use crate::id::{Flow, StreamId};
use crate::limits;
use crate::proxy::Timer;
use crate::send::Hop;
use crate::time::{Duration, Instant};

/// What a draining edge still closes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Closing {
    /// Connections a step.
    pace: usize,
    /// Connections of phones that are left.
    left: usize,
}

impl Shard {
    /// Nothing new is begun from now on; the shard ends in so long at the latest.
    pub(super) fn begin_drain(&mut self, now: Instant, within: Duration) {
        let is_edge = self.holds_phones(now);
        self.proxy.begin_drain(!is_edge);
        if !is_edge {
            return;
        }
        let steps =
            (within / limits::DRAIN_CLOSING_PART).as_micros() / limits::DRAIN_STEP.as_micros();
        let steps = usize::try_from(steps).unwrap_or(usize::MAX).max(1);
        let streams = self.net.flows.streams();
        self.closing = Some(Closing {
            pace: limits::DRAIN_CLOSES_MIN.max(streams.div_ceil(steps)),
            left: streams,
        });
        self.net.txns.set_timer(now, Timer::Drain);
    }

    /// Closes some of the phones' connections on which nothing is under way, and looks again
    /// for as long as there are any.
    pub(super) fn close_idle(&mut self, now: Instant) {
        let Some(pace) = self.closing.as_ref().map(|closing| closing.pace) else {
            return;
        };
        let mut in_use = Vec::new();
        self.proxy.add_streams_in_use(&mut in_use);
        in_use.sort_unstable();
        let of_phones = self.streams_of_phones(now);
        let is_idle = |stream: &&StreamId| in_use.binary_search(stream).is_err();
        let idle: Vec<StreamId> = of_phones
            .iter()
            .filter(is_idle)
            .take(pace)
            .copied()
            .collect();
        let left = of_phones.len() - idle.len();
        for stream in idle {
            self.net.counters.drained_flows += 1;
            self.abort(now, stream);
        }
        if let Some(closing) = &mut self.closing {
            closing.left = left;
        }
        if left > 0 {
            let due = now + limits::DRAIN_STEP;
            self.net.txns.set_timer(due, Timer::Drain);
        }
    }

    /// True when a drain need not last any longer.
    pub(super) fn is_drained(&mut self, now: Instant) -> bool {
        match &self.closing {
            Some(closing) => {
                closing.left == 0 && self.proxy.dialogs() == 0 && self.proxy.is_drained(now)
            }
            None => self.proxy.is_drained(now),
        }
    }

    /// True when connections are left to the other edges by now.
    pub(super) const fn sends_phones_away(&self) -> bool {
        self.closing.is_some()
    }

    fn holds_phones(&mut self, now: Instant) -> bool {
        match self.role_mut(now) {
            RoleMut::Proxy(_, turn) => turn.policy.holds_phones(),
            RoleMut::Agent(..) => false,
        }
    }

    /// The connections that came in from others than the elements of the cluster.
    fn streams_of_phones(&mut self, now: Instant) -> Vec<StreamId> {
        match self.role_mut(now) {
            RoleMut::Proxy(_, turn) => {
                let accepted = turn.net.flows.accepted();
                let is_phone = |stream: &StreamId| {
                    let hop = Hop::Flow(Flow::Stream(*stream));
                    !turn.policy.is_cluster_node(turn.net, hop)
                };
                accepted.filter(is_phone).collect()
            }
            RoleMut::Agent(..) => Vec::new(),
        }
    }
}
