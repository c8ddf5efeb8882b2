//! REGISTER at the home: redirect and bindings (D-H1, D-H9;
//! RFC 3261 §10.3, RFC 3327, RFC 5626 §6).

use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::home::Redirect;
use steadfast::time::Duration;

mod contacts;

pub(super) const JOE: &str = "127.0.0.1:5070";

pub(super) fn lab() -> World {
    World::lab(Tokens::Clear)
}

/// A home that registers whoever comes.
pub(super) fn open() -> World {
    World::with(
        Tokens::Clear,
        |home| home.redirect = Redirect::Never,
        |_, _| (),
    )
}

/// Somebody's message to joe gets to his contact.
#[track_caller]
pub(super) fn reaches_joe(world: &mut World, caller: &Phone) {
    let message = caller.request("MESSAGE", "sip:joe@example.com", 1, "", "");
    caller.send(world, HOME, &message);
    let received = world.receive(JOE).text;
    let is_joes = received.starts_with("MESSAGE sip:joe@127.0.0.1:5070 ");
    assert!(is_joes, "{}", world.ladder());
}

/// joe's REGISTER with these lines; its answer after the challenge.
#[track_caller]
pub(super) fn register(world: &mut World, cseq: u32, lines: &str) -> String {
    let mut joe = Register::new("joe", JOE);
    joe.lines = lines.to_owned();
    joe.cseq = cseq;
    joe.login(world, EDGES[0])
}

#[track_caller]
pub(super) fn check(answer: &str, status: u16) {
    assert!(
        answer.starts_with(&format!("SIP/2.0 {status} ")),
        "{answer}"
    );
}

#[test]
fn whoever_passed_no_edge_is_sent_to_one() {
    // D-H1, D-H2, D-H3: told by where it came from, whatever the message says.
    let mut world = lab();
    for lines in [
        "",
        "Route: <sip:edge.example.com;lr>\n",
        "Path: <sip:joe+e1+e2+x@edge.example.com;lr;ob>\n",
        "Supported: outbound, path\n",
    ] {
        let mut joe = Register::new("joe", JOE);
        joe.route = String::new();
        joe.call_id = "x";
        joe.cseq = u32::try_from(lines.len()).unwrap();
        joe.lines = format!("{}{lines}", joe.lines);
        let redirect = joe.send(&mut world, HOME, "");
        check(&redirect, 300);
        assert_eq!(
            Phone::values(&redirect, "Contact"),
            ["<sip:edge.example.com;lr>"]
        );
        assert!(!redirect.contains("Authenticate"), "{redirect}");
    }
    assert_eq!(world.gauge(HOME, "registered"), 0);
    assert_eq!(world.gauge(HOME, "server_transactions"), 0);
}

#[test]
fn a_home_that_does_not_ask_believes_its_subscribers() {
    let believes = |home: &mut steadfast::home::Settings| {
        home.redirect = Redirect::Never;
        home.authenticates = false;
    };
    let mut world = World::with(Tokens::Clear, believes, |_, _| ());
    check(&Register::new("eve", JOE).send(&mut world, HOME, ""), 404);
    // RFC 3261 §10.3: a retransmission gets the answer that went missing, and
    // changes nothing; no transaction is kept for it.
    let first = Register::new("joe", JOE).send(&mut world, HOME, "");
    world.pass(Duration::from_secs(4));
    let again = Register::new("joe", JOE).send(&mut world, HOME, "");
    check(&first, 200);
    assert_eq!(
        Phone::shortened(&again, "expires=", 3600, 1) + 4,
        Phone::shortened(&first, "expires=", 3600, 1)
    );
    assert_eq!(world.gauge(HOME, "server_transactions"), 0);
}

#[test]
fn the_redirect_follows_the_operators_policy() {
    // D-H5
    for (redirect, supported, redirected) in [
        (Redirect::Always, "path", true),
        (Redirect::IfSupported, "path, outbound", false),
        (Redirect::IfSupported, "alt-proxies", true),
        (Redirect::IfSupported, "ua-loose", true),
        (Redirect::IfSupported, "path, ALT-PROXIES", true),
        (Redirect::default(), "path, outbound", false),
        (Redirect::default(), "path, outbound, alt-proxies", true),
        (Redirect::Never, "alt-proxies", false),
    ] {
        let mut world = World::with(Tokens::Clear, |home| home.redirect = redirect, |_, _| ());
        let mut joe = Register::new("joe", JOE);
        joe.route = String::new();
        joe.lines += &format!("Supported: {supported}\n");
        let answer = joe.send(&mut world, HOME, "");
        check(&answer, if redirected { 300 } else { 401 });
    }
}

