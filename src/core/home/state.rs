//! What a home knows, and who somebody is to it. Here are the fields and what can be read
//! off them alone; what the home does stands in the other files of the room, which use
//! this one and of which only the tables are used here.

use std::net::IpAddr;
use std::sync::Arc;

use super::challenged::Challenged;
use super::edge_node::ConfiguredEdge;
use super::former_paths::FormerPaths;
use super::revocation_queue::RevocationQueue;
use super::tentative::TentativeChanges;
use super::under_way::UnderWay;
use super::unrecognised_edges::UnrecognisedEdges;
use super::{Location, Replay, Settings, Subscribers};
use crate::carry::carried;
use crate::id::{Flow, Transport};
use crate::proxy::Net;
use crate::scan::Message;
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
    pub(super) former_paths: FormerPaths,
    /// Flows that phones have registered over, at whose end an edge was until the configuration
    /// said otherwise.
    pub(super) former_edges: Vec<Flow>,
    /// Host of `settings.edges`: the edge cluster's name.
    pub(super) cluster: Vec<u8>,
    /// Where `settings.edge_peers` says that an edge lives, for a URI of the cluster that
    /// sticks nowhere (S-16): any edge knows the right one.
    pub(super) edge_addresses: Vec<ConfiguredEdge>,
    /// Scratch space: the flows that a search in `stick` has given already.
    pub(super) found_flows: Vec<Flow>,
    /// Scratch space: the addresses that a list of hops leads to.
    pub(super) hop_addresses: Vec<IpAddr>,
    /// Scratch space: the outline of a request that is scanned again when its response
    /// comes.
    pub(super) rescanned: Message,
    /// Scratch space: the addresses of record that a sweep has taken bindings from.
    pub(super) swept: Vec<Box<[u8]>>,
    pub(super) revocations: RevocationQueue,
    pub(super) tentative: TentativeChanges,
    pub(super) under_way: UnderWay,
    pub(super) unrecognised_edges: UnrecognisedEdges,
}

impl Home {
    /// A home with these subscribers and no registrations.
    #[must_use]
    pub fn new(settings: Settings, subscribers: Arc<Subscribers>, seed: [u64; 4]) -> Self {
        Self {
            subscribers,
            marks: marks(&settings),
            location: Location::new(seed),
            replay: Replay::new(seed),
            challenged: Challenged::default(),
            stick: Table::new(seed),
            former_paths: FormerPaths::default(),
            former_edges: Vec::new(),
            cluster: cluster(&settings),
            edge_addresses: ConfiguredEdge::all(&settings.edge_peers),
            found_flows: Vec::new(),
            hop_addresses: Vec::new(),
            rescanned: Message::default(),
            swept: Vec::new(),
            revocations: RevocationQueue::default(),
            tentative: TentativeChanges::default(),
            under_way: UnderWay::new(seed),
            unrecognised_edges: UnrecognisedEdges::default(),
            settings,
        }
    }

    /// Replaces what follows from the settings and from nothing else.
    pub(super) fn derive(&mut self, settings: &Settings) {
        self.marks = marks(settings);
        self.cluster = cluster(settings);
        self.edge_addresses = ConfiguredEdge::all(&settings.edge_peers);
    }

    /// The number of the last record that was put out for the store.
    pub(crate) const fn put_out(&self) -> u64 {
        self.tentative.put_out()
    }

    /// Addresses of record with a binding.
    #[must_use]
    pub fn registered(&self) -> usize {
        self.location.len()
    }

    /// True for a URI that names this home: its domain or one of its own addresses, without
    /// a user.
    pub(super) fn is_own_uri(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) || uri.user.is_some() {
            return false;
        }
        self.is_own_host(net, bytes, uri)
    }

    /// True when the host of a URI is the domain or one of our own addresses.
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
        // A request for the cluster's name goes where the table says, whatever its `maddr`.
        is_cluster(uri.host)
            || is_cluster(target)
            || host_ip(target.of(bytes)).is_some_and(|ip| self.settings.has_edge_at(ip))
    }
}

fn marks(settings: &Settings) -> MarkKey {
    MarkKey::ring(&settings.nonce_key, &settings.older_nonce_keys)
}

/// The edge cluster's name.
fn cluster(settings: &Settings) -> Vec<u8> {
    let edges = settings.edges.as_bytes();
    let host = Uri::of(edges).map(|uri| uri.host.of(edges).to_vec());
    host.unwrap_or_default()
}

carried!(Home {
    parts: location, replay, challenged, stick, former_paths, revocations, under_way;
    values: former_edges, tentative, unrecognised_edges;
    made: settings, subscribers, marks, cluster, edge_addresses, found_flows, hop_addresses,
        rescanned, swept;
});

#[cfg(test)]
mod tests;
