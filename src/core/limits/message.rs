//! One message, and the memory that messages are held in.

/// Longest message, in bytes: the largest UDP datagram rounded to what 16-bit
/// spans hold. Longer on a stream: 513 and close (RFC 3261 §21.5.7).
pub const MESSAGE_MAX: usize = 65_535;
/// Most header lines in one message. More: 400.
pub const HEADERS_MAX: usize = 256;
/// Header lines that this proxy may add to a request it forwards. A request
/// that leaves no room for them: 400.
pub(crate) const ADDED_HEADERS_MAX: usize = 16;
/// Bytes that it may add. A request that leaves no room for them: 513.
pub(crate) const ADDED_BYTES_MAX: usize = 4_096;
/// Most values of one list header (Via, Route, Record-Route, Path, Contact).
/// More: 400.
pub const VALUES_MAX: usize = 64;
/// Bytes of the Reason header lines of a CANCEL that pass on with it (RFC 3326).
/// More: they are left out.
pub(crate) const REASON_MAX: usize = 512;
/// Highest status code there is (RFC 3261 §7.2). Higher: dropped.
pub(crate) const STATUS_MAX: u16 = 699;
/// Idle buffers kept per size class and shard; more are freed. Sized so that
/// a burst of a few thousand calls a second runs without the allocator.
pub(crate) const POOL_IDLE_MAX: usize = 65_536;
/// Memory of the idle buffers of one size class, in bytes; more is freed.
pub(crate) const POOL_IDLE_BYTES_MAX: usize = 64 << 20;
/// Bytes of the buffers in use per shard, which is what transactions hold on
/// to. At the bound a new request gets 503 statelessly, unless a stranger holds
/// much (`SOURCE_EVICTED_FROM`); nothing else that runs is disturbed.
pub const BUFFER_BYTES_MAX: usize = 1 << 30;
/// Parameters (or headers) of a contact URI that are compared one by one. A
/// URI with more equals only itself, byte for byte.
pub(crate) const URI_PARAMS_MAX: usize = 32;
/// What an answer of our own repeats of its request at most, as a rule: Vias, From,
/// To, Call-ID and CSeq. One that repeats more costs the allocator a call.
pub(crate) const ANSWER_ROOM: usize = 2_048;
