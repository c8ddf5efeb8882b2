//! Forking at the home: to whom and when, and which answer goes back
//! (RFC 3261 §16.6, §16.7; RFC 5393 §5.3; P-13, P-22 to P-30).

use super::peer::{
    CORE, answer, branch_of, expect, of_invite, register, request, respond, silent, status,
};
use super::world::{HOME, Tokens, World};
use steadfast::time::Duration;

/// Flows of up to three contacts of ann.
const ANNS: [&str; 3] = ["127.0.0.12:40061", "127.0.0.12:40062", "127.0.0.13:40063"];

/// A home at which ann has these contacts, told by their parameters.
fn home(contacts: &[&str]) -> World {
    let mut world = World::lab(Tokens::Clear);
    for (flow, params) in ANNS.iter().zip(contacts) {
        register(&mut world, flow, params, 1);
    }
    world.forget();
    world
}

fn invite(branch: &str) -> String {
    request("INVITE", "sip:ann@example.com", branch, "")
}

/// Calls ann and takes the 100.
#[track_caller]
fn call(world: &mut World, branch: &str) {
    world.send(CORE, HOME, &invite(branch));
    assert_eq!(status(world, CORE), 100);
}

/// Acknowledges a final answer that was no 2xx, and waits for the end of all.
#[track_caller]
fn end(world: &mut World, branch: &str) {
    world.send(CORE, HOME, &of_invite("ACK", &invite(branch)));
    world.drained();
    silent(world, &[CORE]);
    silent(world, &ANNS);
}

/// A cancelled branch plays its part.
#[track_caller]
fn cancelled(world: &mut World, at: &str, received: &str) {
    let cancel = expect(world, at, "CANCEL");
    respond(world, at, &cancel, 200);
    respond(world, at, received, 487);
    expect(world, at, "ACK");
}

#[test]
fn equal_contacts_ring_together_and_the_first_to_answer_wins() {
    // P-13, P-21, P-29, L-4
    let mut world = home(&["", "", ""]);
    call(&mut world, "par");
    let received = ANNS.map(|at| expect(&mut world, at, "INVITE"));
    for (at, text) in ANNS.iter().zip(&received) {
        assert!(
            text.starts_with(&format!("INVITE sip:ann@{at} SIP/2.0\r\n")),
            "{text}"
        );
        assert!(text.contains("\r\nMax-Breadth: 20\r\n"), "{text}");
    }
    assert_ne!(branch_of(&received[0]), branch_of(&received[1]));
    for (at, text) in ANNS.iter().zip(&received) {
        respond(&mut world, at, text, 180);
        assert_eq!(status(&mut world, CORE), 180);
    }
    respond(&mut world, ANNS[1], &received[1], 200);
    assert_eq!(status(&mut world, CORE), 200);
    cancelled(&mut world, ANNS[0], &received[0]);
    cancelled(&mut world, ANNS[2], &received[2]);
    silent(&world, &[CORE, ANNS[1]]);
    world.drained();
}

#[test]
fn every_2xx_passes_even_after_another_final() {
    // P-27, T-5
    let mut world = home(&["", ""]);
    call(&mut world, "two");
    let received = [ANNS[0], ANNS[1]].map(|at| expect(&mut world, at, "INVITE"));
    for (at, text) in ANNS.iter().zip(&received) {
        respond(&mut world, at, text, 180);
        assert_eq!(status(&mut world, CORE), 180);
    }
    respond(&mut world, ANNS[0], &received[0], 200);
    assert_eq!(status(&mut world, CORE), 200);
    // The CANCEL comes too late.
    let cancel = expect(&mut world, ANNS[1], "CANCEL");
    respond(&mut world, ANNS[1], &cancel, 200);
    let second = answer(&received[1], 200, "other", "");
    world.send(ANNS[1], HOME, &second);
    assert!(world.receive(CORE).text.contains(";tag=other"));
    // Repeated until its ACK comes.
    world.pass(Duration::from_millis(500));
    world.send(ANNS[1], HOME, &second);
    assert!(world.receive(CORE).text.contains(";tag=other"));
    world.drained();
    silent(&world, &ANNS);
}

