//! The Record-Route of this home (H-17), and what those of its neighbours tell.

use super::dialog::dialog_of;
use super::state::Home;
use crate::limits;
use crate::proxy::{Context, Net, Pass, Response, Step};
use crate::scan::address::Address;
use crate::scan::{Method, Name, scan_again};
use crate::span::Span;
use crate::stick::Source;
use crate::trust::mark::{Mark, MarkedValue, Next, write_param};
use crate::uri::Uri;

impl Home {
    /// Writes a URI of this home but for its scheme: its domain, the mark of a dialog
    /// where it is for one, and its name where it has one, which makes the URI another one than that of its siblings and
    /// still equal to the domain's (RFC 3261 §19.1.4, as with H-5).
    pub(super) fn write_own(&self, mark: Option<Mark>, out: &mut Vec<u8>) {
        for part in [&self.settings.domain, ";lr"] {
            out.extend_from_slice(part.as_bytes());
        }
        write_param(self.settings.name.as_bytes(), mark, out);
    }

    /// H-17: the domain itself, on any transport.
    pub(super) fn record_route(&self, pass: &mut Pass<'_, '_>) {
        let method = pass.request.message.method();
        if !method.forms_dialog() && method != Method::Other {
            return;
        }
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        // Nobody but an edge stands behind a URI of the cluster. Whoever else
        // claims one would have the called side's requests go there, past the
        // services of this home.
        let is_claim = |next: Next<'_>| self.is_uri_of_edge(next.uri());
        let is_peer = pass.request.ingress.principal.is_cluster_node();
        let is_false = !is_peer && Next::behind(bytes, message).is_some_and(is_claim);
        let mark = self
            .marks
            .of_request(bytes, message, MarkedValue::default());
        let mark = mark.filter(|_| !is_false);
        // P-17
        let scheme = if pass.plan.is_secure(pass.request) {
            "sips:"
        } else {
            "sip:"
        };
        let own = &mut pass.plan.record_route;
        for part in ["<", scheme] {
            own.extend_from_slice(part.as_bytes());
        }
        self.write_own(mark, own);
        own.push(b'>');
        pass.note_dialog(mark, None);
    }

    /// Binds what the neighbours of this home wrote into the Record-Route of a dialog to
    /// the flows of them.
    pub(super) fn bind_record_routes(
        &mut self,
        step: &mut Step<'_>,
        context: &Context,
        response: &Response<'_>,
    ) {
        let until = step.now + limits::STICK_RECORD_ROUTE;
        let dialog = dialog_of(step.net, response.bytes, response.message);
        // S-8: the neighbour downstream wrote the value just above our own.
        if let Some(uri) = self.above_own(step.net, response) {
            let uri = uri.of(response.bytes);
            // No request needs to have come by a flow that we opened ourselves.
            self.link(step, response.flow);
            let flow = response.flow;
            if !self.bind_in_dialog(step, flow, uri, dialog, until) {
                let bound = self.bind(step, flow, uri, Source::RecordRoute, until);
                self.share_bound(step.net, flow, uri, bound, until);
            }
        }
        // S-5: the neighbour upstream wrote the topmost value of the request;
        // ours stands above it in what went on.
        let Some(base) = context.request() else {
            return;
        };
        let value = if scan_again(base, &mut self.again).is_ok() {
            self.again.values(base, Name::RecordRoute).nth(1)
        } else {
            None
        };
        if let Some(value) = value
            && let Ok(address) = Address::parse(base, value)
        {
            let uri = address.uri.of(base);
            let flow = context.ingress.flow;
            if !self.bind_in_dialog(step, flow, uri, dialog, until) {
                let bound = self.bind(step, flow, uri, Source::RecordRoute, until);
                self.share_bound(step.net, flow, uri, bound, until);
            }
        }
    }

    /// The Record-Route value above our own; none where ours is not there.
    fn above_own(&self, net: &Net, response: &Response<'_>) -> Option<Span> {
        let bytes = response.bytes;
        let mut above = None;
        for value in response.message.values(bytes, Name::RecordRoute) {
            let uri = Uri::in_value(bytes, value).ok()?;
            if self.is_own(net, bytes, &uri) {
                return above;
            }
            above = Some(uri.whole);
        }
        None
    }
}
