//! `nat_keepalive = "short"`: phones over UDP behind an address translation that do
//! nothing to stay reachable are told to register again soon, and whoever else knows of
//! the registration goes by what the registrar has granted (RFC 3261 §10.3).

use super::peer::{FAR, answer};
use super::phone::Phone;
use super::whose::foreign_with;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::NatKeepalive;
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
/// Where joe's phone thinks that it is.
const INSIDE: &str = "10.1.1.1:5060";

fn short(edge: &mut steadfast::edge::Settings) {
    edge.rules.nat_keepalive = NatKeepalive::Short;
}

/// joe's REGISTER, whose Via says where he thinks that he is.
fn register(via: &str, lines: &str) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {via};rport;branch=z9hG4bKshort\n\
         Route: <sip:edge.example.com;lr>\nMax-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\n\
         To: <sip:joe@example.com>\nCall-ID: short\nCSeq: 1 REGISTER\n{lines}Content-Length: 0\n\n"
    )
}

/// The Contact and Expires lines that joe gets when a registrar that is none of ours
/// grants `lines`; the number of seconds in `short` is written as `SOON`.
#[track_caller]
fn answer_to_phone(via: &str, register_lines: &str, lines: &str) -> String {
    let mut world = foreign_with(Tokens::Sealed, short);
    world.send(JOE, EDGES[0], &register(via, register_lines));
    let request = world.receive(FAR).text;
    let edge = world.last_to(FAR).from.to_string();
    let path = Phone::values(&request, "Path").remove(0);
    world.send(
        FAR,
        &edge,
        &answer(&request, 200, "r", &format!("{lines}Path: {path}\n")),
    );
    let ok = world.receive(JOE).text;
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    let kept = |line: &&str| line.starts_with("Contact") || line.starts_with("Expires");
    let mut text = ok.split("\r\n").filter(kept).collect::<Vec<_>>().join("\n");
    let (least, most) = (limits::EXPIRES_MIN_S, limits::NAT_EXPIRES_S);
    for seconds in least..=most {
        text = text.replace(&format!("={seconds}"), "=SOON");
        text = text.replace(&format!(": {seconds}"), ": SOON");
    }
    text + "\n"
}

#[test]
fn a_phone_behind_a_nat_is_told_to_come_again_soon_and_is_reached_as_long_as_granted() {
    let mut world = World::with(
        Tokens::Sealed,
        |home| home.authenticates = false,
        |_, edge| short(edge),
    );
    let contact = format!("Contact: <sip:joe@{INSIDE}>;expires=900\n");
    world.send(JOE, EDGES[0], &register(INSIDE, &contact));
    let ok = world.receive(JOE).text;
    let spread = limits::EXPIRES_SPREAD;
    Phone::shortened(&ok, ";expires=", limits::NAT_EXPIRES_S, spread);
    // No keep-alives; and the phone, which has fallen silent, is called all the same.
    world.pass(Duration::from_secs(500));
    assert!(!world.has(JOE), "{}", world.ladder());
    assert_eq!(world.counter(EDGES[0], "nat_pings"), 0);
    let bob = Phone::foreign("bob", "127.0.0.1:5090");
    let text = bob.request("MESSAGE", "sip:joe@example.com", 1, "", "");
    bob.send(&mut world, HOME, &text);
    let message = world.receive(JOE).text;
    assert!(message.starts_with("MESSAGE "), "{message}");
    world.pass(Duration::from_secs(500));
    assert_eq!(world.gauge(EDGES[0], "registered"), 0);
}

#[test]
fn the_contact_of_the_phone_alone_is_shortened() {
    // K-7
    let register_lines = format!("Contact: <sip:joe@{INSIDE}>\nExpires: 600\n");
    let answer_to_phone = |lines: &str| answer_to_phone(INSIDE, &register_lines, lines);
    let ours = format!("Contact: <sip:joe@{INSIDE}>");
    for (granted, want) in [
        (
            format!("{ours};expires=600\n"),
            format!("{ours};expires=SOON\n"),
        ),
        // As §19.1.4 compares, wherever the parameter stands, and whatever it says.
        (
            "Contact: \"J\" <SIP:joe@10.1.1.1:5060> ;q=1;Expires=600;a\n".to_owned(),
            "Contact: \"J\" <SIP:joe@10.1.1.1:5060> ;q=1;expires=SOON;a\n".to_owned(),
        ),
        (
            format!("{ours};expires=\n"),
            format!("{ours};expires=SOON\n"),
        ),
        (
            format!("Contact: sip:joe@{INSIDE};expires=600\n"),
            format!("Contact: sip:joe@{INSIDE};expires=SOON\n"),
        ),
        // Who reads the header alone is told the same there.
        (
            format!("{ours}\nExpires: 600\n"),
            format!("{ours};expires=SOON\nExpires: SOON\n"),
        ),
        (
            format!("{ours};expires=600\nExpires: 900\n"),
            format!("{ours};expires=SOON\nExpires: SOON\n"),
        ),
        // Nothing said is an hour (§10.3 leaves it to the registrar).
        (format!("{ours}\n"), format!("{ours};expires=SOON\n")),
        // The header is the other one's as well.
        (
            format!("Contact: <sip:joe@192.0.2.7>, <sip:joe@{INSIDE}>;expires=600\nExpires: 900\n"),
            format!(
                "Contact: <sip:joe@192.0.2.7>, <sip:joe@{INSIDE}>;expires=SOON\nExpires: 900\n"
            ),
        ),
        (
            format!("Contact: <sip:joe@192.0.2.7>;expires=500\n{ours}\nExpires: 900\n"),
            format!(
                "Contact: <sip:joe@192.0.2.7>;expires=500\n{ours};expires=SOON\nExpires: 900\n"
            ),
        ),
        // Soon enough as it is; ended; not bound.
        (
            format!("{ours};expires=59\n"),
            format!("{ours};expires=59\n"),
        ),
        (format!("{ours};expires=0\n"), format!("{ours};expires=0\n")),
        (
            "Contact: <sip:joe@192.0.2.7>;expires=500\n".to_owned(),
            "Contact: <sip:joe@192.0.2.7>;expires=500\n".to_owned(),
        ),
    ] {
        assert_eq!(answer_to_phone(&granted), want, "of {granted}");
    }
}

#[test]
fn who_can_do_without_is_granted_what_the_registrar_says() {
    let granted = format!("Contact: <sip:joe@{INSIDE}>;expires=900\n");
    let register_lines = granted.clone();
    // No translation; RFC 6223.
    assert_eq!(answer_to_phone(JOE, &register_lines, &granted), granted);
    assert_eq!(
        answer_to_phone(&format!("{INSIDE};keep"), &register_lines, &granted),
        granted
    );
    // RFC 5626.
    let agreed = format!("{granted}Require: outbound\n");
    assert_eq!(answer_to_phone(INSIDE, &register_lines, &agreed), granted);
}
