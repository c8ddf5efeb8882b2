//! Where messages go: what a URI, a `maddr`, a Route or a Via names.

use super::super::phone::Register;
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

fn open(home: &mut steadfast::home::Settings) {
    home.redirect = steadfast::home::Redirect::Never;
}

/// joe registers `contact` five times over, directly at the home, from `from`; his flow
/// is lost, and somebody calls him: the status of the REGISTER, the requests inside,
/// and whom else the home sent to.
fn called_at(from: &str, contact: &str, path: &str) -> (String, usize, Vec<String>, World) {
    let mut world = World::with(Tokens::Clear, open, |_, _| ());
    world.names.zone = "example.com 60 A 127.0.0.10\nedge.example.com 60 A 127.0.0.12".to_owned();
    for at in ["127.0.0.10:6379", "127.0.0.12:6379"] {
        world.listen(at);
    }
    let mut register = Register::new("joe", from);
    register.route = String::new();
    let values = (0..5).map(|n| format!("<{contact};x={n}>;q=0.{}", n + 1));
    register.lines = format!("Contact: {}\n", values.collect::<Vec<_>>().join(", "));
    if !path.is_empty() {
        register.lines += &format!("Supported: path\nPath: {path}\n");
    }
    let status_line = register.login(&mut world, HOME);
    // With the flow that it registered on only what it wrote is left.
    world.restart(HOME);
    world.forget();
    let text = eve().request("MESSAGE", "sip:joe@example.com", 1, "", "");
    eve().send(&mut world, HOME, &text);
    world.pass(steadfast::time::Duration::from_secs(40));
    let (inside, reached) = super::sent(&world);
    (
        status_line["SIP/2.0 ".len()..][..3].to_owned(),
        inside,
        reached,
        world,
    )
}

#[test]
fn a_node_of_ours_is_nobodys_phone() {
    // At a home that phones reach directly, contacts that name it had one message
    // come back to it again and again, and those that name an edge led to any port;
    // a Path of another one's phone led to that.
    for (contact, status) in [
        ("sip:joe@127.0.0.10", "200"),
        ("sip:joe@127.0.0.10:6379;transport=tcp", "200"),
        ("sip:x@127.0.0.12:6379;transport=tcp", "403"),
        ("sip:x@127.0.0.12", "403"),
        ("sip:x@203.0.113.9:6379;maddr=127.0.0.12", "403"),
        ("sip:x@[::ffff:127.0.0.12]:6379;transport=tcp", "403"),
        ("sip:x@[::ffff:127.0.0.10]:5060", "200"),
        ("sip:x@example.com", "200"),
        ("sip:x@edge.example.com", "200"),
    ] {
        let (status_line, inside, reached, world) = called_at(JOE, contact, "");
        assert_eq!(status_line, status, "{contact}");
        let ladder = world.ladder();
        assert_eq!(reached, Vec::<String>::new(), "{contact}\n{ladder}");
        // An edge is asked for the cluster's own name, once for each contact.
        assert!(inside <= 5, "{contact}: {inside}");
    }
    let mut world = World::with(Tokens::Clear, open, |_, _| ());
    let (_, ann) = phones(&mut world);
    ann.send(
        &mut world,
        EDGES[1],
        &ann.request("MESSAGE", "sip:x@203.0.113.66", 1, "", ""),
    );
    let token = "<sip:ann+e2+e1+urn_3Auuid_3Aann@edge.example.com;lr;ob>";
    for (call_id, path, may) in [
        ("a", token, false),
        ("b", "<sip:127.0.0.12;lr>", false),
        (
            "c",
            "<sip:203.0.113.9;lr>, <sip:x@EDGE.example.com.;lr>",
            false,
        ),
        ("d", "<sip:203.0.113.9;lr>", true),
    ] {
        let mut register = Register::new("joe", JOE);
        register.route = String::new();
        register.call_id = call_id;
        register.lines = format!("Contact: <sip:joe@{JOE}>\nSupported: path\nPath: {path}\n");
        let status_line = register.login(&mut world, HOME);
        assert_eq!(
            status_line.starts_with("SIP/2.0 200 "),
            may,
            "{path}: {status_line}"
        );
    }
}

