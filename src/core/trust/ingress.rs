//! Where a request came in, and what was found out there.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Principal;
use crate::id::Flow;

/// What is known of a request beside its text. It is made once, where the
/// request comes in, and goes with it: to another shard, into its response
/// context, and into whatever has to be decided about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    /// The flow it came on.
    pub flow: Flow,
    /// Where it came from.
    pub source: SocketAddr,
    /// How often one shard handed it to another before.
    pub handed: u8,
    /// Who sent it.
    pub principal: Principal,
    /// What its Via says of keep-alives (K-1).
    pub keep: Keep,
    /// Its sender is an element of the cluster that takes part in overload
    /// control, and is told in its Via what to leave out (V-2, V-5).
    pub wants_report: bool,
}

/// What the topmost Via of a request says of keep-alives (RFC 6223).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// Nothing.
    #[default]
    Silent,
    /// They are offered.
    Offered,
    /// They are offered by an element of the cluster, and wanted.
    Wanted,
}

impl Ingress {
    /// Nothing but the way is known.
    #[must_use]
    pub const fn by(flow: Flow, source: SocketAddr) -> Self {
        Self {
            flow,
            source,
            handed: 0,
            principal: Principal::Stranger,
            keep: Keep::Silent,
            wants_report: false,
        }
    }
}
