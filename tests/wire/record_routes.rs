//! The Record-Route values of an edge, and their way back (R-6, O-4;
//! H-5, H-17).

use super::edge_routing::{ANN, JOE, STRANGER, lab, reached, request_text, route};
use super::marks::{bare, mark_of, unmarked};
use super::phone::{Phone, Register};
use super::settings::edge_peer;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::trust::Strangers;

/// The Record-Route values that an edge put into the INVITE that passed it.
fn recorded(world: &World, to: &str) -> Vec<String> {
    let invite = world
        .trace
        .iter()
        .rfind(|seen| seen.to.to_string() == to && seen.text.starts_with("INVITE"));
    Phone::values(&invite.unwrap().text, "Record-Route")
}

#[test]
fn a_phone_that_keeps_to_its_flows_gets_one_value() {
    // H-5, H-17
    let (mut world, joe, token) = lab(Tokens::Sealed);
    let mut ann = Phone::new("ann", ANN, true);
    ann.register(&mut world, EDGES[1]);
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("INVITE", "sip:ann@example.com", 1, "", ""),
    );
    let out = recorded(&world, HOME);
    assert_eq!(out.len(), 1, "{out:?}");
    let want = format!("<sip:{token}@edge.example.com;lr;gunk=e1>");
    assert_eq!(unmarked(&out[0]), want);
    let at_ann = recorded(&world, ANN);
    assert_eq!(at_ann.len(), 3, "{at_ann:?}");
    assert!(
        unmarked(&at_ann[0]).ends_with("@edge.example.com;lr;gunk=e2>"),
        "{at_ann:?}"
    );
    assert_eq!(unmarked(&at_ann[1]), "<sip:example.com;lr>");
    assert_eq!(at_ann[2], out[0]);
}

#[test]
fn a_phone_that_resolves_its_routes_gets_the_address_of_its_edge() {
    // B-4, R-6: the token towards the home, the address towards the phone.
    let mut world = World::lab(Tokens::Clear);
    let (mut joe, mut ann) = (Phone::new("joe", JOE, false), Phone::new("ann", ANN, false));
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("INVITE", "sip:ann@example.com", 1, "", ""),
    );
    let out = recorded(&world, HOME);
    assert!(
        out[0].starts_with("<sip:joe+e1+") && unmarked(&out[0]).ends_with(";lr;gunk=e1>"),
        "{out:?}"
    );
    assert_eq!(out.len(), 1, "{out:?}");
    let invite = ann.receive(&mut world);
    let at_ann = Phone::values(&invite, "Record-Route");
    // Linphone answers with those of one line more than once.
    assert_eq!(invite.matches("Record-Route: ").count(), at_ann.len());
    assert_eq!(bare(&at_ann[0]), "<sip:127.0.0.12;lr>");
    assert_eq!(unmarked(&at_ann[1]), "<sip:example.com;lr>");
    assert_eq!(at_ann[2..], out);
    // The answer has the token where the home needs it, and the address at the end.
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    let at_home = Phone::values(world.last(HOME), "Record-Route");
    let of_ann = unmarked(&at_home[0]);
    assert!(
        of_ann.starts_with("<sip:ann+e2+") || of_ann.starts_with("<sip:ann+e1+e2"),
        "{at_home:?}"
    );
    assert!(
        of_ann.ends_with("@edge.example.com;lr;gunk=e2>"),
        "{of_ann}"
    );
    assert_eq!(at_home[1..], at_ann[1..]);
    let ok = world.last(JOE).to_owned();
    let at_joe = Phone::values(&ok, "Record-Route");
    assert_eq!(at_joe[0], at_home[0]);
    assert_eq!(unmarked(&at_joe[1]), "<sip:example.com;lr>");
    assert_eq!(bare(&at_joe[2]), "<sip:127.0.0.11;lr>");
    assert_eq!(at_joe.len(), 3);
}

/// joe at e1 calls ann at an edge, and both resolve their routes; what she got.
#[track_caller]
fn called(tokens: Tokens, edge: &str) -> (World, Phone, Phone, String) {
    let mut world = World::lab(tokens);
    let (mut joe, mut ann) = (Phone::new("joe", JOE, false), Phone::new("ann", ANN, false));
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, edge);
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    let invite = ann.receive(&mut world);
    (world, joe, ann, invite)
}

