//! What an operator changes while a shard runs.

use std::fmt;
use std::net::IpAddr;

use super::{RoleState, Shard};
use crate::proxy::Step;
use crate::time::Instant;
use crate::{edge, home, limits};

/// All that may change while a shard runs. It takes it over between two turns and as a whole:
/// no message is dealt with by a part of it.
#[derive(Clone)]
pub struct Configuration {
    /// What the node is; never another role than it has.
    pub role: RoleSettings,
    /// Networks whose sources are not limited; `None`: `limits::UNLIMITED`.
    pub unlimited: Option<Vec<(IpAddr, u8)>>,
    /// Connections that one source may have at once.
    pub connections_per_source: u32,
    /// Bytes that a stranger may make it keep.
    pub source_memory: usize,
}

/// The settings of a role. What follows from the sockets of a node in them is as at its start.
#[derive(Clone)]
pub enum RoleSettings {
    /// Of an edge.
    Edge(edge::Settings),
    /// Of a home, but for its subscribers.
    Home(home::Settings),
}

impl fmt::Debug for Configuration {
    // There are keys in it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Configuration").finish_non_exhaustive()
    }
}

impl Shard {
    pub(super) fn reconfigure(&mut self, now: Instant, configuration: &Configuration) {
        let Configuration {
            role,
            unlimited,
            connections_per_source,
            source_memory,
        } = configuration;
        let unlimited = unlimited.as_deref().unwrap_or(&limits::UNLIMITED);
        self.set_unlimited(unlimited.to_vec());
        self.set_connections_per_source(*connections_per_source);
        self.set_source_memory(*source_memory);
        let net = &mut self.net;
        match (&mut self.role, role) {
            (RoleState::Edge(edge), RoleSettings::Edge(settings)) => {
                settings.configure(net);
                edge.reconfigure(&mut Step::new(net, now), settings);
            }
            (RoleState::Home(home), RoleSettings::Home(settings)) => {
                settings.configure(net);
                home.reconfigure(&mut Step::new(net, now), settings);
            }
            (RoleState::Edge(_) | RoleState::Home(_) | RoleState::Agent(_), _) => {}
        }
    }
}
