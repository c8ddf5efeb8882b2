//! Who comes past the edges at the home, and where `maddr` leads (P-6, P-8,
//! D-H9, R-2).

use super::marks::{mark_of, unmarked};
use super::peer::{CORE, FAR, expect, request, status};
use super::phone::{Login, Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::PathPolicy;
use steadfast::home::{Redirect, Settings};

const JOE: &str = "127.0.0.1:5070";
const BOB: &str = "127.0.0.1:5090";

fn challenging(change: impl Fn(&mut Settings)) -> World {
    World::with(
        Tokens::Clear,
        |home| {
            home.challenges_calls = true;
            change(home);
        },
        |_, _| (),
    )
}

fn bob() -> Phone {
    Phone::new("bob", BOB, false)
}

/// Of another domain, from the same place.
fn foreign() -> Phone {
    Phone::foreign("bob", BOB)
}

fn login<'a>(user: &'a str, method: &'a str, uri: &'a str) -> Login<'a> {
    Login {
        method,
        uri,
        ..Login::new(user)
    }
}

#[test]
fn a_subscriber_past_the_edges_proves_it_and_may_call_anywhere() {
    // P-6
    let mut world = challenging(|_| ());
    let uri = "sip:carol@127.0.0.9";
    let invite = bob().request("INVITE", uri, 1, "", "");
    bob().send(&mut world, HOME, &invite);
    let challenge = bob().receive(&mut world);
    let proof = login("bob", "INVITE", uri).answer_proxy(&challenge);
    bob().send(&mut world, HOME, &bob().request("ACK", uri, 1, "", ""));
    assert!(!world.has(BOB), "an ACK is never challenged");
    let other = "Proxy-Authorization: Digest username=\"bob\", realm=\"other.example\", \
                 nonce=\"n\", uri=\"sip:x\", response=\"00000000000000000000000000000000\"\n";
    let again = bob().request("INVITE", uri, 2, &format!("{other}{proof}"), "");
    bob().send(&mut world, HOME, &again);
    let passed = expect(&mut world, FAR, "INVITE");
    assert!(!passed.contains("realm=\"example.com\""), "{passed}");
    assert!(passed.contains("realm=\"other.example\""), "{passed}");
    // P-6 knows no CANCEL either.
    assert_eq!(bob().status(&mut world), 100);
    bob().send(
        &mut world,
        HOME,
        &again
            .replace("INVITE", "CANCEL")
            .replace(other, "")
            .replace(&proof, ""),
    );
    assert_eq!(bob().status(&mut world), 200);
}

#[test]
fn nobody_calls_in_another_name() {
    // P-6
    for (user, code) in [("ann", 403), ("nobody", 407)] {
        let mut world = challenging(|_| ());
        let uri = "sip:joe@example.com";
        bob().send(&mut world, HOME, &bob().request("MESSAGE", uri, 1, "", ""));
        let challenge = bob().receive(&mut world);
        let proof = login(user, "MESSAGE", uri).answer_proxy(&challenge);
        bob().send(
            &mut world,
            HOME,
            &bob().request("MESSAGE", uri, 2, &proof, ""),
        );
        assert_eq!(bob().status(&mut world), code, "{user}");
    }
}

#[test]
fn strangers_reach_subscribers_unasked_and_nothing_else() {
    // P-6: another domain's callers have no password here.
    let mut world = challenging(|_| ());
    Register::new("joe", JOE).login(&mut world, EDGES[0]);
    foreign().send(
        &mut world,
        HOME,
        &foreign().request("MESSAGE", "sip:joe@example.com", 1, "", ""),
    );
    assert!(world.receive(JOE).text.starts_with("MESSAGE "));
    foreign().send(
        &mut world,
        HOME,
        &foreign().request("MESSAGE", "sip:x@127.0.0.9", 2, "", ""),
    );
    assert_eq!(foreign().status(&mut world), 403);
    // From an edge nobody is asked again.
    world.send(CORE, HOME, &request("MESSAGE", "sip:x@127.0.0.9", "m", ""));
    expect(&mut world, FAR, "MESSAGE");
}