#[test]
fn a_phone_that_leaves_parameters_out_is_reached_all_the_same() {
    // RFC 3261 §16.7-8: its edge finds its own value by its place.
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let (mut world, mut joe, ann, invite) = called(tokens, EDGES[1]);
        let own = Phone::values(&invite, "Record-Route").remove(0);
        let sloppy = invite.replacen(&own, &unmarked(&own), 1);
        ann.answer(&mut world, EDGES[1], &sloppy, 200, "OK");
        let ok = joe.receive(&mut world);
        joe.dialog(&ok, true);
        assert!(
            unmarked(&joe.routes[2]).ends_with("@edge.example.com;lr;gunk=e2>"),
            "{:?}",
            joe.routes
        );
        joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
        assert!(ann.receive(&mut world).starts_with("ACK "));
        joe.in_dialog(&mut world, EDGES[0], "BYE", 2);
        assert!(ann.receive(&mut world).starts_with("BYE "));
    }
}

#[test]
fn who_moves_to_another_port_goes_on_with_the_address_alone() {
    // I-11: the mark stands in the value that the phone has, which names its
    // edge and no phone; at the edge that wrote it and at another one.
    for edge in [EDGES[0], EDGES[2]] {
        let (mut world, mut joe, ann, invite) = called(Tokens::Sealed, EDGES[1]);
        ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
        joe.dialog(&joe.receive(&mut world), true);
        let mut moved = Phone::new("joe", STRANGER, false);
        moved.enter(&joe);
        moved.in_dialog(&mut world, edge, "BYE", 2);
        let bye = ann.receive(&mut world);
        assert!(bye.starts_with("BYE "), "{bye}");
        ann.answer(&mut world, EDGES[1], &bye, 200, "OK");
        assert_eq!(moved.status(&mut world), 200);
        // Without it, and with that of another value, nobody goes on.
        let marked = joe.routes[0].clone();
        let others = joe.routes[2].clone();
        for (cseq, own) in [
            (3, unmarked(&marked)),
            (4, marked.replace(mark_of(&marked), mark_of(&others))),
        ] {
            moved.routes[0] = own;
            moved.in_dialog(&mut world, edge, "BYE", cseq);
            assert!(!world.has(ANN), "{}", world.ladder());
        }
    }
}

#[test]
fn a_pair_goes_in_either_order_and_one_at_a_time() {
    // P-9, R-6
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Phone::new("joe", JOE, false);
    joe.register(&mut world, EDGES[0]);
    let path = Phone::values(world.last(HOME), "Path").remove(0);
    let token = format!("Route: {}\n", path.replace(";ob", ";gunk=e1"));
    let address = route("127.0.0.11:5060;lr");
    world.send(
        HOME,
        EDGES[0],
        &request_text(
            "INFO",
            "sip:joe@127.0.0.1:5070",
            HOME,
            &format!("{token}{address}"),
            true,
        ),
    );
    let info = world.receive(JOE).text;
    assert!(!info.contains("Route: "), "{info}");
    let home = "Route: <sip:example.com;lr>\n";
    let twice = format!("{address}{token}{home}{token}{address}");
    world.forget();
    world.send(
        JOE,
        EDGES[0],
        &request_text("INFO", "sip:ann@x", JOE, &twice, true),
    );
    let passed = world
        .trace
        .iter()
        .find(|seen| seen.to.to_string() == HOME)
        .unwrap();
    assert_eq!(
        Phone::values(&passed.text, "Route").len(),
        3,
        "{}",
        passed.text
    );
}

#[test]
fn a_backup_takes_the_pair_of_the_primary() {
    // H-8, H-9: a phone that puts every request on its live flow.
    let mut world = World::with(Tokens::Clear, |_| (), |_, edge| edge.members.truncate(2));
    for (reg_id, edge) in [(1, EDGES[0]), (2, EDGES[1])] {
        let mut joe = Register::new("joe", JOE);
        joe.call_id = ["", "first", "second"][reg_id];
        joe.lines = format!(
            "Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:1>\";reg-id={reg_id}\nSupported: path, outbound\n"
        );
        joe.login(&mut world, edge);
    }
    world.forget();
    let token = "joe+e1+e2+urn_3A1@edge.example.com;lr;gunk=e1";
    let pair = route("127.0.0.11:5060;lr") + &route(token) + "Route: <sip:example.com;lr>\n";
    world.send(
        JOE,
        EDGES[1],
        &request_text("INFO", "sip:ann@203.0.113.7", JOE, &pair, true),
    );
    assert_eq!(reached(&world), [HOME, "203.0.113.7:5060"]);
    world.forget();
    let pair = route(token) + &route("127.0.0.11:5060;lr");
    world.send(
        HOME,
        EDGES[1],
        &request_text("INFO", "sip:joe@127.0.0.1:5070", HOME, &pair, true),
    );
    assert_eq!(reached(&world), [JOE]);
    assert!(!world.last(JOE).contains("Route: "), "{}", world.last(JOE));
}

