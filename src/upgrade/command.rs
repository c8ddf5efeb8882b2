//! `steadfast upgrade`.

use std::path::PathBuf;

use crate::control_client::{self, Fault, escaped};
use crate::limits;

/// Whom to tell.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The node's control socket, or its configuration file
    #[arg(long, value_name = "FILE|SOCKET")]
    pub node: PathBuf,
    /// The new program, instead of what is now where the running one was started from
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
}

/// Has the node go on in a new process; what it says of that, as it is to be printed.
///
/// # Errors
/// Why it goes on as before, in one sentence.
pub fn ask(options: &Options) -> Result<String, Fault> {
    let mut page = "/upgrade".to_owned();
    if let Some(binary) = &options.binary {
        let binary = std::path::absolute(binary).unwrap_or_else(|_| binary.clone());
        page.push_str("?binary=");
        page.push_str(&escaped(&binary.to_string_lossy()));
    }
    let most = limits::UPGRADE_START_MAX + limits::SETTLE_MAX + limits::UPGRADE_TAKE_MAX * 3;
    control_client::ask_within(&options.node, "POST", &page, most)
}
