//! Calls, both ends of them: INVITE 180 200 ACK, BYE 200.
//!
//! The caller keeps time as a UAC does (RFC 3261 §17.1, §13.2.2.4) and the
//! callee as a UAS does (§13.3.1.4), so a lost datagram costs a
//! retransmission and not the call. Both ends of a call are one attempt here:
//! the callee finds it by the mark in From, like everybody else.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::attempts::Attempts;
use super::compose::{self, OK, RINGING, Request, World, put};
use super::drive::Scenario;
use super::failure::Failure;
use super::outline::{Head, Kind, Mark, MessageOutline, Method, uri};
use super::phones::{Phone, number};
use super::retries::{Growth, Retries, Waiter};
use super::tally::Tally;
use super::wires::{Arrival, Line, Out};

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

#[derive(Debug)]
struct Call {
    caller: usize,
    callee: usize,
    /// Which of the caller's ways it takes.
    way: usize,
    intended: Instant,
    /// When the BYE went.
    hung_up: Instant,
    phase: Phase,
    /// Changes with what the caller waits for.
    stamp: u32,
    /// Its Route lines, the URI it sends to and its To line (RFC 3261 §12.1.2).
    routes: Vec<u8>,
    target: Vec<u8>,
    to: Vec<u8>,
    /// The callee's 200, where it goes, and whether the ACK has come.
    answer: Vec<u8>,
    answer_line: Line,
    answer_to: SocketAddrV4,
    is_acked: bool,
}

/// How far the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has sent an INVITE and heard nothing.
    Inviting,
    /// It has heard a provisional answer.
    Ringing,
    /// It has sent the ACK.
    Up,
    /// It has sent a BYE.
    Ending,
}

impl Default for Call {
    fn default() -> Self {
        let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        Self {
            caller: 0,
            callee: 0,
            way: 0,
            intended: Instant::now(),
            hung_up: Instant::now(),
            phase: Phase::Inviting,
            stamp: 0,
            routes: Vec::new(),
            target: Vec::new(),
            to: Vec::new(),
            answer: Vec::new(),
            answer_line: Line::Stream(u32::MAX),
            answer_to: nowhere,
            is_acked: false,
        }
    }
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

    fn hang_up(&mut self, mark: Mark, now: Instant, out: &mut Out) {
        if let Some(call) = self.attempts.find(mark) {
            call.phase = Phase::Ending;
            call.way = self.phones[call.caller].preferred;
            call.hung_up = now;
            self.send_request(mark, Method::Bye, out);
            self.wait(mark, Growth::Capped, now);
        }
    }

    /// The caller hears an answer to its INVITE.
    fn invited(&mut self, mark: Mark, status: u16, now: Instant, bytes: &[u8], out: &mut Out) {
        let Some(call) = self.attempts.find(mark) else {
            self.tally.stray += 1;
            return;
        };
        match (status, call.phase) {
            (..200, Phase::Inviting) => call.phase = Phase::Ringing,
            (..200, _) => {}
            (200..300, Phase::Inviting | Phase::Ringing) => {
                call.phase = Phase::Up;
                call.remember(&self.outline, bytes);
                self.phones[call.caller].preferred = call.way;
                self.tally.answered(call.intended, now);
                self.send_request(mark, Method::Ack, out);
                if self.hold.is_zero() {
                    self.hang_up(mark, now, out);
                } else {
                    self.wait_up(mark, now);
                }
            }
            (200..300, Phase::Up | Phase::Ending) => {
                self.tally.stray += 1;
                self.send_request(mark, Method::Ack, out);
            }
            (_, Phase::Inviting | Phase::Ringing) => {
                self.refused(mark, bytes, out);
                self.tally.refuse(status);
                self.attempts.end(mark);
            }
            (_, Phase::Up | Phase::Ending) => self.tally.stray += 1,
        }
    }

    fn wait_up(&mut self, mark: Mark, now: Instant) {
        if let Some(call) = self.attempts.find(mark) {
            call.stamp = call.stamp.wrapping_add(1);
            self.up.push_back((now + self.hold, mark));
        }
    }

    /// Acknowledges a refusal: the branch and the URI of the INVITE
    /// (RFC 3261 §17.1.1.3).
    fn refused(&mut self, mark: Mark, bytes: &[u8], out: &mut Out) {
        let Some(call) = self.attempts.find(mark) else {
            return;
        };
        let phone = &self.phones[call.caller];
        let way = phone.way(call.way);
        let request = Request {
            world: &self.world,
            method: Method::Ack,
            own: out.address(phone.line),
            mark,
            from: number(call.caller),
        };
        let (mut target, mut to) = (b"sip:".to_vec(), Vec::new());
        compose::user(&mut target, number(call.callee));
        put(&mut target, &[b"@", &self.world.domain]);
        self.outline.repeat(bytes, Head::To, &mut to);
        out.write(phone.line, way.to, |out| {
            request.within((&target, &way.routes, &to), (1, b'i'), out);
        });
    }

