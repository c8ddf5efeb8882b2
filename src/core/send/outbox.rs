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
pub use handoff::{EdgeHandoff, Handoff, HeldBinding, HomeHandoff, Refresh};
pub use output::{Notice, Output};
pub use stream_queue::{Overflow, StreamQueue};

use std::collections::VecDeque;

/// What the shell is to do, in order. It empties this after every step.
#[derive(Debug, Default)]
pub struct Outbox {
    outputs: VecDeque<Output>,
}

impl Outbox {
    /// Appends one thing to be done.
    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// True when there is nothing to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Tells the operator something.
    pub(crate) fn notify(&mut self, notice: Notice) {
        self.push(Output::Notice(notice));
    }

    /// Gives another shard of the node something.
    pub(crate) fn hand(&mut self, to: u8, handoff: Handoff) {
        self.push(Output::Handoff { to, handoff });
    }

    /// Takes out what is to be done first.
    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
