//! What a node says of what passed it, as it stands on the control socket.

use std::net::SocketAddr;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A part of what the recorder of a node holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct View {
    /// The name of the node.
    pub node: String,
    /// What passed and what was decided, in the order of each shard.
    pub rows: Vec<Row>,
    /// For each shard the entry at which the next part begins.
    pub next: Vec<u64>,
    /// There is nothing behind it for the time being.
    pub is_last: bool,
    /// Entries that were asked for and are written over.
    pub missed: u64,
}

/// A message or a decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The index of the shard.
    pub shard: usize,
    /// Counted from the start of the shard.
    pub number: u64,
    /// Microseconds since 1970.
    pub unix_us: u64,
    /// What it is.
    pub kind: Kind,
    /// "udp", "tcp" or "tls".
    pub transport: Option<String>,
    /// Our end of it.
    pub local: Option<SocketAddr>,
    /// The far end.
    pub peer: Option<SocketAddr>,
    /// The number of the message that brought it about.
    pub cause: Option<u64>,
    /// The message, its credentials blanked.
    #[serde(serialize_with = "as_base64", deserialize_with = "from_base64")]
    pub bytes: Vec<u8>,
    /// One word for a decision.
    pub name: String,
    /// Its sentence.
    pub says: String,
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A message that came.
    In,
    /// A message that came to another shard of the node, which has handed it over.
    Handed,
    /// A message that left.
    Out,
    /// A decision.
    Decision,
}

fn as_base64<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&BASE64.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    BASE64
        .decode(text.as_bytes())
        .map_err(serde::de::Error::custom)
}
