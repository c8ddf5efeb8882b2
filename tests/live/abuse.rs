//! Attacks on a running lab that counts everybody, while well-behaved phones
//! call each other: their call set-up stays under 50 ms (p99), no call of
//! theirs fails, and the counter that belongs to the attack shows it.
//!
//! Attackers live on 127.66.0.0/16, send a bounded number of datagrams or
//! connections at a bounded rate, and end with the load they disturb.

mod datagrams;
mod places;
mod scanners;
mod streams;

use std::time::Duration;

use crate::lab::{EDGES, Lab, PASSWORD, metric, steadfast};
use crate::process::{Process, poll};

/// Bound on the call set-up of the well-behaved (p99).
const SETUP_MAX_US: f64 = 50_000.0;
/// Rounds, of which the best counts: the machine is not ours alone.
const ROUNDS: usize = 3;
/// How long a load of two seconds may take, and an attack with it.
const LOAD_MAX: Duration = Duration::from_secs(40);
/// How long what ends by time may take to show in a counter.
const COUNTED_MAX: Duration = Duration::from_secs(25);

/// Calls between good phones; p99 of their set-up in microseconds.
fn calls(lab: &Lab, attack: &mut impl FnMut()) -> f64 {
    let mut command = steadfast();
    command.args(["load", "calls-to-registered", "--json", "--outbound"]);
    for edge in &EDGES[..2] {
        command.arg("--to").arg(format!("{edge}:5060"));
    }
    command.args(["--password", PASSWORD, "--phones", "40"]);
    // Edges with TLS ask who a caller over UDP is (`challenge_udp_calls`), which
    // this load does not answer.
    if lab.path("lab/ca.pem").exists() {
        command.args(["--transport", "tcp", "--from", "127.17.0.1"]);
    }
    command.args(["--rate", "100", "--count", "200", "--hold", "100"]);
    let mut process = Process::start("steadfast load", &mut command, lab.path("load.log"));
    let ended = poll(LOAD_MAX, || {
        attack();
        process.ended()
    });
    let said = process.said();
    let has_worked = ended.is_some_and(|status| status.success());
    assert!(has_worked, "{said}\n{}", lab.last_words());
    assert!(said.contains("\"failed\":0,"), "{said}");
    let p99 = said.split_once("\"p99_us\":").map(|(_, rest)| rest);
    let p99 = p99.and_then(|rest| rest.split([',', '}']).next());
    p99.and_then(|p99| p99.parse().ok())
        .unwrap_or_else(|| panic!("no p99 in {said}"))
}

/// The sum of a metric over all nodes.
fn measured(lab: &Lab, name: &str) -> u64 {
    let nodes = ["home", "e1", "e2", "e3"];
    let value = |node: &str| metric(&lab.page(node, "/metrics"), &format!("steadfast_{name}"));
    nodes.into_iter().map(value).sum()
}

/// The sum of a counter over all nodes.
fn counted(lab: &Lab, name: &str) -> u64 {
    measured(lab, &format!("{name}_total"))
}

/// Attacks while phones call; the counter must move.
#[track_caller]
fn withstand(lab: &Lab, what: &str, counter: &str, mut attack: impl FnMut()) {
    let before = counted(lab, counter);
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        best = best.min(calls(lab, &mut attack));
        if best < SETUP_MAX_US {
            break;
        }
    }
    let moved = poll(COUNTED_MAX, || {
        attack();
        let moved = counted(lab, counter) - before;
        (moved > 0).then_some(moved)
    });
    println!("{what}: set-up {best} us (p99), {counter} {moved:?}");
    assert!(moved.is_some(), "{what}: {counter} did not move");
    assert!(
        best < SETUP_MAX_US,
        "{what}: {best} us\n{}",
        lab.last_words()
    );
}
