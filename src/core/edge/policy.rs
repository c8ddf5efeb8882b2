//! The edge as a role of the proxy: what it knows, and what it does with each
//! thing the proxy asks it.

use std::net::{IpAddr, SocketAddr};

use super::directory::Directory;
use super::homes::Homes;
use super::keep_open::Pings;
use super::refreshed::Refreshed;
use super::{Codec, EdgeSet, Member, Registrations, Settings, Token};
use super::{flow_token, holding};
use crate::edit::{Edits, decimal};
use crate::id::{Flow, Transport};
use crate::limits;
use crate::proxy::{
    Answers, Connections, Context, Net, PHONE_AWAY, Pass, Request, Response, Routing, Step, Trust,
    Upkeep, Verdict,
};
use crate::scan::via::Via;
use crate::scan::{Message, Method, Name};
use crate::send::{End, Handoff, Hop, HostRule, KeepaliveRole};
use crate::stick::{Reopen, Table};
use crate::time::Instant;
use crate::trust::{Identities, Keep, MarkKey, Principal};

/// What a phone is told when no home takes its request.
const HOMES_AWAY: (u16, &str) = (503, "No Home Takes Requests Now");

/// Registrations looked at per sweep: bounds the work of one wake.
const SWEEP: usize = 4_096;

/// One edge.
pub struct Edge {
    pub(super) settings: Settings,
    /// Its own place in `settings.members`.
    pub(super) own: usize,
    pub(super) homes: Homes,
    /// How the other edges are told where they are reached without TLS.
    siblings: Vec<HostRule>,
    pub(super) codec: Codec,
    pub(super) flow_key: flow_token::Key,
    pub(super) marks: MarkKey,
    pub(super) registrations: Registrations,
    pub(super) directory: Directory,
    pub(super) refreshed: Refreshed,
    /// Flows that an earlier run left to other shards.
    pub(super) strays: Directory,
    /// Keeps flow tokens of an earlier run from finding a flow of this one.
    pub(super) boot: u64,
    /// Room for the outline of a request that is looked at again when its response
    /// comes.
    pub(super) again: Message,
    /// Room for the members of a set while it is chosen.
    pub(super) places: Vec<usize>,
    /// Which of several homes a URI of theirs sticks to.
    pub(super) stick: Table,
    /// The flows that the URI at hand sticks to.
    pub(super) stuck: Vec<Flow>,
    pub(super) pings: Pings,
}

/// Who sent a request, told by the flow it came on and nothing in it (D-H2).
///
/// Over TLS the certificate says it: a domain of the home, or the cluster's
/// name, which all edges share (S-35). A connection without one is a phone's,
/// whatever its address. Over UDP and TCP address and port say it
/// (`HostRule`), and only where the configuration reaches the homes so: with TLS
/// to all homes nobody is a home or an edge without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The home.
    Home,
    /// Another edge of the cluster: a request it relays.
    Edge,
    /// Another carrier, which sends calls.
    Carrier,
    /// A phone, or anybody.
    Phone,
}

impl Origin {
    /// An element of this cluster.
    pub(super) const fn is_ours(self) -> bool {
        matches!(self, Self::Home | Self::Edge)
    }
}

impl Edge {
    /// An edge; `seed` is the shard's, `boot` differs from run to run and is the
    /// same on all shards of a node.
    #[must_use]
    pub fn new(settings: Settings, seed: [u64; 4], boot: u64) -> Self {
        let own = settings
            .members
            .iter()
            .position(|member| member.name == settings.name)
            .unwrap_or_default();
        // What a sealed token leaves out must follow from the URI that it stands in: the
        // list of domains may change while phones have it.
        let common = match &settings.token_keys[..] {
            [] => settings.home_domains.first().cloned(),
            [_, ..] => parent(&settings.cluster),
        };
        let codec = Codec::new(&settings.token_keys, &common.unwrap_or_default());
        let others = settings.members.iter().enumerate();
        let others = others.filter(|(place, _)| *place != own);
        let mut registrations = Registrations::new(seed);
        if settings.keeps_flows {
            registrations.keep_notes();
        }
        Self {
            own,
            homes: Homes::new(&settings.home, settings.core_port),
            siblings: others.flat_map(|(_, member)| member.rules()).collect(),
            codec,
            flow_key: flow_token::Key::new(&settings.flow_key),
            marks: MarkKey::new(&settings.flow_key),
            registrations,
            directory: Directory::default(),
            refreshed: Refreshed::default(),
            strays: Directory::default(),
            boot,
            again: Message::default(),
            places: Vec::new(),
            stick: Table::new(seed),
            stuck: Vec::new(),
            pings: Pings::default(),
            settings,
        }
    }

