//! What one source may ask for (B-1, I-13; RFC 3261 §8.2.6.1, §21.5.4).

use super::marks::{called_by, unmarked};
use super::phone::{Login, Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const MALLORY: &str = "203.0.113.6:5060";

fn mallory() -> Phone {
    Phone::new("mallory", MALLORY, false)
}

/// Binding requests, none of which is a message.
const STUN: &[u8] = b"\x00\x01\x00\x00\x21\x12\xA4\x42transaction!";

#[test]
fn a_source_gets_its_depth_of_stun_and_then_its_rate() {
    // Protocol 3.9
    let mut world = World::lab(Tokens::Clear);
    let (rate, depth) = limits::SOURCE_STUN;
    for _ in 0..depth + 50 {
        world.send_bytes(MALLORY, EDGES[0], STUN);
    }
    assert_eq!(world.counter(EDGES[0], "stun"), u64::from(depth));
    assert_eq!(world.counter(EDGES[0], "limited"), 50);
    world.pass(Duration::from_secs(1));
    for _ in 0..rate + 50 {
        world.send_bytes(MALLORY, EDGES[0], STUN);
    }
    assert_eq!(world.counter(EDGES[0], "limited"), 100);
    // Somebody else is not held to it.
    world.send_bytes("203.0.113.7:5060", EDGES[0], STUN);
    assert_eq!(world.counter(EDGES[0], "limited"), 100);
}

#[test]
fn requests_over_the_bound_get_silence_over_udp_and_503_on_a_stream() {
    // No answer goes to an address that may be forged.
    let mut world = World::lab(Tokens::Clear);
    let depth = limits::SOURCE_REQUESTS.1;
    for n in 0..depth {
        let text = mallory().request("OPTIONS", "sip:edge.example.com", n + 1, "", "");
        mallory().send(&mut world, EDGES[0], &text);
    }
    assert_eq!(world.counter(EDGES[0], "limited"), 0);
    assert_eq!(world.counter(EDGES[0], "answers"), u64::from(depth));
    world.forget();
    let text = mallory().request("INVITE", "sip:joe@example.com", depth + 1, "", "");
    mallory().send(&mut world, EDGES[0], &text);
    assert!(!world.has(MALLORY), "{}", world.ladder());
    assert_eq!(world.counter(EDGES[0], "limited"), 1);
    world.connect("203.0.113.6:40002", EDGES[0]);
    world.send("203.0.113.6:40002", EDGES[0], &text);
    let answer = world.receive("203.0.113.6:40002").text;
    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    assert!(answer.contains("\r\nRetry-After: "), "{answer}");
    // Peers and this machine are not counted.
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
}

#[test]
fn a_guest_in_a_dialog_is_let_in_some_of_the_time() {
    // B-1: unknown source, the mark of the dialog.
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
    let mut called = called_by(&mut world, &joe, EDGES[0], ("mallory", MALLORY));
    let depth = limits::SOURCE_ROAMING.1;
    for n in 1..=depth + 5 {
        world.forget();
        called.in_dialog(&mut world, EDGES[0], "INFO", n);
        if n <= depth {
            assert!(world.has(JOE), "{n}\n{}", world.ladder());
            // Not more than so many wait for a phone that says nothing.
            let info = joe.receive(&mut world);
            joe.answer(&mut world, EDGES[0], &info, 481, "Not Here");
        } else {
            assert_eq!(called.status(&mut world), 503);
            assert!(!world.has(JOE));
        }
    }
    // A token and a To tag are in anybody's reach.
    assert_eq!(world.counter(EDGES[0], "unmarked"), 0);
    called.routes[0] = unmarked(&called.routes[0]);
    world.forget();
    called.in_dialog(&mut world, EDGES[0], "INFO", depth + 6);
    assert_eq!(called.status(&mut world), 403);
    assert!(!world.has(JOE));
    assert_eq!(world.counter(EDGES[0], "unmarked"), 1);
}

/// What makes a REGISTER as long as real ones, and its answer no longer than it.
pub(crate) fn padding() -> String {
    let methods = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, MESSAGE, NOTIFY";
    format!(
        "Allow: {methods}\nSupported: path, outbound, replaces, timer, gruu, gin, join, histinfo, norefersub, 100rel\nUser-Agent: Long-Windedphone/1.0 (a model of some years ago, with a screen)\n"
    )
}

#[test]
fn guessing_passwords_ends_for_the_one_who_guesses() {
    // The home counts against the phone that an edge saw, not against the edge.
    let mut world = World::lab(Tokens::Clear);
    let depth = limits::LOGIN_FAILURES.1;
    let wrong = Login {
        password: "guess",
        ..Login::new("joe")
    };
    let mut guesser = Register::new("joe", MALLORY);
    guesser.lines += &padding();
    for n in 0..depth + 3 {
        let challenge = guesser.send(&mut world, EDGES[0], "");
        assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
        let answer = guesser.send(&mut world, EDGES[0], &wrong.answer(&challenge));
        let want = if n < depth {
            "SIP/2.0 401 "
        } else {
            "SIP/2.0 403 Too Many Failed Logins"
        };
        assert!(answer.starts_with(want), "{n}: {answer}");
    }
    assert_eq!(world.counter(HOME, "failed_digests"), u64::from(depth));
    // Even the right one waits now; anybody else does not, through the same edge.
    let mut other = Register::new("joe", "203.0.113.7:5060");
    other.lines += &padding();
    let challenge = guesser.send(&mut world, EDGES[0], "");
    let right = Login::new("joe").answer(&challenge);
    let answer = guesser.send(&mut world, EDGES[0], &right);
    assert!(answer.starts_with("SIP/2.0 403 "), "{answer}");
    let ok = other.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    world.pass(Duration::from_secs(u64::from(depth)));
    let ok = guesser.login(&mut world, EDGES[0]);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
}

#[test]
fn a_guesser_does_not_lock_his_neighbours_out() {
    // I-15: behind one address translation.
    let mut world = World::lab(Tokens::Clear);
    let register = |world: &mut World, user: &'static str, call_id, password| {
        let mut phone = Register::new(user, MALLORY);
        phone.lines += &padding();
        phone.call_id = call_id;
        let challenge = phone.send(world, EDGES[0], "");
        let login = Login {
            password,
            ..Login::new(user)
        };
        phone.send(world, EDGES[0], &login.answer(&challenge))
    };
    let ids: Vec<String> = (0..70).map(|n| n.to_string()).collect();
    let mut refused = 0;
    for id in &ids {
        let answer = register(&mut world, "joe", id, "guess");
        refused += u32::from(answer.starts_with("SIP/2.0 403 "));
    }
    assert_eq!(refused, 70 - limits::LOGIN_FAILURES.1);
    let ok = register(&mut world, "ann", "a", "secret");
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert_eq!(world.counter(HOME, "limited"), u64::from(refused));
}

