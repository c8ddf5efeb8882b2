//! Several homes that share no location, and connections that break and come
//! back (S-14 to S-29).

use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::{ConfiguredHop, NextHop};
use steadfast::id::Transport;
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
const BOB: &str = "127.0.0.1:5090";
const SECOND: &str = "127.0.0.20:5060";

fn at(addr: &str, transport: Transport) -> NextHop {
    let addr = addr.parse().unwrap();
    NextHop::At(ConfiguredHop {
        transport,
        addr,
        name: None,
    })
}

/// The Route lines that the last 2xx told this phone.
fn service_route(world: &World, phone: &str) -> String {
    let values = Phone::values(world.last(phone), "Service-Route");
    let lines = values.iter().map(|value| format!("Route: {value}\n"));
    lines.collect()
}

/// joe and ann registered at the second home while the first was dead, and
/// joe's Service-Route; the first is back and knows nobody.
fn at_the_second(transport: Transport) -> (World, Phone, Phone, String) {
    let mut world = World::with(
        Tokens::Sealed,
        |home| home.name = "h1".to_owned(),
        |_, edge| edge.home = [HOME, SECOND].map(|home| at(home, transport)).to_vec(),
    );
    world.add_home_with(SECOND, |home| home.name = "h2".to_owned());
    world.icmp = true;
    world.kill(HOME);
    let mut joe = Phone::new("joe", JOE, true);
    let mut ann = Phone::new("ann", ANN, true);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    for phone in [JOE, ANN] {
        let routes = service_route(&world, phone);
        assert!(
            routes.ends_with("Route: <sip:example.com;lr;gunk=h2>\n"),
            "{routes}"
        );
    }
    let routes = service_route(&world, JOE);
    world.store.clear();
    world.restart(HOME);
    world.pass(Duration::from_secs(60));
    world.forget();
    (world, joe, ann, routes)
}

/// joe calls ann by his Service-Route.
fn call(world: &mut World, joe: &mut Phone, ann: &mut Phone, routes: &str) {
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, routes, "");
    joe.send(world, EDGES[0], &invite);
    assert_eq!(joe.status(world), 100);
    let invite = ann.receive(world);
    ann.answer(world, EDGES[1], &invite, 200, "OK");
    let ok = joe.receive(world);
    joe.dialog(&ok, true);
    ann.dialog(&invite, false);
    joe.in_dialog(world, EDGES[0], "ACK", 1);
    assert!(ann.receive(world).starts_with("ACK "));
}

#[test]
fn what_began_at_a_home_comes_back_to_it() {
    // S-7, S-8, S-14, S-22, S-28: the edge tells the homes apart by the URIs
    // they write, and by nothing else.
    for transport in [Transport::Udp, Transport::Tcp] {
        let (mut world, mut joe, mut ann, routes) = at_the_second(transport);
        // A new registration goes by the configured order.
        Register::new("bob", BOB).login(&mut world, EDGES[0]);
        let bob = service_route(&world, BOB);
        assert!(bob.ends_with(";gunk=h1>\n"), "{transport:?} {bob}");
        world.forget();
        if transport == Transport::Tcp {
            // The connection broke; it is opened again for what stuck to it.
            assert_eq!(world.cut(EDGES[0], SECOND), 1);
            world.pass(limits::STICK_REOPEN_MAX - Duration::from_secs(1));
        }
        call(&mut world, &mut joe, &mut ann, &routes);
        let at = world.way();
        assert!(at.contains(&SECOND.to_owned()), "{at:?}");
        assert!(!at.contains(&HOME.to_owned()), "{}", world.ladder());
        world.forget();
        ann.in_dialog(&mut world, EDGES[1], "INFO", 1);
        let info = joe.receive(&mut world);
        assert!(info.starts_with("INFO "), "{info}");
        joe.answer(&mut world, EDGES[0], &info, 200, "OK");
        assert_eq!(ann.status(&mut world), 200);
        assert!(!world.way().contains(&HOME.to_owned()));
        // Its home dead, a dialog goes on by the other one.
        world.kill(SECOND);
        world.forget();
        ann.in_dialog(&mut world, EDGES[1], "BYE", 2);
        world.pass(Duration::from_secs(2));
        let bye = joe.receive(&mut world);
        assert!(bye.starts_with("BYE "), "{bye}");
        assert!(world.way().contains(&HOME.to_owned()));
    }
}

