//! Two phones of one user: the best of their answers goes to the caller.

use std::net::UdpSocket;
use std::time::Duration;

use crate::lab::{EDGES, Lab, PHONES, port};
use crate::register::register;
use crate::sipp::Sipp;

/// A lab with joe at e1 and two phones of ann at e2 and e3; the ports of the three.
fn two_phones(test: &str) -> (Lab, u16, [u16; 2]) {
    let lab = Lab::start(test);
    let (joe, ann) = (port(), [port(), port()]);
    register(&lab, "joe", EDGES[0], joe);
    register(&lab, "ann", EDGES[1], ann[0]);
    register(&lab, "ann", EDGES[2], ann[1]);
    (lab, joe, ann)
}

#[test]
fn one_busy_and_one_answers() {
    let (lab, joe, ann) = two_phones("fork-answer");
    let busy = Sipp::new(&lab, "uas_busy", "ann").port(ann[0]).listen();
    let answers = Sipp::new(&lab, "uas_brief", "ann")
        .port(ann[1])
        .option("-d", "300")
        .listen();
    Sipp::new(&lab, "uac_brief", "joe")
        .to(EDGES[0])
        .port(joe)
        .run();
    busy.finish();
    answers.finish();
}

// P-27
#[test]
fn one_answers_and_the_other_stops_ringing() {
    let (lab, joe, ann) = two_phones("fork-cancel");
    let rings = Sipp::new(&lab, "uas_cancel", "ann").port(ann[0]).listen();
    let answers = Sipp::new(&lab, "uas_brief", "ann")
        .port(ann[1])
        .option("-d", "300")
        .listen();
    Sipp::new(&lab, "uac_brief", "joe")
        .to(EDGES[0])
        .port(joe)
        .run();
    answers.finish();
    rings.finish();
}

#[test]
fn both_ring_until_the_caller_gives_up() {
    let (lab, joe, ann) = two_phones("fork-give-up");
    let phones = ann.map(|port| Sipp::new(&lab, "uas_cancel", "ann").port(port).listen());
    Sipp::new(&lab, "uac_cancel", "joe")
        .to(EDGES[0])
        .port(joe)
        .run();
    phones.into_iter().for_each(|phone| drop(phone.finish()));
}

// P-23
#[test]
fn both_busy() {
    let (lab, joe, ann) = two_phones("fork-busy");
    let phones = ann.map(|port| Sipp::new(&lab, "uas_busy", "ann").port(port).listen());
    Sipp::new(&lab, "uac_refused", "joe")
        .to(EDGES[0])
        .port(joe)
        .run();
    phones.into_iter().for_each(|phone| drop(phone.finish()));
}

// P-23: takes the 32 s of Timer B
#[test]
fn one_busy_and_one_silent() {
    let (lab, joe, ann) = two_phones("fork-silent");
    let busy = Sipp::new(&lab, "uas_busy", "ann").port(ann[0]).listen();
    let silent = UdpSocket::bind((PHONES, ann[1])).expect("the silent phone's port is free");
    Sipp::new(&lab, "uac_patience", "joe")
        .to(EDGES[0])
        .port(joe)
        .calls(1, Duration::from_secs(38))
        .run();
    busy.finish();
    silent
        .set_nonblocking(true)
        .expect("a socket can be asked without waiting");
    let mut invite = [0; 6];
    assert_eq!(
        silent.recv(&mut invite).ok(),
        Some(6),
        "the silent phone was never called"
    );
    assert_eq!(&invite, b"INVITE");
}
