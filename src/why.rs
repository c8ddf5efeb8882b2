//! `steadfast why`: asks a running node over its control socket why a request
//! for a URI goes where it goes.

use std::path::PathBuf;

use crate::control_client::{self, Fault};

/// What is asked of whom.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The URI: a token's, as it stands in a Route, or an address of record
    pub uri: String,
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
    let flag = if options.json { "&json" } else { "" };
    let page = format!("/why?uri={}{flag}", control_client::escaped(&options.uri));
    control_client::ask(&options.node, "GET", &page)
}
