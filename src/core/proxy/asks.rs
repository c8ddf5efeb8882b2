//! The requests that wait for a store which several homes share, in order (`asking`).

use std::collections::VecDeque;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::carry::carried;
use crate::limits;
use crate::time::Instant;
use crate::trust::Ingress;

/// The requests that wait for the store.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    /// In the order of their numbers, and so of their ends.
    list: VecDeque<Asked>,
    /// The number of the last one.
    last: u64,
    /// Bytes of all of them.
    bytes: usize,
}

/// A request that waits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    id: u64,
    until: Instant,
    /// How it came in.
    pub(crate) ingress: Ingress,
    /// All of it.
    pub(crate) bytes: Box<[u8]>,
    /// Whose bindings it waits for.
    aor: Box<[u8]>,
}

impl Asks {
    /// Whether one more of so many bytes may wait, of a source that has its share or, with none, of
    /// a node of ours.
    pub(super) fn has_room(&self, bytes: usize, source: Option<IpAddr>) -> bool {
        let count_of = |source: IpAddr| {
            let same = |asked: &&Asked| asked.ingress.source.ip() == source;
            self.list.iter().filter(same).count()
        };
        self.list.len() < limits::ASKS_MAX
            && self.bytes + bytes <= limits::ASK_BYTES_MAX
            && source.is_none_or(|source| count_of(source) < limits::ASKS_PER_SOURCE)
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds one, whose end is not before those of the others, and gives its number.
    pub(super) fn push(
        &mut self,
        until: Instant,
        ingress: Ingress,
        bytes: &[u8],
        aor: &[u8],
    ) -> u64 {
        self.last += 1;
        self.bytes += bytes.len();
        self.list.push_back(Asked {
            id: self.last,
            until,
            ingress,
            bytes: bytes.into(),
            aor: aor.into(),
        });
        self.last
    }

    /// The number of each and whose bindings it waits for.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.list.iter().map(|asked| (asked.id, &*asked.aor))
    }

    /// Takes out the one with this number; it may have gone on already.
    pub(crate) fn take(&mut self, id: u64) -> Option<Asked> {
        let at = self.list.binary_search_by_key(&id, |asked| asked.id).ok()?;
        let asked = self.list.remove(at)?;
        self.bytes -= asked.bytes.len();
        Some(asked)
    }

    /// Takes out the next one whose time is over.
    pub(crate) fn take_late(&mut self, now: Instant) -> Option<Asked> {
        let first = self.list.front().filter(|asked| asked.until <= now)?;
        self.take(first.id)
    }

    /// When the next one goes on at the latest.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.list.front().map(|asked| asked.until)
    }
}

carried!(Asks {
    values: list, last, bytes;
});
