//! Requests that no home takes: they wait at the edge for one, under the bounds of V-8, and
//! what a home may have taken goes there under no other branch.

use super::peer::branch_of;
use super::phone::{Phone, Register};
use super::silence::hop;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::edge::NextHop;
use steadfast::id::Transport;
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
const SECOND: &str = "127.0.0.20:5060";
/// Far shorter than anybody waits.
const SECOND_LONG: Duration = Duration::from_secs(1);

/// joe at e1, ann at e2, in a call when `in_call`; these homes.
fn phones(transport: Transport, homes: &[&str], in_call: bool) -> (World, Phone, Phone) {
    let mut world = World::with(
        Tokens::Sealed,
        |_| (),
        |_, edge| {
            let at = |home: &&str| NextHop::At(hop(home, transport));
            edge.home = homes.iter().map(at).collect();
        },
    );
    for home in homes.iter().skip(1) {
        world.add_home(home);
    }
    world.icmp = true;
    let mut joe = Phone::new("joe", JOE, false);
    let mut ann = Phone::new("ann", ANN, false);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    if in_call {
        call(&mut world, &joe);
        take_up(&mut world, &mut joe, &mut ann);
    }
    world.forget();
    (world, joe, ann)
}

/// joe calls ann; what his edge says at once.
fn call(world: &mut World, joe: &Phone) -> String {
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(world, EDGES[0], &invite);
    assert_eq!(joe.status(world), 100);
    invite
}

/// ann takes joe's call.
fn take_up(world: &mut World, joe: &mut Phone, ann: &mut Phone) {
    let invite = ann.receive(world);
    assert!(invite.starts_with("INVITE "), "{invite}");
    ann.answer(world, EDGES[1], &invite, 200, "OK");
    let ok = joe.receive(world);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    joe.dialog(&ok, true);
    ann.dialog(&invite, false);
    joe.in_dialog(world, EDGES[0], "ACK", 1);
    assert!(ann.receive(world).starts_with("ACK "));
}

/// The process of a home ends, and with it its connections.
fn end(world: &mut World, home: &str) {
    world.kill(home);
    for edge in EDGES {
        world.cut(edge, home);
    }
}

const BOTH: [Transport; 2] = [Transport::Udp, Transport::Tcp];

#[test]
fn what_comes_while_the_home_is_away_goes_on_when_it_is_back() {
    // V-8: a call, a MESSAGE, and a registration.
    for transport in BOTH {
        let (mut world, mut joe, mut ann) = phones(transport, &[HOME], false);
        end(&mut world, HOME);
        call(&mut world, &joe);
        let message = ann.request("MESSAGE", "sip:joe@example.com", 7, "", "");
        ann.send(&mut world, EDGES[1], &message);
        world.pass(SECOND_LONG);
        assert!(!world.has(ANN), "{}", world.ladder());
        assert_eq!([0, 1].map(|e| world.counter(EDGES[e], "held")), [1, 1]);
        assert_eq!(world.gauge(EDGES[0], "held_requests"), 1);
        world.restart(HOME);
        world.pass(limits::HELD_PAUSE * 2);
        let message = joe.receive(&mut world);
        assert!(message.starts_with("MESSAGE "), "{message}");
        take_up(&mut world, &mut joe, &mut ann);
        joe.answer(&mut world, EDGES[0], &message, 200, "OK");
        assert_eq!(ann.status(&mut world), 200);
        end(&mut world, HOME);
        world.forget();
        Register::new("joe", JOE).ask(&mut world, EDGES[0], "");
        world.pass(SECOND_LONG);
        assert!(!world.has(JOE), "{}", world.ladder());
        world.restart(HOME);
        world.pass(limits::HELD_PAUSE * 2);
        assert_eq!(joe.status(&mut world), 401);
        world.drained();
    }
}

