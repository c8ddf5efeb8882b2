//! The same in other words: names that the DNS leads somewhere, hosts and
//! headers as nobody writes them, and messages that end where nobody expects it.

use super::super::peer::FAR;
use super::super::phone::Phone;
use super::super::world::{EDGES, HOME, Tokens, World};
use super::{ANN, EVE, JOE, TO_ANN, VICTIM, eve, in_vain, phones, sent};
use steadfast::edge::{self, NextHop, Settings};
use steadfast::id::Transport;
use steadfast::trust::{CallsOut, Destinations, Strangers};

/// A lab whose subscribers may call anywhere, and reach nothing of this network.
fn closed() -> World {
    let set = |_: usize, edge: &mut Settings| {
        edge.rules.calls_out = CallsOut::anywhere();
        edge.rules.destinations = Destinations::default();
    };
    let shut = |home: &mut steadfast::home::Settings| home.destinations = Destinations::default();
    World::with(Tokens::Clear, shut, set)
}

/// Request-URIs, and the Routes beside them.
const LED: [(&str, &str); 9] = [
    ("sip:x@evil.example:6379;transport=tcp", ""),
    ("sip:x@evil.example:6379", ""),
    ("sip:x@evil.example:5060", ""),
    ("sip:x@evil.example;transport=tls", ""),
    ("sip:x@srv.evil.example", ""),
    ("sip:ann@127.0.0.1:5080", "<sip:evil.example:5060;lr>, PATH"),
    // A strict router has its own URI in the first line, and ann's Path in the Route.
    ("sip:ann@127.0.0.1:5080", "<sip:evil.example:5060>, PATH"),
    (
        "sip:ann@127.0.0.1:5080",
        "<sip:example.com;lr>, <sip:evil.example:5060>, PATH",
    ),
    (
        "sip:x@203.0.113.66;maddr=127.0.0.12",
        "<sip:example.com;lr>",
    ),
];

#[test]
fn a_name_leads_nobody_to_an_edge_or_past_its_listeners() {
    // Seen: whoever has a domain let it lead to an edge, at any port, and the edge
    // believed what the home sent there.
    for ip in [
        "127.0.0.12",
        "127.0.0.11",
        "127.0.0.10",
        "::ffff:127.0.0.12",
    ] {
        let kind = if ip.contains(':') { "AAAA" } else { "A" };
        let zone = format!(
            "evil.example 60 {kind} {ip}\n_sip._udp.srv.evil.example 60 SRV 1 1 1900 evil.example\n"
        );
        for ((uri, route), method) in LED.iter().zip(["MESSAGE", "INVITE", "ACK"].iter().cycle()) {
            for who in [JOE, EVE] {
                let mut world = World::with(
                    Tokens::Clear,
                    |_| (),
                    |_, edge| edge.rules.calls_out = CallsOut::anywhere(),
                );
                world.names.zone.clone_from(&zone);
                for port in [5_061, 6_379, 1_900] {
                    world.listen(&format!("127.0.0.12:{port}"));
                }
                let (joe, _) = phones(&mut world);
                Phone::new("bob", "127.0.0.1:5085", true).register(&mut world, EDGES[1]);
                let path = Phone::values(&world.ladder(), "Path").pop().unwrap();
                let route = route.replace("PATH", &path);
                let route = if route.is_empty() {
                    route
                } else {
                    format!("Route: {route}\n")
                };
                let phone = if who == JOE { joe } else { eve() };
                for node in [EDGES[0], HOME] {
                    world.forget();
                    phone.send(&mut world, node, &phone.request(method, uri, 9, &route, ""));
                    let (_, reached) = sent(&world);
                    assert_eq!(
                        reached,
                        Vec::<String>::new(),
                        "{uri} {route}\n{}",
                        world.ladder()
                    );
                    let mut trace = world.trace.iter();
                    let is_it = |from: &str, to: &str, text: &str| {
                        from.starts_with("127.0.0.10:")
                            && EDGES.contains(&to)
                            && !text.starts_with("SIP/2.0 ")
                    };
                    let spoken = trace.find(|seen| {
                        is_it(&seen.from.to_string(), &seen.to.to_string(), &seen.text)
                    });
                    assert!(spoken.is_none(), "{uri} {route}\n{}", world.ladder());
                }
            }
        }
    }
}

