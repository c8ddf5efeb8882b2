//! Who is at the end of a flow, or at an address: a home, another edge, a carrier, or anybody.

use std::net::IpAddr;

use super::state::Edge;
use crate::id::{Flow, Transport};
use crate::proxy::Net;
use crate::send::{End, Hop};

/// Who sent a request, by the flow it came over and by nothing in it (D-H2).
///
/// Over TLS the certificate decides: a domain of the home, or the cluster's
/// name, which all edges share (S-35). A TLS connection without a certificate is a phone's,
/// whatever its address. Over UDP and TCP address and port decide
/// (`HostRule`), and only where a home is configured without TLS: with TLS
/// to all homes, nobody is taken for a home or an edge without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The home.
    Home,
    /// Another edge of the cluster, which relays a request.
    Edge,
    /// Another carrier, which sends calls.
    Carrier,
    /// A phone, or anybody.
    Phone,
}

impl Origin {
    /// An element of this cluster.
    pub(super) const fn is_ours(self) -> bool {
        matches!(self, Self::Home | Self::Edge)
    }
}

impl Edge {
    /// Who sends what comes over a flow.
    pub(super) fn origin(&self, net: &Net, flow: Flow) -> Origin {
        let Some(end) = net.flows.end(flow) else {
            return Origin::Phone;
        };
        // Homes and edges beyond the core side come to its sockets: an address of theirs at
        // another socket is forged.
        if let Flow::Udp { socket, .. } = flow
            && net.flows.is_beyond_core(end.addr.ip())
            && net.flows.is_beside_core(socket)
        {
            return Origin::Phone;
        }
        let member = if end.transport == Transport::Tls {
            self.origin_by_certificate(net, flow)
        } else {
            self.origin_by_address(&end)
        };
        let identities = net.flows.identities(flow);
        let mut carriers = self.settings.peers.iter();
        if member == Origin::Phone && carriers.any(|rule| rule.believes(&end, identities)) {
            Origin::Carrier
        } else {
            member
        }
    }

    /// Who is at the end of a flow that has no certificate, by its address and port.
    fn origin_by_address(&self, end: &End) -> Origin {
        if self.homes.is_home_by_address(end) {
            Origin::Home
        } else if self.homes.any_without_tls()
            && self.siblings.iter().any(|rule| rule.believes(end))
        {
            Origin::Edge
        } else {
            Origin::Phone
        }
    }

    fn origin_by_certificate(&self, net: &Net, flow: Flow) -> Origin {
        let is_home = |name: &str| {
            let mut domains = self.settings.home_domains.iter();
            domains.any(|domain| domain.eq_ignore_ascii_case(name)) || self.homes.proves_home(name)
        };
        let identities = net.flows.identities(flow);
        if identities.iter().any(|name| is_home(name)) {
            Origin::Home
        } else if net.flows.proves(flow, self.settings.cluster.as_bytes()) {
            Origin::Edge
        } else {
            Origin::Phone
        }
    }

    /// Who would receive what is sent to an address. Who sends from an address is another
    /// question (`origin`).
    pub(super) fn origin_at(&self, ip: IpAddr) -> Origin {
        let ip = ip.to_canonical();
        if self.homes.has(ip) {
            Origin::Home
        } else if self.is_sibling(ip) {
            Origin::Edge
        } else {
            Origin::Phone
        }
    }

    /// Who receives what is sent to a hop.
    pub(super) fn origin_of(&self, net: &Net, hop: Hop) -> Origin {
        match hop {
            Hop::Flow(flow) => self.origin(net, flow),
            Hop::To { addr, .. } => self.origin_at(addr.ip()),
            Hop::Named(name) if self.homes.has_lookup(name) => Origin::Home,
            Hop::Named(_) => Origin::Phone,
        }
    }
}
