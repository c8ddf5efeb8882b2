//! Phones that never registered: RFC 5626 §5.2 and §5.3 without an account.

use super::marks::unmarked;
use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};

const GUEST: &str = "127.0.0.1:5099";
const ANN: &str = "127.0.0.1:5080";

/// A guest in a call with ann; the world, both phones, and the guest's values
/// as ann sees them.
fn call() -> (World, Phone, Phone, Vec<String>) {
    let mut world = World::hospitable(Tokens::Sealed);
    let mut ann = Phone::new("ann", ANN, true);
    ann.register(&mut world, EDGES[1]);
    let mut guest = Phone::foreign("guest", GUEST);
    guest.send(
        &mut world,
        EDGES[0],
        &guest.request("INVITE", "sip:ann@example.com", 1, "", ""),
    );
    assert_eq!(guest.status(&mut world), 100);
    let invite = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
    let ok = guest.receive(&mut world);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    guest.dialog(&ok, true);
    ann.dialog(&invite, false);
    let recorded = Phone::values(&invite, "Record-Route").split_off(2);
    guest.in_dialog(&mut world, EDGES[0], "ACK", 1);
    assert!(ann.receive(&mut world).starts_with("ACK "));
    (world, guest, ann, recorded)
}

#[test]
fn a_guest_calls_and_is_reached_in_its_dialog() {
    // O-1, O-3, O-4, O-6
    let (mut world, guest, ann, recorded) = call();
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    assert!(
        recorded[0].starts_with("<sip:f") && unmarked(&recorded[0]).ends_with("@127.0.0.11;lr>"),
        "{recorded:?}"
    );
    let all = world.ladder();
    let mut values = Phone::values(&all, "Record-Route").into_iter();
    assert_eq!(values.find(|value| value.contains(";ob")), None);
    ann.in_dialog(&mut world, EDGES[1], "BYE", 1);
    let bye = guest.receive(&mut world);
    assert!(bye.starts_with("BYE sip:guest@127.0.0.1:5099 "), "{bye}");
    guest.answer(&mut world, EDGES[0], &bye, 200, "OK");
    assert_eq!(ann.status(&mut world), 200);
}

#[test]
fn a_guest_ends_its_own_call() {
    // O-3: the source is the token's flow.
    let (mut world, guest, ann, _) = call();
    guest.in_dialog(&mut world, EDGES[0], "BYE", 2);
    let bye = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &bye, 200, "OK");
    assert_eq!(guest.status(&mut world), 200);
}

#[test]
fn a_flow_token_dies_with_its_edge() {
    // O-5: genuine, but of a run that is over.
    let (mut world, guest, ann, recorded) = call();
    world.restart(EDGES[0]);
    ann.in_dialog(&mut world, EDGES[1], "BYE", 1);
    // O-21: the 430 was for the home.
    assert_eq!(ann.status(&mut world), 480);
    assert!(!world.has(GUEST), "{}", world.ladder());
    assert_eq!(world.counter(EDGES[0], "flows_failed"), 1);
    let answers = world
        .trace
        .iter()
        .filter(|seen| seen.text.starts_with("SIP/2.0 430 "));
    assert_eq!(
        answers.filter(|seen| seen.to.to_string() == HOME).count(),
        1
    );
    drop((guest, recorded));
}

#[test]
fn whoever_is_no_proxy_hears_of_no_flow() {
    // O-21: what an edge itself makes of a flow that is gone, whoever shows its token.
    let (mut world, guest, ann, recorded) = call();
    world.restart(EDGES[0]);
    let route = format!("Route: {}\n", recorded[0]);
    for (cseq, method) in (9..).zip(["MESSAGE", "SUBSCRIBE", "INVITE", "BYE", "REGISTER"]) {
        let request = guest.request(method, "sip:guest@127.0.0.1:5099", cseq, &route, "");
        guest.send(&mut world, EDGES[0], &request);
        let status = guest.status(&mut world);
        // A REGISTER goes to the home; its token says nothing of where it comes from.
        let want = if method == "REGISTER" { 403 } else { 480 };
        assert_eq!(status, want, "{method}");
        if method == "INVITE" {
            guest.send(&mut world, EDGES[0], &request.replace("INVITE", "ACK"));
        }
    }
    // Nor does the far side, by way of the home, in its dialog or without one.
    for (cseq, method) in (3..).zip(["INFO", "INVITE", "MESSAGE", "BYE"]) {
        ann.in_dialog(&mut world, EDGES[1], method, cseq);
        let mut status = ann.status(&mut world);
        if status == 100 {
            status = ann.status(&mut world);
        }
        assert_eq!(status, 480, "{method}");
    }
}

