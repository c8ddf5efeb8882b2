//! The user agent against the lab: an address of record and a password are
//! all it knows (D-U3 to D-U17, H-8).

use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::agent::Command;
use steadfast::send::{Event, Party};
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

/// joe, who finds e1 first, and ann, who finds e2 first, both registered.
fn lab(tokens: Tokens) -> World {
    let mut world = World::lab(tokens);
    for (user, addr, edge) in [("joe", JOE, EDGES[0]), ("ann", ANN, EDGES[1])] {
        world.add_agent(user, addr, "secret", &[edge]);
        world.command(addr, Command::Register);
        let events = world.events(addr);
        assert!(
            events.ends_with(&[Event::Ready { flows: 2, of: 2 }]),
            "{events:?}\n{}",
            world.ladder()
        );
    }
    world
}

/// joe has called ann and she has answered.
fn call(world: &mut World) {
    world.command(JOE, Command::Call("sip:ann@example.com".to_owned()));
    world.pass(Duration::from_secs(2));
    let names = |events: Vec<Event>| -> Vec<String> {
        let name = |event: &Event| format!("{event:?}").split(' ').next().unwrap().to_owned();
        events.iter().map(name).collect()
    };
    assert_eq!(
        names(world.events(JOE)),
        ["Ringing", "Established"],
        "{}",
        world.ladder()
    );
    assert_eq!(names(world.events(ANN)), ["Incoming", "Established"]);
}

/// The first message in the trace from `from` that begins so.
#[track_caller]
fn sent<'a>(world: &'a World, from: &str, to: &str, start: &str) -> Vec<&'a str> {
    let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
    let fits = |seen: &&super::world::Seen| {
        seen.from == from && seen.to == to && seen.text.starts_with(start)
    };
    world
        .trace
        .iter()
        .filter(fits)
        .map(|seen| &seen.text[..])
        .collect()
}

#[test]
fn a_name_and_a_password_become_two_flows() {
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut world = World::lab(tokens);
        world.add_agent("joe", JOE, "secret", &[EDGES[0]]);
        world.command(JOE, Command::Register);
        let events = world.events(JOE);
        let [
            Event::Redirected { reg_id: 1, to },
            Event::Registered {
                reg_id: 1,
                proxy: first,
                flows: 1,
                ..
            },
            Event::Registered {
                reg_id: 2,
                proxy: second,
                flows: 2,
                expires_s: 525..=600,
            },
            Event::Ready { flows: 2, of: 2 },
        ] = &events[..]
        else {
            panic!("{events:?}\n{}", world.ladder())
        };
        assert_eq!(to, "sip:edge.example.com;lr");
        assert_eq!(*first, EDGES[0].parse().unwrap());
        // D-U16
        assert_ne!(first, second);
        // D-U1
        let alone = sent(&world, JOE, HOME, "REGISTER sip:example.com ");
        assert!(
            alone.len() == 1 && !alone[0].contains("\r\nRoute: "),
            "{alone:?}"
        );
        // D-U3, D-U5, D-U6: the same request behind the pushed Route, twice.
        let pushed = sent(&world, JOE, EDGES[0], "REGISTER sip:example.com ");
        let call_id = Phone::values(alone[0], "Call-ID");
        let from = Phone::values(alone[0], "From");
        for (index, cseq) in [(0, "2 REGISTER"), (1, "3 REGISTER")] {
            let text = pushed[index];
            assert_eq!(Phone::values(text, "Route"), ["<sip:edge.example.com;lr>"]);
            assert_eq!(Phone::values(text, "CSeq"), [cseq]);
            assert_eq!(Phone::values(text, "Call-ID"), call_id);
            assert_eq!(Phone::values(text, "From"), from);
            // D-U8
            assert_eq!(
                Phone::values(text, "Supported"),
                ["path", "outbound", "alt-proxies"]
            );
        }
        // D-U10, D-U11: exactly the URI that the first flow was told.
        let backup = second.to_string();
        let other = sent(&world, JOE, &backup, "REGISTER sip:example.com ");
        let route = Phone::values(other[0], "Route").remove(0);
        assert!(
            route.contains(&format!("@edge.example.com;lr;maddr={}", second.ip())),
            "{route}"
        );
        assert_ne!(Phone::values(other[0], "Call-ID"), call_id);
        assert!(other[0].contains(">\";reg-id=2\r\n"), "{}", other[0]);
    }
}

