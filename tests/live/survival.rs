//! An edge dies with two hundred calls on it, with a bang or without a word,
//! and nobody loses a call (protocol 1.C).

use std::time::Duration;

use steadfast::agent::Command;
use steadfast::id::Transport;
use steadfast::send::{Event, Party};
use steadfast::time::Instant;

use crate::crowd::Crowd;
use crate::lab::{DOMAIN, EDGES, Lab, load_user, steadfast};
use crate::process::Process;

/// Calls that are up when the edge dies.
const CALLS: usize = 200;
/// How many of them are renewed before they end.
const RENEWED: usize = 20;
/// How many go on until the edge is back.
const KEPT: usize = 10;
/// How long the crowd may take to register, or to call.
const STEP_MAX: Duration = Duration::from_secs(60);

/// How an edge dies, and how long its calls may notice.
struct Death {
    signal: &'static str,
    bound: Duration,
}

/// Callers are the phones from 0 on, the called ones those from `CALLS` on.
fn survive(test: &str, transport: Transport, death: &Death) {
    let lab = Lab::start(test);
    let mut crowd = Crowd::new(1, 2 * CALLS, transport, EDGES[0]);
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
    let asked: Vec<_> = renewals.chain(byes).collect();
    let done = |crowd: &Crowd, call: usize, is_it| crowd.heard(side(call), dead, is_it);
    crowd.until(Duration::from_secs(35), |crowd| {
        asked
            .iter()
            .all(|&(call, is_it)| done(crowd, call, is_it).is_some())
            && ended.clone().all(|call| other_heard(crowd, call, dead))
    });
    for &(call, is_it) in &asked {
        match done(&crowd, call, is_it) {
            Some(at) => took.push(at.since(dead)),
            None => {
                lost += 1;
                println!("lost: {:?}", crowd.said(side(call)));
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
            .map(|phone| crowd.said(phone))
    );
}

/// The edge comes back: new phones register and call through it, and what was
/// up all the time still is.
fn recover(lab: &Lab, crowd: &mut Crowd, transport: Transport, death: &Death) {
    let _edge = match death.signal {
        "-STOP" => {
            lab.signal("-CONT", EDGES[0]);
            None
        }
        _ => {
            let mut run = steadfast();
            run.arg("run").arg("--config").arg(lab.path("lab/e1.toml"));
            Some(Process::start("e1", &mut run, lab.path("e1.again")))
        }
    };
    let new = 2 * CALLS;
    crowd.join(new + 1, 1, transport, EDGES[0]);
    let back = crowd.now();
    register(crowd, new..new + 1);
    let e1 = format!("{}:5060", EDGES[0]).parse().expect("an address");
    let by_e1 = |event: &Event| matches!(event, Event::Registered { proxy, .. } if *proxy == e1);
    assert!(
        crowd.said(new).iter().any(|(_, event)| by_e1(event)),
        "{:?}",
        crowd.said(new)
    );
    // One whose first flow died with the edge is reached all the same.
    call(crowd, new, CALLS + KEPT + RENEWED + 1);
    let is_up = |crowd: &Crowd| heard(crowd, new, back, is_established);
    assert!(crowd.until(STEP_MAX, is_up), "{:?}", crowd.said(new));
    let since = crowd.now();
    for kept in 0..KEPT + RENEWED {
        crowd.command(CALLS + kept, Command::Hangup);
    }
    let told =
        |crowd: &Crowd| (0..KEPT + RENEWED).all(|kept| heard(crowd, kept, since, is_ended_there));
    assert!(crowd.until(STEP_MAX, told), "a call that was kept is lost");
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
        crowd.until(STEP_MAX, all),
        "{:?}",
        phones
            .clone()
            .find(|phone| !is_ready(crowd, *phone))
            .map(|phone| crowd.said(phone))
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

// H-6 to H-9, H-16
#[test]
fn a_killed_edge_costs_no_call_over_udp() {
    let bound = Duration::from_secs(2);
    survive(
        "survival-udp",
        Transport::Udp,
        &Death {
            signal: "-KILL",
            bound,
        },
    );
}

#[test]
fn a_killed_edge_costs_no_call_over_tcp() {
    let bound = Duration::from_secs(1);
    survive(
        "survival-tcp",
        Transport::Tcp,
        &Death {
            signal: "-KILL",
            bound,
        },
    );
}

// K-3, 3.20: silent death
#[test]
fn a_stopped_edge_costs_no_call_over_udp() {
    let bound = Duration::from_secs(4);
    survive(
        "survival-stop-udp",
        Transport::Udp,
        &Death {
            signal: "-STOP",
            bound,
        },
    );
}

#[test]
fn a_stopped_edge_costs_no_call_over_tcp() {
    let bound = Duration::from_secs(4);
    survive(
        "survival-stop-tcp",
        Transport::Tcp,
        &Death {
            signal: "-STOP",
            bound,
        },
    );
}