#[test]
fn a_home_that_does_not_come_back_in_time_loses_what_stuck_to_it() {
    // S-28: after ten seconds the order decides again, and that home knows nobody.
    let (mut world, joe, _, routes) = at_the_second(Transport::Tcp);
    assert_eq!(world.cut(EDGES[0], SECOND), 1);
    world.pass(limits::STICK_REOPEN_MAX);
    let send_message = joe.request("MESSAGE", "sip:ann@example.com", 1, &routes, "");
    joe.send(&mut world, EDGES[0], &send_message);
    assert_eq!(joe.status(&mut world), 480, "{}", world.ladder());
}

/// joe on one flow of e1, ann at e2, edges and home joined by TCP.
fn over_tcp() -> (World, Phone, Phone, String) {
    let mut world = World::with(
        Tokens::Sealed,
        |_| (),
        |_, edge| edge.home = vec![at(HOME, Transport::Tcp)],
    );
    let mut joe = Phone::new("joe", JOE, false);
    let mut ann = Phone::new("ann", ANN, false);
    joe.register(&mut world, EDGES[0]);
    let path = Phone::values(world.last(JOE), "Path").remove(0);
    ann.register(&mut world, EDGES[1]);
    world.forget();
    (world, joe, ann, path.trim_matches(['<', '>']).to_owned())
}

/// ann asks joe; where her request went from the home on, the home's name left
/// out.
fn send_message(world: &mut World, ann: &Phone, joe: &Phone, cseq: u32) -> Vec<String> {
    world.forget();
    let request = ann.request("MESSAGE", "sip:joe@example.com", cseq, "", "");
    ann.send(world, EDGES[1], &request);
    let got = joe.receive(world);
    assert!(got.starts_with("MESSAGE "), "{got}");
    joe.answer(world, EDGES[0], &got, 200, "OK");
    assert_eq!(ann.status(world), 200, "{}", world.ladder());
    world.way().split_off(2)
}

fn matches(world: &World) -> [u64; 2] {
    ["stick_exact", "stick_domain"].map(|name| world.counter(HOME, name))
}

#[test]
fn a_broken_connection_is_opened_again_for_what_stuck_to_it() {
    // S-28, S-29
    let (mut world, joe, ann, _) = over_tcp();
    assert_eq!(send_message(&mut world, &ann, &joe, 1), [EDGES[0], JOE]);
    for round in 0..4 {
        assert_eq!(world.cut(HOME, EDGES[0]), 1, "{round}");
        let before = matches(&world);
        // The first opens it, by the address it had; what stuck to it sticks
        // to the new one.
        for cseq in [2, 3] {
            let at = send_message(&mut world, &ann, &joe, 10 * round + cseq);
            assert_eq!(at, [EDGES[0], JOE], "{}", world.ladder());
        }
        assert_eq!(matches(&world)[1], before[1], "no edge was guessed");
        world.pass(Duration::from_secs(9));
    }
    // Later than that, any edge may be asked.
    let before = matches(&world);
    assert_eq!(world.cut(HOME, EDGES[0]), 1);
    world.pass(limits::STICK_REOPEN_MAX);
    send_message(&mut world, &ann, &joe, 90);
    assert_eq!(matches(&world)[1], before[1] + 1);
}

#[test]
fn an_edge_that_connects_again_keeps_what_stuck_to_it() {
    // S-28, S-29: its own address tells that it is the same one.
    let (mut world, joe, ann, path) = over_tcp();
    assert_eq!(world.cut(HOME, EDGES[0]), 1);
    let request = joe.request("MESSAGE", "sip:nobody@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &request);
    assert_eq!(joe.status(&mut world), 404);
    let facts = world.why(HOME, &path).0;
    let chosen = facts.iter().rfind(|fact| fact.what == "chosen").unwrap();
    assert!(chosen.says.contains("127.0.0.11"), "{facts:?}");
    let before = matches(&world);
    assert_eq!(send_message(&mut world, &ann, &joe, 1), [EDGES[0], JOE]);
    assert_eq!(matches(&world), [before[0] + 1, before[1]]);
}
