//! Where an edge sends everything but REGISTER: the decision table of
//! protocol 2.4 (RFC 5626 §5.3; H-5, H-10 to H-12).
//!
//! Outgoing or incoming is decided by identity: the flow a request came on and
//! the token in its Route, never by a source port or the direction of the
//! dialog (protocol 3.4). Decisions beyond the table:
//!
//! - A phone's own request whose token carries another edge's `maddr` is served
//!   here (D-E4 holds for REGISTER and for what comes from the home): sent on,
//!   it would arrive as if the cluster had vouched for it, and come back to the
//!   phone as an incoming request.
//! - The edge is the gate of the network. Subscribers may go anywhere; a request
//!   inside a dialog with one of our tokens may go to the home, since a phone
//!   whose address changed still has calls; everyone else reaches the
//!   subscribers of the served domains through the home, and nothing else.

use super::BadToken;
use super::homes::push_in_order;
use super::own::Mine;
use super::policy::{Edge, Origin};
use super::record_route::Way;
use crate::guard::Kind;
use crate::id::Flow;
use crate::omit::Omit;
use crate::proxy::{Net, Plan, Reply, Request, Target, Verdict};
use crate::scan::uri::{Scheme, Uri, host_ip, same_host};
use crate::scan::{Method, Route};
use crate::send::Hop;
use crate::time::Instant;

/// A request on its way through the edge, with what is known of it.
pub(super) struct Pass<'a, 'b> {
    pub(super) net: &'a mut Net,
    pub(super) now: Instant,
    pub(super) request: &'a Request<'b>,
    pub(super) plan: &'a mut Plan,
    /// Who sent it.
    pub(super) origin: Origin,
    /// Route values follow those of ours.
    more: bool,
}

/// How far an outgoing request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// It came on a subscriber's flow, or from the home.
    Subscriber,
    /// It is part of a dialog that one of our tokens was made for.
    Dialog,
    /// Anybody.
    Stranger,
}

impl Edge {
    /// Routes a request.
    pub(super) fn call(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
    ) -> Verdict {
        let origin = self.origin(net, request.flow).or_phone();
        let own = self.own_routes(net, request);
        plan.pop = own.count;
        let mut what = own.what;
        if let Some(mine) = self.strict(net, request, own) {
            // P-7: a strict router upstream left our own value in the Request-URI.
            plan.restore_uri = true;
            what = mine;
        }
        let routes = request.message.routes();
        let more = routes.len() > plan.pop + usize::from(plan.restore_uri);
        let mut pass = Pass {
            net,
            now,
            request,
            plan,
            origin,
            more,
        };
        match what {
            // A phone keeps its calls when this edge has been restarted.
            Mine::Bad(BadToken::Stale) if origin == Origin::Phone && more => {
                let trust = pass.trust();
                self.outgoing(&mut pass, trust)
            }
            Mine::Bad(BadToken::Stale) => no_flow(&mut pass),
            Mine::Bad(bad) => {
                pass.net.counters.bad_tokens += 1;
                let (status, _) = bad.answer();
                refuse(status, "Token Not Valid Here")
            }
            Mine::Elsewhere(place) if origin == Origin::Home => self.forward_to(&mut pass, place),
            // The edge that a redirect named relays what names it to another one,
            // whose 430 then says that none of them has the flow (H-12).
            Mine::Elsewhere(_) if self.has_token() => self.with_token(&mut pass),
            Mine::Elsewhere(_) if origin == Origin::Edge => {
                refuse(482, "Relayed Twice Between Edges")
            }
            Mine::Token => self.with_token(&mut pass),
            Mine::Flow { shard, .. } if pass.net.team.is_other(shard) && request.handed == 0 => {
                Verdict::HandOver(shard)
            }
            Mine::Flow { flow, .. } => self.with_flow(&mut pass, flow),
            Mine::Elsewhere(_) | Mine::Cluster | Mine::Address | Mine::Sibling | Mine::Not => {
                self.plain(&mut pass, what)
            }
        }
    }

