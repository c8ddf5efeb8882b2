//! The update of bindings, step by step.

use super::*;
use crate::home::location::tests::{AOR, at, check, empty, plain, register};

const ONE: &[u8] = b"urn:uuid:1";
const TWO: &[u8] = b"urn:uuid:2";

fn flow<'a>(contact: &'a str, instance: &'a [u8], reg_id: u32, expires_s: u32) -> Change<'a> {
    Change {
        instance: Some(instance),
        reg_id: Some(reg_id),
        ..plain(contact, expires_s)
    }
}

#[test]
fn contacts_are_added_refreshed_and_removed() {
    let mut location = empty();
    location
        .apply(
            at(0),
            AOR,
            &register("c", 1),
            &[plain("sip:a", 60), plain("sip:b", 90)],
        )
        .unwrap();
    check(&location, at(0), &[("sip:a", 60), ("sip:b", 90)]);
    location
        .apply(at(10), AOR, &register("c", 2), &[plain("sip:a", 60)])
        .unwrap();
    check(&location, at(10), &[("sip:b", 80), ("sip:a", 60)]);
    location
        .apply(
            at(11),
            AOR,
            &register("c", 3),
            &[plain("sip:b", 0), plain("sip:none", 0)],
        )
        .unwrap();
    check(&location, at(11), &[("sip:a", 59)]);
    location
        .apply(at(12), AOR, &register("c", 4), &[plain("sip:a", 0)])
        .unwrap();
    assert_eq!(location.len(), 0);
    location
        .apply(at(12), AOR, &register("c", 5), &[plain("sip:a", 0)])
        .unwrap();
    assert_eq!(location.len(), 0);
}

// RFC 3261 §10.3 step 7 with §19.1.4
#[test]
fn a_contact_is_known_by_any_spelling() {
    let mut location = empty();
    location
        .apply(
            at(0),
            AOR,
            &register("c", 1),
            &[plain("sip:%61@Host;x=1", 60)],
        )
        .unwrap();
    location
        .apply(at(0), AOR, &register("c", 2), &[plain("sip:a@host", 70)])
        .unwrap();
    check(&location, at(0), &[("sip:a@host", 70)]);
    location
        .apply(
            at(0),
            AOR,
            &register("c", 3),
            &[plain("sip:a@host:5060", 80)],
        )
        .unwrap();
    check(
        &location,
        at(0),
        &[("sip:a@host", 70), ("sip:a@host:5060", 80)],
    );
}

// RFC 3261 §10.3 step 7
#[test]
fn an_old_cseq_changes_nothing_at_all() {
    let mut location = empty();
    location
        .apply(at(0), AOR, &register("c", 5), &[plain("sip:a", 60)])
        .unwrap();
    let late = [plain("sip:new", 60), plain("sip:a", 0)];
    for (cseq, want) in [
        (5, Conflict::Repeated),
        (4, Conflict::OutOfOrder),
        (0, Conflict::OutOfOrder),
    ] {
        let got = location.apply(at(1), AOR, &register("c", cseq), &late);
        assert_eq!(got, Err(want));
        check(&location, at(1), &[("sip:a", 59)]);
    }
    assert_eq!(Conflict::OutOfOrder.answer().0, 500);
    location
        .apply(at(1), AOR, &register("other", 1), &late)
        .unwrap();
    check(&location, at(1), &[("sip:new", 60)]);
}

#[test]
fn a_cseq_is_not_remembered_beyond_its_binding() {
    let mut location = empty();
    location
        .apply(at(0), AOR, &register("c", 5), &[plain("sip:a", 60)])
        .unwrap();
    location
        .apply(at(60), AOR, &register("c", 1), &[plain("sip:a", 60)])
        .unwrap();
    check(&location, at(60), &[("sip:a", 60)]);
}

// RFC 3261 §10.3 step 6
#[test]
fn a_star_clears_all_or_nothing() {
    let mut location = empty();
    location
        .apply(at(0), AOR, &register("c", 1), &[plain("sip:a", 60)])
        .unwrap();
    location
        .apply(at(0), AOR, &register("d", 9), &[flow("sip:b", ONE, 1, 60)])
        .unwrap();
    assert_eq!(
        location.clear(at(1), AOR, b"d", 9),
        Err(Conflict::OutOfOrder)
    );
    check(&location, at(1), &[("sip:a", 59), ("sip:b", 59)]);
    assert_eq!(location.clear(at(1), AOR, b"d", 10), Ok(()));
    assert_eq!(location.len(), 0);
    assert_eq!(location.clear(at(1), AOR, b"d", 1), Ok(()));
}

// O-15
#[test]
fn a_phone_that_moved_replaces_its_own_flow() {
    let mut location = empty();
    location
        .apply(
            at(0),
            AOR,
            &register("c", 1),
            &[flow("sip:a@1", ONE, 1, 60)],
        )
        .unwrap();
    location
        .apply(
            at(0),
            AOR,
            &register("c", 1),
            &[flow("sip:a@1", ONE, 2, 60)],
        )
        .unwrap();
    location
        .apply(
            at(0),
            AOR,
            &register("c", 1),
            &[flow("sip:a@1", TWO, 1, 60)],
        )
        .unwrap();
    check(
        &location,
        at(0),
        &[("sip:a@1", 60), ("sip:a@1", 60), ("sip:a@1", 60)],
    );
    location
        .apply(
            at(1),
            AOR,
            &register("d", 1),
            &[flow("sip:a@9", b"URN:UUID:1", 1, 60)],
        )
        .unwrap();
    check(
        &location,
        at(1),
        &[("sip:a@1", 59), ("sip:a@1", 59), ("sip:a@9", 60)],
    );
    location
        .apply(
            at(1),
            AOR,
            &register("d", 2),
            &[flow("sip:other", ONE, 2, 0)],
        )
        .unwrap();
    let left: Vec<_> = location
        .bindings(at(1), AOR)
        .map(|b| (b.instance(), b.reg_id()))
        .collect();
    assert_eq!(
        left,
        [(Some(TWO), Some(1)), (Some(&b"URN:UUID:1"[..]), Some(1))]
    );
}

