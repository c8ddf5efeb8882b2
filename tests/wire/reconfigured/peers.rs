//! Who is a peer by the settings that were taken over, and who was none before either.

use super::super::locating::invite;
use super::super::names::Answers;
use super::super::peer::{CORE, FAR, answer, expect, request, status};
use super::*;
use steadfast::limits;

/// Answers to keep-alives from exactly this address within four seconds.
fn answers(world: &mut World, from: &str) -> usize {
    world.forget();
    world.pass(Duration::from_secs(4));
    let trace = world.trace.iter();
    trace.filter(|seen| seen.from.to_string() == from).count()
}

#[test]
fn a_neighbour_of_the_home_that_is_no_edge_keeps_its_connection() {
    // S-11, S-27: a trunk that names itself by an address which leads nowhere.
    let mut world = World::lab(Tokens::Clear);
    world.listen(FAR);
    let route = "Route: <sip:127.0.0.9;transport=tcp;lr>\n";
    let text = request("INVITE", "sip:bob@10.9.9.9", "trunk", route);
    world.send(CORE, HOME, &text);
    assert_eq!(status(&mut world, CORE), 100);
    let received = expect(&mut world, FAR, "INVITE");
    let ok = answer(&received, 200, "far", "");
    let own = "Record-Route: <sip:10.9.9.9;lr>\nRecord-Route";
    world.send(FAR, HOME, &ok.replacen("Record-Route", own, 1));
    assert_eq!(status(&mut world, CORE), 200);
    let info = |world: &mut World, branch: &str| {
        let routes = "Route: <sip:example.com;lr>\nRoute: <sip:10.9.9.9;lr>\n";
        let info = request("INFO", "sip:bob@10.9.9.9", branch, routes)
            .replace(&format!("Call-ID: {branch}"), "Call-ID: trunk")
            .replace("ann@example.com>", "ann@example.com>;tag=far");
        world.send(CORE, HOME, &info);
        let seen = world.receive(FAR);
        assert_eq!(seen.transport, Transport::Tcp);
        world.send(FAR, HOME, &answer(&seen.text, 200, "far", ""));
        assert_eq!(status(world, CORE), 200);
    };
    info(&mut world, "before");
    world.reconfigure_home(HOME, |_| ());
    info(&mut world, "same");
    world.reconfigure_home(HOME, |home| {
        home.edge_peers.pop();
        home.edge_peers.push(edge_peer("127.0.0.12"));
    });
    info(&mut world, "fewer");
    world.pass(limits::FLOW_SILENCE_MAX + Duration::from_secs(30));
    assert!(world.is_connected(FAR, HOME));
}

#[test]
fn a_home_that_gets_a_name_is_believed_until_the_dns_has_answered() {
    const ZONE: &str = "home.example.com 60 A 127.0.0.10";
    const MOVED: &str = "home.example.com 60 A 127.0.0.20";
    for first in [Answers::Held, Answers::Failed] {
        for (zone, stays) in [(ZONE, true), (MOVED, false)] {
            let mut world = World::lab(Tokens::Sealed);
            let mut ann = Phone::new("ann", ANN, true);
            ann.register(&mut world, EDGES[1]);
            let mut number = 0;
            let mut is_believed = |world: &mut World| {
                world.forget();
                number += 1;
                let call = invite(&format!("n{number}"));
                let call = call.replace("bob@far.example.net", "ann@example.com");
                world.send(CORE, HOME, &call);
                let is_believed = world.has(ANN);
                world.pass(Duration::from_secs(40));
                is_believed
            };
            let pings = |world: &mut World| {
                let before = world.counter(EDGES[1], "peer_pings");
                world.pass(Duration::from_secs(10));
                world.counter(EDGES[1], "peer_pings") - before
            };
            assert!(is_believed(&mut world));
            let before = pings(&mut world);
            world.names.answers = first;
            change_edges(&mut world, |edge| {
                edge.home = vec![NextHop::Named("sip:home.example.com".to_owned())];
            });
            assert!(is_believed(&mut world), "{first:?}\n{}", world.ladder());
            assert_eq!(pings(&mut world), before);
            world.names.zone = zone.to_owned();
            world.answer_names(Answers::AtOnce);
            world.pass(Duration::from_secs(60));
            assert_eq!(is_believed(&mut world), stays, "{zone}");
            let saved = before - pings(&mut world);
            assert_eq!(saved >= 9, !stays, "{saved} of {before}: {zone}");
        }
    }
}

