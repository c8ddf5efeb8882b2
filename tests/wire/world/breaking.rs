//! Connections that end, for both sides or for one.

use std::net::SocketAddr;

use steadfast::shard::Input;

use super::super::cables::{End, Joined};
use super::{Event, World};

impl World {
    /// The test closes its connection.
    pub(crate) fn close(&mut self, from: &str, to: &str) {
        let end = self
            .cables
            .between(from.parse().unwrap(), to.parse().unwrap());
        self.hang_up(end.unwrap());
        self.settle();
    }

    /// The network breaks the connections between two nodes; the number of them.
    pub(crate) fn cut(&mut self, one: &str, other: &str) -> usize {
        let joined = self.joined(one, other);
        for joined in &joined {
            self.wire.push_back(Event::Closed(joined.here()));
            self.hang_up(joined.clone());
        }
        self.settle();
        joined.len()
    }

    /// Breaks the connections between two ends so that only `one` notices.
    pub(crate) fn lose(&mut self, one: &str, other: &str) -> usize {
        let joined = self.joined(one, other);
        for joined in &joined {
            self.wire.push_back(Event::Closed(joined.here()));
            self.cables.part(joined);
        }
        self.settle();
        joined.len()
    }

    /// The keys of the connections between two nodes have sealed nearly all that they may, on the
    /// side of `one`; the number of them.
    pub(crate) fn use_up(&mut self, one: &str, other: &str) -> usize {
        let joined = self.joined(one, other);
        for joined in &joined {
            if let End::Node { index, stream, .. } = joined.here() {
                self.input(index, Input::UsedUp { stream });
            }
        }
        self.settle();
        joined.len()
    }

    /// Connections between two nodes.
    pub(crate) fn count_connections(&self, one: &str, other: &str) -> usize {
        self.joined(one, other).len()
    }

    fn joined(&self, one: &str, other: &str) -> Vec<Joined> {
        let (one, other): (SocketAddr, SocketAddr) = (one.parse().unwrap(), other.parse().unwrap());
        let mut joined = self.cables.all_of(self.nodes[&one].0);
        joined.retain(|joined| joined.across().addr().ip() == other.ip());
        joined
    }

    /// Whether a connection between the two is open.
    pub(crate) fn is_connected(&self, from: &str, to: &str) -> bool {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        self.cables.between(from, to).is_some()
    }
}
