//! What the phones of the storm do with their flows.

use steadfast_core::{limits, pacing};

use super::phones::{Waits, again_after_ms, back_off_ms};
use super::servers::Kind;
use super::world::{Due, STORM_MS, World};

/// What part of its registration a phone lets pass before it renews it.
const RENEWS_AT: f64 = 0.9;

impl World<'_> {
    /// Another edge than the one that failed and than that of the other flow.
    pub(super) fn move_on(&mut self, flow: u32) {
        let (here, other) = (self.flow(flow).edge, self.flow(flow ^ 1).edge);
        let live = u32::from(self.options.edges - self.options.dead);
        let next = loop {
            let edge = u32::from(self.options.dead) + self.below(live);
            let edge = u8::try_from(edge).unwrap_or_default();
            if edge != other && (edge != here || live < 3) {
                break edge;
            }
        };
        let is_known = self.below(100) < self.options.known.into();
        let it = self.flow_mut(flow);
        if it.edge != next {
            (it.edge, it.is_known) = (next, is_known);
        }
        it.is_connected = false;
    }

    pub(super) fn register(&mut self, flow: u32) {
        let needs = self.is_tls(flow) && !self.flow(flow).is_connected;
        let waits = if needs {
            Waits::Connection
        } else {
            Waits::Challenge
        };
        self.attempt(flow, waits);
    }

    /// Whether the phone of a flow speaks TLS.
    pub(super) fn is_tls(&self, flow: u32) -> bool {
        flow / 2 % 100 < self.options.tls.into()
    }

    pub(super) fn attempt(&mut self, flow: u32, waits: Waits) {
        let now = self.now;
        let it = self.flow_mut(flow);
        it.attempt = it.attempt.wrapping_add(1);
        (it.waits, it.is_read, it.began_ms) = (waits, false, now);
        self.send_register(flow, again_after_ms(0));
    }

    fn send_register(&mut self, flow: u32, again: Option<u32>) {
        let it = *self.flow(flow);
        let kind = match it.waits {
            Waits::Connection => Kind::Connect,
            Waits::Ok => Kind::Proven,
            Waits::Time | Waits::Challenge => Kind::Asking,
        };
        self.second[usize::from(it.edge)] += u32::from(kind != Kind::Connect);
        let arrived = self.deliver(it.edge, kind, flow, it.attempt);
        if let Some(mut wait) = again {
            if arrived && self.is_tls(flow) {
                // Nothing is sent again over a connection (Timer F).
                let passed = self.now - it.began_ms;
                wait = u32::try_from(limits::T1_64.as_millis()).unwrap_or(u32::MAX) - passed;
            }
            self.at(self.now + wait, Due::FlowAgain, flow, it.attempt);
        }
    }

    pub(super) fn register_again(&mut self, flow: u32) {
        let passed = self.now - self.flow(flow).began_ms;
        let Some(wait) = again_after_ms(passed) else {
            return self.flow_failed(flow);
        };
        self.outcome.repeated += 1;
        self.send_register(flow, Some(wait));
    }

    /// Nobody answered for half a minute.
    pub(super) fn flow_failed(&mut self, flow: u32) {
        let has_other = self.flow(flow ^ 1).is_up;
        let chance = self.chance();
        let it = self.flow_mut(flow);
        if it.is_up {
            it.is_up = false;
            self.outcome.lost_flows += 1;
        }
        let it = self.flow_mut(flow);
        it.failures = it.failures.saturating_add(1);
        it.attempt = it.attempt.wrapping_add(1);
        it.waits = Waits::Time;
        let (failures, attempt) = (it.failures, it.attempt);
        self.move_on(flow);
        let due = self.now + back_off_ms(failures, has_other, chance);
        self.at(due, Due::Flow, flow, attempt);
    }

    /// O-28: it is told when to come back.
    pub(super) fn flow_refused(&mut self, flow: u32, loss: u8) {
        self.outcome.refused += 1;
        let chance = self.chance();
        let seconds = pacing::retry_after_s(pacing::retry_within_s(loss), chance);
        let it = self.flow_mut(flow);
        it.attempt = it.attempt.wrapping_add(1);
        it.waits = Waits::Time;
        let attempt = it.attempt;
        self.at(self.now + seconds * 1_000, Due::Flow, flow, attempt);
    }

    pub(super) fn flow_up(&mut self, flow: u32) {
        let mut granted = limits::EXPIRES_DEFAULT_S;
        if self.pacing.is_any() {
            granted = pacing::expires_s(granted, self.chance());
        }
        let it = self.flow_mut(flow);
        it.attempt = it.attempt.wrapping_add(1);
        (it.waits, it.failures) = (Waits::Time, 0);
        let was_up = std::mem::replace(&mut it.is_up, true);
        let attempt = it.attempt;
        self.at(self.now + renewal_ms(granted), Due::Flow, flow, attempt);
        if was_up {
            return;
        }
        self.restored += 1;
        let after = f64::from(self.now.saturating_sub(STORM_MS)) / 1_000.0;
        if self.restored == self.outcome.lost_flows / 2 {
            self.outcome.half_after_s = Some(after);
        }
        let is_whole = self.restored == self.outcome.lost_flows;
        self.outcome.whole_after_s = is_whole.then_some(after);
    }
}

/// When a registration of so many seconds is renewed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "hours in milliseconds"
)]
pub(super) fn renewal_ms(granted_s: u32) -> u32 {
    (f64::from(granted_s) * RENEWS_AT * 1_000.0) as u32
}
