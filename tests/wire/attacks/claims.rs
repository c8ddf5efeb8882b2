//! Who somebody claims to be, and how urgent.

use super::super::marks::mark_of;
use super::super::overload::{overwhelm, refusals};
use super::super::phone::{Login, Phone};
use super::super::world::{EDGES, HOME, Tokens, World};
use super::{ANN, EVE, JOE, TO_ANN, eve, in_call, in_vain, phones, with_to};
use steadfast::edge::Settings;
use steadfast::time::Duration;
use steadfast::trust::Strangers;

#[test]
fn nobody_calls_as_somebody_else_through_an_edge() {
    // Seen: an edge asked nobody who he is, and the home believed the edge.
    let mut number = 100;
    for is_stream in [false, true] {
        for strangers in [Strangers::Challenge, Strangers::Answer] {
            let set = |_: usize, edge: &mut Settings| edge.rules.strangers = strangers;
            let mut world = World::with(Tokens::Clear, |_| (), set);
            let (joe, ann) = phones(&mut world);
            for (method, who) in ["INVITE", "MESSAGE"]
                .into_iter()
                .flat_map(|method| ["joe", "bob", "nobody"].map(|who| (method, who)))
            {
                number += 1;
                let liar = Phone::new(who, EVE, false);
                let lines = "P-Asserted-Identity: <sip:joe@example.com>\nP-Preferred-Identity: <sip:joe@example.com>\n";
                let text = liar.request(method, TO_ANN, number, lines, "");
                // The INVITE, and the ACK of its refusal.
                let inside = if method == "INVITE" { 2 } else { 1 };
                let status = in_vain(&mut world, (EVE, EDGES[0], is_stream), &text, inside);
                assert_eq!(status, "407", "{text}");
            }
            // A registered phone in the name of another one, even with its own password.
            let bob = Phone::new("bob", JOE, false);
            let text = bob.request("MESSAGE", TO_ANN, number, "", "");
            assert_eq!(in_vain(&mut world, (JOE, EDGES[0], false), &text, 1), "407");
            let challenge = world.last(JOE).to_owned();
            let login = |user| Login {
                method: "MESSAGE",
                uri: TO_ANN,
                ..Login::new(user)
            };
            let proof = login("joe").answer_proxy(&challenge);
            let text = bob.request("MESSAGE", TO_ANN, number + 1, &proof, "");
            assert_eq!(in_vain(&mut world, (JOE, EDGES[0], false), &text, 1), "403");
            // With that user's password it is his; in its own name nobody asks.
            let text = bob.request("MESSAGE", TO_ANN, number + 2, "", "");
            assert_eq!(in_vain(&mut world, (JOE, EDGES[0], false), &text, 1), "407");
            let proof = login("bob").answer_proxy(world.last(JOE));
            let text = bob.request("MESSAGE", TO_ANN, number + 3, &proof, "");
            bob.send(&mut world, EDGES[0], &text);
            assert!(
                ann.receive(&mut world)
                    .contains("P-Asserted-Identity: <sip:bob@example.com>\r\n")
            );
            joe.send(
                &mut world,
                EDGES[0],
                &joe.request("MESSAGE", TO_ANN, 1, "", ""),
            );
            assert!(
                ann.receive(&mut world)
                    .contains("P-Asserted-Identity: <sip:joe@example.com>\r\n")
            );
        }
    }
}

/// What only an element of the trust domain may say.
const CLAIMS: &str = "P-Asserted-Identity: <sip:boss@example.com>\nP-Preferred-Identity: <sip:boss@example.com>\n\
    Remote-Party-ID: <sip:boss@example.com>\nP-Charging-Vector: icid-value=1\nP-Access-Network-Info: 3GPP\n";

/// The names of those lines in a message, and who is asserted.
fn claims(text: &str) -> (Vec<String>, Vec<String>) {
    let names = CLAIMS.lines().map(|line| line.split(':').next().unwrap());
    let names = names.filter(|name| *name != "P-Asserted-Identity");
    let found = names.filter(|name| !Phone::values(text, name).is_empty());
    (
        found.map(str::to_owned).collect(),
        Phone::values(text, "P-Asserted-Identity"),
    )
}

