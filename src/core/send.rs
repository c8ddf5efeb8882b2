//! What leaves: the flow table, the outbox, and the bounded queues that stand
//! between a full kernel buffer and the rest of the shard.
//!
//! `Flows` and `Output` belong to the core's side of the border, the queues to
//! whoever drains it; all of them are plain values. Invariants: a stream id is
//! never reused for another connection; a queue never grows past its bound.

mod datagram_queue;
mod event;
mod flows;
mod handoff;
mod health;
mod hop;
mod names;
mod output;
mod peer_rule;
mod peers;
mod stream_queue;

pub use datagram_queue::{DatagramQueue, Dropped};
pub use event::{Event, Party};
pub use flows::{Accepted, Flows, KnownAs, Local, Reach, SentBy, Stream};
pub use handoff::{Far, Handoff, Held, Refresh};
pub use health::Health;
pub use hop::Hop;
pub use names::{NameId, Names};
pub use output::{Notice, Output};
pub use peer_rule::{Clear, End, HostRule, PeerRule, Ports, network};
pub use peers::{KeepaliveRole, LivenessEvent, Peers};
pub use stream_queue::{Overflow, StreamQueue};
