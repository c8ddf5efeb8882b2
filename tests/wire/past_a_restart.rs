//! A node is restarted behind the back of a phone, or of the others, and new calls go on (S-8, S-9,
//! S-12; H-5 to H-8, O-5, O-6).

use super::failover::{Call, take_up};
use super::phone::{Login, Phone};
use super::world::{EDGES, HOME, Tokens, World};

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

#[test]
fn a_new_call_stays_on_the_way_it_found_past_a_restart() {
    // S-8, S-9, S-12: the home has never heard of the edge it turns to, and the
    // phone has one flow only, at an edge that is not the first of its set.
    let mut ways = Vec::new();
    for earlier in 0..8 {
        let mut world = World::lab(Tokens::Clear);
        let mut joe = Phone::new("joe", JOE, true);
        let mut ann = Phone::new("ann", ANN, false);
        joe.register(&mut world, EDGES[0]);
        ann.register(&mut world, EDGES[1]);
        world.restart(HOME);
        // Each of them moves the home's dice on, and teaches it nothing, since
        // a BYE is relayed.
        for cseq in 0..earlier {
            let message = joe.request("BYE", "sip:ann@example.com", 100 + cseq, "", "");
            joe.send(&mut world, EDGES[0], &message);
            let message = ann.receive(&mut world);
            ann.answer(&mut world, EDGES[1], &message, 200, "OK");
            assert_eq!(joe.status(&mut world), 200);
        }
        world.forget();
        let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
        joe.send(&mut world, EDGES[0], &invite);
        assert_eq!(joe.status(&mut world), 100);
        let invite = ann.receive(&mut world);
        ann.answer(&mut world, EDGES[1], &invite, 200, "OK");
        let ok = joe.receive(&mut world);
        joe.dialog(&ok, true);
        // The first edge may have been the wrong one, and said so.
        let way = by_home(&world, "INVITE").pop().unwrap();
        for (method, cseq) in [("ACK", 1), ("BYE", 2)] {
            joe.in_dialog(&mut world, EDGES[0], method, cseq);
            let received = ann.receive(&mut world);
            assert!(received.starts_with(method), "{}", world.ladder());
            let last = by_home(&world, method).pop();
            assert_eq!(last.as_ref(), Some(&way), "{}", world.ladder());
        }
        ways.push(by_home(&world, "INVITE").remove(0));
    }
    for edge in EDGES {
        assert!(ways.iter().any(|way| way == edge), "{ways:?}");
    }
}

/// Where the home sent the requests of that method.
fn by_home(world: &World, method: &str) -> Vec<String> {
    let sent = world
        .trace
        .iter()
        .filter(|seen| seen.from.to_string() == HOME && seen.text.starts_with(method));
    sent.map(|seen| seen.to.to_string()).collect()
}

/// joe's call through an edge that was restarted behind his back: the token of
/// his Service-Route is all that it knows of him. His Record-Route is given too.
fn call_past_a_restart(tokens: Tokens) -> (Call, String) {
    let mut world = World::lab(tokens);
    world.icmp = true;
    let mut joe = Phone::new("joe", JOE, true);
    let mut ann = Phone::new("ann", ANN, true);
    ann.register(&mut world, EDGES[1]);
    joe.register(&mut world, EDGES[0]);
    let mut answers = world.trace.iter().rev();
    let ok = answers.find(|seen| seen.to.to_string() == JOE).unwrap();
    let route = Phone::values(&ok.text, "Service-Route").join(", ");
    world.restart(EDGES[0]);
    let lines = format!("Route: {route}\nSupported: outbound, sticky\n");
    let uri = "sip:ann@example.com";
    let invite = joe.request("INVITE", uri, 1, &lines, "");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    // Nobody vouches for him any more: the home asks who he is.
    let challenge = joe.receive(&mut world);
    let login = Login {
        method: "INVITE",
        uri,
        ..Login::new("joe")
    };
    let proof = login.answer_proxy(&challenge);
    let invite = joe.request("INVITE", uri, 2, &format!("{lines}{proof}"), "");
    joe.send(&mut world, EDGES[0], &invite);
    let (mut call, invite) = take_up(world, joe, ann);
    call.world.forget();
    let recorded = Phone::values(&invite, "Record-Route").split_off(2);
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    (call, recorded[0].clone())
}

#[test]
fn a_call_begun_past_a_restart_outlives_its_edge() {
    // H-5, H-7, H-8, O-6: it names the token that the phone showed, and the flow.
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let (mut call, recorded) = call_past_a_restart(tokens);
        let says = |param| recorded.contains(param);
        assert!(says(";flow=f") && says(";gunk=e1."), "{recorded}");
        call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 1);
        let info = call.world.receive(JOE);
        assert!(info.text.starts_with("INFO "), "{}", call.world.ladder());
        assert_eq!(info.from.to_string(), EDGES[0], "the very flow");
        call.joe
            .answer(&mut call.world, EDGES[0], &info.text, 200, "OK");
        assert_eq!(call.ann.status(&mut call.world), 200);
        call.world.kill(EDGES[0]);
        let backup = call.joe.backup.clone();
        call.joe.in_dialog(&mut call.world, &backup, "INFO", 2);
        assert!(call.ann.receive(&mut call.world).starts_with("INFO "));
        call.ann.in_dialog(&mut call.world, EDGES[1], "BYE", 3);
        let bye = call.world.receive(JOE);
        assert!(bye.text.starts_with("BYE "), "{}", call.world.ladder());
        assert_eq!(bye.from.to_string(), backup);
    }
}

#[test]
fn a_flow_beside_a_token_is_read_under_the_key() {
    // O-5: bent or of an earlier run it says nothing, and the token leads on.
    let (mut call, recorded) = call_past_a_restart(Tokens::Sealed);
    let flow = recorded.split(";flow=").nth(1).unwrap();
    let flow = flow.trim_end_matches('>');
    let other = if &flow[9..10] == "0" { "1" } else { "0" };
    let bent = format!("{}{other}{}", &flow[..9], &flow[10..]);
    assert_ne!(bent, flow);
    let route = format!("Route: {}\n", recorded.replace(flow, &bent));
    let home = Phone::new("ann", HOME, false);
    let info = home.request("MESSAGE", "sip:joe@127.0.0.1:5070", 9, &route, "");
    home.send(&mut call.world, EDGES[0], &info);
    let info = call.world.receive(JOE);
    assert!(info.text.starts_with("MESSAGE "), "{}", info.text);
    assert_eq!(
        info.from.to_string(),
        call.joe.backup,
        "{flow} {}",
        call.world.ladder()
    );
    call.world.restart(EDGES[0]);
    call.ann.in_dialog(&mut call.world, EDGES[1], "BYE", 3);
    let bye = call.world.receive(JOE);
    assert_eq!(bye.from.to_string(), call.joe.backup);
}
