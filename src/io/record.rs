//! Registrations on their way to the store.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{Counters, SharedQuestion};
use crate::limits;

/// What is known of one address of record, or of one flow, whole; `value` none:
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The address of record, or the phone and its flow, as the role encodes it.
    pub key: Box<[u8]>,
    /// What is known of it, as the role encodes that.
    pub value: Option<Box<[u8]>>,
    /// The shard that says so.
    pub shard: u8,
    /// As in `Output::Store`; 0: nobody waits for it.
    pub number: u64,
}

/// A shard's way to the store. Never waits.
#[derive(Clone, Debug)]
pub struct StoreSender {
    sender: Sender<Record>,
    has_dropped: Arc<AtomicBool>,
    has_warned: bool,
    state: Arc<StoreState>,
    questions: Option<Sender<SharedQuestion>>,
}

/// How the store of a home is, as its shards and its writer know it together.
#[derive(Debug, Default)]
pub struct StoreState {
    handed: AtomicU64,
    settled: AtomicU64,
    failed: AtomicU64,
    set_aside: AtomicU64,
    is_failing: AtomicBool,
    watched: Watched,
}

/// One record at a time on its way to the disk.
#[derive(Debug, Default)]
struct Watched {
    /// Its number among those handed over; 0: none is watched.
    number: AtomicU64,
    /// When it was handed over, in microseconds since `start`.
    since_us: AtomicU64,
    /// How long the last one took, in microseconds.
    took_us: AtomicU64,
    start: OnceLock<Instant>,
}

/// Somebody is about to say which record is watched.
const CHOOSING: u64 = u64::MAX;

impl Watched {
    fn now_us(&self) -> u64 {
        let start = self.start.get_or_init(Instant::now);
        u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A record was handed over: it is watched, unless another one is.
    fn handed(&self, number: u64) {
        let free = self.number.load(Ordering::Relaxed) == 0;
        let order = Ordering::Acquire;
        if free
            && (self.number)
                .compare_exchange(0, CHOOSING, order, Ordering::Relaxed)
                .is_ok()
        {
            self.since_us.store(self.now_us(), Ordering::Relaxed);
            self.number.store(number, Ordering::Release);
        }
    }

    /// So many are on disk.
    fn settled(&self, settled: u64) {
        let number = self.number.load(Ordering::Acquire);
        if (1..=settled).contains(&number) {
            self.took_us.store(self.age_us(), Ordering::Relaxed);
            self.number.store(0, Ordering::Release);
        }
    }

    fn age_us(&self) -> u64 {
        let since = self.since_us.load(Ordering::Relaxed);
        self.now_us().saturating_sub(since)
    }

    fn lag_us(&self) -> u64 {
        let took = self.took_us.load(Ordering::Relaxed);
        match self.number.load(Ordering::Acquire) {
            0 | CHOOSING => took,
            _ => took.max(self.age_us()),
        }
    }
}

impl StoreState {
    /// How long a record takes from a shard to the disk, in microseconds: of those that are
    /// watched, one at a time, the last one, or the one that is on its way where that takes
    /// longer already.
    #[must_use]
    pub fn lag_us(&self) -> u64 {
        self.watched.lag_us()
    }

    /// Records that are on their way to the disk and not there yet.
    #[must_use]
    pub fn unsaved(&self) -> u64 {
        // In this order: a record is handed over before it is settled.
        let settled = self.settled.load(Ordering::Acquire);
        self.handed.load(Ordering::Acquire).saturating_sub(settled)
    }

    /// Batches that could not be written since the start, each try counted.
    #[must_use]
    pub fn failed_batches(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Files that were damaged and set aside since the start.
    #[must_use]
    pub fn set_aside(&self) -> u64 {
        self.set_aside.load(Ordering::Relaxed)
    }

    /// The last write failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire)
    }

    /// So many records are on disk, or are not needed there any more.
    pub fn note_settled(&self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        let before = self.settled.fetch_add(records, Ordering::AcqRel);
        self.watched.settled(before + records);
    }

    /// A batch could not be written.
    pub fn note_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.is_failing.store(true, Ordering::Release);
    }