#[test]
fn a_phone_without_edge_is_registered_as_by_a_first_hop() {
    // D-H5, O-12, O-16: one Via, no Path.
    let mut world = open();
    let mut joe = Register::new("joe", JOE);
    joe.route = String::new();
    joe.lines = format!(
        "Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:1>\";reg-id=1\nSupported: outbound\n"
    );
    let ok = joe.login(&mut world, HOME);
    check(&ok, 200);
    assert!(ok.contains("Require: outbound\r\n"), "{ok}");
    assert!(
        !ok.contains("Path: ") && !ok.contains("Service-Route: "),
        "{ok}"
    );
    // O-18: a call finds the flow.
    reaches_joe(&mut world, &Phone::foreign("ann", "127.0.0.1:5080"));
}

#[test]
fn outbound_takes_a_first_hop_that_keeps_flows() {
    // O-10, O-12, O-13
    let flow = ";+sip.instance=\"<urn:1>\";reg-id=1";
    for (params, supported, path, status, outbound) in [
        (flow, "outbound", "<sip:p.example.net;lr;ob>", 200, true),
        (
            flow,
            "outbound",
            "<sip:p.example.net;lr;keepalive=stun>",
            200,
            true,
        ),
        (
            flow,
            "outbound",
            "<sip:near.example.net;lr>, <sip:p.example.net;lr;ob>",
            200,
            true,
        ),
        (flow, "outbound", "<sip:p.example.net;lr>", 439, false),
        (
            flow,
            "outbound",
            "<sip:near.example.net;lr;ob>, <sip:p.example.net;lr>",
            439,
            false,
        ),
        (flow, "path", "<sip:p.example.net;lr>", 200, false),
        (
            ";reg-id=1",
            "outbound",
            "<sip:p.example.net;lr>",
            200,
            false,
        ),
        (
            ";+sip.instance=\"<urn:1>\"",
            "outbound",
            "<sip:p.example.net;lr>",
            200,
            false,
        ),
        (
            ";+sip.instance=\"<urn:1>\";reg-id=0",
            "outbound",
            "<sip:p.example.net;lr>",
            200,
            false,
        ),
    ] {
        let strict = |home: &mut steadfast::home::Settings| home.requires_outbound = true;
        let mut world = World::with(Tokens::Clear, strict, |_, _| ());
        // D-H9: through a proxy that the home takes for an edge.
        let mut joe = Register::new("joe", "127.0.0.11:40070");
        joe.lines =
            format!("Contact: <sip:joe@{JOE}>{params}\nSupported: {supported}\nPath: {path}\n");
        let answer = joe.login(&mut world, HOME);
        check(&answer, status);
        assert_eq!(
            answer.contains("Require: outbound\r\n"),
            outbound,
            "{answer}"
        );
        assert_eq!(world.gauge(HOME, "registered"), usize::from(status == 200));
    }
}

#[test]
fn outbound_without_a_first_hop_for_it_is_ignored_unless_required() {
    // O-12: pjsua gives up at a 439, and says nowhere that it could not do without.
    for (required, status) in [("", 200), ("Require: outbound\n", 439)] {
        let mut world = lab();
        let mut joe = Register::new("joe", "127.0.0.11:40070");
        joe.lines = format!(
            "Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:1>\";reg-id=1\n\
             Supported: outbound, path\n{required}Path: <sip:p.example.net;lr>\n"
        );
        let answer = joe.login(&mut world, HOME);
        check(&answer, status);
        assert!(!answer.contains("Require: outbound"), "{answer}");
        if status == 439 {
            continue;
        }
        // O-15 does not hold for it: the Contact is what tells bindings apart.
        joe.lines = joe.lines.replace("reg-id=1", "reg-id=2");
        let answer = joe.login(&mut world, HOME);
        check(&answer, 200);
        assert_eq!(Phone::values(&answer, "Contact").len(), 1, "{answer}");
        joe.lines = joe.lines.replace(JOE, "127.0.0.1:5071");
        let answer = joe.login(&mut world, HOME);
        assert_eq!(Phone::values(&answer, "Contact").len(), 2, "{answer}");
    }
}

