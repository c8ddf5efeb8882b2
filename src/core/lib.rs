//! The core of steadfast: what a SIP edge proxy does, without a socket, a clock, a thread, a
//! lock or chance. Time, bytes and seeds come in as arguments, so that hundreds of nodes run
//! in one test in virtual time.
//!
//! Bytes move one way through the rooms:
//! **bytes → frame → grammar → uri → scan → stick → txn → edit → trust → locate → send → recorder → proxy → edge | home | agent**,
//! and `shard` runs them in this order; whoever is outside calls `shard` alone.
//!
//! - A room uses the rooms to its left and the ground floor (`time`, `limits`,
//!   `id`, `span`, `error`, `digest`, `secret`, `guard`, `admission`, `pacing`, `histogram`).
//!   `edge`, `home` and `agent` do not use one another.
//! - The shell, the package `steadfast`, knows the core; the core does not know it.
//!
//! What all of it does on the wire stands in [`protocol`], rule by rule; names such as `S-14`
//! lead there.

#[doc = include_str!("protocol.md")]
pub mod protocol {}

pub mod admission;
pub mod carry;
pub mod digest;
pub mod error;
pub mod guard;
pub mod histogram;
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

pub mod recorder;

pub mod proxy;

pub mod agent;
pub mod edge;
pub mod home;

pub mod shard;
