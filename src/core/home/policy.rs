//! The home as a role of the proxy: what it knows, and what it shares between
//! registering and routing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::challenged::Challenged;
use super::dialog::dialog_of;
use super::former::Former;
use super::revoking::Revoking;
use super::unrecognised::Unrecognised;
use super::ways::Element;
use super::{Location, Replay, Settings, Subscribers};
use crate::edit::Edits;
use crate::id::{Flow, Transport};
use crate::limits;
use crate::omit::Omit;
use crate::proxy::{
    Answers, Connections, Context, Net, Note, PHONE_AWAY, Pass, Request, Response, Routing, Step,
    Target, Trust, Upkeep, Verdict,
};
use crate::scan::address::Address;
use crate::scan::{Message, Method, Name, scan_again};
use crate::send::{Clear, End, Handoff, Hop, Output};
use crate::span::Span;
use crate::stick::{Bound, Level, Reopen, Source, Table};
use crate::time::{Duration, Instant};
use crate::trust::{IdentityHeaders, Ingress, MarkKey, Principal};
use crate::uri::{Scheme, Uri, host_ip, same_host};

/// Addresses of record, and rows of the stickiness table, looked at per sweep:
/// bounds the work of one wake.
const SWEEP: usize = 4_096;

/// One home of a domain.
pub struct Home {
    pub(super) settings: Settings,
    pub(super) subscribers: Arc<Subscribers>,
    pub(super) marks: MarkKey,
    pub(super) location: Location,
    pub(super) replay: Replay,
    pub(super) challenged: Challenged,
    /// Which flow a URI sticks to.
    pub(super) stick: Table,
    /// Under which Paths phones were known before.
    pub(super) former: Former,
    /// Host of `settings.edges`: the edge cluster's name.
    pub(super) cluster: Vec<u8>,
    /// The addresses in `edge_peers`, and whether they are believed without TLS,
    /// for a URI of the cluster that sticks nowhere (S-16): any edge knows the
    /// right one.
    pub(super) edges: Vec<(IpAddr, bool)>,
    /// Room for the flows that a search has been given already.
    failed: Vec<Flow>,
    /// Room for where a list of hops leads.
    hosts: Vec<IpAddr>,
    /// Room for the outline of a request that is looked at again when its response
    /// comes.
    pub(super) again: Message,
    /// Room for the addresses of record that a sweep has taken bindings from.
    changed: Vec<Box<[u8]>>,
    pub(super) revoking: Revoking,
    pub(super) unrecognised: Unrecognised,
}

impl Home {
    /// A home with these subscribers and no registrations.
    #[must_use]
    pub fn new(settings: Settings, subscribers: Arc<Subscribers>, seed: [u64; 4]) -> Self {
        let cluster = Uri::of(settings.edges.as_bytes())
            .map(|uri| uri.host.of(settings.edges.as_bytes()).to_vec());
        // A prefix names a few neighbours at most; a whole network of edges is
        // found through DNS, not by trying its addresses.
        let mut edges: Vec<(IpAddr, bool)> = Vec::new();
        for rule in &settings.edge_peers {
            let (ip, prefix) = rule.network;
            let is_clear = rule.clear != Clear::No;
            for ip in super::neighbours(ip, prefix) {
                match edges.iter_mut().find(|(known, _)| *known == ip) {
                    Some((_, clear)) => *clear |= is_clear,
                    None => edges.push((ip, is_clear)),
                }
            }
        }
        Self {
            subscribers,
            marks: MarkKey::new(&settings.nonce_key),
            location: Location::new(seed),
            replay: Replay::new(seed),
            challenged: Challenged::default(),
            stick: Table::new(seed),
            former: Former::default(),
            cluster: cluster.unwrap_or_default(),
            edges,
            failed: Vec::new(),
            hosts: Vec::new(),
            again: Message::default(),
            changed: Vec::new(),
            revoking: Revoking::default(),
            unrecognised: Unrecognised::default(),
            settings,
        }
    }

