//! The user agent against an edge that the test plays: what the lab's edges
//! and home never say (D-U4, D-U7, D-U9, D-U16; RFC 3261 §8, §13).

use super::phone::Phone;
use super::world::{HOME, Seen, Tokens, World};
use steadfast::agent::Command;
use steadfast::send::{Event, Party};
use steadfast::time::Duration;

pub(crate) const JOE: &str = "127.0.0.1:5070";
/// What the cluster's name leads to: the test.
pub(crate) const EDGE: &str = "127.0.0.99:5060";
pub(crate) const OTHER: &str = "127.0.0.98:5060";

/// joe, whom the home has sent to the edge, and his first REGISTER there.
pub(crate) fn redirected() -> (World, Seen) {
    let mut world = World::lab(Tokens::Clear);
    world.add_agent("joe", JOE, "secret", &[EDGE]);
    world.command(JOE, Command::Register);
    let register = world.receive(EDGE);
    (world, register)
}

/// joe registered through the edge, which offers him nothing more (D-U15).
fn registered() -> World {
    let (mut world, register) = redirected();
    let lines = "Service-Route: <sip:t@edge.example.com;lr;ob>\n";
    answer(&mut world, EDGE, &register.text, "200 OK", lines);
    let events = world.events(JOE);
    assert!(
        events.ends_with(&[Event::Ready { flows: 1, of: 1 }]),
        "{events:?}"
    );
    world
}

/// Answers a request of joe's from `from`; a To tag comes with `lines` or not at all.
pub(crate) fn answer(world: &mut World, from: &str, request: &str, status: &str, lines: &str) {
    let mut out = format!("SIP/2.0 {status}\n");
    for line in request.split("\r\n") {
        let name = line.split(':').next().unwrap();
        match name {
            "To" if !lines.contains("To: ") => out += &format!("{line};tag=edge\n"),
            "Via" | "From" | "Call-ID" | "CSeq" => out += &format!("{line}\n"),
            _ => {}
        }
    }
    out += &format!("{lines}Content-Length: 0\n\n");
    world.send(from, JOE, &out);
}

fn one(text: &str, name: &str) -> String {
    Phone::values(text, name).remove(0)
}

#[test]
fn a_proxy_in_use_gets_no_second_flow_under_any_name_of_the_header() {
    // D-U9, D-U16
    for name in ["Outbound-Proxy", "Outbound-Proxies", "Alternative-Proxies"] {
        let (mut world, register) = redirected();
        let list = format!(
            "{name}: <sip:t@edge.example.com;lr;maddr=127.0.0.99>, <sip:t@edge.example.com;lr;maddr=127.0.0.98>\n"
        );
        answer(&mut world, EDGE, &register.text, "200 OK", &list);
        assert!(!world.has(EDGE), "{}", world.ladder());
        let second = world.receive(OTHER).text;
        assert_eq!(
            one(&second, "Route"),
            "<sip:t@edge.example.com;lr;maddr=127.0.0.98>"
        );
        assert!(second.contains(";reg-id=2\r\n"), "{second}");
    }
}

#[test]
fn a_redirect_without_lr_changes_the_request_uri() {
    // D-U4, D-U5
    let (mut world, first) = redirected();
    let contact = "Contact: <sip:127.0.0.98>\n";
    answer(&mut world, EDGE, &first.text, "302 Moved", contact);
    let second = world.receive(EDGE).text;
    assert!(second.starts_with("REGISTER sip:127.0.0.98 "), "{second}");
    assert_eq!(one(&second, "CSeq"), "3 REGISTER");
    for name in ["Call-ID", "From", "To", "Route"] {
        assert_eq!(one(&second, name), one(&first.text, name), "{name}");
    }
}

