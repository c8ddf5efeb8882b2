//! Our values in the Route of a request, one or a pair: which of them are taken off, and what they
//! say beside one another (R-6, P-7, P-9; H-8, H-9; I-11).

use super::edge_routing::{ANN, JOE, STRANGER, lab, reached, request_text, route};
use super::phone::{Phone, Register};
use super::record_routes::called;
use super::world::{EDGES, HOME, Tokens, World};

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