#[test]
fn a_dead_second_edge_does_not_hold_the_first_one_up() {
    let mut world = World::lab(Tokens::Clear);
    world.kill(EDGES[2]);
    world.add_agent("joe", JOE, "secret", &[EDGES[0]]);
    world.command(JOE, Command::Register);
    world.pass(Duration::from_millis(2_100));
    let events = world.events(JOE);
    assert!(
        events.ends_with(&[Event::Ready { flows: 1, of: 2 }]),
        "{events:?}"
    );
    world.pass(Duration::from_secs(40));
    let events = world.events(JOE);
    assert!(
        matches!(
            &events[..],
            [Event::NotRegistered {
                reg_id: 2,
                status: 0,
                retry_s: Some(45..=90),
                ..
            }]
        ),
        "{events:?}"
    );
}

#[test]
fn a_wrong_password_is_said_to_be_wrong() {
    let mut world = World::lab(Tokens::Clear);
    world.add_agent("joe", JOE, "guess", &[EDGES[0]]);
    world.command(JOE, Command::Register);
    let events = world.events(JOE);
    let wrong = Event::NotRegistered {
        reg_id: 1,
        status: 401,
        why: "401: the user name \"joe\" or its password is not accepted".to_owned(),
        retry_s: None,
    };
    assert_eq!(
        events[1..],
        [wrong, Event::Ready { flows: 0, of: 1 }],
        "{}",
        world.ladder()
    );
    // Nobody knocks a second time with it.
    let before = world.trace.len();
    world.pass(Duration::from_secs(3_600));
    assert_eq!(world.trace.len(), before);
}

#[test]
fn a_name_that_nobody_explained_is_named() {
    let mut world = World::lab(Tokens::Clear);
    world.add_agent("joe", JOE, "secret", &[]);
    world.command(JOE, Command::Register);
    let events = world.events(JOE);
    assert!(
        matches!(&events[0], Event::NotRegistered { reg_id: 1, why, retry_s: None, .. }
            if why == "nobody said where edge.example.com is: give --resolve edge.example.com=ADDRESS"),
        "{events:?}"
    );
}

#[test]
fn agents_call_each_other_through_edges_and_home() {
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut world = lab(tokens);
        call(&mut world);
        // D-U13, D-U14
        let invite = sent(&world, JOE, EDGES[0], "INVITE sip:ann@example.com ")[0];
        let routes = Phone::values(invite, "Route");
        assert!(
            routes.len() == 2 && routes[0].ends_with("@edge.example.com;lr;ob>"),
            "{routes:?}"
        );
        world.command(JOE, Command::Hangup);
        world.pass(Duration::from_secs(1));
        let ended = world.events(JOE);
        assert!(
            matches!(ended[..], [Event::Ended { by: Party::Us, .. }]),
            "{ended:?}\n{}",
            world.ladder()
        );
        let ended = world.events(ANN);
        assert!(matches!(
            ended[..],
            [Event::Ended {
                by: Party::Them,
                ..
            }]
        ));
        // H-6
        assert_eq!(sent(&world, JOE, EDGES[0], "BYE ").len(), 1);
        assert!(world.is_idle(JOE) && world.is_idle(ANN));
    }
}

