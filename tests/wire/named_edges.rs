//! The names of the edges in what they write and in what they take for their own
//! (M-1 to M-3): who gets a name, who keeps an address, and which spellings of
//! a name are one.

use super::edge_routing::{ANN, JOE, STRANGER, answer, reached, request_text, route};
use super::marks::{bare, unmarked};
use super::phone::{Phone, Register};
use super::tls::HOME_TLS;
use super::world::{EDGES, HOME, Seen, Tokens, World};
use steadfast::edge::{self, ConfiguredHop, NextHop};
use steadfast::id::Transport;
use steadfast::trust::Strangers;

/// Where joe's phone speaks TLS to e1.
const E1_TLS: &str = "127.0.0.11:5061";
const E2_TLS: &str = "127.0.0.12:5061";

/// The lab, whose DNS has the names of its members.
pub(super) fn named() -> World {
    named_with(|_, _| ())
}

/// A lab of named edges with changed settings.
pub(super) fn named_with(edge: impl Fn(usize, &mut edge::Settings)) -> World {
    let mut world = World::with(
        Tokens::Sealed,
        |_| (),
        |index, settings| {
            settings.member_names = true;
            edge(index, settings);
        },
    );
    world.icmp = true;
    world
}

/// A phone that knows nothing of this cluster's own, and goes where its routes say.
pub(super) struct Stock {
    pub(super) phone: Phone,
    /// What it was told to put before its requests.
    pub(super) service: Vec<String>,
}

impl Stock {
    /// Registers one at an edge, from where `route` has led it (empty: nothing has).
    #[track_caller]
    pub(super) fn register(
        world: &mut World,
        (name, addr): (&'static str, &'static str),
        edge: &str,
        route: &str,
    ) -> Self {
        let mut register = Register::new(name, addr);
        register.route = route.to_owned();
        let ok = register.login(world, edge);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        world.forget();
        Self {
            phone: Phone::new(name, addr, false),
            service: Phone::values(&ok, "Service-Route"),
        }
    }

    /// Calls ann, who keeps to her flows and rings; what went to the home and what came
    /// in her answer, of the values of the edge.
    #[track_caller]
    fn records(&self, world: &mut World, edge: &str, routes: &str) -> [String; 2] {
        let mut ann = Phone::new("ann", ANN, true);
        ann.register(world, EDGES[1]);
        world.forget();
        self.call(world, edge, routes);
        recorded(world, (&self.phone, HOME), (&ann, EDGES[1]))
    }

    fn call(&self, world: &mut World, edge: &str, routes: &str) {
        let uri = "sip:ann@example.com";
        let invite = self.phone.request("INVITE", uri, 1, routes, "");
        self.phone.send(world, edge, &invite);
    }
}

/// The values of a caller's edge in the INVITE for the home and in the answer of who
/// was called.
#[track_caller]
fn recorded(
    world: &mut World,
    (phone, home): (&Phone, &str),
    (ann, edge): (&Phone, &str),
) -> [String; 2] {
    let mut trace = world.trace.iter();
    let is_it = |seen: &&Seen| seen.to.to_string() == home && seen.text.starts_with("INVITE ");
    let passed = trace.rfind(is_it);
    let passed = passed.unwrap_or_else(|| panic!("nothing for the home\n{}", world.ladder()));
    let out = Phone::values(&passed.text, "Record-Route");
    let [out] = <[String; 1]>::try_from(out).unwrap();
    let invite = ann.receive(world);
    ann.answer(world, edge, &invite, 180, "Ringing");
    let back = phone.ringing(world);
    let back = Phone::values(&back, "Record-Route").pop().unwrap();
    [out, back]
}

/// What joe's own value of the Record-Route is when `route` has led him to an edge.
#[track_caller]
fn check(edge: &str, route: &str, want: &str) {
    let mut world = named();
    if edge == E1_TLS {
        world.connect(JOE, E1_TLS);
    }
    let joe = Stock::register(&mut world, ("joe", JOE), edge, route);
    let out = joe.records(&mut world, edge, "");
    assert!(
        unmarked(&out[0]).ends_with("@edge.example.com;lr;gunk=e1>"),
        "{route}: {out:?}"
    );
    assert_eq!(bare(&out[1]), want, "{route}");
    // M-1: the Service-Route is the way to the same edge, the Path everybody's.
    let way = want.trim_start_matches("<sip:").trim_end_matches(";lr>");
    let host = if way.starts_with("e1.") {
        way
    } else {
        "edge.example.com"
    };
    let own = joe.service[0].split_once('@').unwrap().1;
    assert_eq!(own, format!("{host};lr;ob>"), "{route}");
    assert_eq!(joe.service[1..], ["<sip:example.com;lr>"]);
}

