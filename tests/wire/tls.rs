//! Who somebody is by certificate, and `sips` (RFC 5922, RFC 5923, RFC 5630).

use steadfast::edge::{self, ConfiguredHop, NextHop};
use steadfast::id::Transport;
use steadfast::limits;
use steadfast::trust::Strangers;

use super::marks::{bare, unmarked};
use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};

pub(super) const HOME_TLS: &str = "127.0.0.10:5061";
pub(super) const E1_TLS: &str = "127.0.0.11:5061";
pub(super) const FAR: &str = "203.0.113.9:40001";

/// The lab with edges that reach the home over TLS, and make sure of `name`.
pub(super) fn over_tls(name: &str) -> World {
    tls_with(name, |_| ())
}

/// The TLS lab with changed settings of each edge.
pub(super) fn tls_with(name: &str, change: impl Fn(&mut edge::Settings)) -> World {
    World::with(
        Tokens::Sealed,
        |_| (),
        |_, edge| {
            edge.rules.strangers = Strangers::Answer;
            edge.home = vec![NextHop::At(ConfiguredHop {
                transport: Transport::Tls,
                addr: HOME_TLS.parse().unwrap(),
                name: Some(name.to_owned()),
            })];
            change(edge);
        },
    )
}

pub(super) fn request(method: &str, uri: &str, number: u32, more: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\nVia: SIP/2.0/TLS {FAR};branch=z9hG4bKt{number}\n{more}\
         Max-Forwards: 70\nFrom: <sip:joe@example.com>;tag=1\nTo: <sip:joe@example.com>\n\
         Call-ID: t{number}\nCSeq: {number} {method}\nContact: <sip:joe@{FAR};transport=tls>\n\
         Content-Length: 0\n\n"
    )
}

