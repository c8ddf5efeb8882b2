//! REGISTER at the home: redirect and bindings (protocol 1.A D-H1 to D-H9;
//! 1.H, 1.I; RFC 3261 §10.3).

use super::phone::{Phone, Register, authorization};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::home::Redirect;
use steadfast::limits;
use steadfast::time::Duration;

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
    let ann = Phone::new("ann", "127.0.0.1:5080", false);
    ann.send(
        &mut world,
        HOME,
        &ann.request("MESSAGE", "sip:joe@example.com", 1, "", ""),
    );
    assert!(
        world
            .receive(JOE)
            .text
            .starts_with("MESSAGE sip:joe@127.0.0.1:5070 ")
    );
}

#[test]
fn outbound_takes_a_first_hop_that_keeps_flows() {
    // O-10, O-12, O-13, protocol 3.6
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
        let mut world = lab();
        // D-H9: through a proxy that the home takes for an edge.
        let mut joe = Register::new("joe", "127.0.0.11:7000");
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
fn the_path_comes_back_and_service_route_is_its_mirror() {
    // D-H6, protocol 3.29, D-H8
    let mut world = lab();
    let mut joe = Register::new("joe", "127.0.0.11:7000");
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
    let ann = Phone::new("ann", "127.0.0.1:5080", false);
    ann.send(
        &mut world,
        HOME,
        &ann.request("MESSAGE", "sip:joe@example.com", 1, "", ""),
    );
    assert_eq!(Phone::values(world.last("127.0.0.11:7000"), "Route"), path);
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
        let mut joe = Register::new("joe", "127.0.0.11:7000");
        joe.lines += &format!("Path: {path}\n");
        let ok = joe.login(&mut world, HOME);
        check(&ok, 200);
        assert_eq!(Phone::values(&ok, "Path"), [path]);
        assert_eq!(counts(&world), [0, 1], "{path}");
        // Stored all the same: a call takes it along, over the flow it came on.
        let ann = Phone::new("ann", "127.0.0.1:5080", false);
        let ask = ann.request("MESSAGE", "sip:joe@example.com", 1, "", "");
        ann.send(&mut world, HOME, &ask);
        assert_eq!(
            Phone::values(world.last("127.0.0.11:7000"), "Route"),
            [path]
        );
        // Whoever asks for the name finds no flow under it.
        let uri = path.trim_matches(['<', '>']);
        let facts = world.why(HOME, uri).0;
        let sticks = facts
            .iter()
            .any(|fact| fact.says.contains("127.0.0.11:7000"));
        assert!(!sticks, "{facts:?}");
    }
}

#[test]
fn contacts_come_back_as_they_were_sent() {
    // RFC 3261 §10.3-8: every parameter, `expires` last and by the registrar.
    let mut world = lab();
    let ok = register(
        &mut world,
        0,
        "Contact: \"Joe\" <sip:joe@h1;transport=udp>;q=0.5;expires=600;x-odd=\"a;b\";flag;+sip.instance=\"<urn:1>\"\n\
         m: <sip:joe@h2:5070>, sip:joe@h3;q=1\nExpires: 120\n",
    );
    let lines = ok
        .split("\r\n")
        .filter(|line| line.starts_with("Contact: "));
    let lines: Vec<_> = lines
        .map(|line| line.rsplit_once(";expires=").unwrap())
        .collect();
    assert_eq!(
        lines.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [
            "Contact: <sip:joe@h1;transport=udp>;q=0.5;x-odd=\"a;b\";flag;+sip.instance=\"<urn:1>\"",
            "Contact: <sip:joe@h2:5070>",
            "Contact: <sip:joe@h3>;q=1",
        ]
    );
    let granted: Vec<u32> = lines.iter().map(|(_, s)| s.parse().unwrap()).collect();
    assert!((525..=600).contains(&granted[0]), "{granted:?}");
    assert!((105..=120).contains(&granted[1]), "{granted:?}");
    // They are renewed together.
    assert_eq!(granted[1], granted[2]);
    // A fetch shows them, the time that is left, and changes nothing.
    world.pass(Duration::from_secs(100));
    let shown = register(&mut world, 9, "");
    check(&shown, 200);
    let left: Vec<u32> = Phone::values(&shown, "Contact")
        .iter()
        .map(|value| value.split("expires=").nth(1).unwrap().parse().unwrap())
        .collect();
    let want: Vec<_> = granted.iter().map(|granted| granted - 100).collect();
    assert_eq!(left, want);
    // Expired ones are not there, swept or not.
    world.pass(Duration::from_millis(20_000));
    assert_eq!(
        Phone::values(&register(&mut world, 19, ""), "Contact").len(),
        1
    );
}