#[test]
fn redirects_do_not_go_round_and_do_not_go_on() {
    // D-U7
    let (mut world, first) = redirected();
    let contact = "Contact: <sip:edge.example.com;lr>\n";
    answer(&mut world, EDGE, &first.text, "300 Again", contact);
    assert!(!world.has(EDGE));
    let events = world.events(JOE);
    assert!(
        matches!(&events[..], [_, Event::NotRegistered { status: 300, why, .. }, _]
            if why == "the answer was 300 and leads nowhere new"),
        "{events:?}"
    );
    let (mut world, first) = redirected();
    let mut last = first.text;
    for turn in 0..10 {
        let contact = format!("Contact: <sip:edge{turn}@127.0.0.99;lr>\n");
        answer(&mut world, EDGE, &last, "300 Further", &contact);
        if !world.has(EDGE) {
            assert_eq!(turn, 4, "the one from the home counts too");
            return;
        }
        last = world.receive(EDGE).text;
    }
    panic!("it follows for ever");
}

#[test]
fn a_registration_that_is_too_brief_is_asked_for_again() {
    let (mut world, first) = redirected();
    assert_eq!(one(&first.text, "Expires"), "600");
    let lines = "Min-Expires: 1800\n";
    answer(&mut world, EDGE, &first.text, "423 Too Brief", lines);
    let second = world.receive(EDGE).text;
    assert_eq!(one(&second, "Expires"), "1800");
    assert_eq!(one(&second, "CSeq"), "3 REGISTER");
}

#[test]
fn a_stale_nonce_is_no_wrong_password_and_has_an_end() {
    let (mut world, register) = redirected();
    let mut last = register.text;
    for turn in 1..=4 {
        let line = format!(
            "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\", algorithm=SHA-999\n\
             WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n{turn}\", qop=\"auth-int,auth\", algorithm=SHA-256, stale=true\n"
        );
        answer(&mut world, EDGE, &last, "401 Unauthorized", &line);
        if turn == 4 {
            break;
        }
        last = world.receive(EDGE).text;
        assert!(
            last.contains(&format!("nonce=\"n{turn}\""))
                && last.contains("algorithm=SHA-256, qop=auth, nc=00000001,"),
            "{last}"
        );
        assert!(!last.contains("realm=\"x\""), "{last}");
    }
    assert!(!world.has(EDGE));
    let events = world.events(JOE);
    assert!(
        matches!(
            &events[..],
            [
                _,
                Event::NotRegistered {
                    status: 401,
                    retry_s: None,
                    ..
                },
                _
            ]
        ),
        "{events:?}"
    );
}

#[test]
fn the_registrar_says_when_to_come_back() {
    // O-28
    let (mut world, register) = redirected();
    let lines = "Retry-After: 7\n";
    answer(&mut world, EDGE, &register.text, "503 Busy", lines);
    world.pass(Duration::from_millis(6_900));
    assert!(!world.has(EDGE));
    world.pass(Duration::from_millis(200));
    // D-U6: not by the home again.
    assert_eq!(
        one(&world.receive(EDGE).text, "Route"),
        "<sip:edge.example.com;lr>"
    );
    assert!(!world.has(HOME));
}

#[test]
fn a_dialog_stays_on_the_flow_it_came_by() {
    // S-5, S-14, H-6: the name in its Route leads to the first edge.
    let (mut world, register) = redirected();
    let token = "Service-Route: <sip:t@edge.example.com;lr;ob>\n";
    let list = "Outbound-Proxy: <sip:t@edge.example.com;lr;maddr=127.0.0.98>\n";
    let lines = [token, list].concat();
    answer(&mut world, EDGE, &register.text, "200 OK", &lines);
    let register = world.receive(OTHER).text;
    answer(&mut world, OTHER, &register, "200 OK", token);
    // Often enough that chance cannot have chosen the flow each time.
    for call in 0..8 {
        let from_other = |branch: &str, to: &str| {
            let text = invite(&format!("{branch}{call}"), 1, to).replace(EDGE, OTHER);
            text.replace("Call-ID: c", &format!("Call-ID: c{call}"))
        };
        world.send(OTHER, JOE, &from_other("i", "<sip:joe@example.com>"));
        let to = one(&world.receive(OTHER).text, "To");
        world.pass(Duration::from_millis(1_100));
        assert!(world.receive(OTHER).text.starts_with("SIP/2.0 200 "));
        world.send(OTHER, JOE, &from_other("a", &to).replace("INVITE", "ACK"));
        world.command(JOE, Command::Hangup);
        let bye = world.receive(OTHER).text;
        assert!(bye.starts_with("BYE sip:ann@127.0.0.97 "), "{bye}");
        assert_eq!(one(&bye, "Route"), "<sip:t@edge.example.com;lr;x=1>");
        assert!(!world.has(EDGE), "{}", world.ladder());
        answer(&mut world, OTHER, &bye, "200 OK", "");
    }
}

