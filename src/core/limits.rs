//! Every bound of the program, each with its reason and with what happens at
//! it. A number that limits anything and stands elsewhere is a mistake.
//!
//! They stand in one file for each thing they bound, and are all called by this
//! name alone: `limits::T1`. What must hold between them is asserted below.

mod agent;
mod message;
mod names;
mod overload;
mod peers;
mod recorder;
mod registration;
mod shards;
mod shell;
mod source;
mod stickiness;
mod tools;
mod transaction;
mod transport;
mod zone;

pub use agent::*;
pub use message::*;
pub use names::*;
pub use overload::*;
pub use peers::*;
pub use recorder::*;
pub use registration::*;
pub use shards::*;
pub use shell::*;
pub use source::*;
pub use stickiness::*;
pub use tools::*;
pub use transaction::*;
pub use transport::*;
pub use zone::*;

const _: () = assert!(MESSAGE_MAX <= u16::MAX as usize, "spans are 16 bits");
const _: () = assert!(SHARDS_MAX == CORE_PORTS as usize, "a core port for each");
const _: () = assert!(
    DNS_ANSWER_MAX.as_millis() < DNS_WAIT_MAX.as_millis(),
    "a failure is told in time"
);
const _: () = assert!(
    DNS_WAIT_MAX.as_millis() < DNS_QUESTION_LOST.as_millis(),
    "who waits is told first"
);
const _: () = assert!(DNS_QUESTIONS_MAX < INBOX_MAX, "every answer finds room");
const _: () = assert!(
    LATE_MAX.as_millis() * 4 <= T1.as_millis(),
    "an answer is well before its request is sent again"
);
const _: () = assert!(
    RETRY_AFTER_MAX_S <= FLOW_TIMER_S,
    "who waits to come back is not taken for dead"
);
const _: () = assert!(
    NAT_EXPIRES_S - NAT_EXPIRES_S / EXPIRES_SPREAD >= EXPIRES_MIN_S,
    "who asks for what he got last is not refused"
);
const _: () = assert!(DNS_TARGETS_MAX <= 64, "a set of bits in `locate::order`");
const _: () = assert!(MEMBERS_MAX <= 64, "a set of bits in `zone`");
const _: () = assert!(
    ZONE_SILENCE_MAX.as_millis() > 3 * ZONE_ASK.as_millis(),
    "two lost datagrams are no death"
);
const _: () = assert!(TIMER_C.as_secs() > 180, "RFC 3261 §16.6-11");
const _: () = assert!(
    FLOW_SILENCE_MAX.as_secs() > FLOW_TIMER_S as u64,
    "RFC 5626 §5.4"
);
const _: () = assert!(
    PEER_PING.as_millis() + PEER_PATIENCE.as_millis() < 3_000,
    "a silent peer is lost within three seconds"
);
const _: () = assert!(
    PEER_PROBE.as_millis() * 4 <= T1.as_millis(),
    "three questions or more before a peer is suspect"
);
const _: () = assert!(
    USER_TIMEOUT.as_secs() < T1_64.as_secs(),
    "a backup is tried in time"
);
const _: () = assert!(
    LAB_PATIENCE.as_secs() > DRAIN_MAX.as_secs(),
    "a node may drain"
);
const _: () = assert!(
    HOME_RETRY_AFTER_S as u64 <= HELD_FOR.as_secs()
        && HOME_LEAVES_FOR.as_micros() * 2 <= HELD_FOR.as_micros(),
    "what a home that ends refuses is held until it is back"
);
const _: () = assert!(HELD_OF_SOURCE as usize * 4 <= HELD_MAX, "no source has all");
