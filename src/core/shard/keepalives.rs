//! Keep-alives between the elements of the cluster (K-3).

use super::{RoleMut, Shard};
use crate::frame::stun;
use crate::id::Flow;
use crate::limits;
use crate::proxy::Step;
use crate::send::Hop;
use crate::time::Instant;

impl Shard {
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
    pub(super) fn watch_opened_connection(&mut self, now: Instant, flow: Flow) {
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
