//! A request on its way through a role: what the role works with, what is known
//! of the request, and what becomes of it.
//!
//! Every rule of who may do what asks this and nothing else. What it finds out
//! it returns; here is kept only what more than one rule would look for.

use std::cell::OnceCell;

use super::route_set::{KnownBy, RouteSet};
use super::{Net, Note, Plan, Recorded, Request, Step, Verdict};
use crate::bytes::Buf;
use crate::scan::Route;
use crate::time::Instant;
use crate::trust::MarkKey;
use crate::trust::mark::{Mark, Shown};
use crate::uri::Uri;

/// One request and one decision.
pub struct Pass<'a, 'b> {
    /// The machinery.
    pub net: &'a mut Net,
    /// The time of the step.
    pub now: Instant,
    /// The request, with what was found out where it came in.
    pub request: &'a Request<'b>,
    /// What becomes of it.
    pub plan: &'a mut Plan,
    /// The marks of its dialog, once they were looked at.
    shown: Option<Shown>,
    /// The URI of its From, once it was read.
    from: OnceCell<Option<Uri>>,
}

impl<'a, 'b> Pass<'a, 'b> {
    /// A request that nothing was decided about yet.
    #[must_use]
    pub const fn new(
        net: &'a mut Net,
        now: Instant,
        request: &'a Request<'b>,
        plan: &'a mut Plan,
    ) -> Self {
        Self {
            net,
            now,
            request,
            plan,
            shown: None,
            from: OnceCell::new(),
        }
    }

    /// The step that it is routed in, for what has nothing to do with the request.
    pub(crate) const fn step(&mut self) -> Step<'_> {
        Step::new(self.net, self.now)
    }

    /// The first Route value that is not ours, once the plan says which are.
    #[must_use]
    pub(crate) fn next_route(&self) -> Option<&'a Route> {
        let request: &'a Request<'b> = self.request;
        let routes = request.message.routes();
        // One of ours in the Request-URI left the real one at the end (P-7).
        let own = self.plan.pop + usize::from(self.plan.restore_uri);
        routes.get(self.plan.pop).filter(|_| routes.len() > own)
    }

    /// Which marks of its dialog the request shows in the values that are ours, once
    /// the plan says which those are. Looked at once, and only where it decides.
    pub fn shown(&mut self, marks: &MarkKey) -> Shown {
        let (request, plan) = (self.request, &*self.plan);
        *self.shown.get_or_insert_with(|| {
            let Request { bytes, message, .. } = *request;
            marks.shown(bytes, message, plan.pop, plan.restore_uri)
        })
    }

    /// The URI of the From, which several rules ask for; `None` when either is missing or
    /// malformed. Read once, and only where somebody asks.
    pub(crate) fn uri_of_from(&self) -> Option<Uri> {
        let Request { bytes, message, .. } = *self.request;
        *self.from.get_or_init(|| message.uri_of_from(bytes))
    }

    /// Somebody asks for what he may not have.
    pub fn not_allowed(&mut self, reason: &'static str) -> Verdict {
        self.net.counters.not_allowed += 1;
        Verdict::refuse(403, reason)
    }

    /// Says in the plan that a dialog may begin. `mark`: that in our value, which then
    /// stands alone in the plan; `there`: our URI for the calling side, where it is
    /// another one.
    pub(crate) fn note_dialog(&mut self, mark: Option<Mark>, there: Option<Buf>) {
        let (net, plan, request) = (&*self.net, &mut *self.plan, self.request);
        let own = &plan.record_route[..];
        let known_by = || match plan.is_leaving {
            true => KnownBy::Set(RouteSet::new(
                &net.secrets,
                own,
                request.bytes,
                request.message,
            )),
            false => KnownBy::Value(net.pool.copy(own)),
        };
        let recorded = mark.map(|mark| Recorded {
            mark,
            there,
            known_by: known_by(),
        });
        plan.note = Note::Dialog(recorded);
    }
}
