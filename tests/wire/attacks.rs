//! What strangers, and phones, were seen to get by asking for it, as they would
//! ask; and that a good phone's same need is served.

use super::marks::unmarked;
use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::home::Redirect;

mod answers;
mod claims;
mod company;
mod good;
mod places;
mod spellings;
mod thieves;
mod voices;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
/// Somebody without an account.
const EVE: &str = "127.0.0.1:6666";
const VICTIM: &str = "203.0.113.66:5060";
/// Another service of a machine in this network, or of this one.
const SERVICE: &str = "127.0.0.2:6379";
const TO_ANN: &str = "sip:ann@example.com";

/// joe at e1, and ann at e2.
fn phones(world: &mut World) -> (Phone, Phone) {
    let (mut joe, mut ann) = (Phone::new("joe", JOE, true), Phone::new("ann", ANN, true));
    joe.register(world, EDGES[0]);
    ann.register(world, EDGES[1]);
    world.forget();
    (joe, ann)
}

/// Joe at e1 has called ann at e2, and both are in the call.
fn in_call(world: &mut World) -> (Phone, Phone) {
    let (mut joe, mut ann) = phones(world);
    let (caller, called) = ((&mut joe, EDGES[0]), (&mut ann, EDGES[1]));
    talk(world, caller, called, TO_ANN);
    (joe, ann)
}

/// Joe calls ann, who gets this.
fn ring(world: &mut World, joe: &Phone, ann: &Phone) -> String {
    let invite = joe.request("INVITE", TO_ANN, 1, "", "");
    joe.send(world, EDGES[0], &invite);
    assert_eq!(joe.status(world), 100);
    ann.receive(world)
}

/// A call that is answered: both sides know their route sets.
pub(super) fn talk(
    world: &mut World,
    (caller, its): (&mut Phone, &str),
    (called, at): (&mut Phone, &str),
    uri: &str,
) {
    caller.send(world, its, &caller.request("INVITE", uri, 1, "", ""));
    assert_eq!(caller.status(world), 100, "{}", world.ladder());
    let invite = called.receive(world);
    called.answer(world, at, &invite, 200, "OK");
    let ok = caller.receive(world);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    caller.dialog(&ok, true);
    called.dialog(&invite, false);
    caller.in_dialog(world, its, "ACK", 1);
    assert!(called.receive(world).starts_with("ACK "));
    world.forget();
}

/// Requests that the nodes sent since it was last forgotten: to each other, and
/// to whom else.
fn sent(world: &World) -> (usize, Vec<String>) {
    let is_node = |ip: &str| ["127.0.0.10", "127.0.0.11", "127.0.0.12", "127.0.0.13"].contains(&ip);
    let is_own = |addr: std::net::SocketAddr| {
        is_node(&addr.ip().to_string()) && (addr.port() == 5060 || addr.port() >= 40_000)
    };
    let mut requests = world.trace.iter().filter(|seen| {
        let text = &seen.text;
        is_own(seen.from) && text.contains(" SIP/2.0\r\n") && !text.starts_with("SIP/2.0 ")
    });
    let inside = requests.clone().filter(|seen| is_own(seen.to)).count();
    let outside = requests.by_ref().filter(|seen| !is_own(seen.to));
    (inside, outside.map(|seen| seen.to.to_string()).collect())
}

/// One request of somebody who comes over UDP, or over a connection: its status.
/// Nothing goes to anybody, and no node asks another one more than `inside` times.
#[track_caller]
fn in_vain(
    world: &mut World,
    (from, node, is_stream): (&str, &str, bool),
    text: &str,
    inside: usize,
) -> String {
    world.forget();
    if is_stream && !world.is_connected(from, node) {
        world.connect(from, node);
    }
    world.send(from, node, text);
    let (requests, reached) = sent(world);
    assert_eq!(reached, Vec::<String>::new(), "{}", world.ladder());
    assert!(
        requests <= inside,
        "{requests} requests inside\n{}",
        world.ladder()
    );
    let mut trace = world.trace.iter().rev();
    let answer =
        trace.find(|seen| seen.to.to_string() == from && !seen.text.starts_with("SIP/2.0 100"));
    let answer = answer.unwrap_or_else(|| panic!("no answer\n{}", world.ladder()));
    answer.text["SIP/2.0 ".len()..][..3].to_owned()
}

/// With a To tag, or what stands for one.
fn with_to(text: &str, uri: &str, params: &str) -> String {
    text.replace(&format!("To: <{uri}>\n"), &format!("To: <{uri}>{params}\n"))
}

fn eve() -> Phone {
    Phone::foreign("eve", EVE)
}

