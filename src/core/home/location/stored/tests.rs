//! The stored form of bindings: its exact bytes, dates, damage.

use super::*;
use crate::home::location::{Change, Register};
use crate::id::{Flow, SocketId};

const WALL: Wall = Wall {
    unix_at_zero: 1_700_000_000,
};
const AOR: &[u8] = b"joe@example.com";

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn empty() -> Location {
    Location::new([1, 2, 3, 4])
}

fn filled() -> Location {
    let mut location = empty();
    let flow = Flow::Udp {
        socket: SocketId(0),
        peer: "192.0.2.1:5060".parse().unwrap(),
    };
    let register = Register {
        call_id: b"c",
        cseq: 1,
        path: b"<sip:e1;lr>",
        flow: Some(flow),
    };
    let changes = [
        Change {
            contact: b"sip:joe@b",
            q: 1000,
            expires_s: 100,
            ..Change::default()
        },
        Change {
            contact: b"sip:joe@a",
            params: b";x",
            q: 500,
            expires_s: 200,
            instance: Some(b"urn:x:1"),
            reg_id: Some(3),
        },
    ];
    location.apply(at(0), AOR, &register, &changes).unwrap();
    location
}

fn encoded() -> Vec<u8> {
    let mut out = Vec::new();
    assert!(filled().encode(at(0), AOR, WALL, &mut out));
    out
}

#[test]
fn the_stored_form_does_not_change() {
    let want = [
        &[1, 2][..],
        &[0, 0, 0, 0, 0x65, 0x53, 0xf1, 0x64],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0x03, 0xe8],
        &[0, 9, 0, 9, 0, 20, 0, 21, 0, 9, 0, 9, 0, 21],
        b"sip:joe@b<sip:e1;lr>c",
        &[0, 0, 0, 0, 0x65, 0x53, 0xf1, 0xc8],
        &[0, 0, 0, 1, 0, 0, 0, 3, 0x01, 0xf4],
        &[0, 9, 0, 11, 0, 22, 0, 23, 0, 23, 0, 30, 0, 30],
        b"sip:joe@a;x<sip:e1;lr>curn:x:1",
    ]
    .concat();
    assert_eq!(encoded(), want);
}

#[test]
fn bindings_come_back_without_their_flow() {
    let from = filled();
    let mut to = empty();
    to.restore(at(0), WALL, AOR, &encoded()).unwrap();
    let want: Vec<_> = from
        .bindings(at(0), AOR)
        .map(|b| Binding {
            flow: None,
            ..b.clone()
        })
        .collect();
    let got: Vec<_> = to.bindings(at(0), AOR).cloned().collect();
    assert_eq!(got, want);
    assert_eq!(got.len(), 2);
}

// A process restarted 150 s later has its own zero of the clock.
#[test]
fn expiry_is_a_date() {
    let mut to = empty();
    let wall = Wall {
        unix_at_zero: WALL.unix_at_zero + 150,
    };
    to.restore(at(0), wall, AOR, &encoded()).unwrap();
    let left: Vec<_> = to
        .bindings(at(0), AOR)
        .map(|b| (b.contact(), b.left_s(at(0))))
        .collect();
    assert_eq!(left, [(&b"sip:joe@a"[..], 50)]);
    let wall = Wall {
        unix_at_zero: WALL.unix_at_zero + 300,
    };
    to.restore(at(0), wall, AOR, &encoded()).unwrap();
    assert_eq!(to.len(), 0);
}

#[test]
fn a_part_of_a_second_is_not_lost() {
    let (mut from, mut to, mut out) = (empty(), empty(), Vec::new());
    let now = Instant::from_micros(1);
    let register = Register {
        call_id: b"c",
        cseq: 1,
        path: b"",
        flow: None,
    };
    let change = Change {
        contact: b"sip:a",
        expires_s: 60,
        ..Change::default()
    };
    from.apply(now, AOR, &register, &[change]).unwrap();
    assert!(from.encode(now, AOR, WALL, &mut out));
    to.restore(now, WALL, AOR, &out).unwrap();
    assert_eq!(
        to.bindings(now, AOR).map(|b| b.expires).collect::<Vec<_>>(),
        [at(61)]
    );
}

#[test]
fn a_calendar_set_back_keeps_nothing_for_ever() {
    let mut to = empty();
    to.restore(at(5), Wall { unix_at_zero: 0 }, AOR, &encoded())
        .unwrap();
    let left: Vec<_> = to.bindings(at(5), AOR).map(|b| b.left_s(at(5))).collect();
    assert_eq!(left, [limits::EXPIRES_MAX_S; 2]);
}

#[test]
fn what_is_expired_is_not_stored() {
    let location = filled();
    let mut out = Vec::new();
    assert!(location.encode(at(150), AOR, WALL, &mut out));
    assert_eq!(location.encoded_len(at(150), AOR), out.len());
    assert_eq!(out[..2], [VERSION, 1]);
    out.clear();
    assert!(!location.encode(at(200), AOR, WALL, &mut out));
    assert!(!location.encode(at(0), b"ann@example.com", WALL, &mut out));
    assert!(out.is_empty());
}

#[test]
fn damage_is_told_and_changes_nothing() {
    let good = encoded();
    let mut location = empty();
    let mut check = |bytes: &[u8]| {
        assert_eq!(
            location.restore(at(0), WALL, AOR, bytes),
            Err(NotRestored::Corrupt)
        );
        assert_eq!(location.len(), 0);
    };
    for len in 0..good.len() {
        check(&good[..len]);
    }
    check(&[&good[..], b"x"].concat());
    // Version, count, q, contact_end, path_end, instance start and end.
    for (index, byte) in [
        (0, 2),
        (1, 11),
        (18, 0x04),
        (21, 0),
        (25, 22),
        (29, 10),
        (31, 22),
    ] {
        let mut bytes = good.clone();
        bytes[index] = byte;
        check(&bytes);
    }
    let mut keyless = good.clone();
    keyless[17] = 1;
    check(&keyless);
    assert_eq!(location.restore(at(0), WALL, AOR, &[VERSION, 0]), Ok(()));
}

#[test]
fn no_bytes_make_it_panic() {
    let good = encoded();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut location = empty();
    let (mut taken, mut refused) = (0, 0);
    for round in 0..10_000 {
        let bytes = if round % 2 == 0 {
            let mut bytes = good.clone();
            let [at, byte, ..] = random();
            let index = usize::from(at) % bytes.len();
            bytes[index] = byte;
            bytes
        } else {
            (0..random()[0] % 16).flat_map(|_| random()).collect()
        };
        match location.restore(at(0), WALL, AOR, &bytes) {
            Ok(()) => taken += 1,
            Err(NotRestored::Corrupt | NotRestored::Full) => refused += 1,
        }
        for binding in location.bindings(at(0), AOR) {
            assert!(!binding.contact().is_empty());
            assert!(binding.path().len() + binding.params().len() + binding.call_id().len() < 64);
            assert!(binding.reg_id().is_none() || binding.instance().is_some());
        }
    }
    assert!(taken > 1_000 && refused > 5_000, "{taken} {refused}");
}