#[test]
fn a_2xx_beats_a_6xx_that_waits() {
    // P-22, P-27
    let mut world = home(&["", ""]);
    call(&mut world, "six");
    let received = [ANNS[0], ANNS[1]].map(|at| expect(&mut world, at, "INVITE"));
    respond(&mut world, ANNS[1], &received[1], 180);
    assert_eq!(status(&mut world, CORE), 180);
    respond(&mut world, ANNS[0], &received[0], 603);
    expect(&mut world, ANNS[0], "ACK");
    silent(&world, &[CORE]);
    let cancel = expect(&mut world, ANNS[1], "CANCEL");
    respond(&mut world, ANNS[1], &cancel, 200);
    respond(&mut world, ANNS[1], &received[1], 200);
    assert_eq!(status(&mut world, CORE), 200);
    world.drained();
    silent(&world, &[CORE]);
}

#[test]
fn a_6xx_ends_the_search() {
    // P-22: nothing new is started, what rings is cancelled, then it goes up.
    let mut world = home(&["", "", ";q=0.2"]);
    call(&mut world, "end");
    let received = [ANNS[0], ANNS[1]].map(|at| expect(&mut world, at, "INVITE"));
    respond(&mut world, ANNS[1], &received[1], 180);
    assert_eq!(status(&mut world, CORE), 180);
    respond(&mut world, ANNS[0], &received[0], 600);
    expect(&mut world, ANNS[0], "ACK");
    silent(&world, &[CORE, ANNS[2]]);
    cancelled(&mut world, ANNS[1], &received[1]);
    assert_eq!(status(&mut world, CORE), 600);
    end(&mut world, "end");
}

#[test]
fn lower_q_is_tried_later() {
    // P-13
    let mut world = home(&[";q=0.2", ";q=0.9", ";q=0.5"]);
    call(&mut world, "ser");
    for (at, code) in [(ANNS[1], 486), (ANNS[2], 404)] {
        let received = expect(&mut world, at, "INVITE");
        silent(&world, &ANNS);
        // Alone it may use all the breadth there is (L-4, L-5).
        assert!(received.contains("\r\nMax-Breadth: 60\r\n"), "{received}");
        respond(&mut world, at, &received, code);
        expect(&mut world, at, "ACK");
        silent(&world, &[CORE]);
    }
    let received = expect(&mut world, ANNS[0], "INVITE");
    respond(&mut world, ANNS[0], &received, 480);
    expect(&mut world, ANNS[0], "ACK");
    assert_eq!(status(&mut world, CORE), 486);
    end(&mut world, "ser");
}

#[test]
fn the_best_answer_goes_up() {
    // P-23, P-24, O-21
    #[track_caller]
    fn check(answers: [u16; 3], want: u16) {
        let mut world = home(&["", "", ""]);
        call(&mut world, "best");
        let received = ANNS.map(|at| expect(&mut world, at, "INVITE"));
        for ((at, text), code) in ANNS.iter().zip(&received).zip(answers) {
            silent(&world, &[CORE]);
            respond(&mut world, at, text, code);
            expect(&mut world, at, "ACK");
        }
        let got = world.receive(CORE).text;
        assert!(
            got.starts_with(&format!("SIP/2.0 {want} ")),
            "{answers:?} {got}"
        );
        // An answer of our own has our tag.
        assert_eq!(got.contains(";tag=far"), answers.contains(&want), "{got}");
        end(&mut world, "best");
    }
    check([486, 500, 580], 486);
    check([500, 486, 302], 302);
    check([487, 486, 487], 486);
    check([404, 480, 401], 401);
    check([404, 484, 408], 484);
    check([404, 420, 408], 420);
    check([486, 408, 408], 486);
    check([408, 486, 430], 486);
    check([500, 408, 504], 408);
    check([503, 503, 503], 500);
    check([513, 513, 513], 513);
    check([430, 430, 430], 480);
}

