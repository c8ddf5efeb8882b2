//! Branches whose server the DNS has to find (RFC 3263): they wait for it, or become one
//! branch for each server, tried in order (N-1, N-7).

use std::net::SocketAddr;

use super::servers::Located;
use super::standby::Failure;
use super::{Branch, Proxy, Request, State, Step, Target, Turn};
use crate::id::{Slot, Transport};
use crate::limits;
use crate::locate::{Answered, LookupId, Records, Waiter};
use crate::send::{Hop, NameId};

impl Proxy {
    /// Gives a branch whose target is a name the address of a server, and the
    /// further servers as its stand-bys. False when it has to wait, or has come
    /// to its end.
    pub(super) fn locate(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) -> bool {
        let Some(name) = self.name_of(slot, index) else {
            return true;
        };
        match turn.net.locate(turn.now, name) {
            Located::Ready => self.spread_over_servers(turn, slot, index),
            Located::Nowhere(status) => self.not_located(turn, slot, index, status),
            Located::Pending => {
                self.wait_for_name(turn, slot, index, name);
                false
            }
        }
    }

    fn name_of(&self, slot: Slot, index: usize) -> Option<LookupId> {
        let branch = self.contexts.get(slot)?.branches.get(index)?;
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
        branch.state = State::Locating;
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
    /// False when it may go to none of them, and has ended.
    fn spread_over_servers(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) -> bool {
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
        first.is_some() || self.not_located(turn, slot, index, 404)
    }

    fn add_servers(&mut self, slot: Slot, index: usize, hops: impl Iterator<Item = Hop>) {
        let Some(context) = self.contexts.get_mut(slot) else {
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

    /// There is no server: whoever stands by tries as after a failure of the
    /// way. Always false.
    fn not_located(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize, status: u16) -> bool {
        turn.net.counters.transport_failures += 1;
        if let Some(branch) = self.branch(slot, index) {
            branch.state = State::Done(status);
        }
        self.try_standby(turn, slot, index, Failure::Silent(503));
        false
    }

    /// An answer of the DNS: whoever waited for it goes on.
    pub fn resolved(&mut self, turn: &mut Turn<'_>, name: LookupId, records: &Records) {
        let mut waiting = Vec::new();
        let locator = &mut turn.net.servers.locator;
        if locator.answer(turn.now, name, records, &mut waiting) == Answered::Failed {
            turn.net.counters.names_failed += 1;
        }
        turn.policy
            .on_dns_answer(&mut Step::new(turn.net, turn.now));
        for waiter in waiting {
            let (slot, index) = (waiter.context, usize::from(waiter.branch));
            let Some(branch) = self.branch(slot, index) else {
                continue;
            };
            if branch.state != State::Locating {
                continue;
            }
            branch.state = State::Waiting;
            let breadth = branch.breadth;
            if let Some(timer) = branch.timer.take() {
                turn.net.txns.cancel_timer(timer);
            }
            self.launch(turn, slot, index, breadth);
            self.advance(turn, slot);
        }
        self.returns.located(turn, name);
    }

    /// The DNS is silent: what it said last has to do.
    pub(super) fn locating_ended(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) {
        let Some(name) = self.name_of(slot, index) else {
            return;
        };
        let breadth = self.branch(slot, index).map_or(1, |branch| branch.breadth);
        let chance = turn.net.secrets.chance();
        match turn.net.locate_last(turn.now, name, chance) {
            Located::Ready if self.spread_over_servers(turn, slot, index) => {
                self.launch(turn, slot, index, breadth);
            }
            Located::Ready => {}
            Located::Pending | Located::Nowhere(_) => {
                turn.net.counters.timeouts += 1;
                self.not_located(turn, slot, index, 480);
            }
        }
        self.advance(turn, slot);
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

    /// The last question before anything leaves that was not planned for a flow
    /// there is already: whether it may go there at all (I-6).
    pub(super) fn may_send(&self, hop: Hop) -> bool {
        match hop {
            Hop::Flow(_) | Hop::Named(_) => true,
            Hop::To { addr, .. } => {
                self.policy.is_cluster_node(self.net, hop) || self.net.permits(addr)
            }
        }
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
