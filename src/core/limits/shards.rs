//! Several shards of one node.

/// Most shards of one node, each on a core of its own: what the name of a
/// stream and a branch have room for. More is a configuration error.
pub const SHARDS_MAX: usize = 128;
/// Hand-overs between shards that may wait for one of them, in equal shares of
/// those that send. At the bound the newest is dropped and counted: the peer
/// sends again what was a message, the next refresh what was a registration.
pub const HANDOFFS_MAX: usize = 8_192;
/// Smallest share of that, however many shards there are: a burst of one batch
/// of datagrams.
pub const HANDOFFS_MIN: usize = 64;
/// Hand-overs taken from one other shard before the sockets have their turn.
pub const HANDOFF_BATCH: usize = 256;
/// Streams of other shards that a shard knows as a way to somebody. At the
/// bound a further one counts as gone: another flow, or a new one, is taken.
pub(crate) const AWAY_STREAMS_MAX: usize = 1 << 20;
/// Most phones of other shards that a shard keeps the directory for. At the
/// bound a further one is not found by its token on another shard than its own:
/// its requests go to the other edges of the token, or get 430.
pub(crate) const DIRECTORY_MAX: usize = 1 << 20;
