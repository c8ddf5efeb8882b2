//! Other settings for a home that runs, put in place between two turns and as a whole.
//!
//! Registrations, transactions and dialogs stay. What is bound to the flow of an edge that is
//! none by now is forgotten: the next request for its phones takes another edge of their set.
//!
//! Not here: the list of subscribers, which has its own input since it revokes some.

use std::net::SocketAddr;

use super::Settings;
use super::state::Home;
use crate::id::{Flow, Transport};
use crate::proxy::{Net, Step};

impl Home {
    /// Takes over these settings.
    pub(crate) fn reconfigure(&mut self, step: &mut Step<'_>, settings: &Settings) {
        let failed = step.net.liveness.health.destinations();
        let is_edge = |(_, addr): &(_, SocketAddr)| self.settings.has_edge_at(addr.ip());
        let failed: Vec<(Transport, _)> = failed.filter(is_edge).collect();
        self.derive(settings);
        self.settings = settings.clone();
        // Over a connection keep-alives go on while there is one: calls may ring over it.
        for flow in step.net.liveness.peers.flows() {
            if matches!(flow, Flow::Udp { .. }) && self.is_former_edge(step.net, flow) {
                step.net.liveness.peers.forget(flow);
            }
        }
        let mut former = std::mem::take(&mut self.former_edges);
        former.extend(self.stick.held_flows());
        former.retain(|flow| self.is_former_edge(step.net, *flow));
        for flow in &former {
            self.stick.forget(*flow);
        }
        self.former_edges = former;
        for (transport, addr) in failed {
            if !self.settings.has_edge_at(addr.ip()) {
                step.net.liveness.health.forget(transport, addr);
            }
        }
    }

    /// Whether neither what a flow proves nor its address is an edge's. A connection that
    /// is lost may still come back as that of one.
    fn is_former_edge(&self, net: &Net, flow: Flow) -> bool {
        let addr = net.flows.peer(flow);
        addr.is_some_and(|addr| !self.settings.has_edge_at(addr.ip())) && !self.is_edge(net, flow)
    }
}
