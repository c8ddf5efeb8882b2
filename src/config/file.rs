//! The file of a node as types: each key with what it holds, its default, and what it means.
//!
//! They are what the reader knows the keys by ([`keys_of`]), what the reference in the README
//! and the JSON schema are made of, and are never values themselves: the reader goes through
//! the document by hand, so that every mistake knows its line. A test holds that each key here
//! is read, and that what the reader takes fits the schema.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::limits;

/// A node of steadfast.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "steadfast")]
#[schemars(extend("oneOf" = [{ "required": ["edge"] }, { "required": ["home"] }]))]
pub struct NodeFile {
    /// The node's name, unique in the cluster: letters, digits and hyphens. The name of an edge
    /// stands in tokens.
    #[schemars(regex(pattern = "^[A-Za-z0-9-]+$"))]
    pub name: String,
    /// Where it listens for phones and peers: `"udp:ADDRESS:PORT"` and `"tcp:ADDRESS:PORT"` at
    /// the same place, `"tls:ADDRESS:PORT"`.
    #[schemars(
        length(min = 1),
        inner(regex(pattern = "^ *(udp|tcp|tls):.+:[0-9]+ *$"))
    )]
    pub listen: Vec<String>,
    /// Where it listens for peers alone, who may connect from any port:
    /// `["tcp:192.0.2.11:5080"]`.
    #[schemars(length(min = 1), inner(regex(pattern = "^ *tcp:.+:[0-9]+ *$")))]
    pub core_listen: Option<Vec<String>>,
    /// The first of the 128 ports that it sends from to its peers; the same at every node of a
    /// cluster.
    #[schemars(range(min = 1024, max = 65_535 - (limits::CORE_PORTS - 1)))]
    #[schemars(extend("default" = limits::CORE_PORT))]
    pub core_port: Option<u16>,
    /// How many of the machine's cores it uses, each by a shard of its own; all of them where
    /// nothing is said.
    #[schemars(range(min = 1, max = limits::SHARDS_MAX))]
    pub shards: Option<u16>,
    /// A socket for the operator's commands, such as `"/run/steadfast/e1.sock"`; only its owner
    /// may open it.
    #[schemars(length(min = 1))]
    pub control: Option<String>,
    /// An address and port for `/metrics`, `/livez`, `/readyz` and a page for a browser, such as
    /// `"127.0.0.1:9090"`.
    #[schemars(length(min = 1))]
    pub metrics: Option<String>,
    /// Where the pages of other nodes are, by their name or address:
    /// `["e2=http://192.0.2.12:9090/"]`. This node's page leads there.
    #[schemars(length(min = 1), inner(regex(pattern = "^ *[^= ]+ *= *https?://")))]
    pub pages: Option<Vec<String>>,
    /// How much of what passes the node keeps in memory for `trace`, for all its shards together, an eighth of `memory` at the most;
    /// `"0"`: nothing.
    #[schemars(regex(pattern = "^ *[0-9]+[KMG]? *$"), extend("default" = "64M"))]
    pub recorder: Option<String>,
    /// A collector that gets every message by HEPv3: `"udp:192.0.2.9:9060"`, or
    /// `"tcp:homer.example.com:9060"`.
    #[schemars(regex(pattern = "^ *(udp|tcp):.+:[0-9]+ *$"))]
    pub hep: Option<String>,
    /// The number that the collector knows this node by.
    #[schemars(range(min = 1, max = u32::MAX), extend("default" = 2_001))]
    pub hep_id: Option<u32>,
    /// The password of the collector.
    #[schemars(length(min = 1))]
    pub hep_password: Option<String>,
    /// Where a line of JSON goes for each call and registration that ended: `"file:PATH"`, or
    /// `"unix:SOCKET"`.
    #[schemars(regex(pattern = "^ *(file|unix):.+$"))]
    pub events: Option<String>,
    /// What is logged: a level, or several with targets, such as `"warn,steadfast=debug"`.
    #[schemars(length(min = 1), extend("default" = "info"))]
    pub log: Option<String>,
    /// The file, and the files of keys that it names, are taken over whenever they change.
    #[schemars(extend("default" = false))]
    pub watch: Option<bool>,
    /// Networks whose sources are not counted; this machine where nothing is said.
    pub unlimited: Option<Vec<String>>,
    /// Connections that one address may have at once on each shard.
    #[schemars(range(min = 1, max = u16::MAX), extend("default" = limits::SOURCE_STREAMS))]
    pub connections_per_source: Option<u16>,
    /// MiB of pending and lingering requests that a stranger's address may make each shard keep.
    #[schemars(range(min = 1, max = limits::SOURCE_MEMORY_MAX_MIB))]
    #[schemars(extend("default" = limits::SOURCE_MEMORY >> 20))]
    pub source_memory: Option<u16>,
    /// Seconds that it goes on for at most once it is told to end: 300 at an edge, which keeps its
    /// calls, 10 at a home.
    #[schemars(range(min = 0, max = limits::DRAIN_FOR_MAX.as_secs()))]
    pub drain_for: Option<u32>,
    /// How much memory the node may use, such as `"512M"` or `"2G"`; `"none"`: what there is.
    /// Three quarters of what its control group may use where nothing is said, or what there is.
    #[schemars(regex(pattern = "^ *([0-9]+[KMG]|none) *$"))]
    pub memory: Option<String>,
    /// Certificates, for a node that speaks TLS.
    pub tls: Option<TlsSection>,
    /// An edge of a cluster. A file has this section or `[home]`.
    pub edge: Option<EdgeSection>,
    /// The home of a domain. A file has this section or `[edge]`.
    pub home: Option<HomeSection>,
    /// Name servers that are asked, and being one.
    pub dns: Option<DnsSection>,
}

