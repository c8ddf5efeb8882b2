//! A stock phone whose edge has died: the name in its route leads it to a sibling,
//! and its own side of the call goes on there (M-2, trust: the mark of the dialog).

use super::edge_routing::{ANN, JOE, STRANGER};
use super::marks::{bare, unmarked};
use super::named_edges::{Stock, named, named_with};
use super::phone::{Phone, Register};
use super::world::{EDGES, World};
use steadfast::edge;
use steadfast::trust::Strangers;

/// Where joe's phone is after its edge has died, on a flow that nobody has seen.
const FRESH: &str = "127.0.0.1:5071";

/// How a phone speaks to an edge.
#[derive(Clone, Copy, Debug)]
enum Over {
    Udp,
    Tcp,
    Tls,
}

const ALL: [Over; 3] = [Over::Udp, Over::Tcp, Over::Tls];

impl Over {
    /// Where an edge is spoken to, with a flow to it.
    fn reach(self, world: &mut World, from: &str, edge: usize) -> String {
        let at = match self {
            Self::Udp | Self::Tcp => EDGES[edge].to_owned(),
            Self::Tls => EDGES[edge].replace(":5060", ":5061"),
        };
        if !matches!(self, Self::Udp) {
            world.connect(from, &at);
        }
        at
    }

