//! One call as both sides have it, and everything that must not pass for it.

mod form;

use super::text::TEXT_MAX;
use super::*;
use crate::scan::scan;

const KEY: [u8; 32] = [7; 32];
const ALICE: &str = "sip:alice@192.0.2.1:5070";
const BOB: &str = "sip:bob@192.0.2.2";
/// What stands behind us: below ours in a request, above it in an answer.
const BEHIND: &str = "sip:joe+e1+x@edge.example.com:5062;lr;maddr=192.0.2.9";

fn key() -> MarkKey {
    MarkKey::new(&KEY)
}

/// A message of the call; `tags`: of From and To, empty where there is none.
fn message(first: &str, call_id: &str, tags: (&str, &str), lines: &str) -> (Vec<u8>, Message) {
    let tag = |tag: &str| match tag {
        "" => String::new(),
        tag => format!(";tag={tag}"),
    };
    let text = format!(
        "{first}\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\n{lines}From: <sip:a@a.example>{}\nTo: <sip:b@b.example>{}\n\
         Call-ID: {call_id}\nCSeq: 1 INVITE\n\n",
        tag(tags.0),
        tag(tags.1)
    );
    let bytes = text.replace('\n', "\r\n").into_bytes();
    let mut message = Message::default();
    scan(&bytes, &mut message).unwrap();
    message.tags(&bytes).unwrap();
    (bytes, message)
}

/// The mark for the called side, of an INVITE with these lines.
#[track_caller]
fn called(tags: (&str, &str), lines: &str) -> Mark {
    let (bytes, message) = message("INVITE sip:b@b.example SIP/2.0", "id", tags, lines);
    key()
        .of_request(&bytes, &message, MarkedValue::default())
        .unwrap()
}

/// The mark for the calling side: ours in the 200, whose other lines these are.
#[track_caller]
fn calling(mark: Mark, above: &str, lines: &str) -> String {
    let mut own = b"<sip:us.example;lr".to_vec();
    write_param(b"e1", Some(mark), &mut own);
    let own = String::from_utf8(own).unwrap();
    let turned = Turned {
        mark,
        there: None,
        index: None,
    };
    let (before, out) = turn(turned, &format!("{above}Record-Route: {own}>\n{lines}"));
    let at = out.find(";gunk=e1.").unwrap() + ";gunk=e1.".len();
    // Nothing else of the answer is another.
    let mut before = String::from_utf8(before).unwrap();
    assert_eq!(out.len(), before.len());
    before.replace_range(at..at + TEXT_LEN, &out[at..at + TEXT_LEN]);
    assert_eq!(before, out);
    out[at..at + TEXT_LEN].to_owned()
}

/// The 200 with these lines, and what becomes of it.
#[track_caller]
fn turn(turned: Turned<'_>, lines: &str) -> (Vec<u8>, String) {
    let (bytes, message) = message("SIP/2.0 200 OK", "id", ("alice", "bob"), lines);
    let (mut edits, mut out) = (Edits::default(), Vec::new());
    let says = |value: &[u8]| {
        let host = uri_in(value).map(|uri| RoutingParts::of(uri).host);
        matches!(host, Some(b"us.example" | b"192.0.2.7"))
    };
    assert!(key().turn(&turned, &bytes, &message, &mut edits, says, |_| false));
    edits.apply(&bytes, &mut out);
    (bytes, String::from_utf8(out).unwrap())
}

fn text(mark: Mark) -> String {
    String::from_utf8(mark.0.to_vec()).unwrap()
}

/// Whether the mark is good for a request of the call.
fn is_good(mark: &str, call_id: &str, tags: (&str, &str), next: &str) -> bool {
    let (bytes, message) = message("INVITE sip:b@b.example SIP/2.0", call_id, tags, "");
    let next = if next.contains(";lr") {
        Next::Route(next.as_bytes())
    } else {
        Next::Target(next.as_bytes())
    };
    key().verify(
        mark.as_bytes(),
        MarkedValue::default(),
        &bytes,
        &message,
        next,
    )
}

fn contact(uri: &str) -> String {
    format!("Contact: <{uri}>\n")
}

