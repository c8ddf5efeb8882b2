//! What the command does with the agent's news: the next step, the line that
//! people read, and how it ends.

use std::time::Duration;

use super::options::Command;
use crate::agent;
use crate::send::{Event, Party};
use crate::time::Instant;

/// One run of a command.
pub(super) struct Story {
    plan: Plan,
    stage: Stage,
    /// When the next stage begins by itself.
    until: Option<Instant>,
    /// Answered calls that have not ended.
    calls: usize,
    /// The first thing that went wrong.
    wrong: Option<String>,
}

enum Plan {
    Register {
        once: bool,
        seconds: Option<u64>,
    },
    Call {
        target: String,
        seconds: u64,
    },
    Listen {
        calls: Option<u32>,
        seconds: Option<u64>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not all flows have been tried.
    Registering,
    /// Registered; calls come and go.
    Running,
    /// The bindings are to be removed.
    Leaving,
    /// They are being removed.
    Left,
    /// They are removed, and the last BYE waits for its answer.
    Parting,
    /// Over.
    Over,
}

/// How long the removal of bindings may take: nobody waits for it.
const LEAVE_MAX: Duration = Duration::from_secs(3);

impl Story {
    pub(super) fn new(command: &Command) -> Self {
        let plan = match command {
            Command::Register { once, seconds, .. } => Plan::Register {
                once: *once,
                seconds: *seconds,
            },
            Command::Call {
                target, seconds, ..
            } => Plan::Call {
                target: target.clone(),
                seconds: *seconds,
            },
            Command::Listen { calls, seconds, .. } => Plan::Listen {
                calls: *calls,
                seconds: *seconds,
            },
        };
        Self {
            plan,
            stage: Stage::Registering,
            until: None,
            calls: 0,
            wrong: None,
        }
    }

    /// The next step.
    pub(super) fn after(&mut self, event: &Event, now: Instant) -> Option<agent::Command> {
        match event {
            Event::NotRegistered { reg_id, why, .. } if self.stage == Stage::Registering => {
                self.wrong
                    .get_or_insert_with(|| format!("flow {reg_id} is not registered: {why}"));
            }
            Event::Ready { flows, of } => return self.ready(*flows, *of, now),
            Event::Established { .. } => {
                self.calls += 1;
                if let Plan::Call { seconds, .. } = self.plan {
                    self.until = Some(now + Duration::from_secs(seconds));
                }
            }
            Event::Ended { .. } => return self.call_over(now),
            Event::Failed { why, .. } => {
                if let (Stage::Running, Plan::Call { .. }) = (self.stage, &self.plan) {
                    self.wrong = Some(format!("the call failed: {why}"));
                    return Some(self.begin_leaving(now));
                }
            }
            Event::Unregistered if self.calls > 0 => self.stage = Stage::Parting,
            Event::Unregistered => self.stage = Stage::Over,
            Event::NotRegistered { .. }
            | Event::Redirected { .. }
            | Event::Registered { .. }
            | Event::Refreshed { .. }
            | Event::FlowLost { .. }
            | Event::Incoming { .. }
            | Event::Ringing { .. }
            | Event::Renewed { .. }
            | Event::NotRenewed { .. }
            | Event::Switched { .. } => {}
        }
        None
    }

    fn ready(&mut self, flows: usize, of: usize, now: Instant) -> Option<agent::Command> {
        if flows == 0 {
            self.stage = Stage::Over;
            return None;
        }
        self.stage = Stage::Running;
        let after = |seconds: Option<u64>| seconds.map(|s| now + Duration::from_secs(s));
        match &self.plan {
            Plan::Register { once: true, .. } => {
                self.stage = Stage::Over;
                if flows < of {
                    self.wrong.get_or_insert_with(|| {
                        format!("only {flows} of the {of} flows could be registered in time")
                    });
                }
            }
            Plan::Register { seconds, .. } | Plan::Listen { seconds, .. } => {
                self.wrong = None;
                self.until = after(*seconds);
            }
            Plan::Call { target, .. } => {
                self.wrong = None;
                return Some(agent::Command::Call(target.clone()));
            }
        }
        None
    }

