//! Whose voice somebody borrows: of a user of ours, as a carrier or in a From
//! that is read in two ways; and of somebody in need.

use super::super::overload::overwhelm;
use super::super::peer::{CORE, request};
use super::super::phone::{Login, Phone};
use super::super::world::{EDGES, HOME, Tokens, World};
use super::{EVE, TO_ANN, eve, phones};
use steadfast::send::PeerRule;

const CARRIER: &str = "127.0.0.8:5060";

fn carried() -> World {
    let carriers = vec![PeerRule::carrier("udp:127.0.0.8:5060").unwrap()];
    World::with(
        Tokens::Clear,
        |home| home.peers = carriers.clone(),
        |_, edge| edge.peers = carriers.clone(),
    )
}

/// A From, the lines of what a carrier asserts of it, and what the called side sees
/// asserted; or the status that the carrier gets.
const CARRIED: [(&str, &str, &str); 18] = [
    ("joe@example.com", "", "407"),
    ("joe@example.com", "<sip:joe@example.com>", "407"),
    ("joe@example.com", "<sip:x@carrier.example>", "407"),
    ("joe@127.0.0.10", "<sip:x@carrier.example>", "407"),
    ("x@carrier.example", "", ""),
    (
        "x@carrier.example",
        "<sip:x@carrier.example>",
        "<sip:x@carrier.example>",
    ),
    ("x@carrier.example", "<tel:+49>", "<tel:+49>"),
    ("x@carrier.example", "<sip:joe@example.com>", ""),
    ("x@carrier.example", "<sip:joe@EXAMPLE.com.:5060>", ""),
    ("x@carrier.example", "<sips:joe@example.com>", ""),
    ("x@carrier.example", "<sip:joe@127.0.0.10>", ""),
    ("x@carrier.example", "<sip:joe@%65xample.com>", ""),
    ("x@carrier.example", "\"x\"\n\t<sip:joe@example.com>", ""),
    (
        "x@carrier.example",
        "<sip:x@carrier.example>, <sip:joe@example.com>",
        "",
    ),
    (
        "x@carrier.example",
        "sip:x@carrier.example, <sip:joe@example.com>",
        "",
    ),
    ("x@carrier.example", "<tel:+49>, <sip:joe@example.com>", ""),
    (
        "x@carrier.example",
        "<tel:+49>\nP-Asserted-Identity: <sip:joe@example.com>",
        "<tel:+49>",
    ),
    (
        "x@carrier.example",
        "<sip:x@carrier.example>\np-asserted-identity : <sip:joe@example.com>",
        "<sip:x@carrier.example>",
    ),
];

#[test]
fn a_carrier_vouches_for_its_own_users_and_for_none_of_ours() {
    // Seen: at an edge its word for our users was taken off, and at a home not.
    for node in [HOME, EDGES[0]] {
        for (from, asserted, want) in CARRIED {
            let line = match asserted {
                "" => String::new(),
                asserted => format!("P-Asserted-Identity: {asserted}\n"),
            };
            for method in ["INVITE", "MESSAGE"] {
                let mut world = carried();
                let (_, ann) = phones(&mut world);
                let carrier = Phone::foreign("x", CARRIER);
                let text = carrier.request(method, TO_ANN, 1, &line, "");
                carrier.send(&mut world, node, &text.replace("x@elsewhere.example", from));
                let got = if world.has(ann.addr()) {
                    Phone::values(&ann.receive(&mut world), "P-Asserted-Identity").concat()
                } else {
                    world.last(CARRIER)["SIP/2.0 ".len()..][..3].to_owned()
                };
                assert_eq!(got, want, "{node} {from} {line}\n{}", world.ladder());
            }
        }
    }
}

