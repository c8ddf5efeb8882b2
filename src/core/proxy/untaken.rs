//! Requests that no home takes (V-8): they wait at the edge until one is back, a few seconds at
//! most.
//!
//! Only what cannot have been taken goes to the same place again under another branch: it was
//! never written, since the connection was refused; or an ICMP error quotes its only copy; or
//! the home said so by a 503 that names a time. What may have arrived is another matter: over UDP
//! its own transaction repeats it, and over a connection that broke it goes once over another
//! one (`lost_flows`), since whoever has it would serve two branches of it.

use super::branch::{Branch, BranchState};
use super::contexts::Contexts;
use super::final_answer::best;
use super::held_requests::{Hold, Release};
use super::{Context, Owner, Proxy, Response, Timer, Turn};
use crate::id::{Flow, Slot};
use crate::limits;
use crate::recorder::Decision;
use crate::scan::Name;
use crate::send::Hop;
use crate::time::Duration;

/// Whether a server has refused a request for so short a time that it is worth to wait.
pub(super) fn is_for_later(response: &Response<'_>) -> bool {
    let after = || response.message.number(response.bytes, Name::RetryAfter);
    response.status == 503
        && matches!(after(), Ok(Some(seconds)) if Duration::from_secs(seconds.into()) <= limits::HELD_FOR)
}

impl Proxy {
    /// Has a request wait that no home has taken. False where somebody has answered it, or may
    /// have it, or it has waited for long enough.
    pub(super) fn hold(&mut self, turn: &mut Turn<'_>, slot: Slot) -> bool {
        let Some(context) = self.contexts.get_mut(slot) else {
            return false;
        };
        let until = context.began + limits::HELD_FOR;
        if context.closed
            || turn.now >= until
            || !matches!(best(&context.branches), Some((_, 503)))
            || !context.untaken(turn).any(|_| true)
        {
            return false;
        }
        let hold = Hold {
            slot,
            source: context.ingress.source.ip(),
            has_waited: context.was_held,
            until,
        };
        if !self.held.push(turn.net, turn.now, hold) {
            return false;
        }
        if !context.was_held {
            turn.net.counters.held += 1;
            turn.net.decided_for(context.recorded, None, Decision::Held);
        }
        context.begin_again(turn);
        self.arm_held(turn);
        true
    }

    /// Sends some of the requests that wait again, and answers those that have waited for long
    /// enough.
    pub(crate) fn try_held(&mut self, turn: &mut Turn<'_>) {
        self.held.fired();
        let mut tried = 0;
        // Looked up anew each time: one that fails at once says that no home is back.
        while let Some(release) = self.held.pop(turn.now, tried < self.held.may_try()) {
            let (Release::Try(slot) | Release::Over(slot)) = release;
            let Some(context) = self.contexts.get_mut(slot).filter(|it| it.is_held) else {
                // It was cancelled.
                continue;
            };
            context.is_held = false;
            if release == Release::Over(slot) {
                context.give_up();
            }
            tried += 1;
            self.advance(turn, slot);
            self.contexts.remove_if_over(turn.net, slot);
        }
        self.arm_held(turn);
    }

    fn arm_held(&mut self, turn: &mut Turn<'_>) {
        if let Some(pause) = self.held.arm() {
            turn.net.txns.set_timer(turn.now + pause, Timer::Held);
        }
    }

    /// A flow shows that somebody is there: where it is a home, what waits for one is let go.
    pub(crate) fn home_is_up(&mut self, turn: &Turn<'_>, flow: Flow) {
        if self.held.is_waiting() && turn.policy.waits_for(turn.net, Hop::Flow(flow)) {
            self.held.open();
        }
    }

    /// The same, by an answer.
    pub(super) fn home_answers(&mut self, turn: &Turn<'_>, response: &Response<'_>) {
        if response.status != 503 {
            self.home_is_up(turn, response.flow);
        }
    }
}

impl Contexts {
    /// Whether a request for a home, of which an ICMP error says that a further copy did not
    /// arrive, goes on all the same: an earlier one may have arrived, and nobody stands by. Its
    /// next copy may find the home started again.
    pub(super) fn goes_on(&self, turn: &Turn<'_>, slot: Slot, index: usize) -> bool {
        let Some(context) = self.get(slot) else {
            return false;
        };
        let branch = context.branches.get(index);
        let waits = branch.is_some_and(|it| turn.policy.waits_for(turn.net, it.target.hop));
        let is_alone = !context.branches.iter().any(|it| it.stands_by_for(index));
        waits && is_alone && !context.closed && turn.now < context.began + limits::HELD_FOR
    }
}

impl Context {
    /// The branches that no home has taken.
    fn untaken<'a>(&'a self, turn: &'a Turn<'_>) -> impl Iterator<Item = usize> + 'a {
        let branches = self.branches.iter().enumerate();
        let is_untaken = move |(_, branch): &(usize, &Branch)| {
            branch.is_untaken
                && branch.state == BranchState::Done(503)
                && turn.policy.waits_for(turn.net, branch.target.hop)
        };
        branches.filter(is_untaken).map(|(index, _)| index)
    }

    /// Makes all that no home has taken as it was before it was sent.
    fn begin_again(&mut self, turn: &mut Turn<'_>) {
        let untaken = self.untaken(turn).fold(0_u32, |set, index| {
            set | 1 << (index % limits::BRANCHES_MAX)
        });
        let is_among = |index: u8| untaken >> (usize::from(index) % limits::BRANCHES_MAX) & 1 == 1;
        (self.is_held, self.was_held) = (true, true);
        for index in 0..self.branches.len() {
            if !is_among(u8::try_from(index).unwrap_or(u8::MAX)) {
                continue;
            }
            // It stands by for the nearest before it that is tried again, or is the first.
            let mut after = self.branches.get(index).and_then(|it| it.target.after);
            while let Some(before) = after.filter(|before| !is_among(*before)) {
                let branch = self.branches.get(usize::from(before));
                after = branch.and_then(|it| it.target.after);
            }
            let Some(branch) = self.branches.get_mut(index) else {
                continue;
            };
            branch.begin_again();
            branch.target.after = after;
            // That of a refusal lingers by its own timers, and is no branch's any more.
            if let Some(client) = branch.client.take() {
                turn.net.txns.set_client_owner(client, Owner::Local);
                self.live = self.live.saturating_sub(1);
            }
        }
    }

    /// Ends what was to be sent again.
    fn give_up(&mut self) {
        for branch in &mut self.branches {
            if branch.state == BranchState::Waiting {
                branch.state = BranchState::Done(503);
            }
        }
    }
}
