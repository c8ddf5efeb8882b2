//! A node that is told to end (V-7): an edge sends its phones to the others and keeps its
//! calls, a home goes on until what it has is answered.

use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
const BOB: &str = "127.0.0.1:5090";
/// One step of the closing, and what it sets off.
const STEP: Duration = Duration::from_millis(100);

/// joe and bob at e1 over TCP, ann at e2 over UDP.
fn phones() -> (World, [Phone; 3]) {
    let mut world = World::lab(Tokens::Sealed);
    for phone in [JOE, BOB] {
        world.connect(phone, EDGES[0]);
    }
    let at = |name, addr, edge, world: &mut World| {
        let mut phone = Phone::new(name, addr, false);
        phone.register(world, edge);
        phone
    };
    let joe = at("joe", JOE, EDGES[0], &mut world);
    let bob = at("bob", BOB, EDGES[0], &mut world);
    let ann = at("ann", ANN, EDGES[1], &mut world);
    world.forget();
    (world, [joe, bob, ann])
}

/// `caller` at `edge` calls `callee` at another one, who takes the call up.
fn call(
    world: &mut World,
    (caller, edge): (&mut Phone, &str),
    (callee, far): (&mut Phone, &str),
    cseq: u32,
) {
    let uri = format!("sip:{}@example.com", callee.name);
    let invite = caller.request("INVITE", &uri, cseq, "", "");
    caller.send(world, edge, &invite);
    assert_eq!(caller.status(world), 100);
    let invite = callee.receive(world);
    callee.answer(world, far, &invite, 200, "OK");
    let ok = caller.receive(world);
    caller.dialog(&ok, true);
    callee.dialog(&invite, false);
    caller.in_dialog(world, edge, "ACK", cseq);
    assert!(callee.receive(world).starts_with("ACK "));
}

#[test]
fn an_edge_keeps_calls_and_sends_idle_phones_away() {
    // V-7
    let (mut world, [mut joe, bob, mut ann]) = phones();
    let [e1, e2, _] = EDGES;
    call(&mut world, (&mut joe, e1), (&mut ann, e2), 1);
    assert_eq!([e1, e2].map(|edge| world.gauge(edge, "dialogs")), [1, 1]);
    world.drain(e1);
    world.pass(STEP);
    assert!(world.is_connected(JOE, e1), "in a call");
    assert!(!world.is_connected(BOB, e1), "idle");
    assert_eq!(world.counter(e1, "drained_flows"), 1);
    assert!(!world.knock(BOB, e1), "there are other edges");
    assert!(!world.is_idle(e1));

    // What joe begins has other edges, too.
    let refused = joe.request("MESSAGE", "sip:ann@example.com", 7, "", "");
    joe.send(&mut world, e1, &refused);
    let refusal = joe.receive(&mut world);
    assert!(refusal.starts_with("SIP/2.0 503 Draining"), "{refusal}");
    assert_eq!(Phone::values(&refusal, "Retry-After").len(), 1);
    let mut again = Register::new("joe", JOE);
    let refusal = again.send(&mut world, e1, "");
    assert!(refusal.starts_with("SIP/2.0 503 Draining"), "{refusal}");
    assert_eq!(
        world.counter(e1, "drained"),
        3,
        "a connection is one of them"
    );

    // What comes for joe has no other way.
    let message = ann.request("MESSAGE", "sip:joe@example.com", 7, "", "");
    ann.send(&mut world, e2, &message);
    let message = joe.receive(&mut world);
    assert!(message.starts_with("MESSAGE "), "{message}");
    joe.answer(&mut world, e1, &message, 200, "OK");
    assert_eq!(ann.status(&mut world), 200);

    // The call goes on, for as long as it likes, and is the last of all.
    world.pass(Duration::from_secs(100));
    ann.in_dialog(&mut world, e2, "INFO", 8);
    assert!(joe.receive(&mut world).starts_with("INFO "));
    assert!(world.is_connected(JOE, e1) && !world.is_idle(e1));
    ann.in_dialog(&mut world, e2, "BYE", 9);
    let bye = joe.receive(&mut world);
    joe.answer(&mut world, e1, &bye, 200, "OK");
    assert_eq!([e1, e2].map(|edge| world.gauge(edge, "dialogs")), [0, 0]);
    world.pass(limits::T1_64);
    assert!(!world.is_connected(JOE, e1), "now idle");
    assert!(world.is_idle(e1));
    drop(bob);
}

