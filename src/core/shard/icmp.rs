//! What the network says about datagrams of ours that did not arrive: a hint,
//! which anybody can write about a flow whose addresses he knows (trust: ICMP).
//!
//! It counts where it quotes a branch that we sent by that very flow, whose
//! request still waits: then that request goes another way at once. It removes
//! nothing that is registered or bound. An element of the cluster is asked itself
//! whether it is there, and until it answers it is left for last.

use super::{RoleMut, Shard};
use crate::frame::quote;
use crate::guard::SourceLimit;
use crate::id::{Flow, Transport};
use crate::proxy::Net;
use crate::send::{Handoff, Hop};
use crate::time::Instant;
use crate::txn;

impl Shard {
    /// The network has sent the beginning of a datagram back.
    pub(super) fn returned(&mut self, now: Instant, flow: Flow, quoted: &[u8]) {
        if !self.may_object(now, flow) {
            self.net.counters.limited += 1;
            return;
        }
        let branch = quote::read(quoted).map(|quote| quote.branch);
        let writer = branch.and_then(txn::shard_of);
        match writer.filter(|shard| self.net.shard_set.is_other(*shard)) {
            Some(writer) => {
                let quoted = quoted.into();
                self.net
                    .outbox
                    .hand(writer, Handoff::Unreachable { flow, quoted });
            }
            None => self.unreachable(now, flow, quoted),
        }
    }

    /// Whether what the network says of that source is still listened to.
    fn may_object(&mut self, now: Instant, flow: Flow) -> bool {
        let Flow::Udp { peer, .. } = flow else {
            return false;
        };
        let is_exempt = match self.role_mut(now) {
            RoleMut::Proxy(_, turn) => turn.policy.is_cluster_node(turn.net, Hop::Flow(flow)),
            RoleMut::Agent(..) => true,
        };
        is_exempt || self.net.guard.admit(now, peer.ip(), SourceLimit::Stray)
    }

    /// a datagram that this shard may have written did not arrive.
    pub(super) fn unreachable(&mut self, now: Instant, flow: Flow, quoted: &[u8]) {
        let client = quote::read(quoted).and_then(|quote| {
            let Net { txns, .. } = &self.net;
            txns.waiting_client(flow, quote.branch, quote.method)
        });
        let Some(client) = client else {
            self.net.counters.unreachable_strange += 1;
            return;
        };
        self.net.counters.unreachable_heeded += 1;
        match self.role_mut(now) {
            RoleMut::Proxy(proxy, mut turn) => proxy.unreached(&mut turn, client),
            RoleMut::Agent(agent, mut step) => agent.unreached(&mut step, client, flow),
        }
        if self.net.liveness.peers.doubt(now, flow) {
            self.send_keepalive(flow);
        }
        if let Flow::Udp { peer, .. } = flow
            && self.net.liveness.peers.is_suspect(flow)
        {
            self.net
                .note_failure(now, Transport::Udp, peer, "nobody is there");
        }
    }
}
