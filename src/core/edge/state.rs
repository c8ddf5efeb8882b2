//! The state of an edge, and who is at the end of a flow by it. Here are the fields and what
//! can be read off them alone; what the edge does stands in the other files of the room, which
//! use this one.

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
    /// Its own index in `settings.members`.
    pub(super) own: usize,
    pub(super) homes: Homes,
    /// How the other edges are recognised without TLS: by address and port.
    pub(super) siblings: Vec<HostRule>,
    pub(super) codec: Codec,
    pub(super) flow_key: flow_token::Key,
    pub(super) marks: MarkKey,
    pub(super) flow_bindings: FlowBindings,
    pub(super) directory: Directory,
    pub(super) refreshed: Refreshed,
    /// Flows of other shards, by rows of an earlier run (`restoring`).
    pub(super) strays: Directory,
    /// Keeps flow tokens of an earlier run from finding a flow of this one.
    pub(super) boot: u64,
    /// Buffer for the outline of a request that is scanned again when its response comes.
    pub(super) rescanned: Message,
    /// Buffer for the members of a set while it is chosen.
    pub(super) indices: Vec<usize>,
    /// The flows of homes that the homes' own URIs are bound to, where there are several.
    pub(super) stick: Table,
    /// Buffer for the flows that a URI is bound to, while a request is planned.
    pub(super) stuck: Vec<Flow>,
    pub(super) pings: Pings,
}

/// The state of the rounds in which phones behind a NAT are kept reachable (`keep_open`).
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// The number of parts of the running round; `None`: no timer runs.
    pub(super) parts: Option<u32>,
}

/// Who sent a request, by the flow it came over and by nothing in it (D-H2).
///
/// Over TLS the certificate decides: a domain of the home, or the cluster's
/// name, which all edges share (S-35). A TLS connection without a certificate is a phone's,
/// whatever its address. Over UDP and TCP address and port decide
/// (`HostRule`), and only where a home is configured without TLS: with TLS
/// to all homes, nobody is taken for a home or an edge without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The home.
    Home,
    /// Another edge of the cluster, which relays a request.
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
        // A token leaves out this one realm. For sealed tokens it follows from the cluster's name,
        // which stands in the token's URI: the list of domains may change while phones have tokens.
        let common = match &settings.token_keys[..] {
            [] => settings.home_domains.first().cloned(),
            [_, ..] => parent(&settings.cluster),
        };
        let codec = Codec::new(&settings.token_keys, &common.unwrap_or_default());
        let others = settings.members.iter().enumerate();
        let others = others.filter(|(index, _)| *index != own);
        let mut flow_bindings = FlowBindings::new(seed);
        if settings.keeps_flows {
            flow_bindings.keep_notes();
        }
        Self {
            own,
            homes: Homes::new(&settings.home, settings.core_port),
            siblings: others.flat_map(|(_, member)| member.rules()).collect(),
            codec,
            flow_key: flow_token::Key::new(&settings.flow_key),
            marks: MarkKey::new(&settings.flow_key),
            flow_bindings,
            directory: Directory::default(),
            refreshed: Refreshed::default(),
            strays: Directory::default(),
            boot,
            rescanned: Message::default(),
            indices: Vec::new(),
            stick: Table::new(seed),
            stuck: Vec::new(),
            pings: Pings::default(),
            settings,
        }
    }

    /// Number of dialogs whose phone sends over another flow than their Route leads to.
    #[must_use]
    pub const fn refreshed(&self) -> usize {
        self.refreshed.len()
    }

    /// Number of phones bound to flows of this shard.
    #[must_use]
    pub(crate) const fn bound_phones(&self) -> usize {
        self.flow_bindings.len()
    }

    pub(super) fn origin(&self, net: &Net, flow: Flow) -> Origin {
        let Some(end) = net.flows.end(flow) else {
            return Origin::Phone;
        };
        // Homes and edges beyond the core side come to its sockets: an address of theirs at
        // another socket is forged.
        if let Flow::Udp { socket, .. } = flow
            && net.flows.is_beyond_core(end.addr.ip())
            && net.flows.is_beside_core(socket)
        {
            return Origin::Phone;
        }
        let member = if end.transport == Transport::Tls {
            self.origin_by_certificate(net, flow)
        } else {
            self.origin_by_address(&end)
        };
        let identities = net.flows.identities(flow);
        let mut carriers = self.settings.peers.iter();
        if member == Origin::Phone && carriers.any(|rule| rule.believes(&end, identities)) {
            Origin::Carrier
        } else {
            member
        }
    }

    /// Who is at the end of a flow that has no certificate, by its address and port.
    fn origin_by_address(&self, end: &End) -> Origin {
        if self.homes.is_home_by_address(end) {
            Origin::Home
        } else if self.homes.any_without_tls()
            && self.siblings.iter().any(|rule| rule.believes(end))
        {
            Origin::Edge
        } else {
            Origin::Phone
        }
    }

    /// Who would receive what is sent to an address. Who sends from an address is another
    /// question (`origin`).
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

    fn origin_by_certificate(&self, net: &Net, flow: Flow) -> Origin {
        let is_home = |name: &str| {
            let mut domains = self.settings.home_domains.iter();
            domains.any(|domain| domain.eq_ignore_ascii_case(name)) || self.homes.proves_home(name)
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

    /// The indices of the members that a token names; names that no member has are left out.
    pub(super) fn token_indices(&self, token: &Token) -> impl Iterator<Item = usize> {
        token.edges().filter_map(|name| {
            let mut members = self.settings.members.iter();
            members.position(|member| member.name.as_bytes() == name)
        })
    }

    /// The indices of the members that a token does not name, without this edge: a phone whose
    /// edges are all dead has come to one of them.
    pub(super) fn indices_outside(&self, token: &Token) -> impl Iterator<Item = usize> {
        let mut all = (0..self.settings.members.len()).filter(|index| *index != self.own);
        std::iter::from_fn(move || {
            all.find(|index| self.token_indices(token).all(|known| known != *index))
        })
    }

    /// The edges of a token as a set; this edge alone where they do not fit one.
    pub(super) fn token_set(&self, token: &Token) -> EdgeSet {
        EdgeSet::of_all(self.token_indices(token)).unwrap_or_else(|| self.own_set())
    }

    /// The set of this edge and no other.
    pub(super) fn own_set(&self) -> EdgeSet {
        EdgeSet::of(self.own)
    }

    /// Writes the token of a subscriber with these edges; false where it is too long.
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
        let tls = Some(Transport::Tls).filter(|_| !self.homes.any_without_tls());
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

/// The parent domain of a name, in lower case and without a last dot.
fn parent(name: &str) -> Option<String> {
    let (_, parent) = name.strip_suffix('.').unwrap_or(name).split_once('.')?;
    Some(parent.to_ascii_lowercase())
}
