//! How long what waits in the sockets may have waited, without asking about each datagram.
//!
//! Datagrams leave a socket in the order in which they came. So once as much has been taken
//! out as waited at some moment, whatever waits now came after that moment.

use crate::time::Instant;

/// What waits behind the datagrams that are being dealt with.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Whatever waits came later than this; `None`: nothing waits.
    since: Option<Instant>,
    /// A later moment, and memory that was held by what waited then and is not yet taken
    /// out.
    mark: Option<(Instant, u64)>,
    /// Memory of what was taken out since the last turn.
    taken: u64,
}

impl Backlog {
    /// A datagram with so many bytes was taken out of a socket.
    pub(super) const fn take(&mut self, bytes: usize) {
        self.taken += held_by(bytes);
    }

    /// Since when the oldest datagram of the turn that begins now may have waited.
    pub(super) fn begin(&mut self, now: Instant) -> Instant {
        *self.since.get_or_insert(now)
    }

    /// The turn is over. Where it leaves datagrams behind, `waiting` says how much memory
    /// they hold.
    pub(super) fn end(&mut self, now: Instant, is_behind: bool, waiting: impl FnOnce() -> u64) {
        let taken = std::mem::take(&mut self.taken);
        if !is_behind {
            *self = Self::default();
            return;
        }
        match &mut self.mark {
            Some((_, left)) if *left > taken => *left -= taken,
            mark => {
                // The first mark is of this turn, which began when nothing waited.
                if let Some((passed, _)) = *mark {
                    self.since = Some(passed);
                }
                *mark = Some((now, waiting()));
            }
        }
    }
}

/// Memory that the kernel holds for a datagram: its headers and bookkeeping beside it, in
/// pieces of powers of two. Some drivers take more: then what waits counts as older than
/// it is.
const fn held_by(bytes: usize) -> u64 {
    const ACCOUNT: usize = 256;
    const BESIDE: usize = 412;
    (ACCOUNT + (bytes + BESIDE).next_power_of_two()) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::time::Duration;

    const TURN: Duration = Duration::from_millis(2);

    /// Turns that take 200 datagrams each in 2 ms, of a socket in which so many wait all
    /// the time; how late the last is reported to be, and is.
    fn late(waiting: usize) -> (Duration, Duration) {
        let (mut backlog, mut now) = (Backlog::default(), Instant::ZERO);
        let mut socket: VecDeque<_> = (0..waiting).map(|_| now).collect();
        let mut last = (Duration::ZERO, Duration::ZERO);
        for _ in 0..500 {
            let since = backlog.begin(now);
            let mut oldest = Duration::ZERO;
            for _ in 0..200 {
                let Some(came) = socket.pop_front() else {
                    break;
                };
                backlog.take(700);
                oldest = oldest.max(now.since(came));
            }
            now = now + TURN;
            socket.resize(waiting, now);
            let held = socket.len() as u64 * held_by(700);
            backlog.end(now, !socket.is_empty(), || held);
            last = (now.since(since), oldest + TURN);
        }
        last
    }

    #[test]
    fn what_waits_all_the_time_is_as_late_as_it_is() {
        for waiting in [0, 200, 1_000, 5_000] {
            let (reported, is) = late(waiting);
            assert!(
                reported >= is && reported <= is * 2 + 2 * TURN,
                "{waiting}: {reported:?}, {is:?}"
            );
        }
    }

    #[test]
    fn nothing_is_late_once_nothing_waits() {
        let (mut backlog, mut now) = (Backlog::default(), Instant::ZERO);
        assert_eq!(backlog.begin(now), now);
        backlog.end(now + TURN, true, || 1_000_000);
        now = now + TURN * 10;
        assert_eq!(backlog.begin(now), Instant::ZERO);
        backlog.end(now, false, || unreachable!());
        assert_eq!(backlog.begin(now + TURN), now + TURN);
    }
}