#[test]
fn an_identity_is_asserted_by_nobody_outside() {
    // I-1 to I-4. Seen: requests and answers of phones and strangers kept what they claimed.
    let mut world = World::hospitable(Tokens::Clear);
    let (joe, ann) = phones(&mut world);
    let joes = vec!["<sip:joe@example.com>".to_owned()];
    for (cseq, from, want) in [(1, &joe, joes.clone()), (2, &eve(), Vec::new())] {
        for node in [EDGES[0], HOME] {
            if node == HOME && from.addr() == JOE {
                continue;
            }
            from.send(
                &mut world,
                node,
                &from.request(
                    "MESSAGE",
                    TO_ANN,
                    cseq * 10 + u32::from(node == HOME),
                    CLAIMS,
                    "",
                ),
            );
            let message = ann.receive(&mut world);
            assert_eq!(claims(&message), (Vec::new(), want.clone()), "{message}");
            // Her answer says as little.
            let answer = ann.response(&message, 200, "OK");
            let answer = answer.replace("Contact: ", &format!("{CLAIMS}Contact: "));
            world.send(ANN, EDGES[1], &answer);
            let ok = from.receive(&mut world);
            assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
            assert_eq!(claims(&ok), (Vec::new(), Vec::new()), "{ok}");
        }
    }
    // Who wants privacy has it, and the home knows him all the same.
    world.forget();
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("MESSAGE", TO_ANN, 3, "Privacy: id\n", ""),
    );
    let at_home = world.trace.iter().find(|seen| seen.to.to_string() == HOME);
    assert_eq!(claims(&at_home.unwrap().text).1, joes);
    let message = ann.receive(&mut world);
    assert_eq!(claims(&message).1, Vec::<String>::new(), "{message}");
}

#[test]
fn a_to_tag_and_a_priority_promote_nothing() {
    // Seen: with either of them nobody was ever refused under load.
    let mut world = World::lab(Tokens::Clear);
    let (joe, ann) = in_call(&mut world);
    overwhelm(&mut world, EDGES[0]);
    let emergency = "Priority: emergency\nResource-Priority: esnet.0\n";
    let tagged = |n: u32| {
        with_to(
            &eve().request("MESSAGE", TO_ANN, 10_000 + n, emergency, ""),
            TO_ANN,
            ";tag=1",
        )
    };
    let (refused, _) = refusals(&mut world, &eve(), 200, tagged);
    assert!(refused > 190, "{refused}");
    let marked = caller_value(&joe);
    let stolen = |n: u32| {
        let route = format!("Route: {marked}\n");
        with_to(
            &eve().request("MESSAGE", TO_ANN, 20_000 + n, &route, ""),
            TO_ANN,
            ";tag=ann",
        )
    };
    let (refused, _) = refusals(&mut world, &eve(), 200, stolen);
    assert!(refused > 190, "{refused}");
    // His own dialog goes on.
    for cseq in 2..100 {
        joe.in_dialog(&mut world, EDGES[0], "INFO", cseq);
        assert!(ann.receive(&mut world).starts_with("INFO "));
    }
    // And where some are refused, no call for help is.
    world.pass(Duration::from_millis(2_600));
    world.late(EDGES[0], Duration::ZERO, 1);
    let help = |n: u32| eve().request("INVITE", "urn:service:sos", 30_000 + n, "", "");
    let tagged = |n: u32| tagged(20_000 + n);
    // His dialog has left a debt, which the first to come pay.
    refusals(&mut world, &eve(), 100, |n| tagged(10_000 + n));
    let (mut of_help, mut of_others) = (0, 0);
    for n in 0..200 {
        of_help += refusals(&mut world, &eve(), 1, |_| help(n)).0;
        of_others += refusals(&mut world, &eve(), 4, |index| tagged(4 * n + index)).0;
    }
    assert_eq!(of_help, 0);
    assert!(of_others > 200, "{of_others}");
}

/// The value of a phone's edge in its route set, which has a mark.
fn caller_value(phone: &Phone) -> &str {
    assert!(mark_of(&phone.routes[0]).starts_with(['s', 't']));
    &phone.routes[0]
}