#[test]
fn a_connection_without_a_message_is_closed_soon() {
    // Slow loris before the first byte, and bytes that are no message.
    let mut world = World::lab(Tokens::Clear);
    let mute = "203.0.113.6:40002";
    let pings = "203.0.113.6:40002";
    let talks = "203.0.113.6:40003";
    for source in [mute, pings, talks] {
        world.connect(source, EDGES[0]);
    }
    let text = mallory().request("OPTIONS", "sip:edge.example.com", 1, "", "");
    world.send(talks, EDGES[0], &text);
    for _ in 0..20 {
        world.send(pings, EDGES[0], "\n\n");
        world.pass(Duration::from_secs(1));
    }
    world.pass(limits::FIRST_MESSAGE_MAX.saturating_sub(Duration::from_secs(19)));
    assert!(!world.is_connected(mute, EDGES[0]));
    assert!(!world.is_connected(pings, EDGES[0]));
    assert!(world.is_connected(talks, EDGES[0]));
    assert_eq!(world.counter(EDGES[0], "flows_mute"), 2);
}

#[test]
fn a_timestamp_comes_back_in_the_100_and_nowhere_else() {
    // RFC 3261 §8.2.6.1
    let mut world = World::lab(Tokens::Clear);
    let bob = Phone::foreign("bob", "127.0.0.1:5090");
    let stamp = "Timestamp: 54.21\n";
    let text = bob.request("INVITE", "sip:joe@example.com", 1, stamp, "");
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
    world.forget();
    bob.send(&mut world, HOME, &text);
    let trying = bob.receive(&mut world);
    assert!(trying.starts_with("SIP/2.0 100 "), "{trying}");
    assert!(trying.contains("\r\nTimestamp: 54.21\r\n"), "{trying}");
    assert!(joe.receive(&mut world).contains("\r\nTimestamp: 54.21\r\n"));
    let text = bob.request("OPTIONS", "sip:example.com", 2, stamp, "");
    bob.send(&mut world, HOME, &text);
    assert!(!bob.receive(&mut world).contains("Timestamp"));
}

#[test]
fn the_refused_come_back_at_different_times() {
    // O-28, V-6
    let mut world = World::lab(Tokens::Clear);
    world.drain(EDGES[0]);
    let mut waits = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let mut joe = Register::new("joe", JOE);
        joe.call_id = "one";
        joe.cseq = u32::try_from(waits.len() * 100).unwrap();
        let answer = joe.send(&mut world, EDGES[0], "");
        assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
        let wait: u32 = Phone::values(&answer, "Retry-After")[0].parse().unwrap();
        let (shortest, longest) = limits::RETRY_AFTER_S;
        assert!((shortest..=longest).contains(&wait), "{answer}");
        waits.insert(wait);
        world.pass(Duration::from_secs(40));
    }
    assert!(waits.len() > 5, "{waits:?}");
}
