//! What a shard has counted, and what it holds at this moment.

use super::{RoleState, Shard};
use crate::id::Transport;
use crate::proxy::{Counters, Traffic};

impl Shard {
    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.net.counters
    }

    /// What is held at this moment, by name.
    #[must_use]
    pub fn gauges(&self) -> [(&'static str, usize); 11] {
        let registered = match &self.role {
            RoleState::Edge(edge) => edge.bound_phones(),
            // Every shard has all of them, so that one speaks for all.
            RoleState::Home(home) if self.net.shard_set.own == 0 => home.registered(),
            RoleState::Home(_) => 0,
            RoleState::Agent(agent) => agent.registered(),
        };
        let refreshed = match &self.role {
            RoleState::Edge(edge) => edge.refreshed(),
            RoleState::Home(_) | RoleState::Agent(_) => 0,
        };
        [
            ("registered", registered),
            ("streams", self.net.flows.streams()),
            ("refreshed_dialogs", refreshed),
            ("dialogs", self.proxy.dialogs()),
            ("sources_near_bound", self.net.guard.near()),
            ("sources_keeping", self.net.txns.sources()),
            ("shed_percent", self.net.admission.loss().into()),
            ("held_requests", self.proxy.held()),
            ("contexts", self.proxy.len()),
            ("server_transactions", self.net.txns.servers()),
            ("client_transactions", self.net.txns.clients()),
        ]
    }

    /// What is known of homes and edges at this moment, by name: flows to them that are watched,
    /// those of them whose peers answer, and destinations that failed and have not worked since.
    #[must_use]
    pub fn peer_gauges(&self) -> [(&'static str, usize); 3] {
        let liveness = &self.net.liveness;
        [
            ("peers_watched", liveness.peers.len()),
            ("peers_up", liveness.peers.alive()),
            ("circuits_open", liveness.health.len()),
        ]
    }

    /// What passed so far, and how long it took.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.net.traffic
    }

    /// Phones bound to flows of an edge, by transport; `None`: it is no edge.
    #[must_use]
    pub fn phones(&self) -> Option<[(Transport, u32); 3]> {
        match &self.role {
            RoleState::Edge(edge) => {
                Some(Transport::ALL.map(|over| (over, edge.phones_over(over))))
            }
            RoleState::Home(_) | RoleState::Agent(_) => None,
        }
    }

    /// Addresses of homes that an edge can reach, as far as it knows; `None`: it is no edge.
    #[must_use]
    pub fn homes_in_reach(&self) -> Option<usize> {
        match &self.role {
            RoleState::Edge(edge) => Some(edge.homes_in_reach(&self.net)),
            RoleState::Home(_) | RoleState::Agent(_) => None,
        }
    }
}
