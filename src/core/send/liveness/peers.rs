//! Liveness of the cluster's nodes at the other end of our flows (RFC 6223, RFC 5626 §4.4;
//! K-3, T-10).
//!
//! The side that opened a flow sends a keep-alive about once a second, CRLF on a stream and
//! STUN over UDP, and takes anything that is received for an answer; the other
//! side expects these keep-alives. Between an edge and a home both begin when their
//! Vias have agreed on it (K-1), between edges at once. A request that leaves counts as a
//! keep-alive: over a flow on which we may send them several more follow within T1, so that a lost
//! datagram or a phone that is slow for a second is not taken for a dead edge.
//!
//! An agreement outlives its connection: the edge goes on over the next one to
//! the same home, and a home that was restarted, and has agreed on nothing,
//! takes regular keep-alives for an agreement.
//!
//! A home of another make may have agreed to nothing. It answers an INVITE at
//! once (RFC 3261 §17.2.1), but other requests and keep-alives perhaps late or never:
//! their silence counts only against a peer that has shown that it answers
//! keep-alives, since calls that ring over the same flow would end with it.
//!
//! Nothing here is kept per phone, and nothing but time and what was received
//! decides: the shard calls [`Peers::look`] and acts on its events.

mod watched;

use std::hash::Hash;
use std::net::SocketAddr;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::carry::carried;
use crate::id::{Flow, Transport};
use crate::limits;
use crate::time::{Duration, Instant};

/// Which side sends keep-alives on a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeepaliveRole {
    /// Neither, until a request leaves.
    None,
    /// We do, all the time.
    Ours,
    /// The peer does.
    Theirs,
}

/// A change of a watched flow, or something to do for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LivenessEvent {
    /// Send a keep-alive.
    Probe(Flow),
    /// Silent for T1: requests that wait there start their stand-by.
    Suspect(Flow),
    /// Silent for `limits::PEER_PATIENCE`: requests that wait there fail.
    Lost(Flow),
    /// Silent ever since: it is watched no longer.
    Forgotten(Flow),
    /// Nothing was sent or received for long: it is watched no longer.
    Idle(Flow),
}

/// The flows that are watched, at most `limits::PEERS_MAX`: one more is not.
#[derive(Debug)]
pub struct Peers {
    by_flow: HashMap<Flow, u32, ahash::RandomState>,
    list: Vec<Peer>,
    /// When `look` is due at the latest; `None`: nothing is watched.
    due: Option<Instant>,
    /// The interval in which a peer wants keep-alives over connections that we open, and until when
    /// that holds.
    agreed: HashMap<(Transport, SocketAddr), (Instant, Duration), ahash::RandomState>,
    /// Flows whose peers send keep-alives without an agreement: how many in a row, and when the
    /// last one came.
    unagreed: HashMap<Flow, (u8, Instant), ahash::RandomState>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Peer {
    flow: Flow,
    role: KeepaliveRole,
    /// When anything was received last.
    heard: Instant,
    /// The first keep-alive or request since then that was not answered.
    asked: Option<Instant>,
    /// When our last keep-alive left.
    probed_at: Instant,
    /// The time from one keep-alive of ours to the next.
    interval: Duration,
    /// The peer has asked for `interval`.
    is_paced: bool,
    state: State,
    /// An ICMP error has come since anything was received from the peer.
    is_doubted: bool,
    responsiveness: Responsiveness,
    /// Since `heard` something was sent that a live peer answers at once.
    owes_answer: bool,
}

/// What a peer has shown so far of how it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Responsiveness {
    /// Nothing: it may not be there at all.
    Unheard,
    /// Messages, but no answer to a keep-alive.
    Messages,
    /// It answers keep-alives, or has agreed to.
    Answers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum State {
    Alive,
    Suspect,
    Lost,
}

impl Peers {
    /// A table without any watched flow.
    #[must_use]
    pub fn new(seed: [u64; 4]) -> Self {
        let [a, b, c, d] = seed;
        let hasher = ahash::RandomState::with_seeds(d, c, b, a);
        Self {
            by_flow: HashMap::with_hasher(hasher.clone()),
            list: Vec::new(),
            due: None,
            agreed: HashMap::with_hasher(hasher.clone()),
            unagreed: HashMap::with_hasher(hasher),
        }
    }

