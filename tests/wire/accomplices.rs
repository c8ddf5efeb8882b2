//! Two who know one another, one of them called by the other: what they write
//! into Record-Route, Contact and answers leads nobody's requests elsewhere than
//! where the dialog went (I-5, I-6; RFC 3261 §12.1.1).

use super::peer::{FAR, silent};
use super::phone::{Login, Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
const BOB: &str = "127.0.0.1:5090";

/// joe and ann, who know one another, and bob, who is to be disturbed.
fn stage() -> (World, Phone, Phone) {
    let mut world = World::lab(Tokens::Clear);
    for (name, addr, edge) in [("joe", JOE, 0), ("ann", ANN, 1), ("bob", BOB, 2)] {
        let ok = Register::new(name, addr).login(&mut world, EDGES[edge]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    }
    let (joe, ann) = (Phone::new("joe", JOE, false), Phone::new("ann", ANN, false));
    (world, joe, ann)
}

/// The INVITE from joe as it comes to ann; `lines` of his own.
#[track_caller]
fn call(world: &mut World, joe: &Phone, ann: &Phone, lines: &str) -> String {
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, lines, "");
    joe.send(world, EDGES[0], &invite);
    assert_eq!(joe.status(world), 100);
    let invite = ann.receive(world);
    assert!(invite.starts_with("INVITE "), "{invite}");
    invite
}

/// A Route value of bob's phone, as whoever was in a call with it has read it.
const TOKEN: &str = "<sip:bob+e3+e1+c-0123456789abcdef@edge.example.com;lr>";

#[test]
fn an_answer_that_changes_the_record_route_gives_nobody_a_way() {
    let first = |invite: &str| Phone::values(invite, "Record-Route").remove(0);
    type Change = fn(&str, &str) -> String;
    let changes: [(Change, usize); 4] = [
        (|invite, _| invite.to_owned(), 3),
        // What is behind ann is hers to say.
        (
            |invite, first| invite.replace(first, &format!("<sip:127.0.0.9;lr>, {first}")),
            4,
        ),
        (|invite, first| invite.replace(first, TOKEN), 0),
        (
            |invite, first| invite.replace(&format!("Record-Route: {first}\r\n"), ""),
            0,
        ),
    ];
    for (change, values) in changes {
        let (mut world, joe, ann) = stage();
        let invite = call(&mut world, &joe, &ann, "");
        let changed = change(&invite, &first(&invite));
        ann.answer(&mut world, EDGES[1], &changed, 200, "OK");
        let ok = joe.receive(&mut world);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        assert_eq!(Phone::values(&ok, "Record-Route").len(), values, "{ok}");
    }
}

#[test]
fn nobody_answers_for_an_edge() {
    // ann can read in the Vias what the home called its request to her edge.
    let (mut world, joe, ann) = stage();
    let invite = call(&mut world, &joe, &ann, "");
    let via = Phone::values(&invite, "Via").remove(0);
    let past = invite.replacen(&format!("Via: {via}\r\n"), "", 1);
    ann.answer(&mut world, HOME, &past, 200, "OK");
    silent(&world, &[JOE, ANN]);
    assert_eq!(world.counter(HOME, "stray_responses"), 1);
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    assert_eq!(joe.status(&mut world), 200);
}

#[test]
fn nobody_is_behind_the_token_of_another() {
    // mallory's Record-Route names bob's phone; ann's requests would go there.
    let (mut world, _, mut ann) = stage();
    let mallory = Phone::foreign("mallory", "127.0.0.1:5099");
    let claim = format!("Record-Route: {TOKEN}\n");
    let invite = mallory.request("INVITE", "sip:ann@example.com", 1, &claim, "");
    mallory.send(&mut world, HOME, &invite);
    let invite = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    ann.dialog(&invite, false);
    world.forget();
    ann.in_dialog(&mut world, EDGES[1], "INVITE", 2);
    let refusal = loop {
        let text = ann.receive(&mut world);
        if !text.starts_with("SIP/2.0 100 ") {
            break text;
        }
    };
    assert!(refusal.starts_with("SIP/2.0 403 "), "{refusal}");
    silent(&world, &[BOB]);
}

#[test]
fn who_shows_the_token_of_another_is_not_reached_there() {
    // The edge was restarted, and mallory says that he is bob's phone.
    let mut world = World::hospitable(Tokens::Clear);
    for (name, addr, edge) in [("ann", ANN, 1), ("bob", BOB, 2)] {
        let ok = Register::new(name, addr).login(&mut world, EDGES[edge]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    }
    let ann = Phone::new("ann", ANN, false);
    let mallory = Phone::foreign("mallory", "127.0.0.1:5099");
    let lines = format!("Route: {TOKEN}\nRoute: <sip:example.com;lr>\n");
    let invite = mallory.request("INVITE", "sip:ann@example.com", 1, &lines, "");
    mallory.send(&mut world, EDGES[0], &invite);
    let invite = ann.receive(&mut world);
    assert!(invite.starts_with("INVITE "), "{invite}");
    let routes = Phone::values(&invite, "Record-Route");
    assert!(
        !routes.iter().any(|route| route.contains("bob")),
        "{routes:?}"
    );
}

#[test]
fn what_leads_to_a_phone_leads_to_no_route_of_its_own() {
    // The mark that ann's side has at joe's edge is for joe's flow, whatever joe
    // says is behind him.
    let (mut world, joe, mut ann) = stage();
    let invite = call(&mut world, &joe, &ann, "Record-Route: <sip:127.0.0.9;lr>\n");
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    ann.dialog(&invite, false);
    world.forget();
    let own = |route: &String| route.contains(";gunk=") && route.contains("<sip:joe+");
    let token = ann.routes.iter().find(|route| own(route)).unwrap().clone();
    ann.routes = vec![token, "<sip:127.0.0.9;lr>".to_owned()];
    ann.in_dialog(&mut world, EDGES[0], "MESSAGE", 2);
    assert_eq!(ann.status(&mut world), 403);
    silent(&world, &[FAR, JOE]);
}

#[test]
fn who_has_proven_himself_is_told_to_nobody_but_whoever_may_know() {
    let uri = "sip:carol@127.0.0.9";
    let login = |uri| Login {
        method: "MESSAGE",
        uri,
        ..Login::new("bob")
    };
    let bob = Phone::new("bob", BOB, false);
    let send_message = |uri: &'static str, line: &str| {
        let mut world = World::lab(Tokens::Clear);
        bob.send(&mut world, HOME, &bob.request("MESSAGE", uri, 1, line, ""));
        let challenge = bob.receive(&mut world);
        let proof = login(uri).answer_proxy(&challenge);
        let lines = format!("{line}{proof}");
        bob.send(
            &mut world,
            HOME,
            &bob.request("MESSAGE", uri, 2, &lines, ""),
        );
        world
    };
    let mut world = send_message("sip:nobody@example.com", "");
    let refusal = bob.receive(&mut world);
    assert!(refusal.starts_with("SIP/2.0 404 "), "{refusal}");
    assert!(!refusal.contains("P-Asserted-Identity"), "{refusal}");
    for (line, is_told) in [("", true), ("Privacy: id\n", false)] {
        let mut world = send_message(uri, line);
        let text = world.receive(FAR).text;
        let line = "P-Asserted-Identity: <sip:bob@example.com>";
        assert_eq!(text.contains(line), is_told, "{text}");
    }
}
