//! The flight recorder: what passed, kept to be read after a failure.

use crate::time::Duration;

/// Bytes that the recorders of a node keep where `recorder` says nothing: half a minute of 150
/// calls a second. What is older is written over.
pub const RECORDER_BYTES: usize = 64 << 20;
/// Bytes that they may be told to keep.
pub const RECORDER_BYTES_MAX: usize = 16 << 30;
/// What part of the memory that a node may use its recorders have at the most: what passed is worth
/// less than what is under way.
pub const RECORDER_PART_OF_MEMORY: usize = 8;
/// Bytes below which a recorder keeps less than one long message: such a one is off.
pub const RECORDER_BYTES_MIN: usize = 1 << 20;
/// Of how many equal parts of a recorder's memory one holds the times, ways and decisions, and
/// the others the messages.
pub(crate) const RECORDER_PARTS: usize = 5;
/// Entries that a shard looks at for one question about its recorder. More are asked for by a
/// further question, and messages pass in between.
pub(crate) const RECORDER_PIECE: u64 = 512;
/// Bytes of messages that it looks at for one question, about: what it copies in 50 µs.
pub(crate) const RECORDER_PIECE_BYTES: usize = 256 * 1024;
/// Texts that one question may look for.
pub const RECORDER_TEXTS_MAX: usize = 8;
/// Bytes of messages in one answer about the recorder on the control socket. More are asked for
/// by a further request.
pub const TRACE_ANSWER_BYTES: usize = 2 << 20;
/// Longest time that the collection of one such answer may take. What is there by then is sent.
pub const TRACE_ANSWER_MAX: Duration = Duration::from_secs(1);
/// Failures that `trace --last-failures` draws where it is not told how many.
pub const TRACE_FAILURES: usize = 10;
/// How often `trace --follow` asks.
pub const TRACE_POLL: Duration = Duration::from_millis(500);
/// How long a message may have been under way between two nodes for `trace` to take what one
/// has sent for what the other has received.
pub const TRACE_UNDER_WAY: Duration = Duration::from_secs(2);
/// How often what passed is read for `hep` and `events`. A recorder that is written over in less
/// loses what they were to be told, which is counted.
pub const TAP_EVERY: Duration = Duration::from_millis(100);
/// How long a collector, or who listens for events, may take to connect or to take bytes.
pub const TAP_CONNECT: Duration = Duration::from_millis(500);
/// How long a collector or a file that failed is left alone.
pub const TAP_PAUSE: Duration = Duration::from_secs(1);
/// How often it is said that lines are lost.
pub const TAP_COMPLAINT: Duration = Duration::from_secs(60);
/// Calls that are remembered until they end, for their line. One more: the oldest gets its line
/// as one that was not seen to end.
pub const CALLS_LOGGED_MAX: usize = 100_000;
/// Edges that the line of a call names: two calls' worth of sets. More, which nothing but a phone
/// that invents them brings about, are left out.
pub const EDGES_LOGGED_MAX: usize = 8;
/// Requests of which it is remembered to which call they belong, for what is decided about them.
pub const CAUSES_KEPT: usize = 65_536;
