//! Requests at the home: to contacts, by Routes, for strangers (RFC 3261
//! §16.5; O-19 to O-21).

use super::marks::unmarked;
use super::peer::{CORE, FAR, answer, expect, request, silent, status};
use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::home::Redirect;
use steadfast::id::Transport;
use steadfast::time::Duration;

const BOB: &str = "127.0.0.1:5090";

fn bob() -> Phone {
    Phone::foreign("bob", BOB)
}

/// A phone of joe's with these contact parameters, registered at a home that
/// takes it without an edge.
fn direct(world: &mut World, addr: &'static str, params: &str) -> Phone {
    let mut joe = Register::new("joe", addr);
    joe.route = String::new();
    joe.call_id = addr;
    joe.lines = format!("Contact: <sip:joe@{addr}>{params}\nSupported: outbound\n");
    let ok = joe.login(world, HOME);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    Phone::new("joe", addr, false)
}

fn open() -> World {
    World::with(
        Tokens::Clear,
        |home| home.redirect = Redirect::Never,
        |_, _| (),
    )
}

fn invite(world: &mut World, uri: &str) {
    bob().send(world, HOME, &bob().request("INVITE", uri, 1, "", ""));
    assert_eq!(bob().status(world), 100);
}

#[test]
fn an_address_in_a_record_route_keeps_its_dialog_on_the_connection() {
    // S-11, S-12: a trunk behind address translation names itself by an
    // address that leads nowhere; nobody else's dialog finds it there.
    let mut world = World::lab(Tokens::Clear);
    world.listen(FAR);
    let trunk = "<sip:127.0.0.9;transport=tcp;lr>";
    let invite = request(
        "INVITE",
        "sip:bob@10.9.9.9",
        "trunk",
        &format!("Route: {trunk}\n"),
    );
    world.send(CORE, HOME, &invite);
    assert_eq!(status(&mut world, CORE), 100);
    let received = expect(&mut world, FAR, "INVITE");
    let own = "Record-Route: <sip:10.9.9.9;lr>\n";
    let ok = answer(&received, 200, "far", "");
    let ok = ok.replacen("Record-Route", &format!("{}Record-Route", own), 1);
    world.send(FAR, HOME, &ok);
    assert_eq!(status(&mut world, CORE), 200);
    let routes = "Route: <sip:example.com;lr>\nRoute: <sip:10.9.9.9;lr>\n";
    let bye = request("BYE", "sip:bob@10.9.9.9", "bye", routes);
    let in_dialog = bye.replace("Call-ID: bye", "Call-ID: trunk").replace(
        "To: <sip:ann@example.com>",
        "To: <sip:ann@example.com>;tag=far",
    );
    let other_tag = in_dialog
        .replace(";tag=far", ";tag=other")
        .replace("bKbye", "bKtag");
    let other_call = in_dialog
        .replace("Call-ID: trunk", "Call-ID: x")
        .replace("bKbye", "bKx");
    world.send(CORE, HOME, &in_dialog);
    assert_eq!(world.receive(FAR).transport, Transport::Tcp);
    for text in [bye, other_tag, other_call] {
        world.send(CORE, HOME, &text);
        silent(&world, &[FAR]);
    }
}

#[test]
fn contacts_of_one_preference_ring_together_and_the_next_after() {
    // RFC 3261 §16.6, P-21, P-29
    let mut world = open();
    let low = direct(&mut world, "127.0.0.1:5071", ";q=0.2");
    let high = direct(&mut world, "127.0.0.1:5072", ";q=0.9");
    let other = direct(&mut world, "127.0.0.1:5073", ";q=0.9");
    invite(&mut world, "sip:joe@example.com");
    let first = high.receive(&mut world);
    let second = other.receive(&mut world);
    assert!(!world.has("127.0.0.1:5071"));
    high.answer(&mut world, HOME, &first, 486, "Busy Here");
    assert!(high.receive(&mut world).starts_with("ACK "));
    assert!(!world.has("127.0.0.1:5071"));
    other.answer(&mut world, HOME, &second, 404, "Not Found");
    assert!(other.receive(&mut world).starts_with("ACK "));
    let third = low.receive(&mut world);
    assert!(
        third.starts_with("INVITE sip:joe@127.0.0.1:5071 "),
        "{third}"
    );
    low.answer(&mut world, HOME, &third, 180, "Ringing");
    assert_eq!(bob().status(&mut world), 180);
    low.answer(&mut world, HOME, &third, 200, "OK");
    assert_eq!(bob().status(&mut world), 200);
}

