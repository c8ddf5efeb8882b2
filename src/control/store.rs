//! Registrations on disk: one file of redb, written behind by a thread of its own.
//!
//! - What redb commits is on disk, whole or not at all; it says so of a process that is
//!   killed and of a machine that loses its power.
//! - Nothing that stands in the file is believed unchecked: when it is opened every
//!   checksum is compared and every row read (`damage`). A file that fails is set aside,
//!   and the home begins with an empty one: phones come back as they refresh.
//! - A file that cannot be written, for want of room perhaps, is opened anew and written
//!   again until it works (`writer`): redb refuses everything once a write has failed.
//!
//! Not here: what a row says (`home::location`).

mod backend;
mod damage;
mod writer;

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::unistd::{AccessFlags, access};
use redb::{Database, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::private;
use crate::io::{Record, StoreState};
use crate::limits;

use backend::{Backend, MAGIC};
use damage::{Trouble, guarded};

const LOCATION: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("location");

/// The file of registrations, open: no other process can have it.
pub struct Store {
    /// None: it could not be opened again yet.
    open: Option<Open>,
    path: PathBuf,
    /// What stood in it when it was opened.
    found: Vec<Record>,
    state: Arc<StoreState>,
    /// The answers of the shards wait for what is written.
    is_awaited: bool,
}

struct Open {
    database: Database,
    /// Which file it is, as the kernel counts them.
    id: (u64, u64),
    /// How long the file is as far as redb knows.
    len: Arc<AtomicU64>,
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
        /// What is in the way.
        why: String,
    },
}

/// Finds out whether there could be a store, and makes none.
///
/// # Errors
/// When the file is of another kind or may not be written, or there is no folder for it.
pub fn check(path: &Path) -> Result<(), StoreFault> {
    let fault = |why: io::Error| StoreFault::Broken {
        path: path.to_owned(),
        why: why.to_string(),
    };
    look(path).map_err(fault)
}

