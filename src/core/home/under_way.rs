//! What is under way between a home and a store that several homes share: the changes whose outcome
//! is not known, and what it is being told of every address of record.
//!
//! There are no more changes than the way to the store has room for, since all are forgotten
//! where one finds none.

use ahash::RandomState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::carry::{Carried, Reader, Unreadable, Writer};
use crate::time::Instant;

/// What is under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    /// The number of the last change of each address of record.
    changes: HashMap<Box<[u8]>, u64, RandomState>,
    /// What the store is told of, piece by piece.
    pub(super) telling: Option<Telling>,
}

/// What the store is told of every address of record, one after the other, from the end of the
/// table on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Telling {
    pub(super) what: Tell,
    /// Indexes of the table that are left.
    pub(super) left: usize,
    /// When the next piece is due.
    pub(super) due: Instant,
}

/// What to tell a store that several homes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tell {
    /// All bindings that are here: it may have lost some.
    All,
    /// To say what it has of each: some may have been removed unheard.
    Ask,
}

impl UnderWay {
    /// Nothing is; `seed` keeps peers from aiming collisions.
    pub(super) fn new(seed: [u64; 4]) -> Self {
        let hasher = RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]);
        Self {
            changes: HashMap::with_hasher(hasher),
            telling: None,
        }
    }

    /// A change of an address of record was put out under this number.
    pub(super) fn put_out(&mut self, aor: &[u8], number: u64) {
        self.changes.insert(aor.into(), number);
    }

    /// Whether a change of this address of record is.
    pub(super) fn has(&self, aor: &[u8]) -> bool {
        self.changes.contains_key(aor)
    }

    /// Whether this is the number of the last change of an address of record, which is over then.
    pub(super) fn is_outcome(&mut self, aor: &[u8], number: u64) -> bool {
        let is_last = self.changes.get(aor) == Some(&number);
        if is_last {
            self.changes.remove(aor);
        }
        is_last
    }

    /// No change is known to be on its way any more.
    pub(super) fn forget(&mut self) {
        self.changes.clear();
    }
}

impl Carried for UnderWay {
    fn write(&self, out: &mut Writer) {
        let mut changes: Vec<_> = self.changes.iter().collect();
        changes.sort_unstable();
        out.value(&changes);
        out.value(&self.telling);
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Result<(), Unreadable> {
        let changes: Vec<(Box<[u8]>, u64)> = input.value()?;
        self.changes.extend(changes);
        self.telling = input.value()?;
        Ok(())
    }
}
