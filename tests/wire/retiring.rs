//! Taking an edge out of service without losing anyone (D-E17).

use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";

fn sticky(reg_id: u32) -> Register<'static> {
    let mut register = Register::new("joe", JOE);
    register.lines = format!(
        "Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:uuid:1>\";reg-id={reg_id}\n\
         Supported: path, outbound, alt-proxies\n"
    );
    register
}

/// A world in which every edge was told that the first one retires.
fn retiring() -> World {
    World::with(
        Tokens::Sealed,
        |_| (),
        |_, edge| edge.members[0].retires = true,
    )
}

/// The edges other than `own` by the contacts of a 300.
#[track_caller]
fn contacts(moved: &str) -> Vec<String> {
    assert!(moved.starts_with("SIP/2.0 300 "), "{moved}");
    Phone::values(moved, "Contact")
}

#[test]
fn an_edge_that_retires_names_the_others() {
    // D-E17
    let mut world = retiring();
    let mut joe = sticky(1);
    let mut named = contacts(&joe.send(&mut world, EDGES[0], ""));
    let first = named[0].clone();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            "<sip:edge.example.com;lr;maddr=127.0.0.12>",
            "<sip:edge.example.com;lr;maddr=127.0.0.13>"
        ]
    );
    assert_eq!(world.counter(EDGES[0], "moved"), 1);
    // There it gets a set without the edge that retires, and can be called.
    let edge = if first.contains(".12") {
        EDGES[1]
    } else {
        EDGES[2]
    };
    joe.route = first;
    let ok = joe.login(&mut world, edge);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    let proxies = Phone::values(&ok, "Outbound-Proxy");
    assert_eq!(proxies.len(), 1, "{ok}");
    assert!(!proxies[0].contains("maddr=127.0.0.11"), "{ok}");
    assert_eq!(world.gauge(HOME, "registered"), 1);
    world.drained();
}

#[test]
fn a_refresh_with_a_retired_edge_in_its_token_starts_anew() {
    // D-E17: e2 holds a phone whose backup is told to retire, or is gone.
    let changes: [fn(&mut edge::Settings); 2] = [
        |edge| edge.members[0].retires = true,
        |edge| {
            edge.members.remove(0);
        },
    ];
    for change in changes {
        let mut world = World::lab(Tokens::Clear);
        world.add_edge(
            &[("127.0.0.12:5070", false), ("127.0.0.12:40001", true)],
            |edge| {
                edge.name = "e2".to_owned();
                change(edge);
            },
        );
        let mut joe = sticky(2);
        joe.route = "<sip:joe+e2+e1+urn_3Auuid_3A1@edge.example.com;lr>".to_owned();
        // His To and his token are one, so that nobody need be asked first.
        let moved = joe.send(&mut world, "127.0.0.12:5070", "");
        assert!(moved.starts_with("SIP/2.0 300 "), "{moved}");
        assert_eq!(contacts(&moved), ["<sip:edge.example.com;lr>"]);
        joe.route = "<sip:edge.example.com;lr>".to_owned();
        let ok = joe.login(&mut world, "127.0.0.12:5070");
        let path = Phone::values(&ok, "Path").remove(0);
        assert!(path.contains("joe+e2+e3+"), "{ok}");
        assert!(ok.contains("Outbound-Proxy: "), "{ok}");
    }
}

#[test]
fn who_cannot_be_moved_is_served() {
    // A phone that knows nothing of Outbound-Proxy comes back to where it is
    // configured to; and one that leaves may leave.
    let mut world = retiring();
    let mut plain = Register::new("joe", JOE);
    let ok = plain.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    let mut joe = sticky(1);
    joe.call_id = "leaves";
    joe.lines += "Expires: 0\n";
    let ok = joe.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert_eq!(world.counter(EDGES[0], "moved"), 0);
}

#[test]
fn what_is_registered_stays_reachable_until_it_has_moved() {
    // D-E17: the edge restarts nothing and drops nobody's calls.
    let mut world = retiring();
    let mut plain = Register::new("joe", JOE);
    plain.login(&mut world, EDGES[0]);
    world.pass(Duration::from_secs(60));
    let bob = Phone::foreign("bob", "127.0.0.1:5090");
    let text = bob.request("MESSAGE", "sip:joe@example.com", 1, "", "");
    bob.send(&mut world, HOME, &text);
    let joe = Phone::new("joe", JOE, false);
    assert!(joe.receive(&mut world).starts_with("MESSAGE "));
}
