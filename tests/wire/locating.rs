//! Next hops by name (RFC 3263): requests that wait for the DNS,
//! and what they do with the servers it names.

use super::names::Answers;
use super::peer::{
    CORE, FAR, answer, branch_of, expect, of_invite, request, respond, silent, status,
};
use super::world::{HOME, Tokens, World};
use steadfast::time::Duration;

/// Further servers of the same name.
const SECOND: &str = "127.0.0.8:5060";
const THIRD: &str = "127.0.0.7:5060";
/// Three servers, in order of priority.
const ZONE: &str = "_sip._udp.far.example.net 60 SRV 10 0 5060 a.example.net
    _sip._udp.far.example.net 60 SRV 20 0 5060 b.example.net
    _sip._udp.far.example.net 60 SRV 30 0 5060 c.example.net
    a.example.net 60 A 127.0.0.9
    b.example.net 60 A 127.0.0.8
    c.example.net 60 A 127.0.0.7";

/// A home whose DNS knows far.example.net, and a trusted sender in front of it.
fn world(zone: &str) -> World {
    let mut world = World::lab(Tokens::Clear);
    world.names.zone = zone.to_owned();
    world
}

pub(super) fn invite(branch: &str) -> String {
    request("INVITE", "sip:bob@far.example.net", branch, "")
}

#[test]
fn a_request_waits_for_its_server_and_goes_on() {
    // N-5, N-7, T-2
    let mut world = world(ZONE);
    world.names.answers = Answers::Held;
    world.send(CORE, HOME, &invite("w1"));
    assert_eq!(status(&mut world, CORE), 100, "before the DNS has answered");
    silent(&world, &[CORE, FAR, SECOND, THIRD]);
    // Retransmissions are absorbed meanwhile, and others ask no second time.
    world.send(CORE, HOME, &invite("w1"));
    assert_eq!(status(&mut world, CORE), 100);
    world.send(
        CORE,
        HOME,
        &request("OPTIONS", "sip:eve@FAR.example.net", "w2", ""),
    );
    assert_eq!(world.names.queries, ["far.example.net"]);
    world.pass(Duration::from_secs(2));
    world.answer_names(Answers::AtOnce);
    let first = expect(&mut world, FAR, "INVITE");
    assert!(
        first.starts_with("INVITE sip:bob@far.example.net SIP/2.0\r\n"),
        "{first}"
    );
    let options = expect(&mut world, FAR, "OPTIONS");
    silent(&world, &[SECOND, THIRD]);
    respond(&mut world, FAR, &first, 200);
    respond(&mut world, FAR, &options, 200);
    assert_eq!(
        [status(&mut world, CORE), status(&mut world, CORE)],
        [200, 200]
    );
    // Known by now: no question, no wait.
    world.send(
        CORE,
        HOME,
        &request("OPTIONS", "sip:eve@far.example.net", "w3", ""),
    );
    expect(&mut world, FAR, "OPTIONS");
    assert_eq!(world.names.queries.len(), 1);
    world.drained();
}

#[test]
fn servers_are_tried_in_order_each_with_a_branch_of_its_own() {
    // N-1, N-7, H-19
    let mut world = world(ZONE);
    world.send(CORE, HOME, &invite("o1"));
    assert_eq!(status(&mut world, CORE), 100);
    let first = expect(&mut world, FAR, "INVITE");
    respond(&mut world, FAR, &first, 503);
    expect(&mut world, FAR, "ACK");
    let second = expect(&mut world, SECOND, "INVITE");
    assert_ne!(branch_of(&first), branch_of(&second));
    assert!(second.contains("Max-Forwards: 69\r\n"), "{second}");
    silent(&world, &[CORE, FAR, THIRD]);
    // Silence: retransmissions stay with the server, then the next one.
    world.pass(Duration::from_secs(3));
    assert_eq!(expect(&mut world, SECOND, "INVITE"), second);
    world.unreachable(HOME, SECOND);
    let third = expect(&mut world, THIRD, "INVITE");
    respond(&mut world, THIRD, &third, 486);
    expect(&mut world, THIRD, "ACK");
    assert_eq!(status(&mut world, CORE), 486);
    world.send(CORE, HOME, &of_invite("ACK", &invite("o1")));
    world.drained();
}

#[test]
fn an_answer_of_the_first_server_is_the_answer() {
    // N-7: only 503 sends the request on.
    for refusal in [404, 408, 486, 504] {
        let mut world = world(ZONE);
        world.send(CORE, HOME, &invite("a1"));
        status(&mut world, CORE);
        let first = expect(&mut world, FAR, "INVITE");
        respond(&mut world, FAR, &first, refusal);
        expect(&mut world, FAR, "ACK");
        assert_eq!(status(&mut world, CORE), refusal);
        silent(&world, &[SECOND, THIRD]);
    }
}

