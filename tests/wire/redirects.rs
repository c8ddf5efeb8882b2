//! The wrong edge redirects a home that follows, and relays for everybody else
//! (S-23 to S-26, S-31, H-12, H-13; B-2, B-3, B-10).

use super::failover::{Call, call_in};
use super::marks::unmarked;
use super::peer::{CORE, answer, expect, request, respond, silent, status};
use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::{ConfiguredHop, NextHop};
use steadfast::id::Transport;
use steadfast::time::Duration;

const ANN: &str = "127.0.0.1:5080";
/// Another home, which the test plays.
const OTHER_HOME: &str = "127.0.0.10:40070";

/// Joe, whose edges are e1 and its partner, in a call with ann of e2, at homes
/// that are spoken to over this transport.
fn call(tokens: Tokens, transport: Transport) -> Call {
    let home = ConfiguredHop {
        transport,
        addr: HOME.parse().unwrap(),
        name: None,
    };
    let other = ConfiguredHop {
        addr: OTHER_HOME.parse().unwrap(),
        ..home.clone()
    };
    let homes = [home, other].map(NextHop::At);
    call_in(World::with(
        tokens,
        |_| (),
        |_, edge| edge.home = homes.to_vec(),
    ))
}

fn count(world: &World, counter: &str) -> u64 {
    EDGES.iter().map(|edge| world.counter(edge, counter)).sum()
}

/// Ann asks joe something, who answers through the edge that asked him.
#[track_caller]
fn send_in_dialog(call: &mut Call, cseq: u32) {
    call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", cseq);
    let from = call.world.last_to(call.joe.addr()).from.to_string();
    let info = call.joe.receive(&mut call.world);
    assert!(info.starts_with("INFO sip:joe@127.0.0.1:5070 "), "{info}");
    assert!(!info.contains("\r\nRoute: "), "{info}");
    call.joe.answer(&mut call.world, &from, &info, 200, "OK");
    assert_eq!(call.ann.status(&mut call.world), 200);
}

#[test]
fn a_home_that_lost_its_table_learns_it_again() {
    // S-24, S-31, H-13 (worked flow, step 7): a redirect or two, then none.
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut call = call(Tokens::Sealed, transport);
        call.world.restart(HOME);
        call.world.pass(Duration::from_secs(2));
        send_in_dialog(&mut call, 1);
        let redirects = count(&call.world, "redirects");
        assert_eq!(count(&call.world, "relays"), 0);
        for cseq in 2..12 {
            send_in_dialog(&mut call, cseq);
        }
        assert_eq!(count(&call.world, "redirects"), redirects, "{transport:?}");
        assert_eq!(call.world.counter(HOME, "redirects_followed"), redirects);
        assert_eq!(count(&call.world, "relays"), 0);
    }
}

#[test]
fn one_contact_names_each_live_edge_of_the_token() {
    // S-25, H-9, B-2, B-3
    for (transport, more) in [(Transport::Udp, ""), (Transport::Tcp, ";transport=tcp")] {
        let mut call = call(Tokens::Clear, Transport::Udp);
        let partner = call.joe.backup.trim_end_matches(":5060").to_owned();
        call.world.restart(EDGES[0]);
        if transport == Transport::Tcp {
            call.world.connect(OTHER_HOME, EDGES[0]);
        }
        let answer = message(&mut call, "1", ";loose");
        assert!(answer.starts_with("SIP/2.0 302 "), "{answer}");
        let contacts = Phone::values(&answer, "Contact");
        let [contact] = &contacts[..] else {
            panic!("{contacts:?}")
        };
        let rest = format!("@edge.example.com;lr;gunk=e1;maddr={partner}{more}>");
        assert!(
            contact.starts_with("<sip:joe+") && unmarked(contact).ends_with(&rest),
            "{contact}"
        );
    }
}

#[test]
fn a_followed_redirect_binds_the_uri_without_maddr() {
    // S-23, S-24, B-2
    let mut call = call(Tokens::Clear, Transport::Udp);
    call.world.restart(EDGES[0]);
    send_in_dialog(&mut call, 1);
    let exact = call.world.counter(HOME, "stick_exact");
    send_in_dialog(&mut call, 2);
    assert_eq!(call.world.counter(HOME, "stick_exact"), exact + 1);
    assert_eq!(count(&call.world, "redirects"), 1);
}