/// A phone of RFC 5626 alone, on a flow to each of its two configured edges.
fn two_flows(world: &mut World, user: &'static str, addr: &'static str) -> Phone {
    for (reg_id, edge) in [(1, EDGES[0]), (2, EDGES[1])] {
        let mut phone = Register::new(user, addr);
        phone.call_id = ["", "first", "second"][reg_id];
        phone.route = format!("<sip:{};lr>", edge.trim_end_matches(":5060"));
        phone.lines = format!(
            "Contact: <sip:{user}@{addr};ob>;+sip.instance=\"<urn:{user}>\";reg-id={reg_id}\n\
             Supported: path, outbound\n"
        );
        let ok = phone.login(world, edge);
        assert!(ok.contains("Require: outbound\r\n"), "{ok}");
    }
    Phone::new(user, addr, false)
}

#[test]
fn a_phone_of_rfc_5626_alone_calls_and_is_called() {
    // B-4, O-19, O-23: the phone resolves its routes, the home fails over.
    let mut world = World::with(Tokens::Sealed, |_| (), |_, edge| edge.members.truncate(2));
    world.icmp = true;
    let mut joe = two_flows(&mut world, "joe", JOE);
    let mut ann = two_flows(&mut world, "ann", ANN);
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    // O-19: one flow of hers at a time.
    let invite = ann.receive(&mut world);
    assert!(!world.has(ANN), "{}", world.ladder());
    ann.answer(&mut world, EDGES[0], &invite, 200, "OK");
    let ok = joe.receive(&mut world);
    joe.dialog(&ok, true);
    ann.dialog(&invite, false);
    // What each has to send to is the address of an edge it has a flow to.
    let first = "<sip:127.0.0.11;lr>";
    assert_eq!(bare(&Phone::values(&invite, "Record-Route")[0]), first);
    let at_joe = Phone::values(&ok, "Record-Route");
    assert_eq!(bare(at_joe.last().unwrap()), first);
    joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
    assert!(ann.receive(&mut world).starts_with("ACK "));
    ann.in_dialog(&mut world, EDGES[0], "INFO", 1);
    assert!(
        joe.receive(&mut world)
            .starts_with("INFO sip:joe@127.0.0.1:5070 ")
    );
    // The edge dies: either may go on by its other flow, and is found there.
    world.kill(EDGES[0]);
    ann.in_dialog(&mut world, EDGES[1], "INFO", 2);
    assert!(
        joe.receive(&mut world).starts_with("INFO "),
        "{}",
        world.ladder()
    );
    joe.in_dialog(&mut world, EDGES[1], "BYE", 2);
    assert!(
        ann.receive(&mut world).starts_with("BYE "),
        "{}",
        world.ladder()
    );
}