    fn call_over(&mut self, now: Instant) -> Option<agent::Command> {
        self.calls = self.calls.saturating_sub(1);
        if self.stage == Stage::Parting && self.calls == 0 {
            self.stage = Stage::Over;
        }
        let over = match &mut self.plan {
            Plan::Register { .. } => false,
            Plan::Call { .. } => true,
            Plan::Listen { calls, .. } => calls.as_mut().is_some_and(|calls| {
                *calls = calls.saturating_sub(1);
                *calls == 0
            }),
        };
        (over && self.stage == Stage::Running).then(|| self.begin_leaving(now))
    }

    /// Ends the run in good order, from now on.
    pub(super) fn leave(&mut self, now: Instant) {
        match self.stage {
            // Nothing is there to be removed, and a second signal means it.
            Stage::Registering | Stage::Leaving | Stage::Left | Stage::Parting => {
                self.stage = Stage::Over
            }
            Stage::Running => {
                self.stage = Stage::Leaving;
                self.until = Some(now);
            }
            Stage::Over => {}
        }
    }

    fn begin_leaving(&mut self, now: Instant) -> agent::Command {
        self.stage = Stage::Left;
        self.until = Some(now + LEAVE_MAX);
        agent::Command::Unregister
    }

    /// When time itself is the next event.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// What is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<agent::Command> {
        if self.until.is_none_or(|until| until > now) {
            return Vec::new();
        }
        self.until = None;
        let calls = matches!(self.plan, Plan::Call { .. });
        match self.stage {
            // The end of the call brings the rest.
            Stage::Running if calls => vec![agent::Command::Hangup],
            Stage::Running | Stage::Leaving => {
                vec![agent::Command::Hangup, self.begin_leaving(now)]
            }
            Stage::Left | Stage::Parting => {
                self.stage = Stage::Over;
                Vec::new()
            }
            Stage::Registering | Stage::Over => Vec::new(),
        }
    }

    /// How it ended, once it has.
    pub(super) fn end(&mut self) -> Option<Result<(), String>> {
        if self.stage != Stage::Over {
            return None;
        }
        Some(self.wrong.take().map_or(Ok(()), Err))
    }
}

