//! The edge as a role of the proxy: what it knows, and how it tells its own
//! Route values from all others (RFC 3261 §16.4; D-E1 to D-E4).

use std::net::{IpAddr, SocketAddr};

use super::flow_token;
use super::{BadToken, Codec, EdgeSet, Kind, Registrations, Settings, Token};
use crate::edit::Edits;
use crate::id::{Flow, Transport};
use crate::proxy::{Context, Net, Note, Plan, Policy, Request, Response, Verdict};
use crate::scan::address::Address;
use crate::scan::uri::{Scheme, Uri, host_ip, same_host};
use crate::scan::{Message, Method, Name};
use crate::send::Hop;
use crate::span::Span;
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

/// Who sent a request, told by where it came from and nothing in it (D-H2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The home.
    Home,
    /// Another edge of the cluster: a request it relays.
    Edge,
    /// A phone, or anybody.
    Phone,
}

/// What a Route value (or a Request-URI) is to this edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mine {
    /// The cluster, nobody in particular.
    Cluster,
    /// A token of this cluster, now in `Edge::token`.
    Token,
    /// An RFC 5626 flow token.
    Flow(Flow),
    /// One of our own addresses, without a user.
    Address,
    /// The address of another edge: its phone-side Record-Route value.
    Sibling,
    /// A token meant for another edge (D-E4).
    Elsewhere(usize),
    /// A token that does not verify.
    Bad(BadToken),
    /// Somebody else's.
    Not,
}

/// The Route values at the front that are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// How many.
    pub(super) count: usize,
    /// What they say.
    pub(super) what: Mine,
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

    /// What `uri` is to us. Reads a token into `self.token`.
    pub(super) fn classify(&mut self, net: &Net, bytes: &[u8], uri: Span) -> Mine {
        let Ok(uri) = Uri::parse(bytes, uri) else {
            return Mine::Not;
        };
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Mine::Not;
        }
        let host = uri.host.of(bytes);
        if same_host(host, self.settings.cluster.as_bytes()) {
            return self.classify_cluster(net, bytes, &uri);
        }
        let Some(ip) = host_ip(host) else {
            return Mine::Not;
        };
        let port = uri.port.unwrap_or(5060);
        if self.is_own_address(net, ip, port) {
            return uri
                .user
                .map_or(Mine::Address, |user| self.flow_token(user.of(bytes)));
        }
        if uri.user.is_none()
            && self
                .settings
                .members
                .iter()
                .any(|member| member.address == ip)
        {
            return Mine::Sibling;
        }
        Mine::Not
    }

    fn classify_cluster(&mut self, net: &Net, bytes: &[u8], uri: &Uri) -> Mine {
        // `maddr` decides whose it is (D-U12); the port goes with it.
        if let Some(Some(maddr)) = uri.param(bytes, "maddr")
            && let Some(ip) = host_ip(maddr.of(bytes))
            && !net.flows.locals().iter().any(|local| local.addr.ip() == ip)
        {
            let place = self
                .settings
                .members
                .iter()
                .position(|member| member.address == ip);
            return place.map_or(Mine::Not, Mine::Elsewhere);
        }
        let Some(user) = uri.user else {
            return Mine::Cluster;
        };
        match Kind::of(user.of(bytes)) {
            Kind::Flow => self.flow_token(user.of(bytes)),
            Kind::Clear | Kind::Sealed => self
                .codec
                .read(user.of(bytes), &mut self.token)
                .map_or_else(Mine::Bad, |()| Mine::Token),
            Kind::Foreign => Mine::Bad(BadToken::Malformed),
        }
    }

    fn flow_token(&self, user: &[u8]) -> Mine {
        flow_token::read(&self.flow_key, user, self.boot).map_or_else(Mine::Bad, Mine::Flow)
    }

    fn is_own_address(&self, net: &Net, ip: IpAddr, port: u16) -> bool {
        let member = self.settings.members.get(self.own);
        let configured = member
            .is_some_and(|own| own.address == ip && [own.udp, own.tcp, own.tls].contains(&port));
        configured || net.flows.is_local(ip, port)
    }

    /// Our values at the front of the Route set: a phone-side address and a
    /// token in either order make one pair (double Record-Route), and only one
    /// pair goes per pass (protocol 3.10).
    pub(super) fn own_routes(&mut self, net: &Net, request: &Request<'_>) -> Own {
        let bytes = request.bytes;
        let route = |place: usize| {
            let value = request.message.values(bytes, Name::Route).nth(place)?;
            Address::parse(bytes, value).ok().map(|address| address.uri)
        };
        let Some(first) = route(0) else {
            return Own {
                count: 0,
                what: Mine::Not,
            };
        };
        let first = self.classify(net, bytes, first);
        if matches!(
            first,
            Mine::Not | Mine::Sibling | Mine::Elsewhere(_) | Mine::Bad(_)
        ) {
            return Own {
                count: 0,
                what: if first == Mine::Sibling {
                    Mine::Not
                } else {
                    first
                },
            };
        }
        let Some(second) = route(1) else {
            return Own {
                count: 1,
                what: first,
            };
        };
        let alone = Own {
            count: 1,
            what: first,
        };
        match first {
            Mine::Address => match self.classify(net, bytes, second) {
                what @ (Mine::Token | Mine::Bad(_)) => Own { count: 2, what },
                _ => alone,
            },
            Mine::Flow(flow) => match self.classify(net, bytes, second) {
                Mine::Flow(again) if again == flow => Own {
                    count: 2,
                    what: first,
                },
                _ => alone,
            },
            Mine::Token => {
                // The token at hand must stay the first one's.
                let uri = Uri::parse(bytes, second).ok();
                let literal = uri
                    .filter(|uri| uri.user.is_none())
                    .and_then(|uri| host_ip(uri.host.of(bytes)));
                let ours = literal.is_some_and(|ip| {
                    self.settings
                        .members
                        .iter()
                        .any(|member| member.address == ip)
                });
                if ours {
                    Own {
                        count: 2,
                        what: first,
                    }
                } else {
                    alone
                }
            }
            Mine::Cluster | Mine::Sibling | Mine::Elsewhere(_) | Mine::Bad(_) | Mine::Not => alone,
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
        let mut names: [&[u8]; crate::limits::EDGE_SET_MAX] = Default::default();
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
            self.register(net, request, plan)
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
        if let Note::Register {
            token,
            initial,
            first_hop,
        } = &context.note
            && let Some(base) = context.request()
        {
            self.registered_with(
                net,
                now,
                context,
                base,
                token,
                (*initial, *first_hop),
                response,
                edits,
            );
        }
    }

    fn soften(&self, _: u16) -> Option<(u16, &'static str)> {
        None
    }

    fn flow_lost(&mut self, _: &mut Net, _: Instant, flow: Flow) {
        self.registrations.flow_lost(flow);
    }

    fn sweep(&mut self, _: &mut Net, now: Instant) {
        self.registrations.expire(now, SWEEP);
    }
}