#[test]
fn a_from_that_can_be_read_in_two_ways_is_nobodys() {
    // Seen: what is no URI to us has no host of ours, and was let through where
    // strangers may call; a phone shows what it makes of it.
    for (from, want) in [
        ("<sip:joe@example.com:99999>;tag=x", "400"),
        ("<sip:joe@example.com;;a>;tag=x", "400"),
        ("<sip:joe@example.com;>;tag=x", "400"),
        ("<sip:joe@example.com:>;tag=x", "400"),
        ("<sip:joe@%65xample.com>;tag=x", "400"),
        ("<sip:joe@example.com@elsewhere.example>;tag=x", "400"),
        ("<sip:joe@ example.com>;tag=x", "400"),
        (
            "<sip:joe@example.com>, <sip:eve@elsewhere.example>;tag=x",
            "400",
        ),
        (
            "<sip:eve@elsewhere.example>;tag=x\nFrom: <sip:joe@example.com>;tag=x",
            "400",
        ),
        (
            "<sip:eve@elsewhere.example>;tag=x\nf: <sip:joe@example.com>;tag=x",
            "400",
        ),
        ("<sip:eve@elsewhere.example>;tag=x;tag=y", "400"),
        ("<sip:joe@example.com.>;tag=x", "407"),
        ("<SIP:joe@EXAMPLE.COM>;tag=x", "407"),
        ("<sips:joe@example.com>;tag=x", "407"),
        ("sip:joe@example.com;tag=x", "407"),
        ("<sip:%6aoe@example.com>;tag=x", "407"),
        ("<sip:joe:secret@example.com>;tag=x", "407"),
        ("<sip:joe@example.com:5060;maddr=203.0.113.9>;tag=x", "407"),
        ("\"eve\" <sip:joe@example.com>;tag=x", "407"),
        ("\n <sip:joe@example.com>;\n tag=x", "407"),
        // Addresses of the home mean its domain.
        ("<sip:joe@127.0.0.10>;tag=x", "407"),
        ("<sip:joe@127.0.0.10:5060>;tag=x", "407"),
        ("<sip:eve@elsewhere.example>;tag=x", ""),
        ("<tel:+4930>;tag=x", ""),
        ("Anonymous <sip:anonymous@anonymous.invalid>;tag=x", ""),
    ] {
        for (node, name) in [HOME, EDGES[0]]
            .into_iter()
            .flat_map(|node| ["From", "f", "FROM "].map(|name| (node, name)))
        {
            for method in ["INVITE", "MESSAGE"] {
                let mut world = World::hospitable(Tokens::Clear);
                let (_, ann) = phones(&mut world);
                let text = eve().request(method, TO_ANN, 1, "", "");
                let text = text.replace(
                    "From: <sip:eve@elsewhere.example>;tag=eve",
                    &format!("{name}: {from}"),
                );
                eve().send(&mut world, node, &text);
                if want.is_empty() {
                    assert!(ann.receive(&mut world).starts_with(method));
                    continue;
                }
                assert!(!world.has(ann.addr()), "{node} {from}\n{}", world.ladder());
                let status = &world.last(EVE)["SIP/2.0 ".len()..][..3];
                assert_eq!(status, want, "{node} {from}\n{}", world.ladder());
            }
        }
    }
}

#[test]
fn no_header_of_a_phone_makes_an_emergency_behind_its_edge() {
    // Seen: an edge passed on what a phone says of its call's worth, and the home
    // took it for the word of the edge; and so the other way round.
    let lines = "Priority: emergency\nresource-priority : esnet.0\nResource-Priority:\n ets.0\n";
    let mut world = World::hospitable(Tokens::Clear);
    let (joe, ann) = phones(&mut world);
    for (cseq, (from, way)) in (10..).zip([(&joe, EDGES[0]), (&eve(), EDGES[0]), (&eve(), HOME)]) {
        world.forget();
        from.send(
            &mut world,
            way,
            &from.request("INVITE", TO_ANN, cseq, lines, ""),
        );
        let invite = ann.receive(&mut world);
        ann.answer(&mut world, EDGES[1], &invite, 486, "Busy Here");
        let mut passed = world
            .trace
            .iter()
            .filter(|seen| seen.from.to_string() != from.addr());
        let is_worth = |text: &str| text.to_ascii_lowercase().contains("resource-priority");
        assert!(
            passed.all(|seen| !is_worth(&seen.text)),
            "{}",
            world.ladder()
        );
        // What a call is worth to whoever is called is for the two to say.
        assert!(invite.contains("\r\nPriority: emergency\r\n"), "{invite}");
    }
    // So a peer's Priority is a phone's, and its Resource-Priority its own word.
    overwhelm(&mut world, HOME);
    let send_message = |world: &mut World, number: u32, line: &str| {
        let text = request("INVITE", TO_ANN, &format!("worth{number}"), line);
        world.send(CORE, HOME, &text);
        let shed = ["shed_calls", "shed_emergencies"];
        shed.map(|name| world.counter(HOME, name))
    };
    let before = send_message(&mut world, 1, "");
    let mut after = before;
    for number in 2..60 {
        after = send_message(&mut world, number, "Priority: emergency\n");
    }
    assert_eq!(after[1], before[1]);
    assert!(after[0] > before[0] + 10, "{before:?} {after:?}");
    let calls = after[0];
    for number in 60..120 {
        after = send_message(&mut world, number, "Resource-Priority: esnet.0\n");
    }
    assert_eq!(after[0], calls, "{after:?}");
}

