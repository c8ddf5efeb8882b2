//! The list of subscribers: read at the start and whenever its file changes.
//!
//! Who is not on it any more is revoked, so it is read only once the file has
//! looked the same twice: an editor that empties it before it writes it takes
//! nobody's telephone away.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::stamp::{Stamp, stamp};
use crate::config::Home;
use crate::digest::Algorithm;
use crate::home::{BadLine, Revoked, Subscribers};
use crate::io::{Order, Orders};

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
    /// Somebody on it could never log in.
    #[error(
        "the subscribers in {} are not usable: {user} has no hash for any of `algorithms`, and could \
         never log in; offer one that there is, or keep the password",
        path.display()
    )]
    LockedOut {
        /// The file.
        path: PathBuf,
        /// Who.
        user: String,
    },
}

/// Reads the list.
///
/// # Errors
/// When the file cannot be read, for its first line that is wrong, and for somebody who could
/// not log in by the `offered` algorithms.
pub fn read(path: &Path, offered: &[Algorithm]) -> Result<Subscribers, ListFault> {
    let text = std::fs::read_to_string(path).map_err(|why| ListFault::Unreadable {
        path: path.to_owned(),
        why,
    })?;
    let list = Subscribers::parse(&text).map_err(|why| ListFault::Bad {
        path: path.to_owned(),
        why,
    })?;
    match list.locked_out(offered) {
        Some(user) => Err(ListFault::LockedOut {
            path: path.to_owned(),
            user: String::from_utf8_lossy(user).into_owned(),
        }),
        None => Ok(list),
    }
}

/// The file of the list, how it looked before it was read last, and what it said.
#[derive(Debug)]
pub struct ListFile {
    path: PathBuf,
    offered: Vec<Algorithm>,
    seen: Stamp,
    /// How it looked when it was looked at last.
    last: Stamp,
    list: Arc<Subscribers>,
}

impl ListFile {
    /// Reads the list, which is read again when its file looks otherwise.
    ///
    /// # Errors
    /// As for `read`.
    pub fn open(
        path: PathBuf,
        offered: &[Algorithm],
    ) -> Result<(Arc<Subscribers>, Self), ListFault> {
        let seen = stamp(&path);
        let list = Arc::new(read(&path, offered)?);
        tracing::info!(subscribers = list.len(), "read the subscribers");
        let file = Self {
            path,
            offered: offered.to_vec(),
            seen,
            last: seen,
            list: Arc::clone(&list),
        };
        Ok((list, file))
    }

    /// Whether this is the list that a home goes by.
    pub(super) fn is_of(&self, home: &Home) -> bool {
        self.path == home.subscribers && self.offered == home.settings.algorithms
    }

    /// Whom another list takes away, or gives another password.
    pub(super) fn revoked_by(&self, list: &Subscribers) -> Revoked {
        self.list.revoked_by(list)
    }

    /// Hands a new list to the shards where the file has changed since it was read.
    pub(super) fn look(&mut self, shards: &[Orders]) {
        let found = stamp(&self.path);
        if found != self.seen && found == self.last {
            self.read_again(shards);
        }
        self.last = found;
    }

    /// Reads the list again and hands it to the shards. One that cannot be used is logged once,
    /// and the one before it stays.
    pub(super) fn read_again(&mut self, shards: &[Orders]) {
        self.seen = stamp(&self.path);
        match read(&self.path, &self.offered) {
            Ok(list) => {
                let list = Arc::new(list);
                let revoked = self.list.revoked_by(&list);
                let (subscribers, gone) = (list.len(), revoked.len());
                tracing::info!(subscribers, revoked = gone, "read the subscribers");
                for shard in shards {
                    let (list, revoked) = (Arc::clone(&list), Arc::clone(&revoked));
                    shard.give(Order::Subscribers { list, revoked });
                }
                self.list = list;
            }
            Err(fault) => tracing::error!("{fault}; the list before it stays"),
        }
    }
}
