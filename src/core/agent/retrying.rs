//! When a registration is tried again: it backs off, the longer the more often it has
//! failed, and the less while another flow works (O-25 to O-27).

use super::keepalive::Keepalive;
use super::{Agent, emit, random_between};
use crate::limits;
use crate::proxy::{Net, Step};
use crate::send::Event;
use crate::time::Duration;

impl Agent {
    /// The flow of a binding has failed (O-25, O-26): it is registered anew
    /// after a while (O-27).
    pub(super) fn lose_flow(&mut self, step: &mut Step<'_>, index: usize, why: &'static str) {
        let registration = &self.registrations[index];
        let (reg_id, proxy) = (registration.reg_id, registration.proxy);
        self.unbind(index);
        let retry_s = self.retry_wait_s(step.net, index);
        self.schedule_register(step, index, retry_s);
        self.registrations[index].is_long_wait = self.registered() > 0;
        self.hasten_retries(step);
        if let Some(proxy) = proxy {
            emit(
                step.net,
                Event::FlowLost {
                    reg_id,
                    proxy,
                    why,
                    retry_s,
                },
            );
        }
    }

    /// Forgets the flow of a binding: one more attempt has failed.
    pub(super) fn unbind(&mut self, index: usize) {
        let registration = &mut self.registrations[index];
        registration.until = None;
        registration.keepalive = Keepalive::Off;
        registration.alarm = 0;
        registration.failures = registration.failures.saturating_add(1);
        if let Some(flow) = registration.flow.take() {
            self.stick.forget(flow);
        }
    }

    /// Has the next REGISTER sent after so many seconds.
    pub(super) fn schedule_register(&mut self, step: &mut Step<'_>, index: usize, wait_s: u64) {
        let due = step.now + Duration::from_secs(wait_s);
        let alarm = self.alarm(step.net, due);
        let registration = &mut self.registrations[index];
        (registration.alarm, registration.due) = (alarm, due);
        registration.is_long_wait = false;
    }

    /// Where no flow works any more, a long wait that was chosen while one did becomes as
    /// short as after the failure of all (O-27).
    pub(super) fn hasten_retries(&mut self, step: &mut Step<'_>) {
        if self.registered() > 0 {
            return;
        }
        for index in 0..self.registrations.len() {
            let registration = &self.registrations[index];
            if registration.alarm == 0 || !registration.is_long_wait {
                continue;
            }
            let due = registration.due;
            let retry_s = self.retry_wait_s(step.net, index);
            self.registrations[index].is_long_wait = false;
            if step.now + Duration::from_secs(retry_s) < due {
                self.schedule_register(step, index, retry_s);
            }
        }
    }

    /// The seconds until the next attempt: uniform between half and all of
    /// `min(longest, base * 2^n)` after n failures in a row (O-27).
    pub(super) fn retry_wait_s(&self, net: &mut Net, index: usize) -> u64 {
        let (all_failed, some_work, longest) = limits::AGENT_BACK_OFF_S;
        let base = if self.registered() == 0 {
            all_failed
        } else {
            some_work
        };
        // Few enough that the shift cannot overflow; the longest wait is reached before.
        let doublings = self.registrations[index].failures.saturating_sub(1).min(16);
        let wait = (base << doublings).min(longest);
        random_between(net, wait / 2, wait)
    }
}
