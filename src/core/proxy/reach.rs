//! Where something goes: the flow to a hop, whether it may go there at all, and
//! the wire, by way of the shard that holds the flow.

use std::net::SocketAddr;

use super::{Net, Turn};
use crate::bytes::Buf;
use crate::id::Flow;
use crate::limits;
use crate::omit::Omit;
use crate::send::{Handoff, Hop, Output, Reach};
use crate::txn::Send;

impl Net {
    /// The flow to a hop, opening a connection where one is needed.
    pub fn reach(&mut self, hop: Hop) -> Option<Flow> {
        match self.flows.reach(hop) {
            Reach::Flow(flow) => Some(flow),
            Reach::Open(stream) => {
                let opened = self.flows.stream(stream)?;
                let tls = opened.name.and_then(|name| self.flows.names.get(name));
                let from = self.flows.connects_from(opened.transport, opened.peer);
                self.outbox.push(Output::Connect {
                    stream,
                    peer: opened.peer,
                    from,
                    tls: tls.map(Into::into),
                });
                Some(Flow::Stream(stream))
            }
            Reach::Nowhere => None,
        }
    }

    /// Whether a message may go to an address on behalf of somebody who is no
    /// peer, wherever that address stood (I-6).
    #[must_use]
    pub(crate) fn permits(&self, addr: SocketAddr) -> bool {
        if self.omit.leaves_out(Omit::Destinations) {
            return true;
        }
        let ip = addr.ip().to_canonical();
        let is_host = self.flows.is_host(ip);
        let is_port = is_host && self.flows.is_local(ip, addr.port());
        self.destinations.permit(addr, (is_host, is_port))
    }

    /// Puts a message on the wire, by way of the shard that holds the flow.
    pub fn transmit(&mut self, flow: Flow, bytes: Buf) {
        let Some(to) = self.flows.elsewhere(flow) else {
            self.record_out(&flow, &bytes);
            return self.outbox.push(Output::Transmit { flow, bytes });
        };
        self.counters.handed_sends += 1;
        let bytes = bytes[..].into();
        self.outbox.hand(to, Handoff::Send { flow, bytes });
    }

    /// Puts on the wire what a transaction handed back.
    pub(crate) fn transmit_send(&mut self, send: Option<Send>) {
        if let Some(Send { flow, bytes }) = send {
            self.transmit(flow, bytes);
        }
    }
}

impl Turn<'_> {
    /// The flow that a request to `hop` takes; `None` when nothing leads there, when
    /// nothing may go there, and when so much that went there is unanswered that more of
    /// it would only aim at whoever has that address.
    pub(super) fn flow_to(&mut self, hop: Hop) -> Option<Flow> {
        if !self.may_send(hop) {
            self.net.counters.out_of_bounds += 1;
            return None;
        }
        let net = &mut *self.net;
        let flow = net.reach(hop)?;
        // A flow is one phone's; at an address may be a gateway, with a second's calls of a carrier
        // under way to it.
        let most = match hop {
            Hop::Flow(_) => limits::FLOW_UNHEARD_MAX,
            Hop::To { .. } | Hop::Named(_) => limits::FAR_UNHEARD_MAX,
        };
        if net.txns.unheard_on(flow) >= most && !self.policy.is_cluster_node(net, Hop::Flow(flow)) {
            net.counters.unheard += 1;
            return None;
        }
        Some(flow)
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
}
