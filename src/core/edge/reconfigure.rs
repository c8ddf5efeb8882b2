//! Other settings for an edge that runs, put in place between two turns and as a whole.
//!
//! What is under way goes on. A request keeps the targets that were planned for it, and a
//! registration its flow. A call has the marks and tokens in its route set, which are good for
//! as long as their key is listed and whoever shows them: a home that is no longer configured
//! is a stranger to everything but its dialogs. What belongs to a node alone ends with its
//! place in the configuration: keep-alives over UDP, its circuit, and what is bound to its flows.
//! Over a connection keep-alives go on while there is one: calls may ring over it, and the far
//! side, which goes by its own configuration, would give it up.
//!
//! Not here: what follows from sockets (`listen`, `core` and their like), which stays as it
//! was until the next start, and who decides that (the shell).

use std::net::SocketAddr;

use super::state::Edge;
use super::{Member, Settings};
use crate::id::{Flow, Transport};
use crate::proxy::{Net, Step};
use crate::send::{Hop, KeepaliveRole};

impl Edge {
    /// Takes over these settings.
    pub(crate) fn reconfigure(&mut self, step: &mut Step<'_>, settings: &Settings) {
        let failed = self.failed_peers(step.net);
        self.renumber(&settings.members);
        let homes_differ =
            self.settings.home != settings.home || self.settings.core_port != settings.core_port;
        if homes_differ {
            self.homes.replace(&settings.home, settings.core_port);
        }
        self.derive(settings);
        self.settings = settings.clone();
        self.homes.refresh(step);
        self.watch_members(step);
        self.arm_pings(step);
        self.let_go_of_former_peers(step, &failed);
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

    /// The homes and edges whose circuits are open.
    fn failed_peers(&self, net: &Net) -> Vec<(Transport, SocketAddr)> {
        let failed = net.liveness.health.destinations();
        let is_peer = |(_, addr): &(_, SocketAddr)| self.origin_at(addr.ip()).is_ours();
        failed.filter(is_peer).collect()
    }

    /// Ends the keep-alives, bindings and circuits of who is neither a home nor an edge by now.
    fn let_go_of_former_peers(&mut self, step: &mut Step<'_>, failed: &[(Transport, SocketAddr)]) {
        for flow in step.net.liveness.peers.flows() {
            if let Flow::Udp { peer, .. } = flow
                && !self.origin_at(peer.ip()).is_ours()
                && !self.origin(step.net, flow).is_ours()
            {
                step.net.liveness.peers.forget(flow);
            }
        }
        for flow in self.stick.held_flows() {
            let addr = step.net.flows.peer(flow);
            if addr.is_some() && !self.origin(step.net, flow).is_ours() {
                self.stick.forget(flow);
            }
        }
        for &(transport, addr) in failed {
            if !self.origin_at(addr.ip()).is_ours() {
                step.net.liveness.health.forget(transport, addr);
            }
        }
    }
}