#[test]
fn what_belongs_to_a_call_waits_as_well() {
    // V-8: a re-INVITE and a BYE.
    for transport in BOTH {
        let (mut world, joe, ann) = phones(transport, &[HOME], true);
        end(&mut world, HOME);
        joe.in_dialog(&mut world, EDGES[0], "INVITE", 2);
        assert_eq!(joe.status(&mut world), 100);
        ann.in_dialog(&mut world, EDGES[1], "INFO", 7);
        world.pass(SECOND_LONG);
        world.restart(HOME);
        world.pass(limits::HELD_PAUSE * 2);
        let invite = ann.receive(&mut world);
        assert!(invite.starts_with("INVITE "), "{invite}");
        ann.answer(&mut world, EDGES[1], &invite, 488, "No");
        let info = joe.receive(&mut world);
        assert!(info.starts_with("INFO "), "{info}");
        joe.answer(&mut world, EDGES[0], &info, 200, "OK");
        assert_eq!(joe.status(&mut world), 488);
        assert!(ann.receive(&mut world).starts_with("ACK "));
        assert_eq!(ann.status(&mut world), 200);
        end(&mut world, HOME);
        world.forget();
        ann.in_dialog(&mut world, EDGES[1], "BYE", 8);
        world.pass(SECOND_LONG);
        world.restart(HOME);
        world.pass(limits::HELD_PAUSE * 2);
        // Behind refusals that joe has not acknowledged.
        while !joe.receive(&mut world).starts_with("BYE ") {}
    }
}

#[test]
fn an_emergency_call_waits_as_well() {
    // V-8, I-7
    let (mut world, joe, _) = phones(Transport::Udp, &[HOME], false);
    end(&mut world, HOME);
    let sos = joe.request("INVITE", "urn:service:sos", 1, "", "");
    joe.send(&mut world, EDGES[0], &sos);
    world.pass(SECOND_LONG);
    world.restart(HOME);
    world.forget();
    world.pass(limits::HELD_PAUSE * 2);
    let mut trace = world
        .trace
        .iter()
        .filter(|seen| seen.to.to_string() == HOME);
    assert!(trace.any(|seen| seen.text.starts_with("INVITE urn:service:sos")));
}

#[test]
fn nobody_waits_for_longer_than_a_few_seconds() {
    // V-8, P-24
    for transport in BOTH {
        let (mut world, joe, ann) = phones(transport, &[HOME], false);
        end(&mut world, HOME);
        let send = |world: &mut World, cseq| {
            let message = joe.request("MESSAGE", "sip:ann@example.com", cseq, "", "");
            joe.send(world, EDGES[0], &message);
        };
        let refusal = |world: &mut World| {
            let answer = joe.receive(world);
            assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
            assert!(answer.contains("\r\nRetry-After: "), "{answer}");
        };
        send(&mut world, 1);
        world.pass(limits::HELD_FOR - limits::HELD_PAUSE);
        // T-8
        assert_eq!(joe.status(&mut world), 100);
        assert!(!world.has(JOE), "{transport:?} {}", world.ladder());
        send(&mut world, 2);
        world.pass(limits::HELD_PAUSE * 3);
        refusal(&mut world);
        assert!(!world.has(JOE), "the second has yet to wait");
        // A home that has been away for so long is not about to come back.
        send(&mut world, 3);
        refusal(&mut world);
        world.pass(limits::HELD_FOR);
        assert_eq!(joe.status(&mut world), 100);
        refusal(&mut world);
        assert_eq!(world.counter(EDGES[0], "held"), 2);
        // Once it is back, its next absence is another one.
        world.restart(HOME);
        send(&mut world, 4);
        let message = ann.receive(&mut world);
        ann.answer(&mut world, EDGES[1], &message, 200, "OK");
        assert_eq!(joe.status(&mut world), 200);
        end(&mut world, HOME);
        world.forget();
        send(&mut world, 5);
        world.pass(SECOND_LONG);
        assert!(!world.has(JOE));
        world.drained();
    }
}

#[test]
fn another_home_is_asked_at_once() {
    // V-8, N-7
    for transport in BOTH {
        let (mut world, joe, _) = phones(transport, &[HOME, SECOND], false);
        end(&mut world, HOME);
        let message = joe.request("MESSAGE", "sip:ann@example.com", 1, "", "");
        joe.send(&mut world, EDGES[0], &message);
        assert!(world.last(SECOND).starts_with("MESSAGE "));
        assert_eq!(world.counter(EDGES[0], "held"), 0);
        // With both away the first that is back gets it.
        end(&mut world, SECOND);
        let message = joe.request("MESSAGE", "sip:ann@example.com", 2, "", "");
        joe.send(&mut world, EDGES[0], &message);
        world.pass(SECOND_LONG);
        world.forget();
        world.restart(HOME);
        world.pass(limits::HELD_PAUSE * 2);
        let message = world.receive(ANN).text;
        assert!(message.contains("CSeq: 2 MESSAGE"), "{message}");
    }
}

