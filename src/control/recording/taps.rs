//! The thread that tells what passed to a collector and as lines, where the configuration says
//! so. A collector or a disk that does not take it keeps this thread waiting and nobody else:
//! what is written over in a recorder meanwhile is counted, and gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::watch;
use tokio::time::timeout;

use super::Reader;
use super::call_log::CallLog;
use super::event_lines::EventLines;
use super::hep::Collector;
use crate::config::{Config, Recording};
use crate::io::Orders;
use crate::limits;
use crate::recorder::Filter;
use crate::trace::Row;

/// The running thread.
pub(in crate::control) struct Taps {
    thread: JoinHandle<io::Result<()>>,
    settings: watch::Sender<Recording>,
}

/// What became of what passed.
#[derive(Debug, Default)]
pub(in crate::control) struct TapCounts {
    pub(in crate::control) hep_sent: AtomicU64,
    pub(in crate::control) hep_lost: AtomicU64,
    pub(in crate::control) events_written: AtomicU64,
    pub(in crate::control) events_lost: AtomicU64,
    pub(in crate::control) missed: AtomicU64,
}

impl TapCounts {
    /// Its numbers, each with its name and meaning.
    pub(in crate::control) fn rows(&self) -> [(&'static str, &'static str, u64); 5] {
        let row = |name, meaning, count: &AtomicU64| (name, meaning, count.load(Ordering::Relaxed));
        [
            row(
                "hep_sent",
                "Messages sent to the collector of `hep`.",
                &self.hep_sent,
            ),
            row(
                "hep_lost",
                "Messages that the collector of `hep` did not take.",
                &self.hep_lost,
            ),
            row(
                "events_written",
                "Lines written to `events`.",
                &self.events_written,
            ),
            row(
                "events_lost",
                "Lines that `events` did not take.",
                &self.events_lost,
            ),
            row(
                "recorder_missed",
                "Entries of the recorder written over before `hep` and `events` were told.",
                &self.missed,
            ),
        ]
    }
}

impl Taps {
    /// Starts it.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub(in crate::control) fn start(
        config: &Config,
        shards: Arc<[Orders]>,
        counts: Arc<TapCounts>,
    ) -> io::Result<Self> {
        let (settings, changed) = watch::channel(config.recording.clone());
        let node = config.name.clone();
        let log = CallLog::new(&node, &config.role);
        let thread = std::thread::Builder::new()
            .name("taps".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()?;
                let tap = Tap {
                    log,
                    node,
                    hep: None,
                    lines: None,
                    counts,
                };
                runtime.block_on(tap.run(shards, changed));
                Ok(())
            })?;
        Ok(Self { thread, settings })
    }

    /// Who tells it what the configuration says.
    pub(in crate::control) fn settings(&self) -> watch::Sender<Recording> {
        self.settings.clone()
    }

    /// Ends it; every other sender of settings must be gone.
    ///
    /// # Errors
    /// What kept it from its duties.
    pub(in crate::control) fn finish(self) -> io::Result<()> {
        drop(self.settings);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread of the taps panicked")))
    }
}

struct Tap {
    node: String,
    hep: Option<Collector>,
    lines: Option<EventLines>,
    log: CallLog,
    counts: Arc<TapCounts>,
}

impl Tap {
    async fn run(mut self, shards: Arc<[Orders]>, mut changed: watch::Receiver<Recording>) {
        let mut reader = None;
        let count = shards.len();
        loop {
            let settings = changed.borrow_and_update().clone();
            self.take_over(&settings);
            if self.hep.is_none() && self.lines.is_none() {
                reader = None;
                if changed.changed().await.is_err() {
                    return;
                }
                continue;
            }
            // What was before somebody wanted to know is not told.
            let from = vec![u64::MAX; count];
            let reader = reader.get_or_insert_with(|| Reader::new(Arc::clone(&shards), &from));
            loop {
                self.tell(reader, count).await;
                match timeout(limits::TAP_EVERY, changed.changed()).await {
                    Err(_elapsed) => {}
                    Ok(Ok(())) => break,
                    Ok(Err(_)) => return,
                }
            }
        }
    }

    /// Goes by other settings. A file is opened anew even where they are the same.
    fn take_over(&mut self, settings: &Recording) {
        let is_same = |hep: &Collector| settings.hep.as_ref().is_some_and(|new| hep.is_to(new));
        if !self.hep.as_ref().is_some_and(is_same) {
            let hep = settings.hep.clone();
            self.hep = hep.map(|hep| Collector::new(hep, &self.node));
        }
        let lines = self.lines.take();
        self.lines = settings.events.clone().map(|to| {
            let mut lines = lines
                .filter(|lines| lines.is_to(&to))
                .unwrap_or_else(|| EventLines::new(to));
            lines.reopen();
            lines
        });
    }

    /// Tells everything that passed since the last time.
    async fn tell(&mut self, reader: &mut Reader, shards: usize) {
        for shard in 0..shards {
            loop {
                let (rows, is_last) = reader.piece(shard, &Filter::All).await;
                rows.iter().for_each(|row| self.take(row));
                if is_last {
                    break;
                }
            }
        }
        let missed = reader.take_missed();
        self.counts.missed.fetch_add(missed, Ordering::Relaxed);
    }

    fn take(&mut self, row: &Row) {
        let counts = &self.counts;
        if let Some(is_sent) = self.hep.as_mut().and_then(|hep| hep.send(row)) {
            let count = match is_sent {
                true => &counts.hep_sent,
                false => &counts.hep_lost,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
        let Some(lines) = &mut self.lines else {
            return;
        };
        for line in self.log.take(row) {
            let count = match lines.write(&line) {
                true => &counts.events_written,
                false => &counts.events_lost,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