#[test]
fn two_phones_of_a_user_without_instance_both_ring() {
    let mut world = World::lab(Tokens::Clear);
    let one = Phone::new("joe", "127.0.0.1:5071", false);
    let two = Phone::new("joe", "127.0.0.1:5072", false);
    for (addr, edge) in [("127.0.0.1:5071", EDGES[0]), ("127.0.0.1:5072", EDGES[0])] {
        let mut joe = Register::new("joe", addr);
        joe.call_id = addr;
        joe.login(&mut world, edge);
    }
    invite(&mut world, "sip:joe@example.com");
    let first = one.receive(&mut world);
    let second = two.receive(&mut world);
    assert!(
        first.starts_with("INVITE sip:joe@127.0.0.1:5071 "),
        "{first}"
    );
    assert!(
        second.starts_with("INVITE sip:joe@127.0.0.1:5072 "),
        "{second}"
    );
    two.answer(&mut world, EDGES[0], &second, 180, "Ringing");
    assert_eq!(bob().status(&mut world), 180);
    one.answer(&mut world, EDGES[0], &first, 200, "OK");
    assert_eq!(bob().status(&mut world), 200);
    // P-29: the other one stops ringing.
    let cancel = two.receive(&mut world);
    assert!(
        cancel.starts_with("CANCEL sip:joe@127.0.0.1:5072 "),
        "{cancel}"
    );
}

/// Two flows of one instance, then a call.
fn two_flows() -> (World, Phone, Phone) {
    let mut world = open();
    let second = direct(
        &mut world,
        "127.0.0.1:5072",
        ";+sip.instance=\"<urn:1>\";reg-id=2",
    );
    let first = direct(
        &mut world,
        "127.0.0.1:5071",
        ";+sip.instance=\"<urn:1>\";reg-id=1",
    );
    (world, first, second)
}

#[test]
fn one_flow_of_an_instance_at_a_time() {
    // O-19, O-20, B-11: 430 lets the next flow try.
    let (mut world, first, second) = two_flows();
    invite(&mut world, "sip:joe@example.com");
    let received = first.receive(&mut world);
    assert!(!world.has("127.0.0.1:5072"));
    first.answer(&mut world, HOME, &received, 430, "Flow Failed");
    assert!(first.receive(&mut world).starts_with("ACK "));
    let received = second.receive(&mut world);
    second.answer(&mut world, HOME, &received, 200, "OK");
    assert_eq!(bob().status(&mut world), 200);
}

#[test]
fn an_instance_that_answered_is_not_tried_again() {
    // O-20
    for status in [404, 486, 500, 603] {
        let (mut world, first, _) = two_flows();
        invite(&mut world, "sip:joe@example.com");
        let received = first.receive(&mut world);
        first.answer(&mut world, HOME, &received, status, "No");
        assert_eq!(bob().status(&mut world), status);
        assert!(!world.has("127.0.0.1:5072"), "{status}");
    }
}

#[test]
fn silence_lets_the_next_flow_try() {
    // O-20, B-11: 408
    let (mut world, _, second) = two_flows();
    invite(&mut world, "sip:joe@example.com");
    world.pass(Duration::from_secs(33));
    let received = second.receive(&mut world);
    second.answer(&mut world, HOME, &received, 200, "OK");
    assert_eq!(bob().status(&mut world), 200);
}

#[test]
fn a_failed_flow_never_reaches_the_caller() {
    // O-21: 430 on all flows is 480 to the caller.
    let (mut world, first, second) = two_flows();
    invite(&mut world, "sip:joe@example.com");
    for phone in [&first, &second] {
        let received = phone.receive(&mut world);
        phone.answer(&mut world, HOME, &received, 430, "Flow Failed");
    }
    assert_eq!(bob().status(&mut world), 480);
}

#[test]
fn an_answer_outweighs_a_failed_flow() {
    // P-23: one phone is away, the other one busy.
    let mut world = open();
    let away = direct(&mut world, "127.0.0.1:5071", "");
    let busy = direct(&mut world, "127.0.0.1:5072", "");
    invite(&mut world, "sip:joe@example.com");
    let received = away.receive(&mut world);
    away.answer(&mut world, HOME, &received, 430, "Flow Failed");
    let received = busy.receive(&mut world);
    busy.answer(&mut world, HOME, &received, 486, "Busy Here");
    assert_eq!(bob().status(&mut world), 486);
}

