//! The storm itself: phones, calls and servers in steps of a millisecond.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use steadfast_core::admission::Thinning;
use steadfast_core::limits;

use super::Storm;
use super::flows::renewal_ms;
use super::phones::{Call, CallState, Flow, Waits};
use super::servers::{Kind, Server, TURN_MS};

/// When the edges die: after a while in peace.
pub(super) const STORM_MS: u32 = 5_000;
/// From here on a REGISTER is one of the refreshes that the storm has brought
/// together.
const LATER_S: u32 = 1_800;

/// What came of a storm.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) lost_flows: u32,
    pub(super) half_after_s: Option<f64>,
    pub(super) whole_after_s: Option<f64>,
    pub(super) most_at_edge: u32,
    pub(super) most_later: u32,
    /// At the edges and at the homes.
    pub(super) oldest_ms: [u32; 2],
    /// The message of a call that waited longest at an edge.
    pub(super) oldest_call_ms: u32,
    /// Handshakes, full and resumed.
    pub(super) handshakes: [u64; 2],
    /// Connections closed as soon as they were accepted.
    pub(super) closed: u64,
    pub(super) refused: u64,
    pub(super) repeated: u64,
    pub(super) dropped: u64,
    /// In time, late, lost.
    pub(super) ended: [u64; 3],
    pub(super) begun: [u64; 3],
    /// REGISTERs that came to a live edge on average, by second from the storm.
    pub(super) load: Vec<f64>,
}

/// What a server does against being asked for too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pacing {
    /// It takes in what it has time for, connections as well.
    All,
    /// Every connection comes in, and of the requests those there is time for.
    Requests,
    /// Nothing.
    None,
}

impl Pacing {
    pub(super) fn is_any(self) -> bool {
        self != Self::None
    }
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A phone notices that its flow is gone.
    Gone,
    /// A flow is to be registered.
    Flow,
    /// A REGISTER has no answer.
    FlowAgain,
    /// The first bytes of a handshake come.
    Hello,
    /// A connection is up.
    Connected,
    /// A call begins or ends.
    Call,
    /// It has no answer.
    CallAgain,
}

/// One run of it.
pub(super) struct World<'a> {
    pub(super) options: &'a Storm,
    pub(super) pacing: Pacing,
    pub(super) now: u32,
    pub(super) chance: fastrand::Rng,
    pub(super) agenda: BinaryHeap<Reverse<(u32, Due, u32, u16)>>,
    pub(super) flows: Vec<Flow>,
    pub(super) calls: Vec<Call>,
    pub(super) edges: Vec<Server>,
    pub(super) homes: Vec<Server>,
    /// What each home asked each edge to leave out.
    pub(super) towards: Vec<Thinning>,
    /// REGISTERs of this second by edge.
    pub(super) second: Vec<u32>,
    pub(super) restored: u32,
    pub(super) outcome: Outcome,
}

