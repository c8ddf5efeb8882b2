//! Two homes and the store that they share.

use steadfast::edge::{ConfiguredHop, NextHop};
use steadfast::home::Settings;
use steadfast::id::Transport;
use steadfast::limits;
use steadfast::time::Duration;

use super::home_registering::check;
use super::phone::{Phone, Register, authorization};
use super::world::{EDGES, HOME, Tokens, World};

const JOE: &str = "127.0.0.1:5070";
const TABLET: &str = "127.0.0.1:5071";
const ANN: &str = "127.0.0.1:5080";
const SECOND: &str = "127.0.0.20:5060";

/// Two homes; the edges ask the first one as long as it lives.
fn lab() -> World {
    pair(|_| ())
}

fn pair(more: impl Fn(&mut Settings)) -> World {
    let home = |home: &mut Settings| {
        home.is_shared = true;
        more(home);
    };
    let at = |addr: &str| {
        let addr = addr.parse().unwrap();
        NextHop::At(ConfiguredHop {
            transport: Transport::Udp,
            addr,
            name: None,
        })
    };
    let mut world = World::with(Tokens::Sealed, home, |_, edge| {
        edge.home = [HOME, SECOND].map(at).to_vec();
    });
    world.add_home_with(SECOND, home);
    world
}

/// joe's REGISTER through an edge, which the store carries out.
#[track_caller]
fn joe_registers(world: &mut World) -> Register<'static> {
    let mut joe = Register::new("joe", JOE);
    check(&joe.login(world, EDGES[0]), 200);
    world.shared_carries_out();
    joe
}

/// Somebody of another domain has something for a user, at the second home.
fn call(world: &mut World, user: &str, number: u32) {
    let ann = Phone::foreign("ann", ANN);
    let message = ann.request(
        "MESSAGE",
        &format!("sip:{user}@example.com"),
        number,
        "",
        "",
    );
    ann.send(world, SECOND, &message);
}

/// joe has got it, and says so.
#[track_caller]
fn is_answered(world: &mut World) {
    let message = world.receive(JOE).text;
    let is_his = message.starts_with("MESSAGE sip:joe@127.0.0.1:5070 ");
    assert!(is_his, "{}", world.ladder());
    let joe = Phone::new("joe", JOE, false);
    let edge = world
        .trace
        .iter()
        .rfind(|seen| seen.to == JOE.parse().unwrap());
    let edge = edge.unwrap().from.to_string();
    joe.answer(world, &edge, &message, 200, "OK");
    check(&world.receive(ANN).text, 200);
}

#[test]
fn who_is_not_here_is_asked_for_and_the_request_goes_on() {
    //
    let mut world = lab();
    joe_registers(&mut world);
    call(&mut world, "joe", 1);
    // No shard waits: nothing is said, and others go on.
    assert_eq!(world.questions(), 1);
    assert!(!world.has(JOE) && !world.has(ANN), "{}", world.ladder());
    world.shared_answers();
    is_answered(&mut world);
    assert_eq!(world.counter(SECOND, "shared_asked"), 1);
    // From now on he is known here, by each of its shards in the end.
    world.shared_tells(SECOND);
    call(&mut world, "joe", 2);
    assert_eq!(world.questions(), 0);
    is_answered(&mut world);
    world.drained();
}

#[test]
fn who_is_registered_nowhere_is_away_and_who_is_no_subscriber_is_not_asked_for() {
    // R-10, P-18
    let mut world = lab();
    call(&mut world, "bob", 1);
    assert_eq!(world.questions(), 1);
    world.shared_answers();
    check(&world.receive(ANN).text, 480);
    call(&mut world, "nobody", 2);
    assert_eq!(world.questions(), 0);
    check(&world.receive(ANN).text, 404);
}

#[test]
fn without_an_answer_the_table_has_to_do() {
    //
    let mut world = lab();
    joe_registers(&mut world);
    call(&mut world, "joe", 1);
    world.shared_is_away();
    check(&world.receive(ANN).text, 480);
    // Neither does it wait for ever.
    call(&mut world, "joe", 2);
    world.pass(limits::ASK_MAX - Duration::from_millis(1));
    assert!(!world.has(ANN), "{}", world.ladder());
    world.pass(Duration::from_millis(2));
    check(&world.receive(ANN).text, 480);
    assert_eq!(world.counter(SECOND, "shared_late"), 1);
    // The late answer does for the next one, where the same shard gets it.
    world.shared_answers();
    world.shared_tells(SECOND);
    call(&mut world, "joe", 3);
    assert_eq!(world.questions(), 0);
    is_answered(&mut world);
}

