//! The home as a role of the proxy: what it answers when the proxy asks.

use std::net::SocketAddr;

use super::next_hops::edge_to_reopen;
use super::state::Home;
use crate::edit::Edits;
use crate::id::{Flow, Transport};
use crate::limits;
use crate::proxy::{
    Answers, Connections, Context, Net, Note, PHONE_AWAY, Pass, Request, Response, Routing, Step,
    Target, Trust, Upkeep, Verdict,
};
use crate::scan::{Method, Name};
use crate::send::{End, Hop};
use crate::stick::{Reopen, Source};
use crate::time::{Duration, Instant};
use crate::trust::{IdentityHeaders, Ingress, MarkKey, Principal};
use crate::uri::same_host;

/// Rows of each table that a sweep looks at, or a 64th of them where that is more: bounds the
/// work of one wake.
const SWEEP: usize = 4_096;

impl Trust for Home {
    fn principal(&self, net: &Net, _: Instant, flow: Flow) -> Principal {
        if self.is_edge(net, flow) {
            Principal::Edge
        } else if self.is_carrier(net, flow) {
            Principal::Carrier
        } else {
            Principal::Stranger
        }
    }

    fn marks(&self) -> &MarkKey {
        &self.marks
    }

    fn identities(&self) -> &IdentityHeaders {
        &self.settings.identities
    }

    fn is_marked(&self, pass: &mut Pass<'_, '_>) -> bool {
        self.find_own_routes(pass);
        self.shows_mark(pass)
    }

    /// A REGISTER with credentials answers a challenge or refreshes: if it were refused, the
    /// work that went before would be done again.
    fn renews(&self, request: &Request<'_>) -> bool {
        request.message.first(Name::Authorization).is_some()
    }

    fn is_cluster_node(&self, net: &Net, hop: Hop) -> bool {
        match hop {
            Hop::Flow(flow) => self.is_edge(net, flow),
            Hop::To { addr, .. } => self.settings.has_edge_at(addr.ip()),
            Hop::Named(_) => false,
        }
    }

    fn names_cluster_node(&self, uri: &[u8]) -> bool {
        self.is_uri_of_edge(uri)
    }

    fn may_be_cluster_node(&self, end: &End) -> bool {
        self.settings.may_be_edge(end)
    }

    fn domain_at(&self, _: &Net, _: Instant, addr: SocketAddr) -> Option<&str> {
        let is_edge = self.settings.has_edge_at(addr.ip());
        let cluster = std::str::from_utf8(&self.cluster).ok();
        cluster.filter(|_| is_edge)
    }

    /// An edge believes what a home sends, so nobody may have the DNS lead a name other than
    /// the cluster's to one. Nor does anybody reach a port of it that is none of its
    /// listeners; over TLS the certificate tells.
    fn may_reach(&self, transport: Transport, addr: SocketAddr, domain: Option<&str>) -> bool {
        let is_cluster = |domain: &str| same_host(domain.as_bytes(), &self.cluster);
        let listens = || {
            let end = End::new(transport, addr);
            transport == Transport::Tls || self.settings.may_be_edge(&end)
        };
        !self.settings.has_edge_at(addr.ip()) || domain.is_none_or(is_cluster) && listens()
    }

    /// An edge says in its Via where it takes the connections of its homes.
    fn may_return(&self, to: SocketAddr) -> bool {
        self.settings.has_edge_at(to.ip())
    }
}

impl Routing for Home {
    fn route(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        let Ingress {
            principal, flow, ..
        } = pass.request.ingress;
        if principal.is_cluster_node() {
            self.link_edge(&pass.step(), flow);
        }
        if pass.request.message.method() == Method::Register {
            self.register(pass)
        } else {
            self.route_request(pass)
        }
    }

    fn ring_time(&self) -> Option<Duration> {
        self.settings.ring_time
    }

    fn hop_to_reopen(&self, net: &mut Net, lost: Reopen) -> Option<Hop> {
        let is_edge = self.settings.has_edge_at(lost.addr.ip());
        is_edge.then(|| edge_to_reopen(net, &self.cluster, lost))
    }
}

impl Answers for Home {
    fn on_accepted(
        &mut self,
        step: &mut Step<'_>,
        context: &Context,
        response: &Response<'_>,
        _: &mut Edits,
    ) {
        if !matches!(context.note, Note::Dialog(_)) {
            return;
        }
        self.bind_record_routes(step, context, response);
    }

    fn follows_redirects(&self) -> bool {
        true
    }

    fn on_redirect(
        &mut self,
        net: &mut Net,
        context: &Context,
        target: &Target,
        response: &Response<'_>,
        instead: &mut Vec<Target>,
    ) -> bool {
        self.redirect(net, context, target, response, instead)
    }

    /// S-24, for as long as the URI of a Record-Route is bound.
    fn on_redirect_accepted(&mut self, step: &mut Step<'_>, flow: Flow, uri: &[u8]) {
        self.link_edge(step, flow);
        self.bind(
            step,
            flow,
            uri,
            Source::Redirect,
            step.now + limits::STICK_RECORD_ROUTE,
        );
    }

    fn map_final_status(&self, status: u16, _: Principal) -> Option<(u16, &'static str)> {
        // O-21: a 430 is between proxies; to the caller the phone is away.
        (status == 430).then_some(PHONE_AWAY)
    }
}

impl Connections for Home {
    fn on_peer_certificate(&mut self, step: &mut Step<'_>, flow: Flow) {
        self.link_certificate(step, flow);
    }

    /// S-12: an edge that has sent something may be sent requests.
    fn on_peer_seen(&mut self, step: &mut Step<'_>, flow: Flow) {
        self.link_edge(step, flow);
    }

    fn flow_lost(&mut self, step: &mut Step<'_>, flow: Flow, back: Option<Reopen>) {
        match back {
            Some(back) => self.stick.lost(step.now, flow, back),
            None => self.stick.forget(flow),
        }
    }

    /// One to an edge, or that a phone's Path is bound to (S-27).
    fn keeps_idle_connection(&self, net: &Net, _: Instant, flow: Flow) -> bool {
        self.is_edge(net, flow) || self.stick.holds(flow)
    }

    fn negotiates_keepalives(&self, net: &Net, hop: Hop) -> bool {
        self.is_cluster_node(net, hop)
    }

    fn is_probed(&self) -> bool {
        true
    }
}

impl Upkeep for Home {
    fn run_deferred(&mut self, step: &mut Step<'_>) {
        self.revoke_next(step);
        self.tell_next(step);
    }

    fn on_stored(&mut self, _: &mut Step<'_>, up_to: u64) {
        self.tentative.note_stored(up_to);
    }

    fn on_refused(&mut self, _: &mut Step<'_>, number: u64) {
        self.tentative.note_refused(number);
    }

    fn on_not_stored(&mut self, step: &mut Step<'_>) {
        self.under_way.forget();
        self.take_back(step);
    }

    fn sweep(&mut self, step: &mut Step<'_>) {
        let budget = SWEEP.max(self.stick.len() / 64);
        self.stick.expire(step.now, budget);
        let budget = SWEEP.max(self.former_paths.len() / 64);
        self.former_paths.expire(step.now, budget);
        let budget = SWEEP.max(self.location.len() / 64);
        self.location.expire(step.now, budget, &mut self.swept);
        let mut swept = std::mem::take(&mut self.swept);
        for aor in &swept {
            // Every shard sweeps its own copy; the keeper alone tells the store.
            if Self::keeper(step.net, aor) == step.net.shard_set.own {
                self.store(step, aor);
            }
        }
        swept.clear();
        self.swept = swept;
    }
}
