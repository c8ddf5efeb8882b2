//! An edge killed in the middle of a call: the BYE finds the way round it.

use std::time::Duration;

use crate::agent::{Agent, Message};
use crate::lab::{EDGES, Lab};

/// Longest time from the BYE to its answer; a person may notice it, no more.
const BYE_MAX: Duration = Duration::from_secs(5);
/// From the answer to the hang-up: the edge is killed in between.
const TALK: &str = "2";

/// Which of the two hangs up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// The one whose edge was killed.
    Bereft,
    /// The other one.
    Other,
}

/// Joe and ann talk, the edge of joe's first flow is killed, the caller hangs up.
fn survive(test: &str, transport: &str, ends: Ends) {
    let lab = Lab::start(test);
    let (caller, callee) = match ends {
        Ends::Bereft => ("joe", "ann"),
        Ends::Other => ("ann", "joe"),
    };
    let edge = |user| if user == "joe" { EDGES[0] } else { EDGES[1] };
    let over = ["--transport", transport];
    let listen = ["--calls", "1", "--ring", "0"];
    let listen = [&over[..], &listen].concat();
    let target = format!("sip:{callee}@example.com");
    let call = [&over[..], &[&target, "--for", TALK]].concat();
    let mut callee = Agent::start(&lab, "listen", callee, edge(callee), &listen);
    callee.until("ready, with 2 of 2 flows");
    let mut caller = Agent::start(&lab, "call", caller, edge(caller), &call);
    callee.until("call 1: answered");
    caller.until("call 1: answered");
    let victim = match ends {
        Ends::Bereft => caller.first_edge(),
        Ends::Other => callee.first_edge(),
    };
    lab.signal("-KILL", victim);
    lab.until_said("was killed by signal 9");

    caller.until("call 1: ended here");
    callee.until("call 1: ended by the other side");
    let (sent, received) = (caller.finish(), callee.finish());
    let bye = request(&sent, "BYE", true);
    let answers = sent.iter().find(|message| message.is_final("BYE"));
    let answer = answers.expect("the BYE has an answer");
    assert_eq!(answer.start(), "SIP/2.0 200 OK", "{answer:#?}");
    let took = answer.at.saturating_sub(bye.at);
    println!(
        "{test}: the BYE round {victim} took {} ms",
        took.as_millis()
    );
    assert!(took < BYE_MAX, "the BYE took {took:?}");
    // What reached the bereft phone, or left it, went through its other edge.
    let proof = match ends {
        Ends::Bereft => answer,
        Ends::Other => request(&received, "BYE", false),
    };
    assert_ne!(proof.peer.to_string(), victim, "{proof:#?}");
}

/// The first request of the method that was sent, or received.
#[track_caller]
fn request<'a>(messages: &'a [Message], method: &str, is_sent: bool) -> &'a Message {
    let mut found = messages.iter().filter(|message| {
        message.is_sent == is_sent && message.start().starts_with(&format!("{method} "))
    });
    found
        .next()
        .unwrap_or_else(|| panic!("no {method}: {messages:#?}"))
}

#[test]
fn a_phone_hangs_up_round_its_dead_edge_over_udp() {
    survive("failover-udp", "udp", Ends::Bereft);
}

#[test]
fn a_phone_hangs_up_round_its_dead_edge_over_tcp() {
    survive("failover-tcp", "tcp", Ends::Bereft);
}

// Step 6 of the worked flow: the home goes round the dead edge.
#[test]
fn a_phone_behind_a_dead_edge_is_hung_up_over_udp() {
    survive("failover-home-udp", "udp", Ends::Other);
}

#[test]
fn a_phone_behind_a_dead_edge_is_hung_up_over_tcp() {
    survive("failover-home-tcp", "tcp", Ends::Other);
}
