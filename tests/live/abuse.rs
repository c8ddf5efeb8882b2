//! Attacks on a running lab that counts everybody, while well-behaved phones
//! call each other: their call set-up stays under 50 ms (p99), no call of
//! theirs fails, and the counter that belongs to the attack shows it.
//!
//! Attackers live on 127.66.0.0/16, send a bounded number of datagrams or
//! connections at a bounded rate, and end with the load they disturb.

mod closes;
mod datagrams;
mod icmp;
mod memory;
mod mob;
mod places;
mod scanners;
mod silent;
mod streams;

use std::time::Duration;

use crate::generator::number;
use crate::lab::{EDGES, Lab, PASSWORD, metric, steadfast_load};
use crate::process::{Process, poll};

/// Bound on the call set-up of the well-behaved (p99).
const SETUP_MAX_US: f64 = 50_000.0;
/// Rounds, of which the best counts: the machine is not ours alone.
const ROUNDS: usize = 3;
/// Good calls of one round, a hundred a second.
const CALLS: u32 = 200;
/// How long a load of a few seconds may take, and an attack with it.
const LOAD_MAX: Duration = Duration::from_secs(40);
/// How long nodes may be late with what came before an attack: until then they
/// refuse the first registration of the phones that are to call.
const CALM_MAX: Duration = Duration::from_secs(30);
/// How long what ends by time may take to show in a counter.
const COUNTED_MAX: Duration = Duration::from_secs(25);

/// Calls between good phones; p99 of their set-up in microseconds.
fn calls(lab: &Lab, count: u32, attack: &mut impl FnMut()) -> f64 {
    let mut command = steadfast_load();
    command.args(["calls-to-registered", "--json", "--outbound"]);
    for edge in &EDGES[..2] {
        command.arg("--to").arg(format!("{edge}:5060"));
    }
    command.args(["--password", PASSWORD, "--phones", "40"]);
    // Edges with TLS ask who a caller over UDP is (`challenge_udp_calls`), which
    // this load does not answer.
    if lab.path("lab/ca.pem").exists() {
        command.args(["--transport", "tcp", "--from", "127.17.0.1"]);
    }
    command.args(["--rate", "100", "--hold", "100"]);
    command.arg("--count").arg(count.to_string());
    let mut process = Process::start("steadfast-load", &mut command, lab.path("load.log"));
    let ended = poll(LOAD_MAX, || {
        attack();
        process.ended()
    });
    let output = process.output();
    let has_worked = ended.is_some_and(|status| status.success());
    assert!(has_worked, "{output}\n{}", lab.last_words());
    assert_eq!(number(&output, "failed"), 0.0, "{output}");
    number(&output, "p99_us")
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

/// Attacks while phones call; by how much the counter has moved, which it must.
#[track_caller]
fn withstand(lab: &Lab, what: &str, counter: &str, attack: impl FnMut()) -> u64 {
    withstand_for(lab, CALLS, what, counter, attack)
}

/// Holds that a lab withstands an attack, with `count` calls a round.
#[track_caller]
fn withstand_for(
    lab: &Lab,
    count: u32,
    what: &str,
    counter: &str,
    mut attack: impl FnMut(),
) -> u64 {
    let calm = poll(CALM_MAX, || {
        (measured(lab, "shed_percent") == 0).then_some(())
    });
    assert!(calm.is_some(), "{what}: still late: {}", lab.last_words());
    let before = counted(lab, counter);
    let mut rounds = Vec::new();
    let is_good = |p99: &f64| *p99 < SETUP_MAX_US;
    while rounds.len() < ROUNDS && !rounds.iter().any(is_good) {
        rounds.push(calls(lab, count, &mut attack));
    }
    let moved = poll(COUNTED_MAX, || {
        attack();
        let moved = counted(lab, counter) - before;
        (moved > 0).then_some(moved)
    });
    println!("{what}: set-up {rounds:?} us (p99), {counter} {moved:?}");
    if !rounds.iter().any(is_good) {
        let alone = calls(lab, count, &mut || ());
        let words = lab.last_words();
        panic!("{what}: {rounds:?} us, and without it {alone} us\n{words}");
    }
    moved.unwrap_or_else(|| panic!("{what}: {counter} did not move"))
}
