//! Phones that register, one after the other and again.

use std::time::Instant;

use super::attempts::Attempts;
use super::compose::World;
use super::drive::Scenario;
use super::outline::{Kind, Mark, MessageOutline, Method};
use super::phones::{Manner, Phone, number};
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
    outline: MessageOutline,
    tally: Tally,
}

#[derive(Debug)]
struct Registration {
    phone: usize,
    intended: Instant,
    /// The CSeq sent last.
    cseq: u32,
    /// What it waits for: another one for every REGISTER, since the attempt
    /// before in the same place may have had the same CSeq.
    stamp: u32,
    challenged: bool,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            phone: 0,
            intended: Instant::now(),
            cseq: 0,
            stamp: 0,
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
        outline: MessageOutline,
    ) -> Self {
        Self {
            world,
            manner,
            phones,
            next: 0,
            attempts: Attempts::new(run),
            waiting: Retries::new(),
            outline,
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
        registration.stamp = registration.stamp.wrapping_add(1);
        let number = number(registration.phone);
        phone.register((&self.world, &self.manner), number, mark, out);
        self.waiting.wait(Waiter {
            slot: mark.slot,
            stamp: registration.stamp,
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
        let read = self.outline.read(arrival.bytes);
        let Some((Kind::Response(status, Method::Register), mark)) = read else {
            self.tally.unread(arrival.bytes);
            return;
        };
        let Some(registration) = self.attempts.find(mark) else {
            self.tally.unasked += 1;
            return;
        };
        // A second 401 to what was sent twice is no answer to what was sent since.
        let branch = Some((mark, registration.cseq, b'r'));
        let is_asked = self.outline.branch(arrival.bytes) == branch;
        if !is_asked || self.phones[registration.phone].line != arrival.line {
            self.tally.unasked += 1;
            return;
        }
        if status < 200 {
            return;
        }
        let intended = registration.intended;
        let phone = &mut self.phones[registration.phone];
        let is_challenge = matches!(status, 401 | 407) && self.manner.password.is_some();
        // A second challenge is an answer to a nonce that has run out.
        if is_challenge && !registration.challenged && phone.learn(&self.outline, arrival.bytes) {
            registration.challenged = true;
            self.send(mark, now, out);
            return;
        }
        if status < 300 {
            phone.registered(&self.outline, arrival.bytes);
        }
        self.end(mark, status, intended, now);
    }

    fn due(&mut self, now: Instant, out: &mut Out) {
        while let Some((waiter, again)) = self.waiting.due(now) {
            let Some((mark, registration)) = self.attempts.at(waiter.slot) else {
                continue;
            };
            if registration.stamp != waiter.stamp {
                continue;
            }
            let Some(again) = again else {
                self.tally.timed_out += 1;
                self.attempts.end(mark);
                continue;
            };
            let index = registration.phone;
            let phone = &mut self.phones[index];
            if matches!(phone.line, Line::Datagrams { .. }) {
                self.tally.retransmitted += 1;
                phone.register((&self.world, &self.manner), number(index), mark, out);
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};
    use std::time::Duration;

    use super::*;
    use crate::wires::Wires;
    use steadfast_core::id::Transport;

    /// One phone, one place: the second attempt must not be taken for the first
    /// one, whose interval ends while it waits.
    #[test]
    fn an_attempt_that_was_answered_is_not_sent_again_for_the_next_one() {
        let registrar = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = match registrar.local_addr().unwrap() {
            std::net::SocketAddr::V4(addr) => addr,
            std::net::SocketAddr::V6(_) => panic!("bound to IPv4"),
        };
        let mut wires = Wires::new().unwrap();
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let port = wires.datagrams(any).unwrap();
        let local = Ipv4Addr::new(127, 16, 0, 1);
        let line = Line::Datagrams { port, local };
        let world = World {
            domain: b"example.com".to_vec(),
            transport: Transport::Udp,
            route: Vec::new(),
        };
        let manner = Manner {
            password: None,
            outbound: false,
            expires_s: 60,
        };
        let phones = vec![Phone::new(line, to), Phone::new(line, to)];
        let (tally, outline) = (Tally::new().unwrap(), MessageOutline::default());
        let mut load = Registrations::new((world, manner), phones, 7, tally, outline);
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        for (index, ms) in [0, 400].into_iter().enumerate() {
            load.start(after(ms), after(ms), &mut wires.out);
            let mark = Mark {
                run: 7,
                slot: 0,
                number: number(index),
            };
            let mut tag = Vec::new();
            mark.write(&mut tag);
            let tag = String::from_utf8(tag).unwrap();
            let answer = format!(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK{tag}1r\r\n\
                 From: <x>;tag={tag}\r\nCSeq: 1 REGISTER\r\n\r\n"
            );
            if index == 0 {
                let arrival = Arrival {
                    line,
                    peer: to,
                    bytes: answer.as_bytes(),
                };
                load.arrived(after(ms), arrival, &mut wires.out);
            }
        }
        assert_eq!((load.tally.done, load.pending()), (1, 1));
        load.due(after(600), &mut wires.out);
        assert_eq!(load.tally.retransmitted, 0, "the first one was answered");
        load.due(after(901), &mut wires.out);
        assert_eq!(load.tally.retransmitted, 1, "the second one was not");
    }
}
