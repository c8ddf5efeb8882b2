//! The list of subscribers: read at the start and whenever its file changes.
//!
//! Who is not on it any more is revoked, so it is read only once the file has
//! looked the same twice: an editor that empties it before it writes it takes
//! nobody's telephone away.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::sleep;

use super::give_all;
use super::stamp::{Stamp, stamp};
use crate::config::Home;
use crate::digest::Algorithm;
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
    /// It could not be used when it was read last.
    is_refused: bool,
    list: Arc<Subscribers>,
    /// Those before it that a shard may still go by: whoever is the last to let go of one frees
    /// a million entries, and that is to be none of the shards.
    former: Vec<Arc<Subscribers>>,
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
            is_refused: false,
            list: Arc::clone(&list),
            former: Vec::new(),
        };
        Ok((list, file))
    }

    /// Whether this is the list that a home goes by, and what the file says now.
    pub(super) fn is_of(&self, home: &Home) -> bool {
        let is_same = self.path == home.subscribers && self.offered == home.settings.algorithms;
        is_same && !self.is_changed()
    }

    /// Whether the file says something else than what the node goes by.
    fn is_changed(&self) -> bool {
        self.is_refused || stamp(&self.path) != self.seen
    }

    /// Whether the file is as it was when it was read last: nobody is about to write it.
    pub(super) fn is_settled(&self) -> bool {
        self.last == self.seen
    }

    /// Waits for whoever is about to write the file: of one that is half written, those who
    /// are not there yet would be off the list.
    pub(super) async fn settle(&self) {
        let mut found = stamp(&self.path);
        while found != self.seen {
            sleep(limits::FILE_WATCH).await;
            let before = std::mem::replace(&mut found, stamp(&self.path));
            if found == before {
                return;
            }
        }
    }

    /// The same with the lists that another one kept, until no shard goes by them.
    pub(super) fn in_the_place_of(mut self, before: &Self) -> Self {
        self.former.clone_from(&before.former);
        self.former.push(Arc::clone(&before.list));
        self
    }

    /// Whom another list takes away, or gives another password.
    pub(super) fn revoked_by(&self, list: &Subscribers) -> Revoked {
        self.list.revoked_by(list)
    }

    /// Hands a new list to the shards where the file has changed since it was read.
    pub(super) async fn look(&mut self, shards: &[Orders]) {
        self.former.retain(|list| Arc::strong_count(list) > 1);
        let found = stamp(&self.path);
        if found != self.seen && found == self.last {
            self.read_again(shards).await;
        }
        self.last = found;
    }

    /// Reads the list again and hands it to the shards. One that cannot be used is logged and
    /// counted once, and the one before it stays.
    pub(super) async fn read_again(&mut self, shards: &[Orders]) {
        self.seen = stamp(&self.path);
        let found = read(&self.path, &self.offered);
        self.is_refused = found.is_err();
        let order = match found {
            Ok(list) => {
                let list = Arc::new(list);
                let revoked = self.list.revoked_by(&list);
                let (subscribers, gone) = (list.len(), revoked.len());
                tracing::info!(subscribers, revoked = gone, "read the subscribers");
                let before = std::mem::replace(&mut self.list, Arc::clone(&list));
                self.former.push(before);
                Order::Subscribers { list, revoked }
            }
            Err(fault) => {
                tracing::error!("{fault}; the list before it stays");
                Order::SubscribersRefused
            }
        };
        give_all(shards, &order).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::io::inbox;

    struct File(PathBuf);

    impl File {
        fn new(test: &str) -> Self {
            let name = format!("steadfast-list-{test}-{}", std::process::id());
            let file = Self(std::env::temp_dir().join(name));
            file.write("joe example.com password=a\nann example.com password=b\n");
            file
        }

        fn write(&self, text: &str) {
            std::fs::write(&self.0, text).unwrap();
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).unwrap();
        }
    }

    fn run<T>(deed: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(deed)
    }

    #[test]
    fn a_shard_whose_inbox_is_full_gets_the_list_too() {
        let file = File::new("full");
        let (_, mut list) = ListFile::open(file.0.clone(), &[Algorithm::Md5]).unwrap();
        let ((full, behind), (free, idle)) = (inbox().unwrap(), inbox().unwrap());
        while full.offer(Order::Report) {}
        file.write("joe example.com password=a\n");
        let shards = [full, free];
        let given = run(async {
            let read = list.read_again(&shards);
            let drain = async {
                // Meanwhile the other shard has it.
                let at_once = idle.next();
                let mut last = None;
                while !matches!(last, Some(Order::Subscribers { .. })) {
                    last = behind.next();
                    sleep(limits::INBOX_PAUSE / 10).await;
                }
                at_once.zip(last)
            };
            let both = async { tokio::join!(read, drain) };
            timeout(limits::RELOAD_MAX, both).await.unwrap().1
        });
        let Some((
            Order::Subscribers { list, .. },
            Order::Subscribers {
                list: late,
                revoked,
            },
        )) = given
        else {
            panic!("both have it")
        };
        assert!(Arc::ptr_eq(&list, &late));
        assert_eq!((late.len(), revoked.len()), (1, 1));
    }

    #[test]
    fn a_list_is_let_go_of_after_the_last_shard_has() {
        let file = File::new("former");
        let (of_a_shard, mut list) = ListFile::open(file.0.clone(), &[Algorithm::Md5]).unwrap();
        file.write("joe example.com password=a\n");
        run(list.read_again(&[]));
        let former = Arc::downgrade(&of_a_shard);
        run(list.look(&[]));
        drop(of_a_shard);
        assert!(former.upgrade().is_some(), "freed by the shard");
        run(list.look(&[]));
        assert!(former.upgrade().is_none());
    }

    #[test]
    fn a_file_that_cannot_be_used_stays_so_until_it_is_mended() {
        let file = File::new("refused");
        let (orders, inbox) = inbox().unwrap();
        let (_, mut list) = ListFile::open(file.0.clone(), &[Algorithm::Md5]).unwrap();
        assert!(!list.is_changed());
        file.write("joe\n");
        assert!(list.is_changed());
        run(list.read_again(&[orders]));
        assert!(matches!(inbox.next(), Some(Order::SubscribersRefused)));
        assert!(
            list.is_changed(),
            "what it says is not what the node goes by"
        );
        file.write("joe example.com password=new\n");
        run(list.read_again(&[]));
        assert!(!list.is_changed());
    }
}
