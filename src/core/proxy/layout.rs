//! A request becomes a context: the changes common to all its branches are made once, and a branch
//! is laid out for each target.

use super::branch::Branch;
use super::validate::Valid;
use super::{Context, Note, Proxy, Request, Turn, build};
use crate::admission::RequestClass;
use crate::limits;
use crate::omit::Omit;
use crate::scan::Name;
use crate::span::Span;

impl Proxy {
    /// Makes the common changes and lays out the branches.
    pub(super) fn lay_out(
        &mut self,
        turn: &Turn<'_>,
        request: &Request<'_>,
        valid: &Valid,
        loop_hash: Option<u32>,
    ) -> Context {
        let net = &*turn.net;
        let strips = !net.omit.leaves_out(Omit::Stripping);
        let identities = strips.then(|| turn.policy.identities());
        let uri_len = build::common(request, &self.plan, valid, identities, &mut self.edits);
        let room = request.bytes.len() + self.edits.growth();
        let edits = &mut self.edits;
        let base = net.pool.build(room, |out| edits.apply(request.bytes, out));
        let uri = request.message.request_uri();
        let start = usize::from(uri.start);
        let sized = request.message.first(Name::ContentLength).is_some();
        let targets = self.plan.targets.drain(..).take(limits::BRANCHES_MAX);
        let mut branches = self.contexts.spare(targets.len());
        branches.extend(targets.map(Branch::new));
        Context {
            method: request.message.method(),
            began: turn.now,
            ingress: request.ingress,
            recorded: net.recorder.cause(),
            note: std::mem::replace(&mut self.plan.note, Note::Nothing),
            refresh: self.plan.refresh.take(),
            is_out_of_dialog: !request.in_dialog(),
            is_guest: self.plan.is_guest,
            class: RequestClass::Standing,
            requested_loss: None,
            is_held: false,
            was_held: false,
            server: None,
            base: Some(base),
            uri: Span::new(start, start + uri_len),
            headers_start: request.message.headers_start() + uri_len - uri.len(),
            unsized_body: (!sized).then(|| request.message.body().len()),
            loop_hash,
            breadth: valid.breadth,
            branches,
            live: 0,
            vias: request.message.via_lines(),
            reason: None,
            answered: false,
            closed: false,
        }
    }
}
