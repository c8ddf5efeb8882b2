//! A phone over UDP that has gone on to another edge while the one it has left has its old
//! flow, behind a home that is none of ours: it sends what belongs to a dialog to any edge.

use super::peer::{FAR, answer};
use super::phone::Phone;
use super::whose::foreign_with;
use super::world::{EDGES, Tokens, World};
use steadfast::limits;
use steadfast::time::Duration;

const BEFORE: &str = "127.0.0.1:5070";
const AFTER: &str = "127.0.0.1:5071";

/// joe registers through an edge, from there, with this in his Contact; his Path.
#[track_caller]
fn register(world: &mut World, from: &str, edge: &str, flow: &str) -> String {
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK{}\n\
         Route: <sip:edge.example.com;lr>\nMax-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\n\
         To: <sip:joe@example.com>\nCall-ID: moving\nCSeq: 1 REGISTER\n\
         Contact: <sip:joe@10.1.1.1:5060>{flow}\nSupported: path, outbound\n\
         Content-Length: 0\n\n",
        from.len() + edge.len() + usize::from(from == AFTER)
    );
    world.send(from, edge, &text);
    let request = world.receive(FAR).text;
    let at = world.last_to(FAR).from.to_string();
    let path = Phone::values(&request, "Path").remove(0);
    let contact = Phone::values(&request, "Contact").remove(0);
    let outbound = if flow.is_empty() {
        ""
    } else {
        "Require: outbound\n"
    };
    let granted = format!("Contact: {contact};expires=3600\nPath: {path}\n{outbound}");
    world.send(FAR, &at, &answer(&request, 200, "r", &granted));
    assert!(world.receive(from).text.starts_with("SIP/2.0 200 "));
    path
}

/// What the home sends to e1 for the phone of a Path.
fn send(world: &mut World, method: &str, path: &str, tag: &str) {
    let text = format!(
        "{method} sip:joe@10.1.1.1:5060 SIP/2.0\nVia: SIP/2.0/UDP {FAR};branch=z9hG4bK{method}\n\
         Route: {path}\nMax-Forwards: 70\nFrom: <sip:ann@example.com>;tag=a\n\
         To: <sip:joe@example.com>{tag}\nCall-ID: call\nCSeq: 7 {method}\nContact: <sip:ann@{FAR}>\n\
         Content-Length: 0\n\n"
    );
    world.send(FAR, EDGES[0], &text);
}

/// What waits there, retransmissions but once.
fn waiting(world: &mut World, at: &str) -> Vec<String> {
    let mut all = Vec::new();
    while world.has(at) {
        let text = world.receive(at).text;
        if all.last() != Some(&text) {
            all.push(text);
        }
    }
    all
}

#[test]
fn a_phone_that_has_gone_on_through_another_edge_is_found_there() {
    // H-20
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        for method in ["INFO", "BYE", "INVITE"] {
            let mut world = foreign_with(tokens, |_| ());
            let path = register(&mut world, BEFORE, EDGES[0], "");
            register(&mut world, AFTER, EDGES[2], "");
            send(&mut world, method, &path, ";tag=j");
            assert_eq!(waiting(&mut world, BEFORE).len(), 1, "{}", world.ladder());
            assert!(waiting(&mut world, AFTER).is_empty(), "{}", world.ladder());
            world.pass(limits::PHONE_SILENCE);
            let got = waiting(&mut world, AFTER);
            assert_eq!(got.len(), 1, "{method}\n{}", world.ladder());
            let start = format!("{method} sip:joe@10.1.1.1:5060 SIP/2.0\r\n");
            assert!(
                got[0].starts_with(&start) && !got[0].contains("\r\nRoute: "),
                "{}",
                got[0]
            );
            world.send(AFTER, EDGES[2], &answer(&got[0], 200, "", ""));
            let answers = waiting(&mut world, FAR);
            let last = answers.last().unwrap();
            assert!(last.starts_with("SIP/2.0 200 "), "{last}");
            assert_eq!(world.counter(EDGES[0], "overtaken"), 1);
            if method == "INVITE" {
                // P-34
                send(&mut world, "ACK", &path, ";tag=j");
                let got = waiting(&mut world, AFTER);
                assert_eq!(got.len(), 1, "{}", world.ladder());
                assert!(
                    got[0].starts_with("ACK sip:joe@10.1.1.1:5060 "),
                    "{}",
                    got[0]
                );
            }
        }
    }
}