#[test]
fn a_maddr_of_ours_is_taken_off() {
    // P-8
    let mut world = World::hospitable(Tokens::Clear);
    Register::new("joe", JOE).login(&mut world, EDGES[0]);
    let uris = [
        (HOME, "sip:joe@example.com;maddr=127.0.0.10"),
        (
            HOME,
            "sip:joe@example.com:5060;user=phone;transport=UDP;maddr=127.0.0.10",
        ),
        (EDGES[1], "sip:joe@example.com;maddr=127.0.0.12"),
    ];
    for (cseq, (node, uri)) in (1..).zip(uris) {
        world.forget();
        foreign().send(
            &mut world,
            node,
            &foreign().request("MESSAGE", uri, cseq, "", ""),
        );
        let got = expect(&mut world, JOE, "MESSAGE");
        assert!(got.starts_with("MESSAGE sip:joe@127.0.0.1:5070 "), "{got}");
        if node != HOME {
            let passed = world.trace.iter().find(|seen| seen.to.to_string() == HOME);
            let passed = &passed.unwrap().text;
            assert!(
                passed.starts_with("MESSAGE sip:joe@example.com SIP/2.0"),
                "{passed}"
            );
        }
    }
    let uri = "sip:joe@elsewhere.example:5060;user=phone;transport=udp;maddr=127.0.0.10";
    world.send(CORE, HOME, &request("MESSAGE", uri, "gone", ""));
    assert_eq!(status(&mut world, CORE), 404);
}

#[test]
fn a_maddr_elsewhere_is_followed_for_those_who_may() {
    // P-8: and it is no way out for strangers, at the home or at an edge.
    let mut world = World::lab(Tokens::Clear);
    Register::new("joe", JOE).login(&mut world, EDGES[0]);
    let uri = "sip:joe@example.com;maddr=127.0.0.9";
    world.send(CORE, HOME, &request("MESSAGE", uri, "away", ""));
    let got = expect(&mut world, FAR, "MESSAGE");
    assert!(got.starts_with(&format!("MESSAGE {uri} ")), "{got}");
    for node in [HOME, EDGES[0]] {
        foreign().send(
            &mut world,
            node,
            &foreign().request("MESSAGE", uri, 1, "", ""),
        );
        assert_eq!(foreign().status(&mut world), 403, "{node}");
    }
    assert!(!world.has(FAR) && !world.has(JOE), "{}", world.ladder());
    // Another port of ours is another address.
    let uri = "sip:joe@example.com:5062;maddr=127.0.0.10";
    foreign().send(
        &mut world,
        HOME,
        &foreign().request("MESSAGE", uri, 2, "", ""),
    );
    assert_eq!(foreign().status(&mut world), 403);
}

#[test]
fn a_path_of_another_domain_leads_there() {
    // D-H9: a proxy stands between the home and its edges; after a restart only
    // the Path says so.
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Register::new("joe", CORE);
    joe.route = String::new();
    joe.lines = format!(
        "Contact: <sip:joe@{JOE}>\nSupported: path\n\
         Path: <sip:127.0.0.9;lr>, <sip:token@edge.elsewhere.example;lr;ob>\n"
    );
    let ok = joe.login(&mut world, HOME);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    world.restart(HOME);
    foreign().send(
        &mut world,
        HOME,
        &foreign().request("MESSAGE", "sip:joe@example.com", 1, "", ""),
    );
    let got = expect(&mut world, FAR, "MESSAGE");
    assert!(got.starts_with("MESSAGE sip:joe@127.0.0.1:5070 "), "{got}");
    assert_eq!(
        Phone::values(&got, "Route"),
        [
            "<sip:127.0.0.9;lr>",
            "<sip:token@edge.elsewhere.example;lr;ob>"
        ]
    );
}

