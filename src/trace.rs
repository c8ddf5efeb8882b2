//! `steadfast trace`: the story of a call or a registration, out of what the flight recorders of
//! one or several nodes hold.
//!
//! Each node is asked over its control socket for the messages of a Call-ID, of an address of
//! record or of its last refusals. What one node has sent and another one received is the same
//! bytes, and becomes one arrow (`join`); then the ladder is drawn (`ladder`), with what was
//! decided in between and how it ended (`outcome`), or written as a capture (`pcap`).

mod ask;
mod follow;
mod join;
mod ladder;
mod message;
mod outcome;
mod pcap;
mod view;

use std::path::PathBuf;

use crate::control_client;
use crate::limits;

pub use message::Sip;
pub use view::{Kind, Row, View};

use join::Story;

/// What is asked of whom.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["uri", "call_id", "last_failures"])))]
pub struct Options {
    /// An address of record: its last calls and registrations
    pub uri: Option<String>,
    /// One call or registration
    #[arg(long)]
    pub call_id: Option<String>,
    /// What was refused last
    #[arg(long)]
    pub last_failures: bool,
    /// A control socket, a configuration file, or a folder of control sockets; several are joined
    #[arg(long, value_name = "FILE|SOCKET|FOLDER", required = true, num_args = 1)]
    pub node: Vec<PathBuf>,
    /// How many calls and registrations at most, the last ones
    #[arg(long, default_value_t = limits::TRACE_FAILURES)]
    pub count: usize,
    /// Go on with what passes from now on, until interrupted
    #[arg(long, conflicts_with_all = ["last_failures", "pcap"])]
    pub follow: bool,
    /// Write the messages there for Wireshark instead, TLS without its encryption
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
}

/// Why there is no story, each a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A node does not answer.
    #[error(transparent)]
    Node(#[from] control_client::Fault),
    /// Its answer is none.
    #[error("{}: the answer cannot be read: {why}", node.display())]
    Answer {
        /// Which node.
        node: PathBuf,
        /// What is wrong with it.
        why: serde_json::Error,
    },
    /// A folder cannot be read, or has no socket in it.
    #[error("{}: {why}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No address of record.
    #[error("{0:?} is no URI such as sip:joe@example.com")]
    NoUri(String),
    /// There is nothing to tell.
    #[error("{0}")]
    Nothing(String),
    /// The capture cannot be written.
    #[error("cannot write {}: {why}", file.display())]
    Write {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What a story is looked for by.
#[derive(Clone, Debug)]
enum Subject {
    CallId(String),
    /// `user@host`.
    Aor(String),
    Failures,
}

/// Asks, and gives the answer as it is to be printed; with `--follow` it prints it itself and
/// ends when it is interrupted.
///
/// # Errors
/// Why there is none.
pub fn ask(options: &Options) -> Result<String, Fault> {
    let subject = subject(options)?;
    let nodes = ask::answering(ask::nodes(&options.node)?)?;
    if options.follow {
        return follow::follow(&nodes, &subject);
    }
    let views = ask::views(&nodes, &subject, options.count)?;
    let missed: u64 = views.iter().map(|view| view.missed).sum();
    let stories = join::stories(views, &subject);
    let first = stories.len().saturating_sub(options.count);
    let stories = stories.get(first..).unwrap_or_default();
    if stories.is_empty() {
        return Err(Fault::Nothing(nothing(&subject, missed)));
    }
    match &options.pcap {
        Some(file) => pcap::write(file, stories),
        None => Ok(draw(stories)),
    }
}

/// The ladder of a Call-ID and how it ended, as far as one node has seen it; `None`: nothing of it
/// is there.
#[must_use]
pub fn ladder(view: View, call_id: &str) -> Option<String> {
    let subject = Subject::CallId(call_id.to_owned());
    let stories = join::stories(vec![view], &subject);
    (!stories.is_empty()).then(|| draw(&stories))
}

fn subject(options: &Options) -> Result<Subject, Fault> {
    if let Some(call_id) = &options.call_id {
        return Ok(Subject::CallId(call_id.clone()));
    }
    let Some(uri) = &options.uri else {
        return Ok(Subject::Failures);
    };
    let text = match uri.contains(':') {
        true => uri.clone(),
        false => format!("sip:{uri}"),
    };
    match message::of_uri(&text) {
        Some(aor) if aor.contains('@') => Ok(Subject::Aor(aor)),
        Some(_) | None => Err(Fault::NoUri(uri.clone())),
    }
}

fn nothing(subject: &Subject, missed: u64) -> String {
    let what = match subject {
        Subject::CallId(call_id) => format!("no message of Call-ID {call_id} is recorded"),
        Subject::Aor(aor) => format!("no message from or to {aor} is recorded"),
        Subject::Failures => return "nothing that was refused is recorded".to_owned(),
    };
    let why = match missed {
        0 => "it passed other nodes, or was before what the recorders still hold (`recorder`)",
        _ => "what passed meanwhile was more than the recorders hold (`recorder`)",
    };
    format!("{what}: {why}")
}

fn draw(stories: &[Story]) -> String {
    let all: Vec<_> = stories
        .iter()
        .map(|story| {
            let ladder = ladder::Ladder::of(story);
            format!("{}{}", ladder.draw(story), outcome::words(story))
        })
        .collect();
    all.join("\n")
}