#[test]
fn each_side_has_its_own_mark_and_no_other() {
    let of_bob = called(("alice", ""), &contact(ALICE));
    let of_alice = calling(of_bob, "", &contact(BOB));
    let of_bob = text(of_bob);
    assert!(of_bob.starts_with('q') && of_alice.starts_with('s'));
    // (mark, its side's tag, the other's, where that side sends)
    let sides = [
        (&of_bob, "bob", "alice", ALICE),
        (&of_alice, "alice", "bob", BOB),
    ];
    for (mark, own, peer, next) in sides {
        assert!(is_good(mark, "id", (own, peer), next));
        assert!(!is_good(mark, "id2", (own, peer), next), "another call");
        assert!(!is_good(mark, "id", (own, "carol"), next), "another peer");
        assert!(!is_good(mark, "id", (own, ""), next), "no dialog");
        assert!(!is_good(mark, "id", (peer, own), next), "the other side");
        let other = mark.replacen(['q', 's'], if *mark == of_bob { "s" } else { "q" }, 1);
        assert!(
            !is_good(&other, "id", (own, peer), next),
            "the other letter"
        );
        let there = if next == BOB { ALICE } else { BOB };
        assert!(!is_good(mark, "id", (own, peer), there), "the other way");
    }
    assert!(!is_good(&of_bob, "id", ("alice", "bob"), BOB));
    assert!(!is_good(&of_alice, "id", ("bob", "alice"), ALICE));
}

#[test]
fn the_tag_of_the_called_side_counts_once_it_is_known() {
    // The INVITE may fork: whoever answers it has a tag of his own.
    let of_invite = text(called(("alice", ""), &contact(ALICE)));
    assert!(is_good(&of_invite, "id", ("bob", "alice"), ALICE));
    assert!(is_good(&of_invite, "id", ("carol", "alice"), ALICE));
    let of_reinvite = text(called(("alice", "bob"), &contact(ALICE)));
    assert!(is_good(&of_reinvite, "id", ("bob", "alice"), ALICE));
    assert!(!is_good(&of_reinvite, "id", ("carol", "alice"), ALICE));
    let of_alice = calling(called(("alice", ""), &contact(ALICE)), "", &contact(BOB));
    assert!(!is_good(&of_alice, "id", ("carol", "bob"), BOB));
}

#[test]
fn a_mark_leads_where_it_was_written_for() {
    let behind = format!("Record-Route: <{BEHIND}>\n");
    let of_bob = called(("alice", ""), &format!("{behind}{}", contact(ALICE)));
    let of_alice = calling(of_bob, &behind, &contact(BOB));
    let of_bob = text(of_bob);
    for (mark, tags) in [(of_bob, ("bob", "alice")), (of_alice, ("alice", "bob"))] {
        for (next, want) in [
            (BEHIND, true),
            (
                "sip:joe+e1+x@EDGE.Example.COM:5062;maddr=192.0.2.9;lr;gunk=e1",
                true,
            ),
            (
                "sip:joe+e1+x@edge.example.net:5062;lr;maddr=192.0.2.9",
                false,
            ),
            (
                "sip:joe+e1+x@edge.example.com.:5062;lr;maddr=192.0.2.9",
                false,
            ),
            (
                "sip:ann+e1+x@edge.example.com:5062;lr;maddr=192.0.2.9",
                false,
            ),
            (
                "sip:JOE+e1+x@edge.example.com:5062;lr;maddr=192.0.2.9",
                false,
            ),
            ("sip:edge.example.com:5062;lr;maddr=192.0.2.9", false),
            (
                "sip:joe+e1+x@edge.example.com:6379;lr;maddr=192.0.2.9",
                false,
            ),
            ("sip:joe+e1+x@edge.example.com;lr;maddr=192.0.2.9", false),
            (
                "sip:joe+e1+x@edge.example.com:5062;lr;maddr=127.0.0.1",
                false,
            ),
            ("sip:joe+e1+x@edge.example.com:5062;lr", false),
            (
                "sip:joe+e1+x@edge.example.com:5062;lr;maddr=192.0.2.9;transport=tcp",
                false,
            ),
            (
                "sips:joe+e1+x@edge.example.com:5062;lr;maddr=192.0.2.9",
                false,
            ),
            (
                "SIP:joe+e1+x@edge.example.com:5062;lr;maddr=192.0.2.9?a=b;transport=tcp",
                true,
            ),
            (
                "sip:joe+e1+x@edge.example.com:5062;lr?a=b;maddr=192.0.2.9",
                false,
            ),
            // A Route is one thing and the far side's Contact another.
            ("sip:joe+e1+x@edge.example.com:5062;maddr=192.0.2.9", false),
            (ALICE, false),
            (BOB, false),
        ] {
            assert_eq!(is_good(&mark, "id", tags, next), want, "{next}");
        }
    }
}

