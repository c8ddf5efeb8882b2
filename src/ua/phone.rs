//! One agent with its sockets and its clock, for whoever has a plan for it.

use std::time::Duration;

use super::ladder::Ladder;
use super::options::Who;
use super::wire::{News, Wire};
use super::{Fault, agent};
use crate::config::seed;
use crate::id::ShardSet;
use crate::io::Clock;
use crate::send::{Event, Output};
use crate::shard::{Input, Role, Setup, Shard};
use crate::time::Instant;

/// How long the loop sleeps when nothing at all is due.
const IDLE: Duration = Duration::from_secs(60);

/// A user agent on the network.
pub(crate) struct Phone {
    shard: Shard,
    wire: Wire,
    ladder: Ladder,
    clock: Clock,
    now: Instant,
}

impl Phone {
    /// A phone at rest; one that is called answers after `answer_after`.
    /// Phones with the same clock show the same times.
    ///
    /// # Errors
    /// When its sockets cannot be had, or the options contradict one another.
    pub(crate) fn new(
        who: &Who,
        answer_after: Option<Duration>,
        clock: Clock,
    ) -> Result<Self, Fault> {
        let settings = who.settings(answer_after)?;
        let wire = Wire::bind(who)?;
        let seed = seed()?;
        let setup = Setup {
            locals: wire.locals(),
            role: Role::Agent(settings),
            seed,
            shard_set: ShardSet::alone(seed),
            wall: clock.wall(),
        };
        let now = clock.now();
        Ok(Self {
            shard: Shard::new(setup, now),
            wire,
            ladder: Ladder::new(who.verbose),
            clock,
            now,
        })
    }

    /// The time by its clock.
    pub(crate) fn clock(&self) -> Instant {
        self.clock.now()
    }

    /// What passed, for a phone that keeps it.
    pub(crate) const fn ladder(&mut self) -> &mut Ladder {
        &mut self.ladder
    }

    /// Gives it something to do.
    pub(crate) fn command(&mut self, command: agent::Command) {
        self.handle(Input::Command(command));
    }

    /// The next thing its agent says, and when it happened; `None` once `until`
    /// has come. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When a socket fails for good.
    pub(crate) async fn next(
        &mut self,
        until: Option<Instant>,
    ) -> Result<Option<(Instant, Event)>, Fault> {
        loop {
            if let Some(event) = self.perform()? {
                return Ok(Some((self.now, event)));
            }
            let now = self.clock();
            if until.is_some_and(|until| until <= now) {
                return Ok(None);
            }
            let due = [self.shard.deadline(), until];
            let due = due.into_iter().flatten().min();
            let wait = due.map_or(IDLE, |due| due.since(now));
            tokio::select! {
                news = self.wire.next() => self.news(news?),
                () = tokio::time::sleep(wait) => self.handle(Input::Tick),
            }
        }
    }

    /// Carries out what the agent wants, up to the next thing it says.
    fn perform(&mut self) -> Result<Option<Event>, Fault> {
        while let Some(output) = self.shard.poll() {
            if let Output::Event(event) = output {
                return Ok(Some(*event));
            }
            self.wire.perform(output, &mut self.ladder, self.now)?;
        }
        Ok(None)
    }

    /// Carries out what is left to do at the end; nobody listens any more.
    ///
    /// # Errors
    /// When a socket fails for good.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        while self.perform()?.is_some() {}
        Ok(())
    }

    fn handle(&mut self, input: Input<'_>) {
        self.now = self.clock();
        self.shard.handle(self.now, input);
    }

    fn news(&mut self, news: News) {
        self.now = self.clock();
        match &news {
            News::Datagram { peer, bytes } => self.ladder.received(self.now, *peer, bytes),
            News::Read { peer, bytes, .. } => self.ladder.read(self.now, *peer, bytes),
            News::Connected(..) | News::Closed(_) => {}
        }
        self.shard.handle(self.now, news.input());
    }
}
