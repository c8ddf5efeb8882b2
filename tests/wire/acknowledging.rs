//! ACK: absorbed hop by hop, or routed end to end (P-34 to P-36).

use super::failover::call_in;
use super::marks::{is_marked, unmarked};
use super::peer::{
    CORE, FAR, VOUCHED, answer, branch_of, expect, mask, of_invite, request, silent, status,
};
use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::time::Duration;

const BOB: &str = "sip:bob@127.0.0.9";

#[test]
fn a_refusal_is_acknowledged_hop_by_hop() {
    // P-35, T-5
    let mut world = World::lab(Tokens::Clear);
    let invite = request(
        "INVITE",
        BOB,
        "hop",
        "Route: <sip:127.0.0.9;lr>, <sip:x;lr>\nRequire: x\n",
    );
    world.send(CORE, HOME, &invite);
    assert_eq!(status(&mut world, CORE), 100);
    let received = expect(&mut world, FAR, "INVITE");
    let busy = answer(&received, 486, "busy", "");
    world.send(FAR, HOME, &busy);
    let want = format!(
        "ACK {BOB} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.10;rport;branch={}\r\nFrom: <sip:joe@example.com>;tag=j\r\n\
         To: <sip:ann@example.com>;tag=busy\r\nCall-ID: hop\r\nRoute: <sip:127.0.0.9;lr>, <sip:x;lr>\r\n\
         Max-Forwards: 70\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
        branch_of(&received)
    );
    assert_eq!(world.receive(FAR).text, want);
    let refused = world.receive(CORE).text;
    // The refusal again: the same ACK again, and nothing upstream.
    world.send(FAR, HOME, &busy);
    assert_eq!(world.receive(FAR).text, want);
    silent(&world, &[CORE]);
    // Ours is repeated until its ACK comes.
    world.pass(Duration::from_millis(500));
    assert_eq!(world.receive(CORE).text, refused);
    let ack = of_invite("ACK", &invite);
    world.send(CORE, HOME, &ack);
    world.send(CORE, HOME, &ack);
    silent(&world, &[CORE, FAR]);
    assert_eq!(world.counter(HOME, "stray_acks"), 0);
    world.drained();
    silent(&world, &[CORE, FAR]);
}

#[test]
fn an_ack_that_never_comes_ends_the_wait() {
    // T-1 (timer H)
    let mut world = World::lab(Tokens::Clear);
    world.send(
        CORE,
        HOME,
        &request("INVITE", "sip:nobody@example.com", "tmh", ""),
    );
    world.drained();
    let mut count = 0;
    while world.has(CORE) {
        assert_eq!(status(&mut world, CORE), 404);
        count += 1;
    }
    assert_eq!(count, 11);
}

