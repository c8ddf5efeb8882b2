//! Locating servers (RFC 3263) as data: from a URI to a question, from the
//! records of the DNS to the servers in the order in which to try them.
//!
//! - `question`: what of a URI decides its look-up, and the key of that in the cache.
//! - `walk`: the procedure of RFC 3263 §4 over the records known so far. It ends
//!   with servers, or with the queries that are still missing, so that the part that
//!   sends DNS queries decides nothing.
//! - `order`: priority and weight (RFC 2782), with chance as an argument.
//! - `cache`: what was found, by TTL, and who waits for it.
//!
//! Not here: sockets and DNS messages (`control`), which requests wait, and
//! what a failed server means for them ([`proxy`](crate::proxy)). A URI whose host is an
//! address never comes here (`send::Hop::literal`).

mod cache;
mod order;
mod question;
mod walk;

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

pub use cache::{Find, Locator, LookupId, LookupOutcome, Waiter};
pub use order::order;
pub use question::{Question, Transports};
pub use walk::{Found, WalkStep, walk};

use crate::id::Transport;

/// One address that may serve a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The transport to use.
    pub transport: Transport,
    /// The address to send to.
    pub addr: SocketAddr,
    /// Lower is tried first: the rank of its NAPTR record or transport, then
    /// the priority of its SRV record.
    pub rank: u32,
    /// Share among the targets of one rank (RFC 2782).
    pub weight: u16,
    /// The index of its target: addresses of one target stay together.
    pub target: u8,
}

/// True for an address of one host: neither a multicast or broadcast address nor the
/// unspecified one, which no message or name may have us send to.
#[must_use]
pub(crate) fn is_unicast(ip: IpAddr) -> bool {
    let everybody = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !everybody && !ip.is_multicast() && !ip.is_unspecified()
}

/// The type of a DNS query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// RFC 3403.
    Naptr,
    /// RFC 2782.
    Srv,
}

/// One query of the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// A fully qualified name, in lower case, without the last dot.
    pub name: Box<str>,
    /// The type of the records.
    pub kind: QueryType,
}

/// A record, as far as RFC 3263 uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A or AAAA.
    Address(IpAddr),
    /// NAPTR.
    Naptr {
        /// Lower first.
        order: u16,
        /// Lower first among equals.
        preference: u16,
        /// `s`: the replacement has SRV records.
        flags: Box<str>,
        /// Such as `SIP+D2U`.
        service: Box<str>,
        /// The next name to look up, without the last dot.
        replacement: Box<str>,
    },
    /// SRV.
    Srv {
        /// Lower first.
        priority: u16,
        /// Share among equals.
        weight: u16,
        /// Port of the server.
        port: u16,
        /// Name of the server, without the last dot; empty: there is decidedly
        /// none.
        target: Box<str>,
    },
}

/// The result of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Set {
    /// These records.
    Found {
        /// At least one.
        records: Vec<Record>,
        /// How long they hold, in seconds.
        ttl_s: u32,
    },
    /// The DNS says that there are none.
    Nothing {
        /// How long that holds, in seconds (RFC 2308).
        ttl_s: u32,
    },
    /// The DNS did not answer, or could not.
    Failed,
}

/// The results of the queries of one look-up so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    sets: Vec<(Query, Set)>,
}

impl Records {
    /// Adds the result of a query.
    pub fn add(&mut self, query: Query, set: Set) {
        self.sets.push((query, set));
    }

    fn find(&self, name: &str, kind: QueryType) -> Option<&Set> {
        let mut sets = self.sets.iter();
        sets.find(|(query, _)| query.kind == kind && *query.name == *name)
            .map(|(_, set)| set)
    }
}
