//! An edge dies with two hundred calls on it, with a bang or without a word,
//! and nobody loses a call (H-6, H-7).

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use steadfast::agent::Command;
use steadfast::id::Transport;
use steadfast::send::{Event, Party};
use steadfast::time::Instant;

use crate::crowd::Crowd;
use crate::lab::{DOMAIN, EDGES, Lab, load_user};

/// Calls that are up when the edge dies.
const CALLS: usize = 200;
/// How many of them are renewed before they end.
const RENEWED: usize = 20;
/// How many go on until the edge is back.
const KEPT: usize = 10;
/// How long the crowd may take to register, or to call.
const STEP_MAX: Duration = Duration::from_secs(60);
/// How long all phones may take to register where the home was late and has sent one a
/// Retry-After of a minute.
const REGISTERED_MAX: Duration = Duration::from_secs(150);

/// How an edge dies, and how long its calls may notice.
struct Death {
    signal: &'static str,
    bound: Duration,
}

/// Callers are the phones from 0 on, the called ones those from `CALLS` on.
fn survive(test: &str, transport: Transport, death: &Death) {
    let flags: &[&str] = match transport {
        Transport::Tls => &["--tls"],
        Transport::Udp | Transport::Tcp => &[],
    };
    let lab = Lab::start_with(test, flags);
    let mut crowd = Crowd::new(&lab, 1, 2 * CALLS, transport, EDGES[0]);
    all_up(&mut crowd);
    lab.signal(death.signal, EDGES[0]);
    let dead = crowd.now();
    // Each call's own hand on it: half of the time the called side's.
    let side = |call: usize| {
        if call.is_multiple_of(2) {
            call
        } else {
            CALLS + call
        }
    };
    let renewed = KEPT..KEPT + RENEWED;
    for call in renewed.clone() {
        crowd.command(side(call), Command::Renew);
    }
    let ended = KEPT + RENEWED..CALLS;
    for call in ended.clone() {
        crowd.command(side(call), Command::Hangup);
    }
    let mut took = Vec::new();
    let mut lost = 0;
    let renewals = renewed.map(|call| (call, is_renewed as fn(&Event) -> bool));
    let byes = ended
        .clone()
        .map(|call| (call, is_ended_here as fn(&Event) -> bool));
    let expected: Vec<_> = renewals.chain(byes).collect();
    let done = |crowd: &Crowd, call: usize, is_it| crowd.heard(side(call), dead, is_it);
    crowd.until(Duration::from_secs(35), |crowd| {
        expected
            .iter()
            .all(|&(call, is_it)| done(crowd, call, is_it).is_some())
            && ended.clone().all(|call| other_heard(crowd, call, dead))
    });
    for &(call, is_it) in &expected {
        match done(&crowd, call, is_it) {
            Some(at) => took.push(at.since(dead)),
            None => {
                lost += 1;
                println!("lost: {:?}", crowd.events(side(call)));
            }
        }
    }
    for call in ended {
        if !other_heard(&crowd, call, dead) {
            lost += 1;
            println!("not told: {call}");
        }
    }
    took.sort_unstable();
    let (p50, max) = (took[took.len() / 2], took[took.len() - 1]);
    println!(
        "{test}: {} calls, {lost} lost; final answers after {} ms (p50), {} ms (max)",
        CALLS,
        p50.as_millis(),
        max.as_millis()
    );
    assert_eq!(lost, 0);
    assert!(max < death.bound, "{max:?}");
    recover(&lab, &mut crowd, transport, death);
}

/// Registers everybody and brings all calls up.
fn all_up(crowd: &mut Crowd) {
    register(crowd, 0..2 * CALLS);
    for caller in 0..CALLS {
        call(crowd, caller, CALLS + caller + 1);
    }
    let is_up = |crowd: &Crowd, phone| heard(crowd, phone, Instant::ZERO, is_established);
    let all = 0..2 * CALLS;
    assert!(
        crowd.until(STEP_MAX, |crowd| all
            .clone()
            .all(|phone| is_up(crowd, phone))),
        "{:?}",
        all.clone()
            .find(|phone| !is_up(crowd, *phone))
            .map(|phone| crowd.events(phone))
    );
}

/// The edge comes back: every phone refreshes both of its flows, the one
/// through that edge too, a new one registers and calls through it, and what
/// was up all the time still is.
fn recover(lab: &Lab, crowd: &mut Crowd, transport: Transport, death: &Death) {
    let _edge = match death.signal {
        "-STOP" => {
            lab.signal("-CONT", EDGES[0]);
            None
        }
        _ => Some(lab.start_again("e1")),
    };
    refresh(crowd, transport);
    let new = 2 * CALLS;
    crowd.join(new + 1, 1, EDGES[0]);
    let back = crowd.now();
    register(crowd, new..new + 1);
    assert!(
        leads_to_first_edge(crowd, new, back, transport),
        "{:?}",
        crowd.events(new)
    );
    // One whose first flow died with the edge is reached all the same.
    call(crowd, new, CALLS + KEPT + RENEWED + 1);
    let is_up = |crowd: &Crowd| heard(crowd, new, back, is_established);
    assert!(crowd.until(STEP_MAX, is_up), "{:?}", crowd.events(new));
    let since = crowd.now();
    for kept in 0..KEPT + RENEWED {
        crowd.command(CALLS + kept, Command::Hangup);
    }
    let told =
        |crowd: &Crowd| (0..KEPT + RENEWED).all(|kept| heard(crowd, kept, since, is_ended_there));
    assert!(crowd.until(STEP_MAX, told), "a call that was kept is lost");
}