#[test]
fn the_word_of_a_phone_outweighs_one_about_the_way_to_it() {
    // P-23: 480 is what proxies make of a failed flow.
    for statuses in [[480, 486], [486, 480]] {
        let mut world = open();
        let phones = ["127.0.0.1:5071", "127.0.0.1:5072"];
        let phones = phones.map(|addr| direct(&mut world, addr, ""));
        invite(&mut world, "sip:joe@example.com");
        for (phone, status) in phones.iter().zip(statuses) {
            let received = phone.receive(&mut world);
            phone.answer(&mut world, HOME, &received, status, "No");
        }
        assert_eq!(bob().status(&mut world), 486);
    }
}

#[test]
fn every_name_of_a_subscriber_leads_to_it() {
    // C-17, P-18
    for (uri, status) in [
        ("sip:joe@example.com", 0),
        ("sip:%6A%6fe@EXAMPLE.com;transport=udp", 0),
        // C-15: and no TLS to carry it.
        ("sips:joe@example.com", 480),
        ("sip:joe@example.com:5060", 0),
        ("sip:joe@127.0.0.10", 0),
        ("sip:joe@127.0.0.10:5060;user=phone", 0),
        ("sip:ann@example.com", 480),
        ("sip:%61nn@example.com", 480),
        ("sip:nobody@example.com", 404),
        ("sip:Joe@example.com", 404),
        ("sip:example.com", 404),
        ("sip:joe@127.0.0.10:5070", 403),
    ] {
        let mut world = open();
        let joe = direct(&mut world, "127.0.0.1:5071", "");
        bob().send(&mut world, HOME, &bob().request("MESSAGE", uri, 1, "", ""));
        if status == 0 {
            let message = joe.receive(&mut world);
            assert!(
                message.starts_with("MESSAGE sip:joe@127.0.0.1:5071 SIP/2.0\r\n"),
                "{uri}: {message}"
            );
        } else {
            assert_eq!(bob().status(&mut world), status, "{uri}");
        }
    }
}

#[test]
fn strangers_are_not_relayed() {
    // P-10, S-11
    let home = "Route: <sip:example.com;lr>\n";
    let token = "Route: <sip:joe+e1+e2+urn_3Auuid_3Ajoe@edge.example.com;lr;gunk=e1>\n";
    for (uri, routes, dialog) in [
        ("sip:x@203.0.113.9", String::new(), false),
        ("sip:x@203.0.113.9", String::new(), true),
        ("sip:x@203.0.113.9", home.to_owned(), false),
        ("sip:x@203.0.113.9", home.to_owned(), true),
        (
            "sip:joe@example.com",
            "Route: <sip:203.0.113.9;lr>\n".to_owned(),
            true,
        ),
        (
            "sip:joe@example.com",
            format!("{home}Route: <sip:203.0.113.9;lr>\n"),
            true,
        ),
        ("sip:joe@x", token.to_owned(), true),
        ("sip:joe@x", format!("{home}{token}"), false),
        ("sip:joe@x", format!("{home}{token}"), true),
    ] {
        let mut world = World::lab(Tokens::Clear);
        let mut joe = Phone::new("joe", "127.0.0.1:5070", true);
        joe.register(&mut world, EDGES[0]);
        let text = bob().request("MESSAGE", uri, 1, &routes, "");
        let text = if dialog {
            text.replace(&format!("To: <{uri}>"), &format!("To: <{uri}>;tag=1"))
        } else {
            text
        };
        world.forget();
        bob().send(&mut world, HOME, &text);
        assert_eq!(bob().status(&mut world), 403, "{routes}");
        assert_eq!(world.trace.len(), 2, "{}", world.ladder());
    }
}

/// A call from bob, who comes past the edges, to joe at e1, who has answered.
fn call_from_bob(world: &mut World) -> (Phone, Phone) {
    let mut joe = Phone::new("joe", "127.0.0.1:5070", true);
    joe.register(world, EDGES[0]);
    invite(world, "sip:joe@example.com");
    let received = joe.receive(world);
    joe.answer(world, EDGES[0], &received, 200, "OK");
    let mut caller = bob();
    let ok = caller.receive(world);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    caller.dialog(&ok, true);
    joe.dialog(&received, false);
    world.forget();
    (joe, caller)
}

#[test]
fn a_stranger_goes_on_in_his_dialog_by_its_mark() {
    // P-10
    let mut world = World::lab(Tokens::Clear);
    let (joe, mut caller) = call_from_bob(&mut world);
    caller.in_dialog(&mut world, HOME, "INFO", 2);
    assert!(joe.receive(&mut world).starts_with("INFO "));
    let unmarked_before = world.counter(HOME, "unmarked");
    caller.routes[0] = unmarked(&caller.routes[0]);
    caller.in_dialog(&mut world, HOME, "INFO", 3);
    assert_eq!(caller.status(&mut world), 403);
    assert!(!world.has("127.0.0.1:5070"), "{}", world.ladder());
    assert_eq!(world.counter(HOME, "unmarked"), unmarked_before + 1);
}

