//! What each source holds at once: connections, handshakes, and bytes of
//! messages that are not complete yet.
//!
//! Unlike the buckets this must be exact, so a source keeps its entry for as
//! long as it holds anything. There are never more entries than connections,
//! and one is touched only when a connection comes or goes or a message stays
//! unfinished.

use std::net::IpAddr;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::network;
use crate::carry::carried;
use crate::limits;

/// What one source holds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Share {
    streams: u32,
    handshakes: u32,
    partial: usize,
    /// The operator was warned that it comes near its bound.
    is_near: bool,
}

/// The result of counting a connection that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionAdmission {
    /// It is counted.
    Counted,
    /// It is counted, and with it the source comes near its bound for the
    /// first time.
    Near(Near),
    /// The source holds as much as it may.
    Full,
}

/// How near a source is to its bound of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Near {
    /// Connections that it holds.
    pub held: u32,
    /// Connections that it may hold.
    pub most: u32,
}

/// Every source that holds anything.
#[derive(Debug)]
pub(super) struct Shares {
    by_source: HashMap<(bool, u64), Share, ahash::RandomState>,
    partial: usize,
    near: usize,
    /// Handshakes of all sources.
    handshakes: usize,
    /// Connections that one source may have.
    most: u32,
}

impl Shares {
    pub(super) fn new(hasher: ahash::RandomState) -> Self {
        Self {
            by_source: HashMap::with_hasher(hasher),
            partial: 0,
            near: 0,
            handshakes: 0,
            most: limits::SOURCE_STREAMS,
        }
    }

    pub(super) const fn set_connections(&mut self, most: u32) {
        self.most = most;
    }

    /// The number of connections at which the operator is warned.
    fn alarm(&self) -> u32 {
        let share = u64::from(self.most) * u64::from(limits::SOURCE_STREAMS_ALARM_PERCENT);
        u32::try_from(share.div_ceil(100)).unwrap_or(u32::MAX)
    }

    /// Handshakes under way.
    pub(super) const fn handshakes(&self) -> usize {
        self.handshakes
    }

    /// Sources near their bound.
    pub(super) const fn near(&self) -> usize {
        self.near
    }

    /// Counts a connection; one of the exempt is counted and never refused.
    pub(super) fn open(&mut self, ip: IpAddr, is_exempt: bool) -> ConnectionAdmission {
        let (most, alarm) = (self.most, self.alarm());
        let share = self.by_source.entry(network(ip)).or_default();
        if is_exempt {
            share.streams += 1;
            return ConnectionAdmission::Counted;
        }
        if share.streams >= most {
            return ConnectionAdmission::Full;
        }
        share.streams += 1;
        if share.is_near || share.streams < alarm {
            return ConnectionAdmission::Counted;
        }
        share.is_near = true;
        self.near += 1;
        ConnectionAdmission::Near(Near {
            held: share.streams,
            most,
        })
    }

    /// A connection is gone.
    pub(super) fn close(&mut self, ip: IpAddr) {
        self.change(ip, |share| {
            share.streams = share.streams.saturating_sub(1);
        });
    }

    /// Counts a handshake; false: the source has as many as it may.
    pub(super) fn handshake_started(&mut self, ip: IpAddr, is_exempt: bool) -> bool {
        let share = self.by_source.entry(network(ip)).or_default();
        let admitted = is_exempt || share.handshakes < limits::SOURCE_HANDSHAKES_MAX;
        share.handshakes += u32::from(admitted);
        self.handshakes += usize::from(admitted);
        admitted
    }

    /// A handshake is over, one way or another.
    pub(super) fn handshake_done(&mut self, ip: IpAddr) {
        let mut was_counted = false;
        self.change(ip, |share| {
            was_counted = share.handshakes > 0;
            share.handshakes -= u32::from(was_counted);
        });
        self.handshakes -= usize::from(was_counted);
    }

