//! Keep-alives: who asks whom on which flow, as agreed on in Vias (K-1) or by the
//! configuration of both, and what was heard. [`Peers`](crate::send::Peers) holds
//! the times; what its silence means stands in `circuits` for what is to be sent, and in
//! `silent_peers` for what was.

use super::{Net, Response, Secrets, Step, Turn};
use crate::id::Flow;
use crate::limits;
use crate::pacing;
use crate::scan::Name;
use crate::send::{Hop, KeepaliveRole, Notice};
use crate::span::Span;
use crate::time::{Duration, Instant};

impl Turn<'_> {
    /// K-1: accepts an offer of keep-alives on a flow of an element of the cluster, which is
    /// watched for them from now on. False when it is nobody of ours.
    pub(super) fn accept_keepalive_offer(&mut self, flow: Flow) -> bool {
        let may = self.policy.negotiates_keepalives(self.net, Hop::Flow(flow));
        if may {
            self.net
                .liveness
                .peers
                .watch(self.now, flow, KeepaliveRole::Theirs);
        }
        may
    }

    /// K-1: a peer accepts the keep-alives that our Via has offered it, so many seconds
    /// apart; 0: as we like.
    pub(super) fn on_keepalive_accepted(&mut self, response: &Response<'_>, interval: Span) {
        let flow = response.flow;
        let seconds = std::str::from_utf8(interval.of(response.bytes));
        let seconds = seconds.ok().and_then(|seconds| seconds.parse::<u32>().ok());
        if let Some(seconds) = seconds
            && self.net.flows.supports_overload_control(flow)
            && self.policy.negotiates_keepalives(self.net, Hop::Flow(flow))
        {
            self.net
                .liveness
                .peers
                .watch(self.now, flow, KeepaliveRole::Ours);
            let pause = Duration::from_secs(seconds.min(limits::FLOW_TIMER_S).into());
            let pause = pause.max(limits::PEER_PING);
            self.net.liveness.peers.pace(flow, pause);
            if flow.is_reliable()
                && let Some(far) = self.net.flows.far_side(flow)
            {
                self.net.liveness.peers.agree(self.now, far, pause);
            }
        }
    }

    /// A connection that we have opened to a peer is watched from now on. True
    /// when its keep-alives are ours to send, by the configuration of both or by
    /// an agreement over an earlier connection.
    pub(crate) fn watch_opened(&mut self, flow: Flow) -> bool {
        let negotiates = self.policy.negotiates_keepalives(self.net, Hop::Flow(flow));
        let far = self.net.flows.far_side(flow).filter(|_| negotiates);
        let agreed = far.and_then(|far| self.net.liveness.peers.agreement(self.now, far));
        if negotiates && agreed.is_none() {
            self.net
                .liveness
                .peers
                .watch(self.now, flow, KeepaliveRole::None);
            if self.policy.is_probed() {
                self.net.liveness.peers.answers(flow);
            }
            return false;
        }
        self.net
            .liveness
            .peers
            .watch(self.now, flow, KeepaliveRole::Ours);
        if let Some(pause) = agreed {
            self.net.liveness.peers.pace(flow, pause);
        }
        true
    }

    /// A keep-alive came. Between edges it shows that the other one sends them on this
    /// connection, as both are configured to. Between an edge and a home their Vias have
    /// agreed on it (K-1), unless keep-alives come again and again without an agreement: then
    /// this home was restarted, and the edge was not.
    pub(crate) fn on_keepalive(&mut self, flow: Flow) {
        let hop = Hop::Flow(flow);
        if !self.policy.is_cluster_node(self.net, hop) {
            return;
        }
        let promises = if self.policy.negotiates_keepalives(self.net, hop) {
            self.policy.is_probed() && self.net.liveness.peers.note_keepalive(self.now, flow)
        } else {
            flow.is_reliable()
        };
        if promises {
            self.net
                .liveness
                .peers
                .watch(self.now, flow, KeepaliveRole::Theirs);
        }
        self.policy
            .on_peer_seen(&mut Step::new(self.net, self.now), flow);
    }

    /// A request leaves to a hop over a flow, which is watched from now on when
    /// an element of the cluster is at its end. An INVITE is answered at once.
    pub(super) fn note_request_sent(&mut self, hop: Hop, flow: Flow, is_invite: bool) {
        let Self { net, policy, now } = self;
        let now = *now;
        if !net.liveness.peers.note_request_sent(now, flow, is_invite)
            && policy.is_cluster_node(net, Hop::Flow(flow))
        {
            let role = match flow {
                Flow::Udp { .. } => Some(KeepaliveRole::None),
                Flow::Stream(id) => net.flows.stream(id).and_then(|stream| {
                    // Whoever accepted a connection is asked first, or sends no keep-alives
                    // at all: those are for whoever opened it.
                    let role = if policy.negotiates_keepalives(net, Hop::Flow(flow)) {
                        KeepaliveRole::None
                    } else {
                        KeepaliveRole::Ours
                    };
                    stream.opened.then_some(role)
                }),
            };
            if let Some(role) = role {
                net.liveness.peers.watch(now, flow, role);
                if policy.is_probed() || !policy.negotiates_keepalives(net, Hop::Flow(flow)) {
                    // Edges answer homes and one another. A home may be of somebody
                    // else's.
                    net.liveness.peers.answers(flow);
                }
                net.liveness.peers.note_request_sent(now, flow, is_invite);
            }
        }
        if !net.liveness.health.is_empty()
            && let Hop::To {
                transport, addr, ..
            } = hop
        {
            net.liveness.health.tries(now, transport, addr);
        }
    }
}

impl Response<'_> {
    /// The keep-alive interval that the phone of an accepted REGISTER gets: one
    /// number, wherever the answer names it (K-1).
    #[must_use]
    pub(crate) fn flow_timer_s(&self, secrets: &Secrets) -> u32 {
        let call_id = self.message.first(Name::CallId);
        let call_id = call_id.map(|header| header.value.of(self.bytes));
        let cseq = self.message.cseq().to_be_bytes();
        pacing::flow_timer_s(secrets.mac([call_id.unwrap_or_default(), &cseq]))
    }
}

impl Net {
    /// The peer of a flow is an element of the cluster no longer. What waits for it may still
    /// find out that it is silent.
    pub(crate) fn release_peer(&mut self, flow: Flow) {
        let mut waiting = Vec::new();
        self.txns.clients_on(flow, &mut waiting);
        if waiting.is_empty() {
            self.liveness.peers.forget(flow);
        } else {
            self.liveness.peers.release(flow);
        }
    }

    /// Something came over a flow.
    pub(crate) fn note_heard(&mut self, now: Instant, flow: Flow) {
        if self.liveness.peers.note_heard(now, flow)
            && let Some((transport, peer)) = self.flows.listens_at(flow)
        {
            self.liveness.health.worked(now, transport, peer);
            let notice = Notice::PeerUp { peer, transport };
            self.outbox.notify(notice);
        }
    }
}
