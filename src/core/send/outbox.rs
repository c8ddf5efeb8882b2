//! What the core asks of the shell, and what waits there for a kernel that is full.
//! The shell drains [`Output`] after each step; what it cannot write at once stands in
//! a queue of the socket, which drops by a rule where it is full.

mod datagram_queue;
mod event;
mod handoff;
mod output;
mod stream_queue;

pub use datagram_queue::{DatagramQueue, Dropped};
pub use event::{Event, Party};
pub use handoff::{Far, Handoff, Held, Refresh};
pub use output::{Notice, Output};
pub use stream_queue::{Overflow, StreamQueue};
