//! What the flight recorders of the shards hold: read in pieces that keep no shard for long,
//! and told to whoever asks (`/trace`), to a collector (`hep`) and as lines (`events`).
//!
//! Whatever leaves here has its credentials blanked: it is done where a piece becomes rows, and
//! there is no other way out of a recorder.

mod blank;
mod call_log;
mod complaint;
mod event_lines;
mod hep;
mod taps;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::io::{Answer, Order, Orders, Question, Recorded};
use crate::limits;
use crate::recorder::{Filter, What};
use crate::trace::{Kind, Row, View};

pub(super) use self::taps::{TapCounts, Taps};

/// Reads the recorders of all shards, each from where it was left.
pub(super) struct Reader {
    shards: Arc<[Orders]>,
    next: Vec<u64>,
    /// Entries that were written over before they were read.
    missed: u64,
}

impl Reader {
    /// One that begins at these entries; with 0 at the oldest, with `u64::MAX` behind the newest.
    pub(super) fn new(shards: Arc<[Orders]>, from: &[u64]) -> Self {
        let next = (0..shards.len()).map(|shard| from.get(shard).copied().unwrap_or(0));
        Self {
            next: next.collect(),
            shards,
            missed: 0,
        }
    }

    /// The next rows of a shard, and whether there are no more for now; none of a shard that does
    /// not answer.
    pub(super) async fn piece(&mut self, shard: usize, filter: &Filter) -> (Vec<Row>, bool) {
        let (Some(orders), Some(next)) = (self.shards.get(shard), self.next.get_mut(shard)) else {
            return (Vec::new(), true);
        };
        let (answer, mut answers) = mpsc::channel(1);
        let is_taken = orders.offer(Order::Ask {
            question: Question::Recorded(*next, filter.clone()),
            answer,
            shard,
        });
        if !is_taken {
            return (Vec::new(), true);
        }
        match timeout(limits::ANSWER_MAX, answers.recv()).await {
            Ok(Some((_, Answer::Recorded(recorded)))) => {
                *next = recorded.piece.next;
                self.missed += recorded.piece.missed;
                let is_last = recorded.piece.is_last;
                (rows(shard, *recorded), is_last)
            }
            Ok(_) | Err(_) => (Vec::new(), true),
        }
    }

    /// How many entries were written over before they were read, since this was last asked.
    pub(super) const fn take_missed(&mut self) -> u64 {
        std::mem::replace(&mut self.missed, 0)
    }

    /// What there is, up to the bounds of one answer.
    pub(super) async fn view(mut self, node: &str, filter: &Filter) -> View {
        let began = Instant::now();
        let (mut all, mut bytes, mut is_complete) = (Vec::new(), 0, true);
        let is_full = |bytes: usize| {
            bytes >= limits::TRACE_ANSWER_BYTES || began.elapsed() >= limits::TRACE_ANSWER_MAX
        };
        for shard in 0..self.shards.len() {
            // The others have their turn when this part was read.
            if is_full(bytes) {
                is_complete = false;
                break;
            }
            loop {
                let (rows, is_last) = self.piece(shard, filter).await;
                bytes += rows.iter().map(|row| row.bytes.len()).sum::<usize>();
                all.extend(rows);
                if is_last || is_full(bytes) {
                    is_complete &= is_last;
                    break;
                }
            }
        }
        View {
            node: node.to_owned(),
            rows: all,
            next: self.next,
            is_last: is_complete,
            missed: self.missed,
        }
    }
}

/// A piece as rows without credentials.
fn rows(shard: usize, recorded: Recorded) -> Vec<Row> {
    let Recorded { piece, stamps } = recorded;
    let all = piece.records.into_iter().zip(stamps);
    all.map(|(record, (unix_us, local))| {
        let mut bytes = piece.bytes.get(record.bytes).unwrap_or_default().to_vec();
        blank::credentials(&mut bytes);
        let (kind, name, says) = match record.what {
            What::In => (Kind::In, "", String::new()),
            What::Handed => (Kind::Handed, "", String::new()),
            What::Out => (Kind::Out, "", String::new()),
            What::Decided(decision) => (
                Kind::Decision,
                decision.name(),
                decision.sentence(record.link.as_ref()),
            ),
        };
        Row {
            shard,
            number: record.number,
            unix_us,
            kind,
            transport: record
                .link
                .map(|link| link.transport.uri_token().to_owned()),
            local,
            peer: record.link.map(|link| link.peer),
            cause: record.cause,
            bytes,
            name: name.to_owned(),
            says,
        }
    })
    .collect()
}