#[test]
fn the_backup_edge_ends_the_call_that_the_dead_one_began() {
    // H-8, S-22
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut world = lab(tokens);
        call(&mut world);
        world.kill(EDGES[0]);
        world.command(JOE, Command::Hangup);
        world.pass(Duration::from_millis(1_900));
        let events = world.events(JOE);
        let [
            Event::FlowLost {
                reg_id: 1, proxy, ..
            },
            Event::Switched { proxy: other, .. },
            Event::Ended { by: Party::Us, .. },
        ] = &events[..]
        else {
            panic!("{events:?}\n{}", world.ladder())
        };
        assert_eq!(*proxy, EDGES[0].parse().unwrap());
        assert_ne!(proxy, other);
        let ended = world.events(ANN);
        assert!(matches!(
            ended[..],
            [Event::Ended {
                by: Party::Them,
                ..
            }]
        ));
    }
}

#[test]
fn an_idle_flow_that_dies_is_noticed_and_comes_back() {
    // O-26, O-27
    let mut world = lab(Tokens::Clear);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.events(JOE), [], "{}", world.ladder());
    world.kill(EDGES[0]);
    world.pass(Duration::from_secs(100));
    let events = world.events(JOE);
    let [
        Event::FlowLost {
            reg_id: 1, retry_s, ..
        },
        ..,
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert!((45..=90).contains(retry_s), "{retry_s}");
    // New calls take the flow that is left.
    world.command(JOE, Command::Call("sip:ann@example.com".to_owned()));
    world.pass(Duration::from_secs(3));
    let events = world.events(JOE);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Established { .. })),
        "{events:?}"
    );
    world.command(JOE, Command::Hangup);
    world.restart(EDGES[0]);
    world.pass(Duration::from_secs(400));
    let events = world.events(JOE);
    assert!(
        events.iter().any(|event| matches!(
            event,
            Event::Registered {
                reg_id: 1,
                flows: 2,
                ..
            }
        )),
        "{events:?}"
    );
}

#[test]
fn a_flow_that_is_lost_under_its_refresh_is_one_failure() {
    // O-27: one base time and not two. The address that has served it is asked first.
    let mut world = lab(Tokens::Clear);
    world.kill(EDGES[0]);
    world.command(JOE, Command::Register);
    world.pass(Duration::from_secs(2));
    let events = world.events(JOE);
    let lost = |event: &&Event| !matches!(event, Event::Refreshed { .. });
    let lost: Vec<&Event> = events.iter().filter(lost).collect();
    assert!(
        matches!(lost[..], [Event::FlowLost { reg_id: 1, .. }]),
        "{lost:?}"
    );
    world.restart(EDGES[0]);
    world.pass(Duration::from_secs(91));
    let back = world.events(JOE);
    let edge = EDGES[0].parse().unwrap();
    let is_back = |event: &Event| matches!(event, Event::Registered { reg_id: 1, proxy, .. } if *proxy == edge);
    assert!(back.iter().any(is_back), "{back:?}");
}

#[test]
fn when_the_last_flow_is_lost_the_others_wait_no_longer_than_it() {
    // O-27: the base time is that of a phone without any flow.
    let mut world = lab(Tokens::Clear);
    world.kill(EDGES[0]);
    world.command(JOE, Command::Register);
    world.pass(Duration::from_secs(2));
    for edge in &EDGES[1..] {
        world.kill(edge);
    }
    world.command(JOE, Command::Call("sip:ann@example.com".to_owned()));
    world.pass(Duration::from_secs(2));
    let events = world.events(JOE);
    let lost = |event: &&Event| matches!(event, Event::FlowLost { .. });
    assert_eq!(events.iter().filter(lost).count(), 2, "{events:?}");
    world.restart(EDGES[0]);
    world.pass(Duration::from_secs(31));
    let back = world.events(JOE);
    let is_back = |event: &Event| matches!(event, Event::Registered { reg_id: 1, .. });
    assert!(back.iter().any(is_back), "{back:?}\n{}", world.ladder());
}

