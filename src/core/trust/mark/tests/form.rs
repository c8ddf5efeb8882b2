//! The form of a mark: its text, its key and what its MAC is over.

use super::*;

#[test]
fn a_mark_is_read_as_it_was_before() {
    // Ten octets of MAC, where a dialog began before an upgrade.
    let lines = contact(ALICE);
    let (bytes, made_of) = message(
        "INVITE sip:b@b.example SIP/2.0",
        "id",
        ("alice", ""),
        &lines,
    );
    let input = MarkInput {
        call_id: b"id",
        own_tag: None,
        peer_tag: b"alice",
        own: MarkedValue::default(),
        next: Next::Target(ALICE.as_bytes()),
    };
    let mac = MarkKey::mac(&key().mint, Side::Called, &input);
    let alone = format!("q{}", BASE32_DNSSEC.encode(&mac[..10]));
    assert_eq!(alone.len(), 17);
    assert!(is_good(&alone, "id", ("bob", "alice"), ALICE));
    assert!(!is_good(&alone[..16], "id", ("bob", "alice"), ALICE));
    let now = text(
        key()
            .of_request(&bytes, &made_of, MarkedValue::default())
            .unwrap(),
    );
    assert_eq!(now.len(), 13);
    // Verified by each key of a ring, made by the first.
    let ring = MarkKey::ring(&[8; 32], &[[6; 32], KEY]);
    let of = |key: &MarkKey| key.of_request(&bytes, &made_of, MarkedValue::default());
    assert_eq!(of(&ring), of(&MarkKey::new(&[8; 32])));
    let (answer, turned) = message("INVITE sip:a@a.example SIP/2.0", "id", ("bob", "alice"), "");
    for (mark, want) in [
        (now.as_bytes(), true),
        (&of(&ring).unwrap().0[..], true),
        (&of(&MarkKey::new(&[5; 32])).unwrap().0[..], false),
    ] {
        let next = Next::Target(ALICE.as_bytes());
        let own = MarkedValue::default();
        assert_eq!(ring.verify(mark, own, &answer, &turned, next), want);
    }
    for (param, want) in [
        (format!("gunk=e1.{now}"), true),
        (format!("dlg={now}"), true),
        (format!("gunk=.{now}"), true),
        (format!("GUNK=h.1.{now}"), true),
        (format!("gunk=e1;dlg={alone}"), true),
        (format!("gunk={now}"), false),
        (format!("gunk=e1.{alone}"), false),
        (format!("gunk=e1.{now}0"), false),
        ("gunk=e1".to_owned(), false),
        ("dlg".to_owned(), false),
    ] {
        let route = format!("Route: <sip:us.example;lr;{param}>\n");
        let first = format!("INVITE {ALICE} SIP/2.0");
        let (bytes, shown) = message(&first, "id", ("bob", "alice"), &route);
        let shown = key().shown(&bytes, &shown, 1, false);
        assert_eq!(shown.any, want, "{param}");
        assert_eq!(shown.leads_on, want);
    }
}

#[test]
fn every_node_with_the_key_and_nobody_else_makes_and_knows_it() {
    let (bytes, made_of) = message(
        "INVITE sip:b@b.example SIP/2.0",
        "id",
        ("alice", ""),
        &contact(ALICE),
    );
    let mark = called(("alice", ""), &contact(ALICE));
    assert_eq!(
        MarkKey::new(&KEY).of_request(&bytes, &made_of, MarkedValue::default()),
        Some(mark)
    );
    for index in 0..32 {
        let mut other = KEY;
        other[index] ^= 1;
        let other = MarkKey::new(&other)
            .of_request(&bytes, &made_of, MarkedValue::default())
            .unwrap();
        assert_ne!(other, mark, "octet {index} of the key");
        assert!(!is_good(&text(other), "id", ("bob", "alice"), ALICE));
    }
}

#[test]
fn a_mark_that_is_bent_is_none() {
    let mark = text(called(("alice", ""), &contact(ALICE)));
    let is_good = |mark: &str| is_good(mark, "id", ("bob", "alice"), ALICE);
    assert!(is_good(&mark));
    for index in 0..TEXT_LEN {
        for bit in 0..7 {
            let mut bent = mark.clone().into_bytes();
            bent[index] ^= 1 << bit;
            // In base32 a letter is the same in either case.
            let bent = String::from_utf8(bent).unwrap();
            let is_same = index > 0 && bent.eq_ignore_ascii_case(&mark);
            assert_eq!(is_good(&bent), is_same, "{bent}");
        }
        assert!(!is_good(&mark[..index]));
    }
    assert!(!is_good(&format!("{mark}0")));
}

#[test]
fn no_two_dialogs_are_the_same_octets() {
    let of = |call_id, tags| {
        let first = "INVITE sip:b@b.example SIP/2.0";
        let (bytes, message) = message(first, call_id, tags, &contact(ALICE));
        key()
            .of_request(&bytes, &message, MarkedValue::default())
            .unwrap()
    };
    let marks = [
        of("ab", ("c", "")),
        of("a", ("bc", "")),
        of("abc", ("d", "")),
        of("ab", ("c", "d")),
        of("ab", ("cd", "")),
        of("ab", ("d", "c")),
    ];
    for (index, mark) in marks.iter().enumerate() {
        assert!(!marks[..index].contains(mark), "{index}");
    }
}

#[test]
fn where_nobody_could_answer_there_is_no_mark() {
    let of = |tags, lines: &str| {
        let (bytes, message) = message("INVITE sip:b@b.example SIP/2.0", "id", tags, lines);
        key().of_request(&bytes, &message, MarkedValue::default())
    };
    assert_eq!(of(("alice", ""), ""), None);
    assert_eq!(of(("", ""), &contact(ALICE)), None);
    assert_eq!(of(("alice", ""), "Contact: *\n"), None);
    assert_eq!(of(("alice", ""), "Record-Route: <sip:a\n"), None);
    // An answer that says too little keeps the mark of the called side, which
    // opens nothing to the other one.
    let mark = called(("alice", ""), &contact(ALICE));
    let kept = calling(mark, "", "");
    assert_eq!(kept, text(mark));
    assert!(!is_good(&kept, "id", ("alice", "bob"), BOB));
}

#[test]
fn a_text_is_read_whole_however_long_it_is() {
    let (key, long) = (key().mint, [9; 3 * TEXT_MAX]);
    for (first, len) in [(0, 0), (1, 400), (384, 384), (380, 3 * TEXT_MAX), (5, 769)] {
        let mut text = Text::of(&key);
        text.put(&long[..first]);
        text.put(&long[first..len]);
        assert_eq!(text.end(), key.of(&long[..len]), "{first} {len}");
    }
}
