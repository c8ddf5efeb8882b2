//! Draining, overload, and what a node tells others of it (RFC 7339).

use crate::time::Duration;

/// Time a draining home leaves what is under way before it ends, and a draining edge of the
/// lab: `drain_for` says another one.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Time a draining edge leaves its calls where `drain_for` says nothing.
pub const EDGE_DRAIN_MAX: Duration = Duration::from_secs(5 * 60);
/// Longest `drain_for` that a file may ask for.
pub const DRAIN_FOR_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a draining edge closes idle connections of phones.
pub(crate) const DRAIN_STEP: Duration = Duration::from_millis(100);
/// Connections that one step closes at least: the edges to which those phones go shake hands
/// with so many in that time beside their calls.
pub(crate) const DRAIN_CLOSES_MIN: usize = 32;
/// Part of `drain_for` in which all idle connections are closed, where that takes more a step.
pub(crate) const DRAIN_CLOSING_PART: u32 = 2;
/// Dialogs that an edge's shard knows of. More: the next one that the sweep would look at gives way,
/// and a drain does not wait for it.
pub(crate) const DIALOGS_MAX: usize = 1 << 18;
/// A dialog of which nothing was heard for so long, no BYE either, is over.
pub(crate) const DIALOG_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// Dialogs that the sweep of each second looks at: all within half an hour.
pub(crate) const DIALOGS_SWEPT: usize = 256;
/// Shortest and longest Retry-After of a draining or overloaded node, in
/// seconds: spread, so that who was refused together does not return together.
pub const RETRY_AFTER_S: (u32, u32) = (5, 15);
/// Longest Retry-After of an overloaded shard, in seconds: the less it takes
/// in, the further those it refuses are spread. Longer, and a phone that may
/// only wait would be silent for longer than its keep-alives allow.
pub const RETRY_AFTER_MAX_S: u32 = 120;
/// How late a shard may be, smoothed over its turns: what waits longer makes
/// the phones send again (T1) and answers that nobody waits for. Later: a share
/// of what is new is refused with 503, and as much of new TLS connections, since
/// a handshake takes the time of a dozen requests, is closed at once.
pub const LATE_MAX: Duration = Duration::from_millis(25);
/// How often that share is looked at: a few round trips of whoever feels it.
pub(crate) const ADMISSION_PERIOD: Duration = Duration::from_millis(100);
/// Percent of the memory that a node may use from which on a share of what is new is refused,
/// and at which all of it is: what belongs to a call goes on in the rest, which also is what the
/// allocator loses between the things that are counted.
pub const MEMORY_SHORT: (usize, usize) = (75, 90);
/// The least that a node may be told to do with: what it has when nobody is there, and as much
/// again for a second's calls.
pub const MEMORY_MIN: usize = 64 << 20;
/// How often a shard looks how much is in use. What comes in between is a few hundred calls.
pub const MEMORY_LOOK: Duration = ADMISSION_PERIOD;
/// What part of that memory the messages that transactions hold on to may be, in percent, over
/// all shards: the hard bound, at which calls lose requests too (`BUFFER_BYTES_MAX`).
pub const MEMORY_BUFFERS: usize = 60;
/// Idle buffers that a shard frees at each look while memory is short: less than a millisecond.
pub(crate) const POOL_TRIM_MAX: usize = 4_096;
/// Thousandths of the requests that are taken in again after each period in
/// time: all of them after five seconds.
pub(crate) const ADMITTED_STEP: u32 = 20;
/// Thousandths that are taken in however late the shard is: else nobody would
/// find out that it is over.
pub(crate) const ADMITTED_MIN: u32 = 10;
/// How long the share that a server asks for holds, where it does not say, in
/// milliseconds (RFC 7339 §4.3); ours says the same.
pub(crate) const OC_VALIDITY_MS: u32 = 500;
/// Longest time that it holds, whatever the server says. Longer counts as this.
pub(crate) const OC_VALIDITY_MAX: Duration = Duration::from_secs(10);
/// How long peers are told that overload is over (RFC 7339 §5.7).
pub const OC_END: Duration = Duration::from_secs(2);
/// Servers whose share is remembered. At the bound the one that ends first
/// gives way, and is asked as if it had said nothing.
pub(crate) const OC_SERVERS_MAX: usize = 64;
/// Requests that a class of requests must leave unpaid before the next one pays
/// for them: more than chance brings about, and few enough that the share holds
/// within a period.
pub(crate) const CLASS_STEP: u32 = 16;
