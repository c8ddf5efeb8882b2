//! The [`Edge`]: the proxy a phone keeps its flow to. It writes itself into the
//! route of every dialog and registration (Record-Route, Path) by a token, and turns that token
//! back into the phone's flow.
//!
//! - `token`: one token per subscriber and edge set, the same bytes from every edge;
//!   `flow_token`: RFC 5626 §5.2 for everyone else.
//! - `set`: which edges serve a subscriber, chosen without talking to anyone; `member`, `members`:
//!   where the edges are, and `names`: by which host names they are known.
//! - `flow_bindings`: which flow leads to which subscriber, on this shard; `restoring`, `row`:
//!   those over UDP that an earlier run has left on disk; `phone_directory`, `phone_holder`, `other_shards`: which shard has
//!   a phone's flow when it is not this one.
//! - `refreshed_dialogs`, `target_refresh`: dialogs whose phone sends over another flow than their
//!   Route leads to.
//! - `state`: the state of one edge; `origin`: who is at the end of a flow; `homes`, `sticky`: the
//!   homes, and which of them a request goes to; `home_uris`: which URIs are theirs.
//! - `own_routes`: which Route values are ours; `uris`, `record_route`, `service_route`: those that we write.
//! - `policy`: what the edge decides when the proxy asks it ([`Policy`](crate::proxy::Policy)). Of a request: `route`, with `allowed`,
//!   `relay`, `redirects`, `silence_standbys`. Of a registration: `register_request` and
//!   `register_answer`, with `phone`, `granted`, `retiring`, `nat_keepalive`,
//!   `revoking`.
//!
//! `reconfigure` gives a running edge other settings.
//!
//! A file uses no file that uses it: `policy` is above all others, `state` below.
//!
//! Beyond `refreshed_dialogs` no dialog is remembered: the token in the Record-Route URI
//! carries what the next request needs. Edges replicate nothing: one that a request reaches by
//! mistake redirects the home, relays it once, or asks the other edges once, and the home
//! learns from the answers where to send the next one.
//!
//! Who sends a request is decided once, by the flow that it comes over
//! (`origin`); what the sender may do, in `route` and `allowed`. A token says where a
//! phone is, and nothing of who sends it.

pub mod flow_token;

mod allowed;
mod flow_bindings;
mod granted;
mod home_uris;
mod homes;
mod instance;
mod member;
mod members;
mod names;
mod nat_keepalive;
mod origin;
mod other_shards;
mod own_routes;
mod phone;
mod phone_directory;
mod phone_holder;
mod policy;
mod reconfigure;
mod record_route;
mod redirects;
mod refreshed_dialogs;
mod register_answer;
mod register_request;
mod relay;
mod restoring;
mod retiring;
mod revoking;
mod route;
mod row;
mod service_route;
mod set;
mod silence_standbys;
mod state;
mod sticky;
mod target_refresh;
mod token;
mod uris;
mod why;

use std::net::{IpAddr, SocketAddr};

use flow_bindings::{BindResult, FlowBinding, FlowBindings, Follows};
pub(crate) use instance::pseudo_instance;
pub use member::Member;
pub use row::is_live;
use set::EdgeSet;
pub use state::Edge;
pub use token::{BadToken, Codec, Token, Unfit, UserPartKind};

use crate::id::Transport;
use crate::proxy::Net;
use crate::send::{KnownAs, PeerRule};
use crate::trust::{CallsOut, Destinations, IdentityHeaders, Strangers};
use crate::uri::same_host;

/// What becomes of a phone that does not say that it knows Path (RFC 3327 §5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathPolicy {
    /// Its REGISTER goes on with a Path, and the registrar decides.
    Accept,
    /// It is refused.
    Require,
    /// The edge says it for the phone, since strict registrars answer 420
    /// otherwise, and takes the Path out of its 2xx. The phone has no use for it.
    #[default]
    Vouch,
}

/// Who and what an edge is. Equal on all edges of a cluster except `name` and
/// `core_listen`.
#[derive(Clone)]
pub struct Settings {
    /// This edge's own name, one of `members`.
    pub name: String,
    /// The host of the Path and Record-Route URIs: the cluster's DNS name.
    pub cluster: String,
    /// Where requests of phones go, in order of preference.
    pub home: Vec<NextHop>,
    /// Domains linked to the flows of the home.
    pub home_domains: Vec<String>,
    /// What leads a home without stickiness to the core side of any edge; `None`:
    /// `cluster` does.
    pub core_name: Option<CoreName>,
    /// Every edge of the cluster, in the same order on every edge.
    pub members: Vec<Member>,
    /// The DNS has the name of every member below the cluster's, so that routes
    /// for phones that resolve carry names (RFC 3263 §4.3).
    pub member_names: bool,
    /// Further host names that lead to this edge.
    pub names: Vec<String>,
    /// Other carriers that send calls.
    pub peers: Vec<PeerRule>,
    /// The first core port of the homes: theirs are like ours.
    pub core_port: u16,
    /// What becomes of a REGISTER whose phone does not show `Supported: path`.
    pub path: PathPolicy,
    /// Edges in one subscriber's set, 1 to `limits::EDGE_SET_MAX`.
    pub set_size: usize,
    /// Keys of sealed tokens: the first one mints, all of them verify. None:
    /// clear tokens.
    pub token_keys: Vec<[u8; 64]>,
    /// Key of the RFC 5626 flow tokens and of the dialog marks.
    pub flow_key: [u8; 32],
    /// Keys that made such tokens and marks before, which are still good.
    pub older_flow_keys: Vec<[u8; 32]>,
    /// Who may do what.
    pub rules: Rules,
    /// Registrations over UDP are put out as `Output::Store`, for the next run.
    pub keeps_flows: bool,
    /// This edge's own listeners for connections of peers alone, over TCP.
    pub core_listen: Vec<SocketAddr>,
}

