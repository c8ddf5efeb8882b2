//! Which homes and edges a shard knows of, for whoever looks at the cluster.

use std::net::SocketAddr;

use super::{RoleState, Shard};
use crate::id::Transport;
use crate::send::KeepaliveRole;
use crate::time::{Duration, Instant};

/// What a shard knows of the other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerReport {
    /// The flows that are watched.
    pub watched: Vec<WatchedPeer>,
    /// Destinations that failed and have not worked since.
    pub failed: Vec<(Transport, SocketAddr)>,
    /// Where an edge finds its homes, as far as it knows.
    pub homes: Vec<(Transport, SocketAddr)>,
}

/// The other end of a flow that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchedPeer {
    /// Over what.
    pub transport: Transport,
    /// Where it listens, or else where it sends from.
    pub addr: SocketAddr,
    /// Who sends keep-alives.
    pub keepalives: KeepaliveRole,
    /// It is not silent.
    pub is_up: bool,
    /// Since anything was heard of it.
    pub silent_for: Duration,
}

impl Shard {
    /// The homes and edges that are known here, and whether they answer.
    #[must_use]
    pub fn peers(&self, now: Instant) -> PeerReport {
        let (flows, liveness) = (&self.net.flows, &self.net.liveness);
        let watched = liveness.peers.watched().filter_map(|peer| {
            let (transport, addr) = flows.listens_at(peer.flow)?;
            Some(WatchedPeer {
                transport,
                addr,
                keepalives: peer.role,
                is_up: peer.is_up,
                silent_for: now.since(peer.heard),
            })
        });
        PeerReport {
            watched: watched.collect(),
            failed: liveness.health.destinations().collect(),
            homes: match &self.role {
                RoleState::Edge(edge) => edge.located_homes().to_vec(),
                RoleState::Home(_) | RoleState::Agent(_) => Vec::new(),
            },
        }
    }
}
