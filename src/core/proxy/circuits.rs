//! Circuits: destinations of the cluster that failed a moment ago and are left for
//! last until they work again. [`Health`](crate::send::Health) holds them; here is
//! what opens and closes one, and how a hop is found to be down.

use std::net::SocketAddr;

use super::{Net, Response, Target, Turn};
use crate::id::{Flow, Transport};
use crate::scan::Name;
use crate::send::{Hop, Notice};
use crate::time::{Duration, Instant};

impl Net {
    /// A watched flow has been silent for too long.
    pub(crate) fn note_silence(&mut self, now: Instant, flow: Flow, why: &'static str) {
        self.counters.peers_silent += 1;
        if let Some((transport, peer)) = self.flows.listens_at(flow) {
            self.note_failure(now, transport, peer, why);
        }
    }

    /// A destination of the cluster failed, and is left for last from now on. The operator is
    /// told the first time.
    pub(crate) fn note_failure(
        &mut self,
        now: Instant,
        transport: Transport,
        peer: SocketAddr,
        why: &'static str,
    ) {
        if self.liveness.health.failed(now, transport, peer) {
            self.counters.circuits_opened += 1;
            self.outbox.notify(Notice::PeerDown {
                peer,
                transport,
                why,
            });
        }
    }

    /// Whether a hop is to be left for last.
    #[must_use]
    pub fn is_down(&self, now: Instant, hop: Hop) -> bool {
        let (transport, addr) = match hop {
            Hop::To {
                transport, addr, ..
            } => (transport, addr),
            // Among its servers the choice is made when they are known.
            Hop::Named(_) => return false,
            Hop::Flow(flow) if self.liveness.peers.is_suspect(flow) => return true,
            Hop::Flow(flow) if self.liveness.health.is_empty() => return !self.flows.lives(flow),
            Hop::Flow(flow) => match self.flows.far_side(flow) {
                Some(far) => far,
                None => return true,
            },
        };
        self.liveness.health.is_open(now, transport, addr)
    }
}

impl Turn<'_> {
    /// N-7: a server that says how long it wants to be left alone is; whatever
    /// else it answers, its circuit closes.
    pub(super) fn update_health(&mut self, target: &Target, response: &Response<'_>) {
        let (net, now) = (&mut *self.net, self.now);
        let is_refusal = response.status == 503;
        if !is_refusal && net.liveness.health.is_empty() {
            return;
        }
        let far = match target.hop {
            Hop::To {
                transport, addr, ..
            } => Some((transport, addr)),
            // Nobody chooses by health between the flows of a phone.
            Hop::Flow(flow) if net.liveness.peers.is_watched(flow) => net.flows.far_side(flow),
            Hop::Flow(_) | Hop::Named(_) => None,
        };
        let Some((transport, peer)) = far else { return };
        let pause = response.message.number(response.bytes, Name::RetryAfter);
        match pause {
            Ok(Some(seconds)) if is_refusal => {
                let pause = Duration::from_secs(seconds.into());
                net.counters.circuits_opened +=
                    u64::from(net.liveness.health.refused(now, transport, peer, pause));
            }
            Ok(_) | Err(_) if is_refusal => {}
            Ok(_) | Err(_) => {
                net.liveness.health.worked(now, transport, peer);
            }
        }
    }
}
