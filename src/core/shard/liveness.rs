//! Keep-alives between the elements of the cluster, and what their silence
//! means for the requests under way (K-3, T-10, O-11).

use super::{RoleMut, Shard};
use crate::frame::stun;
use crate::id::Flow;
use crate::limits;
use crate::proxy::Step;
use crate::send::{Handoff, Hop, LivenessEvent};
use crate::time::Instant;

/// Why a peer counts as down.
const SILENT: &str = "it does not answer";

impl Shard {
    /// Looks at every watched flow that is due.
    pub(super) fn check_liveness(&mut self, now: Instant) {
        self.net.liveness.timer_fired();
        // Lent out of the shard, all of which an event may concern.
        let mut events = std::mem::take(&mut self.liveness);
        self.net.liveness.peers.look(now, &mut events);
        for event in events.drain(..) {
            match event {
                LivenessEvent::Probe(flow) => self.send_keepalive(flow),
                LivenessEvent::Suspect(flow) => {
                    self.net.note_silence(now, flow, SILENT);
                    if let Flow::Stream(stream) = flow
                        && self.net.flows.stream(stream).is_some_and(|s| s.shared)
                    {
                        self.net.tell_all(&Handoff::Silent { flow });
                    }
                    if let RoleMut::Proxy(proxy, mut turn) = self.role_mut(now) {
                        proxy.peer_suspected(&mut turn, flow);
                    }
                }
                LivenessEvent::Lost(Flow::Stream(stream)) => {
                    self.net.counters.flows_silent += 1;
                    self.abort(now, stream);
                }
                LivenessEvent::Lost(flow) => {
                    if let RoleMut::Proxy(proxy, mut turn) = self.role_mut(now) {
                        proxy.peer_lost(&mut turn, flow);
                    }
                }
                LivenessEvent::Idle(_) => {}
                LivenessEvent::Forgotten(flow) => {
                    if let RoleMut::Proxy(_, turn) = self.role_mut(now) {
                        let step = &mut Step::new(turn.net, now);
                        turn.policy.flow_lost(step, flow, None);
                    }
                }
            }
        }
        self.liveness = events;
    }

    pub(super) fn send_keepalive(&mut self, flow: Flow) {
        let ping = match flow {
            Flow::Udp { .. } => {
                let mut transaction_id = [0; 12];
                let (front, back) = transaction_id.split_at_mut(8);
                front.copy_from_slice(&self.net.secrets.chance().to_be_bytes());
                // The answer may come to another shard, which sees from it whose it is.
                front[0] = self.net.shard_set.own;
                back.copy_from_slice(&self.net.secrets.chance().to_be_bytes()[..4]);
                self.net
                    .pool
                    .build(stun::HEADER, |out| stun::request(transaction_id, out))
            }
            // What is written before it is up waits behind the requests.
            Flow::Stream(stream) if self.net.flows.stream(stream).is_some_and(|s| s.up) => {
                self.net.pool.copy(b"\r\n\r\n")
            }
            Flow::Stream(_) => return,
        };
        self.net.counters.peer_pings += 1;
        self.net.transmit(flow, ping);
    }

    /// Watches a connection of ours that is up, when a peer is at its end, and
    /// tells the role of it (S-3, S-28).
    pub(super) fn send_keepalive_offer(&mut self, now: Instant, flow: Flow) {
        if let RoleMut::Proxy(_, mut turn) = self.role_mut(now)
            && turn.policy.is_cluster_node(turn.net, Hop::Flow(flow))
        {
            let sends_keepalives = turn.watch_opened(flow);
            turn.net.note_heard(now, flow);
            turn.policy
                .on_peer_seen(&mut Step::new(turn.net, now), flow);
            if sends_keepalives {
                // So many at once that a home that was restarted knows from the
                // first moment on that this connection is kept.
                for _ in 0..limits::PEER_HABIT {
                    self.send_keepalive(flow);
                }
            }
        }
    }
}
