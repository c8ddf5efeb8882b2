//! What transactions and timers lead back to: the request, or the part of the shard, that
//! has begun them.

use serde::{Deserialize, Serialize};

use crate::id::Slot;

/// Whose transaction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// A proxied request and one of its branches (the server side: branch 0).
    Proxy {
        /// The response context.
        context: Slot,
        /// Which branch.
        branch: u8,
    },
    /// The CANCEL of a branch.
    Cancel {
        /// The response context.
        context: Slot,
    },
    /// Answered here; nobody waits.
    Local,
    /// A request of the user agent.
    Agent(u32),
}

/// Timers that share the transactions' wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timer {
    /// Timer C of a branch, or the grace of its CANCEL (RFC 3261 §16.8, §9.1).
    Branch {
        /// The response context.
        context: Slot,
        /// Which branch.
        branch: u8,
    },
    /// A stream's unfinished message is due.
    Partial(Slot),
    /// A stream whose phone promised keep-alives must have been heard.
    Silence(Slot),
    /// Keep-alives between the elements of the cluster.
    Liveness,
    /// The next piece of what the role has put off.
    Later,
    /// Requests that wait for a home are sent again, or have waited for long enough.
    Held,
    /// A draining edge closes the next idle connections.
    Drain,
    /// Bounded sweep of expired registrations and bindings.
    Sweep,
    /// The user agent's own.
    Agent(u32),
    /// The first of those that wait for the store goes on.
    Asks,
}
