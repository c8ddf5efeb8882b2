//! A whole cluster in one process and in virtual time, faults on.
//!
//! Homes, edges and user agents are shards of the pure core; phones that know
//! nothing of this proxy are scripts written from the RFCs. Everything that
//! happens in a run follows from its seed, so a failure is replayed by it:
//! `SEED=n cargo test --test sim`. `SEEDS=n` says how many fresh ones are run.
//!
//! - `dice` and `plot` make the script, `cast` the actors, `world` the network.
//! - `judge` knows neither: its laws look at every message on the wire, and
//!   its promises at what became of every call.
//! - After the last fault the phones leave, and every table must come to
//!   nothing by itself.

#[cfg(test)]
mod attackers;
#[cfg(test)]
mod cast;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod judge;
#[cfg(test)]
mod phone;
#[cfg(test)]
mod plot;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod record;
#[cfg(test)]
mod run;
#[cfg(test)]
mod text;
#[cfg(test)]
mod world;
#[cfg(test)]
mod zone;

#[cfg(test)]
mod tests {
    #[cfg(debug_assertions)]
    use std::num::NonZero;
    #[cfg(debug_assertions)]
    use std::sync::Mutex;
    #[cfg(debug_assertions)]
    use std::thread;

    #[cfg(debug_assertions)]
    use steadfast::omit::Omit;

    use super::run::{self, Run};

    /// So many runs together must have put every promise to the test.
    const WHOLE: u64 = 100;

    fn number(name: &str) -> Option<u64> {
        std::env::var(name).ok()?.parse().ok()
    }

    #[test]
    fn fresh_seeds_break_nothing() {
        if let Some(seed) = number("SEED") {
            let run = run::run(seed);
            println!("seed {seed}: {run}");
            return assert!(run.broken.is_none(), "seed {seed}: {}", run.report());
        }
        let clock = std::time::SystemTime::now();
        let fresh = clock.duration_since(std::time::UNIX_EPOCH).unwrap();
        let base = number("SEED_BASE").unwrap_or(fresh.as_secs() * 1_000);
        let seeds = number("SEEDS").unwrap_or(200);
        println!("{seeds} seeds from {base} on");
        let runs = run::many(base, seeds);
        let total = Run::sum(&runs);
        println!("{total}");
        let untested = total.untested();
        assert!(
            seeds < WHOLE || untested.is_empty(),
            "no run put these promises to the test: {untested:?}"
        );
        let broken: Vec<&Run> = runs.iter().filter(|run| run.broken.is_some()).collect();
        if let Some(first) = broken.first() {
            let seeds: Vec<u64> = broken.iter().map(|run| run.seed).collect();
            let kinds: Vec<String> = broken.iter().map(|run| run.title()).collect();
            panic!(
                "{} of {} runs are broken: {seeds:?}\n{}\nseed {}: {}",
                broken.len(),
                runs.len(),
                kinds.join("\n"),
                first.seed,
                first.report()
            );
        }
    }

    /// Only a build with debug assertions can leave anything out.
    ///
    /// Every law must be able to fail: each of these behaviours is left out of
    /// all nodes, and some law or promise must notice within a few runs.
    #[test]
    #[cfg(debug_assertions)]
    fn whatever_is_left_out_is_noticed() {
        let all = [
            Omit::DomainTest,
            Omit::RelayMark,
            Omit::FailedFlows,
            Omit::QuietRefresh,
            Omit::AckMatching,
            Omit::TimerC,
            Omit::StandBy,
            Omit::Cancelling,
            Omit::BranchUniqueness,
            Omit::HopAck,
            Omit::Softening,
            Omit::DialogAck,
            Omit::Absorbing,
            Omit::SendingAgain,
            Omit::OnlyUntaken,
            Omit::SentBy,
            Omit::EdgeMark,
            Omit::HomeMark,
            Omit::Destinations,
            Omit::Stripping,
            Omit::Asking,
            Omit::RouteSet,
            Omit::Names,
            Omit::Outside,
        ];
        // `OMIT=Names` asks for one alone.
        let only = std::env::var("OMIT").ok();
        let is_asked = |omit: &Omit| {
            only.as_ref()
                .is_none_or(|only| format!("{omit:?}") == *only)
        };
        // Each takes its turn with whichever core is free: some are noticed late.
        let left = Mutex::new(all.into_iter().filter(is_asked));
        let unmissed = Mutex::new(Vec::new());
        let next = || left.lock().unwrap().next();
        let look = || {
            while let Some(omit) = next() {
                let mut runs = (1..=300).map(|seed| run::run_without(seed, omit));
                let Some(caught) = runs.find(|run| run.broken.is_some()) else {
                    unmissed.lock().unwrap().push(omit);
                    continue;
                };
                let whole = run::run(caught.seed);
                assert!(whole.broken.is_none(), "{omit:?}: {}", whole.report());
                println!("{omit:?} is missed: seed {}", caught.title());
            }
        };
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        thread::scope(|scope| (0..cores).for_each(|_core| drop(scope.spawn(look))));
        let unmissed = unmissed.into_inner().unwrap();
        assert!(unmissed.is_empty(), "nobody misses {unmissed:?}");
    }

    #[test]
    fn the_same_seed_is_the_same_run() {
        for seed in [1, 2, 3] {
            let (one, two) = (run::run(seed), run::run(seed));
            assert_eq!((one.hash, one.messages), (two.hash, two.messages));
            assert_ne!(one.hash, run::run(seed + 10).hash);
        }
    }
}