#[test]
fn an_edge_between_address_families_is_named_on_each_side() {
    // an IPv6 phone, an IPv4 home.
    const SIX: &str = "[::1]:5060";
    let mut world = World::with(
        Tokens::Clear,
        |home| home.edge_peers.push(edge_peer("127.0.0.14")),
        |_, _| (),
    );
    world.add_edge(
        &[
            ("127.0.0.14:5060", false),
            (SIX, false),
            ("127.0.0.14:40000", true),
        ],
        |edge| {
            edge.members[0].addresses = vec!["127.0.0.14".parse().unwrap()];
            edge.rules.strangers = Strangers::Answer;
        },
    );
    let mut ann = Phone::new("ann", ANN, true);
    ann.register(&mut world, EDGES[1]);
    let mut guest = Phone::foreign("guest", "[::2]:5070");
    let invite = |phone: &Phone| phone.request("INVITE", "sip:ann@example.com", 1, "", "");
    guest.send(&mut world, SIX, &invite(&guest));
    let routes = recorded(&world, HOME);
    let at_home = routes[0].clone();
    assert_eq!(routes.len(), 1, "{routes:?}");
    assert!(
        unmarked(&at_home).ends_with("@127.0.0.14;lr>"),
        "{routes:?}"
    );
    let received = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &received, 200, "OK");
    guest.dialog(&guest.receive(&mut world), true);
    let at_guest = guest.routes[0].clone();
    assert!(unmarked(&at_guest).ends_with("@[::1];lr>"), "{at_guest}");
    assert_eq!(unmarked(&guest.routes[1]), "<sip:example.com;lr>");
    // Back in either order: the pair is the flow.
    let pair = format!("Route: {at_home}, {at_guest}\n");
    let home = "127.0.0.10:5060";
    world.send(
        home,
        "127.0.0.14:5060",
        &request_text("INFO", "sip:guest@[::2]:5070", home, &pair, true),
    );
    let info = world.last("[::2]:5070");
    assert!(
        info.starts_with("INFO sip:guest@[::2]:5070 ") && !info.contains("\r\nRoute"),
        "{info}"
    );
    world.forget();
    guest.in_dialog(&mut world, SIX, "BYE", 2);
    let mut trace = world.trace.iter();
    let bye = trace.find(|seen| seen.to.to_string() == HOME).unwrap();
    assert_eq!(Phone::values(&bye.text, "Route"), guest.routes[1..]);
    assert!(ann.receive(&mut world).starts_with("BYE "));
    // A registered phone that resolves its routes.
    let mut joe = Phone::new("joe", "[::2]:5071", false);
    joe.register(&mut world, SIX);
    joe.send(&mut world, SIX, &invite(&joe));
    let routes = recorded(&world, HOME);
    assert!(routes[0].starts_with("<sip:joe+e1+"), "{routes:?}");
    assert_eq!(routes.len(), 1, "{routes:?}");
}

#[test]
fn a_strict_router_leaves_our_value_in_the_request_uri() {
    // P-7
    let (mut world, _, token) = lab(Tokens::Clear);
    let uri = format!("sip:{token}@edge.example.com;lr;gunk=e1");
    world.send(
        HOME,
        EDGES[0],
        &request_text(
            "INFO",
            &uri,
            HOME,
            "Route: <sip:joe@127.0.0.1:5070>\n",
            true,
        ),
    );
    let info = world.receive(JOE).text;
    assert!(
        info.starts_with("INFO sip:joe@127.0.0.1:5070 SIP/2.0\r\n"),
        "{info}"
    );
    assert!(!info.contains("Route: "), "{info}");
    world.forget();
    let routes = "Route: <sip:example.com;lr>, <sip:ann@203.0.113.7>\n";
    world.send(
        JOE,
        EDGES[0],
        &request_text("INFO", &uri, JOE, routes, true),
    );
    assert_eq!(reached(&world), [HOME, "203.0.113.7:5060"]);
}

#[test]
fn two_subscribers_share_a_port() {
    // A tester's phone farm: who it is follows from the token, else From and To.
    let mut world = World::lab(Tokens::Clear);
    for user in ["joe", "ann"] {
        Phone::new(user, JOE, false).register(&mut world, EDGES[0]);
    }
    assert_eq!(world.gauge(EDGES[0], "registered"), 2);
    for (cseq, user) in [(1, "joe"), (2, "ann")] {
        let phone = Phone::new(user, JOE, false);
        phone.send(
            &mut world,
            EDGES[0],
            &phone.request("INVITE", "sip:bob@example.com", 1, "", ""),
        );
        let out = recorded(&world, HOME);
        assert!(out[0].starts_with(&format!("<sip:{user}+e1+")), "{out:?}");
        world.forget();
        let home = Phone::foreign("bob", STRANGER);
        home.send(
            &mut world,
            HOME,
            &home.request("INVITE", &format!("sip:{user}@example.com"), cseq, "", ""),
        );
        let invite = world.last(JOE);
        assert!(
            invite.starts_with(&format!("INVITE sip:{user}@")),
            "{invite}"
        );
        let routes = Phone::values(invite, "Record-Route");
        assert_eq!(bare(&routes[0]), "<sip:127.0.0.11;lr>");
        assert_eq!(routes.len(), 2, "{routes:?}");
    }
}

