//! Destinations that failed a moment ago: a choice between several leaves
//! them for last, and nothing is tried there that has another way.

use std::net::SocketAddr;

use crate::id::Transport;
use crate::limits;
use crate::time::Instant;

/// Who is avoided, and until when. Holds the few peers a node is configured
/// with; at `limits::DESTINATIONS_AVOIDED_MAX` the oldest is forgotten.
#[derive(Debug, Default)]
pub struct Avoided {
    list: Vec<(Transport, SocketAddr, Instant)>,
}

impl Avoided {
    /// It failed just now.
    pub fn add(&mut self, now: Instant, transport: Transport, addr: SocketAddr) {
        self.list
            .retain(|&(other, peer, _)| (other, peer) != (transport, addr));
        if self.list.len() >= limits::DESTINATIONS_AVOIDED_MAX {
            self.list.remove(0);
        }
        let until = now + limits::DESTINATION_DOWN;
        self.list.push((transport, addr, until));
    }

    /// Whether it is still to be left for last.
    #[must_use]
    pub fn contains(&self, now: Instant, transport: Transport, addr: SocketAddr) -> bool {
        let is_it = |&(other, peer, until): &(_, _, Instant)| {
            (other, peer) == (transport, addr) && now < until
        };
        self.list.iter().any(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_remembered_for_a_while() {
        let (mut avoided, now) = (Avoided::default(), Instant::ZERO);
        let [a, b] = ["192.0.2.1:5060", "192.0.2.2:5060"].map(|addr| addr.parse().unwrap());
        avoided.add(now, Transport::Tcp, a);
        avoided.add(now, Transport::Udp, b);
        assert!(avoided.contains(now, Transport::Tcp, a));
        assert!(!avoided.contains(now, Transport::Udp, a));
        assert!(avoided.contains(now, Transport::Udp, b));
        let later = now + limits::DESTINATION_DOWN;
        assert!(!avoided.contains(later, Transport::Tcp, a));
    }

    #[test]
    fn at_its_bound_the_oldest_is_forgotten() {
        let (mut avoided, now) = (Avoided::default(), Instant::ZERO);
        let addr = |port: usize| SocketAddr::from(([192, 0, 2, 1], u16::try_from(port).unwrap()));
        for port in 0..=limits::DESTINATIONS_AVOIDED_MAX {
            avoided.add(now, Transport::Udp, addr(port));
        }
        assert!(!avoided.contains(now, Transport::Udp, addr(0)));
        assert!(avoided.contains(now, Transport::Udp, addr(1)));
    }
}