#[test]
fn a_contact_may_take_another_user_and_no_other_address() {
    let mark = text(called(("alice", ""), &contact(ALICE)));
    for (next, want) in [
        ("sip:other@192.0.2.1:5070", true),
        ("sip:192.0.2.1:5070;ob", true),
        ("sip:192.0.2.1:5070;transport=udp", false),
        ("sip:192.0.2.1:5070;transport=tcp", false),
        ("sips:alice@192.0.2.1:5070", false),
        ("sip:alice@192.0.2.1", false),
        ("sip:alice@192.0.2.1:5060", false),
        ("sip:alice@192.0.2.3:5070", false),
        ("sip:alice@192.0.2.1:5070;maddr=192.0.2.3", false),
        ("sip:alice@192.0.2.1:5070;lr", false),
    ] {
        assert_eq!(is_good(&mark, "id", ("bob", "alice"), next), want, "{next}");
    }
}

#[test]
fn a_contact_keeps_the_transport_and_the_scheme_that_it_had() {
    let of_tcp = text(called(
        ("alice", ""),
        &contact(&format!("{ALICE};transport=tcp")),
    ));
    let of_sips = text(called(("alice", ""), &contact("sips:alice@192.0.2.1:5070")));
    for (next, want) in [
        ("sip:alice@192.0.2.1:5070;transport=tcp", [true, false]),
        ("sip:alice@192.0.2.1:5070;ob;Transport=TCP", [true, false]),
        ("sip:alice@192.0.2.1:5070;transport=tls", [false, false]),
        ("sip:alice@192.0.2.1:5070", [false, false]),
        ("sips:alice@192.0.2.1:5070;transport=tcp", [false, false]),
        ("SIPS:alice@192.0.2.1:5070", [false, true]),
    ] {
        let good = [&of_tcp, &of_sips].map(|mark| is_good(mark, "id", ("bob", "alice"), next));
        assert_eq!(good, want, "{next}");
    }
}

#[test]
fn a_parameter_without_a_value_hides_no_other_way() {
    let contact = |params: &str| contact(&format!("{ALICE}{params}"));
    let named = text(called(
        ("alice", ""),
        &contact(";transport=tcp;maddr=192.0.2.9"),
    ));
    let plain = text(called(("alice", ""), &contact("")));
    for (params, want) in [
        (";maddr=192.0.2.9;transport=tcp", [true, false]),
        (
            ";transport=tcp;maddr=192.0.2.9;transport;maddr",
            [true, false],
        ),
        // These go to the host, over UDP.
        (
            ";transport;transport=tcp;maddr;maddr=192.0.2.9",
            [false, true],
        ),
        (";MADDR;Transport;maddr=192.0.2.9", [false, true]),
        (";transport;transport=tcp;maddr=192.0.2.9", [false, false]),
        (";transport=tcp;maddr;maddr=192.0.2.9", [false, false]),
    ] {
        let next = format!("{ALICE}{params}");
        let good = [&named, &plain].map(|mark| is_good(mark, "id", ("bob", "alice"), &next));
        assert_eq!(good, want, "{next}");
    }
}

