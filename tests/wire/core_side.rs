//! Edges that meet homes and one another on a side of their own.

use steadfast::edge::{self, ConfiguredHop, CoreName, Member, NextHop};
use steadfast::id::Transport;
use steadfast::send::{Clear, HostRule};

use super::marks::{bare, unmarked};
use super::phone::Phone;
use super::settings::{CORE_PORT, edge_peer};
use super::world::{EDGES, HOME, Tokens, World};

const JOE: &str = "127.0.0.7:5070";
const ANN: &str = "127.0.0.8:5070";
/// A home that the test plays: it knows Path, and nothing else of all this.
const PLAIN: &str = "127.0.0.9:5060";
const PLAIN_TLS: &str = "127.0.0.9:5061";
const OPEN: [&str; 2] = ["127.0.0.21:5060", "127.0.0.22:5060"];
const CORE: [&str; 2] = ["127.0.1.21:5070", "127.0.1.22:5070"];
const CORE_TLS: [&str; 2] = ["127.0.1.21:5061", "127.0.1.22:5061"];

/// Two edges with both sides, and the lab's home.
fn cluster(change: impl Fn(&mut edge::Settings)) -> World {
    let mut world = World::with(
        Tokens::Clear,
        |home| {
            let peers = CORE.map(|addr| format!("udp:{addr}+{CORE_PORT}"));
            let peers = peers.iter();
            home.edge_peers = peers
                .map(|text| HostRule::edge(text, Clear::Any, 15_060).unwrap())
                .collect();
        },
        |_, _| (),
    );
    for index in 0..2 {
        let member = |index: usize| Member {
            core: vec![
                (Transport::Udp, CORE[index].parse().unwrap()),
                (Transport::Tcp, CORE[index].parse().unwrap()),
                (Transport::Tls, CORE_TLS[index].parse().unwrap()),
            ],
            core_port: CORE_PORT,
            ..Member::at(
                &format!("e{}", index + 1),
                OPEN[index].parse::<std::net::SocketAddr>().unwrap().ip(),
            )
        };
        let tcp = format!("tcp:{}", CORE[index]);
        let tls = format!("tls:{}", CORE_TLS[index]);
        let sockets = [
            (OPEN[index], false),
            (&*tcp, false),
            (&*tls, false),
            (CORE[index], true),
        ];
        world.add_edge(&sockets, |settings| {
            settings.name = format!("e{}", index + 1);
            settings.members = (0..2).map(member).collect();
            change(settings);
        });
    }
    world
}

/// Everything between a home and the edges, and between the edges, is on the core
/// side.
#[track_caller]
fn meet_at_the_core(world: &World) {
    let is_open = |ip: &str| OPEN.iter().any(|open| *open == format!("{ip}:5060"));
    for seen in &world.trace {
        let (from, to) = (seen.from.ip().to_string(), seen.to.ip().to_string());
        let is_peer =
            |ip: &str| ip == "127.0.0.10" || ip == "127.0.0.9" || ip.starts_with("127.0.1.");
        assert!(
            !(is_open(&from) && is_peer(&to) || is_peer(&from) && is_open(&to)),
            "{from} to {to}: {}",
            seen.text
        );
    }
}

