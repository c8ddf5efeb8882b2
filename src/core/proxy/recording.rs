//! What goes into the flight recorder: every message of this shard, and the decisions about it.
//! With the recorder off each of these is one comparison.

use super::Net;
use crate::id::{Flow, Transport};
use crate::recorder::{Decision, EntryKind, PeerLink};
use crate::send::Hop;
use crate::trust::Ingress;

impl Net {
    /// A message came, from the network or from another shard.
    #[inline(never)]
    pub(crate) fn record_in(&mut self, ingress: &Ingress, bytes: &[u8]) {
        if !self.recorder.is_on() {
            return;
        }
        let Flow::Udp { socket, .. } = ingress.flow else {
            return self.record_in_by_stream(ingress, bytes);
        };
        let kind = EntryKind::came(ingress.handed > 0, Transport::Udp, Some(socket));
        let now = self.clock;
        self.recorder.came(now, kind, &ingress.source, bytes);
    }

    #[inline(never)]
    fn record_in_by_stream(&mut self, ingress: &Ingress, bytes: &[u8]) {
        let transport = self.flows.transport(ingress.flow);
        let kind = EntryKind::came(ingress.handed > 0, transport, None);
        self.recorder.came(self.clock, kind, &ingress.source, bytes);
    }

    /// A message leaves by a flow of this shard. Keep-alives begin with no letter.
    #[inline(never)]
    pub(crate) fn record_out(&mut self, flow: &Flow, bytes: &[u8]) {
        let is_message = bytes.first().is_some_and(|first| *first >= b'A');
        if !self.recorder.is_on() || !is_message {
            return;
        }
        let Flow::Udp { socket, peer } = flow else {
            return self.record_out_by_stream(*flow, bytes);
        };
        let kind = EntryKind::left(Transport::Udp, Some(*socket));
        let now = self.clock;
        self.recorder.left(now, kind, peer, bytes);
    }

    #[inline(never)]
    fn record_out_by_stream(&mut self, flow: Flow, bytes: &[u8]) {
        if let Some(end) = self.flows.end(flow) {
            let kind = EntryKind::left(end.transport, None);
            self.recorder.left(self.clock, kind, &end.addr, bytes);
        }
    }

    /// The message at hand leads to this decision.
    #[inline]
    pub(crate) fn decided(&mut self, decision: Decision) {
        self.decided_for(self.recorder.cause(), None, decision);
    }

    /// The message at hand leads to this decision about a flow.
    #[inline]
    pub(crate) fn decided_on(&mut self, flow: Flow, decision: Decision) {
        self.decided_for(self.recorder.cause(), Some(Hop::Flow(flow)), decision);
    }

    /// Something is decided about the request `cause`, which may have come long ago, and about
    /// where it went.
    #[inline]
    pub(crate) fn decided_for(&mut self, cause: u64, hop: Option<Hop>, decision: Decision) {
        if self.recorder.is_on() {
            let link = hop.and_then(|hop| self.link_to(hop));
            self.recorder.decided(self.clock, cause, link, decision);
        }
    }

    fn link_to(&self, hop: Hop) -> Option<PeerLink> {
        match hop {
            Hop::Flow(Flow::Udp { socket, peer }) => Some(PeerLink {
                transport: Transport::Udp,
                peer,
                socket: Some(socket),
            }),
            Hop::Flow(flow @ Flow::Stream(_)) => self.flows.end(flow).map(|end| PeerLink {
                transport: end.transport,
                peer: end.addr,
                socket: None,
            }),
            Hop::To {
                transport, addr, ..
            } => Some(PeerLink {
                transport,
                peer: addr,
                socket: None,
            }),
            Hop::Named(_) => None,
        }
    }
}
