//! `steadfast reload`: has a running node take its configuration over; `steadfast status`:
//! which one it goes by.

use std::path::PathBuf;

use crate::control_client::{self, Fault};

/// Whom to tell.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The node's control socket, or its configuration file
    #[arg(long, value_name = "FILE|SOCKET")]
    pub node: PathBuf,
}

/// Whom to ask, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusOptions {
    /// The node's control socket, or its configuration file
    #[arg(long, value_name = "FILE|SOCKET")]
    pub node: PathBuf,
    /// Answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Has the node read its file again; what it says of that, as it is to be printed.
///
/// # Errors
/// Why the file was not taken over, in one sentence.
pub fn ask(options: &Options) -> Result<String, Fault> {
    control_client::ask(&options.node, "POST", "/reload")
}

/// What the node goes by, as it is to be printed.
///
/// # Errors
/// Why there is no answer.
pub fn status(options: &StatusOptions) -> Result<String, Fault> {
    let flag = if options.json { "?json" } else { "" };
    control_client::ask(&options.node, "GET", &format!("/status{flag}"))
}