#[test]
fn who_came_by_a_name_gets_one_and_who_came_by_an_address_keeps_that() {
    // M-1, N-6: no port, or there would be no SRV.
    const NAME: &str = "<sip:e1.edge.example.com;transport=udp;lr>";
    const ADDRESS: &str = "<sip:127.0.0.11;lr>";
    for route in [
        "<sip:edge.example.com;lr>",
        "<sip:edge.example.com:5060;lr>",
        "<sip:e1.edge.example.com;lr>",
        "<sip:e3.edge.example.com;lr>",
        "<sip:joe@E1.Edge.Example.COM.;lr>",
        "",
    ] {
        check(EDGES[0], route, NAME);
    }
    for route in [
        "<sip:127.0.0.11;lr>",
        "<sip:joe@127.0.0.11:5060;lr>",
        "<sip:edge.example.com;lr;maddr=127.0.0.11>",
        "<sip:e1.edge.example.com;lr;maddr=127.0.0.11>",
    ] {
        check(EDGES[0], route, ADDRESS);
    }
    // C-6: over TLS a name needs no `maddr`.
    check(
        E1_TLS,
        "<sip:edge.example.com;lr>",
        "<sip:e1.edge.example.com;transport=tls;lr>",
    );
    check(
        E1_TLS,
        "<sip:edge.example.com;lr;maddr=127.0.0.11>",
        "<sip:edge.example.com;maddr=127.0.0.11;transport=tls;lr>",
    );
}

#[test]
fn an_incoming_call_has_the_name_too() {
    // The registration remembers how its phone was led here.
    for (led_by, want) in [
        (
            "<sip:edge.example.com;lr>",
            "<sip:e2.edge.example.com;transport=udp;lr>",
        ),
        ("<sip:127.0.0.12;lr>", "<sip:127.0.0.12;lr>"),
    ] {
        let mut world = named();
        let joe = Stock::register(&mut world, ("joe", JOE), EDGES[0], "");
        let ann = Stock::register(&mut world, ("ann", ANN), EDGES[1], led_by);
        joe.call(&mut world, EDGES[0], "");
        let invite = ann.phone.receive(&mut world);
        let routes = Phone::values(&invite, "Record-Route");
        assert_eq!(bare(&routes[0]), want, "{invite}");
        ann.phone
            .answer(&mut world, EDGES[1], &invite, 180, "Ringing");
        let back = Phone::values(world.last(HOME), "Record-Route").remove(0);
        assert!(unmarked(&back).ends_with("@edge.example.com;lr;gunk=e2>"));
    }
}

#[test]
fn without_the_names_in_the_dns_everybody_gets_an_address() {
    let mut world = named_with(|_, edge| edge.member_names = false);
    let joe = Stock::register(
        &mut world,
        ("joe", JOE),
        EDGES[0],
        "<sip:edge.example.com;lr>",
    );
    let out = joe.records(&mut world, EDGES[0], "");
    assert_eq!(bare(&out[1]), "<sip:127.0.0.11;lr>");
    assert!(joe.service[0].ends_with("@edge.example.com;lr;ob>"));
}

#[test]
fn a_phone_that_keeps_to_its_flows_gets_the_cluster() {
    // H-5: its flow is what the route is learned on, and the same bytes everywhere.
    let mut world = named();
    let mut joe = Phone::new("joe", JOE, true);
    joe.register(&mut world, EDGES[0]);
    let joe = Stock {
        phone: joe,
        service: Vec::new(),
    };
    let out = joe.records(&mut world, EDGES[0], "");
    assert_eq!(unmarked(&out[0]), unmarked(&out[1]));
    assert!(unmarked(&out[0]).ends_with("@edge.example.com;lr;gunk=e1>"));
}

