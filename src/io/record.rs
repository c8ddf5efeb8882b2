//! Registrations on their way to the store.

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Counters;
use crate::limits;

/// What is known of one address of record, whole; `value` none: nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The address of record, as the home encodes it.
    pub key: Box<[u8]>,
    /// Its bindings, as the home encodes them.
    pub value: Option<Box<[u8]>>,
}

/// A shard's way to the store. Never waits.
#[derive(Clone, Debug)]
pub struct StoreSender {
    sender: Sender<Record>,
    has_warned: bool,
}

/// A bounded channel from the shards to the store.
#[must_use]
pub fn to_store() -> (StoreSender, Receiver<Record>) {
    let (sender, receiver) = channel(limits::STORE_QUEUE_MAX);
    (
        StoreSender {
            sender,
            has_warned: false,
        },
        receiver,
    )
}

impl StoreSender {
    /// Hands a record over. When the store is that far behind, the record is
    /// dropped: the next refresh of the registration brings all of it again.
    pub(super) fn put(&mut self, key: &[u8], value: Option<&[u8]>, counters: &mut Counters) {
        let record = Record {
            key: key.into(),
            value: value.map(Into::into),
        };
        match self.sender.try_send(record) {
            Ok(()) => {
                counters.store_written += 1;
                self.has_warned = false;
            }
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                counters.store_dropped += 1;
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
            sender.put(b"joe", Some(b"binding"), &mut counters);
        }
        let want = (limits::STORE_QUEUE_MAX as u64, 3);
        assert_eq!((counters.store_written, counters.store_dropped), want);
        let first = receiver.try_recv().unwrap();
        assert_eq!(
            first,
            Record {
                key: (*b"joe").into(),
                value: Some((*b"binding").into())
            }
        );
    }
}
