//! A registration that replaces another one takes its dialogs along, wherever the
//! phone has gone (`home::moved_dialogs`; RFC 5626 §6, RFC 3261 §10.3): to another edge, to
//! another address, with an instance and without.

use super::attacks::talk;
use super::marks::mark_of;
use super::peer;
use super::phone::{Phone, Register};
use super::ways::{FOREIGN, before_a_foreign_home, call_by_bob, of_bob, register_there};
use super::world::{EDGES, HOME, Tokens, World};

const JOE: &str = "127.0.0.1:5070";
const MOVED: &str = "127.0.0.1:5071";
const ANN: &str = "127.0.0.1:5080";

/// What tells joe's phone from his others.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// RFC 5626: an instance and a number for the flow.
    Flow,
    /// An instance and nothing else; its contact is where it is.
    Instance,
    /// Its contact, which it does not know to be behind an address translation.
    Contact,
}

const ALL: [Told; 3] = [Told::Flow, Told::Instance, Told::Contact];

impl Told {
    fn lines(self, at: &str) -> String {
        let instance = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-00000000000a>\"";
        match self {
            Self::Flow => {
                format!("Contact: <sip:joe@{at}>;{instance};reg-id=1\nSupported: path, outbound\n")
            }
            Self::Instance => format!("Contact: <sip:joe@{at}>;{instance}\nSupported: path\n"),
            Self::Contact => format!("Contact: <sip:joe@{JOE}>\nSupported: path\n"),
        }
    }

    /// Registers joe from there; the edges of his token.
    #[track_caller]
    fn register(self, world: &mut World, (from, edge): (&str, &str), call_id: &str) -> String {
        let mut register = Register::new("joe", from);
        register.lines = self.lines(from);
        register.call_id = call_id;
        let ok = register.login(world, edge);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        let path = Phone::values(&ok, "Path").remove(0);
        path.split('+')
            .skip(1)
            .take(2)
            .collect::<Vec<_>>()
            .join("+")
    }
}

/// joe at e1 in a call with ann, which he or she has made; and the edges that his
/// token names.
fn call(width: u8, told: Told, is_made_by_joe: bool) -> (World, Phone, Phone, String) {
    let mut world = World::wide(width, Tokens::Clear, |_| (), |_, _| ());
    let mut joe = Phone::new("joe", JOE, false);
    let mut ann = Phone::new("ann", ANN, false);
    let edges = told.register(&mut world, (JOE, EDGES[0]), "first");
    ann.register(&mut world, EDGES[1]);
    let (caller, called, at) = if is_made_by_joe {
        (&mut joe, &mut ann, [EDGES[0], EDGES[1]])
    } else {
        (&mut ann, &mut joe, [EDGES[1], EDGES[0]])
    };
    let uri = format!("sip:{}@example.com", called.name);
    talk(&mut world, (caller, at[0]), (called, at[1]), &uri);
    (world, joe, ann, edges)
}

