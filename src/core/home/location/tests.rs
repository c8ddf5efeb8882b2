//! What holds over several REGISTERs: sweeping, names, bounds, memory.

use super::*;

pub(super) const AOR: &[u8] = b"joe@example.com";

pub(super) fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

pub(super) fn empty() -> Location {
    Location::new([1, 2, 3, 4])
}

pub(super) fn register(call_id: &str, cseq: u32) -> Register<'_> {
    Register {
        call_id: call_id.as_bytes(),
        cseq,
        path: b"",
        flow: None,
    }
}

pub(super) fn plain(contact: &str, expires_s: u32) -> Change<'_> {
    Change {
        contact: contact.as_bytes(),
        q: 1000,
        expires_s,
        ..Change::default()
    }
}

/// Contact and seconds left of each live binding.
#[track_caller]
pub(super) fn check(location: &Location, now: Instant, want: &[(&str, u32)]) {
    let got: Vec<_> = location
        .bindings(now, AOR)
        .map(|binding| {
            (
                std::str::from_utf8(binding.contact()).unwrap(),
                binding.left_s(now),
            )
        })
        .collect();
    assert_eq!(got, want);
}

#[test]
fn at_the_bound_of_addresses_the_known_ones_go_on() {
    let mut location = Location::with_max([1, 2, 3, 4], 1);
    location
        .apply(at(0), AOR, &register("c", 1), &[plain("sip:a", 60)])
        .unwrap();
    let got = location.apply(
        at(0),
        b"ann@example.com",
        &register("c", 1),
        &[plain("sip:a", 60)],
    );
    assert_eq!(got, Err(Conflict::Full));
    location
        .apply(at(0), AOR, &register("c", 2), &[plain("sip:b", 60)])
        .unwrap();
    check(&location, at(0), &[("sip:a", 60), ("sip:b", 60)]);
}

#[test]
fn an_expired_binding_is_not_seen_before_the_sweep() {
    let mut location = empty();
    location
        .apply(
            at(0),
            AOR,
            &register("c", 1),
            &[plain("sip:a", 60), plain("sip:b", 61)],
        )
        .unwrap();
    check(&location, at(60), &[("sip:b", 1)]);
    let mut changed = Vec::new();
    assert_eq!(location.expire(at(60), 9, &mut changed), 1);
    assert_eq!(changed, [AOR.into()]);
    assert_eq!(location.expire(at(60), 9, &mut changed), 0);
    assert_eq!(location.expire(at(61), 9, &mut changed), 1);
    assert_eq!(location.len(), 0);
    assert_eq!(changed.len(), 2);
    assert_eq!(location.expire(at(61), 9, &mut changed), 0);
}

#[test]
fn a_sweep_looks_at_no_more_than_its_budget_and_in_the_end_at_all() {
    let mut location = empty();
    for n in 0..100 {
        let expires_s = if n % 3 == 0 { 500 } else { 60 };
        let name = format!("user{n}@example.com");
        location
            .apply(
                at(0),
                name.as_bytes(),
                &register("c", 1),
                &[plain("sip:a", expires_s)],
            )
            .unwrap();
    }
    let mut changed = Vec::new();
    let mut removed = Vec::new();
    while location.len() > 34 {
        removed.push(location.expire(at(100), 10, &mut changed));
        assert!(removed.len() <= 10, "{removed:?}");
    }
    assert!(removed.iter().all(|n| *n <= 10), "{removed:?}");
    assert_eq!((removed.iter().sum::<usize>(), changed.len()), (66, 66));
    for n in 0..100 {
        let name = format!("user{n}@example.com");
        let left = location.bindings(at(100), name.as_bytes()).count();
        assert_eq!(left, usize::from(n % 3 == 0), "{name}");
    }
}

#[test]
fn an_address_is_found_by_its_very_bytes() {
    let mut location = empty();
    for aor in [&b"joe@example.com"[..], b"Joe@example.com"] {
        location
            .apply(at(0), aor, &register("c", 1), &[plain("sip:a", 60)])
            .unwrap();
    }
    let count = |aor: &[u8]| location.bindings(at(0), aor).count();
    assert_eq!(count(b"Joe@example.com"), 1);
    assert_eq!(count(b"joe@example.com"), 1);
    assert_eq!((count(b"JOE@example.com"), count(b"joe")), (0, 0));
}

// The budget (perf/README.md): 1 KiB for a phone, edge and home together.
#[test]
fn a_phone_takes_less_than_450_bytes() {
    let params = b";+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\";reg-id=1";
    let change = Change {
        params,
        instance: Some(b"urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        reg_id: Some(1),
        ..plain("sip:subscriber@192.168.178.123:50600;transport=udp;ob", 60)
    };
    let path = b"<sip:subscriber0123456789abcdef0123456789abcdef@edge.example.com;lr;ob>";
    let register = Register {
        path,
        ..register("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", 1)
    };
    let mut location = empty();
    location.apply(at(0), AOR, &register, &[change]).unwrap();
    let [aor] = &location.aors[..] else { panic!() };
    let texts = aor.name.len() + aor.bindings[0].text.len();
    let bindings = aor.bindings.capacity() * size_of::<Binding>();
    // A table at most half full, one control byte a slot.
    let table = 2 * (size_of::<usize>() + 1);
    let total = size_of::<Aor>() + bindings + texts + table;
    assert!(total < 450, "{total}");
}