/// An INVITE to joe.
fn invite(branch: &str, cseq: u32, to: &str) -> String {
    format!(
        "INVITE sip:joe@{JOE} SIP/2.0\nVia: SIP/2.0/UDP {EDGE};branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
         From: <sip:ann@example.com>;tag=a\nTo: {to}\nCall-ID: c\nCSeq: {cseq} INVITE\n\
         Record-Route: <sip:t@edge.example.com;lr;x=1>\nContact: <sip:ann@127.0.0.97>\nContent-Length: 0\n\n"
    )
}

#[test]
fn an_invite_that_comes_by_two_ways_is_answered_once() {
    // RFC 3261 §8.2.2.2
    let mut world = registered();
    for (branch, want) in [
        ("1", "SIP/2.0 180 "),
        ("2", "SIP/2.0 482 "),
        ("1", "SIP/2.0 180 "),
    ] {
        world.send(EDGE, JOE, &invite(branch, 1, "<sip:joe@example.com>"));
        let text = world.receive(EDGE).text;
        assert!(text.starts_with(want), "{text}");
    }
}

#[test]
fn an_answer_is_repeated_until_it_is_acknowledged() {
    // RFC 3261 §13.3.1.4
    let mut world = registered();
    world.send(EDGE, JOE, &invite("1", 1, "<sip:joe@example.com>"));
    let ringing = world.receive(EDGE).text;
    assert_eq!(
        one(&ringing, "Record-Route"),
        "<sip:t@edge.example.com;lr;x=1>"
    );
    world.pass(Duration::from_millis(1_000 + 500 + 1_000 + 100));
    let to = one(&ringing, "To");
    for _ in 0..3 {
        let ok = world.receive(EDGE).text;
        assert!(
            ok.starts_with("SIP/2.0 200 ") && ok.contains("\r\n\r\nv=0\r\n"),
            "{ok}"
        );
        assert_eq!(one(&ok, "To"), to);
    }
    let ack = invite("2", 1, &to).replace("INVITE", "ACK");
    world.send(EDGE, JOE, &ack);
    world.pass(Duration::from_secs(20));
    assert!(!world.has(EDGE), "{}", world.ladder());
    // A re-INVITE changes nothing but is answered likewise; an old one is not.
    world.send(EDGE, JOE, &invite("3", 2, &to));
    assert!(world.receive(EDGE).text.starts_with("SIP/2.0 200 "));
    world.send(EDGE, JOE, &invite("4", 2, &to).replace("INVITE", "ACK"));
    world.send(EDGE, JOE, &invite("5", 2, &to));
    assert!(world.receive(EDGE).text.starts_with("SIP/2.0 500 "));
    let bye = invite("6", 3, &to).replace("INVITE", "BYE");
    world.send(EDGE, JOE, &bye);
    let events = world.events(JOE);
    assert!(
        matches!(
            events[..],
            [
                Event::Incoming { .. },
                Event::Established { .. },
                Event::Ended {
                    by: Party::Them,
                    ..
                }
            ]
        ),
        "{events:?}"
    );
}

