//! Where messages go: what a URI, a `maddr`, a Route or a Via names.

use super::super::world::{EDGES, HOME, Tokens, World};
use super::{EVE, JOE, SERVICE, TO_ANN, VICTIM, eve, in_vain, phones};
use steadfast::edge::Settings;
use steadfast::trust::{CallsOut, Destinations, Strangers};

#[test]
fn the_homes_address_is_its_listeners() {
    // Seen: only the IP address was compared.
    let uris = [
        "sip:x@127.0.0.10:6379;transport=tcp",
        "sip:x@127.0.0.10:1900",
        "sip:127.0.0.10:6379",
        "sip:x@example.com:6379;maddr=127.0.0.10",
        "sip:x@203.0.113.66:1900;maddr=127.0.0.10",
    ];
    let mut number = 100;
    for is_stream in [false, true] {
        let any = |_: usize, edge: &mut Settings| {
            edge.rules.calls_out = CallsOut::anywhere();
        };
        let mut world = World::with(Tokens::Clear, |_| (), any);
        let (joe, ann) = phones(&mut world);
        for node in [HOME, EDGES[0]] {
            for uri in uris {
                for route in [
                    "",
                    "Route: <sip:127.0.0.10:1900;lr>\n",
                    "Route: <sip:127.0.0.10:6379;transport=tcp;lr>\n",
                ] {
                    number += 1;
                    let text = eve().request("MESSAGE", uri, number, route, "");
                    assert_eq!(
                        in_vain(&mut world, (EVE, node, is_stream), &text, 0),
                        "403",
                        "{text}"
                    );
                    if node == HOME || is_stream {
                        continue;
                    }
                    // Nor is it anybody else's who has an account.
                    let text = joe.request("MESSAGE", uri, number, route, "");
                    let status = in_vain(&mut world, (JOE, node, false), &text, 1);
                    assert!(matches!(&*status, "403" | "404"), "{status} {text}");
                }
            }
        }
        // The address with a port of SIP is the home.
        let text = joe.request(
            "MESSAGE",
            "sip:ann@127.0.0.10",
            9,
            "Route: <sip:127.0.0.10:5060;lr>\n",
            "",
        );
        joe.send(&mut world, EDGES[0], &text);
        assert!(
            ann.receive(&mut world).starts_with("MESSAGE "),
            "{}",
            world.ladder()
        );
    }
}

#[test]
fn a_phone_does_not_reach_this_machine_or_its_network() {
    // Seen: names were checked, and literals were not.
    let closed = |_: usize, edge: &mut Settings| {
        edge.rules.calls_out = CallsOut::anywhere();
        edge.rules.destinations = Destinations::default();
    };
    let mut world = World::with(
        Tokens::Clear,
        |home| home.destinations = Destinations::default(),
        closed,
    );
    let (joe, ann) = phones(&mut world);
    let mut number = 100;
    for host in [
        "127.0.0.2:6379",
        "127.0.0.1",
        "[::1]:6379",
        "[::ffff:127.0.0.2]:6379",
        "169.254.169.254:80",
        "10.1.2.3",
        "192.168.1.1",
        "0.0.0.0:6379",
        "224.0.1.75",
        "255.255.255.255",
    ] {
        for transport in ["", ";transport=tcp"] {
            number += 3;
            let bare = host.trim_end_matches(":6379").trim_end_matches(":80");
            let texts = [
                joe.request(
                    "MESSAGE",
                    &format!("sip:x@{host}{transport}"),
                    number,
                    "",
                    "",
                ),
                joe.request(
                    "MESSAGE",
                    &format!("sip:x@203.0.113.9:6379{transport};maddr={bare}"),
                    number + 1,
                    "",
                    "",
                ),
                joe.request(
                    "MESSAGE",
                    "sip:x@203.0.113.9",
                    number + 2,
                    &format!("Route: <sip:{host}{transport};lr>\n"),
                    "",
                ),
            ];
            for text in texts {
                let status = in_vain(&mut world, (JOE, EDGES[0], false), &text, 1);
                assert!(matches!(&*status, "403" | "404"), "{status} {text}");
            }
        }
    }
    // A literal that nobody here has is reached, and so are the phones of this network.
    let text = joe.request("MESSAGE", "sip:x@203.0.113.66", 1, "", "");
    joe.send(&mut world, EDGES[0], &text);
    assert!(world.receive(VICTIM).text.starts_with("MESSAGE "));
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("MESSAGE", TO_ANN, 2, "", ""),
    );
    assert!(ann.receive(&mut world).starts_with("MESSAGE "));
}

#[test]
fn a_via_opens_no_connection_where_its_sender_may_not_go() {
    // Seen: the sent-by of a Via, after the connection was reset.
    for (sent_by, may, nodes) in [
        (SERVICE, false, &[HOME, EDGES[0]][..]),
        ("127.0.0.10:6379", false, &[HOME, EDGES[0]]),
        ("127.0.0.11:6379", false, &[EDGES[0]]),
        ("10.1.2.3:6379", false, &[HOME, EDGES[0]]),
        (VICTIM, false, &[HOME, EDGES[0]]),
        // A port of his own address, for the answer that he asked for.
        ("203.0.113.9:5060", true, &[HOME, EDGES[0]]),
    ] {
        for node in nodes {
            let closed = |_: usize, edge: &mut Settings| {
                edge.rules.strangers = Strangers::Answer;
                edge.rules.destinations = Destinations::default();
            };
            let mut world = World::with(
                Tokens::Clear,
                |home| home.destinations = Destinations::default(),
                closed,
            );
            let (_, ann) = phones(&mut world);
            let from = "203.0.113.9:40001";
            world.listen(sent_by);
            world.connect(from, node);
            let invite = eve().request("INVITE", TO_ANN, 1, "", "");
            let invite = invite.replace(&format!("UDP {EVE};rport"), &format!("TCP {sent_by}"));
            world.send(from, node, &invite);
            let rings = ann.receive(&mut world);
            world.close(from, node);
            ann.answer(&mut world, EDGES[1], &rings, 486, "Busy Here");
            assert_eq!(
                world.has(sent_by),
                may,
                "{node} {sent_by}\n{}",
                world.ladder()
            );
        }
    }
}
