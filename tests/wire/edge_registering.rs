//! REGISTER through an edge (D-E1 to D-E18; RFC 3327, RFC 5626).

use super::phone::{Login, Phone, Register, authorization};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const UPSTREAM: &str = "127.0.0.11:40000";

/// A phone that takes Outbound-Proxy values.
fn sticky<'a>(user: &'a str, instance: &str, reg_id: u32) -> Register<'a> {
    let mut register = Register::new(user, JOE);
    register.lines = format!(
        "Contact: <sip:{user}@{JOE}>;+sip.instance=\"<urn:uuid:{instance}>\";reg-id={reg_id}\n\
         Supported: path, outbound, alt-proxies\n"
    );
    register
}

/// The first value of a header.
#[track_caller]
fn value(message: &str, name: &str) -> String {
    let values = Phone::values(message, name);
    assert!(!values.is_empty(), "no {name} in {message}");
    values.into_iter().next().unwrap()
}

/// The user part of the Path in a 2xx.
#[track_caller]
fn token(ok: &str) -> String {
    let path = value(ok, "Path");
    path["<sip:".len()..].split('@').next().unwrap().to_owned()
}

#[test]
fn an_edge_knows_itself_by_every_spelling() {
    // D-E1, D-E3
    for route in [
        "<sip:edge.example.com;lr>",
        "<sip:EDGE.Example.com.;lr>",
        "<sip:edge.example.com:5060;lr>",
        "<sip:edge.example.com;lr=on;transport=udp>",
        "<sip:edge.example.com;lr;maddr=127.0.0.11>",
        "<sip:edge.example.com:5060;transport=udp;lr;maddr=127.0.0.11>",
        "<sip:edge.example.com:7777;lr;maddr=127.0.0.11>",
        "<sip:127.0.0.11;lr>",
        "<sip:127.0.0.11:5060;lr>",
        "\"Edge\" <sip:edge.example.com;lr>;x=y",
        "sip:edge.example.com",
        "",
    ] {
        let mut world = World::lab(Tokens::Clear);
        let mut joe = sticky("joe", "1", 1);
        joe.route = route.to_owned();
        let ok = joe.login(&mut world, EDGES[0]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{route}: {ok}");
        assert!(token(&ok).starts_with("joe+e1+e"), "{route}: {ok}");
        assert!(ok.contains("Outbound-Proxy: "), "{route}: {ok}");
        let passed = world.last(HOME);
        assert!(!passed.contains("\r\nRoute: "), "{route}: {passed}");
    }
}

#[test]
fn the_path_and_the_header_name_one_set() {
    // D-E5 to D-E9, H-1, H-2
    let mut backups = Vec::new();
    for instance in ["1", "2", "3", "4", "5", "6"] {
        let mut world = World::lab(Tokens::Clear);
        let ok = sticky("joe", instance, 1).login(&mut world, EDGES[0]);
        let token = token(&ok);
        let backup = token.split('+').nth(2).unwrap().to_owned();
        assert_eq!(token, format!("joe+e1+{backup}+urn_3Auuid_3A{instance}"));
        assert_eq!(
            Phone::values(&ok, "Path"),
            [format!("<sip:{token}@edge.example.com;lr;ob>")]
        );
        let address = format!("127.0.0.1{}", &backup[1..]);
        assert_eq!(
            Phone::values(&ok, "Outbound-Proxy"),
            [format!("<sip:{token}@edge.example.com;lr;maddr={address}>")]
        );
        backups.push(backup);
    }
    assert!(
        backups.contains(&"e2".to_owned()) && backups.contains(&"e3".to_owned()),
        "{backups:?}"
    );
}

#[test]
fn a_backup_on_another_port_is_named_with_it() {
    // B-3
    let mut world = World::with(
        Tokens::Clear,
        |_| (),
        |_, edge| {
            edge.set_size = 3;
            edge.members[1].udp = 5080;
        },
    );
    let ok = sticky("joe", "1", 1).login(&mut world, EDGES[0]);
    let mut proxies = Phone::values(&ok, "Outbound-Proxy");
    proxies.sort_unstable();
    let token = token(&ok);
    assert_eq!(
        proxies,
        [
            format!("<sip:{token}@edge.example.com:5080;lr;maddr=127.0.0.12>"),
            format!("<sip:{token}@edge.example.com;lr;maddr=127.0.0.13>"),
        ]
    );
}

#[test]
fn a_set_of_one_needs_no_list() {
    // D-E9, D-E12
    let mut world = World::with(Tokens::Clear, |_| (), |_, edge| edge.set_size = 1);
    let ok = sticky("joe", "1", 1).login(&mut world, EDGES[0]);
    assert_eq!(token(&ok), "joe+e1+urn_3Auuid_3A1");
    assert!(
        !ok.contains("alt-proxies") && !ok.contains("Outbound-Proxy"),
        "{ok}"
    );
}

#[test]
fn a_refresh_keeps_its_path_and_gets_no_list() {
    // D-E2, D-E10
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut world = World::lab(tokens);
        let mut joe = sticky("joe", "1", 1);
        let first = joe.login(&mut world, EDGES[0]);
        joe.route = value(&first, "Service-Route");
        let again = joe.login(&mut world, EDGES[0]);
        assert!(again.starts_with("SIP/2.0 200 "), "{again}");
        assert_eq!(Phone::values(&again, "Path"), Phone::values(&first, "Path"));
        assert!(!again.contains("Outbound-Proxy"), "{again}");
        assert!(!again.contains("alt-proxies"), "{again}");
        assert_eq!(world.gauge(EDGES[0], "registered"), 1);
    }
}