#[test]
fn what_a_redirect_would_not_help_is_relayed() {
    // S-26, B-10
    let mut call = call(Tokens::Sealed, Transport::Udp);
    call.world.restart(EDGES[0]);
    call.ann.in_dialog(&mut call.world, EDGES[1], "ACK", 1);
    assert!(call.joe.receive(&mut call.world).starts_with("ACK "));
    call.ann.in_dialog(&mut call.world, EDGES[1], "BYE", 2);
    assert!(call.joe.receive(&mut call.world).starts_with("BYE "));
    assert_eq!(count(&call.world, "redirects"), 0);
    assert_eq!(call.world.counter(EDGES[0], "relays"), 2);
}

#[test]
fn who_does_not_say_that_it_follows_is_relayed_for() {
    // S-26: a home of RFC 3261 would show the redirect to the caller.
    let mut call = call(Tokens::Clear, Transport::Udp);
    call.world.restart(EDGES[0]);
    assert_eq!(message(&mut call, "1", ""), "");
    assert!(call.joe.receive(&mut call.world).starts_with("MESSAGE "));
    assert_eq!(call.world.counter(EDGES[0], "relays"), 1);
}

#[test]
fn what_was_relayed_is_answered_when_the_connection_of_the_edges_is_gone() {
    // X-4, S-26: seen in the simulation, where the caller never heard of a 200.
    for status in [200, 486] {
        let mut call = call(Tokens::Clear, Transport::Tcp);
        let partner = call.joe.backup.clone();
        call.world.restart(EDGES[0]);
        call.world.connect(OTHER_HOME, EDGES[0]);
        assert_eq!(message(&mut call, "1", ""), "");
        let asked = call.joe.receive(&mut call.world);
        assert!(asked.starts_with("MESSAGE "), "{asked}");
        assert_eq!(call.world.counter(EDGES[0], "relays"), 1);
        // The edge that relays does not know of it, and waits.
        assert_eq!(call.world.lose(&partner, EDGES[0]), 1);
        call.joe
            .answer(&mut call.world, &partner, &asked, status, "Said");
        assert!(call.world.has(OTHER_HOME), "{}", call.world.ladder());
        let answer = call.world.receive(OTHER_HOME).text;
        assert_eq!(&answer[8..11], status.to_string(), "{answer}");
    }
}

/// A home that the test plays asks e1 for joe, with that mark in its Via; what
/// it hears at once, if anything.
fn message(call: &mut Call, branch: &str, mark: &str) -> String {
    let over = if call.world.is_connected(OTHER_HOME, EDGES[0]) {
        "TCP"
    } else {
        "UDP"
    };
    let text = format!(
        "MESSAGE sip:joe@127.0.0.1:5070 SIP/2.0\nVia: SIP/2.0/{over} {OTHER_HOME}{mark};branch=z9hG4bK{branch}\n\
         Route: {}\nMax-Forwards: 70\nFrom: <sip:x@y>;tag=f\nTo: <sip:joe@example.com>\n\
         Call-ID: {branch}\nCSeq: 1 MESSAGE\nContent-Length: 0\n\n",
        call.ann.route_to_far_edge()
    );
    call.world.send(OTHER_HOME, EDGES[0], &text);
    if call.world.has(OTHER_HOME) {
        call.world.receive(OTHER_HOME).text
    } else {
        String::new()
    }
}

#[test]
fn a_redirect_never_reaches_the_caller() {
    // O-21, B-10: every edge of joe has forgotten him.
    let mut call = call(Tokens::Sealed, Transport::Udp);
    for edge in EDGES {
        call.world.restart(edge);
    }
    call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 1);
    assert_eq!(call.ann.status(&mut call.world), 480);
    assert!(!call.world.has(ANN));
    // Each edge is asked once.
    assert!(
        count(&call.world, "redirects") <= EDGES.len() as u64,
        "{}",
        call.world.ladder()
    );
    call.world.drained();
}

#[test]
fn a_phones_own_redirect_is_the_callers_business() {
    // P-10: whatever it looks like.
    for contact in [
        "<sip:joe@elsewhere.example.net>",
        "<sip:joe@edge.example.com;lr;maddr=127.0.0.12>",
        "<sip:joe@edge.example.com;lr;maddr=192.0.2.1>",
    ] {
        let mut call = call(Tokens::Sealed, Transport::Udp);
        call.ann.in_dialog(&mut call.world, EDGES[1], "INVITE", 2);
        assert_eq!(call.ann.status(&mut call.world), 100);
        let invite = call.joe.receive(&mut call.world);
        call.joe
            .redirect(&mut call.world, EDGES[0], &invite, contact);
        let answer = call.ann.receive(&mut call.world);
        assert!(answer.starts_with("SIP/2.0 302 "), "{answer}");
        assert_eq!(Phone::values(&answer, "Contact"), [contact]);
        assert_eq!(call.world.counter(HOME, "redirects_followed"), 0);
    }
}

