//! The edge as a role of the proxy: its answers to what the proxy asks by the trait `Policy`.

use std::net::SocketAddr;

use super::Token;
use super::origin::Origin;
use super::phone_holder;
use super::state::Edge;
use crate::edit::{Edits, decimal};
use crate::id::{Flow, Transport};
use crate::proxy::{
    Answers, Connections, Context, Net, PHONE_AWAY, Pass, Request, Response, Routing, Step, Trust,
    Upkeep, Verdict,
};
use crate::scan::via::Via;
use crate::scan::{Method, Name};
use crate::send::{End, Hop};
use crate::stick::Reopen;
use crate::time::Instant;
use crate::trust::{IdentityHeaders, Keep, MarkKey, Principal};

/// The status and reason for a phone whose request no home takes.
const HOMES_AWAY: (u16, &str) = (503, "No Home Takes Requests Now");

/// Rows of each table that a sweep looks at, or a 64th of them where that is more: bounds the
/// work of one wake.
const SWEEP: usize = 4_096;

impl Trust for Edge {
    fn principal(&self, net: &Net, now: Instant, flow: Flow) -> Principal {
        match self.origin(net, flow) {
            Origin::Home => Principal::Home,
            Origin::Edge => Principal::Edge,
            Origin::Carrier => Principal::Carrier,
            Origin::Phone if self.flow_bindings.is_used(now, flow) => Principal::Subscriber,
            Origin::Phone => Principal::Stranger,
        }
    }

    fn marks(&self) -> &MarkKey {
        &self.marks
    }

    fn identities(&self) -> &IdentityHeaders {
        &self.settings.rules.identities
    }

    fn is_marked(&self, pass: &mut Pass<'_, '_>) -> bool {
        self.find_own(pass, &mut Token::new());
        self.shown(pass).any
    }

    /// True where somebody is registered over the flow of the REGISTER.
    fn renews(&self, request: &Request<'_>) -> bool {
        request.ingress.principal == Principal::Subscriber
    }

    fn is_cluster_node(&self, net: &Net, hop: Hop) -> bool {
        self.origin_of(net, hop).is_ours()
    }

    fn may_be_cluster_node(&self, end: &End) -> bool {
        let siblings = self.siblings.iter().any(|rule| rule.comes_from(end));
        siblings || self.homes.may_be_home(end)
    }

    fn domain_at(&self, net: &Net, now: Instant, addr: SocketAddr) -> Option<&str> {
        match self.origin_at(addr.ip()) {
            Origin::Home => self.homes.domain_at(net, now, addr),
            Origin::Edge => Some(&self.settings.cluster),
            Origin::Carrier | Origin::Phone => None,
        }
    }

    /// True for a flow that is neither a registered phone's nor a node's or carrier's: any datagram
    /// from its address would have us write a flow token for it.
    fn is_known_by_address_alone(&self, net: &Net, now: Instant, flow: Flow) -> bool {
        !self.keeps_idle_connection(net, now, flow)
    }

    fn may_reach(&self, _: Transport, addr: SocketAddr, _: Option<&str>) -> bool {
        self.may_outsider_reach(addr)
    }

    /// True for the listeners of other edges: an edge that lost its connection still gets the
    /// answers to what it relayed.
    fn may_return(&self, to: SocketAddr) -> bool {
        let ip = to.ip().to_canonical();
        self.other_members()
            .any(|member| member.listens_at(ip, to.port()))
    }
}

impl Routing for Edge {
    fn waits_for(&self, net: &Net, hop: Hop) -> bool {
        self.origin_of(net, hop) == Origin::Home
    }

    fn route(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        if pass.request.message.method() == Method::Register {
            self.route_register(pass)
        } else if let Some(verdict) = self.answer_revocation(pass) {
            verdict
        } else {
            self.route_call(pass)
        }
    }
}

impl Answers for Edge {
    fn on_accepted(
        &mut self,
        step: &mut Step<'_>,
        context: &Context,
        response: &Response<'_>,
        edits: &mut Edits,
    ) {
        self.on_register_accepted(step, context, response, edits);
        self.on_refresh_accepted(step, context);
        self.stick_dialog(step, context, response);
        if context.ingress.keep != Keep::Silent {
            grant_keep(step.net, response, edits);
        }
    }