/// The status of what came to `FAR` last.
#[track_caller]
pub(super) fn status(world: &mut World) -> String {
    let text = world.receive(FAR).text;
    text.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn an_edge_is_told_by_its_certificate_and_not_by_its_address() {
    // D-H2, S-2, S-10
    let mut world = World::lab(Tokens::Clear);
    for (domains, want) in [
        (&["edge.example.com"][..], "401"),
        (&["other.example", "EDGE.example.com"], "401"),
        (&["bad.example.com"], "300"),
        (&["*.example.com"], "300"),
        (&["example.com"], "300"),
        (&[], "300"),
    ] {
        world.prove(FAR, domains);
        world.connect(FAR, HOME_TLS);
        world.send(
            FAR,
            HOME_TLS,
            &request("REGISTER", "sip:example.com", 1, ""),
        );
        assert_eq!(status(&mut world), want, "{domains:?}");
        world.close(FAR, HOME_TLS);
        world.pass(steadfast::time::Duration::from_secs(40));
        world.forget();
    }
    // The address of an edge says nothing over TLS.
    world.connect("127.0.0.11:39999", HOME_TLS);
    world.send(
        "127.0.0.11:39999",
        HOME_TLS,
        &request("REGISTER", "sip:example.com", 9, ""),
    );
    let text = world.receive("127.0.0.11:39999").text;
    assert!(text.starts_with("SIP/2.0 300 "), "{text}");
}

#[test]
fn phones_register_and_talk_through_edges_that_reach_the_home_over_tls() {
    // S-2, S-3, S-4, C-9, D-E3; S-35: all edges prove one name.
    let mut world = over_tls("example.com");
    let mut joe = Phone::new("joe", "127.0.0.1:6001", true);
    let mut ann = Phone::new("ann", "127.0.0.1:6002", false);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    let request = world
        .trace
        .iter()
        .find(|seen| seen.to.to_string() == HOME_TLS)
        .unwrap();
    assert!(
        request
            .text
            .contains("Via: SIP/2.0/TLS edge.example.com:5061;alias;keep;branch="),
        "{}",
        request.text
    );
    assert!(world.counter(HOME, "stick_bound") >= 2);
    assert_eq!(world.counter(HOME, "stick_refused"), 0);
    let invite = joe.request(
        "INVITE",
        "sip:ann@example.com",
        1,
        "Route: <sip:edge.example.com;lr>\n",
        "",
    );
    joe.send(&mut world, EDGES[0], &invite);
    let came = ann.receive(&mut world);
    assert!(came.starts_with("INVITE "), "{came}");
    assert!(
        !world
            .trace
            .iter()
            .any(|seen| seen.to.to_string() == HOME && seen.text.len() > 100),
        "nothing goes to the home in the clear\n{}",
        world.ladder()
    );
}

#[test]
fn a_home_that_is_somebody_else_gets_nothing() {
    // C-3, S-3
    let mut world = over_tls("other.example.com");
    world.connect(FAR, E1_TLS);
    let route = "Route: <sip:edge.example.com;lr>\n";
    world.send(
        FAR,
        E1_TLS,
        &request("REGISTER", "sip:example.com", 1, route),
    );
    // V-8, P-24: there is no home, and another edge may know one.
    world.pass(limits::HELD_FOR + limits::HELD_PAUSE);
    assert_eq!(status(&mut world), "503");
    assert!(
        !world
            .trace
            .iter()
            .any(|seen| seen.to.to_string() == HOME_TLS)
    );
}

#[test]
fn sips_is_never_carried_by_less() {
    // C-15, P-12, S-21
    let mut world = World::lab(Tokens::Clear);
    let route = "Route: <sips:edge.example.com;lr>\n";
    let refused = |world: &mut World| {
        let text = world.receive(FAR).text;
        assert!(text.starts_with("SIP/2.0 480 "), "{text}");
        assert!(text.contains("\r\nWarning: 380 "), "{text}");
    };
    // It came by UDP.
    world.send(
        FAR,
        EDGES[0],
        &request("REGISTER", "sips:example.com", 1, route),
    );
    refused(&mut world);
    // It came over TLS, but the home is reached by UDP.
    world.connect(FAR, E1_TLS);
    world.send(
        FAR,
        E1_TLS,
        &request("REGISTER", "sips:example.com", 2, route),
    );
    refused(&mut world);
    assert!(
        !world
            .trace
            .iter()
            .any(|seen| seen.to.to_string() == HOME && seen.text.len() > 100)
    );
}

#[test]
fn what_registers_by_sips_stays_sips() {
    // C-16, P-17
    let mut world = over_tls("example.com");
    world.connect(FAR, E1_TLS);
    let route = "Route: <sips:edge.example.com;lr>\n";
    world.send(
        FAR,
        E1_TLS,
        &request("REGISTER", "sips:example.com", 1, route),
    );
    assert_eq!(status(&mut world), "401");
    let challenged = world.last(HOME_TLS);
    assert!(challenged.contains("\r\nPath: <sips:"), "{challenged}");
    world.send(
        FAR,
        E1_TLS,
        &request("REGISTER", "sip:example.com", 2, route),
    );
    let request = world.last(HOME_TLS);
    assert!(request.contains("\r\nPath: <sip:"), "{request}");
}

/// A phone that speaks TLS and keeps to no flow, registered at e1.
pub(super) fn plain_phone(world: &mut World) {
    let route = "Route: <sip:edge.example.com;lr>\n";
    world.connect(FAR, E1_TLS);
    let register = |number, more: &str| {
        let lines = format!("{route}{more}");
        request("REGISTER", "sip:example.com", number, &lines)
    };
    world.send(FAR, E1_TLS, &register(1, ""));
    let challenge = world.receive(FAR).text;
    let credentials = super::phone::authorization("joe", &challenge);
    world.send(FAR, E1_TLS, &register(2, &credentials));
    assert_eq!(status(world), "200");
}

#[test]
fn the_via_over_tls_is_a_name_that_our_certificate_proves() {
    // M-3, P-19, X-2 (RFC 3261 §18.2.2): a phone whose connection is gone comes
    // back to where `received` says, and checks the certificate by the sent-by.
    const AGAIN: &str = "203.0.113.9:40002";
    let mut world = over_tls("example.com");
    plain_phone(&mut world);
    let mut ann = Phone::new("ann", "127.0.0.1:6002", true);
    ann.register(&mut world, EDGES[1]);
    for (number, from, sent_by, passes) in [
        (1, FAR, "edge.example.com:5061", true),
        (2, AGAIN, "EDGE.example.com.:5061", true),
        (3, AGAIN, "edge.example.com", true),
        // Of the home it is, and of nobody.
        (4, AGAIN, "example.com:5061", false),
        (5, AGAIN, "edge.example.com:5060", false),
    ] {
        let text = ann.request("MESSAGE", "sip:joe@example.com", 20 + number, "", "");
        ann.send(&mut world, EDGES[1], &text);
        let request = world.receive(FAR);
        let via = Phone::values(&request.text, "Via").remove(0);
        assert!(
            via.starts_with("SIP/2.0/TLS edge.example.com:5061;branch="),
            "{via}"
        );
        assert_eq!(request.from.to_string(), E1_TLS);
        // The home's is its domain.
        let mut its = world.trace.iter();
        let sent =
            its.find(|seen| seen.from.to_string() == HOME_TLS && seen.text.starts_with("MESSAGE "));
        let via = Phone::values(&sent.unwrap().text, "Via").remove(0);
        assert!(via.starts_with("SIP/2.0/TLS example.com:5061;"), "{via}");
        if from == AGAIN && !world.is_connected(AGAIN, E1_TLS) {
            world.connect(AGAIN, E1_TLS);
        }
        let ok = Phone::new("joe", FAR, false).response(&request.text, 200, "OK");
        let ok = ok.replacen(
            "edge.example.com:5061;",
            &format!("{sent_by};received=127.0.0.11;"),
            1,
        );
        let stray = world.counter(EDGES[0], "stray_responses");
        world.send(from, E1_TLS, &ok);
        assert_eq!(world.has("127.0.0.1:6002"), passes, "{sent_by}");
        let strays = world.counter(EDGES[0], "stray_responses") - stray;
        assert_eq!(strays, u64::from(!passes), "{sent_by}");
        world.forget();
    }
}

/// The Record-Route values of the INVITE that an edge sent there first.
fn recorded_towards(world: &World, home: &str) -> Vec<String> {
    let mut trace = world.trace.iter();
    let invite = trace.find(|seen| seen.to.to_string() == home && seen.text.starts_with("INVITE "));
    Phone::values(&invite.unwrap().text, "Record-Route")
}

#[test]
fn what_is_recorded_for_tls_is_what_the_certificate_proves() {
    // C-6, D-U12, B-4: this very edge, under the cluster's name. All
    // edges know it for theirs, in either order (3.10).
    let address = "<sip:edge.example.com;maddr=127.0.0.11;transport=tls;lr>";
    for (home, name) in [(HOME, None), (HOME_TLS, Some("example.com"))] {
        let mut world = name.map_or_else(|| World::lab(Tokens::Clear), over_tls);
        plain_phone(&mut world);
        let mut ann = Phone::new("ann", "127.0.0.1:6002", false);
        ann.register(&mut world, EDGES[1]);
        let text = request("INVITE", "sip:ann@example.com", 3, "");
        world.send(FAR, E1_TLS, &text);
        let recorded = recorded_towards(&world, home);
        assert_eq!(recorded.len(), 1, "{recorded:?}");
        assert!(unmarked(&recorded[0]).ends_with("@edge.example.com;lr;gunk=e1>"));
        let invite = ann.receive(&mut world);
        ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
        assert_eq!(status(&mut world), "100");
        let ok = world.receive(FAR).text;
        ann.dialog(&invite, false);
        ann.in_dialog(&mut world, EDGES[1], "INFO", 1);
        let info = world.receive(FAR).text;
        assert!(info.starts_with("INFO ") && !info.contains("\r\nRoute: "));
        // Its route set, at its edge and at another one.
        let mut routes = Phone::values(&ok, "Record-Route");
        routes.reverse();
        assert_eq!(bare(&routes[0]), address);
        let routes: Vec<_> = routes.iter().map(|uri| format!("Route: {uri}\n")).collect();
        let to = Phone::values(&ok, "To").remove(0);
        for (number, edge) in [(4, E1_TLS), (5, "127.0.0.13:5061")] {
            if edge != E1_TLS {
                world.connect(FAR, edge);
            }
            let text = request("INFO", "sip:ann@127.0.0.1:6002", number, &routes.concat());
            let text = text
                .replace("To: <sip:joe@example.com>", &format!("To: {to}"))
                .replace(&format!("Call-ID: t{number}"), "Call-ID: t3");
            world.send(FAR, edge, &text);
            let info = ann.receive(&mut world);
            assert!(info.starts_with("INFO ") && !info.contains("\r\nRoute: "));
        }
        // A strict router puts it into the Request-URI (P-7).
        let strict = address.trim_matches(['<', '>']);
        let rest = format!("{}Route: <sip:ann@127.0.0.1:6002>\n", routes[1..].concat());
        let text = request("INFO", strict, 6, &rest);
        let text = text
            .replace("To: <sip:joe@example.com>", &format!("To: {to}"))
            .replace("Call-ID: t6", "Call-ID: t3");
        world.send(FAR, E1_TLS, &text);
        let info = ann.receive(&mut world);
        assert!(info.starts_with("INFO sip:ann@127.0.0.1:6002 "), "{info}");
    }
}

#[test]
fn a_guest_over_tls_is_recorded_by_what_the_certificate_proves() {
    // C-6, O-6: who never registered is known by a flow token.
    let mut world = over_tls("example.com");
    let mut ann = Phone::new("ann", "127.0.0.1:6002", false);
    ann.register(&mut world, EDGES[1]);
    world.connect(FAR, E1_TLS);
    let invite = request("INVITE", "sip:ann@example.com", 1, "");
    let invite = invite.replace(
        "From: <sip:joe@example.com>",
        "From: <sip:joe@elsewhere.example>",
    );
    world.send(FAR, E1_TLS, &invite);
    let recorded = recorded_towards(&world, HOME_TLS);
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    let end = "@edge.example.com;maddr=127.0.0.11;transport=tls;lr>";
    assert!(recorded[0].starts_with("<sip:f") && unmarked(&recorded[0]).ends_with(end));
    let invite = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    ann.dialog(&invite, false);
    world.forget();
    // S-5: it sticks by name; and the edges are asked in turn when it does not.
    for restarts in [false, true] {
        if restarts {
            world.restart(HOME);
        }
        ann.in_dialog(&mut world, EDGES[1], "INFO", 1 + u32::from(restarts));
        let info = world.receive(FAR).text;
        assert!(info.starts_with("INFO "), "{info}");
    }
    assert_eq!(world.counter(HOME, "stick_refused"), 0);
}

#[test]
fn an_answer_returns_over_a_new_connection_to_whoever_proves_the_cluster_or_the_domain() {
    // X-4, M-3
    for (from, to, named) in [
        (EDGES[0], HOME, false),
        (HOME, EDGES[1], false),
        (EDGES[0], HOME, true),
        (HOME, EDGES[1], true),
    ] {
        let mut world = tls_with("example.com", |edge| edge.member_names = named);
        let mut joe = Phone::new("joe", "127.0.0.1:6001", true);
        let mut ann = Phone::new("ann", "127.0.0.1:6002", true);
        joe.register(&mut world, EDGES[0]);
        ann.register(&mut world, EDGES[1]);
        let text = joe.request("MESSAGE", "sip:ann@example.com", 10, "", "");
        joe.send(&mut world, EDGES[0], &text);
        let message = ann.receive(&mut world);
        // The one that asked does not know yet.
        assert!(world.lose(to, from) > 0);
        assert!(!world.has("127.0.0.1:6001"));
        ann.answer(&mut world, EDGES[1], &message, 200, "OK");
        assert_eq!(
            joe.status(&mut world),
            200,
            "{to} to {from}\n{}",
            world.ladder()
        );
        let ip = |addr: &str| addr.trim_end_matches(":5060").to_owned();
        let answers = world.trace.iter().rev();
        let mut answers = answers.filter(|seen| {
            let way = (seen.from.ip().to_string(), seen.to.to_string());
            way == (ip(to), format!("{}:5061", ip(from)))
        });
        let answer = answers.next().map(|seen| &seen.text[..12]);
        assert_eq!(answer, Some("SIP/2.0 200 "), "{}", world.ladder());
    }
}