#[test]
fn a_token_of_somebody_else_is_no_refresh() {
    // D-E2, D-E14
    let mut world = World::lab(Tokens::Sealed);
    let joes = sticky("joe", "1", 1).login(&mut world, EDGES[0]);
    let mut ann = sticky("ann", "1", 1);
    ann.route = value(&joes, "Service-Route");
    let anns = ann.login(&mut world, EDGES[0]);
    assert!(anns.starts_with("SIP/2.0 200 "), "{anns}");
    assert_ne!(Phone::values(&anns, "Path"), Phone::values(&joes, "Path"));
    assert!(anns.contains("Outbound-Proxy: "), "{anns}");
}

#[test]
fn a_phone_that_comes_to_a_third_edge_gets_a_new_set() {
    // H-12: nobody would look for it here by the old one.
    let mut world = World::lab(Tokens::Clear);
    let mut joe = sticky("joe", "1", 1);
    let first = joe.login(&mut world, EDGES[0]);
    let third = if token(&first).starts_with("joe+e1+e2") {
        2
    } else {
        1
    };
    joe.route = value(&first, "Service-Route");
    let ok = joe.login(&mut world, EDGES[third]);
    assert!(
        token(&ok).starts_with(&format!("joe+e{}+", third + 1)),
        "{ok}"
    );
    assert!(ok.contains("Outbound-Proxy: "), "{ok}");
}

#[test]
fn a_register_meant_for_another_edge_goes_there_without_flow() {
    // D-E4, O-1, O-12
    let strict = |home: &mut steadfast::home::Settings| home.requires_outbound = true;
    let mut world = World::with(Tokens::Clear, strict, |_, _| ());
    let mut joe = sticky("joe", "1", 1);
    let first = joe.login(&mut world, EDGES[0]);
    let outbound = value(&first, "Outbound-Proxy");
    let backup = outbound
        .split("maddr=")
        .nth(1)
        .unwrap()
        .trim_end_matches('>');
    let backup = format!("{backup}:5060");
    let wrong = EDGES
        .into_iter()
        .find(|edge| *edge != EDGES[0] && *edge != backup);
    let mut second = sticky("joe", "1", 2);
    (second.route, second.call_id) = (outbound, "reg2");
    let refused = second.login(&mut world, wrong.unwrap());
    assert!(refused.starts_with("SIP/2.0 439 "), "{refused}");
    assert_eq!(world.counter(wrong.unwrap(), "relays"), 2);
    let passed = world.last(HOME);
    assert_eq!(
        Phone::values(passed, "Path"),
        [format!("<sip:{}@edge.example.com;lr>", token(&first))]
    );
    assert_eq!(Phone::values(passed, "Via").len(), 3);
    // A phone without outbound is registered, but not on a flow of either edge.
    let mut plain = Register::new("joe", "127.0.0.1:5071");
    plain.route = second.route;
    let ok = plain.login(&mut world, wrong.unwrap());
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert!(!ok.contains("Outbound-Proxy"), "{ok}");
    assert_eq!(world.gauge(&backup, "registered"), 0);
    assert_eq!(world.gauge(wrong.unwrap(), "registered"), 0);
}