    /// Our own Record-Route value standing in the Request-URI of a request
    /// that still has routes.
    fn strict(&mut self, net: &Net, request: &Request<'_>, own: super::own::Own) -> Option<Mine> {
        let uri = request.message.target()?;
        let has_route = !request.message.routes().is_empty();
        if !has_route || own.what != Mine::Not || !uri.is_loose(request.bytes) {
            return None;
        }
        let mine = self.classify(net, request.bytes, uri);
        // Over TLS the address is `maddr` of our name (C-6).
        let is_ours = mine == Mine::Cluster && uri.param(request.bytes, "maddr").is_some();
        if is_ours || matches!(mine, Mine::Token | Mine::Flow { .. } | Mine::Address) {
            return Some(mine);
        }
        self.token.clear();
        None
    }

    fn with_token(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        if self.token.is_anonymous() {
            // D-E15
            pass.net.counters.bad_tokens += 1;
            return refuse(403, "Token Names No User");
        }
        let subscriber = self.token.subscriber();
        let table = &self.registrations;
        let here = table
            .flow_of(pass.now, &subscriber, None)
            .filter(|flow| pass.net.flows.lives(*flow));
        if pass.origin == Origin::Phone {
            if table.has_flow(pass.now, pass.request.flow, &subscriber) {
                return self.outgoing(pass, Trust::Subscriber);
            }
            if pass.more {
                // Its address changed, or this edge has forgotten it.
                return self.outgoing(pass, pass.trust());
            }
            if !pass.request.in_dialog() {
                return self.turned_away(pass);
            }
            if !pass.may_roam() {
                return refuse(503, "Too Many Requests From Your Address");
            }
        }
        if here.is_none()
            && let Some(shard) = self.holder(pass.net, pass.now, &subscriber, pass.request.handed)
        {
            return Verdict::HandOver(shard);
        }
        let bare = match here {
            Some(_) => None,
            None => self.bare_flow(pass.request, pass.plan.pop),
        };
        if let Some((_, shard)) = bare
            && pass.net.team.is_other(shard)
            && pass.request.handed == 0
        {
            return Verdict::HandOver(shard);
        }
        let bare = bare.map(|(flow, _)| flow);
        let bare = bare.filter(|flow| pass.net.flows.lives(*flow));
        match here.or(bare) {
            Some(flow) => self.incoming(pass, flow),
            None if pass.origin == Origin::Edge && !pass.net.omit.leaves_out(Omit::RelayMark) => {
                no_flow(pass)
            }
            None => match self.redirect(pass) {
                Some(verdict) => verdict,
                None => self.relay(pass),
            },
        }
    }

    fn with_flow(&mut self, pass: &mut Pass<'_, '_>, flow: Flow) -> Verdict {
        if flow == pass.request.flow {
            return self.outgoing(pass, pass.trust());
        }
        if pass.origin == Origin::Phone {
            if pass.more {
                return self.outgoing(pass, pass.trust());
            }
            if !pass.request.in_dialog() {
                return self.turned_away(pass);
            }
            if !pass.may_roam() {
                return refuse(503, "Too Many Requests From Your Address");
            }
        }
        if pass.net.flows.lives(flow) {
            self.incoming(pass, flow)
        } else {
            no_flow(pass)
        }
    }

    /// Protocol 2.3 item 9: a leaked token opens nothing. An edge that does not
    /// know yet where its homes are may have one before it, which is to try
    /// the phone's other flow (H-12).
    fn turned_away(&self, pass: &mut Pass<'_, '_>) -> Verdict {
        if self.homes.are_known() {
            refuse(403, "Token Of Another Flow")
        } else {
            no_flow(pass)
        }
    }

    /// No token: from a phone it goes out, from the core it has no flow to go to.
    fn plain(&mut self, pass: &mut Pass<'_, '_>, what: Mine) -> Verdict {
        let pings = pass.request.message.method() == Method::Options && !pass.more;
        if pings && self.is_for_us(pass) {
            pass.plan.lines.extend_from_slice(
                b"Accept: application/sdp\r\nSupported: path, outbound, sticky\r\n",
            );
            return Verdict::Answer(Reply::stateless(200, "OK"));
        }
        match pass.origin {
            Origin::Phone | Origin::Carrier => self.outgoing(pass, Trust::Stranger),
            Origin::Home if pass.more && what != Mine::Not => {
                self.outgoing(pass, Trust::Subscriber)
            }
            Origin::Home | Origin::Edge => refuse(404, "No Flow Is Named In The Route"),
        }
    }

