//! Elements of the cluster and other servers: whether they live.

use crate::time::Duration;

/// How long a destination that failed is left for last; twice as long after
/// each further failure.
pub(crate) const DESTINATION_DOWN: Duration = Duration::from_secs(5);
/// Longest time it is left for last: it may work again, and a longer
/// Retry-After gets this.
pub(crate) const DESTINATION_DOWN_MAX: Duration = Duration::from_secs(60);
/// Most destinations remembered as failed. At the bound the oldest is
/// forgotten, and tried again the sooner.
pub(crate) const DESTINATIONS_OPEN_MAX: usize = 64;
/// How long a request that no home takes waits at its edge for one, counted from when it came: a
/// home that is started again is back within a second or two, and a caller who has heard 100
/// gives up far later. Then it is answered 503, and so is at once what comes when none has taken
/// anything for so long.
pub const HELD_FOR: Duration = Duration::from_secs(4);
/// How often some of the requests that wait are sent again to see whether a home is back.
pub const HELD_PAUSE: Duration = Duration::from_millis(50);
/// How many that are: a few for all.
pub(crate) const HELD_TRIED: usize = 4;
/// How often further ones are sent once a home is back.
pub(crate) const HELD_STEP: Duration = Duration::from_millis(10);
/// How many that are: 1,600 a second, beside what comes meanwhile. All at once would make a home
/// that has just begun late, so that it refuses a share of what is new for seconds (V-6).
pub(crate) const HELD_LET_GO: usize = 16;
/// Requests of a shard that wait for a home. One more is answered 503 at once.
pub const HELD_MAX: usize = 1 << 12;
/// Those of one source among them, as many as a carrier's trunk of 250 calls a second has in
/// `HELD_FOR`. One more is answered 503 at once.
pub const HELD_OF_SOURCE: u32 = 1 << 10;
/// How long a home that is told to end refuses what is new, at the most, so that it ends with
/// nothing under way: less than edges hold that, with the time that its next run takes to begin.
pub const HOME_LEAVES_FOR: Duration = Duration::from_secs(2);
/// When a home that ends has others come back, in seconds: it is started again, or another one
/// takes what comes.
pub(crate) const HOME_RETRY_AFTER_S: u32 = 1;
/// Addresses of former homes that an edge still takes for homes while the DNS has not answered
/// for the names of those that came instead. Beyond that the longest gone are strangers.
pub(crate) const FORMER_HOMES_MAX: usize = 64;
/// Pause between two keep-alives on a flow between elements of the cluster:
/// a dead one is to be known in seconds (K-3).
pub const PEER_PING: Duration = Duration::from_secs(1);
/// Pause between them while a request waits for its first answer: a few fit
/// into T1, so that losing one does not make a live peer look dead.
pub const PEER_PROBE: Duration = Duration::from_millis(125);
/// Time without an answer after which a peer is lost; with the pause before
/// the question, less than three seconds of silence.
pub const PEER_PATIENCE: Duration = Duration::from_millis(1_800);
/// Questions of an edge in a row, each within two pauses of the one before,
/// that promise a home more of them: one may be anybody's. An edge that has
/// agreed to ask sends as many at once over a connection that it opens again.
pub(crate) const PEER_HABIT: u8 = 3;
/// How long an agreement on keep-alives holds over the connection it was made
/// on (RFC 6223 §4.2: as long as the registration): every REGISTER and INVITE
/// renews it.
pub(crate) const PEER_AGREED: Duration = Duration::from_secs(3_600);
/// Silence after which a peer that nobody configured is watched no longer.
pub(crate) const PEER_FORGET: Duration = Duration::from_secs(60);
/// Most flows of one shard that are watched: each edge has one per shard of
/// its own, and more for a while when it starts again. One more is not
/// watched, and fails by its transactions' timers.
pub(crate) const PEERS_MAX: usize = 4_096;
