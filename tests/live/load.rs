//! Calls at a rate, without one failure or retransmission.

use std::time::Duration;

use crate::lab::{EDGES, HOME, Lab, metric, port};
use crate::register::register;
use crate::sipp::Sipp;

/// Calls a second.
const RATE: u32 = 500;
/// Seconds of it.
const SECONDS: u32 = 10;

#[test]
fn five_hundred_calls_a_second_for_ten_seconds() {
    let lab = Lab::start("load");
    let (joe, ann) = (port(), port());
    register(&lab, "joe", EDGES[0], joe);
    register(&lab, "ann", EDGES[1], ann);
    brief_calls(&lab, (RATE, RATE * SECONDS), (joe, ann));
}

/// A socket that is connected remembers that nobody was there, and has to get over it.
#[test]
fn a_home_that_is_started_again_is_reached_by_the_socket_that_was_connected_to_it() {
    let lab = Lab::start("load-home-again");
    let (joe, ann) = (port(), port());
    register(&lab, "joe", EDGES[0], joe);
    register(&lab, "ann", EDGES[1], ann);
    brief_calls(&lab, (100, 200), (joe, ann));
    for edge in ["e1", "e2"] {
        let page = lab.page(edge, "/metrics");
        let connected = metric(&page, "steadfast_udp_peers_connected_total");
        assert_eq!(connected, 1, "{edge} has one home\n{page}");
    }
    lab.signal("-9", HOME);
    for edge in ["e1", "e2"] {
        lab.log_until(edge, |log| log.contains("peer is down"));
    }
    let _home = lab.start_again("home");
    for edge in ["e1", "e2"] {
        let again = |log: &str| {
            log.rsplit("peer is down")
                .next()
                .map(|it| it.contains("peer is up"))
        };
        lab.log_until(edge, |log| again(log) == Some(true));
    }
    brief_calls(&lab, (100, 200), (joe, ann));
    let page = lab.page("e1", "/metrics");
    assert_eq!(metric(&page, "steadfast_udp_peers_connected_total"), 1);
}

/// Has joe's phone call ann's at a rate, so many times, none of which fails;
/// these are their ports.
pub(crate) fn brief_calls(lab: &Lab, (rate, calls): (u32, u32), (joe, ann): (u16, u16)) {
    let limit = Duration::from_secs(40);
    let callee = Sipp::new(lab, "uas_brief", "ann")
        .port(ann)
        .calls(calls, limit)
        .listen();
    let caller = Sipp::new(lab, "uac_brief", "joe")
        .to(EDGES[0])
        .port(joe)
        .calls(calls, limit);
    caller
        .option("-r", &rate.to_string())
        .option("-l", &calls.to_string())
        .run();
    callee.finish();
}