#[test]
fn lifetimes_are_granted_within_bounds() {
    // RFC 3261 §10.3-7: never longer than asked, and each a little shorter.
    for (lines, expires) in [
        ("Contact: <sip:a@h>\n", 3_600),
        ("Contact: <sip:a@h>\nExpires: 100000\n", 7_200),
        ("Contact: <sip:a@h>;expires=60\nExpires: 100\n", 60),
        ("Contact: <sip:a@h>;expires=soon\nExpires: 100\n", 100),
        ("Contact: <sip:a@h>;expires=99999999999\n", 3_600),
    ] {
        let ok = register(&mut lab(), 0, lines);
        check(&ok, 200);
        let name = "\r\nContact: <sip:a@h>;expires=";
        let granted = Phone::shortened(&ok, name, expires, limits::EXPIRES_SPREAD);
        assert!(granted >= limits::EXPIRES_MIN_S, "{lines}{ok}");
    }
    let mut world = lab();
    let mut granted: Vec<u32> = (0..8)
        .map(|n| {
            let ok = register(&mut world, 10 * n, "Contact: <sip:a@h>\n");
            Phone::shortened(&ok, ";expires=", 3_600, limits::EXPIRES_SPREAD)
        })
        .collect();
    granted.sort_unstable();
    granted.dedup();
    assert!(granted.len() > 4, "{granted:?}");
    for lines in [
        "Contact: <sip:a@h>;expires=59\n",
        "Contact: <sip:a@h>, <sip:b@h>;expires=1\n",
    ] {
        let mut world = lab();
        let brief = register(&mut world, 0, lines);
        check(&brief, 423);
        assert!(brief.contains("Min-Expires: 60\r\n"), "{brief}");
        assert_eq!(world.gauge(HOME, "registered"), 0);
    }
}

#[test]
fn contacts_go_as_they_came() {
    // RFC 3261 §10.3-6, -7
    let mut world = lab();
    register(&mut world, 0, "Contact: <sip:a@h>, <sip:b@h>, <sip:c@h>\n");
    let ok = register(
        &mut world,
        10,
        "Contact: <sip:%61@H>;expires=0, <sip:d@h>\n",
    );
    let contacts = |ok: &str| -> Vec<String> {
        let values = Phone::values(ok, "Contact").into_iter();
        values
            .map(|value| value.split('@').next().unwrap()["<sip:".len()..].to_owned())
            .collect()
    };
    assert_eq!(contacts(&ok), ["b", "c", "d"]);
    for (lines, status) in [
        ("Contact: *\n", 400),
        ("Contact: *\nExpires: 60\n", 400),
        ("Contact: *, <sip:a@h>\nExpires: 0\n", 400),
        ("Contact: <sip:a@h>, *\nExpires: 0\n", 400),
        ("Contact: <sip:a@h>\nExpires: x\n", 400),
        ("Contact: <sip:a@h>;q=2\n", 400),
    ] {
        let refused = register(
            &mut world,
            20 + 2 * u32::try_from(lines.len()).unwrap(),
            lines,
        );
        check(&refused, status);
    }
    assert_eq!(contacts(&register(&mut world, 200, "")), ["b", "c", "d"]);
    let ok = register(&mut world, 300, "Contact: *\nExpires: 0\n");
    check(&ok, 200);
    assert_eq!(contacts(&ok), Vec::<String>::new());
    assert_eq!((world.gauge(HOME, "registered"), world.store.len()), (0, 0));
}

#[test]
fn an_old_register_changes_nothing() {
    // RFC 3261 §10.3-7
    let mut world = lab();
    register(&mut world, 10, "Contact: <sip:a@h>\n");
    check(
        &register(&mut world, 4, "Contact: <sip:a@h>;expires=0\n"),
        500,
    );
    check(&register(&mut world, 6, "Contact: *\nExpires: 0\n"), 500);
    assert_eq!(
        Phone::values(&register(&mut world, 20, ""), "Contact").len(),
        1
    );
}

#[test]
fn the_bound_of_contacts_holds() {
    let mut world = lab();
    let contacts = |count: usize| {
        (0..count)
            .map(|n| format!("Contact: <sip:{n}@h>\n"))
            .collect::<String>()
    };
    check(
        &register(&mut world, 0, &contacts(limits::CONTACTS_MAX + 1)),
        403,
    );
    assert_eq!(world.gauge(HOME, "registered"), 0);
    check(
        &register(&mut world, 10, &contacts(limits::CONTACTS_MAX)),
        200,
    );
    check(&register(&mut world, 20, "Contact: <sip:more@h>\n"), 403);
}