#[test]
fn a_call_between_two_phones_of_one_edge_is_one_call() {
    let mut world = World::lab(Tokens::Sealed);
    let [mut joe, mut ann] = [("joe", JOE), ("ann", ANN)].map(|(name, addr)| {
        let mut phone = Phone::new(name, addr, false);
        phone.register(&mut world, EDGES[0]);
        phone
    });
    world.forget();
    let edge = EDGES[0];
    call(&mut world, (&mut joe, edge), (&mut ann, edge), 1);
    let shards = world.shard_count(edge);
    let dialogs = world.gauge(edge, "dialogs");
    assert!(dialogs >= 1 && dialogs <= shards, "{dialogs}");
    world.drain(edge);
    assert!(!world.is_idle(edge), "over UDP too");
    joe.in_dialog(&mut world, edge, "BYE", 2);
    let bye = ann.receive(&mut world);
    ann.answer(&mut world, edge, &bye, 200, "OK");
    assert_eq!(joe.status(&mut world), 200);
    assert_eq!(world.gauge(edge, "dialogs"), 0);
    world.pass(limits::T4);
    assert!(world.is_idle(edge));
}

#[test]
fn an_emergency_call_waits_for_no_drain() {
    // I-7
    let (mut world, [joe, ..]) = phones();
    world.drain(EDGES[0]);
    let sos = joe.request("INVITE", "urn:service:sos", 1, "", "");
    joe.send(&mut world, EDGES[0], &sos);
    assert_eq!(joe.status(&mut world), 100);
}

#[test]
fn connections_are_closed_at_a_pace() {
    let mut world = World::lab(Tokens::Sealed);
    let phones: Vec<String> = (0..100).map(|n| format!("203.0.113.{n}:40000")).collect();
    for phone in &phones {
        world.connect(phone, EDGES[0]);
    }
    let left = |world: &World| {
        let phones = phones.iter();
        phones.filter(|it| world.is_connected(it, EDGES[0])).count()
    };
    let shards = world.shard_count(EDGES[0]);
    world.drain(EDGES[0]);
    let mut seen = vec![left(&world)];
    while left(&world) > 0 {
        world.pass(STEP);
        seen.push(left(&world));
    }
    let steps = seen.windows(2).map(|pair| pair[0] - pair[1]);
    let most = steps.max().unwrap();
    assert!(most <= 32 * shards && seen.len() > 2 / shards, "{seen:?}");
    assert!(world.is_idle(EDGES[0]));
}

#[test]
fn a_home_goes_on_until_what_it_has_is_answered() {
    // V-7: nobody else knows its phones.
    let (mut world, [mut joe, bob, mut ann]) = phones();
    let invite = bob.request("INVITE", "sip:ann@example.com", 1, "", "");
    bob.send(&mut world, EDGES[0], &invite);
    assert_eq!(bob.status(&mut world), 100);
    let ringing = ann.receive(&mut world);
    world.drain(HOME);
    assert!(!world.is_idle(HOME), "it rings");
    call(&mut world, (&mut joe, EDGES[0]), (&mut ann, EDGES[1]), 1);
    let mut again = Register::new("joe", JOE);
    let ok = again.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert!(!world.is_idle(HOME), "it still rings");
    ann.answer(&mut world, EDGES[1], &ringing, 486, "Busy");
    assert_eq!(bob.status(&mut world), 486);
    assert!(world.is_idle(HOME));
}