fn look(path: &Path) -> io::Result<()> {
    match File::options().read(true).write(true).open(path) {
        Ok(mut file) => {
            let mut head = Vec::new();
            let most = u64::try_from(MAGIC.len()).unwrap_or(u64::MAX);
            file.by_ref().take(most).read_to_end(&mut head)?;
            if is_foreign(&head) {
                return Err(io::Error::other("it is a file of another kind"));
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

/// Whether a file that begins like this is no store, and never was one. What has no more than
/// a bit of each byte bent, or is blank, is a damaged one.
fn is_foreign(head: &[u8]) -> bool {
    let bent = head.iter().zip(MAGIC).map(|(is, should)| is ^ should);
    let bits: u32 = bent.map(u8::count_ones).sum();
    let is_blank = head.iter().all(|byte| *byte == 0);
    !is_blank && usize::try_from(bits).is_ok_and(|bits| bits > head.len())
}

impl Store {
    /// Opens the file, and makes it if there is none. Nobody but its owner may
    /// read it, whoever made it: who is registered from where is nobody's business.
    /// One that is damaged is set aside.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(path: &Path) -> Result<Self, StoreFault> {
        let mut store = Self {
            open: None,
            path: path.to_owned(),
            found: Vec::new(),
            state: Arc::default(),
            is_awaited: false,
        };
        let opened = store.try_open().or_else(|trouble| match trouble {
            Trouble::Damaged(why) => {
                store.set_aside(&why).map_err(Trouble::from)?;
                store.try_open()
            }
            Trouble::Taken | Trouble::Failed(_) => Err(trouble),
        });
        let (open, found) = opened.map_err(|trouble| store.fault(trouble))?;
        (store.open, store.found) = (Some(open), found);
        Ok(store)
    }

    /// A store whose file the process before may have yet: it is opened when that has let it go,
    /// and what stands in it the shards know.
    #[must_use]
    pub fn later(path: &Path) -> Self {
        Self {
            open: None,
            path: path.to_owned(),
            found: Vec::new(),
            state: Arc::default(),
            is_awaited: false,
        }
    }

    /// Whether the answers of the shards wait for what is written.
    pub const fn set_awaited(&mut self, is_awaited: bool) {
        self.is_awaited = is_awaited;
    }

    /// What stood in it when it was opened. Given once.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.found)
    }

    /// How it is, for whoever is asked.
    #[must_use]
    pub fn state(&self) -> Arc<StoreState> {
        Arc::clone(&self.state)
    }

    /// Opens the file and reads all of it.
    fn try_open(&self) -> Result<(Open, Vec<Record>), Trouble> {
        look(&self.path)?;
        let file = open_file(&self.path)?;
        let status = file.metadata()?;
        let is_new = status.len() == 0;
        let backend = Backend::new(file)?;
        let len = backend.len_known();
        guarded(|| {
            let mut builder = Database::builder();
            builder.set_cache_size(limits::STORE_CACHE_MAX);
            let database = builder.create_with_backend(backend)?;
            if is_new {
                let transaction = database.begin_write()?;
                drop(transaction.open_table(LOCATION)?);
                transaction.commit()?;
            }
            let found = read(&database)?;
            let id = id_of(&status);
            Ok((Open { database, id, len }, found))
        })
    }

    /// Writes the records, of which a later one of the same key wins, in one
    /// transaction: after a crash all of them are there or none. They are left
    /// sorted by key: neighbours in the tree are written together.
    fn write(&self, records: &mut [Record]) -> Result<(), Trouble> {
        let Some(open) = &self.open else {
            return Err(Trouble::Failed("it is not open".to_owned()));
        };
        open.look(&self.path)?;
        records.sort_by(|a, b| a.key.cmp(&b.key));
        guarded(|| {
            let transaction = open.database.begin_write()?;
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
        })
    }

    /// Closes it and opens it again; a damaged one is set aside.
    fn reopen(&mut self) -> Result<(), Trouble> {
        self.close();
        let (open, _) = self.try_open()?;
        self.open = Some(open);
        Ok(())
    }

    /// Lets the file go. What redb has left to write it may fail to write.
    fn close(&mut self) {
        let open = self.open.take();
        let closed = guarded(|| {
            drop(open);
            Ok(())
        });
        if let Err(Trouble::Damaged(why)) = closed {
            tracing::debug!(why, "the store was not closed in order");
        }
    }

    /// Gives the file another name, so that it is there for whoever wants to know, and
    /// out of the way.
    fn set_aside(&mut self, why: &str) -> io::Result<()> {
        self.close();
        let aside = damage::set_aside(&self.path)?;
        self.state.note_set_aside();
        let (file, aside) = (self.path.display(), aside.display());
        tracing::error!(%file, %aside, why, "the store is damaged and set aside: registrations begin anew, and phones are reached once they refresh");
        Ok(())
    }

    fn fault(&self, trouble: Trouble) -> StoreFault {
        let path = self.path.clone();
        match trouble {
            Trouble::Taken => StoreFault::Taken(path),
            Trouble::Damaged(why) | Trouble::Failed(why) => StoreFault::Broken { path, why },
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl Open {
    /// Whether the file is still the one that was opened, as long as it was.
    fn look(&self, path: &Path) -> Result<(), Trouble> {
        let gone = |why| Trouble::Failed(format!("it is not where it was: {why}"));
        let status = std::fs::metadata(path).map_err(gone)?;
        if id_of(&status) != self.id {
            return Err(Trouble::Failed("another file is in its place".to_owned()));
        }
        if status.len() < self.len.load(Ordering::Relaxed) {
            return Err(Trouble::Damaged("somebody has cut it short".to_owned()));
        }
        Ok(())
    }
}

/// Every row, of which there must be as many as the table says.
fn read(database: &Database) -> Result<Vec<Record>, Trouble> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(LOCATION)?;
    let rows = table.iter()?.map(|row| {
        let (key, value) = row?;
        Ok(Record {
            key: key.value().into(),
            value: Some(value.value().into()),
            shard: 0,
            number: 0,
        })
    });
    let rows = rows.collect::<Result<Vec<_>, redb::StorageError>>()?;
    let should = table.len()?;
    if should != rows.len() as u64 {
        let why = format!("it has {} rows and should have {should}", rows.len());
        return Err(Trouble::Damaged(why));
    }
    Ok(rows)
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(private::FILE).open(path)?;
    private::keep(&file, path)?;
    Ok(file)
}

fn id_of(status: &Metadata) -> (u64, u64) {
    (status.dev(), status.ino())
}

#[cfg(test)]
mod tests;
