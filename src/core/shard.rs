//! The shard: calls the modules in order, and is the only way into them. `handle` takes one input and mutates, `poll` is drained to empty,
//! `deadline` says when time itself is the next input. Nothing here waits,
//! and everything a shard owns it owns alone.
//!
//! A request takes seven steps, each a call here of that name:
//!
//! 1. `frame` ([`frame::datagram`], [`frame::stream`]): where the message ends.
//! 2. [`scan`]: what it says, in one pass that leaves spans.
//! 3. `identify`: who sends it, by what its flow proves.
//! 4. `recognise`: whether its transaction is there already, and whether it may come in.
//! 5. `validate`: what any proxy checks.
//! 6. `route`: where it goes, which the role says ([`Policy`]).
//! 7. `forward`: the changes, the transactions, and the requests of its branches in the
//!    outbox, which `poll` empties.
//!
//! An answer is framed and scanned, and [`Proxy::response`] does the rest.

mod accepting;
mod asks;
mod carrying;
mod draining;
mod gauges;
mod handoffs;
mod icmp;
mod input;
mod keepalives;
mod liveness;
mod peers;
mod reconfigure;
mod recording;
mod streams;
mod timers;
mod why;

use std::net::{IpAddr, SocketAddr};

use crate::agent::Agent;
use crate::edge::Edge;
use crate::error::Malformed;
use crate::frame;
use crate::guard::SourceLimit;
use crate::home::Home;
use crate::id::{Flow, SocketId};
use crate::proxy::{Fate, Net, Policy, Proxy, Request, Response, Step, Timer, Turn};
use crate::recorder::Decision;
use crate::scan::{Message, scan};
use crate::send::{Flows, LivenessEvent};
use crate::time::{Duration, Instant};
use crate::trust::Ingress;

use self::handoffs::{hand_pong, hand_response};

pub use self::input::{Input, Role, Setup};
pub use self::peers::{PeerReport, WatchedPeer};
pub use self::reconfigure::{Configuration, RoleSettings};
pub use crate::send::{Handoff, Local, Notice, Output};

/// How often expired things are swept: memory only, since nothing expired is
/// ever used.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How a request begins that is answered at once by whoever is there (RFC 3261 §17.2.1).
const INVITE: &[u8] = b"INVITE ";

/// One core's worth of proxy.
pub struct Shard {
    net: Net,
    proxy: Proxy,
    role: RoleState,
    /// Outline of the message at hand.
    message: Message,
    /// Memory for unfinished messages of streams.
    partials: Vec<Vec<u8>>,
    /// What is to be done about silent peers.
    liveness: Vec<LivenessEvent>,
    /// When it began to refuse what is new, and how much it had refused by then.
    sheds_since: Option<(Instant, u64)>,
    /// What an edge that drains has still to close.
    closing: Option<draining::Closing>,
}

enum RoleState {
    Edge(Box<Edge>),
    Home(Box<Home>),
    Agent(Box<Agent>),
}

impl RoleState {
    fn with_proxy<'a>(
        &'a mut self,
        proxy: &'a mut Proxy,
        net: &'a mut Net,
        now: Instant,
    ) -> RoleMut<'a> {
        let policy: &mut dyn Policy = match self {
            Self::Edge(edge) => &mut **edge,
            Self::Home(home) => &mut **home,
            Self::Agent(agent) => return RoleMut::Agent(agent, Step::new(net, now)),
        };
        RoleMut::Proxy(proxy, Turn { net, policy, now })
    }
}

/// Who handles what comes in: a proxy by some policy, or the end of the way.
enum RoleMut<'a> {
    Proxy(&'a mut Proxy, Turn<'a>),
    Agent(&'a mut Agent, Step<'a>),
}

