//! The form of changes and rows in a store that several homes share.

use super::*;
use crate::home::location::{Change, Register};
use crate::time::Duration;

const WALL: Wall = Wall {
    unix_at_zero: 1_700_000_000,
};
const AOR: &[u8] = b"joe@example.com";
const NOW: Instant = Instant::ZERO;

fn register(call_id: &'static [u8], cseq: u32) -> Register<'static> {
    Register {
        call_id,
        cseq,
        path: b"<sip:e1;lr>",
        flow: None,
    }
}

fn contact(contact: &'static [u8], expires_s: u32) -> Change<'static> {
    Change {
        contact,
        q: 1000,
        expires_s,
        ..Change::default()
    }
}

fn flow(reg_id: u32) -> Change<'static> {
    Change {
        contact: b"sip:joe@a",
        params: b";x",
        q: 500,
        expires_s: 200,
        instance: Some(b"URN:UUID:AB"),
        reg_id: Some(reg_id),
    }
}

fn empty() -> Location {
    Location::new([1, 2, 3, 4])
}

/// Applies a REGISTER, and gives the change that is put out.
fn change(location: &mut Location, register: Register<'static>, all: &[Change<'_>]) -> Vec<u8> {
    let before: Vec<Binding> = location.bindings(NOW, AOR).cloned().collect();
    location.apply(NOW, AOR, &register, all).unwrap();
    let origin = ChangeOrigin {
        kind: ChangeKind::Register,
        call_id: register.call_id,
        cseq: register.cseq,
    };
    let most = location.change_len(NOW, AOR, origin, &before);
    let mut out = Vec::new();
    location.encode_change(NOW, AOR, WALL, origin, &before, &mut out);
    assert!(out.len() <= most, "{} of {most}", out.len());
    out
}

/// The field of the store: the number of the update and the binding.
fn value(stamp: u64, binding: &[u8]) -> Vec<u8> {
    [&stamp.to_be_bytes(), binding].concat()
}

#[test]
fn a_change_has_what_is_another_binding_than_before_and_nothing_else() {
    let mut location = empty();
    let first = change(
        &mut location,
        register(b"c1", 7),
        &[contact(b"sip:joe@b", 100), flow(3)],
    );
    let read = SharedChange::read(&first).unwrap();
    assert_eq!((read.kind, read.base), (ChangeKind::Register, 0));
    assert_eq!((read.call_id, read.cseq), (&b"c1"[..], 7));
    let fields: Vec<_> = read.bindings().map(|one| one.field).collect();
    assert_eq!(fields, [&b"csip:joe@b"[..], b"f3 urn:uuid:ab"]);

    location.set_version(AOR, 41);
    let second = change(
        &mut location,
        register(b"c1", 8),
        &[contact(b"sip:joe@b", 0)],
    );
    let read = SharedChange::read(&second).unwrap();
    assert_eq!((read.base, read.cseq), (41, 8));
    let gone = ChangedBinding {
        field: b"csip:joe@b",
        binding: None,
    };
    assert_eq!(read.bindings().collect::<Vec<_>>(), [gone]);
}

#[test]
fn the_form_of_a_change_does_not_change() {
    // The script of the store reads it, and homes of other builds do.
    let got = change(
        &mut empty(),
        register(b"c1", 7),
        &[contact(b"sip:joe@b", 100)],
    );
    let want = [
        &[1, 0][..],
        &0_u64.to_be_bytes(),
        &7_u32.to_be_bytes(),
        &2_u32.to_be_bytes(),
        b"c1",
        &10_u32.to_be_bytes(),
        b"csip:joe@b",
        &54_u32.to_be_bytes(),
        &1_700_000_100_u64.to_be_bytes(),
        &[0, 0, 0, 7, 0, 0, 0, 0, 0x03, 0xe8],
        &[0, 9, 0, 9, 0, 20, 0, 22, 0, 9, 0, 9, 0, 22],
        b"sip:joe@b<sip:e1;lr>c1",
    ]
    .concat();
    assert_eq!(got, want);
}

