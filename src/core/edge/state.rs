//! What an edge knows, and who somebody is to it. Here are the fields and what can be read
//! off them alone; what the edge does stands in the other files of the room, which use
//! this one and of which only the tables are used here.

use std::net::IpAddr;

use super::directory::Directory;
use super::flow_token;
use super::homes::Homes;
use super::refreshed::rows::Refreshed;
use super::{Codec, EdgeSet, FlowBindings, Member, Settings, Token};
use crate::id::{Flow, Transport};
use crate::limits;
use crate::proxy::Net;
use crate::scan::Message;
use crate::send::{End, Hop, HostRule};
use crate::stick::Table;
use crate::trust::MarkKey;

/// One edge.
pub struct Edge {
    pub(super) settings: Settings,
    /// Its own place in `settings.members`.
    pub(super) own: usize,
    pub(super) homes: Homes,
    /// How the other edges are told where they are reached without TLS.
    pub(super) siblings: Vec<HostRule>,
    pub(super) codec: Codec,
    pub(super) flow_key: flow_token::Key,
    pub(super) marks: MarkKey,
    pub(super) registrations: FlowBindings,
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
    /// Room for the flows that a URI sticks to, while a request is planned.
    pub(super) stuck: Vec<Flow>,
    pub(super) pings: Pings,
}

/// How the walk along the phones goes on that are kept reachable (`keep_open`).
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// Into how many parts the round is cut while the timer runs; none: it does not.
    pub(super) parts: Option<u32>,
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
        let others = others.filter(|(index, _)| *index != own);
        let mut registrations = FlowBindings::new(seed);
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
    pub(super) fn origin_at(&self, ip: IpAddr) -> Origin {
        let ip = ip.to_canonical();
        if self.homes.has(ip) {
            Origin::Home
        } else if self.is_sibling(ip) {
            Origin::Edge
        } else {
            Origin::Phone
        }
    }

    pub(super) fn other_members(&self) -> impl Iterator<Item = &Member> {
        let all = self.settings.members.iter().enumerate();
        let others = all.filter(|(index, _)| *index != self.own);
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
        let mut all = (0..self.settings.members.len()).filter(|index| *index != self.own);
        std::iter::from_fn(move || {
            all.find(|index| self.token_places(token).all(|known| known != *index))
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
        for index in edges.iter() {
            if let (Some(slot), Some(member)) =
                (names.get_mut(count), self.settings.members.get(index))
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
    pub(super) fn member_hop(&self, net: &mut Net, index: usize, flow: Flow) -> Option<Hop> {
        let member = self.settings.members.get(index)?;
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

/// The domain that a name is in, as realms are spelled.
fn parent(name: &str) -> Option<String> {
    let (_, parent) = name.strip_suffix('.').unwrap_or(name).split_once('.')?;
    Some(parent.to_ascii_lowercase())
}