#[test]
fn told_to_register_again_it_refreshes_what_it_has_and_tries_what_is_lost() {
    // H-15
    let mut world = lab(Tokens::Clear);
    world.kill(EDGES[0]);
    let lost = (0..20).find_map(|_| {
        world.pass(Duration::from_secs(5));
        world.events(JOE).pop()
    });
    assert!(
        matches!(lost, Some(Event::FlowLost { reg_id: 1, .. })),
        "{lost:?}"
    );
    world.restart(EDGES[0]);
    world.command(JOE, Command::Register);
    let events = world.events(JOE);
    let [
        Event::Registered {
            reg_id: 1,
            proxy,
            flows: 2,
            ..
        },
        Event::Refreshed { reg_id: 2, .. },
    ] = &events[..]
    else {
        panic!("{events:?}\n{}", world.ladder())
    };
    assert_eq!(*proxy, EDGES[0].parse().unwrap());
}

#[test]
fn bindings_are_refreshed_each_on_its_own_flow_and_removed() {
    // D-U17, D-E2
    let mut world = lab(Tokens::Clear);
    let before = world.trace.len();
    world.pass(Duration::from_secs(1_500));
    let events = world.events(JOE);
    let is_refresh = |event: &Event| matches!(event, Event::Refreshed { .. });
    assert!(events.iter().all(is_refresh), "{}", world.ladder());
    let later = &world.trace[before..];
    let joe = JOE.parse().unwrap();
    let refreshes: Vec<&str> = later
        .iter()
        .filter(|seen| seen.from == joe && seen.text.starts_with("REGISTER "))
        .map(|seen| &seen.text[..])
        .collect();
    assert!(refreshes.len() >= 4, "{refreshes:?}");
    assert!(events.len() >= 4, "{events:?}");
    for text in refreshes {
        let routes = Phone::values(text, "Route");
        assert!(routes[0].starts_with("<sip:joe+e1+"), "{routes:?}");
    }
    world.command(JOE, Command::Unregister);
    assert_eq!(world.events(JOE), [Event::Unregistered]);
    world.command(ANN, Command::Call("sip:joe@example.com".to_owned()));
    world.pass(Duration::from_secs(1));
    let events = world.events(ANN);
    // Her own flows are refreshed when chance will have it.
    let is_failed = |event: &Event| matches!(event, Event::Failed { status: 480, .. });
    assert!(events.iter().any(is_failed), "{events:?}");
}

#[test]
fn a_call_that_is_given_up_stops_ringing() {
    let mut world = lab(Tokens::Clear);
    world.command(JOE, Command::Call("sip:ann@example.com".to_owned()));
    world.command(JOE, Command::Hangup);
    let events = world.events(JOE);
    assert!(
        matches!(
            &events[..],
            [Event::Ringing { .. }, Event::Failed { status: 487, .. }]
        ),
        "{events:?}\n{}",
        world.ladder()
    );
    let events = world.events(ANN);
    assert!(
        matches!(
            &events[..],
            [Event::Incoming { .. }, Event::Failed { status: 487, .. }]
        ),
        "{events:?}"
    );
}

#[test]
fn a_call_is_renewed_from_either_side_and_round_a_dead_edge() {
    // H-6, H-8; RFC 3261 §14
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut world = lab(tokens);
        call(&mut world);
        for caller in [JOE, ANN] {
            world.command(caller, Command::Renew);
            world.pass(Duration::from_secs(1));
            let events = world.events(caller);
            assert_eq!(
                events,
                [Event::Renewed { call: 1 }],
                "{caller}\n{}",
                world.ladder()
            );
        }
        world.kill(EDGES[0]);
        world.command(JOE, Command::Renew);
        world.pass(Duration::from_millis(1_900));
        let events = world.events(JOE);
        assert!(
            matches!(
                &events[..],
                [
                    Event::FlowLost { .. },
                    Event::Switched { .. },
                    Event::Renewed { call: 1 }
                ]
            ),
            "{events:?}\n{}",
            world.ladder()
        );
        assert_eq!(world.events(ANN), []);
        world.command(JOE, Command::Hangup);
        world.pass(Duration::from_secs(1));
        let ended = |events: Vec<Event>| matches!(events[..], [Event::Ended { .. }]);
        assert!(ended(world.events(ANN)) && ended(world.events(JOE)));
        world.pass(Duration::from_secs(40));
        assert!(world.is_idle(JOE) && world.is_idle(ANN));
    }
}
