//! Hostile bytes, by chance and from the shelf: every body reads what is kept in
//! `tests/corpus`, the torture messages, and mutations of both by seed.

#[cfg(test)]
mod replay {
    mod chance;
    mod corpus;
    mod messages;
    mod scanning;
    mod text;
    mod twin;
    mod values;

    use chance::{Chance, mutate};
    use steadfast::scan::Message;

    /// Inputs made by chance in one test: a few seconds of the slowest profile.
    const ROUNDS: usize = 8_000;

    #[test]
    fn kept_messages_are_read_as_the_twin_reads_them() {
        let mut message = Message::default();
        let kept = corpus::kept("scan");
        assert!(!kept.is_empty());
        for bytes in kept.iter().chain(&corpus::torture()) {
            scanning::check(bytes, &mut message);
        }
    }

    #[test]
    fn mutated_messages_are_read_as_the_twin_reads_them() {
        let mut seeds = corpus::torture();
        let mut chance = Chance::new(1);
        seeds.extend((0..64).map(|_| messages::message(&mut chance)));
        let mut message = Message::default();
        for _ in 0..ROUNDS {
            let mut bytes = seeds[chance.below(seeds.len())].clone();
            mutate(&mut bytes, &seeds, &mut chance);
            scanning::check(&bytes, &mut message);
        }
    }

    #[test]
    fn made_up_messages_are_read_as_the_twin_reads_them() {
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
}
