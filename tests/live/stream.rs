//! Phones on TCP: registration and calls share one connection.

use crate::lab::{EDGES, Lab, port};
use crate::register::register;
use crate::sipp::{Running, Sipp, Transport, scenario_path};

/// Ann's phone, registered over TCP at `edge`, or at a tunnel that leads there;
/// it answers calls on that connection.
pub(crate) fn ann_on_tcp(lab: &Lab, edge: &'static str) -> Running {
    let answer = scenario_path("uas_answer").display().to_string();
    let phone = Sipp::new(lab, "register_hold", "ann")
        .to(edge)
        .over(Transport::Tcp);
    phone
        .option("-oocsf", &answer)
        .start()
        .until_logged("registered")
}

#[test]
fn a_call_from_tcp_to_tcp() {
    let lab = Lab::start("tcp-tcp");
    let ann = ann_on_tcp(&lab, EDGES[1]);
    Sipp::new(&lab, "uac_service_route", "joe")
        .to(EDGES[0])
        .over(Transport::Tcp)
        .run();
    drop(ann);
}

#[test]
fn a_call_from_udp_to_tcp() {
    let lab = Lab::start("udp-tcp");
    let ann = ann_on_tcp(&lab, EDGES[1]);
    let joe = port();
    register(&lab, "joe", EDGES[0], joe);
    Sipp::new(&lab, "uac_call", "joe")
        .to(EDGES[0])
        .port(joe)
        .run();
    drop(ann);
}

#[test]
fn a_call_from_tcp_to_udp() {
    let lab = Lab::start("tcp-udp");
    let port = port();
    register(&lab, "ann", EDGES[1], port);
    let ann = Sipp::new(&lab, "uas_answer", "ann").port(port).listen();
    Sipp::new(&lab, "uac_service_route", "joe")
        .to(EDGES[0])
        .over(Transport::Tcp)
        .run();
    ann.finish();
}
