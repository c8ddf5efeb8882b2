//! Dialogs of a phone that has moved. A REGISTER that replaces a binding by another flow,
//! through another edge or from another address, takes the dialogs of the phone along: what
//! stuck to the old flow for it sticks to the new one from then on, for as long as the last
//! of them would have, and `former_paths` remembers under which Paths that was.
//!
//! Both are bounded, and lost with the process: then any edge is asked, and the edges look
//! for a phone by user and instance.

use super::Binding;
use super::location::Change;
use super::state::Home;
use crate::bytes::Buf;
use crate::id::Flow;
use crate::proxy::Step;
use crate::scan::address::first_uri;
use crate::stick::Source;
use crate::time::Instant;

/// The dialogs under one Path, which go on over another flow.
struct Move {
    old_flow: Flow,
    new_flow: Flow,
    old_path: Buf,
    new_path: Buf,
}

impl Home {
    /// The bindings that a REGISTER on `flow` with these changes replaces, as far as they
    /// are of another flow.
    pub(super) fn bindings_of_other_flows(
        &self,
        now: Instant,
        aor: &[u8],
        flow: Flow,
        changes: &[Change<'_>],
    ) -> Vec<Binding> {
        let is_left = |binding: &&Binding| {
            binding.flow.is_some_and(|own| own != flow)
                && changes.iter().any(|change| binding.is_replaced_by(change))
        };
        let bindings = self.location.bindings(now, aor);
        bindings.filter(is_left).cloned().collect()
    }

    /// Moves the dialogs of the bindings in `before`, which the address of record had before
    /// a change, to the flows of the bindings that have taken their place.
    pub(super) fn move_dialogs(&mut self, step: &mut Step<'_>, aor: &[u8], before: &[Binding]) {
        let moves: Vec<_> = before
            .iter()
            .filter_map(|old| self.move_of(step, aor, old))
            .collect();
        for one in moves {
            let Move {
                old_flow, new_flow, ..
            } = one;
            let (old, new) = (&one.old_path[..], &one.new_path[..]);
            let end = self.stick.leave(step.now, old, old_flow);
            // A Path that stays the same is none of the former ones, and its dialogs may
            // outlast what the REGISTER has bound it for.
            if let Some(end) = end.filter(|_| old == new) {
                self.bind(step, new_flow, old, Source::RecordRoute, end);
            }
            for (former, end) in self.former_paths.replace(step, old, new, end) {
                self.stick.leave(step.now, &former, old_flow);
                self.bind(step, new_flow, &former, Source::RecordRoute, end);
            }
        }
    }

    /// Where the dialogs of a binding go; `None` where they stay, since its phone still has
    /// the flow and the Path, or where no other binding has taken its place.
    fn move_of(&self, step: &Step<'_>, aor: &[u8], old: &Binding) -> Option<Move> {
        let (old_flow, old_path) = (old.flow?, first_uri(old.path())?);
        let now = step.now;
        let bindings = || self.location.bindings(now, aor);
        // A phone without RFC 5626 leaves its old binding behind until that expires: the
        // last binding behind it which is of the same phone has taken its place.
        let successor = |old: &Binding| {
            let index = bindings().position(|binding| binding == old);
            let later = bindings().skip(index.map_or(0, |index| index + 1));
            let moved = later.filter(|later| later.flow.is_some() && later.flow != old.flow);
            moved.filter(|later| old.is_followed_by(later)).last()
        };
        let new = successor(old)?;
        let (new_flow, new_path) = (new.flow?, first_uri(new.path())?);
        // As long as one live phone is reached by this Path on this flow, it stays bound.
        let is_left = |other: &Binding| {
            other.flow != Some(old_flow)
                || first_uri(other.path()) != Some(old_path)
                || successor(other).is_some()
        };
        bindings().all(is_left).then(|| Move {
            old_flow,
            new_flow,
            old_path: step.net.pool.copy(old_path),
            new_path: step.net.pool.copy(new_path),
        })
    }
}