#[test]
fn requests_to_the_home_leave_from_the_core_side_and_come_back_there() {
    let mut world = cluster(|_| ());
    let mut joe = Phone::new("joe", JOE, true);
    let mut ann = Phone::new("ann", ANN, false);
    joe.register(&mut world, OPEN[0]);
    ann.register(&mut world, OPEN[1]);
    let request = world.trace.iter().find(|seen| seen.to.to_string() == HOME);
    let request = request.unwrap();
    assert_eq!(request.from.ip().to_string(), "127.0.1.21");
    let via = Phone::values(&request.text, "Via").remove(0);
    assert!(
        via.starts_with(&format!("SIP/2.0/UDP {};keep;", request.from)),
        "{via}"
    );
    let path = Phone::values(&request.text, "Path").remove(0);
    assert!(path.ends_with("@edge.example.com;lr;ob>"), "{path}");

    // Both ways, and by the other edge when the first is dead.
    let invite = ann.request("INVITE", "sip:joe@example.com", 1, "", "");
    ann.send(&mut world, OPEN[1], &invite);
    let came = world.receive(JOE);
    let edge = came.from.to_string();
    world.send(JOE, &edge, &joe.response(&came.text, 200, "OK"));
    assert_eq!(ann.status(&mut world), 100);
    let ok = ann.receive(&mut world);
    ann.dialog(&ok, true);
    // Whoever resolves its route goes to the access side.
    let first = Phone::values(&ok, "Record-Route").pop().unwrap();
    assert_eq!(bare(&first), "<sip:127.0.0.22;lr>");
    let last = world.last(HOME);
    assert!(!Phone::values(last, "Record-Route").is_empty(), "{last}");
    meet_at_the_core(&world);
    world.kill(&edge);
    let dead = OPEN.iter().position(|open| *open == edge).unwrap();
    world.kill(CORE[dead]);
    world.pass(steadfast::time::Duration::from_secs(4));
    world.forget();
    let living = OPEN[1 - dead];
    ann.in_dialog(&mut world, living, "INFO", 2);
    let came = world.receive(JOE);
    assert!(came.text.starts_with("INFO "), "{}", world.ladder());
    assert_eq!(came.from.to_string(), living);
    meet_at_the_core(&world);
}

#[test]
fn what_names_a_core_address_names_the_edge_and_nobody_outside_reaches_it() {
    // P-9, D-E3; may_reach: no phone has an edge send to a core side.
    let mut world = cluster(|edge| {
        edge.rules.calls_out = steadfast::trust::CallsOut::anywhere();
    });
    let mut ann = Phone::new("ann", ANN, false);
    ann.register(&mut world, OPEN[1]);
    let route = format!("Route: <sip:{};lr>\n", CORE[0]);
    let text = ann.request("MESSAGE", "sip:joe@example.com", 1, &route, "");
    ann.send(&mut world, OPEN[0], &text);
    let request = world.last(HOME);
    assert!(
        request.starts_with("MESSAGE ") && !request.contains("\r\nRoute: "),
        "{request}"
    );
    world.forget();
    let there = |world: &World| {
        let mut trace = world.trace.iter();
        trace.any(|seen| seen.to.to_string() == CORE[0] && seen.text.starts_with("OPTIONS "))
    };
    let route = "Route: <sip:example.org:5070;maddr=127.0.1.21;lr>\n";
    let text = ann.request("OPTIONS", "sip:joe@example.org", 2, route, "");
    ann.send(&mut world, OPEN[1], &text);
    assert_eq!(ann.status(&mut world), 403, "{}", world.ladder());
    assert!(!there(&world));
}

/// A plain home's answer to what came to it, sent back the way it came.
fn answer(world: &mut World, home: &str, status: u16) -> String {
    let came = world.receive(home);
    let lines = Phone::values(&came.text, "Path")
        .iter()
        .fold(String::new(), |mut lines, path| {
            lines += &format!("Path: {path}\n");
            lines
        });
    let contact = Phone::values(&came.text, "Contact").remove(0);
    let more = format!("{lines}Contact: {contact};expires=600\n");
    let text = super::peer::answer(&came.text, status, "h", &more);
    world.send(home, &came.from.to_string(), &text);
    came.text
}

/// joe asks e1 to register him.
fn register(world: &mut World) {
    let register = format!(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {JOE};rport;branch=z9hG4bKr\n\
         Route: <sip:edge.example.com;lr>\nMax-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\n\
         To: <sip:joe@example.com>\nCall-ID: r\nCSeq: 1 REGISTER\n\
         Contact: <sip:joe@{JOE}>;+sip.instance=\"<urn:uuid:joe>\";reg-id=1\n\
         Supported: path, outbound, alt-proxies\nContent-Length: 0\n\n"
    );
    world.send(JOE, OPEN[0], &register);
}