/// `[edge]`
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EdgeSection {
    /// The cluster's domain: the host of the Path and Record-Route URIs.
    #[schemars(length(min = 1))]
    pub cluster: String,
    /// The name of the core sides of all edges, for a home that resolves what stands in Path:
    /// `"core.edge.example.com;transport=tcp"`.
    #[schemars(length(min = 1))]
    pub core_name: Option<String>,
    /// Where requests go: one home or several, in order, as
    /// `"sip:192.0.2.10:5060;transport=tcp"`, or a name for the DNS.
    #[schemars(length(min = 1))]
    pub home: Vec<String>,
    /// What the home serves; the parent domain of `cluster` where nothing is said.
    #[schemars(length(min = 1))]
    pub home_domains: Option<Vec<String>>,
    /// The edges of the cluster, this one too.
    #[schemars(length(min = 1, max = limits::MEMBERS_MAX))]
    pub members: Vec<MemberTable>,
    /// The DNS has the name of each member below `cluster`: routes for phones that resolve carry
    /// names.
    #[schemars(extend("default" = false))]
    pub member_names: Option<bool>,
    /// Further host names that lead to this edge.
    #[schemars(length(min = 1))]
    pub names: Option<Vec<String>>,
    /// Other carriers that send calls: `"tls:carrier.example.net"`, `"udp:192.0.2.50:5060"`,
    /// `"tcp:192.0.2.50"`.
    #[schemars(length(min = 1))]
    pub peers: Option<Vec<String>>,
    /// What becomes of a phone that does not say that it knows Path.
    #[schemars(extend("default" = "vouch"))]
    pub path: Option<EdgePathChoice>,
    /// How many edges serve one subscriber; 2, or as many as there are.
    #[schemars(range(min = 1, max = limits::EDGE_SET_MAX))]
    pub set_size: Option<u16>,
    /// The file of the cluster's keys, 128 hex digits a line, the first one mints: seals tokens
    /// and tickets. Without it tokens are readable.
    #[schemars(length(min = 1))]
    pub token_key_file: Option<String>,
    /// What becomes of requests of those who are nobody's subscribers.
    #[schemars(extend("default" = "challenge"))]
    pub strangers: Option<StrangersChoice>,
    /// Domains that the Routes of phones may lead to besides the home's, `"*"` for all.
    #[schemars(extend("default" = []))]
    pub calls_out: Option<Vec<String>>,
    /// Private networks, or addresses of this machine, that requests may lead to.
    #[schemars(extend("default" = []))]
    pub reach: Option<Vec<String>>,
    /// Networks that requests may not lead to, whoever asks.
    #[schemars(extend("default" = []))]
    pub deny: Option<Vec<String>>,
    /// Headers taken off what comes from phones, strangers and other domains, besides the usual
    /// ones.
    #[schemars(extend("default" = []))]
    pub identity_headers: Option<Vec<String>>,
    /// The home asks callers over UDP who they are, since such a source can be forged; true
    /// where the edge listens for TLS, if nothing is said.
    pub challenge_udp_calls: Option<bool>,
    /// What keeps open the way to a phone over UDP behind an address translation.
    #[schemars(extend("default" = "ping"))]
    pub nat_keepalive: Option<NatKeepaliveChoice>,
    /// Members whose addresses may move here (VRRP): the edge listens at them as well.
    #[schemars(length(min = 1))]
    pub covers: Option<Vec<String>>,
    /// The file that keeps where UDP phones are, for the next start.
    #[schemars(length(min = 1))]
    pub flows: Option<String>,
    /// How many phones have room in `flows`, 256 bytes each.
    #[schemars(range(min = 1, max = limits::FLOWS_KEPT_MAX))]
    #[schemars(extend("default" = limits::FLOWS_KEPT))]
    pub flows_max: Option<u32>,
}

