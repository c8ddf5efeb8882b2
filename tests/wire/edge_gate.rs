//! Who may have an edge send a request past the homes, and to whom.

use super::edge_routing::{JOE, STRANGER, answer, lab, reached, request_text, route};
use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge;
use steadfast::trust::CallsOut;

#[test]
fn the_gate_is_shut_for_strangers() {
    let foreign = "sip:x@203.0.113.9";
    let home = "Route: <sip:example.com;lr>\n";
    #[track_caller]
    fn check(from: &str, uri: &str, routes: &str, dialog: bool, want: &[&str]) {
        let (mut world, _, token) = lab(Tokens::Sealed);
        let routes = routes.replace("TOKEN", &token);
        world.send(
            from,
            EDGES[0],
            &request_text("MESSAGE", uri, from, &routes, dialog),
        );
        assert_eq!(reached(&world), want, "{}", world.ladder());
        if want.is_empty() {
            assert_eq!(answer(&world, from), "403", "{}", world.ladder());
        }
    }
    // The served domain is open, everything else is not.
    check(STRANGER, "sip:ann@example.com", "", false, &[HOME]);
    check(STRANGER, "sip:ann@example.com", home, false, &[HOME]);
    check(STRANGER, "sip:ann@127.0.0.10", "", false, &[HOME]);
    check(STRANGER, foreign, "", false, &[]);
    check(STRANGER, foreign, home, false, &[]);
    check(STRANGER, foreign, home, true, &[]);
    check(STRANGER, "tel:+4930", "", false, &[]);
    check(
        STRANGER,
        "sip:ann@example.com",
        &route("203.0.113.9;lr"),
        false,
        &[],
    );
    check(
        STRANGER,
        "sip:ann@example.com",
        &route("203.0.113.9;lr"),
        true,
        &[],
    );
    let two = format!("{home}{}", route("203.0.113.9;lr"));
    check(STRANGER, "sip:ann@example.com", &two, false, &[]);
    // Neither does a leaked token open it, with a To tag or without: anybody
    // who was in a dialog has read one. It leads back to the cluster only.
    let with_token = format!("{}{home}", route("TOKEN@edge.example.com;lr"));
    check(STRANGER, foreign, &with_token, false, &[]);
    check(STRANGER, foreign, &with_token, true, &[]);
    let away = format!(
        "{}{}",
        route("TOKEN@edge.example.com;lr"),
        route("203.0.113.9;lr")
    );
    check(STRANGER, foreign, &away, true, &[]);
    // A phone whose edge has forgotten it still calls the subscribers.
    check(STRANGER, "sip:ann@example.com", &with_token, false, &[HOME]);
    // Subscribers go by way of the home.
    check(JOE, foreign, "", false, &[HOME, "203.0.113.9:5060"]);
    check(JOE, foreign, &route("203.0.113.8:5062;lr"), false, &[]);
}

#[test]
fn a_subscriber_goes_past_the_home_where_the_operator_lets_him() {
    let only = |domain: &str| CallsOut {
        anywhere: false,
        domains: vec![domain.to_owned()],
    };
    let far = "203.0.113.8:5062;lr";
    for (calls_out, to, may) in [
        (CallsOut::default(), far, false),
        (only("203.0.113.7"), far, false),
        (only("203.0.113.8"), far, true),
        (CallsOut::anywhere(), far, true),
        // The name of one is not the address of another.
        (
            only("example.org"),
            "example.org;maddr=203.0.113.8;lr",
            false,
        ),
    ] {
        let set = |_: usize, edge: &mut edge::Settings| edge.rules.calls_out = calls_out.clone();
        let mut world = World::with(Tokens::Clear, |_| (), set);
        Phone::new("joe", JOE, true).register(&mut world, EDGES[0]);
        world.forget();
        let text = request_text("MESSAGE", "sip:x@203.0.113.9", JOE, &route(to), false);
        world.send(JOE, EDGES[0], &text);
        if may {
            assert_eq!(reached(&world), ["203.0.113.8:5062"], "{calls_out:?}");
        } else {
            assert_eq!(reached(&world), Vec::<String>::new(), "{calls_out:?}");
            assert_eq!(answer(&world, JOE), "403");
        }
    }
}

