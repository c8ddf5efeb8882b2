//! A phone goes on with its dialog over another flow and does not register: its
//! re-INVITE or UPDATE refreshes the target (RFC 3261 §12.2), and what the far side
//! sends from then on reaches it there. Nobody else gets it by saying the same.

use super::attacks::talk;
use super::failover::{Call, take_up};
use super::marks::mark_of;
use super::peer;
use super::phone::{Phone, Register};
use super::ways::{FOREIGN, before_a_foreign_home, call_by_bob, of_bob};
use super::world::{EDGES, HOME, Tokens, World};
use steadfast::limits;
use steadfast::time::Duration;

const JOE: &str = "127.0.0.1:5070";
const ANN: &str = "127.0.0.1:5080";
/// Where joe is later: his address translation has given him another port.
const MOVED: &str = "127.0.0.1:5071";
/// Somebody who has nothing to do with it.
const STRANGER: &str = "198.51.100.66:5070";

/// Who made the call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Made {
    ByJoe,
    ByAnn,
}

/// joe, who is at e1, or nowhere, in a call with ann at e2. Phones of one shard
/// each, where there are several: joe's is the first.
fn call(width: u8, made: Made, is_registered: bool) -> Call {
    let answers = |_, edge: &mut steadfast::edge::Settings| {
        edge.rules.strangers = steadfast::trust::Strangers::Answer;
    };
    let mut world = World::wide(width, Tokens::Sealed, |_| (), answers);
    for at in [JOE, ANN] {
        world.steer(at, 0);
    }
    for at in [MOVED, STRANGER] {
        world.steer(at, usize::from(width - 1));
    }
    let mut ann = Phone::new("ann", ANN, false);
    ann.register(&mut world, EDGES[1]);
    let mut joe = Phone::foreign("joe", JOE);
    if is_registered {
        joe = Phone::new("joe", JOE, false);
        joe.register(&mut world, EDGES[0]);
    }
    if made == Made::ByJoe {
        let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
        joe.send(&mut world, EDGES[0], &invite);
        return take_up(world, joe, ann).0;
    }
    let sides = ((&mut ann, EDGES[1]), (&mut joe, EDGES[0]));
    talk(&mut world, sides.0, sides.1, "sip:joe@example.com");
    Call { world, joe, ann }
}

/// joe, who is connected to his edge, in a call with ann that he has made.
fn call_over_a_connection(width: u8) -> Call {
    let mut world = World::wide(width, Tokens::Sealed, |_| (), |_, _| ());
    world.steer(JOE, 0);
    world.steer(MOVED, usize::from(width - 1));
    world.connect(JOE, EDGES[0]);
    let mut joe = Phone::new("joe", JOE, false);
    let mut ann = Phone::new("ann", ANN, false);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[1]);
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    take_up(world, joe, ann).0
}

/// All calls that there can be: who made it, whether joe is registered, and on how
/// many shards.
fn calls() -> impl Iterator<Item = (Call, u8)> {
    let widths = [1, 2].into_iter();
    widths.flat_map(|width| {
        let kinds = [
            (Made::ByJoe, true),
            (Made::ByAnn, true),
            (Made::ByJoe, false),
        ];
        kinds
            .into_iter()
            .map(move |(made, is_registered)| (call(width, made, is_registered), width))
    })
}

/// joe at another address, with all that he knows.
fn moved(joe: &Phone, addr: &'static str) -> Phone {
    let mut moved = Phone::new("joe", addr, false);
    moved.enter(joe);
    moved
}

impl Call {
    /// ann sends a request; where it comes to among these, and it is answered there.
    #[track_caller]
    fn arrives(&mut self, method: &str, cseq: u32, at: &'static str) {
        let Self { world, joe, ann } = self;
        let seen = world.trace.len();
        ann.in_dialog(world, EDGES[1], method, cseq);
        let came = world.trace[seen..].iter().filter(|seen| {
            let to = seen.to.to_string();
            [JOE, MOVED, STRANGER].contains(&&to[..]) && seen.text.starts_with(method)
        });
        let came: Vec<_> = came.map(|seen| seen.to.to_string()).collect();
        assert_eq!(came, [at], "{method}\n{}", world.ladder());
        let request = world.receive(at);
        let there = moved(joe, at);
        there.answer(world, &request.from.to_string(), &request.text, 200, "OK");
        assert_eq!(
            ann.status(world),
            if method == "INVITE" { 100 } else { 200 }
        );
        if method == "INVITE" {
            assert_eq!(ann.status(world), 200);
            ann.in_dialog(world, EDGES[1], "ACK", cseq);
            assert!(world.receive(at).text.starts_with("ACK "));
        }
    }

