//! What time brings to a shard, and whose business it is.

use super::{INVITE, RoleMut, SWEEP_EVERY, Shard};
use crate::agent::Agent;
use crate::id::StreamId;
use crate::proxy::{Owner, Proxy, Step, Timer, Turn};
use crate::time::Instant;
use crate::txn::Due;

impl Shard {
    /// Everything that is due.
    pub(super) fn tick(&mut self, now: Instant) {
        self.net.recorder.begin();
        while let Some(due) = self.net.txns.due(now) {
            match due {
                Due::Repeat { owner, send } => {
                    self.net.counters.retransmissions_out += 1;
                    let is_invite = send.bytes.starts_with(INVITE);
                    self.net
                        .liveness
                        .peers
                        .note_request_sent(now, send.flow, is_invite);
                    match self.role_mut(now) {
                        RoleMut::Proxy(proxy, mut turn) => proxy.repeat(&mut turn, owner, send),
                        RoleMut::Agent(_, step) => step.net.transmit_send(Some(send)),
                    }
                }
                Due::Resend(send) => {
                    self.net.counters.retransmissions_out += 1;
                    self.net
                        .liveness
                        .peers
                        .note_request_sent(now, send.flow, false);
                    match self.role_mut(now) {
                        RoleMut::Proxy(_, mut turn) => turn.send_answer(send.flow, send.bytes),
                        RoleMut::Agent(_, step) => step.net.transmit_send(Some(send)),
                    }
                }
                Due::User(Timer::Partial(slot)) => self.check_partial(now, StreamId(slot)),
                Due::User(Timer::Silence(slot)) => self.check_silence(now, StreamId(slot)),
                Due::User(Timer::Liveness) => self.check_liveness(now),
                Due::User(Timer::Drain) => self.close_idle(now),
                Due::User(Timer::Asks) => self.end_asks(now),
                Due::ClientTimeout { .. }
                | Due::Trying { .. }
                | Due::AckTimeout { .. }
                | Due::ServerDone { .. }
                | Due::ClientDone { .. }
                | Due::User(
                    Timer::Branch { .. }
                    | Timer::Held
                    | Timer::Later
                    | Timer::Sweep
                    | Timer::Agent(_),
                ) => match self.role_mut(now) {
                    RoleMut::Proxy(proxy, mut turn) => proxy_due(proxy, &mut turn, due),
                    RoleMut::Agent(agent, mut step) => agent_due(agent, &mut step, due),
                },
            }
        }
    }
}

fn proxy_due(proxy: &mut Proxy, turn: &mut Turn<'_>, due: Due<Owner, Timer>) {
    match due {
        Due::ClientTimeout { owner, heard, .. } => proxy.timed_out(turn, owner, heard),
        Due::Trying { id, owner } => proxy.trying(turn, id, owner),
        Due::AckTimeout { owner, .. } | Due::ServerDone { owner, .. } => {
            proxy.server_done(turn.net, owner);
        }
        Due::ClientDone { owner, .. } => proxy.client_done(turn.net, owner),
        Due::User(Timer::Branch { context, branch }) => proxy.branch_timer(turn, context, branch),
        Due::User(Timer::Held) => proxy.try_held(turn),
        Due::User(Timer::Later) => turn.policy.run_deferred(&mut Step::new(turn.net, turn.now)),
        Due::User(Timer::Sweep) => {
            turn.policy.sweep(&mut Step::new(turn.net, turn.now));
            if turn.net.held_answers.is_overdue(turn.now) {
                turn.not_stored();
            }
            proxy.sweep(turn.now);
            turn.net
                .txns
                .set_timer(turn.now + SWEEP_EVERY, Timer::Sweep);
        }
        Due::User(
            Timer::Agent(_)
            | Timer::Asks
            | Timer::Drain
            | Timer::Liveness
            | Timer::Partial(_)
            | Timer::Silence(_),
        )
        | Due::Repeat { .. }
        | Due::Resend(_) => {}
    }
}

fn agent_due(agent: &mut Agent, step: &mut Step<'_>, due: Due<Owner, Timer>) {
    match due {
        Due::ClientTimeout { owner, .. } => agent.timed_out(step, owner),
        Due::User(Timer::Agent(number)) => agent.on_timer(step, number),
        Due::User(Timer::Sweep) => {
            agent.sweep(step.now);
            step.net
                .txns
                .set_timer(step.now + SWEEP_EVERY, Timer::Sweep);
        }
        Due::Trying { .. }
        | Due::AckTimeout { .. }
        | Due::ServerDone { .. }
        | Due::ClientDone { .. }
        | Due::User(
            Timer::Asks
            | Timer::Drain
            | Timer::Held
            | Timer::Liveness
            | Timer::Branch { .. }
            | Timer::Partial(_)
            | Timer::Later
            | Timer::Silence(_),
        )
        | Due::Repeat { .. }
        | Due::Resend(_) => {}
    }
}