#[test]
fn a_secure_registration_has_a_secure_name() {
    // C-15, C-16: `sips` says the transport.
    let mut world = named_with(|_, edge| {
        edge.home = vec![NextHop::At(ConfiguredHop {
            transport: Transport::Tls,
            addr: HOME_TLS.parse().unwrap(),
            name: Some("example.com".to_owned()),
        })];
    });
    world.connect(JOE, E1_TLS);
    let mut register = Register::new("joe", JOE);
    register.uri = "sips:example.com";
    register.route = "<sips:edge.example.com;lr>".to_owned();
    register.lines = format!("Contact: <sips:joe@{JOE}>\n");
    let ok = register.login(&mut world, E1_TLS);
    let service = Phone::values(&ok, "Service-Route");
    assert!(service[0].starts_with("<sips:"), "{ok}");
    assert!(service[0].ends_with("@e1.edge.example.com;lr;ob>"), "{ok}");
    let joe = Phone::new("joe", JOE, false);
    let invite = joe.request("INVITE", "sips:ann@example.com", 1, "", "");
    let invite = invite.replace("<sip:joe@127", "<sips:joe@127");
    let ann = Phone::new("ann", ANN, false);
    world.connect(ANN, E2_TLS);
    let mut register = Register::new("ann", ANN);
    (register.uri, register.route) = ("sips:example.com", String::new());
    register.lines = format!("Contact: <sips:ann@{ANN}>\n");
    let ok = register.login(&mut world, E2_TLS);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    joe.send(&mut world, E1_TLS, &invite);
    let out = recorded(&mut world, (&joe, HOME_TLS), (&ann, E2_TLS));
    assert_eq!(bare(&out[1]), "<sips:e1.edge.example.com;lr>", "{out:?}");
}

#[test]
fn who_never_registered_has_the_name_on_his_own_side() {
    // O-6: the home's side is the flow, which is this edge's and no other's.
    let guests = |_, edge: &mut edge::Settings| edge.rules.strangers = Strangers::Answer;
    let mut world = named_with(guests);
    let guest = Stock {
        phone: Phone::foreign("guest", STRANGER),
        service: Vec::new(),
    };
    let by_name = "Route: <sip:edge.example.com;lr>\n";
    let out = guest.records(&mut world, EDGES[0], by_name);
    assert!(unmarked(&out[0]).ends_with("@127.0.0.11;lr>"), "{out:?}");
    // The same flow by both.
    let (user, own) = out[1].split_once('@').unwrap();
    assert!(out[0].starts_with(&format!("{user}@")), "{out:?}");
    assert!(
        own.starts_with("e1.edge.example.com;transport=udp;lr;dlg="),
        "{out:?}"
    );
    for other in ["", "Route: <sip:127.0.0.11;lr>\n"] {
        let mut world = named_with(guests);
        let out = guest.records(&mut world, EDGES[0], other);
        assert_eq!(unmarked(&out[0]), unmarked(&out[1]));
        assert!(unmarked(&out[0]).ends_with("@127.0.0.11;lr>"));
    }
}

/// What an OPTIONS of a registered phone that names an edge so comes to: `200`
/// from the edge itself, or another status, or who got it.
#[track_caller]
fn ping(uri: &str, want: &str) {
    let mut world = named_with(|_, edge| {
        edge.names = vec!["sbc.example.net".to_owned()];
        edge.members[2].retires = true;
    });
    Stock::register(&mut world, ("joe", JOE), EDGES[0], "");
    world.send(JOE, EDGES[0], &request_text("OPTIONS", uri, JOE, "", false));
    assert_eq!(came_to(&world), want, "{uri}\n{}", world.ladder());
}

