//! Attacks on a running lab that counts everybody, while well-behaved phones
//! call each other: their call set-up stays under 50 ms (p99), no call of
//! theirs fails, and the counter that belongs to the attack shows it.
//!
//! Attackers live on 127.66.0.0/16, send a bounded number of datagrams or
//! connections at a bounded rate, and end with the load they disturb.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::lab::{DOMAIN, EDGES, HOME, Lab, PASSWORD, load_user, steadfast};
use crate::process::{Process, poll};
use crate::why::{metric, page};

/// Bound on the call set-up of the well-behaved (p99).
const SETUP_MAX_US: f64 = 50_000.0;
/// Rounds, of which the best counts: the machine is not ours alone.
const ROUNDS: usize = 3;
/// How long a load of a few seconds may take, and an attack with it.
const LOAD_MAX: Duration = Duration::from_secs(40);
/// What an attacker sends at once, about a hundred times a second.
const BURST: u32 = 50;
/// Attackers' sockets.
const SOCKETS: u8 = 8;
/// Where SIPVicious sends from.
const ATTACKER: &str = "127.66.0.20";
/// Connections of a slow loris.
const LORIS: u16 = 400;

/// Attackers, a socket each.
struct Mob {
    sockets: Vec<UdpSocket>,
    sent: u32,
}

impl Mob {
    fn new() -> Self {
        let bind = |n: u8| {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 66, 0, n), 5_060));
            let socket = socket.expect("127.0.0.0/8 is this machine");
            socket.set_nonblocking(true).expect("a socket can be told");
            socket
        };
        Self {
            sockets: (1..=SOCKETS).map(bind).collect(),
            sent: 0,
        }
    }

    /// A nonce of the home, as anybody gets one.
    fn nonce(&self, edge: &str) -> String {
        let socket = &self.sockets[0];
        let from = socket.local_addr().expect("it is bound");
        let said = poll(Duration::from_secs(5), || {
            let sent = socket.send_to(&request("REGISTER", 0, from, ""), (edge, 5_060));
            sent.expect("a datagram can be sent");
            let mut answer = [0; 2_048];
            let len = socket.recv(&mut answer).ok()?;
            Some(String::from_utf8_lossy(&answer[..len]).into_owned())
        });
        let said = said.expect("there is an answer");
        let nonce = said.split_once("nonce=\"").map(|(_, rest)| rest);
        let nonce = nonce.and_then(|rest| rest.split('"').next());
        nonce
            .unwrap_or_else(|| panic!("no nonce: {said}"))
            .to_owned()
    }

    /// Sends a burst; `write` makes each datagram from its number and the
    /// address it comes from. What the kernel does not take is not sent.
    fn burst(&mut self, to: &str, write: &impl Fn(u32, SocketAddr) -> Vec<u8>) {
        for _ in 0..BURST {
            self.sent += 1;
            let socket = &self.sockets[self.sent as usize % self.sockets.len()];
            let from = socket.local_addr().expect("it is bound");
            let bytes = write(self.sent, from);
            drop(socket.send_to(&bytes, (to, 5_060)));
            let mut answer = [0; 2_048];
            while socket.recv(&mut answer).is_ok() {}
        }
    }
}

/// A request as scanners write them, to an extension of its own.
fn request(method: &str, number: u32, from: SocketAddr, more: &str) -> Vec<u8> {
    let uri = match method {
        "REGISTER" => format!("sip:{DOMAIN}"),
        _ => format!("sip:{number}@{DOMAIN}"),
    };
    let text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK-{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{number}@{DOMAIN}>;tag=t{number}\r\nTo: <sip:{number}@{DOMAIN}>\r\n\
         Call-ID: scan-{number}-{from}\r\nCSeq: 1 {method}\r\nContact: <sip:{number}@{from}>\r\n{more}\
         User-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n"
    );
    text.into_bytes()
}