#[test]
fn only_the_2xx_that_binds_tells_of_other_edges() {
    // D-E11, D-E13
    let mut world = World::lab(Tokens::Clear);
    let mut joe = sticky("joe", "1", 1);
    let challenge = joe.send(&mut world, EDGES[0], "");
    let wrong = Login {
        password: "guess",
        ..Login::new("joe")
    };
    let refused = joe.send(&mut world, EDGES[0], &wrong.answer(&challenge));
    let bound = joe.lines.clone();
    joe.lines += "Expires: 5\n";
    let brief = joe.send(&mut world, EDGES[0], &authorization("joe", &challenge));
    for (answer, status) in [(&challenge, 401), (&refused, 401), (&brief, 423)] {
        assert!(
            answer.starts_with(&format!("SIP/2.0 {status} ")),
            "{answer}"
        );
        assert!(!answer.contains("Outbound-Proxy"), "{answer}");
        assert!(!answer.contains("Flow-Timer"), "{answer}");
    }
    assert_eq!(world.gauge(EDGES[0], "registered"), 0);
    joe.lines = bound.clone();
    assert!(joe.login(&mut world, EDGES[0]).contains("Outbound-Proxy: "));
    assert_eq!(world.gauge(EDGES[0], "registered"), 1);
    // A fetch and a star carry no Path and get no list.
    for lines in ["Supported: alt-proxies\n", "Contact: *\nExpires: 0\n"] {
        joe.lines = lines.to_owned();
        let ok = joe.login(&mut world, EDGES[0]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        assert!(!ok.contains("Outbound-Proxy"), "{ok}");
        assert!(!world.last(HOME).contains("\r\nPath: "));
    }
    joe.lines = bound.clone();
    joe.login(&mut world, EDGES[0]);
    joe.lines = bound + "Expires: 0\n";
    let gone = joe.login(&mut world, EDGES[0]);
    assert!(gone.starts_with("SIP/2.0 200 "), "{gone}");
    assert!(!gone.contains("Outbound-Proxy"), "{gone}");
    assert_eq!(world.gauge(EDGES[0], "registered"), 0);
}

#[test]
fn only_who_asked_is_required_to_understand() {
    // D-E12, O-9, O-16, R-2
    let mut world = World::lab(Tokens::Clear);
    let ok = Register::new("joe", JOE).login(&mut world, EDGES[0]);
    assert!(ok.contains("\r\nPath: <sip:joe+e1+"), "{ok}");
    assert!(ok.contains("Outbound-Proxy: "), "{ok}");
    assert!(
        !ok.contains("Require: ") && !ok.contains("Flow-Timer"),
        "{ok}"
    );
    let mut ann = Register::new("ann", JOE);
    ann.lines = format!(
        "Contact: <sip:ann@{JOE}>;+sip.instance=\"<urn:x>\";reg-id=1\nSupported: outbound\n"
    );
    let ok = ann.login(&mut world, EDGES[0]);
    assert_eq!(Phone::values(&ok, "Require"), ["outbound"]);
    let spread = limits::FLOW_TIMER_SPREAD;
    Phone::shortened(&ok, "\r\nFlow-Timer: ", limits::FLOW_TIMER_S, spread);
}

#[test]
fn the_user_is_the_one_the_home_proves() {
    // D-E14: credentials for another realm, in front of the real ones, name somebody else.
    let decoys = [
        "realm=\"elsewhere\"",
        "realm=\"EXAMPLE.COM\"",
        "realm=\"example.com.\"",
    ];
    for decoy in decoys {
        let mut world = World::lab(Tokens::Clear);
        let mut ann = sticky("ann", "1", 1);
        let challenge = ann.send(&mut world, EDGES[0], "");
        let decoy = authorization("joe", &challenge).replace("realm=\"example.com\"", decoy);
        let both = format!("{decoy}{}", authorization("ann", &challenge));
        let ok = ann.send(&mut world, EDGES[0], &both);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        assert!(token(&ok).starts_with("ann+e1+"), "{ok}");
        // And alone they name nobody who could be called.
        let alone = ann.send(&mut world, EDGES[0], &decoy);
        assert!(alone.starts_with("SIP/2.0 401 "), "{alone}");
    }
}

#[test]
fn a_token_receives_nothing_before_a_2xx() {
    // D-E15: it names the user of the To from the start, and is worth nothing.
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut world = World::lab(tokens);
        let mut joe = sticky("joe", "1", 1);
        joe.send(&mut world, EDGES[0], "");
        let path = value(world.last(HOME), "Path");
        let home = Phone::new("ann", HOME, false);
        let called = |world: &mut World, cseq| {
            let route = format!("Route: {path}\n");
            let text = home.request("MESSAGE", "sip:joe@x", cseq, &route, "");
            home.send(world, EDGES[0], &text);
            world.has(JOE)
        };
        assert!(!called(&mut world, 1), "{}", world.ladder());
        let refused = world.last(HOME);
        assert!(refused.starts_with("SIP/2.0 430 "), "{refused}");
        let ok = joe.login(&mut world, EDGES[0]);
        assert_eq!(value(&ok, "Path"), path);
        assert!(called(&mut world, 2), "{}", world.ladder());
    }
}

