//! Registrations on their way to the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Counters;
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
}

/// A shard's way to the store. Never waits.
#[derive(Clone, Debug)]
pub struct StoreSender {
    sender: Sender<Record>,
    has_dropped: Arc<AtomicBool>,
    has_warned: bool,
}

/// A bounded channel from the shards to the store.
#[must_use]
pub fn to_store() -> (StoreSender, Receiver<Record>) {
    let (sender, receiver) = channel(limits::STORE_QUEUE_MAX);
    (
        StoreSender {
            sender,
            has_dropped: Arc::default(),
            has_warned: false,
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

    /// Hands a record over. When the store is that far behind, the record is
    /// dropped: the next refresh of the registration brings all of it again.
    pub(super) fn put(
        &mut self,
        shard: u8,
        key: &[u8],
        value: Option<&[u8]>,
        counters: &mut Counters,
    ) {
        let record = Record {
            key: key.into(),
            value: value.map(Into::into),
            shard,
        };
        match self.sender.try_send(record) {
            Ok(()) => {
                counters.store_written += 1;
                self.has_warned = false;
            }
            // Its reader has given up, and said so.
            Err(TrySendError::Closed(_)) => counters.store_dropped += 1,
            Err(TrySendError::Full(_)) => {
                counters.store_dropped += 1;
                self.has_dropped.store(true, Ordering::Release);
                if !self.has_warned {
                    tracing::warn!("the store is too far behind: registrations are not saved");
                }
                self.has_warned = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_channel_drops_and_counts() {
        let (mut sender, mut receiver) = to_store();
        let mut counters = Counters::default();
        for _ in 0..limits::STORE_QUEUE_MAX + 3 {
            sender.put(0, b"joe", Some(b"binding"), &mut counters);
        }
        assert!(sender.has_dropped().load(Ordering::Acquire));
        let want = (limits::STORE_QUEUE_MAX as u64, 3);
        assert_eq!((counters.store_written, counters.store_dropped), want);
        let first = receiver.try_recv().unwrap();
        assert_eq!(
            first,
            Record {
                key: (*b"joe").into(),
                value: Some((*b"binding").into()),
                shard: 0,
            }
        );
    }
}
