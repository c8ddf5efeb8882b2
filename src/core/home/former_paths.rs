//! Paths that phones had before the one that they have now, and that dialogs were recorded
//! under: a phone that moves a second time takes along what it took along the first time.
//!
//! The key is the Path that the phone has now, whose user part is that phone's and nobody
//! else's. The table is memory of a moment and not of a registration: it is not stored, and
//! where it is lost the edges are asked for the phone.

use crate::carry::{Carried, Reader, Unreadable, Writer};
use crate::id::Keyed;
use crate::limits;
use crate::proxy::Step;
use crate::time::Instant;

/// The former Paths of all phones of one shard, each with the time at which the last dialog
/// under it counts as over.
#[derive(Debug, Default)]
pub(super) struct FormerPaths(Keyed<Vec<(Box<[u8]>, Instant)>>);

impl FormerPaths {
    /// Notes that a phone which had the Path `old` has `new` from now on. The result is
    /// every other Path whose dialogs are the phone's now, with its end; `old` is one of them
    /// where `old_end` says that dialogs were recorded under it. The oldest beyond
    /// `limits::FORMER_PATHS_MAX` are forgotten.
    pub(super) fn replace(
        &mut self,
        step: &Step<'_>,
        old: &[u8],
        new: &[u8],
        old_end: Option<Instant>,
    ) -> Vec<(Box<[u8]>, Instant)> {
        let key = |path: &[u8]| step.net.secrets.hash([b"former", path]);
        let mut former = self.0.remove(key(old)).unwrap_or_default();
        if let Some(end) = old_end {
            former.retain(|(path, _)| **path != *old);
            former.push((old.into(), end));
        }
        // What was recorded under the Path that the phone has now is found by that.
        former.retain(|(path, end)| **path != *new && *end > step.now);
        let over = former.len().saturating_sub(limits::FORMER_PATHS_MAX);
        former.drain(..over);
        if !former.is_empty() {
            if self.0.len() >= limits::FORMER_PHONES_MAX {
                self.0.remove_any();
            }
            self.0.insert(key(new), former.clone());
        }
        former
    }

    /// Phones that have former Paths.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Looks at the next `budget` phones and forgets the Paths whose end has passed.
    pub(super) fn expire(&mut self, now: Instant, budget: usize) {
        self.0.sweep(budget, |_, former| {
            former.retain(|(_, end)| *end > now);
            former.is_empty()
        });
    }
}

impl Carried for FormerPaths {
    fn write(&self, out: &mut Writer) {
        self.0.write(out);
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Result<(), Unreadable> {
        self.0.read(input)
    }
}
