//! What promises stand on: who was well, and who was registered for certain.

use std::net::IpAddr;

use steadfast::id::Transport;
use steadfast::limits;
use steadfast::time::{Duration, Instant};

use super::promises::UNCERTAIN;
use crate::plot::{QUIET_S, at};
use crate::world::World;

impl World {
    /// True when nothing hurt `who` between the two, and the phones were there.
    pub(super) fn was_clean(&self, who: IpAddr, from: Instant, until: Instant) -> bool {
        until < at(QUIET_S) && self.is_clean(who, from, until)
    }

    /// A registration is certain for this long after its 200.
    fn certain(&self, phone: IpAddr) -> Duration {
        let expires = self.cast.phone(phone).expires_s();
        let spread = expires / limits::EXPIRES_SPREAD;
        Duration::from_secs((expires - spread).into()) - UNCERTAIN
    }

    /// True when the phone is registered for certain through some edge.
    pub(super) fn is_served(&self, phone: IpAddr, from: Instant, until: Instant) -> bool {
        let mut edges = self.cast.edges.iter();
        edges.any(|edge| self.is_served_by(phone, edge.ip(), from, until))
    }

    /// Whether a phone is served through this edge for certain.
    pub(super) fn is_served_by(
        &self,
        phone: IpAddr,
        edge: IpAddr,
        from: Instant,
        until: Instant,
    ) -> bool {
        let granted = self.judge.calls.granted.iter();
        let mut granted = granted.filter(|(who, at, when)| {
            (*who, *at) == (phone, edge) && *when + Duration::from_secs(1) < from
        });
        let Some((.., when)) = granted.next_back() else {
            return false;
        };
        let since = *when - Duration::from_secs(2);
        *when + self.certain(phone) > until
            && self.was_clean(edge, since, until)
            && self.was_clean(phone, since, until)
    }

    /// True when all phones are known at one home. Over TCP an edge hears nothing of
    /// a request other than INVITE whose phone is gone; then it takes the home for
    /// silent, and what registers next is known to the other one alone.
    pub(super) fn has_one_registrar(&self) -> bool {
        self.cast.homes.len() == 1 || self.cast.core == Transport::Udp
    }

    pub(super) fn homes_are_clean(&self, from: Instant, until: Instant) -> bool {
        let mut homes = self.cast.homes.iter();
        homes.all(|home| self.was_clean(home.ip(), from, until))
    }
}
