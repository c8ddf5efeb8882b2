//! What must go on under the same rules: calls of phones whose address changed,
//! calls for help, calls whose edge died, and calls of guests.

use super::super::phone::{Phone, Register};
use super::super::world::{EDGES, HOME, Tokens, World};
use super::{ANN, EVE, JOE, TO_ANN, eve, in_call, phones, talk};
use steadfast::trust::Strangers;

/// Where a phone is after its address changed.
const AWAY: &str = "127.0.0.1:5099";

/// The phone in its calls, at another address.
fn moved(phone: &Phone) -> Phone {
    let mut moved = Phone::new(phone.name, AWAY, true);
    moved.enter(phone);
    moved
}

/// Whoever takes calls for help, at e2.
fn register_sos(world: &mut World) -> Phone {
    let at = "127.0.0.1:5112";
    let ok = Register::new("sos", at).login(world, EDGES[1]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    world.forget();
    Phone::new("sos", at, false)
}

/// Somebody goes on with a call from elsewhere, through this edge.
#[track_caller]
fn goes_on(world: &mut World, (from, its): (&Phone, &str), to: &Phone, is_stream: bool) {
    if is_stream {
        world.connect(from.addr(), its);
    }
    for (cseq, method) in (50..).zip(["INVITE", "INFO", "UPDATE", "ACK", "BYE"]) {
        world.forget();
        from.in_dialog(world, its, method, cseq);
        if !world.has(to.addr()) {
            panic!("{method}\n{}", world.ladder());
        }
        let received = to.receive(world);
        assert!(received.starts_with(method), "{received}");
    }
}

#[test]
fn a_call_goes_on_from_another_address() {
    for is_stream in [false, true] {
        for tokens in [Tokens::Clear, Tokens::Sealed] {
            for strangers in [Strangers::Challenge, Strangers::Answer, Strangers::Refuse] {
                let set = |_: usize, edge: &mut steadfast::edge::Settings| {
                    edge.rules.strangers = strangers
                };
                let mut world = World::with(tokens, |_| (), set);
                let (joe, ann) = in_call(&mut world);
                goes_on(&mut world, (&moved(&joe), EDGES[0]), &ann, is_stream);
                // The side that was called, too.
                if is_stream {
                    world.close(AWAY, EDGES[0]);
                }
                goes_on(&mut world, (&moved(&ann), EDGES[1]), &joe, is_stream);
            }
        }
    }
}

#[test]
fn a_call_goes_on_from_another_address_past_an_edge_that_died() {
    // A mark is good at every edge of the cluster.
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        for dead in [0, 1] {
            let mut world = World::lab(tokens);
            world.icmp = true;
            let (joe, ann) = in_call(&mut world);
            world.kill(EDGES[dead]);
            let (lost, kept, its) = if dead == 0 {
                (&joe, &ann, EDGES[1])
            } else {
                (&ann, &joe, EDGES[0])
            };
            // Who is still where he was, through the other edge of his set.
            let backup = lost.backup.clone();
            lost.in_dialog(&mut world, &backup, "INFO", 40);
            assert!(
                kept.receive(&mut world).starts_with("INFO "),
                "{}",
                world.ladder()
            );
            kept.in_dialog(&mut world, its, "INFO", 41);
            assert!(
                lost.receive(&mut world).starts_with("INFO "),
                "{}",
                world.ladder()
            );
            // And from an address that no edge knows, through any.
            for edge in EDGES.into_iter().filter(|edge| *edge != EDGES[dead]) {
                let away = moved(lost);
                world.forget();
                away.in_dialog(&mut world, edge, "INFO", 42 + u32::from(edge == its));
                assert!(world.has(kept.addr()), "{edge}\n{}", world.ladder());
                kept.receive(&mut world);
            }
        }
    }
}

#[test]
fn anybody_may_call_for_help() {
    for is_stream in [false, true] {
        for strangers in [Strangers::Challenge, Strangers::Answer, Strangers::Refuse] {
            let set =
                |_: usize, edge: &mut steadfast::edge::Settings| edge.rules.strangers = strangers;
            let mut world = World::with(Tokens::Clear, |_| (), set);
            let mut sos = register_sos(&mut world);
            // In whatever name: nobody asks for a password there.
            for (number, name) in (0..).zip(["eve", "joe"]) {
                let from = ["127.0.0.1:6666", "127.0.0.1:6667"][number];
                let mut caller = match name {
                    "eve" => Phone::foreign("eve", from),
                    _ => Phone::new("joe", from, false),
                };
                if is_stream {
                    world.connect(from, EDGES[0]);
                }
                talk(
                    &mut world,
                    (&mut caller, EDGES[0]),
                    (&mut sos, EDGES[1]),
                    "urn:service:sos.fire",
                );
                sos.in_dialog(
                    &mut world,
                    EDGES[1],
                    "INFO",
                    2 + u32::try_from(number).unwrap(),
                );
                assert!(caller.receive(&mut world).starts_with("INFO "));
                caller.in_dialog(&mut world, EDGES[0], "BYE", 2);
                assert!(
                    sos.receive(&mut world).starts_with("BYE "),
                    "{}",
                    world.ladder()
                );
            }
        }
    }
    // Where nobody takes such calls the caller hears it.
    let mut world = World::lab(Tokens::Clear);
    let caller = eve();
    caller.send(
        &mut world,
        EDGES[0],
        &caller.request("INVITE", "urn:service:sos", 1, "", ""),
    );
    assert_eq!(caller.status(&mut world), 100);
    assert_eq!(caller.status(&mut world), 480);
}

#[test]
fn guests_call_and_are_heard_where_the_operator_lets_them() {
    for is_stream in [false, true] {
        let mut world = World::hospitable(Tokens::Sealed);
        let (_, mut ann) = phones(&mut world);
        let mut guest = eve();
        if is_stream {
            world.connect(EVE, EDGES[0]);
        }
        talk(
            &mut world,
            (&mut guest, EDGES[0]),
            (&mut ann, EDGES[1]),
            TO_ANN,
        );
        ann.in_dialog(&mut world, EDGES[1], "INFO", 2);
        assert!(guest.receive(&mut world).starts_with("INFO "));
        guest.in_dialog(&mut world, EDGES[0], "BYE", 2);
        assert!(ann.receive(&mut world).starts_with("BYE "));
    }
}

#[test]
fn a_phone_that_registers_from_another_address_is_in_its_calls_there() {
    let mut world = World::wide(1, Tokens::Clear, |_| (), |_, _| ());
    let (joe, ann) = in_call(&mut world);
    let mut register = Register::new("joe", AWAY);
    register.call_id = "moved";
    register.lines = format!(
        "Contact: <sip:joe@{AWAY}>;+sip.instance=\"<urn:uuid:joe>\";reg-id=1\nSupported: path, outbound, alt-proxies\n"
    );
    let ok = register.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    world.forget();
    ann.in_dialog(&mut world, EDGES[1], "INFO", 2);
    assert!(world.has(AWAY) && !world.has(JOE), "{}", world.ladder());
    moved(&joe).in_dialog(&mut world, EDGES[0], "BYE", 3);
    assert!(world.has(ANN) && world.counter(HOME, "unmarked") == 0);
}
