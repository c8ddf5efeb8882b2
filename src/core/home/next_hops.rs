//! Where a URI leads: to the flows that it sticks to, to the edges of the cluster one after
//! the other, or to what RFC 3263 makes of it.

use super::dialog::dialog_of;
use super::edge_node::EdgeNode;
use super::state::Home;
use crate::id::{Flow, Transport};
use crate::limits;
use crate::omit::Omit;
use crate::proxy::{Net, Request, Step};
use crate::recorder::Decision;
use crate::send::Hop;
use crate::stick::{Level, Reopen};
use crate::uri::{Uri, same_host};

impl Home {
    /// Fills `hops` for a URI in `bytes`, best first: for one of the cluster by
    /// `cluster_hops`; for one of anybody else (a proxy between us and an edge, an edge of
    /// another domain: D-H9) with the flow it sticks to, within the dialog of `request`
    /// too, or with what it names (RFC 3263). Gives the number of flows of the cluster among
    /// them that are bound to it.
    pub(super) fn hops_to(
        &mut self,
        step: &mut Step<'_>,
        request: Option<&Request<'_>>,
        bytes: &[u8],
        uri: &Uri,
        hops: &mut Vec<Hop>,
    ) -> usize {
        let text = uri.whole.of(bytes);
        hops.clear();
        if same_host(uri.host.of(bytes), &self.cluster) {
            // An edge that is not known by a flow is tried over what the request came by.
            let came_by = request.map(|request| step.net.flows.transport(request.ingress.flow));
            let transport = came_by.unwrap_or(Transport::Udp);
            return self.cluster_hops(step, text, transport, hops);
        }
        if let Some(flow) = self.sticky_flow(step, request, text) {
            hops.push(Hop::Flow(flow));
        } else {
            hops.extend(step.net.hop(step.now, bytes, uri));
        }
        0
    }

    /// The live flow that a URI of no edge sticks to.
    fn sticky_flow(
        &mut self,
        step: &mut Step<'_>,
        request: Option<&Request<'_>>,
        uri: &[u8],
    ) -> Option<Flow> {
        let chance = step.net.secrets.chance();
        let dialog =
            request.and_then(|request| dialog_of(step.net, request.bytes, request.message));
        let found = match dialog {
            Some(dialog) => self
                .stick
                .find_in_dialog(step.now, uri, dialog, &[], chance)?,
            None => self.stick.find(step.now, uri, &[], chance)?,
        };
        if !step.net.flows.lives(found.flow) {
            return None;
        }
        let level = found.level;
        step.net.decided_on(found.flow, Decision::Stuck { level });
        Some(found.flow)
    }

    /// Fills `hops` for a URI of the cluster, best first: the flows it sticks to, then edges
    /// that it is not known to stick to, from a random one on (S-14 to S-18); those that
    /// are silent last. Gives the number of flows it sticks to.
    fn cluster_hops(
        &mut self,
        step: &mut Step<'_>,
        uri: &[u8],
        transport: Transport,
        hops: &mut Vec<Hop>,
    ) -> usize {
        let chance = step.net.secrets.chance();
        self.add_bound_flows(step, uri, chance, hops);
        let bound = hops.len();
        if bound == 0
            && let Some((lost, _)) = self.stick.reopen(step.now, uri)
        {
            // S-28: the edge whose connection was lost a moment ago has the phone's flow
            // still, which no other edge has.
            hops.push(edge_to_reopen(step.net, &self.cluster, lost));
        }
        if !self.edge_addresses.is_empty() {
            self.add_other_edges(step, transport, chance, bound, hops);
        }
        if hops.is_empty() {
            // S-16: too many edges to try one after the other.
            let uri = Uri::of(uri).map(|parsed| (uri, parsed));
            let hop = uri.map(|(bytes, parsed)| step.net.hop(step.now, bytes, &parsed));
            hops.extend(hop.ok().flatten());
        }
        // Silent ones stay, behind the others: there may be none that answers, and a single
        // answer ends the silence. Few enough for an insertion sort, which keeps the order
        // of equals.
        hops.sort_by_key(|hop| step.net.is_down(step.now, *hop));
        bound
    }

    /// Adds the live flows that a URI of the cluster sticks to, the best first, one for each
    /// edge and no more than a set has edges.
    fn add_bound_flows(
        &mut self,
        step: &mut Step<'_>,
        uri: &[u8],
        chance: u64,
        hops: &mut Vec<Hop>,
    ) {
        self.found_flows.clear();
        while let Some(found) = self.stick.find(step.now, uri, &self.found_flows, chance) {
            let lives = step.net.flows.lives(found.flow);
            if !lives || !step.net.omit.leaves_out(Omit::FailedFlows) {
                self.found_flows.push(found.flow);
            }
            if !lives {
                continue;
            }
            match found.level {
                Level::Exact => step.net.counters.stick_exact += 1,
                Level::Equal | Level::Domain => step.net.counters.stick_equal += 1,
            }
            let level = found.level;
            step.net.decided_on(found.flow, Decision::Stuck { level });
            let hop = Hop::Flow(found.flow);
            // Two flows to one edge fail together: a second one is no alternative, and only
            // takes the place of the first where that is silent.
            let same = EdgeNode::of_hop(&self.settings, step.net, hop).and_then(|edge| {
                hops.iter()
                    .position(|known| edge.is_reached_by(&self.settings, step.net, *known))
            });
            match same {
                // The simulation leaves out the list of flows that were found: the search then
                // gives this one for ever, and the bound below ends it.
                Some(_) if step.net.omit.leaves_out(Omit::FailedFlows) => hops.push(hop),
                Some(same) if step.net.is_down(step.now, hops[same]) => hops[same] = hop,
                Some(_) => {}
                None => hops.push(hop),
            }
            if hops.len() >= limits::EDGE_SET_MAX {
                break;
            }
        }
    }

    /// Adds edges that none of `hops` leads to, from a random one on: all of them where
    /// nothing is bound to the URI, else those that are not silent up to
    /// `limits::EDGES_TRIED` in all.
    fn add_other_edges(
        &mut self,
        step: &mut Step<'_>,
        transport: Transport,
        chance: u64,
        bound: usize,
        hops: &mut Vec<Hop>,
    ) {
        let count = self.edge_addresses.len();
        let start = usize::try_from(chance).unwrap_or_default() % count;
        let edges = self.edge_addresses.iter().cycle().skip(start).take(count);
        let name = step.net.flows.names.intern(&self.cluster);
        self.hop_addresses.clear();
        self.hop_addresses
            .extend(hops.iter().filter_map(|hop| step.net.flows.host(*hop)));
        let others = edges.filter(|edge| !self.hop_addresses.contains(&edge.ip));
        let others = others.map(|edge| edge.hop(transport, name));
        if bound == 0 {
            step.net.counters.stick_domain += u64::from(hops.is_empty());
            step.net.decided(Decision::NotStuck);
            hops.extend(others);
        } else {
            // Even where flows are bound: the rest of the phone's set may have been learned by
            // another home (S-22), and a phone whose set is gone is at another edge by now.
            let most = limits::EDGES_TRIED.saturating_sub(self.hop_addresses.len());
            let others = others.filter(|hop| !step.net.is_down(step.now, *hop));
            hops.extend(others.take(most.max(1)));
        }
    }
}

/// The edge that a lost connection led to.
pub(super) fn edge_to_reopen(net: &mut Net, cluster: &[u8], lost: Reopen) -> Hop {
    Hop::To {
        transport: lost.transport,
        addr: lost.addr,
        name: net.flows.names.intern(cluster),
    }
}