#[test]
fn a_token_that_names_nobody_is_refused() {
    // D-E15
    let mut world = World::lab(Tokens::Clear);
    let home = Phone::new("ann", HOME, false);
    let route = "Route: <sip:+e1+e3+urn_3Auuid_3A1@edge.example.com;lr;ob>\n";
    let text = home.request("MESSAGE", "sip:joe@x", 1, route, "");
    home.send(&mut world, EDGES[0], &text);
    let refused = world.last(HOME);
    assert!(refused.starts_with("SIP/2.0 403 "), "{refused}");
    assert_eq!(world.counter(EDGES[0], "bad_tokens"), 1);
}

#[test]
fn a_list_from_outside_is_not_ours_to_pass() {
    // D-E16
    let mut world = World::lab(Tokens::Clear);
    let mut joe = sticky("joe", "1", 1);
    joe.lines += "Outbound-Proxy: <sip:evil.example.net;lr>\nAlternative-Proxies: <sip:evil.example.net;lr>\n\
                  outbound-proxies : <sip:evil.example.net;lr>\n";
    let ok = joe.login(&mut world, EDGES[0]);
    assert!(
        !world
            .ladder()
            .replace(&joe.lines.replace('\n', "\r\n"), "")
            .contains("evil")
    );
    assert!(!ok.contains("evil"), "{ok}");
}

#[test]
fn a_retarget_finds_the_domain_again() {
    // D-E18
    for (uri, route) in [
        ("sip:edge.example.com", ""),
        ("sip:edge.example.com;lr", ""),
        ("sip:127.0.0.11", ""),
        ("sip:edge.example.com", "<sip:edge.example.com;lr>"),
    ] {
        let mut world = World::lab(Tokens::Clear);
        let mut joe = sticky("joe", "1", 1);
        (joe.uri, joe.route) = (uri, route.to_owned());
        let challenge = joe.send(&mut world, EDGES[0], "");
        // Such a phone says in its digest what it sent.
        let login = Login {
            uri,
            ..Login::new("joe")
        };
        let ok = joe.send(&mut world, EDGES[0], &login.answer(&challenge));
        assert!(ok.starts_with("SIP/2.0 200 "), "{uri}: {ok}");
        let passed = world.last(HOME);
        assert!(
            passed.starts_with("REGISTER sip:example.com SIP/2.0\r\n"),
            "{passed}"
        );
    }
    let mut world = World::lab(Tokens::Clear);
    let text = "REGISTER sip:edge.example.com SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1\n\
                From: <sip:joe@example.net>;tag=f\nTo: <sip:joe@example.net>\nCall-ID: 1\nCSeq: 1 REGISTER\n\n";
    world.send(JOE, EDGES[0], text);
    assert!(world.receive(JOE).text.starts_with("SIP/2.0 404 "));
}