    /// It could, after it could not.
    pub fn note_mended(&self) {
        self.is_failing.store(false, Ordering::Release);
    }

    /// A damaged file was set aside.
    pub fn note_set_aside(&self) {
        self.set_aside.fetch_add(1, Ordering::Relaxed);
    }
}

/// A bounded channel from the shards to the store, whose state both ends know.
#[must_use]
pub fn to_store(state: Arc<StoreState>) -> (StoreSender, Receiver<Record>) {
    let (sender, receiver) = channel(limits::STORE_QUEUE_MAX);
    (
        StoreSender {
            sender,
            has_dropped: Arc::default(),
            has_warned: false,
            state,
            questions: None,
        },
        receiver,
    )
}

impl StoreSender {
    /// Set when a record was dropped, by whichever shard, for a reader that must
    /// know: it sets it back.
    #[must_use]
    pub fn has_dropped(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_dropped)
    }

    /// The same sender with a way to ask a store that several homes share, and the other end of it.
    #[must_use]
    pub fn with_questions(mut self) -> (Self, Receiver<SharedQuestion>) {
        let (sender, receiver) = channel(limits::SHARED_QUESTIONS_MAX);
        self.questions = Some(sender);
        (self, receiver)
    }

    /// Asks; false when the store is that far behind, gone, or shared with nobody.
    #[must_use]
    pub(super) fn ask(&self, question: SharedQuestion) -> bool {
        let questions = self.questions.as_ref();
        questions.is_some_and(|sender| sender.try_send(question).is_ok())
    }

    fn send(&self, record: Record) -> Result<(), TrySendError<Record>> {
        self.sender.try_send(record)?;
        let before = self.state.handed.fetch_add(1, Ordering::AcqRel);
        self.state.watched.handed(before + 1);
        Ok(())
    }

    /// Hands a record over for a test of the other end.
    #[cfg(test)]
    pub(crate) fn give(&self, record: Record) {
        self.send(record).unwrap();
    }

    /// Hands a record over. When the store is that far behind, the record is
    /// dropped: the next refresh of the registration brings all of it again. False when it
    /// was.
    pub(super) fn put(&mut self, record: Record, counters: &mut Counters) -> bool {
        match self.send(record) {
            Ok(()) => {
                counters.store_written += 1;
                self.has_warned = false;
                true
            }
            // Its reader has given up, and said so.
            Err(TrySendError::Closed(_)) => {
                counters.store_dropped += 1;
                false
            }
            Err(TrySendError::Full(_)) => {
                counters.store_dropped += 1;
                self.has_dropped.store(true, Ordering::Release);
                if !self.has_warned {
                    tracing::warn!("the store is too far behind: registrations are not saved");
                }
                self.has_warned = true;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_at_a_time_says_how_long_the_store_takes() {
        let watched = Watched::default();
        watched.handed(3);
        // The later one is not watched meanwhile.
        watched.handed(4);
        watched.settled(2);
        assert_eq!(watched.number.load(Ordering::Relaxed), 3);
        let since = watched.since_us.load(Ordering::Relaxed);
        while watched.now_us() < since + 2_000 {
            std::hint::spin_loop();
        }
        assert!(watched.lag_us() >= 2_000, "it is under way");
        watched.settled(3);
        let took = watched.lag_us();
        assert!(took >= 2_000 && watched.lag_us() == took, "it has arrived");
        watched.handed(5);
        assert_eq!(watched.number.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_full_channel_drops_and_counts() {
        let (mut sender, mut receiver) = to_store(Arc::default());
        let mut counters = Counters::default();
        let record = Record {
            key: (*b"joe").into(),
            value: Some((*b"binding").into()),
            shard: 0,
            number: 0,
        };
        for given in 0..limits::STORE_QUEUE_MAX + 3 {
            let is_taken = sender.put(record.clone(), &mut counters);
            assert_eq!(is_taken, given < limits::STORE_QUEUE_MAX);
        }
        assert!(sender.has_dropped().load(Ordering::Acquire));
        let want = (limits::STORE_QUEUE_MAX as u64, 3);
        assert_eq!((counters.store_written, counters.store_dropped), want);
        assert_eq!(receiver.try_recv().unwrap(), record);
    }
}
