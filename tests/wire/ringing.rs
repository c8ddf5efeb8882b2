//! How long contacts ring before those of a lower `q` are tried (RFC 3261 §16.6,
//! §16.7; RFC 3326).

use super::peer::{CORE, expect, of_invite, register, request, respond, silent, status};
use super::phone::Phone;
use super::world::{HOME, Tokens, World};
use steadfast::home::Settings;
use steadfast::limits;
use steadfast::time::Duration;

/// Flows of two contacts of ann: her desk, and where she is to be found else.
const DESK: &str = "127.0.0.12:40061";
const CAR: &str = "127.0.0.12:40062";

/// A home at which ann has both.
fn home(change: impl Fn(&mut Settings)) -> World {
    let mut world = World::with(Tokens::Clear, change, |_, _| ());
    register(&mut world, DESK, "", 1);
    register(&mut world, CAR, ";q=0.5", 1);
    world.forget();
    world
}

fn invite() -> String {
    request("INVITE", "sip:ann@example.com", "ring", "")
}

/// Calls ann; her desk rings. What it was sent.
#[track_caller]
fn call(world: &mut World) -> String {
    world.send(CORE, HOME, &invite());
    assert_eq!(status(world, CORE), 100);
    let desk = expect(world, DESK, "INVITE");
    respond(world, DESK, &desk, 180);
    assert_eq!(status(world, CORE), 180);
    desk
}

/// Lets the ring time of the desk pass; the CANCEL that it gets.
#[track_caller]
fn ring_out(world: &mut World) -> String {
    world.pass(limits::RING_TIME - Duration::from_millis(1));
    silent(world, &[DESK, CAR, CORE]);
    world.pass(Duration::from_millis(1));
    silent(world, &[CAR]);
    expect(world, DESK, "CANCEL")
}

#[test]
fn who_does_not_take_the_call_in_time_leaves_it_to_the_next() {
    let mut world = home(|_| ());
    let desk = call(&mut world);
    // What is heard later gives no more time.
    world.pass(Duration::from_secs(20));
    respond(&mut world, DESK, &desk, 180);
    assert_eq!(status(&mut world, CORE), 180);
    world.pass(Duration::from_secs(10));
    let cancel = expect(&mut world, DESK, "CANCEL");
    assert_eq!(
        Phone::values(&cancel, "Reason"),
        ["SIP;cause=408;text=\"No Answer\""],
        "{cancel}"
    );
    respond(&mut world, DESK, &cancel, 200);
    silent(&world, &[CAR]);
    respond(&mut world, DESK, &desk, 487);
    expect(&mut world, DESK, "ACK");
    let car = expect(&mut world, CAR, "INVITE");
    respond(&mut world, CAR, &car, 180);
    assert_eq!(status(&mut world, CORE), 180);
    // The last ones ring as long as the caller likes, and Timer C.
    world.pass(Duration::from_secs(150));
    silent(&world, &[CAR, CORE]);
    respond(&mut world, CAR, &car, 200);
    assert_eq!(status(&mut world, CORE), 200);
    world.drained();
    silent(&world, &[DESK, CAR, CORE]);
}

#[test]
fn a_2xx_that_crosses_the_cancel_is_the_callers() {
    for late in [false, true] {
        let mut world = home(|_| ());
        let desk = call(&mut world);
        let cancel = ring_out(&mut world);
        respond(&mut world, DESK, &cancel, 200);
        let mut car = String::new();
        if late {
            // The next one is not kept waiting for a phone that has left.
            world.pass(limits::RANG_OUT_GRACE - Duration::from_millis(1));
            silent(&world, &[CAR]);
            world.pass(Duration::from_millis(1));
            car = expect(&mut world, CAR, "INVITE");
            respond(&mut world, CAR, &car, 180);
            assert_eq!(status(&mut world, CORE), 180);
        }
        respond(&mut world, DESK, &desk, 200);
        assert_eq!(status(&mut world, CORE), 200);
        if late {
            let cancel = expect(&mut world, CAR, "CANCEL");
            assert_eq!(
                Phone::values(&cancel, "Reason"),
                ["SIP;cause=200;text=\"Call completed elsewhere\""]
            );
            respond(&mut world, CAR, &cancel, 200);
            respond(&mut world, CAR, &car, 487);
            expect(&mut world, CAR, "ACK");
        }
        world.drained();
        silent(&world, &[DESK, CAR, CORE]);
    }
}

#[test]
fn the_callers_cancel_ends_the_search() {
    let mut world = home(|_| ());
    let desk = call(&mut world);
    let cancel = ring_out(&mut world);
    respond(&mut world, DESK, &cancel, 200);
    world.send(CORE, HOME, &of_invite("CANCEL", &invite()));
    assert_eq!(status(&mut world, CORE), 200);
    respond(&mut world, DESK, &desk, 487);
    expect(&mut world, DESK, "ACK");
    assert_eq!(status(&mut world, CORE), 487);
    world.send(CORE, HOME, &of_invite("ACK", &invite()));
    world.drained();
    silent(&world, &[DESK, CAR, CORE]);
}

#[test]
fn a_6xx_ends_the_search() {
    let mut world = home(|_| ());
    let desk = call(&mut world);
    let cancel = ring_out(&mut world);
    respond(&mut world, DESK, &cancel, 200);
    respond(&mut world, DESK, &desk, 603);
    expect(&mut world, DESK, "ACK");
    assert_eq!(status(&mut world, CORE), 603);
    world.send(CORE, HOME, &of_invite("ACK", &invite()));
    world.drained();
    silent(&world, &[DESK, CAR, CORE]);
}

#[test]
fn a_caller_who_has_cancelled_nothing_hears_that_nobody_answered() {
    // The desk rang and the car cannot be reached.
    let mut world = home(|_| ());
    let desk = call(&mut world);
    let cancel = ring_out(&mut world);
    respond(&mut world, DESK, &cancel, 200);
    respond(&mut world, DESK, &desk, 487);
    expect(&mut world, DESK, "ACK");
    expect(&mut world, CAR, "INVITE");
    world.pass(limits::T1_64);
    assert_eq!(status(&mut world, CORE), 480);
    world.send(CORE, HOME, &of_invite("ACK", &invite()));
}

#[test]
fn what_only_the_next_hop_has_answered_has_longer() {
    // Whoever is behind it may be silent for 64 T1 before its other flow is tried.
    let mut world = home(|_| ());
    world.send(CORE, HOME, &invite());
    assert_eq!(status(&mut world, CORE), 100);
    let desk = expect(&mut world, DESK, "INVITE");
    respond(&mut world, DESK, &desk, 100);
    let most = limits::T1_64 + limits::RING_TIME;
    world.pass(most - Duration::from_millis(1));
    silent(&world, &[DESK, CAR, CORE]);
    world.pass(Duration::from_millis(1));
    expect(&mut world, DESK, "CANCEL");
}

#[test]
fn the_operator_says_how_long() {
    for (time, until) in [
        (Some(Duration::from_secs(10)), Duration::from_secs(10)),
        (None, limits::TIMER_C),
    ] {
        let mut world = home(|home| home.ring_time = time);
        call(&mut world);
        world.pass(until - Duration::from_millis(1));
        silent(&world, &[DESK, CAR]);
        world.pass(Duration::from_millis(1));
        expect(&mut world, DESK, "CANCEL");
    }
}
