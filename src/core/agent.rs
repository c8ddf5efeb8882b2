//! The user agent of one address of record: starts with nothing but a name and
//! a password, finds its edges by redirect, registers over every flow they
//! offer, keeps the flows alive, calls and answers, as a [`Command`] says (D-U3 to
//! D-U17, O-22 to O-28).
//!
//! It is not a phone: there is no media, and an answer's SDP says so. It is
//! not fast either: what it does once in a while it does with plain vectors.
//!
//! Requests and timers have numbers, and whoever waits for one holds its number: a
//! registration those of its request and of its timers, a call likewise. A timer whose
//! number nobody holds any more does nothing, so no timer ever has to be cancelled.
//!
//! RFC 3261 §8, §10, §12 to §15; RFC 5626 §4; RFC 3608; RFC 7616.

mod answering;
mod call;
mod call_requests;
mod calling;
mod client;
mod compose;
mod credentials;
mod dialog;
mod hanging_up;
mod keepalive;
mod redirect;
mod register;
mod registration;
mod renewing;
mod request;
mod retrying;
mod route;
mod sdp;

use std::net::SocketAddr;

use crate::id::{ClientId, Flow, Transport};
use crate::limits;
use crate::proxy::{Net, Owner, Response, Step, Timer};
use crate::scan::Message;
use crate::scan::via::Via;
use crate::send::{Event, Output};
use crate::stick::Table;
use crate::time::{Duration, Instant};
use crate::txn::ResponseAction;

use call::Call;
use credentials::Credentials;
use registration::Registration;
use request::{ClientRequest, RequestFailure};

/// What a user agent is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The user part of the address of record.
    pub user: String,
    /// Its domain.
    pub domain: String,
    /// The user name of the credentials.
    pub auth_user: String,
    /// Their password.
    pub password: String,
    /// What to speak where a URI does not say.
    pub transport: Transport,
    /// Where the domain of the address of record is.
    pub home: SocketAddr,
    /// Where other names are. A name may stand here several times.
    pub names: Vec<(String, SocketAddr)>,
    /// A URN, the same for the life of the device (O-22).
    pub instance: String,
    /// The registration asked for, in seconds.
    pub expires_s: u32,
    /// How long a call rings before it is answered; `None`: it is busy.
    pub answer_after: Option<Duration>,
}

/// What the agent is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Register, through as many flows as there are; again: refresh them all
    /// now, and those that are lost with them.
    Register,
    /// Call this URI.
    Call(String),
    /// Offer every call that is up again as it stands (re-INVITE).
    Renew,
    /// End every call.
    Hangup,
    /// Remove all bindings.
    Unregister,
}

/// One user agent.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    credentials: Credentials,
    registrations: Vec<Registration>,
    calls: Vec<Call>,
    requests: Vec<ClientRequest>,
    /// INVITEs whose flows were lost, and the alarms that end the wait for them.
    given_up: Vec<(u32, ClientId)>,
    stick: Table,
    /// The last number given out.
    last: u32,
    /// The last call's number.
    last_call: u32,
    ready: bool,
    /// The timer after which the agent is ready with the flows that it has.
    ready_timer: u32,
    /// Outline of a message looked at a second time.
    again: Message,
}

impl Agent {
    /// An agent at rest.
    #[must_use]
    pub fn new(settings: Settings, seed: [u64; 4]) -> Self {
        Self {
            credentials: Credentials::new(&settings.auth_user, &settings.password),
            settings,
            registrations: Vec::new(),
            calls: Vec::new(),
            requests: Vec::new(),
            given_up: Vec::new(),
            stick: Table::new(seed),
            last: 0,
            last_call: 0,
            ready: false,
            ready_timer: 0,
            again: Message::default(),
        }
    }

    /// Flows that are registered.
    #[must_use]
    pub fn registered(&self) -> usize {
        self.registrations
            .iter()
            .filter(|registration| registration.is_live())
            .count()
    }

