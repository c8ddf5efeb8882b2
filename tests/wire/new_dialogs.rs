//! What an edge takes for the beginning of a dialog (H-18): the topmost Route
//! is the Path URI of a registration, the method is not REGISTER, and To has no
//! tag. Such a request is for the token's own flow, or for whoever vouches for
//! it; within a dialog the mark of that is enough.

use super::edge_routing::{JOE, STRANGER, answer, lab, lab_in, reached, request_text, route};
use super::marks::{called_by, unmarked};
use super::phone::Phone;
use super::world::{EDGES, HOME, Seen, Tokens, World};
use steadfast::edge::Settings;

/// The methods that may begin a dialog, and one that nobody knows (P-16).
const METHODS: [&str; 5] = ["INVITE", "SUBSCRIBE", "REFER", "NOTIFY", "FOO"];
const AT_JOE: &str = "sip:joe@127.0.0.1:5070";

/// What the edge made of a request, at whoever got it.
fn passed<'a>(world: &'a World, to: &str, method: &str) -> &'a Seen {
    let mut trace = world.trace.iter();
    let is_it = |seen: &&Seen| seen.to.to_string() == to && seen.text.starts_with(method);
    let found = trace.find(is_it);
    found.unwrap_or_else(|| panic!("no {method} for {to}\n{}", world.ladder()))
}

#[test]
fn a_request_with_a_path_and_without_a_to_tag_begins_a_dialog() {
    // H-18, H-5, B-13: it is record-routed by the Path URI, which is not `ob` there.
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        for (from, uri, to) in [
            (HOME, AT_JOE, JOE),
            (JOE, "sip:ann@203.0.113.7", HOME),
            (JOE, "sip:ann@example.com", HOME),
        ] {
            for method in METHODS {
                let (mut world, _, token) = lab(tokens);
                let path = route(&format!("{token}@edge.example.com;lr;ob"));
                world.send(
                    from,
                    EDGES[0],
                    &request_text(method, uri, from, &path, false),
                );
                let text = &passed(&world, to, method).text;
                let recorded = Phone::values(text, "Record-Route");
                let want = format!("<sip:{token}@edge.example.com;lr;gunk=e1>");
                assert_eq!(recorded.len(), 1, "{text}");
                assert_eq!(unmarked(&recorded[0]), want, "{text}");
                assert!(!text.contains("\r\nRoute: "), "{text}");
            }
        }
    }
}

#[test]
fn who_has_no_flow_of_the_token_begins_no_dialog_by_it_and_goes_on_with_one() {
    // H-18, B-9: the mark is all the difference, not the To tag.
    for method in METHODS {
        for is_dialog in [false, true] {
            let (mut world, _, token) = lab(Tokens::Sealed);
            let path = route(&format!("{token}@edge.example.com;lr;ob"));
            let text = request_text(method, AT_JOE, STRANGER, &path, is_dialog);
            world.send(STRANGER, EDGES[0], &text);
            assert_eq!(reached(&world), Vec::<String>::new());
            assert_eq!(answer(&world, STRANGER), "403");
        }
        let (mut world, joe, _) = lab(Tokens::Sealed);
        let called = called_by(&mut world, &joe, EDGES[0], ("bob", STRANGER));
        called.in_dialog(&mut world, EDGES[0], method, 2);
        assert_eq!(reached(&world), [JOE], "{}", world.ladder());
    }
}

#[test]
fn a_register_begins_none() {
    // H-18, D-E2: the same Route from the same stranger is a registration that
    // goes on, over a new flow; the home asks who it is.
    let (mut world, _, token) = lab(Tokens::Sealed);
    let path = route(&format!("{token}@edge.example.com;lr;ob"));
    let text = request_text("REGISTER", "sip:example.com", STRANGER, &path, false);
    let text = text.replace("To: <sip:", "To: <sip:joe@");
    world.send(STRANGER, EDGES[0], &text);
    let text = passed(&world, HOME, "REGISTER").text.clone();
    assert_eq!(Phone::values(&text, "Record-Route"), Vec::<String>::new());
    assert_eq!(Phone::values(&text, "Path").len(), 1, "{text}");
    assert_eq!(answer(&world, STRANGER), "401");
}

#[test]
fn a_path_below_another_route_begins_none() {
    // H-18: only the topmost value says what a request is.
    let far = "203.0.113.8:5062";
    for (from, may, want, status) in [
        (HOME, true, &[][..], "404"),
        (STRANGER, true, &[], "403"),
        (JOE, false, &[], "403"),
        // A subscriber's goes where it says, if he may, and is his by his flow.
        (JOE, true, &[far], ""),
    ] {
        let set = |_: usize, edge: &mut Settings| edge.rules.calls_out.anywhere = may;
        let (mut world, _, token) = lab_in(World::with(Tokens::Clear, |_| (), set));
        let anns = token.replace("joe", "ann");
        let routes = route(&format!("{far};lr")) + &route(&format!("{anns}@edge.example.com;lr"));
        world.send(
            from,
            EDGES[0],
            &request_text("INVITE", "sip:x@example.com", from, &routes, false),
        );
        assert_eq!(reached(&world), want, "{}", world.ladder());
        if status.is_empty() {
            let text = &passed(&world, far, "INVITE").text;
            assert_eq!(Phone::values(text, "Route").len(), 2, "{text}");
            let recorded = Phone::values(text, "Record-Route").concat();
            assert!(recorded.starts_with("<sip:joe+"), "{recorded}");
        } else {
            assert_eq!(answer(&world, from), status, "{}", world.ladder());
        }
    }
}