/// A home of the test's, the transport to it, where the edges meet it, what they
/// say of themselves in Via, and what they write into Path behind the token.
struct Plain {
    home: &'static str,
    transport: Transport,
    core: [&'static str; 2],
    via: &'static str,
    written: &'static str,
}

const PLAIN_HOMES: [Plain; 3] = [
    Plain {
        home: PLAIN,
        transport: Transport::Udp,
        core: CORE,
        via: "SIP/2.0/UDP 127.0.1.21:507",
        written: "core.example.com:5070;transport=udp",
    },
    Plain {
        home: PLAIN,
        transport: Transport::Tcp,
        core: CORE,
        via: "SIP/2.0/TCP 127.0.1.21:5070;",
        written: "core.example.com;transport=tcp",
    },
    Plain {
        home: PLAIN_TLS,
        transport: Transport::Tls,
        core: CORE_TLS,
        via: "SIP/2.0/TLS edge.example.com:5061;",
        written: "core.example.com;transport=tls",
    },
];

impl Plain {
    fn world(&self) -> World {
        let is_tls = self.transport == Transport::Tls;
        let mut world = cluster(|edge| {
            edge.core_name = Some(CoreName {
                host: "core.example.com".to_owned(),
                written: self.written.to_owned(),
            });
            edge.home = vec![NextHop::At(ConfiguredHop {
                transport: self.transport,
                addr: self.home.parse().unwrap(),
                name: is_tls.then(|| "example.com".to_owned()),
            })];
        });
        world.prove(self.home, &["example.com"]);
        world.listen(self.home);
        world
    }

    /// Registers joe at e1; his Path.
    fn register(&self, world: &mut World) -> String {
        register(world);
        let request = answer(world, self.home, 200);
        let top = Phone::values(&request, "Via").remove(0);
        assert!(top.starts_with(self.via), "{top}");
        let ok = world.receive(JOE).text;
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        // The phone's side knows nothing of it.
        let proxy = Phone::values(&ok, "Outbound-Proxy").remove(0);
        let at = "@edge.example.com;lr;maddr=127.0.0.22>";
        assert!(proxy.ends_with(at), "{proxy}");
        Phone::values(&request, "Path").remove(0)
    }

    /// Where the home sends from, towards the edge that has no flow of joe's.
    fn connect(&self, world: &mut World) -> &'static str {
        if self.transport == Transport::Udp {
            return self.home;
        }
        let here = "127.0.0.9:33333";
        world.prove(here, &["example.com"]);
        world.connect_at_core(here, self.core[1]);
        here
    }

    fn invite(&self, path: &str) -> String {
        let (home, token) = (self.home, self.transport.via_token());
        format!(
            "INVITE sip:joe@{JOE} SIP/2.0\nVia: SIP/2.0/{token} {home};branch=z9hG4bKh1\nRoute: {path}\n\
             Max-Forwards: 70\nFrom: <sip:ann@example.com>;tag=a\nTo: <sip:joe@example.com>\n\
             Call-ID: h1\nCSeq: 1 INVITE\nContact: <sip:ann@127.0.0.9>\nContent-Length: 0\n\n"
        )
    }
}