#[test]
fn a_server_that_times_out_is_followed_and_then_avoided() {
    // N-7: Timer F without any response.
    let mut world = world(ZONE);
    world.send(
        CORE,
        HOME,
        &request("MESSAGE", "sip:bob@far.example.net", "t1", ""),
    );
    expect(&mut world, FAR, "MESSAGE");
    silent(&world, &[SECOND]);
    world.pass(Duration::from_secs(32));
    let second = expect(&mut world, SECOND, "MESSAGE");
    respond(&mut world, SECOND, &second, 200);
    // The next request has a position of its own, and leaves the silent one for last.
    world.send(
        CORE,
        HOME,
        &request("MESSAGE", "sip:bob@far.example.net", "t2", ""),
    );
    expect(&mut world, SECOND, "MESSAGE");
}

#[test]
fn a_cancel_ends_the_wait() {
    // P-32, P-33
    let mut world = world(ZONE);
    world.names.answers = Answers::Held;
    world.send(CORE, HOME, &invite("c1"));
    assert_eq!(status(&mut world, CORE), 100);
    world.send(CORE, HOME, &of_invite("CANCEL", &invite("c1")));
    assert_eq!(
        [status(&mut world, CORE), status(&mut world, CORE)],
        [200, 487]
    );
    world.send(CORE, HOME, &of_invite("ACK", &invite("c1")));
    world.answer_names(Answers::AtOnce);
    silent(&world, &[CORE, FAR, SECOND, THIRD]);
    world.drained();
}

#[test]
fn a_cancel_after_the_wait_goes_to_the_server_chosen() {
    // N-1
    let mut world = world(ZONE);
    world.send(CORE, HOME, &invite("c2"));
    status(&mut world, CORE);
    let first = expect(&mut world, FAR, "INVITE");
    respond(&mut world, FAR, &first, 180);
    status(&mut world, CORE);
    world.send(CORE, HOME, &of_invite("CANCEL", &invite("c2")));
    assert_eq!(status(&mut world, CORE), 200);
    let cancel = expect(&mut world, FAR, "CANCEL");
    assert_eq!(branch_of(&cancel), branch_of(&first));
    respond(&mut world, FAR, &first, 487);
    assert_eq!(
        branch_of(&expect(&mut world, FAR, "ACK")),
        branch_of(&first)
    );
    assert_eq!(status(&mut world, CORE), 487);
    silent(&world, &[SECOND, THIRD]);
}

#[test]
fn a_silent_dns_ends_the_wait_with_480() {
    let mut world = world(ZONE);
    world.names.answers = Answers::Held;
    world.send(CORE, HOME, &invite("s1"));
    assert_eq!(status(&mut world, CORE), 100);
    world.pass(Duration::from_millis(3_900));
    silent(&world, &[CORE]);
    world.pass(Duration::from_millis(200));
    let refused = world.receive(CORE).text;
    assert!(
        refused.starts_with("SIP/2.0 480 Next Hop Cannot Be Resolved\r\n"),
        "{refused}"
    );
    // Late, and still worth knowing.
    world.answer_names(Answers::AtOnce);
    silent(&world, &[CORE, FAR]);
    world.send(
        CORE,
        HOME,
        &request("OPTIONS", "sip:eve@far.example.net", "s2", ""),
    );
    expect(&mut world, FAR, "OPTIONS");
}

#[test]
fn a_failing_or_lying_dns_is_480_and_left_alone_for_a_while() {
    for answers in [Answers::Failed, Answers::Wrong] {
        let mut world = world(ZONE);
        world.names.answers = answers;
        for branch in ["f1", "f2"] {
            world.send(
                CORE,
                HOME,
                &request("OPTIONS", "sip:eve@far.example.net", branch, ""),
            );
            assert_eq!(status(&mut world, CORE), 480);
        }
        assert_eq!(world.names.queries.len(), 1);
        assert_eq!(world.counter(HOME, "names_failed"), 1);
        world.names.answers = Answers::AtOnce;
        world.pass(Duration::from_secs(2));
        world.send(
            CORE,
            HOME,
            &request("OPTIONS", "sip:eve@far.example.net", "f3", ""),
        );
        expect(&mut world, FAR, "OPTIONS");
        silent(&world, &["127.0.0.66:5060"]);
    }
}

#[test]
fn a_name_that_is_not_there_is_404_for_as_long_as_the_dns_says() {
    // N-11
    let mut world = world("");
    for branch in ["n1", "n2"] {
        world.send(
            CORE,
            HOME,
            &request("OPTIONS", "sip:eve@far.example.net", branch, ""),
        );
        let refused = world.receive(CORE).text;
        assert!(
            refused.starts_with("SIP/2.0 404 Next Hop Cannot Be Resolved\r\n"),
            "{refused}"
        );
    }
    assert_eq!(world.names.queries.len(), 1);
    world.names.zone = ZONE.to_owned();
    world.pass(Duration::from_secs(5));
    world.send(
        CORE,
        HOME,
        &request("OPTIONS", "sip:eve@far.example.net", "n3", ""),
    );
    expect(&mut world, FAR, "OPTIONS");
}

