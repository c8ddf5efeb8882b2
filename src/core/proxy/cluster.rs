//! Requests between elements of the cluster, where one may stand in for
//! another: a peer that is silent for T1 is overtaken by the stand-by while it
//! may still answer (T-10), and one that
//! is silent for good fails.

use std::net::{IpAddr, SocketAddr};

use super::context::AnswerWeight;
use super::{Branch, Net, Owner, Policy, Proxy, Response, State, Target, Timer, Turn};
use crate::id::{ClientId, Flow, Slot, Transport};
use crate::limits;
use crate::scan::Name;
use crate::scan::via::Via;
use crate::send::{Hop, KeepaliveRole, Notice, Output};
use crate::span::Span;
use crate::stick::Reopen;
use crate::time::{Duration, Instant};
use crate::trust::{Ingress, Keep};

impl Proxy {
    /// A peer has been silent for too long: every request that has heard
    /// nothing of it goes to its stand-by at once.
    pub(crate) fn suspected(&mut self, turn: &mut Turn<'_>, flow: Flow) {
        for (slot, index) in branches_on(turn.net, flow) {
            self.start_standby(turn, slot, index);
        }
    }

    /// A peer is silent for good: nothing waits for it any longer. Its
    /// transactions stay, so that a 2xx that comes after all is not lost.
    pub fn lost(&mut self, turn: &mut Turn<'_>, flow: Flow) {
        for (slot, index) in branches_on(turn.net, flow) {
            let Some(branch) = self
                .branch(slot, index)
                .filter(|branch| branch.is_pending())
            else {
                continue;
            };
            let status = branch.lost(turn.net);
            branch.standing = AnswerWeight::CutOff;
            turn.net.counters.transport_failures += 1;
            self.ended(turn, slot, index, status, None);
            self.arm_final_deadline(turn, slot, index);
        }
    }

    /// Sets an end to the transaction of a branch that has ended without it:
    /// an INVITE that was heard of has no timer but Timer C, which went with
    /// its branch.
    pub(super) fn arm_final_deadline(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) {
        let Some(branch) = self.branch(slot, index) else {
            return;
        };
        if branch.client.is_none() || !matches!(branch.state, State::Done(_)) {
            return;
        }
        branch.set_due(turn, (slot, index), limits::T1_64);
    }

    /// Starts the stand-by of a branch that has heard nothing, beside it. Not
    /// a second copy to the same host.
    pub(super) fn start_standby(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        let silent = context.branches.get(index);
        let Some(silent) = silent.filter(|silent| {
            !context.closed && !context.answered && silent.state == State::Trying { cancel: false }
        }) else {
            return;
        };
        let (host, breadth) = (turn.net.host(silent.target.hop), silent.breadth);
        let next = context.branches.iter().position(|branch| {
            branch.stands_by_for(index) && turn.net.host(branch.target.hop) != host
        });
        let Some(next) = next else { return };
        if let Some(silent) = context.branches.get_mut(index) {
            silent.standing = AnswerWeight::StandbyStarted;
        }
        turn.net.counters.overtaken += 1;
        self.launch(turn, slot, next, breadth);
    }
}

/// The branches whose requests wait for a final answer on `flow`.
fn branches_on(net: &Net, flow: Flow) -> impl Iterator<Item = (Slot, usize)> + use<> {
    let mut waiting = Vec::new();
    net.txns.clients_on(flow, &mut waiting);
    waiting.into_iter().filter_map(|(_, owner)| match owner {
        Owner::Proxy { context, branch } => Some((context, usize::from(branch))),
        Owner::Cancel { .. } | Owner::Local | Owner::Agent(_) => None,
    })
}

impl Branch {
    /// It stands by for nobody, and has not been started.
    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Waiting && self.target.after.is_none()
    }

    /// It waits for another one to fail.
    pub(super) fn is_standby(&self) -> bool {
        self.state == State::Waiting && self.target.after.is_some()
    }

    /// It waits for that one to fail.
    pub(super) fn stands_by_for(&self, index: usize) -> bool {
        self.state == State::Waiting && self.target.after.map(usize::from) == Some(index)
    }
}

impl Net {
    /// Whether an INVITE rings, as far as is known, and can be cancelled.
    pub(super) fn rings(&self, invite: ClientId) -> bool {
        let flow = self.txns.client_flow(invite);
        self.txns.is_proceeding(invite) && flow.is_some_and(|flow| self.flows.lives(flow))
    }
}

