//! The edge as a role of the proxy: what it knows, and what it does with each
//! thing the proxy asks it.

use std::net::{IpAddr, SocketAddr};

use super::flow_token;
use super::{Codec, EdgeSet, Registrations, Settings, Token};
use crate::edit::{Edits, decimal};
use crate::id::{Flow, Transport};
use crate::limits;
use crate::proxy::{Context, Net, Plan, Policy, Request, Response, Verdict};
use crate::scan::via::Via;
use crate::scan::{Message, Method, Name, params};
use crate::send::{Beats, Hop};
use crate::time::Instant;

/// Registrations looked at per sweep: bounds the work of one wake.
const SWEEP: usize = 1_024;

/// One edge.
pub struct Edge {
    pub(super) settings: Settings,
    /// Its own place in `settings.members`.
    pub(super) own: usize,
    pub(super) codec: Codec,
    pub(super) flow_key: flow_token::Key,
    pub(super) registrations: Registrations,
    /// Keeps flow tokens of an earlier run from finding a flow of this one.
    pub(super) boot: u64,
    /// The token of the request at hand.
    pub(super) token: Token,
    /// Outline of a request looked at again when its response comes.
    pub(super) again: Message,
    pub(super) text: Vec<u8>,
    pub(super) places: Vec<usize>,
}

/// Who sent a request, told by the address it came from and nothing in it
/// (D-H2). The port does not count: homes and edges send from sockets that
/// nobody configures. So a phone cannot stand behind the address of a home or
/// of another edge; its REGISTER passes there without `ob` and binds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The home.
    Home,
    /// Another edge of the cluster: a request it relays.
    Edge,
    /// A phone, or anybody.
    Phone,
}

impl Edge {
    /// An edge; `seed` is the shard's, `boot` differs from run to run.
    #[must_use]
    pub fn new(settings: Settings, seed: [u64; 4], boot: u64) -> Self {
        let own = settings
            .members
            .iter()
            .position(|member| member.name == settings.name)
            .unwrap_or_default();
        let codec = Codec::new(&settings.token_keys);
        Self {
            own,
            codec,
            flow_key: flow_token::Key::new(&settings.flow_key),
            registrations: Registrations::new(seed),
            boot,
            token: Token::new(),
            again: Message::default(),
            text: Vec::new(),
            places: Vec::new(),
            settings,
        }
    }

    /// Phones bound to flows of this shard.
    #[must_use]
    pub const fn registered(&self) -> usize {
        self.registrations.len()
    }

    pub(super) fn origin(&self, source: SocketAddr) -> Origin {
        let ip = source.ip().to_canonical();
        if self.settings.home.iter().any(|home| home.addr.ip() == ip) {
            return Origin::Home;
        }
        let siblings = self
            .settings
            .members
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != self.own);
        if siblings
            .map(|(_, member)| member.address)
            .any(|address| address == ip)
        {
            Origin::Edge
        } else {
            Origin::Phone
        }
    }

    /// The places of the edges a token names; names nobody has are left out.
    pub(super) fn token_set(&mut self) -> EdgeSet {
        self.places.clear();
        for name in self.token.edges() {
            let place = self
                .settings
                .members
                .iter()
                .position(|member| member.name.as_bytes() == name);
            self.places.extend(place);
        }
        EdgeSet::new(&self.places).unwrap_or_else(|| self.alone())
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

    /// How to reach another member over the transport a request came on.
    pub(super) fn member_hop(&self, place: usize, transport: Transport) -> Option<Hop> {
        let member = self.settings.members.get(place)?;
        let port = match transport {
            Transport::Udp => member.udp,
            Transport::Tcp => member.tcp,
        };
        Some(Hop::To {
            transport,
            addr: SocketAddr::new(member.address, port),
        })
    }
}

impl Policy for Edge {
    fn route(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
    ) -> Verdict {
        if request.message.method() == Method::Register {
            self.register(net, now, request, plan)
        } else {
            self.call(net, now, request, plan)
        }
    }

    fn accepted(
        &mut self,
        net: &mut Net,
        now: Instant,
        context: &Context,
        response: &Response<'_>,
        edits: &mut Edits,
    ) {
        self.registered_with(net, now, context, response, edits);
        grant_keep(response, edits);
    }

    fn soften(&self, _: u16) -> Option<(u16, &'static str)> {
        None
    }

    fn flow_lost(&mut self, _: &mut Net, _: Instant, flow: Flow) {
        self.registrations.flow_lost(flow);
    }

    fn is_peer(&self, ip: IpAddr) -> bool {
        self.origin(SocketAddr::new(ip, 0)) != Origin::Phone
    }

    fn met(&mut self, _: &mut Net, _: Instant, _: Flow, _: SocketAddr) {}

    /// The homes, and the other edges: which of them live is known before a
    /// request has to be relayed.
    fn begin(&mut self, net: &mut Net, now: Instant) {
        let homes = self.settings.home.iter();
        let homes = homes.filter(|home| home.transport == Transport::Udp);
        let others = (0..self.settings.members.len()).filter(|place| *place != self.own);
        let others = others.filter_map(|place| self.member_hop(place, Transport::Udp));
        let homes = homes.map(|&super::Hop { transport, addr }| Hop::To { transport, addr });
        for hop in homes.chain(others) {
            if let Some(flow) = net.reach(hop) {
                net.meet(now, flow, Beats::Ours);
            }
        }
    }

    fn uses(&self, now: Instant, flow: Flow, peer: SocketAddr) -> bool {
        self.registrations.is_used(now, flow) || self.origin(peer) != Origin::Phone
    }

    fn sweep(&mut self, _: &mut Net, now: Instant) {
        let budget = SWEEP.max(self.registrations.len() / 64);
        self.registrations.expire(now, budget);
    }
}

/// K-1: the phone offered keep-alives in its Via; it gets the interval, equal
/// to Flow-Timer (RFC 6223 §4.4, §5). Only the phone's own Via is left below
/// ours when it is our direct neighbour.
fn grant_keep(response: &Response<'_>, edits: &mut Edits) {
    let (bytes, message) = (response.bytes, response.message);
    if response.hops() != 2 {
        return;
    }
    let via = message.values(bytes, Name::Via).nth(1);
    let Some(Ok(via)) = via.map(|value| Via::parse(bytes, value)) else {
        return;
    };
    let offered = params::iter(bytes, via.params)
        .find(|param| param.name.of(bytes).eq_ignore_ascii_case(b"keep") && param.value.is_none());
    if let Some(param) = offered {
        edits.insert(usize::from(param.whole.end), |out| {
            out.push(b'=');
            decimal(out, limits::FLOW_TIMER_S);
        });
    }
}
