//! The calls of the storm: as many begin as end, and none may be lost.

use super::phones::{CallState, again_after_ms};
use super::servers::Kind;
use super::world::{Due, World};

/// How long a call lasts on average.
const CALL_MS: f64 = 180_000.0;
/// Within this a call is set up, or ended, in time.
const IN_TIME_MS: u32 = 1_000;
/// What a caller who got none waits before the next call begins in its place.
const PAUSE_MS: u32 = 10_000;

impl World<'_> {
    pub(super) fn call_due(&mut self, call: u32) {
        let state = self.call(call).state;
        let next = match state {
            CallState::Up => CallState::Ending,
            CallState::Nothing => {
                let phone = self.below(self.options.phones);
                self.call_mut(call).phone = phone;
                CallState::Beginning
            }
            CallState::Beginning | CallState::Ending => return,
        };
        let now = self.now;
        let it = self.call_mut(call);
        it.attempt = it.attempt.wrapping_add(1);
        (it.state, it.is_read, it.is_sent, it.began_ms) = (next, false, false, now);
        self.send_call(call, again_after_ms(0));
    }

    /// Over the first flow that works; with none it waits like one that is lost.
    fn send_call(&mut self, call: u32, again: Option<u32>) {
        let it = *self.call(call);
        let flows = [it.phone * 2, it.phone * 2 + 1];
        let up = flows.into_iter().find(|flow| self.flow(*flow).is_up);
        if let Some(flow) = up {
            let kind = if it.state == CallState::Ending {
                Kind::End
            } else {
                Kind::Call
            };
            let arrived = self.deliver(self.flow(flow).edge, kind, call, it.attempt);
            self.call_mut(call).is_sent = arrived && self.is_tls(flow);
        }
        if let Some(wait) = again {
            self.at(self.now + wait, Due::CallAgain, call, it.attempt);
        }
    }

    pub(super) fn call_again(&mut self, call: u32) {
        let it = *self.call(call);
        let Some(wait) = again_after_ms(self.now - it.began_ms) else {
            return self.call_over(call, None);
        };
        if it.is_sent || it.is_read && it.state == CallState::Beginning {
            // It is on its connection, or had a 100.
            return self.at(self.now + wait, Due::CallAgain, call, it.attempt);
        }
        self.send_call(call, Some(wait));
    }

    /// A call has begun or ended, or neither; what comes next.
    pub(super) fn call_over(&mut self, call: u32, is_well: Option<()>) {
        let it = *self.call(call);
        let is_late = self.now - it.began_ms > IN_TIME_MS;
        let index = match is_well {
            Some(()) => usize::from(is_late),
            None => 2,
        };
        let (next, wait) = match (it.state, is_well) {
            (CallState::Beginning, Some(())) => (CallState::Up, self.call_lasts()),
            // The caller waits a little before he calls again.
            (CallState::Beginning, None) => (CallState::Nothing, PAUSE_MS),
            _ => (CallState::Nothing, 1),
        };
        if it.state == CallState::Ending {
            self.outcome.ended[index] += 1;
        } else {
            self.outcome.begun[index] += 1;
        }
        let it = self.call_mut(call);
        it.attempt = it.attempt.wrapping_add(1);
        it.state = next;
        let attempt = it.attempt;
        self.at(self.now + wait, Due::Call, call, attempt);
    }

    /// Exponentially distributed, as calls are.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some minutes in milliseconds"
    )]
    pub(super) fn call_lasts(&mut self) -> u32 {
        // Of what is above zero, which has no logarithm.
        let share = 1.0 - self.chance.f64();
        (-share.ln() * CALL_MS) as u32 + 1
    }
}
