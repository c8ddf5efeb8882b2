//! A home of several shards: each has all registrations.

use std::collections::BTreeSet;

use steadfast::time::Duration;

use super::super::phone::{Phone, authorization};
use super::super::world::{EDGES, HOME, World};
use super::{JOE, text, wide};

/// A home of three shards whose edges' flows come to these.
fn home_of_three(e1: usize, e2: usize) -> World {
    let mut world = wide(3, 2);
    for port in 40_000..40_003 {
        world.steer(&format!("127.0.0.11:{port}"), e1);
        world.steer(&format!("127.0.0.12:{port}"), e2);
    }
    world
}

fn contacts(world: &World) -> BTreeSet<String> {
    world
        .store
        .values()
        .flat_map(|row| {
            let text = String::from_utf8_lossy(row).into_owned();
            let at = |(index, _): (usize, &str)| text[index..].chars().take(18).collect::<String>();
            text.match_indices("127.0.0.1:50")
                .map(at)
                .collect::<Vec<_>>()
        })
        .collect()
}

const CALLER: &str = "127.0.0.12:40077";

/// Somebody asks for joe at a shard of the home.
fn ask_for_joe(world: &mut World, shard: usize, call: &str) {
    world.steer(CALLER, shard);
    let text = format!(
        "OPTIONS sip:joe@example.com SIP/2.0\nVia: SIP/2.0/UDP {CALLER};rport;branch=z9hG4bK{call}\n\
         Max-Forwards: 70\nFrom: <sip:ann@example.com>;tag=a\nP-Asserted-Identity: <sip:ann@example.com>\nTo: <sip:joe@example.com>\n\
         Call-ID: {call}\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n"
    );
    world.send(CALLER, HOME, &text);
}

#[test]
fn two_devices_that_register_through_different_shards_of_the_home_both_ring() {
    // O-20; §10.3: nothing of the one is lost by the other.
    for (e1, e2) in [(0, 1), (1, 2), (2, 0), (1, 1)] {
        let mut world = home_of_three(e1, e2);
        let mut desk = Phone::new("joe", JOE, false);
        let mut mobile = Phone::new("joe", "127.0.0.1:5071", false);
        desk.register(&mut world, EDGES[0]);
        mobile.register(&mut world, EDGES[1]);
        for shard in 0..3 {
            ask_for_joe(&mut world, shard, &format!("{shard}"));
            for (phone, edge) in [(&desk, EDGES[0]), (&mobile, EDGES[1])] {
                let received = phone.receive(&mut world);
                phone.answer(&mut world, edge, &received, 200, "OK");
            }
            let ok = world.receive(CALLER).text;
            assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        }
        assert!(contacts(&world).len() >= 2, "{:?}", world.store);
        if e1 != 0 {
            continue;
        }
        world.pass(Duration::from_secs(3_700));
        for shard in 0..3 {
            ask_for_joe(&mut world, shard, &format!("x{shard}"));
            assert!(world.receive(CALLER).text.starts_with("SIP/2.0 480 "));
        }
        assert!(world.store.is_empty());
    }
}

#[test]
fn an_answer_to_a_challenge_counts_once_on_the_whole_home() {
    // the count of a nonce is kept where the address of record is.
    for (e1, e2) in [(0, 1), (1, 2), (2, 0)] {
        let mut world = home_of_three(e1, e2);
        let contact = &format!("<sip:joe@{JOE}>");
        world.send(JOE, EDGES[0], &text("n", 1, contact, ""));
        let challenge = world.receive(JOE).text;
        let proof = authorization("joe", &challenge);
        world.send(JOE, EDGES[0], &text("n", 2, contact, &proof));
        assert!(world.receive(JOE).text.starts_with("SIP/2.0 200 "));
        world.send(JOE, EDGES[1], &text("n", 3, contact, &proof));
        assert!(
            world.receive(JOE).text.starts_with("SIP/2.0 401 "),
            "{e1} {e2}"
        );
    }
}

#[test]
fn a_removed_binding_is_gone_on_every_shard_of_the_home() {
    // §10.3 step 6
    let mut world = home_of_three(0, 1);
    let mut joe = Phone::new("joe", JOE, false);
    joe.register(&mut world, EDGES[0]);
    let star = "*\nExpires: 0";
    world.send(JOE, EDGES[0], &text("star", 1, star, ""));
    let challenge = world.receive(JOE).text;
    world.send(
        JOE,
        EDGES[0],
        &text("star", 2, star, &authorization("joe", &challenge)),
    );
    assert!(world.receive(JOE).text.starts_with("SIP/2.0 200 "));
    for shard in 0..3 {
        let caller = format!("127.0.0.12:4006{shard}");
        world.steer(&caller, shard);
        let text = format!(
            "OPTIONS sip:joe@example.com SIP/2.0\nVia: SIP/2.0/UDP {caller};rport;branch=z9hG4bKy\n\
             Max-Forwards: 70\nFrom: <sip:ann@example.com>;tag=a\nP-Asserted-Identity: <sip:ann@example.com>\nTo: <sip:joe@example.com>\n\
             Call-ID: y\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n"
        );
        world.send(&caller, HOME, &text);
        assert!(world.receive(&caller).text.starts_with("SIP/2.0 480 "));
    }
    assert!(world.store.is_empty());
}
