//! Phones that register, one after the other and again.

use std::time::Instant;

use super::attempts::Attempts;
use super::compose::World;
use super::drive::Scenario;
use super::letter::{Kind, Letter, Mark, Method};
use super::phones::{Manner, Phone};
use super::retries::{Growth, Retries, Waiter};
use super::tally::Tally;
use super::wires::{Arrival, Line, Out};

/// A REGISTER and its answer, a challenge between them included; the n-th
/// attempt is that of phone n, and after the last phone the first one refreshes.
pub(super) struct Registrations {
    world: World,
    manner: Manner,
    /// All of them.
    pub(super) phones: Vec<Phone>,
    next: usize,
    attempts: Attempts<Registration>,
    waiting: Retries,
    letter: Letter,
    tally: Tally,
}

#[derive(Debug)]
struct Registration {
    phone: usize,
    intended: Instant,
    /// The CSeq sent last, which is what it waits for.
    cseq: u32,
    challenged: bool,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            phone: 0,
            intended: Instant::now(),
            cseq: 0,
            challenged: false,
        }
    }
}

impl Registrations {
    pub(super) fn new(
        (world, manner): (World, Manner),
        phones: Vec<Phone>,
        run: u16,
        tally: Tally,
        letter: Letter,
    ) -> Self {
        Self {
            world,
            manner,
            phones,
            next: 0,
            attempts: Attempts::new(run),
            waiting: Retries::new(),
            letter,
            tally,
        }
    }

    /// Sends a REGISTER with a new CSeq.
    fn send(&mut self, mark: Mark, now: Instant, out: &mut Out) {
        let Some(registration) = self.attempts.find(mark) else {
            return;
        };
        let phone = &mut self.phones[registration.phone];
        phone.cseq += 1;
        registration.cseq = phone.cseq;
        let number = number(registration.phone);
        phone.register((&self.world, &self.manner), number, mark, out);
        self.waiting.wait(Waiter {
            slot: mark.slot,
            stamp: registration.cseq,
            since: now,
            growth: Growth::Capped,
        });
    }

    fn end(&mut self, mark: Mark, status: u16, intended: Instant, now: Instant) {
        if status < 300 {
            self.tally.done += 1;
            self.tally.answered(intended, now);
        } else {
            self.tally.refuse(status);
        }
        self.attempts.end(mark);
    }
}

impl Scenario for Registrations {
    fn start(&mut self, intended: Instant, now: Instant, out: &mut Out) {
        self.tally.attempted += 1;
        let Some(mark) = self.attempts.begin() else {
            self.tally.not_begun += 1;
            return;
        };
        let phone = self.next % self.phones.len();
        self.next += 1;
        if let Some(registration) = self.attempts.find(mark) {
            registration.phone = phone;
            registration.intended = intended;
            registration.challenged = false;
        }
        self.send(mark, now, out);
    }

    fn arrived(&mut self, now: Instant, arrival: Arrival<'_>, out: &mut Out) {
        let read = self.letter.read(arrival.bytes);
        let Some((Kind::Response(status, Method::Register), mark)) = read else {
            self.tally.stray += 1;
            return;
        };
        let Some(registration) = self.attempts.find(mark) else {
            self.tally.stray += 1;
            return;
        };
        if status < 200 {
            return;
        }
        let intended = registration.intended;
        let phone = &mut self.phones[registration.phone];
        let asks = matches!(status, 401 | 407) && self.manner.password.is_some();
        // A second challenge is an answer to a nonce that has run out.
        if asks && !registration.challenged && phone.learn(&self.letter, arrival.bytes) {
            registration.challenged = true;
            self.send(mark, now, out);
            return;
        }
        if status < 300 {
            phone.registered(&self.letter, arrival.bytes);
        }
        self.end(mark, status, intended, now);
    }

    fn due(&mut self, now: Instant, out: &mut Out) {
        while let Some((waiter, again)) = self.waiting.due(now) {
            let Some((mark, registration)) = self.attempts.at(waiter.slot) else {
                continue;
            };
            if registration.cseq != waiter.stamp {
                continue;
            }
            let Some(again) = again else {
                self.tally.timed_out += 1;
                self.attempts.end(mark);
                continue;
            };
            let place = registration.phone;
            let phone = &mut self.phones[place];
            if matches!(phone.line, Line::Datagrams { .. }) {
                self.tally.retransmitted += 1;
                phone.register((&self.world, &self.manner), number(place), mark, out);
            }
            self.waiting.again(now, waiter, again);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.waiting.deadline()
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
}

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
