//! steadfast: a SIP edge proxy whose calls survive the edge.
//!
//! This package is the shell and the program: sockets, TLS, the executor, what may wait, and
//! the commands. What the proxy does stands in the package `steadfast_core`, whose rooms are
//! named here as well. `io` and `control` know the core; the core does not know them.
//!
//! The rooms, the decisions and the way of a message stand in [`architecture`].
//! What all of it does on the wire stands in [`protocol`], rule by rule; names
//! such as `S-14` lead there.

#[doc = include_str!("README.md")]
pub mod architecture {}

#[doc(hidden)]
pub use steadfast_core::omit;
pub use steadfast_core::{
    admission, agent, bytes, carry, digest, edge, edit, error, frame, grammar, guard, histogram,
    home, id, limits, locate, pacing, protocol, proxy, recorder, scan, secret, send, shard, span,
    stick, time, trust, txn, uri,
};

mod authority;
pub mod bindings;
pub mod config;
pub mod control;
pub mod control_client;
pub mod init;
pub mod io;
pub mod lab;
pub mod manual;
pub mod memory;
pub mod node;
pub mod rejected;
pub mod reload;
pub mod top;
pub mod trace;
pub mod ua;
pub mod upgrade;
pub mod version;
pub mod view;
pub mod why;
pub mod zone;