/// The line for an event.
pub(super) fn line(event: &Event) -> String {
    match event {
        Event::Redirected { reg_id, to } => format!("flow {reg_id}: redirected to {to}"),
        Event::Registered {
            reg_id,
            proxy,
            expires_s,
            ..
        } => format!("flow {reg_id}: registered through {proxy} for {expires_s} s"),
        Event::Refreshed { reg_id, proxy } => {
            format!("flow {reg_id}: refreshed through {proxy}")
        }
        Event::Ready { flows: 0, .. } => "no flow is registered".to_owned(),
        Event::Ready { flows, of } => format!("ready, with {flows} of {of} flows"),
        Event::NotRegistered {
            reg_id,
            why,
            retry_s,
            ..
        } => {
            let again = retry_s.map_or_else(String::new, |retry_s| {
                format!("; next attempt in {retry_s} s")
            });
            format!("flow {reg_id}: not registered: {why}{again}")
        }
        Event::FlowLost {
            reg_id,
            proxy,
            why,
            retry_s,
        } => {
            format!(
                "flow {reg_id}: lost, the way through {proxy}: {why}; next attempt in {retry_s} s"
            )
        }
        Event::Unregistered => "unregistered".to_owned(),
        Event::Incoming { call, from } => format!("call {call}: from {from}"),
        Event::Ringing { call } => format!("call {call}: ringing"),
        Event::Established { call } => format!("call {call}: answered"),
        Event::Renewed { call } => format!("call {call}: renewed"),
        Event::NotRenewed { call, why, .. } => format!("call {call}: not renewed: {why}"),
        Event::Switched { call, proxy } => format!("call {call}: goes on through {proxy}"),
        Event::Ended {
            call,
            by: Party::Us,
        } => format!("call {call}: ended here"),
        Event::Ended {
            call,
            by: Party::Them,
        } => format!("call {call}: ended by the other side"),
        Event::Failed { call, why, .. } => format!("call {call}: failed: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(1_000_000);

    fn story(plan: Plan) -> Story {
        Story {
            plan,
            stage: Stage::Registering,
            until: None,
            calls: 0,
            wrong: None,
        }
    }

    fn call() -> Story {
        let target = "sip:ann@example.com".to_owned();
        let mut story = story(Plan::Call { target, seconds: 3 });
        let next = story.after(&Event::Ready { flows: 2, of: 2 }, NOW);
        assert!(matches!(next, Some(agent::Command::Call(_))));
        story
    }

    #[test]
    fn a_call_is_hung_up_in_time_and_ends_well() {
        let mut story = call();
        assert_eq!(story.after(&Event::Established { call: 1 }, NOW), None);
        assert_eq!(story.deadline(), Some(NOW + Duration::from_secs(3)));
        assert_eq!(story.due(NOW), []);
        let later = NOW + Duration::from_secs(3);
        assert_eq!(story.due(later), [agent::Command::Hangup]);
        let by = Party::Us;
        assert_eq!(
            story.after(&Event::Ended { call: 1, by }, later),
            Some(agent::Command::Unregister)
        );
        assert_eq!(story.end(), None);
        story.after(&Event::Unregistered, later);
        assert_eq!(story.end(), Some(Ok(())));
    }

    #[test]
    fn whoever_leaves_in_a_call_waits_for_the_answer_to_the_bye() {
        let mut story = call();
        story.after(&Event::Established { call: 1 }, NOW);
        story.leave(NOW);
        let want = [agent::Command::Hangup, agent::Command::Unregister];
        assert_eq!(story.due(NOW), want);
        story.after(&Event::Unregistered, NOW);
        assert_eq!(story.end(), None);
        let by = Party::Us;
        assert_eq!(story.after(&Event::Ended { call: 1, by }, NOW), None);
        assert_eq!(story.end(), Some(Ok(())));
    }

    #[test]
    fn a_call_that_fails_is_a_failure() {
        let mut story = call();
        let failed = Event::Failed {
            call: 1,
            status: 480,
            why: "the answer was 480 Gone".to_owned(),
        };
        assert_eq!(story.after(&failed, NOW), Some(agent::Command::Unregister));
        // Nobody waits for the removal for ever.
        story.due(NOW + LEAVE_MAX);
        let why = "the call failed: the answer was 480 Gone".to_owned();
        assert_eq!(story.end(), Some(Err(why)));
    }

    #[test]
    fn no_flow_is_a_failure_and_half_of_them_is_one_when_that_is_all() {
        let refused = Event::NotRegistered {
            reg_id: 2,
            status: 403,
            why: "the answer was 403 No".to_owned(),
            retry_s: None,
        };
        for (flows, once) in [(0, false), (1, true)] {
            let mut story = story(Plan::Register {
                once,
                seconds: None,
            });
            story.after(&refused, NOW);
            story.after(&Event::Ready { flows, of: 2 }, NOW);
            let why = "flow 2 is not registered: the answer was 403 No".to_owned();
            assert_eq!(story.end(), Some(Err(why)));
        }
    }

    #[test]
    fn a_listener_leaves_after_its_last_call() {
        let mut story = story(Plan::Listen {
            calls: Some(2),
            seconds: None,
        });
        story.after(&Event::Ready { flows: 1, of: 1 }, NOW);
        let by = Party::Them;
        let ended = Event::Ended { call: 1, by };
        assert_eq!(story.after(&ended, NOW), None);
        assert_eq!(story.after(&ended, NOW), Some(agent::Command::Unregister));
    }
}
