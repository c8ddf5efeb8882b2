//! The callee's side: it answers, and again until it is acknowledged.

use std::time::Instant;

use super::{Callees, Calls};
use crate::compose::{self, OK, RINGING, Request};
use crate::outline::{Mark, Method};
use crate::phones::number;
use crate::retries::{Growth, Waiter};
use crate::wires::{Arrival, Out};

impl Calls {
    /// The callee hears an INVITE.
    pub(super) fn called(&mut self, mark: Mark, now: Instant, arrival: Arrival<'_>, out: &mut Out) {
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
    pub(super) fn ended(&mut self, mark: Mark, arrival: Arrival<'_>, out: &mut Out) {
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

    /// Callees that have waited for an ACK for an interval.
    pub(super) fn answer_again(&mut self, now: Instant, out: &mut Out) {
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
