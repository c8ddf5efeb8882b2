//! The flight recorder of a shard, for the shell that gives it its memory and reads it.

use std::net::SocketAddr;

use super::Shard;
use crate::recorder::{Filter, PeerLink, Piece, Recorder};

impl Shard {
    /// Keeps what passes in memory of about so many bytes, instead of nothing.
    pub fn set_recorder(&mut self, bytes: usize) {
        self.net.recorder = Recorder::new(bytes);
    }

    /// What the flight recorder holds from the entry `from` on, as far as one piece goes.
    #[must_use]
    pub fn recorded(&self, from: u64, filter: &Filter) -> Piece {
        self.net.recorder.read(from, filter)
    }

    /// Our end of what was recorded.
    #[must_use]
    pub fn local_end(&self, link: &PeerLink) -> Option<SocketAddr> {
        self.net
            .flows
            .local_end(link.transport, link.peer, link.socket)
    }
}