#[test]
fn a_request_to_a_home_that_is_taken_away_still_finds_it_dead() {
    // T-10
    let mut world = World::lab(Tokens::Sealed);
    world.add_home(SECOND);
    change_edges(&mut world, |edge| edge.home = vec![at(HOME), at(SECOND)]);
    let (mut joe, mut ann) = (Phone::new("joe", JOE, true), Phone::new("ann", ANN, true));
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    world.kill(HOME);
    world.forget();
    let text = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &text);
    world.pass(Duration::from_millis(100));
    assert_eq!(sent(&world, EDGES[0], SECOND), 0);
    change_edges(&mut world, |edge| edge.home = vec![at(SECOND)]);
    world.pass(limits::T1 - Duration::from_millis(101));
    assert_eq!(sent(&world, EDGES[0], SECOND), 0);
    world.pass(Duration::from_millis(2));
    // The INVITE, which the other home refuses, and the ACK.
    assert_eq!(sent(&world, EDGES[0], SECOND), 2, "{}", world.ladder());
    assert_eq!((joe.status(&mut world), joe.status(&mut world)), (100, 480));
    // What was not answered is over, and nobody asks any more.
    world.pass(limits::T1_64 + limits::T1_64);
    let before = world.counter(EDGES[0], "peer_pings");
    world.pass(Duration::from_secs(10));
    let others = 3 * 10 * u64::from(world.width);
    assert!(world.counter(EDGES[0], "peer_pings") - before <= others);
}

#[test]
fn of_two_edges_at_one_address_the_one_that_is_gone_is_asked_no_more() {
    const STAYS: &str = "127.0.0.14:5060";
    const GOES: &str = "127.0.0.14:5062";
    let member = |name: &str, udp| Member {
        udp,
        core_port: CORE_PORT,
        ..Member::at(name, "127.0.0.14".parse().unwrap())
    };
    let mut world = World::lab(Tokens::Clear);
    let four = 4 * usize::from(world.width);
    world.reconfigure_edge(EDGES[0], |edge| {
        edge.members
            .extend([member("e4", 5060), member("e5", 5062)]);
    });
    assert_eq!(answers(&mut world, STAYS), four);
    assert_eq!(answers(&mut world, GOES), four);
    world.reconfigure_edge(EDGES[0], |edge| {
        edge.members.pop();
    });
    assert_eq!(answers(&mut world, GOES), 0);
    assert_eq!(answers(&mut world, STAYS), four);
    // The other one has another port from now on.
    world.reconfigure_edge(EDGES[0], |edge| edge.members[3].udp = 5062);
    assert_eq!(answers(&mut world, GOES), four);
    assert_eq!(answers(&mut world, STAYS), 0);
}

#[test]
fn a_home_waits_no_more_for_the_keepalives_of_an_edge_beside_another_one() {
    // K-1: it has promised them, and they end with its place on the list.
    for (is_gone, silent) in [(false, 1), (true, 0)] {
        let mut world = World::lab(Tokens::Clear);
        let both = ["udp:127.0.0.14:5060", "udp:127.0.0.14:5062"].map(edge_peer);
        world.reconfigure_home(HOME, |home| home.edge_peers.extend(both));
        let from = "127.0.0.14:5062";
        world.mute.push(from.parse().unwrap());
        let text = request("OPTIONS", "sip:example.com", "keep", "");
        let text = text.replace(&format!("{CORE};"), &format!("{from};keep;"));
        world.send(from, HOME, &text);
        let ok = world.receive(from).text;
        assert!(ok.contains(";keep=1;"), "{ok}");
        if is_gone {
            world.reconfigure_home(HOME, |home| {
                home.edge_peers.pop();
            });
        }
        world.pass(Duration::from_secs(10));
        assert_eq!(world.counter(HOME, "peers_silent"), silent);
    }
}
