//! What whoever answers makes of the marks that he has read in the Record-Route of the
//! request: a copy elsewhere stands for nothing (I-11, R-6; RFC 3261 §16.7-8).

use super::marks::{bare, mark_of, unmarked};
use super::peer::{FAR, silent};
use super::phone::Phone;
use super::world::{EDGES, Tokens, World};
use steadfast::home;
use steadfast::trust::CallsOut;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
const BOB: &str = "127.0.0.1:5090";
const AWAY: &str = "203.0.113.9:5070";

/// A Route value of bob's phone, as whoever was in a call with it has read it.
const TOKEN: &str = "sip:bob+e3+e1+c-0123456789abcdef@edge.example.com;lr";

/// joe calls ann, who does with the Record-Route what `change` says; joe's dialog, and
/// the values that ann got.
#[track_caller]
fn answered(
    (joe_keeps, ann_keeps): (bool, bool),
    change: impl Fn(&[String]) -> Vec<String>,
) -> (World, Phone, Vec<String>) {
    // Nobody calls out but in a dialog that leads there.
    let shut = |home: &mut home::Settings| home.calls_out = CallsOut::default();
    let mut world = World::with(Tokens::Clear, shut, |_, _| ());
    let mut phones = [
        ("joe", JOE, joe_keeps, 0),
        ("ann", ANN, ann_keeps, 1),
        ("bob", BOB, false, 2),
    ]
    .map(|(name, addr, keeps, edge)| {
        let mut phone = Phone::new(name, addr, keeps);
        phone.register(&mut world, EDGES[edge]);
        phone
    });
    let [joe, ann, _] = &mut phones;
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    let invite = ann.receive(&mut world);
    let values = Phone::values(&invite, "Record-Route");
    let rest: Vec<_> = invite
        .split("\r\n")
        .filter(|line| !line.starts_with("Record-Route: "))
        .collect();
    let lines = format!(
        "Record-Route: {}\r\nMax-Forwards: ",
        change(&values).join(", ")
    );
    let changed = rest.join("\r\n").replacen("Max-Forwards: ", &lines, 1);
    ann.answer(&mut world, EDGES[1], &changed, 200, "OK");
    let ok = joe.receive(&mut world);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    joe.dialog(&ok, true);
    world.forget();
    let [joe, ..] = phones;
    (world, joe, values)
}

#[test]
fn a_copy_of_an_edges_mark_opens_no_other_phone() {
    // ann writes the mark of her side beside bob's token: nobody makes one for the
    // calling side of it.
    for keeps in [true, false] {
        let (mut world, joe, _) = answered((true, keeps), |values| {
            let copy = format!("<{TOKEN};x=.{}>", mark_of(&values[0]));
            [&[copy], values].concat()
        });
        let mut away = Phone::new("joe", AWAY, true);
        away.enter(&joe);
        for (cseq, route) in (1..).zip(&joe.routes) {
            let given = route.rsplit_once(['.', '=']).map(|(_, mark)| mark);
            let Some(mark) = given.and_then(|mark| mark.strip_suffix('>')) else {
                continue;
            };
            away.routes = vec![format!("<{TOKEN};gunk=e3.{mark}>")];
            away.in_dialog(&mut world, EDGES[2], "MESSAGE", cseq);
            assert_eq!(away.status(&mut world), 403, "{}", world.ladder());
        }
        silent(&world, &[BOB]);
    }
}

#[test]
fn a_copy_of_the_homes_mark_leads_nowhere_else() {
    // ann writes the home's value once more, and behind it where she wants to be led.
    for to in [TOKEN, "sip:127.0.0.9;lr"] {
        let (mut world, mut joe, _) = answered((true, true), |values| {
            let copy = format!("<sip:example.com;lr;gunk=.{}>", mark_of(&values[1]));
            [&[format!("<{to}>"), copy], values].concat()
        });
        assert_eq!(joe.routes.len(), 5, "{:?}", joe.routes);
        joe.routes.drain(1..3);
        joe.in_dialog(&mut world, EDGES[0], "MESSAGE", 2);
        assert_eq!(joe.status(&mut world), 403, "{}", world.ladder());
        silent(&world, &[BOB, FAR]);
    }
}

#[test]
fn the_own_value_of_a_phone_is_found_without_its_mark() {
    // whoever stands behind the home may write what it does not know anew, and the
    // phone is to send where its edge is, and not to the name of all edges.
    let (mut world, joe, values) = answered((false, false), |values| {
        let [near, home, far] = values else {
            panic!("{values:?}");
        };
        vec![near.clone(), home.clone(), unmarked(far)]
    });
    assert_eq!(bare(&joe.routes[0]), "<sip:127.0.0.11;lr>");
    assert_ne!(mark_of(&joe.routes[0]), mark_of(&values[2]));
    joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
    let ack = world.receive(ANN).text;
    assert!(ack.starts_with("ACK "), "{ack}");
}