#[test]
fn a_call_that_waits_can_be_cancelled() {
    // V-8, P-32: nothing was sent, so that nothing is cancelled further on.
    for transport in BOTH {
        let (mut world, joe, _) = phones(transport, &[HOME], false);
        end(&mut world, HOME);
        let invite = call(&mut world, &joe);
        world.pass(SECOND_LONG);
        let cancel = invite.replace("INVITE sip", "CANCEL sip");
        let cancel = cancel.replace("1 INVITE", "1 CANCEL");
        joe.send(&mut world, EDGES[0], &cancel);
        assert_eq!([joe.status(&mut world), joe.status(&mut world)], [200, 487]);
        world.restart(HOME);
        world.forget();
        world.pass(SECOND_LONG);
        assert!(!world.has(ANN), "{}", world.ladder());
        world.drained();
    }
}

/// The branches under which a request has left for the home.
fn branches(world: &World, start: &str) -> Vec<String> {
    let home = world
        .trace
        .iter()
        .filter(|seen| seen.to.to_string() == HOME);
    let copies = home.filter(|seen| seen.text.starts_with(start));
    copies.map(|seen| branch_of(&seen.text)).collect()
}

#[test]
fn what_may_have_arrived_is_repeated_and_not_sent_anew() {
    // V-8, X-11: the first copy is lost without a word, and an ICMP error quotes the second.
    let (mut world, mut joe, mut ann) = phones(Transport::Udp, &[HOME], false);
    world.icmp = false;
    end(&mut world, HOME);
    call(&mut world, &joe);
    world.icmp = true;
    world.pass(limits::T1);
    assert_eq!(world.counter(EDGES[0], "unreachable_heeded"), 1);
    assert_eq!(world.counter(EDGES[0], "held"), 0);
    world.restart(HOME);
    world.pass(limits::T1 * 2);
    take_up(&mut world, &mut joe, &mut ann);
    let mut branches = branches(&world, "INVITE ");
    assert_eq!(branches.len(), 3);
    branches.dedup();
    assert_eq!(branches.len(), 1);

    // It has its end all the same, with the first copy after the time.
    let (mut world, joe, _) = phones(Transport::Udp, &[HOME], false);
    world.icmp = false;
    end(&mut world, HOME);
    call(&mut world, &joe);
    world.icmp = true;
    world.pass(limits::T1 * 15);
    assert_eq!(joe.status(&mut world), 503);
    world.drained();
}

#[test]
fn what_was_taken_along_by_a_connection_is_sent_again_once() {
    // V-8, P-31: the copy that goes again is what waits, and not the first one beside it.
    let (mut world, joe, ann) = phones(Transport::Tcp, &[HOME], true);
    joe.in_dialog(&mut world, EDGES[0], "INFO", 2);
    assert!(ann.receive(&mut world).starts_with("INFO "));
    end(&mut world, HOME);
    world.pass(SECOND_LONG);
    assert_eq!(world.counter(EDGES[0], "held"), 1);
    world.forget();
    world.restart(HOME);
    world.pass(limits::HELD_PAUSE * 2);
    assert_eq!(branches(&world, "INFO ").len(), 1, "{}", world.ladder());
}

