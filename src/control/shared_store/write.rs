//! What the shards change, on its way to the store.

use std::collections::HashSet;
use std::mem::take;

use tokio::sync::mpsc::Receiver;
use tokio::time::sleep;

use super::follow::tell_rows;
use super::link::{Link, Trouble};
use super::tell;
use crate::home::{ChangeKind, SharedChange};
use crate::io::{Order, Orders, Record, SharedAnswer, StoreState};
use crate::limits;

/// What is not in the store yet.
#[derive(Default)]
pub(super) struct Waiting {
    /// In the order in which it came.
    pub(super) records: Vec<Record>,
    /// All of that has waited while the store was away.
    is_late: bool,
    /// Some of it was given up for want of room.
    is_incomplete: bool,
    /// Addresses of record of which it is not known whether the store has taken a change that
    /// the shards have taken back.
    doubts: Vec<Box<[u8]>>,
}

/// Who is told what came of it.
pub(super) struct Readers<'a> {
    pub(super) shards: &'a [Orders],
    /// Answers wait for that.
    pub(super) is_durable: bool,
}

/// Writes what comes until the store fails, or until every shard is gone and all is written.
pub(super) async fn write(
    mut link: Link,
    records: &mut Receiver<Record>,
    waiting: &mut Waiting,
    state: &StoreState,
    readers: Readers<'_>,
) -> Result<(), Trouble> {
    loop {
        while !waiting.records.is_empty() {
            let count = waiting.records.len().min(limits::SHARED_BATCH_MAX);
            let batch = &waiting.records[..count];
            let answers = link.change(batch, waiting.is_late).await?;
            readers.tell(batch, answers);
            waiting.records.drain(..count);
            state.note_settled(count);
        }
        waiting.is_late = false;
        sleep(limits::SHARED_PAUSE).await;
        let most = limits::SHARED_BATCH_MAX;
        if records.recv_many(&mut waiting.records, most).await == 0 {
            return Ok(());
        }
    }
}

impl Readers<'_> {
    /// Tells each shard what came of its changes.
    fn tell(&self, batch: &[Record], answers: Vec<SharedAnswer>) {
        let mut of_shards: Vec<Vec<SharedAnswer>> = vec![Vec::new(); self.shards.len()];
        let mut last = vec![0; self.shards.len()];
        for (record, answer) in batch.iter().zip(answers) {
            let shard = usize::from(record.shard);
            if let (Some(all), Some(last)) = (of_shards.get_mut(shard), last.get_mut(shard)) {
                all.push(answer);
                *last = record.number.max(*last);
            }
        }
        let each = self.shards.iter().zip(of_shards).zip(last);
        for ((shard, answers), up_to) in each.filter(|((_, answers), _)| !answers.is_empty()) {
            tell(shard, &Order::Shared(answers.into()));
            if self.is_durable {
                tell(shard, &Order::Stored { up_to });
            }
        }
    }
}

impl Waiting {
    pub(super) fn push(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Whether something was given up since the last call.
    pub(super) fn take_incomplete(&mut self) -> bool {
        take(&mut self.is_incomplete)
    }

    /// The store has failed. Where answers wait for it they are failures, and what the shards
    /// take back is not written; of anything else the last change of each binding waits.
    pub(super) fn store_failed(&mut self, state: &StoreState, is_durable: bool) {
        self.is_late = true;
        let before = self.records.len();
        if is_durable {
            let doubts = &mut self.doubts;
            self.records.retain(|record| {
                let change = record.value.as_deref().and_then(SharedChange::read);
                let is_kept = change.is_some_and(|change| change.kind == ChangeKind::Revoke);
                if !is_kept {
                    doubts.push(record.key.clone());
                }
                is_kept
            });
            doubts.sort_unstable();
            doubts.dedup();
        } else if before > limits::SHARED_BATCH_MAX {
            keep_last(&mut self.records);
        }
        let over = self.records.len().saturating_sub(limits::STORE_QUEUE_MAX);
        self.records.drain(..over);
        self.is_incomplete |= over > 0;
        state.note_settled(before - self.records.len());
    }

    /// Tells the shards what the store has of whatever it may or may not have taken.
    pub(super) async fn settle_doubts(
        &mut self,
        link: &mut Link,
        shards: &[Orders],
    ) -> Result<(), Trouble> {
        while !self.doubts.is_empty() {
            let from = self.doubts.len().saturating_sub(limits::SHARED_BATCH_MAX);
            tell_rows(link, &self.doubts[from..], shards).await?;
            self.doubts.truncate(from);
        }
        Ok(())
    }
}

/// Of the REGISTERs that changed the same bindings of one address of record, leaves the last.
fn keep_last(records: &mut Vec<Record>) {
    let mut known = HashSet::new();
    let mut kept: Vec<_> = take(records)
        .into_iter()
        .rev()
        .filter(|record| {
            let change = record.value.as_deref().and_then(SharedChange::read);
            let Some(change) = change.filter(|change| change.kind == ChangeKind::Register) else {
                return true;
            };
            let fields: Vec<Box<[u8]>> = change.bindings().map(|one| one.field.into()).collect();
            known.insert((record.key.clone(), fields))
        })
        .collect();
    kept.reverse();
    *records = kept;
}