impl Turn<'_> {
    /// Finds out what is to be known of a request beside its text, once: here it
    /// came in.
    pub(crate) fn ingress(&mut self, flow: Flow, source: SocketAddr, via: &Via) -> Ingress {
        let principal = self.policy.principal(self.net, self.now, flow);
        let keep = match via.keep_offer() {
            Some(_) if self.take_up(flow) => Keep::Wanted,
            Some(_) => Keep::Offered,
            None => Keep::Silent,
        };
        Ingress {
            principal,
            keep,
            wants_report: via.oc.is_some() && principal.is_cluster_node(),
            ..Ingress::by(flow, source)
        }
    }

    /// K-1: takes up an offer of keep-alives on a flow of an element of the
    /// cluster, which is watched for them from now on by the shard they come to.
    /// False when it is nobody of ours.
    fn take_up(&mut self, flow: Flow) -> bool {
        let may = self.policy.negotiates_keepalives(self.net, Hop::Flow(flow));
        if may {
            self.net.watch_peer(self.now, flow, KeepaliveRole::Theirs);
        }
        may
    }

    /// K-1: a peer wants the keep-alives that our Via has offered it, `asked`
    /// seconds apart; 0: as we like.
    pub(super) fn agreed(&mut self, response: &Response<'_>, asked: Span) {
        let flow = response.flow;
        let seconds = std::str::from_utf8(asked.of(response.bytes));
        let seconds = seconds.ok().and_then(|seconds| seconds.parse::<u32>().ok());
        if let Some(seconds) = seconds
            && self.net.flows.supports_overload_control(flow)
            && self.policy.negotiates_keepalives(self.net, Hop::Flow(flow))
        {
            self.net.watch_peer(self.now, flow, KeepaliveRole::Ours);
            let pause = Duration::from_secs(seconds.min(limits::FLOW_TIMER_S).into());
            let pause = pause.max(limits::PEER_PING);
            self.net.peers.pace(flow, pause);
            if flow.is_reliable()
                && let Some(far) = self.net.far_side(flow)
            {
                self.net.peers.agree(self.now, far, pause);
            }
        }
    }

    /// A connection that we have opened to a peer is watched from now on. True
    /// when its keep-alives are ours to send, by the configuration of both or by
    /// an agreement over an earlier connection.
    pub(crate) fn watch_opened(&mut self, flow: Flow) -> bool {
        let negotiates = self.policy.negotiates_keepalives(self.net, Hop::Flow(flow));
        let far = self.net.far_side(flow).filter(|_| negotiates);
        let agreed = far.and_then(|far| self.net.peers.agreement(self.now, far));
        if negotiates && agreed.is_none() {
            self.net.watch_peer(self.now, flow, KeepaliveRole::None);
            if self.policy.is_probed() {
                self.net.peers.answers(flow);
            }
            return false;
        }
        self.net.watch_peer(self.now, flow, KeepaliveRole::Ours);
        if let Some(pause) = agreed {
            self.net.peers.pace(flow, pause);
        }
        true
    }

    /// The other side asks whether we are alive. An edge does so all the time on
    /// its connections to another edge, as both are told; between an edge and a
    /// home it says nothing that their Vias have not said (K-1), unless it keeps
    /// asking: then this home was restarted, and the edge was not.
    pub(crate) fn on_keepalive(&mut self, flow: Flow) {
        let hop = Hop::Flow(flow);
        if !self.policy.is_cluster_node(self.net, hop) {
            return;
        }
        let promises = if self.policy.negotiates_keepalives(self.net, hop) {
            self.policy.is_probed() && self.net.peers.note_keepalive(self.now, flow)
        } else {
            flow.is_reliable()
        };
        if promises {
            self.net.watch_peer(self.now, flow, KeepaliveRole::Theirs);
        }
        self.policy.on_peer_seen(self.net, self.now, flow);
    }
}

impl Net {
    /// Watches a flow to an element of the cluster.
    pub(crate) fn watch_peer(&mut self, now: Instant, flow: Flow, role: KeepaliveRole) {
        // The questions of such a peer come to one shard. The others must not
        // take it for silent, and ask it themselves when they need it.
        let is_far = !self.shard_set.is_alone()
            && self.flows.is_everybodys(flow)
            && self.ingress_flow != Some(flow)
            && role == KeepaliveRole::Theirs;
        let role = if is_far { KeepaliveRole::None } else { role };
        self.peers.watch(now, flow, role);
    }

    /// Where a connection in place of this one would be opened (S-28): where we
    /// opened it, else the port that its transport has by default, since the
    /// one it came from says nothing. `None` for a datagram flow, which needs
    /// no opening, and for a connection that is not up.
    #[must_use]
    pub(crate) fn reconnect_target(&self, flow: Flow) -> Option<Reopen> {
        let Flow::Stream(id) = flow else { return None };
        let stream = self.flows.stream(id).filter(|stream| stream.up)?;
        let transport = stream.transport;
        let addr = if stream.opened {
            stream.peer
        } else {
            SocketAddr::new(stream.peer.ip(), transport.default_port())
        };
        Some(Reopen { transport, addr })
    }

    /// Something came over a flow.
    pub(crate) fn note_heard(&mut self, now: Instant, flow: Flow) {
        if self.peers.note_heard(now, flow)
            && let Some((transport, peer)) = self.reached_at(flow)
        {
            self.health.worked(now, transport, peer);
            let notice = Notice::PeerUp { peer, transport };
            self.outbox.push_back(Output::Notice(notice));
        }
    }