#[test]
fn an_ack_beside_what_the_phone_is_about_to_answer_goes_to_the_phone_alone() {
    // P-34: a busy phone always has something unanswered, and that is no silence.
    let mut world = foreign_with(Tokens::Sealed, |_| ());
    let path = register(&mut world, BEFORE, EDGES[0], "");
    register(&mut world, AFTER, EDGES[2], "");
    send(&mut world, "INFO", &path, ";tag=j");
    send(&mut world, "ACK", &path, ";tag=j");
    let got = waiting(&mut world, BEFORE);
    assert_eq!(got.len(), 2, "{got:?}");
    assert!(waiting(&mut world, AFTER).is_empty(), "{}", world.ladder());
    // It has answered, if late: no more of it.
    world.pass(limits::PHONE_SILENCE);
    assert!(waiting(&mut world, AFTER)[0].starts_with("INFO "));
    world.send(BEFORE, EDGES[0], &answer(&got[0], 100, "", ""));
    waiting(&mut world, BEFORE);
    send(&mut world, "ACK", &path, ";tag=j");
    assert!(waiting(&mut world, BEFORE)[0].starts_with("ACK "));
    assert!(waiting(&mut world, AFTER).is_empty(), "{}", world.ladder());
}

#[test]
fn a_phone_that_takes_its_time_is_waited_for() {
    // H-20: nobody else has it, and that is no answer.
    let mut world = foreign_with(Tokens::Sealed, |_| ());
    let path = register(&mut world, BEFORE, EDGES[0], "");
    send(&mut world, "INFO", &path, ";tag=j");
    world.pass(limits::PHONE_SILENCE + Duration::from_secs(8));
    let got = waiting(&mut world, BEFORE);
    let heard = waiting(&mut world, FAR);
    assert!(
        heard.iter().all(|text| text.starts_with("SIP/2.0 100 ")),
        "{heard:?}"
    );
    world.send(BEFORE, EDGES[0], &answer(&got[0], 200, "", ""));
    let heard = waiting(&mut world, FAR);
    assert!(heard[0].starts_with("SIP/2.0 200 "), "{heard:?}");
}

#[test]
fn who_is_heard_or_has_other_ways_is_not_looked_for_elsewhere() {
    let flow = ";+sip.instance=\"<urn:uuid:1>\";reg-id=1";
    for (flow, method, tag, status) in [
        // It rings, or thinks.
        ("", "INVITE", ";tag=j", 100),
        ("", "INVITE", ";tag=j", 180),
        ("", "INFO", ";tag=j", 100),
        // The home has another Path, or forks.
        (flow, "INFO", ";tag=j", 0),
        ("", "INVITE", "", 0),
        ("", "MESSAGE", "", 0),
    ] {
        let mut world = foreign_with(Tokens::Sealed, |_| ());
        let path = register(&mut world, BEFORE, EDGES[0], flow);
        register(&mut world, AFTER, EDGES[2], &flow.replace("id=1", "id=2"));
        send(&mut world, method, &path, tag);
        let got = waiting(&mut world, BEFORE);
        if status > 0 {
            world.send(BEFORE, EDGES[0], &answer(&got[0], status, "", ""));
        }
        world.pass(Duration::from_secs(20));
        assert!(
            waiting(&mut world, AFTER).is_empty(),
            "{method}{flow}{tag} {status}"
        );
        assert_eq!(world.counter(EDGES[0], "overtaken"), 0);
    }
}

#[test]
fn timer_c_of_a_call_runs_from_its_first_sign() {
    // P-30: what the silence is measured with does not cut it short.
    let mut world = foreign_with(Tokens::Sealed, |_| ());
    let path = register(&mut world, BEFORE, EDGES[0], "");
    send(&mut world, "INVITE", &path, ";tag=j");
    let got = waiting(&mut world, BEFORE);
    world.send(BEFORE, EDGES[0], &answer(&got[0], 180, "", ""));
    world.pass(Duration::from_secs(170));
    assert!(waiting(&mut world, BEFORE).is_empty(), "{}", world.ladder());
    world.pass(Duration::from_secs(20));
    let got = waiting(&mut world, BEFORE);
    assert!(
        got.iter().any(|text| text.starts_with("CANCEL ")),
        "{}",
        world.ladder()
    );
}
