//! A phone that registers over another flow in place of an earlier one, through
//! another edge or from another address, takes its dialogs along: what stuck to the
//! old flow for it sticks to the new one from then on, for as long as the last of
//! them would have, and `former` remembers under which Paths that was. Both are
//! bounded, and lost with the process: then any edge is asked, and the edges look for a
//! phone by user and instance.

use super::Binding;
use super::location::Change;
use super::state::Home;
use crate::id::Flow;
use crate::proxy::Step;
use crate::scan::address::first_uri;
use crate::stick::Source;
use crate::time::Instant;

impl Home {
    /// The bindings that this REGISTER replaces by another flow.
    pub(super) fn to_be_left(
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

    /// Has the dialogs of bindings that were there before go where their phones are
    /// now.
    pub(super) fn follow(&mut self, step: &mut Step<'_>, aor: &[u8], before: &[Binding]) {
        let all = || self.location.bindings(step.now, aor);
        // The last one that stands in for this one, which may still be there.
        let heir = |one: &Binding| {
            let index = all().position(|binding| binding == one);
            let later = all().skip(index.map_or(0, |index| index + 1));
            let other = later.filter(|later| later.flow.is_some() && later.flow != one.flow);
            other.filter(|later| one.is_followed_by(later)).last()
        };
        let mut moves = Vec::new();
        for one in before {
            let (Some(left), Some(uri)) = (one.flow, first_uri(one.path())) else {
                continue;
            };
            let is_left = |other: &Binding| {
                other.flow != Some(left)
                    || first_uri(other.path()) != Some(uri)
                    || heir(other).is_some()
            };
            if let Some(heir) = heir(one)
                && let (Some(flow), Some(path)) = (heir.flow, first_uri(heir.path()))
                && all().all(is_left)
            {
                moves.push((
                    left,
                    flow,
                    step.net.pool.copy(uri),
                    step.net.pool.copy(path),
                ));
            }
        }
        for (left, flow, uri, path) in moves {
            let end = self.stick.leave(step.now, &uri, left);
            if let Some(end) = end.filter(|_| uri[..] == path[..]) {
                self.bind(step, flow, &uri, Source::RecordRoute, end);
            }
            for (former, end) in self.former.go_on(step, &uri, &path, end) {
                self.stick.leave(step.now, &former, left);
                self.bind(step, flow, &former, Source::RecordRoute, end);
            }
        }
    }
}