#[test]
fn the_path_comes_back_and_service_route_is_its_mirror() {
    // D-H6, D-H8
    let mut world = lab();
    let mut joe = Register::new("joe", "127.0.0.11:40070");
    joe.lines += "Path: <sip:near.example.net;lr>, <sip:far.example.net;lr>\nPath: <sip:p@edge.example.com;lr;ob>\n\
                  Record-Route: <sip:x.example.net;lr>\n";
    let ok = joe.login(&mut world, HOME);
    let path = [
        "<sip:near.example.net;lr>",
        "<sip:far.example.net;lr>",
        "<sip:p@edge.example.com;lr;ob>",
    ];
    assert_eq!(Phone::values(&ok, "Path"), path);
    assert_eq!(
        Phone::values(&ok, "Service-Route"),
        [path[2], path[1], path[0], "<sip:example.com;lr>"]
    );
    assert!(!ok.contains("Record-Route"), "{ok}");
    // ahead of any Route, in stored order; but sent where the REGISTER came from.
    let ann = Phone::foreign("ann", "127.0.0.1:5080");
    ann.send(
        &mut world,
        HOME,
        &ann.request("MESSAGE", "sip:joe@example.com", 1, "", ""),
    );
    assert_eq!(Phone::values(world.last("127.0.0.11:40070"), "Route"), path);
}

#[test]
fn a_path_of_another_domain_is_kept_and_bound_to_nothing() {
    // R-4, S-4, S-10, S-11: the edge is who it is, and the name is not its own.
    let counts =
        |world: &World| ["stick_bound", "stick_refused"].map(|name| world.counter(HOME, name));
    for path in [
        "<sip:joe@good.example.net;lr;ob>",
        "<sip:joe@x.edge.example.com;lr;ob>",
        "<sip:joe@edge.example.com.example.net;lr;ob>",
    ] {
        let mut world = lab();
        let mut joe = Register::new("joe", "127.0.0.11:40070");
        joe.lines += &format!("Path: {path}\n");
        let ok = joe.login(&mut world, HOME);
        check(&ok, 200);
        assert_eq!(Phone::values(&ok, "Path"), [path]);
        assert_eq!(counts(&world), [0, 1], "{path}");
        // Stored all the same: a call takes it along, over the flow it came on.
        let ann = Phone::foreign("ann", "127.0.0.1:5080");
        let message = ann.request("MESSAGE", "sip:joe@example.com", 1, "", "");
        ann.send(&mut world, HOME, &message);
        assert_eq!(
            Phone::values(world.last("127.0.0.11:40070"), "Route"),
            [path]
        );
        // Whoever asks for the name finds no flow under it.
        let uri = path.trim_matches(['<', '>']);
        let facts = world.why(HOME, uri).0;
        let sticks = facts
            .iter()
            .any(|fact| fact.says.contains("127.0.0.11:40070"));
        assert!(!sticks, "{facts:?}");
    }
}

#[test]
fn a_home_without_a_store_forgets_when_it_is_restarted() {
    for is_stored in [true, false] {
        let mut world = World::with(Tokens::Clear, |home| home.is_stored = is_stored, |_, _| ());
        check(&Register::new("joe", JOE).login(&mut world, EDGES[0]), 200);
        let ann = Phone::foreign("ann", "127.0.0.1:5080");
        // With several shards each of them knows, stored or not.
        reaches_joe(&mut world, &ann);
        world.restart(HOME);
        let message = ann.request("MESSAGE", "sip:joe@example.com", 2, "", "");
        ann.send(&mut world, HOME, &message);
        let got = if is_stored { JOE } else { "127.0.0.1:5080" };
        let begins = if is_stored {
            "MESSAGE "
        } else {
            "SIP/2.0 480 "
        };
        let received = world.receive(got).text;
        assert!(received.starts_with(begins), "{}", world.ladder());
    }
}
