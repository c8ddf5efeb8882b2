//! How this home learns which flow a URI sticks to: what links a domain to a flow, and what
//! is bound under the domain test.

use super::state::Home;
use crate::id::{Flow, Transport};
use crate::omit::Omit;
use crate::proxy::Step;
use crate::stick::{Bound, DialogHash, Source, Table};
use crate::time::Instant;

impl Home {
    /// Links the cluster's domain to a flow at whose end an edge is (S-12).
    pub(super) fn link_edge(&mut self, step: &Step<'_>, flow: Flow) {
        // Over TLS the certificate links it (`link_certificate`).
        if step.net.flows.transport(flow) != Transport::Tls && self.is_edge(step.net, flow) {
            self.stick.link(step.now, flow, &self.cluster, Source::Link);
            if flow.is_reliable() {
                self.rebind_to_new_connection(step, flow);
            }
        }
    }

    /// Links every domain that the certificate of a flow names to it.
    pub(super) fn link_certificate(&mut self, step: &Step<'_>, flow: Flow) {
        for domain in step.net.flows.identities(flow) {
            let domain = domain.as_bytes();
            self.stick.link(step.now, flow, domain, Source::Certificate);
        }
        self.rebind_to_new_connection(step, flow);
    }

    /// S-28: what stuck to an earlier connection to an edge sticks to this one, now that the
    /// same edge has shown itself at its end (S-29).
    fn rebind_to_new_connection(&mut self, step: &Step<'_>, flow: Flow) {
        if let Some(edge) = step.net.flows.reconnect_target(flow) {
            self.stick.returned(step.now, flow, edge);
        }
    }

    /// Binds a URI to a flow under the domain test (S-4, S-5, S-8), and counts what came of
    /// it.
    pub(super) fn bind(
        &mut self,
        step: &mut Step<'_>,
        flow: Flow,
        uri: &[u8],
        source: Source,
        until: Instant,
    ) -> Bound {
        let Self { stick, cluster, .. } = self;
        bind(stick, cluster, step, flow, uri, source, until)
    }

    /// Binds an address in a Record-Route to the connection its dialog runs on. False when
    /// nothing was bound: the URI has a name, or the flow is no connection, and what is sent
    /// to an address by UDP gets there anyway.
    pub(super) fn bind_in_dialog(
        &mut self,
        step: &mut Step<'_>,
        flow: Flow,
        uri: &[u8],
        dialog: Option<DialogHash>,
        until: Instant,
    ) -> bool {
        let Some(dialog) = dialog.filter(|_| flow.is_reliable()) else {
            return false;
        };
        let bound = self.stick.bind_dialog(step.now, flow, uri, dialog, until);
        step.net.counters.stick_bound += u64::from(bound == Bound::New);
        matches!(bound, Bound::New | Bound::Refreshed)
    }
}

/// Binds a URI to a flow under the domain test, and counts what came of it: a URI of the
/// cluster sticks only to a flow at whose end an edge is known to be. A function of the
/// table, for callers that read the bindings of the location service at the same time.
pub(super) fn bind(
    stick: &mut Table,
    cluster: &[u8],
    step: &mut Step<'_>,
    flow: Flow,
    uri: &[u8],
    source: Source,
    until: Instant,
) -> Bound {
    if step.net.omit.leaves_out(Omit::DomainTest) {
        stick.link(step.now, flow, cluster, Source::Link);
    }
    let bound = stick.bind(step.now, flow, uri, source, until);
    step.net.counters.bound(bound);
    bound
}