    /// An OPTIONS to the edge itself: a ping (S-32).
    fn is_for_us(&mut self, pass: &Pass<'_, '_>) -> bool {
        let Some(uri) = pass.request.message.target() else {
            return false;
        };
        let what = self.classify(pass.net, pass.request.bytes, uri);
        self.token.clear();
        matches!(what, Mine::Cluster | Mine::Address)
    }

    /// H-12: another edge of the token may hold the flow. The Route stays, so
    /// that edge finds the token again; that it comes from an edge is the mark
    /// that ends the relaying there.
    fn relay(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        let set = self.token_set();
        pass.plan.pop = 0;
        pass.plan.restore_uri = false;
        for is_down in [false, true] {
            for place in set.iter().filter(|place| *place != self.own) {
                let hop = self.member_hop(pass.net, place, pass.request.flow);
                if let Some(hop) = hop.filter(|hop| pass.net.is_down(pass.now, *hop) == is_down) {
                    push_in_order(pass.plan, hop);
                }
            }
        }
        if pass.plan.targets.is_empty() {
            return no_flow(pass);
        }
        // P-34: an edge without the flow would not say so.
        pass.plan.ack_all = true;
        pass.net.counters.relays += 1;
        Verdict::Forward
    }

    /// D-E4: the value names another edge; it goes there as it is.
    fn forward_to(&self, pass: &mut Pass<'_, '_>, place: usize) -> Verdict {
        pass.plan.pop = 0;
        pass.net.counters.relays += 1;
        let hop = self.member_hop(pass.net, place, pass.request.flow);
        pass.plan.targets.extend(hop.map(Target::at));
        Verdict::Forward
    }

    /// To the phone, over its flow and no other (RFC 5626 §5.3.1).
    fn incoming(&mut self, pass: &mut Pass<'_, '_>, flow: Flow) -> Verdict {
        pass.plan.targets.push(Target::at(Hop::Flow(flow)));
        self.record_route(pass, flow, Hop::Flow(pass.request.flow), Way::In);
        Verdict::Forward
    }

    /// From a phone: by its next Route, else to the home.
    fn outgoing(&mut self, pass: &mut Pass<'_, '_>, trust: Trust) -> Verdict {
        let bytes = pass.request.bytes;
        let is_subscriber = trust == Trust::Subscriber
            || pass.origin == Origin::Phone
                && self.registrations.is_used(pass.now, pass.request.flow);
        let next = pass.next_route().map(|route| route.uri);
        match next {
            Some(None) => return refuse(400, "Malformed Route"),
            Some(Some(uri)) if !self.is_home(bytes, &uri) => {
                if !is_subscriber {
                    return refuse(403, "Route Leaves The Network");
                }
                let Some(hop) = pass.net.hop(pass.now, bytes, &uri) else {
                    return refuse(404, "Next Hop Cannot Be Resolved");
                };
                if let Hop::To { addr, .. } = hop
                    && self.is_member(addr.ip(), addr.port())
                {
                    // What an edge sends counts as vouched for: never a phone's own route.
                    return refuse(403, "Route Leads To Another Edge");
                }
                pass.plan.targets.push(Target::at(hop));
            }
            Some(Some(_)) | None => {
                let within = match trust {
                    Trust::Subscriber => true,
                    // A dialog of ours leads back to the cluster; a To tag and
                    // a token that a guest once read open nothing else.
                    Trust::Dialog => self.leads_back(pass) || self.serves(pass),
                    Trust::Stranger => self.serves(pass),
                };
                if !within && !is_subscriber {
                    return refuse(403, "Domain Not Served Here");
                }
                if next.is_none() && !pass.plan.restore_uri {
                    // P-8; what is not ours is the home's to follow.
                    if let Some(uri) = pass.request.message.target() {
                        pass.net.strip_maddr(pass.request, uri, pass.plan);
                    }
                }
                let target = match next.flatten() {
                    Some(uri) => uri.whole,
                    None => pass.request.message.request_uri(),
                };
                self.plan_homes(pass.net, pass.now, target.of(bytes), pass.plan);
            }
        }
        if let Some(hop) = pass.plan.targets.first().map(|target| target.hop) {
            self.record_route(pass, pass.request.flow, hop, Way::Out);
        }
        Verdict::Forward
    }

