//! What an operator asks of a running shard.

use super::{Acting, Shard};
use crate::proxy::Facts;
use crate::time::Instant;

impl Shard {
    /// Why a request for `uri` goes where it goes: every fact that decides it.
    /// Changes nothing but the order in which old bindings give way.
    #[must_use]
    pub fn why(&mut self, now: Instant, uri: &[u8]) -> Facts {
        match &mut self.role {
            Acting::Edge(edge) => edge.why(&mut self.net, now, uri),
            Acting::Home(home) => home.why(&mut self.net, now, uri),
            Acting::Agent(_) => Facts::default(),
        }
    }
}
