//! The [`Home`] of a domain: its auth proxy, registrar and home proxy. Digest and nonces
//! (RFC 7616, 8760), the subscribers, the bindings (RFC 3261 §10.3, RFC 5626 §6), and where
//! a request goes.
//!
//! - `state`: the fields of one home, and who somebody is to it. Its tables are
//!   `subscribers`, `location`, `nonce::Replay`, `challenged`, `former_paths`,
//!   `unrecognised_edges`, `tentative`, `under_way` and `revocation_queue`.
//! - `aor`, `rules`, `dialog`, `edge_node`: what needs no table.
//! - `stickiness`: what binds a URI to a flow; `sibling_flows`: to the further flows of a
//!   phone; `moved_dialogs`: to the flow of a phone that has moved; `next_hops`: where a URI
//!   leads.
//! - `sharing`: what the other shards and the store get; `shared_store`: what goes to and comes
//!   from a store that several homes share.
//! - `registrar`, `authenticate`, `caller`, `routing`, `forking`, `record_route`, `redirects`,
//!   `revoking`: what the home decides; `policy`: the questions of the proxy
//!   ([`Policy`](crate::proxy::Policy)), answered by these.
//! - `reconfigure`: other settings for a running home.
//! - `binding_report`, `why`: what an operator is shown.
//!
//! The files use one another in one direction: `state` uses the tables and nothing else of
//! these, and nothing uses `policy`.
//!
//! Decisions: who comes from an edge is told by the flow, so a REGISTER past the
//! edges is redirected before anything is looked up, and a stranger is never
//! relayed. A call takes the flow its REGISTER came on; when that is gone, the
//! flow its Path sticks to, else any edge. Homes of one cluster share keys, and where they have
//! a store in common their bindings; else a phone is called through the home it registered at.
//!
//! Invariants: a nonce is checked by its bytes and the key alone, so every home
//! of a cluster finds the same; an update of bindings happens whole or not at
//! all; an expired binding is never seen, swept or not.

mod aor;
mod authenticate;
mod binding_report;
mod caller;
mod challenged;
mod dialog;
mod edge_node;
mod forking;
mod former_paths;
mod location;
mod moved_dialogs;
mod next_hops;
mod nonce;
mod policy;
mod reconfigure;
mod record_route;
mod redirects;
mod registrar;
mod revocation_queue;
mod revoking;
mod routing;
mod rules;
mod shared_store;
mod sharing;
mod sibling_flows;
mod state;
mod stickiness;
mod subscribers;
mod tentative;
mod under_way;
mod unrecognised_edges;
mod why;

use std::net::IpAddr;

use crate::digest::Algorithm;
use crate::proxy::Net;
use crate::send::{End, HostRule, KnownAs, PeerRule};
use crate::time::Duration;
use crate::trust::{CallsOut, Destinations, IdentityHeaders};

pub use binding_report::{BindingReport, ReportedBinding};
pub use location::{ChangeKind, ChangedBinding, SharedChange, row_of};
pub use shared_store::{SharedBindings, SharedRow};
pub use state::Home;
pub use subscribers::{BadLine, Revoked, Subscribers};
pub use under_way::Tell;

use location::{Binding, Change, Conflict, Location, Register};
use nonce::Replay;

/// The configuration of a home.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The domain served, and the realm of its challenges.
    pub domain: String,
    /// Its name among several homes that share no store: written into its
    /// Service-Route and Record-Route, so that what began here comes back here
    /// while it lives. Empty: the homes stand in for each other.
    pub name: String,
    /// Contact of the 300, the text between the angle brackets:
    /// `sip:edge.example.com;lr`.
    pub edges: String,
    /// Who counts as an edge without a certificate, and where edges live.
    pub edge_peers: Vec<HostRule>,
    /// Other carriers that send calls.
    pub peers: Vec<PeerRule>,
    /// Signs the nonces and the marks of dialogs; the same on every home of the cluster.
    pub nonce_key: [u8; 32],
    /// Keys that signed them before, which are still good.
    pub older_nonce_keys: Vec<[u8; 32]>,
    /// The algorithms of its challenges, strongest first (RFC 8760 §2.3).
    pub algorithms: Vec<Algorithm>,
    /// A REGISTER must prove whose it is. Otherwise it is believed, for a
    /// network in which somebody before the home has authenticated it.
    pub authenticates: bool,
    /// When a REGISTER that passed no edge is redirected to one.
    pub redirect: Redirect,
    /// How long contacts ring before those of a lower `q` are tried; `None`: until
    /// Timer C.
    pub ring_time: Option<Duration>,
    /// Whoever calls in a subscriber's name past the edges must prove it (P-6).
    pub challenges_calls: bool,
    /// A REGISTER with Path whose phone does not show `Supported: path` is
    /// refused.
    pub requires_path: bool,
    /// A phone that wants RFC 5626 where its first hop does not support it gets
    /// 439 (O-12). Otherwise it is registered without: pjsua, which gives up at a 439,
    /// accepts that.
    pub requires_outbound: bool,
    /// The domains that subscribers may call besides this one.
    pub calls_out: CallsOut,
    /// Where nobody but a peer is sent to.
    pub destinations: Destinations,
    /// What is taken off at the border of the trust domain.
    pub identities: IdentityHeaders,
    /// Each change is put out as `Output::Store`. Otherwise registrations live as
    /// long as the process.
    pub is_stored: bool,
    /// Other homes have the same store: what is put out are changes of rows, and rows that
    /// others have changed come back. Only where registrations are stored.
    pub is_shared: bool,
    /// No REGISTER is answered with 200 before its row is on disk. Only where
    /// registrations are stored.
    pub is_durable: bool,
}

/// What happens to a REGISTER that did not come through an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirect {
    /// It gets the 300.
    Always,
    /// It gets the 300 when the phone showed that it understands one; others
    /// are registered as by a first hop of RFC 5626: no phone in the shops
    /// follows a 300 whose Contact has `lr`.
    #[default]
    IfSupported,
    /// It is registered as by a first hop of RFC 5626.
    Never,
}

impl Settings {
    /// Gives the machinery of a shard what these say of it: where it may send, and what it is
    /// called.
    pub(crate) fn configure(&self, net: &mut Net) {
        net.destinations = self.destinations.clone();
        net.flows.set_known_as(self.known_as());
    }

    /// What this home is called besides the addresses of its sockets.
    fn known_as(&self) -> KnownAs {
        KnownAs {
            names: vec![self.domain.clone()],
            ..KnownAs::default()
        }
    }

    /// True when an edge is at this end of a flow without a certificate: the way
    /// a request came, not a header in it, makes it an edge's.
    #[must_use]
    pub fn is_edge(&self, end: &End) -> bool {
        self.edge_peers.iter().any(|edge| edge.believes(end))
    }

    /// True when an edge may be at this end of a flow, as far as its address and port
    /// tell.
    #[must_use]
    pub(crate) fn may_be_edge(&self, end: &End) -> bool {
        self.edge_peers.iter().any(|edge| edge.comes_from(end))
    }

    /// True for an address at which edges live: what is sent there reaches one.
    #[must_use]
    pub(crate) fn has_edge_at(&self, ip: IpAddr) -> bool {
        self.edge_peers.iter().any(|edge| edge.lives_at(ip))
    }
}