/// Everybody registered before refreshes, and stands on two flows again, one
/// of which goes through the edge that was away.
fn refresh(crowd: &mut Crowd, transport: Transport) {
    let since = crowd.now();
    for phone in 0..2 * CALLS {
        crowd.command(phone, Command::Register);
    }
    let is_whole = |crowd: &Crowd, phone: usize| {
        let proxies: HashSet<_> = granted(crowd, phone, since).collect();
        proxies.len() == 2 && leads_to_first_edge(crowd, phone, since, transport)
    };
    let all = |crowd: &Crowd| (0..2 * CALLS).all(|phone| is_whole(crowd, phone));
    let held = crowd.until(STEP_MAX, all);
    let left: Vec<_> = (0..2 * CALLS)
        .filter(|phone| !is_whole(crowd, *phone))
        .collect();
    assert!(
        held,
        "not whole again: {left:?}, the first: {:?}",
        left.first().map(|phone| crowd.events(*phone))
    );
}

/// Through whom a phone's bindings were granted since then.
fn granted(crowd: &Crowd, phone: usize, since: Instant) -> impl Iterator<Item = SocketAddr> + '_ {
    let events = crowd.events(phone).iter();
    events.filter_map(move |(at, event)| {
        let (Event::Registered { proxy, .. } | Event::Refreshed { proxy, .. }) = event else {
            return None;
        };
        (*at >= since).then_some(*proxy)
    })
}

fn leads_to_first_edge(crowd: &Crowd, phone: usize, since: Instant, transport: Transport) -> bool {
    let ip = EDGES[0].parse().expect("an address");
    let e1 = SocketAddr::new(ip, transport.default_port());
    granted(crowd, phone, since).any(|proxy| proxy == e1)
}

fn register(crowd: &mut Crowd, phones: std::ops::Range<usize>) {
    for phone in phones.clone() {
        crowd.command(phone, Command::Register);
    }
    // Both flows: what is to survive needs its second one.
    let is_ready = |crowd: &Crowd, phone| {
        heard(crowd, phone, Instant::ZERO, |event| {
            matches!(event, Event::Registered { flows: 2, .. })
        })
    };
    let all = |crowd: &Crowd| phones.clone().all(|phone| is_ready(crowd, phone));
    assert!(
        crowd.until(REGISTERED_MAX, all),
        "{:?}",
        phones
            .clone()
            .find(|phone| !is_ready(crowd, *phone))
            .map(|phone| crowd.events(phone))
    );
}

fn call(crowd: &mut Crowd, caller: usize, user: usize) {
    let target = format!("sip:{}@{DOMAIN}", load_user(user));
    crowd.command(caller, Command::Call(target));
}

fn heard(crowd: &Crowd, phone: usize, since: Instant, is_it: fn(&Event) -> bool) -> bool {
    crowd.heard(phone, since, is_it).is_some()
}

/// Whether the side that did not hang up was told.
fn other_heard(crowd: &Crowd, call: usize, since: Instant) -> bool {
    let other = if call.is_multiple_of(2) {
        CALLS + call
    } else {
        call
    };
    heard(crowd, other, since, is_ended_there)
}

fn is_established(event: &Event) -> bool {
    matches!(event, Event::Established { .. })
}

fn is_renewed(event: &Event) -> bool {
    matches!(event, Event::Renewed { .. })
}

fn is_ended_here(event: &Event) -> bool {
    matches!(event, Event::Ended { by: Party::Us, .. })
}

fn is_ended_there(event: &Event) -> bool {
    matches!(
        event,
        Event::Ended {
            by: Party::Them,
            ..
        }
    )
}

const fn killed(bound_s: u64) -> Death {
    Death {
        signal: "-KILL",
        bound: Duration::from_secs(bound_s),
    }
}

// K-3, T-10: silent death
const STOPPED: Death = Death {
    signal: "-STOP",
    bound: Duration::from_secs(4),
};

// H-6 to H-9, H-15, H-16
#[test]
fn a_killed_edge_costs_no_call_over_udp() {
    survive("survival-udp", Transport::Udp, &killed(2));
}

#[test]
fn a_killed_edge_costs_no_call_over_tcp() {
    survive("survival-tcp", Transport::Tcp, &killed(1));
}

#[test]
fn a_killed_edge_costs_no_call_over_tls() {
    survive("survival-tls", Transport::Tls, &killed(1));
}

#[test]
fn a_stopped_edge_costs_no_call_over_udp() {
    survive("survival-stop-udp", Transport::Udp, &STOPPED);
}

#[test]
fn a_stopped_edge_costs_no_call_over_tcp() {
    survive("survival-stop-tcp", Transport::Tcp, &STOPPED);
}

#[test]
fn a_stopped_edge_costs_no_call_over_tls() {
    survive("survival-stop-tls", Transport::Tls, &STOPPED);
}