#[test]
fn what_the_edge_cannot_read_it_refuses() {
    let long = "x".repeat(256);
    for (lines, route, status) in [
        ("Contact: <sip:joe\n".to_owned(), "", 400),
        (
            format!("Contact: <sip:joe@h>;+sip.instance=\"<{long}>\"\n"),
            "",
            403,
        ),
        (
            String::new(),
            "<sip:x+e1@edge.example.com;lr;maddr=127.0.0.99>",
            403,
        ),
        (String::new(), "<sip:joe@edge.example.com;lr>", 403),
        (String::new(), "<sip:joe+e1+%2B@edge.example.com;lr>", 403),
    ] {
        let mut world = World::lab(Tokens::Clear);
        let mut joe = Register::new("joe", JOE);
        joe.lines = lines;
        joe.route = route.to_owned();
        let refused = joe.send(&mut world, EDGES[0], "");
        assert!(
            refused.starts_with(&format!("SIP/2.0 {status} ")),
            "{refused}"
        );
        assert!(world.trace.iter().all(|seen| seen.to.to_string() != HOME));
    }
}

#[test]
fn a_flow_is_forgotten_with_its_registration() {
    // D-E13, S-30
    let mut world = World::lab(Tokens::Clear);
    let mut joe = sticky("joe", "1", 1);
    joe.lines += "Expires: 60\n";
    let ok = joe.login(&mut world, EDGES[0]);
    assert!(ok.contains(";expires=60\r\n"), "{ok}");
    world.pass(Duration::from_secs(59));
    assert_eq!(world.gauge(EDGES[0], "registered"), 1);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.gauge(EDGES[0], "registered"), 0);
}

#[test]
fn a_phone_with_two_configured_edges_has_one_path() {
    // H-3, B-5: RFC 5626 without Outbound-Proxy. A pair that chooses
    // one another writes the same token from both sides.
    let mut world = World::with(Tokens::Clear, |_| (), |_, edge| edge.members.truncate(2));
    let mut paths = Vec::new();
    for (reg_id, edge) in [(1, EDGES[0]), (2, EDGES[1])] {
        let mut joe = sticky("joe", "1", reg_id);
        joe.call_id = ["", "first", "second"][reg_id as usize];
        joe.lines = joe.lines.replace(", alt-proxies", "");
        joe.route = format!("<sip:{};lr>", edge.trim_end_matches(":5060"));
        let ok = joe.login(&mut world, edge);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        paths.push(value(&ok, "Path"));
    }
    assert_eq!(
        paths[0],
        "<sip:joe+e1+e2+urn_3Auuid_3A1@edge.example.com;lr;ob>"
    );
    assert_eq!(paths[1], paths[0]);
}

#[test]
fn the_register_itself_stays_as_it_came() {
    // P-1, P-14: reg-id, +sip.instance and Supported are the registrar's.
    let mut world = World::lab(Tokens::Clear);
    let mut joe = sticky("joe", "1", 1);
    joe.lines += "X-Odd: \"\nDate: whenever\n";
    joe.send(&mut world, EDGES[0], "");
    let passed = world.last(HOME).to_owned();
    for line in joe.lines.lines() {
        assert!(
            passed.contains(&format!("\r\n{line}\r\n")),
            "{line} in {passed}"
        );
    }
    let from = world.trace.iter().find(|seen| seen.to.to_string() == HOME);
    assert_eq!(from.unwrap().from.to_string(), UPSTREAM);
}
