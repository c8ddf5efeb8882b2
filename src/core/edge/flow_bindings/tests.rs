mod naive;

use super::*;
use crate::edge::EdgeSet;
use crate::id::{Slot, SocketId, StreamId};
use crate::time::Duration;

const NOW: Instant = Instant::from_micros(1_000_000);
const LATER: Instant = Instant::from_micros(2_000_000);
const JOE: Subscriber<'_> = Subscriber {
    user: b"joe",
    realm: b"example.com",
    instance: b"i1",
};

const fn flow(index: u32) -> Flow {
    Flow::Stream(StreamId(Slot {
        index,
        generation: 0,
    }))
}

const fn who<'a>(name: &'a [u8], realm: &'a [u8]) -> User<'a> {
    User { name, realm }
}

/// The address of record of everybody here.
fn aor_of(subscriber: &Subscriber<'_>) -> &'static [u8] {
    [subscriber.user, b"@", subscriber.realm].concat().leak()
}

fn registration(subscriber: Subscriber<'_>, reg_id: u32, to: u32) -> FlowBinding<'_> {
    let edges = EdgeSet::new(&[0, 2]).unwrap();
    FlowBinding {
        subscriber,
        aor: aor_of(&subscriber),
        reg_id,
        flow: flow(to),
        edges,
        flags: 0,
        follows: Follows::Flow,
        is_tls: false,
        is_kept_open: false,
        is_restored: false,
        expires: LATER,
    }
}

fn table(bound: &[FlowBinding<'_>]) -> FlowBindings {
    let mut table = FlowBindings::new([1, 2, 3, 4]);
    for registration in bound {
        table.bind(registration).unwrap();
    }
    table
}

#[test]
fn the_newest_flow_of_any_reg_id_is_found() {
    // H-10
    let mut table = table(&[registration(JOE, 1, 10), registration(JOE, 2, 20)]);
    assert_eq!(table.flow_of(NOW, &JOE, None), Some(flow(20)));
    assert_eq!(table.flow_of(NOW, &JOE, Some(flow(20))), Some(flow(10)));
    table.bind(&registration(JOE, 1, 11)).unwrap();
    assert_eq!(table.flow_of(NOW, &JOE, None), Some(flow(11)));
    // B-12: the newer flow of a reg-id replaces the older one.
    assert!(!table.has_flow(NOW, flow(10), &JOE));
    assert!(table.has_flow(NOW, flow(20), &JOE));
    assert_eq!(table.len(), 2);
}

#[test]
fn members_are_the_same_in_another_order() {
    let ann = Subscriber {
        user: b"ann",
        ..JOE
    };
    let mut alone = registration(ann, 1, 20);
    alone.edges = EdgeSet::of(2);
    let mut table = table(&[registration(JOE, 1, 10), alone]);
    let edges = |table: &FlowBindings, on, name| {
        let found = table.on_flow(NOW, flow(on), who(name, b"example.com"));
        found.unwrap().edges.iter().collect::<Vec<_>>()
    };
    // The second of three is gone, a new one stands first.
    table.renumber(&[Some(1), None, Some(2)]);
    assert_eq!(edges(&table, 10, b"joe"), [1, 2]);
    assert_eq!(edges(&table, 20, b"ann"), [2]);
    table.renumber(&[None, None, Some(0)]);
    assert_eq!(edges(&table, 10, b"joe"), [0]);
    table.renumber(&[None]);
    assert_eq!(edges(&table, 10, b"joe"), [] as [usize; 0]);
}

#[test]
fn a_refresh_takes_over_what_the_token_says() {
    let mut table = table(&[registration(JOE, 1, 10)]);
    let edges = EdgeSet::new(&[5]).unwrap();
    let renewed = FlowBinding {
        edges,
        flags: 3,
        follows: Follows::Name,
        is_kept_open: false,
        ..registration(JOE, 1, 10)
    };
    table.bind(&renewed).unwrap();
    assert_eq!(
        table.on_flow(NOW, flow(10), who(b"joe", b"example.com")),
        Some(renewed)
    );
}

#[test]
fn users_and_instances_and_realms_are_kept_apart() {
    let (other, elsewhere) = (
        Subscriber {
            instance: b"i2",
            ..JOE
        },
        Subscriber {
            realm: b"example.org",
            ..JOE
        },
    );
    let table = table(&[
        registration(JOE, 1, 10),
        registration(other, 1, 20),
        registration(elsewhere, 1, 30),
    ]);
    assert_eq!(table.flow_of(NOW, &JOE, None), Some(flow(10)));
    assert_eq!(table.flow_of(NOW, &other, None), Some(flow(20)));
    assert_eq!(table.flow_of(NOW, &elsewhere, None), Some(flow(30)));
    assert_eq!(
        table.flow_of(NOW, &Subscriber { user: b"jo", ..JOE }, None),
        None
    );
    // Without a realm it is nobody.
    assert_eq!(
        table.flow_of(NOW, &Subscriber { realm: b"", ..JOE }, None),
        None
    );
    // Fields that run together are not the same fields.
    assert!(!table.has_flow(
        NOW,
        flow(10),
        &Subscriber {
            user: b"joe",
            realm: b"example.comi",
            instance: b"1"
        }
    ));
}

#[test]
fn a_flow_knows_its_subscriber() {
    let ann = Subscriber {
        user: b"ann",
        ..JOE
    };
    let mut table = table(&[registration(JOE, 1, 10), registration(JOE, 2, 10)]);
    assert_eq!(
        table.on_flow(NOW, flow(10), who(b"alias", b"example.com")),
        Some(registration(JOE, 2, 10))
    );
    assert_eq!(
        table.on_flow(NOW, flow(10), who(b"", b"example.com")),
        Some(registration(JOE, 2, 10))
    );
    assert_eq!(
        table.on_flow(NOW, flow(11), who(b"joe", b"example.com")),
        None
    );
    // Several on one flow: the claimed user decides, nobody is guessed.
    table.bind(&registration(ann, 1, 10)).unwrap();
    assert_eq!(
        table.on_flow(NOW, flow(10), who(b"joe", b"example.com")),
        Some(registration(JOE, 2, 10))
    );
    assert_eq!(
        table.on_flow(NOW, flow(10), who(b"ann", b"example.com")),
        Some(registration(ann, 1, 10))
    );
    assert_eq!(
        table.on_flow(NOW, flow(10), who(b"alias", b"example.com")),
        None
    );
}

#[test]
fn what_is_over_is_not_found() {
    let table = table(&[registration(JOE, 1, 10)]);
    let before = LATER - Duration::from_micros(1);
    assert_eq!(table.flow_of(before, &JOE, None), Some(flow(10)));
    assert_eq!(table.flow_of(LATER, &JOE, None), None);
    assert!(!table.has_flow(LATER, flow(10), &JOE));
    assert_eq!(
        table.on_flow(LATER, flow(10), who(b"joe", b"example.com")),
        None
    );
}

#[test]
fn a_lost_flow_takes_everyone_on_it_along() {
    // O-11
    let ann = Subscriber {
        user: b"ann",
        ..JOE
    };
    let mut table = table(&[
        registration(JOE, 1, 10),
        registration(ann, 1, 10),
        registration(JOE, 2, 20),
    ]);
    assert_eq!(table.flow_lost(flow(10), |_, _| ()), 2);
    assert_eq!(table.flow_lost(flow(10), |_, _| ()), 0);
    assert_eq!(table.flow_of(NOW, &JOE, None), Some(flow(20)));
    assert_eq!(table.flow_of(NOW, &ann, None), None);
}

#[test]
fn a_user_is_forgotten_with_all_instances_and_nobody_else() {
    let second = Subscriber {
        instance: b"i2",
        ..JOE
    };
    let namesake = Subscriber {
        realm: b"example.org",
        ..JOE
    };
    let mut table = table(&[
        registration(JOE, 1, 10),
        registration(JOE, 2, 20),
        registration(second, 1, 30),
        registration(namesake, 1, 10),
    ]);
    let mut gone = Vec::new();
    let forgotten = table.forget_user(who(b"joe", b"example.com"), |left, it| {
        gone.push((it.instance.to_vec(), left.flow_of(NOW, it, None)));
    });
    assert_eq!((forgotten, gone.len(), table.len()), (3, 3, 1));
    let i1 = gone.iter().filter(|(instance, _)| instance == b"i1");
    let flows: Vec<_> = i1.map(|(_, flow)| *flow).collect();
    assert_eq!(flows, [Some(flow(10)), None]);
    assert_eq!(table.flow_of(NOW, &namesake, None), Some(flow(10)));
    // The other one's sixty-four are not his.
    for reg_id in 0..100 {
        table.bind(&registration(JOE, reg_id, 40)).unwrap();
    }
    assert_eq!(table.len(), 65);
    assert_eq!(table.flow_of(NOW, &namesake, None), Some(flow(10)));
}

#[test]
fn a_claim_is_read_as_hosts_are_written() {
    let ann = Subscriber {
        user: b"ann",
        ..JOE
    };
    let table = table(&[registration(JOE, 1, 10), registration(ann, 1, 10)]);
    let found = |host: &'static [u8]| {
        let found = table.on_flow(NOW, flow(10), who(b"joe", host));
        found.map(|found| found.aor)
    };
    assert_eq!(found(b"Example.COM."), Some(&b"joe@example.com"[..]));
    assert_eq!(found(b"example.org"), None);
    assert_eq!(found(&[b'X'; 400]), None);
}

#[test]
fn a_departed_registration_leaves_the_other_reg_ids() {
    let mut table = table(&[registration(JOE, 1, 10), registration(JOE, 2, 20)]);
    assert!(table.unbind(&JOE, 2));
    assert!(!table.unbind(&JOE, 2));
    assert_eq!(table.flow_of(NOW, &JOE, None), Some(flow(10)));
    assert!(!table.unbind(&Subscriber { realm: b"", ..JOE }, 1));
    assert!(table.unbind(&JOE, 1));
    assert_eq!(table.len(), 0);
}

#[test]
fn expiry_works_in_bounded_pieces_and_comes_around() {
    let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    let mut table = FlowBindings::new([1, 2, 3, 4]);
    for (name, to) in names.iter().zip(0..) {
        let expires = if to == 4 {
            LATER + Duration::from_secs(9)
        } else {
            LATER
        };
        let subscriber = Subscriber {
            user: name.as_bytes(),
            ..JOE
        };
        table
            .bind(&FlowBinding {
                expires,
                ..registration(subscriber, 1, to)
            })
            .unwrap();
    }
    assert_eq!(table.expire(NOW, 100), 0);
    assert_eq!(
        [4, 4, 4, 4].map(|budget| table.expire(LATER, budget)),
        [4, 3, 2, 0]
    );
    assert_eq!(
        table.flow_of(LATER, &Subscriber { user: b"4", ..JOE }, None),
        Some(flow(4))
    );
    assert_eq!(FlowBindings::new([0; 4]).expire(LATER, 100), 0);
}

#[test]
fn at_the_bound_new_ones_are_refused_and_old_ones_refreshed() {
    let mut table = table(&[registration(JOE, 1, 10)]);
    table.max = 1;
    assert_eq!(table.bind(&registration(JOE, 2, 20)), Err(Full));
    assert_eq!(
        table.bind(&registration(JOE, 1, 11)),
        Ok(BindResult::Renewed)
    );
    assert_eq!(
        (table.len(), table.flow_of(NOW, &JOE, None)),
        (1, Some(flow(11)))
    );
    let long = [b'x'; TOKEN_FIELD_MAX + 1];
    assert_eq!(
        table.bind(&registration(Subscriber { user: &long, ..JOE }, 1, 10)),
        Err(Full)
    );
}

#[test]
fn a_user_with_too_many_loses_the_oldest() {
    let bound = u32::try_from(USER_REGISTRATIONS_MAX).unwrap();
    let mut table = FlowBindings::new([1, 2, 3, 4]);
    for reg_id in 0..bound {
        table.bind(&registration(JOE, reg_id, reg_id)).unwrap();
    }
    table.bind(&registration(JOE, 0, 1_000)).unwrap();
    assert!(table.has_flow(NOW, flow(1), &JOE));
    table.bind(&registration(JOE, bound, 2_000)).unwrap();
    assert_eq!(table.len(), USER_REGISTRATIONS_MAX);
    assert!(!table.has_flow(NOW, flow(1), &JOE));
    assert!(table.has_flow(NOW, flow(1_000), &JOE) && table.has_flow(NOW, flow(2), &JOE));
}

#[test]
fn datagram_flows_differ_by_socket_and_peer() {
    let udp = |socket, peer: &str| Flow::Udp {
        socket: SocketId(socket),
        peer: peer.parse().unwrap(),
    };
    let at = udp(0, "192.0.2.1:5060");
    let table = table(&[FlowBinding {
        flow: at,
        ..registration(JOE, 0, 0)
    }]);
    assert!(table.has_flow(NOW, at, &JOE));
    assert!(!table.has_flow(NOW, udp(1, "192.0.2.1:5060"), &JOE));
    assert_eq!(
        table.on_flow(NOW, udp(0, "192.0.2.1:5062"), who(b"joe", b"example.com")),
        None
    );
}

#[test]
fn each_flow_that_is_kept_open_comes_once_a_round() {
    let kept = |number: u32, to: u32, is_kept_open| {
        let instance = number.to_be_bytes().to_vec().leak();
        let user = format!("u{}", number / 8).into_bytes().leak();
        let subscriber = Subscriber {
            user,
            instance,
            ..JOE
        };
        FlowBinding {
            is_kept_open,
            ..registration(subscriber, 0, to)
        }
    };
    let mut table = table(&[]);
    for number in 0..1_000 {
        // Two on each flow; every other flow keeps itself open.
        table
            .bind(&kept(number, number / 2, number % 4 < 2))
            .unwrap();
    }
    assert_eq!(table.kept_open(), 500);
    for parts in [1, 7, 100, 2_500] {
        let mut seen = Vec::new();
        for _ in 0..parts {
            let before = seen.len();
            table.next_kept_open(NOW, parts, |flow| seen.push(flow));
            let most = 1_000_u32.div_ceil(parts);
            assert!(seen.len() - before <= most as usize, "{parts}");
        }
        // Where the parts are more than the slots the next round has begun.
        let rounds = (parts * 1_000_u32.div_ceil(parts)).div_ceil(1_000);
        for number in (0..500).step_by(2) {
            let times = seen.iter().filter(|seen| **seen == flow(number)).count();
            assert!((1..=rounds as usize).contains(&times), "{parts}: {times}");
        }
        assert!(seen.iter().all(|seen| *seen != flow(1)));
    }
    // It stops with the registration, whether that is over, renewed without or gone.
    let count = |table: &mut FlowBindings, now| {
        let mut seen = 0;
        table.next_kept_open(now, 1, |_| seen += 1);
        seen
    };
    assert_eq!(count(&mut table, LATER), 0);
    for number in 0..1_000 {
        table.bind(&kept(number, number / 2, number < 4)).unwrap();
    }
    assert_eq!((table.kept_open(), count(&mut table, NOW)), (4, 2));
    table.flow_lost(flow(0), |_, _| ());
    assert_eq!((table.kept_open(), count(&mut table, NOW)), (2, 1));
    table.expire(LATER, 1_000);
    assert_eq!((table.kept_open(), table.len()), (0, 0));
}
