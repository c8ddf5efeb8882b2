//! The manual pages and the completions of shells, made of the command line itself.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// Which page is wanted.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The command whose page it is, such as "ua call"; without one, that of all of them
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write the page of each command into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// For which shell completions are wanted.
#[derive(Clone, Debug, clap::Args)]
pub struct CompletionOptions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There is no such command.
    #[error("there is no command {0:?}: `steadfast help` lists them")]
    Unknown(String),
    /// It cannot be written.
    #[error("cannot write {}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        why: io::Error,
    },
    /// Whoever reads it does not take it.
    #[error("cannot print the page: {0}")]
    Print(#[from] io::Error),
}

/// Prints a page in roff, or writes all of them.
///
/// # Errors
/// When there is no such command, and when the page cannot be written.
pub fn print(mut whole: Command, options: &Options) -> Result<(), Fault> {
    whole.build();
    if let Some(folder) = &options.dir {
        return write_all(&whole, folder);
    }
    let mut at = &whole;
    for word in &options.command {
        let found = at.find_subcommand(word);
        at = found.ok_or_else(|| Fault::Unknown(options.command.join(" ")))?;
    }
    let mut page = Vec::new();
    page_of(at).render(&mut page)?;
    Ok(io::stdout().lock().write_all(&page)?)
}

/// Prints what a shell is to source.
///
/// # Errors
/// When whoever reads it does not take it.
pub fn completions(mut whole: Command, options: &CompletionOptions) -> Result<(), Fault> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut whole, "steadfast", &mut script);
    Ok(io::stdout().lock().write_all(&script)?)
}

fn write_all(command: &Command, folder: &Path) -> Result<(), Fault> {
    let page = page_of(command);
    let path = folder.join(page.get_filename());
    let written = File::create(&path).and_then(|mut file| page.render(&mut file));
    written.map_err(|why| Fault::File { path, why })?;
    let is_shown = |sub: &&Command| !sub.is_hide_set() && sub.get_name() != "help";
    let mut shown = command.get_subcommands().filter(is_shown);
    shown.try_for_each(|sub| write_all(sub, folder))
}

fn page_of(command: &Command) -> Man {
    let source = format!("steadfast {}", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).manual("steadfast").source(source)
}