/// An entry of `members`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["address"] }, { "required": ["addresses"] }]))]
pub struct MemberTable {
    /// Its `name`.
    #[schemars(regex(pattern = "^[A-Za-z0-9-]+$"))]
    pub name: String,
    /// Its IP address.
    #[schemars(length(min = 1))]
    pub address: Option<String>,
    /// Its IP addresses, where there are several.
    #[schemars(length(min = 1, max = limits::MEMBER_ADDRESSES_MAX))]
    pub addresses: Option<Vec<String>>,
    /// What phones are told instead, behind a 1:1 address translation.
    #[schemars(length(min = 1))]
    pub advertised: Option<Vec<String>>,
    /// Where homes and other edges meet it, on a side that phones are told nothing of.
    #[schemars(length(min = 1))]
    pub core: Option<Vec<String>>,
    /// Its UDP port.
    #[schemars(range(min = 1, max = u16::MAX), extend("default" = 5060))]
    pub udp: Option<u16>,
    /// Its TCP port.
    #[schemars(range(min = 1, max = u16::MAX), extend("default" = 5060))]
    pub tcp: Option<u16>,
    /// Its TLS port.
    #[schemars(range(min = 1, max = u16::MAX), extend("default" = 5061))]
    pub tls: Option<u16>,
    /// Its `core_port`, where that is another than this node's.
    #[schemars(range(min = 1024, max = 65_535 - (limits::CORE_PORTS - 1)))]
    pub core_port: Option<u16>,
    /// It is leaving service: phones that know `Outbound-Proxy` are sent to the others.
    #[schemars(extend("default" = false))]
    pub retire: Option<bool>,
    /// Where it stands, for edges that fail together: the backup of a phone is of another site.
    #[schemars(length(min = 1))]
    pub site: Option<String>,
}

