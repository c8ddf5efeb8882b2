//! Shards that go on in another process (`steadfast upgrade`): what they send afterwards is, byte
//! for byte, what they would have sent.
//!
//! `STEADFAST_UPGRADES=1 cargo test --test wire` has every test passed by shards that do so
//! again and again; here it is one scenario, and what is refused.

use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::time::Duration;

/// What everybody has sent in a scenario with calls, silence, repetitions and timers.
fn trace(upgrade: impl Fn(&mut World)) -> Vec<String> {
    let mut world = World::lab(Tokens::Sealed);
    let mut joe = Phone::new("joe", "127.0.0.1:5070", true);
    let mut ann = Phone::new("ann", "127.0.0.1:5080", false);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    upgrade(&mut world);
    // Nobody answers for a while: the edges repeat what they have sent.
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("INVITE", "sip:ann@example.com", 1, "", ""),
    );
    upgrade(&mut world);
    assert_eq!(joe.status(&mut world), 100);
    world.pass(Duration::from_secs(2));
    upgrade(&mut world);
    let invite = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &invite, 180, "Ringing");
    upgrade(&mut world);
    world.pass(Duration::from_secs(40));
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    upgrade(&mut world);
    // The 200 is not acknowledged, and repeated by ann.
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    // A second call is given up while it rings.
    let second = joe.request("INVITE", "sip:ann@example.com", 2, "", "");
    joe.send(&mut world, EDGES[0], &second);
    upgrade(&mut world);
    let cancel = second.replace("INVITE", "CANCEL");
    joe.send(&mut world, EDGES[0], &cancel);
    upgrade(&mut world);
    // One that nobody answers at all ends by the timers of those before.
    world.pass(Duration::from_secs(200));
    upgrade(&mut world);
    world.pass(Duration::from_secs(200));
    world
        .trace
        .iter()
        .map(|seen| format!("{} {} {}", seen.from, seen.to, seen.text))
        .collect()
}

#[test]
fn what_is_sent_after_an_upgrade_is_what_would_have_been_sent() {
    let without = trace(|_| ());
    let with = trace(|world| {
        for node in EDGES.into_iter().chain([HOME]) {
            world.upgrade(node);
        }
    });
    let repeated = |text: &String| without.iter().filter(|other| *other == text).count() > 1;
    assert!(without.len() > 50 && without.iter().any(repeated));
    for (index, (without, with)) in without.iter().zip(&with).enumerate() {
        assert_eq!(without, with, "message {index}");
    }
    assert_eq!(without.len(), with.len());
}

#[test]
fn what_no_shard_has_written_no_shard_reads() {
    let mut world = World::lab(Tokens::Sealed);
    let mut joe = Phone::new("joe", "127.0.0.1:5070", true);
    joe.register(&mut world, EDGES[0]);
    let call = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &call);
    for node in [EDGES[0], HOME] {
        let bytes = world.written(node);
        assert!(world.reads(node, &bytes));
        for len in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
            assert!(
                !world.reads(node, &bytes[..len]),
                "{len} bytes of {}",
                bytes.len()
            );
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(!world.reads(node, &longer));
    }
    // Keys in the tables were made under another seed.
    let [first, second] = [EDGES[0], EDGES[1]].map(|node| world.written(node));
    assert!(!world.reads(EDGES[1], &first) && !world.reads(EDGES[0], &second));
}