#[test]
fn dialogs_of_phones_without_edge_go_on() {
    // D-H5: where phones register directly, their dialogs come from anywhere.
    let mut world = open();
    let mut joe = direct(&mut world, "127.0.0.1:5071", "");
    let mut caller = bob();
    invite(&mut world, "sip:joe@example.com");
    let received = joe.receive(&mut world);
    joe.answer(&mut world, HOME, &received, 200, "OK");
    let ok = caller.receive(&mut world);
    caller.dialog(&ok, true);
    joe.dialog(&received, false);
    caller.in_dialog(&mut world, HOME, "ACK", 1);
    assert!(
        joe.receive(&mut world)
            .starts_with("ACK sip:joe@127.0.0.1:5071 ")
    );
    joe.in_dialog(&mut world, HOME, "BYE", 1);
    assert!(
        caller
            .receive(&mut world)
            .starts_with("BYE sip:bob@127.0.0.1:5090 ")
    );
}

#[test]
fn the_domain_answers_a_ping_and_takes_no_calls() {
    let mut world = World::lab(Tokens::Clear);
    bob().send(
        &mut world,
        HOME,
        &bob().request("OPTIONS", "sip:example.com", 1, "", ""),
    );
    assert_eq!(bob().status(&mut world), 200);
    bob().send(
        &mut world,
        HOME,
        &bob().request(
            "OPTIONS",
            "sip:127.0.0.10",
            2,
            "Route: <sip:example.com;lr>\n",
            "",
        ),
    );
    assert_eq!(bob().status(&mut world), 200);
    bob().send(
        &mut world,
        HOME,
        &bob().request("INVITE", "sip:example.com", 3, "", ""),
    );
    assert_eq!(bob().status(&mut world), 404);
    // P-34
    bob().send(
        &mut world,
        HOME,
        &bob().request("ACK", "sip:nobody@example.com", 4, "", ""),
    );
    bob().send(
        &mut world,
        HOME,
        &bob().request("ACK", "sip:x@203.0.113.9", 5, "", ""),
    );
    assert!(!world.has(BOB), "{}", world.ladder());
}

#[test]
fn a_strict_router_before_the_home_is_repaired() {
    // P-7
    let mut world = World::lab(Tokens::Clear);
    let (joe, mut caller) = call_from_bob(&mut world);
    // It takes the first value for the next URI, and puts the last one behind.
    let first = caller.routes.remove(0);
    caller.routes.push("<sip:joe@127.0.0.1:5070>".to_owned());
    let mut send_message = |world: &mut World, value: &str, cseq| {
        caller.remote_target = value.trim_matches(['<', '>']).to_owned();
        caller.in_dialog(world, HOME, "MESSAGE", cseq);
    };
    send_message(&mut world, &unmarked(&first), 2);
    assert_eq!(bob().status(&mut world), 403);
    send_message(&mut world, &first, 3);
    let message = joe.receive(&mut world);
    assert!(
        message.starts_with("MESSAGE sip:joe@127.0.0.1:5070 SIP/2.0\r\n"),
        "{message}"
    );
    assert!(!message.contains("\r\nRoute: "), "{message}");
}

#[test]
fn what_meets_itself_is_ended() {
    // L-3: joe forwards to somebody who forwards to him.
    let mut world = open();
    let mut joe = Register::new("joe", "127.0.0.1:5071");
    joe.route = String::new();
    joe.lines = format!("Contact: <sip:joe@{FAR}>\n");
    joe.login(&mut world, HOME);
    // The flow it registered over would be taken; after a restart only the contact is left.
    world.restart(HOME);
    bob().send(
        &mut world,
        HOME,
        &bob().request("MESSAGE", "sip:joe@example.com", 1, "", ""),
    );
    let message = expect(&mut world, FAR, "MESSAGE").replace("\r\n", "\n");
    let back = message.replacen(
        &format!("MESSAGE sip:joe@{FAR} SIP/2.0\n"),
        &format!(
            "MESSAGE sip:joe@example.com SIP/2.0\nVia: SIP/2.0/UDP {FAR};branch=z9hG4bKback\n"
        ),
        1,
    );
    assert_ne!(back, message);
    world.send(FAR, HOME, &back);
    assert_eq!(status(&mut world, FAR), 482);
    assert_eq!(world.counter(HOME, "loops"), 1, "{}", world.ladder());
}