#[test]
fn a_phone_that_knows_no_path_is_served_or_refused_as_configured() {
    // R-2, RFC 3327 §5.2 and §5.3
    for (edge, home, want) in [
        (PathPolicy::Accept, false, "SIP/2.0 200 "),
        (PathPolicy::Accept, true, "SIP/2.0 420 "),
        (PathPolicy::Require, false, "SIP/2.0 421 "),
        (PathPolicy::Vouch, true, "SIP/2.0 200 "),
    ] {
        let mut world = World::with(
            Tokens::Clear,
            |settings| settings.requires_path = home,
            |_, settings| settings.path = edge,
        );
        let mut joe = Register::new("joe", JOE);
        let answer = joe.send(&mut world, EDGES[0], "");
        let answer = if answer.starts_with("SIP/2.0 401 ") {
            joe.login(&mut world, EDGES[0])
        } else {
            answer
        };
        assert!(answer.starts_with(want), "{answer}");
        let says = |name: &str| answer.contains(&format!("\r\n{name}: path\r\n"));
        assert_eq!(says("Unsupported"), want.contains("420"));
        assert_eq!(says("Require"), edge == PathPolicy::Require);
        // What it does not know it does not get.
        let has_path = !Phone::values(&answer, "Path").is_empty();
        assert_eq!(has_path, edge == PathPolicy::Accept && !home, "{answer}");
        joe.lines += "Supported: path\n";
        let ok = joe.login(&mut world, EDGES[0]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        assert_eq!(Phone::values(&ok, "Path").len(), 1, "{ok}");
    }
}

#[test]
fn an_open_home_knows_its_own_dialogs() {
    // A home that phones reach directly relays inside its dialogs alone.
    let mut world = World::with(
        Tokens::Clear,
        |home| home.redirect = Redirect::Never,
        |_, _| (),
    );
    let mut registers = Register::new("joe", JOE);
    registers.route = String::new();
    registers.login(&mut world, HOME);
    let (joe, mut caller) = (Phone::new("joe", JOE, false), foreign());
    let uri = "sip:joe@example.com";
    caller.send(&mut world, HOME, &caller.request("INVITE", uri, 1, "", ""));
    assert_eq!(caller.status(&mut world), 100);
    let invite = joe.receive(&mut world);
    joe.answer(&mut world, HOME, &invite, 200, "OK");
    caller.dialog(&caller.receive(&mut world), true);
    let route = caller.routes[0].clone();
    assert_eq!(unmarked(&route), "<sip:example.com;lr>");
    let flipped = if route.ends_with("0>") { "1>" } else { "0>" };
    let tampered = format!("{}{flipped}", &route[..route.len() - 2]);
    // The mark in the request was for the called side, and this one is not.
    let of_joe = Phone::values(&invite, "Record-Route").remove(0);
    assert_ne!(mark_of(&of_joe), mark_of(&route));
    let at_joe = caller.remote_target.clone();
    let tries = [
        (&route[..], &at_joe[..], "call-bob", true),
        (&route, "sip:x@127.0.0.9", "call-bob", false),
        (
            &route,
            &format!("{at_joe};transport=tcp"),
            "call-bob",
            false,
        ),
        (&route, &at_joe, "another", false),
        (&of_joe, &at_joe, "call-bob", false),
        (&tampered, &at_joe, "call-bob", false),
        ("<sip:example.com;lr>", &at_joe, "call-bob", false),
        ("<sip:example.com;lr;dlg>", &at_joe, "call-bob", false),
    ];
    for (cseq, (route, uri, call_id, may)) in (2..).zip(tries) {
        caller.routes = vec![route.to_owned()];
        uri.clone_into(&mut caller.remote_target);
        call_id.clone_into(&mut caller.call_id);
        world.forget();
        caller.in_dialog(&mut world, HOME, "BYE", cseq);
        assert_eq!(world.has(JOE), may, "{route} {uri}\n{}", world.ladder());
        assert!(!world.has(FAR));
        if !may {
            assert_eq!(caller.status(&mut world), 403, "{route} {uri}");
        }
    }
}

#[test]
fn whoever_calls_for_help_is_put_through_from_wherever_he_is() {
    // I-7, RFC 5031: by way of an edge under any Route of it, and at the home itself.
    const SOS: &str = "127.0.0.1:5099";
    let cluster = "Route: <sip:edge.example.com;lr>\n";
    let address = "Route: <sip:any@127.0.0.11:5060;lr>\n";
    let service = "Route: <sip:edge.example.com;lr>, <sip:example.com;lr>\n";
    for (node, route) in [
        (EDGES[0], ""),
        (EDGES[0], cluster),
        (EDGES[0], address),
        (EDGES[0], service),
        (HOME, ""),
        (HOME, "Route: <sip:example.com;lr>\n"),
    ] {
        for uri in [
            "urn:service:sos",
            "urn:service:sos.fire",
            "URN:Service:SOS.ambulance",
        ] {
            let mut world = challenging(|_| ());
            Register::new("sos", SOS).login(&mut world, EDGES[1]);
            Register::new("bob", BOB).login(&mut world, EDGES[0]);
            let mut sos = Phone::new("sos", SOS, false);
            for (from, mut caller) in [(1, bob()), (11, foreign())] {
                let invite = caller.request("INVITE", uri, from, route, "");
                caller.send(&mut world, node, &invite);
                assert_eq!(caller.status(&mut world), 100, "{node} {route}{uri}");
                let ring = sos.receive(&mut world);
                assert!(ring.starts_with("INVITE sip:sos@127.0.0.1:5099 "), "{ring}");
                sos.answer(&mut world, EDGES[1], &ring, 180, "Ringing");
                assert_eq!(caller.status(&mut world), 180);
                // It can be given up, and begun anew.
                caller.send(&mut world, node, &invite.replace("INVITE", "CANCEL"));
                assert_eq!(caller.status(&mut world), 200);
                let cancel = sos.receive(&mut world);
                assert!(cancel.starts_with("CANCEL "), "{cancel}");
                sos.answer(&mut world, EDGES[1], &cancel, 200, "OK");
                sos.answer(&mut world, EDGES[1], &ring, 487, "Request Terminated");
                assert!(sos.receive(&mut world).starts_with("ACK "));
                assert_eq!(caller.status(&mut world), 487);
                caller.send(&mut world, node, &invite.replace("INVITE", "ACK"));
                assert!(!world.has(SOS), "{}", world.ladder());
                caller.send(
                    &mut world,
                    node,
                    &caller.request("INVITE", uri, from + 1, route, ""),
                );
                assert_eq!(caller.status(&mut world), 100);
                let ring = sos.receive(&mut world);
                sos.answer(&mut world, EDGES[1], &ring, 200, "OK");
                caller.dialog(&caller.receive(&mut world), true);
                sos.dialog(&ring, false);
                for (index, method) in [(1, "ACK"), (2, "INFO"), (3, "BYE")] {
                    let cseq = from + index;
                    caller.in_dialog(&mut world, node, method, cseq);
                    let got = sos.receive(&mut world);
                    assert!(got.starts_with(&format!("{method} ")), "{got}");
                    if method != "ACK" {
                        sos.answer(&mut world, EDGES[1], &got, 200, "OK");
                        assert_eq!(caller.status(&mut world), 200);
                    }
                    if method == "INFO" {
                        sos.in_dialog(&mut world, EDGES[1], "INFO", cseq);
                        let got = caller.receive(&mut world);
                        assert!(got.starts_with("INFO "), "{got}");
                        caller.answer(&mut world, node, &got, 200, "OK");
                        assert_eq!(sos.status(&mut world), 200);
                    }
                }
                world.forget();
            }
        }
    }
}
