//! The elements of the cluster at the other end of our flows: which of them
//! are alive (RFC 6223, RFC 5626 §4.4; K-3, T-10).
//!
//! Whoever opened a flow asks about once a second, by CRLF on a stream and by
//! STUN on UDP, and takes anything that comes back for an answer; the other
//! side goes by the questions. Between an edge and a home both begin when their
//! Vias have agreed on it (K-1), between edges at once. A request that leaves is a question
//! too: over a flow that can be asked, several more follow it within T1, so that a lost
//! datagram or a phone that thinks for a second is not taken for a dead edge.
//!
//! An agreement outlives its connection: the edge goes on over the next one to
//! the same home, and a home that was restarted, and so has agreed on nothing,
//! takes questions that come regularly for a promise of more.
//!
//! A home that nobody here wrote may have agreed to nothing. It answers an INVITE at
//! once (RFC 3261 §17.2.1), and whatever else it is asked when it knows the answer:
//! silence after that is held against nobody who has not shown that he answers
//! questions, since requests that ring over the same flow would end with it.
//!
//! Nothing here is kept per phone, and nothing but time and what was heard is
//! looked at: the shard asks [`Peers::look`] and does what it says.

use std::hash::Hash;
use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::id::{Flow, Transport};
use crate::limits;
use crate::time::{Duration, Instant};

/// Who asks on a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepaliveRole {
    /// Nobody, until a request leaves.
    None,
    /// We do, all the time.
    Ours,
    /// The peer does.
    Theirs,
}

/// What is to be done about a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LivenessEvent {
    /// Ask whether it is alive.
    Probe(Flow),
    /// It has been silent for too long: what waits there tries another way.
    Suspect(Flow),
    /// Nothing waits for it any longer.
    Lost(Flow),
    /// It has been silent since and is watched no longer.
    Forgotten(Flow),
    /// Nothing was said to it or by it for long; it is watched no longer.
    Idle(Flow),
}

/// The flows that are watched, at most `limits::PEERS_MAX`: one more is not.
#[derive(Debug)]
pub struct Peers {
    places: HashMap<Flow, u32, ahash::RandomState>,
    list: Vec<Peer>,
    /// When `look` is due at the latest; `None`: nothing is watched.
    due: Option<Instant>,
    /// How often a peer wants to be asked over connections that we open, and
    /// until when that holds.
    agreed: HashMap<(Transport, SocketAddr), (Instant, Duration), ahash::RandomState>,
    /// Questions in a row over flows whose peers have promised none, and the
    /// last of them.
    habits: HashMap<Flow, (u8, Instant), ahash::RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    flow: Flow,
    role: KeepaliveRole,
    /// When anything came last.
    heard: Instant,
    /// The first question since then.
    asked: Option<Instant>,
    /// The last keep-alive of ours.
    pinged: Instant,
    /// From one of them to the next.
    pause: Duration,
    /// That is what it asked for.
    is_paced: bool,
    state: State,
    /// The network has sent something back since it was heard last.
    is_doubted: bool,
    voice: Voice,
    /// Since it was heard last it was asked what it owes an answer to at once.
    owes: bool,
}

/// What a peer has said so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    /// Nothing: it may not be there at all.
    Unheard,
    /// Messages, but no answer to a question.
    Messages,
    /// It answers questions, or has agreed to.
    Answers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Alive,
    Suspect,
    Lost,
}

impl Peers {
    /// Nobody is watched.
    #[must_use]
    pub fn new(seed: [u64; 4]) -> Self {
        let [a, b, c, d] = seed;
        let hasher = ahash::RandomState::with_seeds(d, c, b, a);
        Self {
            places: HashMap::with_hasher(hasher.clone()),
            list: Vec::new(),
            due: None,
            agreed: HashMap::with_hasher(hasher.clone()),
            habits: HashMap::with_hasher(hasher),
        }
    }

    /// Watches a flow. What is known of one that is watched already stays, and
    /// where we ask we go on.
    pub fn watch(&mut self, now: Instant, flow: Flow, role: KeepaliveRole) {
        if let Some(peer) = self.find(flow) {
            if peer.role == KeepaliveRole::None || role == KeepaliveRole::Ours {
                peer.role = role;
            }
            if role != KeepaliveRole::None {
                peer.voice = Voice::Answers;
            }
        } else if self.list.len() < limits::PEERS_MAX {
            let index = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
            self.places.insert(flow, index);
            self.list.push(Peer {
                flow,
                role,
                heard: now,
                asked: None,
                pinged: now,
                pause: limits::PEER_PING,
                is_paced: false,
                state: State::Alive,
                is_doubted: false,
                voice: match (role, flow) {
                    (KeepaliveRole::Ours | KeepaliveRole::Theirs, _) => Voice::Answers,
                    // Somebody has taken the connection.
                    (KeepaliveRole::None, Flow::Stream(_)) => Voice::Messages,
                    (KeepaliveRole::None, Flow::Udp { .. }) => Voice::Unheard,
                },
                owes: false,
            });
        }
        self.hasten(now + limits::PEER_PING);
    }