/// Calls between good phones; p99 of their set-up in microseconds.
fn calls(lab: &Lab, attack: &mut impl FnMut()) -> f64 {
    let mut command = steadfast();
    command.args(["load", "calls-to-registered", "--json", "--outbound"]);
    for edge in &EDGES[..2] {
        command.arg("--to").arg(format!("{edge}:5060"));
    }
    command.args(["--password", PASSWORD, "--phones", "40"]);
    command.args(["--rate", "60", "--count", "240", "--hold", "100"]);
    let mut process = Process::start("steadfast load", &mut command, lab.path("load.log"));
    let ended = poll(LOAD_MAX, || {
        attack();
        process.ended()
    });
    let said = process.said();
    let has_worked = ended.is_some_and(|status| status.success());
    assert!(has_worked, "{said}\n{}", lab.last_words());
    assert!(said.contains("\"failed\":0,"), "{said}");
    let p99 = said.split_once("\"p99_us\":").map(|(_, rest)| rest);
    let p99 = p99.and_then(|rest| rest.split([',', '}']).next());
    p99.and_then(|p99| p99.parse().ok())
        .unwrap_or_else(|| panic!("no p99 in {said}"))
}

/// The sum of a counter over all nodes.
fn counted(lab: &Lab, name: &str) -> u64 {
    let nodes = ["home", "e1", "e2", "e3"];
    let value = |node: &str| {
        let socket = lab.path("lab").join(format!("{node}.sock"));
        metric(
            &page(socket, "/metrics"),
            &format!("steadfast_{name}_total"),
        )
    };
    nodes.into_iter().map(value).sum()
}

/// Attacks while phones call; the counter must move.
#[track_caller]
fn withstand(lab: &Lab, what: &str, counter: &str, mut attack: impl FnMut()) {
    let before = counted(lab, counter);
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        best = best.min(calls(lab, &mut attack));
        if best < SETUP_MAX_US {
            break;
        }
    }
    let moved = counted(lab, counter) - before;
    println!("{what}: set-up {best} us (p99), {counter} {moved}");
    assert!(moved > 0, "{what}: {counter} did not move");
    assert!(
        best < SETUP_MAX_US,
        "{what}: {best} us\n{}",
        lab.last_words()
    );
}

#[test]
fn floods_of_datagrams_disturb_nobody() {
    let lab = Lab::start_with("abuse", &["--strict"]);
    let mut mob = Mob::new();
    let edge = EDGES[0];
    let (user, nonce) = (load_user(1), mob.nonce(edge));
    let mut flood =
        |what: &str, counter: &str, to: &str, write: &dyn Fn(u32, SocketAddr) -> Vec<u8>| {
            withstand(&lab, what, counter, || mob.burst(to, &write));
        };
    flood("OPTIONS, as svmap", "answers", edge, &|n, from| {
        request("OPTIONS", n, from, "")
    });
    flood(
        "INVITE of all extensions, as svwar",
        "withheld",
        edge,
        &|n, from| request("INVITE", n, from, ""),
    );
    flood("the same at the home", "withheld", HOME, &|n, from| {
        request("INVITE", n, from, "")
    });
    flood(
        "guessed passwords, as svcrack",
        "failed_digests",
        edge,
        &|n, from| {
            let proof = format!(
                "Authorization: Digest username=\"{user}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", \
             uri=\"sip:{DOMAIN}\", response=\"{n:032x}\", algorithm=MD5, qop=auth, nc={n:08x}, cnonce=\"c\"\r\n"
            );
            request("REGISTER", n, from, &proof)
        },
    );
    flood(
        "spoofed sources asking for long answers",
        "withheld",
        edge,
        &|n, from| {
            let text = format!(
                "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{n}\r\n\
             f: <sip:a@{DOMAIN}>;tag=1\r\nt: <sip:a@{DOMAIN}>\r\ni: {n}\r\nCSeq: 1 REGISTER\r\n\r\n"
            );
            text.into_bytes()
        },
    );
    flood("CANCEL of nothing", "answers", edge, &|n, from| {
        request("CANCEL", n, from, "")
    });
    flood("ACK of nothing", "stray_acks", edge, &|n, from| {
        request("ACK", n, from, "")
    });
    flood("broken messages", "malformed", edge, &|n, from| {
        let mut bytes = request("INVITE", n, from, "CSeq: x\r\n");
        bytes.truncate(80 + n as usize % 200);
        bytes
    });
    flood("STUN", "stun", edge, &|n, _| {
        let mut bytes = b"\x00\x01\x00\x00\x21\x12\xA4\x42abcdefgh".to_vec();
        bytes.extend_from_slice(&n.to_be_bytes());
        bytes
    });
    flood("stuffed Vias", "answers", edge, &|n, from| {
        let vias = ",SIP/2.0/UDP 198.51.100.9;branch=z9hG4bKx".repeat(80);
        let via = format!("Via: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bKy{vias}\r\n");
        request("INVITE", n, from, &via)
    });
}

