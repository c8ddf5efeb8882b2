//! What is refused before it is routed (RFC 3261 §16.3), and how a node
//! refuses that is on its way out.

use super::peer::{CORE, FAR, expect, of_invite, request, respond, silent, status};
use super::world::{HOME, Tokens, World};

/// The answer of the home itself.
#[track_caller]
fn refused(text: &str) -> String {
    let mut world = World::lab(Tokens::Clear);
    world.send(CORE, HOME, text);
    let got = world.receive(CORE).text;
    silent(&world, &[FAR]);
    world.drained();
    got
}

#[test]
fn an_unknown_scheme_gets_416() {
    // P-2
    for uri in [
        "nobodyknows:bob@127.0.0.9",
        "http://127.0.0.9/",
        "urn:service:counseling",
        "urn:service:sosfire",
    ] {
        let got = refused(&request("OPTIONS", uri, "sc", ""));
        assert!(got.starts_with("SIP/2.0 416 "), "{uri}: {got}");
    }
}

#[test]
fn a_request_uri_must_be_one() {
    // P-1: it is the one URI the proxy uses.
    for uri in [
        "sip:",
        "sip:bob@",
        "sip:bob@127.0.0.9?Route=%3Csip:x%3E",
        "sip:bob@[127.0.0.9",
    ] {
        let got = refused(&request("OPTIONS", uri, "ur", ""));
        assert!(got.starts_with("SIP/2.0 400 "), "{uri}: {got}");
    }
}

#[test]
fn exactly_the_unknown_extensions_are_listed() {
    // P-4
    let got = refused(&request(
        "INVITE",
        "sip:bob@127.0.0.9",
        "ex",
        "Proxy-Require: path, foo\nRequire: 100rel, bar\nProxy-Require: OUTBOUND,baz ,  qux\n",
    ));
    assert!(got.starts_with("SIP/2.0 420 "), "{got}");
    assert!(got.contains("\r\nUnsupported: foo, baz, qux\r\n"), "{got}");
    // Known ones pass, and in an ACK or a CANCEL none matters.
    let mut world = World::lab(Tokens::Clear);
    world.send(
        CORE,
        HOME,
        &request("INVITE", "sip:bob@127.0.0.9", "ok", "Proxy-Require: path\n"),
    );
    assert_eq!(status(&mut world, CORE), 100);
    let invite = request("INVITE", "sip:bob@127.0.0.9", "ok", "Proxy-Require: foo\n");
    let received = expect(&mut world, FAR, "INVITE");
    respond(&mut world, FAR, &received, 180);
    assert_eq!(status(&mut world, CORE), 180);
    world.send(CORE, HOME, &of_invite("CANCEL", &invite));
    assert_eq!(status(&mut world, CORE), 200);
    let cancel = expect(&mut world, FAR, "CANCEL");
    assert!(!cancel.contains("Require"), "{cancel}");
    world.send(
        CORE,
        HOME,
        &request("ACK", "sip:bob@127.0.0.9", "2xx", "Proxy-Require: foo\n"),
    );
    assert!(expect(&mut world, FAR, "ACK").contains("Proxy-Require: foo\r\n"));
    respond(&mut world, FAR, &received, 487);
    expect(&mut world, FAR, "ACK");
    assert_eq!(status(&mut world, CORE), 487);
    world.send(CORE, HOME, &of_invite("ACK", &invite));
    world.drained();
}

#[test]
fn breadth_that_is_used_up_gets_440() {
    // L-4
    let got = refused(&request(
        "INVITE",
        "sip:bob@127.0.0.9",
        "br",
        "Max-Breadth: 0\n",
    ));
    assert!(got.starts_with("SIP/2.0 440 "), "{got}");
    let got = refused(&request(
        "INVITE",
        "sip:bob@127.0.0.9",
        "br",
        "Max-Breadth: x\n",
    ));
    assert!(got.starts_with("SIP/2.0 400 "), "{got}");
}

#[test]
fn an_empty_target_set_gets_480_and_a_stranger_404() {
    // P-18
    let got = refused(&request("INVITE", "sip:ann@example.com", "em", ""));
    assert!(got.starts_with("SIP/2.0 480 "), "{got}");
    let got = refused(&request("INVITE", "sip:nobody@example.com", "em", ""));
    assert!(got.starts_with("SIP/2.0 404 "), "{got}");
}

#[test]
fn a_merged_request_is_no_error() {
    // P-5: another branch of the same request, from elsewhere.
    let mut world = World::lab(Tokens::Clear);
    for branch in ["m1", "m2"] {
        let text = request("MESSAGE", "sip:bob@127.0.0.9", branch, "")
            .replace(&format!("Call-ID: {branch}"), "Call-ID: same");
        world.send(CORE, HOME, &text);
        let received = expect(&mut world, FAR, "MESSAGE");
        respond(&mut world, FAR, &received, 200);
        assert_eq!(status(&mut world, CORE), 200);
    }
    world.drained();
}

#[test]
fn a_request_that_leaves_no_room_for_ours_is_refused() {
    // P-1; limits/message.rs
    let mut world = World::lab(Tokens::Clear);
    let uri = "sip:bob@127.0.0.9";
    let routes = "Route: <sip:example.com;lr>\n".repeat(65);
    let lines = "X: y\n".repeat(245);
    let long = format!("X: {}\n", "y".repeat(62_000));
    for (extra, want) in [(&routes, 400), (&lines, 400), (&long, 513)] {
        world.send(
            CORE,
            HOME,
            &request("OPTIONS", uri, &format!("room{}", extra.len()), extra),
        );
        assert_eq!(status(&mut world, CORE), want, "{}", &extra[..20]);
    }
    world.send(
        CORE,
        HOME,
        &request("OPTIONS", "sips:bob@127.0.0.9", "s", ""),
    );
    assert_eq!(status(&mut world, CORE), 480);
    silent(&world, &[FAR]);
}
