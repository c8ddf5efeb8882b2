//! What the silence of an element of the cluster means for its flow and for the requests under way
//! (T-10, O-11).

use super::{RoleMut, Shard};
use crate::id::Flow;
use crate::proxy::Step;
use crate::send::{Handoff, LivenessEvent};
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
}
