//! An edge whose home is a name, and a real name server (dnsmasq) on loopback.
//! The homes are sockets of the test: they say who they are.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::Command;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::lab::{EDGES, PHONES, port, steadfast, turn};
use crate::process::{Process, poll};

/// The name server.
pub(crate) const SERVER: &str = "127.0.0.53:5353";
/// Two homes.
const ONE: &str = "127.0.0.21:5060";
const TWO: &str = "127.0.0.20:5060";
/// How long anything may take that happens at once.
const STEP_MAX: Duration = Duration::from_secs(20);
/// How long one question waits for its answer: longer than for a silent DNS.
const ASK_MAX: Duration = Duration::from_secs(5);
/// How often a home looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// A name of the home with two servers, one before the other.
const BOTH: &[&str] = &[
    "--srv-host=_sip._udp.home.example.com,one.example.com,5060,10,0",
    "--srv-host=_sip._udp.home.example.com,two.example.com,5060,20,0",
    "--host-record=one.example.com,127.0.0.21",
    "--host-record=two.example.com,127.0.0.20",
];

/// An edge and its name server.
struct Rig {
    edge: Process,
    server: Process,
    dir: PathBuf,
    requests: u32,
    port: u16,
    _turn: MutexGuard<'static, ()>,
}

impl Rig {
    fn start(test: &str, records: &[&str]) -> Self {
        let (turn, dir) = turn(test);
        let server = serve(&dir, records);
        let config = dir.join("e1.toml");
        let (ip, text) = (EDGES[0], EDGE.replace("IP", EDGES[0]));
        std::fs::write(&config, text.replace("SERVER", SERVER)).expect("a file can be written");
        let mut command = steadfast();
        command.args(["run", "--config"]).arg(&config);
        let edge = Process::start("e1", &mut command, dir.join("e1.log"));
        let mut rig = Self {
            edge,
            server,
            dir,
            requests: 0,
            port: port(),
            _turn: turn,
        };
        let up = poll(STEP_MAX, || {
            let up = rig.edge.output().contains("listening for SIP");
            (up || rig.edge.ended().is_some()).then_some(up)
        });
        assert_eq!(up, Some(true), "{ip}: {}", rig.edge.output());
        rig
    }

    /// The name server forgets everything but these.
    fn change(&mut self, records: &[&str]) {
        self.server.stop();
        self.server = serve(&self.dir, records);
    }

