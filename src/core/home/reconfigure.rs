//! Other settings for a home that runs, put in place between two turns and as a whole.
//!
//! Registrations, transactions and dialogs stay. What is bound to the flow of an edge that is
//! none by now is forgotten: the next request for its phones takes another edge of their set.
//! Who was no edge before, such as a carrier or a phone without one, has nothing to lose.
//!
//! Not here: the list of subscribers, which has its own input since it revokes some.

use std::net::SocketAddr;

use super::Settings;
use super::state::Home;
use crate::id::{Flow, Transport};
use crate::proxy::{Net, Step};
use crate::send::End;

/// What a home has of its edges.
struct Edges {
    /// Flows over UDP that are watched.
    watched: Vec<Flow>,
    /// Flows that URIs or domains stick to.
    bound: Vec<Flow>,
    /// Destinations whose circuits are open.
    failed: Vec<(Transport, SocketAddr)>,
}

impl Home {
    /// Takes over these settings.
    pub(crate) fn reconfigure(&mut self, step: &mut Step<'_>, settings: &Settings) {
        let edges = self.edges(step.net);
        self.derive(settings);
        self.settings = settings.clone();
        self.let_go_of_former_edges(step, edges);
    }

    /// What it has of those who are edges by its settings.
    fn edges(&self, net: &Net) -> Edges {
        let mut watched = net.liveness.peers.flows();
        // Over a connection keep-alives go on while there is one: calls may ring over it.
        watched.retain(|flow| matches!(flow, Flow::Udp { .. }) && self.is_at_edge(net, *flow));
        let mut bound = self.stick.held_flows();
        bound.retain(|flow| self.is_edge(net, *flow));
        let failed = net.liveness.health.destinations();
        let failed = failed.filter(|&(transport, addr)| self.has_edge(transport, addr));
        Edges {
            watched,
            bound,
            failed: failed.collect(),
        }
    }

    /// Ends the keep-alives, bindings and circuits of who is no edge by now.
    fn let_go_of_former_edges(&mut self, step: &mut Step<'_>, edges: Edges) {
        for flow in edges.watched {
            if !self.is_at_edge(step.net, flow) {
                step.net.release_peer(flow);
            }
        }
        let mut former = std::mem::take(&mut self.former_edges);
        former.retain(|flow| !self.is_at_edge(step.net, *flow));
        for flow in edges.bound {
            if !self.is_at_edge(step.net, flow) {
                self.stick.forget(flow);
                if !former.contains(&flow) {
                    former.push(flow);
                }
            }
        }
        self.former_edges = former;
        for (transport, addr) in edges.failed {
            if !self.has_edge(transport, addr) {
                step.net.liveness.health.forget(transport, addr);
            }
        }
    }

    /// Whether a flow leads to where an edge is, by what it proves or by its address and port,
    /// whatever transports that edge may speak. A connection that is lost may still come back
    /// as that of one.
    fn is_at_edge(&self, net: &Net, flow: Flow) -> bool {
        let end = net.flows.end(flow);
        end.is_none_or(|end| self.settings.may_be_edge(&end)) || self.is_edge(net, flow)
    }

    /// Whether an edge is reached at an address; over TLS no port of it is configured.
    fn has_edge(&self, transport: Transport, addr: SocketAddr) -> bool {
        self.settings.may_be_edge(&End::new(transport, addr))
            || transport == Transport::Tls && self.settings.has_edge_at(addr.ip())
    }
}
