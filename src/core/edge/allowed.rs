//! What senders outside the cluster may do: the table "Who may do what" of the README, row by
//! row, and the identity that the edge asserts to the home.
//!
//! - A request of a subscriber goes to the home, whatever it is for, with an
//!   assertion of the subscriber's identity (RFC 3325); past the home only where the operator
//!   allows it, or where the dialog already leads.
//! - A request with the mark of its dialog goes on by the recorded route.
//! - A request of a stranger goes to the home, if the operator allows it, and nowhere else.

use super::flow_bindings::User;
use super::state::Edge;
use crate::grammar::params;
use crate::id::Flow;
use crate::omit::Omit;
use crate::proxy::{Net, Pass, Trust, Verdict};
use crate::scan::Method;
use crate::send::Hop;
use crate::trust::mark::Shown;
use crate::trust::{Principal, Strangers, identity};
use crate::uri::{Scheme, Uri, host_ip, same_host};

impl Edge {
    /// Which marks of its dialog a request has in our Route values.
    pub(super) fn shown(&self, pass: &mut Pass<'_, '_>) -> Shown {
        if pass.net.omit.leaves_out(Omit::EdgeMark) {
            return Shown {
                any: true,
                leads_on: true,
            };
        }
        pass.shown(&self.marks)
    }

    /// The refusal of a stranger's request that is for the homes; `None` where it may go there.
    pub(super) fn stranger_refusal(&self, pass: &mut Pass<'_, '_>) -> Option<Verdict> {
        // The ACK to a refusal of ours ends here; any other is within a dialog, and needs its mark.
        let is_ack = pass.request.message.method() == Method::Ack;
        if is_ack || pass.request.in_dialog() {
            pass.net.counters.unmarked += 1;
            return Some(pass.not_allowed("Not In A Dialog Of Ours"));
        }
        // Emergency calls are let in from anybody, and marked for the home as a guest's.
        if pass.request.is_emergency() {
            pass.plan.is_guest = true;
            return None;
        }
        if !self.serves(pass) {
            return Some(pass.not_allowed("Domain Not Served Here"));
        }
        match self.settings.rules.strangers {
            Strangers::Refuse => {
                pass.net.counters.strangers_refused += 1;
                Some(pass.not_allowed("Register First"))
            }
            Strangers::Challenge => None,
            Strangers::Answer => {
                pass.plan.is_guest = true;
                None
            }
        }
    }

    /// Removes what a carrier asserts of users of the domains that are served here: it vouches
    /// for its own users alone.
    pub(super) fn remove_disowned_identities(&self, pass: &mut Pass<'_, '_>) {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let is_served = |uri: &Uri| self.is_served(bytes, uri);
        let disowned = identity::disowned(bytes, message, is_served);
        pass.plan.consumed.extend(disowned);
        pass.plan.is_guest = true;
    }

    /// Asserts to the home which subscriber sent the request (RFC 3325 §5), where the flow
    /// proves it.
    pub(super) fn assert_identity(&self, pass: &mut Pass<'_, '_>, flow: Flow) {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let method = message.method();
        if pass.request.ingress.principal != Principal::Subscriber || method == Method::Ack {
            return;
        }
        // Over UDP the source may be forged: without an assertion the home challenges the sender.
        let begins = matches!(method, Method::Invite | Method::Message);
        if begins && self.settings.rules.challenges_udp_calls && !flow.is_reliable() {
            return;
        }
        let preferred = identity::preferred(bytes, message);
        let preferred = preferred.and_then(|value| Uri::in_value(bytes, value).ok());
        let named = preferred.or_else(|| pass.uri_of_from());
        let claim = named.map(|uri| {
            let name = uri.user.unwrap_or_default().of(bytes);
            let realm = uri.host.of(bytes);
            User { name, realm }
        });
        let claim = claim.unwrap_or_default();
        let Some(found) = self.flow_bindings.on_flow(pass.now, flow, claim) else {
            return;
        };
        // The subscriber may have been revoked while this edge was down; a mark shows that the
        // dialog was let in before. A To tag would show nothing.
        if found.is_restored && !self.shown(pass).any {
            return;
        }
        identity::assert(&[found.aor], &mut pass.plan.lines);
    }

