//! The Record-Route of this home (H-17), and what it learns from those of its neighbours.

use super::dialog::dialog_of;
use super::state::Home;
use crate::id::Flow;
use crate::limits;
use crate::proxy::{Context, Net, Pass, Response, Step};
use crate::scan::address::Address;
use crate::scan::{Method, Name, scan_again};
use crate::span::Span;
use crate::stick::{DialogHash, Source};
use crate::trust::mark::{Mark, MarkedValue, Next, write_param};
use crate::uri::Uri;

impl Home {
    /// Appends the URI of this home without its scheme: the domain with `lr`, the name of the
    /// home where it has one, and the mark of a dialog. The parameter with the name makes
    /// it another URI than those of the other homes, and still one that equals the domain's
    /// (RFC 3261 §19.1.4, as with H-5).
    pub(super) fn write_own_uri(&self, mark: Option<Mark>, out: &mut Vec<u8>) {
        for part in [&self.settings.domain, ";lr"] {
            out.extend_from_slice(part.as_bytes());
        }
        write_param(self.settings.name.as_bytes(), mark, out);
    }

    /// Puts our Record-Route into the plan: the domain itself, on any transport (H-17).
    pub(super) fn record_route(&self, pass: &mut Pass<'_, '_>) {
        let method = pass.request.message.method();
        // A method that we do not know may form a dialog, too.
        if !method.forms_dialog() && method != Method::Other {
            return;
        }
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        // Nobody but an edge has a URI of the cluster for its own. Whoever else
        // claims one would have the called side's requests go there, past the
        // services of this home: no mark proves such a dialog.
        let names_edge = |next: Next<'_>| self.is_uri_of_edge(next.uri());
        let is_peer = pass.request.ingress.principal.is_cluster_node();
        let is_false = !is_peer && Next::behind(bytes, message).is_some_and(names_edge);
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
        self.write_own_uri(mark, own);
        own.push(b'>');
        pass.note_dialog(mark, None);
    }

    /// Binds the Record-Route of each neighbour in a dialog that was accepted to the
    /// neighbour's flow.
    pub(super) fn bind_record_routes(
        &mut self,
        step: &mut Step<'_>,
        context: &Context,
        response: &Response<'_>,
    ) {
        let dialog = dialog_of(step.net, response.bytes, response.message);
        // S-8: the neighbour downstream wrote the value just above our own.
        if let Some(uri) = self.value_above_own(step.net, response) {
            // We may have opened this flow, so that no request has come by it and linked it.
            self.link_edge(step, response.flow);
            let uri = uri.of(response.bytes);
            self.bind_record_route(step, response.flow, uri, dialog);
        }
        // S-5: the neighbour upstream wrote the topmost value of the request;
        // ours stands above it in what went on.
        let Some(base) = context.request() else {
            return;
        };
        let value = if scan_again(base, &mut self.rescanned).is_ok() {
            self.rescanned.values(base, Name::RecordRoute).nth(1)
        } else {
            None
        };
        if let Some(value) = value
            && let Ok(address) = Address::parse(base, value)
        {
            let uri = address.uri.of(base);
            self.bind_record_route(step, context.ingress.flow, uri, dialog);
        }
    }

    /// Binds one Record-Route to the flow of whoever wrote it: an address within its dialog, a
    /// name under the domain test, on every shard.
    fn bind_record_route(
        &mut self,
        step: &mut Step<'_>,
        flow: Flow,
        uri: &[u8],
        dialog: Option<DialogHash>,
    ) {
        let until = step.now + limits::STICK_RECORD_ROUTE;
        if !self.bind_in_dialog(step, flow, uri, dialog, until) {
            let bound = self.bind(step, flow, uri, Source::RecordRoute, until);
            self.share_bound(step.net, flow, uri, bound, until);
        }
    }

    /// The URI in the Record-Route value above our own; none where ours is the topmost or is
    /// not there.
    fn value_above_own(&self, net: &Net, response: &Response<'_>) -> Option<Span> {
        let bytes = response.bytes;
        let mut above = None;
        for value in response.message.values(bytes, Name::RecordRoute) {
            let uri = Uri::in_value(bytes, value).ok()?;
            if self.is_own_uri(net, bytes, &uri) {
                return above;
            }
            above = Some(uri.whole);
        }
        None
    }
}