    fn map_final_status(&self, status: u16, sender: Principal) -> Option<(u16, &'static str)> {
        match status {
            // O-21: a phone has no other flow to try, so it gets 480. Before the edge has resolved
            // its homes the sender may be one of them, and needs the 430.
            430 if !sender.is_cluster_node() && self.homes.are_known() => Some(PHONE_AWAY),
            // P-24: whatever a phone sends goes to the homes. Where none of them can take it
            // the next request would fare no better, and a phone that gets 503 waits for
            // Retry-After or takes its other edge.
            503 if !sender.is_cluster_node() => Some(HOMES_AWAY),
            _ => None,
        }
    }
}

impl Connections for Edge {
    /// S-2: a home has shown its certificate, whose domains are linked to the flow.
    fn on_peer_certificate(&mut self, step: &mut Step<'_>, flow: Flow) {
        self.link_home(step, flow);
    }

    fn on_peer_seen(&mut self, step: &mut Step<'_>, flow: Flow) {
        self.link_home(step, flow);
    }

    fn flow_lost(&mut self, step: &mut Step<'_>, flow: Flow, back: Option<Reopen>) {
        // S-28: what is bound to a connection that can be opened again waits for that.
        match back {
            Some(back) => self.stick.lost(step.now, flow, back),
            None => self.stick.forget(flow),
        }
        let (own, directory) = (step.net.shard_set.own, &mut self.directory);
        self.flow_bindings.flow_lost(flow, |left, subscriber| {
            if let Some(phone) = phone_holder::release_phone(left, step, subscriber) {
                directory.set(step.now, phone, own, Instant::ZERO);
            }
        });
    }

    fn keeps_idle_connection(&self, net: &Net, now: Instant, flow: Flow) -> bool {
        self.flow_bindings.is_used(now, flow) || self.origin(net, flow) != Origin::Phone
    }

    fn holds_phones(&self) -> bool {
        true
    }

    fn negotiates_keepalives(&self, net: &Net, hop: Hop) -> bool {
        // A name is no peer: keep-alives go to the addresses that it resolves to.
        !matches!(hop, Hop::Named(_)) && self.origin_of(net, hop) == Origin::Home
    }
}

impl Upkeep for Edge {
    /// Resolves the homes and begins keep-alives with the other edges: which of them are up is
    /// to be known before a request has to be relayed.
    fn on_start(&mut self, step: &mut Step<'_>) {
        self.refresh_homes(step);
        self.watch_members(step);
    }

    fn on_dns_answer(&mut self, step: &mut Step<'_>) {
        self.update_homes(step);
    }

    fn run_deferred(&mut self, step: &mut Step<'_>) {
        self.keep_open(step);
    }

    fn sweep(&mut self, step: &mut Step<'_>) {
        self.refresh_homes(step);
        self.stick.expire(step.now, SWEEP);
        let budget = |len: usize| SWEEP.max(len / 64);
        self.flow_bindings
            .expire(step.now, budget(self.flow_bindings.len()));
        self.directory
            .expire(step.now, budget(self.directory.len()));
        self.refreshed
            .expire(step.now, budget(self.refreshed.len()));
        self.flows_elsewhere
            .expire(step.now, budget(self.flows_elsewhere.len()));
    }
}

/// K-1: the phone offered keep-alives in its Via; it gets the interval, equal
/// to Flow-Timer (RFC 6223 §4.4, §5). Only the phone's own Via is left below
/// ours when it is our direct neighbour.
fn grant_keep(net: &Net, response: &Response<'_>, edits: &mut Edits) {
    let (bytes, message) = (response.bytes, response.message);
    if response.hops() != 2 {
        return;
    }
    let via = message.values(bytes, Name::Via).nth(1);
    let Some(Ok(via)) = via.map(|value| Via::parse(bytes, value)) else {
        return;
    };
    if let Some(offer) = via.keep_offer() {
        edits.insert(usize::from(offer.end), |out| {
            out.push(b'=');
            decimal(out, response.flow_timer_s(&net.secrets));
        });
    }
}

#[cfg(test)]
mod tests;