#[test]
fn a_call_is_not_ended_before_its_answer_is_acknowledged() {
    // RFC 3261 §15: the 2xx may be lost, and then the BYE means nothing yet.
    let mut world = registered();
    world.send(EDGE, JOE, &invite("1", 1, "<sip:joe@example.com>"));
    let to = one(&world.receive(EDGE).text, "To");
    world.pass(Duration::from_millis(1_100));
    assert!(world.receive(EDGE).text.starts_with("SIP/2.0 200 "));
    world.command(JOE, Command::Hangup);
    world.pass(Duration::from_millis(500));
    assert!(world.receive(EDGE).text.starts_with("SIP/2.0 200 "));
    assert!(!world.has(EDGE), "{}", world.ladder());
    world.send(EDGE, JOE, &invite("2", 1, &to).replace("INVITE", "ACK"));
    assert!(world.receive(EDGE).text.starts_with("BYE "));
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let mut world = registered();
    let to = "<sip:joe@example.com>";
    let check = |world: &mut World, text: String, want: &str, line: &str| {
        world.send(EDGE, JOE, &text);
        let got = world.receive(EDGE).text;
        assert!(got.starts_with(want) && got.contains(line), "{got}");
    };
    let allow = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n";
    let other = |method| invite(method, 1, to).replace("INVITE", method);
    check(&mut world, other("REFER"), "SIP/2.0 405 ", allow);
    check(&mut world, other("DANCE"), "SIP/2.0 501 ", allow);
    check(&mut world, other("OPTIONS"), "SIP/2.0 200 ", allow);
    check(&mut world, other("BYE"), "SIP/2.0 481 ", "");
    check(&mut world, other("CANCEL"), "SIP/2.0 481 ", "");
    let required = invite("r", 1, to).replace("Contact", "Require: foo\nContact");
    check(&mut world, required, "SIP/2.0 420 ", "Unsupported: foo\r\n");
}

#[test]
fn of_two_phones_that_answer_one_is_let_go() {
    // RFC 3261 §13.2.2.4
    let mut world = registered();
    world.command(JOE, Command::Call("sip:ann@example.com".to_owned()));
    let invite = world.receive(EDGE).text;
    for tag in ["t1", "t2", "t1"] {
        let lines =
            format!("To: <sip:ann@example.com>;tag={tag}\nContact: <sip:{tag}@127.0.0.97>\n");
        answer(&mut world, EDGE, &invite, "200 OK", &lines);
    }
    let mut got = Vec::new();
    for index in ["127.0.0.97:5060"; 4] {
        let text = world.receive(index).text;
        got.push(text.split(" SIP/2.0").next().unwrap().to_owned());
    }
    let ack = "ACK sip:t1@127.0.0.97";
    assert_eq!(
        got,
        [ack, "ACK sip:t2@127.0.0.97", "BYE sip:t2@127.0.0.97", ack]
    );
}

#[test]
fn a_call_that_was_refused_and_then_taken_is_let_go() {
    // RFC 3261 §13.2.2.4: otherwise the one who took it waits for its ACK.
    let mut world = registered();
    world.command(JOE, Command::Call("sip:ann@example.com".to_owned()));
    let invite = world.receive(EDGE).text;
    let lines =
        |tag| format!("To: <sip:ann@example.com>;tag={tag}\nContact: <sip:{tag}@127.0.0.97>\n");
    answer(&mut world, EDGE, &invite, "486 Busy", &lines("t1"));
    assert!(world.receive(EDGE).text.starts_with("ACK "));
    let events = world.events(JOE);
    let failed = |event: &Event| matches!(event, Event::Failed { status: 486, .. });
    assert!(events.iter().any(failed), "{events:?}");
    answer(&mut world, EDGE, &invite, "200 OK", &lines("t2"));
    for method in ["ACK", "BYE"] {
        let text = world.receive("127.0.0.97:5060").text;
        assert!(
            text.starts_with(&format!("{method} sip:t2@127.0.0.97 ")),
            "{text}"
        );
    }
    assert_eq!(world.events(JOE), []);
}
