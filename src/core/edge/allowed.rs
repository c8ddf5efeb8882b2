//! What senders outside the cluster may do: the table "Who may do what" of the README, row by
//! row, and the identity that the edge asserts to the home.
//!
//! - A request of a subscriber goes to the home, whatever it is for, with an
//!   assertion of the subscriber's identity (RFC 3325); past the home only where the operator
//!   allows it, or where the dialog already leads.
//! - A request with the mark of its dialog goes on by the recorded route.
//! - A request of a stranger goes to the home, if the operator allows it, and nowhere else.

use std::net::SocketAddr;

use super::flow_bindings::User;
use super::state::Edge;
use crate::id::Flow;
use crate::omit::Omit;
use crate::proxy::{Pass, Verdict};
use crate::scan::Method;
use crate::send::Hop;
use crate::trust::mark::Shown;
use crate::trust::{Principal, Strangers, identity};
use crate::uri::Uri;

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
            if self.origin_of(pass.net, hop).is_ours() {
                return Err(pass.not_allowed("Route Leads To A Peer"));
            }
            if !pass.net.permits(addr) {
                return Err(pass.not_allowed("Destination Not Allowed"));
            }
        }
        Ok(hop)
    }

    /// False for addresses that no outsider may have us send to: those of another edge, which
    /// would take what an edge sends as vouched for, and ports of a home that are none of its
    /// listeners.
    pub(super) fn may_outsider_reach(&self, addr: SocketAddr) -> bool {
        let (ip, port) = (addr.ip().to_canonical(), addr.port());
        if self.homes.has(ip) && !self.is_member(ip, port) {
            return self.homes.listens(ip, port);
        }
        let mut members = self.settings.members.iter();
        !members.any(|member| member.has(ip))
    }
}
