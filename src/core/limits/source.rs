//! What one source may cost, whoever it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::registration::EXPIRES_MAX_S;
use crate::time::Duration;

/// Sets of the table of sources, of four sources each: 256 bytes a set, 4 MiB
/// a shard. At the bound the source nearest to an empty record gives way.
pub(crate) const GUARD_SETS: usize = 1 << 14;
/// Requests a source may send, per second and at once, and on each shard: a
/// carrier's address translation with ten thousand phones behind it asks for
/// less. More: 503 on a stream, silence over UDP.
pub const SOURCE_REQUESTS: (u32, u32) = (2_000, 8_000);
/// Requests inside dialogs from a source without a flow of its own, per second
/// and at once (B-1). More: 503.
pub const SOURCE_ROAMING: (u32, u32) = (20, 100);
/// STUN requests of a source, per second and at once: a phone asks every half
/// minute. More: silence (K-4).
pub const SOURCE_STUN: (u32, u32) = (500, 2_000);
/// Failed credentials of one user from one source, per second and at once: whoever
/// mistypes a password does it a few times. More: 403 to his credentials, right
/// ones too.
pub const LOGIN_FAILURES: (u32, u32) = (1, 60);
/// Failed credentials of a source over all its users, per second and at once: an
/// address translation has thousands of phones, some with old passwords. More:
/// 403 to the credentials of whoever has not logged in there within
/// `LOGIN_KNOWN`.
pub const SOURCE_FAILED_DIGESTS: (u32, u32) = (10, 1_000);
/// How long a user who has logged in from a source is spared what others fail
/// from there: about as long as registrations last.
pub(crate) const LOGIN_KNOWN: Duration = Duration::from_secs(3_600);
/// Sets of the table of who logs in from where, of four pairs each: 128 bytes a
/// set, 2 MiB a shard, at homes alone. At the bound the pair that would be
/// forgotten first gives way.
pub(crate) const LOGIN_SETS: usize = 1 << 14;
/// Connections a source may open, per second and at once: ten thousand phones
/// behind one address come back within a minute of an edge's end. More: closed
/// at once.
pub const SOURCE_CONNECTIONS: (u32, u32) = (200, 2_000);
/// Responses that match nothing and news of datagrams that did not arrive, of or
/// about a source, per second and at once: a phone that is gone answers for a
/// few requests. More: dropped unread.
pub(crate) const SOURCE_STRAYS: (u32, u32) = (50, 500);
/// Connections a source may have at once, and on each shard, unless the
/// configuration says otherwise. More: closed at once.
pub const SOURCE_STREAMS: u32 = 16_384;
/// Share of them, in percent, at which the operator is told, once.
pub(crate) const SOURCE_STREAMS_ALARM_PERCENT: u32 = 80;
/// TLS handshakes a source may have under way at once. More: closed at once.
pub(crate) const SOURCE_HANDSHAKES_MAX: u32 = 256;
/// Bytes of unfinished messages of a source: whole ones are never kept, and
/// hardly a message is cut in two. More: the stream is closed.
pub const SOURCE_PARTIAL_BYTES_MAX: usize = 4 << 20;
/// Bytes of unfinished messages of all streams of a shard. More: the stream is
/// closed.
pub(crate) const PARTIAL_BYTES_MAX: usize = 256 << 20;
/// Bytes that an unproven UDP source may have sent before it is answered. What
/// it sends beyond that allows no further answers. An answer to STUN, longer
/// than its request by 24 bytes at most, is not counted here.
pub(crate) const SOURCE_CREDIT_MAX: usize = 65_535;
/// How long a UDP source that registered is believed to get what is sent to it:
/// as long as a registration lasts at most. Later: as at first.
pub(crate) const SOURCE_PROVEN: Duration = Duration::from_secs(EXPIRES_MAX_S as u64);
/// Bytes that a stranger makes a shard keep at most, unless the configuration says
/// otherwise: the calls of a carrier that makes a hundred a second linger for 32
/// seconds, in 10 MiB. More: 503 on a stream, silence over UDP.
pub const SOURCE_MEMORY: usize = 16 << 20;
/// The most that the configuration may say, in MiB: a quarter of all.
pub const SOURCE_MEMORY_MAX_MIB: u16 = 256;
/// Most bytes that are kept for a source that has a registered flow or had a password: ten thousand
/// phones behind one address that register again within half a minute.
pub const SOURCE_MEMORY_KNOWN: usize = 128 << 20;
/// What part of the bytes that are free a source may keep at most, as one over
/// this: when many have their share, each has less, and some is always left.
pub(crate) const SOURCE_MEMORY_OF_FREE: usize = 4;
/// Bytes that a stranger may make a shard keep without losing any of them when
/// memory becomes short: some hundred calls. Of who has more, pending requests are
/// given up for whoever has less.
pub(crate) const SOURCE_EVICTED_FROM: usize = 1 << 20;
/// Pending requests that are looked at, at random, for one of the source that holds
/// most. Who holds a tenth of them is met four times out of five.
pub(crate) const EVICTION_SAMPLE: u64 = 16;
/// Requests given up at most for one, which by `SOURCE_MEMORY_OF_FREE` needs the
/// room of four like it. Where they are not enough it is refused.
pub(crate) const EVICTIONS_MAX: usize = 8;
/// What a transaction counts for beside its messages: both of its sides, its
/// context, and its places in the tables.
pub(crate) const TRANSACTION_BYTES: usize = 768;
/// Requests that wait on the flow of one phone and have heard nothing. One more
/// goes another way or fails like one whose flow is gone: each of them is sent up
/// to eleven times, and a phone that lives says something within a few round
/// trips.
pub const FLOW_UNHEARD_MAX: u32 = 64;
/// Requests that wait on the flow to another domain or a gateway, where a second's calls of a
/// carrier may be under way.
pub(crate) const FAR_UNHEARD_MAX: u32 = 1_024;
/// Seconds for which the tags of our answers are of one kind. An ACK may show one
/// of these or of those before, which is long enough for any INVITE.
pub(crate) const TAG_EPOCH_S: u64 = 64;
/// How long one that acknowledged a refusal is: it comes again with what was
/// asked for, or not at all. Whoever had the address before it may have known
/// the tag.
pub const SOURCE_ACKNOWLEDGED: Duration = super::T1_64;
/// Who is not limited unless the configuration says otherwise: programs on the
/// same machine can do worse than send.
pub const UNLIMITED: [(IpAddr, u8); 2] = [
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
];
