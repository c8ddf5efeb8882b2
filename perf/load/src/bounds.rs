//! Every bound of the generator, each with its reason and with what happens at
//! it; those that it shares with the core are in `steadfast_core::limits`.

use std::time::Duration;

/// Datagrams moved by one call of the load generator. More wait for the next.
pub(crate) const BATCH: usize = 128;
/// Longest message the load generator takes in, in bytes. A longer one counts
/// as lost: its own are a third as long.
pub(crate) const MESSAGE_MAX: usize = 4_096;
/// Attempts of a load that may be unfinished at once. Beyond it an attempt is
/// not made and counts as failed: what is loaded fell behind for good.
pub(crate) const PENDING_MAX: usize = 1 << 16;
/// Phones, and their flows, of one load. More are refused.
pub(crate) const PHONES_MAX: u32 = 1 << 20;
/// Sockets of one load. More are refused.
pub(crate) const SOCKETS_MAX: u32 = 20_000;
/// Attempts a second of one load. More are refused.
pub(crate) const RATE_MAX: f64 = 1e6;
/// How long a load lasts at most, in seconds: a day. Longer is refused.
pub(crate) const SECONDS_MAX: u64 = 86_400;
/// How long an attempt of a load may wait for one answer: the patience of a
/// transaction (RFC 3261 §17, 64 T1). When the next interval would be longer
/// than what is left of it, the attempt has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(32);
/// Attempts begun in one turn of the load before it looks at its sockets again.
pub(crate) const STARTS_MAX: usize = 64;
