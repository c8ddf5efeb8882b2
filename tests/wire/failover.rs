//! Mid-dialog high availability (H-1 to H-19): an edge dies, comes
//! back, or is asked by mistake, and the call goes on.

use super::marks::unmarked;
use super::phone::{Phone, Register};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::limits;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";

/// joe at e1 and ann at e2, each with a backup, in a call that joe made.
pub(crate) struct Call {
    pub(crate) world: World,
    pub(crate) joe: Phone,
    pub(crate) ann: Phone,
}

impl Call {
    /// Joe has got a BYE, takes it over his backup, and ann is told.
    #[track_caller]
    pub(crate) fn ends_by_the_backup(&mut self) {
        let bye = self.joe.receive(&mut self.world);
        assert!(bye.starts_with("BYE "), "{bye}");
        let backup = self.joe.backup.clone();
        self.joe.answer(&mut self.world, &backup, &bye, 200, "OK");
        assert_eq!(self.ann.status(&mut self.world), 200);
    }
}

/// The call in the lab. The network tells of dead nodes.
fn call(tokens: Tokens) -> Call {
    let mut world = World::lab(tokens);
    world.icmp = true;
    call_in(world)
}

/// The call in a world of one's own, and nothing else seen of it.
pub(crate) fn call_in(world: World) -> Call {
    let mut call = call_from_the_start(world);
    call.world.forget();
    call
}

/// A call between joe and ann, with everything that was sent for it in the trace.
pub(crate) fn call_from_the_start(mut world: World) -> Call {
    let mut joe = Phone::new("joe", JOE, true);
    let mut ann = Phone::new("ann", ANN, true);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("INVITE", "sip:ann@example.com", 1, "", ""),
    );
    take_up(world, joe, ann).0
}

/// Ann takes up what joe has just sent, as far as the ACK; her INVITE is given too.
pub(crate) fn take_up(mut world: World, mut joe: Phone, mut ann: Phone) -> (Call, String) {
    assert_eq!(joe.status(&mut world), 100);
    let edge = world.last_to(ann.addr()).from.to_string();
    let invite = ann.receive(&mut world);
    ann.answer(&mut world, &edge, &invite, 200, "OK");
    let ok = joe.receive(&mut world);
    joe.dialog(&ok, true);
    ann.dialog(&invite, false);
    joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
    assert!(ann.receive(&mut world).starts_with("ACK "));
    (Call { world, joe, ann }, invite)
}

#[test]
fn a_mid_dialog_request_takes_the_edge_of_its_dialog() {
    // H-6, S-5, S-8, S-14
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut call = call(tokens);
        let bound = call.world.counter(HOME, "stick_bound");
        assert_eq!(bound, 4 + 2, "two Paths each, and a Record-Route each");
        let before = call.world.counter(HOME, "stick_exact");
        call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 1);
        assert!(call.joe.receive(&mut call.world).starts_with("INFO "));
        assert_eq!(call.world.counter(HOME, "stick_exact"), before + 1);
        let at = call.world.way();
        assert_eq!(at[..2], [EDGES[1].to_owned(), HOME.to_owned()]);
        // S-33: back over the flow that e1 opened.
        assert_eq!(at[2..], ["127.0.0.11:40000", JOE]);
    }
}

#[test]
fn the_home_turns_to_the_backup_when_the_primary_is_dead() {
    // H-7, H-9, H-10, H-16, H-19 (worked flow, step 6)
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut call = call(tokens);
        call.world.kill(EDGES[0]);
        call.ann.in_dialog(&mut call.world, EDGES[1], "BYE", 1);
        let bye = call.joe.receive(&mut call.world);
        assert!(
            bye.starts_with("BYE sip:joe@127.0.0.1:5070 SIP/2.0\r\n"),
            "{bye}"
        );
        assert!(!bye.contains("\r\nRoute: "), "{bye}");
        // H-19: ann's edge, the home, joe's backup; the dead one cost no hop.
        assert!(bye.contains("Max-Forwards: 67\r\n"), "{bye}");
        let backup = call.joe.backup.clone();
        let upstream = backup.replace(":5060", ":40000");
        let at_backup = call
            .world
            .trace
            .iter()
            .find(|seen| seen.to.to_string() == upstream)
            .unwrap();
        assert!(
            at_backup.text.contains(";gunk=e1.p"),
            "H-9: {}",
            at_backup.text
        );
        call.joe.answer(&mut call.world, &backup, &bye, 200, "OK");
        assert_eq!(call.ann.status(&mut call.world), 200);
        assert_eq!(call.world.now.as_micros(), 0, "no timer had to run out");
    }
}