#[test]
fn the_ack_of_a_2xx_is_routed_without_state() {
    // P-34, P-36
    let mut world = World::lab(Tokens::Clear);
    let contact = format!("Contact: <sip:joe@{CORE}>\n");
    world.send(CORE, HOME, &request("INVITE", BOB, "inv", &contact));
    let received = expect(&mut world, FAR, "INVITE");
    let ok = answer(&received, 200, "far", &format!("Contact: <{BOB}>\n"));
    world.send(FAR, HOME, &ok);
    let route = Phone::values(world.last(CORE), "Record-Route").remove(0);
    world.forget();
    let ack = request("ACK", BOB, "ack", &format!("Route: {route}\n"))
        .replace(
            "To: <sip:ann@example.com>",
            "To: <sip:ann@example.com>;tag=far",
        )
        .replace("Call-ID: ack", "Call-ID: inv")
        .replace(VOUCHED, "");
    world.send(CORE, HOME, &ack);
    let first = world.receive(FAR).text;
    world.send(CORE, HOME, &ack);
    assert_eq!(world.receive(FAR).text, first);
    let want = format!(
        "ACK {BOB} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.10;rport;branch=OURS\r\nMax-Breadth: 60\r\n\
         Via: SIP/2.0/UDP {CORE};branch=z9hG4bKack\r\nMax-Forwards: 69\r\nFrom: <sip:joe@example.com>;tag=j\r\n\
         To: <sip:ann@example.com>;tag=far\r\nCall-ID: inv\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(mask(&first), want);
    assert_ne!(branch_of(&first), branch_of(&received));
    // So is one that took another way here, and says so in its Via.
    let other = ack.replace("Via: SIP/2.0/UDP ", "Via: SIP/2.0/TCP ");
    world.send(CORE, HOME, &other);
    assert_eq!(branch_of(&world.receive(FAR).text), branch_of(&first));
    // With another branch it is another ACK.
    world.send(CORE, HOME, &ack.replace("z9hG4bKack", "z9hG4bKnew"));
    assert_ne!(branch_of(&world.receive(FAR).text), branch_of(&first));
    // It needs no transaction and no answer, whatever becomes of it.
    world.unreachable(HOME, FAR);
    silent(&world, &[CORE]);
    world.drained();
    world.send(CORE, HOME, &ack);
    assert_eq!(world.receive(FAR).text, first);
    world.drained();
}

#[test]
fn an_ack_that_leads_nowhere_is_dropped() {
    // P-34
    #[track_caller]
    fn check(to: &str, text: &str) {
        let mut world = World::lab(Tokens::Clear);
        world.send(CORE, to, text);
        silent(&world, &[CORE, FAR]);
        assert_eq!(world.counter(to, "stray_acks"), 1, "{text}");
        world.drained();
    }
    check(HOME, &request("ACK", "sip:nobody@example.com", "a", ""));
    check(HOME, &request("ACK", "sip:ann@example.com", "a", ""));
    check(HOME, &request("ACK", "sip:example.com", "a", ""));
    check(HOME, &request("ACK", "unknown:x", "a", ""));
    check(
        HOME,
        &request("ACK", BOB, "a", "").replace("Max-Forwards: 70", "Max-Forwards: 0"),
    );
    check(
        HOME,
        &request("ACK", BOB, "a", "Route: <sip:host.example.org;lr>\n"),
    );
    // At an edge: a token that does not verify, and a flow that is gone.
    check(
        EDGES[0],
        &request(
            "ACK",
            BOB,
            "a",
            "Route: <sip:nonsense@edge.example.com;lr>\n",
        ),
    );
}

#[test]
fn the_ack_of_a_2xx_passes_by_whatever_way_its_caller_has() {
    // H-7, H-8, B-1: the flow of the call, another address of the phone,
    // the other edge of either side, an edge and a home that have forgotten all.
    type Change = fn(&mut World);
    let nothing: Change = |_| ();
    let shapes: [(&str, Option<&'static str>, Change); 5] = [
        (EDGES[0], None, nothing),
        (EDGES[0], Some("127.0.0.1:5999"), nothing),
        ("backup", None, |world| world.kill(EDGES[0])),
        (EDGES[0], None, |world| world.kill(EDGES[1])),
        (EDGES[0], None, |world| {
            for node in [HOME, EDGES[0]] {
                world.restart(node);
            }
        }),
    ];
    for (shape, (to, from, change)) in shapes.into_iter().enumerate() {
        let mut world = World::lab(Tokens::Sealed);
        world.icmp = true;
        let mut call = call_in(world);
        let to = if to == "backup" {
            call.joe.backup.clone()
        } else {
            to.to_owned()
        };
        change(&mut call.world);
        let mut joe = Phone::new("joe", from.unwrap_or("127.0.0.1:5070"), true);
        joe.enter(&call.joe);
        // Nobody says so where an ACK does not arrive; of this the home learns it.
        joe.in_dialog(&mut call.world, &to, "INFO", 2);
        assert!(call.ann.receive(&mut call.world).starts_with("INFO "));
        joe.in_dialog(&mut call.world, &to, "ACK", 1);
        let got = call.ann.receive(&mut call.world);
        assert!(got.starts_with("ACK "), "{shape}: {got}");
    }
}

#[test]
fn an_ack_without_the_mark_of_its_dialog_reaches_nobody() {
    // Whoever it names, and whoever sends it: it cannot be asked who he is.
    for (node, principal) in [(EDGES[0], "joe"), (EDGES[0], "nobody"), (HOME, "nobody")] {
        let mut call = call_in(World::hospitable(Tokens::Clear));
        let from = if principal == "joe" {
            call.joe.addr()
        } else {
            "127.0.0.1:5999"
        };
        let mut caller = Phone::foreign("x", from);
        caller.enter(&call.joe);
        for (uri, routes) in [
            ("sip:ann@example.com", ""),
            (&*call.joe.remote_target, "bare"),
        ] {
            caller.remote_target = uri.to_owned();
            let bare = call.joe.routes.iter().map(|route| match is_marked(route) {
                true => unmarked(route),
                false => route.clone(),
            });
            caller.routes = if routes.is_empty() {
                Vec::new()
            } else {
                bare.collect()
            };
            let unmarked = |world: &World| {
                world.counter(EDGES[0], "unmarked") + world.counter(HOME, "unmarked")
            };
            let before = unmarked(&call.world);
            caller.in_dialog(&mut call.world, node, "ACK", 7);
            silent(&call.world, &[from, call.ann.addr()]);
            assert_eq!(
                unmarked(&call.world),
                before + 1,
                "{principal} at {node}: {uri}"
            );
        }
    }
}

#[test]
fn a_strangers_ack_outside_dialogs_ends_at_the_edge() {
    let mut world = World::hospitable(Tokens::Clear);
    let nobody = Phone::foreign("x", "127.0.0.1:5999");
    let ack = nobody.request("ACK", "sip:ann@example.com", 1, "", "");
    nobody.send(&mut world, EDGES[0], &ack);
    assert_eq!(world.trace.len(), 1, "{}", world.ladder());
    assert_eq!(world.counter(EDGES[0], "unmarked"), 1);
}
