//! Which of several homes a request goes to (S-14 to S-18 at the edge).
//!
//! Among homes that share a location service the configured order decides. Homes that do not
//! name themselves in their Service-Route and Record-Route (`name` in their configuration);
//! the edge binds those URIs to the flow it got them over, so that a phone's calls and their
//! further requests come to the home that knows them. When that home is dead they come to the
//! next one, since the URIs of two homes are equal by RFC 3261 §19.1.4. A REGISTER names the
//! domain alone: it goes by the configured order, and moves its phone to the first home that
//! is up.
//!
//! With one home there is nothing to choose, and nothing is bound here.

use super::Token;
use super::origin::Origin;
use super::own_routes::RouteKind;
use super::state::Edge;
use crate::grammar::params;
use crate::id::{Flow, Transport};
use crate::limits;
use crate::proxy::{Context, Net, Note, Plan, Response, Step, Target};
use crate::recorder::Decision;
use crate::scan::{Name, scan_again};
use crate::send::Hop;
use crate::span::Span;
use crate::stick::{Level, Reopen, Source};
use crate::time::Instant;
use crate::uri::Uri;

impl Edge {
    /// Links to the flow of a home the domains in its certificate, without TLS all domains that
    /// homes serve (S-2, S-12), and the URIs by which the DNS leads there (S-3). What was bound
    /// to an earlier connection to this home passes over to this one (S-28, S-29). False, and
    /// nothing done, where the flow is no home's or the home is the only one.
    pub(super) fn link_home(&mut self, step: &Step<'_>, flow: Flow) -> bool {
        if !self.homes.are_several() || self.origin(step.net, flow) != Origin::Home {
            return false;
        }
        let transport = step.net.flows.transport(flow);
        if transport == Transport::Tls {
            for domain in step.net.flows.identities(flow) {
                let domain = domain.as_bytes();
                self.stick.link(step.now, flow, domain, Source::Certificate);
            }
        } else {
            // Without a certificate its address shows that it is a home, and nothing shows which
            // domains are its: it may serve any of them.
            for domain in &self.settings.home_domains {
                self.stick
                    .link(step.now, flow, domain.as_bytes(), Source::Link);
            }
        }
        if let Some(peer) = step.net.flows.peer(flow) {
            for uri in self.homes.uris_of(step.net, step.now, transport, peer) {
                // Over TLS the certificate matched before the flow was up.
                self.stick.opened(step.now, flow, uri.as_bytes());
            }
        }
        if let Some(target) = step.net.flows.reconnect_target(flow) {
            self.stick.returned(step.now, flow, target);
        }
        true
    }

    /// S-7: binds the URI of the home that the phone is registered with: the value behind our own
    /// Path in the Service-Route of the 2xx.
    pub(super) fn stick_service_route(
        &mut self,
        step: &mut Step<'_>,
        token: &[u8],
        response: &Response<'_>,
        until: Instant,
    ) {
        if !self.homes.are_several() {
            return;
        }
        let bytes = response.bytes;
        let next = self.own_service_route(token, response).nth(1);
        if let Some(uri) = next.and_then(|value| Uri::in_value(bytes, value).ok()) {
            let uri = uri.whole.of(bytes);
            self.stick_home(step, response.flow, uri, Source::ServiceRoute, until);
        }
    }

    /// S-5, S-8: binds the home's Record-Route: above ours in the answer where the home is
    /// downstream, in the request where it is upstream.
    pub(super) fn stick_dialog(
        &mut self,
        step: &mut Step<'_>,
        context: &Context,
        response: &Response<'_>,
    ) {
        if !matches!(context.note, Note::Dialog(_)) || !self.homes.are_several() {
            return;
        }
        let (source, until) = (Source::RecordRoute, step.now + limits::STICK_RECORD_ROUTE);
        let mut above = None;
        let values = response.message.values(response.bytes, Name::RecordRoute);
        for value in values {
            if self.is_cluster_value(step.net, response.bytes, value) {
                break;
            }
            above = Some(value);
        }
        if let Some(uri) = above.and_then(|value| Uri::in_value(response.bytes, value).ok()) {
            let uri = uri.whole.of(response.bytes);
            self.stick_home(step, response.flow, uri, source, until);
        }
        let Some(base) = context.request() else {
            return;
        };
        let below = if scan_again(base, &mut self.rescanned).is_ok() {
            let mut values = self.rescanned.values(base, Name::RecordRoute);
            // The first that is not ours: in the request as it came, nothing of ours is on top.
            values.find(|value| !self.is_cluster_value(step.net, base, *value))
        } else {
            None
        };
        if let Some(uri) = below.and_then(|value| Uri::in_value(base, value).ok()) {
            let (flow, uri) = (context.ingress.flow, uri.whole.of(base));
            self.stick_home(step, flow, uri, source, until);
        }
    }