#[test]
fn the_value_of_the_far_phone_is_none_of_a_pair() {
    // at a home that does not record-route the values of both phones stand side by
    // side, and what the one sends goes by the home as ever.
    for edge in [EDGES[0], EDGES[1]] {
        let (mut world, mut joe, mut ann, invite) = called(Tokens::Sealed, edge);
        ann.answer(&mut world, edge, &invite, 200, "OK");
        joe.dialog(&joe.receive(&mut world), true);
        ann.dialog(&invite, false);
        for (phone, its) in [(&mut joe, EDGES[0]), (&mut ann, edge)] {
            phone.routes.remove(1);
            world.forget();
            phone.in_dialog(&mut world, its, "INFO", 2);
            let first = world.trace.iter().find(|seen| seen.to.to_string() != its);
            let first = first.unwrap();
            assert_eq!(first.to.to_string(), HOME, "{}", world.ladder());
            let routes = Phone::values(&first.text, "Route");
            assert_eq!(routes, phone.routes[1..], "{}", world.ladder());
        }
    }
}

#[test]
fn no_mix_of_values_leads_to_another_phone() {
    // I-11: ann has her own value with a mark that is good, and joe's token with one; by
    // his flow, by hers and from elsewhere neither says anything beside the other.
    let mut world = World::lab(Tokens::Sealed);
    let mut phones = [
        ("joe", JOE, 0),
        ("ann", ANN, 0),
        ("bob", "127.0.0.1:5090", 0),
    ]
    .map(|(name, addr, edge)| {
        let mut phone = Phone::new(name, addr, false);
        phone.register(&mut world, EDGES[edge]);
        phone
    });
    let [joe, ann, bob] = &mut phones;
    // bob has called ann before, so that she knows his token.
    let mut tokens = Vec::new();
    for caller in [&mut *bob, &mut *joe] {
        let invite = caller.request("INVITE", "sip:ann@example.com", 1, "", "");
        caller.send(&mut world, EDGES[0], &invite);
        assert_eq!(caller.status(&mut world), 100);
        let invite = ann.receive(&mut world);
        ann.answer(&mut world, EDGES[0], &invite, 200, "OK");
        assert_eq!(caller.status(&mut world), 200);
        ann.dialog(&invite, false);
        tokens.push(ann.route_to_far_edge());
    }
    let near = ann.routes[0].clone();
    let (bobs, joes) = (tokens[0].clone(), tokens[1].clone());
    let (_, marked) = joes.split_once("@").unwrap();
    let user = |value: &str| value.split_once('@').unwrap().0.to_owned();
    let stolen = format!("{}@{marked}", user(&bobs));
    let renamed = near.replace(&user(&near), &user(&bobs));
    let proxy = "<sip:127.0.0.11;lr>".to_owned();
    let mut cseq = 10;
    for from in [ANN, STRANGER] {
        for first in [&near, &proxy, &renamed, &stolen, &bobs, &joes] {
            for second in [&near, &stolen, &renamed, &bobs] {
                for third in [None, Some(&bobs), Some(&near)] {
                    let mut thief = Phone::new("ann", from, false);
                    thief.enter(ann);
                    thief.routes = [Some(first), Some(second), third]
                        .into_iter()
                        .flatten()
                        .cloned()
                        .collect();
                    cseq += 1;
                    world.pass(steadfast::limits::T1);
                    world.forget();
                    thief.in_dialog(&mut world, EDGES[0], "MESSAGE", cseq);
                    let bobs = world
                        .trace
                        .iter()
                        .any(|seen| seen.to.to_string() == bob.addr());
                    assert!(!bobs, "{:?}\n{}", thief.routes, world.ladder());
                }
            }
        }
    }
    // With what he was given anybody goes on, to joe.
    world.pass(steadfast::limits::T1);
    world.forget();
    let mut moved = Phone::new("ann", STRANGER, false);
    moved.enter(ann);
    moved.routes = vec![joes];
    moved.in_dialog(&mut world, EDGES[0], "MESSAGE", cseq + 1);
    assert!(joe.receive(&mut world).starts_with("MESSAGE "));
}
