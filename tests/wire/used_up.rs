//! A connection between nodes whose key has sealed nearly all that it may (C-18).

use steadfast::time::Duration;

use super::phone::Phone;
use super::tls::over_tls;
use super::world::{EDGES, HOME, World};

/// Two phones at two edges that reach the home over TLS; the first one's call rings.
fn ringing() -> (World, [Phone; 2], String) {
    let mut world = over_tls("example.com");
    let mut joe = Phone::new("joe", "127.0.0.1:6001", true);
    let mut ann = Phone::new("ann", "127.0.0.1:6002", true);
    // Counted are the connections of an edge's first shard.
    world.steer("127.0.0.1:6001", 0);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "v=0\r\n");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    let came = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &came, 180, "Ringing");
    assert_eq!(joe.status(&mut world), 180);
    (world, [joe, ann], came)
}

/// The call is taken, confirmed and ended.
fn take_and_end(world: &mut World, [joe, ann]: &mut [Phone; 2], came: &str) {
    ann.answer(world, EDGES[1], came, 200, "OK");
    let ok = joe.receive(world);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    joe.dialog(&ok, true);
    ann.dialog(came, false);
    joe.in_dialog(world, EDGES[0], "ACK", 1);
    let ack = ann.receive(world);
    assert!(ack.starts_with("ACK "), "{ack}");
    ann.in_dialog(world, EDGES[1], "BYE", 1);
    let bye = joe.receive(world);
    assert!(bye.starts_with("BYE "), "{bye}");
    joe.answer(world, EDGES[0], &bye, 200, "OK");
    assert_eq!(ann.status(world), 200);
}

#[track_caller]
fn check_nothing_lost(world: &World) {
    for node in [EDGES[0], EDGES[1], HOME] {
        for counter in ["sent_again", "transport_failures", "retransmissions_in"] {
            assert_eq!(world.counter(node, counter), 0, "{node} {counter}");
        }
    }
}

#[test]
fn a_connection_whose_key_comes_to_its_end_is_replaced_without_a_lost_message() {
    // C-18
    let (mut world, mut phones, came) = ringing();
    let connections = |world: &World| world.count_connections(EDGES[0], HOME);
    assert_eq!(connections(&world), 1);
    assert_eq!(world.use_up(EDGES[0], HOME), 1);
    // Said twice it means the same.
    assert_eq!(world.use_up(EDGES[0], HOME), 1);
    assert_eq!(connections(&world), 1);
    // The answers come over the old one, what follows takes the new one.
    take_and_end(&mut world, &mut phones, &came);
    assert_eq!(connections(&world), 2);
    world.pass(Duration::from_secs(70));
    assert_eq!(connections(&world), 1);
    // Over the one that is left goes what it did before.
    let [joe, ann] = &mut phones;
    let invite = joe.request("INVITE", "sip:ann@example.com", 7, "", "v=0\r\n");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    let came = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &came, 486, "Busy Here");
    assert!(ann.receive(&mut world).starts_with("ACK "));
    assert_eq!(joe.status(&mut world), 486);
    check_nothing_lost(&world);
    world.drained();
}

#[test]
fn what_rings_for_long_is_answered_over_the_connection_that_was_replaced() {
    // C-18
    let (mut world, mut phones, came) = ringing();
    world.use_up(EDGES[0], HOME);
    let [joe, _] = &mut phones;
    let register = joe.request("OPTIONS", "sip:ann@example.com", 5, "", "");
    joe.send(&mut world, EDGES[0], &register);
    let asked = phones[1].receive(&mut world);
    phones[1].answer(&mut world, EDGES[1], &asked, 200, "OK");
    assert_eq!(phones[0].status(&mut world), 200);
    world.pass(Duration::from_secs(100));
    assert_eq!(world.count_connections(EDGES[0], HOME), 2);
    take_and_end(&mut world, &mut phones, &came);
    world.pass(Duration::from_secs(70));
    assert_eq!(world.count_connections(EDGES[0], HOME), 1);
    check_nothing_lost(&world);
    world.drained();
}