    /// Whether an edge of this cluster wrote the value.
    fn is_cluster_value(&self, net: &Net, bytes: &[u8], value: Span) -> bool {
        let Ok(uri) = Uri::in_value(bytes, value) else {
            return false;
        };
        self.classify(net, bytes, &uri, &mut Token::new()) != RouteKind::Foreign
    }

    fn stick_home(
        &mut self,
        step: &mut Step<'_>,
        flow: Flow,
        uri: &[u8],
        source: Source,
        until: Instant,
    ) {
        if !self.link_home(step, flow) {
            return;
        }
        let bound = self.stick.bind(step.now, flow, uri, source, until);
        step.net.counters.bound(bound);
    }

    /// Appends the homes as targets, in the configured order: homes that failed a moment ago come
    /// last, and a home that `uri` is bound to comes first (S-14, S-22, S-28).
    pub(super) fn plan_homes(&mut self, step: &mut Step<'_>, uri: &[u8], plan: &mut Plan) {
        self.homes.plan(step, plan);
        if !self.homes.are_several() || !may_name_one_home(uri) {
            return;
        }
        let lost = self.find_homes(step, uri);
        let sticks = !self.stuck.is_empty() || lost.is_some();
        step.net.decided(Decision::ToHome { sticks });
        if !sticks {
            return;
        }
        let sticks = |net: &Net, hop: Hop| match hop {
            Hop::To {
                transport, addr, ..
            } => {
                let mut stuck = self.stuck.iter();
                let is_there = |at| is_same_home(Reopen { transport, addr }, at);
                lost.is_some_and(is_there)
                    || stuck.any(|&flow| address_of(net, flow).is_some_and(is_there))
            }
            Hop::Flow(_) | Hop::Named(_) => false,
        };
        // A home that is down comes last even for its own dialogs. So few are sorted without
        // an allocation (insertion sort), and equals stay in the configured order.
        plan.targets.sort_by_key(|target| {
            let hop = target.hop;
            (step.net.is_down(step.now, hop), !sticks(step.net, hop))
        });
        // The bound home is none of the targets: it is known by name alone, or has connected to
        // us by itself.
        if !plan
            .targets
            .iter()
            .any(|target| sticks(step.net, target.hop))
        {
            let mut stuck = self.stuck.iter().map(|&flow| Hop::Flow(flow));
            if let Some(hop) = stuck.find(|hop| !step.net.is_down(step.now, *hop)) {
                plan.targets.insert(0, Target::at(hop));
            }
        }
        for (index, target) in plan.targets.iter_mut().enumerate() {
            let before = index.checked_sub(1);
            target.after = before.and_then(|before| u8::try_from(before).ok());
        }
    }

    /// Fills `self.stuck` with the live flows that exactly this URI is bound to; a URI that is
    /// merely equal is another home's, and among those the configured order decides. Where there
    /// is none: the address of a bound connection that was lost a moment ago.
    fn find_homes(&mut self, step: &mut Step<'_>, uri: &[u8]) -> Option<Reopen> {
        let chance = step.net.secrets.chance();
        self.stuck.clear();
        while let Some(found) = self.stick.find(step.now, uri, &self.stuck, chance) {
            if found.level != Level::Exact || self.stuck.len() >= limits::EDGE_SET_MAX {
                break;
            }
            step.net.counters.stick_exact += 1;
            self.stuck.push(found.flow);
        }
        self.stuck.retain(|flow| step.net.flows.lives(*flow));
        if !self.stuck.is_empty() {
            return None;
        }
        self.stick.reopen(step.now, uri).map(|(lost, _)| lost)
    }
}

/// Whether a URI can be that of one home among several that serve its domain: it has a user
/// part or a parameter that the domain's own URI has not.
fn may_name_one_home(uri: &[u8]) -> bool {
    let Ok(parsed) = Uri::of(uri) else {
        return false;
    };
    let says_nothing = |name: Span| {
        let name = name.of(uri);
        name.eq_ignore_ascii_case(b"lr") || name.eq_ignore_ascii_case(b"transport")
    };
    parsed.user.is_some() || !params::iter(uri, parsed.params).all(|param| says_nothing(param.name))
}

/// Whether two addresses are of one home. Transports may differ: a request that is too long for
/// UDP comes over TCP.
fn is_same_home(one: Reopen, other: Reopen) -> bool {
    let has_usual_port = |at: Reopen| at.addr.port() == at.transport.default_port();
    let usual = has_usual_port(one) && has_usual_port(other);
    one.addr.ip().to_canonical() == other.addr.ip().to_canonical()
        && (usual || one.addr.port() == other.addr.port())
}

/// The address at which the home at the end of a flow listens.
fn address_of(net: &Net, flow: Flow) -> Option<Reopen> {
    match flow {
        Flow::Udp { peer, .. } => Some(Reopen {
            transport: Transport::Udp,
            addr: peer,
        }),
        Flow::Stream(_) => net.flows.reconnect_target(flow),
    }
}
