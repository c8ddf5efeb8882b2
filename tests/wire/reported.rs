//! What phones, ALGs and other servers are reported to do (public bug reports of
//! SIP servers), and what is right then.

use super::phone::{Phone, Register};
use super::silence::hop;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::{self, NextHop};
use steadfast::id::Transport;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

/// joe at e1 and ann at e2, over UDP; edges and home joined by TCP.
fn phones() -> (World, Phone, Phone) {
    let tcp = |_, edge: &mut edge::Settings| {
        edge.home = vec![NextHop::At(hop(HOME, Transport::Tcp))];
    };
    let mut world = World::with(Tokens::Sealed, |_| (), tcp);
    let mut joe = Phone::new("joe", JOE, false);
    let mut ann = Phone::new("ann", ANN, false);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    world.forget();
    (world, joe, ann)
}

/// Without its Content-Length, with a body.
fn unsized_with(text: &str, body: &str) -> String {
    let (head, _) = text.split_once("Content-Length").unwrap();
    format!("{head}\n{body}")
}

/// The Content-Length lines, and the length of the body.
fn lengths(text: &str) -> (Vec<String>, String) {
    let body = text.split_once("\r\n\r\n").unwrap().1;
    (
        Phone::values(text, "Content-Length"),
        body.len().to_string(),
    )
}

#[test]
fn what_came_by_datagram_without_content_length_gets_one_on_a_stream() {
    // RFC 3261 §20.14, P-15: the receiver could not go on in the stream.
    let (mut world, joe, ann) = phones();
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &unsized_with(&invite, "v=0\n"));
    let invite = ann.receive(&mut world);
    for (status, body) in [(180, ""), (183, "v=0\n"), (200, "v=0\n")] {
        let answer = ann.response(&invite, status, "So");
        world.send(ANN, EDGES[1], &unsized_with(&answer, body));
    }
    let to_home = |seen: &&super::world::Seen| {
        seen.to.ip() == HOME.parse::<std::net::SocketAddr>().unwrap().ip()
    };
    let mut seen = 0;
    for message in world.trace.iter().filter(to_home) {
        let (stated, is) = lengths(&message.text);
        assert_eq!(stated, [is], "{}", message.text);
        seen += 1;
    }
    assert!(seen >= 4, "{}", world.ladder());
    assert_eq!(joe.status(&mut world), 100);
    assert_eq!(
        [180, 183, 200].map(|_| joe.status(&mut world)),
        [180, 183, 200]
    );
    for node in [EDGES[0], EDGES[1], HOME] {
        assert_eq!(world.counter(node, "malformed"), 0);
    }
}

#[test]
fn a_user_in_the_route_to_our_address_changes_nothing() {
    // Phones that put a user into their outbound proxy.
    let mut world = World::lab(Tokens::Sealed);
    let routes = [
        "<sip:any@127.0.0.11;lr>",
        "<sip:fred@127.0.0.11:5060;lr>",
        "<sip:sue@127.0.0.11;lr;transport=udp>",
    ];
    for (index, route) in (0..).zip(routes) {
        let mut register = Register::new("joe", JOE);
        register.route = route.to_owned();
        register.cseq = 10 * index;
        let ok = register.login(&mut world, EDGES[0]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{route}: {ok}");
    }
    let joe = Phone::new("joe", JOE, false);
    let mut ann = Phone::new("ann", ANN, false);
    ann.register(&mut world, EDGES[1]);
    let route = "Route: <sip:joe@127.0.0.11;lr>\n";
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, route, "");
    joe.send(&mut world, EDGES[0], &invite);
    assert!(
        ann.receive(&mut world).starts_with("INVITE "),
        "{}",
        world.ladder()
    );
}

