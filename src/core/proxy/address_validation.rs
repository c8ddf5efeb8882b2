//! Answers to UDP sources that may be forged: no more bytes than came, until a
//! source has shown that it gets what is sent to it (`guard`).
//!
//! What may be withheld are our own answers and refusals that pass through: a
//! forger gets those for any request, a provisional or a 2xx only from a phone
//! that took the request. Nothing is lost by it: the sender's timers bring the
//! request again, and with it room for the answer. For that the 100 to an
//! INVITE is withheld the first time, since it would end those timers.
//!
//! A request for whoever is known by such a datagram alone goes there once, as
//! its sender might have sent it himself, and again as an answer would: a forged
//! INVITE and one to answer it made eleven copies of each request in its dialog.

use crate::bytes::Buf;
use crate::id::Flow;
use crate::send::Hop;
use crate::txn::Send;

use super::{Owner, Proxy, Reply, Request, Turn};

impl Proxy {
    /// A timer sends a request again.
    pub fn repeat(&mut self, turn: &mut Turn<'_>, owner: Owner, send: Send) {
        let Send { flow, bytes } = send;
        let is_learned = match owner {
            Owner::Proxy { context, branch } => self
                .contexts
                .branch(context, branch.into())
                .is_some_and(|branch| branch.target.hop == Hop::Flow(flow)),
            // It follows a provisional of whoever is there.
            Owner::Cancel { .. } | Owner::Local | Owner::Agent(_) => false,
        };
        if is_learned
            && turn
                .policy
                .is_known_by_address_alone(turn.net, turn.now, flow)
        {
            turn.send_answer(flow, bytes);
        } else {
            turn.net.transmit(flow, bytes);
        }
    }
}

impl Turn<'_> {
    /// Counts a request against its source; false: that asks for too much.
    pub(super) fn admit(&mut self, request: &Request<'_>) -> bool {
        if request.ingress.handed > 0 {
            // It was counted where it came in; what answers it counts here.
            let bytes = request.bytes.len();
            self.net
                .guard
                .credit(self.now, request.ingress.source.ip(), bytes);
            return true;
        }
        let is_aimed = request.via.maddr.is_some() || request.via.received.is_some();
        self.net.counters.aimed_vias += u64::from(is_aimed);
        let bytes = request.bytes.len();
        request.ingress.principal.is_cluster_node()
            || self
                .net
                .guard
                .request(self.now, request.ingress.source.ip(), bytes)
    }

    /// Counts a message with a defect against its source; false: that is too much.
    pub(crate) fn admit_bytes(&mut self, flow: Flow, bytes: &[u8]) -> bool {
        let Some(peer) = self.net.flows.peer(flow) else {
            return true;
        };
        self.policy.is_cluster_node(self.net, Hop::Flow(flow))
            || self.net.guard.request(self.now, peer.ip(), bytes.len())
    }

    /// Puts an answer of our own or a refusal on the wire, if its receiver may
    /// have it.
    pub(crate) fn send_answer(&mut self, flow: Flow, bytes: Buf) {
        if let Flow::Udp { peer, .. } = flow
            && !self.policy.is_cluster_node(self.net, Hop::Flow(flow))
            && !self.net.guard.repay(self.now, peer.ip(), bytes.len())
        {
            self.net.counters.withheld += 1;
            return;
        }
        self.net.transmit(flow, bytes);
    }

    /// Answers without a transaction; a retransmission is answered again.
    pub(super) fn answer_request(&mut self, request: &Request<'_>, reply: Reply, lines: &[u8]) {
        let Reply { status, reason, .. } = reply;
        let Send { flow, bytes } = self.net.stateless_answer(request, status, reason, lines);
        self.count_answer(request, status);
        self.send_answer(flow, bytes);
    }

    /// Puts on the wire what a transaction handed back, if its receiver may have it.
    pub(super) fn send_kept_answer(&mut self, send: Option<Send>) {
        if let Some(Send { flow, bytes }) = send {
            self.send_answer(flow, bytes);
        }
    }

    /// Whether the address that a request came from may be forged.
    pub(super) fn address_not_validated(&mut self, request: &Request<'_>) -> bool {
        matches!(request.ingress.flow, Flow::Udp { .. })
            && !request.ingress.principal.is_cluster_node()
            && !self
                .net
                .guard
                .is_proven(self.now, request.ingress.source.ip())
    }

    /// An ACK with the tag of our own refusal: only who received that has it.
    pub(super) fn prove_by_ack(&mut self, ack: &Request<'_>) {
        if self.address_not_validated(ack) && self.has_own_tag(ack) {
            self.net
                .guard
                .acknowledged(self.now, ack.ingress.source.ip());
        }
    }

    /// Whether an ACK carries the tag that our own refusal of its INVITE has.
    pub(super) fn has_own_tag(&self, ack: &Request<'_>) -> bool {
        let tag = ack.message.to_tag();
        let (secrets, unix_s) = (&self.net.secrets, self.net.wall.unix(self.now));
        tag.is_some_and(|tag| secrets.has_given(unix_s, ack, tag.of(ack.bytes)))
    }
}