    /// joe refreshes the dialog from there; ann says `status`.
    #[track_caller]
    fn refreshes(&mut self, from: &Phone, method: &str, cseq: u32, status: u16) {
        self.refreshes_at(EDGES[0], from, method, cseq, status);
    }

    #[track_caller]
    fn refreshes_at(&mut self, edge: &str, from: &Phone, method: &str, cseq: u32, status: u16) {
        let Self { world, ann, .. } = self;
        from.in_dialog(world, edge, method, cseq);
        let request = ann.receive(world);
        assert!(request.starts_with(method), "{request}");
        ann.answer(world, EDGES[1], &request, status, "As Said");
        if method == "INVITE" {
            assert_eq!(from.status(world), 100);
            if status >= 300 {
                assert!(ann.receive(world).starts_with("ACK "));
            }
        }
        assert_eq!(from.status(world), status, "{}", world.ladder());
        if method == "INVITE" && status == 200 {
            from.in_dialog(world, edge, "ACK", cseq);
            assert!(ann.receive(world).starts_with("ACK "));
        }
    }

    fn refreshed(&self) -> u64 {
        self.world.counter(EDGES[0], "refreshed")
    }
}

#[test]
fn what_the_far_side_sends_follows_a_re_invite() {
    // RFC 3261 §12.2.1.1, §12.2.1.2: every kind of request, and the ACK.
    for (mut call, width) in calls() {
        let joe = moved(&call.joe, MOVED);
        call.arrives("INFO", 5, JOE);
        call.refreshes(&joe, "INVITE", 20, 200);
        for (cseq, method) in (6..).zip(["INFO", "UPDATE", "INVITE", "MESSAGE", "BYE"]) {
            call.arrives(method, cseq, MOVED);
        }
        assert_eq!(call.refreshed(), 1, "{width} shards");
        call.world.drained();
    }
}

#[test]
fn what_the_far_side_sends_follows_an_update() {
    for (mut call, _) in calls() {
        let joe = moved(&call.joe, MOVED);
        call.refreshes(&joe, "UPDATE", 20, 200);
        call.arrives("INFO", 5, MOVED);
        // Back again, over the flow that the dialog was recorded on.
        let back = moved(&call.joe, JOE);
        call.refreshes(&back, "UPDATE", 21, 200);
        call.arrives("INFO", 6, JOE);
    }
}

#[test]
fn a_dialog_that_has_moved_stays_where_it_is_under_another_key() {
    for (mut call, width) in calls() {
        let joe = moved(&call.joe, MOVED);
        call.refreshes(&joe, "INVITE", 20, 200);
        call.arrives("INFO", 5, MOVED);
        for edge in EDGES {
            call.world.reconfigure_edge(edge, |edge| {
                edge.token_keys.insert(0, [8; 64]);
                (edge.flow_key, edge.older_flow_keys) = ([4; 32], vec![[3; 32]]);
            });
        }
        call.arrives("INFO", 6, MOVED);
        let back = moved(&call.joe, JOE);
        call.refreshes(&back, "UPDATE", 21, 200);
        call.arrives("BYE", 7, JOE);
        assert_eq!(
            call.world.counter(EDGES[0], "unmarked"),
            0,
            "{width} shards"
        );
    }
}

#[test]
fn a_new_connection_takes_the_place_of_one_that_is_gone() {
    // Where the old flow is known to be gone, the answer was 480.
    for width in [1, 2] {
        let mut call = call_over_a_connection(width);
        call.world.close(JOE, EDGES[0]);
        call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 5);
        assert_eq!(call.ann.status(&mut call.world), 480);
        call.world.connect(MOVED, EDGES[0]);
        let joe = moved(&call.joe, MOVED);
        call.refreshes(&joe, "INVITE", 20, 200);
        call.arrives("INFO", 6, MOVED);
        // It dies with its connection, and nobody else gets what is sent.
        call.world.close(MOVED, EDGES[0]);
        call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 7);
        assert_eq!(call.ann.status(&mut call.world), 480);
    }
}

#[test]
fn an_invite_counts_once_it_is_acknowledged() {
    for (mut call, _) in calls() {
        let joe = moved(&call.joe, MOVED);
        let (world, ann) = (&mut call.world, &call.ann);
        joe.in_dialog(world, EDGES[0], "INVITE", 20);
        let request = ann.receive(world);
        call.arrives("INFO", 5, JOE);
        let (world, ann) = (&mut call.world, &call.ann);
        ann.answer(world, EDGES[1], &request, 200, "OK");
        assert_eq!((joe.status(world), joe.status(world)), (100, 200));
        call.arrives("INFO", 6, JOE);
        let (world, ann) = (&mut call.world, &call.ann);
        joe.in_dialog(world, EDGES[0], "ACK", 20);
        assert!(ann.receive(world).starts_with("ACK "));
        call.arrives("INFO", 7, MOVED);
    }
}