#[test]
fn a_route_set_of_ones_own_leads_nowhere() {
    // Seen: past the edges, or through one, and the home's edges did the rest.
    let sets = [
        "<sip:example.com;lr>, <sip:edge.example.com;lr>, <sip:VICTIM;lr>",
        "<sip:edge.example.com;lr>, <sip:VICTIM;lr>",
        "<sip:edge.example.com;lr>, <sip:example.com;lr>, <sip:edge.example.com;lr>, <sip:VICTIM;lr>",
        "<sip:example.com;lr>, <sip:x@edge.example.com;lr>, <sip:VICTIM;lr>",
        "<sip:example.com;lr>, <sip:VICTIM;lr>, <sip:edge.example.com;lr>",
        "<sip:VICTIM;lr>",
        // Her own value of a call that was answered, with its mark.
        "OWN, <sip:example.com;lr>, <sip:edge.example.com;lr>, <sip:VICTIM;lr>",
        "OWN, <sip:VICTIM;lr>",
        "OWN, HOME, <sip:edge.example.com;lr>, <sip:VICTIM;lr>",
    ];
    let mut number = 100;
    for is_stream in [false, true] {
        let mut world = World::hospitable(Tokens::Sealed);
        let (_, mut ann) = phones(&mut world);
        let mut caller = eve();
        if is_stream {
            world.connect(EVE, EDGES[0]);
        }
        talk(
            &mut world,
            (&mut caller, EDGES[0]),
            (&mut ann, EDGES[1]),
            TO_ANN,
        );
        for (node, victim) in [HOME, EDGES[0]].into_iter().flat_map(|node| {
            ["203.0.113.66", SERVICE, "127.0.0.2:6379;transport=tcp"].map(|victim| (node, victim))
        }) {
            for (set, method) in sets
                .iter()
                .zip(["INVITE", "MESSAGE", "OPTIONS", "REFER"].iter().cycle())
            {
                number += 1;
                let has_mark = set.starts_with("OWN");
                let set = set
                    .replace("OWN", &caller.routes[0])
                    .replace("HOME", &caller.routes[1])
                    .replace("VICTIM", victim);
                let uri = &format!("sip:x@{victim}");
                let text = caller.request(method, uri, number, &format!("Route: {set}\n"), "");
                for to in ["", ";tag=1", ";tag=ann"] {
                    let text = with_to(&text, uri, to)
                        .replace("=z9hG4bKeve", &format!("=z9hG4bK{}", to.len()));
                    // Her mark leads to the home, which has marks of its own; the
                    // other one is the ACK of its refusal.
                    let is_hers = has_mark && to == ";tag=ann";
                    let inside = if is_hers { 2 } else { 0 };
                    let way = (EVE, node, is_stream);
                    let status = in_vain(&mut world, way, &text, inside);
                    assert!(status == "403" || is_hers && status == "407", "{text}");
                }
            }
        }
        // She goes on in her call.
        caller.in_dialog(&mut world, EDGES[0], "INFO", 2);
        assert!(ann.receive(&mut world).starts_with("INFO "));
    }
}

#[test]
fn one_message_is_one_request_and_no_storm() {
    // Seen: 2.4 KB of Route made 59 requests inside the cluster.
    let pair = "<sip:example.com;lr>, <sip:edge.example.com;lr>, ";
    let route = format!("Route: {}<sip:{VICTIM};lr>\n", pair.repeat(30));
    for is_stream in [false, true] {
        for to in ["", ";tag=1"] {
            for (node, inside) in [(HOME, 0), (EDGES[0], 1)] {
                let mut world = World::lab(Tokens::Clear);
                let (joe, _) = phones(&mut world);
                let text = eve().request("MESSAGE", TO_ANN, 1, &route, "");
                let text = with_to(&text, TO_ANN, to);
                assert_eq!(in_vain(&mut world, (EVE, node, is_stream), &text, 0), "403");
                // Nor does a subscriber get more than an answer of the home.
                let from = if is_stream { "127.0.0.1:5071" } else { JOE };
                let text = joe.request("MESSAGE", TO_ANN, 2, &route, "");
                let text = with_to(&text, TO_ANN, to);
                let status = in_vain(&mut world, (from, node, is_stream), &text, inside);
                assert!(matches!(&*status, "403" | "407"), "{status}");
            }
        }
    }
    // What he needs is a request each for his edge, the home and ann's edge.
    let mut world = World::lab(Tokens::Clear);
    let (joe, ann) = phones(&mut world);
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("MESSAGE", TO_ANN, 1, "", ""),
    );
    assert!(ann.receive(&mut world).starts_with("MESSAGE "));
    assert_eq!(sent(&world), (2, vec![ANN.to_owned()]));
}

