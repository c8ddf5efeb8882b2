//! Whose a registration is at the edge: his whom the home's 2xx registers, with or
//! without digest, and nobody's whom the REGISTER names besides (D-E13 to D-E15;
//! I-11).

use super::peer::{FAR, answer};
use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};

const JOE: &str = "127.0.0.1:5070";
const MALLORY: &str = "127.0.0.1:5666";

/// A REGISTER of `aor` with further lines.
fn register(aor: &str, from: &str, instance: &str, lines: &str) -> String {
    let user = aor.split('@').next().unwrap();
    format!(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK{user}{instance}{}\n\
         Route: <sip:edge.example.com;lr>\nMax-Forwards: 70\nFrom: <sip:{aor}>;tag=f\nTo: <sip:{aor}>\n\
         Call-ID: {user}{instance}\nCSeq: {} REGISTER\n\
         Contact: <sip:{user}@{from}>;+sip.instance=\"<urn:uuid:{instance}>\";reg-id=1\n\
         Supported: path, outbound, alt-proxies\n{lines}Content-Length: 0\n\n",
        lines.len(),
        lines.len() + 1
    )
}

/// Credentials that nobody checks here.
fn credentials(header: &str, user: &str, realm: &str) -> String {
    format!(
        "{header}: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"n\", uri=\"sip:x\", \
         response=\"00000000000000000000000000000000\"\n"
    )
}

/// Edges whose home is somebody else's registrar, played by the test.
fn foreign(tokens: Tokens) -> World {
    foreign_with(tokens, |_| ())
}

/// The lab of `foreign` with changed settings of each edge.
pub(crate) fn foreign_with(
    tokens: Tokens,
    change: impl Fn(&mut steadfast::edge::Settings),
) -> World {
    World::with(
        tokens,
        |_| (),
        |_, edge| {
            edge.home = vec![steadfast::edge::NextHop::At(
                steadfast::edge::ConfiguredHop {
                    transport: steadfast::id::Transport::Udp,
                    addr: FAR.parse().unwrap(),
                    name: None,
                },
            )];
            edge.home_domains = vec!["example.com".to_owned(), "example.org".to_owned()];
            change(edge);
        },
    )
}

/// The registrar takes what came to it; the Path that it has from now on, as a URI.
#[track_caller]
fn take(world: &mut World) -> String {
    let request = world.receive(FAR).text;
    let edge = world.last_to(FAR).from.to_string();
    let path = Phone::values(&request, "Path").remove(0);
    let contact = Phone::values(&request, "Contact").remove(0);
    let granted = format!("Contact: {contact};expires=600\nPath: {path}\nRequire: outbound\n");
    world.send(FAR, &edge, &answer(&request, 200, "r", &granted));
    path
}

/// Whether a call by that Path gets to `phone`.
#[track_caller]
fn reaches(world: &mut World, path: &str, phone: &str, cseq: u32) -> bool {
    let registrar = Phone::new("ann", FAR, false);
    let route = format!("Route: {path}\n");
    let text = registrar.request("MESSAGE", "sip:joe@x", cseq, &route, "");
    registrar.send(world, EDGES[0], &text);
    world.has(phone)
}

#[test]
fn a_registrar_that_never_asks_has_phones_that_are_called() {
    // D-E15: by address, by IMS AKA, by certificate; nothing of it is digest.
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut world = foreign(tokens);
        world.send(JOE, EDGES[0], &register("joe@example.com", JOE, "1", ""));
        let path = take(&mut world);
        let ok = world.receive(JOE).text;
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        assert_eq!(world.gauge(EDGES[0], "registered"), 1);
        assert!(reaches(&mut world, &path, JOE, 1), "{}", world.ladder());
    }
}

