//! What is given to the other shards of the node, which hold other flows, phones
//! and addresses of record.

use super::{Net, Request};
use crate::scan::Method;
use crate::send::{End, Far, Handoff};
use crate::trust::Ingress;

impl Net {
    /// Gives every other shard a copy of it.
    pub(crate) fn tell_all(&mut self, handoff: &Handoff) {
        for to in self.shard_set.others() {
            self.outbox.hand(to, handoff.clone());
        }
    }

    /// Hands a message over as it came.
    pub(crate) fn hand_over(&mut self, to: u8, mut ingress: Ingress, bytes: &[u8]) {
        let Ingress { flow, source, .. } = ingress;
        self.flows.share(flow);
        let far = self.flows.far(flow).unwrap_or_else(|| Far {
            end: End::new(self.flows.transport(flow), source),
            identities: Box::default(),
        });
        ingress.handed = ingress.handed.saturating_add(1);
        let message = Handoff::Message {
            ingress,
            far,
            bytes: bytes.into(),
        };
        self.outbox.hand(to, message);
    }
}

/// Hands a request over, and counts it.
pub(super) fn hand_request(net: &mut Net, to: u8, request: &Request<'_>) {
    if request.message.method() == Method::Register {
        net.counters.handed_registers += 1;
    } else {
        net.counters.handed_over += 1;
    }
    net.hand_over(to, request.ingress, request.bytes);
}
