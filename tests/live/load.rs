//! Calls at a rate, without one failure or retransmission.

use std::time::Duration;

use crate::lab::{EDGES, Lab, port};
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