#[test]
fn a_ttl_that_is_over_asks_again() {
    // N-11
    let mut world = world("far.example.net 10 A 127.0.0.9");
    let options = |branch: &str| request("OPTIONS", "sip:eve@far.example.net:5060", branch, "");
    world.send(CORE, HOME, &options("l1"));
    expect(&mut world, FAR, "OPTIONS");
    world.names.zone = "far.example.net 10 A 127.0.0.8".to_owned();
    world.pass(Duration::from_secs(7));
    world.forget();
    world.send(CORE, HOME, &options("l2"));
    expect(&mut world, FAR, "OPTIONS");
    world.pass(Duration::from_secs(3));
    world.forget();
    world.send(CORE, HOME, &options("l3"));
    expect(&mut world, SECOND, "OPTIONS");
    // The DNS dies; what it said last serves on (RFC 8767).
    world.names.answers = Answers::Failed;
    world.pass(Duration::from_secs(60));
    world.forget();
    world.send(CORE, HOME, &options("l4"));
    expect(&mut world, SECOND, "OPTIONS");
    // It lives and the name is gone.
    world.names.answers = Answers::AtOnce;
    world.names.zone.clear();
    world.pass(Duration::from_secs(60));
    world.forget();
    world.send(CORE, HOME, &options("l5"));
    world.send(CORE, HOME, &options("l6"));
    let mut statuses = world.trace.iter();
    assert!(
        statuses
            .rfind(|seen| seen.text.contains("l6"))
            .unwrap()
            .text
            .starts_with("SIP/2.0 404 "),
        "{}",
        world.ladder()
    );
}

#[test]
fn naptr_takes_the_request_to_tcp() {
    // N-4
    let mut world = world(
        "far.example.net 60 NAPTR 10 10 s SIP+D2T _sip._tcp.far.example.net
         far.example.net 60 NAPTR 20 10 s SIP+D2U _sip._udp.far.example.net
         _sip._tcp.far.example.net 60 SRV 0 0 5060 a.example.net
         _sip._udp.far.example.net 60 SRV 0 0 5060 b.example.net
         a.example.net 60 A 127.0.0.9
         b.example.net 60 A 127.0.0.8",
    );
    world.listen(FAR);
    let options = request("OPTIONS", "sip:eve@far.example.net", "p1", "");
    world.send(CORE, HOME, &options);
    let seen = world.receive(FAR);
    assert_eq!(seen.transport, steadfast::id::Transport::Tcp);
    // TCP lost and then refused: the next service, by UDP.
    world.refuse(FAR);
    world.close(FAR, HOME);
    let again = expect(&mut world, SECOND, "OPTIONS");
    respond(&mut world, SECOND, &again, 200);
    assert_eq!(status(&mut world, CORE), 200);
}

#[test]
fn a_name_leads_neither_back_here_nor_to_everybody() {
    for addr in ["127.0.0.10", "224.0.0.1", "255.255.255.255", "0.0.0.0"] {
        let mut world = world(&format!("far.example.net 60 A {addr}"));
        world.send(
            CORE,
            HOME,
            &request("OPTIONS", "sip:eve@far.example.net:5060", "g1", ""),
        );
        assert_eq!(status(&mut world, CORE), 404, "{addr}");
        assert_eq!(world.counter(HOME, "requests_out"), 0, "{addr}");
    }
}

#[test]
fn strangers_ask_nothing() {
    let mut world = world(ZONE);
    let from_nobody = invite("x1").replace(CORE, "127.0.0.99:5060").replace(
        "From: <sip:joe@example.com>",
        "From: <sip:joe@elsewhere.example>",
    );
    world.send("127.0.0.99:5060", HOME, &from_nobody);
    assert_eq!(status(&mut world, "127.0.0.99:5060"), 403);
    assert!(world.names.queries.is_empty(), "{:?}", world.names.queries);
}

#[test]
fn an_ack_takes_the_way_of_its_name() {
    // P-35, N-9
    let mut world = world(ZONE);
    world.send(CORE, HOME, &invite("k1"));
    status(&mut world, CORE);
    let first = expect(&mut world, FAR, "INVITE");
    let ok = answer(&first, 200, "far", "Contact: <sip:bob@far.example.net>\n");
    world.send(FAR, HOME, &ok);
    status(&mut world, CORE);
    let ack = invite("k2")
        .replace("INVITE", "ACK")
        .replace(";tag=j", ";tag=j;x=1");
    world.send(CORE, HOME, &ack);
    expect(&mut world, FAR, "ACK");
    silent(&world, &[SECOND, THIRD]);
}
