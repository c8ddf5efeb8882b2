//! Connections and datagrams, as the core sees them.

use crate::time::Duration;

/// Most streams of one shard. At the bound a new connection is closed at once.
pub const STREAMS_MAX: usize = 1 << 20;
/// Names of servers that a shard keeps for its TLS connections. More: the name
/// that no connection needs gives way; with all in use nothing new is opened.
pub(crate) const SERVER_NAMES_MAX: usize = 4_096;
/// Bytes that may wait for a stream's slow reader. More: the stream is closed,
/// since a peer that far behind has lost its transactions anyway.
pub const STREAM_QUEUE_MAX: usize = 512 * 1024;
/// Datagrams that may wait for a UDP socket's full send buffer. At the bound
/// the oldest request goes (its sender's timer sends it again), else the
/// oldest of all; both are counted.
pub const DATAGRAM_QUEUE_MAX: usize = 4_096;
/// The first core port where the configuration names no other: below the ports
/// that the kernel gives to whoever asks for none (32768 on).
pub const CORE_PORT: u16 = 15_060;
/// Core ports of one node: from these it sends datagrams to its homes, one for
/// each shard, and opens its connections. With all of them in use towards one
/// address a further connection leaves from any port, and its far end takes it
/// for a stranger's.
pub const CORE_PORTS: u16 = 128;
/// Longest request sent over UDP where TCP may be tried first: the path MTU is
/// not known (RFC 3261 §18.1.1).
pub(crate) const UDP_REQUEST_MAX: usize = 1_300;
/// Longest datagram over IPv4 that asks not to be fragmented, which saves the
/// kernel an identification for it: what every path of QUIC carries whole
/// (RFC 9000 §14). Longer ones may be fragmented on their way.
pub const UNFRAGMENTED_MAX: usize = 1_200;
/// Bytes that are read of a datagram which the network sends back: the longest
/// ICMP message has no more (RFC 4443 §2.4), and our branch stands in front.
pub const QUOTE_MAX: usize = 1_280;
/// Buffers of unfinished stream messages kept for the next ones; more are freed.
pub(crate) const PARTIALS_IDLE_MAX: usize = 64;
/// Longest time a connection attempt may take before it counts as failed.
pub const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Longest time a message may take to arrive in full on a stream, from its
/// first byte. Later: the stream is closed (slow loris).
pub const PARTIAL_MESSAGE_MAX: Duration = Duration::from_secs(10);
/// Keep-alive interval announced in Flow-Timer, in seconds (RFC 5626 §5.4).
pub const FLOW_TIMER_S: u32 = 120;
/// What part of it at most a phone's own interval is shorter: a fifth, so that
/// phones which registered together do not ask together.
pub const FLOW_TIMER_SPREAD: u32 = 5;
/// Silence after which a stream that was promised Flow-Timer is dead: longer
/// than announced (RFC 5626 §5.4).
pub const FLOW_SILENCE_MAX: Duration = Duration::from_secs(150);
/// How long a connection that has been replaced is kept before the next look whether anything
/// waits on it: in that time all requests end that get no provisional response, and what is
/// under way from the far side has come (64·T1, RFC 3261 §17).
pub(crate) const REPLACED_STREAM_CHECK: Duration = Duration::from_secs(32);
/// Time in which an accepted stream must bring its first whole message: a
/// phone connects because it has something to say. Later: it is closed.
pub const FIRST_MESSAGE_MAX: Duration = Duration::from_secs(20);
