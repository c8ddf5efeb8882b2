//! Keep-alives: STUN on UDP, CRLF on a stream (RFC 5626 §4.4; O-25, O-26), and
//! the quick question to a flow over which a request got no answer.

use std::net::SocketAddr;

use super::register::shows_outbound;
use super::{Agent, between};
use crate::frame::stun;
use crate::id::Flow;
use crate::limits;
use crate::proxy::{Net, Response, Step};
use crate::scan::Name;
use crate::time::Duration;

/// Where the keep-alive of a flow stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keepalive {
    /// There is none.
    Still,
    /// The next one goes out when the timer fires.
    Resting(KeepaliveInterval, u32),
    /// One is under way.
    Asking(KeepaliveInterval, Question),
}

/// The pause between two keep-alives, in seconds, and where we were last seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeepaliveInterval {
    low_s: u64,
    high_s: u64,
    mapped: Option<SocketAddr>,
}

/// A keep-alive that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    alarm: u32,
    transaction_id: [u8; 12],
    wait: Duration,
    /// How often it may still be sent.
    left: u8,
    /// The wait doubles.
    slows: bool,
}

impl Keepalive {
    /// The timer it waits for.
    pub(super) const fn alarm(&self) -> Option<u32> {
        match self {
            Self::Still => None,
            Self::Resting(_, alarm) => Some(*alarm),
            Self::Asking(_, question) => Some(question.alarm),
        }
    }
}

impl Agent {
    /// Begins the keep-alives of a flow that has just been registered.
    pub(super) fn start_keepalives(
        &mut self,
        step: &mut Step<'_>,
        index: usize,
        response: &Response<'_>,
    ) {
        let Some(flow) = self.registrations[index]
            .flow
            .filter(|_| shows_outbound(response))
        else {
            self.registrations[index].keepalive = Keepalive::Still;
            return;
        };
        let told = response.message.number(response.bytes, Name::FlowTimer);
        let (low_s, high_s) = match (flow, told) {
            (Flow::Udp { .. }, _) => limits::AGENT_STUN_PAUSE_S,
            (Flow::Stream(_), Ok(Some(told))) => (u64::from(told) * 8 / 10, told.into()),
            (Flow::Stream(_), _) => limits::AGENT_CRLF_PAUSE_S,
        };
        let rhythm = KeepaliveInterval {
            low_s,
            high_s,
            mapped: None,
        };
        self.rest(step, index, rhythm);
    }

    fn rest(&mut self, step: &mut Step<'_>, index: usize, rhythm: KeepaliveInterval) {
        let pause = Duration::from_secs(between(step.net, rhythm.low_s, rhythm.high_s));
        let alarm = self.alarm(step.net, step.now + pause);
        self.registrations[index].keepalive = Keepalive::Resting(rhythm, alarm);
    }

    /// The timer of a keep-alive: time for the next one, or nobody answered.
    pub(super) fn on_keepalive_timer(&mut self, step: &mut Step<'_>, index: usize) {
        let Some(flow) = self.registrations[index].flow else {
            return;
        };
        match self.registrations[index].keepalive {
            Keepalive::Still => {}
            Keepalive::Resting(rhythm, _) => {
                let (wait, left) = match flow {
                    Flow::Udp { .. } => limits::AGENT_STUN,
                    Flow::Stream(_) => (limits::AGENT_PONG_MAX, 1),
                };
                let question = Question {
                    alarm: 0,
                    transaction_id: transaction_id(step.net),
                    wait,
                    left,
                    slows: true,
                };
                self.put_question(step, index, flow, rhythm, question);
            }
            Keepalive::Asking(_, question) if question.left == 0 => {
                self.flow_silent(step, flow, "its keep-alives are not answered");
            }
            Keepalive::Asking(rhythm, mut question) => {
                if question.slows {
                    question.wait *= 2;
                }
                self.put_question(step, index, flow, rhythm, question);
            }
        }
    }

    fn put_question(
        &mut self,
        step: &mut Step<'_>,
        index: usize,
        flow: Flow,
        rhythm: KeepaliveInterval,
        mut question: Question,
    ) {
        question.left -= 1;
        let is_last = question.left == 0 && question.slows;
        if is_last && matches!(flow, Flow::Udp { .. }) {
            question.wait = limits::AGENT_STUN_LAST;
        }
        question.alarm = self.alarm(step.net, step.now + question.wait);
        let bytes = step.net.pool.build(64, |out| match flow {
            Flow::Udp { .. } => stun::request(question.transaction_id, out),
            Flow::Stream(_) => out.extend_from_slice(b"\r\n\r\n"),
        });
        step.net.transmit(flow, bytes);
        self.registrations[index].keepalive = Keepalive::Asking(rhythm, question);
    }

    /// Asks the flow at once whether it works, when it can be asked and is not
    /// being asked already in that hurry.
    pub(super) fn probe(&mut self, step: &mut Step<'_>, flow: Flow) {
        let Some(index) = self.registrations.iter().position(|r| r.flow == Some(flow)) else {
            return;
        };
        let rhythm = match self.registrations[index].keepalive {
            Keepalive::Resting(rhythm, _) => rhythm,
            Keepalive::Asking(rhythm, question) if question.slows => rhythm,
            Keepalive::Still | Keepalive::Asking(..) => return,
        };
        let (wait, left) = limits::AGENT_PROBE;
        let question = Question {
            alarm: 0,
            transaction_id: transaction_id(step.net),
            wait,
            left,
            slows: false,
        };
        self.put_question(step, index, flow, rhythm, question);
    }

    /// STUN came over a flow. An answer to nothing we asked is ignored; one
    /// that sees us elsewhere than before means a new flow (RFC 5626 §4.4.2).
    pub fn stun(&mut self, step: &mut Step<'_>, flow: Flow, bytes: &[u8]) {
        let asked = self
            .registrations
            .iter()
            .enumerate()
            .find_map(|(index, r)| {
                let Keepalive::Asking(rhythm, question) = r.keepalive else {
                    return None;
                };
                let mapped = stun::mapped(bytes, &question.transaction_id)?;
                (r.flow == Some(flow)).then_some((index, rhythm, mapped))
            });
        let Some((index, rhythm, mapped)) = asked else {
            return;
        };
        step.net.counters.keepalives += 1;
        if rhythm.mapped.is_some_and(|before| before != mapped) {
            return self.flow_lost(step, flow, "the NAT has given us another address");
        }
        let rhythm = KeepaliveInterval {
            mapped: Some(mapped),
            ..rhythm
        };
        self.rest(step, index, rhythm);
    }

    /// A CRLF came over a stream, or an answer to a request over any flow: it works, and
    /// its keep-alive need not be answered any more.
    pub fn pong(&mut self, step: &mut Step<'_>, flow: Flow) {
        for index in 0..self.registrations.len() {
            let registration = &self.registrations[index];
            if registration.flow == Some(flow)
                && let Keepalive::Asking(rhythm, _) = registration.keepalive
            {
                self.rest(step, index, rhythm);
            }
        }
    }
}

fn transaction_id(net: &mut Net) -> [u8; 12] {
    let mut id = [0; 12];
    let chance = net.secrets.chance().to_be_bytes().into_iter();
    let chance = chance.chain(net.secrets.chance().to_be_bytes());
    for (byte, chance) in id.iter_mut().zip(chance) {
        *byte = chance;
    }
    id
}
