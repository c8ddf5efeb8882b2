//! UDP phones do not notice that their edge was restarted: what an edge knew of them
//! it knows again from the first moment on, and nothing that has ended (RFC 5626
//! §4.4.2: STUN goes on being answered; I-14).

use steadfast::limits;
use steadfast::time::Duration;

use super::phone::{Login, Phone, Register};
use super::settings;
use super::world::{EDGES, HOME, Tokens, World};

const JOE: &str = "127.0.0.1:5070";
const JOE_MOVED: &str = "127.0.0.1:5071";
const ANN: &str = "127.0.0.1:5080";
const BOB: &str = "127.0.0.1:5090";
const WITHOUT_JOE: &str = "ann example.com password=secret\nbob example.com password=secret\n";

fn world(width: u8, tokens: Tokens) -> World {
    World::wide(width, tokens, |_| (), |_, edge| edge.keeps_flows = true)
}

/// A MESSAGE of a stranger for joe, sent to the home: whether it came to joe, and the
/// final status.
fn reached(world: &mut World, cseq: u32) -> (bool, u16) {
    let bob = Phone::foreign("bob", BOB);
    let text = bob.request("MESSAGE", "sip:joe@example.com", cseq, "", "");
    bob.send(world, HOME, &text);
    if !world.has(JOE) && !world.has(BOB) {
        // H-7: what hears nothing is overtaken.
        world.pass(limits::T1);
    }
    let came = world.has(JOE);
    if came {
        let joe = Phone::new("joe", JOE, false);
        let message = joe.receive(world);
        assert!(message.starts_with("MESSAGE sip:joe@127.0.0.1:5070 "));
        let edge = world.last_to(JOE).from.to_string();
        joe.answer(world, &edge, &message, 200, "OK");
    }
    (came, bob.status(world))
}

/// Joe sends ann a MESSAGE through an edge: whether it came to her, under his name.
fn reaches_ann(world: &mut World, cseq: u32) -> bool {
    let joe = Phone::new("joe", JOE, false);
    let route = "Route: <sip:edge.example.com;lr>\n";
    let text = joe.request("MESSAGE", "sip:ann@example.com", cseq, route, "");
    world.forget();
    joe.send(world, EDGES[0], &text);
    let name = "\r\nP-Asserted-Identity: <sip:joe@example.com>\r\n";
    world.has(ANN) && world.receive(ANN).text.contains(name)
}

/// What joe gets who sends ann a MESSAGE and does not reach her.
#[track_caller]
fn status_of_joe(world: &mut World, cseq: u32) -> u16 {
    assert!(!reaches_ann(world, cseq), "{}", world.ladder());
    Phone::new("joe", JOE, false).status(world)
}

fn registered(world: &World) -> usize {
    world.gauge(EDGES[0], "registered")
}

/// Rows of the first edge.
fn kept(world: &World) -> usize {
    let ip = EDGES[0].split(':').next().unwrap();
    let rows = world.flows.keys();
    rows.filter(|(of, _)| of.to_string() == ip).count()
}

#[test]
fn a_restarted_edge_reaches_its_udp_phones_at_once() {
    for width in [1, 3] {
        for tokens in [Tokens::Clear, Tokens::Sealed] {
            let mut world = world(width, tokens);
            Phone::new("joe", JOE, false).register(&mut world, EDGES[0]);
            assert_eq!(reached(&mut world, 1), (true, 200));
            world.restart(EDGES[0]);
            assert_eq!(world.counter(EDGES[0], "restored"), 1);
            assert_eq!(reached(&mut world, 2), (true, 200));
            // The next one too, though nobody has refreshed.
            world.restart(EDGES[0]);
            assert_eq!(reached(&mut world, 3), (true, 200));
        }
    }
}