    /// True when a Route value is for the home: it names a served domain, the address of a home,
    /// or the cluster again, which is of another edge that only the home can find.
    pub(super) fn is_home(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        self.is_served(bytes, uri) && self.stays_at_host(net, bytes, uri)
            || self.settings.is_cluster(uri.host.of(bytes))
    }

    /// True when the host is a served domain or where a home listens.
    pub(super) fn is_served(&self, bytes: &[u8], uri: &Uri) -> bool {
        let host = uri.host.of(bytes);
        let is_home_at = |ip| self.homes.listens(ip, port_of(bytes, uri));
        matches!(uri.scheme, Scheme::Sip | Scheme::Sips)
            && (self.is_name_of_home(host) || host_ip(host).is_some_and(is_home_at))
    }

    /// True for a served domain, and for a name by which the homes are known.
    pub(super) fn is_name_of_home(&self, host: &[u8]) -> bool {
        let mut domains = self.settings.home_domains.iter();
        domains.any(|domain| same_host(host, domain.as_bytes())) || self.homes.has_name(host)
    }

    /// True when the request ends at the home: the home serves its Request-URI, and no further
    /// Route leads elsewhere.
    fn serves(&self, pass: &Pass<'_, '_>) -> bool {
        let bytes = pass.request.bytes;
        let routes = pass.request.message.routes();
        let uri = if pass.plan.restore_uri {
            routes.last().and_then(|last| last.uri.as_ref())
        } else {
            pass.request.message.target()
        };
        let next = usize::from(pass.next_route().is_some());
        let passes = next + pass.plan.pop + usize::from(pass.plan.restore_uri);
        routes.len() <= passes
            && uri.is_some_and(|uri| {
                self.is_served(bytes, uri) && self.stays_at_host(pass.net, bytes, uri)
            })
    }

    /// False when a `maddr` leads away from the host of the URI (P-8).
    pub(super) fn stays_at_host(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        let Some(maddr) = uri.param(bytes, "maddr") else {
            return true;
        };
        let ip = maddr.and_then(|maddr| host_ip(maddr.of(bytes)));
        let port = port_of(bytes, uri);
        ip.is_some_and(|ip| net.flows.is_local(ip, port) || self.homes.listens(ip, port))
    }

    /// The hop of a Route value that is not the home's.
    ///
    /// # Errors
    /// The refusal, unless the operator allows the sender's calls there (`calls_out`) or its
    /// dialog leads there.
    pub(super) fn way_out(&self, pass: &mut Pass<'_, '_>, uri: &Uri) -> Result<Hop, Verdict> {
        let bytes = pass.request.bytes;
        let ingress = &pass.request.ingress;
        // A binding of an earlier run is not enough: its subscriber may have been revoked since.
        let may_call = ingress.principal == Principal::Subscriber
            && self.flow_bindings.is_fresh(pass.now, ingress.flow)
            && self.settings.rules.calls_out.permit(bytes, uri);
        if !may_call && !self.shown(pass).leads_on {
            return Err(pass.not_allowed("Route Leaves The Network"));
        }
        let Some(hop) = pass.net.hop(pass.now, bytes, uri) else {
            return Err(Verdict::refuse(404, "Next Hop Cannot Be Resolved"));
        };
        if let Hop::To { addr, .. } = hop {
            // What an edge sends counts as vouched for, which a phone's own Route must not be.
            if self.is_cluster_node(pass.net, hop) {
                return Err(pass.not_allowed("Route Leads To A Peer"));
            }
            if !pass.net.permits(addr) {
                return Err(pass.not_allowed("Destination Not Allowed"));
            }
        }
        Ok(hop)
    }
}

/// The port that a URI leads to.
fn port_of(bytes: &[u8], uri: &Uri) -> u16 {
    let transport = params::find(bytes, uri.params, "transport").flatten();
    let is_tls = uri.scheme == Scheme::Sips
        || transport.is_some_and(|named| named.of(bytes).eq_ignore_ascii_case(b"tls"));
    uri.port.unwrap_or(if is_tls { 5061 } else { 5060 })
}