#[test]
fn nobody_borrows_the_voice_of_an_edge() {
    // B-9: what an edge sends counts as vouched for.
    let (world, joe, token) = lab(Tokens::Clear);
    drop(world);
    let backup = joe.backup.trim_end_matches(":5060").to_owned();
    let cluster = format!("{token}@edge.example.com;lr");
    let anns = "ann+e1+e2+x@edge.example.com;lr";
    for (from, routes, status) in [
        (STRANGER, route(&format!("{cluster};maddr={backup}")), "403"),
        (
            STRANGER,
            route(&format!("{backup};lr")) + &route(&cluster),
            "403",
        ),
        (
            STRANGER,
            route("edge.example.com;lr") + &route(&cluster),
            "403",
        ),
        (
            STRANGER,
            route(&format!("{cluster};maddr=127.0.0.77")),
            "403",
        ),
        (JOE, route(&format!("{backup};lr")) + &route(anns), "403"),
        (
            JOE,
            route(&cluster) + &route(&format!("{backup};lr;x")) + &route(&format!("{backup};lr")),
            "403",
        ),
    ] {
        let (mut world, _, _) = lab(Tokens::Clear);
        world.send(
            from,
            EDGES[0],
            &request_text("MESSAGE", "sip:joe@127.0.0.1:5070", from, &routes, false),
        );
        assert_eq!(
            reached(&world),
            Vec::<String>::new(),
            "{routes}{}",
            world.ladder()
        );
        assert_eq!(answer(&world, from), status, "{routes}");
    }
}

#[test]
fn a_phone_is_never_sent_its_own_request() {
    // Protocol 3.4: whatever its configuration puts in front of the route set.
    let (world, joe, token) = lab(Tokens::Clear);
    drop(world);
    let backup = joe.backup.trim_end_matches(":5060").to_owned();
    let service = format!(
        "{}Route: <sip:example.com;lr>\n",
        route(&format!("{token}@edge.example.com;lr;ob"))
    );
    for routes in [
        service.clone(),
        route("edge.example.com;lr") + &service,
        route("127.0.0.11;lr") + &service,
        route(&format!("{backup};lr")) + &service,
        route(&format!("{token}@edge.example.com;lr;maddr={backup}")),
        route(&format!("edge.example.com;lr;maddr={backup}")),
        route(&format!("{token}@edge.example.com;lr;maddr=127.0.0.11"))
            + "Route: <sip:example.com;lr>\n",
    ] {
        let (mut world, _, _) = lab(Tokens::Clear);
        world.send(
            JOE,
            EDGES[0],
            &request_text("MESSAGE", "sip:ann@example.com", JOE, &routes, false),
        );
        assert_eq!(reached(&world), [HOME], "{routes}");
        let passed = world
            .trace
            .iter()
            .find(|seen| seen.to.to_string() == HOME)
            .unwrap();
        assert!(!passed.text.contains("edge.example.com"), "{}", passed.text);
    }
}

#[test]
fn from_the_core_a_token_is_needed() {
    // H-11
    for routes in [
        String::new(),
        route("127.0.0.11;lr"),
        route("edge.example.com;lr"),
        route("example.com;lr"),
    ] {
        let (mut world, _, _) = lab(Tokens::Clear);
        world.send(
            HOME,
            EDGES[0],
            &request_text("MESSAGE", "sip:joe@127.0.0.1:5070", HOME, &routes, true),
        );
        assert_eq!(reached(&world), Vec::<String>::new(), "{routes}");
        assert_eq!(answer(&world, HOME), "404", "{routes}");
    }
}
