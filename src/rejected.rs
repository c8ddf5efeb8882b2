//! `steadfast rejected`: asks a running node what it refused, and why.

use std::path::PathBuf;

use crate::control_client::{self, Fault};

/// What is asked of whom.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The node's control socket, or its configuration file
    #[arg(long, value_name = "FILE|SOCKET")]
    pub node: PathBuf,
    /// Answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Asks; the answer as it is to be printed.
///
/// # Errors
/// Why there is none.
pub fn ask(options: &Options) -> Result<String, Fault> {
    let flag = if options.json { "?json" } else { "" };
    control_client::ask(&options.node, "GET", &format!("/rejected{flag}"))
}
