//! Which edge is at the end of a flow or at an address. Several hops may lead to one edge:
//! it opens a connection for a message that is too long for a datagram, and each of its
//! shards has a flow of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Settings;
use crate::id::Transport;
use crate::proxy::Net;
use crate::send::{Clear, End, Hop, HostRule, NameId};

/// One edge, as far as its address and the ports of the configuration tell it from others.
pub(super) struct EdgeNode {
    ip: IpAddr,
    /// Index of the first rule of `edge_peers` that fits its port as well.
    rule: Option<usize>,
}

impl EdgeNode {
    /// The edge that a hop leads to; `None` where no edge lives there.
    pub(super) fn of_hop(settings: &Settings, net: &Net, hop: Hop) -> Option<Self> {
        let end = match hop {
            Hop::Flow(flow) => net.flows.end(flow)?,
            Hop::To {
                transport, addr, ..
            } => End::new(transport, addr),
            Hop::Named(_) => return None,
        };
        let ip = end.addr.ip().to_canonical();
        let mut rules = settings.edge_peers.iter();
        let rule = rules.position(|rule| rule.comes_from(&end));
        settings.has_edge_at(ip).then_some(Self { ip, rule })
    }

    /// Whether a hop leads to this edge: to its address, unless the ports belong to
    /// different rules of the configuration.
    pub(super) fn is_reached_by(&self, settings: &Settings, net: &Net, hop: Hop) -> bool {
        let Some(other) = Self::of_hop(settings, net, hop) else {
            return false;
        };
        let ports_differ = self.rule.is_some() && other.rule.is_some() && self.rule != other.rule;
        self.ip == other.ip && !ports_differ
    }
}

/// An address at which the configuration says that an edge lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConfiguredEdge {
    pub(super) ip: IpAddr,
    /// The edge is believed, and believes us, without TLS.
    is_clear: bool,
}

impl ConfiguredEdge {
    /// The addresses that the rules name one by one. A prefix names a few neighbours at
    /// most; a whole network of edges is found through DNS, not by trying its addresses.
    pub(super) fn all(rules: &[HostRule]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for rule in rules {
            let (prefix, len) = rule.network;
            let is_clear = rule.clear != Clear::No;
            for ip in prefix_addresses(prefix, len) {
                match all.iter_mut().find(|known| known.ip == ip) {
                    Some(known) => known.is_clear |= is_clear,
                    None => all.push(Self { ip, is_clear }),
                }
            }
        }
        all
    }

    /// The hop to its default port, over `transport` where that needs no certificate of
    /// ours or over TLS: over nothing else would the edge believe us. `name` is what its
    /// certificate has to prove.
    pub(super) fn hop(self, transport: Transport, name: Option<NameId>) -> Hop {
        let transport = if self.is_clear {
            transport
        } else {
            Transport::Tls
        };
        Hop::To {
            transport,
            addr: SocketAddr::new(self.ip, transport.default_port()),
            name,
        }
    }
}

/// The addresses in a prefix; none where they are too many to be tried.
fn prefix_addresses(prefix: IpAddr, len: u8) -> Vec<IpAddr> {
    /// Most addresses in a prefix that are tried one by one.
    const ADDRESSES_MAX: u32 = 64;
    let IpAddr::V4(v4) = prefix else {
        return (len >= 128).then_some(prefix).into_iter().collect();
    };
    let host_bits = 32 - u32::from(len.min(32));
    let count = 1u32.checked_shl(host_bits);
    let Some(count) = count.filter(|count| *count <= ADDRESSES_MAX) else {
        return Vec::new();
    };
    let first = v4.to_bits() & !(count - 1);
    (first..=first.saturating_add(count - 1))
        .map(|bits| Ipv4Addr::from_bits(bits).into())
        .collect()
}
