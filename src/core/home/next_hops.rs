//! Where a URI leads: to the flows it sticks to, to the edges of the cluster in turn, or to
//! what RFC 3263 makes of it.

use std::net::SocketAddr;

use super::dialog::dialog_of;
use super::state::Home;
use super::ways::Element;
use crate::id::{Flow, Transport};
use crate::limits;
use crate::omit::Omit;
use crate::proxy::{Net, Request, Step};
use crate::send::Hop;
use crate::stick::{Level, Reopen};
use crate::uri::{Uri, same_host};

impl Home {
    /// Fills `hops` for a URI: of the cluster by `cluster_hops`, of anybody
    /// else (a proxy between us and an edge, an edge of another domain: D-H9)
    /// the flow it sticks to, or what it names (RFC 3263), as `request` would go
    /// there. The number of flows of the cluster that the table knew.
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
            // The edges are asked over what the request came by.
            let came_by = request.map(|request| step.net.flows.transport(request.ingress.flow));
            let transport = came_by.unwrap_or(Transport::Udp);
            return self.cluster_hops(step, text, transport, hops);
        }
        if let Some(found) = self.stuck(step, request, text) {
            hops.push(Hop::Flow(found));
        } else {
            hops.extend(step.net.hop(step.now, bytes, uri));
        }
        0
    }

    fn stuck(
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
        step.net.flows.lives(found.flow).then_some(found.flow)
    }

    /// Fills `hops` for a URI of the cluster, best first: the flows it
    /// sticks to, else the edges in turn from a random one on (S-14 to S-18);
    /// the silent ones last. Behind the flows stand edges that none of them
    /// leads to, up to `limits::EDGES_TRIED` in all: the rest of the set may have
    /// been learned by another home (S-22), and a phone whose set is gone is at
    /// another edge by now. The number of hops that the table itself knew.
    pub(super) fn cluster_hops(
        &mut self,
        step: &mut Step<'_>,
        uri: &[u8],
        transport: Transport,
        hops: &mut Vec<Hop>,
    ) -> usize {
        let chance = step.net.secrets.chance();
        hops.clear();
        self.failed.clear();
        while let Some(found) = self.stick.find(step.now, uri, &self.failed, chance) {
            let lives = step.net.flows.lives(found.flow);
            if !lives || !step.net.omit.leaves_out(Omit::FailedFlows) {
                self.failed.push(found.flow);
            }
            if !lives {
                continue;
            }
            match found.level {
                Level::Exact => step.net.counters.stick_exact += 1,
                Level::Equal | Level::Domain => step.net.counters.stick_equal += 1,
            }
            let hop = Hop::Flow(found.flow);
            // Two flows to one edge are one way: the better one of them.
            let same = Element::at(&self.settings, step.net, hop).and_then(|here| {
                hops.iter()
                    .position(|known| here.is_at(&self.settings, step.net, *known))
            });
            match same {
                // The same flow again and again, which must come to an end.
                Some(_) if step.net.omit.leaves_out(Omit::FailedFlows) => hops.push(hop),
                Some(same) if step.net.is_down(step.now, hops[same]) => hops[same] = hop,
                Some(_) => {}
                None => hops.push(hop),
            }
            if hops.len() >= limits::EDGE_SET_MAX {
                break;
            }
        }
        let known = hops.len();
        if known == 0
            && let Some((lost, _)) = self.stick.reopen(step.now, uri)
        {
            // S-28: whoever had it a moment ago, before anybody else.
            hops.push(at_edge(step.net, &self.cluster, lost));
        }
        if !self.edges.is_empty() {
            let start = usize::try_from(chance).unwrap_or_default() % self.edges.len();
            let turn = self.edges.iter().cycle().skip(start).take(self.edges.len());
            let name = step.net.flows.names.intern(&self.cluster);
            self.hosts.clear();
            self.hosts
                .extend(hops.iter().filter_map(|hop| step.net.flows.host(*hop)));
            let turn = turn.filter(|(ip, _)| !self.hosts.contains(ip));
            let turn = turn.map(|&(ip, clear)| {
                // Over what else would it believe us?
                let transport = if clear { transport } else { Transport::Tls };
                Hop::To {
                    transport,
                    addr: SocketAddr::new(ip, transport.default_port()),
                    name,
                }
            });
            if known == 0 {
                step.net.counters.stick_domain += u64::from(hops.is_empty());
                hops.extend(turn);
            } else {
                let most = limits::EDGES_TRIED.saturating_sub(self.hosts.len()).max(1);
                hops.extend(
                    turn.filter(|hop| !step.net.is_down(step.now, *hop))
                        .take(most),
                );
            }
        }
        if hops.is_empty() {
            // S-16: too many edges to try one after the other.
            let uri = Uri::of(uri).map(|parsed| (uri, parsed));
            let hop = uri.map(|(bytes, parsed)| step.net.hop(step.now, bytes, &parsed));
            hops.extend(hop.ok().flatten());
        }
        // Few enough for an insertion sort, which keeps the order of equals.
        hops.sort_by_key(|hop| step.net.is_down(step.now, *hop));
        known
    }
}

/// The edge that a lost connection led to.
pub(super) fn at_edge(net: &mut Net, cluster: &[u8], lost: Reopen) -> Hop {
    Hop::To {
        transport: lost.transport,
        addr: lost.addr,
        name: net.flows.names.intern(cluster),
    }
}
