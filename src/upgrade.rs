//! A node that goes on in another process, with another program: `steadfast upgrade`.
//!
//! The node starts the new program with one end of a line as its standard input. That one reads
//! the same configuration and all that it names, checks itself, and says what it can read
//! (`hello`). Only then the shards stand still, each says what it leaves, and all of it goes
//! over the line: a file in memory (`estate`) and every socket. The new process makes its shards
//! of that and says `ready`; the old one says `go`, and ends without closing anything that the
//! new one has.
//!
//! Until `go` nothing is lost: a program that fails, or says nothing, is killed, and the shards
//! go on where they stood. No key of TLS is used by both: the old process uses none after `go`,
//! the new one none before.

mod command;
mod estate;
mod hello;
mod line;
mod predecessor;

pub use command::{Options, ask};
pub use estate::{ControlSocketsPart, Estate, ShardBytes, ShardPart};
pub use hello::Hello;
pub use line::{Heard, Line};
pub use predecessor::{ControlSockets, Given, Kept, hand_over};
