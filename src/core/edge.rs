//! The edge: the proxy a phone keeps its flow to. It writes itself into the
//! way of every request (Path, Record-Route) as a token, and turns that token
//! back into the phone's flow.
//!
//! - `token` and `seal`: one token per subscriber and edge set, the same bytes
//!   from every edge; `flow_token`: RFC 5626 §5.2 for everyone else.
//! - `set`: which edges serve a subscriber, chosen without talking to anyone.
//! - `flow_bindings`: which flow leads to which subscriber, on this shard.
//! - `restoring`, `row`: what of it an earlier run has left, where it leads over UDP.
//! - `directory`, `holding`: which shard has a phone's flow when it is not this one.
//! - `names`: by which host names the edges are known.
//! - `refreshed`: dialogs that a phone has gone on with over another flow.
//! - `state`: all of that as one edge has it, and who somebody is to it.
//! - `policy`, `own`, `register_request`, `moving`, `register_answer`, `revoking`, `route`, `record_route`: the role itself,
//!   what the edge decides when the proxy asks it.
//!
//! Dialogs are not remembered otherwise: the token in the Record-Route URI carries
//! what the next request needs. Nothing is asked of another edge either; one
//! that a request reaches by mistake relays it once, and the home learns the
//! rest from its answers.
//!
//! Who somebody is, is asked once, of the flow that a request comes on
//! (`state`); what he may do, in `route` and `allowed`. Tokens say where a
//! phone is, and nothing of who shows them.

pub mod flow_token;
pub mod set;

mod allowed;
mod directory;
mod flow_bindings;
mod holding;
mod homes;
mod instance;
mod keep_open;
mod left_behind;
mod member;
mod moving;
mod names;
mod own;
mod policy;
mod record_route;
mod redirects;
mod refreshed;
mod register_answer;
mod register_request;
mod restoring;
mod revoking;
mod route;
mod row;
mod seal;
mod spelling;
mod state;
mod sticky;
mod token;
mod why;

use std::net::{IpAddr, SocketAddr};

pub use flow_bindings::{FlowBinding, FlowBindings, Follows, Full, Known};
pub(crate) use instance::pseudo_instance;
pub use member::Member;
pub use row::is_live;
pub use seal::Ring;
pub use set::EdgeSet;
pub use state::Edge;
pub use token::{BadToken, Codec, Kind, Token, Unfit};

use crate::id::Transport;
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
    /// Who may do what.
    pub rules: Rules,
    /// Registrations over UDP are put out as `Output::Store`, for the next run.
    pub keeps_flows: bool,
    /// This edge's own listeners for connections of peers alone, over TCP.
    pub core_listen: Vec<SocketAddr>,
}

impl Settings {
    /// What this edge is called besides the addresses of its sockets. All edges
    /// share the cluster's name, and prove it (S-35); where each has a name of its own
    /// in the DNS, which its certificate is then for, that stands in its Vias: who opens
    /// a connection for an answer, or for what comes next, then comes to this very edge.
    pub(crate) fn known_as(&self) -> KnownAs {
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

    /// Its own addresses that phones know by others.
    fn advertised(&self) -> Vec<(IpAddr, IpAddr)> {
        let Some(own) = self.own() else {
            return Vec::new();
        };
        let told = own.addresses.iter().filter_map(|ip| {
            let mut told = own.advertised.iter();
            let told = told.find(|told| told.is_ipv6() == ip.is_ipv6())?;
            Some((*ip, *told))
        });
        told.collect()
    }

    /// Where homes and other edges meet this one, if not where everybody does.
    #[must_use]
    pub fn core_side(&self) -> Vec<(Transport, SocketAddr)> {
        self.own().map(|own| own.core.clone()).unwrap_or_default()
    }

    fn own(&self) -> Option<&Member> {
        let mut members = self.members.iter();
        members.find(|member| member.name == self.name)
    }

    /// Where the other edges are met.
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

    /// What stands behind a token where a home reads it: the cluster's name, or
    /// that of the core sides.
    pub(crate) fn home_side(&self) -> &[u8] {
        let core = self.core_name.as_ref();
        core.map_or(&self.cluster, |core| &core.written).as_bytes()
    }
}

/// The name of the core sides of all edges, as it stands in Path and in the
/// home's side of Record-Route. A home that has no stickiness resolves it
/// (RFC 3263) and reaches any edge there, over the transport that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreName {
    /// The host alone.
    pub host: String,
    /// Host, port and transport, as they stand behind the user part.
    pub written: String,
}

/// What the operator of an edge allows.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What strangers get who ask for something other than to be registered.
    pub strangers: Strangers,
    /// Where a subscriber's own Route may lead past the homes.
    pub calls_out: CallsOut,
    /// Where nobody but a peer is sent to.
    pub destinations: Destinations,
    /// What is taken off at the border.
    pub identities: IdentityHeaders,
    /// What becomes of phones behind an address translation.
    pub nat_keepalive: NatKeepalive,
    /// Nothing is asserted of who begins something over UDP, where a source can
    /// be forged: the home asks.
    pub challenges_udp_calls: bool,
}

/// How a phone over UDP behind an address translation stays reachable that agreed on
/// no keep-alive of its own.
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

/// Where the configuration says that a home is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// There.
    At(Hop),
    /// At the servers of this URI (RFC 3263): whatever the DNS names there is
    /// trusted as a home.
    Named(String),
}

/// A next hop given by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// What carries messages to it.
    pub transport: Transport,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Over TLS: the domain that its certificate must name.
    pub name: Option<String>,
}

/// Who a token or a registration speaks of: one instance of one user.
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
