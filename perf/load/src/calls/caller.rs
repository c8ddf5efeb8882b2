//! The caller's side: what it makes of answers, and when it asks again.

use std::time::Instant;

use super::call::Phase;
use super::{Callees, Calls};
use crate::compose::{self, Request, put};
use crate::outline::{Head, Mark, Method};
use crate::phones::number;
use crate::retries::Growth;
use crate::wires::{Arrival, Line, Out};

impl Calls {
    pub(super) fn hang_up(&mut self, mark: Mark, now: Instant, out: &mut Out) {
        if let Some(call) = self.attempts.find(mark) {
            call.phase = Phase::Ending;
            call.way = self.phones[call.caller].preferred;
            call.hung_up = now;
            self.send_request(mark, Method::Bye, out);
            self.wait(mark, Growth::Capped, now);
        }
    }

    /// A response: it is to a request of the caller's, and came to him, or it is nobody's
    /// (RFC 3261 §17.1.3). A relay that reads nothing cannot know whom it should come to.
    pub(super) fn answered(
        &mut self,
        (status, method): (u16, Method),
        mark: Mark,
        now: Instant,
        arrival: Arrival<'_>,
        out: &mut Out,
    ) {
        let call = self.attempts.find(mark);
        let call = call.filter(|call| {
            self.callees == Callees::Anybody || self.phones[call.caller].line == arrival.line
        });
        let branch = self.outline.branch(arrival.bytes);
        match (method, call) {
            (Method::Invite, Some(call)) if branch == Some((mark, 1, b'i')) => {
                let has_ended = matches!(call.phase, Phase::Up | Phase::Ending);
                self.tally.unasked += u64::from(has_ended);
                self.invited(mark, status, now, arrival.bytes, out);
            }
            (Method::Bye, Some(call)) if branch == Some((mark, 2, b'b')) => {
                let has_begun = call.phase == Phase::Ending;
                self.tally.unasked += u64::from(!has_begun);
                self.bye_answered(mark, status, now);
            }
            _ => self.tally.unasked += 1,
        }
    }

    /// The caller hears an answer to its INVITE.
    fn invited(&mut self, mark: Mark, status: u16, now: Instant, bytes: &[u8], out: &mut Out) {
        let Some(call) = self.attempts.find(mark) else {
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
                self.send_request(mark, Method::Ack, out);
            }
            (_, Phase::Inviting | Phase::Ringing) => {
                self.refused(mark, bytes, out);
                self.tally.refuse(status);
                self.attempts.end(mark);
            }
            (_, Phase::Up | Phase::Ending) => {}
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

    /// The caller hears an answer to its BYE.
    fn bye_answered(&mut self, mark: Mark, status: u16, now: Instant) {
        let call = self.attempts.find(mark);
        let Some(call) = call.filter(|call| call.phase == Phase::Ending && status >= 200) else {
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
    pub(super) fn ask_again(&mut self, now: Instant, out: &mut Out) {
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
}