#[test]
fn a_name_leads_a_subscriber_to_whom_it_names() {
    let mut world = closed();
    world.names.zone = "good.example 60 A 203.0.113.66\nbad.example 60 A 127.0.0.2\n\
        worse.example 60 AAAA 64:ff9b::7f00:2\nlocalhost 60 A 127.0.0.1\n"
        .to_owned();
    let (joe, _) = phones(&mut world);
    for (number, host) in (1..).zip([
        "bad.example",
        "worse.example",
        "localhost",
        "bad.example:6379",
    ]) {
        for transport in ["", ";transport=tcp"] {
            let uri = format!("sip:x@{host}{transport}");
            let text = joe.request(
                "MESSAGE",
                &uri,
                10 * number + u32::from(transport.is_empty()),
                "",
                "",
            );
            assert_eq!(
                in_vain(&mut world, (JOE, EDGES[0], false), &text, 1),
                "404",
                "{uri}"
            );
        }
    }
    joe.send(
        &mut world,
        EDGES[0],
        &joe.request("MESSAGE", "sip:x@good.example:5060", 1, "", ""),
    );
    assert!(world.receive(VICTIM).text.starts_with("MESSAGE "));
}

/// Hosts of nodes, of this machine and of its neighbours, and what follows them.
const HOSTS: &str = "EDGE.EXAMPLE.COM.
%65dge.example.com
[::ffff:127.0.0.11]
[::ffff:127.0.0.12]:5060
127.0.0.12:6379
2130706434:6379
0x7f000002:6379
127.2:6379
0177.0.0.2:6379
127.0.0.2.:6379
127.000.000.002:6379
[::127.0.0.2]:6379
[::ffff:7f00:2]:6379
[64:ff9b::7f00:2]:6379
[::1%25lo]:6379
localhost.:6379
127.0.0.10:6379
[::ffff:127.0.0.10]:6379
[2002:7f00:2::]:6379
example.com;maddr=[::ffff:127.0.0.2]
example.com;MADDR=127.0.0.2
example.com;maddr=127.0.0.2;maddr=127.0.0.10
example.com;maddr=\"127.0.0.2\"
EXAMPLE.COM.;maddr=127.0.0.2:6379
edge.example.com;maddr=127.0.0.2
edge.example.com:6379;maddr=127.0.0.12
127.0.0.2:6379;lr;lr
127.0.0.2:6379%3blr
x:y@127.0.0.2:6379
%65@127.0.0.2:6379";

#[test]
fn no_spelling_of_a_host_is_a_way_in() {
    let mut number = 100;
    for host in HOSTS.lines() {
        let mut world = closed();
        for at in ["127.0.0.2:6379", "127.0.0.10:6379", "127.0.0.12:6379"] {
            world.listen(at);
        }
        let (joe, _) = phones(&mut world);
        let eve = eve();
        for (phone, node) in [(&joe, EDGES[0]), (&eve, EDGES[0]), (&eve, HOME)] {
            for uri in [
                format!("sip:{host}"),
                format!("sip:{host};transport=tcp"),
                format!("SIPS:{host}"),
                format!("tel:{host}"),
            ] {
                // On a line of its own, behind a comma, and folded.
                for route in [
                    String::new(),
                    format!("Route: <sip:example.com;lr>\nRoute: <{uri};lr>\n"),
                    format!(
                        "Route: <sip:edge.example.com;lr>,<sip:example.com;lr> ,\n\t<{uri};lr>\n"
                    ),
                    format!("route :\n <{uri};lr>, <{uri};lr>\n"),
                    format!("ROUTE: \"a, <sip:example.com;lr>\" <{uri}>\n"),
                ] {
                    number += 1;
                    let to = if route.is_empty() {
                        &*uri
                    } else {
                        "sip:ann@127.0.0.2:6379"
                    };
                    world.forget();
                    phone.send(
                        &mut world,
                        node,
                        &phone.request("MESSAGE", to, number, &route, ""),
                    );
                    let (inside, reached) = sent(&world);
                    assert_eq!(reached, Vec::<String>::new(), "{route}\n{}", world.ladder());
                    assert!(inside <= 1, "{route}\n{}", world.ladder());
                }
            }
        }
    }
}