// O-13, O-17
#[test]
fn old_and_new_registrations_share_an_address() {
    let mut location = empty();
    location
        .apply(at(0), AOR, &register("c", 1), &[plain("sip:a", 60)])
        .unwrap();
    location
        .apply(at(0), AOR, &register("c", 1), &[flow("sip:a", ONE, 1, 70)])
        .unwrap();
    check(&location, at(0), &[("sip:a", 60), ("sip:a", 70)]);
    // An instance alone, or a reg-id alone, leaves the contact URI as the key.
    let instance = Change {
        instance: Some(TWO),
        ..plain("sip:a", 80)
    };
    location
        .apply(at(0), AOR, &register("c", 2), &[instance])
        .unwrap();
    check(&location, at(0), &[("sip:a", 70), ("sip:a", 80)]);
    let reg_id = Change {
        reg_id: Some(1),
        ..plain("sip:a", 90)
    };
    location
        .apply(at(0), AOR, &register("c", 3), &[reg_id])
        .unwrap();
    check(&location, at(0), &[("sip:a", 70), ("sip:a", 90)]);
    location
        .apply(at(0), AOR, &register("c", 4), &[plain("sip:a", 0)])
        .unwrap();
    check(&location, at(0), &[("sip:a", 70)]);
}

// O-15
#[test]
fn a_refresh_through_one_edge_leaves_the_other_flow_alone() {
    let mut location = empty();
    let through = |path, call_id, cseq| Register {
        call_id,
        cseq,
        path,
        flow: None,
    };
    let (e1, e3) = (&b"<sip:e1;lr;ob>"[..], &b"<sip:e3;lr;ob>"[..]);
    location
        .apply(
            at(0),
            AOR,
            &through(e1, b"c1", 1),
            &[flow("sip:a", ONE, 1, 60)],
        )
        .unwrap();
    location
        .apply(
            at(0),
            AOR,
            &through(e3, b"c3", 7),
            &[flow("sip:a", ONE, 2, 60)],
        )
        .unwrap();
    location
        .apply(
            at(30),
            AOR,
            &through(e3, b"c3", 8),
            &[flow("sip:a", ONE, 2, 60)],
        )
        .unwrap();
    let got: Vec<_> = location
        .bindings(at(30), AOR)
        .map(|b| (b.path(), b.call_id(), b.cseq, b.left_s(at(30))))
        .collect();
    assert_eq!(got, [(e1, &b"c1"[..], 1, 30), (e3, &b"c3"[..], 8, 60)]);
    check(&location, at(60), &[("sip:a", 30)]);
}

#[test]
fn a_contact_named_twice_is_one_binding() {
    let mut location = empty();
    let twice = [plain("sip:a@h", 60), plain("sip:a@H", 90)];
    location
        .apply(at(0), AOR, &register("c", 1), &twice)
        .unwrap();
    check(&location, at(0), &[("sip:a@H", 90)]);
    let there_and_gone = [plain("sip:b", 60), plain("sip:b", 0)];
    location
        .apply(at(0), AOR, &register("c", 2), &there_and_gone)
        .unwrap();
    check(&location, at(0), &[("sip:a@H", 90)]);
}

#[test]
fn the_bound_of_contacts_holds_and_a_swap_passes_it() {
    let mut location = empty();
    let names: Vec<_> = (0..=limits::CONTACTS_MAX)
        .map(|n| format!("sip:{n}"))
        .collect();
    let all: Vec<_> = names.iter().map(|name| plain(name, 60)).collect();
    let (last, most) = all.split_last().unwrap();
    assert_eq!(
        location.apply(at(0), AOR, &register("c", 1), &all),
        Err(Conflict::TooMany)
    );
    assert_eq!(location.len(), 0);
    location.apply(at(0), AOR, &register("c", 1), most).unwrap();
    assert_eq!(
        location.apply(at(0), AOR, &register("c", 2), &[*last]),
        Err(Conflict::TooMany)
    );
    location
        .apply(at(0), AOR, &register("c", 2), &[plain("sip:0", 0), *last])
        .unwrap();
    assert_eq!(location.bindings(at(0), AOR).count(), limits::CONTACTS_MAX);
    // Expired ones do not count.
    location
        .apply(at(60), AOR, &register("c", 3), &[plain("sip:x", 60)])
        .unwrap();
    check(&location, at(60), &[("sip:x", 60)]);
    assert_eq!(Conflict::TooMany.answer().0, 403);
}

#[test]
fn texts_that_fit_no_binding_are_refused_whole() {
    let mut location = empty();
    let long = format!("sip:{}", "x".repeat(65_535));
    let got = location.apply(
        at(0),
        AOR,
        &register("c", 1),
        &[plain("sip:a", 60), plain(&long, 60)],
    );
    assert_eq!(got, Err(Conflict::TooLong));
    assert_eq!(location.len(), 0);
}
