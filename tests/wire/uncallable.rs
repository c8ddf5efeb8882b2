//! Phones whose answers name no Contact that can be called, and what becomes of the
//! call: its own requests go by the Routes, and over the flow of the phone at their end
//! (RFC 3261 §12.2.1.1, RFC 5626 §5.3), for which nobody needs to read the Request-URI.

use super::phone::Phone;
use super::world::{EDGES, Tokens, World};
use steadfast::limits;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

/// What ann's phone says of itself in its 2xx, and the Request-URI that joe's makes of it.
const CONTACTS: [(&str, &str); 7] = [
    // RFC 2543: the address that was called.
    ("", "sip:ann@example.com"),
    ("Contact: <sip:ann@>\n", "sip:ann@"),
    (
        "Contact: <sip:ann@127.0.0.1:99999>\n",
        "sip:ann@127.0.0.1:99999",
    ),
    (
        "Contact: <http://ann.example.com/>\n",
        "http://ann.example.com/",
    ),
    ("Contact: <ann>\n", "ann"),
    (
        "Contact: <sip:ann@127.0.0.1:5080?Subject=a>\n",
        "sip:ann@127.0.0.1:5080?Subject=a",
    ),
    ("Contact: <sip:ann@127.0.0.1:0>\n", "sip:ann@127.0.0.1:0"),
];

/// The next message at `addr`, which must be such a request with that Request-URI.
#[track_caller]
fn expect(world: &mut World, addr: &str, method: &str, target: &str) -> String {
    let got = world.receive(addr).text;
    assert!(
        got.starts_with(&format!("{method} {target} SIP/2.0\r\n")),
        "{got}"
    );
    got
}

/// joe calls ann, whose phone answers so; the call, in which joe has acknowledged.
#[track_caller]
fn called(tokens: Tokens, sticky: bool, (contact, target): (&str, &str)) -> (World, Phone, Phone) {
    let mut world = World::lab(tokens);
    let mut joe = Phone::new("joe", JOE, sticky);
    let mut ann = Phone::new("ann", ANN, sticky);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    let ring = ann.receive(&mut world);
    ann.send(&mut world, EDGES[1], &answer(&ann, &ring, contact));
    let ok = joe.receive(&mut world);
    assert!(ok.starts_with("SIP/2.0 200 "), "{contact}: {ok}");
    let lines = ok.split("\r\n").filter(|line| line.starts_with("Contact"));
    assert!(lines.eq(contact.lines()), "{ok}");
    joe.dialog(&format!("{ok}\r\nContact: <>"), true);
    joe.remote_target = target.to_owned();
    ann.dialog(&ring, false);
    joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
    assert!(world.has(ANN), "{contact}\n{}", world.ladder());
    expect(&mut world, ANN, "ACK", target);
    (world, joe, ann)
}

/// ann's 200 with this Contact line.
fn answer(ann: &Phone, request: &str, contact: &str) -> String {
    let own = format!("Contact: <sip:ann@{ANN}>\n");
    let answer = ann.response(request, 200, "OK");
    assert!(answer.contains(&own));
    answer.replace(&own, contact)
}

#[test]
fn a_call_whose_answer_names_no_contact_that_can_be_called_goes_on() {
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        for sticky in [true, false] {
            for (contact, target) in CONTACTS {
                let (mut world, joe, ann) = called(tokens, sticky, (contact, target));
                for (cseq, method) in (2..).zip(["UPDATE", "INFO", "BYE"]) {
                    joe.in_dialog(&mut world, EDGES[0], method, cseq);
                    let got = expect(&mut world, ANN, method, target);
                    assert!(!got.contains("Route: "), "{got}");
                    ann.send(&mut world, EDGES[1], &answer(&ann, &got, contact));
                    assert_eq!(joe.status(&mut world), 200, "{method} {contact}");
                    ann.in_dialog(&mut world, EDGES[1], method, cseq);
                    let got = joe.receive(&mut world);
                    assert!(got.starts_with(&format!("{method} ")), "{got}");
                    joe.answer(&mut world, EDGES[0], &got, 200, "OK");
                    assert_eq!(ann.status(&mut world), 200);
                }
                world.drained();
            }
        }
    }
}

#[test]
fn what_the_hops_say_to_each_other_of_such_a_request_is_written_all_the_same() {
    // ACK, CANCEL and answers of our own, which are written from the request that left.
    for (contact, target) in CONTACTS {
        let (mut world, joe, ann) = called(Tokens::Sealed, true, (contact, target));
        for (cseq, status) in [(2, 488), (3, 487), (4, 408)] {
            joe.in_dialog(&mut world, EDGES[0], "INVITE", cseq);
            let sent = world.trace.iter().rev();
            let mut sent = sent.filter(|seen| seen.from.to_string() == JOE);
            let sent = sent.next().unwrap().text.replace("\r\n", "\n");
            // The branch is the same.
            let of_invite = |method: &str| {
                let line = sent.replacen("INVITE ", &format!("{method} "), 1);
                line.replace(" INVITE\n", &format!(" {method}\n"))
            };
            assert_eq!(joe.status(&mut world), 100);
            let got = expect(&mut world, ANN, "INVITE", target);
            if status == 408 {
                // The other edge of her set is tried as well.
                world.pass(2 * limits::T1_64 + limits::T1);
                assert_eq!(joe.status(&mut world), status, "{contact}");
                break;
            }
            if status == 487 {
                ann.answer(&mut world, EDGES[1], &got, 180, "Ringing");
                assert_eq!(joe.status(&mut world), 180);
                joe.send(&mut world, EDGES[0], &of_invite("CANCEL"));
                assert_eq!(joe.status(&mut world), 200);
                let cancel = expect(&mut world, ANN, "CANCEL", target);
                ann.answer(&mut world, EDGES[1], &cancel, 200, "OK");
            }
            ann.answer(&mut world, EDGES[1], &got, status, "No");
            expect(&mut world, ANN, "ACK", target);
            assert_eq!(joe.status(&mut world), status, "{contact}");
            joe.send(&mut world, EDGES[0], &of_invite("ACK"));
            assert!(!world.has(ANN), "{}", world.ladder());
        }
    }
}