#[test]
fn a_name_is_one_in_any_case_and_at_the_ports_of_its_edge() {
    // D-E3: neither too wide nor too narrow.
    for uri in [
        "sip:e1.edge.example.com",
        "sip:E1.EDGE.example.com.",
        "sip:e1.edge.example.com:5060",
        "sip:e1.edge.example.com:5061",
        "sip:e1.edge.example.com;transport=tcp",
        "sip:joe@e1.edge.example.com",
        "sip:+491234567@e1.edge.example.com",
        "sip:e2.edge.example.com",
        "sip:e3.edge.example.com:5060",
        "sip:e1.edge.example.com;maddr=127.0.0.11",
        "sip:sbc.example.net",
        "sip:any@SBC.example.net:5060",
    ] {
        ping(uri, "200");
    }
    // Somebody else's, which the home is asked for.
    for uri in [
        "sip:e4.edge.example.com",
        "sip:e1.example.com",
        "sip:x.e1.edge.example.com",
        "sip:e1-edge.example.com",
        "sip:e1.edge.example.com.evil.net",
        "sip:e1.edge.example.com:5070",
        "sip:sbc.example.net:5070",
    ] {
        ping(uri, HOME);
    }
}

/// The outcome of joe's request with this Route before that of his call.
#[track_caller]
fn led(first: &str, want: &str) {
    let mut world = named();
    let joe = Stock::register(&mut world, ("joe", JOE), EDGES[0], "");
    let token = joe.service[0].split(['<', '@']).nth(1).unwrap();
    let first = first.replace("TOKEN", token.trim_start_matches("sip:"));
    let routes = format!("{}Route: <sip:example.com;lr>\n", route(&first));
    let text = request_text("MESSAGE", "sip:ann@example.com", JOE, &routes, false);
    world.send(JOE, EDGES[0], &text);
    assert_eq!(came_to(&world), want, "{first}\n{}", world.ladder());
}

#[test]
fn a_name_in_the_route_is_ours_with_or_without_a_token() {
    // P-9, D-E2
    for first in [
        "e1.edge.example.com;lr",
        "e2.edge.example.com;lr;transport=tcp",
        "+49123@E2.edge.example.com.;lr",
        "TOKEN@e1.edge.example.com;transport=udp;lr;ob",
        "TOKEN@e3.edge.example.com;lr",
        // What it names besides is where a phone means to go, and is served here.
        "e1.edge.example.com;lr;maddr=127.0.0.12",
    ] {
        led(first, HOME);
    }
    // The token of another cluster, and an address where nobody of ours lives.
    let foreign = format!("s00{}@e2.edge.example.com;lr", "0".repeat(60));
    led(&foreign, "403");
    led("e1.edge.example.com;lr;maddr=203.0.113.7", "403");
    led("e1.edge.example.com:5070;lr", "403");
    led("e4.edge.example.com;lr", "403");
}

#[test]
fn a_register_that_names_a_sibling_is_served() {
    // M-2: the DNS has led a phone here whose own edge is dead.
    for (uri, by) in [
        ("sip:example.com", "<sip:e3.edge.example.com;lr>"),
        ("sip:example.com", "<sip:joe@e3.edge.example.com;lr>"),
        ("sip:e3.edge.example.com", ""),
    ] {
        let mut world = named();
        let mut register = Register::new("joe", JOE);
        (register.uri, register.route) = (uri, by.to_owned());
        let ok = register.login(&mut world, EDGES[0]);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        assert_eq!(world.gauge(EDGES[0], "registered"), 1);
        assert_eq!(world.counter(EDGES[0], "relays"), 0);
        let path = &Phone::values(world.last(HOME), "Path")[0];
        assert!(path.ends_with("@edge.example.com;lr;ob>"), "{path}");
    }
}

#[test]
fn a_register_is_relayed_once() {
    // D-E4: each of two edges takes an address for that of another one.
    let mut world = named_with(|index, edge| {
        if index == 1 {
            edge.members[1].addresses = vec!["127.0.0.99".parse().unwrap()];
            edge.members[2].addresses = vec!["127.0.0.12".parse().unwrap()];
        }
    });
    let mut register = Register::new("joe", JOE);
    register.route = "<sip:edge.example.com;lr;maddr=127.0.0.12>".to_owned();
    let got = register.send(&mut world, EDGES[0], "");
    assert!(got.starts_with("SIP/2.0 482 "), "{got}\n{}", world.ladder());
}

/// Who got what joe has sent, or what he was answered.
fn came_to(world: &World) -> String {
    match reached(world).first() {
        Some(who) => who.clone(),
        None => answer(world, JOE),
    }
}