#[test]
fn what_is_refused_changes_nothing() {
    // RFC 3261 §12.2.2: one that is sent again is older than the dialog: 500.
    for status in [488, 491, 500] {
        for (mut call, _) in calls() {
            let joe = moved(&call.joe, MOVED);
            call.refreshes(&joe, "INVITE", 20, status);
            call.refreshes(&joe, "UPDATE", 21, status);
            call.arrives("INFO", 5, JOE);
            assert_eq!(call.refreshed(), 0);
        }
    }
}

#[test]
fn a_registration_is_newer_evidence_than_a_refresh() {
    for width in [1, 2] {
        let mut call = call(width, Made::ByJoe, true);
        let joe = moved(&call.joe, MOVED);
        call.refreshes(&joe, "UPDATE", 20, 200);
        call.arrives("INFO", 5, MOVED);
        // The phone itself, as it registers time and again.
        let mut again = Register::new("joe", JOE);
        again.lines = format!("Contact: <sip:joe@{JOE}>\nSupported: path\n");
        again.call_id = "again";
        let ok = again.login(&mut call.world, EDGES[0]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        call.arrives("INFO", 6, JOE);
    }
}

#[test]
fn a_stranger_gets_nothing_by_what_he_knows_of_a_dialog() {
    // I-11: Call-ID, tags and Routes, without the mark of joe's side.
    for (mut call, _) in calls() {
        let own = call.joe.routes.clone();
        let mark = own.iter().find(|route| route.contains(";dlg=")).unwrap();
        let mark = mark_of(mark).to_owned();
        let bent = format!("{}0", &mark[..mark.len() - 1]);
        let other = format!("{}1", &mark[..mark.len() - 1]);
        let forged = if bent == mark { other } else { bent };
        for (index, routes) in [
            own.iter()
                .map(|route| route.replace(&format!(";dlg={mark}"), ""))
                .collect::<Vec<_>>(),
            own.iter()
                .map(|route| route.replace(&mark, &forged))
                .collect(),
        ]
        .into_iter()
        .enumerate()
        {
            for from in [MOVED, STRANGER] {
                let mut stranger = moved(&call.joe, from);
                stranger.routes = routes.clone();
                let cseq = 30 + u32::try_from(index).unwrap();
                for method in ["UPDATE", "INVITE"] {
                    stranger.in_dialog(&mut call.world, EDGES[0], method, cseq);
                    call.world.pass(limits::T1);
                }
            }
        }
        assert!(!call.world.has(ANN), "{}", call.world.ladder());
        call.world.forget();
        call.arrives("INFO", 5, JOE);
        assert_eq!(call.refreshed(), 0);
    }
}

#[test]
fn the_far_side_cannot_take_the_other_one_over() {
    // ann has a mark of the same dialog, which leads to joe and nowhere else.
    for (mut call, _) in calls() {
        for from in [MOVED, STRANGER] {
            // As joe, by the values that she knows.
            let mut thief = moved(&call.joe, from);
            thief.routes = call.ann.routes.clone();
            thief.routes.reverse();
            for method in ["UPDATE", "INVITE"] {
                thief.in_dialog(&mut call.world, EDGES[0], method, 40);
            }
            call.world.pass(limits::T1);
        }
        call.world.forget();
        call.arrives("INFO", 5, JOE);
        assert_eq!(call.refreshed(), 0);
    }
}

#[test]
fn an_address_that_may_be_forged_gets_nothing() {
    // I-13: whoever has seen joe's mark writes another one's address into a
    // datagram, and ann takes it for joe's.
    for (mut call, _) in calls() {
        get_nothing_by_a_forged_address(&mut call, (STRANGER, 50));
        // Nor is it his where another phone is registered.
        Phone::new("ann", MOVED, false).register(&mut call.world, EDGES[0]);
        call.world.forget();
        get_nothing_by_a_forged_address(&mut call, (MOVED, 60));
    }
}

#[track_caller]
fn get_nothing_by_a_forged_address(call: &mut Call, (address, cseq): (&'static str, u32)) {
    let forged = moved(&call.joe, address);
    let (world, ann) = (&mut call.world, &call.ann);
    for (cseq, method) in [(cseq, "UPDATE"), (cseq + 1, "INVITE")] {
        forged.in_dialog(world, EDGES[0], method, cseq);
        let request = ann.receive(world);
        ann.answer(world, EDGES[1], &request, 200, "OK");
    }
    forged.in_dialog(world, EDGES[0], "ACK", cseq + 1);
    assert!(ann.receive(world).starts_with("ACK "));
    call.world.forget();
    call.arrives("INFO", cseq, JOE);
    assert_eq!(call.refreshed(), 0);
}

#[test]
fn a_fork_of_the_same_call_is_another_phone() {
    // joe is called at two phones. One of them, which the call does not go on with,
    // shows its own mark under the other one's tag, and ann believes it.
    for width in [1, 2] {
        let mut world = World::wide(width, Tokens::Sealed, |_| (), |_, _| ());
        let mut ann = Phone::new("ann", ANN, false);
        ann.register(&mut world, EDGES[1]);
        for (from, call_id) in [(JOE, "one"), (MOVED, "two")] {
            let mut register = Register::new("joe", from);
            register.call_id = call_id;
            register.lines = format!("Contact: <sip:joe@{from}>\nSupported: path\n");
            assert!(
                register
                    .login(&mut world, EDGES[0])
                    .starts_with("SIP/2.0 200 ")
            );
        }
        let invite = ann.request("INVITE", "sip:joe@example.com", 1, "", "");
        ann.send(&mut world, EDGES[1], &invite);
        assert_eq!(ann.status(&mut world), 100);
        let (mut joe, mut thief) = (
            Phone::new("joe", JOE, false),
            Phone::new("joe", MOVED, false),
        );
        let invites = [JOE, MOVED].map(|at| world.receive(at).text);
        joe.answer(&mut world, EDGES[0], &invites[0], 200, "OK");
        let ok = ann.receive(&mut world);
        ann.dialog(&ok, true);
        joe.dialog(&invites[0], false);
        thief.dialog(&invites[1], false);
        ann.in_dialog(&mut world, EDGES[1], "ACK", 1);
        world.forget();
        let mut call = Call { world, joe, ann };
        // From a flow that is not registered for him either.
        let mut there = Phone::new("joe", "127.0.0.1:5072", false);
        there.enter(&thief);
        call.refreshes(&there, "UPDATE", 20, 200);
        call.arrives("INFO", 5, JOE);
    }
}

#[test]
fn a_home_that_knows_nothing_of_it_need_not() {
    // It sends by the route set, and its edge knows where the phone is now.
    for width in [1, 2] {
        let (mut world, path) = before_a_foreign_home(width);
        world.steer(MOVED, usize::from(width - 1));
        let (joe, routes) = call_by_bob(&mut world, &path);
        // joe goes on; nothing but the edge is between them.
        let there = moved(&joe, MOVED);
        there.in_dialog(&mut world, EDGES[0], "INVITE", 7);
        let request = world.receive(FOREIGN);
        assert!(
            request.text.starts_with("INVITE sip:bob@"),
            "{}",
            request.text
        );
        let contact = format!("Contact: <sip:bob@{FOREIGN}>\n");
        let ok = peer::answer(&request.text, 200, "", &contact);
        world.send(FOREIGN, &request.from.to_string(), &ok);
        assert_eq!(
            (there.status(&mut world), there.status(&mut world)),
            (100, 200)
        );
        there.in_dialog(&mut world, EDGES[0], "ACK", 7);
        assert!(world.receive(FOREIGN).text.starts_with("ACK "));
        for (cseq, method) in [(2, "INFO"), (3, "BYE")] {
            let request = of_bob(method, cseq, (&routes, ";tag=joe"));
            world.send(FOREIGN, EDGES[0], &request);
            let came = world.receive(MOVED);
            assert!(came.text.starts_with(method), "{}", world.ladder());
            there.answer(&mut world, &came.from.to_string(), &came.text, 200, "OK");
            assert_eq!(peer::status(&mut world, FOREIGN), 200);
        }
        assert!(!world.has(JOE));
    }
}

#[test]
fn nothing_is_kept_of_a_call_that_has_ended() {
    let mut call = call(1, Made::ByJoe, true);
    let joe = moved(&call.joe, MOVED);
    call.refreshes(&joe, "UPDATE", 20, 200);
    assert_eq!(call.world.gauge(EDGES[0], "refreshed_dialogs"), 1);
    call.arrives("BYE", 5, MOVED);
    assert_eq!(call.world.gauge(EDGES[0], "refreshed_dialogs"), 0);
    call.world.pass(Duration::from_secs(1));
    assert_eq!(call.world.gauge(HOME, "registered"), 2);
}

#[test]
fn another_edge_takes_the_dialog_with_the_connection() {
    // The phone has lost its connection, and its names lead to another edge. It does
    // not register there, or not yet.
    for width in [1, 2] {
        for edge in [EDGES[1], EDGES[2]] {
            let mut call = call_over_a_connection(width);
            call.world.close(JOE, EDGES[0]);
            call.world.connect(MOVED, edge);
            let joe = moved(&call.joe, MOVED);
            call.refreshes_at(edge, &joe, "INVITE", 20, 200);
            for (cseq, method) in (5..).zip(["INFO", "INVITE", "UPDATE", "BYE"]) {
                call.arrives(method, cseq, MOVED);
            }
        }
    }
}