    /// The peer asks whether we are alive. True when it has done so regularly
    /// enough to mean something by falling silent. Until then nothing is held
    /// against it: whoever accepted a stream cannot ask in turn.
    pub(crate) fn note_keepalive(&mut self, now: Instant, flow: Flow) -> bool {
        if self
            .peer(flow)
            .is_some_and(|peer| peer.role == KeepaliveRole::Theirs)
        {
            return true;
        }
        let is_fresh = |last: Instant| now <= last + 2 * limits::PEER_PING;
        if !has_room(&mut self.habits, &flow, |&(_, last)| is_fresh(last)) {
            return false;
        }
        let (count, last) = self.habits.entry(flow).or_insert((0, now));
        *count = if is_fresh(*last) { *count + 1 } else { 1 };
        *last = now;
        let is_habit = *count >= limits::PEER_HABIT;
        if is_habit {
            self.habits.remove(&flow);
        }
        is_habit
    }

    /// The peer at that address wants our keep-alives so far apart, over this
    /// connection and the next ones.
    pub(crate) fn agree(&mut self, now: Instant, far: (Transport, SocketAddr), pause: Duration) {
        if has_room(&mut self.agreed, &far, |&(until, _)| until > now) {
            self.agreed.insert(far, (now + limits::PEER_AGREED, pause));
        }
    }

    /// What was agreed with the peer at that address.
    #[must_use]
    pub(crate) fn agreement(&self, now: Instant, far: (Transport, SocketAddr)) -> Option<Duration> {
        let agreed = self.agreed.get(&far);
        agreed.and_then(|&(until, pause)| (now < until).then_some(pause))
    }

    /// The peer wants our keep-alives so far apart.
    pub fn pace(&mut self, flow: Flow, pause: Duration) {
        if let Some(peer) = self.find(flow) {
            (peer.pause, peer.is_paced) = (pause, true);
        }
    }

    /// Whether it has said how far apart it wants them: it need not be asked again.
    #[must_use]
    pub fn is_paced(&self, flow: Flow) -> bool {
        let index = self.places.get(&flow).copied();
        let peer = index.and_then(|index| self.list.get(usize::try_from(index).ok()?));
        peer.is_some_and(|peer| peer.is_paced)
    }

    /// Something came over the flow. True when it was silent for too long
    /// before, or in doubt.
    pub(crate) fn note_heard(&mut self, now: Instant, flow: Flow) -> bool {
        let Some(peer) = self.find(flow) else {
            return false;
        };
        peer.heard = now;
        peer.asked = None;
        peer.owes = false;
        if peer.voice == Voice::Unheard {
            peer.voice = Voice::Messages;
        }
        let was_doubted = std::mem::take(&mut peer.is_doubted);
        std::mem::replace(&mut peer.state, State::Alive) != State::Alive || was_doubted
    }

    /// The peer answers questions: it has done so, or is one that does.
    pub fn answers(&mut self, flow: Flow) {
        if let Some(peer) = self.find(flow) {
            peer.voice = Voice::Answers;
        }
    }

    /// A request left over the flow; `at_once`: something comes back at once from
    /// whoever is there. False when it is not watched.
    pub(crate) fn note_request_sent(&mut self, now: Instant, flow: Flow, at_once: bool) -> bool {
        let Some(peer) = self.find(flow) else {
            return false;
        };
        if !peer.expects_keepalives() {
            return true;
        }
        let owed = at_once || peer.voice != Voice::Messages;
        if peer.asked.is_none() || owed && !peer.owes {
            // What it owes nothing to has no part in how long it is silent.
            peer.asked = Some(now);
            peer.owes |= owed;
            self.hasten(now + limits::PEER_PROBE);
        }
        true
    }

    /// The network says that what was sent there did not arrive: until the peer
    /// says anything it is left for last. True when it is to be asked at once
    /// whether it is there; not again while that question is young.
    pub fn doubt(&mut self, now: Instant, flow: Flow) -> bool {
        let Some(peer) = self.find(flow) else {
            return false;
        };
        if peer.state != State::Alive || !peer.expects_keepalives() {
            return false;
        }
        peer.is_doubted = true;
        if peer.asked.is_some() && now < peer.pinged + limits::PEER_PROBE {
            return false;
        }
        if !peer.owes {
            peer.asked = None;
        }
        peer.owes = true;
        peer.asked.get_or_insert(now);
        peer.pinged = now;
        self.hasten(now + limits::PEER_PROBE);
        true
    }

