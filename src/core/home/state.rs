//! What a home knows, and who somebody is to it. Here are the fields and what can be read
//! off them alone; what the home does stands in the other files of the room, which use
//! this one and of which only the tables are used here.

use std::net::IpAddr;
use std::sync::Arc;

use super::challenged::Challenged;
use super::former::Former;
use super::revoking::queue::Revoking;
use super::unrecognised::Unrecognised;
use super::{Location, Replay, Settings, Subscribers};
use crate::id::{Flow, Transport};
use crate::proxy::Net;
use crate::scan::Message;
use crate::send::Clear;
use crate::span::Span;
use crate::stick::Table;
use crate::trust::MarkKey;
use crate::uri::{Scheme, Uri, host_ip, same_host};

/// One home of a domain.
pub struct Home {
    pub(super) settings: Settings,
    pub(super) subscribers: Arc<Subscribers>,
    pub(super) marks: MarkKey,
    pub(super) location: Location,
    pub(super) replay: Replay,
    pub(super) challenged: Challenged,
    /// Which flow a URI sticks to.
    pub(super) stick: Table,
    /// Under which Paths phones were known before.
    pub(super) former: Former,
    /// Host of `settings.edges`: the edge cluster's name.
    pub(super) cluster: Vec<u8>,
    /// The addresses in `edge_peers`, and whether they are believed without TLS,
    /// for a URI of the cluster that sticks nowhere (S-16): any edge knows the
    /// right one.
    pub(super) edges: Vec<(IpAddr, bool)>,
    /// Room for the flows that a search has been given already.
    pub(super) failed: Vec<Flow>,
    /// Room for where a list of hops leads.
    pub(super) hosts: Vec<IpAddr>,
    /// Room for the outline of a request that is looked at again when its response
    /// comes.
    pub(super) again: Message,
    /// Room for the addresses of record that a sweep has taken bindings from.
    pub(super) changed: Vec<Box<[u8]>>,
    pub(super) revoking: Revoking,
    pub(super) unrecognised: Unrecognised,
}

impl Home {
    /// A home with these subscribers and no registrations.
    #[must_use]
    pub fn new(settings: Settings, subscribers: Arc<Subscribers>, seed: [u64; 4]) -> Self {
        let cluster = Uri::of(settings.edges.as_bytes())
            .map(|uri| uri.host.of(settings.edges.as_bytes()).to_vec());
        // A prefix names a few neighbours at most; a whole network of edges is
        // found through DNS, not by trying its addresses.
        let mut edges: Vec<(IpAddr, bool)> = Vec::new();
        for rule in &settings.edge_peers {
            let (ip, prefix) = rule.network;
            let is_clear = rule.clear != Clear::No;
            for ip in neighbours(ip, prefix) {
                match edges.iter_mut().find(|(known, _)| *known == ip) {
                    Some((_, clear)) => *clear |= is_clear,
                    None => edges.push((ip, is_clear)),
                }
            }
        }
        Self {
            subscribers,
            marks: MarkKey::new(&settings.nonce_key),
            location: Location::new(seed),
            replay: Replay::new(seed),
            challenged: Challenged::default(),
            stick: Table::new(seed),
            former: Former::default(),
            cluster: cluster.unwrap_or_default(),
            edges,
            failed: Vec::new(),
            hosts: Vec::new(),
            again: Message::default(),
            changed: Vec::new(),
            revoking: Revoking::default(),
            unrecognised: Unrecognised::default(),
            settings,
        }
    }

    /// Addresses of record with a binding.
    #[must_use]
    pub fn registered(&self) -> usize {
        self.location.len()
    }

    /// True for a URI that names this home: its domain without a user, or one
    /// of its own addresses.
    pub(super) fn is_own(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) || uri.user.is_some() {
            return false;
        }
        self.is_own_host(net, bytes, uri)
    }

    /// True when the host is the domain or one of our own addresses.
    pub(super) fn is_own_host(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        let host = uri.host.of(bytes);
        same_host(host, self.settings.domain.as_bytes())
            || host_ip(host).is_some_and(|ip| net.flows.is_local(ip, uri.port.unwrap_or(5060)))
    }

    /// Whether an edge is at the end of the flow (D-H2). Over TLS its
    /// certificate says so by naming the cluster, over UDP and TCP its address
    /// and port, where it may speak those.
    pub(super) fn is_edge(&self, net: &Net, flow: Flow) -> bool {
        if net.flows.transport(flow) == Transport::Tls {
            return net.flows.proves(flow, &self.cluster);
        }
        let end = net.flows.end(flow);
        end.is_some_and(|end| self.settings.is_edge(&end))
    }

    /// Whether another carrier is at the end of the flow.
    #[must_use]
    pub(crate) fn is_carrier(&self, net: &Net, flow: Flow) -> bool {
        let identities = net.flows.identities(flow);
        let mut carriers = self.settings.peers.iter();
        let end = net.flows.end(flow);
        end.is_some_and(|end| carriers.any(|carrier| carrier.believes(&end, identities)))
            && !self.is_edge(net, flow)
    }

    /// Whether a text is a URI that leads to an edge.
    pub(super) fn is_uri_of_edge(&self, text: &[u8]) -> bool {
        Uri::of(text).is_ok_and(|uri| self.names_edge(text, &uri))
    }

    /// Whether a URI leads to an edge: to the cluster by its name, or to one of them by
    /// its address, in the `maddr` where it has one (RFC 3263 §4).
    pub(super) fn names_edge(&self, bytes: &[u8], uri: &Uri) -> bool {
        let target = uri.target(bytes);
        let is_cluster = |host: Span| same_host(host.of(bytes), &self.cluster);
        // The cluster's name is served from the table, whatever stands behind it.
        is_cluster(uri.host)
            || is_cluster(target)
            || host_ip(target.of(bytes)).is_some_and(|ip| self.settings.has_edge_at(ip))
    }
}

/// The addresses a prefix names; none where they are too many to be tried.
fn neighbours(prefix: IpAddr, len: u8) -> Vec<IpAddr> {
    /// Most addresses that one prefix may stand for here.
    const FEW: u32 = 64;
    let IpAddr::V4(v4) = prefix else {
        return (len >= 128).then_some(prefix).into_iter().collect();
    };
    let spare = 32 - u32::from(len.min(32));
    let Some(count) = 1u32.checked_shl(spare).filter(|count| *count <= FEW) else {
        return Vec::new();
    };
    let first = v4.to_bits() & !(count - 1);
    (first..=first.saturating_add(count - 1))
        .map(|bits| std::net::Ipv4Addr::from_bits(bits).into())
        .collect()
}

#[cfg(test)]
mod tests;
