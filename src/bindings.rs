//! `steadfast bindings`: what a running home has registered for an address of
//! record, and how to take it away.

use std::path::PathBuf;

use crate::control_client::{self, Fault};

/// What is to be done.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Show contacts, paths, flows and what is left of their time
    List(Options),
    /// Take them away, here and at the edges, as if the subscriber were off the list
    Remove(Options),
}

/// Of whom, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The address of record: sip:joe@example.com, or joe@example.com
    pub aor: String,
    /// The home's control socket, or its configuration file
    #[arg(long, value_name = "FILE|SOCKET")]
    pub node: PathBuf,
    /// Answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Does it; the answer as it is to be printed.
///
/// # Errors
/// Why there is none.
pub fn run(command: &Command) -> Result<String, Fault> {
    let (method, options) = match command {
        Command::List(options) => ("GET", options),
        Command::Remove(options) => ("DELETE", options),
    };
    let aor = match options.aor.split_once(':') {
        Some(("sip" | "sips", _)) => options.aor.clone(),
        Some(_) | None => format!("sip:{}", options.aor),
    };
    let flag = if options.json { "&json" } else { "" };
    let page = format!("/bindings?aor={}{flag}", control_client::escaped(&aor));
    control_client::ask(&options.node, method, &page)
}
