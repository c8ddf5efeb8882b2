//! Which hops are one way: they lead to one edge, whatever is spoken on them. An edge
//! that registered a phone over UDP opens a connection for a message that is too long
//! for a datagram, and has one flow for each of its shards.

use std::net::IpAddr;

use super::Settings;
use crate::proxy::Net;
use crate::send::{End, Hop};

/// An edge as far as its address and ports tell it from others: where it lives, and
/// who it is among those that the configuration has living there.
pub(super) struct Element {
    ip: IpAddr,
    rule: Option<usize>,
}

impl Element {
    /// Which edge a hop leads to; `None` where it is no edge's.
    pub(super) fn at(settings: &Settings, net: &Net, hop: Hop) -> Option<Self> {
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

    /// Whether it is the edge that a hop leads to: at one address, and the ports do
    /// not tell them apart.
    pub(super) fn is_at(&self, settings: &Settings, net: &Net, hop: Hop) -> bool {
        let Some(other) = Self::at(settings, net, hop) else {
            return false;
        };
        let ports_tell = self.rule.is_some() && other.rule.is_some() && self.rule != other.rule;
        self.ip == other.ip && !ports_tell
    }
}
