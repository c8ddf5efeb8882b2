//! Several shards, one node: whatever comes to the wrong one is served as if it
//! had come to the right one, and in the steady state nothing does
//! (RFC 3261 §18.2.2; S-4 to S-6, H-6, H-10, H-12, X-3).

use steadfast::edge::{self, NextHop, Settings};
use steadfast::id::Transport;
use steadfast::time::Duration;
use steadfast::trust::Strangers;

use super::phone::{Phone, authorization};
use super::world::{EDGES, HOME, Seen, Tokens, World};

mod home;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
/// Another home, which the test plays.
const CORE: &str = "127.0.0.10:40070";
/// Where those are whom the core calls for.
const ANN_AWAY: &str = "127.0.0.9:5060";
const HANDED: [&str; 4] = [
    "handed_over",
    "handed_registers",
    "handed_responses",
    "handed_sends",
];

fn wide(width: u8, set_size: usize) -> World {
    let edge = |_: usize, edge: &mut Settings| {
        edge.set_size = set_size;
        edge.rules.strangers = Strangers::Answer;
        edge.home.push(NextHop::At(edge::ConfiguredHop {
            transport: Transport::Udp,
            addr: CORE.parse().unwrap(),
            name: None,
        }));
    };
    World::wide(width, Tokens::Clear, |_| (), edge)
}

/// The URI of joe's Path, as a Route.
fn token(world: &World) -> String {
    let paths = Phone::values(&world.ladder(), "Path");
    let path = paths.iter().rfind(|path| path.starts_with("<sip:joe+"));
    path.unwrap().replace(";ob>", ">")
}

/// A request of the core for joe.
fn for_joe(method: &str, branch: &str, route: &str, to_tag: &str) -> String {
    format!(
        "{method} sip:joe@{JOE} SIP/2.0\nVia: SIP/2.0/UDP {CORE};rport;branch=z9hG4bK{branch}\n\
         Route: {route}\nMax-Forwards: 70\nFrom: <sip:ann@example.com>;tag=a\n\
         To: <sip:joe@example.com>{to_tag}\nCall-ID: {branch}\nCSeq: 1 {method}\n\
         Contact: <sip:ann@{ANN_AWAY}>\nContent-Length: 0\n\n"
    )
}

/// How a request of the core comes in.
#[derive(Clone, Copy, Debug)]
enum Door {
    /// Over UDP to the listener.
    Listener,
    /// Over UDP to the socket that a shard has for itself.
    Upstream,
    /// Over a connection.
    Stream,
}

/// A node of three shards with joe on shard `at`, and what the core sends to
/// its door comes to shard `by`.
fn joe_at(at: usize, by: usize, door: Door) -> (World, Phone, String) {
    let mut world = wide(3, 1);
    world.steer(JOE, at);
    world.steer(CORE, by);
    let mut joe = Phone::new("joe", JOE, false);
    joe.register(&mut world, EDGES[0]);
    let to = match door {
        Door::Listener => EDGES[0].to_owned(),
        Door::Upstream => format!("127.0.0.11:{}", 40_000 + by),
        Door::Stream => {
            world.connect(CORE, EDGES[0]);
            EDGES[0].to_owned()
        }
    };
    (world, joe, to)
}

/// Every pair of a phone's shard and a request's, by every door.
fn everywhere(mut check: impl FnMut(usize, usize, Door)) {
    for door in [Door::Listener, Door::Upstream, Door::Stream] {
        for at in 0..3 {
            for by in 0..3 {
                check(at, by, door);
            }
        }
    }
}

/// The next message of the core, which must come from where it sent to (X-3).
#[track_caller]
fn status(world: &mut World, from: &str) -> u16 {
    let Seen {
        text, from: source, ..
    } = world.receive(CORE);
    assert_eq!(source.to_string(), from, "{text}");
    text["SIP/2.0 ".len()..][..3].parse().unwrap()
}

