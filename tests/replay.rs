//! Hostile bytes, from the shelf and by chance. Every body reads what is kept
//! for it in `tests/corpus`, the torture messages where they matter, and
//! mutations of both by seed; `tests/fuzz` hands the same bodies to libFuzzer.
//!
//! `STEADFAST_FUZZ="scan 600" cargo test --profile proof --test replay for_long`
//! goes on for 600 seconds with one body, and keeps what it finds in its corpus.

#[cfg(test)]
#[path = "wire"]
mod wire {
    pub(crate) mod settings;
    #[path = "../replay/lab.rs"]
    pub(crate) mod world;
}

#[cfg(test)]
mod replay {
    mod chance;
    mod corpus;
    mod corridor;
    mod framing;
    mod keys;
    mod messages;
    mod names;
    mod pings;
    mod records;
    mod scanning;
    mod text;
    mod tokens;
    mod twin;
    mod values;

    use std::time::{Duration, Instant};

    use chance::{Chance, mutate};
    use steadfast::scan::Message;

    /// What reads the bytes and panics when something is wrong.
    type Body = fn(&[u8]);

    /// Every body by the name of its folder in `tests/corpus`, and how many
    /// mutations one run makes for it: a few seconds in the slowest profile.
    const BODIES: [(&str, Body, usize); 8] = [
        ("frame", framing::check, 4_000),
        ("scan", scan, 8_000),
        ("key", keys::check, 6_000),
        ("token", tokens::check, 3_000),
        ("stun", pings::check, 6_000),
        ("identity", names::check, 2_000),
        ("record", records::check, 4_000),
        ("shard", corridor::check, 150),
    ];

    fn scan(bytes: &[u8]) {
        scanning::check(bytes, &mut Message::default());
    }

    /// What a body begins with: what is kept for it, and messages where it reads such.
    fn seeds(name: &str) -> Vec<Vec<u8>> {
        let mut seeds = corpus::kept(name);
        assert!(!seeds.is_empty(), "nothing is kept for {name}");
        if matches!(name, "frame" | "scan") {
            seeds.extend(corpus::torture());
            let mut chance = Chance::new(1);
            seeds.extend((0..64).map(|_| messages::message(&mut chance)));
        }
        seeds
    }

    /// One more input, made of the seeds.
    fn mutated(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
        let mut bytes = seeds[chance.below(seeds.len())].clone();
        mutate(&mut bytes, seeds, chance);
        bytes
    }

    #[test]
    fn what_is_kept_is_read_without_a_finding() {
        for (name, body, _) in BODIES {
            seeds(name).iter().for_each(|bytes| body(bytes));
        }
    }

    #[test]
    fn mutations_are_read_without_a_finding() {
        for (index, (name, body, rounds)) in BODIES.into_iter().enumerate() {
            let (seeds, mut chance) = (seeds(name), Chance::new(index as u64 + 1));
            for _ in 0..rounds {
                body(&mutated(&seeds, &mut chance));
            }
        }
    }

    #[test]
    fn made_up_messages_are_read_as_the_twin_reads_them() {
        const ROUNDS: usize = 8_000;
        let (mut chance, mut message, mut sound) = (Chance::new(2), Message::default(), 0);
        for _ in 0..ROUNDS {
            sound += usize::from(scanning::check(
                &messages::message(&mut chance),
                &mut message,
            ));
        }
        // Agreement on refusals alone would prove little.
        assert!((ROUNDS / 5..ROUNDS * 4 / 5).contains(&sound), "{sound}");
    }

    /// As long as `STEADFAST_FUZZ` says; otherwise only that it would find
    /// something: a body that refuses one byte is told on.
    #[test]
    fn for_long() {
        let Ok(wanted) = std::env::var("STEADFAST_FUZZ") else {
            let caught = hunt(
                "key",
                |bytes| assert!(!bytes.contains(&b'%')),
                Duration::MAX,
                false,
            );
            assert!(caught.is_some_and(|bytes| bytes.contains(&b'%')));
            return;
        };
        let (name, seconds) = wanted.split_once(' ').expect("a body and seconds");
        let (_, body, _) = BODIES
            .into_iter()
            .find(|body| body.0 == name)
            .expect("a body");
        let time = Duration::from_secs(seconds.parse().expect("seconds"));
        assert_eq!(hunt(name, body, time, true), None);
    }

    /// Mutates until something is found, which is the result, or the time is up.
    fn hunt(name: &str, body: Body, time: Duration, keep: bool) -> Option<Vec<u8>> {
        let (begin, mut rounds) = (Instant::now(), 0_u64);
        let mut seeds = seeds(name);
        let seed = if keep { std::process::id().into() } else { 3 };
        let mut chance = Chance::new(seed);
        while begin.elapsed() < time {
            let bytes = mutated(&seeds, &mut chance);
            rounds += 1;
            if std::panic::catch_unwind(|| body(&bytes)).is_err() {
                if keep {
                    corpus::keep(name, &bytes);
                }
                return Some(bytes);
            }
            // Now and then a mutation is the start of others.
            if rounds.is_multiple_of(64) && bytes.len() < 4_096 {
                if seeds.len() < 512 {
                    seeds.push(bytes);
                } else {
                    let index = 32 + chance.below(seeds.len() - 32);
                    seeds[index] = bytes;
                }
            }
        }
        println!(
            "{name}: {rounds} inputs in {:?}, seed {seed}",
            begin.elapsed()
        );
        None
    }
}