impl Shard {
    /// A shard that begins.
    #[must_use]
    pub fn new(setup: Setup, now: Instant) -> Self {
        let mut shard = Self::at_rest(setup, now);
        shard.net.txns.set_timer(now + SWEEP_EVERY, Timer::Sweep);
        if let RoleMut::Proxy(_, turn) = shard.role_mut(now) {
            turn.policy.on_start(&mut Step::new(turn.net, now));
        }
        shard.net.liveness.arm_timer(&mut shard.net.txns);
        shard
    }

    /// A shard that has not begun.
    fn at_rest(setup: Setup, now: Instant) -> Self {
        let Setup {
            locals,
            role,
            seed,
            shard_set,
            wall,
        } = setup;
        let mut net = Net::new(
            Flows::new(locals, seed, shard_set),
            wall,
            seed,
            shard_set,
            now,
        );
        let role = match role {
            Role::Edge(settings) => {
                settings.configure(&mut net);
                // A flow token of this run is one on every shard.
                let boot = net.secrets.mac([&b"boot"[..]]);
                RoleState::Edge(Box::new(Edge::new(settings, seed, boot)))
            }
            Role::Home(settings, subscribers) => {
                settings.configure(&mut net);
                RoleState::Home(Box::new(Home::new(settings, subscribers, seed)))
            }
            Role::Agent(settings) => RoleState::Agent(Box::new(Agent::new(settings, seed))),
        };
        Self {
            net,
            proxy: Proxy::default(),
            role,
            message: Message::default(),
            partials: Vec::new(),
            liveness: Vec::new(),
            sheds_since: None,
            closing: None,
        }
    }

    /// Leaves a behaviour out, to prove that its absence is noticed; in a
    /// release build nothing is.
    #[doc(hidden)]
    pub const fn leave_out(&mut self, what: crate::omit::Omit) {
        self.net.omit = what;
    }

    /// Nothing is counted against sources in these networks (address and prefix
    /// length), instead of those in `limits::UNLIMITED`.
    pub fn set_unlimited(&mut self, networks: Vec<(IpAddr, u8)>) {
        self.net.guard.set_unlimited(networks);
    }

    /// A source may have so many connections at once, instead of
    /// `limits::SOURCE_STREAMS`.
    pub const fn set_connections_per_source(&mut self, most: u32) {
        self.net.guard.set_connections(most);
    }

    /// So many bytes a stranger may make the shard keep, instead of
    /// `limits::SOURCE_MEMORY`.
    pub const fn set_source_memory(&mut self, bytes: usize) {
        self.net.guard.set_memory(bytes);
    }

    /// Buffers of so many bytes may be in use, instead of
    /// `limits::BUFFER_BYTES_MAX`, to see what happens at the bound.
    #[doc(hidden)]
    pub fn set_buffer_bytes(&mut self, bytes: usize) {
        self.net.pool.set_bound(bytes);
    }