/// Edges that the test plays, each with one device of ann's, and who calls her.
const DEVICES: [(&str, &str); 2] = [("127.0.0.11:40060", "one"), (CORE, "two")];
const CALLER: &str = "127.0.0.13:40060";

/// The INVITE for each device, as the two edges got it.
fn asked(world: &mut World, branch: &str) -> [String; 2] {
    let invite = request("INVITE", "sip:ann@example.com", branch, "").replace(CORE, CALLER);
    world.send(CALLER, HOME, &invite);
    assert_eq!(status(world, CALLER), 100);
    DEVICES.map(|(edge, _)| expect(world, edge, "INVITE"))
}

#[test]
fn each_device_of_a_user_is_followed_to_its_own_edge() {
    // S-23, S-24, B-10: that the home has asked an edge for one device
    // says nothing of the other, which that edge may have.
    let mut world = World::lab(Tokens::Clear);
    for (edge, device) in DEVICES {
        let mut ann = Register::new("ann", edge);
        (ann.call_id, ann.route) = (device, String::new());
        ann.lines = format!(
            "Contact: <sip:{device}@192.0.2.1>;+sip.instance=\"<urn:uuid:{device}>\";reg-id=1\n\
             Supported: path, outbound\nPath: <sip:{device}@edge.example.com;lr;ob>\n"
        );
        let ok = ann.login(&mut world, HOME);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    }
    let asked_first = asked(&mut world, "i1");
    for (index, (edge, device)) in DEVICES.into_iter().enumerate() {
        let (other, _) = DEVICES[1 - index];
        let (host, port) = other.split_once(':').unwrap();
        let there = format!("Contact: <sip:{device}@edge.example.com:{port};lr;maddr={host}>\n");
        let text = answer(&asked_first[index], 302, "edge", &there);
        world.send(edge, HOME, &text);
        expect(&mut world, edge, "ACK");
        let followed = expect(&mut world, other, "INVITE");
        assert!(followed.contains(&format!("<sip:{device}@")), "{followed}");
        if index == 1 {
            respond(&mut world, other, &followed, 200);
        }
    }
    assert_eq!(status(&mut world, CALLER), 200);
    silent(&world, &[CALLER]);
    assert_eq!(world.counter(HOME, "redirects_followed"), 2);
}

#[test]
fn a_device_with_two_tokens_is_followed_from_edge_to_edge() {
    // S-23, B-10: the first redirect leads to where the device's other
    // token is asked for next; what that edge says is about its own token.
    let mut world = World::lab(Tokens::Clear);
    for (index, (edge, token)) in DEVICES.into_iter().enumerate() {
        let mut ann = Register::new("ann", edge);
        (ann.call_id, ann.route) = (token, String::new());
        ann.lines = format!(
            "Contact: <sip:ann@192.0.2.1>;+sip.instance=\"<urn:uuid:ann>\";reg-id={}\n\
             Supported: path, outbound\nPath: <sip:{token}@edge.example.com;lr;ob>\n",
            index + 1
        );
        let ok = ann.login(&mut world, HOME);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    }
    let invite = request("INVITE", "sip:ann@example.com", "i1", "").replace(CORE, CALLER);
    world.send(CALLER, HOME, &invite);
    assert_eq!(status(&mut world, CALLER), 100);
    let first = usize::from(!world.has(DEVICES[0].0));
    let (edge, token) = DEVICES[first];
    let (other, other_token) = DEVICES[1 - first];
    let to = |token: &str, edge: &str| {
        let (host, port) = edge.split_once(':').unwrap();
        format!("Contact: <sip:{token}@edge.example.com:{port};lr;maddr={host}>\n")
    };
    let asked = expect(&mut world, edge, "INVITE");
    let text = answer(&asked, 302, "edge", &to(token, other));
    world.send(edge, HOME, &text);
    expect(&mut world, edge, "ACK");
    let asked = expect(&mut world, other, "INVITE");
    assert!(asked.contains(&format!("<sip:{other_token}@")), "{asked}");
    let text = answer(&asked, 302, "edge", &to(other_token, "127.0.0.13:40061"));
    world.send(other, HOME, &text);
    silent(&world, &[CALLER]);
    let asked = expect(&mut world, "127.0.0.13:40061", "INVITE");
    respond(&mut world, "127.0.0.13:40061", &asked, 200);
    assert_eq!(status(&mut world, CALLER), 200);
}