    /// The callee hears an INVITE.
    fn called(&mut self, mark: Mark, now: Instant, arrival: Arrival<'_>, out: &mut Out) {
        let Some(call) = self.attempts.find(mark) else {
            self.tally.stray += 1;
            return;
        };
        let wanted = self.phones.get(call.callee).map(|phone| phone.line);
        if self.callees == Callees::Phones && wanted != Some(arrival.line) {
            self.tally.misrouted += 1;
        }
        let is_again = !call.answer.is_empty();
        self.tally.stray += u64::from(is_again);
        self.contact.clear();
        let request = Request {
            world: &self.world,
            method: Method::Invite,
            own: out.address(arrival.line),
            mark,
            from: number(call.callee),
        };
        request.contact(b"", &mut self.contact);
        let (line, to) = (arrival.line, arrival.peer);
        let received = (&self.outline, arrival.bytes);
        out.write(line, to, |out| {
            compose::answer(received, RINGING, &self.contact, false, out);
        });
        call.answer.clear();
        compose::answer(received, OK, &self.contact, true, &mut call.answer);
        (call.answer_line, call.answer_to) = (line, to);
        out.write(line, to, |out| out.extend_from_slice(&call.answer));
        if !is_again {
            call.is_acked = false;
            self.answering.wait(Waiter {
                slot: mark.slot,
                stamp: mark.number,
                since: now,
                growth: Growth::Capped,
            });
        }
    }

    /// The callee hears a BYE, perhaps of a call that has ended already here.
    fn ended(&mut self, mark: Mark, arrival: Arrival<'_>, out: &mut Out) {
        match self.attempts.find(mark) {
            // The ACK may be lost, or behind: nothing is left to acknowledge.
            Some(call) => call.is_acked = true,
            None => self.tally.stray += 1,
        }
        let received = (&self.outline, arrival.bytes);
        out.write(arrival.line, arrival.peer, |out| {
            compose::answer(received, OK, b"", false, out);
        });
    }

    /// The caller hears an answer to its BYE.
    fn bye_answered(&mut self, mark: Mark, status: u16, now: Instant) {
        let call = self.attempts.find(mark);
        let Some(call) = call.filter(|call| call.phase == Phase::Ending && status >= 200) else {
            self.tally.stray += 1;
            return;
        };
        if let Some(failure) = &mut self.failure {
            failure.ended(call.intended, call.hung_up, now, status < 300);
        }
        if status < 300 {
            self.phones[call.caller].preferred = call.way;
            self.tally.done += 1;
        } else {
            self.tally.refuse(status);
        }
        self.attempts.end(mark);
    }

    /// Callers that have waited for an interval.
    fn authorize_again(&mut self, now: Instant, out: &mut Out) {
        while let Some((waiter, again)) = self.asking.due(now) {
            let Some((mark, call)) = self.attempts.at(waiter.slot) else {
                continue;
            };
            if call.stamp != waiter.stamp {
                continue;
            }
            let Some(again) = again else {
                if let Some(failure) = &mut self.failure {
                    failure.ended(call.intended, call.hung_up, now, false);
                }
                self.tally.timed_out += 1;
                self.attempts.end(mark);
                continue;
            };
            let phase = call.phase;
            // Nothing came back from there: the other edge stands in for it.
            call.way = self.phones[call.caller].other(call.way);
            if matches!(self.phones[call.caller].line, Line::Datagrams { .. }) {
                let method = match phase {
                    Phase::Inviting => Some(Method::Invite),
                    Phase::Ending => Some(Method::Bye),
                    Phase::Ringing | Phase::Up => None,
                };
                if let Some(method) = method {
                    self.tally.retransmitted += 1;
                    self.send_request(mark, method, out);
                }
            }
            self.asking.again(now, waiter, again);
        }
    }

    /// Callees that have waited for an ACK for an interval.
    fn answer_again(&mut self, now: Instant, out: &mut Out) {
        while let Some((waiter, again)) = self.answering.due(now) {
            let Some((mark, call)) = self.attempts.at(waiter.slot) else {
                continue;
            };
            let waits = mark.number == waiter.stamp && !call.is_acked;
            if let Some(again) = again.filter(|_| waits) {
                self.tally.retransmitted += 1;
                let bytes = &call.answer;
                out.write(call.answer_line, call.answer_to, |out| {
                    out.extend_from_slice(bytes);
                });
                self.answering.again(now, waiter, again);
            }
        }
    }
}

impl Call {
    fn begin(&mut self, (caller, callee): (usize, usize), intended: Instant) {
        (self.caller, self.callee, self.intended) = (caller, callee, intended);
        self.phase = Phase::Inviting;
        self.answer.clear();
        self.is_acked = false;
    }

    /// The dialog, from the 200.
    fn remember(&mut self, outline: &MessageOutline, bytes: &[u8]) {
        self.routes.clear();
        for route in outline.reversed(bytes, Head::RecordRoute) {
            put(&mut self.routes, &[b"Route: ", route, b"\r\n"]);
        }
        self.target.clear();
        let contact = outline.value(bytes, Head::Contact);
        self.target
            .extend_from_slice(uri(contact.unwrap_or_default()));
        self.to.clear();
        outline.repeat(bytes, Head::To, &mut self.to);
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
            self.tally.stray += 1;
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
            Kind::Response(status, Method::Invite) => {
                self.invited(mark, status, now, arrival.bytes, out);
            }
            Kind::Response(status, Method::Bye) => self.bye_answered(mark, status, now),
            Kind::Request(Method::Register) | Kind::Response(_, Method::Ack | Method::Register) => {
                self.tally.stray += 1;
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
        self.authorize_again(now, out);
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
