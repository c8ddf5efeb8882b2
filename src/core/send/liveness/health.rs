//! The health of destinations: a circuit per destination, which this shard
//! shares with nobody.
//!
//! A circuit is closed while its destination works. A failure opens it: a
//! choice between several leaves it for last, and nothing is tried there that
//! has another way. When its pause is over, one request may try; it closes the
//! circuit, as any sign of life does, or opens it for twice as long.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::Transport;
use crate::limits;
use crate::time::{Duration, Instant};

/// The destinations that failed lately. Holds the few peers a node is configured with and what
/// its subscribers call; at `limits::DESTINATIONS_OPEN_MAX` the oldest failure
/// is forgotten.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Health {
    list: Vec<Circuit>,
}

/// One destination that failed and has not worked since.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Circuit {
    transport: Transport,
    addr: SocketAddr,
    /// Failures in a row, each after a pause.
    failures: u8,
    /// Until when it is tried last.
    until: Instant,
    /// It asked for the pause itself (Retry-After): a sign of life does not end it.
    is_refusing: bool,
    /// Until when one request tries it and others do not.
    tried: Option<Instant>,
}

impl Health {
    /// Notes a failure of a destination. True when its circuit was closed until now.
    pub fn failed(&mut self, now: Instant, transport: Transport, addr: SocketAddr) -> bool {
        if let Some(circuit) = self.find(transport, addr) {
            // Whoever was under way to it fails too, and says nothing new.
            if now >= circuit.until {
                circuit.failures = circuit.failures.saturating_add(1);
                circuit.until = now + pause(circuit.failures);
            }
            circuit.tried = None;
            return false;
        }
        self.open(transport, addr, now + pause(1), false);
        true
    }

    /// Notes that a destination asked to be left alone for `pause`, at most
    /// `limits::DESTINATION_DOWN_MAX` (503 with Retry-After; N-7). True when
    /// its circuit was closed until now.
    pub fn refused(
        &mut self,
        now: Instant,
        transport: Transport,
        addr: SocketAddr,
        pause: Duration,
    ) -> bool {
        let until = now + pause.min(limits::DESTINATION_DOWN_MAX);
        if let Some(circuit) = self.find(transport, addr) {
            (circuit.until, circuit.is_refusing) = (until, true);
            return false;
        }
        self.open(transport, addr, until, true);
        true
    }

    /// Notes a sign of life of a destination. True when that closed its circuit.
    pub fn worked(&mut self, now: Instant, transport: Transport, addr: SocketAddr) -> bool {
        let before = self.list.len();
        self.list.retain(|circuit| {
            !circuit.is(transport, addr) || circuit.is_refusing && now < circuit.until
        });
        self.list.len() < before
    }

    /// The destinations whose circuit is not closed.
    pub(crate) fn destinations(&self) -> impl Iterator<Item = (Transport, SocketAddr)> {
        self.list
            .iter()
            .map(|circuit| (circuit.transport, circuit.addr))
    }

    /// Closes the circuit of a destination that nothing is to be sent to.
    pub(crate) fn forget(&mut self, transport: Transport, addr: SocketAddr) {
        self.list.retain(|circuit| !circuit.is(transport, addr));
    }

    /// Notes that a request leaves for a destination: when its pause is over, this request tries it
    /// and others do not.
    pub fn tries(&mut self, now: Instant, transport: Transport, addr: SocketAddr) {
        if let Some(circuit) = self.find(transport, addr)
            && now >= circuit.until
        {
            circuit.tried = Some(now + limits::DESTINATION_DOWN);
        }
    }

    /// Whether a destination is to be tried last.
    #[must_use]
    pub fn is_open(&self, now: Instant, transport: Transport, addr: SocketAddr) -> bool {
        let mut list = self.list.iter();
        list.find(|circuit| circuit.is(transport, addr))
            .is_some_and(|circuit| {
                now < circuit.until || circuit.tried.is_some_and(|until| now < until)
            })
    }

    /// Whether nothing has failed at a destination since it last worked.
    #[must_use]
    pub fn is_closed(&self, transport: Transport, addr: SocketAddr) -> bool {
        !self.list.iter().any(|circuit| circuit.is(transport, addr))
    }

