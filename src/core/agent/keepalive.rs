//! Keep-alives: STUN on UDP, CRLF on a stream (RFC 5626 §4.4; O-25, O-26), and
//! the quick probe of a flow over which a request got no answer.

use std::net::SocketAddr;

use super::{Agent, random_between};
use crate::frame::stun;
use crate::id::Flow;
use crate::limits;
use crate::proxy::{Net, Response, Step};
use crate::scan::Name;
use crate::time::Duration;
use crate::uri::Uri;

/// The state of the keep-alives of a flow.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keepalive {
    /// The first hop answers none.
    Off,
    /// The next one goes out when the timer fires.
    Waiting(KeepaliveInterval, u32),
    /// One was sent, and its answer has not come.
    Probing(KeepaliveInterval, Probe),
}

/// The pause between two keep-alives, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeepaliveInterval {
    low_s: u64,
    high_s: u64,
    /// The address that the last STUN answer has seen us at.
    mapped: Option<SocketAddr>,
}

/// A keep-alive that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    alarm: u32,
    transaction_id: [u8; 12],
    wait: Duration,
    /// How often it may still be sent.
    sends_left: u8,
    /// The wait doubles each time; a probe that is wanted at once does not slow down.
    backs_off: bool,
}

impl Keepalive {
    /// The timer it waits for.
    pub(super) const fn alarm(&self) -> Option<u32> {
        match self {
            Self::Off => None,
            Self::Waiting(_, alarm) => Some(*alarm),
            Self::Probing(_, probe) => Some(probe.alarm),
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
            self.registrations[index].keepalive = Keepalive::Off;
            return;
        };
        let told = response.message.number(response.bytes, Name::FlowTimer);
        let (low_s, high_s) = match (flow, told) {
            (Flow::Udp { .. }, _) => limits::AGENT_STUN_PAUSE_S,
            (Flow::Stream(_), Ok(Some(told))) => (u64::from(told) * 8 / 10, told.into()),
            (Flow::Stream(_), _) => limits::AGENT_CRLF_PAUSE_S,
        };
        let interval = KeepaliveInterval {
            low_s,
            high_s,
            mapped: None,
        };
        self.schedule_keepalive(step, index, interval);
    }

    fn schedule_keepalive(
        &mut self,
        step: &mut Step<'_>,
        index: usize,
        interval: KeepaliveInterval,
    ) {
        let pause = Duration::from_secs(random_between(step.net, interval.low_s, interval.high_s));
        let alarm = self.alarm(step.net, step.now + pause);
        self.registrations[index].keepalive = Keepalive::Waiting(interval, alarm);
    }

    /// The timer of a keep-alive: time for the next one, or nobody answered.
    pub(super) fn on_keepalive_timer(&mut self, step: &mut Step<'_>, index: usize) {
        let Some(flow) = self.registrations[index].flow else {
            return;
        };
        match self.registrations[index].keepalive {
            Keepalive::Off => {}
            Keepalive::Waiting(interval, _) => {
                let (wait, sends_left) = match flow {
                    Flow::Udp { .. } => limits::AGENT_STUN,
                    Flow::Stream(_) => (limits::AGENT_PONG_MAX, 1),
                };
                let probe = Probe {
                    alarm: 0,
                    transaction_id: transaction_id(step.net),
                    wait,
                    sends_left,
                    backs_off: true,
                };
                self.send_probe(step, index, flow, interval, probe);
            }
            Keepalive::Probing(_, probe) if probe.sends_left == 0 => {
                self.flow_silent(step, flow, "its keep-alives are not answered");
            }
            Keepalive::Probing(interval, mut probe) => {
                if probe.backs_off {
                    probe.wait *= 2;
                }
                self.send_probe(step, index, flow, interval, probe);
            }
        }
    }

    fn send_probe(
        &mut self,
        step: &mut Step<'_>,
        index: usize,
        flow: Flow,
        interval: KeepaliveInterval,
        mut probe: Probe,
    ) {
        probe.sends_left -= 1;
        // The wait for the last one is not doubled once more (RFC 5389 §7.2.1).
        let is_last = probe.sends_left == 0 && probe.backs_off;
        if is_last && matches!(flow, Flow::Udp { .. }) {
            probe.wait = limits::AGENT_STUN_LAST;
        }
        probe.alarm = self.alarm(step.net, step.now + probe.wait);
        let bytes = step.net.pool.build(64, |out| match flow {
            Flow::Udp { .. } => stun::request(probe.transaction_id, out),
            Flow::Stream(_) => out.extend_from_slice(b"\r\n\r\n"),
        });
        step.net.transmit(flow, bytes);
        self.registrations[index].keepalive = Keepalive::Probing(interval, probe);
    }

    /// Finds out at once whether the flow works, where its first hop answers keep-alives and
    /// no quick probe is under way.
    pub(super) fn probe(&mut self, step: &mut Step<'_>, flow: Flow) {
        let Some(index) = self.registrations.iter().position(|r| r.flow == Some(flow)) else {
            return;
        };
        let interval = match self.registrations[index].keepalive {
            Keepalive::Waiting(interval, _) => interval,
            Keepalive::Probing(interval, probe) if probe.backs_off => interval,
            Keepalive::Off | Keepalive::Probing(..) => return,
        };
        let (wait, sends_left) = limits::AGENT_PROBE;
        let probe = Probe {
            alarm: 0,
            transaction_id: transaction_id(step.net),
            wait,
            sends_left,
            backs_off: false,
        };
        self.send_probe(step, index, flow, interval, probe);
    }

    /// STUN came over a flow. An answer whose transaction id is not ours is ignored; one
    /// that sees us at another address than before means a new flow (RFC 5626 §4.4.2).
    pub fn stun(&mut self, step: &mut Step<'_>, flow: Flow, bytes: &[u8]) {
        let answered = self
            .registrations
            .iter()
            .enumerate()
            .find_map(|(index, r)| {
                let Keepalive::Probing(interval, probe) = r.keepalive else {
                    return None;
                };
                let mapped = stun::mapped(bytes, &probe.transaction_id)?;
                (r.flow == Some(flow)).then_some((index, interval, mapped))
            });
        let Some((index, interval, mapped)) = answered else {
            return;
        };
        step.net.counters.keepalives += 1;
        if interval.mapped.is_some_and(|before| before != mapped) {
            return self.flow_lost(step, flow, "the NAT has given us another address");
        }
        let interval = KeepaliveInterval {
            mapped: Some(mapped),
            ..interval
        };
        self.schedule_keepalive(step, index, interval);
    }

    /// A CRLF came over a stream, or an answer to a request over any flow: the flow works,
    /// and a keep-alive that is under way need not be answered any more.
    pub fn pong(&mut self, step: &mut Step<'_>, flow: Flow) {
        for index in 0..self.registrations.len() {
            let registration = &self.registrations[index];
            if registration.flow == Some(flow)
                && let Keepalive::Probing(interval, _) = registration.keepalive
            {
                self.schedule_keepalive(step, index, interval);
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

/// Whether the answer shows that the first hop answers keep-alives: `ob` in the
/// Path it returns, or a Flow-Timer (O-26).
fn shows_outbound(response: &Response<'_>) -> bool {
    let bytes = response.bytes;
    let ob = response
        .message
        .values(bytes, Name::Path)
        .any(|value| Uri::in_value(bytes, value).is_ok_and(|uri| uri.param(bytes, "ob").is_some()));
    ob || response.message.first(Name::FlowTimer).is_some()
}