#[test]
fn a_call_that_another_phone_has_taken_is_no_missed_call() {
    // RFC 3326: the CANCEL says why; and the caller's own reason passes on.
    let mut world = World::lab(Tokens::Sealed);
    let mut ann = Phone::new("ann", ANN, false);
    ann.register(&mut world, EDGES[1]);
    let desks = ["127.0.0.1:5071", "127.0.0.1:5072"];
    for desk in desks {
        let mut register = Register::new("joe", desk);
        register.call_id = desk;
        register.login(&mut world, EDGES[0]);
    }
    let joe = Phone::new("joe", desks[0], false);
    let call = |world: &mut World, cseq| {
        let invite = ann.request("INVITE", "sip:joe@example.com", cseq, "", "");
        ann.send(world, EDGES[1], &invite);
        let rings = desks.map(|desk| world.receive(desk).text);
        for (desk, ring) in desks.iter().zip(&rings) {
            world.send(desk, EDGES[0], &joe.response(ring, 180, "Ringing"));
        }
        (invite, rings)
    };
    let (_, rings) = call(&mut world, 1);
    world.send(desks[0], EDGES[0], &joe.response(&rings[0], 200, "OK"));
    let cancel = world.receive(desks[1]).text;
    assert!(cancel.starts_with("CANCEL "), "{cancel}");
    assert_eq!(
        Phone::values(&cancel, "Reason"),
        ["SIP;cause=200;text=\"Call completed elsewhere\""],
        "{cancel}"
    );
    world.send(desks[1], EDGES[0], &joe.response(&cancel, 200, "OK"));
    world.send(
        desks[1],
        EDGES[0],
        &joe.response(&rings[1], 487, "Cancelled"),
    );
    world.forget();
    let (invite, _) = call(&mut world, 2);
    let reason = "Q.850;cause=16;text=\"Terminated\"";
    let cancel = invite.replace("INVITE", "CANCEL");
    let cancel = cancel.replacen(
        "Max-Forwards",
        &format!("Reason: {reason}\nMax-Forwards"),
        1,
    );
    let cancel: String = cancel
        .lines()
        .filter(|line| !line.starts_with("Contact"))
        .map(|line| format!("{line}\n"))
        .collect();
    ann.send(&mut world, EDGES[1], &cancel);
    for desk in desks {
        let cancel = world.receive(desk).text;
        assert!(cancel.starts_with("CANCEL "), "{cancel}");
        assert_eq!(Phone::values(&cancel, "Reason"), [reason], "{cancel}");
    }
}

#[test]
fn what_no_message_begins_with_is_skipped_between_messages() {
    // Keep-alives of phones and trunks: what is answered and what is not.
    for noise in [
        &b"\r\n\0"[..],
        b"\n\r\n",
        b"\0",
        b"\0\0\0\0",
        b"\n",
        b"\r\n\r\n\0",
        b" \r\n",
    ] {
        let mut world = World::lab(Tokens::Sealed);
        let from = "127.0.0.1:40071";
        world.connect(from, EDGES[0]);
        for cseq in [1, 2] {
            world.send_bytes(from, EDGES[0], noise);
            let mut register = Register::new("joe", from);
            register.cseq = cseq;
            let pong = noise.starts_with(b"\r\n\r\n");
            assert!(!pong || world.receive(from).text == "\r\n");
            let stated = register.send(&mut world, EDGES[0], "");
            assert!(stated.starts_with("SIP/2.0 401 "), "{noise:?}: {stated}");
            assert!(world.is_connected(from, EDGES[0]), "{noise:?}");
        }
    }
}

#[test]
fn the_phones_contact_in_place_of_its_old_one_can_be_called() {
    let mut world = World::lab(Tokens::Sealed);
    let mut ann = Phone::new("ann", ANN, false);
    ann.register(&mut world, EDGES[1]);
    let mut old = Register::new("joe", "127.0.0.1:5069");
    old.login(&mut world, EDGES[0]);
    let mut register = Register::new("joe", JOE);
    register.call_id = "new";
    register.lines =
        format!("Contact: <sip:joe@127.0.0.1:5069>;expires=0, <sip:joe@{JOE}>;expires=600\n");
    let ok = register.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    ann.send(
        &mut world,
        EDGES[1],
        &ann.request("INVITE", "sip:joe@example.com", 1, "", ""),
    );
    assert!(
        world.receive(JOE).text.starts_with("INVITE "),
        "{}",
        world.ladder()
    );
}

