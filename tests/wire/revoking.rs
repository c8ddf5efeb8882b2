//! A subscriber who is taken off the list, or has another password, is gone at once:
//! bindings at the home, flows at the edges (I-14; RFC 3680).

use super::phone::{Login, Phone, Register};
use super::settings;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
const BOB: &str = "127.0.0.1:5090";

/// Everybody but joe.
const WITHOUT: &str = "ann example.com password=secret\nbob example.com password=secret\n\
                       sos example.com password=secret\n";

fn gone(world: &mut World) {
    world.subscribe(HOME, &settings::subscribers(), WITHOUT);
}

/// Registrations at each edge.
fn held(world: &World) -> [usize; 3] {
    EDGES.map(|edge| world.gauge(edge, "registered"))
}

/// The status of a MESSAGE to joe, sent to the home.
fn called(world: &mut World, cseq: u32) -> u16 {
    let bob = Phone::foreign("bob", BOB);
    let text = bob.request("MESSAGE", "sip:joe@example.com", cseq, "", "");
    bob.send(world, HOME, &text);
    bob.status(world)
}

#[test]
fn who_is_off_the_list_is_gone_from_home_and_edges() {
    // I-14
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        for width in [1, 3] {
            let mut world = World::wide(width, tokens, |_| (), |_, _| ());
            Phone::new("joe", JOE, true).register(&mut world, EDGES[0]);
            Phone::new("ann", ANN, true).register(&mut world, EDGES[0]);
            assert_eq!(held(&world).iter().sum::<usize>(), 4);
            assert_eq!(world.store.len(), 2);
            gone(&mut world);
            assert_eq!(held(&world).iter().sum::<usize>(), 2, "{}", world.ladder());
            assert_eq!(world.gauge(HOME, "registered"), 1);
            assert_eq!(world.counter(HOME, "revoked"), 2);
            assert!(world.store.keys().eq([b"ann@example.com"]));
            assert_eq!(called(&mut world, 1), 404);
            assert!(!world.has(JOE), "{}", world.ladder());
            // Each edge was told once, and has said so.
            let notify = world
                .trace
                .iter()
                .filter(|seen| seen.text.starts_with("NOTIFY "));
            assert_eq!(notify.count(), 3, "{}", world.ladder());
            world.drained();
        }
    }
}

#[test]
fn a_new_password_ends_what_the_old_one_began() {
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Register::new("joe", JOE);
    let challenge = joe.send(&mut world, EDGES[0], "");
    let old = Login::new("joe");
    let ok = joe.send(&mut world, EDGES[0], &old.answer(&challenge));
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    let list = WITHOUT.to_owned() + "joe example.com password=other\n";
    world.subscribe(HOME, &settings::subscribers(), &list);
    assert_eq!((held(&world), world.gauge(HOME, "registered")), ([0; 3], 0));
    // Neither on the old nonce nor on a new one.
    let next = Login {
        nc: "00000002",
        ..Login::new("joe")
    };
    let again = joe.send(&mut world, EDGES[0], &next.answer(&challenge));
    assert!(again.starts_with("SIP/2.0 401 "), "{again}");
    let refused = joe.login(&mut world, EDGES[0]);
    assert!(refused.starts_with("SIP/2.0 401 "), "{refused}");
    assert_eq!(held(&world), [0; 3]);
    let new = Login {
        password: "other",
        ..Login::new("joe")
    };
    let ok = joe.send(&mut world, EDGES[0], &new.answer(&refused));
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert_eq!(held(&world), [1, 0, 0]);
}

#[test]
fn a_call_that_is_up_can_be_ended() {
    let mut world = World::lab(Tokens::Clear);
    let (mut joe, mut ann) = (Phone::new("joe", JOE, true), Phone::new("ann", ANN, true));
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    let route = "Route: <sip:edge.example.com;lr>\n";
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, route, "");
    joe.send(&mut world, EDGES[0], &invite);
    let ringing = ann.receive(&mut world);
    ann.dialog(&ringing, false);
    let last = world.last_to(ANN).from.to_string();
    ann.answer(&mut world, &last, &ringing, 200, "OK");
    let ok = loop {
        let text = joe.receive(&mut world);
        if text.starts_with("SIP/2.0 200 ") {
            break text;
        }
    };
    joe.dialog(&ok, true);
    joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
    ann.receive(&mut world);
    gone(&mut world);
    joe.in_dialog(&mut world, EDGES[0], "BYE", 2);
    let bye = ann.receive(&mut world);
    assert!(bye.starts_with("BYE "), "{bye}");
}

