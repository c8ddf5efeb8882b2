//! Where the UDP phones of an edge are, in a file that outlives the process.
//!
//! - A UDP phone does not notice that its edge was restarted, so the edge has to
//!   know its flow from the first moment on.
//! - Rows are written with `pwrite` into slots of fixed length (`format`), by the
//!   control thread: what is written outlives SIGKILL at once, and a crash of the
//!   machine up to what the kernel has not brought to the disk yet. A refresh is one
//!   write into a page that the kernel holds; the disk sees a page as often as the
//!   kernel brings it there, twice a minute, however often it was written. A shared mapping
//!   would spare the way through the channel, but then a page that is being written
//!   out stops a shard, and a full disk or a truncated file kills the node.
//! - The file has its full length from the first start on, so that no write is
//!   refused later for want of space. At its bound a further row is not kept.
//! - Whose file it is, its owner and mode say: what stands in it is believed. One
//!   that somebody else could have written, that is another edge's, or that is
//!   damaged is set aside, and the edge begins with an empty one.
//! - Where a record was lost on the way (`io::StoreSender`), a row that is gone might
//!   still stand here. Then the table starts over: phones come back as they refresh.
//!
//! Not here: what a row says (`edge::row`), and what is believed of it
//! (`edge::restoring`).

mod file;
mod format;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ahash::RandomState;
use hashbrown::HashTable;
use tokio::sync::mpsc::Receiver;

use crate::config;
use crate::io::{Record, StoreState};
use crate::limits;

pub use file::{FlowsFault, check};

use format::{Found, Head, SLOT, Seal, offset_of};

/// The table, open: no other process can have it.
pub struct FlowTable {
    file: File,
    path: PathBuf,
    head: Head,
    seal: Seal,
    rows: HashTable<Row>,
    /// Slots without a row; the last one is taken first.
    free: Vec<u32>,
    hasher: RandomState,
    /// A row found no room, and the log has said so.
    is_full: bool,
}

/// Which slot a row is in. Of its key the hash stands for all: two keys of one hash,
/// one pair in 10^9 full tables, would take each other's place.
struct Row {
    hash: u64,
    slot: u32,
    /// The shard that has written it; `NOBODY` before one has in this run. Another
    /// one's word that it is gone is old: the phone has moved.
    owner: u8,
}

/// Slots that are read at a time.
const PAGE: usize = 256;
/// No shard.
const NOBODY: u8 = u8::MAX;
const _: () = assert!(limits::SHARDS_MAX < NOBODY as usize);

/// The table, or how it is opened once the process before has let it go.
pub enum TableSource {
    /// It is open.
    Open(Box<FlowTable>),
    /// It may be another process's yet.
    Later(Box<dyn Fn() -> Result<Opened, FlowsFault> + Send>),
}

impl TableSource {
    /// Keeps in the table what comes until every sender is gone (`FlowTable::write_behind`).
    pub(super) async fn write_behind(
        self,
        records: Receiver<Record>,
        has_dropped: Arc<AtomicBool>,
        state: Arc<StoreState>,
    ) {
        let table = match self {
            Self::Open(table) => Some(*table),
            Self::Later(open) => {
                let until = Instant::now() + limits::UPGRADE_STORE_MAX;
                loop {
                    match open() {
                        Ok(opened) => break opened.table,
                        Err(FlowsFault::Taken(_)) if Instant::now() < until => {
                            tokio::time::sleep(limits::UPGRADE_REOPEN).await;
                        }
                        Err(why) => {
                            tracing::error!(
                                "{why}: after a restart UDP phones are deaf until they refresh"
                            );
                            break None;
                        }
                    }
                }
            }
        };
        if let Some(table) = table {
            table.write_behind(records, has_dropped, state).await;
        }
    }
}

/// The table as it was found, and what stood in it.
pub struct Opened {
    /// None: there is no room for it on the disk, which the log has said.
    pub table: Option<FlowTable>,
    /// The rows, as the shards have put them out.
    pub rows: Vec<Record>,
}

