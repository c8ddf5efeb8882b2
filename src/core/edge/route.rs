//! Where an edge sends every request but REGISTER: the decision table of
//! B-1 (RFC 5626 §5.3; H-5, H-10 to H-12).
//!
//! Whether a request goes out (from a phone) or in (to a phone) is decided by the flow it
//! came over and the token in its Route, never by a source port or the direction of the
//! dialog (O-3). What senders outside the cluster may do beyond that stands
//! in `allowed`. Decisions beyond the table:
//!
//! - A phone's own request whose token carries another edge's `maddr` is served
//!   here (D-E4 holds for REGISTER and for what comes from the home): sent on,
//!   it would arrive as if the cluster had vouched for it, and come back to the
//!   phone as an incoming request.
//! - A request from a home or another edge is for a phone, and names it by a token: an edge
//!   forwards nothing else for them, or anybody could have it sent by way of the home.

use super::own_routes::RouteKind;
use super::record_route::Direction;
use super::relay::no_flow;
use super::state::Edge;
use super::{BadToken, Token};
use crate::guard::SourceLimit;
use crate::id::Flow;
use crate::omit::Omit;
use crate::proxy::{Pass, Reply, Step, Target, Verdict};
use crate::recorder::{Decision, FlowLack, PhoneFlow};
use crate::scan::Method;
use crate::send::Hop;
use crate::span::Span;
use crate::trust::{Ingress, Principal};

impl Edge {
    /// Routes a request other than a REGISTER by what its first Route values name.
    pub(super) fn route_call(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        let Ingress { principal, .. } = pass.request.ingress;
        let mut token = Token::new();
        let kind = self.find_own(pass, &mut token);
        let token = &token;
        match kind {
            // The flow token is of an earlier run of this edge, but what the phone itself sends
            // goes on by its next Route and needs no flow: its calls go on after a restart.
            RouteKind::Bad(BadToken::Stale)
                if !principal.is_cluster_node() && pass.next_route().is_some() =>
            {
                self.outgoing(pass, token)
            }
            RouteKind::Bad(BadToken::Stale) => {
                let refreshed = if principal.is_cluster_node() {
                    self.refreshed_flow(pass, token)
                } else {
                    None
                };
                match refreshed {
                    Some(flow) => self.incoming(pass, flow, PhoneFlow::Refreshed, token),
                    None => no_flow(pass, FlowLack::OlderRun),
                }
            }
            RouteKind::Bad(bad) => {
                pass.net.counters.bad_tokens += 1;
                let (status, _) = bad.answer();
                Verdict::refuse(status, "Token Not Valid Here")
            }
            RouteKind::Elsewhere(index) if principal == Principal::Home => {
                self.forward_to(pass, index)
            }
            // A home sends a request on to the edge that its `maddr` names (above). From anybody
            // else it is served here by its token, whatever edge `maddr` names: the edge that a
            // redirect named relays it to another edge, whose 430 then says that none of them has
            // the flow (H-12).
            RouteKind::Elsewhere(_) if !token.is_empty() => self.with_token(pass, token),
            RouteKind::Elsewhere(_) if principal == Principal::Edge => {
                Verdict::refuse(482, "Relayed Twice Between Edges")
            }
            RouteKind::Token => self.with_token(pass, token),
            RouteKind::Flow { flow, shard } => self.with_flow(pass, flow, shard, token),
            RouteKind::Elsewhere(_)
            | RouteKind::Cluster
            | RouteKind::Address
            | RouteKind::Sibling
            | RouteKind::Foreign => self.plain(pass, token),
        }
    }