/// A REGISTER of joe's that no earlier one is mistaken for.
fn text(call_id: &str, cseq: u32, contact: &str, extra: &str) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {JOE};rport;branch=z9hG4bK{call_id}{cseq}\n\
         Route: <sip:edge.example.com;lr>\nMax-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\n\
         To: <sip:joe@example.com>\nCall-ID: {call_id}\nCSeq: {cseq} REGISTER\nContact: {contact}\n\
         Supported: path\n{extra}Content-Length: 0\n\n"
    )
}

/// Registers joe once more.
fn register(world: &mut World, call_id: &str) {
    let contact = &format!("<sip:joe@{JOE}>");
    world.send(JOE, EDGES[0], &text(call_id, 1, contact, ""));
    let challenge = world.receive(JOE).text;
    let proof = authorization("joe", &challenge);
    world.send(JOE, EDGES[0], &text(call_id, 2, contact, &proof));
    let ok = world.receive(JOE).text;
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
}

#[test]
fn a_call_that_comes_to_another_shard_is_the_phones_all_the_same() {
    everywhere(|at, by, door| {
        let (mut world, mut joe, door_addr) = joe_at(at, by, door);
        let to = &door_addr;
        let invite = for_joe("INVITE", "c", &token(&world), "");
        world.send(CORE, to, &invite);
        assert_eq!(status(&mut world, to), 100, "{at} {by} {door:?}");
        let received = joe.receive(&mut world);
        assert!(received.starts_with("INVITE sip:joe@127.0.0.1:5070 "));
        // T-1: a retransmission is one wherever it comes in.
        world.send(CORE, to, &invite);
        assert_eq!(status(&mut world, to), 100);
        assert!(!world.has(JOE), "{}", world.ladder());
        joe.answer(&mut world, EDGES[0], &received, 180, "Ringing");
        assert_eq!(status(&mut world, to), 180);
        joe.answer(&mut world, EDGES[0], &received, 200, "OK");
        let ok = world.receive(CORE).text;
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        joe.dialog(&received, false);
        // The edge record-routed twice for a phone that knows nothing.
        let routes = Phone::values(&ok, "Record-Route");
        let route = routes.last().unwrap();
        for (method, branch) in [("ACK", "a"), ("INVITE", "r"), ("BYE", "b")] {
            let text = for_joe(method, branch, route, ";tag=joe")
                .replace(&format!("Call-ID: {branch}"), "Call-ID: c");
            world.send(CORE, to, &text);
            if method == "INVITE" {
                assert_eq!(status(&mut world, to), 100);
            }
            let received = joe.receive(&mut world);
            assert!(received.starts_with(method), "{received}");
            if method != "ACK" {
                joe.answer(&mut world, EDGES[0], &received, 200, "OK");
                assert_eq!(status(&mut world, to), 200);
            }
        }
        joe.in_dialog(&mut world, EDGES[0], "BYE", 2);
        let bye = world.receive(ANN_AWAY).text;
        assert!(bye.starts_with("BYE sip:ann@127.0.0.9:5060 "), "{bye}");
        let handed = world.counter(EDGES[0], "handed_over");
        assert_eq!(handed > 0, at != by, "{handed}");
        if at == 1 {
            world.drained();
        }
    });
}

#[test]
fn a_cancel_and_its_ack_follow_their_invite() {
    // P-32, P-35
    everywhere(|at, by, door| {
        let (mut world, joe, to) = joe_at(at, by, door);
        let invite = for_joe("INVITE", "c", &token(&world), "");
        world.send(CORE, &to, &invite);
        assert_eq!(status(&mut world, &to), 100);
        let received = joe.receive(&mut world);
        joe.answer(&mut world, EDGES[0], &received, 180, "Ringing");
        assert_eq!(status(&mut world, &to), 180);
        world.send(CORE, &to, &invite.replace("INVITE", "CANCEL"));
        assert_eq!(status(&mut world, &to), 200, "{at} {by} {door:?}");
        let cancel = joe.receive(&mut world);
        assert!(cancel.starts_with("CANCEL "), "{cancel}");
        joe.answer(&mut world, EDGES[0], &cancel, 200, "OK");
        joe.answer(&mut world, EDGES[0], &received, 487, "Request Terminated");
        assert!(joe.receive(&mut world).starts_with("ACK "));
        assert_eq!(status(&mut world, &to), 487);
        world.send(CORE, &to, &invite.replace("INVITE", "ACK"));
        world.pass(Duration::from_secs(5));
        assert!(!world.has(CORE), "the ACK was absorbed\n{}", world.ladder());
        assert_eq!(world.counter(EDGES[0], "stray_acks"), 0);
    });
}