#[test]
fn a_path_leads_to_no_node_of_ours_either() {
    // Seen: one message made 1,630 requests inside, and any port of an edge was sent to.
    for (path, status) in [
        ("<sip:127.0.0.10;lr>", "200"),
        ("<sip:127.0.0.10:6379;transport=tcp;lr>", "200"),
        ("<sip:203.0.113.9;maddr=127.0.0.10;lr>", "200"),
        ("<sip:[::ffff:127.0.0.10];lr>", "200"),
        (
            "<sip:203.0.113.9:6379;maddr=127.0.0.12;transport=tcp;lr>",
            "403",
        ),
        ("<sip:203.0.113.9;maddr=EDGE.example.com;lr>", "403"),
        (
            "<sip:203.0.113.9;lr>, <sip:203.0.113.9;maddr=127.0.0.12;lr>",
            "403",
        ),
    ] {
        let (status_line, inside, reached, world) = called_at(JOE, "sip:joe@example.com", path);
        assert_eq!(status_line, status, "{path}");
        let ladder = world.ladder();
        assert_eq!((inside, reached), (0, Vec::new()), "{path}\n{ladder}");
        let refused = world.counter(HOME, "out_of_bounds");
        assert_eq!(refused, if status == "200" { 5 } else { 0 }, "{path}");
    }
    // A proxy between a phone and the home is asked.
    let (status_line, _, reached, world) =
        called_at(JOE, "sip:joe@example.com", "<sip:203.0.113.66;lr>");
    assert_eq!(status_line, "200");
    assert!(reached.iter().any(|at| at == VICTIM), "{}", world.ladder());
}

#[test]
fn a_phone_at_the_address_of_an_edge_is_called_there() {
    // As behind one address translation. Seen: 480 once the home had started anew.
    for (contact, may) in [
        ("sip:joe@127.0.0.12:5070", true),
        ("sip:joe@127.0.0.12:5070;transport=udp", true),
        ("sip:joe@127.0.0.12", false),
        ("sip:joe@203.0.113.9:40000;maddr=127.0.0.12", false),
        ("sip:joe@127.0.0.12;transport=tcp", false),
    ] {
        let (status_line, inside, reached, world) = called_at("127.0.0.12:5070", contact, "");
        assert_eq!((&*status_line, inside), ("200", 0), "{contact}");
        let is_there = reached.iter().any(|at| at == "127.0.0.12:5070");
        assert_eq!(
            (is_there, reached.is_empty()),
            (may, !may),
            "{contact}\n{}",
            world.ladder()
        );
        let refused = world.counter(HOME, "out_of_bounds");
        assert_eq!(refused, if may { 0 } else { 5 }, "{contact}");
    }
}

#[test]
fn a_path_that_a_phone_writes_is_behind_its_edge() {
    let mut world = World::lab(Tokens::Clear);
    let (_, ann) = phones(&mut world);
    let mut register = Register::new("joe", JOE);
    register.lines = format!(
        "Contact: <sip:joe@{JOE}>\nSupported: path\nPath: <sip:203.0.113.66;lr;ob>, <sip:127.0.0.2:6379;lr>\n"
    );
    let ok = register.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    for (cseq, from, node) in [(1, &ann, EDGES[1]), (2, &eve(), HOME)] {
        world.forget();
        from.send(
            &mut world,
            node,
            &from.request("MESSAGE", "sip:joe@example.com", cseq, "", ""),
        );
        let (_, reached) = super::sent(&world);
        // He has two bindings, over one flow.
        assert_eq!(reached, [JOE, JOE], "{}", world.ladder());
    }
}
