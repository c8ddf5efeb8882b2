//! Between the shards of a node: what another one gives us to do, and what of
//! another one's comes to us.
//!
//! A request is handed on by the role, which alone knows whose it is; a response
//! by its branch, which names the shard that wrote it.

use super::{INVITE, RoleMut, RoleState, Shard};
use crate::edge::Edge;
use crate::frame::stun;
use crate::id::Flow;
use crate::proxy::{Net, Request, Step};
use crate::scan::Method;
use crate::scan::via::Via;
use crate::send::{Far, Handoff, Output};
use crate::time::Instant;
use crate::trust::Ingress;
use crate::txn;

impl Shard {
    pub(super) fn handed(&mut self, now: Instant, from: u8, handoff: Handoff) {
        match handoff {
            Handoff::Message {
                ingress,
                far,
                bytes,
            } => {
                self.learn(now, ingress.flow, far);
                self.net.note_heard(now, ingress.flow);
                self.message(now, ingress, &bytes, None);
            }
            Handoff::RestoredFlow { flow, bytes } => {
                if let Flow::Udp { peer, .. } = flow {
                    // It is handed on once: what this shard believes of the others is
                    // as old.
                    if let RoleState::Edge(edge) = &mut self.role {
                        edge.forget_flow_elsewhere(&self.net, now, flow);
                    }
                    self.message(now, Ingress::by(flow, peer), &bytes, None);
                }
            }
            Handoff::Send { flow, bytes } => self.send_for(now, from, flow, &bytes),
            Handoff::Gone { stream } => {
                if self.net.flows.unlearn(stream) {
                    // Its own shard opens it again.
                    self.lost(now, stream, "the connection was closed", true, None);
                }
            }
            Handoff::Unreachable { flow, quoted } => self.unreachable(now, flow, &quoted),
            Handoff::Heard { flow } => {
                self.net.note_heard(now, flow);
                self.net.liveness.peers.answers(flow);
            }
            Handoff::Silent { flow } => {
                if let RoleMut::Proxy(proxy, mut turn) = self.role_mut(now) {
                    proxy.peer_suspected(&mut turn, flow);
                }
            }
            Handoff::Edge(handoff) => {
                if let RoleState::Edge(edge) = &mut self.role {
                    edge.on_handoff(&mut Step::new(&mut self.net, now), from, handoff);
                }
            }
            Handoff::Home(handoff) => {
                if let RoleState::Home(home) = &mut self.role {
                    home.on_handoff(&mut Step::new(&mut self.net, now), handoff);
                }
            }
        }
    }

    /// A flow of another shard is one of ours to use.
    fn learn(&mut self, now: Instant, flow: Flow, far: Far) {
        if self.net.flows.learn(flow, far)
            && let RoleMut::Proxy(_, turn) = self.role_mut(now)
        {
            turn.policy
                .on_peer_certificate(&mut Step::new(turn.net, now), flow);
        }
    }

    /// Sends for another shard what leaves by a flow of ours. It hears when the
    /// flow is gone, so that it does not go on waiting.
    fn send_for(&mut self, now: Instant, from: u8, flow: Flow, bytes: &[u8]) {
        let net = &mut self.net;
        match flow {
            Flow::Stream(stream) if net.flows.stream(stream).is_none() => {
                if net.shard_set.is_other(from) {
                    net.outbox.hand(from, Handoff::Gone { stream });
                }
            }
            Flow::Udp { .. } | Flow::Stream(_) => {
                net.liveness
                    .peers
                    .note_request_sent(now, flow, bytes.starts_with(INVITE));
                let bytes = net.pool.copy(bytes);
                net.record_out(&flow, &bytes);
                net.outbox.push(Output::Transmit { flow, bytes });
            }
        }
    }
}

impl Edge {
    /// Gives a request to the shard that holds its flow since an earlier run; false
    /// when there is none. A REGISTER stays: it makes the flow ours.
    pub(super) fn hand_to_flow_holder(
        &self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
    ) -> bool {
        let flow = request.ingress.flow;
        if flow.is_reliable() || request.message.method() == Method::Register {
            return false;
        }
        let Some(holder) = self.holder_of_flow(net, now, flow) else {
            return false;
        };
        net.counters.handed_strays += 1;
        let bytes = request.bytes.into();
        net.outbox
            .hand(holder, Handoff::RestoredFlow { flow, bytes });
        true
    }
}

/// Gives the answer to a keep-alive to the shard that asked.
pub(super) fn hand_pong(net: &mut Net, flow: Flow, bytes: &[u8]) {
    if !net.shard_set.is_alone()
        && let Some(asker) = stun::answered(bytes).map(|[first, ..]| first)
        && net.shard_set.is_other(asker)
    {
        net.outbox.hand(asker, Handoff::Heard { flow });
    }
}

/// Gives a response to the shard that sent the request; false when that is this one, or
/// nobody. That the branch is genuine is found out there.
pub(super) fn hand_response(net: &mut Net, via: &Via, ingress: Ingress, bytes: &[u8]) -> bool {
    if net.shard_set.is_alone() {
        return false;
    }
    let writer = via
        .branch
        .and_then(|branch| txn::shard_of(branch.of(bytes)));
    let ours = net.flows.wrote(bytes, via);
    let Some(to) = writer.filter(|to| ours && net.shard_set.is_other(*to)) else {
        return false;
    };
    net.counters.handed_responses += 1;
    net.hand_over(to, ingress, bytes);
    true
}
