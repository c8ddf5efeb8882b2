//! What a node says of a URI (`steadfast why`), held against what it does.

use super::phone::{Login, Phone, Register, authorization};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::home::Redirect;
use steadfast::shard::Notice;

const JOE: &str = "127.0.0.1:5070";

/// What is said about one thing, in order.
fn sentences(world: &mut World, node: &str, uri: &str, what: &str) -> Vec<String> {
    let facts = world.why(node, uri);
    let about = facts.0.into_iter().filter(|fact| fact.what == what);
    about.map(|fact| fact.says).collect()
}

/// A lab in which joe is registered over two edges; the URI of his Path.
fn registered(tokens: Tokens) -> (World, String) {
    let mut world = World::lab(tokens);
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
    let path = Phone::values(world.last(HOME), "Path").remove(0);
    let uri = path.trim_matches(['<', '>']).to_owned();
    (world, uri)
}

#[test]
fn an_edge_reads_the_token_and_names_the_flow() {
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let (mut world, uri) = registered(tokens);
        let token = sentences(&mut world, EDGES[0], &uri, "token").concat();
        assert!(token.starts_with("user joe, realm "), "{token}");
        assert!(
            token.contains("instance urn:uuid:joe, edges e1 e"),
            "{token}"
        );
        let chosen = sentences(&mut world, EDGES[0], &uri, "chosen").concat();
        assert_eq!(chosen, "the flow to udp:127.0.0.1:5070, the newest");
        let flow = sentences(&mut world, EDGES[0], &uri, "flow").concat();
        assert!(
            flow.contains("reg-id 1, ") && flow.ends_with(" s left"),
            "{flow}"
        );
        // The edge that is in no set of his knows what it would do.
        let other = EDGES.into_iter().skip(1);
        let other = other
            .into_iter()
            .find(|edge| world.gauge(edge, "registered") == 0);
        // With several shards the one that would know of a flow says it.
        let all = world.why_by_shard(other.unwrap(), &uri);
        let mut chosen = all.iter().flat_map(|facts| &facts.0);
        let relays = |says: &str| says.starts_with("relayed to [\"e1\", \"e");
        assert!(chosen.any(|fact| relays(&fact.says)), "{all:?}");
    }
}

#[test]
fn an_edge_says_what_is_wrong_with_a_token() {
    let (mut world, uri) = registered(Tokens::Sealed);
    let flipped = uri.replacen("@edge", "A@edge", 1);
    let token = sentences(&mut world, EDGES[0], &flipped, "token").concat();
    assert!(token.starts_with("is refused with 403"), "{token}");
    let bad = sentences(&mut world, EDGES[0], "not a uri", "uri").concat();
    assert!(bad.starts_with("is malformed"), "{bad}");
}

#[test]
fn a_home_lists_bindings_levels_and_the_choice() {
    // S-1, S-14, S-15, H-4: one URI, two flows.
    let (mut world, uri) = registered(Tokens::Clear);
    let aor = "sip:joe@example.com";
    let bindings = sentences(&mut world, HOME, aor, "binding");
    assert_eq!(bindings.len(), 2, "{bindings:?}");
    let first = &bindings[0];
    assert!(
        first.starts_with("<sip:joe@127.0.0.1:5070>;+sip.instance="),
        "{first}"
    );
    assert!(
        first.contains(" s left: the flow to udp:127.0.0.1"),
        "{first}"
    );
    assert_eq!(
        sentences(&mut world, HOME, aor, "path"),
        std::slice::from_ref(&uri)
    );
    let exact = sentences(&mut world, HOME, &uri, "exact");
    assert_eq!(exact.len(), 2, "one row a flow: {exact:?}");
    assert!(exact[0].contains(" by Path, "), "{exact:?}");
    let chosen = sentences(&mut world, HOME, &uri, "chosen").concat();
    assert_eq!(chosen, "one of 2 flows at random, the same parameters");
    let in_dialog = uri.replace(";ob", ";gunk=e1");
    let chosen = sentences(&mut world, HOME, &in_dialog, "chosen").concat();
    assert_eq!(
        chosen,
        "one of 2 flows at random, equal by RFC 3261 §19.1.4"
    );
}

#[test]
fn a_home_that_lost_its_table_says_that_it_would_ask_around() {
    let (mut world, uri) = registered(Tokens::Clear);
    world.restart(HOME);
    assert_eq!(
        sentences(&mut world, HOME, &uri, "exact"),
        ["the same parameters: no row"]
    );
    let chosen = sentences(&mut world, HOME, &uri, "chosen").concat();
    assert!(
        chosen.starts_with("no flow, so in turn udp:127.0.0.1"),
        "{chosen}"
    );
    let binding = sentences(&mut world, HOME, "sip:joe@example.com", "binding").concat();
    assert!(binding.contains("read back from the store"), "{binding}");
    let none = sentences(&mut world, HOME, "sip:ann@example.com", "binding");
    assert_eq!(none, ["none of ann@example.com"]);
}

