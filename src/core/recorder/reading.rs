//! Reading a recorder in pieces, none of which keeps its shard for long.

use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;

use super::{Entry, PeerLink, Recorder, What};
use crate::limits;
use crate::time::Instant;

/// What a reader wants to see.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Everything.
    All,
    /// The messages in which one of these texts stands, at most `limits::RECORDER_TEXTS_MAX`, and
    /// what was decided about them.
    Texts(Arc<[Box<[u8]>]>),
    /// The refusals that were sent: final answers from 400 on that ask for no credentials.
    Refusals,
}

/// One entry, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEntry {
    /// Its number, counted from the start of the shard.
    pub number: u64,
    /// When.
    pub at: Instant,
    /// What.
    pub what: What,
    /// The far side, where there is one.
    pub link: Option<PeerLink>,
    /// Of a decision the number of the message that it is about, of a message that came its own;
    /// `None`: a timer or a lost connection brought it about, or it leaves.
    pub cause: Option<u64>,
    /// Where its bytes are in `Piece::bytes`.
    pub bytes: Range<usize>,
}

/// A piece of what a recorder holds.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// In order.
    pub records: Vec<RecordedEntry>,
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// Where the next piece begins.
    pub next: u64,
    /// Nothing is left to be read there for the time being.
    pub is_last: bool,
    /// Entries that were asked for and are written over.
    pub missed: u64,
}

impl Filter {
    /// Whether a reader wants to see an entry of `recorder`, with its bytes: a decision as the
    /// message that it is about.
    fn lets_through(&self, recorder: &Recorder, entry: &Entry, bytes: &[u8]) -> bool {
        match (self, entry.what()) {
            (Self::All, _) => true,
            (Self::Texts(texts), What::In | What::Handed | What::Out) => {
                let mut texts = texts.iter().take(limits::RECORDER_TEXTS_MAX);
                texts.any(|text| memmem::find(bytes, text).is_some())
            }
            (Self::Texts(_), What::Decided(_)) => {
                let message = recorder.entry(entry.cause);
                message.is_some_and(|(message, bytes)| {
                    !matches!(message.what(), What::Decided(_))
                        && self.lets_through(recorder, message, bytes)
                })
            }
            (Self::Refusals, What::Out) => is_refusal(bytes),
            (Self::Refusals, What::In | What::Handed | What::Decided(_)) => false,
        }
    }
}

impl Recorder {
    /// What it holds from the entry `from` on, as far as one piece goes; from the oldest one on
    /// where that is written over, which counts as missed unless `from` is 0.
    #[must_use]
    pub fn read(&self, from: u64, filter: &Filter) -> Piece {
        let oldest = self.oldest();
        let first = from.clamp(oldest, self.next);
        let mut piece = Piece {
            next: first,
            missed: if from == 0 {
                0
            } else {
                first.saturating_sub(from)
            },
            ..Piece::default()
        };
        let (mut entries, mut looked_at) = (0, 0);
        while piece.next < self.next
            && entries < limits::RECORDER_PIECE
            && looked_at < limits::RECORDER_PIECE_BYTES
        {
            let number = piece.next;
            piece.next += 1;
            entries += 1;
            let Some((entry, bytes)) = self.entry(number) else {
                continue;
            };
            looked_at += bytes.len();
            if filter.lets_through(self, entry, bytes) {
                let start = piece.bytes.len();
                piece.bytes.extend_from_slice(bytes);
                piece.records.push(RecordedEntry {
                    number,
                    at: entry.at,
                    what: entry.what(),
                    link: entry.link(),
                    cause: entry.cause_of(number),
                    bytes: start..piece.bytes.len(),
                });
            }
        }
        piece.is_last = piece.next >= self.next;
        piece
    }

    /// The number of the oldest entry whose bytes are there.
    fn oldest(&self) -> u64 {
        let held = self.next.saturating_sub(self.most as u64);
        let (mut low, mut high) = (held, self.next);
        // Bytes are written over in the order of their entries.
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle).is_some() {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// An entry with its bytes, while both are there.
    fn entry(&self, number: u64) -> Option<(&Entry, &[u8])> {
        if number >= self.next || self.next - number > self.most as u64 {
            return None;
        }
        let entry = self.entries.get(self.index(number))?;
        let size = self.bytes.len() as u64;
        if self.written() - entry.start > size {
            return None;
        }
        let start = usize::try_from(entry.start % size).ok()?;
        let end = start + entry.len;
        Some((entry, self.bytes.get(start..end)?))
    }
}

/// An answer from 400 on which is no question for credentials.
fn is_refusal(bytes: &[u8]) -> bool {
    let status = bytes.strip_prefix(b"SIP/2.0 ");
    let status = status.and_then(|rest| rest.first_chunk::<3>());
    status.is_some_and(|status| status >= b"400" && status != b"401" && status != b"407")
}