    fn with_token(&mut self, pass: &mut Pass<'_, '_>, token: &Token) -> Verdict {
        let Ingress {
            principal,
            flow,
            handed,
            ..
        } = pass.request.ingress;
        if token.is_anonymous() {
            // D-E15
            pass.net.counters.bad_tokens += 1;
            return Verdict::refuse(403, "Token Names No User");
        }
        let subscriber = token.subscriber();
        let table = &self.flow_bindings;
        let here = table
            .flow_of(pass.now, &subscriber, None)
            .filter(|flow| pass.net.flows.lives(*flow));
        if !principal.is_cluster_node() {
            // A further Route, a registration over this very flow or a mark for the phone's side
            // show that the token is the sender's own and the request leaves the phone. Without a
            // registration here the phone's address has changed, or this edge was restarted.
            if pass.next_route().is_some()
                || table.has_flow(pass.now, flow, &subscriber)
                || self.shown(pass).leads_on
            {
                return self.outgoing(pass, token);
            }
            if let Some(verdict) = self.admit_roaming(pass) {
                return verdict;
            }
        }
        if let Some(flow) = self.refreshed_flow(pass, token) {
            return self.incoming(pass, flow, PhoneFlow::Refreshed, token);
        }
        if here.is_none()
            && let Some(shard) = self.holder(&pass.step(), &subscriber, handed)
        {
            return Verdict::HandOver(shard);
        }
        let bare = match here {
            Some(_) => None,
            None => self.flow_beside_token(pass.request, pass.plan.pop),
        };
        // No registration, but the flow token beside the token names the flow: the shard of that
        // flow knows whether it lives. `handed` may be 1 by now, since the directory was asked first.
        if let Some((_, shard)) = bare
            && pass.net.shard_set.is_other(shard)
            && handed < 2
        {
            return Verdict::HandOver(shard);
        }
        let bare = bare.map(|(flow, _)| flow);
        let bare = bare.filter(|flow| pass.net.flows.lives(*flow));
        match here.or(bare) {
            Some(flow) => {
                let why = match here {
                    Some(_) => PhoneFlow::Registered,
                    None => PhoneFlow::FlowToken,
                };
                let verdict = self.incoming(pass, flow, why, token);
                self.add_silence_standbys(pass, flow, token);
                verdict
            }
            // The edge that sent it tries the other edges itself: relayed on, it would go in circles.
            None if principal == Principal::Edge && !pass.net.omit.leaves_out(Omit::RelayMark) => {
                no_flow(pass, FlowLack::NotHere)
            }
            None => match self.redirect(pass, token) {
                Some(verdict) => verdict,
                None => self.relay(pass, token),
            },
        }
    }

    fn with_flow(
        &mut self,
        pass: &mut Pass<'_, '_>,
        flow: Flow,
        shard: u8,
        token: &Token,
    ) -> Verdict {
        let Ingress {
            principal, handed, ..
        } = pass.request.ingress;
        if principal.is_cluster_node()
            && let Some(flow) = self.refreshed_flow(pass, token)
        {
            return self.incoming(pass, flow, PhoneFlow::Refreshed, token);
        }
        // The token names the shard, so it is handed over once at most.
        if pass.net.shard_set.is_other(shard) && handed == 0 {
            return Verdict::HandOver(shard);
        }
        // A phone shows the flow token of its own flow: the request leaves it.
        if flow == pass.request.ingress.flow {
            return self.outgoing(pass, token);
        }
        if !principal.is_cluster_node() {
            if pass.next_route().is_some() || self.shown(pass).leads_on {
                return self.outgoing(pass, token);
            }
            if let Some(verdict) = self.admit_roaming(pass) {
                return verdict;
            }
            if let Some(flow) = self.refreshed_flow(pass, token) {
                return self.incoming(pass, flow, PhoneFlow::Refreshed, token);
            }
        }
        if pass.net.flows.lives(flow) {
            self.incoming(pass, flow, PhoneFlow::FlowToken, token)
        } else {
            no_flow(pass, FlowLack::Closed)
        }
    }

    /// The refusal of a request for the phone of a token that comes from an unknown flow; `None`
    /// where it may pass: it shows the mark of its dialog, and its source is within the rate for
    /// such requests (B-1).
    fn admit_roaming(&self, pass: &mut Pass<'_, '_>) -> Option<Verdict> {
        if !pass.request.in_dialog() {
            return Some(self.reject_foreign_token(pass));
        }
        if !self.shown(pass).any {
            pass.net.counters.unmarked += 1;
            return Some(self.reject_foreign_token(pass));
        }
        let refused = !may_roam(pass);
        refused.then(|| Verdict::refuse(503, "Too Many Requests From Your Address"))
    }

    /// B-9: whoever has read a token in a call can reach nobody with it: 403. An edge that has
    /// not resolved its homes yet cannot tell them from strangers: the sender may be a home, and
    /// gets 430 so that it tries the phone's other flow (H-12).
    fn reject_foreign_token(&self, pass: &mut Pass<'_, '_>) -> Verdict {
        if self.homes.are_known() {
            pass.not_allowed("Token Of Another Flow")
        } else {
            no_flow(pass, FlowLack::HomesUnknown)
        }
    }

    /// Routes a request without a token: from outside it goes to the home, or by its next Route;
    /// from a home or an edge there is no telling which flow it is for: 404.
    fn plain(&mut self, pass: &mut Pass<'_, '_>, token: &Token) -> Verdict {
        let is_ping =
            pass.request.message.method() == Method::Options && pass.next_route().is_none();
        if is_ping && self.is_for_us(pass) {
            pass.plan.lines.extend_from_slice(
                b"Accept: application/sdp\r\nSupported: path, outbound, sticky\r\n",
            );
            return Verdict::Answer(Reply::stateless(200, "OK"));
        }
        if pass.request.ingress.principal.is_cluster_node() {
            return Verdict::refuse(404, "No Flow Is Named In The Route");
        }
        self.outgoing(pass, token)
    }