    /// Dialogs that their phones have gone on with over another flow.
    #[must_use]
    pub const fn refreshed(&self) -> usize {
        self.refreshed.len()
    }

    /// Phones bound to flows of this shard.
    #[must_use]
    pub const fn registered(&self) -> usize {
        self.registrations.len()
    }

    pub(super) fn origin(&self, net: &Net, flow: Flow) -> Origin {
        let Some(end) = net.flows.end(flow) else {
            return Origin::Phone;
        };
        // Peers come to the core side, where there is one.
        if let Flow::Udp { socket, .. } = flow
            && net.flows.is_beyond_core(end.addr.ip())
            && net.flows.misses_core(socket)
        {
            return Origin::Phone;
        }
        let member = if end.transport == Transport::Tls {
            self.identified_origin(net, flow)
        } else {
            self.origin_of(&end)
        };
        let identities = net.flows.identities(flow);
        let mut carriers = self.settings.peers.iter();
        if member == Origin::Phone && carriers.any(|rule| rule.believes(&end, identities)) {
            Origin::Carrier
        } else {
            member
        }
    }

    /// Who of the cluster is at the end of a flow without a certificate.
    fn origin_of(&self, end: &End) -> Origin {
        if self.homes.believe(end) {
            Origin::Home
        } else if self.homes.are_clear() && self.siblings.iter().any(|rule| rule.believes(end)) {
            Origin::Edge
        } else {
            Origin::Phone
        }
    }

    /// Who lives at an address: where something that we send would arrive, and
    /// not who sends from there.
    fn origin_at(&self, ip: IpAddr) -> Origin {
        let ip = ip.to_canonical();
        if self.homes.has(ip) {
            Origin::Home
        } else if self.is_sibling(ip) {
            Origin::Edge
        } else {
            Origin::Phone
        }
    }

    fn other_members(&self) -> impl Iterator<Item = &Member> {
        let all = self.settings.members.iter().enumerate();
        let others = all.filter(|(place, _)| *place != self.own);
        others.map(|(_, member)| member)
    }

    /// True for any address of another edge, on whatever side.
    fn is_sibling(&self, ip: IpAddr) -> bool {
        self.other_members().any(|member| member.has(ip))
    }

    fn identified_origin(&self, net: &Net, flow: Flow) -> Origin {
        let is_home = |name: &str| {
            let mut domains = self.settings.home_domains.iter();
            domains.any(|domain| domain.eq_ignore_ascii_case(name)) || self.homes.prove(name)
        };
        let identities = net.flows.identities(flow);
        if identities.iter().any(|name| is_home(name)) {
            Origin::Home
        } else if net.flows.proves(flow, self.settings.cluster.as_bytes()) {
            Origin::Edge
        } else {
            Origin::Phone
        }
    }

    /// The places of the edges a token names; names nobody has are left out.
    pub(super) fn token_places(&self, token: &Token) -> impl Iterator<Item = usize> {
        token.edges().filter_map(|name| {
            let mut members = self.settings.members.iter();
            members.position(|member| member.name.as_bytes() == name)
        })
    }

    /// The other members: a phone whose set is gone has come to one of them.
    pub(super) fn outside(&self, token: &Token) -> impl Iterator<Item = usize> {
        let mut all = (0..self.settings.members.len()).filter(|place| *place != self.own);
        std::iter::from_fn(move || {
            all.find(|place| self.token_places(token).all(|known| known != *place))
        })
    }

    /// The edges of a token as a set; of this edge alone when nobody is left.
    pub(super) fn token_set(&self, token: &Token) -> EdgeSet {
        EdgeSet::of_all(self.token_places(token)).unwrap_or_else(|| self.alone())
    }

    /// The set of this edge and no other.
    pub(super) fn alone(&self) -> EdgeSet {
        EdgeSet::of(self.own)
    }

    /// Writes the user part of a registration's token.
    pub(super) fn write_token(
        &self,
        subscriber: &super::Subscriber<'_>,
        edges: EdgeSet,
        flags: u8,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut names: [&[u8]; limits::EDGE_SET_MAX] = Default::default();
        let mut count = 0;
        for place in edges.iter() {
            if let (Some(slot), Some(member)) =
                (names.get_mut(count), self.settings.members.get(place))
            {
                *slot = member.name.as_bytes();
                count += 1;
            }
        }
        self.codec
            .write(subscriber, &names[..count], flags, out)
            .is_ok()
    }

