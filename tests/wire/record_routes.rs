//! The Record-Route values of an edge, and their way back (R-6, O-4;
//! H-5, H-17).

use super::edge_routing::{ANN, JOE, STRANGER, lab, request_text};
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
pub(super) fn called(tokens: Tokens, edge: &str) -> (World, Phone, Phone, String) {
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