#[test]
fn all_challenges_go_up_together() {
    // P-25
    let mut world = home(&["", "", ""]);
    call(&mut world, "mix");
    let received = ANNS.map(|at| expect(&mut world, at, "INVITE"));
    let challenges = [
        (404, "WWW-Authenticate: Digest realm=\"d\"\n"),
        (
            407,
            "Proxy-Authenticate: Digest realm=\"b\"\nX: 1\nProxy-Authenticate: Digest realm=\"c\",\n nonce=\"2\"\n",
        ),
        (401, "WWW-Authenticate: Digest realm=\"a\", nonce=\"1\"\n"),
    ];
    for ((at, text), (code, extra)) in ANNS.iter().zip(&received).zip(challenges) {
        world.send(at, HOME, &answer(text, code, "far", extra));
        expect(&mut world, at, "ACK");
    }
    let got = world.receive(CORE).text;
    let want = "WWW-Authenticate: Digest realm=\"a\", nonce=\"1\"\r\nContent-Length: 0\r\n\
        Proxy-Authenticate: Digest realm=\"b\"\r\nProxy-Authenticate: Digest realm=\"c\",\r\n nonce=\"2\"\r\n\r\n";
    assert!(
        got.starts_with("SIP/2.0 401 ") && got.ends_with(want),
        "{got}"
    );
    end(&mut world, "mix");
}

#[test]
fn an_instance_is_tried_by_one_flow_at_a_time() {
    // O-19, O-20, P-31
    let flow = |id: u32| format!(";+sip.instance=\"<urn:uuid:a>\";reg-id={id}");
    let (first, second) = (flow(1), flow(2));
    for (code, tried) in [
        (430, true),
        (408, true),
        (503, true),
        (504, true),
        (486, false),
        (500, false),
    ] {
        let mut world = home(&[&first, &second]);
        call(&mut world, "sby");
        let received = expect(&mut world, ANNS[0], "INVITE");
        silent(&world, &ANNS);
        respond(&mut world, ANNS[0], &received, code);
        expect(&mut world, ANNS[0], "ACK");
        assert_eq!(world.has(ANNS[1]), tried, "{code}");
        if tried {
            let received = expect(&mut world, ANNS[1], "INVITE");
            respond(&mut world, ANNS[1], &received, 200);
            assert_eq!(status(&mut world, CORE), 200);
            world.drained();
        } else {
            assert_eq!(status(&mut world, CORE), code);
            end(&mut world, "sby");
        }
    }
}

#[test]
fn a_flow_that_fails_does_so_at_once() {
    // P-31, X-11, P-24
    let mut world = home(&["", ";q=0.1"]);
    call(&mut world, "icmp");
    expect(&mut world, ANNS[0], "INVITE");
    world.unreachable(HOME, ANNS[0]);
    expect(&mut world, ANNS[1], "INVITE");
    silent(&world, &[CORE]);
    world.unreachable(HOME, ANNS[1]);
    // O-21: both were the phone's own flows, so it is the phone that is away.
    assert_eq!(status(&mut world, CORE), 480);
    assert_eq!(world.counter(HOME, "transport_failures"), 2);
    end(&mut world, "icmp");
}

#[test]
fn breadth_limits_how_many_ring_at_once() {
    // L-4, L-5
    let mut world = home(&["", "", ""]);
    let text = invite("thin").replace("Max-Forwards", "Max-Breadth: 2\nMax-Forwards");
    world.send(CORE, HOME, &text);
    assert_eq!(status(&mut world, CORE), 100);
    let waiting: Vec<_> = ANNS.into_iter().filter(|at| world.has(at)).collect();
    assert_eq!(waiting.len(), 2);
    let received: Vec<_> = waiting
        .iter()
        .map(|at| expect(&mut world, at, "INVITE"))
        .collect();
    for text in &received {
        let breadths = text
            .split("\r\n")
            .filter(|line| line.starts_with("Max-Breadth"));
        assert_eq!(breadths.collect::<Vec<_>>(), ["Max-Breadth: 1"]);
    }
    for (at, text) in waiting.iter().zip(&received) {
        respond(&mut world, at, text, 486);
        expect(&mut world, at, "ACK");
    }
    let last = ANNS.into_iter().find(|at| world.has(at)).unwrap();
    let received = expect(&mut world, last, "INVITE");
    assert!(received.contains("\r\nMax-Breadth: 2\r\n"), "{received}");
    respond(&mut world, last, &received, 486);
    expect(&mut world, last, "ACK");
    assert_eq!(status(&mut world, CORE), 486);
    end(&mut world, "thin");
    // More than the cap is cut to it.
    let mut world = home(&[""]);
    world.send(
        CORE,
        HOME,
        &invite("fat").replace("Max-Forwards", "Max-Breadth: 999\nMax-Forwards"),
    );
    assert!(expect(&mut world, ANNS[0], "INVITE").contains("\r\nMax-Breadth: 60\r\n"));
}