#[test]
fn the_shards_of_an_edge_say_which_of_them_holds_the_flow() {
    for at in 0..3 {
        let mut world = World::wide(3, Tokens::Clear, |_| (), |_, _| ());
        world.steer(JOE, at);
        Phone::new("joe", JOE, false).register(&mut world, EDGES[0]);
        let path = Phone::values(&world.ladder(), "Path").pop().unwrap();
        let uri = path.trim_matches(['<', '>']).to_owned();
        let all = world.why_by_shard(EDGES[0], &uri);
        let about = |shard: usize, what: &str| {
            let mut facts = all[shard].0.iter();
            let fact = facts.find(|fact| fact.what == what).unwrap();
            fact.says.clone()
        };
        let keeper = (0..3).find(|shard| !about(*shard, "directory").contains(" knows "));
        let keeper = keeper.unwrap();
        for shard in 0..3 {
            let directory = about(shard, "directory");
            let want = if shard != keeper {
                format!("shard {keeper} knows which shard holds the flow")
            } else if shard == at {
                format!("this shard, {at}, holds the flow")
            } else {
                format!("shard {at} holds the flow")
            };
            assert_eq!(directory, want, "asked {shard}");
            let want = match shard {
                _ if shard == at => "the flow to udp:127.0.0.1:5070, the newest".to_owned(),
                _ if shard == keeper => format!("handed over to shard {at}"),
                _ => format!("handed over to shard {keeper}"),
            };
            assert_eq!(about(shard, "chosen"), want, "asked {shard}");
        }
    }
}

#[test]
fn asking_changes_nothing() {
    let (mut world, uri) = registered(Tokens::Clear);
    for node in [HOME, EDGES[0]] {
        let once = world.why(node, &uri);
        assert_eq!(world.why(node, &uri), once, "{node}");
    }
    assert_eq!(world.gauge(HOME, "registered"), 1);
    let ok = Register::new("ann", "127.0.0.1:5080").login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    world.drained();
}

#[test]
fn what_was_refused_is_told_with_who_and_why() {
    let mut world = World::lab(Tokens::Clear);
    let bob = Phone::foreign("bob", "127.0.0.1:5090");
    // Nobody is refused by a challenge, or by an answer that is good.
    let mut joe = Register::new("joe", JOE);
    let challenge = joe.send(&mut world, EDGES[0], "");
    assert!(world.rejected(HOME).is_empty());
    let wrong = Login {
        password: "guess",
        ..Login::new("joe")
    };
    joe.send(&mut world, EDGES[0], &wrong.answer(&challenge));
    let text = bob.request("MESSAGE", "sip:joe@example.com", 1, "", "");
    bob.send(&mut world, HOME, &text);
    assert_eq!(bob.status(&mut world), 480);
    let mut all = world.rejected(HOME);
    all.sort_by_key(|reject| reject.status);
    let sentences: Vec<_> = all.iter().map(|reject| reject.sentence()).collect();
    assert_eq!(
        sentences,
        [
            "REGISTER of joe@example.com from 127.0.0.1: 401 Wrong User Or Password",
            "MESSAGE from bob@elsewhere.example to joe@example.com, from 127.0.0.1:5090: 480 Not Registered",
        ]
    );
    assert_eq!(world.counter(HOME, "rejected"), 2);
    let sentences = said_by_all(&mut world, HOME, "sip:joe@example.com");
    assert_eq!(sentences.len(), 2, "{sentences:?}");
    assert!(
        sentences
            .iter()
            .all(|line| line.starts_with("2027-01-15 08:00:00 UTC ")),
        "{sentences:?}"
    );
    assert_eq!(
        said_by_all(&mut world, HOME, "sip:bob@elsewhere.example").len(),
        1
    );
    assert!(said_by_all(&mut world, HOME, "sip:ann@example.com").is_empty());
}

/// What all shards of a node say that was refused.
fn said_by_all(world: &mut World, node: &str, uri: &str) -> Vec<String> {
    let all = world.why_by_shard(node, uri).into_iter();
    let facts = all.flat_map(|facts| facts.0);
    let refused = facts.filter(|fact| fact.what == "rejected");
    refused.map(|fact| fact.says).collect()
}

#[test]
fn an_edge_that_the_home_does_not_know_is_told_of_once() {
    // The likeliest mistake when an edge is added.
    for (redirect, sent_away) in [(Redirect::Always, "300"), (Redirect::IfSupported, "403")] {
        told_once(redirect, sent_away);
    }
}

#[track_caller]
fn told_once(redirect: Redirect, sent_away: &str) {
    let mut world = World::with(
        Tokens::Clear,
        |home| {
            home.redirect = redirect;
            home.edge_peers = vec![
                steadfast::send::HostRule::edge("127.0.0.11", steadfast::send::Clear::Any, 40_000)
                    .unwrap(),
            ]
        },
        |_, _| (),
    );
    for n in 0..10 {
        for edge in [EDGES[0], EDGES[1]] {
            let mut joe = Register::new("joe", JOE);
            joe.call_id = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"][n];
            let want = if edge == EDGES[0] { "200" } else { sent_away };
            let mut answer = joe.send(&mut world, edge, "");
            if answer.starts_with("SIP/2.0 401 ") {
                answer = joe.send(&mut world, edge, &authorization("joe", &answer));
            }
            assert!(answer.starts_with(&format!("SIP/2.0 {want} ")), "{answer}");
        }
        // A phone that is sent to the edges is no edge.
        let mut ann = Register::new("ann", "127.0.0.1:5080");
        ann.call_id = "z";
        ann.cseq = u32::try_from(n).unwrap();
        ann.lines += "Supported: alt-proxies\n";
        assert!(ann.send(&mut world, HOME, "").starts_with("SIP/2.0 300 "));
    }
    let notices: Vec<_> = world
        .notices
        .iter()
        .filter(|(_, notice)| matches!(notice, Notice::UnrecognisedEdge { .. }))
        .collect();
    let want = Notice::UnrecognisedEdge {
        source: "127.0.0.12".parse().unwrap(),
        is_tls: false,
    };
    assert!(
        !notices.is_empty() && notices.len() <= usize::from(world.width),
        "{notices:?}"
    );
    assert!(
        notices.iter().all(|(_, notice)| *notice == want),
        "{notices:?}"
    );
}