#[test]
fn a_home_that_believes_has_phones_that_are_called() {
    // `authenticate = false`
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut world = World::with(tokens, |home| home.authenticates = false, |_, _| ());
        let mut joe = Register::new("joe", JOE);
        let ok = joe.send(&mut world, EDGES[0], "");
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        let bob = Phone::foreign("bob", "127.0.0.1:5090");
        let text = bob.request("MESSAGE", "sip:joe@example.com", 1, "", "");
        bob.send(&mut world, HOME, &text);
        let message = world.receive(JOE).text;
        assert!(message.starts_with("MESSAGE "), "{message}");
        let phone = Phone::new("joe", JOE, false);
        phone.answer(&mut world, EDGES[0], &message, 200, "OK");
        assert_eq!(bob.status(&mut world), 200);
        world.drained();
    }
}

#[test]
fn credentials_beside_the_to_bind_nobody() {
    // One registrar for two domains; whatever it was shown, it registered mallory.
    let decoys = [
        credentials("Authorization", "joe", "example.org"),
        credentials("Authorization", "joe", "example.com"),
        credentials("Proxy-Authorization", "joe", "example.org"),
        credentials("Authorization", "joe", "example.org")
            + &credentials("Authorization", "mallory", "example.com"),
    ];
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        for decoy in &decoys {
            let mut world = foreign(tokens);
            world.send(JOE, EDGES[0], &register("joe@example.org", JOE, "1", ""));
            let joes = take(&mut world);
            world.receive(JOE);
            // With joe's own instance, which every call of his has shown her.
            let text = register("mallory@example.com", MALLORY, "1", decoy);
            world.send(MALLORY, EDGES[0], &text);
            let hers = take(&mut world);
            let ok = world.receive(MALLORY).text;
            assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
            assert_ne!(hers, joes);
            assert!(reaches(&mut world, &joes, JOE, 1), "{}", world.ladder());
            assert!(!world.has(MALLORY), "{}", world.ladder());
        }
    }
}

#[test]
fn namesakes_of_two_domains_are_two_people() {
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut world = foreign(tokens);
        let mut paths = Vec::new();
        for (aor, from) in [("joe@example.com", JOE), ("joe@Example.ORG", MALLORY)] {
            world.send(from, EDGES[0], &register(aor, from, "1", ""));
            paths.push(take(&mut world));
            world.receive(from);
        }
        assert_ne!(paths[0], paths[1]);
        if matches!(tokens, Tokens::Clear) {
            assert!(paths[0].starts_with("<sip:joe+e1+"), "{paths:?}");
            assert!(
                paths[1].starts_with("<sip:joe_40example.org+e1+"),
                "{paths:?}"
            );
        }
        assert!(reaches(&mut world, &paths[0], JOE, 1));
        assert!(!world.has(MALLORY), "{}", world.ladder());
        world.forget();
        assert!(reaches(&mut world, &paths[1], MALLORY, 2));
        assert!(!world.has(JOE), "{}", world.ladder());
        // One leaves, and the other stays.
        let text = register("joe@example.org", MALLORY, "1", "Expires: 0\n");
        world.send(MALLORY, EDGES[0], &text);
        let request = world.receive(FAR).text;
        let edge = world.last_to(FAR).from.to_string();
        world.send(FAR, &edge, &answer(&request, 200, "r", ""));
        world.forget();
        assert!(!reaches(&mut world, &paths[1], MALLORY, 3));
        assert!(reaches(&mut world, &paths[0], JOE, 4));
    }
}

#[test]
fn a_user_is_one_however_it_is_escaped() {
    let mut world = foreign(Tokens::Clear);
    let mut paths = Vec::new();
    for aor in ["joe@example.com", "%6aoe@EXAMPLE.com."] {
        world.send(JOE, EDGES[0], &register(aor, JOE, "1", ""));
        paths.push(take(&mut world));
        world.receive(JOE);
    }
    assert_eq!(paths[0], paths[1]);
    assert_eq!(world.gauge(EDGES[0], "registered"), 1);
}