/// ann sends all that one sends in a call; it comes to `at` through `edge`, and
/// nothing of it anywhere else.
#[track_caller]
fn arrives(world: &mut World, (joe, ann): (&Phone, &Phone), (at, edge): (&'static str, &str)) {
    let mut there = Phone::new("joe", at, false);
    there.enter(joe);
    for (cseq, method) in (5..).zip(["INFO", "UPDATE", "INVITE", "BYE"]) {
        ann.in_dialog(world, EDGES[1], method, cseq);
        assert!(world.has(at), "{method}\n{}", world.ladder());
        let request = world.receive(at);
        assert!(request.text.starts_with(method), "{}", request.text);
        assert_eq!(request.from.to_string(), edge, "{}", world.ladder());
        there.answer(world, edge, &request.text, 200, "OK");
        if method == "INVITE" {
            assert_eq!(ann.status(world), 100);
        }
        assert_eq!(ann.status(world), 200, "{method}\n{}", world.ladder());
        if method == "INVITE" {
            ann.in_dialog(world, EDGES[1], "ACK", cseq);
            assert!(world.receive(at).text.starts_with("ACK "));
        }
    }
    for other in [JOE, MOVED].into_iter().filter(|other| *other != at) {
        assert!(!world.has(other), "{other}\n{}", world.ladder());
    }
}

#[test]
fn a_phone_that_registers_through_another_edge_takes_its_calls_along() {
    // The first edge lives, and has a flow that nobody is at any more.
    for width in [1, 2] {
        for told in ALL {
            for edge in [EDGES[1], EDGES[2]] {
                for is_made_by_joe in [true, false] {
                    let (mut world, joe, ann, _) = call(width, told, is_made_by_joe);
                    told.register(&mut world, (MOVED, edge), "second");
                    arrives(&mut world, (&joe, &ann), (MOVED, edge));
                }
            }
        }
    }
}

#[test]
fn a_phone_that_registers_from_another_address_takes_its_calls_along() {
    // At the same edge, on another shard of it where it has several.
    for width in [1, 2] {
        for told in ALL {
            let (mut world, joe, ann, _) = call(width, told, true);
            told.register(&mut world, (MOVED, EDGES[0]), "second");
            arrives(&mut world, (&joe, &ann), (MOVED, EDGES[0]));
        }
    }
}

#[test]
fn a_phone_that_goes_on_twice_is_followed_twice() {
    for told in ALL {
        let (mut world, joe, ann, _) = call(1, told, true);
        told.register(&mut world, (MOVED, EDGES[2]), "second");
        told.register(&mut world, (JOE, EDGES[1]), "third");
        arrives(&mut world, (&joe, &ann), (JOE, EDGES[1]));
    }
}

#[test]
fn a_phone_is_followed_when_its_first_edge_is_dead() {
    for told in ALL {
        let (mut world, joe, ann, edges) = call(1, told, true);
        world.icmp = true;
        world.kill(EDGES[0]);
        // The edge that its token does not name.
        let other = if edges.contains("e3") {
            EDGES[1]
        } else {
            EDGES[2]
        };
        told.register(&mut world, (MOVED, other), "second");
        arrives(&mut world, (&joe, &ann), (MOVED, other));
    }
}

#[test]
fn a_flow_beside_another_one_takes_nothing_away() {
    // RFC 5626 §4.2.1: a second flow of the same phone, and another phone of joe's.
    let others = [
        Told::Flow.lines(MOVED).replace("reg-id=1", "reg-id=2"),
        Told::Flow
            .lines(MOVED)
            .replace("00000000000a", "00000000000b"),
    ];
    for lines in others {
        let (mut world, joe, ann, _) = call(1, Told::Flow, true);
        let mut register = Register::new("joe", MOVED);
        (register.lines, register.call_id) = (lines, "second");
        let ok = register.login(&mut world, EDGES[2]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        arrives(&mut world, (&joe, &ann), (JOE, EDGES[0]));
    }
}

#[test]
fn nobody_takes_the_calls_of_somebody_else_along() {
    // Under joe's instance and contact, but his own name; or without the password.
    for told in ALL {
        let (mut world, joe, ann, _) = call(1, told, true);
        let mut thief = Register::new("bob", MOVED);
        (thief.lines, thief.call_id) = (told.lines(MOVED), "thief");
        let ok = thief.login(&mut world, EDGES[2]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        let mut forger = Register::new("joe", MOVED);
        (forger.lines, forger.call_id) = (told.lines(MOVED), "forger");
        let refused = forger.send(&mut world, EDGES[2], "");
        assert!(refused.starts_with("SIP/2.0 401 "), "{refused}");
        arrives(&mut world, (&joe, &ann), (JOE, EDGES[0]));
    }
}

#[test]
fn a_home_that_has_forgotten_it_asks_the_edges() {
    // Nothing of it is kept anywhere: the edges find a phone by user and instance.
    for told in ALL {
        let (mut world, joe, ann, _) = call(1, told, true);
        told.register(&mut world, (MOVED, EDGES[2]), "second");
        // The first edge has forgotten the phone, as it does with its connection.
        world.restart(EDGES[0]);
        world.restart(HOME);
        arrives(&mut world, (&joe, &ann), (MOVED, EDGES[2]));
    }
}

#[test]
fn a_home_that_follows_no_moved_phone_sends_to_any_edge() {
    // The other edges of a cluster: a connection is gone, joe is at another edge by
    // now, and his home goes on by the route set, to whichever edge the DNS gives.
    for width in [1, 2] {
        for edge in EDGES {
            let (mut world, _) = before_a_foreign_home(width);
            world.connect(JOE, EDGES[0]);
            let path = register_there(&mut world, JOE, EDGES[0]);
            let (joe, routes) = call_by_bob(&mut world, &path);
            world.close(JOE, EDGES[0]);
            register_there(&mut world, MOVED, EDGES[2]);
            let mut there = Phone::new("joe", MOVED, false);
            there.enter(&joe);
            for (cseq, method) in [(2, "INFO"), (3, "INVITE"), (4, "BYE")] {
                let request = of_bob(method, cseq, (&routes, ";tag=joe"));
                world.send(FOREIGN, edge, &request);
                let came = world.receive(MOVED);
                assert!(came.text.starts_with(method), "{}", world.ladder());
                assert_eq!(came.from.to_string(), EDGES[2]);
                there.answer(&mut world, EDGES[2], &came.text, 200, "OK");
                if method == "INVITE" {
                    assert_eq!(peer::status(&mut world, FOREIGN), 100);
                }
                assert_eq!(peer::status(&mut world, FOREIGN), 200);
            }
            // Somebody else who has found out where the call goes by is nobody to it.
            let request = of_bob("BYE", 9, (&routes, ";tag=joe"));
            let request = request.replace(mark_of(&routes), "q0123456789abc");
            world.send("127.0.0.1:5099", edge, &request);
            assert!(!world.has(MOVED), "{}", world.ladder());
        }
    }
}