#[test]
fn a_new_call_finds_the_other_flow() {
    // O-19, O-20, S-22
    let mut call = call(Tokens::Clear);
    call.world.kill(EDGES[0]);
    let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
    call.ann.send(&mut call.world, EDGES[1], &invite);
    let received = call.joe.receive(&mut call.world);
    assert!(
        received.starts_with("INVITE sip:joe@127.0.0.1:5070 "),
        "{received}"
    );
    let routes = Phone::values(&received, "Record-Route");
    let backup = &call.joe.backup["127.0.0.1".len()..][..1];
    assert!(
        unmarked(&routes[0]).ends_with(&format!(";gunk=e{backup}>")),
        "{routes:?}"
    );
}

#[test]
fn a_phone_that_is_gone_from_one_flow_is_reached_by_the_other() {
    // O-5, O-11, H-16: the edge is well, its flow to the phone is not. The flow
    // that failed is 430 to the home, so the next reg-id is tried.
    const MOVED: &str = "127.0.0.9:5070";
    let mut call = call(Tokens::Clear);
    let mut register = Register::new("joe", MOVED);
    register.call_id = "moved";
    register.lines = format!(
        "Contact: <sip:joe@{MOVED}>;+sip.instance=\"<urn:uuid:joe>\";reg-id=1\n\
         Supported: path, outbound, alt-proxies\n"
    );
    register.login(&mut call.world, EDGES[0]);
    call.world.kill(MOVED);
    call.world.forget();
    let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
    call.ann.send(&mut call.world, EDGES[1], &invite);
    assert!(call.world.has(JOE), "{}", call.world.ladder());
    let trace = call.world.trace.iter();
    let failed = trace.filter(|seen| seen.text.starts_with("SIP/2.0 430 "));
    assert_eq!(failed.count(), 1, "{}", call.world.ladder());
}

/// Joe's edges are dead, he registers at another one, and ann hangs up there.
#[track_caller]
fn goes_on_at(mut call: Call, dead: [&str; 2], edge: &str, instance: &str) {
    for dead in dead {
        call.world.kill(dead);
    }
    let mut register = Register::new("joe", JOE);
    register.call_id = "again";
    register.lines = format!("Contact: <sip:joe@{JOE}>{instance}\nSupported: path, outbound\n");
    register.login(&mut call.world, edge);
    call.world.forget();
    call.ann.in_dialog(&mut call.world, edge, "BYE", 1);
    let bye = call.joe.receive(&mut call.world);
    assert!(bye.starts_with("BYE "), "{bye}");
    call.joe.answer(&mut call.world, edge, &bye, 200, "OK");
    assert_eq!(call.ann.status(&mut call.world), 200);
}

#[test]
fn a_phone_whose_edges_are_both_dead_is_reached_at_a_third() {
    // S-22: where it has registered since.
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let call = call(tokens);
        let backup = call.joe.backup.clone();
        let instance = ";+sip.instance=\"<urn:uuid:joe>\";reg-id=1";
        goes_on_at(call, [EDGES[0], &backup], EDGES[1], instance);
    }
}

#[test]
fn an_edge_without_the_flow_asks_those_outside_the_set() {
    // H-12: one of the set is dead, the other one has forgotten him.
    for tokens in [Tokens::Clear, Tokens::Sealed] {
        let mut call = call(tokens);
        let backup = call.joe.backup.clone();
        call.world.restart(&backup);
        let instance = ";+sip.instance=\"<urn:uuid:joe>\";reg-id=1";
        goes_on_at(call, [EDGES[0], "127.0.0.9:5060"], EDGES[1], instance);
    }
}

