//! Other settings for an edge that runs, put in place between two turns and as a whole.
//!
//! What is under way goes on. A request keeps the targets that were planned for it, and a
//! registration its flow. A call has the marks and tokens in its route set, which are good for
//! as long as their key is listed and whoever shows them: a home that is no longer configured
//! is a stranger to everything but its dialogs. What belongs to a node alone ends with its
//! place in the configuration: keep-alives over UDP, its circuit, and what is bound to its flows.
//! Over a connection keep-alives go on while there is one: calls may ring over it, and the far
//! side, which goes by its own configuration, would give it up. Homes that make room for others
//! which the DNS has not answered for stay homes until it has: they may be the same.
//!
//! Not here: what follows from sockets (`listen`, `core` and their like), which stays as it
//! was until the next start, and who decides that (the shell).

use std::net::SocketAddr;

use super::state::Edge;
use super::{Member, Settings};
use crate::id::{Flow, Transport};
use crate::proxy::{Net, Step, Trust};
use crate::send::{End, Hop, KeepaliveRole};

/// What an edge has of the homes and of the other edges.
struct Peers {
    /// Flows over UDP that are watched.
    watched: Vec<Flow>,
    /// Flows that URIs stick to.
    bound: Vec<Flow>,
    /// Destinations whose circuits are open.
    failed: Vec<(Transport, SocketAddr)>,
}

impl Edge {
    /// Takes over these settings.
    pub(crate) fn reconfigure(&mut self, step: &mut Step<'_>, settings: &Settings) {
        let peers = self.peers(step.net);
        self.renumber(&settings.members);
        let homes_differ =
            self.settings.home != settings.home || self.settings.core_port != settings.core_port;
        if homes_differ {
            self.homes.replace(&settings.home, settings.core_port);
        }
        self.derive(settings);
        self.settings = settings.clone();
        self.homes.refresh(step);
        self.homes.update_addresses(step);
        self.watch_members(step);
        self.arm_pings(step);
        self.let_go_of_former_peers(step, peers);
    }

    /// Begins keep-alives with the other edges; with those it has begun with already they go on.
    pub(super) fn watch_members(&self, step: &mut Step<'_>) {
        for member in self.other_members() {
            let addr = member.peer_addr(step.net, Transport::Udp);
            if let Some(flow) = addr.and_then(|addr| step.net.reach(Hop::to(Transport::Udp, addr)))
            {
                step.net
                    .liveness
                    .peers
                    .watch(step.now, flow, KeepaliveRole::Ours);
            }
        }
    }

    /// Bindings name their edges by the place of the members, which may be other ones.
    fn renumber(&mut self, members: &[Member]) {
        let place = |old: &Member| members.iter().position(|new| new.name == old.name);
        let places: Vec<_> = self.settings.members.iter().map(place).collect();
        let is_moved = |(old, new): (usize, &Option<usize>)| *new != Some(old);
        if places.iter().enumerate().any(is_moved) {
            self.flow_bindings.renumber(&places);
        }
    }

    /// Takes over what the DNS says of the homes, and has it asked again in time.
    pub(super) fn refresh_homes(&mut self, step: &mut Step<'_>) {
        self.homes.refresh(step);
        self.update_homes(step);
    }

    /// Takes over what the DNS has said of the homes. If that is the end of those of earlier
    /// settings, they are let go of.
    pub(super) fn update_homes(&mut self, step: &mut Step<'_>) {
        let peers = self.homes.have_former().then(|| self.peers(step.net));
        self.homes.update_addresses(step);
        if let Some(peers) = peers {
            self.let_go_of_former_peers(step, peers);
        }
    }

    /// What it has of those who are homes and edges by now.
    fn peers(&self, net: &Net) -> Peers {
        let mut watched = net.liveness.peers.flows();
        // Over a connection keep-alives go on while there is one.
        watched.retain(|flow| matches!(flow, Flow::Udp { .. }) && self.is_at_peer(net, *flow));
        let mut bound = self.stick.held_flows();
        bound.retain(|flow| self.origin(net, *flow).is_ours());
        let failed = net.liveness.health.destinations();
        let failed = failed.filter(|&(transport, addr)| self.has_peer(transport, addr));
        Peers {
            watched,
            bound,
            failed: failed.collect(),
        }
    }

    /// Ends the keep-alives, bindings and circuits of who is neither a home nor an edge by now.
    fn let_go_of_former_peers(&mut self, step: &mut Step<'_>, peers: Peers) {
        for flow in peers.watched {
            if !self.is_at_peer(step.net, flow) {
                step.net.release_peer(flow);
            }
        }
        for flow in peers.bound {
            // A connection that is lost may still come back.
            let addr = step.net.flows.peer(flow);
            if addr.is_some() && !self.origin(step.net, flow).is_ours() {
                self.stick.forget(flow);
            }
        }
        for (transport, addr) in peers.failed {
            if !self.has_peer(transport, addr) {
                step.net.liveness.health.forget(transport, addr);
            }
        }
    }

    /// Whether a flow leads to where a home or an edge is.
    fn is_at_peer(&self, net: &Net, flow: Flow) -> bool {
        let end = net.flows.end(flow);
        end.is_some_and(|end| self.has_peer(end.transport, end.addr))
            || self.origin(net, flow).is_ours()
    }

    /// Whether a home or another edge is reached at an address, or sends from there. Several may
    /// share one, so the port counts.
    fn has_peer(&self, transport: Transport, addr: SocketAddr) -> bool {
        let is_member = |member: &Member| member.peer_addrs(transport).any(|own| own == addr);
        self.may_be_cluster_node(&End::new(transport, addr))
            || self.homes.is_at(transport, addr)
            || self.other_members().any(is_member)
    }
}
