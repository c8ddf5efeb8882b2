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
mod phone;
mod sealed;
mod story;
mod wire;

use tokio::signal::unix::{SignalKind, signal};

use crate::agent;
use crate::io::Clock;
use ladder::clock;
use story::Story;

pub(crate) use phone::Phone;

pub use options::{Command, Speaks, Who};

pub(crate) use ladder::Passed;

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
    let mut phone = Phone::new(who, command.answer_after(), Clock::start())?;
    let mut story = Story::new(command);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    phone.command(agent::Command::Register);
    loop {
        if let Some(end) = story.end() {
            phone.flush()?;
            return end.map_err(Fault::Failed);
        }
        tokio::select! {
            news = phone.next(story.deadline()) => if let Some((now, event)) = news? {
                println!("{} {}", clock(now), story::line(&event));
                if let Some(command) = story.after(&event, now) {
                    phone.command(command);
                }
            },
            _ = terminate.recv() => story.leave(phone.clock()),
            _ = interrupt.recv() => story.leave(phone.clock()),
        }
        for command in story.due(phone.clock()) {
            phone.command(command);
        }
    }
}
