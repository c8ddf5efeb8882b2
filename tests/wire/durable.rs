//! A home with `durable`: no 200 to a REGISTER before its record is on disk (R-9; RFC 3261 §10.3).

use steadfast::limits;
use steadfast::time::Duration;

use super::home_registering::{JOE, check, reaches_joe};
use super::phone::{Phone, Register, authorization};
use super::world::{EDGES, HOME, Tokens, World};

const TABLET: &str = "127.0.0.1:5071";

fn lab() -> World {
    World::with(Tokens::Clear, |home| home.is_durable = true, |_, _| ())
}

/// joe's next REGISTER, with what the challenge asks for; nothing has come back yet. Its text.
#[track_caller]
fn ask(world: &mut World, joe: &mut Register<'_>) -> String {
    let challenge = joe.send(world, EDGES[0], "");
    check(&challenge, 401);
    joe.ask(world, EDGES[0], &authorization("joe", &challenge))
}

/// The same, with an answer once the store has written it.
#[track_caller]
fn register(world: &mut World, joe: &mut Register<'_>) -> String {
    ask(world, joe);
    assert!(!world.has(joe.from), "{}", world.ladder());
    world.store_writes(usize::MAX);
    world.receive(joe.from).text
}

/// The Contacts that the home has for joe now, as one who asks is told.
#[track_caller]
fn contacts(world: &mut World) -> Vec<String> {
    let mut asking = Register::new("joe", "127.0.0.1:5099");
    (asking.call_id, asking.lines) = ("asks", String::new());
    // Another request each time.
    asking.cseq = u32::try_from(world.trace.len()).unwrap();
    ask(world, &mut asking);
    // Nothing is changed, so there is nothing to wait for.
    let ok = world.receive(asking.from).text;
    check(&ok, 200);
    let all = Phone::values(&ok, "Contact");
    let uri = |value: &String| value.split(';').next().unwrap().to_owned();
    all.iter().map(uri).collect()
}

#[test]
fn the_200_leaves_when_the_record_is_on_disk_and_not_before() {
    //
    let mut world = lab();
    let mut joe = Register::new("joe", JOE);
    let text = ask(&mut world, &mut joe);
    assert!(!world.has(JOE), "{}", world.ladder());
    assert!(world.store.is_empty());
    // Sent again, it is absorbed, and makes no second record.
    world.pass(limits::T1);
    world.send(JOE, EDGES[0], &text);
    assert!(!world.has(JOE), "{}", world.ladder());
    assert_eq!(world.counter(HOME, "registrations"), 0);
    world.store_writes(1);
    assert_eq!(world.store.len(), 1);
    check(&world.receive(JOE).text, 200);
    assert!(!world.has(JOE), "{}", world.ladder());
    assert_eq!(world.counter(HOME, "registrations"), 1);
    // And then with the same answer.
    world.send(JOE, EDGES[0], &text);
    check(&world.receive(JOE).text, 200);
    // A kill finds what was acknowledged.
    world.restart(HOME);
    reaches_joe(&mut world, &Phone::foreign("ann", "127.0.0.1:5080"));
}

#[test]
fn answers_leave_in_order_as_far_as_the_store_has_come() {
    //
    let mut world = lab();
    let mut phones =
        [("one", JOE), ("two", TABLET), ("three", "127.0.0.1:5072")].map(|(call_id, from)| {
            let mut joe = Register::new("joe", from);
            joe.call_id = call_id;
            joe
        });
    for joe in &mut phones {
        ask(&mut world, joe);
    }
    for joe in &phones {
        assert!(!world.has(joe.from), "{}", world.ladder());
    }
    for written in 0..3 {
        world.store_writes(1);
        for (index, joe) in phones.iter().enumerate() {
            assert_eq!(world.has(joe.from), index == written, "{}", world.ladder());
        }
        let ok = world.receive(phones[written].from).text;
        check(&ok, 200);
        assert_eq!(Phone::values(&ok, "Contact").len(), written + 1, "{ok}");
    }
}