#[test]
fn a_guest_keeps_its_call_when_its_edge_has_been_restarted() {
    // Protocol 3.5: a 430 is for proxies; the rest of the Route leads on.
    let (mut world, guest, ann, _) = call();
    world.restart(EDGES[0]);
    guest.in_dialog(&mut world, EDGES[0], "BYE", 2);
    let bye = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &bye, 200, "OK");
    assert_eq!(guest.status(&mut world), 200);
}

#[test]
fn a_forged_flow_token_is_refused() {
    // O-5
    let (_, _, _, recorded) = call();
    let uri = recorded[0].trim_matches(['<', '>']).to_owned();
    let user = &uri["sip:".len()..uri.find('@').unwrap()];
    for index in 1..user.len() {
        let mut forged = user.as_bytes().to_vec();
        forged[index] = if forged[index] == b'0' { b'1' } else { b'0' };
        let forged = uri.replace(user, std::str::from_utf8(&forged).unwrap());
        let (mut world, _, _, _) = call();
        world.forget();
        let home = Phone::new("ann", HOME, false);
        let route = format!("Route: <{forged}>\n");
        home.send(
            &mut world,
            EDGES[0],
            &home.request("MESSAGE", "sip:guest@127.0.0.1:5099", 9, &route, ""),
        );
        let refused = world.last(HOME);
        assert!(refused.starts_with("SIP/2.0 403 "), "{index}: {refused}");
        assert!(!world.has(GUEST), "{index}");
        assert_eq!(world.counter(EDGES[0], "bad_tokens"), 1);
    }
}

#[test]
fn a_flow_token_is_its_flows_alone() {
    // O-3, B-9
    let (mut world, _, _, recorded) = call();
    let other = Phone::new("other", "127.0.0.1:5098", false);
    let route = format!("Route: {}\n", recorded[0]);
    other.send(
        &mut world,
        EDGES[0],
        &other.request("MESSAGE", "sip:guest@127.0.0.1:5099", 1, &route, ""),
    );
    assert_eq!(other.status(&mut world), 403);
    assert!(!world.has(GUEST), "{}", world.ladder());
    // O-5: at another edge its flow is gone: that one does not relay it.
    let home = Phone::new("ann", HOME, false);
    home.send(
        &mut world,
        EDGES[2],
        &home.request("MESSAGE", "sip:guest@127.0.0.1:5099", 2, &route, ""),
    );
    assert!(
        world.last(HOME).starts_with("SIP/2.0 430 "),
        "{}",
        world.last(HOME)
    );
}

#[test]
fn a_guest_is_not_known_by_its_contact() {
    // O-6: `ob` in the Contact or not, and whatever the From says.
    let mut world = World::hospitable(Tokens::Clear);
    let mut ann = Phone::new("ann", ANN, true);
    ann.register(&mut world, EDGES[1]);
    let call = |world: &mut World, who: &Phone, cseq| {
        let invite = who.request("INVITE", "sip:ann@example.com", cseq, "", "");
        let invite = invite.replace(
            "Contact: <sip:ann@127.0.0.1:5099>",
            "Contact: <sip:ann@127.0.0.1:5099;ob>",
        );
        world.forget();
        who.send(world, EDGES[0], &invite);
        let at_home = world.trace.iter().find(|seen| seen.to.to_string() == HOME);
        let routes = Phone::values(&at_home.unwrap().text, "Record-Route");
        assert!(routes[0].starts_with("<sip:f"), "{routes:?}");
    };
    call(&mut world, &Phone::foreign("ann", GUEST), 1);
    let received = ann.receive(&mut world);
    assert!(
        received.contains("Contact: <sip:ann@127.0.0.1:5099;ob>"),
        "{received}"
    );
    // In the name of one of the home's own he is asked for the password.
    let liar = Phone::new("ann", GUEST, false);
    call(&mut world, &liar, 2);
    assert_eq!(liar.status(&mut world), 100);
    assert_eq!(liar.status(&mut world), 407);
    assert!(!world.has(ANN), "{}", world.ladder());
}

#[test]
fn a_guest_takes_nothing_from_its_dialog_but_the_dialog() {
    // B-9: the token it read and an invented To tag lead
    // nowhere but to the phone it talks to.
    let (mut world, guest, _, recorded) = call();
    let routes = format!("Route: {}, <sip:example.com;lr>\n", recorded[0]);
    let premium = "sip:premium@203.0.113.9";
    let invite = guest.request("INVITE", premium, 9, &routes, "");
    let to = format!("To: <{premium}>");
    let invite = invite.replace(&to, &format!("{to};tag=invented"));
    guest.send(&mut world, EDGES[0], &invite);
    assert_eq!(guest.status(&mut world), 403, "{}", world.ladder());
}
