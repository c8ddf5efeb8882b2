//! What a home keeps of a REGISTER, for how long, and how much of it (RFC 3261
//! §10.3; RFC 3327, RFC 5626 §6).

use steadfast::limits;
use steadfast::time::Duration;

use super::super::phone::{Phone, Register, authorization};
use super::super::world::{EDGES, HOME};
use super::{JOE, check, lab, reaches_joe, register};

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
    // O-15, O-17
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
    for (index, to) in [
        "sip:joe@example.com",
        "sips:joe@EXAMPLE.com",
        "sip:%6aoe@example.com;x=y",
        "sip:joe@example.com:5060",
    ]
    .iter()
    .enumerate()
    {
        let mut joe = Register::new("joe", JOE);
        joe.lines = format!("Contact: <sip:{index}@h>\n");
        joe.call_id = ["a", "b", "c", "d"][index];
        let text = |cseq: u32, credentials: &str| {
            format!(
                "REGISTER sip:EXAMPLE.com SIP/2.0\nVia: SIP/2.0/UDP {JOE};branch=z9hG4bK{index}{cseq}\n\
                 From: <sip:joe@example.com>;tag=f\nTo: <{to}>\nCall-ID: {index}\nCSeq: {cseq} REGISTER\n{}{credentials}\n",
                joe.lines
            )
        };
        world.send(JOE, EDGES[0], &text(1, ""));
        let challenge = world.receive(JOE).text;
        world.send(JOE, EDGES[0], &text(2, &authorization("joe", &challenge)));
        let ok = world.receive(JOE).text;
        assert_eq!(Phone::values(&ok, "Contact").len(), index + 1, "{to}: {ok}");
    }
    assert_eq!(world.gauge(HOME, "registered"), 1);
}

#[test]
fn registrations_survive_a_restart() {
    // The store; H-13: nothing else is remembered.
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
    reaches_joe(&mut world, &Phone::foreign("bob", "127.0.0.1:5090"));
    // What expires goes from the store too.
    world.pass(Duration::from_secs(62));
    assert_eq!((world.gauge(HOME, "registered"), world.store.len()), (1, 1));
}
