//! What a node says of itself and of the others it knows: `/view`, and `/events` each second.
//! Its page (`control/admin/page`) and `steadfast top` show it.

use serde::{Deserialize, Serialize};

/// A node and its neighbours at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Its name.
    pub node: String,
    /// `edge` or `home`.
    pub role: String,
    /// The cluster of an edge, the domain of a home.
    pub cluster: String,
    /// Where it listens, each once.
    pub addresses: Vec<String>,
    /// Its configuration.
    pub file: String,
    /// Its release.
    pub version: String,
    /// The commit of its build; empty where that is not known.
    pub commit: String,
    /// The time, in seconds since 1970.
    pub unix: f64,
    /// Since it was started.
    pub up_seconds: f64,
    /// Its shards.
    pub shards: usize,
    /// Why it takes no traffic; nothing: it does.
    pub not_ready: Vec<String>,
    /// The other nodes that it knows of.
    pub neighbours: Vec<Neighbour>,
    /// What it has counted since its start.
    pub counted: Counted,
    /// What it holds.
    pub held: Held,
    /// The bounds of the classes below but the last, in microseconds.
    pub bounds_us: Vec<u64>,
    /// Calls by how long they took from INVITE to 2xx.
    pub set_up: Vec<u64>,
    /// Registrations by how long they took to their final answer.
    pub registration: Vec<u64>,
    /// Turns of its shards by how long they took.
    pub loop_delay: Vec<u64>,
    /// The same by how long their oldest message may have waited.
    pub queue_time: Vec<u64>,
    /// What it told its operator of late, the oldest first.
    pub told: Vec<Event>,
    /// What it refused of late, the oldest first.
    pub rejected: Vec<Refusal>,
    /// What failed of late as it passed the node, whoever refused it, the oldest first.
    #[serde(default)]
    pub failed: Vec<Failure>,
}

/// Another node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its name, or its address where no name is known.
    pub name: String,
    /// `edge` or `home`.
    pub kind: String,
    /// `up`, `down` or `unknown`.
    pub state: String,
    /// Where it is found.
    pub addresses: Vec<String>,
    /// This node sends it keep-alives.
    pub asks: bool,
    /// It sends this node keep-alives.
    pub is_asked: bool,
    /// Since anything was heard of it, in milliseconds, where a flow to it is watched.
    pub silent_ms: Option<u64>,
    /// It is being taken out of service.
    pub retires: bool,
    /// Where its own page is.
    pub page: Option<String>,
}

/// Counts since the start of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "each is the counter of that name in /metrics, over all shards"
)]
pub struct Counted {
    /// INVITEs that came.
    pub calls: u64,
    /// Requests that came.
    pub requests: u64,
    /// REGISTERs that came.
    pub registers: u64,
    /// Responses sent, by class, 1xx first.
    pub answers: [u64; 6],
    pub timeouts: u64,
    pub transport_failures: u64,
    pub flows_failed: u64,
    pub rejected: u64,
    pub overtaken: u64,
    pub sent_again: u64,
    pub redirects_followed: u64,
    pub relays: u64,
    pub refreshed: u64,
    pub peers_silent: u64,
    /// Requests refused since a shard was late, whatever their worth.
    pub shed: u64,
}

/// What a node holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// At a home addresses of record, at an edge phones.
    pub registered: u64,
    /// At an edge, phones by transport.
    pub phones: Vec<(String, u64)>,
    /// Connections.
    pub streams: u64,
    /// Requests under way.
    pub contexts: u64,
    /// The share of what is new that its latest shard refuses.
    pub shed_percent: u64,
    /// Memory of the process.
    pub resident_bytes: u64,
    /// Descriptors of the process.
    pub open_fds: u64,
}

/// Something that the operator was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in seconds since 1970.
    pub unix: u64,
    /// It is wrong, and was not mended by then.
    pub is_bad: bool,
    /// What it is.
    pub text: String,
}

/// A request that was refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `proxy::Reject`")]
pub struct Refusal {
    pub unix: f64,
    pub source: String,
    pub method: String,
    pub user: String,
    pub target: String,
    pub status: u16,
    pub reason: String,
}

/// A call, a registration or another request that was answered with a failure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// When the failure left this node, in seconds since 1970.
    pub unix: f64,
    /// What `steadfast trace --call-id` asks for.
    pub call_id: String,
    /// The method of the request.
    pub method: String,
    /// `user@host` of its From.
    pub from: String,
    /// `user@host` of its To.
    pub to: String,
    /// The status of the failure.
    pub status: u16,
    /// Its phrase.
    pub phrase: String,
}