/// `[home]`
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HomeSection {
    /// The domain served.
    #[schemars(length(min = 1))]
    pub domain: String,
    /// The file of subscribers: `joe example.com password=secret` or
    /// `ann example.com sha256=...`; read again when it changes.
    #[schemars(length(min = 1))]
    pub subscribers: String,
    /// What keeps the registrations: a file, or Valkey or Redis for several homes together, as
    /// `"valkey://USER:PASSWORD@HOST:PORT/DATABASE"`, over TLS `"valkeys://"`; without it they
    /// are in memory alone.
    #[schemars(length(min = 1))]
    pub store: Option<String>,
    /// The file of the authorities that vouch for a `store` over TLS; without it those of the
    /// machine do.
    #[schemars(length(min = 1))]
    pub store_ca: Option<String>,
    /// A REGISTER is answered once its registration is in `store` on the disk, or Valkey or Redis
    /// has taken it.
    #[schemars(extend("default" = false))]
    pub durable: Option<bool>,
    /// The home's name among several that share no location.
    #[schemars(regex(pattern = "^[A-Za-z0-9-]+$"))]
    pub name: Option<String>,
    /// The Contact of the 300 that sends phones to the edges: `"sip:edge.example.com;lr"`. A
    /// change of its host waits for a restart.
    #[schemars(regex(pattern = "^ *sip:"))]
    pub edges: String,
    /// Who counts as an edge: addresses and networks, with `udp:`, `tcp:` or `tls:` before them
    /// where only that is meant.
    #[schemars(length(min = 1))]
    pub edge_peers: Vec<String>,
    /// Other carriers that send calls, as in `[edge]`.
    #[schemars(length(min = 1))]
    pub peers: Option<Vec<String>>,
    /// The file of the keys of nonces and dialog marks, 64 hex digits a line, the first one
    /// writes. Without it one is made at the first start and kept beside `store`.
    #[schemars(length(min = 1))]
    pub nonce_key_file: Option<String>,
    /// Digest algorithms of challenges, strongest first.
    #[schemars(length(min = 1), extend("default" = ["SHA-256", "MD5"]))]
    pub algorithms: Option<Vec<String>>,
    /// False: a REGISTER in a subscriber's name is believed, where somebody before the home has
    /// asked.
    #[schemars(extend("default" = true))]
    pub authenticate: Option<bool>,
    /// Who calls in a subscriber's name past the edges is asked for a password.
    #[schemars(extend("default" = true))]
    pub challenge_calls: Option<bool>,
    /// What becomes of a phone that does not say that it knows Path.
    #[schemars(extend("default" = "accept"))]
    pub path: Option<HomePathChoice>,
    /// What becomes of a phone that wants RFC 5626 where its first hop has no part in it.
    #[schemars(extend("default" = "ignore"))]
    pub outbound: Option<OutboundChoice>,
    /// Whether a REGISTER that passed no edge is sent to the edges (300).
    #[schemars(extend("default" = "if-supported"))]
    pub redirect: Option<RedirectChoice>,
    /// Seconds that contacts ring before those of a lower q are tried; 0: until Timer C.
    #[schemars(range(min = 0, max = limits::TIMER_C.as_secs()))]
    #[schemars(extend("default" = limits::RING_TIME.as_secs()))]
    pub ring_time: Option<u16>,
    /// Domains that subscribers may call, `"*"` for all.
    #[schemars(extend("default" = ["*"]))]
    pub calls_out: Option<Vec<String>>,
    /// As in `[edge]`.
    #[schemars(extend("default" = []))]
    pub reach: Option<Vec<String>>,
    /// As in `[edge]`.
    #[schemars(extend("default" = []))]
    pub deny: Option<Vec<String>>,
    /// As in `[edge]`.
    #[schemars(extend("default" = []))]
    pub identity_headers: Option<Vec<String>>,
}

/// `[tls]`
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// The node's certificates, by the name that a client asks for; read again when they change.
    #[schemars(length(min = 1))]
    pub certs: Vec<CertificateTable>,
    /// The roots that are believed, a PEM file. Needed unless no client is asked.
    #[schemars(length(min = 1))]
    pub ca: Option<String>,
    /// Who is asked for a certificate.
    #[schemars(extend("default" = "peers"))]
    pub require_client_cert: Option<ClientCertChoice>,
    /// X25519MLKEM768 is taken from clients that prefer it and offered to servers: what is recorded
    /// today is not read with a quantum computer. `false`: X25519 and the curves of NIST alone, for
    /// shorter handshakes.
    #[schemars(extend("default" = true))]
    pub hybrid_key_exchange: Option<bool>,
}

