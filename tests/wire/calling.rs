//! Calls between two phones, and what becomes of them when an edge dies
//! (worked flow of `src/core/protocol.md`, steps 5 to 7).

use super::marks::{bare, is_marked, mark_of};
use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::time::Duration;

/// joe registered at e1 (and its partner), ann at e2 (and its partner).
fn lab(sticky: bool) -> (World, Phone, Phone) {
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Phone::new("joe", "127.0.0.1:5070", sticky);
    let mut ann = Phone::new("ann", "127.0.0.1:5080", sticky);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    (world, joe, ann)
}

#[test]
fn a_call_goes_through_both_edges_and_home() {
    for sticky in [true, false] {
        let (mut world, mut joe, mut ann) = lab(sticky);
        joe.send(
            &mut world,
            EDGES[0],
            &joe.request("INVITE", "sip:ann@example.com", 1, "", ""),
        );
        assert_eq!(joe.status(&mut world), 100);
        let invite = ann.receive(&mut world);
        assert!(
            invite.starts_with("INVITE sip:ann@127.0.0.1:5080 SIP/2.0\r\n"),
            "{invite}"
        );
        // P-3: one per hop.
        assert!(invite.contains("Max-Forwards: 67\r\n"), "{invite}");
        // H-5, H-17: ann's edge, the home, joe's edge.
        let routes = Phone::values(&invite, "Record-Route");
        assert_eq!(routes.len(), 3, "{routes:?}");
        let at_ann = match sticky {
            true => routes[0].starts_with("<sip:ann+") && routes[0].contains(";lr;gunk=e2.q"),
            false => bare(&routes[0]) == "<sip:127.0.0.12;lr>",
        };
        assert!(at_ann, "{routes:?}");
        assert!(
            routes
                .iter()
                .any(|route| route.starts_with("<sip:joe+") && route.contains(";lr;gunk=e1.p")),
            "{routes:?}"
        );
        ann.answer(&mut world, EDGES[1], &invite, 180, "Ringing");
        assert_eq!(joe.status(&mut world), 180);
        ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
        let ok = joe.receive(&mut world);
        assert!(ok.starts_with("SIP/2.0 200 OK\r\n"), "{ok}");
        // The calling side has marks of its own, and each is another one.
        let marked = |text: &str| {
            let routes = Phone::values(text, "Record-Route").into_iter();
            let marks = routes.filter(|route| is_marked(route));
            marks.map(|route| mark_of(&route).to_owned()).collect()
        };
        let (called, calling): (Vec<_>, Vec<_>) = (marked(&invite), marked(&ok));
        assert_eq!(
            (called.len(), calling.len()),
            (3, 3),
            "{called:?} {calling:?}"
        );
        // Of ann's edge, the home, and joe's edge, which took the request from him.
        let letters = |marks: &[String]| marks.iter().map(|mark| mark[..1].to_owned()).collect();
        let (called, calling): (String, String) = (letters(&called), letters(&calling));
        assert_eq!((&called[..], &calling[..]), ("qqp", "sst"));
        joe.dialog(&ok, true);
        ann.dialog(&invite, false);
        joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
        let ack = ann.receive(&mut world);
        assert!(ack.starts_with("ACK sip:ann@127.0.0.1:5080 "), "{ack}");
        // P-9: every Route was one of ours.
        assert!(!ack.contains("Route: "), "{ack}");
        // From the called side, back through both edges.
        ann.in_dialog(&mut world, EDGES[1], "BYE", 1);
        let bye = joe.receive(&mut world);
        assert!(bye.starts_with("BYE sip:joe@127.0.0.1:5070 "), "{bye}");
        joe.answer(&mut world, EDGES[0], &bye, 200, "OK");
        assert_eq!(ann.status(&mut world), 200);
        assert!(
            !world.has("127.0.0.1:5070") && !world.has("127.0.0.1:5080"),
            "{}",
            world.ladder()
        );
    }
}

#[test]
fn a_cancelled_call_ends_with_487_on_both_sides() {
    // P-32, P-33, P-35
    let (mut world, joe, ann) = lab(true);
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    let received = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &received, 180, "Ringing");
    assert_eq!(joe.status(&mut world), 180);
    joe.send(&mut world, EDGES[0], &invite.replace("INVITE", "CANCEL"));
    assert_eq!(joe.status(&mut world), 200);
    let cancel = ann.receive(&mut world);
    assert!(
        cancel.starts_with("CANCEL sip:ann@127.0.0.1:5080 "),
        "{cancel}"
    );
    ann.answer(&mut world, EDGES[1], &cancel, 200, "OK");
    ann.answer(&mut world, EDGES[1], &received, 487, "Request Terminated");
    assert!(ann.receive(&mut world).starts_with("ACK "));
    assert_eq!(joe.status(&mut world), 487);
    joe.send(&mut world, EDGES[0], &invite.replace("INVITE", "ACK"));
    world.pass(Duration::from_secs(60));
    assert!(!world.has("127.0.0.1:5070"), "{}", world.ladder());
}

#[test]
fn the_backup_edge_takes_the_call_over() {
    // H-7, H-9, H-10
    let (mut world, mut joe, mut ann) = lab(true);
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("INVITE", "sip:ann@example.com", 1, "", ""),
    );
    assert_eq!(joe.status(&mut world), 100);
    let invite = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    let ok = joe.receive(&mut world);
    joe.dialog(&ok, true);
    ann.dialog(&invite, false);
    joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
    ann.receive(&mut world);
    // joe's primary dies; his own BYE goes to the other edge of his set.
    world.kill(EDGES[0]);
    let backup = joe.backup.clone();
    joe.in_dialog(&mut world, &backup, "BYE", 2);
    let bye = ann.receive(&mut world);
    assert!(bye.starts_with("BYE sip:ann@127.0.0.1:5080 "), "{bye}");
    ann.answer(&mut world, EDGES[1], &bye, 200, "OK");
    assert_eq!(joe.status(&mut world), 200);
    assert!(world.counter(HOME, "requests_in") > 0);
}