    const fn token(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// A call that joe's stock phone made through e1 to ann, who is at e2; `second`: it
/// has a flow to e3 too, at this place there.
struct Call {
    world: World,
    joe: Phone,
    ann: Phone,
    second: Option<String>,
}

/// Registers joe's phone on one flow of two.
fn register_flow(world: &mut World, (edge, at): (usize, &str), reg_id: u32) -> Vec<String> {
    let mut register = Register::new("joe", JOE);
    register.call_id = ["", "first", "second"][reg_id as usize];
    register.route = format!("<sip:e{}.edge.example.com;lr>", edge + 1);
    register.lines = format!(
        "Contact: <sip:joe@{JOE};ob>;+sip.instance=\"<urn:joe>\";reg-id={reg_id}\n\
         Supported: path, outbound\n"
    );
    let ok = register.login(world, at);
    assert!(ok.contains("Require: outbound\r\n"), "{ok}");
    Phone::values(&ok, "Service-Route")
}

#[track_caller]
fn call(over: Over, has_second: bool) -> Call {
    let mut world = named();
    let at = over.reach(&mut world, JOE, 0);
    let service = register_flow(&mut world, (0, &at), 1);
    let second = has_second.then(|| over.reach(&mut world, JOE, 2));
    if let Some(second) = &second {
        register_flow(&mut world, (2, second), 2);
    }
    let mut ann = Phone::new("ann", ANN, true);
    ann.register(&mut world, EDGES[1]);
    world.forget();
    let mut joe = Phone::new("joe", JOE, false);
    let routes = format!("Route: {}\n", service.join(", "));
    joe.send(
        &mut world,
        &at,
        &joe.request("INVITE", "sip:ann@example.com", 1, &routes, ""),
    );
    assert_eq!(joe.status(&mut world), 100);
    let from = world.last_to(ANN).from.to_string();
    let invite = ann.receive(&mut world);
    ann.answer(&mut world, &from, &invite, 200, "OK");
    let ok = joe.receive(&mut world);
    joe.dialog(&ok, true);
    ann.dialog(&invite, false);
    let name = format!("<sip:e1.edge.example.com;transport={};lr>", over.token());
    assert_eq!(bare(&joe.routes[0]), name);
    joe.in_dialog(&mut world, &at, "ACK", 1);
    assert!(ann.receive(&mut world).starts_with("ACK "));
    world.kill(EDGES[0]);
    world.forget();
    Call {
        world,
        joe,
        ann,
        second,
    }
}

impl Call {
    /// The phone as it goes on, and where it sends to: over its second flow, or
    /// over one that e3 has never seen.
    fn go_on(&mut self, over: Over) -> (Phone, String) {
        let at = match &self.second {
            Some(second) => return (self.joe_at(JOE), second.clone()),
            None => over.reach(&mut self.world, FRESH, 2),
        };
        (self.joe_at(FRESH), at)
    }

    fn joe_at(&self, addr: &'static str) -> Phone {
        let mut joe = Phone::new("joe", addr, false);
        joe.enter(&self.joe);
        joe
    }

    /// Ann gets this request and answers it; joe gets the answer.
    #[track_caller]
    fn passes(&mut self, joe: &Phone, at: &str, method: &str, cseq: u32) {
        let contact = format!("Contact: <sip:joe@{}>\n", joe.addr());
        joe.in_dialog_with(&mut self.world, at, (method, cseq), &contact);
        let came = self.ann.receive(&mut self.world);
        assert!(
            came.starts_with(&format!("{method} sip:ann@{ANN} ")),
            "{came}\n{}",
            self.world.ladder()
        );
        assert!(!came.contains("\r\nRoute: "), "{came}");
        let from = self.world.last_to(ANN).from.to_string();
        self.ann.answer(&mut self.world, &from, &came, 200, "OK");
        if method == "INVITE" {
            assert_eq!(joe.status(&mut self.world), 100);
        }
        assert_eq!(joe.status(&mut self.world), 200, "{}", self.world.ladder());
    }
}

#[test]
fn its_own_side_goes_on_at_a_sibling() {
    // M-2: over a second flow, and over one that the sibling has never seen.
    for over in ALL {
        for has_second in [true, false] {
            let mut call = call(over, has_second);
            let (joe, at) = call.go_on(over);
            call.passes(&joe, &at, "INFO", 2);
            call.passes(&joe, &at, "UPDATE", 3);
            call.passes(&joe, &at, "INVITE", 4);
            joe.in_dialog(&mut call.world, &at, "ACK", 4);
            let ack = call.ann.receive(&mut call.world);
            assert!(ack.starts_with("ACK "), "{over:?} {ack}");
            call.passes(&joe, &at, "BYE", 5);
            let e3 = EDGES[2];
            assert_eq!(call.world.counter(e3, "relays"), 0);
            assert_eq!(call.world.counter(e3, "not_allowed"), 0);
        }
    }
}

#[test]
fn the_far_side_reaches_it_over_its_second_flow() {
    // H-7, H-8: a re-INVITE at the sibling, then the far side's own requests.
    for over in ALL {
        let mut call = call(over, true);
        let (joe, at) = call.go_on(over);
        call.passes(&joe, &at, "INVITE", 2);
        joe.in_dialog(&mut call.world, &at, "ACK", 2);
        assert!(call.ann.receive(&mut call.world).starts_with("ACK "));
        call.ann.in_dialog(&mut call.world, EDGES[1], "BYE", 9);
        let bye = joe.receive(&mut call.world);
        assert!(bye.starts_with("BYE "), "{bye}");
        assert_eq!(call.world.last_to(JOE).from.to_string(), at);
        joe.answer(&mut call.world, &at, &bye, 200, "OK");
        assert_eq!(call.ann.status(&mut call.world), 200);
    }
}

#[test]
fn without_the_mark_a_sibling_lets_nobody_in() {
    // I-12: a To tag, a token and a name prove nothing.
    for over in ALL {
        for method in ["BYE", "INVITE", "INFO", "UPDATE", "ACK"] {
            let mut call = call(over, false);
            let at = over.reach(&mut call.world, STRANGER, 2);
            let mut thief = Phone::new("joe", STRANGER, false);
            thief.enter(&call.joe);
            thief.routes[0] = unmarked(&thief.routes[0]);
            thief.in_dialog(&mut call.world, &at, method, 7);
            assert!(!call.world.has(ANN), "{}", call.world.ladder());
            if method != "ACK" {
                assert_eq!(thief.status(&mut call.world), 403, "{over:?} {method}");
            }
            // That of another dialog neither.
            let mut other = Phone::new("joe", STRANGER, false);
            other.enter(&call.joe);
            other.call_id = "another".to_owned();
            other.in_dialog(&mut call.world, &at, method, 8);
            assert!(!call.world.has(ANN), "{}", call.world.ladder());
        }
    }
}

#[test]
fn a_call_from_a_sibling_reaches_home_with_the_old_service_route() {
    // RFC 3608 §6.1: it does not change until the phone registers again.
    let mut world = named();
    let joe = Stock::register(&mut world, ("joe", JOE), EDGES[0], "");
    let ann = Stock::register(&mut world, ("ann", ANN), EDGES[1], "");
    world.kill(EDGES[0]);
    let routes = format!("Route: {}\n", joe.service.join(", "));
    let phone = Phone::new("joe", FRESH, false);
    let invite = phone.request("INVITE", "sip:ann@example.com", 1, &routes, "");
    phone.send(&mut world, EDGES[2], &invite);
    if !world.has(FRESH) {
        // Nobody has shown yet that he is at this address.
        world.pass(steadfast::limits::T1);
        phone.send(&mut world, EDGES[2], &invite);
    }
    let challenge = loop {
        let text = phone.receive(&mut world);
        if !text.starts_with("SIP/2.0 100 ") {
            break text;
        }
    };
    let mut login = super::phone::Login::new("joe");
    (login.method, login.uri) = ("INVITE", "sip:ann@example.com");
    let again = login.answer_proxy(&challenge);
    let text = invite
        .replace("CSeq: 1 ", "CSeq: 2 ")
        .replace("joec1", "joec2")
        .replace("Content-Length", &format!("{again}Content-Length"));
    phone.send(&mut world, EDGES[2], &text);
    let invite = ann.phone.receive(&mut world);
    assert!(invite.starts_with("INVITE "), "{}", world.ladder());
    ann.phone
        .answer(&mut world, EDGES[1], &invite, 180, "Ringing");
    let ringing = phone.ringing(&mut world);
    let routes = Phone::values(&ringing, "Record-Route");
    let own = bare(routes.last().unwrap());
    assert_eq!(own, "<sip:e3.edge.example.com;transport=udp;lr>");
}

#[test]
fn who_never_registered_goes_on_at_a_sibling_too() {
    // The mark needs no flow; only the way to the phone has ended (O-5).
    let mut world = named_with(|_, edge: &mut edge::Settings| {
        edge.rules.strangers = Strangers::Answer;
    });
    let mut ann = Phone::new("ann", ANN, true);
    ann.register(&mut world, EDGES[1]);
    world.forget();
    let mut guest = Phone::foreign("guest", STRANGER);
    let by_name = "Route: <sip:edge.example.com;lr>\n";
    let invite = guest.request("INVITE", "sip:ann@example.com", 1, by_name, "");
    guest.send(&mut world, EDGES[0], &invite);
    let from = world.last_to(ANN).from.to_string();
    let came = ann.receive(&mut world);
    ann.answer(&mut world, &from, &came, 200, "OK");
    ann.dialog(&came, false);
    let ok = loop {
        let text = guest.receive(&mut world);
        if text.starts_with("SIP/2.0 200 ") {
            break text;
        }
    };
    guest.dialog(&ok, true);
    guest.in_dialog(&mut world, EDGES[0], "ACK", 1);
    assert!(ann.receive(&mut world).starts_with("ACK "));
    // The far side, over the pair of an address and a name.
    ann.in_dialog(&mut world, EDGES[1], "INFO", 1);
    let info = guest.receive(&mut world);
    assert!(info.starts_with("INFO ") && !info.contains("\r\nRoute: "));
    guest.answer(&mut world, EDGES[0], &info, 200, "OK");
    assert_eq!(ann.status(&mut world), 200);
    world.kill(EDGES[0]);
    guest.in_dialog(&mut world, EDGES[2], "BYE", 2);
    assert!(
        ann.receive(&mut world).starts_with("BYE "),
        "{}",
        world.ladder()
    );
}

#[test]
fn a_strict_router_has_our_name_in_the_request_uri() {
    // P-7: the phone's half of a pair, or both halves behind one another.
    let mut call = call(Over::Udp, false);
    let joe = call.joe_at(JOE);
    let target = joe.remote_target.clone();
    let name = joe.routes[0].trim_matches(['<', '>']).to_owned();
    let mut strict = Phone::new("joe", JOE, false);
    strict.enter(&joe);
    strict.remote_target = name;
    strict.routes.remove(0);
    strict.routes.push(format!("<{target}>"));
    strict.in_dialog(&mut call.world, EDGES[2], "BYE", 2);
    let bye = call.ann.receive(&mut call.world);
    assert!(bye.starts_with(&format!("BYE {target} ")), "{bye}");
    assert!(!bye.contains("\r\nRoute: "), "{bye}");
}

#[test]
fn the_home_is_answered_once_for_a_phone_that_is_nowhere() {
    // M-2, H-12: an edge that is asked by another one asks nobody else.
    let mut call = call(Over::Udp, false);
    call.world.icmp = true;
    call.ann.in_dialog(&mut call.world, EDGES[1], "INFO", 1);
    let status = call.ann.status(&mut call.world);
    assert_eq!(status, 480, "{}", call.world.ladder());
    let relays: u64 = [1, 2]
        .map(|edge| call.world.counter(EDGES[edge], "relays"))
        .iter()
        .sum();
    assert!(relays <= 1, "{relays}\n{}", call.world.ladder());
}