    /// How to reach another member: over the transport that `flow` speaks where
    /// the edges believe one another over that. Over TLS it proves the cluster's
    /// name, as all edges do (S-35).
    pub(super) fn member_hop(&self, net: &mut Net, place: usize, flow: Flow) -> Option<Hop> {
        let member = self.settings.members.get(place)?;
        let over = |transport| member.peer_addr(net, transport);
        let tls = Some(Transport::Tls).filter(|_| !self.homes.are_clear());
        let all = [tls, Some(net.flows.transport(flow))];
        let mut ways = all.into_iter().flatten();
        let (transport, addr) = ways.find_map(|transport| Some((transport, over(transport)?)))?;
        Some(Hop::To {
            transport,
            addr,
            name: net.flows.names.intern(self.settings.cluster.as_bytes()),
        })
    }
}

impl Trust for Edge {
    fn principal(&self, net: &Net, now: Instant, flow: Flow) -> Principal {
        match self.origin(net, flow) {
            Origin::Home => Principal::Home,
            Origin::Edge => Principal::Edge,
            Origin::Carrier => Principal::Carrier,
            Origin::Phone if self.registrations.is_used(now, flow) => Principal::Subscriber,
            Origin::Phone => Principal::Stranger,
        }
    }

    fn marks(&self) -> &MarkKey {
        &self.marks
    }

    fn identities(&self) -> &Identities {
        &self.settings.rules.identities
    }

    fn is_marked(&self, pass: &mut Pass<'_, '_>) -> bool {
        self.find_own(pass, &mut Token::new());
        self.shown(pass).any
    }

    /// Somebody is registered over the flow it came on.
    fn renews(&self, request: &Request<'_>) -> bool {
        request.ingress.principal == Principal::Subscriber
    }

    fn is_cluster_node(&self, net: &Net, hop: Hop) -> bool {
        let origin = match hop {
            Hop::Flow(flow) => self.origin(net, flow),
            Hop::To { addr, .. } => self.origin_at(addr.ip()),
            Hop::Named(name) if self.homes.are_asked_for(name) => Origin::Home,
            Hop::Named(_) => Origin::Phone,
        };
        origin.is_ours()
    }

    fn may_be_cluster_node(&self, end: &End) -> bool {
        let siblings = self.siblings.iter().any(|rule| rule.comes_from(end));
        siblings || self.homes.may_come(end)
    }

    fn domain_at(&self, net: &Net, now: Instant, addr: SocketAddr) -> Option<&str> {
        match self.origin_at(addr.ip()) {
            Origin::Home => self.homes.domain_at(net, now, addr),
            Origin::Edge => Some(&self.settings.cluster),
            Origin::Carrier | Origin::Phone => None,
        }
    }

    /// The flow of a flow token, which any datagram from there has it write.
    fn is_known_by_address_alone(&self, net: &Net, now: Instant, flow: Flow) -> bool {
        !self.keeps_idle_connection(net, now, flow)
    }

    fn may_reach(&self, _: Transport, addr: SocketAddr, _: Option<&str>) -> bool {
        self.may_name(addr)
    }

    /// A sibling that lost its connection hears the answers to what it relayed.
    fn may_return(&self, to: SocketAddr) -> bool {
        let ip = to.ip().to_canonical();
        self.other_members()
            .any(|member| member.listens_at(ip, to.port()))
    }
}

impl Routing for Edge {
    fn route(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        if pass.request.message.method() == Method::Register {
            self.register(pass)
        } else if let Some(verdict) = self.revoked(pass) {
            verdict
        } else {
            self.call(pass)
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
        self.registered_with(step, context, response, edits);
        self.refreshed_with(step, context);
        self.stick_dialog(step, context, response);
        if context.ingress.keep != Keep::Silent {
            grant_keep(step.net, response, edits);
        }
    }

    fn map_final_status(&self, status: u16, sender: Principal) -> Option<(u16, &'static str)> {
        match status {
            // O-21: one of our own may be the best of what ways round a lost home
            // have left. Before the edge knows its homes, one of them may be asking.
            430 if !sender.is_cluster_node() && self.homes.are_known() => Some(PHONE_AWAY),
            // P-24: all that a phone asks goes to the homes. Where they cannot be
            // reached or are too busy the next request would fare no better here, and
            // a phone that hears 503 waits as it is told, or takes its other edge.
            503 if !sender.is_cluster_node() => Some(HOMES_AWAY),
            _ => None,
        }
    }
}

impl Connections for Edge {
    /// S-2. Who it is, `origin` asks the flow itself.
    fn on_peer_certificate(&mut self, step: &mut Step<'_>, flow: Flow) {
        self.meet_home(step, flow);
    }