    /// Destinations whose circuit is not closed.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.list.len()
    }

    /// True when every destination works.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn find(&mut self, transport: Transport, addr: SocketAddr) -> Option<&mut Circuit> {
        let mut list = self.list.iter_mut();
        list.find(|circuit| circuit.is(transport, addr))
    }

    fn open(&mut self, transport: Transport, addr: SocketAddr, until: Instant, is_refusing: bool) {
        if self.list.len() >= limits::DESTINATIONS_OPEN_MAX {
            self.list.remove(0);
        }
        self.list.push(Circuit {
            transport,
            addr,
            failures: 1,
            until,
            is_refusing,
            tried: None,
        });
    }
}

impl Circuit {
    fn is(&self, transport: Transport, addr: SocketAddr) -> bool {
        (self.transport, self.addr) == (transport, addr)
    }
}

/// The pause after so many failures in a row.
fn pause(failures: u8) -> Duration {
    let doubled = u32::from(failures.saturating_sub(1)).min(16);
    (limits::DESTINATION_DOWN * (1 << doubled)).min(limits::DESTINATION_DOWN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SocketAddr = SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
        5060,
    );
    const NOW: Instant = Instant::ZERO;

    fn is_open(health: &Health, now: Instant) -> bool {
        health.is_open(now, Transport::Udp, A)
    }

    #[test]
    fn a_failure_opens_one_circuit_and_a_sign_of_life_closes_it() {
        let mut health = Health::default();
        assert!(health.failed(NOW, Transport::Udp, A));
        assert!(!health.failed(NOW, Transport::Udp, A), "said once");
        assert!(is_open(&health, NOW) && !health.is_open(NOW, Transport::Tcp, A));
        assert!(health.worked(NOW, Transport::Udp, A) && !health.worked(NOW, Transport::Udp, A));
        assert!(!is_open(&health, NOW) && health.is_empty());
    }

    #[test]
    fn after_the_pause_one_request_tries_for_all() {
        let mut health = Health::default();
        health.failed(NOW, Transport::Udp, A);
        health.tries(NOW, Transport::Udp, A);
        let half = NOW + limits::DESTINATION_DOWN;
        assert!(
            !is_open(&health, half),
            "the first request too early tried nothing"
        );
        health.tries(half, Transport::Udp, A);
        assert!(is_open(&health, half));
        // It fails: twice the pause.
        health.failed(half, Transport::Udp, A);
        assert!(is_open(&health, half + limits::DESTINATION_DOWN));
        assert!(!is_open(&health, half + 2 * limits::DESTINATION_DOWN));
    }

    #[test]
    fn the_pause_grows_to_its_bound() {
        let (mut health, mut now) = (Health::default(), NOW);
        for _ in 0..300 {
            health.failed(now, Transport::Udp, A);
            now = now + limits::DESTINATION_DOWN_MAX;
            assert!(!is_open(&health, now));
        }
        health.failed(now, Transport::Udp, A);
        let last = now + (limits::DESTINATION_DOWN_MAX - Duration::from_micros(1));
        assert!(is_open(&health, last));
    }

    // N-7
    #[test]
    fn who_asks_to_be_left_alone_is_whatever_it_answers_meanwhile() {
        let mut health = Health::default();
        let pause = Duration::from_secs(30);
        assert!(health.refused(NOW, Transport::Udp, A, pause));
        assert!(!health.worked(NOW, Transport::Udp, A));
        assert!(is_open(&health, NOW + Duration::from_secs(29)));
        assert!(!is_open(&health, NOW + pause));
        assert!(health.worked(NOW + pause, Transport::Udp, A));
        health.refused(NOW, Transport::Udp, A, Duration::from_secs(1 << 40));
        assert!(!is_open(&health, NOW + limits::DESTINATION_DOWN_MAX));
    }

    #[test]
    fn at_its_bound_the_oldest_is_forgotten() {
        let mut health = Health::default();
        let addr = |port: usize| SocketAddr::new(A.ip(), u16::try_from(port).unwrap());
        for port in 0..=limits::DESTINATIONS_OPEN_MAX {
            health.failed(NOW, Transport::Udp, addr(port));
        }
        assert_eq!(health.len(), limits::DESTINATIONS_OPEN_MAX);
        assert!(!health.is_open(NOW, Transport::Udp, addr(0)));
        assert!(health.is_open(NOW, Transport::Udp, addr(1)));
    }
}
