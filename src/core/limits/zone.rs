//! The DNS of the cluster: what its records say, and what asking for them costs.

use crate::time::Duration;

/// How long a record is good that changes with who lives, in seconds: SRV, and
/// the addresses of the cluster's name. A phone that kept it for so long comes to
/// a dead edge at worst, and finds the next one in the same record.
pub const ZONE_TTL_S: u32 = 60;
/// TTL of records that change only with the configuration: NAPTR, the addresses of
/// members, NS and SOA.
pub const ZONE_TTL_LASTING_S: u32 = 3_600;
/// How long it is good that there is no such name or record, in seconds (RFC 2308).
pub const ZONE_TTL_NEGATIVE_S: u32 = 60;
/// Longest label of a name, in bytes (RFC 1035 §2.3.4). A member with a longer
/// name has none in the DNS.
pub const DNS_LABEL_MAX: usize = 63;
/// Longest question in bytes: a name, EDNS and its options. Longer: not answered
/// over UDP, and the end of a connection.
pub const ZONE_QUESTION_MAX: usize = 1_024;
/// Longest answer over UDP, in bytes, whatever the asker takes: it passes every
/// network in one piece (RFC 9715). Longer ones are truncated, and asked for
/// again over TCP.
pub const ZONE_DATAGRAM_MAX: u16 = 1_232;
/// Longest datagram to a resolver without EDNS, in octets (RFC 1035 §4.2.1).
pub const ZONE_DATAGRAM: u16 = 512;
/// Whole answers over UDP to one source, per second and at once: a resolver asks
/// for each record once a TTL. More: a truncated answer, no longer than the
/// question, which sends whoever is really there to TCP.
pub const ZONE_ANSWERS: (u32, u32) = (20, 200);
/// Sources whose answers are counted apart, by hash. Two that fall together have
/// one share.
pub const ZONE_SOURCES: usize = 4_096;
/// Questions taken in one stretch of `ZONE_STRETCH`, over all sockets: 10,000 a
/// second, or about a tenth of a core. More wait in the kernel, which drops what it
/// has no room for, so that a flood of them takes no processor from a shard.
pub const ZONE_QUESTIONS: u32 = 100;
/// See `ZONE_QUESTIONS`.
pub const ZONE_STRETCH: Duration = Duration::from_millis(10);
/// Connections at once, of all sources and of one. One more is closed at once.
pub const ZONE_STREAMS: (usize, usize) = (64, 8);
/// Questions over one connection. Then it is closed, and may be opened again.
pub const ZONE_STREAM_QUESTIONS: usize = 256;
/// How long a connection may take for a question, and for taking its answer.
/// Longer: closed (RFC 7766 §6.2.3).
pub const ZONE_STREAM_IDLE: Duration = Duration::from_secs(5);
/// How often a node that serves the zone asks the other members whether they
/// live, in a datagram of 20 bytes each.
pub const ZONE_ASK: Duration = Duration::from_secs(1);
/// Silence of a member after which it is listed last: two datagrams may be lost.
pub const ZONE_SILENCE_MAX: Duration = Duration::from_millis(3_500);
/// Names that `check --dns` asks for at once. More wait for an answer.
pub const ZONE_CHECKED_AT_ONCE: usize = 32;