#[test]
fn an_empty_tag_is_no_dialog() {
    // I-5. Seen: phones take it for a new call, and nodes took it for an old one.
    for is_stream in [false, true] {
        let mut world = World::lab(Tokens::Clear);
        let (joe, mut ann) = phones(&mut world);
        let mut caller = Phone::new("joe", JOE, true);
        talk(
            &mut world,
            (&mut caller, EDGES[0]),
            (&mut ann, EDGES[1]),
            TO_ANN,
        );
        let token = format!("Route: {}\n", unmarked(&caller.route_to_far_edge()));
        let liar = Phone::new("joe", EVE, false);
        let mut number = 100;
        for tag in [
            ";tag=",
            ";tag=\"\"",
            ";tag=\"x\"",
            ";tag=a;tag=b",
            ";tag=;tag=b",
            ";tag= ",
        ] {
            for node in [HOME, EDGES[0], EDGES[1]] {
                for route in ["", &token, "Route: <sip:example.com;lr>\n"] {
                    number += 1;
                    let text = liar.request("INVITE", TO_ANN, number, route, "");
                    let text = with_to(&text, TO_ANN, tag);
                    let way = (EVE, node, is_stream);
                    assert_eq!(in_vain(&mut world, way, &text, 0), "400", "{text}");
                    // In From it would make marks that are anybody's.
                    let text = liar.request("INVITE", TO_ANN, number + 1_000, route, "");
                    let text = text.replace(";tag=joe", tag);
                    assert_eq!(in_vain(&mut world, way, &text, 0), "400", "{text}");
                }
            }
        }
        // Neither can a registered phone.
        let text = with_to(&joe.request("INVITE", TO_ANN, 9, "", ""), TO_ANN, ";tag=");
        assert_eq!(in_vain(&mut world, (JOE, EDGES[0], false), &text, 0), "400");
        caller.in_dialog(&mut world, EDGES[0], "BYE", 2);
        assert!(ann.receive(&mut world).starts_with("BYE "));
    }
}

#[test]
fn a_ringing_call_is_no_way_to_a_gateway() {
    // Seen: at a home without redirects the mark covered the Call-ID alone.
    let set = |home: &mut steadfast::home::Settings| home.redirect = Redirect::Never;
    let mut world = World::with(Tokens::Clear, set, |_, _| ());
    let (joe, _) = phones(&mut world);
    let mut caller = eve();
    let uri = "sip:joe@example.com";
    caller.send(&mut world, HOME, &caller.request("INVITE", uri, 1, "", ""));
    assert_eq!(caller.status(&mut world), 100);
    let rings = joe.receive(&mut world);
    joe.answer(&mut world, EDGES[0], &rings, 180, "Ringing");
    caller.dialog(&caller.receive(&mut world), true);
    let at_joe = caller.remote_target.clone();
    for (cseq, uri) in (10..).zip(["sip:premium@203.0.113.66", "sip:joe@203.0.113.66:5070"]) {
        for (index, routes) in (0..).zip([caller.routes.clone(), vec![caller.routes[0].clone()]]) {
            let mut thief = eve();
            thief.dialog(&joe_180(&rings, &caller), true);
            thief.routes = routes;
            uri.clone_into(&mut thief.remote_target);
            world.forget();
            thief.in_dialog(&mut world, HOME, "INVITE", cseq * 10 + index);
            let (_, reached) = sent(&world);
            // Where the dialog leads is joe's phone, whoever the request is for.
            let is_joes = reached.is_empty() || reached == [JOE];
            assert!(is_joes, "{}", world.ladder());
        }
    }
    world.forget();
    caller.remote_target = at_joe;
    caller.in_dialog(&mut world, HOME, "INFO", 2);
    assert!(joe.receive(&mut world).starts_with("INFO "));
}

/// What a caller has of a call, as a message that says it again.
fn joe_180(rings: &str, caller: &Phone) -> String {
    let from = Phone::values(rings, "From").remove(0);
    let to = Phone::values(rings, "To").remove(0);
    let routes: String = caller
        .routes
        .iter()
        .rev()
        .map(|route| format!("Record-Route: {route}\r\n"))
        .collect();
    format!(
        "SIP/2.0 180 Ringing\r\n{routes}From: {from}\r\nTo: {to};tag=joe\r\nCall-ID: {}\r\nContact: <sip:joe@{JOE}>\r\n\r\n",
        caller.call_id
    )
}
