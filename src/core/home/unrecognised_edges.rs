//! Edges that this home does not take for edges: the likeliest mistake when an edge
//! is added to a cluster is to forget it in `edge_peers`, and all that can be seen of
//! it is phones that are redirected again and again.
//!
//! A REGISTER that is redirected, or refused, although the Path of the cluster stands in it
//! has passed an edge. After a few from one address the operator is told, once for that
//! address. Anybody can write such a Path, so only some addresses are remembered, and there
//! is a while between two notices.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::time::Instant;

/// The addresses that such REGISTERs came from.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct UnrecognisedEdges {
    /// The least recently seen first.
    sources: Vec<Source>,
    /// Before that no further notice is given.
    quiet_until: Instant,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Source {
    ip: IpAddr,
    requests: u32,
    is_reported: bool,
}

impl UnrecognisedEdges {
    /// Counts one more REGISTER from `ip`; true when the operator is to be told of it now.
    pub(super) fn count(&mut self, now: Instant, ip: IpAddr) -> bool {
        let known = self.sources.iter().position(|source| source.ip == ip);
        let mut source = match known {
            Some(index) => self.sources.remove(index),
            None => Source {
                ip,
                requests: 0,
                is_reported: false,
            },
        };
        source.requests = source.requests.saturating_add(1);
        let is_due = !source.is_reported
            && source.requests >= limits::UNRECOGNISED_SEEN
            && now >= self.quiet_until;
        if is_due {
            source.is_reported = true;
            self.quiet_until = now + limits::UNRECOGNISED_QUIET;
        }
        if self.sources.len() >= limits::UNRECOGNISED_MAX {
            self.sources.remove(0);
        }
        self.sources.push(source);
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn an_address_is_reported_once_and_a_flood_of_them_seldom() {
        let mut edges = UnrecognisedEdges::default();
        let ip = |n: u32| IpAddr::from(n.to_be_bytes());
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let notices = (0..100).filter(|n| edges.count(at(*n), ip(1))).count();
        assert_eq!(notices, 1);
        let flood =
            (0..100_000).filter(|n| edges.count(at(200 + u64::from(*n) / 1_000), ip(2 + n / 10)));
        let most = 100_u64.div_ceil(limits::UNRECOGNISED_QUIET.as_secs());
        let notices = u64::try_from(flood.count()).unwrap();
        assert!((1..=most).contains(&notices), "{notices}");
        assert_eq!(edges.sources.len(), limits::UNRECOGNISED_MAX);
    }
}