#[test]
fn what_is_cut_short_or_of_another_version_is_no_change() {
    let whole = change(&mut empty(), register(b"c1", 7), &[flow(1)]);
    for len in 0..whole.len() {
        // A cut between two bindings cannot be told from a shorter change: there is one here.
        let head = 2 + 8 + 4 + 4 + 2;
        let read = SharedChange::read(&whole[..len]);
        assert_eq!(read.is_some(), len == head, "{len}");
    }
    let mut other = whole;
    other[0] = 2;
    assert_eq!(SharedChange::read(&other), None);
    (other[0], other[1]) = (1, 4);
    assert_eq!(SharedChange::read(&other), None);
}

#[test]
fn a_row_is_put_together_of_its_fields_in_the_order_of_their_updates() {
    let mut there = empty();
    let first = change(
        &mut there,
        register(b"c1", 7),
        &[contact(b"sip:joe@b", 100)],
    );
    let second = change(&mut there, register(b"c2", 1), &[flow(3)]);
    let binding = |bytes: &'static [u8]| -> &'static [u8] {
        let read = SharedChange::read(bytes).unwrap();
        read.bindings().next().unwrap().binding.unwrap()
    };
    let (first, second): (&'static [u8], &'static [u8]) = (first.leak(), second.leak());
    let (late, early) = (value(300, binding(first)), value(20, binding(second)));
    let fields = [&late[..], &early[..], b"v", b"what nobody has written"];
    let row = row_of(fields.into_iter(), WALL.unix_at_zero).unwrap();
    let mut here = empty();
    here.take_in(NOW, WALL, AOR, Some(&row), 300).unwrap();
    let contacts: Vec<_> = here.bindings(NOW, AOR).map(Binding::contact).collect();
    assert_eq!(contacts, [b"sip:joe@a", b"sip:joe@b"]);
    assert_eq!(here.version(AOR), 300);
    // The first one ends after 100 seconds.
    let row = row_of([&late[..]].into_iter(), WALL.unix_at_zero + 100);
    assert_eq!(row, None);
    here.take_in(NOW, WALL, AOR, None, 301).unwrap();
    assert_eq!(here.len(), 0);
}

#[test]
fn a_row_has_no_more_bindings_than_there_may_be() {
    let mut there = empty();
    let bytes = change(
        &mut there,
        register(b"c1", 7),
        &[contact(b"sip:joe@b", 100)],
    );
    let read = SharedChange::read(&bytes).unwrap();
    let binding = read.bindings().next().unwrap().binding.unwrap();
    let most = u64::try_from(limits::CONTACTS_MAX).unwrap();
    let fields: Vec<_> = (0..most + 3).map(|stamp| value(stamp, binding)).collect();
    let row = row_of(fields.iter().map(|field| &field[..]), 0).unwrap();
    let count = row[1];
    assert_eq!(usize::from(count), limits::CONTACTS_MAX);
    let mut here = empty();
    here.take_in(NOW, WALL, AOR, Some(&row), 1).unwrap();
}

#[test]
fn what_has_not_changed_keeps_its_flow() {
    use crate::id::{Flow, SocketId};
    let own = Flow::Udp {
        socket: SocketId(0),
        peer: "192.0.2.1:5060".parse().unwrap(),
    };
    let mut here = empty();
    let by_flow = Register {
        flow: Some(own),
        ..register(b"c1", 7)
    };
    let first = change(&mut here, by_flow, &[contact(b"sip:joe@b", 100)]);
    let mut there = empty();
    let renewed = change(
        &mut there,
        register(b"c1", 8),
        &[contact(b"sip:joe@b", 100)],
    );
    let row = |bytes: &[u8]| {
        let read = SharedChange::read(bytes).unwrap();
        let binding = read.bindings().next().unwrap().binding.unwrap();
        let field = value(1, binding);
        row_of([&field[..]].into_iter(), 0).unwrap()
    };
    here.take_in(NOW, WALL, AOR, Some(&row(&first)), 1).unwrap();
    assert_eq!(here.bindings(NOW, AOR).next().unwrap().flow, Some(own));
    // Another home has taken this one.
    here.take_in(NOW, WALL, AOR, Some(&row(&renewed)), 2)
        .unwrap();
    let binding = here.bindings(NOW, AOR).next().unwrap();
    assert_eq!((binding.flow, binding.cseq), (None, 8));
    assert!(binding.is_live(NOW + Duration::from_secs(99)));
}