impl FlowTable {
    /// Opens the file of this edge, and makes it if there is none. What `is_live` says
    /// no to, by key and value, is taken out.
    ///
    /// # Errors
    /// When another process has it, or when there can be no file there.
    pub fn open(
        path: &Path,
        owner: &str,
        slots: u32,
        is_live: impl Fn(&[u8], &[u8]) -> bool,
    ) -> Result<Opened, FlowsFault> {
        let Some(file) = file::take(path)? else {
            return Self::begin(path, owner, slots);
        };
        let found = file::look(&file, path, owner);
        let head = match found {
            Ok(head) => head,
            Err(why) => {
                file::set_aside(path, &why)?;
                return Self::begin(path, owner, slots);
            }
        };
        let mut table = Self::new(file, path, head)?;
        let rows = table.read(is_live)?;
        if table.head.slots == slots {
            let table = Some(table);
            return Ok(Opened { table, rows });
        }
        table.resized(slots, rows)
    }

    fn begin(path: &Path, owner: &str, slots: u32) -> Result<Opened, FlowsFault> {
        let head = Head {
            slots,
            id: new_id()?,
            owner: owner.into(),
        };
        let file = file::make(path, &head)?;
        let table = file.map(|file| Self::new(file, path, head)).transpose()?;
        let rows = Vec::new();
        Ok(Opened { table, rows })
    }

    fn new(file: File, path: &Path, head: Head) -> io::Result<Self> {
        let [a, b, c, d] = config::seed()?;
        Ok(Self {
            file,
            path: path.to_owned(),
            seal: Seal::new(&head.id),
            rows: HashTable::new(),
            free: (0..head.slots).rev().collect(),
            hasher: RandomState::with_seeds(a, b, c, d),
            is_full: false,
            head,
        })
    }

    /// Takes in what stands in the slots.
    fn read(&mut self, is_live: impl Fn(&[u8], &[u8]) -> bool) -> io::Result<Vec<Record>> {
        let (mut rows, mut torn) = (Vec::new(), 0_u32);
        self.free.clear();
        let mut page = [0; PAGE * SLOT];
        let mut slot = 0;
        while slot < self.head.slots {
            let left = usize::try_from(self.head.slots - slot).unwrap_or(PAGE);
            let part = &mut page[..PAGE.min(left) * SLOT];
            self.file.read_exact_at(part, offset_of(slot))?;
            for bytes in part.as_chunks().0 {
                match self.seal.read(slot, bytes) {
                    // A crash of the machine may leave one key in two slots.
                    Found::Row(key, value) if is_live(key, value) && !self.has(key) => {
                        self.insert(self.hasher.hash_one(key), slot, NOBODY);
                        rows.push(Record {
                            key: key.into(),
                            value: Some(value.into()),
                            shard: NOBODY,
                            number: 0,
                        });
                    }
                    found @ (Found::Free | Found::Row(..) | Found::Torn) => {
                        torn += u32::from(found == Found::Torn);
                        if found != Found::Free {
                            self.file.write_all_at(&[0; SLOT], offset_of(slot))?;
                        }
                        self.free.push(slot);
                    }
                }
                slot += 1;
            }
        }
        self.free.reverse();
        if torn > 0 {
            let file = self.path.display();
            tracing::warn!(%file, rows = torn, "flows of phones were not written whole: these phones are reached again once they refresh");
        }
        Ok(rows)
    }

    /// Writes the rows to a new file of `slots` slots. Where the disk has no room for it, the
    /// old file stays in use.
    fn resized(self, slots: u32, rows: Vec<Record>) -> Result<Opened, FlowsFault> {
        let (path, owner) = (self.path.clone(), self.head.owner.clone());
        let opened = Self::begin(&path, &owner, slots)?;
        let Some(mut table) = opened.table else {
            let table = Some(self);
            return Ok(Opened { table, rows });
        };
        for row in &rows {
            table.write(row)?;
        }
        table.rows.iter_mut().for_each(|row| row.owner = NOBODY);
        let file = path.display();
        tracing::info!(%file, from = self.head.slots, to = slots, "the table of flows has another length");
        let table = Some(table);
        Ok(Opened { table, rows })
    }

