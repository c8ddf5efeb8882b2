//! Where a client transaction stands among those that wait for a response on its flow. The queue
//! itself is kept by `flow_waiters`.

use serde::{Deserialize, Serialize};

/// No transaction, or no entry.
pub(super) const NONE: u32 = u32::MAX;

/// Where a transaction stands among those that wait on its flow.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct QueueLinks {
    /// The entry of its flow; `NONE`: it has not left yet.
    pub(super) entry: u32,
    /// Its neighbours in the queue; `NONE` while it is in none.
    pub(super) before: u32,
    pub(super) after: u32,
}

impl QueueLinks {
    pub(super) const NOWHERE: Self = Self {
        entry: NONE,
        before: NONE,
        after: NONE,
    };
}
