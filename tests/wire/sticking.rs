//! What sticks to a connection, what does not, and how long a connection is
//! worth keeping (S-2 to S-30).

use super::phone::{Phone, Register};
use super::tls::{FAR, HOME_TLS, status};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

/// Rows that the home has bound so far.
fn bound(world: &World) -> u64 {
    world.counter(HOME, "stick_bound")
}

#[test]
fn only_a_success_binds() {
    // S-13, S-4, S-5
    let mut world = World::lab(Tokens::Clear);
    for (user, answer) in [("nobody", "401"), ("ann", "403"), ("joe", "200")] {
        let mut joe = Register::new("joe", JOE);
        joe.call_id = user;
        let challenge = joe.send(&mut world, EDGES[0], "");
        assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
        assert_eq!(bound(&world), 0, "by a challenge");
        let credentials = super::phone::authorization(user, &challenge);
        let end = joe.send(&mut world, EDGES[0], &credentials);
        assert_eq!(&end[8..11], answer);
        assert_eq!(bound(&world), u64::from(answer == "200"), "by {answer}");
    }
    let mut ann = Phone::new("ann", ANN, true);
    ann.register(&mut world, EDGES[1]);
    let before = bound(&world);
    let joe = Phone::new("joe", JOE, false);
    for (cseq, answer) in [(1, 486), (2, 503), (3, 603), (4, 200)] {
        let invite = joe.request("INVITE", "sip:ann@example.com", cseq, "", "");
        joe.send(&mut world, EDGES[0], &invite);
        assert_eq!(joe.status(&mut world), 100);
        // A 503 is tried once more over her other flow.
        let mut edge = EDGES[1].to_owned();
        while world.has(ANN) {
            let invite = world.receive(ANN);
            if invite.text.starts_with("INVITE ") {
                edge = invite.from.to_string();
                ann.answer(&mut world, &edge, &invite.text, 180, "Ringing");
                assert_eq!(bound(&world), before, "by 180");
                ann.answer(&mut world, &edge, &invite.text, answer, "Final");
            }
        }
        // A Record-Route of each side, and none of a call that failed.
        let rows = if answer == 200 { 2 } else { 0 };
        assert_eq!(bound(&world), before + rows, "by {answer} from {edge}");
        world.forget();
    }
}

#[test]
fn a_connection_is_kept_as_long_as_it_has_uris() {
    // S-27: silent for days. Who has proven a domain has a URI (S-2); an edge
    // is kept without one.
    let long = limits::FLOW_SILENCE_MAX.mul_f64(4.0);
    let of_edge = "127.0.0.12:40070";
    for (from, proves, is_kept) in [
        (FAR, &["trunk.example.net"][..], true),
        (FAR, &["edge.example.com"][..], true),
        (FAR, &[], false),
        (of_edge, &[], true),
    ] {
        let mut world = World::lab(Tokens::Clear);
        world.prove(from, proves);
        let node = if from == FAR { HOME_TLS } else { HOME };
        world.connect(from, node);
        let ping = super::tls::request("OPTIONS", "sip:example.com", 1, "");
        world.send(from, node, &ping);
        assert!(world.has(from), "{}", world.ladder());
        world.pass(long);
        assert_eq!(world.is_connected(from, node), is_kept, "{from} {proves:?}");
    }
}

#[test]
fn a_phone_keeps_its_connection_until_its_registration_ends() {
    // S-27 at an edge, S-30: this phone was promised nothing and says nothing.
    let mut world = World::lab(Tokens::Clear);
    world.connect(JOE, EDGES[0]);
    let mut joe = Register::new("joe", JOE);
    joe.lines += "Expires: 900\n";
    let ok = joe.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    world.pass(Duration::from_secs(890));
    assert!(world.is_connected(JOE, EDGES[0]));
    world.pass(limits::FLOW_SILENCE_MAX + Duration::from_secs(30));
    assert!(!world.is_connected(JOE, EDGES[0]));
}

#[test]
fn a_password_proves_a_request_and_not_its_connection() {
    // C-7, S-6, S-12: the next request on it is as unknown as the first.
    let mut world = World::with(
        Tokens::Clear,
        |home| {
            home.redirect = steadfast::home::Redirect::Never;
            home.challenges_calls = true;
        },
        |_, _| (),
    );
    let bob = Phone::new("bob", "127.0.0.1:5090", false);
    let mut register = Register::new("bob", bob.addr());
    register.route = String::new();
    register.login(&mut world, HOME);
    world.connect(FAR, HOME_TLS);
    let send_message = |world: &mut World, number, method: &str, uri: &str, more: &str| {
        let text = super::tls::request(method, uri, number, more);
        world.send(FAR, HOME_TLS, &text);
    };
    send_message(&mut world, 1, "REGISTER", "sip:example.com", "");
    let challenge = world.receive(FAR).text;
    let credentials = super::phone::authorization("joe", &challenge);
    send_message(&mut world, 2, "REGISTER", "sip:example.com", &credentials);
    assert_eq!(status(&mut world), "200");
    let before = bound(&world);
    send_message(&mut world, 3, "REGISTER", "sip:example.com", "");
    assert_eq!(status(&mut world), "401");
    for (number, route) in [(4, ""), (5, "Route: <sip:203.0.113.7;lr>\n")] {
        send_message(&mut world, number, "INVITE", "sip:bob@example.com", route);
        assert_eq!(status(&mut world), "407", "{route}");
    }
    // Somebody else's call over it is let in, and leaves nothing on it.
    let recorded = "Record-Route: <sip:x@edge.example.com;lr>\n";
    let invite = super::tls::request("INVITE", "sip:bob@example.com", 6, recorded);
    let invite = invite.replace("joe@example.com>;tag", "eve@elsewhere.net>;tag");
    world.send(FAR, HOME_TLS, &invite);
    assert_eq!(status(&mut world), "100");
    let came = bob.receive(&mut world);
    bob.answer(&mut world, HOME, &came, 200, "OK");
    assert_eq!(status(&mut world), "200");
    assert_eq!(bound(&world), before);
    assert_eq!(world.counter(HOME, "stick_refused"), 1);
}
