//! Two shards a node: the kernel spreads the flows, and the edges never have to
//! hand anything from one shard to the other.

use crate::lab::{EDGES, Lab, port};
use crate::load::brief_calls;
use crate::register::register;

/// Phones that register, to fall on both shards.
const PHONES: usize = 6;
/// Calls a second, and seconds of it.
const RATE: u32 = 500;
const SECONDS: u32 = 10;

/// Every value of a counter in a node's log, one for each shard and report.
fn counted(log: &str, name: &str) -> Vec<u64> {
    let prefix = format!(" {name}=");
    let rows = log.match_indices(&prefix);
    rows.filter_map(|(at, _)| {
        let rest = &log[at + prefix.len()..];
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
    .collect()
}

#[test]
fn the_edges_of_two_shards_hand_nothing_over() {
    let lab = Lab::start_with("shards", &["--shards", "2"]);
    let (joe, ann) = (port(), port());
    register(&lab, "joe", EDGES[0], joe);
    register(&lab, "ann", EDGES[1], ann);
    // Further contacts of users who are not called.
    for _ in 0..PHONES {
        register(&lab, "joe", EDGES[2], port());
    }
    let calls = RATE * SECONDS;
    brief_calls(&lab, (RATE, calls), (joe, ann));
    for (name, edge) in ["e1", "e2"].iter().zip(EDGES) {
        lab.signal("-USR1", edge);
        let log = lab.log_until(name, |log| counted(log, "requests_in").len() >= 2);
        assert_eq!(counted(&log, "requests_in").len(), 2, "{log}");
        assert!(counted(&log, "requests_in").iter().sum::<u64>() >= u64::from(calls));
        for handed in [
            "handed_over",
            "handed_responses",
            "handed_sends",
            "handoff_drops",
        ] {
            assert_eq!(counted(&log, handed), [0, 0], "{name} {handed}");
        }
    }
}
