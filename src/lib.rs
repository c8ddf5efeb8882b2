//! steadfast: a SIP edge proxy whose calls survive the edge.
//!
//! Bytes move one way through the rooms:
//! **bytes → frame → grammar → uri → scan → stick → txn → edit → trust → locate → send → proxy → edge | home | agent**,
//! and `shard` is the corridor that runs them in order and the only stateful door.
//!
//! - Everything from `time` to `shard` is the core: no sockets, clock, threads,
//!   locks, randomness or `async`. Time, bytes and seeds come in as arguments.
//! - A room uses the rooms to its left and the ground floor (`time`, `limits`,
//!   `id`, `span`, `error`, `digest`, `secret`, `guard`, `admission`, `pacing`).
//!   `edge`, `home` and `agent` do not use one another.
//! - `io` and `control` know the core; the core does not know them.
//!
//! The rooms, the decisions and the way of a message stand in [`architecture`].
//! What all of it does on the wire stands in [`protocol`], rule by rule; marks
//! such as `S-14` lead there.

#[doc = include_str!("README.md")]
pub mod architecture {}

#[doc = include_str!("protocol.md")]
pub mod protocol {}

pub mod admission;
pub mod digest;
pub mod error;
pub mod guard;
pub mod id;
pub mod limits;
#[doc(hidden)]
pub mod omit;
pub mod pacing;
pub mod secret;
pub mod span;
pub mod time;

pub mod bytes;
pub mod frame;
pub mod grammar;
pub mod scan;
pub mod stick;
pub mod txn;
pub mod uri;

pub mod edit;
pub mod locate;
pub mod send;
pub mod trust;

pub mod proxy;

pub mod agent;
pub mod edge;
pub mod home;

pub mod shard;

pub mod bindings;
pub mod config;
pub mod control;
pub mod control_client;
pub mod io;
pub mod lab;
pub mod node;
pub mod rejected;
pub mod ua;
pub mod why;
pub mod zone;
