//! Edges that this home does not take for edges: the likeliest mistake when an edge
//! is added to a cluster is to forget it in `edge_peers`, and all that can be seen of
//! it is phones that are sent away again and again.
//!
//! A REGISTER that is redirected, or refused, although the Path of the cluster stands
//! in it has passed an edge. After a few from one address the operator is told, once. Anybody
//! can write such a Path, so that there is a place for some addresses only, and a
//! while between two notices.

use std::net::IpAddr;

use crate::limits;
use crate::time::Instant;

/// Addresses of which such a REGISTER came.
#[derive(Debug, Default)]
pub(super) struct Unrecognised {
    /// The least recently seen first.
    sources: Vec<Source>,
    /// Not before then is a further one told of.
    quiet_until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ip: IpAddr,
    seen: u32,
    is_told: bool,
}

impl Unrecognised {
    /// One more from there; true when that is to be told.
    pub(super) fn see(&mut self, now: Instant, ip: IpAddr) -> bool {
        let known = self.sources.iter().position(|source| source.ip == ip);
        let mut source = match known {
            Some(index) => self.sources.remove(index),
            None => Source {
                ip,
                seen: 0,
                is_told: false,
            },
        };
        source.seen = source.seen.saturating_add(1);
        let tells =
            !source.is_told && source.seen >= limits::UNRECOGNISED_SEEN && now >= self.quiet_until;
        if tells {
            source.is_told = true;
            self.quiet_until = now + limits::UNRECOGNISED_QUIET;
        }
        if self.sources.len() >= limits::UNRECOGNISED_MAX {
            self.sources.remove(0);
        }
        self.sources.push(source);
        tells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn an_address_is_told_of_once_and_a_flood_of_them_seldom() {
        let mut all = Unrecognised::default();
        let ip = |n: u32| IpAddr::from(n.to_be_bytes());
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let told = (0..100).filter(|n| all.see(at(*n), ip(1))).count();
        assert_eq!(told, 1);
        let flood =
            (0..100_000).filter(|n| all.see(at(200 + u64::from(*n) / 1_000), ip(2 + n / 10)));
        let most = 100_u64.div_ceil(limits::UNRECOGNISED_QUIET.as_secs());
        let told = u64::try_from(flood.count()).unwrap();
        assert!((1..=most).contains(&told), "{told}");
        assert_eq!(all.sources.len(), limits::UNRECOGNISED_MAX);
    }
}
