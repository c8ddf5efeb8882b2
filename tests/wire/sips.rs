//! Phones over TLS that say `sips` of themselves, at edges that reach the home over less:
//! what they ask for by `sips` is refused and the operator told; what they ask for by
//! `sip`, and are asked, works in both directions, and no `sips` leaves TLS.

use super::phone::Phone;
use super::tls::{E1_TLS, FAR, over_tls, plain_phone, request, status};
use super::world::{EDGES, Tokens, World};
use steadfast::send::Notice;

const ANN: &str = "127.0.0.1:6002";

/// No URI in a message that left over less than TLS is `sips`.
#[track_caller]
fn stays_in_tls(world: &World) {
    for seen in &world.trace {
        let is_tls = seen.to.port() == 5061 || seen.from.port() == 5061;
        assert!(is_tls || !seen.text.contains("sips:"), "{}", seen.text);
    }
}

#[test]
fn the_operator_is_told_once_that_sips_is_refused() {
    // C-15
    let mut world = World::lab(Tokens::Sealed);
    world.connect(FAR, E1_TLS);
    for number in 1..4 {
        let route = "Route: <sips:edge.example.com;lr>\n";
        let text = request("REGISTER", "sips:example.com", number, route);
        world.send(FAR, E1_TLS, &text.replace("<sip:joe@203", "<sips:joe@203"));
        let text = world.receive(FAR).text;
        assert!(
            text.starts_with("SIP/2.0 480 SIPS Not Allowed\r\n"),
            "{text}"
        );
        assert!(text.contains("\r\nWarning: 380 "), "{text}");
    }
    let notices = world.notices.iter();
    let refusals = notices.filter(|(_, notice)| matches!(notice, Notice::SipsRefused { .. }));
    let refusals: Vec<_> = refusals.map(|(_, notice)| *notice).collect();
    let source = "203.0.113.9".parse().unwrap();
    assert_eq!(refusals, [Notice::SipsRefused { source }]);
}

#[test]
fn who_registers_a_sips_contact_by_sip_is_told_that_he_must_not() {
    // C-16
    let mut world = World::lab(Tokens::Sealed);
    world.connect(FAR, E1_TLS);
    let register = |number, more: &str| {
        let lines = format!("Route: <sip:edge.example.com;lr>\n{more}");
        let text = request("REGISTER", "sip:example.com", number, &lines);
        text.replace("<sip:joe@203", "<sips:joe@203")
    };
    world.send(FAR, E1_TLS, &register(1, ""));
    let challenge = world.receive(FAR).text;
    let credentials = super::phone::authorization("joe", &challenge);
    world.send(FAR, E1_TLS, &register(2, &credentials));
    let text = world.receive(FAR).text;
    assert!(
        text.starts_with("SIP/2.0 400 SIPS Contact Without SIPS All The Way\r\n"),
        "{text}"
    );
}

/// What joe's phone says, with the scheme that it has in its Contact.
#[track_caller]
fn sips(text: &str) -> String {
    let own = "\nContact: <sip:joe@203.0.113.9:40001";
    assert!(text.contains(own), "{text}");
    text.replace(own, &own.replace("<sip:", "<sips:"))
}

/// joe's phone over TLS, whose Contact in calls is a `sips`, calls ann's, and is called
/// by it. What the home is to find in the Contact.
fn calls(world: &mut World, refusals: &str) {
    plain_phone(world);
    let mut ann = Phone::new("ann", ANN, true);
    ann.register(world, EDGES[1]);
    calls_out(world, &mut ann, refusals);
    is_called(world, &mut ann);
    stays_in_tls(world);
}

/// joe calls ann, who ends it.
fn calls_out(world: &mut World, ann: &mut Phone, refusals: &str) {
    world.forget();
    world.send(
        FAR,
        E1_TLS,
        &sips(&request("INVITE", "sip:ann@example.com", 5, "")),
    );
    assert_eq!(status(world), "100");
    let invite = ann.receive(world);
    assert!(
        invite.contains(&format!("\r\nContact: <sip:joe@{FAR};transport=tls>\r\n")),
        "{invite}"
    );
    let at_home = world
        .trace
        .iter()
        .find(|seen| seen.to.ip().to_string() == "127.0.0.10");
    let contact = Phone::values(&at_home.unwrap().text, "Contact").remove(0);
    assert!(contact.starts_with(refusals), "{contact}");
    ann.answer(world, EDGES[1], &invite, 200, "OK");
    let ok = world.receive(FAR).text;
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    ann.dialog(&invite, false);
    ann.in_dialog(world, EDGES[1], "BYE", 1);
    let bye = world.receive(FAR).text;
    assert!(
        bye.starts_with(&format!("BYE sip:joe@{FAR};transport=tls SIP/2.0\r\n")),
        "{bye}"
    );
    let joe = Phone::new("joe", FAR, false);
    world.send(FAR, E1_TLS, &joe.response(&bye, 200, "OK"));
    assert_eq!(ann.status(world), 200);
}

/// ann calls joe, whose answers say `sips`, and holds and ends it.
fn is_called(world: &mut World, ann: &mut Phone) {
    let joe = Phone::new("joe", FAR, false);
    let invite = ann.request("INVITE", "sip:joe@example.com", 20, "", "");
    ann.send(world, EDGES[1], &invite);
    assert_eq!(ann.status(world), 100);
    let ring = world.receive(FAR).text;
    for (status, reason) in [(180, "Ringing"), (200, "OK")] {
        let answer = sips(&joe.response(&ring, status, reason));
        world.send(FAR, E1_TLS, &answer);
        let answer = ann.receive(world);
        assert!(
            answer.starts_with(&format!("SIP/2.0 {status} ")),
            "{answer}"
        );
        assert_eq!(
            Phone::values(&answer, "Contact"),
            [format!("<sip:joe@{FAR}>")]
        );
        ann.dialog(&answer, true);
    }
    for (cseq, method) in [(20, "ACK"), (21, "UPDATE"), (22, "BYE")] {
        ann.in_dialog(world, EDGES[1], method, cseq);
        let got = world.receive(FAR).text;
        assert!(
            got.starts_with(&format!("{method} sip:joe@{FAR} SIP/2.0\r\n")),
            "{got}"
        );
        if method != "ACK" {
            // The Contact of a BYE says nothing.
            let answer = joe.response(&got, 200, "OK");
            let answer = if method == "UPDATE" {
                sips(&answer)
            } else {
                answer
            };
            world.send(FAR, E1_TLS, &answer);
            assert_eq!(ann.status(world), 200);
        }
    }
}

#[test]
fn a_phone_whose_contact_is_sips_calls_and_is_called_by_sip() {
    // C-15
    calls(&mut World::lab(Tokens::Sealed), "<sip:joe@");
}

#[test]
fn a_sips_contact_is_left_where_it_goes_on_over_tls() {
    // C-15: up to ann's edge, whose phone speaks UDP.
    calls(&mut over_tls("example.com"), "<sips:joe@");
}