impl<'a> World<'a> {
    pub(super) fn new(options: &'a Storm, pacing: Pacing) -> Self {
        let servers = |count: u8| {
            (0..count)
                .map(|_| Server::new(pacing.is_any()))
                .collect::<Vec<_>>()
        };
        let mut world = Self {
            options,
            pacing,
            now: 0,
            chance: fastrand::Rng::with_seed(options.seed),
            agenda: BinaryHeap::new(),
            flows: Vec::new(),
            calls: Vec::new(),
            edges: servers(options.edges),
            homes: servers(options.homes),
            towards: vec![Thinning::NONE; usize::from(options.edges) * usize::from(options.homes)],
            second: vec![0; options.edges.into()],
            restored: 0,
            outcome: Outcome::default(),
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        let (edges, site) = (self.options.edges, self.options.edges / 2);
        for phone in 0..self.options.phones {
            let primary = self.below(edges.into());
            let backup = loop {
                let other = self.below(edges.into());
                let is_apart = (other < site.into()) != (primary < site.into());
                if other != primary && (is_apart || self.options.anywhere) {
                    break other;
                }
            };
            for (index, edge) in [primary, backup].into_iter().enumerate() {
                self.flows.push(Flow {
                    edge: u8::try_from(edge).unwrap_or_default(),
                    is_up: true,
                    waits: Waits::Time,
                    attempt: 0,
                    failures: 0,
                    is_read: false,
                    is_connected: true,
                    is_known: true,
                    began_ms: 0,
                });
                // They have been there for long: somewhere in their hour.
                let due = self.below(renewal_ms(limits::EXPIRES_DEFAULT_S));
                let flow = phone * 2 + u32::try_from(index).unwrap_or_default();
                self.at(due, Due::Flow, flow, 0);
            }
        }
        for call in 0..self.options.calls {
            let phone = self.below(self.options.phones);
            self.calls.push(Call {
                phone,
                state: CallState::Up,
                attempt: 0,
                began_ms: 0,
                is_read: false,
                is_sent: false,
            });
            let lasts = self.call_lasts();
            self.at(lasts, Due::Call, call, 0);
        }
    }

    pub(super) fn run(mut self) -> Outcome {
        let end = STORM_MS + self.options.seconds * 1_000;
        while self.now < end {
            if self.now == STORM_MS {
                self.strike();
            }
            while let Some(Reverse((due, what, whose, attempt))) = self.agenda.peek().copied()
                && due <= self.now
            {
                self.agenda.pop();
                self.happen(what, whose, attempt);
            }
            for index in 0..self.edges.len() {
                self.turn_of_edge(index);
            }
            for index in 0..self.homes.len() {
                self.turn_of_home(index);
            }
            self.now += TURN_MS;
            if self.now.is_multiple_of(1_000) {
                self.end_second();
            }
        }
        let oldest = |servers: &[Server]| servers.iter().map(|server| server.oldest_ms).max();
        self.outcome.oldest_ms = [&self.edges, &self.homes].map(|all| oldest(all).unwrap_or(0));
        let calls = self.edges.iter().map(|edge| edge.oldest_call_ms).max();
        self.outcome.oldest_call_ms = calls.unwrap_or(0);
        let all = self.edges.iter().chain(&self.homes);
        self.outcome.dropped = all.map(|server| server.dropped).sum();
        self.outcome
    }

    /// The edges die, and what they had to do with them.
    fn strike(&mut self) {
        for server in self.edges.iter_mut().take(self.options.dead.into()) {
            *server = Server::new(self.pacing.is_any());
        }
        for flow in 0..u32::try_from(self.flows.len()).unwrap_or(u32::MAX) {
            if self.flow(flow).edge >= self.options.dead {
                continue;
            }
            let lost = self.flow_mut(flow);
            lost.is_up = false;
            lost.waits = Waits::Time;
            lost.is_connected = false;
            lost.attempt = lost.attempt.wrapping_add(1);
            let attempt = lost.attempt;
            self.outcome.lost_flows += 1;
            let notices = self.now + self.below(self.options.noticed.max(1));
            self.at(notices, Due::Gone, flow, attempt);
        }
    }

    fn happen(&mut self, what: Due, whose: u32, attempt: u16) {
        match what {
            Due::Gone => {
                self.move_on(whose);
                self.register(whose);
            }
            Due::Flow if self.flow(whose).attempt == attempt => self.register(whose),
            Due::FlowAgain if self.flow(whose).attempt == attempt => self.register_again(whose),
            // It comes even where the phone has given up.
            Due::Hello => {
                let edge = self.flow(whose).edge;
                self.deliver(edge, Kind::ClientHello, whose, attempt);
            }
            Due::Connected if self.flow(whose).attempt == attempt => self.connected(whose),
            Due::Call if self.call(whose).attempt == attempt => self.call_due(whose),
            Due::CallAgain if self.call(whose).attempt == attempt => self.call_again(whose),
            // Overtaken by an answer.
            Due::Flow | Due::FlowAgain | Due::Connected | Due::Call | Due::CallAgain => {}
        }
    }

    fn end_second(&mut self) {
        let second = (self.now - 1) / 1_000;
        let total: u32 = self.second.iter().sum();
        let most = self.second.iter().copied().max().unwrap_or(0);
        self.second.fill(0);
        let Some(after) = second.checked_sub(STORM_MS / 1_000) else {
            return;
        };
        let live = f64::from(self.options.edges - self.options.dead);
        self.outcome.load.push(f64::from(total) / live);
        if after < LATER_S {
            self.outcome.most_at_edge = self.outcome.most_at_edge.max(most);
        } else {
            self.outcome.most_later = self.outcome.most_later.max(most);
        }
    }

    pub(super) fn at(&mut self, ms: u32, what: Due, whose: u32, attempt: u16) {
        self.agenda.push(Reverse((ms, what, whose, attempt)));
    }

    pub(super) fn flow(&self, flow: u32) -> &Flow {
        &self.flows[flow as usize]
    }

    pub(super) fn flow_mut(&mut self, flow: u32) -> &mut Flow {
        &mut self.flows[flow as usize]
    }

    pub(super) fn call(&self, call: u32) -> &Call {
        &self.calls[call as usize]
    }

    pub(super) fn call_mut(&mut self, call: u32) -> &mut Call {
        &mut self.calls[call as usize]
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.chance.u32(..bound)
    }

    /// Any number.
    pub(super) fn chance(&mut self) -> u64 {
        self.chance.u64(..)
    }
}