#[test]
fn a_home_that_knows_path_alone_is_led_to_the_core_side_of_any_edge() {
    // H-12, H-13 for a home without stickiness (RFC 3327 §5.4, RFC 3263).
    for plain in PLAIN_HOMES {
        let (mut world, there) = (plain.world(), plain.core[1]);
        let path = plain.register(&mut world);
        let written = plain.written;
        assert!(path.ends_with(&format!("@{written};lr;ob>")), "{path}");

        // It resolves the name, and the DNS picks the edge that has no flow.
        let here = plain.connect(&mut world);
        let invite = plain.invite(&path);
        world.send(here, there, &invite);
        let came = world.receive(JOE).text;
        assert!(came.starts_with("INVITE "), "{}", world.ladder());
        // The phone has its own; the home resolves the one in the answers.
        let recorded = Phone::values(&came, "Record-Route");
        let token = path.split('@').next().unwrap();
        assert_eq!(recorded.len(), 1, "{recorded:?}");
        let known = format!("{token}@edge.example.com;lr;gunk=e1>");
        assert_eq!(unmarked(&recorded[0]), known);
        let mut joe = Phone::new("joe", JOE, true);
        world.send(JOE, OPEN[0], &joe.response(&came, 200, "OK"));
        let trying = world.receive(here).text;
        assert!(trying.starts_with("SIP/2.0 100 "), "{trying}");
        let ok = world.receive(here).text;
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");

        // In the dialog, from the home: both values, and both are the edge's.
        let mut routes = Phone::values(&ok, "Record-Route");
        let resolved = format!("{token}@{written};lr;gunk=e1>");
        assert_eq!(unmarked(&routes[0]), resolved);
        routes.reverse();
        let to = &Phone::values(&ok, "To")[0];
        let info = invite
            .replace("INVITE", "INFO")
            .replace("1 INFO", "2 INFO")
            .replace("z9hG4bKh1", "z9hG4bKh2")
            .replace(&path, &routes.join(", "))
            .replace("To: <sip:joe@example.com>", &format!("To: {to}"));
        world.send(here, there, &info);
        let info = world.receive(JOE).text;
        assert!(info.starts_with("INFO "), "{}", world.ladder());
        assert!(!info.contains("\r\nRoute: "), "{info}");

        // And from the phone, in the other order, to the home.
        joe.dialog(&came, false);
        joe.in_dialog(&mut world, OPEN[0], "BYE", 1);
        let bye = world.receive(plain.home).text;
        assert!(bye.starts_with("BYE "), "{}", world.ladder());
        assert!(!bye.contains("\r\nRoute: "), "{bye}");
        meet_at_the_core(&world);
    }
}

#[test]
fn a_home_that_answers_no_keep_alive_is_given_its_time() {
    // K-1, K-3: it has agreed to nothing, and a request other than INVITE has no
    // answer before its final one (RFC 4320).
    for plain in PLAIN_HOMES {
        let mut world = plain.world();
        world.mute.push(plain.home.parse().unwrap());
        plain.register(&mut world);
        let mut joe = Phone::new("joe", JOE, true);
        let to_home = |world: &World, method: &str| {
            let mut trace = world.trace.iter();
            let is_it = |text: &str| text.starts_with(method);
            let seen = trace.rfind(|seen| seen.to.to_string() == plain.home && is_it(&seen.text));
            seen.unwrap_or_else(|| panic!("{}", world.ladder())).clone()
        };
        let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
        joe.send(&mut world, OPEN[0], &invite);
        let came = to_home(&world, "INVITE");
        let back = came.from.to_string();
        let trying = super::peer::answer(&came.text, 180, "h", "Contact: <sip:ann@127.0.0.9>\n");
        world.send(plain.home, &back, &trying);
        assert_eq!(joe.status(&mut world), 100);
        assert_eq!(joe.status(&mut world), 180);
        world.forget();

        joe.call_id = "another".to_owned();
        let message = joe.request("MESSAGE", "sip:ann@example.com", 1, "", "");
        joe.send(&mut world, OPEN[0], &message);
        for _ in 0..5 {
            world.pass(steadfast::time::Duration::from_secs(1));
        }
        let request = to_home(&world, "MESSAGE");
        let ok = super::peer::answer(&request.text, 200, "m", "");
        world.send(plain.home, &request.from.to_string(), &ok);
        let ok = super::peer::answer(&came.text, 200, "h", "Contact: <sip:ann@127.0.0.9>\n");
        world.send(plain.home, &back, &ok);
        let mut heard = Vec::new();
        while world.has(JOE) {
            heard.push(joe.status(&mut world));
        }
        heard.retain(|status| *status >= 200);
        assert_eq!(heard, [200, 200], "{}", world.ladder());
        assert_eq!(world.counter(OPEN[0], "peers_silent"), 0);
    }
}