/// An entry of `certs`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateTable {
    /// The certificate and its chain, a PEM file.
    #[schemars(length(min = 1))]
    pub cert: String,
    /// Its private key, a PEM file.
    #[schemars(length(min = 1))]
    pub key: String,
}

/// `[dns]`
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["servers"] }, { "required": ["listen"] }]))]
pub struct DnsSection {
    /// The name servers that are asked, with their port where it is not 53; those of the system
    /// where nothing is said.
    #[schemars(length(min = 1))]
    pub servers: Option<Vec<String>>,
    /// Where an edge is the name server of its cluster's zone: `"udp:ADDRESS:53"` and
    /// `"tcp:ADDRESS:53"`.
    #[schemars(length(min = 1), inner(regex(pattern = "^ *(udp|tcp):.+:[0-9]+ *$")))]
    pub listen: Option<Vec<String>>,
    /// It serves the domains of the home as well.
    #[schemars(extend("default" = false))]
    pub home_domains: Option<bool>,
}

/// `[edge] path`
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EdgePathChoice {
    /// The edge says it for the phone, and takes the Path out of its 200.
    Vouch,
    /// Nothing is changed for it.
    Accept,
    /// It is refused with 421.
    Require,
}

/// `[home] path`
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HomePathChoice {
    /// It is registered all the same.
    Accept,
    /// It is refused with 420.
    Require,
}

/// `strangers`
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StrangersChoice {
    /// The home asks them who they are.
    Challenge,
    /// They reach subscribers, and never as one.
    Answer,
    /// They get 403.
    Refuse,
}

/// `nat_keepalive`
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NatKeepaliveChoice {
    /// The edge sends four zero bytes each 25 s.
    Ping,
    /// The phone is told to register again within a minute or so.
    Short,
    /// Nothing.
    Off,
}

/// `redirect`
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RedirectChoice {
    /// Whoever it is.
    Always,
    /// Where the phone says that it can follow.
    IfSupported,
    /// Nobody is.
    Never,
}

/// `outbound`
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutboundChoice {
    /// It is registered without.
    Ignore,
    /// It is refused with 439.
    Require,
}

/// `require_client_cert`
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertChoice {
    /// Homes and edges, by their addresses.
    Peers,
    /// Everybody.
    Always,
    /// Nobody.
    Never,
}

/// The keys of a section or table, in alphabetical order.
#[must_use]
pub fn keys_of<T: JsonSchema>() -> Vec<String> {
    let schema = T::json_schema(&mut SchemaGenerator::default());
    let properties = schema.get("properties").and_then(|it| it.as_object());
    properties.map_or_else(Vec::new, |keys| keys.keys().cloned().collect())
}

/// The schema of the whole file.
#[must_use]
pub fn schema() -> Schema {
    let mut settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings = settings.with_transform(schemars::transform::RecursiveTransform(without_null));
    settings.into_generator().into_root_schema_for::<NodeFile>()
}

/// TOML has no null: a key that may be left out is not there.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(serde_json::Value::Array(types)) = object.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    let Some(serde_json::Value::Array(either)) = object.get_mut("anyOf") else {
        return;
    };
    let before = either.len();
    either.retain(|one| one.get("type").is_none_or(|kind| kind != "null"));
    if either.len() < before
        && let [serde_json::Value::Object(only)] = &mut either[..]
    {
        let only = std::mem::take(only);
        object.remove("anyOf");
        for (key, value) in only {
            // What stands at the key is about the key, and says more.
            object.entry(key).or_insert(value);
        }
    }
}
