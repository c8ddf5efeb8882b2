//! Branches whose server the DNS has to find (RFC 3263): they wait for it, or become one
//! branch for each server, tried in order (N-1, N-7).

use std::net::SocketAddr;

use super::branch::{Branch, BranchState};
use super::contexts::Contexts;
use super::servers::Located;
use super::standby::{BranchFailure, Launch};
use super::{Context, Net, Request, Target, Turn};
use crate::id::{Slot, Transport};
use crate::limits;
use crate::locate::{LookupId, Waiter};
use crate::send::{Hop, NameId};

/// Where a branch leads, once the DNS was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BranchHop {
    /// To a flow or an address.
    Known,
    /// The DNS is still to answer, and the branch waits for that.
    Awaited,
    /// Nowhere, which comes to this status.
    Nowhere(u16),
}

impl Contexts {
    /// Gives a branch whose target is a name the address of a server, and the
    /// further servers as its stand-bys.
    pub(super) fn locate(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) -> BranchHop {
        let Some(name) = self.name_of(slot, index) else {
            return BranchHop::Known;
        };
        match turn.net.locate(turn.now, name) {
            Located::Ready => self.spread_over_servers(turn, slot, index),
            Located::Nowhere(status) => BranchHop::Nowhere(status),
            Located::Pending => {
                self.wait_for_name(turn, slot, index, name);
                BranchHop::Awaited
            }
        }
    }

    /// The name that a branch leads to, where it leads to one.
    pub(super) fn name_of(&self, slot: Slot, index: usize) -> Option<LookupId> {
        let branch = self.get(slot)?.branches.get(index)?;
        match branch.target.hop {
            Hop::Named(name) => Some(name),
            Hop::Flow(_) | Hop::To { .. } => None,
        }
    }

    fn wait_for_name(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize, name: LookupId) {
        let number = u8::try_from(index).unwrap_or(u8::MAX);
        let Some(branch) = self.branch(slot, index) else {
            return;
        };
        branch.state = BranchState::Locating;
        branch.set_due(turn, slot, index, limits::DNS_WAIT_MAX);
        turn.net.counters.names_waited += 1;
        let waiter = Waiter {
            context: slot,
            branch: number,
        };
        turn.net.servers.locator.wait(name, waiter);
    }

    /// Gives the branch the first of the servers that were found, and adds a stand-by for
    /// each of the others, in order; the stand-by that the branch had comes behind the last.
    pub(super) fn spread_over_servers(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        index: usize,
    ) -> BranchHop {
        let name = self.name_of(slot, index);
        let name = name.and_then(|name| turn.net.tls_domain(name));
        let servers = turn.net.servers.found.iter();
        let servers = servers.filter(|&&(transport, addr)| turn.may_reach(transport, addr, name));
        let mut hops = servers.map(|&(transport, addr)| to(transport, addr, name));
        let first = hops.next();
        if let (Some(hop), Some(branch)) = (first, self.branch(slot, index)) {
            branch.target.hop = hop;
            self.add_servers(slot, index, hops);
        }
        // None, and it may go to none of them.
        first.map_or(BranchHop::Nowhere(404), |_| BranchHop::Known)
    }

    fn add_servers(&mut self, slot: Slot, index: usize, hops: impl Iterator<Item = Hop>) {
        let Some(context) = self.get_mut(slot) else {
            return;
        };
        let Some(branch) = context.branches.get(index) else {
            return;
        };
        let like = branch.target.clone();
        let further = hops.map(|hop| Branch {
            is_located: true,
            ..Branch::new(Target {
                hop,
                ..like.clone()
            })
        });
        context.append_standbys(index, further);
    }
}

impl Context {
    /// There is no server for a branch: whoever stands by tries as after a failure of the way.
    pub(super) fn not_located(
        &mut self,
        net: &mut Net,
        index: usize,
        status: u16,
    ) -> Option<Launch> {
        net.counters.transport_failures += 1;
        if let Some(branch) = self.branches.get_mut(index) {
            branch.state = BranchState::Done(status);
        }
        self.standby_after(net, index, BranchFailure::Silent(503))
    }
}

/// A server; over TLS it has to prove the name (N-8).
pub(super) const fn to(transport: Transport, addr: SocketAddr, name: Option<NameId>) -> Hop {
    Hop::To {
        transport,
        addr,
        name,
    }
}

impl Turn<'_> {
    /// Whether a message may go where a name leads.
    pub(super) fn may_reach(
        &self,
        transport: Transport,
        addr: SocketAddr,
        domain: Option<NameId>,
    ) -> bool {
        let flows = &self.net.flows;
        let domain = domain.and_then(|domain| flows.names.get(domain));
        // A name that leads back here is not one that is served here.
        !flows.is_local(addr.ip(), addr.port())
            && self.policy.may_reach(transport, addr, domain)
            && self.may_send(Hop::to(transport, addr))
    }

    /// The server that an ACK goes to: for every copy of it the same one (N-9).
    pub(super) fn first_server(&mut self, name: LookupId, request: &Request<'_>) -> Option<Hop> {
        let chance = self.net.secrets.hash([request.via.value.of(request.bytes)]);
        self.net.prefetch(self.now, name);
        self.net.locate_last(self.now, name, chance);
        let proof = self.net.tls_domain(name);
        let mut servers = self.net.servers.found.iter().copied();
        let (transport, addr) =
            servers.find(|&(transport, addr)| self.may_reach(transport, addr, proof))?;
        Some(to(transport, addr, proof))
    }
}