#[test]
fn when_no_edge_has_the_flow_its_failure_is_said_and_no_servers() {
    // O-5, P-24: to an element before the edge a 430, whatever edges are dead.
    let mut call = call(Tokens::Clear);
    let backup = call.joe.backup.clone();
    call.world.kill(EDGES[0]);
    call.world.kill(EDGES[1]);
    call.world.restart(&backup);
    let text = format!(
        "MESSAGE sip:joe@{JOE} SIP/2.0\nVia: SIP/2.0/UDP {HOME};branch=z9hG4bKm\nRoute: {}\n\
         Max-Forwards: 70\nFrom: <sip:x@y>;tag=f\nTo: <sip:joe@example.com>\nCall-ID: m\n\
         CSeq: 1 MESSAGE\nContent-Length: 0\n\n",
        call.ann.route_to_far_edge()
    );
    call.world.send(HOME, &backup, &text);
    let answer = call
        .world
        .trace
        .iter()
        .rfind(|seen| seen.to.to_string() == HOME);
    let answer = &answer.expect("there is an answer").text;
    assert!(answer.starts_with("SIP/2.0 430 "), "{answer}");
}

#[test]
fn a_phone_of_one_flow_is_reached_wherever_it_has_gone() {
    // S-22: the home knows one edge of the set, and tries the two others.
    for (dead, edge) in [(EDGES[1], EDGES[2]), (EDGES[2], EDGES[1])] {
        let mut world = World::lab(Tokens::Clear);
        world.icmp = true;
        let mut joe = Phone::new("joe", JOE, false);
        let mut ann = Phone::new("ann", ANN, false);
        joe.register(&mut world, EDGES[0]);
        ann.register(&mut world, edge);
        let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
        joe.send(&mut world, EDGES[0], &invite);
        let (call, _) = take_up(world, joe, ann);
        goes_on_at(call, [EDGES[0], dead], edge, "");
    }
}

#[test]
fn a_recovered_primary_serves_its_dialogs_by_its_partner() {
    // H-15, H-12
    let mut call = call(Tokens::Sealed);
    call.world.restart(EDGES[0]);
    call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 1);
    let info = call.joe.receive(&mut call.world);
    assert!(info.starts_with("INFO sip:joe@127.0.0.1:5070 "), "{info}");
    assert!(!info.contains("\r\nRoute: "), "{info}");
    assert_eq!(call.world.counter(EDGES[0], "redirects"), 1);
    assert_eq!(call.world.counter(HOME, "redirects_followed"), 1);
    // And what the phone sends to it goes out as ever: its token is still good.
    call.joe.in_dialog(&mut call.world, EDGES[0], "BYE", 5);
    assert!(call.ann.receive(&mut call.world).starts_with("BYE "));
}

#[test]
fn a_home_that_lost_its_table_finds_the_phone() {
    // H-13, S-16, S-31 (worked flow, step 7): any edge knows which are the right ones,
    // also when one of them is dead.
    for dead in [None, Some(EDGES[0]), Some(EDGES[2])] {
        let mut call = call(Tokens::Sealed);
        call.world.restart(HOME);
        if let Some(dead) = dead {
            call.world.kill(dead);
        }
        call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 1);
        let info = call.joe.receive(&mut call.world);
        assert!(info.starts_with("INFO "), "{dead:?}: {info}");
    }
}

#[test]
fn an_ack_finds_its_way_past_a_restart() {
    // P-34, S-20
    let mut call = call(Tokens::Clear);
    call.world.restart(HOME);
    call.joe.in_dialog(&mut call.world, EDGES[0], "ACK", 1);
    assert!(call.ann.receive(&mut call.world).starts_with("ACK "));
}

#[test]
fn when_nobody_is_left_the_caller_hears_it_once() {
    // H-12, O-5, O-21, T-10: both edges of joe have forgotten him.
    let mut call = call(Tokens::Clear);
    let backup = call.joe.backup.clone();
    assert_ne!(backup, EDGES[1], "ann's edge is another one");
    call.world.restart(EDGES[0]);
    call.world.restart(&backup);
    call.ann.in_dialog(&mut call.world, EDGES[1], "BYE", 1);
    assert_eq!(call.ann.status(&mut call.world), 480);
    assert!(!call.world.has(JOE), "{}", call.world.ladder());
    // Each edge of the set asked the other one, and that was all.
    for edge in [EDGES[0], &backup] {
        assert!(call.world.counter(edge, "relays") <= 1);
        assert!(call.world.counter(edge, "flows_failed") >= 1);
    }
}