    /// Writes a row, or takes it out.
    ///
    /// # Errors
    /// When the file cannot be written; what then stands there nobody knows.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        let hash = self.hasher.hash_one(&*record.key);
        let known = self.find(hash);
        let Some(value) = &record.value else {
            return match known {
                Some((slot, owner)) if owner == NOBODY || owner == record.shard => {
                    self.take_out(hash, slot)
                }
                Some(_) | None => Ok(()),
            };
        };
        let Some(slot) = known.map(|(slot, _)| slot).or_else(|| self.free.pop()) else {
            if !std::mem::replace(&mut self.is_full, true) {
                let file = self.path.display();
                tracing::warn!(%file, flows = self.head.slots, "the table of flows is full: further UDP phones are deaf after a restart until they refresh; `flows_max` gives it more room");
            }
            return Ok(());
        };
        let Some(bytes) = self.seal.write(slot, &record.key, value) else {
            return self.take_out(hash, slot);
        };
        self.insert(hash, slot, record.shard);
        self.file.write_all_at(&bytes, offset_of(slot))
    }

    /// Empties the table at one stroke.
    ///
    /// # Errors
    /// As for `write`.
    pub fn start_over(&mut self) -> io::Result<()> {
        self.head.id = new_id()?;
        self.seal = Seal::new(&self.head.id);
        self.file.write_all_at(&self.head.write(), 0)?;
        let rows = std::mem::take(&mut self.rows);
        for row in rows {
            self.file.write_all_at(&[0; SLOT], offset_of(row.slot))?;
            self.free.push(row.slot);
        }
        self.is_full = false;
        Ok(())
    }

    /// Writes what comes until every sender is gone. `has_dropped`: something did not
    /// come.
    pub(super) async fn write_behind(
        mut self,
        mut records: Receiver<Record>,
        has_dropped: Arc<AtomicBool>,
        state: Arc<StoreState>,
    ) {
        let mut batch = Vec::new();
        while records.recv_many(&mut batch, limits::STORE_BATCH_MAX).await > 0 {
            let written = if has_dropped.swap(false, Ordering::AcqRel) {
                // What waits may be older than what was dropped.
                for _ in 0..limits::STORE_QUEUE_MAX {
                    if records.try_recv().is_err() {
                        break;
                    }
                    state.note_settled(1);
                }
                tracing::warn!(file = %self.path.display(), "the table of flows was too far behind and starts over: phones are in it again once they refresh");
                self.start_over()
            } else {
                batch.iter().try_for_each(|record| self.write(record))
            };
            state.note_settled(batch.len());
            if let Err(why) = written {
                return self.give_up(&why);
            }
            if batch.len() < limits::STORE_BATCH_MAX {
                tokio::time::sleep(limits::FLOWS_PAUSE).await;
            }
            batch.clear();
        }
    }

    /// What stands in the file is not what is: nobody is to read it any more.
    fn give_up(self, why: &io::Error) {
        let file = self.path.display();
        tracing::error!(%file, %why, "the table of flows cannot be written: after a restart UDP phones are deaf until they refresh");
        if let Err(why) = file::set_aside(&self.path, "it could not be written") {
            tracing::error!("{why}");
        }
    }

    fn has(&self, key: &[u8]) -> bool {
        self.find(self.hasher.hash_one(key)).is_some()
    }

    fn find(&self, hash: u64) -> Option<(u32, u8)> {
        let found = self.rows.find(hash, |row| row.hash == hash);
        found.map(|row| (row.slot, row.owner))
    }

    fn insert(&mut self, hash: u64, slot: u32, owner: u8) {
        match self.rows.find_mut(hash, |row| row.hash == hash) {
            Some(row) => row.owner = owner,
            None => {
                let row = Row { hash, slot, owner };
                self.rows.insert_unique(hash, row, |row| row.hash);
            }
        }
    }

    fn take_out(&mut self, hash: u64, slot: u32) -> io::Result<()> {
        if let Ok(found) = self.rows.find_entry(hash, |row| row.hash == hash) {
            found.remove();
        }
        self.free.push(slot);
        self.is_full = false;
        self.file.write_all_at(&[0; SLOT], offset_of(slot))
    }
}

fn new_id() -> io::Result<[u8; 16]> {
    config::random()
}

#[cfg(test)]
mod tests;
