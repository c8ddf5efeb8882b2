//! Registrations on disk.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use redb::{Database, DatabaseError, ReadableTable, TableDefinition};
use tokio::sync::mpsc::Receiver;

use super::private;
use crate::io::Record;
use crate::limits;

const LOCATION: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("location");

/// The file of registrations, open: no other process can have it.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// Another process has the file.
    #[error("the store {} is in use by another process", .0.display())]
    Taken(PathBuf),
    /// The file cannot be opened, read or written.
    #[error("the store {} cannot be used: {why}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What redb said.
        why: Box<redb::Error>,
    },
}

/// Finds out whether there could be a store, and makes none.
///
/// # Errors
/// When the file is none of redb's or may not be written, or there is no folder for it.
pub fn check(path: &Path) -> Result<(), StoreFault> {
    let fault = |why| StoreFault::Broken {
        path: path.to_owned(),
        why: Box::new(redb::Error::Io(why)),
    };
    look(path).map_err(fault)
}

fn look(path: &Path) -> io::Result<()> {
    match File::options().read(true).write(true).open(path) {
        Ok(mut file) => {
            let mut head = Vec::new();
            let most = u64::try_from(MAGIC.len()).unwrap_or(u64::MAX);
            file.by_ref().take(most).read_to_end(&mut head)?;
            if !head.is_empty() && head != MAGIC {
                let why = "it is a file of another kind";
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            let folder = folder.unwrap_or_else(|| Path::new("."));
            if !std::fs::metadata(folder)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(access(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
        }
        Err(error) => Err(error),
    }
}

/// How a file of redb begins.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

impl Store {
    /// Opens the file, and makes it if there is none. Nobody but its owner may
    /// read it, whoever made it: who is registered from where is nobody's business.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(path: &Path) -> Result<Self, StoreFault> {
        let mut builder = Database::builder();
        builder.set_cache_size(limits::STORE_CACHE_MAX);
        let file = open_file(path).map_err(|why| StoreFault::Broken {
            path: path.to_owned(),
            why: Box::new(redb::Error::Io(why)),
        })?;
        match builder.create_file(file) {
            Ok(database) => Ok(Self {
                database,
                path: path.to_owned(),
            }),
            Err(DatabaseError::DatabaseAlreadyOpen) => Err(StoreFault::Taken(path.to_owned())),
            Err(why) => Err(StoreFault::Broken {
                path: path.to_owned(),
                why: Box::new(why.into()),
            }),
        }
    }

    /// Everything in it.
    ///
    /// # Errors
    /// When it cannot be read.
    #[expect(
        clippy::result_large_err,
        reason = "redb's error, boxed before it leaves"
    )]
    pub fn records(&self) -> Result<Vec<Record>, StoreFault> {
        let read = || -> Result<Vec<Record>, redb::Error> {
            let transaction = self.database.begin_read()?;
            let table = match transaction.open_table(LOCATION) {
                Ok(table) => table,
                // Nobody has registered yet.
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let rows = table.iter()?.map(|row| {
                let (key, value) = row?;
                Ok(Record {
                    key: key.value().into(),
                    value: Some(value.value().into()),
                    shard: 0,
                })
            });
            rows.collect()
        };
        read().map_err(|why| StoreFault::Broken {
            path: self.path.clone(),
            why: Box::new(why),
        })
    }

    /// Writes the records, of which a later one of the same key wins, in one
    /// transaction: after a crash all of them are there or none. They are left
    /// sorted by key: neighbours in the tree are written together.
    ///
    /// # Errors
    /// When they cannot be written; then none is.
    #[expect(
        clippy::result_large_err,
        reason = "redb's error, boxed before it leaves"
    )]
    pub fn write(&self, records: &mut [Record]) -> Result<(), StoreFault> {
        records.sort_by(|a, b| a.key.cmp(&b.key));
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut table = transaction.open_table(LOCATION)?;
                for (row, same) in records.chunk_by(|a, b| a.key == b.key).enumerate() {
                    // A shard on this core has messages that are due before.
                    if row % limits::STORE_ROWS_AT_ONCE == 0 {
                        std::thread::yield_now();
                    }
                    let Some(record) = same.last() else { continue };
                    match &record.value {
                        Some(value) => drop(table.insert(&*record.key, &**value)?),
                        None => drop(table.remove(&*record.key)?),
                    }
                }
            }
            Ok(transaction.commit()?)
        };
        write().map_err(|why| StoreFault::Broken {
            path: self.path.clone(),
            why: Box::new(why),
        })
    }

    /// Writes what comes until every sender is gone. A pause after each batch
    /// lets the next one grow and spares the shards waking this thread.
    pub(super) async fn write_behind(self, mut records: Receiver<Record>) {
        let mut batch = Vec::new();
        while records.recv_many(&mut batch, limits::STORE_BATCH_MAX).await > 0 {
            if let Err(fault) = self.write(&mut batch) {
                tracing::error!("{fault}; {} registrations are not saved", batch.len());
            }
            batch.clear();
            tokio::time::sleep(limits::STORE_PAUSE).await;
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(private::FILE).open(path)?;
    private::keep(&file, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A file name of this test's own, gone when dropped.
    struct TempFolder(PathBuf);

    impl TempFolder {
        fn new(name: &str) -> Self {
            let file = format!("steadfast-{}-{name}.redb", std::process::id());
            Self(std::env::temp_dir().join(file))
        }
    }

    impl Drop for TempFolder {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).unwrap();
        }
    }

    fn record(key: &str, value: Option<&str>) -> Record {
        Record {
            key: key.as_bytes().into(),
            value: value.map(|value| value.as_bytes().into()),
            shard: 0,
        }
    }

    #[test]
    fn what_was_written_is_there_after_a_restart() {
        let folder = TempFolder::new("restart");
        let store = Store::open(&folder.0).unwrap();
        assert_eq!(store.records().unwrap(), []);
        let mut batch = [
            record("joe", Some("a")),
            record("ann", Some("b")),
            record("joe", Some("c")),
        ];
        store.write(&mut batch).unwrap();
        drop(store);
        let store = Store::open(&folder.0).unwrap();
        let want = [record("ann", Some("b")), record("joe", Some("c"))];
        assert_eq!(store.records().unwrap(), want);
        store
            .write(&mut [record("ann", None), record("eve", None)])
            .unwrap();
        assert_eq!(store.records().unwrap(), [record("joe", Some("c"))]);
    }

    #[test]
    fn the_store_keeps_a_bounded_part_of_itself_in_memory() {
        let folder = TempFolder::new("cache");
        let store = Store::open(&folder.0).unwrap();
        let text = "x".repeat(1_000);
        let row = |number| record(&format!("{number:08}"), Some(&text));
        let enough = 2 * limits::STORE_CACHE_MAX / text.len();
        for first in (0..enough).step_by(limits::STORE_BATCH_MAX) {
            let mut batch: Vec<_> = (first..first + limits::STORE_BATCH_MAX).map(row).collect();
            store.write(&mut batch).unwrap();
        }
        assert!(store.records().unwrap().len() >= enough);
        assert!(store.database.cache_stats().evictions() > 0);
    }

    #[test]
    fn a_store_is_for_its_owner_alone() {
        let folder = TempFolder::new("private");
        let mode = || std::fs::metadata(&folder.0).unwrap().permissions().mode() & 0o777;
        drop(Store::open(&folder.0).unwrap());
        assert_eq!(mode(), 0o600);
        let loose = std::fs::Permissions::from_mode(0o664);
        std::fs::set_permissions(&folder.0, loose).unwrap();
        let store = Store::open(&folder.0).unwrap();
        assert_eq!(mode(), 0o600);
        assert_eq!(store.records().unwrap(), []);
    }

    #[test]
    fn a_store_in_use_is_refused() {
        let folder = TempFolder::new("taken");
        let _store = Store::open(&folder.0).unwrap();
        let want = format!(
            "the store {} is in use by another process",
            folder.0.display()
        );
        assert_eq!(Store::open(&folder.0).unwrap_err().to_string(), want);
    }

    #[test]
    fn the_last_records_are_written_before_the_writer_ends() {
        let folder = TempFolder::new("last");
        let store = Store::open(&folder.0).unwrap();
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        for number in ["1", "2", "3"] {
            sender.try_send(record(number, Some("x"))).unwrap();
        }
        drop(sender);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(store.write_behind(receiver));
        assert_eq!(Store::open(&folder.0).unwrap().records().unwrap().len(), 3);
    }
}
