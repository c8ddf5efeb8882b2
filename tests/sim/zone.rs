//! Where the names of the cluster lead (RFC 3263 §4.2), for phones that resolve
//! what stands in their routes, and for a home that knows nothing else of edges.
//!
//! The records are those that `steadfast zone` prints: the cluster's name leads to
//! all edges alike, that of an edge to itself first and to its siblings after it.

use std::net::SocketAddr;

use super::dice::Dice;
use super::text::{addr_of, user_and_host};

pub(crate) const CLUSTER: &str = "edge.example.com";

/// One SRV record with the address of its target.
#[derive(Clone, Copy, Debug)]
struct Srv {
    priority: u16,
    addr: SocketAddr,
}

/// The names as one kind of reader is told of them.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    /// Where each edge is for that reader, in the order of their names.
    pub(crate) edges: Vec<SocketAddr>,
}

/// The name of an edge by its index.
pub(crate) fn name_of(index: usize) -> String {
    format!("e{}.{CLUSTER}", index + 1)
}

impl Zone {
    fn records(&self, name: &str) -> Vec<Srv> {
        let own = (0..self.edges.len()).find(|index| name == name_of(*index));
        if own.is_none() && name != CLUSTER {
            return Vec::new();
        }
        let edges = self.edges.iter().enumerate();
        let record = |(index, addr): (usize, &SocketAddr)| Srv {
            priority: if own.is_none_or(|own| own == index) {
                10
            } else {
                20
            },
            addr: *addr,
        };
        edges.map(record).collect()
    }

    /// The servers of a URI, in the order in which they are tried; none for a name
    /// that is not in this zone. Those of one priority are of one weight.
    pub(crate) fn servers(&self, uri: &str, dice: &mut Dice) -> Vec<SocketAddr> {
        if let Some(addr) = addr_of(uri) {
            return vec![addr];
        }
        let mut records = self.records(user_and_host(uri).1);
        for last in (1..records.len()).rev() {
            records.swap(last, dice.index(last + 1));
        }
        records.sort_by_key(|record| record.priority);
        records.into_iter().map(|record| record.addr).collect()
    }
}
