//! What is known of who lives: the peers that are watched, the destinations that
//! failed, and the timer that has the shard look again.

use super::{Owner, Timer};
use crate::carry::carried;
use crate::send::{Health, Peers};
use crate::time::Instant;
use crate::txn::{TimerId, Transactions};

/// Who lives, as far as this shard knows.
#[derive(Debug)]
pub struct Liveness {
    /// Elements of the cluster that are watched.
    pub peers: Peers,
    /// Destinations that failed a moment ago.
    pub health: Health,
    /// When `Timer::Liveness` fires, where it is set.
    timer: Option<(Instant, TimerId)>,
}

impl Liveness {
    /// Nobody is watched, and nobody has failed.
    #[must_use]
    pub(super) fn new(seed: [u64; 4]) -> Self {
        Self {
            peers: Peers::new(seed),
            health: Health::default(),
            timer: None,
        }
    }

    /// Has the wheel wake the shard when a watched flow is to be looked at.
    pub(crate) fn arm_timer(&mut self, txns: &mut Transactions<Owner, Timer>) {
        let Some(due) = self.peers.due() else { return };
        match self.timer {
            Some((armed, _)) if armed <= due => return,
            Some((_, timer)) => txns.cancel_timer(timer),
            None => {}
        }
        self.timer = Some((due, txns.set_timer(due, Timer::Liveness)));
    }

    /// The timer that `arm_timer` has set fired.
    pub(crate) const fn timer_fired(&mut self) {
        self.timer = None;
    }
}

carried!(Liveness {
    parts: peers;
    values: health, timer;
});