impl Settings {
    /// Gives the machinery of a shard what these say of it: where it may send, and what it is
    /// called.
    pub(crate) fn configure(&self, net: &mut Net) {
        net.destinations = self.rules.destinations.clone();
        net.flows.set_known_as(self.known_as());
    }

    /// The names and addresses of this edge besides those of its sockets. All edges
    /// share the cluster's name, and prove it (S-35). Where each has a name of its own
    /// in the DNS, its certificate is for that too and it stands in the edge's Vias, so that a
    /// connection which is opened for an answer leads to this very edge.
    fn known_as(&self) -> KnownAs {
        let own = self
            .member_names
            .then(|| format!("{}.{}", self.name, self.cluster));
        KnownAs {
            names: own.into_iter().chain([self.cluster.clone()]).collect(),
            advertised: self.advertised(),
            core: self.core_side(),
            core_listen: self.core_listen.clone(),
            edges: self.sibling_ips(),
        }
    }

    /// Pairs of an own address and the one that phones know it by (a 1:1 address translation).
    fn advertised(&self) -> Vec<(IpAddr, IpAddr)> {
        let Some(own) = self.own() else {
            return Vec::new();
        };
        let pairs = own.addresses.iter().filter_map(|ip| {
            let mut advertised = own.advertised.iter();
            let known = advertised.find(|known| known.is_ipv6() == ip.is_ipv6())?;
            Some((*ip, *known))
        });
        pairs.collect()
    }

    /// The addresses at which homes and other edges reach this one; empty where those are the
    /// addresses for everybody.
    #[must_use]
    pub fn core_side(&self) -> Vec<(Transport, SocketAddr)> {
        self.own().map(|own| own.core.clone()).unwrap_or_default()
    }

    fn own(&self) -> Option<&Member> {
        let mut members = self.members.iter();
        members.find(|member| member.name == self.name)
    }

    /// The addresses at which this edge reaches the other ones.
    fn sibling_ips(&self) -> Vec<IpAddr> {
        let others = self
            .members
            .iter()
            .filter(|member| member.name != self.name);
        let ips = others.flat_map(Member::peer_ips);
        ips.map(|ip| ip.to_canonical()).collect()
    }

    /// True for a name that all edges share.
    pub(crate) fn is_cluster(&self, host: &[u8]) -> bool {
        same_host(host, self.cluster.as_bytes()) || self.is_core_name(host)
    }

    /// True for the name of the core sides.
    pub(crate) fn is_core_name(&self, host: &[u8]) -> bool {
        let core = self.core_name.as_ref();
        core.is_some_and(|core| same_host(host, core.host.as_bytes()))
    }

    /// What stands behind a token in the URIs for the homes: the cluster's name, or
    /// that of the core sides.
    pub(crate) fn home_side(&self) -> &[u8] {
        let core = self.core_name.as_ref();
        core.map_or(&self.cluster, |core| &core.written).as_bytes()
    }
}

/// The name of the core sides of all edges, for Path and for the Record-Route values that
/// homes get. A home that has no stickiness resolves it (RFC 3263) and reaches any edge, on its
/// core side and over the transport in `written`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreName {
    /// The host alone.
    pub host: String,
    /// Host, port and transport parameter, as they stand behind the user part.
    pub written: String,
}

/// What the operator of an edge allows.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What becomes of requests of strangers other than REGISTER.
    pub strangers: Strangers,
    /// Where a subscriber's own Route may lead past the homes.
    pub calls_out: CallsOut,
    /// Where nobody but a peer is sent to.
    pub destinations: Destinations,
    /// The identity headers that are removed at the border of the trust domain.
    pub identities: IdentityHeaders,
    /// What becomes of phones behind an address translation.
    pub nat_keepalive: NatKeepalive,
    /// No identity is asserted for an INVITE or MESSAGE outside of dialogs over UDP, where a source
    /// can be forged: the home challenges it.
    pub challenges_udp_calls: bool,
}

/// How a phone over UDP stays reachable behind an address translation, if it has agreed on no
/// keep-alive of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NatKeepalive {
    /// The edge sends it something every now and then.
    #[default]
    Ping,
    /// The edge has it register again soon.
    Short,
    /// Not at all.
    Off,
}

/// The configured next hop to a home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// This address.
    At(ConfiguredHop),
    /// The servers of this URI (RFC 3263): whatever the DNS names is trusted as a home.
    Named(String),
}

/// A next hop given by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredHop {
    /// What carries messages to it.
    pub transport: Transport,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Over TLS: the domain that its certificate must name.
    pub name: Option<String>,
}

/// One instance (phone) of one user, as a token or a flow binding names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscriber<'a> {
    /// User of the address of record in the To, in one spelling. Empty: the To
    /// names none, and nothing may be sent to its token.
    pub user: &'a [u8],
    /// The domain of that address, in lower case: two users of one name in two
    /// domains have nothing in common.
    pub realm: &'a [u8],
    /// Value of `+sip.instance`, or a `pseudo_instance`.
    pub instance: &'a [u8],
}

impl<'a> Subscriber<'a> {
    /// User, realm and instance, for a hash or a MAC over all of them.
    const fn fields(&self) -> [&'a [u8]; 3] {
        [self.user, self.realm, self.instance]
    }
}