#[test]
fn a_source_has_its_share_of_what_is_asked() {
    //
    let mut world = lab();
    let mut refused = 0;
    for number in 1..=40 {
        call(&mut world, "bob", number);
        refused += u32::from(world.has(ANN));
        while world.has(ANN) {
            check(&world.receive(ANN).text, 480);
        }
    }
    // Each shard has its own.
    let shards = u32::try_from(world.counters(SECOND, "shared_asked").len()).unwrap();
    assert!(refused >= 40 - 16 * shards, "{refused}");
    assert!(world.questions() <= 16 * usize::try_from(shards).unwrap());
    world.pass(limits::ASK_MAX + Duration::from_millis(1));
    world.drained();
}

#[test]
fn what_another_home_has_taken_replaces_what_is_here() {
    //
    let mut world = lab();
    let mut joe = joe_registers(&mut world);
    world.shared_tells(SECOND);
    call(&mut world, "joe", 1);
    assert_eq!(world.questions(), 0);
    is_answered(&mut world);
    // He leaves through the first home, and the second one knows.
    joe.lines = format!("Contact: <sip:joe@{JOE}>;expires=0\n");
    check(&joe.login(&mut world, EDGES[0]), 200);
    world.shared_carries_out();
    world.shared_tells(SECOND);
    assert!(world.counter(SECOND, "shared_rows") >= 2);
    call(&mut world, "joe", 2);
    world.shared_answers();
    check(&world.receive(ANN).text, 480);
}

#[test]
fn what_is_on_its_way_to_the_store_is_not_undone_by_what_comes_from_there() {
    //
    let mut world = lab();
    joe_registers(&mut world);
    world.shared_tells(SECOND);
    // A tablet registers at the second home, and the store does not have it yet when it tells
    // that home of the desk phone once more.
    world.kill(HOME);
    world.icmp = true;
    let mut tablet = Register::new("joe", TABLET);
    tablet.call_id = "tablet";
    let challenge = tablet.send(&mut world, SECOND, "");
    assert!(challenge.starts_with("SIP/2.0 300 ") || challenge.starts_with("SIP/2.0 401 "));
    check(&tablet.login(&mut world, EDGES[1]), 200);
    world.shared_tells(SECOND);
    let two = |world: &mut World, number| {
        call(world, "joe", number);
        for phone in [JOE, TABLET] {
            let message = world.receive(phone).text;
            assert!(message.starts_with("MESSAGE "), "{}", world.ladder());
        }
    };
    two(&mut world, 1);
    world.shared_carries_out();
    world.shared_tells(SECOND);
    two(&mut world, 2);
}

#[test]
fn a_register_that_the_store_refuses_is_500_and_what_is_there_holds() {
    // RFC 3261 §10.3
    let mut world = pair(|home| home.is_durable = true);
    let mut joe = Register::new("joe", JOE);
    let login = |world: &mut World, joe: &mut Register<'_>| {
        let challenge = joe.send(world, EDGES[0], "");
        check(&challenge, 401);
        joe.ask(world, EDGES[0], &authorization("joe", &challenge));
        assert!(!world.has(JOE), "{}", world.ladder());
        world.shared_carries_out();
        world.receive(JOE).text
    };
    let ok = login(&mut world, &mut joe);
    check(&ok, 200);
    joe.lines = format!("Contact: <sip:joe@{JOE}>;expires=0\n");
    world.shared.refuses = true;
    check(&login(&mut world, &mut joe), 500);
    assert_eq!(world.counter(HOME, "shared_refused"), 1);
    // He is where he was.
    world.shared_tells(SECOND);
    call(&mut world, "joe", 1);
    is_answered(&mut world);
    let mut asking = Register::new("joe", "127.0.0.1:5099");
    (asking.call_id, asking.lines) = ("asks", String::new());
    let found = asking.login(&mut world, EDGES[0]);
    let contacts = Phone::values(&found, "Contact");
    assert_eq!(contacts.len(), 1, "{found}");
}

#[test]
fn what_waits_for_an_answer_goes_on_in_another_process() {
    //
    let mut world = lab();
    joe_registers(&mut world);
    call(&mut world, "joe", 1);
    world.upgrade(SECOND);
    world.shared_answers();
    is_answered(&mut world);
}
