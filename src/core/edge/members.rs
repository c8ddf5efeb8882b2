//! The edges of the cluster as this one sees them: which of them an address is of, and how it
//! reaches another one.

use std::net::IpAddr;

use super::Member;
use super::state::Edge;
use crate::id::{Flow, Transport};
use crate::proxy::Net;
use crate::send::Hop;

impl Edge {
    /// All members but this one.
    pub(super) fn other_members(&self) -> impl Iterator<Item = &Member> {
        let all = self.settings.members.iter().enumerate();
        let others = all.filter(|(index, _)| *index != self.own);
        others.map(|(_, member)| member)
    }

    /// True for any address of another edge, on whatever side.
    pub(super) fn is_sibling(&self, ip: IpAddr) -> bool {
        self.other_members().any(|member| member.has(ip))
    }

    /// Whether this edge receives at that address and port.
    pub(super) fn is_own_address(&self, net: &Net, ip: IpAddr, port: u16) -> bool {
        let own = self.settings.members.get(self.own);
        own.is_some_and(|own| own.listens_at(ip, port)) || net.flows.is_local(ip, port)
    }

    /// True when a member is reached at that address and port.
    pub(super) fn is_member(&self, ip: IpAddr, port: u16) -> bool {
        let mut members = self.settings.members.iter();
        members.any(|member| member.listens_at(ip, port))
    }

    /// The index of the member that an address is of. The port decides between members that
    /// share an address; a local address that no member lists is this edge's.
    pub(super) fn member_at(&self, net: &Net, ip: IpAddr, port: Option<u16>) -> Option<usize> {
        let members = &self.settings.members;
        let claims = |index: &usize| {
            members.get(*index).is_some_and(|member| {
                port.map_or_else(|| member.has(ip), |port| member.listens_at(ip, port))
            })
        };
        let indices = || std::iter::once(self.own).chain(0..members.len());
        let local = || net.flows.is_host(ip);
        indices()
            .find(claims)
            .or_else(|| local().then_some(self.own))
            .or_else(|| indices().find(|index| members.get(*index).is_some_and(|m| m.has(ip))))
    }

    /// How to reach another member: over the transport that `flow` speaks where
    /// the edges believe one another over that. Over TLS it proves the cluster's
    /// name, as all edges do (S-35).
    pub(super) fn member_hop(&self, net: &mut Net, index: usize, flow: Flow) -> Option<Hop> {
        let member = self.settings.members.get(index)?;
        let over = |transport| member.peer_addr(net, transport);
        let tls = Some(Transport::Tls).filter(|_| !self.homes.any_without_tls());
        let all = [tls, Some(net.flows.transport(flow))];
        let mut ways = all.into_iter().flatten();
        let (transport, addr) = ways.find_map(|transport| Some((transport, over(transport)?)))?;
        Some(Hop::To {
            transport,
            addr,
            name: net.flows.names.intern(self.settings.cluster.as_bytes()),
        })
    }
}
