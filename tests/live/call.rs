//! Calls between two phones over UDP: the whole life of one, given up, refused.

use crate::lab::{EDGES, Lab, port};
use crate::register::register;
use crate::sipp::Sipp;

/// Registers joe at `EDGES[joe]` and ann at `EDGES[ann]`, then runs the two scenarios against each other.
fn call(test: &str, [joe, ann]: [usize; 2], caller: &'static str, callee: &'static str) {
    let lab = Lab::start(test);
    let (joe_port, ann_port) = (port(), port());
    register(&lab, "joe", EDGES[joe], joe_port);
    register(&lab, "ann", EDGES[ann], ann_port);
    let callee = Sipp::new(&lab, callee, "ann").port(ann_port).listen();
    Sipp::new(&lab, caller, "joe")
        .to(EDGES[joe])
        .port(joe_port)
        .run();
    callee.finish();
}

#[test]
fn a_call_across_two_edges() {
    call("call", [0, 1], "uac_call", "uas_answer");
}

#[test]
fn a_call_inside_one_edge() {
    call("call-one-edge", [0, 0], "uac_call", "uas_answer");
}

// D-U14
#[test]
fn a_call_along_the_service_route() {
    call("service-route", [0, 1], "uac_service_route", "uas_answer");
}

#[test]
fn a_call_given_up_while_it_rings() {
    call("cancel", [0, 1], "uac_cancel", "uas_cancel");
}

#[test]
fn a_call_to_a_busy_phone() {
    call("busy", [0, 1], "uac_refused", "uas_busy");
}

#[test]
fn a_call_to_nobody_registered() {
    let lab = Lab::start("nobody");
    let joe = port();
    register(&lab, "joe", EDGES[0], joe);
    Sipp::new(&lab, "uac_refused", "joe")
        .to(EDGES[0])
        .port(joe)
        .refusal(480)
        .run();
}
