//! An edge of both address families that meets its home on a side of its own.
//! The home is a socket of the test, and the phone one on `::1`.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use crate::lab::{steadfast, turn};
use crate::process::{Process, poll};

const OPEN: &str = "[::1]:5066";
const CORE: &str = "127.0.1.17:5070";
const HOME: &str = "127.0.0.18:5070";
const STEP_MAX: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);

const EDGE: &str = "\
name = \"e1\"
listen = [\"udp:127.0.0.17:5066\", \"tcp:127.0.0.17:5066\", \"udp:[::1]:5066\", \"tcp:[::1]:5066\"]
shards = 1

[edge]
cluster = \"edge.example.com\"
core_name = \"core.example.com:5070;transport=udp\"
home = [\"sip:127.0.0.18:5070;transport=udp\"]
strangers = \"answer\"
members = [{ name = \"e1\", addresses = [\"127.0.0.17\", \"::1\"], udp = 5066, tcp = 5066, \
core = [\"udp:127.0.1.17:5070\", \"tcp:127.0.1.17:5070\"] }]
";

fn bind(addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind(addr).expect("the address is free");
    let set = socket.set_read_timeout(Some(LOOK));
    set.expect("a socket takes a time-out");
    socket
}

/// The next message at a socket that begins so, and where it came from.
fn next(socket: &UdpSocket, start: &str, send: impl Fn()) -> (String, SocketAddr) {
    let mut buffer = [0; 8_192];
    let found = poll(STEP_MAX, || {
        send();
        let (len, from) = socket.recv_from(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        text.starts_with(start).then_some((text, from))
    });
    found.unwrap_or_else(|| panic!("no {start}"))
}

fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let mut lines = text.split("\r\n");
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// A request of the phone at `addr`.
fn request(method: &str, addr: SocketAddr, more: &str, body: &str) -> String {
    format!(
        "{method} sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {addr};rport;branch=z9hG4bK{method}{}\r\n\
         {more}Max-Forwards: 70\r\nFrom: <sip:joe@example.com>;tag=1\r\nTo: <sip:joe@example.com>\r\n\
         Call-ID: {method}\r\nCSeq: 1 {method}\r\nContent-Length: {}\r\n\r\n{body}",
        addr.port(),
        body.len()
    )
}

const FLOW: &str = ";+sip.instance=\"<urn:uuid:1>\";reg-id=1";

/// The 200 to a request, with further lines.
fn accepted(request: &str, more: &str) -> String {
    let head = request.split("\r\n\r\n").next().expect("a head");
    let names = ["Via: ", "From: ", "Call-ID: ", "CSeq: "];
    let kept = head
        .split("\r\n")
        .filter(|line| names.iter().any(|name| line.starts_with(name)));
    let kept: Vec<_> = kept.collect();
    let (kept, to) = (kept.join("\r\n"), line(request, "To"));
    format!("SIP/2.0 200 OK\r\n{kept}\r\nTo: {to};tag=h\r\n{more}Content-Length: 0\r\n\r\n")
}

#[test]
fn a_phone_on_ipv6_is_reached_from_a_home_that_the_core_side_leads_to() {
    let (_turn, dir) = turn("sides");
    let config = dir.join("e1.toml");
    std::fs::write(&config, EDGE).expect("a file can be written");
    let (home, phone) = (bind(HOME), bind("[::1]:0"));
    let listener = TcpListener::bind(HOME).expect("the address is free");
    let mut command = steadfast();
    command.args(["run", "--config"]).arg(&config);
    let mut edge = Process::start("e1", &mut command, dir.join("e1.log"));
    let addr = phone.local_addr().expect("a socket has an address");
    let contact = format!("<sip:joe@{addr}>");
    let lines = format!(
        "Route: <sip:edge.example.com;lr>\r\nContact: {contact}{FLOW}\r\nSupported: path, outbound\r\n"
    );
    let register = request("REGISTER", addr, &lines, "");
    // Until it is there: a request comes again like over any UDP.
    let send = || drop(phone.send_to(register.as_bytes(), OPEN));
    let (register_received, from) = next(&home, "REGISTER ", send);
    assert_eq!(from.to_string(), CORE, "{}", edge.last_words());
    assert!(
        line(&register_received, "Via").starts_with(&format!("SIP/2.0/UDP {CORE};")),
        "{register_received}"
    );
    let path = line(&register_received, "Path").to_owned();
    assert!(
        path.ends_with("@core.example.com:5070;transport=udp;lr;ob>"),
        "{path}"
    );
    let lines = format!("Path: {path}\r\nContact: {contact}{FLOW};expires=600\r\n");
    let ok = accepted(&register_received, &lines);
    home.send_to(ok.as_bytes(), from)
        .expect("a datagram can be sent");
    next(&phone, "SIP/2.0 200 ", || ());

    // What is too long for UDP goes by TCP, from there too.
    let long = "x".repeat(1_400);
    let message = request("MESSAGE", addr, "", &long);
    phone
        .send_to(message.as_bytes(), OPEN)
        .expect("a datagram can be sent");
    let (mut stream, from) = listener.accept().expect("a connection comes");
    assert_eq!(from.ip().to_string(), "127.0.1.17");
    let mut buffer = [0; 4_096];
    let len = stream.read(&mut buffer).expect("something comes");
    let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
    assert!(
        line(&text, "Via").starts_with(&format!("SIP/2.0/TCP {CORE};")),
        "{text}"
    );

    // Back by the Path, at the address that the name of it stands for.
    let options = format!(
        "OPTIONS sip:joe@{addr} SIP/2.0\r\nVia: SIP/2.0/UDP {HOME};branch=z9hG4bKh\r\nRoute: {path}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:ann@example.com>;tag=2\r\nTo: <sip:joe@example.com>\r\n\
         Call-ID: h\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    home.send_to(options.as_bytes(), CORE)
        .expect("a datagram can be sent");
    let (came, from) = next(&phone, "OPTIONS ", || ());
    assert_eq!(from.to_string(), OPEN);
    assert!(
        line(&came, "Via").starts_with(&format!("SIP/2.0/UDP {OPEN};rport;")),
        "{came}"
    );
    edge.stop();
}