#[test]
fn one_register_makes_one_flow() {
    // O-14
    let flow = |reg_id: u32, more: &str| {
        format!("<sip:joe@{JOE}>;+sip.instance=\"<urn:1>\";reg-id={reg_id}{more}")
    };
    let supported = "Supported: path, outbound\n";
    for (contacts, status) in [
        (format!("{}, {}", flow(1, ""), flow(2, "")), 400),
        (format!("{}, <sip:b@h>", flow(1, "")), 400),
        (format!("{}, {}", flow(1, ""), flow(2, ";expires=0")), 200),
        (flow(1, ""), 200),
    ] {
        let answer = register(&mut lab(), 0, &format!("Contact: {contacts}\n{supported}"));
        check(&answer, status);
    }
}

#[test]
fn flows_of_one_instance_stand_side_by_side() {
    // O-15, O-17, protocol 3.25
    let mut world = lab();
    for (reg_id, port) in [(1, 1), (2, 1), (1, 2)] {
        let lines = format!(
            "Contact: <sip:joe@h:{port}>;+sip.instance=\"<urn:1>\";reg-id={reg_id}\nSupported: outbound\n"
        );
        check(&register(&mut world, 10 * port + reg_id * 2, &lines), 200);
    }
    let ok = register(&mut world, 90, "Contact: <sip:joe@h:1>\n");
    let contacts = Phone::values(&ok, "Contact");
    assert_eq!(contacts.len(), 3, "{contacts:?}");
    assert!(
        contacts[0].contains("h:1>") && contacts[0].contains("reg-id=2"),
        "{contacts:?}"
    );
    assert!(
        contacts[1].contains("h:2>") && contacts[1].contains("reg-id=1"),
        "{contacts:?}"
    );
    assert!(!contacts[2].contains("reg-id"), "{contacts:?}");
}

#[test]
fn every_spelling_of_an_address_is_one() {
    // C-17, RFC 3261 §10.3-5
    let mut world = lab();
    for (place, to) in [
        "sip:joe@example.com",
        "sips:joe@EXAMPLE.com",
        "sip:%6aoe@example.com;x=y",
        "sip:joe@example.com:5060",
    ]
    .iter()
    .enumerate()
    {
        let mut joe = Register::new("joe", JOE);
        joe.lines = format!("Contact: <sip:{place}@h>\n");
        joe.call_id = ["a", "b", "c", "d"][place];
        let text = |cseq: u32, credentials: &str| {
            format!(
                "REGISTER sip:EXAMPLE.com SIP/2.0\nVia: SIP/2.0/UDP {JOE};branch=z9hG4bK{place}{cseq}\n\
                 From: <sip:joe@example.com>;tag=f\nTo: <{to}>\nCall-ID: {place}\nCSeq: {cseq} REGISTER\n{}{credentials}\n",
                joe.lines
            )
        };
        world.send(JOE, EDGES[0], &text(1, ""));
        let challenge = world.receive(JOE).text;
        world.send(JOE, EDGES[0], &text(2, &authorization("joe", &challenge)));
        let ok = world.receive(JOE).text;
        assert_eq!(Phone::values(&ok, "Contact").len(), place + 1, "{to}: {ok}");
    }
    assert_eq!(world.gauge(HOME, "registered"), 1);
}

#[test]
fn registrations_survive_a_restart() {
    // architecture: the store; H-13: nothing else is remembered.
    let mut world = lab();
    let mut joe = Register::new("joe", JOE);
    joe.lines = format!(
        "Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:1>\";reg-id=1;q=0.3;x=y\nSupported: path, outbound\nExpires: 100\n"
    );
    let before = joe.login(&mut world, EDGES[0]);
    Register::new("ann", "127.0.0.1:5080").login(&mut world, EDGES[1]);
    assert_eq!(world.store.len(), 2);
    world.pass(Duration::from_secs(40));
    world.restart(HOME);
    assert_eq!(world.gauge(HOME, "registered"), 2);
    let shown = register(&mut world, 50, "");
    let mut want = Phone::values(&before, "Contact");
    let granted = Phone::shortened(&want[0], "expires=", 100, limits::EXPIRES_SPREAD);
    want[0] = want[0].replace(
        &format!("expires={granted}"),
        &format!("expires={}", granted - 40),
    );
    assert_eq!(Phone::values(&shown, "Contact"), want);
    // And the phone is reached over the edge its Path names.
    let bob = Phone::new("bob", "127.0.0.1:5090", false);
    bob.send(
        &mut world,
        HOME,
        &bob.request("MESSAGE", "sip:joe@example.com", 1, "", ""),
    );
    assert!(
        world
            .receive(JOE)
            .text
            .starts_with("MESSAGE sip:joe@127.0.0.1:5070 "),
        "{}",
        world.ladder()
    );
    // What expires goes from the store too.
    world.pass(Duration::from_secs(62));
    assert_eq!((world.gauge(HOME, "registered"), world.store.len()), (1, 1));
}