    /// Watches a flow. The state of a flow that is watched already stays, and so does the role
    /// `Ours`.
    pub fn watch(&mut self, now: Instant, flow: Flow, role: KeepaliveRole) {
        if let Some(peer) = self.find(flow) {
            if peer.role == KeepaliveRole::None || role == KeepaliveRole::Ours {
                peer.role = role;
            }
            if role != KeepaliveRole::None {
                peer.responsiveness = Responsiveness::Answers;
            }
        } else if self.list.len() < limits::PEERS_MAX {
            let index = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
            self.by_flow.insert(flow, index);
            self.list.push(Peer {
                flow,
                role,
                heard: now,
                asked: None,
                probed_at: now,
                interval: limits::PEER_PING,
                is_paced: false,
                state: State::Alive,
                is_doubted: false,
                responsiveness: match (role, flow) {
                    (KeepaliveRole::Ours | KeepaliveRole::Theirs, _) => Responsiveness::Answers,
                    // The peer has accepted the connection.
                    (KeepaliveRole::None, Flow::Stream(_)) => Responsiveness::Messages,
                    (KeepaliveRole::None, Flow::Udp { .. }) => Responsiveness::Unheard,
                },
                owes_answer: false,
            });
        }
        self.schedule(now + limits::PEER_PING);
    }

    /// Notes a keep-alive of the peer. True once they come so regularly that silence means
    /// something; before that it does not, since on an accepted stream we cannot send keep-alives
    /// to find out.
    pub(crate) fn note_keepalive(&mut self, now: Instant, flow: Flow) -> bool {
        if self
            .peer(flow)
            .is_some_and(|peer| peer.role == KeepaliveRole::Theirs)
        {
            return true;
        }
        let is_fresh = |last: Instant| now <= last + 2 * limits::PEER_PING;
        if !has_room(&mut self.unagreed, &flow, |&(_, last)| is_fresh(last)) {
            return false;
        }
        let (count, last) = self.unagreed.entry(flow).or_insert((0, now));
        *count = if is_fresh(*last) { *count + 1 } else { 1 };
        *last = now;
        let is_habit = *count >= limits::PEER_HABIT;
        if is_habit {
            self.unagreed.remove(&flow);
        }
        is_habit
    }

    /// Notes that the peer at an address wants our keep-alives at `pause`, over this
    /// connection and the next ones.
    pub(crate) fn agree(&mut self, now: Instant, far: (Transport, SocketAddr), pause: Duration) {
        if has_room(&mut self.agreed, &far, |&(until, _)| until > now) {
            self.agreed.insert(far, (now + limits::PEER_AGREED, pause));
        }
    }

    /// The interval that was agreed with the peer at an address.
    #[must_use]
    pub(crate) fn agreement(&self, now: Instant, far: (Transport, SocketAddr)) -> Option<Duration> {
        let agreed = self.agreed.get(&far);
        agreed.and_then(|&(until, pause)| (now < until).then_some(pause))
    }

    /// Sets the interval in which the peer of a flow wants our keep-alives.
    pub fn pace(&mut self, flow: Flow, pause: Duration) {
        if let Some(peer) = self.find(flow) {
            (peer.interval, peer.is_paced) = (pause, true);
        }
    }

    /// Whether the peer of a flow has given its interval: it need not be offered again.
    #[must_use]
    pub fn is_paced(&self, flow: Flow) -> bool {
        let index = self.by_flow.get(&flow).copied();
        let peer = index.and_then(|index| self.list.get(usize::try_from(index).ok()?));
        peer.is_some_and(|peer| peer.is_paced)
    }

    /// Notes that something was received over a flow. True where the peer was suspect or lost
    /// before, or an ICMP error had come.
    pub(crate) fn note_heard(&mut self, now: Instant, flow: Flow) -> bool {
        let Some(peer) = self.find(flow) else {
            return false;
        };
        peer.heard = now;
        peer.asked = None;
        peer.owes_answer = false;
        if peer.responsiveness == Responsiveness::Unheard {
            peer.responsiveness = Responsiveness::Messages;
        }
        let was_doubted = std::mem::take(&mut peer.is_doubted);
        std::mem::replace(&mut peer.state, State::Alive) != State::Alive || was_doubted
    }

    /// Notes that the peer answers keep-alives: it has done so, or is known to.
    pub fn answers(&mut self, flow: Flow) {
        if let Some(peer) = self.find(flow) {
            peer.responsiveness = Responsiveness::Answers;
        }
    }

