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

/// Hands a new list to the shards whenever the file has changed. A list that
/// cannot be used is logged once, and the one before it stays.
pub(super) async fn watch(path: Option<PathBuf>, shards: &[Orders]) {
    let Some(path) = path else {
        return std::future::pending().await;
    };
    // The shards have nothing yet: the first look always finds a change.
    let mut seen = None;
    loop {
        let found = stamp(&path);
        if found != seen || seen.is_none() {
            hand_out(&path, shards);
            seen = found.or(Some((0, SystemTime::UNIX_EPOCH)));
        }
        tokio::time::sleep(limits::FILE_WATCH).await;
    }
}

fn hand_out(path: &Path, shards: &[Orders]) {
    match read(path) {
        Ok(list) => {
            tracing::info!(subscribers = list.len(), "read the subscribers");
            let list = Arc::new(list);
            shards
                .iter()
                .for_each(|shard| shard.give(Order::Subscribers(Arc::clone(&list))));
        }
        Err(fault) => tracing::error!("{fault}; the list before it stays"),
    }
}

/// What changes when the file does: its length and its time.
fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.len(), found.modified().ok()?))
}
