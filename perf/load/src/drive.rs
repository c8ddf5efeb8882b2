//! The loop that runs a load: begin what is due, send, wait, take what came.

use std::io;
use std::time::{Duration, Instant};

use super::pace::{Next, Pace};
use super::tally::Tally;
use super::wires::{Arrival, Out, Wires};
use crate::bounds::{PATIENCE, STARTS_MAX};

/// What is attempted.
pub(super) trait Scenario {
    /// Begins an attempt that should have begun at `intended`.
    fn start(&mut self, intended: Instant, now: Instant, out: &mut Out);
    /// Takes a message.
    fn arrived(&mut self, now: Instant, arrival: Arrival<'_>, out: &mut Out);
    /// Does what is due at `now`.
    fn due(&mut self, now: Instant, out: &mut Out);
    /// When something is due next.
    fn deadline(&self) -> Option<Instant>;
    /// Attempts that have not ended.
    fn pending(&self) -> usize;
    /// The counts so far.
    fn tally(&self) -> &Tally;
    /// The counts in the end.
    fn into_tally(self) -> Tally;
    /// Further rows of the report.
    fn more(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// How long nothing happens at most between two looks at the progress.
const GLANCE: Duration = Duration::from_millis(200);

/// How long it listens when every attempt has ended: what comes then, nobody asked for.
const AFTERWARDS: Duration = Duration::from_millis(50);

/// Runs a scenario until every attempt has ended; the time from the first
/// attempt to the end of the last one that was answered in time.
///
/// # Errors
/// When the kernel refuses a socket what it needs.
pub(super) fn drive(
    scenario: &mut impl Scenario,
    wires: &mut Wires,
    pace: &Pace,
    mut glance: impl FnMut(&Tally),
) -> io::Result<Duration> {
    let began = Instant::now();
    let (mut begun, mut now, mut seen, mut last) = (0, began, began, began);
    let mut done = 0;
    loop {
        let next = begin(scenario, wires, pace, &mut begun, now);
        scenario.due(now, &mut wires.out);
        wires.flush()?;
        let is_over = matches!(next, Next::Never);
        if is_over && scenario.pending() == 0 {
            break;
        }
        // Bounded whatever a scenario forgets.
        if is_over && now > pace.until + 3 * PATIENCE {
            break;
        }
        let most = patience(scenario, next, now);
        wires.receive(most, |now, arrival, out| {
            scenario.arrived(now, arrival, out);
        })?;
        now = Instant::now();
        if scenario.tally().done != done {
            (done, last) = (scenario.tally().done, now);
        }
        if now.duration_since(seen) >= GLANCE {
            seen = now;
            glance(scenario.tally());
        }
    }
    let over = Instant::now() + AFTERWARDS;
    while now < over {
        wires.receive(over - now, |now, arrival, out| {
            scenario.arrived(now, arrival, out);
        })?;
        wires.flush()?;
        now = Instant::now();
    }
    Ok(last.duration_since(began))
}

/// Begins what should have begun by now.
fn begin(
    scenario: &mut impl Scenario,
    wires: &mut Wires,
    pace: &Pace,
    begun: &mut u64,
    now: Instant,
) -> Next {
    for _ in 0..STARTS_MAX {
        match pace.next(now, *begun, scenario.pending()) {
            Next::Now(intended) => {
                *begun += 1;
                scenario.start(intended, now, &mut wires.out);
            }
            other @ (Next::At(_) | Next::Later | Next::Never) => return other,
        }
    }
    Next::Now(now)
}

/// How long the sockets may be waited for.
fn patience(scenario: &impl Scenario, next: Next, now: Instant) -> Duration {
    let start = match next {
        Next::Now(at) | Next::At(at) => Some(at),
        Next::Later | Next::Never => None,
    };
    let all = [start, scenario.deadline()];
    let soonest = all.into_iter().flatten().min();
    soonest.map_or(GLANCE, |at| at.saturating_duration_since(now).min(GLANCE))
}
