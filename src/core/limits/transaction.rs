//! Transactions and what a proxy does with a request (RFC 3261 §16, §17).

use crate::time::Duration;

/// RFC 3261 T1: the round trip estimate all retransmission starts from.
pub const T1: Duration = Duration::from_millis(500);
/// RFC 3261 T2: longest retransmission interval of non-INVITE and responses.
pub const T2: Duration = Duration::from_secs(4);
/// RFC 3261 T4: longest time a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64·T1: timers B, F, H, J, L and M.
pub const T1_64: Duration = Duration::from_secs(32);
/// When a non-INVITE server transaction over UDP may first send 100
/// (RFC 4320 §4.1: when the client's Timer E would reach T2).
pub(crate) const NON_INVITE_TRYING: Duration = Duration::from_millis(3_500);
/// Timer C: more than three minutes (RFC 3261 §16.6-11).
pub const TIMER_C: Duration = Duration::from_secs(185);
/// How long contacts ring, unless the operator says something else, before those of
/// a lower preference are tried.
pub const RING_TIME: Duration = Duration::from_secs(30);
/// Grace of a branch that was cancelled for others to be tried: they have waited
/// long enough, and a 2xx that comes later is passed on all the same.
pub const RANG_OUT_GRACE: Duration = T2;
/// Grace of a cancelled branch without a final answer: 64·T1 (RFC 3261 §9.1), which the
/// next hop waits as well for whoever is behind it, and the time that its answer takes
/// on the way. Given up at the same moment, it would repeat that answer for 64·T1 more
/// to somebody who acknowledges it no longer.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(37);
/// How long a phone over UDP may leave a request of its dialog without a word before
/// the other edges are asked for it beside it: it has been sent three times by then.
pub const PHONE_SILENCE: Duration = Duration::from_millis(2_000);
/// Most transactions of each side per shard. At the bound a new request gets
/// 503 statelessly; nothing that runs is disturbed.
pub(crate) const TRANSACTIONS_MAX: usize = 1 << 20;
/// Most branches of one request (parallel and serial together). More targets
/// are left out, lowest q first.
pub(crate) const BRANCHES_MAX: usize = 16;
/// Max-Forwards given to a request that has none (RFC 3261 §16.6-3).
pub(crate) const MAX_FORWARDS: u8 = 70;
/// Max-Breadth given to a request that has none, and its cap (RFC 5393 §5.3.3).
pub(crate) const MAX_BREADTH: u16 = 60;
/// Answers of a shard that look for callers whose connections are gone, each
/// while a connection is being opened or the DNS is asked. One more has its
/// first try and no further one.
pub(crate) const RETURNS_MAX: usize = 256;
/// Addresses that such an answer is tried at. Then the caller has to ask again.
pub const RETURN_TRIES_MAX: usize = 5;