#[test]
fn an_edge_is_asked_once_for_both_flows_of_a_phone() {
    // S-22: both bindings have one Path, and neither sticks anywhere.
    let mut call = call(Tokens::Clear);
    let backup = call.joe.backup.clone();
    for node in [EDGES[0], &backup, HOME] {
        call.world.restart(node);
    }
    let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
    call.ann.send(&mut call.world, EDGES[1], &invite);
    assert_eq!(call.ann.status(&mut call.world), 100);
    assert_eq!(call.ann.status(&mut call.world), 480);
    for edge in EDGES {
        let trace = call.world.trace.iter();
        let request = trace.filter(|seen| {
            let way = (seen.from.to_string(), seen.to.to_string());
            way == (HOME.to_owned(), edge.to_owned()) && seen.text.starts_with("INVITE ")
        });
        assert_eq!(request.count(), 1, "{edge}\n{}", call.world.ladder());
    }
}

#[test]
fn the_phone_goes_on_by_its_other_flow() {
    // H-8, H-14 (worked flow, step 6): its re-INVITE and its BYE.
    let mut call = call(Tokens::Sealed);
    call.world.kill(EDGES[0]);
    let backup = call.joe.backup.clone();
    call.joe.in_dialog(&mut call.world, &backup, "INVITE", 2);
    assert_eq!(call.joe.status(&mut call.world), 100);
    let invite = call.ann.receive(&mut call.world);
    // P-16: the new edge writes itself into the dialog that goes on.
    let routes = Phone::values(&invite, "Record-Route");
    let index = EDGES.iter().position(|edge| *edge == backup).unwrap() + 1;
    assert!(
        routes[2].ends_with(&format!(";gunk=e{index}>")),
        "{routes:?}"
    );
    call.ann
        .answer(&mut call.world, EDGES[1], &invite, 200, "OK");
    assert_eq!(call.joe.status(&mut call.world), 200);
    call.joe.in_dialog(&mut call.world, &backup, "ACK", 2);
    assert!(call.ann.receive(&mut call.world).starts_with("ACK "));
    call.joe.in_dialog(&mut call.world, &backup, "BYE", 3);
    assert!(call.ann.receive(&mut call.world).starts_with("BYE "));
}

#[test]
fn without_icmp_a_call_still_finds_the_other_flow_by_time() {
    // O-20, T-10: T1 without a sign of life, then the next reg-id.
    let mut call = call(Tokens::Clear);
    call.world.icmp = false;
    call.world.kill(EDGES[0]);
    let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
    call.ann.send(&mut call.world, EDGES[1], &invite);
    assert_eq!(call.ann.status(&mut call.world), 100);
    assert!(!call.world.has(JOE));
    call.world.pass(limits::T1);
    assert!(call.joe.receive(&mut call.world).starts_with("INVITE "));
}

#[test]
fn a_cancel_goes_where_its_invite_went_whatever_is_known_since() {
    // S-20, P-33: joe's flow by that edge is gone from every table.
    let mut call = call(Tokens::Clear);
    let invite = call.ann.request("INVITE", "sip:joe@example.com", 9, "", "");
    call.ann.send(&mut call.world, EDGES[1], &invite);
    assert_eq!(call.ann.status(&mut call.world), 100);
    let rings = call.world.receive(JOE);
    let edge = rings.from.to_string();
    call.joe
        .answer(&mut call.world, &edge, &rings.text, 180, "Ringing");
    assert_eq!(call.ann.status(&mut call.world), 180);
    let mut leaves = Register::new("joe", "127.0.0.1:5079");
    leaves.lines = "Contact: *\nExpires: 0\n".to_owned();
    let gone = leaves.login(&mut call.world, EDGES[2]);
    assert!(gone.starts_with("SIP/2.0 200 "), "{gone}");
    let row = call.world.why(HOME, "sip:joe@example.com");
    assert!(row.0.iter().any(|fact| fact.says.contains("none of joe")));
    let cancel = invite.replace("INVITE", "CANCEL");
    call.ann.send(&mut call.world, EDGES[1], &cancel);
    assert_eq!(call.ann.status(&mut call.world), 200);
    let cancel = call.world.receive(JOE);
    assert!(cancel.text.starts_with("CANCEL "), "{}", cancel.text);
    assert_eq!(cancel.from.to_string(), edge);
}
