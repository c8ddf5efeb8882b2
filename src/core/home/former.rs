//! Paths that phones have had before the one that they have now, and that dialogs
//! were recorded under: a phone that goes on a second time takes along what has
//! followed it the first time.
//!
//! Filed under the Path that the phone has now, whose user part is that phone's and
//! nobody else's. It is memory of a moment and not of a registration: it is not
//! stored, and where it is lost the edges are asked for the phone.

use crate::id::Keyed;
use crate::limits;
use crate::proxy::Step;
use crate::time::Instant;

/// The former Paths of all phones of one shard.
#[derive(Debug, Default)]
pub(super) struct Former(Keyed<Vec<(Box<[u8]>, Instant)>>);

impl Former {
    /// A phone that had the Path `left` has `path` from now on: gives back those that follow it, with
    /// their ends, the one that it has left among them where a dialog was recorded
    /// under it, until `end`. Where it has `limits::FORMER_PATHS_MAX` of them the
    /// oldest goes.
    pub(super) fn go_on(
        &mut self,
        step: &Step<'_>,
        left: &[u8],
        path: &[u8],
        end: Option<Instant>,
    ) -> Vec<(Box<[u8]>, Instant)> {
        let key = |path: &[u8]| step.net.secrets.hash([b"former", path]);
        let mut all = self.0.remove(key(left)).unwrap_or_default();
        if let Some(end) = end {
            all.retain(|(uri, _)| **uri != *left);
            all.push((left.into(), end));
        }
        // Under the Path that it has now they are found by that.
        all.retain(|(uri, end)| **uri != *path && *end > step.now);
        let over = all.len().saturating_sub(limits::FORMER_PATHS_MAX);
        all.drain(..over);
        if !all.is_empty() {
            if self.0.len() >= limits::FORMER_PHONES_MAX {
                self.0.remove_any();
            }
            self.0.insert(key(path), all.clone());
        }
        all
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Looks at the next phones and forgets what is over.
    pub(super) fn expire(&mut self, now: Instant, budget: usize) {
        self.0.sweep(budget, |_, all| {
            all.retain(|(_, end)| *end > now);
            all.is_empty()
        });
    }
}
