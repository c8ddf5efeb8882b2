//! The load generator: many phones in one thread, callers and callees alike,
//! and what it cost whoever they went through.
//!
//! - Open loop: attempts begin by the clock, and their latency counts from the
//!   moment they should have begun, so a stall shows as what it is. Closed
//!   loop: so many attempts at once, as fast as they end.
//! - Datagrams move in batches and leave from as many addresses as there are
//!   phones; nothing is allocated for a call once its place was used before.
//! - Bounded in time and number, and to loopback: it is a load, not a weapon.
//!
//! Not here: correct phones (`steadfast ua`); what is sent here is always the
//! same few messages, and what comes back is only looked at as far as they need
//! it.

mod attempts;
mod batch;
mod bounds;
mod calls;
mod comparison;
mod compose;
mod drive;
mod failure;
mod handshakes;
mod idle;
mod measure;
mod options;
mod outline;
mod pace;
mod phones;
mod registrations;
mod relay;
mod retries;
mod scenes;
mod storm;
mod tally;
mod trust;
mod watch;
mod wires;

use std::net::SocketAddrV4;
use std::process::ExitCode;

use clap::Parser;

use options::{Command, Scene};

/// The allocator of what is loaded, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load a SIP proxy on this machine and say what it cost.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Why a load cannot run, each a sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// What was asked for cannot be.
    #[error("{0}")]
    Options(String),
    /// A watched process is not there.
    #[error("there is no process {pid} to watch: {why}")]
    Watched {
        /// Its id.
        pid: u32,
        /// What the kernel said.
        why: std::io::Error,
    },
    /// The callee's address cannot be bound.
    #[error("the callee cannot listen on {addr}: {why}")]
    Callee {
        /// Its address.
        addr: SocketAddrV4,
        /// What the kernel said.
        why: std::io::Error,
    },
    /// A connection cannot be opened.
    #[error("cannot connect to {addr}: {why}")]
    Connect {
        /// Who should be there.
        addr: SocketAddrV4,
        /// What the kernel said.
        why: std::io::Error,
    },
    /// Some attempts did not go as they should.
    #[error("{failed} of {attempted} attempts failed")]
    Failed {
        /// How many.
        failed: u64,
        /// Of how many.
        attempted: u64,
    },
    /// Sockets and memory.
    #[error("the kernel refused what a load needs: {0}")]
    Kernel(#[from] std::io::Error),
    /// The report cannot be written.
    #[error("cannot write the report: {0}")]
    Report(#[from] serde_json::Error),
    /// The histogram's bounds.
    #[error("cannot count latencies: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("steadfast-load: {fault}");
            let is_wrong = matches!(fault, Fault::Options(_));
            ExitCode::from(if is_wrong { WRONG_OPTIONS } else { FAILED })
        }
    }
}

fn run(command: &Command) -> Result<(), Fault> {
    batch::wake_on_time()?;
    match command {
        Command::Calls(options) => scenes::run(options, Scene::Calls, None),
        Command::Registrations(options) => scenes::run(options, Scene::Registrations, None),
        Command::CallsToRegistered(options) => scenes::run(options, Scene::CallsToRegistered, None),
        Command::Failover(failover) => {
            failover.check().map_err(Fault::Options)?;
            scenes::run(&failover.options, Scene::Failover, Some(failover))
        }
        Command::Handshakes(handshakes) => handshakes::run(handshakes),
        Command::Relay(options) => relay::run(options),
        Command::Idle(options) => idle::run(options),
        Command::Compare(options) => comparison::run(options),
        Command::Storm(options) => storm::run(options),
    }
}

/// Exit status of a load that did not go as it should.
const FAILED: u8 = 1;
/// Exit status of options that cannot be, as clap has it.
const WRONG_OPTIONS: u8 = 2;