/// Where e1 takes connections in that come from a home alone.
const CORE_LISTEN: &str = "127.0.0.21:5080";

/// e1 without a core side, which its home reaches by `core_listen`.
fn edge_of(home: &str) -> World {
    let mut world = World::with(
        Tokens::Clear,
        |home| home.edge_peers.push(edge_peer("127.0.0.21")),
        |_, _| (),
    );
    let open = format!("tcp:{}", OPEN[0]);
    let core = format!("tcp:{CORE_LISTEN}");
    let sockets = [(OPEN[0], false), (&*open, false), (&*core, false)];
    world.add_edge(&sockets, |settings| {
        settings.members = vec![Member {
            core_port: CORE_PORT,
            ..Member::at("e1", "127.0.0.21".parse().unwrap())
        }];
        settings.core_listen = vec![CORE_LISTEN.parse().unwrap()];
        settings.home = vec![NextHop::At(ConfiguredHop {
            transport: Transport::Tcp,
            addr: home.parse().unwrap(),
            name: None,
        })];
    });
    world
}

/// What joe hears from now on.
fn heard(world: &mut World) -> Vec<u16> {
    let joe = Phone::new("joe", JOE, true);
    let mut heard = Vec::new();
    while world.has(JOE) {
        heard.push(joe.status(world));
    }
    heard
}

#[test]
fn a_home_that_lost_its_connection_answers_where_it_is_believed() {
    // by another one, from whichever port it has.
    let mut world = edge_of(PLAIN);
    world.listen(PLAIN);
    register(&mut world);
    let request = answer(&mut world, PLAIN, 200);
    let via = Phone::values(&request, "Via").remove(0);
    assert!(via.starts_with("SIP/2.0/TCP 127.0.0.21:5080;"), "{via}");
    assert_eq!(heard(&mut world), [200]);

    let invite = Phone::new("joe", JOE, true).request("INVITE", "sip:ann@example.com", 1, "", "");
    world.send(JOE, OPEN[0], &invite);
    let came = world.receive(PLAIN);
    let contact = "Contact: <sip:ann@127.0.0.9>\n";
    let ringing = super::peer::answer(&came.text, 180, "h", contact);
    world.send(PLAIN, &came.from.to_string(), &ringing);
    assert_eq!(heard(&mut world), [100, 180]);
    world.close(PLAIN, &came.from.to_string());
    let again = "127.0.0.9:33333";
    world.connect_at_core(again, CORE_LISTEN);
    let ok = super::peer::answer(&came.text, 200, "h", contact);
    world.send(again, CORE_LISTEN, &ok);
    assert!(heard(&mut world).contains(&200), "{}", world.ladder());
}

#[test]
fn a_steadfast_home_that_lost_its_connection_answers_there_too() {
    // the port is none that `edge_peers` names, and the edge says it in its Via.
    let mut world = edge_of(HOME);
    let mut joe = Phone::new("joe", JOE, false);
    let mut ann = Phone::new("ann", ANN, false);
    joe.register(&mut world, OPEN[0]);
    ann.register(&mut world, EDGES[1]);
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, OPEN[0], &invite);
    let came = ann.receive(&mut world);
    ann.answer(&mut world, EDGES[1], &came, 180, "Ringing");
    assert_eq!(heard(&mut world), [100, 180]);
    world.forget();
    assert!(world.cut(OPEN[0], HOME) > 0);
    ann.answer(&mut world, EDGES[1], &came, 200, "OK");
    assert!(heard(&mut world).contains(&200), "{}", world.ladder());
    let mut trace = world.trace.iter();
    let is_there = trace.any(|seen| seen.to.to_string() == CORE_LISTEN);
    assert!(is_there, "{}", world.ladder());
}