    /// A request leaves to a hop over a flow, which is watched from now on when
    /// an element of the cluster is at its end. An INVITE is answered at once.
    pub(super) fn note_request_sent(
        &mut self,
        now: Instant,
        (hop, flow): (Hop, Flow),
        is_invite: bool,
        policy: &dyn Policy,
    ) {
        if !self.peers.note_request_sent(now, flow, is_invite)
            && policy.is_cluster_node(self, Hop::Flow(flow))
        {
            let role = match flow {
                Flow::Udp { .. } => Some(KeepaliveRole::None),
                Flow::Stream(id) => self.flows.stream(id).and_then(|stream| {
                    // Who accepted it hears questions first, or asks for nothing.
                    let role = if policy.negotiates_keepalives(self, Hop::Flow(flow)) {
                        KeepaliveRole::None
                    } else {
                        KeepaliveRole::Ours
                    };
                    stream.opened.then_some(role)
                }),
            };
            if let Some(role) = role {
                self.peers.watch(now, flow, role);
                if policy.is_probed() || !policy.negotiates_keepalives(self, Hop::Flow(flow)) {
                    // Edges answer homes and one another. A home may be of somebody
                    // else's.
                    self.peers.answers(flow);
                }
                self.peers.note_request_sent(now, flow, is_invite);
            }
        }
        if !self.health.is_empty()
            && let Hop::To {
                transport, addr, ..
            } = hop
        {
            self.health.tries(now, transport, addr);
        }
    }

    /// A watched flow has been silent for too long.
    pub(crate) fn note_silence(&mut self, now: Instant, flow: Flow, why: &'static str) {
        self.counters.peers_silent += 1;
        if let Some((transport, peer)) = self.reached_at(flow) {
            self.note_failure(now, transport, peer, why);
        }
    }

    /// A destination of the cluster failed; said once.
    pub(crate) fn note_failure(
        &mut self,
        now: Instant,
        transport: Transport,
        peer: SocketAddr,
        why: &'static str,
    ) {
        if self.health.failed(now, transport, peer) {
            self.counters.circuits_opened += 1;
            let notice = Notice::PeerDown {
                peer,
                transport,
                why,
            };
            self.outbox.push_back(Output::Notice(notice));
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
            Hop::Flow(flow) if self.peers.is_suspect(flow) => return true,
            Hop::Flow(flow) if self.health.is_empty() => return !self.flows.lives(flow),
            Hop::Flow(flow) => match self.far_side(flow) {
                Some(far) => far,
                None => return true,
            },
        };
        self.health.is_open(now, transport, addr)
    }

    /// N-7: a server that says how long it wants to be left alone is; whatever
    /// else it answers, its circuit closes.
    pub(super) fn update_health(&mut self, now: Instant, target: &Target, response: &Response<'_>) {
        let asks = response.status == 503;
        if !asks && self.health.is_empty() {
            return;
        }
        let far = match target.hop {
            Hop::To {
                transport, addr, ..
            } => Some((transport, addr)),
            // Nobody chooses by health between the flows of a phone.
            Hop::Flow(flow) if self.peers.is_watched(flow) => self.far_side(flow),
            Hop::Flow(_) | Hop::Named(_) => None,
        };
        let Some((transport, peer)) = far else { return };
        let pause = response.message.number(response.bytes, Name::RetryAfter);
        match pause {
            Ok(Some(seconds)) if asks => {
                let pause = Duration::from_secs(seconds.into());
                self.counters.circuits_opened +=
                    u64::from(self.health.refused(now, transport, peer, pause));
            }
            Ok(_) | Err(_) if asks => {}
            Ok(_) | Err(_) => {
                self.health.worked(now, transport, peer);
            }
        }
    }

    /// Has the wheel wake the shard when a watched flow is to be looked at.
    pub(crate) fn arm_liveness_timer(&mut self) {
        let Some(due) = self.peers.due() else { return };
        match self.liveness_timer {
            Some((armed, _)) if armed <= due => return,
            Some((_, timer)) => self.txns.cancel_timer(timer),
            None => {}
        }
        self.liveness_timer = Some((due, self.txns.set_timer(due, Timer::Liveness)));
    }

    /// The timer of `arm_beats` fired.
    pub(crate) const fn liveness_timer_fired(&mut self) {
        self.liveness_timer = None;
    }

    /// Where the peer at the end of a flow is reached by others: it is there
    /// that it lives or does not, and not at the port that it connected from.
    fn reached_at(&self, flow: Flow) -> Option<(Transport, SocketAddr)> {
        let back = self.reconnect_target(flow);
        let back = back.map(|back| (back.transport, back.addr));
        back.or_else(|| self.far_side(flow))
    }

    fn far_side(&self, flow: Flow) -> Option<(Transport, SocketAddr)> {
        let peer = self.flows.peer(flow)?;
        Some((self.flows.transport(flow), peer))
    }

    /// The address a hop leads to; `None` for a connection that is gone, and
    /// for a name.
    #[must_use]
    pub fn host(&self, hop: Hop) -> Option<IpAddr> {
        match hop {
            Hop::To { addr, .. } => Some(addr.ip()),
            Hop::Flow(flow) => self.flows.peer(flow).map(|peer| peer.ip()),
            Hop::Named(_) => None,
        }
    }
}