    /// Whether the flow is watched and was silent for too long, or is in doubt.
    #[must_use]
    pub(crate) fn is_suspect(&self, flow: Flow) -> bool {
        self.peer(flow)
            .is_some_and(|peer| peer.is_doubted || peer.state != State::Alive)
    }

    /// Whether the flow is watched.
    #[must_use]
    pub fn is_watched(&self, flow: Flow) -> bool {
        self.places.contains_key(&flow)
    }

    /// The flow is gone.
    pub fn forget(&mut self, flow: Flow) {
        self.habits.remove(&flow);
        if let Some(index) = self.places.remove(&flow) {
            self.list.swap_remove(index as usize);
            if let Some(moved) = self.list.get(index as usize) {
                self.places.insert(moved.flow, index);
            }
        }
    }

    /// Flows that are watched.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.list.len()
    }

    /// True when nobody is watched.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// When `look` is to be called at the latest.
    #[must_use]
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Appends what is to be done now and sets the next `due`.
    pub fn look(&mut self, now: Instant, out: &mut Vec<LivenessEvent>) {
        let was_due = self.due.take();
        if was_due.is_some_and(|due| now > due + limits::T1) {
            // We were the ones who slept: what came meanwhile is still unread.
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

    fn hasten(&mut self, due: Instant) {
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    fn peer(&self, flow: Flow) -> Option<&Peer> {
        self.list.get(*self.places.get(&flow)? as usize)
    }

    fn find(&mut self, flow: Flow) -> Option<&mut Peer> {
        self.list.get_mut(*self.places.get(&flow)? as usize)
    }
}

impl Peer {
    /// On a stream only its opener may ask; the other side would be taken to
    /// answer.
    fn expects_keepalives(&self) -> bool {
        !(self.flow.is_reliable() && self.role == KeepaliveRole::Theirs)
    }

    /// Since when an answer is due, or the next question of the peer.
    fn since(&self) -> Option<Instant> {
        let theirs = (self.role == KeepaliveRole::Theirs).then(|| self.heard + limits::PEER_PING);
        match (self.asked, theirs) {
            (Some(asked), Some(theirs)) => Some(asked.min(theirs)),
            (asked, theirs) => asked.or(theirs),
        }
    }

    /// When the next keep-alive of ours is due.
    fn ask_due(&self) -> Option<Instant> {
        if !self.expects_keepalives() {
            return None;
        }
        match (self.since(), self.state) {
            (Some(since), State::Alive) if !self.owes && self.asked.is_some() => {
                Some(self.pinged.max(since) + limits::PEER_PING)
            }
            (Some(since), State::Alive) => Some(self.pinged.max(since) + limits::PEER_PROBE),
            (Some(_), State::Suspect | State::Lost) => Some(self.pinged + limits::PEER_PING),
            (None, _) => (self.role == KeepaliveRole::Ours).then(|| self.pinged + self.pause),
        }
    }

    /// Since when its silence says that it is gone.
    fn silent_since(&self) -> Option<Instant> {
        self.since()
            .filter(|_| self.owes || self.role == KeepaliveRole::Theirs)
    }

    /// When its state grows worse, if nothing is heard.
    fn worse_due(&self) -> Option<Instant> {
        match self.state {
            State::Alive => self.silent_since().map(|since| since + limits::T1),
            State::Suspect => self
                .silent_since()
                .map(|since| since + limits::PEER_PATIENCE),
            State::Lost => None,
        }
    }

    /// When it is no longer of interest; a configured peer always is.
    fn forget_due(&self) -> Option<Instant> {
        let last = self.heard.max(self.asked.unwrap_or(self.heard));
        // That it has answered no question is known for longer.
        let memory = match (self.voice, self.state) {
            (Voice::Messages, State::Alive) => limits::PEER_AGREED,
            (Voice::Unheard | Voice::Messages | Voice::Answers, _) => limits::PEER_FORGET,
        };
        (self.role != KeepaliveRole::Ours).then(|| last + memory)
    }

    fn due(&self) -> Instant {
        let all = [self.ask_due(), self.worse_due(), self.forget_due()];
        let next = all.into_iter().flatten().min();
        next.unwrap_or(self.heard + limits::PEER_FORGET)
    }

    fn look(&mut self, now: Instant, out: &mut Vec<LivenessEvent>) {
        while self.worse_due().is_some_and(|due| due <= now) {
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
        } else if self.ask_due().is_some_and(|due| due <= now) {
            self.pinged = now;
            self.asked.get_or_insert(now);
            self.owes |= self.voice != Voice::Messages;
            out.push(LivenessEvent::Probe(self.flow));
        }
    }
}

/// Whether a value of that key may be kept: at `limits::PEERS_MAX` what is over
/// makes room, and where nothing is, what is there stays.
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

#[cfg(test)]
mod tests;
