//! The lab and the load generator.

use crate::time::Duration;

/// How long the lab waits for a node to listen, or to end.
pub const LAB_PATIENCE: Duration = Duration::from_secs(12);
/// How often it looks.
pub const LAB_POLL: Duration = Duration::from_millis(20);
/// Refusals that each shard keeps for an operator to read, and that a node shows.
/// More: the oldest is written over.
pub const REJECTS_KEPT: usize = 1_000;
/// Bytes of an address of record that is kept with them; the rest is cut off.
pub const REJECT_USER_MAX: usize = 64;
/// Bytes of a method.
pub const REJECT_METHOD_MAX: usize = 12;
/// Reasons that are counted apart: more than there are. One more is not.
pub const REJECT_REASONS_MAX: usize = 128;
/// Refusals that `why` shows of one user: the last of them.
pub const REJECTS_IN_WHY: usize = 10;
/// Datagrams moved by one call of the load generator. More wait for the next.
pub const LOAD_BATCH: usize = 128;
/// Longest message the load generator takes in, in bytes. A longer one counts
/// as lost: its own are a third as long.
pub const LOAD_MESSAGE_MAX: usize = 4_096;
/// Attempts of a load that may be unfinished at once. Beyond it an attempt is
/// not made and counts as failed: what is loaded fell behind for good.
pub const LOAD_PENDING_MAX: usize = 1 << 16;
/// Phones, and their flows, of one load. More are refused.
pub const LOAD_PHONES_MAX: u32 = 1 << 20;
/// Sockets of one load. More are refused.
pub const LOAD_SOCKETS_MAX: u32 = 20_000;
/// Attempts a second of one load. More are refused.
pub const LOAD_RATE_MAX: f64 = 1e6;
/// How long a load lasts at most, in seconds: a day. Longer is refused.
pub const LOAD_SECONDS_MAX: u64 = 86_400;
/// How long an attempt of a load may wait for one answer: the patience of a
/// transaction (RFC 3261 §17, 64 T1). When the next interval would be longer
/// than what is left of it, the attempt has failed.
pub const LOAD_PATIENCE: Duration = Duration::from_secs(32);
/// Attempts begun in one turn of the load before it looks at its sockets again.
pub const LOAD_STARTS_MAX: usize = 64;