    /// True when no call and no request is under way.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.requests.is_empty()
    }

    /// Does as it is told.
    pub fn command(&mut self, step: &mut Step<'_>, command: Command) {
        match command {
            Command::Register => self.start_registering(step),
            Command::Call(uri) => self.call(step, &uri),
            Command::Renew => self.renew(step),
            Command::Hangup => self.hang_up(step),
            Command::Unregister => self.unregister(step),
        }
    }

    /// Takes in a response that scanned; `via` is its topmost Via.
    pub fn response(&mut self, step: &mut Step<'_>, via: &Via, response: &Response<'_>) {
        step.net.counters.responses_in += 1;
        let Some(client) = response.client(via, &step.net.flows, &step.net.txns) else {
            step.net.counters.stray_responses += 1;
            return;
        };
        let owner = step.net.txns.client_owner(client);
        let heard = step.net.txns.response(step.now, client, response.status);
        match heard {
            ResponseAction::Again(send) => return step.net.transmit_send(Some(send)),
            ResponseAction::Absorb => return,
            ResponseAction::PassAndAck => step.net.acknowledge(client, response, &mut self.again),
            ResponseAction::Pass => {}
        }
        if let Some(Owner::Agent(number)) = owner {
            self.heard(step, number, response);
        }
    }

    /// No final answer came in time (Timer B or F).
    pub fn timed_out(&mut self, step: &mut Step<'_>, owner: Owner) {
        if let Owner::Agent(number) = owner
            && let Some(outgoing) = self.remove_request(number)
        {
            step.net.counters.timeouts += 1;
            self.failed(step, outgoing, RequestFailure::silence());
        }
    }

    /// One of the agent's timers.
    pub(crate) fn on_timer(&mut self, step: &mut Step<'_>, number: u32) {
        if let Some(index) = self.registrations.iter().position(|r| r.alarm == number) {
            return self.register(step, index);
        }
        if number == self.ready_timer {
            return self.announce_ready(step.net);
        }
        if let Some(index) = self
            .registrations
            .iter()
            .position(|r| r.keepalive.alarm() == Some(number))
        {
            return self.on_keepalive_timer(step, index);
        }
        if let Some(outgoing) = self
            .requests
            .iter_mut()
            .find(|outgoing| outgoing.silence_timer == number)
        {
            outgoing.silence_timer = 0;
            if let Some(why) = outgoing.orphaned {
                let number = outgoing.number;
                return self.give_up(step, number, why);
            }
            if let Some(flow) = outgoing.flow.filter(|_| !outgoing.heard) {
                self.probe(step, flow);
            }
            return;
        }
        if let Some(index) = self.given_up.iter().position(|(alarm, _)| *alarm == number) {
            let (_, client) = self.given_up.swap_remove(index);
            return step.net.txns.abandon(client);
        }
        self.on_call_timer(step, number);
    }

    /// A request did not arrive, as somebody says who has seen it: it goes
    /// another way, and the flow is asked whether it works.
    pub(crate) fn unreached(&mut self, step: &mut Step<'_>, client: ClientId, flow: Flow) {
        if let Some(Owner::Agent(number)) = step.net.txns.client_owner(client) {
            self.give_up(step, number, "nobody is there");
            self.probe(step, flow);
        }
    }

    /// A flow is gone: closed, or found dead.
    pub(crate) fn flow_lost(&mut self, step: &mut Step<'_>, flow: Flow, why: &'static str) {
        self.stick.forget(flow);
        // Two registrations may share a connection.
        for index in 0..self.registrations.len() {
            let registration = &self.registrations[index];
            if registration.flow == Some(flow) && registration.until.is_some() {
                self.lose_flow(step, index, why);
            }
        }
        let waiting = self.requests.iter();
        let waiting =
            waiting.filter(|outgoing| outgoing.flow == Some(flow) && outgoing.orphaned.is_none());
        let waiting: Vec<u32> = waiting.map(|outgoing| outgoing.number).collect();
        for number in waiting {
            self.give_up(step, number, why);
        }
    }

    /// Nobody answers the keep-alives of a datagram flow. That is no word about
    /// an INVITE that rings: a 2xx to it may be under way, and is owed its ACK
    /// (RFC 3261 §13.2.2.4), so it is waited for as long as such a 2xx is sent.
    fn flow_silent(&mut self, step: &mut Step<'_>, flow: Flow, why: &'static str) {
        for index in 0..self.requests.len() {
            let outgoing = &self.requests[index];
            let rings = outgoing.heard && outgoing.method == "INVITE";
            if outgoing.flow == Some(flow) && rings && !flow.is_reliable() {
                let alarm = self.alarm(step.net, step.now + limits::T1_64);
                self.requests[index].orphaned = Some(why);
                self.requests[index].silence_timer = alarm;
            }
        }
        self.flow_lost(step, flow, why);
    }

    /// A request is over because its flow is.
    fn give_up(&mut self, step: &mut Step<'_>, number: u32, why: &'static str) {
        let Some(outgoing) = self.remove_request(number) else {
            return;
        };
        if let Some(client) = outgoing.client {
            if outgoing.method == "INVITE" {
                // It may have arrived: who takes it is to be told that the call
                // goes another way or is over (RFC 3261 §13.2.2.4).
                step.net.txns.stop_retransmitting(client);
                let alarm = self.alarm(step.net, step.now + limits::T1_64);
                self.given_up.push((alarm, client));
            } else {
                step.net.txns.abandon(client);
            }
        }
        step.net.counters.transport_failures += 1;
        self.failed(step, outgoing, RequestFailure::lost(why));
    }

    /// Bounded house-keeping, about once a second.
    pub(crate) fn sweep(&mut self, now: Instant) {
        /// Rows looked at: bounds the work of one wake.
        const SWEEP: usize = 64;
        self.stick.expire(now, SWEEP);
    }

    fn number(&mut self) -> u32 {
        // 0 is what nobody waits for.
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.last
    }

    fn alarm(&mut self, net: &mut Net, at: Instant) -> u32 {
        let number = self.number();
        net.txns.set_timer(at, Timer::Agent(number));
        number
    }
}

/// Tells whoever drives the agent what has happened.
fn emit(net: &mut Net, event: Event) {
    net.outbox.push(Output::Event(Box::new(event)));
}

/// A random number from `low` to `high`.
fn random_between(net: &mut Net, low: u64, high: u64) -> u64 {
    low + net.secrets.chance() % (high.saturating_sub(low) + 1)
}

/// The text of a header value, for people.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
