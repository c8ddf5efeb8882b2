//! How long a branch may go on without a final answer, and how long it rings.

use super::{Context, Turn};
use crate::limits;
use crate::time::Duration;

impl Turn<'_> {
    /// How long a branch may stay without a final answer: Timer C. Where targets of a
    /// lower preference wait for it: the 32 seconds after which whoever is behind the next
    /// hop is given up, and the time that a phone rings before those are tried.
    pub(super) fn timer_c(&self, context: &Context, index: usize) -> Duration {
        let ring = self.ring_time(context, index);
        ring.map_or(limits::TIMER_C, |ring| {
            limits::TIMER_C.min(limits::T1_64 + ring)
        })
    }

    /// How long a branch rings before the next ones are tried, where there are any.
    pub(super) fn ring_time(&self, context: &Context, index: usize) -> Option<Duration> {
        let rank = context.branches.get(index)?.target.rank;
        let ring = self.policy.ring_time()?;
        context.has_lower(rank).then_some(ring)
    }
}