    /// Addresses of record with a binding.
    #[must_use]
    pub fn registered(&self) -> usize {
        self.location.len()
    }

    /// Hands the record of `aor` to the store and to the other shards.
    pub(super) fn store(&self, step: &mut Step<'_>, aor: &[u8]) {
        if !self.settings.is_stored && step.net.shard_set.is_alone() {
            return;
        }
        let key = step.net.pool.copy(aor);
        let mut live = false;
        let room = self.location.encoded_len(step.now, aor);
        let record = step.net.pool.build(room, |out| {
            live = self.location.encode(step.now, aor, step.net.wall, out)
        });
        let value = live.then_some(record);
        self.share(step, aor, value.as_deref());
        if self.settings.is_stored {
            step.net.outbox.push_back(Output::Store { key, value });
        }
    }

    /// True for a URI that names this home: its domain without a user, or one
    /// of its own addresses.
    pub(super) fn is_own(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) || uri.user.is_some() {
            return false;
        }
        self.is_own_host(net, bytes, uri)
    }

    /// True when the host is the domain or one of our own addresses.
    pub(super) fn is_own_host(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        let host = uri.host.of(bytes);
        same_host(host, self.settings.domain.as_bytes())
            || host_ip(host).is_some_and(|ip| net.flows.is_local(ip, uri.port.unwrap_or(5060)))
    }

    /// Whether an edge is at the end of the flow (D-H2). Over TLS its
    /// certificate says so by naming the cluster, over UDP and TCP its address
    /// and port, where it may speak those.
    pub(super) fn is_edge(&self, net: &Net, flow: Flow) -> bool {
        if net.flows.transport(flow) == Transport::Tls {
            return net.flows.proves(flow, &self.cluster);
        }
        let end = net.flows.end(flow);
        end.is_some_and(|end| self.settings.is_edge(&end))
    }

    /// Whether another carrier is at the end of the flow.
    #[must_use]
    pub(crate) fn is_carrier(&self, net: &Net, flow: Flow) -> bool {
        let identities = net.flows.identities(flow);
        let mut carriers = self.settings.peers.iter();
        let end = net.flows.end(flow);
        end.is_some_and(|end| carriers.any(|carrier| carrier.believes(&end, identities)))
            && !self.is_edge(net, flow)
    }

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

    /// The Record-Route value above our own; none where ours is not there.
    fn above_own(&self, net: &Net, response: &Response<'_>) -> Option<Span> {
        let bytes = response.bytes;
        let mut above = None;
        for value in response.message.values(bytes, Name::RecordRoute) {
            let uri = Uri::in_value(bytes, value).ok()?;
            if self.is_own(net, bytes, &uri) {
                return above;
            }
            above = Some(uri.whole);
        }
        None
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

    /// Fills `hops` for a URI of the cluster, best first: the flows it
    /// sticks to, else the edges in turn from a random one on (S-14 to S-18);
    /// the silent ones last. Behind the flows stand edges that none of them
    /// leads to, up to `limits::EDGES_TRIED` in all: the rest of the set may have
    /// been learned by another home (S-22), and a phone whose set is gone is at
    /// another edge by now. The number of hops that the table itself knew.
    pub(super) fn cluster_hops(
        &mut self,
        step: &mut Step<'_>,
        uri: &[u8],
        transport: Transport,
        hops: &mut Vec<Hop>,
    ) -> usize {
        let chance = step.net.secrets.chance();
        hops.clear();
        self.failed.clear();
        while let Some(found) = self.stick.find(step.now, uri, &self.failed, chance) {
            let lives = step.net.flows.lives(found.flow);
            if !lives || !step.net.omit.leaves_out(Omit::FailedFlows) {
                self.failed.push(found.flow);
            }
            if !lives {
                continue;
            }
            match found.level {
                Level::Exact => step.net.counters.stick_exact += 1,
                Level::Equal | Level::Domain => step.net.counters.stick_equal += 1,
            }
            let hop = Hop::Flow(found.flow);
            // Two flows to one edge are one way: the better one of them.
            let same = Element::at(&self.settings, step.net, hop).and_then(|here| {
                hops.iter()
                    .position(|known| here.is_at(&self.settings, step.net, *known))
            });
            match same {
                // The same flow again and again, which must come to an end.
                Some(_) if step.net.omit.leaves_out(Omit::FailedFlows) => hops.push(hop),
                Some(same) if step.net.is_down(step.now, hops[same]) => hops[same] = hop,
                Some(_) => {}
                None => hops.push(hop),
            }
            if hops.len() >= limits::EDGE_SET_MAX {
                break;
            }
        }
        let known = hops.len();
        if known == 0
            && let Some((lost, _)) = self.stick.reopen(step.now, uri)
        {
            // S-28: whoever had it a moment ago, before anybody else.
            hops.push(at_edge(step.net, &self.cluster, lost));
        }
        if !self.edges.is_empty() {
            let start = usize::try_from(chance).unwrap_or_default() % self.edges.len();
            let turn = self.edges.iter().cycle().skip(start).take(self.edges.len());
            let name = step.net.flows.names.intern(&self.cluster);
            self.hosts.clear();
            self.hosts
                .extend(hops.iter().filter_map(|hop| step.net.flows.host(*hop)));
            let turn = turn.filter(|(ip, _)| !self.hosts.contains(ip));
            let turn = turn.map(|&(ip, clear)| {
                // Over what else would it believe us?
                let transport = if clear { transport } else { Transport::Tls };
                Hop::To {
                    transport,
                    addr: SocketAddr::new(ip, transport.default_port()),
                    name,
                }
            });
            if known == 0 {
                step.net.counters.stick_domain += u64::from(hops.is_empty());
                hops.extend(turn);
            } else {
                let most = limits::EDGES_TRIED.saturating_sub(self.hosts.len()).max(1);
                hops.extend(
                    turn.filter(|hop| !step.net.is_down(step.now, *hop))
                        .take(most),
                );
            }
        }
        if hops.is_empty() {
            // S-16: too many edges to try one after the other.
            let uri = Uri::of(uri).map(|parsed| (uri, parsed));
            let hop = uri.map(|(bytes, parsed)| step.net.hop(step.now, bytes, &parsed));
            hops.extend(hop.ok().flatten());
        }
        // Few enough for an insertion sort, which keeps the order of equals.
        hops.sort_by_key(|hop| step.net.is_down(step.now, *hop));
        known
    }
}

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
        self.find_own(pass);
        self.shows_mark(pass)
    }

    /// It answers a challenge, or has an old one to show: whoever was refused
    /// after half of the work would have to begin anew.
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
        let parsed = Uri::of(uri);
        parsed.is_ok_and(|parsed| self.names_edge(uri, &parsed))
    }

    fn may_be_cluster_node(&self, end: &End) -> bool {
        let mut edges = self.settings.edge_peers.iter();
        edges.any(|edge| edge.comes_from(end))
    }

    fn domain_at(&self, _: &Net, _: Instant, addr: SocketAddr) -> Option<&str> {
        let is_edge = self.settings.has_edge_at(addr.ip());
        let cluster = std::str::from_utf8(&self.cluster).ok();
        cluster.filter(|_| is_edge)
    }

    /// An edge believes what a home sends: whoever has the DNS lead another name
    /// there would speak with our voice. And of an edge nobody reaches a port that
    /// is none of its listeners; over TLS the certificate tells.
    fn may_reach(&self, transport: Transport, addr: SocketAddr, domain: Option<&str>) -> bool {
        let is_cluster = |domain: &str| same_host(domain.as_bytes(), &self.cluster);
        let listens = || {
            let end = End::new(transport, addr);
            transport == Transport::Tls || self.may_be_cluster_node(&end)
        };
        !self.settings.has_edge_at(addr.ip()) || domain.is_none_or(is_cluster) && listens()
    }

    /// Where an edge says that it takes the connections of its homes.
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
            self.link(&pass.step(), flow);
        }
        if pass.request.message.method() == Method::Register {
            self.register(pass)
        } else {
            self.call(pass)
        }
    }

    fn ring_time(&self) -> Option<Duration> {
        self.settings.ring_time
    }

    fn hop_to_reopen(&self, net: &mut Net, lost: Reopen) -> Option<Hop> {
        let is_edge = self.settings.has_edge_at(lost.addr.ip());
        is_edge.then(|| at_edge(net, &self.cluster, lost))
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
        let until = step.now + limits::STICK_RECORD_ROUTE;
        let dialog = dialog_of(step.net, response.bytes, response.message);
        // S-8: the neighbour downstream wrote the value just above our own.
        if let Some(uri) = self.above_own(step.net, response) {
            let uri = uri.of(response.bytes);
            // No request needs to have come by a flow that we opened ourselves.
            self.link(step, response.flow);
            let flow = response.flow;
            if !self.bind_in_dialog(step, flow, uri, dialog, until) {
                let bound = self.bind(step, flow, uri, Source::RecordRoute, until);
                self.share_bound(step.net, flow, uri, bound, until);
            }
        }
        // S-5: the neighbour upstream wrote the topmost value of the request;
        // ours stands above it in what went on.
        let Some(base) = context.request() else {
            return;
        };
        let value = if scan_again(base, &mut self.again).is_ok() {
            self.again.values(base, Name::RecordRoute).nth(1)
        } else {
            None
        };
        if let Some(value) = value
            && let Ok(address) = Address::parse(base, value)
        {
            let uri = address.uri.of(base);
            let flow = context.ingress.flow;
            if !self.bind_in_dialog(step, flow, uri, dialog, until) {
                let bound = self.bind(step, flow, uri, Source::RecordRoute, until);
                self.share_bound(step.net, flow, uri, bound, until);
            }
        }
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

    /// S-24. As long as a Record-Route: the table tells them apart by their end.
    fn on_redirect_accepted(&mut self, step: &mut Step<'_>, flow: Flow, uri: &[u8]) {
        self.link(step, flow);
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
        for domain in step.net.flows.identities(flow) {
            let domain = domain.as_bytes();
            self.stick.link(step.now, flow, domain, Source::Certificate);
        }
        self.returned(step, flow);
    }

    /// S-12: an edge that shows itself is one to turn to.
    fn on_peer_seen(&mut self, step: &mut Step<'_>, flow: Flow) {
        self.link(step, flow);
    }

    fn flow_lost(&mut self, step: &mut Step<'_>, flow: Flow, back: Option<Reopen>) {
        match back {
            Some(back) => self.stick.lost(step.now, flow, back),
            None => self.stick.forget(flow),
        }
    }

    /// S-27
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
    fn on_handoff(&mut self, step: &mut Step<'_>, _: u8, news: Handoff) {
        self.take_in(step, news);
    }

    fn run_deferred(&mut self, step: &mut Step<'_>) {
        self.go_on_revoking(step);
    }

    fn sweep(&mut self, step: &mut Step<'_>) {
        let budget = SWEEP.max(self.stick.len() / 64);
        self.stick.expire(step.now, budget);
        let budget = SWEEP.max(self.former.len() / 64);
        self.former.expire(step.now, budget);
        let budget = SWEEP.max(self.location.len() / 64);
        self.location.expire(step.now, budget, &mut self.changed);
        for aor in &self.changed {
            // The others find out by themselves.
            if Self::keeper(step.net, aor) == step.net.shard_set.own {
                self.store(step, aor);
            }
        }
        self.changed.clear();
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

/// The edge that a lost connection led to.
fn at_edge(net: &mut Net, cluster: &[u8], lost: Reopen) -> Hop {
    Hop::To {
        transport: lost.transport,
        addr: lost.addr,
        name: net.flows.names.intern(cluster),
    }
}

#[cfg(test)]
mod tests;