#[test]
fn only_a_home_takes_anybody_back() {
    for from in [JOE, "203.0.113.6:5060", "127.0.0.12:40000", EDGES[2]] {
        let mut world = World::lab(Tokens::Clear);
        Phone::new("joe", JOE, false).register(&mut world, EDGES[0]);
        gone(&mut world);
        let mut trace = world.trace.iter();
        let notify = trace.find(|seen| seen.text.starts_with("NOTIFY sip:edge.example.com "));
        let notify = notify.unwrap().text.clone();
        assert!(
            notify.contains("\r\nFrom: <sip:joe@example.com>;tag="),
            "{notify}"
        );
        world.subscribe(
            HOME,
            &settings::subscribers(),
            &format!("{WITHOUT}joe example.com password=secret"),
        );
        let ok = Register::new("joe", JOE).login(&mut world, EDGES[0]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        assert_eq!(world.gauge(EDGES[0], "registered"), 1, "{}", world.ladder());
        // The same from elsewhere, as if it were new.
        let forged = notify.replace("branch=z9hG4bK", "branch=z9hG4bKx");
        world.send_bytes(from, EDGES[0], forged.as_bytes());
        assert_eq!(world.gauge(EDGES[0], "registered"), 1, "{from}");
    }
}

#[test]
fn namesakes_and_neighbours_stay() {
    let mut world = World::lab(Tokens::Clear);
    // Three phones behind one flow each; two users share one address.
    for (user, from) in [("joe", JOE), ("ann", JOE), ("bob", BOB)] {
        let mut phone = Register::new(user, from);
        phone.call_id = user;
        phone.login(&mut world, EDGES[0]);
    }
    gone(&mut world);
    assert_eq!(held(&world), [2, 0, 0]);
    let ladder = world.ladder();
    let text = Phone::foreign("bob", BOB).request("MESSAGE", "sip:ann@example.com", 1, "", "");
    world.send(BOB, HOME, &text);
    let message = world.receive(JOE).text;
    assert!(
        message.starts_with("MESSAGE sip:ann@"),
        "{message}\n{ladder}"
    );
}

#[test]
fn a_home_that_was_restarted_tells_the_edges_too() {
    // It knows no flow of any binding; and who left the list meanwhile is found.
    let mut world = World::lab(Tokens::Sealed);
    Phone::new("joe", JOE, true).register(&mut world, EDGES[0]);
    world.restart(HOME);
    gone(&mut world);
    assert_eq!((held(&world), world.store.len()), ([0; 3], 0));

    let mut world = World::lab(Tokens::Sealed);
    Phone::new("joe", JOE, true).register(&mut world, EDGES[0]);
    let row = world.store[&b"joe@example.com"[..]].clone();
    world.store.insert(b"eve@example.com".to_vec(), row);
    world.restart(HOME);
    assert_eq!(world.gauge(HOME, "registered"), 2);
    world.pass(Duration::from_millis(100));
    assert_eq!(world.gauge(HOME, "registered"), 1);
    assert!(world.store.keys().eq([b"joe@example.com"]));
}

#[test]
fn thousands_at_once_are_gone_within_a_second_in_pieces() {
    let mut world = World::lab(Tokens::Clear);
    Phone::new("joe", JOE, false).register(&mut world, EDGES[0]);
    let count = 3_000;
    let names = (0..count).map(|n| format!("a{n} example.com password=1\n"));
    let all = names.collect::<String>() + "joe example.com password=secret\n";
    let list = steadfast::home::Subscribers::parse(&all).unwrap();
    world.forget();
    world.subscribe(HOME, &list, "");
    let notify = |world: &World| {
        let notify = world.trace.iter();
        let notify = notify.filter(|seen| seen.text.starts_with("NOTIFY "));
        notify.count()
    };
    assert!(notify(&world) <= 3 * limits::REVOKED_AT_ONCE * usize::from(world.width));
    world.pass(Duration::from_secs(1));
    assert!(notify(&world) >= 3 * count);
    assert_eq!((held(&world), world.gauge(HOME, "registered")), ([0; 3], 0));
}

#[test]
fn an_operator_lists_and_removes_the_bindings_of_one_address() {
    let mut world = World::lab(Tokens::Sealed);
    Phone::new("joe", JOE, true).register(&mut world, EDGES[0]);
    Phone::new("ann", ANN, false).register(&mut world, EDGES[0]);
    let removed = world
        .remove_bindings(HOME, "sip:%6aoe@EXAMPLE.com")
        .unwrap();
    assert_eq!(removed.aor, "joe@example.com");
    assert_eq!(removed.rows.len(), 2, "{removed:?}");
    let row = &removed.rows[0];
    assert_eq!(row.contact, format!("sip:joe@{JOE}"));
    assert!(row.path.ends_with("@edge.example.com;lr;ob>"), "{row:?}");
    assert!(row.flow.starts_with("the flow to udp:127.0.0.1"), "{row:?}");
    assert!(
        row.phone.ends_with(", reg-id 1") && row.left_s > 0,
        "{row:?}"
    );
    assert_eq!(held(&world), [1, 0, 0]);
    assert_eq!((world.gauge(HOME, "registered"), world.store.len()), (1, 1));
    assert_eq!(called(&mut world, 1), 480);
    // He may come back: he is a subscriber.
    let ok = Register::new("joe", JOE).login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    let none = world.remove_bindings(HOME, "sip:bob@example.com").unwrap();
    assert_eq!(none.rows, []);
    for (node, uri, why) in [
        (
            HOME,
            "sip:joe@example.net",
            "is not of the domain example.com",
        ),
        (HOME, "sip:example.com", "names no user"),
        (HOME, "joe", "is no URI"),
        (EDGES[0], "sip:joe@example.com", "this node is no home"),
    ] {
        let sentence = world.remove_bindings(node, uri).unwrap_err();
        assert!(sentence.contains(why), "{sentence}");
    }
}