    /// Notes that a request left over a flow; `at_once`: a live peer answers it at once, as an
    /// INVITE by a 100. False when the flow is not watched.
    pub(crate) fn note_request_sent(&mut self, now: Instant, flow: Flow, at_once: bool) -> bool {
        let Some(peer) = self.find(flow) else {
            return false;
        };
        if !peer.expects_keepalives() {
            return true;
        }
        let owed = at_once || peer.responsiveness != Responsiveness::Messages;
        if peer.asked.is_none() || owed && !peer.owes_answer {
            // Silence is counted from the first request that is to be answered at once.
            peer.asked = Some(now);
            peer.owes_answer |= owed;
            self.schedule(now + limits::PEER_PROBE);
        }
        true
    }

    /// Notes an ICMP error for a flow: until anything is received from the peer, it is tried
    /// last. True when a keep-alive is to be sent at once; false within
    /// `limits::PEER_PROBE` of the last one.
    pub fn doubt(&mut self, now: Instant, flow: Flow) -> bool {
        let Some(peer) = self.find(flow) else {
            return false;
        };
        if peer.state != State::Alive || !peer.expects_keepalives() {
            return false;
        }
        peer.is_doubted = true;
        if peer.asked.is_some() && now < peer.probed_at + limits::PEER_PROBE {
            return false;
        }
        if !peer.owes_answer {
            peer.asked = None;
        }
        peer.owes_answer = true;
        peer.asked.get_or_insert(now);
        peer.probed_at = now;
        self.schedule(now + limits::PEER_PROBE);
        true
    }

    /// Whether the flow is watched and suspect or lost, or an ICMP error has come.
    #[must_use]
    pub(crate) fn is_suspect(&self, flow: Flow) -> bool {
        self.peer(flow)
            .is_some_and(|peer| peer.is_doubted || peer.state != State::Alive)
    }

    /// Whether the flow is watched.
    #[must_use]
    pub fn is_watched(&self, flow: Flow) -> bool {
        self.by_flow.contains_key(&flow)
    }

    /// Ends the watch of a flow that is gone.
    pub fn forget(&mut self, flow: Flow) {
        self.unagreed.remove(&flow);
        if let Some(index) = self.by_flow.remove(&flow) {
            self.list.swap_remove(index as usize);
            if let Some(moved) = self.list.get(index as usize) {
                self.by_flow.insert(moved.flow, index);
            }
        }
    }

    /// Asks the peer of a flow no more than requests that wait for it need: it is none of ours
    /// any longer. Once nothing is heard or asked, it is forgotten.
    pub(crate) fn release(&mut self, flow: Flow) {
        if let Some(peer) = self.find(flow) {
            peer.role = KeepaliveRole::None;
        }
    }

    /// When `look` is to be called at the latest.
    #[must_use]
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Appends the events that are due and sets the next `due`.
    pub fn look(&mut self, now: Instant, out: &mut Vec<LivenessEvent>) {
        let was_due = self.due.take();
        if was_due.is_some_and(|due| now > due + limits::T1) {
            // This node itself was late: what was received meanwhile is still unread, and no peer
            // is to blame.
            for peer in &mut self.list {
                (peer.heard, peer.asked) = (now, None);
            }
        }
        let begin = out.len();
        let mut next: Option<Instant> = None;
        for peer in &mut self.list {
            peer.look(now, out);
            let due = peer.due().max(now + Duration::from_millis(1));
            next = Some(next.map_or(due, |other| other.min(due)));
        }
        for at in begin..out.len() {
            if let Some(LivenessEvent::Forgotten(flow) | LivenessEvent::Idle(flow)) =
                out.get(at).copied()
            {
                self.forget(flow);
            }
        }
        self.due = next;
    }

    fn schedule(&mut self, due: Instant) {
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    fn peer(&self, flow: Flow) -> Option<&Peer> {
        self.list.get(*self.by_flow.get(&flow)? as usize)
    }

    fn find(&mut self, flow: Flow) -> Option<&mut Peer> {
        self.list.get_mut(*self.by_flow.get(&flow)? as usize)
    }
}

impl Peer {
    /// Whether we may send keep-alives: on a stream only the side that opened it may, since CRLF of
    /// the other side are the answers (RFC 5626 §3.5.1).
    fn expects_keepalives(&self) -> bool {
        !(self.flow.is_reliable() && self.role == KeepaliveRole::Theirs)
    }