    /// The unfinished message of a connection grew or shrank; false: there is
    /// no room for what it is now, and `before` stays counted.
    pub(super) fn hold(
        &mut self,
        ip: IpAddr,
        before: usize,
        after: usize,
        is_exempt: bool,
    ) -> bool {
        let Some(share) = self.by_source.get_mut(&network(ip)) else {
            return true;
        };
        let mine = share.partial.saturating_sub(before) + after;
        let all = self.partial.saturating_sub(before) + after;
        let fits = is_exempt || mine <= limits::SOURCE_PARTIAL_BYTES_MAX;
        if after > before && !(fits && all <= limits::PARTIAL_BYTES_MAX) {
            return false;
        }
        share.partial = mine;
        self.partial = all;
        true
    }

    fn change(&mut self, ip: IpAddr, change: impl FnOnce(&mut Share)) {
        let (key, alarm) = (network(ip), self.alarm());
        let Some(share) = self.by_source.get_mut(&key) else {
            return;
        };
        change(share);
        // Told again only after it was well below.
        if share.is_near && share.streams < alarm / 2 {
            share.is_near = false;
            self.near -= 1;
        }
        if (share.streams, share.handshakes, share.partial) == (0, 0, 0) {
            self.by_source.remove(&key);
        }
    }
}

carried!(Shares {
    parts: by_source;
    values: partial, near, handshakes;
    made: most;
});

#[cfg(test)]
mod tests {
    use super::*;

    fn shares() -> Shares {
        Shares::new(ahash::RandomState::with_seeds(1, 2, 3, 4))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_fills_up_and_tells_once_on_the_way() {
        let (mut shares, one) = (shares(), ip("2001:db8::1"));
        shares.set_connections(501);
        let mut warned = Vec::new();
        let opened = (0..).take_while(|_| match shares.open(one, false) {
            ConnectionAdmission::Counted => true,
            ConnectionAdmission::Near(near) => {
                warned.push(near);
                true
            }
            ConnectionAdmission::Full => false,
        });
        let opened = opened.count();
        assert_eq!(opened, 501);
        let near = Near {
            held: 401,
            most: 501,
        };
        assert_eq!((warned, shares.near()), (vec![near], 1));
        // Its neighbour in the same /64 is the same customer; others are not.
        assert_eq!(
            shares.open(ip("2001:db8::2"), false),
            ConnectionAdmission::Full
        );
        assert_eq!(
            shares.open(ip("2001:db8:0:1::1"), false),
            ConnectionAdmission::Counted
        );
        assert_eq!(shares.open(one, true), ConnectionAdmission::Counted);
        for _ in 0..=opened {
            shares.close(one);
        }
        assert_eq!((shares.near(), shares.by_source.len()), (0, 1));
    }

    #[test]
    fn handshakes_are_counted_for_each_and_for_all() {
        let mut shares = shares();
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let most = limits::SOURCE_HANDSHAKES_MAX as usize;
        let done = (0..)
            .take_while(|_| shares.handshake_started(one, false))
            .count();
        assert_eq!((done, shares.handshakes()), (most, most));
        assert!(shares.handshake_started(one, true) && shares.handshake_started(other, false));
        assert_eq!(shares.handshakes(), most + 2);
        for _ in 0..most + 2 {
            shares.handshake_done(one);
        }
        assert_eq!(shares.handshakes(), 1);
        shares.handshake_done(other);
        assert_eq!((shares.handshakes(), shares.by_source.len()), (0, 0));
    }

    #[test]
    fn unfinished_messages_of_a_source_and_of_all_are_bounded() {
        let mut shares = shares();
        let source = |n: u8| IpAddr::from([192, 0, 2, n]);
        let most = limits::SOURCE_PARTIAL_BYTES_MAX;
        for n in 0..100 {
            assert_eq!(shares.open(source(n), false), ConnectionAdmission::Counted);
        }
        assert!(shares.hold(source(0), 0, most, false));
        assert!(!shares.hold(source(0), 0, 1, false));
        assert!(shares.hold(source(0), most, most - 1, false));
        assert!(shares.hold(source(0), 0, 1, false));
        let full = limits::PARTIAL_BYTES_MAX / most;
        let held = (1..100).take_while(|n| shares.hold(source(*n), 0, most, false));
        assert_eq!(held.count(), full - 1);
        assert!(!shares.hold(source(99), 0, 1, true));
        assert!(shares.hold(source(0), most, 0, false));
        assert!(shares.hold(source(99), 0, 1, false));
        shares.close(source(0));
        assert_eq!(shares.by_source.len(), 99);
    }
}
