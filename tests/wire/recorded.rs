//! What the flight recorder of a node keeps of a request: why it went where it went, and why it
//! came to what it did. Every other test of this folder runs with the recorder on as well.

use super::failover::call_in;
use super::phone::Phone;
use super::silence::call;
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::id::Transport;
use steadfast::limits;

const JOE: &str = "127.0.0.1:5070";

#[test]
fn a_wrong_number_is_the_homes_word() {
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
    let invite = joe.request("INVITE", "sip:nobody@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    assert_eq!(joe.status(&mut world), 404);
    let said = ["answers 404 itself: No Such Subscriber"];
    assert_eq!(world.decisions(HOME, "call-joe"), said);
    assert!(world.decisions(EDGES[0], "call-joe").is_empty());
}

#[test]
fn a_registration_says_which_flow_it_made() {
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
    let said = world.decisions(EDGES[0], "reg-joe-1");
    assert_eq!(
        said,
        ["registered: requests for this phone take udp:127.0.0.1:5070"]
    );
}

#[test]
fn what_is_overtaken_says_by_whom() {
    // T-10
    let mut call = call(Transport::Udp);
    call.world.kill(EDGES[0]);
    call.ann.in_dialog(&mut call.world, EDGES[1], "BYE", 1);
    call.world.pass(limits::T1);
    call.ends_by_the_backup();
    assert_eq!(
        call.world.decisions(HOME, "CSeq: 1 BYE"),
        [
            "sticks to the flow to udp:127.0.0.11:40000: the very URI is bound to it",
            "sticks to the flow to udp:127.0.0.13:40000: an equal URI is bound to it, by another \
             edge of the set",
            "udp:127.0.0.11:40000 says nothing: its stand-by is asked as well",
        ]
    );
    let said = "takes the flow to udp:127.0.0.1:5070, by which the phone registered last";
    assert_eq!(call.world.decisions(EDGES[2], "CSeq: 1 BYE"), [said]);
}

#[test]
fn a_phone_that_is_gone_is_told_by_every_node() {
    // O-5, O-19, O-21
    let mut call = call_in(World::lab(Tokens::Clear));
    let invite = call.ann.request("INVITE", "sip:joe@example.com", 7, "", "");
    call.ann.send(&mut call.world, EDGES[1], &invite);
    assert_eq!(call.ann.status(&mut call.world), 100);
    for edge in [EDGES[0], EDGES[2]] {
        assert!(call.joe.receive(&mut call.world).starts_with("INVITE "));
        call.world.unreachable(edge, JOE);
        let said = [
            "takes the flow to udp:127.0.0.1:5070, by which the phone registered last",
            "udp:127.0.0.1:5070 is not there (ICMP)",
            "answers 430 Flow Failed, since nobody has answered",
        ];
        assert_eq!(call.world.decisions(edge, "CSeq: 7 INVITE"), said);
    }
    assert_eq!(call.ann.status(&mut call.world), 480);
    assert_eq!(
        call.world.decisions(HOME, "CSeq: 7 INVITE"),
        [
            "takes the flow of a contact, to udp:127.0.0.11:40000",
            "takes the flow of a contact, to udp:127.0.0.13:40000",
            "tries udp:127.0.0.13:40000 next, since the way before it came to 430",
            "answers 480 The Phone Cannot Be Reached, since the best that it got is 430",
        ]
    );
    assert!(call.world.decisions(EDGES[1], "CSeq: 7 INVITE").is_empty());
}