#[test]
fn a_phone_that_comes_from_port_after_port_stays_registered() {
    // NATs and restarts: the oldest binding of its instance gives way.
    let mut world = World::lab(Tokens::Sealed);
    for port in 6_000..6_025 {
        let from = format!("127.0.0.1:{port}");
        let mut register = Register::new("joe", &from);
        register.call_id = &from;
        register.lines =
            format!("Contact: <sip:joe@{from}>;+sip.instance=\"<urn:uuid:joe>\"\nExpires: 3600\n");
        let ok = register.login(&mut world, EDGES[0]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{port}: {ok}");
    }
}

#[test]
fn preferences_and_lifetimes_are_read_as_they_are_meant() {
    let mut world = World::lab(Tokens::Sealed);
    for (index, lines) in [
        format!("Contact: <sip:joe@{JOE}>;q=.5\n"),
        format!("Contact: <sip:joe@{JOE}>;q=0.5000\n"),
        format!("Contact: <sip:joe@{JOE}>;q=1.\n"),
        format!("Contact: <sip:joe@{JOE}>;expires=600\nExpires: never\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut register = Register::new("joe", JOE);
        let call_id = index.to_string();
        (register.lines, register.call_id) = (lines, &call_id);
        let ok = register.login(&mut world, EDGES[0]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{}: {ok}", register.lines);
    }
}

#[test]
fn an_extension_that_nobody_has_is_named_to_who_requires_it() {
    // RFC 3261 §8.2.2.3
    let mut world = World::lab(Tokens::Sealed);
    let mut register = Register::new("joe", JOE);
    register.lines += "Require: gruu, x-unknown\nSupported: gruu, path\n";
    let mut stated = register.send(&mut world, EDGES[0], "");
    if stated.starts_with("SIP/2.0 401 ") {
        stated = register.send(
            &mut world,
            EDGES[0],
            &super::phone::authorization("joe", &stated),
        );
    }
    assert!(stated.starts_with("SIP/2.0 420 "), "{stated}");
    assert_eq!(Phone::values(&stated, "Unsupported"), ["gruu", "x-unknown"]);
}

#[test]
fn a_contact_that_leads_nowhere_is_reached_over_its_flow() {
    // Port 0 in the Contact, on either side: the ACK and the BYE go the way of the
    // INVITE, and nothing is sent to port 0.
    let (mut world, mut joe, mut ann) = phones();
    let nowhere = |text: &str, addr: &str| {
        let (host, _) = addr.split_once(':').unwrap();
        let out = text.replace(&format!("@{addr}>"), &format!("@{host}:0>"));
        assert_ne!(out, text);
        out
    };
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &nowhere(&invite, JOE));
    let ring = ann.receive(&mut world);
    let answer = ann.response(&ring, 200, "OK");
    world.send(ANN, EDGES[1], &nowhere(&answer, ANN));
    assert_eq!(joe.status(&mut world), 100);
    let ok = joe.receive(&mut world);
    joe.dialog(&ok, true);
    ann.dialog(&ring, false);
    assert_eq!(joe.remote_target, "sip:ann@127.0.0.1:0");
    joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
    let ack = ann.receive(&mut world);
    assert!(ack.starts_with("ACK sip:ann@127.0.0.1:0 "), "{ack}");
    for (cseq, method) in (2..).zip(["INFO", "BYE"]) {
        joe.in_dialog(&mut world, EDGES[0], method, cseq);
        let got = ann.receive(&mut world);
        assert!(got.starts_with(&format!("{method} ")), "{got}");
        ann.answer(&mut world, EDGES[1], &got, 200, "OK");
        assert_eq!(joe.status(&mut world), 200);
        ann.in_dialog(&mut world, EDGES[1], method, cseq);
        let got = joe.receive(&mut world);
        assert!(
            got.starts_with(&format!("{method} sip:joe@127.0.0.1:0 ")),
            "{got}"
        );
        joe.answer(&mut world, EDGES[0], &got, 200, "OK");
        assert_eq!(ann.status(&mut world), 200);
    }
    assert!(world.trace.iter().all(|seen| seen.to.port() != 0));
}

#[test]
fn a_phone_with_port_0_registers_and_is_called() {
    let mut world = World::lab(Tokens::Sealed);
    let mut ann = Phone::new("ann", ANN, false);
    ann.register(&mut world, EDGES[1]);
    let mut joe = Register::new("joe", JOE);
    joe.lines = "Contact: <sip:joe@127.0.0.1:0>\n".to_owned();
    let ok = joe.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    let invite = ann.request("INVITE", "sip:joe@example.com", 1, "", "");
    ann.send(&mut world, EDGES[1], &invite);
    let got = world.receive(JOE).text;
    assert!(got.starts_with("INVITE sip:joe@127.0.0.1:0 "), "{got}");
    // Once its flow is forgotten nobody knows where it is.
    world.restart(EDGES[0]);
    ann.send(
        &mut world,
        EDGES[1],
        &ann.request("MESSAGE", "sip:joe@example.com", 2, "", ""),
    );
    world.pass(steadfast::limits::T1_64);
    let mut answers = std::iter::from_fn(|| world.has(ANN).then(|| ann.status(&mut world)));
    assert!(answers.any(|status| status == 480), "{}", world.ladder());
}

#[test]
fn a_call_whose_contact_nobody_could_call_does_not_begin() {
    // RFC 3261 §8.1.1.8: its ACK and BYE would be refused one by one.
    let (mut world, joe, ann) = phones();
    for (cseq, contact) in (1..).zip([
        "*",
        "<sip:joe@127.0.0.1:65536>",
        "<sip:joe@[127.0.0.1]>",
        "<sip:joe@127.0.0.1?Subject=hello>",
        "<mailto:joe@example.com>",
        "<sips:joe@127.0.0.1>",
        "<>",
    ]) {
        for method in ["INVITE", "SUBSCRIBE"] {
            let request = joe.request(method, "sip:ann@example.com", cseq, "", "");
            let bent = request.replace(&format!("<sip:joe@{JOE}>"), contact);
            joe.send(&mut world, EDGES[0], &bent);
            assert_eq!(joe.status(&mut world), 400, "{contact}");
            joe.send(&mut world, EDGES[0], &bent.replace("INVITE", "ACK"));
        }
        // What makes no dialog passes as it is (RFC 3261 §16.3-1).
        let message = joe.request("MESSAGE", "sip:ann@example.com", cseq, "", "");
        let bent = message.replace(&format!("<sip:joe@{JOE}>"), contact);
        joe.send(&mut world, EDGES[0], &bent);
        assert!(ann.receive(&mut world).starts_with("MESSAGE "), "{contact}");
    }
    for contact in ["Contact: <tel:+1201>\n", ""] {
        world.forget();
        let request = joe.request(
            "INVITE",
            "sip:ann@example.com",
            100 + u32::try_from(contact.len()).unwrap(),
            "",
            "",
        );
        let bent = request.replace(&format!("Contact: <sip:joe@{JOE}>\n"), contact);
        joe.send(&mut world, EDGES[0], &bent);
        assert!(ann.receive(&mut world).starts_with("INVITE "), "{contact}");
    }
}

#[test]
fn an_ack_with_the_branch_of_an_invite_under_way_goes_nowhere() {
    // RFC 3261 §17.2.3: it is that transaction's, and there is nothing to acknowledge.
    let (mut world, joe, ann) = phones();
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    let ring = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &ring, 180, "Ringing");
    joe.send(&mut world, EDGES[0], &invite.replace("INVITE", "ACK"));
    assert!(!world.has(ANN), "{}", world.ladder());
}

#[test]
fn an_answer_with_other_vias_is_nobodys_answer() {
    // P-20: ALGs and sloppy phones leave Vias out or write them twice.
    for other in ["SIP/2.0/UDP 127.0.0.9:5060;branch=z9hG4bKmore", ""] {
        let (mut world, joe, ann) = phones();
        let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
        joe.send(&mut world, EDGES[0], &invite);
        assert_eq!(joe.status(&mut world), 100);
        let ring = ann.receive(&mut world);
        // One Via more below the edge's own, or the lowest one missing.
        let bent = |answer: &str| {
            let lowest = answer
                .lines()
                .rfind(|line| line.starts_with("Via: "))
                .unwrap();
            let bent = match other {
                "" => String::new(),
                other => format!("{lowest}\nVia: {other}\n"),
            };
            answer.replacen(&format!("{lowest}\n"), &bent, 1)
        };
        for status in [180, 200] {
            let answer = bent(&ann.response(&ring, status, "So"));
            world.send(ANN, EDGES[1], &answer);
            assert!(!world.has(JOE), "{}", world.ladder());
        }
        ann.answer(&mut world, EDGES[1], &ring, 180, "Ringing");
        assert_eq!(joe.status(&mut world), 180);
        let refusal = bent(&ann.response(&ring, 486, "Busy Here"));
        world.send(ANN, EDGES[1], &refusal);
        assert_eq!(joe.status(&mut world), 486, "{}", world.ladder());
    }
}