#[test]
fn the_calling_side_may_get_another_value() {
    // RFC 3261 §16.7-8: what the called side needs of us is of no use to it.
    let behind = format!("Record-Route: <{BEHIND}>\n");
    let mark = called(("alice", ""), &contact(ALICE));
    let there = b"sip:joe+e1+x@edge.example.com;lr;gunk=e1.";
    let own = MarkedValue {
        user: b"joe+e1+x",
        flow: b"",
    };
    let (_, shown) = message("INVITE sip:b@b.example SIP/2.0", "id", ("alice", "bob"), "");
    let (bytes, _) = message("INVITE sip:b@b.example SIP/2.0", "id", ("alice", "bob"), "");
    let ours = text(mark);
    for (ours, index) in [
        (format!("<sip:192.0.2.7;lr;dlg={ours}>"), None),
        (format!("<sip:192.0.2.7;lr;dlg={ours}>;x=y"), Some(1)),
        (format!("\"e <1>\" <sip:192.0.2.7;dlg={ours};lr>"), None),
        // A phone that leaves out what it does not know.
        ("<sip:192.0.2.7;lr>".to_owned(), Some(1)),
    ] {
        let turned = Turned {
            mark,
            there: Some(there),
            index,
        };
        let lines = format!(
            "{behind}Record-Route: {ours}, <sip:below.example;lr>\n{}",
            contact(BOB)
        );
        let (before, out) = turn(turned, &lines);
        let uri = &ours[ours.find("<sip:").unwrap() + 1..ours.rfind('>').unwrap()];
        let there = std::str::from_utf8(there).unwrap();
        let at = out.find(there).unwrap_or_else(|| panic!("{out}")) + there.len();
        let turned = &out[at..at + TEXT_LEN];
        let want = String::from_utf8(before).unwrap();
        assert_eq!(out, want.replacen(uri, &format!("{there}{turned}"), 1));
        assert!(turned.starts_with('s'));
        let verify = |own, next: &str| {
            key().verify(
                turned.as_bytes(),
                own,
                &bytes,
                &shown,
                Next::Route(next.as_bytes()),
            )
        };
        // It is over the value that it stands in, and what is behind us.
        assert!(verify(own, BEHIND));
        assert!(!verify(MarkedValue::default(), BEHIND) && !verify(own, "sip:below.example;lr"));
    }
    // Nothing of ours is there, though the mark is: it stays as it is.
    for there in [Some(&there[..]), None] {
        let turned = Turned {
            mark,
            there,
            index: None,
        };
        let lines = format!(
            "Record-Route: <sip:192.0.2.8;lr;dlg={}>\n{}",
            text(mark),
            contact(BOB)
        );
        let (before, out) = turn(turned, &lines);
        assert_eq!(out.as_bytes(), before);
    }
}

#[test]
fn a_mark_is_of_the_value_that_it_stands_in() {
    // Whoever shows it beside another token, or with a flow token besides, means
    // another phone.
    let own = |user: &'static str, flow: &'static str| MarkedValue {
        user: user.as_bytes(),
        flow: flow.as_bytes(),
    };
    let first = "INVITE sip:b@b.example SIP/2.0";
    let lines = contact(ALICE);
    let (bytes, made_of) = message(first, "id", ("alice", ""), &lines);
    let mark = key()
        .of_request(&bytes, &made_of, own("joe", "f1"))
        .unwrap();
    let (bytes, shown) = message(first, "id", ("bob", "alice"), "");
    let next = Next::Target(ALICE.as_bytes());
    for (other, want) in [
        (own("joe", "f1"), true),
        (own("ann", "f1"), false),
        (own("joe", ""), false),
        (own("joe", "f2"), false),
        (own("joef1", ""), false),
        (own("", "f1"), false),
        (MarkedValue::default(), false),
    ] {
        let is_good = key().verify(&mark.0, other, &bytes, &shown, next);
        assert_eq!(is_good, want, "{other:?}");
    }
    assert_eq!(MarkedValue::of(b"sip:joe@h;lr;FLOW=f1").flow, b"f1");
}

#[test]
fn a_mark_beside_the_value_of_another_phone_is_none() {
    let lines = contact(ALICE);
    let first = "INVITE sip:b@b.example SIP/2.0";
    let (bytes, made_of) = message(first, "id", ("alice", ""), &lines);
    let own = MarkedValue {
        user: b"joe",
        flow: b"",
    };
    let mark = text(key().of_request(&bytes, &made_of, own).unwrap());
    let any = |routes: &str| {
        let routes = routes.replace("MARK", &mark);
        let lines = format!("Route: {routes}\n");
        let first = format!("INVITE {ALICE} SIP/2.0");
        let (bytes, shown) = message(&first, "id", ("bob", "alice"), &lines);
        let count = shown.routes().len();
        key().shown(&bytes, &shown, count, false).any
    };
    assert!(any("<sip:joe@us.example;lr;dlg=MARK>"));
    // The phone's side beside it names nobody.
    assert!(any("<sip:192.0.2.7;lr>, <sip:joe@us.example;lr;dlg=MARK>"));
    assert!(any("<sip:joe@us.example;lr;dlg=MARK>, <sip:192.0.2.7;lr>"));
    // At our address a user says nothing, and the next value says who is meant.
    assert!(!any(
        "<sip:joe@192.0.2.7;lr;dlg=MARK>, <sip:ann@us.example;lr>"
    ));
    assert!(!any("<sip:ann@us.example;lr;dlg=MARK>"));
}
