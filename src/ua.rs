//! `steadfast ua`: the user agent on the command line.
//!
//! The agent itself is part of the core; here are its sockets, its clock and
//! what people read. One agent sends a few messages a minute, so this is a
//! plain loop on tokio and not the shell of the nodes.
//!
//! It says on the standard output what happens, one line each, and what goes
//! wrong as one sentence at the end, with an exit status that is not 0.

mod ladder;
mod options;
mod story;
mod wire;

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::agent;
use crate::config::random;
use crate::send::Output;
use crate::shard::{Input, Role, Setup, Shard};
use crate::time::{Instant, Wall};
use ladder::{Ladder, clock};
use story::Story;
use wire::{News, Wire};

pub use options::{Command, Speaks, Who};

/// Why the agent stops without having done what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The options contradict one another or the machine.
    #[error("{0}")]
    Options(String),
    /// Sockets, signals or randomness.
    #[error("the kernel refused what the agent needs: {0}")]
    Kernel(#[from] std::io::Error),
    /// What the other side said, or did not say.
    #[error("{0}")]
    Failed(String),
}

/// Runs the command to its end.
///
/// # Errors
/// When what was asked for did not come about.
pub fn run(command: &Command) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(drive(command))
}

async fn drive(command: &Command) -> Result<(), Fault> {
    let who = command.who();
    let mut wire = Wire::bind(who)?;
    let settings = who.settings(command.answer_after())?;
    let mut engine = Engine::new(settings, &wire, who)?;
    let mut story = Story::new(command);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    engine.handle(Input::Command(agent::Command::Register));
    loop {
        while let Some(output) = engine.shard.poll() {
            match output {
                Output::Event(event) => {
                    println!("{} {}", clock(engine.now), story::line(&event));
                    if let Some(command) = story.after(&event, engine.now) {
                        engine.handle(Input::Command(command));
                    }
                }
                Output::Transmit { .. }
                | Output::Connect { .. }
                | Output::Close { .. }
                | Output::Store { .. }
                | Output::Notice(_) => wire.perform(output, &engine.ladder, engine.now)?,
            }
        }
        if let Some(end) = story.end() {
            return end.map_err(Fault::Failed);
        }
        let due = [engine.shard.deadline(), story.deadline()];
        let due = due.into_iter().flatten().min();
        let wait = due.map_or(IDLE, |due| due.since(engine.clock()));
        tokio::select! {
            news = wire.next() => engine.news(news?),
            () = tokio::time::sleep(wait) => engine.handle(Input::Tick),
            _ = terminate.recv() => story.leave(engine.clock()),
            _ = interrupt.recv() => story.leave(engine.clock()),
        }
        for command in story.due(engine.clock()) {
            engine.handle(Input::Command(command));
        }
    }
}

/// How long the loop sleeps when nothing at all is due.
const IDLE: Duration = Duration::from_secs(60);

/// The shard with its clock.
struct Engine {
    shard: Shard,
    began: std::time::Instant,
    now: Instant,
    ladder: Ladder,
}

impl Engine {
    fn new(settings: agent::Settings, wire: &Wire, who: &Who) -> Result<Self, Fault> {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed: [u8; 32] = random()?;
        let mut words = seed.chunks_exact(8).map(|chunk| {
            chunk
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        });
        let wall = Wall {
            unix_at_zero: unix.map_or(0, |since| since.as_secs()),
        };
        let setup = Setup {
            locals: wire.locals(),
            role: Role::Agent(settings),
            seed: std::array::from_fn(|_| words.next().unwrap_or_default()),
            wall,
        };
        Ok(Self {
            shard: Shard::new(setup, Instant::ZERO),
            began: std::time::Instant::now(),
            now: Instant::ZERO,
            ladder: Ladder::new(who.verbose),
        })
    }

    fn clock(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }

    fn handle(&mut self, input: Input<'_>) {
        self.now = self.clock();
        self.shard.handle(self.now, input);
    }

    fn news(&mut self, news: News) {
        self.now = self.clock();
        match &news {
            News::Datagram { peer, bytes } => self.ladder.received(self.now, *peer, bytes),
            News::Read { peer, bytes, .. } => self.ladder.received(self.now, *peer, bytes),
            News::Connected(_) | News::Closed(_) => {}
        }
        self.shard.handle(self.now, news.input());
    }
}
