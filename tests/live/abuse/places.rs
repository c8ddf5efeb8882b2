//! Real sockets beside the nodes' own: what listens at other ports of their
//! addresses hears nothing of anybody, and what the kernel says of a port that is
//! shut for a moment takes nobody's registration.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use socket2::{Domain, Socket, Type};

use super::mob::{ANSWER_MAX, Line as _, Mob, attacker, bind, request, sign_in};
use super::{counted, withstand};
use crate::lab::{DOMAIN, EDGES, HOME, Lab, PHONES, load_user, port};
use crate::process::poll;

/// What an attacker sends at once.
const BURST: u32 = 20;

/// Some other service of a machine: TCP and UDP at one port.
struct Service {
    stream: TcpListener,
    datagrams: UdpSocket,
}

impl Service {
    fn at(address: &str, port: u16) -> Self {
        let stream = TcpListener::bind((address, port)).expect("the address is there");
        stream.set_nonblocking(true).expect("a socket can be told");
        let at = stream.local_addr().expect("it is bound");
        Self {
            stream,
            datagrams: bind(at),
        }
    }

    /// Who has connected or written.
    fn visitor(&self) -> Option<SocketAddr> {
        let connected = self.stream.accept().map(|(_, from)| from);
        let written = || self.datagrams.recv_from(&mut [0; 64]).map(|(_, from)| from);
        connected.or_else(|_| written()).ok()
    }
}

/// Asks for a port of a node, or of this machine, in one of many ways.
fn aimed(number: u32, from: SocketAddr, port: u16) -> Vec<u8> {
    let methods = ["INVITE", "MESSAGE", "OPTIONS", "REFER"];
    let method = methods[number as usize % methods.len()];
    let host = [HOME, EDGES[0], EDGES[1], PHONES][number as usize / 4 % 4];
    let addr = format!("{host}:{port}");
    let (uri, route) = match number / 16 % 8 {
        0 => (format!("sip:x@{addr}"), String::new()),
        1 => (format!("sip:x@{addr};transport=tcp"), String::new()),
        2 => (format!("sip:x@{DOMAIN}:{port};maddr={host}"), String::new()),
        3 => (
            format!("sip:x@{DOMAIN}:{port};maddr={host};transport=tcp"),
            String::new(),
        ),
        4 => (
            format!("sip:x@{DOMAIN}"),
            format!("Route: <sip:{addr};lr>\r\n"),
        ),
        5 => (
            format!("sip:x@{DOMAIN}"),
            format!(
                "Route: <sip:{DOMAIN};lr>, <sip:edge.example.com;lr>, <sip:{addr};transport=tcp;lr>\r\n"
            ),
        ),
        6 => (format!("sip:x@[::ffff:{host}]:{port}"), String::new()),
        _ => (
            format!("sip:{addr}"),
            format!("Route: <sip:edge.example.com;lr>\r\nRoute: <sip:{addr}>\r\n"),
        ),
    };
    let text = request(method, number, from, &route);
    let text = String::from_utf8_lossy(&text).into_owned();
    let own = format!("{method} sip:{number}@{DOMAIN} ");
    let text = text.replace(&own, &format!("{method} {uri} "));
    // Half of them as if they belonged to a call, and without an account.
    let text = match number % 2 {
        0 => text.replace(
            &format!("To: <sip:{number}@{DOMAIN}>"),
            &format!("To: <sip:x@{DOMAIN}>;tag=1"),
        ),
        _ => text.replace(
            &format!("<sip:{number}@{DOMAIN}>"),
            "<sip:x@elsewhere.example>",
        ),
    };
    text.into_bytes()
}

/// A connection from an attacker's address.
fn connection(from: SocketAddr, to: &str) -> (TcpStream, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::new(from.ip(), 0).into())
        .expect("the address is there");
    let to: SocketAddr = format!("{to}:5060").parse().expect("an address");
    socket.connect(&to.into()).expect("it listens");
    let stream: TcpStream = socket.into();
    let local = stream.local_addr().expect("it is bound");
    (stream, local)
}

#[test]
fn the_other_ports_of_nodes_hear_nothing() {
    let lab = Lab::start_with("abuse-places", &["--strict"]);
    let port = port();
    let services = [HOME, EDGES[0], EDGES[1], PHONES].map(|address| Service::at(address, port));
    let mut mob = Mob::new();
    for node in [EDGES[0], HOME] {
        withstand(&lab, "what nobody may reach", "not_allowed", || {
            mob.burst(BURST, node, &|n, from| aimed(n, from, port));
        });
        // Over a connection, and as TCP has it in the Via.
        let (mut stream, from) = connection(attacker(70), node);
        let mut number = 0;
        withstand(&lab, "the same over TCP", "not_allowed", || {
            for _ in 0..BURST {
                number += 1;
                let text = String::from_utf8_lossy(&aimed(number, from, port))
                    .replace("SIP/2.0/UDP", "SIP/2.0/TCP");
                // Who asks for too much is cut off.
                if stream.write_all(text.as_bytes()).is_err() {
                    stream = connection(attacker(70), node).0;
                }
            }
        });
    }
    for (service, address) in services.iter().zip([HOME, EDGES[0], EDGES[1], PHONES]) {
        assert_eq!(service.visitor(), None, "{address}:{port} was reached");
    }
}

#[test]
fn a_port_that_was_shut_for_a_moment_is_still_registered() {
    let lab = Lab::start_with("abuse-icmp", &["--strict"]);
    let (user, own) = (load_user(497), load_user(496));
    let caller = bind(attacker(61));
    sign_in(&caller, EDGES[1], &own);
    let phone = bind(attacker(60));
    sign_in(&phone, EDGES[0], &user);
    let at = caller.local_addr().expect("it is bound");
    let call = |number: u32| {
        let text = request(
            "MESSAGE",
            number,
            at,
            "Route: <sip:edge.example.com;lr>\r\n",
        );
        let text = String::from_utf8_lossy(&text).into_owned();
        let text = text.replace(
            &format!("From: <sip:{number}@"),
            &format!("From: <sip:{own}@"),
        );
        text.replace(
            &format!("sip:{number}@{DOMAIN}"),
            &format!("sip:{user}@{DOMAIN}"),
        )
    };
    let send = |number: u32| {
        let sent = caller.send_to(call(number).as_bytes(), (EDGES[1], 5_060));
        sent.expect("a datagram can be sent");
    };
    // Nobody is there, and the kernel says so to the edge.
    drop(phone);
    let before = counted(&lab, "unreachable_heeded");
    send(1);
    let failed = poll(ANSWER_MAX, || {
        caller
            .heard()
            .filter(|text| text.contains("CSeq: 1 ") && !text.starts_with("SIP/2.0 1"))
    });
    let failed = failed.expect("there is an answer");
    assert!(failed.starts_with("SIP/2.0 4"), "{failed}");
    assert!(counted(&lab, "unreachable_heeded") > before, "no ICMP came");
    // Its binding stands, and the next one gets there.
    let phone = bind(attacker(60));
    let mut number = 1;
    let rings = poll(ANSWER_MAX, || {
        number += 1;
        send(number);
        poll(ANSWER_MAX / 10, || {
            phone.heard().filter(|text| text.starts_with("MESSAGE "))
        })
    });
    assert!(rings.is_some(), "{}", lab.last_words());
}
