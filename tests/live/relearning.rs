//! A home that was killed in mid-operation has its registrations and nothing
//! that it had learned: which phone is behind which edge it finds out call by
//! call (H-13, S-24, S-31), and once it knows, nothing takes a detour.

use std::time::Duration;

use steadfast::agent::Command;
use steadfast::id::Transport;
use steadfast::send::{Event, Party};
use steadfast::time::Instant;

use crate::crowd::Crowd;
use crate::lab::{DOMAIN, EDGES, HOME, Lab, load_user, metric};
use crate::lifecycle::is_stored;
use crate::process::poll;

/// Phones that are called behind each edge; as many others call them.
const CALLED: usize = 20;
/// How long the crowd may take to register, or to call.
const STEP_MAX: Duration = Duration::from_secs(60);

/// All detours that the nodes have counted: redirects and relays by the edges,
/// redirects followed by the home.
fn detours(lab: &Lab) -> u64 {
    let names = ["relays", "redirects", "redirects_followed"];
    let of = |node: &str| -> u64 {
        let page = lab.page(node, "/metrics");
        let one = |name: &&str| metric(&page, &format!("steadfast_{name}_total"));
        names.iter().map(one).sum()
    };
    ["home", "e1", "e2", "e3"].into_iter().map(of).sum()
}

/// A call to everybody behind every edge, each from somebody behind the next
/// edge, set up and hung up by the one called.
fn round(crowd: &mut Crowd) {
    let calls = EDGES.len() * CALLED;
    let since = crowd.now();
    for call in 0..calls {
        let target = format!("sip:{}@{DOMAIN}", load_user(call + 1));
        crowd.command(calls + (call + CALLED) % calls, Command::Call(target));
    }
    all_say(crowd, 0..2 * calls, since, |event| {
        matches!(event, Event::Established { .. })
    });
    let since = crowd.now();
    for call in 0..calls {
        crowd.command(call, Command::Hangup);
    }
    all_say(crowd, calls..2 * calls, since, |event| {
        matches!(
            event,
            Event::Ended {
                by: Party::Them,
                ..
            }
        )
    });
    all_say(crowd, 0..calls, since, |event| {
        matches!(event, Event::Ended { by: Party::Us, .. })
    });
}

#[track_caller]
fn all_say(
    crowd: &mut Crowd,
    phones: std::ops::Range<usize>,
    since: Instant,
    is_it: fn(&Event) -> bool,
) {
    let silent = |crowd: &Crowd| {
        phones
            .clone()
            .find(|phone| crowd.heard(*phone, since, is_it).is_none())
    };
    let all = crowd.until(STEP_MAX, |crowd| silent(crowd).is_none());
    assert!(all, "{:?}", silent(crowd).map(|phone| crowd.events(phone)));
}

/// Everybody is behind two edges, a third of them behind each pair.
fn relearn(test: &str, transport: Transport) {
    let flags: &[&str] = match transport {
        Transport::Tls => &["--tls"],
        Transport::Udp | Transport::Tcp => &[],
    };
    let lab = Lab::start_with(test, flags);
    let mut crowd = Crowd::new(&lab, 1, 0, transport, EDGES[0]);
    for (index, edge) in (0..).zip(EDGES.iter().chain(&EDGES)) {
        crowd.join(1 + index * CALLED, CALLED, edge);
    }
    let phones = 2 * EDGES.len() * CALLED;
    for phone in 0..phones {
        crowd.command(phone, Command::Register);
    }
    all_say(&mut crowd, 0..phones, Instant::ZERO, |event| {
        matches!(event, Event::Registered { flows: 2, .. })
    });
    round(&mut crowd);
    assert_eq!(
        detours(&lab),
        0,
        "a table that is whole leads nobody astray"
    );
    let stored = || {
        let mut users = (1..=phones).map(load_user);
        users.all(|user| is_stored(&lab, &user)).then_some(())
    };
    assert!(poll(STEP_MAX, stored).is_some(), "not all are stored");

    lab.signal("-KILL", HOME);
    lab.until_said("home was killed by signal 9");
    let _home = lab.start_again("home");
    assert_eq!(
        metric(&lab.page("home", "/metrics"), "steadfast_registered"),
        phones as u64
    );
    let before = detours(&lab);
    round(&mut crowd);
    let first = detours(&lab) - before;
    round(&mut crowd);
    let second = detours(&lab) - before - first;
    println!("{test}: {first} detours in the first round, {second} in the second");
    assert!(first > 0, "it has lost nothing");
    assert_eq!(second, 0, "it has not learned");
}

#[test]
fn a_restarted_home_learns_its_ways_again_over_udp() {
    relearn("relearning-udp", Transport::Udp);
}

#[test]
fn a_restarted_home_learns_its_ways_again_over_tls() {
    relearn("relearning-tls", Transport::Tls);
}
