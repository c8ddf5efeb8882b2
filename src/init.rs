//! A first configuration for a domain: the files of a home and its edges, their keys, and a
//! certificate authority with what it has signed for them.
//!
//! What is written can be run as it is, on the addresses that were named, with TLS between the
//! nodes, sealed tokens, and nobody subscribed. Nothing that is there already is written over:
//! where one of the files is, none is written.
//!
//! Not here: anything that a node needs afterwards. The files are those that an operator would
//! write, and are the operator's from then on.

mod files;
mod next;

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::{self, Mistake};
use crate::control::private;
use crate::limits;
use files::Domain;

/// What the first configuration is for.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The domain of the subscribers, such as example.com; the edges are edge.DOMAIN
    #[arg(value_name = "DOMAIN", value_parser = config::domain)]
    domain: String,
    /// Write into this folder; the domain's name without one
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The address of the home
    #[arg(long, value_name = "ADDRESS", default_value_t = HOME, value_parser = config::address)]
    home: IpAddr,
    /// The address of each edge; three of this machine's own without any
    #[arg(long, value_name = "ADDRESS", num_args = 1.., default_values_t = EDGES, value_parser = config::address)]
    edges: Vec<IpAddr>,
    /// For the units of systemd: what the nodes keep is in /var/lib/steadfast, their sockets are in
    /// /run/steadfast, and the files themselves are to be installed in /etc/steadfast
    #[arg(long)]
    service: bool,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Somebody else's file stands there.
    #[error("{} is there already, and nothing was written: name another folder with --dir", .0.display())]
    Exists(PathBuf),
    /// Two nodes at one address would be one.
    #[error("{0} is named twice: each node has an address of its own")]
    Twice(IpAddr),
    /// There is a bound.
    #[error("{0} edges are named, and {max} is the most", max = limits::MEMBERS_MAX)]
    Many(usize),
    /// A file or folder cannot be written.
    #[error("cannot write {}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        why: io::Error,
    },
    /// No certificate can have such a name.
    #[error("cannot make certificates for {domain}: {why}")]
    Certificates {
        /// The domain.
        domain: String,
        /// What the library said.
        why: String,
    },
    /// The kernel gives no random numbers.
    #[error("cannot make keys: {0}")]
    Keys(io::Error),
    /// The files would not do.
    #[error("what was written cannot be used: {0}")]
    Mistake(#[from] Mistake),
}

/// Writes it, and says what comes next.
///
/// # Errors
/// When something is there already, cannot be written, or could not be run.
pub fn run(options: &Options) -> Result<String, Fault> {
    let domain = Domain {
        name: options.domain.clone(),
        home: options.home,
        edges: options.edges.clone(),
        service: options.service,
    };
    if domain.edges.len() > limits::MEMBERS_MAX {
        return Err(Fault::Many(domain.edges.len()));
    }
    let mut seen = vec![domain.home];
    for edge in &domain.edges {
        if seen.contains(edge) {
            return Err(Fault::Twice(*edge));
        }
        seen.push(*edge);
    }
    let named = options.dir.clone();
    let folder = named.unwrap_or_else(|| PathBuf::from(&options.domain));
    let files = domain.files()?;
    let is_there = |name: &String| folder.join(name).symlink_metadata().is_ok();
    if let Some((name, _)) = files.iter().find(|(name, _)| is_there(name)) {
        return Err(Fault::Exists(folder.join(name)));
    }
    make_folder(&folder)?;
    for (name, text) in &files {
        put(&folder.join(name), text)?;
    }
    for node in domain.nodes() {
        config::load(&folder.join(format!("{node}.toml")))?;
    }
    let passwords = [files::password()?, files::password()?];
    Ok(next::steps(&domain, &folder, &passwords))
}

/// There are keys in it.
fn make_folder(folder: &Path) -> Result<(), Fault> {
    if folder.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|why| Fault::File {
        path: folder.to_owned(),
        why,
    })
}

fn put(path: &Path, text: &str) -> Result<(), Fault> {
    let mut options = File::options();
    let file = options
        .write(true)
        .create_new(true)
        .mode(private::FILE)
        .open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        private::keep(&file, path)
    });
    written.map_err(|why| {
        let path = path.to_owned();
        if why.kind() == io::ErrorKind::AlreadyExists {
            Fault::Exists(path)
        } else {
            Fault::File { path, why }
        }
    })
}

/// Where the nodes are if nothing is said: on this machine, beside a lab.
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 20));
const EDGES: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 21)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 22)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 23)),
];

#[cfg(test)]
mod tests;
