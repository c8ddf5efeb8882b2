//! Homes by name (RFC 3263): edges that find them in the DNS, and clusters that are
//! known to homes by name alone.

use super::locating::invite;
use super::names::Answers;
use super::peer::{CORE, FAR, expect, request};
use super::phone::{Phone, Register};
use super::settings::edge_peer;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::NextHop;
use steadfast::time::Duration;
use steadfast::trust::CallsOut;

/// Edges whose home is named.
fn by_name(zone: &str) -> World {
    let mut world = World::with(
        Tokens::Clear,
        |_| (),
        |_, edge| edge.home = vec![NextHop::Named("sip:home.example.com".to_owned())],
    );
    world.names.zone = zone.to_owned();
    world
}

/// The lab's home first, another one second.
const HOMES: &str = "_sip._udp.home.example.com 60 SRV 10 0 5060 one.example.com
    _sip._udp.home.example.com 60 SRV 20 0 5060 two.example.com
    one.example.com 60 A 127.0.0.10
    two.example.com 60 A 127.0.0.20";

#[test]
fn an_edge_finds_its_home_by_name_and_trusts_it() {
    // S-3, D-H2
    let mut world = by_name(HOMES);
    let mut joe = Phone::new("joe", "127.0.0.1:5070", true);
    let mut ann = Phone::new("ann", "127.0.0.1:5080", true);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("INVITE", "sip:ann@example.com", 1, "", ""),
    );
    assert_eq!(joe.status(&mut world), 100);
    // The home's request to ann's edge is taken for the home's.
    assert!(
        ann.receive(&mut world)
            .starts_with("INVITE sip:ann@127.0.0.1:5080")
    );
}

#[test]
fn an_edge_that_does_not_know_its_home_yet_does_not_end_the_search() {
    // H-12: it takes the home for a stranger, and has no flow in any case.
    let mut failed = 0;
    for is_backup in [false, true] {
        let mut world = by_name(HOMES);
        let mut joe = Phone::new("joe", "127.0.0.1:5070", true);
        joe.register(&mut world, EDGES[0]);
        let edge = if is_backup { &joe.backup } else { EDGES[0] };
        world.names.zone.clear();
        world.restart(edge);
        world.send(
            CORE,
            HOME,
            &invite("i1").replace("bob@far.example.net", "joe@example.com"),
        );
        failed += world.counter(edge, "flows_failed");
        assert!(joe.receive(&mut world).starts_with("INVITE "));
    }
    assert_eq!(failed, 1, "the home asks one of them first");
}

#[test]
fn a_phone_is_told_to_wait_where_the_dns_knows_no_home() {
    // P-24: a 404 to its REGISTER would be the end of it for many a phone.
    for (answers, wait) in [
        (Answers::AtOnce, 0),
        (Answers::Failed, 0),
        (Answers::Held, 5),
    ] {
        let mut world = by_name("");
        world.names.answers = answers;
        let mut joe = Register::new("joe", "127.0.0.1:5070");
        let phone = Phone::new("joe", "127.0.0.1:5070", false);
        for (cseq, method) in (1..).zip(["REGISTER", "INVITE"]) {
            let request = match method {
                "REGISTER" => phone.request(method, "sip:example.com", cseq, "", ""),
                _ => phone.request(method, "sip:ann@example.com", cseq, "", ""),
            };
            phone.send(&mut world, EDGES[0], &request);
            world.pass(Duration::from_secs(wait));
            let mut said = phone.receive(&mut world);
            while said.starts_with("SIP/2.0 100 ") {
                said = phone.receive(&mut world);
            }
            assert!(said.starts_with("SIP/2.0 503 "), "{method}: {said}");
            assert!(said.contains("\r\nRetry-After: "), "{said}");
        }
        world.names.zone = HOMES.to_owned();
        world.answer_names(Answers::AtOnce);
        world.pass(Duration::from_secs(60));
        world.forget();
        let ok = joe.login(&mut world, EDGES[0]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    }
}

#[test]
fn an_edge_turns_to_the_second_home_of_the_name() {
    // N-7
    let mut world = by_name(HOMES);
    world.icmp = true;
    world.add_home("127.0.0.20:5060");
    world.kill(HOME);
    let mut joe = Phone::new("joe", "127.0.0.1:5070", true);
    joe.register(&mut world, EDGES[0]);
    assert_eq!(world.gauge("127.0.0.20:5060", "registered"), 1);
}

#[test]
fn a_subscriber_goes_by_a_route_with_a_name_and_not_to_another_edge() {
    let zone = "far.example.net 60 A 127.0.0.9\nedge2.example.net 60 A 127.0.0.12";
    let mut world = World::with(
        Tokens::Clear,
        |_| (),
        |_, edge| edge.rules.calls_out = CallsOut::anywhere(),
    );
    world.names.zone = zone.to_owned();
    let mut joe = Phone::new("joe", "127.0.0.1:5070", true);
    joe.register(&mut world, EDGES[0]);
    world.forget();
    let options = |host: &str, cseq: u32| {
        joe.request(
            "OPTIONS",
            "sip:eve@example.net",
            cseq,
            &format!("Route: <sip:{host}:5060;lr>\n"),
            "",
        )
    };
    let allowed = options("far.example.net", 1);
    joe.send(&mut world, EDGES[0], &allowed);
    expect(&mut world, FAR, "OPTIONS");
    let vouched = options("edge2.example.net", 2);
    joe.send(&mut world, EDGES[0], &vouched);
    let mut statuses = Vec::new();
    while world.has("127.0.0.1:5070") {
        statuses.push(joe.status(&mut world));
    }
    assert_eq!(statuses.last(), Some(&404), "{}", world.ladder());
}

#[test]
fn a_cluster_without_addresses_is_found_by_name() {
    // S-16, H-13
    let mut world = World::with(
        Tokens::Clear,
        |home| home.edge_peers = vec![edge_peer("127.0.0.0/8")],
        |_, _| (),
    );
    world.names.zone =
        "edge.example.com 60 A 127.0.0.12\nedge.example.com 60 A 127.0.0.11".to_owned();
    let mut joe = Phone::new("joe", "127.0.0.1:5070", true);
    joe.register(&mut world, EDGES[0]);
    world.restart(HOME);
    world.forget();
    world.send(
        CORE,
        HOME,
        &request("INVITE", "sip:joe@example.com", "e1", ""),
    );
    let invite = joe.receive(&mut world);
    assert!(
        invite.starts_with("INVITE sip:joe@127.0.0.1:5070"),
        "{invite}"
    );
    assert_eq!(world.names.queries, ["edge.example.com"]);
}
