//! Calls, both ends of them: INVITE 180 200 ACK, BYE 200.
//!
//! The caller keeps time as a UAC does (RFC 3261 §17.1, §13.2.2.4) and the
//! callee as a UAS does (§13.3.1.4), so a lost datagram costs a
//! retransmission and not the call. Both ends of a call are one attempt here:
//! the callee finds it by the mark in From, like everybody else.

mod call;
mod callee;
mod caller;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::attempts::Attempts;
use super::compose::{self, Request, World, put};
use super::drive::Scenario;
use super::failure::Failure;
use super::outline::{Kind, Mark, MessageOutline, Method};
use super::phones::{Phone, number};
use super::retries::{Growth, Retries, Waiter};
use super::tally::Tally;
use super::wires::{Arrival, Out};
use call::Call;

/// The scenario.
pub(super) struct Calls {
    world: World,
    phones: Vec<Phone>,
    callees: Callees,
    /// From the answer to the BYE.
    hold: Duration,
    attempts: Attempts<Call>,
    next: usize,
    /// Callers that wait for an answer.
    asking: Retries,
    /// Callees that wait for an ACK.
    answering: Retries,
    /// Calls that are up, by the time of their BYE.
    up: VecDeque<(Instant, Mark)>,
    outline: MessageOutline,
    contact: Vec<u8>,
    tally: Tally,
    /// What happens to an edge meanwhile.
    pub(super) failure: Option<Failure>,
}

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callees {
    /// Whoever the proxy sends calls to: any line will do.
    Anybody,
    /// The phones, each over its own flow.
    Phones,
}

/// What a call is made of besides the phones.
pub(super) struct Setup {
    pub(super) world: World,
    pub(super) callees: Callees,
    pub(super) hold: Duration,
    pub(super) run: u16,
}

impl Calls {
    pub(super) fn new(setup: Setup, phones: Vec<Phone>, tally: Tally) -> Self {
        let Setup {
            world,
            callees,
            hold,
            run,
        } = setup;
        Self {
            world,
            phones,
            callees,
            hold,
            attempts: Attempts::new(run),
            next: 0,
            asking: Retries::new(),
            answering: Retries::new(),
            up: VecDeque::new(),
            outline: MessageOutline::default(),
            contact: Vec::new(),
            tally,
            failure: None,
        }
    }

    /// Sends what a call has to say in its phase.
    fn send_request(&mut self, mark: Mark, method: Method, out: &mut Out) {
        let Some(call) = self.attempts.find(mark) else {
            return;
        };
        let phone = &self.phones[call.caller];
        let way = phone.way(call.way);
        let request = Request {
            world: &self.world,
            method,
            own: out.address(phone.line),
            mark,
            from: number(call.caller),
        };
        let within = (&call.target[..], &call.routes[..], &call.to[..]);
        out.write(phone.line, way.to, |out| match method {
            Method::Ack => request.within(within, (1, b'a'), out),
            Method::Bye => request.within(within, (2, b'b'), out),
            Method::Invite | Method::Register => {
                let mut uri = Vec::with_capacity(64);
                put(&mut uri, &[b"sip:"]);
                compose::user(&mut uri, number(call.callee));
                put(&mut uri, &[b"@", &self.world.domain]);
                request.invite(&uri, &way.routes, out);
            }
        });
    }

    /// Waits for the answer to what was just said.
    fn wait(&mut self, mark: Mark, growth: Growth, since: Instant) {
        if let Some(call) = self.attempts.find(mark) {
            call.stamp = call.stamp.wrapping_add(1);
            self.asking.wait(Waiter {
                slot: mark.slot,
                stamp: call.stamp,
                since,
                growth,
            });
        }
    }
}

impl Scenario for Calls {
    fn start(&mut self, intended: Instant, now: Instant, out: &mut Out) {
        self.tally.attempted += 1;
        let Some(mark) = self.attempts.begin() else {
            self.tally.not_begun += 1;
            return;
        };
        let count = self.phones.len();
        let caller = self.next % count;
        self.next += 1;
        // Half-way round: nobody calls itself, and everybody is called.
        let callee = (caller + count.div_ceil(2)) % count;
        if let Some(call) = self.attempts.find(mark) {
            call.begin((caller, callee), intended);
            call.way = self.phones[caller].preferred;
        }
        self.send_request(mark, Method::Invite, out);
        self.wait(mark, Growth::Doubling, now);
    }

    fn arrived(&mut self, now: Instant, arrival: Arrival<'_>, out: &mut Out) {
        let Some((kind, mark)) = self.outline.read(arrival.bytes) else {
            self.tally.unread(arrival.bytes);
            return;
        };
        match kind {
            Kind::Request(Method::Invite) => self.called(mark, now, arrival, out),
            Kind::Request(Method::Ack) => {
                // Else the BYE was faster, or this is of a refusal.
                if let Some(call) = self.attempts.find(mark) {
                    call.is_acked = true;
                }
            }
            Kind::Request(Method::Bye) => self.ended(mark, arrival, out),
            Kind::Request(Method::Register) => self.tally.stray += 1,
            Kind::Response(status, method) => {
                self.answered((status, method), mark, now, arrival, out);
            }
        }
    }

    fn due(&mut self, now: Instant, out: &mut Out) {
        if let Some(failure) = &mut self.failure {
            failure.happen(now);
        }
        while let Some((_, mark)) = self.up.front().copied().filter(|(due, _)| *due <= now) {
            self.up.pop_front();
            self.hang_up(mark, now, out);
        }
        self.ask_again(now, out);
        self.answer_again(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        let up = self.up.front().map(|(due, _)| *due);
        let failure = self.failure.as_ref().and_then(Failure::deadline);
        let all = [
            up,
            self.asking.deadline(),
            self.answering.deadline(),
            failure,
        ];
        all.into_iter().flatten().min()
    }

    fn pending(&self) -> usize {
        self.attempts.pending()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn into_tally(self) -> Tally {
        self.tally
    }

    fn more(&self) -> Vec<(&'static str, u64)> {
        let rows = self.failure.as_ref().map(Failure::rows);
        rows.into_iter().flatten().collect()
    }
}
