//! Which flow a URI sticks to at this home: what links a domain to a flow, and what is
//! bound under the domain test.

use super::state::Home;
use crate::id::{Flow, Transport};
use crate::omit::Omit;
use crate::proxy::Step;
use crate::stick::{Bound, Dialog, Source, Table};
use crate::time::Instant;

impl Home {
    /// Links the cluster's domain to a flow that an edge is at the end of, once:
    /// without TLS there is no certificate to do it (S-12).
    pub(super) fn link(&mut self, step: &Step<'_>, flow: Flow) -> bool {
        let edge = self.is_edge(step.net, flow);
        if edge && step.net.flows.transport(flow) != Transport::Tls {
            self.stick.link(step.now, flow, &self.cluster, Source::Link);
            if flow.is_reliable() {
                self.returned(step, flow);
            }
        }
        edge
    }

    /// S-28: what stuck to an earlier connection to the same edge sticks to this
    /// one, now that it has shown who it is (S-29).
    fn returned(&mut self, step: &Step<'_>, flow: Flow) {
        if let Some(back) = step.net.flows.reconnect_target(flow) {
            self.stick.returned(step.now, flow, back);
        }
    }

    /// Links every domain that the certificate of a flow names to it.
    pub(super) fn link_certificate(&mut self, step: &Step<'_>, flow: Flow) {
        for domain in step.net.flows.identities(flow) {
            let domain = domain.as_bytes();
            self.stick.link(step.now, flow, domain, Source::Certificate);
        }
        self.returned(step, flow);
    }

    /// S-4, S-5, S-8: binds under the domain test.
    pub(super) fn bind(
        &mut self,
        step: &mut Step<'_>,
        flow: Flow,
        uri: &[u8],
        source: Source,
        until: Instant,
    ) -> Bound {
        bind(
            &mut self.stick,
            &self.cluster,
            step,
            flow,
            uri,
            source,
            until,
        )
    }

    /// Binds an address in a Record-Route to the connection its dialog runs on;
    /// false when it is a name, or the flow no connection: what is sent to an
    /// address by UDP gets there anyway.
    pub(super) fn bind_in_dialog(
        &mut self,
        step: &mut Step<'_>,
        flow: Flow,
        uri: &[u8],
        dialog: Option<Dialog>,
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

/// Binds under the domain test: a URI of the cluster sticks only to a flow at whose
/// end an edge is known to be. What came of it is counted.
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