    fn on_peer_seen(&mut self, step: &mut Step<'_>, flow: Flow) {
        self.meet_home(step, flow);
    }

    fn flow_lost(&mut self, step: &mut Step<'_>, flow: Flow, back: Option<Reopen>) {
        match back {
            Some(back) => self.stick.lost(step.now, flow, back),
            None => self.stick.forget(flow),
        }
        let (own, directory) = (step.net.shard_set.own, &mut self.directory);
        self.registrations.flow_lost(flow, |left, subscriber| {
            if let Some(phone) = holding::release_phone(left, step, subscriber) {
                directory.set(step.now, phone, own, Instant::ZERO);
            }
        });
    }

    fn keeps_idle_connection(&self, net: &Net, now: Instant, flow: Flow) -> bool {
        self.registrations.is_used(now, flow) || self.origin(net, flow) != Origin::Phone
    }

    fn negotiates_keepalives(&self, net: &Net, hop: Hop) -> bool {
        let origin = match hop {
            Hop::Flow(flow) => self.origin(net, flow),
            Hop::To { addr, .. } => self.origin_at(addr.ip()),
            Hop::Named(_) => Origin::Phone,
        };
        origin == Origin::Home
    }
}

impl Upkeep for Edge {
    /// The homes, and the other edges: which of them live is known before a
    /// request has to be relayed.
    fn on_start(&mut self, step: &mut Step<'_>) {
        self.homes.refresh(step);
        for member in self.other_members() {
            let addr = member.peer_addr(step.net, Transport::Udp);
            if let Some(flow) = addr.and_then(|addr| step.net.reach(Hop::to(Transport::Udp, addr)))
            {
                step.net.watch_peer(step.now, flow, KeepaliveRole::Ours);
            }
        }
    }

    fn on_handoff(&mut self, step: &mut Step<'_>, from: u8, news: Handoff) {
        match news {
            Handoff::Holds { phone, until, came } => {
                self.directory.set(step.now, phone, from, until);
                if let Some(held) = came {
                    self.moved_to(step, phone, from, &held);
                }
            }
            Handoff::Moved(held) => self.give_up(step, &held),
            Handoff::Revoked { user, realm } => self.forget_user(step, &user, &realm),
            Handoff::Refreshed {
                refresh,
                flow,
                far,
                is_proven,
            } => self.told_of_refresh(step, refresh, flow, far, is_proven),
            Handoff::Over { dialog } => self.refreshed.end(dialog),
            Handoff::Renewed { phone } => {
                self.refreshed.end_all_of(phone);
            }
            Handoff::Message { .. }
            | Handoff::Send { .. }
            | Handoff::Gone { .. }
            | Handoff::Unreachable { .. }
            | Handoff::Heard { .. }
            | Handoff::Silent { .. }
            | Handoff::Row { .. }
            | Handoff::Stray { .. }
            | Handoff::Stuck { .. } => {}
        }
    }

    fn on_dns_answer(&mut self, step: &mut Step<'_>) {
        self.homes.learn(step);
    }

    fn run_deferred(&mut self, step: &mut Step<'_>) {
        self.keep_open(step);
    }

    fn sweep(&mut self, step: &mut Step<'_>) {
        self.homes.refresh(step);
        self.stick.expire(step.now, SWEEP);
        let budget = |len: usize| SWEEP.max(len / 64);
        self.registrations
            .expire(step.now, budget(self.registrations.len()));
        self.directory
            .expire(step.now, budget(self.directory.len()));
        self.refreshed
            .expire(step.now, budget(self.refreshed.len()));
        self.strays.expire(step.now, budget(self.strays.len()));
    }
}

/// The domain that a name is in, as realms are spelled.
fn parent(name: &str) -> Option<String> {
    let (_, parent) = name.strip_suffix('.').unwrap_or(name).split_once('.')?;
    Some(parent.to_ascii_lowercase())
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
            decimal(out, net.flow_timer_s(response));
        });
    }
}

#[cfg(test)]
mod tests;