#[test]
fn an_edge_that_was_away_for_long_is_asked_at_once() {
    let mut world = world(1, Tokens::Sealed);
    Phone::new("joe", JOE, false).register(&mut world, EDGES[0]);
    world.kill(EDGES[0]);
    world.pass(Duration::from_secs(20));
    // The home knows that it is down.
    assert!(world.counter(HOME, "peers_silent") > 0);
    world.restart(EDGES[0]);
    assert_eq!(reached(&mut world, 1), (true, 200));
}

#[test]
fn a_phone_with_two_flows_outlives_a_rolling_restart() {
    for width in [1, 3] {
        let mut world = world(width, Tokens::Sealed);
        let mut joe = Phone::new("joe", JOE, true);
        joe.register(&mut world, EDGES[0]);
        let backup = joe.backup.clone();
        for (cseq, edge) in [(1, EDGES[0]), (2, &backup)] {
            world.kill(edge);
            assert_eq!(reached(&mut world, cseq), (true, 200));
            // Until nothing more is sent to it of what went the other way.
            world.pass(64 * limits::T1);
            world.restart(edge);
            assert_eq!(reached(&mut world, 10 + cseq), (true, 200));
        }
        // Either of them alone.
        world.kill(EDGES[0]);
        assert_eq!(reached(&mut world, 21), (true, 200));
        world.pass(64 * limits::T1);
        world.restart(EDGES[0]);
        world.kill(&backup);
        assert_eq!(reached(&mut world, 22), (true, 200));
    }
}

#[test]
fn without_a_table_it_is_deaf_to_them() {
    let mut world = World::wide(1, Tokens::Sealed, |_| (), |_, _| ());
    Phone::new("joe", JOE, false).register(&mut world, EDGES[0]);
    assert_eq!((world.flows.len(), world.flow_writes), (0, 0));
    world.restart(EDGES[0]);
    assert_eq!(reached(&mut world, 1), (false, 480));
}

#[test]
fn what_has_ended_is_not_kept() {
    let mut world = world(3, Tokens::Clear);
    let mut joe = Register::new("joe", JOE);
    let ok = joe.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert_eq!(world.flows.len(), 1);
    // By the phone.
    joe.lines = format!("Contact: <sip:joe@{JOE}>;expires=0\n");
    let ok = joe.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert_eq!(world.flows.len(), 0);
    // By the home.
    joe.lines = format!("Contact: <sip:joe@{JOE}>\n");
    joe.login(&mut world, EDGES[0]);
    Phone::new("ann", ANN, false).register(&mut world, EDGES[0]);
    assert_eq!(world.flows.len(), 2);
    world.subscribe(HOME, &settings::subscribers(), WITHOUT_JOE);
    let kept: Vec<_> = world.flows.keys().map(|(_, key)| key.clone()).collect();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].windows(3).any(|part| part == b"ann"));
    // By time.
    world.pass(Duration::from_secs(
        u64::from(limits::EXPIRES_DEFAULT_S) + 2,
    ));
    assert_eq!((world.flows.len(), registered(&world)), (0, 0));
}

#[test]
fn a_phone_that_moves_takes_its_row_along() {
    let mut world = world(3, Tokens::Clear);
    let instance = ";+sip.instance=\"<urn:uuid:i>\";reg-id=1";
    let mut joe = Register::new("joe", JOE);
    joe.lines = format!("Contact: <sip:joe@{JOE}>{instance}\nSupported: path, outbound\n");
    joe.login(&mut world, EDGES[0]);
    let mut moved = Register::new("joe", JOE_MOVED);
    moved.call_id = "moved";
    moved.lines = format!("Contact: <sip:joe@{JOE_MOVED}>{instance}\nSupported: path, outbound\n");
    moved.login(&mut world, EDGES[0]);
    // Another shard, which the first one's farewell comes after.
    assert_eq!((world.flows.len(), registered(&world)), (1, 1));
    world.restart(EDGES[0]);
    assert_eq!(registered(&world), 1);
    let bob = Phone::foreign("bob", BOB);
    let text = bob.request("MESSAGE", "sip:joe@example.com", 1, "", "");
    bob.send(&mut world, HOME, &text);
    assert!(world.has(JOE_MOVED) && !world.has(JOE));
    // To TCP, where the connection is what is known of it.
    let mut stream = Register::new("joe", ANN);
    stream.call_id = "stream";
    stream.lines =
        format!("Contact: <sip:joe@{ANN};transport=tcp>{instance}\nSupported: path, outbound\n");
    world.connect(ANN, EDGES[0]);
    let ok = stream.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert_eq!((world.flows.len(), registered(&world)), (0, 1));
}