#[test]
fn who_is_called_says_nothing_of_the_trust_domain_in_any_spelling() {
    let lines = [
        "p-asserted-identity: <sip:boss@example.com>\n",
        "P-ASSERTED-IDENTITY : <sip:boss@example.com>\n",
        "P-Asserted-Identity:\n <sip:boss@example.com>\n",
        "P-Asserted-Identity:\t\n\t<sip:boss@example.com>,\n\t<tel:+1>\n",
        "P-Charging-Vector : icid-value=1;\n icid-generated-at=127.0.0.1\n",
        "remote-party-id: \"Boss\" <sip:boss@example.com>;party=calling\n",
        "P-Preferred-Identity: <sip:boss@example.com>, <tel:+1>\n",
        "Resource-Priority: esnet.0, ets.1\n",
        "P-Access-Network-Info: 3GPP-UTRAN-TDD;\n\tutran-cell-id-3gpp=1\n",
    ];
    let names = [
        "identity",
        "charging",
        "party-id",
        "resource",
        "network-info",
        "boss",
        "icid",
        "cell",
    ];
    let is_clean = |text: &str| {
        let text = text.to_ascii_lowercase();
        let text = text.replace("p-asserted-identity: <sip:joe@example.com>", "");
        names.into_iter().all(|name| !text.contains(name))
    };
    let mut world = World::hospitable(Tokens::Clear);
    let (joe, ann) = phones(&mut world);
    for (cseq, line) in (1..).zip(lines) {
        for (from, node) in [(&joe, EDGES[0]), (&eve(), EDGES[0]), (&eve(), HOME)] {
            let number = 10 * cseq + u32::from(node == HOME);
            from.send(
                &mut world,
                node,
                &from.request("MESSAGE", TO_ANN, number, line, ""),
            );
            let message = ann.receive(&mut world);
            assert!(is_clean(&message), "{message}");
            let answer = ann.response(&message, 200, "OK");
            let answer = answer.replace("Contact: ", &format!("{line}Contact: "));
            world.send(ann.addr(), EDGES[1], &answer);
            let ok = from.receive(&mut world);
            assert!(ok.starts_with("SIP/2.0 200 ") && is_clean(&ok), "{ok}");
        }
    }
}

#[test]
fn who_is_disowned_and_proves_himself_all_the_same_is_named_once() {
    // The assertion that the carrier made is taken out by both rules.
    let mut world = carried();
    let (_, ann) = phones(&mut world);
    let carrier = Phone::foreign("x", CARRIER);
    let asserted = "P-Asserted-Identity: <sip:joe@example.com>\n";
    let message = |cseq, lines: &str| {
        let text = carrier.request("MESSAGE", TO_ANN, cseq, lines, "");
        text.replace("x@elsewhere.example", "joe@example.com")
    };
    carrier.send(&mut world, HOME, &message(1, asserted));
    let refused = world.last(CARRIER).to_owned();
    assert!(refused.starts_with("SIP/2.0 407 "), "{refused}");
    let mut login = Login::new("joe");
    (login.method, login.uri) = ("MESSAGE", TO_ANN);
    let lines = format!("{asserted}{}", login.answer_proxy(&refused));
    carrier.send(&mut world, HOME, &message(2, &lines));
    let came = ann.receive(&mut world);
    assert!(came.starts_with("MESSAGE "), "{came}");
}