    /// Since when an answer of the peer or its next keep-alive is overdue.
    fn since(&self) -> Option<Instant> {
        let theirs = (self.role == KeepaliveRole::Theirs).then(|| self.heard + limits::PEER_PING);
        match (self.asked, theirs) {
            (Some(asked), Some(theirs)) => Some(asked.min(theirs)),
            (asked, theirs) => asked.or(theirs),
        }
    }

    /// When the next keep-alive of ours is due.
    fn probe_due(&self) -> Option<Instant> {
        if !self.expects_keepalives() {
            return None;
        }
        match (self.since(), self.state) {
            (Some(since), State::Alive) if !self.owes_answer && self.asked.is_some() => {
                Some(self.probed_at.max(since) + limits::PEER_PING)
            }
            (Some(since), State::Alive) => Some(self.probed_at.max(since) + limits::PEER_PROBE),
            (Some(_), State::Suspect | State::Lost) => Some(self.probed_at + limits::PEER_PING),
            (None, _) => (self.role == KeepaliveRole::Ours).then(|| self.probed_at + self.interval),
        }
    }

    /// Since when its silence counts; `None`: it does not.
    fn silent_since(&self) -> Option<Instant> {
        self.since()
            .filter(|_| self.owes_answer || self.role == KeepaliveRole::Theirs)
    }

    /// When its state changes from alive to suspect or from suspect to lost, if nothing is received.
    fn next_state_due(&self) -> Option<Instant> {
        match self.state {
            State::Alive => self.silent_since().map(|since| since + limits::T1),
            State::Suspect => self
                .silent_since()
                .map(|since| since + limits::PEER_PATIENCE),
            State::Lost => None,
        }
    }

    /// When it is watched no longer; `None` for a configured peer.
    fn forget_due(&self) -> Option<Instant> {
        let last = self.heard.max(self.asked.unwrap_or(self.heard));
        // A peer that answers messages and no keep-alives is remembered for longer: forgotten and
        // watched anew, its silence to a keep-alive would count against it.
        let memory = match (self.responsiveness, self.state) {
            (Responsiveness::Messages, State::Alive) => limits::PEER_AGREED,
            (Responsiveness::Unheard | Responsiveness::Messages | Responsiveness::Answers, _) => {
                limits::PEER_FORGET
            }
        };
        (self.role != KeepaliveRole::Ours).then(|| last + memory)
    }

    fn due(&self) -> Instant {
        let all = [self.probe_due(), self.next_state_due(), self.forget_due()];
        let next = all.into_iter().flatten().min();
        next.unwrap_or(self.heard + limits::PEER_FORGET)
    }

    fn look(&mut self, now: Instant, out: &mut Vec<LivenessEvent>) {
        while self.next_state_due().is_some_and(|due| due <= now) {
            if self.state == State::Alive {
                self.state = State::Suspect;
                out.push(LivenessEvent::Suspect(self.flow));
            } else {
                self.state = State::Lost;
                out.push(LivenessEvent::Lost(self.flow));
            }
        }
        if self.forget_due().is_some_and(|due| due <= now) {
            out.push(match self.state {
                State::Alive => LivenessEvent::Idle(self.flow),
                State::Suspect | State::Lost => LivenessEvent::Forgotten(self.flow),
            });
        } else if self.probe_due().is_some_and(|due| due <= now) {
            self.probed_at = now;
            self.asked.get_or_insert(now);
            self.owes_answer |= self.responsiveness != Responsiveness::Messages;
            out.push(LivenessEvent::Probe(self.flow));
        }
    }
}

/// Whether there is room for a value of that key: at `limits::PEERS_MAX` entries that are over
/// are removed, and where there is none there is no room.
fn has_room<K: Eq + Hash, V>(
    kept: &mut HashMap<K, V, ahash::RandomState>,
    key: &K,
    is_live: impl Fn(&V) -> bool,
) -> bool {
    if kept.len() < limits::PEERS_MAX || kept.contains_key(key) {
        return true;
    }
    kept.retain(|_, value| is_live(value));
    kept.len() < limits::PEERS_MAX
}

carried!(Peers {
    parts: by_flow, agreed, unagreed;
    values: list, due;
});

#[cfg(test)]
mod tests;