#[test]
fn a_cancel_of_nothing_is_481_wherever_it_comes_in() {
    everywhere(|at, by, door| {
        let (mut world, _, to) = joe_at(at, by, door);
        let cancel = for_joe("CANCEL", "c", &token(&world), "");
        world.send(CORE, &to, &cancel);
        assert_eq!(status(&mut world, &to), 481, "{at} {by} {door:?}");
        assert!(!world.has(JOE));
    });
}

#[test]
fn a_flow_that_is_gone_is_gone_on_every_shard() {
    // O-11, O-5: the directory forgets the phone, and nobody is asked twice.
    everywhere(|at, by, door| {
        let (mut world, _, to) = joe_at(at, by, door);
        // The same phone over a connection, which then breaks.
        world.connect(JOE, EDGES[0]);
        register(&mut world, "again");
        world.close(JOE, EDGES[0]);
        world.send(CORE, &to, &for_joe("OPTIONS", "o", &token(&world), ""));
        assert_eq!(status(&mut world, &to), 430, "{at} {by} {door:?}");
        assert!(world.counter(EDGES[0], "handed_over") <= 1);
        // The others have been asked, since the phone may have come to one of them.
        let failed = EDGES.map(|edge| world.counter(edge, "flows_failed"));
        assert_eq!(failed, [0, 1, 1], "{at} {by} {door:?}");
    });
}

/// Registers a flow of joe's phone from `from`.
fn register_flow(world: &mut World, from: &str, call_id: &str, reg_id: u32) {
    let contact = format!("<sip:joe@{from}>;+sip.instance=\"<urn:uuid:joe>\";reg-id={reg_id}");
    let text = |cseq, proof: &str| {
        let lines = format!("Supported: outbound\n{proof}");
        text(call_id, cseq, &contact, &lines)
            .replace(&format!("UDP {JOE};"), &format!("UDP {from};"))
    };
    world.send(from, EDGES[0], &text(1, ""));
    let challenge = world.receive(from).text;
    world.send(from, EDGES[0], &text(2, &authorization("joe", &challenge)));
    let ok = world.receive(from).text;
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
}

#[test]
fn a_phone_that_came_to_another_shard_is_nobody_at_the_first() {
    // RFC 5626 §4.2.1: the new flow takes the place of the old one, wherever that
    // is; and wherever the directory of the phone is.
    const SECOND: &str = "127.0.0.1:5071";
    const MOVED: &str = "127.0.0.1:5072";
    for (before, after) in [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)] {
        for over_tcp in [false, true] {
            let mut world = wide(3, 1);
            for (addr, shard) in [(JOE, before), (SECOND, before), (MOVED, after)] {
                world.steer(addr, shard);
            }
            register_flow(&mut world, JOE, "one", 1);
            register_flow(&mut world, SECOND, "two", 2);
            assert_eq!(world.gauge(EDGES[0], "registered"), 2);
            if over_tcp {
                world.connect(MOVED, EDGES[0]);
            }
            register_flow(&mut world, MOVED, "three", 1);
            assert_eq!(world.gauge(EDGES[0], "registered"), 2, "{before} {after}");
            // The old flow is a stranger's, and in joe's name he is asked.
            let status_of = |world: &mut World, from: &'static str, cseq: u32| {
                let who = Phone::new("joe", from, false);
                let options = who.request("OPTIONS", "sip:ann@example.com", cseq, "", "");
                who.send(world, EDGES[0], &options);
                who.status(world)
            };
            assert_eq!(status_of(&mut world, JOE, 1), 407, "{before} {after}");
            for joe in [SECOND, MOVED] {
                assert_eq!(status_of(&mut world, joe, 1), 480, "{before} {after}");
            }
            // He comes back, and then goes away.
            register_flow(&mut world, JOE, "four", 1);
            assert_eq!(world.gauge(EDGES[0], "registered"), 2, "{before} {after}");
            assert_eq!(
                (
                    status_of(&mut world, JOE, 2),
                    status_of(&mut world, MOVED, 2)
                ),
                (480, 407)
            );
        }
    }
}

