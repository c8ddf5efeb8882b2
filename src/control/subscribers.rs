//! The list of subscribers: read at the start and whenever its file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::home::{BadLine, Subscribers};
use crate::io::{Order, Orders};
use crate::limits;

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListFault {
    /// The file cannot be read.
    #[error("cannot read the subscribers in {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        why: std::io::Error,
    },
    /// A line of it is wrong.
    #[error("the subscribers in {} are not usable: {why}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// Which line, and what is wrong with it.
        why: BadLine,
    },
}

/// Reads the list.
///
/// # Errors
/// When the file cannot be read, or for its first line that is wrong.
pub fn read(path: &Path) -> Result<Subscribers, ListFault> {
    let text = std::fs::read_to_string(path).map_err(|why| ListFault::Unreadable {
        path: path.to_owned(),
        why,
    })?;
    Subscribers::parse(&text).map_err(|why| ListFault::Bad {
        path: path.to_owned(),
        why,
    })
}

/// The file of the list, and how it looked before it was read last.
#[derive(Debug)]
pub struct ListFile {
    path: PathBuf,
    seen: Stamp,
}

impl ListFile {
    /// Reads the list, which is read again when its file looks otherwise.
    ///
    /// # Errors
    /// As for `read`.
    pub fn open(path: PathBuf) -> Result<(Subscribers, Self), ListFault> {
        let seen = stamp(&path);
        let list = read(&path)?;
        log(&list);
        Ok((list, Self { path, seen }))
    }
}

/// Hands a new list to the shards whenever the file has changed. A list that
/// cannot be used is logged once, and the one before it stays.
pub(super) async fn watch(file: Option<ListFile>, shards: &[Orders]) {
    let Some(ListFile { path, mut seen }) = file else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(limits::FILE_WATCH).await;
        let found = stamp(&path);
        if found != seen {
            hand_out(&path, shards);
            seen = found;
        }
    }
}

fn hand_out(path: &Path, shards: &[Orders]) {
    match read(path) {
        Ok(list) => {
            log(&list);
            let list = Arc::new(list);
            shards
                .iter()
                .for_each(|shard| shard.give(Order::Subscribers(Arc::clone(&list))));
        }
        Err(fault) => tracing::error!("{fault}; the list before it stays"),
    }
}

fn log(list: &Subscribers) {
    tracing::info!(subscribers = list.len(), "read the subscribers");
}

type Stamp = Option<(u64, SystemTime)>;

/// What changes when the file does: its length and its time.
fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.len(), found.modified().ok()?))
}
