//! The list of subscribers: read at the start and whenever its file changes.
//!
//! Who is not on it any more is revoked, so it is read only once the file has
//! looked the same twice: an editor that empties it before it writes it takes
//! nobody's telephone away.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Notify;

use crate::home::{BadLine, Revoked, Subscribers};
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

/// The file of the list, how it looked before it was read last, and what it said.
#[derive(Debug)]
pub struct ListFile {
    path: PathBuf,
    seen: Stamp,
    list: Arc<Subscribers>,
}

impl ListFile {
    /// Reads the list, which is read again when its file looks otherwise.
    ///
    /// # Errors
    /// As for `read`.
    pub fn open(path: PathBuf) -> Result<(Arc<Subscribers>, Self), ListFault> {
        let seen = stamp(&path);
        let list = Arc::new(read(&path)?);
        tracing::info!(subscribers = list.len(), "read the subscribers");
        Ok((Arc::clone(&list), Self { path, seen, list }))
    }

    /// Reads it again; whom the shards are to revoke for it.
    fn read_again(&mut self) -> Result<Revoked, ListFault> {
        let list = read(&self.path)?;
        let revoked = self.list.revoked_by(&list);
        self.list = Arc::new(list);
        Ok(revoked)
    }
}

/// Hands a new list to the shards whenever the file has changed, and whenever it is asked to
/// read it `again`. A list that cannot be used is logged once, and the one before it stays.
pub(super) async fn watch(file: Option<ListFile>, again: &Notify, shards: &[Orders]) {
    let Some(mut file) = file else {
        return std::future::pending().await;
    };
    let mut last = file.seen;
    loop {
        let is_asked = tokio::select! {
            () = tokio::time::sleep(limits::FILE_WATCH) => false,
            () = again.notified() => true,
        };
        let found = stamp(&file.path);
        if found != file.seen && found == last || is_asked {
            hand_out(&mut file, shards);
            file.seen = found;
        }
        last = found;
    }
}

fn hand_out(file: &mut ListFile, shards: &[Orders]) {
    match file.read_again() {
        Ok(revoked) => {
            let subscribers = file.list.len();
            let gone = revoked.len();
            tracing::info!(subscribers, revoked = gone, "read the subscribers");
            for shard in shards {
                let (list, revoked) = (Arc::clone(&file.list), Arc::clone(&revoked));
                shard.give(Order::Subscribers { list, revoked });
            }
        }
        Err(fault) => tracing::error!("{fault}; the list before it stays"),
    }
}

type Stamp = Option<(u64, u64, SystemTime)>;

/// What changes when the file does: which one it is, its length and its time.
fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.len(), found.modified().ok()?))
}
