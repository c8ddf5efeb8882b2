//! An edge dies in the middle of a load: when, and what became of the calls
//! that were up.

use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that is killed, and the calls that it may have taken along.
#[derive(Debug)]
pub(super) struct Failure {
    pid: Pid,
    at: Instant,
    happened: Option<Instant>,
    /// Calls begun before and hung up after it that ended as they should.
    kept: u64,
    /// Those that did not.
    lost: u64,
    /// The longest that one of them waited for the answer to its BYE, in
    /// microseconds.
    longest_us: u64,
    /// From the kill to the first answer to a BYE sent after it, in
    /// microseconds.
    first_us: Option<u64>,
}

impl Failure {
    /// Kills `pid` at that time.
    pub(super) const fn new(pid: Pid, at: Instant) -> Self {
        Self {
            pid,
            at,
            happened: None,
            kept: 0,
            lost: 0,
            longest_us: 0,
            first_us: None,
        }
    }

    /// When it happens; `None` afterwards.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.happened.is_none().then_some(self.at)
    }

    /// Kills the process (SIGKILL) once it is time.
    pub(super) fn happen(&mut self, now: Instant) {
        if self.happened.is_some() || now < self.at {
            return;
        }
        self.happened = Some(now);
        if let Err(why) = kill(self.pid, Signal::SIGKILL) {
            eprintln!(
                "steadfast-load: process {} could not be killed: {why}",
                self.pid
            );
        }
    }

    /// A call ended: begun and hung up at these times.
    pub(super) fn ended(&mut self, begun: Instant, hung_up: Instant, now: Instant, well: bool) {
        let Some(happened) = self.happened else {
            return;
        };
        if begun >= happened || hung_up < happened {
            return;
        }
        if !well {
            self.lost += 1;
            return;
        }
        self.kept += 1;
        let waited = now.saturating_duration_since(hung_up).as_micros();
        let waited = u64::try_from(waited).unwrap_or(u64::MAX);
        self.longest_us = self.longest_us.max(waited);
        let since = now.saturating_duration_since(happened).as_micros();
        self.first_us
            .get_or_insert_with(|| u64::try_from(since).unwrap_or(u64::MAX));
    }

    /// Rows of the report.
    pub(super) fn rows(&self) -> [(&'static str, u64); 4] {
        [
            ("calls_kept", self.kept),
            ("calls_lost", self.lost),
            ("bye_longest_us", self.longest_us),
            ("first_answer_us", self.first_us.unwrap_or_default()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_calls_that_were_up_count_and_the_process_is_gone() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        let mut failure = Failure::new(pid, ms(100));
        failure.happen(ms(99));
        assert_eq!(failure.deadline(), Some(ms(100)));
        assert!(child.try_wait().unwrap().is_none());
        failure.ended(ms(0), ms(50), ms(60), true);
        failure.happen(ms(100));
        assert_eq!(failure.deadline(), None);
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        failure.ended(ms(0), ms(90), ms(200), true);
        failure.ended(ms(110), ms(120), ms(130), true);
        failure.ended(ms(0), ms(110), ms(710), true);
        failure.ended(ms(10), ms(150), ms(160), true);
        failure.ended(ms(10), ms(150), ms(900), false);
        assert_eq!(
            failure.rows().map(|(_, value)| value),
            [2, 1, 600_000, 610_000]
        );
    }
}