    /// True when a Route value is the home's business: its domains, its
    /// addresses, and further values of the cluster, which only the home can
    /// tell the edges of.
    fn is_home(&self, bytes: &[u8], uri: &Uri) -> bool {
        self.is_served(bytes, uri)
            || same_host(uri.host.of(bytes), self.settings.cluster.as_bytes())
    }

    /// True when the host is a served domain or an address of a home.
    fn is_served(&self, bytes: &[u8], uri: &Uri) -> bool {
        let host = uri.host.of(bytes);
        let mut domains = self.settings.home_domains.iter();
        let homes = &self.homes;
        matches!(uri.scheme, Scheme::Sip | Scheme::Sips)
            && (domains.any(|domain| same_host(host, domain.as_bytes()))
                || homes.has_name(host)
                || host_ip(host).is_some_and(|ip| homes.has(ip)))
    }

    /// True when a later Route value is one of the cluster's: the edge it names
    /// checks its token.
    fn leads_back(&self, pass: &Pass<'_, '_>) -> bool {
        let bytes = pass.request.bytes;
        let later = pass.request.message.routes().iter().skip(pass.plan.pop);
        let mut uris = later.filter_map(|route| route.uri);
        let cluster = self.settings.cluster.as_bytes();
        uris.any(|uri| same_host(uri.host.of(bytes), cluster))
    }

    /// True when the request ends at the home: its Request-URI is one that the
    /// home serves, and nothing stands between.
    fn serves(&self, pass: &Pass<'_, '_>) -> bool {
        let bytes = pass.request.bytes;
        let routes = pass.request.message.routes();
        let uri = if pass.plan.restore_uri {
            routes.last().and_then(|last| last.uri.as_ref())
        } else {
            pass.request.message.target()
        };
        let passes = usize::from(pass.more) + pass.plan.pop + usize::from(pass.plan.restore_uri);
        routes.len() <= passes
            && uri.is_some_and(|uri| self.is_served(bytes, uri) && self.stays(pass.net, bytes, uri))
    }

    /// False when a `maddr` leads away from the host of the URI (P-8).
    fn stays(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        let Some(maddr) = uri.param(bytes, "maddr") else {
            return true;
        };
        let ip = maddr.and_then(|maddr| host_ip(maddr.of(bytes)));
        ip.is_some_and(|ip| net.flows.is_local(ip, uri.port.unwrap_or(5060)) || self.homes.has(ip))
    }
}

impl<'a> Pass<'a, '_> {
    /// What a valid token in the Route is worth on a flow that it is not for.
    fn trust(&self) -> Trust {
        if self.request.in_dialog() {
            Trust::Dialog
        } else {
            Trust::Stranger
        }
    }

    /// Protocol 2.4: a request from nowhere into a dialog passes, some of them.
    fn may_roam(&mut self) -> bool {
        let ip = self.request.source.ip();
        let may = self.net.guard.admit(self.now, ip, Kind::Roaming);
        self.net.counters.limited += u64::from(!may);
        if !may {
            self.net.retry_after(0, &mut self.plan.lines);
        }
        may
    }

    /// The first Route value that is not ours.
    fn next_route(&self) -> Option<&'a Route> {
        let request: &'a Request<'_> = self.request;
        let next = request.message.routes().get(self.plan.pop);
        next.filter(|_| self.more)
    }
}

/// The flow is gone and nobody else has it: 430 to the proxy (O-5).
fn no_flow(pass: &mut Pass<'_, '_>) -> Verdict {
    pass.net.counters.flows_failed += 1;
    refuse(430, "Flow Failed")
}

/// An answer that is kept; the proxy gives none to an ACK (P-34).
const fn refuse(status: u16, reason: &'static str) -> Verdict {
    Verdict::Answer(Reply::new(status, reason))
}
