//! What leaves, in three parts:
//!
//! - `flows`, the flow table: sockets and connections, who may be at their far ends,
//!   and which of them a request to a [`Hop`] takes.
//! - `outbox`: what the core asks of the shell ([`Output`]), and the bounded queues
//!   that stand between a full kernel buffer and the rest of the shard.
//! - `liveness`: which peers answer ([`Peers`]) and which destinations failed
//!   ([`Health`]).
//!
//! The queues belong to whoever drains the outbox, the rest to the core's side of the
//! border; all of it is plain values. Invariants: a stream id is never reused for
//! another connection; a queue never grows past its bound.

mod flows;
mod liveness;
mod outbox;

pub use flows::{
    AcceptedConnection, Clear, End, Far, Flows, Hop, HostRule, KnownAs, Local, NameId, Names,
    PeerRule, Ports, Reach, SentBy, Stream, network,
};
pub use liveness::{Health, KeepaliveRole, LivenessEvent, Peers};
pub use outbox::{
    DatagramQueue, Dropped, EdgeHandoff, Event, Handoff, HeldBinding, HomeHandoff, Notice, Outbox,
    Output, Overflow, Party, Refresh, StreamQueue,
};
