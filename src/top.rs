//! `steadfast top`: several nodes side by side in a terminal, each as it says it is, once a
//! second, over their control sockets.

mod draw;
mod seen;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};

use crate::control_client;
use crate::limits;
use crate::view::View;
use draw::draw;
use seen::Seen;

/// How long keys wait for the screen at most.
const KEYS_EVERY: Duration = Duration::from_millis(100);

/// Whom to look at.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// A node's control socket, or its configuration file; several times for several nodes
    #[arg(long, value_name = "FILE|SOCKET")]
    pub node: Vec<PathBuf>,
    /// A folder with configuration files of nodes: all of them, such as the lab's
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

/// Why there is nothing to see, each a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No node is named.
    #[error("whom to look at? name nodes with `--node`, or the folder of their files with `--dir`")]
    Nobody,
    /// The folder cannot be read.
    #[error("cannot read {}: {why}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the kernel said.
        why: io::Error,
    },
    /// The terminal.
    #[error("cannot draw on this terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Shows the nodes until somebody presses q.
///
/// # Errors
/// Why it cannot.
pub fn run(options: &Options) -> Result<(), Fault> {
    let nodes = nodes(options)?;
    let (sender, views) = channel();
    for (index, node) in nodes.iter().enumerate() {
        let (node, sender) = (node.clone(), sender.clone());
        std::thread::Builder::new()
            .name("top".to_owned())
            .spawn(move || follow(&node, index, &sender))?;
    }
    let seen = nodes.iter().map(|node| Seen::new(node)).collect();
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, seen, &views);
    ratatui::try_restore()?;
    Ok(shown?)
}

/// Those that are named, then those of the folder by their names.
fn nodes(options: &Options) -> Result<Vec<PathBuf>, Fault> {
    let mut nodes = options.node.clone();
    if let Some(folder) = &options.dir {
        let fault = |why| Fault::Folder {
            folder: folder.clone(),
            why,
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            if path.extension().is_some_and(|it| it == "toml") {
                found.push(path);
            }
        }
        found.sort();
        nodes.extend(found);
    }
    if nodes.is_empty() {
        return Err(Fault::Nobody);
    }
    Ok(nodes)
}

/// What a node says, once a second, until nobody listens: one that does not answer keeps no other
/// waiting.
fn follow(node: &Path, index: usize, to: &Sender<(usize, Result<View, String>)>) {
    loop {
        let next = Instant::now() + limits::PAGE_EVERY;
        let said = control_client::ask(node, "GET", "/view").map_err(|fault| fault.to_string());
        let view = said.and_then(|text| {
            let view = serde_json::from_str(&text);
            view.map_err(|why| format!("the node is of another release: {why}"))
        });
        if to.send((index, view)).is_err() {
            return;
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    mut seen: Vec<Seen>,
    views: &Receiver<(usize, Result<View, String>)>,
) -> io::Result<()> {
    loop {
        while let Ok((index, view)) = views.try_recv() {
            if let Some(node) = seen.get_mut(index) {
                node.take(view);
            }
        }
        terminal.draw(|frame| draw(frame, &seen))?;
        if event::poll(KEYS_EVERY)?
            && let Event::Key(key) = event::read()?
        {
            let is_end = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
                || key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if is_end {
                return Ok(());
            }
        }
    }
}