#[test]
fn what_does_not_get_to_the_disk_is_500_and_taken_back() {
    // R-9, RFC 3261 §10.3
    let mut world = lab();
    let mut joe = Register::new("joe", JOE);
    check(&register(&mut world, &mut joe), 200);
    let stored = world.store.clone();

    // A second phone, and the first one leaves.
    let mut tablet = Register::new("joe", TABLET);
    tablet.call_id = "tablet";
    ask(&mut world, &mut tablet);
    joe.lines = format!("Contact: <sip:joe@{JOE}>;expires=0\n");
    ask(&mut world, &mut joe);
    world.store_fails(HOME);
    for from in [TABLET, JOE] {
        let refused = world.receive(from).text;
        check(&refused, 500);
        assert_eq!(Phone::values(&refused, "Retry-After").len(), 1, "{refused}");
        assert!(!refused.contains("\r\nContact:"), "{refused}");
    }
    assert_eq!(world.counter(HOME, "registrations"), 1);
    assert_eq!(world.counter(HOME, "registrations_not_stored"), 2);

    // While it fails nothing is changed any more.
    let challenge = tablet.send(&mut world, EDGES[0], "");
    let refused = tablet.send(&mut world, EDGES[0], &authorization("joe", &challenge));
    check(&refused, 503);
    assert_eq!(Phone::values(&refused, "Retry-After").len(), 1, "{refused}");
    reaches_joe(&mut world, &Phone::foreign("ann", "127.0.0.1:5080"));

    // Once it works again it has what there was before, and takes what comes.
    world.store_writes(usize::MAX);
    assert_eq!(world.store, stored);
    assert_eq!(contacts(&mut world), [format!("<sip:joe@{JOE}>")]);
    check(&register(&mut world, &mut tablet), 200);
    assert_eq!(contacts(&mut world).len(), 2, "{}", world.ladder());
}

#[test]
fn a_store_that_says_nothing_is_one_that_fails() {
    //
    let mut world = lab();
    ask(&mut world, &mut Register::new("joe", JOE));
    world.pass(limits::STORE_WAIT_MAX - Duration::from_millis(1_001));
    assert!(!world.has(JOE), "{}", world.ladder());
    // It is looked at once a second.
    world.pass(Duration::from_millis(2_002));
    check(&world.receive(JOE).text, 500);
    assert_eq!(contacts_after_writing(&mut world), [""; 0]);
}

/// The same, once what was taken back is on disk.
#[track_caller]
fn contacts_after_writing(world: &mut World) -> Vec<String> {
    world.store_writes(usize::MAX);
    contacts(world)
}

#[test]
fn what_was_revoked_does_not_come_back() {
    //
    let mut world = lab();
    let mut joe = Register::new("joe", JOE);
    check(&register(&mut world, &mut joe), 200);
    ask(&mut world, &mut joe);
    world
        .remove_bindings(HOME, "sip:joe@example.com")
        .expect("it is a user of this home");
    world.store_fails(HOME);
    check(&world.receive(JOE).text, 500);
    assert_eq!(contacts_after_writing(&mut world), [""; 0]);
    assert!(world.store.is_empty());
}

#[test]
fn so_many_wait_and_the_next_one_is_refused_before_anything_is_changed() {
    //
    let mut world = World::with(
        Tokens::Clear,
        |home| {
            home.is_durable = true;
            home.authenticates = false;
        },
        |_, _| (),
    );
    let mut joe = Register::new("joe", JOE);
    // All of one address of record are at one shard.
    for number in 0..limits::HELD_ANSWERS_MAX {
        joe.lines = format!("Contact: <sip:joe@{JOE};n={}>\n", number % 3);
        joe.ask(&mut world, EDGES[0], "");
    }
    assert!(!world.has(JOE), "{}", world.ladder());
    joe.lines = format!("Contact: <sip:joe@{JOE};n=new>\n");
    let refused = joe.send(&mut world, EDGES[0], "");
    check(&refused, 503);
    world.store_writes(usize::MAX);
    for _ in 0..limits::HELD_ANSWERS_MAX {
        let ok = world.receive(JOE).text;
        check(&ok, 200);
        assert!(!ok.contains("n=new"), "{ok}");
    }
}

#[test]
fn a_home_that_drains_waits_for_the_disk() {
    //
    let mut world = lab();
    ask(&mut world, &mut Register::new("joe", JOE));
    world.drain(HOME);
    assert!(!world.is_idle(HOME));
    world.store_writes(1);
    check(&world.receive(JOE).text, 200);
    assert!(world.is_idle(HOME));
}

#[test]
fn without_it_nothing_waits_and_what_the_store_says_means_nothing() {
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Register::new("joe", JOE);
    check(&joe.login(&mut world, EDGES[0]), 200);
    world.store_fails(HOME);
    check(&joe.login(&mut world, EDGES[0]), 200);
    assert_eq!(world.counter(HOME, "registrations"), 2);
}