    /// Whether the Request-URI is the edge itself, as that of an OPTIONS ping is (S-32).
    fn is_for_us(&self, pass: &Pass<'_, '_>) -> bool {
        let Some(uri) = pass.request.message.target() else {
            return false;
        };
        let kind = self.classify(pass.net, pass.request.bytes, uri, &mut Token::new());
        matches!(kind, RouteKind::Cluster | RouteKind::Address)
    }

    /// Sends a request to the phone, over its flow and no other (RFC 5626 §5.3.1).
    fn incoming(
        &self,
        pass: &mut Pass<'_, '_>,
        flow: Flow,
        why: PhoneFlow,
        token: &Token,
    ) -> Verdict {
        pass.net.decided_on(flow, Decision::ToPhone(why));
        pass.plan.targets.push(Target::at(Hop::Flow(flow)));
        pass.plan.is_leaving = true;
        pass.plan.is_datagram = matches!(flow, Flow::Udp { .. });
        let home = Hop::Flow(pass.request.ingress.flow);
        self.record_route(pass, flow, home, Direction::In, token);
        Verdict::Forward
    }

    /// Sends a request from outside on by its next Route, or to the home where there is none.
    fn outgoing(&mut self, pass: &mut Pass<'_, '_>, token: &Token) -> Verdict {
        let bytes = pass.request.bytes;
        let is_stranger = pass.request.ingress.principal == Principal::Stranger;
        let next = pass.next_route().map(|route| route.uri);
        match next {
            Some(None) => return Verdict::refuse(400, "Malformed Route"),
            Some(Some(uri)) if !self.is_home(pass.net, bytes, &uri) => {
                match self.way_out(pass, &uri) {
                    Ok(hop) => pass.plan.targets.push(Target::at(hop)),
                    Err(verdict) => return verdict,
                }
                pass.plan.is_leaving = true;
            }
            Some(Some(_)) | None => {
                // The mark admits a stranger into its dialog: a phone whose registration an edge
                // has lost, or the far side of a call that was let in before.
                let is_marked = is_stranger && pass.request.in_dialog() && self.shown(pass).any;
                if is_marked {
                    self.prove_by_mark(pass);
                } else if is_stranger && let Some(verdict) = self.stranger_refusal(pass) {
                    return verdict;
                }
                self.plan_home(pass, next.flatten().map(|uri| uri.whole));
            }
        }
        self.note_refresh(pass, token);
        if let Some(hop) = pass.plan.targets.first().map(|target| target.hop) {
            let flow = pass.request.ingress.flow;
            self.record_route(pass, flow, hop, Direction::Out, token);
        }
        Verdict::Forward
    }

    /// Takes a mark over the flow token of the flow it came over as proof that its source
    /// receives there, since it was sent to that flow alone: the guard then lets the source have
    /// more than it has sent, as a registered phone.
    fn prove_by_mark(&self, pass: &mut Pass<'_, '_>) {
        let Ingress { flow, source, .. } = pass.request.ingress;
        let is_datagram = matches!(flow, Flow::Udp { .. });
        if is_datagram && self.names_its_flow(pass.request, pass.plan.pop) {
            pass.net.guard.in_dialog(pass.now, source.ip());
        }
    }

    /// Sends a request to the homes; `next` is the Route value that names them, if any.
    fn plan_home(&mut self, pass: &mut Pass<'_, '_>, next: Option<Span>) {
        if next.is_none() && !pass.plan.restore_uri {
            // P-8: only a `maddr` of ours goes; any other is for the home to follow.
            if let Some(uri) = pass.request.message.target() {
                pass.plan.strip_maddr(&pass.net.flows, pass.request, uri);
            }
        }
        if pass.request.ingress.principal == Principal::Carrier {
            self.remove_disowned_identities(pass);
        }
        self.assert_identity(pass, pass.request.ingress.flow);
        let target = next.unwrap_or_else(|| pass.request.message.request_uri());
        let target = target.of(pass.request.bytes);
        let step = &mut Step::new(pass.net, pass.now);
        self.plan_homes(step, target, pass.plan);
    }
}

/// B-1: whether the source of a request from an unknown flow is within its rate for requests
/// into dialogs.
fn may_roam(pass: &mut Pass<'_, '_>) -> bool {
    let ip = pass.request.ingress.source.ip();
    let may = pass.net.guard.admit(pass.now, ip, SourceLimit::Roaming);
    pass.net.counters.limited += u64::from(!may);
    if !may {
        pass.plan.add_retry_after(0, &mut pass.net.secrets);
    }
    may
}