#[test]
fn no_answer_from_anybody_is_408() {
    // P-23, T-1
    let mut world = home(&["", ""]);
    call(&mut world, "none");
    world.pass(Duration::from_millis(31_999));
    silent(&world, &[CORE]);
    world.pass(Duration::from_millis(1));
    assert_eq!(status(&mut world, CORE), 408);
    world.forget();
    end(&mut world, "none");
}

#[test]
fn a_call_rings_as_long_as_timer_c_lets_it() {
    // P-30, P-21
    let mut world = home(&[""]);
    call(&mut world, "tmc");
    let received = expect(&mut world, ANNS[0], "INVITE");
    respond(&mut world, ANNS[0], &received, 180);
    assert_eq!(status(&mut world, CORE), 180);
    world.pass(Duration::from_secs(100));
    respond(&mut world, ANNS[0], &received, 183);
    assert_eq!(status(&mut world, CORE), 183);
    world.pass(Duration::from_secs(100));
    // A 100 gives no more time.
    respond(&mut world, ANNS[0], &received, 100);
    world.pass(Duration::from_millis(84_999));
    silent(&world, &ANNS);
    world.pass(Duration::from_millis(1));
    cancelled(&mut world, ANNS[0], &received);
    assert_eq!(status(&mut world, CORE), 487);
    end(&mut world, "tmc");
}

#[test]
fn a_cancelled_branch_that_stays_silent_is_given_up() {
    // P-30, §9.1
    let mut world = World::with(Tokens::Clear, |home| home.ring_time = None, |_, _| ());
    for (flow, params) in ANNS.iter().zip(["", ";q=0.1"]) {
        register(&mut world, flow, params, 1);
    }
    world.forget();
    call(&mut world, "gup");
    let received = expect(&mut world, ANNS[0], "INVITE");
    respond(&mut world, ANNS[0], &received, 180);
    assert_eq!(status(&mut world, CORE), 180);
    world.pass(Duration::from_secs(185));
    let cancel = expect(&mut world, ANNS[0], "CANCEL");
    respond(&mut world, ANNS[0], &cancel, 200);
    world.pass(Duration::from_millis(36_999));
    silent(&world, &[CORE, ANNS[1]]);
    world.pass(Duration::from_millis(1));
    // The search goes on with the next contact.
    let second = expect(&mut world, ANNS[1], "INVITE");
    // What the first says now comes too late.
    respond(&mut world, ANNS[0], &received, 200);
    silent(&world, &[CORE]);
    respond(&mut world, ANNS[1], &second, 486);
    expect(&mut world, ANNS[1], "ACK");
    assert_eq!(status(&mut world, CORE), 486);
    end(&mut world, "gup");
}

#[test]
fn a_forked_non_invite_gets_one_answer_and_no_cancel() {
    // P-21, P-29
    let mut world = home(&["", "", ""]);
    let text = request("MESSAGE", "sip:ann@example.com", "msg", "");
    world.send(CORE, HOME, &text);
    let received = ANNS.map(|at| expect(&mut world, at, "MESSAGE"));
    respond(&mut world, ANNS[0], &received[0], 603);
    silent(&world, &[CORE]);
    respond(&mut world, ANNS[1], &received[1], 100);
    respond(&mut world, ANNS[1], &received[1], 200);
    assert_eq!(status(&mut world, CORE), 200);
    respond(&mut world, ANNS[2], &received[2], 100);
    respond(&mut world, ANNS[2], &received[2], 200);
    silent(&world, &[CORE]);
    silent(&world, &ANNS);
    world.drained();
}
