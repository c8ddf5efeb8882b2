//! The user agent.

use super::transaction::T1;
use crate::time::Duration;

/// Redirects that the agent follows for one request. One more is a failure
/// (RFC 3261 §8.1.3.4).
pub(crate) const AGENT_REDIRECTS_MAX: usize = 5;
/// Challenges that the agent answers for one request. One more is a failure:
/// the other side does not know what it wants.
pub(crate) const AGENT_CHALLENGES_MAX: u8 = 3;
/// Most calls of one agent. One more is busy (486).
pub(crate) const AGENT_CALLS_MAX: usize = 64;
/// Silence after a request that makes the agent ask the flow itself
/// whether it still works.
pub(crate) const AGENT_SILENCE_MAX: Duration = T1;
/// Wait for each answer to that question, and how often it is asked: a dead
/// edge is known after about a second, and three lost datagrams are rare.
pub(crate) const AGENT_PROBE: (Duration, u8) = (Duration::from_millis(200), 3);
/// Retransmissions of a STUN keep-alive before its flow has failed, and the
/// wait for the first, which doubles (RFC 5389 §7.2.1, RFC 5626 §4.4.2).
pub(crate) const AGENT_STUN: (Duration, u8) = (Duration::from_millis(500), 7);
/// Wait for the answer to the last of them (RFC 5389 §7.2.1: 16 times the first).
pub(crate) const AGENT_STUN_LAST: Duration = Duration::from_secs(8);
/// Wait for the answer to a CRLF keep-alive (RFC 5626 §4.4.1).
pub(crate) const AGENT_PONG_MAX: Duration = Duration::from_secs(10);
/// Shortest and longest pause between STUN keep-alives, in seconds (RFC 5626
/// §4.4.2).
pub(crate) const AGENT_STUN_PAUSE_S: (u64, u64) = (24, 29);
/// Shortest and longest pause between CRLF keep-alives without Flow-Timer, in
/// seconds (RFC 5626 §4.4.1).
pub(crate) const AGENT_CRLF_PAUSE_S: (u64, u64) = (95, 120);
/// Back-off of a registration that failed: base when all flows failed, base
/// when another one works, and the longest, in seconds (RFC 5626 §4.5).
pub const AGENT_BACK_OFF_S: (u64, u64, u64) = (30, 90, 1_800);
/// How long the first registered flow waits for the others before the agent
/// calls itself ready: a dead edge is silent for half a minute.
pub(crate) const AGENT_READY_MAX: Duration = Duration::from_secs(2);
/// How long a Record-Route sticks to its flow at most: longer than calls are.
pub(crate) const AGENT_DIALOG_MAX: Duration = Duration::from_secs(86_400);