#[test]
fn a_register_takes_no_way_of_its_own_through_another_edge() {
    // Seen: an edge takes for vouched for what another one relays, whoever wrote
    // its Route.
    let hop = NextHop::At(edge::ConfiguredHop {
        transport: Transport::Udp,
        addr: FAR.parse().unwrap(),
        name: None,
    });
    let set = |_: usize, edge: &mut Settings| edge.home = vec![hop.clone()];
    for (routes, may) in [
        (
            "<sip:edge.example.com;lr;maddr=127.0.0.13>, <sip:203.0.113.66;lr>",
            false,
        ),
        (
            "<sip:edge.example.com;lr;maddr=127.0.0.13>, <sip:127.0.0.13;lr>, <sip:203.0.113.66;lr>",
            false,
        ),
        (
            "<sip:edge.example.com;lr>, <sip:edge.example.com;lr;maddr=127.0.0.13>, <sip:203.0.113.66;lr>",
            false,
        ),
        (
            "<sip:edge.example.com;lr;maddr=127.0.0.13>, <sip:127.0.0.9:6379;lr>",
            false,
        ),
        ("<sip:edge.example.com;lr;maddr=127.0.0.13>", true),
        (
            "<sip:edge.example.com;lr;maddr=127.0.0.13>, <sip:example.com;lr>",
            true,
        ),
    ] {
        for from in [JOE, EVE] {
            let mut world = World::with(Tokens::Clear, |_| (), set);
            let text = format!(
                "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bKx\nRoute: {routes}\n\
                 Max-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\nTo: <sip:joe@example.com>\nCall-ID: x\n\
                 CSeq: 1 REGISTER\nContact: <sip:joe@{from}>\nContent-Length: 0\n\n"
            );
            world.send(from, EDGES[0], &text);
            assert_eq!(world.has(FAR), may, "{routes}\n{}", world.ladder());
            assert!(!world.has(VICTIM));
            if !may {
                assert!(
                    world.last(from).starts_with("SIP/2.0 403 "),
                    "{}",
                    world.last(from)
                );
            }
        }
    }
}

#[test]
fn nothing_behind_a_body_becomes_a_message() {
    // What an edge and its home read in two ways on their one connection would be
    // the edge's own word.
    let inner = format!(
        "MESSAGE {TO_ANN} SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.11:5060;branch=z9hG4bKsmuggled\nMax-Forwards: 70\n\
         From: <sip:boss@example.com>;tag=b\nTo: <{TO_ANN}>\nCall-ID: smuggled\nCSeq: 1 MESSAGE\n\
         P-Asserted-Identity: <sip:boss@example.com>\nContent-Length: 0\n\n"
    );
    let length = inner.replace('\n', "\r\n").len();
    let hop = NextHop::At(edge::ConfiguredHop {
        transport: Transport::Tcp,
        addr: HOME.parse().unwrap(),
        name: None,
    });
    let set = |_: usize, edge: &mut Settings| {
        edge.home = vec![hop.clone()];
        edge.rules.strangers = Strangers::Answer;
    };
    for (from, is_stream) in [(JOE, false), ("127.0.0.1:6671", true)] {
        for lines in [
            "",
            "Content-Length: 0\n",
            "Content-Length: 0\nContent-Length: LEN\n",
            "Content-Length: LEN\nContent-Length: 0\n",
            "Content-Length: 0\nl: LEN\n",
            "l: LEN\nContent-Length: 0\n",
            "L : 0\n",
            "Content-Length: +0\n",
            "Content-Length: 00\n",
            "Content-Length: 0, LEN\n",
            "Content-Length:\n LEN\n",
            "Content-Length: LEN\n 0\n",
            "Content-Length: 0\n \n",
            "Content-Length: -1\n",
            "Content-Length: 0x0\n",
            "Content-Length:\n",
            "Content-Length: 4294967296\n",
            "Content-Length: 18446744073709551616\n",
            "X: y\r\nContent-Length: 0\n",
            "X: y\rContent-Length: 0\n",
            "Content-Length: LEN\nTransfer-Encoding: chunked\n",
            "Content-Length: LEN;x\n",
            "CONTENT-LENGTH: 0\n",
            "Content-Length\t: 0\n",
            "\u{b}Content-Length: 0\n",
            "Content-Length: \"0\"\n",
        ] {
            let mut world = World::with(Tokens::Clear, |_| (), set);
            let (joe, ann) = phones(&mut world);
            if is_stream {
                world.connect(from, EDGES[0]);
            }
            let lines = lines.replace("LEN", &length.to_string());
            let text = joe.request("MESSAGE", TO_ANN, 5, "", "");
            let text = text.replace("Content-Length: 0\n\n", &format!("{lines}\n{inner}"));
            world.send(from, EDGES[0], &text);
            while world.has(ANN) {
                let message = ann.receive(&mut world);
                let head = message.split("\r\n\r\n").next().unwrap();
                assert!(
                    !head.contains("smuggled") && !head.contains("boss"),
                    "{lines:?}\n{}",
                    world.ladder()
                );
            }
        }
    }
}