#[test]
fn the_home_asks_whoever_calls_over_a_flow_that_was_kept() {
    let mut world = world(1, Tokens::Clear);
    Phone::new("ann", ANN, false).register(&mut world, EDGES[1]);
    let mut joe = Register::new("joe", JOE);
    joe.login(&mut world, EDGES[0]);
    // The edge says who he is.
    assert!(reaches_ann(&mut world, 1));
    world.restart(EDGES[0]);
    assert_eq!(status_of_joe(&mut world, 2), 407);
    let challenge = world.last(JOE).to_owned();
    let login = Login {
        method: "MESSAGE",
        uri: "sip:ann@example.com",
        ..Login::new("joe")
    };
    let proof = login.answer_proxy(&challenge);
    let route = format!("Route: <sip:edge.example.com;lr>\n{proof}");
    let phone = Phone::new("joe", JOE, false);
    let text = phone.request("MESSAGE", "sip:ann@example.com", 3, &route, "");
    phone.send(&mut world, EDGES[0], &text);
    assert!(
        world.last(ANN).starts_with("MESSAGE "),
        "{}",
        world.ladder()
    );
    // And not any more once he has refreshed.
    joe.call_id = "refresh";
    let ok = joe.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert!(reaches_ann(&mut world, 4));
}

#[test]
fn who_was_revoked_while_the_edge_was_down_is_nobody() {
    let mut world = world(1, Tokens::Clear);
    Phone::new("ann", ANN, false).register(&mut world, EDGES[1]);
    Register::new("joe", JOE).login(&mut world, EDGES[0]);
    world.kill(EDGES[0]);
    world.subscribe(HOME, &settings::subscribers(), WITHOUT_JOE);
    world.pass(Duration::from_secs(40));
    world.restart(EDGES[0]);
    assert_eq!(registered(&world), 1);
    world.forget();
    assert_eq!(reached(&mut world, 1), (false, 404));
    assert_eq!(status_of_joe(&mut world, 2), 407);
    assert!(!world.has(ANN), "{}", world.ladder());
}

#[test]
fn what_ended_meanwhile_and_what_leads_nowhere_is_not_taken_back() {
    let mut world = world(1, Tokens::Clear);
    let mut joe = Register::new("joe", JOE);
    joe.lines = format!("Contact: <sip:joe@{JOE}>;expires=60\n");
    joe.login(&mut world, EDGES[0]);
    let (key, (value, shard)) = world.flows.first_key_value().unwrap();
    let (key, value, shard) = (key.clone(), value.clone(), *shard);
    // One of a listener that is gone: the last octet of our address.
    let mut elsewhere = value.clone();
    assert_eq!(elsewhere[20..25], [4, 127, 0, 0, 11]);
    elsewhere[24] = 99;
    let mut other = key.clone();
    other.1[0] = 1;
    world.flows.insert(other, (elsewhere, shard));
    // And one that is none.
    let mut third = key.clone();
    third.1[0] = 2;
    world.flows.insert(third, (value[..30].to_vec(), shard));
    world.restart(EDGES[0]);
    assert_eq!((registered(&world), world.flows.len()), (1, 1));
    assert_eq!(world.flows[&key].0, value);
    world.kill(EDGES[0]);
    world.pass(Duration::from_secs(61));
    world.restart(EDGES[0]);
    assert_eq!((registered(&world), world.flows.len()), (0, 0));
}

