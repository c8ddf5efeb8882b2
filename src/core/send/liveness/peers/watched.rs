//! Which flows are watched, for whoever asks.

use super::{KeepaliveRole, Peer, Peers, State};
use crate::id::Flow;
use crate::time::Instant;

/// How it is with a flow that is watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    pub(crate) flow: Flow,
    pub(crate) role: KeepaliveRole,
    /// Its peer is not silent.
    pub(crate) is_up: bool,
    /// When anything was received last.
    pub(crate) heard: Instant,
}

impl Peers {
    /// The flows that are watched.
    #[must_use]
    pub(crate) fn flows(&self) -> Vec<Flow> {
        self.list.iter().map(|peer| peer.flow).collect()
    }

    /// Number of flows that are watched.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.list.len()
    }

    /// The flows that are watched, and how it is with each.
    pub(crate) fn watched(&self) -> impl Iterator<Item = Watched> {
        self.list.iter().map(|peer| Watched {
            flow: peer.flow,
            role: peer.role,
            is_up: peer.state == State::Alive,
            heard: peer.heard,
        })
    }

    /// Number of watched flows whose peers are not silent.
    #[must_use]
    pub fn alive(&self) -> usize {
        let alive = |peer: &&Peer| peer.state == State::Alive;
        self.list.iter().filter(alive).count()
    }

    /// True when no flow is watched.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
