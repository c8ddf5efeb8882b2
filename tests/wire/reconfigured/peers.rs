//! Who is a peer by the settings that were taken over, and who was none before either.

use super::super::peer::{CORE, FAR, answer, expect, request, status};
use super::*;
use steadfast::limits;

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