#[test]
fn a_row_for_names_that_are_too_long_is_not_written() {
    let mut world = world(1, Tokens::Sealed);
    let mut joe = Register::new("joe", JOE);
    let long = "i".repeat(200);
    joe.lines = format!(
        "Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:x:{long}>\";reg-id=1\nSupported: path, outbound\n"
    );
    let ok = joe.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert_eq!((registered(&world), world.flows.len()), (1, 0));
    assert_eq!(world.counter(EDGES[0], "flows_too_long"), 1);
}

/// Joe registers where the kernel gives him to shard `before` of three, and after a
/// restart it gives him to shard `after`.
fn strayed(before: usize, after: usize) -> (World, Register<'static>) {
    let mut world = world(3, Tokens::Clear);
    Phone::new("ann", ANN, false).register(&mut world, EDGES[1]);
    world.steer(JOE, before);
    let mut joe = Register::new("joe", JOE);
    joe.login(&mut world, EDGES[0]);
    world.steer(JOE, after);
    world.restart(EDGES[0]);
    (world, joe)
}

#[test]
fn a_phone_whose_datagrams_come_to_another_shard_is_who_he_was() {
    for before in 0..3 {
        for after in (0..3).filter(|after| *after != before) {
            let (mut world, mut joe) = strayed(before, after);
            assert_eq!(reached(&mut world, 1), (true, 200));
            // Not a stranger, who would be refused: the home asks him.
            assert_eq!(status_of_joe(&mut world, 2), 407);
            assert_eq!(world.counters(EDGES[0], "handed_strays")[after], 1);
            // His next REGISTER makes the flow the other shard's.
            joe.call_id = "refresh";
            let ok = joe.login(&mut world, EDGES[0]);
            assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
            assert_eq!((registered(&world), kept(&world)), (1, 1));
            assert_eq!(reached(&mut world, 3), (true, 200));
            assert!(reaches_ann(&mut world, 4));
            assert_eq!(world.counters(EDGES[0], "handed_strays")[after], 1);
            world.restart(EDGES[0]);
            assert_eq!(reached(&mut world, 5), (true, 200));
            assert_eq!(status_of_joe(&mut world, 6), 407);
            assert_eq!(world.counter(EDGES[0], "handed_strays"), 0);
        }
    }
}

#[test]
fn an_invite_that_strays_is_answered_and_cancelled() {
    let (mut world, _) = strayed(0, 1);
    let joe = Phone::new("joe", JOE, false);
    let route = "Route: <sip:edge.example.com;lr>\n";
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, route, "");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    let challenge = joe.receive(&mut world);
    let proof = Login {
        method: "INVITE",
        uri: "sip:ann@example.com",
        ..Login::new("joe")
    };
    let route = format!("{route}{}", proof.answer_proxy(&challenge));
    let invite = joe.request("INVITE", "sip:ann@example.com", 2, &route, "");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    let ann = Phone::new("ann", ANN, false);
    let ringing = ann.receive(&mut world);
    let by = world.last_to(ANN).from.to_string();
    ann.answer(&mut world, &by, &ringing, 180, "Ringing");
    assert_eq!(joe.status(&mut world), 180);
    let cancel = invite.replace("INVITE sip", "CANCEL sip");
    let cancel = cancel.replace("CSeq: 2 INVITE", "CSeq: 2 CANCEL");
    joe.send(&mut world, EDGES[0], &cancel);
    assert_eq!(joe.status(&mut world), 200);
    assert!(ann.receive(&mut world).starts_with("CANCEL "));
}

#[test]
fn more_shards_or_fewer_find_the_same_phones() {
    for held in [1, 2, 5, 127] {
        let (mut world, _) = strayed(0, 1);
        for (value, _) in world.flows.values_mut() {
            value[3] = held;
        }
        world.restart(EDGES[0]);
        assert_eq!(registered(&world), 1);
        assert_eq!(reached(&mut world, 1), (true, 200));
        assert_eq!(status_of_joe(&mut world, 2), 407);
    }
}
