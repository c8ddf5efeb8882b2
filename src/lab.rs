//! A whole domain on one machine: a home, three edges, two subscribers.
//!
//! Writes their files into a folder, starts each node as a process of its own,
//! so that one can be killed to see its calls survive, and says what to do
//! next. Everything ends, and the folder goes, with the lab.
//!
//! Not here: anything the nodes do differently because of it. They are started
//! as any other, with the files one would write for them.

mod demo;
mod files;
mod heirs;
mod processes;
mod words;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use tokio::signal::unix::{SignalKind, signal};

pub use demo::{DemoFault, DemoOptions, demo};

use crate::config::random;
use crate::id::Transport;
use crate::limits;
use processes::Nodes;

/// How the lab is to be run.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Use tokens that people can read, as in `joe+e1+e3`
    #[arg(long)]
    pub clear: bool,
    /// Reach the home over TLS with certificates on both sides, and serve phones over TLS too
    #[arg(long)]
    pub tls: bool,
    /// Give each node so many shards, one core each
    #[arg(long, value_name = "NUMBER")]
    pub shards: Option<u8>,
    /// Hold programs of this machine to the bounds that hold for strangers
    #[arg(long)]
    pub strict: bool,
    /// Keep configurations and logs in this folder
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Why the lab cannot run, each a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A node ended instead of listening.
    #[error("{name} did not start: {sentence}")]
    Node {
        /// The node.
        name: &'static str,
        /// The last line of its log.
        sentence: String,
    },
    /// A node neither listens nor ends.
    #[error("{name} does not listen after {} s; its log is {}", limits::LAB_PATIENCE.as_secs(), log.display())]
    Silent {
        /// The node.
        name: &'static str,
        /// Its log.
        log: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {why}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        why: std::io::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make the lab's certificates: {0}")]
    Certificates(String),
    /// Processes, signals or randomness.
    #[error("the kernel refused what the lab needs: {0}")]
    Kernel(#[from] std::io::Error),
}

/// A node of the lab and the address it has to itself.
#[derive(Clone, Copy, Debug)]
struct NodeAddress {
    name: &'static str,
    ip: &'static str,
}

const HOME: NodeAddress = NodeAddress {
    name: "home",
    ip: "127.0.0.10",
};
const EDGES: [NodeAddress; 3] = [
    NodeAddress {
        name: "e1",
        ip: "127.0.0.11",
    },
    NodeAddress {
        name: "e2",
        ip: "127.0.0.12",
    },
    NodeAddress {
        name: "e3",
        ip: "127.0.0.13",
    },
];
const PORT: u16 = 5060;
const TLS_PORT: u16 = 5061;
/// Where the edges answer the DNS: not where multicast DNS is, on many machines.
const DNS_PORT: u16 = 5300;
/// Where each node has its metrics, and its page.
const PAGE_PORT: u16 = 9090;

/// Runs the lab until a signal ends it.
///
/// # Errors
/// When it cannot start.
pub fn run(options: &Options) -> Result<(), Fault> {
    let folder = Folder::new(options.dir.clone())?;
    let key: [u8; 64] = random()?;
    let key = (!options.clear).then_some(&key);
    let core = if options.tls {
        Transport::Tls
    } else {
        Transport::Udp
    };
    let shape = files::Shape {
        core,
        shards: options.shards.unwrap_or(1),
        counts: if options.strict {
            files::Counts::Everybody
        } else {
            files::Counts::Strangers
        },
    };
    files::write(folder.path(), key, shape)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(live(&folder, core))
}

async fn live(folder: &Folder, core: Transport) -> Result<(), Fault> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut nodes = Nodes::start(folder.path())?;
    tokio::select! {
        result = nodes.until_all_listen() => result?,
        _ = terminate.recv() => return Ok(nodes.stop().await?),
        _ = interrupt.recv() => return Ok(nodes.stop().await?),
    }
    print!("{}", words::welcome(folder.path(), &nodes.ids(), core));
    loop {
        tokio::select! {
            end = nodes.next_end() => println!("{}", words::ended(&end)),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        if nodes.is_empty() {
            println!("No node is left.");
            return Ok(());
        }
    }
    println!("\nEnding the lab.");
    Ok(nodes.stop().await?)
}

/// The lab's folder, removed at the end unless the operator named it.
struct Folder {
    path: PathBuf,
    is_ours: bool,
}

impl Folder {
    fn new(named: Option<PathBuf>) -> Result<Self, Fault> {
        let is_ours = named.is_none();
        let path = named.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("steadfast-lab-{}", std::process::id()))
        });
        let mut folder = DirBuilder::new();
        // There are keys and passwords in it.
        let made = folder.recursive(true).mode(0o700).create(&path);
        made.map_err(|why| Fault::File {
            path: path.clone(),
            why,
        })?;
        Ok(Self { path, is_ours })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(why) = std::fs::remove_dir_all(&self.path)
        {
            eprintln!("steadfast: cannot remove {}: {why}", self.path.display());
        }
    }
}

/// How a process ended, for people.
fn ending(status: &ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => "ended".into(),
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".into(),
    }
}
