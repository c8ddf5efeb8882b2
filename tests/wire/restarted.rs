//! A home that was restarted behind the backs of its edges (K-3, H-13): calls
//! go on before anybody registers or calls anew, and so no Via says `keep`.

use super::failover::{Call, call_in};
use super::silence::{hop, notices};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::NextHop;
use steadfast::id::Transport;
use steadfast::limits;
use steadfast::time::Duration;

/// A call whose home was restarted, and that joe's re-INVITE has gone through
/// since: his edge's flow is what his dialog sticks to (S-5).
fn call(transport: Transport) -> Call {
    let mut call = call_in(World::with(
        Tokens::Sealed,
        |_| (),
        |_, edge| edge.home = vec![NextHop::At(hop(HOME, transport))],
    ));
    call.world.pass(Duration::from_secs(2));
    call.world.restart(HOME);
    let world = &mut call.world;
    call.joe.in_dialog(world, EDGES[0], "INVITE", 2);
    assert_eq!(call.joe.status(world), 100);
    let invite = call.ann.receive(world);
    let by = world.last_to(call.ann.addr()).from.to_string();
    call.ann.answer(world, &by, &invite, 200, "OK");
    assert_eq!(call.joe.status(world), 200);
    call.joe.in_dialog(world, EDGES[0], "ACK", 2);
    assert!(call.ann.receive(world).starts_with("ACK "));
    // K-2: nothing within a dialog offers keep-alives.
    let mut trace = world.trace.iter();
    assert!(!trace.any(|seen| seen.to.to_string() == HOME && seen.text.contains(";keep;")));
    call
}

#[test]
fn a_restarted_home_knows_of_a_dead_edge_before_it_needs_it() {
    // K-3: the edge's keep-alives go on, and then they do not.
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut call = call(transport);
        call.world.pass(Duration::from_secs(5));
        let notices = notices(&call.world, HOME);
        assert!(
            !notices.iter().any(|notices| notices.ends_with(" down")),
            "{notices:?}"
        );
        call.world.freeze(EDGES[0]);
        call.world.pass(Duration::from_secs(3));
        assert!(call.world.counter(HOME, "peers_silent") > 0);
        call.ann.in_dialog(&mut call.world, EDGES[1], "BYE", 1);
        // The home asks another edge at once, which may not know yet.
        call.world.pass(limits::PEER_PING + limits::T1);
        call.ends_by_the_backup();
        assert_eq!(call.world.counter(HOME, "overtaken"), 0);
    }
}

#[test]
fn a_restarted_home_watches_an_edge_from_its_first_moment_on() {
    // K-3: the edge shows at once that it keeps the connection it has opened
    // again, and it is never heard of after that.
    let mut call = call(Transport::Tcp);
    call.world.freeze(EDGES[0]);
    call.ann.in_dialog(&mut call.world, EDGES[1], "BYE", 1);
    call.world.pass(Duration::from_secs(3));
    assert_eq!(call.world.counter(HOME, "flows_silent"), 1);
    call.ends_by_the_backup();
}

#[test]
fn a_request_that_a_restarted_home_relays_to_a_silent_edge_is_overtaken() {
    // K-3, T-10: two seconds after the edge has come back to it.
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut call = call(transport);
        call.world.pass(2 * limits::PEER_PING + limits::PEER_PROBE);
        call.world.freeze(EDGES[0]);
        call.ann.in_dialog(&mut call.world, EDGES[1], "BYE", 1);
        // Whoever is asked next may still send it to the silent one first.
        call.world.pass(Duration::from_secs(3));
        call.ends_by_the_backup();
    }
}

#[test]
fn a_relay_teaches_a_home_nothing_that_is_wrong() {
    // H-12, H-13, S-24, S-26: a BYE cannot be redirected. That the wrong edge
    // delivered it does not make that edge the right one.
    let mut relayed = 0;
    for earlier in 0..6 {
        let mut call = call_in(World::lab(Tokens::Clear));
        call.world.restart(HOME);
        let bound = call.world.counter(HOME, "stick_bound");
        let world = &mut call.world;
        for cseq in 0..=earlier {
            call.ann.in_dialog(world, EDGES[1], "BYE", 10 + cseq);
            let bye = call.joe.receive(world);
            let from = world.last_to(call.joe.addr()).from.to_string();
            call.joe.answer(world, &from, &bye, 481, "No Such Call");
            assert_eq!(call.ann.status(world), 481);
        }
        let relays = |world: &World| -> u64 {
            let relays = EDGES.map(|edge| world.counter(edge, "relays"));
            relays.iter().sum()
        };
        relayed += relays(world);
        assert_eq!(world.counter(HOME, "stick_bound"), bound);
        // What can be redirected is, once, and that is remembered.
        for cseq in [30, 31] {
            let before = relays(world);
            call.ann.in_dialog(world, EDGES[1], "INFO", cseq);
            let info = call.joe.receive(world);
            let from = world.last_to(call.joe.addr()).from.to_string();
            call.joe.answer(world, &from, &info, 200, "OK");
            assert_eq!(call.ann.status(world), 200);
            assert_eq!(relays(world), before);
        }
        let redirects: u64 = EDGES
            .map(|edge| world.counter(edge, "redirects"))
            .iter()
            .sum();
        assert!(redirects <= 1, "{redirects}");
        let bound = world.counter(HOME, "stick_bound") - bound;
        assert_eq!(bound, 1, "the flow that took the INFO");
    }
    assert!(relayed > 0, "it never guessed wrong");
}
