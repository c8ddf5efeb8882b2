//! One run from its seed to its verdict.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use steadfast::omit::Omit;

use super::dice::Dice;
use super::judge::{Tested, verdict};
use super::plot::{self, END_S, at};
use super::world::{Event, World};

/// What came of a run.
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) hash: u64,
    pub(crate) messages: u64,
    calls: u64,
    tested: Tested,
    /// What was wrong, and the ladder that led to it.
    pub(crate) broken: Option<(String, String)>,
}

pub(crate) fn run(seed: u64) -> Run {
    run_without(seed, Omit::Nothing)
}

/// Runs a seed with a behaviour left out.
pub(crate) fn run_without(seed: u64, omit: Omit) -> Run {
    let mut world = World::new(seed, omit);
    let script = plot::draw(&world.cast, &Dice::new(seed).fork("plot"));
    for (when, act) in script {
        world.push(when, Event::Act(act));
    }
    world.run(at(END_S));
    let mut tested = Tested::default();
    let broken = world.judge.broken.take().or_else(|| {
        world.left_over().or_else(|| match verdict(&world) {
            Ok(all) => {
                tested = all;
                None
            }
            Err(broken) => Some(broken),
        })
    });
    let broken = broken.map(|(what, word)| (what, world.record.ladder(&word)));
    Run {
        seed,
        hash: world.record.hash,
        messages: world.record.messages,
        calls: u64::try_from(world.judge.calls.calls.len()).unwrap(),
        tested,
        broken,
    }
}

/// Runs these seeds on all cores; a run that panics is broken.
pub(crate) fn many(base: u64, count: u64) -> Vec<Run> {
    let next = AtomicU64::new(base);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut runs = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= base + count {
                return runs;
            }
            let caught = std::panic::catch_unwind(|| run(seed));
            runs.push(caught.unwrap_or_else(|_| Run {
                seed,
                hash: 0,
                messages: 0,
                calls: 0,
                tested: Tested::default(),
                broken: Some(("a panic".to_owned(), String::new())),
            }));
        }
    };
    let mut runs: Vec<Run> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let runs = workers.into_iter().map(|worker| worker.join().unwrap());
        runs.flatten().collect()
    });
    runs.sort_by_key(|run| run.seed);
    runs
}

impl Run {
    pub(crate) fn sum(runs: &[Self]) -> Self {
        let mut total = Self {
            seed: 0,
            hash: 0,
            messages: 0,
            calls: 0,
            tested: Tested::default(),
            broken: None,
        };
        for run in runs {
            total.messages += run.messages;
            total.calls += run.calls;
            total.tested.add(&run.tested);
        }
        total
    }

    /// The promises that nothing put to the test: a judge who never sat finds no fault.
    pub(crate) fn untested(&self) -> Vec<&'static str> {
        let idle = |(name, times): &(&'static str, u32)| (*times == 0).then_some(*name);
        self.tested.all().iter().filter_map(idle).collect()
    }

    /// The first line of what was wrong.
    pub(crate) fn title(&self) -> String {
        let broken = self.broken.as_ref();
        let first = broken.and_then(|(what, _)| what.lines().next());
        format!("{}: {}", self.seed, first.unwrap_or("nothing"))
    }

    pub(crate) fn report(&self) -> String {
        let broken = self.broken.as_ref();
        broken.map_or(String::new(), |(what, ladder)| {
            format!(
                "{what}\n{ladder}\nSEED={} cargo test --test sim replays it",
                self.seed
            )
        })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            messages,
            calls,
            tested,
            ..
        } = self;
        write!(f, "{messages} messages, {calls} calls, tested: {tested:?}")
    }
}