#[test]
fn a_phone_that_left_is_asked_for_at_the_other_edge_once() {
    // H-12, D-E11
    for by in 0..3 {
        let mut world = wide(3, 2);
        world.steer(CORE, by);
        let mut joe = Phone::new("joe", JOE, true);
        joe.register(&mut world, EDGES[0]);
        let route = token(&world);
        let backup = joe.backup.clone();
        // e1 forgets: it starts anew with empty tables.
        world.restart(EDGES[0]);
        world.send(CORE, EDGES[0], &for_joe("OPTIONS", "o", &route, ""));
        let received = world.receive(JOE);
        assert_eq!(received.from.to_string(), backup);
        joe.answer(&mut world, &backup, &received.text, 200, "OK");
        assert_eq!(status(&mut world, EDGES[0]), 200, "{by}");
        assert_eq!(world.counter(EDGES[0], "relays"), 1);
    }
}

#[test]
fn an_answer_finds_its_way_when_the_connection_of_another_shard_breaks() {
    // X-4
    for (at, by) in [(0, 1), (1, 0), (2, 1)] {
        let (mut world, joe, _) = joe_at(at, by, Door::Stream);
        let invite =
            for_joe("INVITE", "c", &token(&world), "").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
        world.send(CORE, EDGES[0], &invite);
        let received = joe.receive(&mut world);
        world.close(CORE, EDGES[0]);
        world.forget();
        world.listen(CORE);
        joe.answer(&mut world, EDGES[0], &received, 200, "OK");
        let ok = world.receive(CORE);
        assert!(ok.text.starts_with("SIP/2.0 200 ") && ok.transport == Transport::Tcp);
    }
}

#[test]
fn what_a_full_ring_drops_the_sender_sends_again() {
    let (mut world, joe, to) = joe_at(0, 1, Door::Listener);
    let invite = for_joe("INVITE", "c", &token(&world), "");
    world.fill_rings(EDGES[0], true);
    world.send(CORE, &to, &invite);
    assert!(!world.has(CORE) && !world.has(JOE));
    world.fill_rings(EDGES[0], false);
    world.send(CORE, &to, &invite);
    assert_eq!(status(&mut world, &to), 100);
    assert!(joe.receive(&mut world).starts_with("INVITE "));
}

#[test]
fn a_phone_the_directory_does_not_know_gets_430_until_it_refreshes() {
    // Joe's directory is on the other shard for one of the two.
    let mut unknown = 0;
    for at in [0, 1] {
        let mut world = wide(2, 1);
        world.steer(JOE, at);
        world.steer(CORE, 1 - at);
        world.fill_rings(EDGES[0], true);
        let mut joe = Phone::new("joe", JOE, false);
        joe.register(&mut world, EDGES[0]);
        world.fill_rings(EDGES[0], false);
        let route = token(&world);
        world.send(CORE, EDGES[0], &for_joe("OPTIONS", "o", &route, ""));
        if world.has(CORE) {
            assert_eq!(status(&mut world, EDGES[0]), 430);
            unknown += 1;
            register(&mut world, "again");
            world.send(CORE, EDGES[0], &for_joe("OPTIONS", "p", &route, ""));
        }
        let received = joe.receive(&mut world);
        assert!(received.starts_with("OPTIONS "), "{received}");
    }
    assert_eq!(unknown, 1);
}

