//! The thread that writes the records of the shards to the store.
//!
//! Once a write has failed redb takes no further one until the file is opened again. So it is
//! opened again and the same records are written, until that works; meanwhile those of one key
//! become one, and the last one counts. Whoever is asked is told how things are
//! (`io::StoreState`), and the log says so once a minute.
//!
//! Where answers wait for the disk (`durable`), each shard is told how far its records are there
//! after every transaction: all that come while one is written are in the next.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

use super::Store;
use super::damage::Trouble;
use crate::io::{Order, Orders, Record, StoreState};
use crate::limits;

impl Store {
    /// Writes on a thread of its own what comes until every sender is gone: a disk may take
    /// its time.
    pub(in crate::control) fn start_writing(
        self,
        records: Receiver<Record>,
        shards: &Arc<[Orders]>,
    ) -> io::Result<JoinHandle<()>> {
        let waiting = match self.is_awaited {
            true => Waiting::new(Arc::clone(shards)),
            false => Waiting::new(Arc::default()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let thread = std::thread::Builder::new().name("store".into());
        thread.spawn(move || runtime.block_on(self.write_behind(records, waiting)))
    }

    /// A pause after each batch lets the next one grow and spares the shards waking this
    /// thread.
    pub(super) async fn write_behind(
        mut self,
        mut records: Receiver<Record>,
        mut waiting: Waiting,
    ) {
        let mut batch = Vec::new();
        if self.open.is_none() {
            self.wait_for_file().await;
        }
        while records.recv_many(&mut batch, limits::STORE_BATCH_MAX).await > 0 {
            let count = batch.len();
            waiting.note(&batch);
            match self.write(&mut batch) {
                Ok(()) => {
                    self.state.note_settled(count);
                    batch.clear();
                    waiting.stored();
                }
                Err(trouble) => {
                    let is_over = self
                        .write_again(trouble, &mut batch, &mut records, &mut waiting)
                        .await;
                    if is_over {
                        return;
                    }
                }
            }
            sleep(waiting.pause()).await;
        }
    }

    /// Opens the file once no other process has it. Where that takes too long, the first write
    /// fails and is tried again like any other.
    async fn wait_for_file(&mut self) {
        let until = Instant::now() + limits::UPGRADE_STORE_MAX;
        while let Err(Trouble::Taken) = self.reopen()
            && Instant::now() < until
        {
            sleep(limits::UPGRADE_REOPEN).await;
        }
    }

    /// Opens the file again and writes what has come until that works. True: every sender is
    /// gone, and what is left is lost.
    async fn write_again(
        &mut self,
        mut trouble: Trouble,
        batch: &mut Vec<Record>,
        records: &mut Receiver<Record>,
        waiting: &mut Waiting,
    ) -> bool {
        let mut said: Option<Instant> = None;
        let mut pause = limits::STORE_RETRY;
        loop {
            self.state.note_failed();
            waiting.not_stored();
            if let Trouble::Damaged(why) = &trouble {
                // A file that is gone meanwhile need not be set aside.
                let aside = self.set_aside(why);
                if let Err(why) = aside {
                    trouble = Trouble::from(why);
                }
            }
            if said.is_none_or(|at| at.elapsed() >= limits::STORE_ALERT_EVERY) {
                said = Some(Instant::now());
                let (file, unsaved) = (self.path.display(), self.state.unsaved());
                tracing::error!(%file, unsaved, "the store cannot be written: {trouble}; it is tried again and again, and what is not in it is lost if the node ends");
            }
            let is_over = gather(&self.state, pause, batch, records).await;
            waiting.note(batch);
            let written = self.reopen().and_then(|()| self.write_all(batch));
            match written {
                Ok(()) => {
                    let file = self.path.display();
                    tracing::info!(%file, "the store is written again");
                    waiting.stored();
                    return is_over;
                }
                Err(_) if is_over => {
                    let (file, lost) = (self.path.display(), self.state.unsaved());
                    tracing::error!(%file, lost, "the node ends and the store cannot be written: these registrations are not in it");
                    return true;
                }
                Err(again) => trouble = again,
            }
            pause = limits::STORE_RETRY_MAX.min(pause * 2);
        }
    }

    /// Writes all of them, in transactions of bounded size.
    fn write_all(&self, batch: &mut Vec<Record>) -> Result<(), Trouble> {
        while !batch.is_empty() {
            let count = batch.len().min(limits::STORE_BATCH_MAX);
            self.write(&mut batch[..count])?;
            batch.drain(..count);
            self.state.note_settled(count);
        }
        self.state.note_mended();
        Ok(())
    }
}

/// The shards whose answers wait for the disk; none, where no answer does.
pub(super) struct Waiting {
    shards: Arc<[Orders]>,
    /// The number of the last record that came from each.
    came: Vec<u64>,
    /// The same when each was told last that all of it is on disk.
    told: Vec<u64>,
}

impl Waiting {
    pub(super) fn new(shards: Arc<[Orders]>) -> Self {
        let none = vec![0; shards.len()];
        Self {
            shards,
            came: none.clone(),
            told: none,
        }
    }

    fn note(&mut self, batch: &[Record]) {
        if self.shards.is_empty() {
            return;
        }
        for record in batch {
            if let Some(came) = self.came.get_mut(usize::from(record.shard)) {
                *came = record.number.max(*came);
            }
        }
    }

    /// All that came is on disk.
    fn stored(&mut self) {
        let each = self.shards.iter().zip(&self.came).zip(&mut self.told);
        for ((shard, came), told) in each.filter(|((_, came), told)| **came > **told) {
            *told = *came;
            tell(shard, &Order::Stored { up_to: *came });
        }
    }

    fn not_stored(&self) {
        for shard in &*self.shards {
            tell(shard, &Order::NotStored);
        }
    }

    /// How long the next batch may grow.
    fn pause(&self) -> Duration {
        match self.shards.is_empty() {
            true => limits::STORE_PAUSE,
            false => limits::STORE_PAUSE_AWAITED,
        }
    }
}

/// Tells a shard, also one whose inbox is full: its answers wait for that.
fn tell(shard: &Orders, order: &Order) {
    while !shard.offer(order.clone()) {
        std::thread::sleep(limits::INBOX_PAUSE);
    }
}

/// Takes in what comes for a while; true when nothing will any more.
async fn gather(
    state: &StoreState,
    pause: Duration,
    batch: &mut Vec<Record>,
    records: &mut Receiver<Record>,
) -> bool {
    let end = Instant::now() + pause;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if batch.len() >= limits::STORE_QUEUE_MAX {
            let before = batch.len();
            keep_last(batch);
            state.note_settled(before - batch.len());
        }
        let room = limits::STORE_QUEUE_MAX - batch.len();
        if room == 0 {
            // The others wait in the channel, and what finds no room there is dropped and
            // counted by the shards.
            sleep(left).await;
            return records.is_closed() && records.is_empty();
        }
        match timeout(left, records.recv_many(batch, room)).await {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Of the records of one key, leaves the last.
fn keep_last(batch: &mut Vec<Record>) {
    batch.reverse();
    batch.sort_by(|a, b| a.key.cmp(&b.key));
    batch.dedup_by(|later, first| later.key == first.key);
}