    /// Takes in one thing that happened.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.net.clock = now;
        self.net.recorder.begin();
        match input {
            Input::Datagram {
                socket,
                peer,
                bytes,
            } => self.datagram(now, socket, peer, bytes),
            Input::Unreachable {
                socket,
                peer,
                quoted,
            } => self.returned(now, Flow::Udp { socket, peer }, quoted),
            Input::Connected { stream, identities } => self.connected(now, stream, identities),
            Input::Stream { stream, bytes } => self.stream(now, stream, bytes),
            Input::Closed { stream } => self.closed(now, stream),
            Input::UsedUp { stream } => self.used_up(now, stream),
            Input::Resolved { name, records } => match self.role_mut(now) {
                RoleMut::Proxy(proxy, mut turn) => proxy.resolved(&mut turn, name, &records),
                RoleMut::Agent(..) => {}
            },
            Input::Restored { key, value } => {
                let step = &mut Step::new(&mut self.net, now);
                match &mut self.role {
                    RoleState::Edge(edge) => edge.restore(step, key, value),
                    RoleState::Home(home) => {
                        home.restore(step, key, value);
                    }
                    RoleState::Agent(_) => {}
                }
            }
            Input::Stored { up_to } => self.with_turn(now, |turn| turn.stored(up_to)),
            Input::Shared { row, ask } => self.shared(now, row.as_ref(), ask),
            Input::Refused { number } => self.with_turn(now, |turn| turn.refused(number)),
            Input::TellShared(what) => self.tell_shared(now, what),
            Input::NotStored => self.with_turn(now, |turn| turn.not_stored()),
            Input::Handoff { from, handoff } => self.handed(now, from, handoff),
            Input::Subscribers { list, revoked } => {
                if let RoleState::Home(home) = &mut self.role {
                    home.set_subscribers(&mut Step::new(&mut self.net, now), list, revoked);
                }
            }
            Input::Command(command) => {
                if let RoleState::Agent(agent) = &mut self.role {
                    agent.command(&mut Step::new(&mut self.net, now), command);
                }
            }
            Input::Configured(configuration) => self.reconfigure(now, configuration),
            Input::Drain { within } => self.begin_drain(now, within),
            Input::Leave => self.proxy.leave(),
            Input::Tick => {}
        }
        if !self.net.txns.is_quiet(now) {
            self.tick(now);
        }
        if let RoleState::Edge(edge) = &mut self.role {
            edge.write_down(&mut Step::new(&mut self.net, now));
        }
        self.net.liveness.arm_timer(&mut self.net.txns);
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.net.outbox.pop()
    }

    /// When `Input::Tick` is due at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.net.txns.deadline()
    }

    /// True once nothing is left that a drain waits for: requests without a final answer, INVITEs
    /// without their time for an ACK, and the calls and connections of an edge's phones.
    pub fn is_idle(&mut self, now: Instant) -> bool {
        let agent = match &self.role {
            RoleState::Agent(agent) => agent.is_idle(),
            RoleState::Edge(_) | RoleState::Home(_) => true,
        };
        let waits = !self.net.held_answers.is_empty() || self.net.asks.next_end().is_some();
        agent && self.is_drained(now) && !waits
    }

    /// True for a home that drains and takes in what is new until then: when all shards of its
    /// node are idle, they are told to leave.
    #[must_use]
    pub const fn goes_on(&self) -> bool {
        self.proxy.goes_on()
    }

    /// Who acts, and what one step of theirs works with.
    fn role_mut(&mut self, now: Instant) -> RoleMut<'_> {
        self.role.with_proxy(&mut self.proxy, &mut self.net, now)
    }

    /// Has the proxy do something; a user agent has none.
    fn with_turn(&mut self, now: Instant, act: impl FnOnce(&mut Turn<'_>)) {
        if let RoleMut::Proxy(_, mut turn) = self.role_mut(now) {
            act(&mut turn);
        }
    }

    fn datagram(&mut self, now: Instant, socket: SocketId, peer: SocketAddr, bytes: &[u8]) {
        let flow = Flow::Udp { socket, peer };
        self.net.note_heard(now, flow);
        match frame::datagram(bytes) {
            frame::DatagramFrame::Sip(bytes) => {
                self.message(now, Ingress::by(flow, peer), bytes, None);
            }
            frame::DatagramFrame::Stun(bytes) => {
                hand_pong(&mut self.net, flow, bytes);
                if frame::stun::answered(bytes).is_some() {
                    self.net.liveness.peers.answers(flow);
                    self.home_is_up(now, flow);
                }
                if let RoleMut::Agent(agent, mut step) = self.role_mut(now) {
                    agent.stun(&mut step, flow, bytes);
                }
                if !self.net.guard.admit(now, peer.ip(), SourceLimit::Stun) {
                    self.net.counters.limited += 1;
                    return;
                }
                let mut answered = false;
                let answer = self
                    .net
                    .pool
                    .build(128, |out| answered = frame::stun::answer(bytes, peer, out));
                if answered {
                    self.net.counters.stun += 1;
                    self.net.transmit(flow, answer);
                    if let RoleMut::Proxy(_, mut turn) = self.role_mut(now) {
                        turn.on_keepalive(flow);
                    }
                }
            }
            frame::DatagramFrame::KeepAlive | frame::DatagramFrame::Noise => {
                self.net.counters.keepalives += 1
            }
        }
    }

    /// One framed message; `framing` is what `frame` found wrong with it.
    fn message(
        &mut self,
        now: Instant,
        ingress: Ingress,
        bytes: &[u8],
        framing: Option<Malformed>,
    ) {
        let Self {
            net,
            proxy,
            role,
            message,
            ..
        } = self;
        let scanned = scan(bytes, message).err().or(framing);
        let end = message.end();
        let mut defect = scanned.or_else(|| end.err());
        if defect.is_none() {
            // A bad tag in an answer harms nobody but whoever wrote it.
            let bad = message.tags(bytes).err();
            defect = bad.filter(|_| message.is_request());
        }
        let (bytes, message) = (end.map_or(bytes, |end| &bytes[..end]), &*message);
        net.record_in(&ingress, bytes);
        match (defect, message.top_via()) {
            (None, Some(via)) if message.is_request() => {
                let mut request = Request {
                    bytes,
                    message,
                    via,
                    ingress,
                };
                if let RoleState::Edge(edge) = &*role
                    && ingress.handed == 0
                    && edge.hand_to_flow_holder(net, now, &request)
                {
                    return;
                }
                match &mut role.with_proxy(proxy, net, now) {
                    RoleMut::Proxy(proxy, turn) => {
                        let (Ok(fate) | Err(fate)) = walk(proxy, turn, &mut request);
                        if ingress.handed == 0 {
                            turn.net.counters.requests_in += 1;
                            turn.net.counters.taken(fate);
                            let place = turn.place(&request);
                            let method = request.message.method();
                            turn.net.traffic.count_request(method, place);
                        }
                    }
                    RoleMut::Agent(agent, step) => agent.request(step, &request),
                }
            }
            (None, Some(via)) if ingress.handed == 0 && hand_response(net, via, ingress, bytes) => {
            }
            (None, Some(via)) => {
                let response = Response {
                    bytes,
                    message,
                    status: message.status(),
                    flow: ingress.flow,
                };
                match &mut role.with_proxy(proxy, net, now) {
                    RoleMut::Proxy(proxy, turn) => proxy.response(turn, via, &response),
                    RoleMut::Agent(agent, step) => agent.response(step, via, &response),
                }
            }
            (defect, _) => {
                let defect = defect.unwrap_or(Malformed::Missing);
                net.decided(Decision::Malformed);
                let role = role.with_proxy(proxy, net, now);
                role.malformed(bytes, message, ingress.flow, ingress.source, defect);
            }
        }
    }
}

/// The way of a request through a proxy once it is framed and scanned; a step at
/// which it ends says what became of it (`Err`).
fn walk(proxy: &mut Proxy, turn: &mut Turn<'_>, request: &mut Request<'_>) -> Result<Fate, Fate> {
    turn.identify(request);
    let key = proxy.recognise(turn, request)?;
    let valid = proxy.validate(turn, request, key)?;
    proxy.route(turn, request, key, &valid)?;
    Ok(proxy.forward(turn, request, key, &valid))
}

impl RoleMut<'_> {
    /// A message with a defect came.
    fn malformed(
        self,
        bytes: &[u8],
        message: &Message,
        flow: Flow,
        source: SocketAddr,
        defect: Malformed,
    ) {
        match self {
            Self::Proxy(_, mut turn) => {
                if !turn.admit_bytes(flow, bytes) {
                    turn.net.counters.limited += 1;
                } else if let Some(answer) =
                    turn.net.malformed(bytes, message, flow, source, defect)
                {
                    turn.send_answer(answer.flow, answer.bytes);
                }
            }
            Self::Agent(_, Step { net, .. }) => {
                let answer = net.malformed(bytes, message, flow, source, defect);
                net.transmit_send(answer);
            }
        }
    }
}