    /// What a subscriber of the home is told through the edge: who answered,
    /// or the status line of the edge itself.
    fn send_request(&mut self) -> Option<String> {
        self.requests += 1;
        let (port, number) = (self.port, self.requests);
        let socket = UdpSocket::bind((PHONES, port)).expect("a port just seen free is free");
        let set = socket.set_read_timeout(Some(ASK_MAX));
        set.expect("a socket takes a time-out");
        let request = format!(
            "OPTIONS sip:joe@example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP {PHONES}:{port};rport;branch=z9hG4bK-dns-{port}-{number}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:ann@example.com>;tag=dns\r\n\
             To: <sip:joe@example.com>\r\n\
             Call-ID: dns-{port}-{number}\r\n\
             CSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let sent = socket.send_to(request.as_bytes(), (EDGES[0], 5060));
        sent.expect("a datagram can be sent");
        let mut buffer = [0; 4_096];
        let len = socket.recv(&mut buffer).ok()?;
        let answer = String::from_utf8_lossy(&buffer[..len]);
        Some(answer.lines().next()?.to_owned())
    }

    /// Asks until this is the answer; other answers that came before it.
    #[track_caller]
    fn until(&mut self, want: &str) -> Vec<String> {
        let mut others = Vec::new();
        let got = poll(STEP_MAX, || {
            let answer = self.send_request().unwrap_or_else(|| "nothing".to_owned());
            let is_it = answer == want;
            if !is_it {
                others.push(answer);
            }
            is_it.then_some(())
        });
        assert!(
            got.is_some(),
            "never {want:?} but {others:?}\n{}",
            self.log()
        );
        others
    }

    /// How often the name server was asked for this.
    fn queries(&self, kind: &str, name: &str) -> usize {
        let line = format!("query[{kind}] {name} ");
        self.server.output().matches(&line).count()
    }

    fn log(&self) -> String {
        format!("{}\n{}", self.edge.last_words(), self.server.last_words())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.edge.stop();
        self.server.stop();
        if std::thread::panicking() {
            eprintln!("{}\nall logs: {}", self.log(), self.dir.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("{} stays: {error}", self.dir.display());
        }
    }
}

const EDGE: &str = "\
name = \"e1\"
listen = [\"udp:IP:5060\", \"tcp:IP:5060\"]

[dns]
servers = [\"SERVER\"]

[edge]
cluster = \"edge.example.com\"
home = [\"sip:home.example.com\"]
members = [{ name = \"e1\", address = \"IP\" }]
";

/// A name server that knows these records of example.com and no others.
pub(crate) fn serve(dir: &std::path::Path, records: &[&str]) -> Process {
    let (ip, port) = SERVER.split_once(':').expect("an address with a port");
    let mut command = Command::new("dnsmasq");
    command
        .args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
        ])
        .args([
            "--pid-file",
            "--bind-interfaces",
            "--log-queries",
            "--user=root",
        ])
        .args(["--local=/example.com/", &format!("--port={port}")])
        .arg(format!("--listen-address={ip}"))
        .args(records);
    let mut server = Process::start("dnsmasq", &mut command, dir.join("dnsmasq.log"));
    let up = poll(STEP_MAX, || {
        (server.ended().is_some() || server.output().contains("started, version")).then_some(())
    });
    assert!(
        up.is_some() && server.ended().is_none(),
        "{}",
        server.output()
    );
    server
}

/// A home that answers every request with its name, until it is dropped.
struct Home {
    over: &'static AtomicBool,
    thread: Option<JoinHandle<()>>,
}

impl Home {
    fn new(run: impl FnOnce(&'static AtomicBool) + Send + 'static) -> Self {
        let over: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let thread = Some(std::thread::spawn(move || run(over)));
        Self { over, thread }
    }

    fn udp(addr: &str, name: &'static str) -> Self {
        let socket = UdpSocket::bind(addr).expect("the address is free");
        let set = socket.set_read_timeout(Some(LOOK));
        set.expect("a socket takes a time-out");
        Self::new(move |over| {
            let mut buffer = [0; 8_192];
            while !over.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let answer = answer(&String::from_utf8_lossy(&buffer[..len]), name);
                let sent = socket.send_to(answer.as_bytes(), from);
                sent.expect("a datagram can be sent");
            }
        })
    }

    fn tcp(addr: &str, name: &'static str) -> Self {
        let listener = TcpListener::bind(addr).expect("the address is free");
        let set = listener.set_nonblocking(true);
        set.expect("a listener takes options");
        Self::new(move |over| {
            let accepted = poll(STEP_MAX, || {
                let is_over = over.load(Ordering::Relaxed);
                let stream = listener.accept().ok().map(|(stream, _)| stream);
                (is_over || stream.is_some()).then_some(stream)
            });
            let Some(Some(mut stream)) = accepted else {
                return;
            };
            let set = stream
                .set_nonblocking(false)
                .and_then(|()| stream.set_read_timeout(Some(LOOK)));
            set.expect("a stream takes options");
            let (mut held, mut buffer) = (String::new(), [0; 8_192]);
            while !over.load(Ordering::Relaxed) {
                let Ok(len @ 1..) = stream.read(&mut buffer) else {
                    continue;
                };
                held += &String::from_utf8_lossy(&buffer[..len]);
                while let Some(end) = held.find("\r\n\r\n") {
                    let request: String = held.drain(..end + 4).collect();
                    let written = stream.write_all(answer(&request, name).as_bytes());
                    written.expect("a stream takes an answer");
                }
            }
        })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a home failed");
        }
    }
}

fn answer(request: &str, name: &str) -> String {
    let mut answer = format!("SIP/2.0 200 {name}\r\n");
    for line in request.lines() {
        let header = line.split(':').next().unwrap_or_default();
        if ["Via", "From", "To", "Call-ID", "CSeq"].contains(&header) {
            let tag = if header == "To" { ";tag=home" } else { "" };
            answer.extend([line, tag, "\r\n"]);
        }
    }
    answer + "Content-Length: 0\r\n\r\n"
}

#[test]
fn the_home_of_lower_priority_takes_over() {
    // N-5, N-7
    let one = Home::udp(ONE, "One");
    let _two = Home::udp(TWO, "Two");
    let mut rig = Rig::start("dns-srv", BOTH);
    rig.until("SIP/2.0 200 One");
    drop(one);
    let others = rig.until("SIP/2.0 200 Two");
    assert!(
        others.is_empty(),
        "the first request after the loss: {others:?}"
    );
}

#[test]
fn naptr_takes_the_edge_to_tcp() {
    // N-4
    let addr: SocketAddr = "127.0.0.20:5070".parse().expect("an address");
    let _udp = Home::udp(ONE, "By UDP");
    let _tcp = Home::tcp(&addr.to_string(), "By TCP");
    let mut rig = Rig::start(
        "dns-naptr",
        &[
            "--naptr-record=home.example.com,20,10,s,SIP+D2U,,_sip._udp.home.example.com",
            "--naptr-record=home.example.com,10,10,s,SIP+D2T,,_sip._tcp.home.example.com",
            "--srv-host=_sip._udp.home.example.com,one.example.com,5060",
            "--srv-host=_sip._tcp.home.example.com,two.example.com,5070",
            "--host-record=one.example.com,127.0.0.21",
            "--host-record=two.example.com,127.0.0.20",
        ],
    );
    let others = rig.until("SIP/2.0 200 By TCP");
    assert!(
        !others.iter().any(|other| other.contains("UDP")),
        "{others:?}"
    );
}

#[test]
fn an_answer_is_kept_for_its_ttl_and_no_longer() {
    // N-11
    let _one = Home::udp(ONE, "One");
    let _two = Home::udp(TWO, "Two");
    let lasting = [BOTH, &["--local-ttl=3600"]].concat();
    let mut rig = Rig::start("dns-ttl", &lasting);
    rig.until("SIP/2.0 200 One");
    // A sweep later, and after more requests, nothing was asked again.
    for _ in 0..20 {
        assert_eq!(rig.send_request().as_deref(), Some("SIP/2.0 200 One"));
    }
    // Each shard asks once, when it begins; together where both ask at the same time.
    let shards = std::thread::available_parallelism().map_or(1, NonZero::get);
    for (kind, name) in [
        ("SRV", "_sip._udp.home.example.com"),
        ("A", "one.example.com"),
        ("NAPTR", "home.example.com"),
    ] {
        let asked = rig.queries(kind, name);
        assert!((1..=shards).contains(&asked), "{kind} {name}: {asked}");
    }
    drop(rig);
    // dnsmasq gives 0 where it is told nothing: good for a second.
    let mut rig = Rig::start("dns-ttl-short", BOTH);
    rig.until("SIP/2.0 200 One");
    rig.change(&["--host-record=home.example.com,127.0.0.20"]);
    rig.until("SIP/2.0 200 Two");
}

#[test]
fn a_name_goes_away_and_a_name_server_may() {
    // N-11, RFC 8767
    let _one = Home::udp(ONE, "One");
    let mut rig = Rig::start("dns-gone", BOTH);
    rig.until("SIP/2.0 200 One");
    // Nobody to ask: what was said last holds, well after it is over.
    rig.server.stop();
    let requests = poll(STEP_MAX, || {
        let answer = rig.send_request();
        assert_eq!(answer.as_deref(), Some("SIP/2.0 200 One"), "{}", rig.log());
        rig.edge
            .output()
            .contains("the DNS does not answer")
            .then_some(())
    });
    assert!(requests.is_some(), "{}", rig.edge.output());
    assert_eq!(rig.send_request().as_deref(), Some("SIP/2.0 200 One"));
    // It is back and knows no such name.
    rig.change(&[]);
    rig.until("SIP/2.0 503 No Home Takes Requests Now");
}