#[test]
fn a_guest_is_reached_by_its_flow_token_on_any_shard() {
    // O-3, O-4
    for at in 0..3 {
        for by in 0..3 {
            let mut world = wide(3, 2);
            let guest_addr = "127.0.0.1:5099";
            world.steer(guest_addr, at);
            world.steer(HOME, by);
            let mut ann = Phone::new("ann", ANN, true);
            ann.register(&mut world, EDGES[1]);
            let mut guest = Phone::foreign("guest", guest_addr);
            let invite = guest.request("INVITE", "sip:ann@example.com", 1, "", "");
            guest.send(&mut world, EDGES[0], &invite);
            assert_eq!(guest.status(&mut world), 100);
            let received = ann.receive(&mut world);
            ann.answer(&mut world, EDGES[1], &received, 200, "OK");
            let ok = guest.receive(&mut world);
            guest.dialog(&ok, true);
            ann.dialog(&received, false);
            guest.in_dialog(&mut world, EDGES[0], "ACK", 1);
            assert!(ann.receive(&mut world).starts_with("ACK "));
            ann.in_dialog(&mut world, EDGES[1], "BYE", 1);
            let bye = guest.receive(&mut world);
            assert!(bye.starts_with("BYE "), "{at} {by}: {bye}");
            guest.answer(&mut world, EDGES[0], &bye, 200, "OK");
            assert_eq!(ann.status(&mut world), 200);
        }
    }
}

/// INVITE from joe to ann, ACK, BYE from ann.
fn call(world: &mut World, joe: &mut Phone, ann: &mut Phone, number: u32) {
    let invite = joe.request("INVITE", "sip:ann@example.com", number, "", "");
    joe.send(world, EDGES[0], &invite);
    assert_eq!(joe.status(world), 100);
    let received = ann.receive(world);
    ann.answer(world, EDGES[1], &received, 180, "Ringing");
    assert_eq!(joe.status(world), 180);
    ann.answer(world, EDGES[1], &received, 200, "OK");
    let ok = joe.receive(world);
    joe.dialog(&ok, true);
    ann.dialog(&received, false);
    joe.in_dialog(world, EDGES[0], "ACK", number);
    assert!(ann.receive(world).starts_with("ACK "));
    ann.in_dialog(world, EDGES[1], "BYE", number);
    let bye = world.receive(JOE);
    // H-6: through the edge that set the dialog up, not its backup.
    assert_eq!(bye.from.to_string(), EDGES[0], "{}", bye.text);
    joe.answer(world, EDGES[0], &bye.text, 200, "OK");
    assert_eq!(ann.status(world), 200);
}

#[test]
fn in_the_steady_state_the_edges_hand_nothing_over() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let edge = |_: usize, edge: &mut Settings| {
            edge.home = vec![NextHop::At(edge::ConfiguredHop {
                transport,
                addr: HOME.parse().unwrap(),
                name: None,
            })];
        };
        let mut world = World::wide(3, Tokens::Sealed, |_| (), edge);
        let mut joe = Phone::new("joe", JOE, true);
        let mut ann = Phone::new("ann", ANN, true);
        for round in 0..6 {
            // Wherever the kernel puts them.
            for port in 40_000..40_003 {
                for edge in 11..14 {
                    let addr = format!("127.0.0.{edge}:{port}");
                    world.steer(&addr, (round + edge) % 3);
                }
            }
            if round == 0 {
                joe.register(&mut world, EDGES[0]);
                ann.register(&mut world, EDGES[1]);
            }
            call(
                &mut world,
                &mut joe,
                &mut ann,
                u32::try_from(round).unwrap() + 1,
            );
        }
        for edge in EDGES {
            let handed = HANDED.map(|name| world.counter(edge, name));
            assert_eq!(handed, [0; 4], "{edge} {transport:?}");
        }
        assert!(world.counter(HOME, "requests_in") > 20);
    }
}
