//! What one call from the shard works with, where there is no request to route.

use super::Net;
use crate::time::Instant;

/// One step of a shard: the machinery and the time at which the step is taken, which
/// is the same for everything that happens in it. A request on its way through a
/// role has it in its [`Pass`](super::Pass), a proxied message in its
/// [`Turn`](super::Turn).
#[derive(Debug)]
pub struct Step<'a> {
    /// The machinery.
    pub net: &'a mut Net,
    /// The time of the step.
    pub now: Instant,
}

impl<'a> Step<'a> {
    /// A step that is taken now.
    #[must_use]
    pub const fn new(net: &'a mut Net, now: Instant) -> Self {
        Self { net, now }
    }
}
