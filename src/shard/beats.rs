//! Keep-alives between the elements of the cluster, and what their silence
//! means for the requests under way (K-3, T-10, O-11).

use super::{Hands, Shard};
use crate::frame::stun;
use crate::id::Flow;
use crate::limits;
use crate::send::{Beat, Handoff, Hop};
use crate::time::Instant;

/// Why a peer counts as down.
const SILENT: &str = "it does not answer";

impl Shard {
    /// Looks at every watched flow that is due.
    pub(super) fn beat(&mut self, now: Instant) {
        self.net.beats_fired();
        let mut beats = std::mem::take(&mut self.beats);
        self.net.peers.look(now, &mut beats);
        for beat in beats.drain(..) {
            match beat {
                Beat::Ask(flow) => self.ask(flow),
                Beat::Suspect(flow) => {
                    self.net.suspect(now, flow, SILENT);
                    if let Flow::Stream(stream) = flow
                        && self.net.flows.stream(stream).is_some_and(|s| s.shared)
                    {
                        self.net.tell_all(&Handoff::Silent { flow });
                    }
                    if let Hands::Proxy(proxy, mut turn) = self.hands(now) {
                        proxy.suspected(&mut turn, flow);
                    }
                }
                Beat::Lost(Flow::Stream(stream)) => {
                    self.net.counters.flows_silent += 1;
                    self.abort(now, stream);
                }
                Beat::Lost(flow) => {
                    if let Hands::Proxy(proxy, mut turn) = self.hands(now) {
                        proxy.lost(&mut turn, flow);
                    }
                }
                Beat::Idle(_) => {}
                Beat::Forgotten(flow) => {
                    if let Hands::Proxy(_, turn) = self.hands(now) {
                        turn.policy.flow_lost(turn.net, now, flow, None);
                    }
                }
            }
        }
        self.beats = beats;
    }

    pub(super) fn ask(&mut self, flow: Flow) {
        let ping = match flow {
            Flow::Udp { .. } => {
                let mut transaction_id = [0; 12];
                let (front, back) = transaction_id.split_at_mut(8);
                front.copy_from_slice(&self.net.chance().to_be_bytes());
                // The answer may come to another shard, which sees from it whose it is.
                front[0] = self.net.team.own;
                back.copy_from_slice(&self.net.chance().to_be_bytes()[..4]);
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
    pub(super) fn greet(&mut self, now: Instant, flow: Flow) {
        if let Hands::Proxy(_, mut turn) = self.hands(now)
            && turn.policy.is_peer(turn.net, Hop::Flow(flow))
        {
            let is_asker = turn.watch_opened(flow);
            turn.net.heard(now, flow);
            turn.policy.met(turn.net, now, flow);
            if is_asker {
                // So many at once that a home that was restarted knows from the
                // first moment on that this connection is kept.
                for _ in 0..limits::PEER_HABIT {
                    self.ask(flow);
                }
            }
        }
    }
}