#[test]
fn what_is_sent_anew_is_a_transaction_of_its_own() {
    // V-8, P-13: no copy of it can have arrived.
    let (mut world, joe, _) = phones(Transport::Udp, &[HOME], false);
    end(&mut world, HOME);
    let message = joe.request("MESSAGE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &message);
    world.pass(SECOND_LONG);
    let mut branches = branches(&world, "MESSAGE ");
    let tried = branches.len();
    branches.sort_unstable();
    branches.dedup();
    assert_eq!(branches.len(), tried);
    let pauses = usize::try_from(SECOND_LONG.as_millis() / limits::HELD_PAUSE.as_millis());
    assert!((3..=pauses.unwrap() + 1).contains(&tried), "{tried}");
}

#[test]
fn only_a_few_look_for_the_home_and_all_go_on_when_it_is_back() {
    // V-8
    for transport in BOTH {
        let (mut world, joe, _) = phones(transport, &[HOME], false);
        end(&mut world, HOME);
        world.forget();
        for cseq in 1..=60 {
            let invite = joe.request("INVITE", "sip:ann@example.com", cseq, "", "");
            joe.send(&mut world, EDGES[0], &invite);
        }
        let shards = world.shard_count(EDGES[0]);
        let sent = |world: &World| world.counter(EDGES[0], "requests_out");
        let before = sent(&world);
        world.pass(SECOND_LONG);
        let looked = sent(&world) - before;
        // Four in each pause of a shard.
        assert!(looked <= 84 * u64::try_from(shards).unwrap(), "{looked}");
        world.restart(HOME);
        world.forget();
        world.pass(limits::HELD_PAUSE * 5);
        let came = std::iter::from_fn(|| world.has(ANN).then(|| world.receive(ANN))).count();
        assert_eq!(came, 60);
    }
}

#[test]
fn no_source_has_all_the_room() {
    // V-8: more are answered at once.
    let (mut world, joe, _) = phones(Transport::Udp, &[HOME], false);
    end(&mut world, HOME);
    world.forget();
    let shards = world.shard_count(EDGES[0]);
    let most = usize::try_from(limits::HELD_OF_SOURCE).unwrap();
    for cseq in 1..=u32::try_from(most * shards).unwrap() + 5 {
        let message = joe.request("MESSAGE", "sip:ann@example.com", cseq, "", "");
        joe.send(&mut world, EDGES[0], &message);
    }
    // Of one port, so that one shard has all of them.
    assert_eq!(world.gauge(EDGES[0], "held_requests"), most);
    assert!(world.has(JOE));
    let other = Phone::new("bob", "127.0.0.9:5070", false);
    let message = other.request("MESSAGE", "sip:joe@example.com", 1, "", "");
    other.send(&mut world, EDGES[0], &message);
    assert_eq!(world.gauge(EDGES[0], "held_requests"), most + 1);
}

#[test]
fn a_home_that_leaves_has_what_is_new_held_for_its_next_run() {
    // V-7, V-8
    for transport in BOTH {
        let (mut world, mut joe, mut ann) = phones(transport, &[HOME], false);
        world.drain(HOME);
        world.leave(HOME);
        assert!(world.is_idle(HOME));
        call(&mut world, &joe);
        let refusal = world
            .trace
            .iter()
            .find(|seen| seen.from.to_string() == HOME);
        let refusal = &refusal.unwrap().text;
        assert!(refusal.starts_with("SIP/2.0 503 Ending"), "{refusal}");
        assert_eq!(Phone::values(refusal, "Retry-After"), ["1"]);
        world.pass(limits::HELD_PAUSE * 3);
        assert!(world.counter(HOME, "drained") > 1, "it is looked for");
        end(&mut world, HOME);
        world.pass(SECOND_LONG);
        world.restart(HOME);
        world.pass(limits::HELD_PAUSE * 2);
        take_up(&mut world, &mut joe, &mut ann);
        assert_eq!(world.counter(EDGES[0], "held"), 1);
        world.drained();
    }
}

#[test]
fn a_home_that_leaves_is_left_for_another_one_at_once() {
    // V-7, V-8
    for transport in BOTH {
        let (mut world, joe, _) = phones(transport, &[HOME, SECOND], false);
        world.drain(HOME);
        world.leave(HOME);
        for cseq in 1..3 {
            let message = joe.request("MESSAGE", "sip:ann@example.com", cseq, "", "");
            joe.send(&mut world, EDGES[0], &message);
            let last = world.last(SECOND);
            assert!(last.contains(&format!("CSeq: {cseq} MESSAGE")), "{last}");
        }
        assert_eq!(
            world.counter(HOME, "drained"),
            1,
            "the second knows already"
        );
        assert_eq!(world.counter(EDGES[0], "held"), 0);
    }
}

#[test]
fn a_server_that_wants_to_be_left_alone_is() {
    // V-8, N-7: an overloaded home names another time.
    let home = "127.0.0.9:5060";
    for (after, is_held) in [
        ("Retry-After: 4\n", true),
        ("Retry-After: 5\n", false),
        ("", false),
    ] {
        let at = || vec![NextHop::At(hop(home, Transport::Udp))];
        let mut world = World::with(Tokens::Sealed, |_| (), |_, edge| edge.home = at());
        let joe = Phone::new("joe", JOE, false);
        let message = joe.request("MESSAGE", "sip:ann@example.com", 1, "", "");
        joe.send(&mut world, EDGES[0], &message);
        let came = world.receive(home);
        let text = super::peer::answer(&came.text, 503, "h", after);
        world.send(home, &came.from.to_string(), &text);
        assert_eq!(
            world.counter(EDGES[0], "held"),
            u64::from(is_held),
            "{after}"
        );
        assert_eq!(world.has(JOE), !is_held, "{after}");
    }
}
