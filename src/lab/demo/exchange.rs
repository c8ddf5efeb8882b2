//! A request between the two phones, and what they saw of it.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::{HOME, NodeAddress};
use super::{name_of, node_of};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The one whose edge is killed.
    Joe,
    /// The other one.
    Ann,
}

impl Side {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Joe => "joe",
            Self::Ann => "ann",
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Joe => Self::Ann,
            Self::Ann => Self::Joe,
        }
    }
}

/// A request and its final answer, as its two ends saw them.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// From the first try to the final answer.
    pub(super) took: Duration,
    /// Status of the final answer.
    pub(super) status: u16,
    /// Where the answer came from.
    pub(super) near: SocketAddr,
    /// Where the far side got the request from.
    pub(super) far: Option<SocketAddr>,
}

impl Exchange {
    /// The edge on the caller's side.
    pub(super) fn caller_edge(&self) -> Option<NodeAddress> {
        node_of(self.near).filter(|node| node.name != HOME.name)
    }

    /// The way it went, for people.
    pub(super) fn way(&self) -> String {
        match self.far {
            Some(far) => format!("{} ... {}", name_of(self.near), name_of(far)),
            None => name_of(self.near),
        }
    }
}