/// Opens a connection from an address of the attackers.
fn connect(from: Ipv4Addr, to: &str, port: u16) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.bind(&SocketAddr::from((from, 0)).into()).ok()?;
    let to = SocketAddr::new(to.parse().ok()?, port);
    socket
        .connect_timeout(&to.into(), Duration::from_millis(200))
        .ok()?;
    Some(socket.into())
}

#[test]
fn connections_that_say_little_disturb_nobody() {
    let lab = Lab::start_with("abuse-streams", &["--strict", "--tls"]);
    let attacker = Ipv4Addr::new(127, 66, 0, 9);
    // Connections that begin a message and never end it.
    let mut held = Vec::new();
    withstand(&lab, "slow loris", "requests_in", || {
        for _ in 0..10 {
            if held.len() < usize::from(LORIS)
                && let Some(mut stream) = connect(attacker, EDGES[0], 5_060)
            {
                drop(stream.write_all(b"OPTIONS sip:example.com SIP/2.0\r\nX: "));
                held.push(stream);
            }
        }
        for stream in &mut held {
            drop(stream.write(b"x"));
        }
    });
    let loris = Instant::now();
    // Nothing of the above is kept for longer than a message may take.
    let is_gone = poll(Duration::from_secs(30), || {
        let page = page(lab.path("lab").join("e1.sock"), "/metrics");
        let held = metric(&page, "steadfast_malformed_total");
        (held >= 1).then_some(())
    });
    assert!(is_gone.is_some(), "after {:?}", loris.elapsed());
    drop(held);
    withstand(&lab, "opened and closed", "connections_refused", || {
        for _ in 0..60 {
            drop(connect(attacker, EDGES[0], 5_060));
        }
    });
    let attacker = Ipv4Addr::new(127, 66, 0, 10);
    let mut open = Vec::new();
    withstand(&lab, "half-open handshakes", "connections_refused", || {
        for _ in 0..10 {
            open.extend(connect(attacker, EDGES[0], 5_061));
        }
        if open.len() > usize::from(LORIS) {
            open.drain(..10);
        }
    });
}

/// Where `tests/run` puts SIPVicious, unless it is on the path of Python.
fn scanner(name: &str) -> Option<Command> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sipvicious/bin/python3");
    let python = if here.exists() {
        here
    } else {
        "python3".into()
    };
    let probe = Command::new(&python)
        .args(["-c", "import sipvicious"])
        .output();
    probe.ok().filter(|probe| probe.status.success())?;
    let mut command = Command::new(python);
    command.args(["-m", &format!("sipvicious.{name}")]);
    Some(command)
}

#[test]
fn sipvicious_finds_a_server_and_disturbs_nobody() {
    let lab = Lab::start_with("abuse-sipvicious", &["--strict"]);
    let runs: [(&str, &[&str]); 3] = [
        ("svmap", &["-b", ATTACKER, EDGES[0]]),
        (
            "svwar",
            &[
                "-b",
                ATTACKER,
                "-e100-2000",
                "-m",
                "INVITE",
                "--force",
                EDGES[0],
            ],
        ),
        (
            "svcrack",
            &["-b", ATTACKER, "-u", "u0001", "-r1000-9999", EDGES[0]],
        ),
    ];
    for (name, arguments) in runs {
        let Some(mut command) = scanner(name) else {
            println!("SIPVicious is not installed: {name} did not run (tests/run installs it)");
            return;
        };
        command.args(arguments);
        let log = lab.path(&format!("{name}.log"));
        let process = Process::start(name, &mut command, log);
        withstand(&lab, name, "requests_in", || ());
        println!("{name}: {}", process.last_words().trim());
    }
}
