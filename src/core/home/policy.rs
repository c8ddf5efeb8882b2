//! The home as a role of the proxy: what it knows, and what it shares between
//! registering and routing.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::challenged::Challenged;
use super::dialog::dialog_of;
use super::former::Former;
use super::revoking::Revoking;
use super::unrecognised::Unrecognised;
use super::ways::Element;
use super::{Location, Replay, Settings, Subscribers};
use crate::bytes::Buf;
use crate::edit::Edits;
use crate::id::{Flow, Transport};
use crate::limits;
use crate::omit::Omit;
use crate::proxy::{
    Context, Net, Note, PHONE_AWAY, Pass, Policy, Request, Response, Target, Verdict,
};
use crate::scan::address::Address;
use crate::scan::{Message, Method, Name, scan_again};
use crate::send::{Clear, End, Handoff, Hop, Output};
use crate::span::Span;
use crate::stick::{Bound, Level, Reopen, Source, Table};
use crate::time::{Duration, Instant};
use crate::trust::{Identities, Ingress, MarkKey, Principal};
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
    /// Canonical address of record of the request at hand.
    pub(super) aor: Vec<u8>,
    pub(super) text: Vec<u8>,
    /// Where the request at hand may go, best first.
    pub(super) hops: Vec<Hop>,
    failed: Vec<Flow>,
    /// Where those lead.
    hosts: Vec<IpAddr>,
    /// The bindings of the request at hand: preference, whether the flow is
    /// silent, reg-id and place, in the order in which they are tried.
    pub(super) order: Vec<(Reverse<u16>, bool, u32, Reverse<usize>)>,
    /// The instance of each target of the plan at hand.
    pub(super) groups: Vec<u64>,
    /// Paths of a record at hand, with their flows and ends.
    pub(super) paths: Vec<(Flow, Buf, Instant)>,
    pub(super) again: Message,
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
            aor: Vec::new(),
            text: Vec::new(),
            hops: Vec::new(),
            failed: Vec::new(),
            hosts: Vec::new(),
            order: Vec::new(),
            groups: Vec::new(),
            paths: Vec::new(),
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
    pub(super) fn store(&self, net: &mut Net, now: Instant, aor: &[u8]) {
        if !self.settings.is_stored && net.shard_set.is_alone() {
            return;
        }
        let key = net.pool.copy(aor);
        let mut live = false;
        let room = self.location.encoded_len(now, aor);
        let record = net.pool.build(room, |out| {
            live = self.location.encode(now, aor, net.wall, out)
        });
        let value = live.then_some(record);
        self.share(net, now, aor, value.as_deref());
        if self.settings.is_stored {
            net.outbox.push_back(Output::Store { key, value });
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
    pub(super) fn link(&mut self, net: &Net, now: Instant, flow: Flow) -> bool {
        let edge = self.is_edge(net, flow);
        if edge && net.flows.transport(flow) != Transport::Tls {
            self.stick.link(now, flow, &self.cluster, Source::Link);
            if flow.is_reliable() {
                self.returned(net, now, flow);
            }
        }
        edge
    }

    /// S-28: what stuck to an earlier connection to the same edge sticks to this
    /// one, now that it has shown who it is (S-29).
    fn returned(&mut self, net: &Net, now: Instant, flow: Flow) {
        if let Some(back) = net.flows.reconnect_target(flow) {
            self.stick.returned(now, flow, back);
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
        net: &mut Net,
        now: Instant,
        flow: Flow,
        uri: &[u8],
        source: Source,
        until: Instant,
    ) -> Bound {
        if net.omit.leaves_out(Omit::DomainTest) {
            self.stick.link(now, flow, &self.cluster, Source::Link);
        }
        let bound = self.stick.bind(now, flow, uri, source, until);
        net.counters.bound(bound);
        bound
    }

    /// Fills `self.hops` for a URI of the cluster, best first: the flows it
    /// sticks to, else the edges in turn from a random one on (S-14 to S-18);
    /// the silent ones last. Behind the flows stand edges that none of them
    /// leads to, up to `limits::EDGES_TRIED` in all: the rest of the set may have
    /// been learned by another home (S-22), and a phone whose set is gone is at
    /// another edge by now. The number of hops that the table itself knew.
    pub(super) fn cluster_hops(
        &mut self,
        net: &mut Net,
        now: Instant,
        uri: &[u8],
        transport: Transport,
    ) -> usize {
        let chance = net.secrets.chance();
        let hops = &mut self.hops;
        hops.clear();
        self.failed.clear();
        while let Some(found) = self.stick.find(now, uri, &self.failed, chance) {
            let lives = net.flows.lives(found.flow);
            if !lives || !net.omit.leaves_out(Omit::FailedFlows) {
                self.failed.push(found.flow);
            }
            if !lives {
                continue;
            }
            match found.level {
                Level::Exact => net.counters.stick_exact += 1,
                Level::Equal | Level::Domain => net.counters.stick_equal += 1,
            }
            let hop = Hop::Flow(found.flow);
            // Two flows to one edge are one way: the better one of them.
            let same = Element::at(&self.settings, net, hop).and_then(|here| {
                hops.iter()
                    .position(|known| here.is_at(&self.settings, net, *known))
            });
            match same {
                // The same flow again and again, which must come to an end.
                Some(_) if net.omit.leaves_out(Omit::FailedFlows) => hops.push(hop),
                Some(same) if net.is_down(now, hops[same]) => hops[same] = hop,
                Some(_) => {}
                None => hops.push(hop),
            }
            if hops.len() >= limits::EDGE_SET_MAX {
                break;
            }
        }
        let known = hops.len();
        if known == 0
            && let Some((lost, _)) = self.stick.reopen(now, uri)
        {
            // S-28: whoever had it a moment ago, before anybody else.
            hops.push(at_edge(net, &self.cluster, lost));
        }
        if !self.edges.is_empty() {
            let start = usize::try_from(chance).unwrap_or_default() % self.edges.len();
            let turn = self.edges.iter().cycle().skip(start).take(self.edges.len());
            let name = net.flows.names.intern(&self.cluster);
            self.hosts.clear();
            self.hosts
                .extend(hops.iter().filter_map(|hop| net.flows.host(*hop)));
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
                net.counters.stick_domain += u64::from(hops.is_empty());
                hops.extend(turn);
            } else {
                let most = limits::EDGES_TRIED.saturating_sub(self.hosts.len()).max(1);
                hops.extend(turn.filter(|hop| !net.is_down(now, *hop)).take(most));
            }
        }
        if hops.is_empty() {
            // S-16: too many edges to try one after the other.
            let uri = Uri::of(uri).map(|parsed| (uri, parsed));
            let hop = uri.map(|(bytes, parsed)| net.hop(now, bytes, &parsed));
            hops.extend(hop.ok().flatten());
        }
        // Few enough for an insertion sort, which keeps the order of equals.
        hops.sort_by_key(|hop| net.is_down(now, *hop));
        known
    }
}

impl Policy for Home {
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

    fn identities(&self) -> &Identities {
        &self.settings.identities
    }

    fn is_marked(&self, pass: &mut Pass<'_, '_>) -> bool {
        self.find_own(pass);
        self.shows_mark(pass)
    }

    fn route(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        let Ingress {
            principal, flow, ..
        } = pass.request.ingress;
        if principal.is_cluster_node() {
            self.link(pass.net, pass.now, flow);
        }
        if pass.request.message.method() == Method::Register {
            self.register(pass)
        } else {
            self.call(pass)
        }
    }

    fn on_accepted(
        &mut self,
        net: &mut Net,
        now: Instant,
        context: &Context,
        response: &Response<'_>,
        _: &mut Edits,
    ) {
        if !matches!(context.note, Note::Dialog(_)) {
            return;
        }
        let until = now + limits::STICK_RECORD_ROUTE;
        let dialog = dialog_of(net, response.bytes, response.message);
        // S-8: the neighbour downstream wrote the value just above our own.
        if let Some(uri) = self.above_own(net, response) {
            let uri = uri.of(response.bytes);
            // No request needs to have come by a flow that we opened ourselves.
            self.link(net, now, response.flow);
            let flow = response.flow;
            if !self.bind_in_dialog(net, now, flow, uri, (dialog, until)) {
                let bound = self.bind(net, now, flow, uri, Source::RecordRoute, until);
                self.share_bound(net, flow, uri, bound, until);
            }
        }
        // S-5: the neighbour upstream wrote the topmost value of the request;
        // ours stands above it in what went on.
        let Some(base) = context.request() else {
            return;
        };
        let mut again = std::mem::take(&mut self.again);
        if scan_again(base, &mut again).is_ok()
            && let Some(value) = again.values(base, Name::RecordRoute).nth(1)
            && let Ok(address) = Address::parse(base, value)
        {
            let uri = address.uri.of(base);
            let flow = context.ingress.flow;
            if !self.bind_in_dialog(net, now, flow, uri, (dialog, until)) {
                let bound = self.bind(net, now, flow, uri, Source::RecordRoute, until);
                self.share_bound(net, flow, uri, bound, until);
            }
        }
        self.again = again;
    }

    fn follows_redirects(&self) -> bool {
        true
    }

    fn ring_time(&self) -> Option<Duration> {
        self.settings.ring_time
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
    fn on_redirect_accepted(&mut self, net: &mut Net, now: Instant, flow: Flow, uri: &[u8]) {
        self.link(net, now, flow);
        self.bind(
            net,
            now,
            flow,
            uri,
            Source::Redirect,
            now + limits::STICK_RECORD_ROUTE,
        );
    }

    fn map_final_status(&self, status: u16, _: Principal) -> Option<(u16, &'static str)> {
        // O-21: a 430 is between proxies; to the caller the phone is away.
        (status == 430).then_some(PHONE_AWAY)
    }

    fn on_peer_certificate(&mut self, net: &mut Net, now: Instant, flow: Flow) {
        for domain in net.flows.identities(flow) {
            let domain = domain.as_bytes();
            self.stick.link(now, flow, domain, Source::Certificate);
        }
        self.returned(net, now, flow);
    }

    fn on_handoff(&mut self, net: &mut Net, now: Instant, _: u8, news: Handoff) {
        self.take_in(net, now, news);
    }

    fn flow_lost(&mut self, _: &mut Net, now: Instant, flow: Flow, back: Option<Reopen>) {
        match back {
            Some(back) => self.stick.lost(now, flow, back),
            None => self.stick.forget(flow),
        }
    }

    fn hop_to_reopen(&self, net: &mut Net, lost: Reopen) -> Option<Hop> {
        let is_edge = self.settings.has_edge_at(lost.addr.ip());
        is_edge.then(|| at_edge(net, &self.cluster, lost))
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

    fn negotiates_keepalives(&self, net: &Net, hop: Hop) -> bool {
        self.is_cluster_node(net, hop)
    }

    /// An edge believes what a home sends: whoever has the DNS lead another name
    /// there would speak with our voice. And of an edge nobody reaches a port that
    /// is none of its listeners; over TLS the certificate tells.
    fn may_reach(&self, (transport, addr): (Transport, SocketAddr), domain: Option<&str>) -> bool {
        let is_cluster = |domain: &str| same_host(domain.as_bytes(), &self.cluster);
        let listens = || {
            let end = End::new(transport, addr);
            transport == Transport::Tls || self.may_be_cluster_node(&end)
        };
        !self.settings.has_edge_at(addr.ip()) || domain.is_none_or(is_cluster) && listens()
    }

    fn is_probed(&self) -> bool {
        true
    }

    fn domain_at(&self, _: &Net, _: Instant, addr: SocketAddr) -> Option<&str> {
        let is_edge = self.settings.has_edge_at(addr.ip());
        let cluster = std::str::from_utf8(&self.cluster).ok();
        cluster.filter(|_| is_edge)
    }

    /// S-12: an edge that shows itself is one to turn to.
    fn on_peer_seen(&mut self, net: &mut Net, now: Instant, flow: Flow) {
        self.link(net, now, flow);
    }

    /// It answers a challenge, or has an old one to show: whoever was refused
    /// after half of the work would have to begin anew.
    fn renews(&self, request: &Request<'_>) -> bool {
        request.message.first(Name::Authorization).is_some()
    }

    /// S-27
    fn keeps_idle_connection(&self, net: &Net, _: Instant, flow: Flow) -> bool {
        self.is_edge(net, flow) || self.stick.holds(flow)
    }

    fn run_deferred(&mut self, net: &mut Net, now: Instant) {
        self.go_on_revoking(net, now);
    }

    fn sweep(&mut self, net: &mut Net, now: Instant) {
        let budget = SWEEP.max(self.stick.len() / 64);
        self.stick.expire(now, budget);
        let budget = SWEEP.max(self.former.len() / 64);
        self.former.expire(now, budget);
        let mut changed = std::mem::take(&mut self.changed);
        let budget = SWEEP.max(self.location.len() / 64);
        self.location.expire(now, budget, &mut changed);
        for aor in changed.drain(..) {
            // The others find out by themselves.
            if Self::keeper(net, &aor) == net.shard_set.own {
                self.store(net, now, &aor);
            }
        }
        self.changed = changed;
    }
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
