//! The DNS, as the core asks it (RFC 3263).

use crate::time::Duration;

/// Longest domain name, in bytes (RFC 1035 §2.3.4). Longer: not located.
pub const DNS_NAME_MAX: usize = 253;
/// Most names whose servers a shard knows. At the bound a name that was not
/// used for long makes room; a request that still wanted it gets 480.
pub(crate) const DNS_NAMES_MAX: usize = 4_096;
/// Most questions that a shard may have out. At the bound a request for a
/// further name gets 480 at once.
pub const DNS_QUESTIONS_MAX: usize = 256;
/// Questions of all shards that wait for the control thread. More are answered
/// as failed.
pub const DNS_QUEUE_MAX: usize = 1_024;
/// Most targets (SRV records) of one name that are looked at. More are left out.
pub(crate) const DNS_TARGETS_MAX: usize = 16;
/// Most addresses of one name that are kept, best first. More are left out.
pub(crate) const DNS_SERVERS_MAX: usize = 32;
/// Most queries that one question may need, and most rounds of them: NAPTR,
/// SRV, addresses. More: the question has failed.
pub const DNS_QUERIES_MAX: (usize, usize) = (64, 4);
/// Longest time a request waits for its server's address. Then it goes to what
/// the DNS said last, or gets 480: before its sender gives up.
pub const DNS_WAIT_MAX: Duration = Duration::from_secs(4);
/// Longest time that the answer to a question may take. Later: it has failed.
pub const DNS_ANSWER_MAX: Duration = Duration::from_millis(3_500);
/// When a question without an answer is asked anew: nobody waits for it any
/// more.
pub(crate) const DNS_QUESTION_LOST: Duration = Duration::from_secs(8);
/// Wait for a name server before the query is sent again, and how often.
pub const DNS_QUERY: (Duration, usize) = (Duration::from_millis(800), 2);
/// Shortest time an answer is used, whatever its TTL: a burst of requests asks
/// once.
pub(crate) const DNS_TTL_MIN: Duration = Duration::from_secs(1);
/// Longest time an answer is used, whatever its TTL.
pub(crate) const DNS_TTL_MAX: Duration = Duration::from_secs(3_600);
/// Longest time that a name without servers is believed to have none, and how
/// long where the DNS does not say (RFC 2308 §5).
pub const DNS_NEGATIVE_MAX: Duration = Duration::from_secs(60);
/// How long a failing DNS is left alone about one name.
pub(crate) const DNS_RETRY: Duration = Duration::from_secs(2);
/// How long the last answer serves on while the DNS fails (RFC 8767 §5).
pub(crate) const DNS_STALE_MAX: Duration = Duration::from_secs(3_600);
