//! One edge shard at work on one core: an INVITE through it, a whole call, and
//! each message of a call alone.
//! Only `Shard::handle` and `Shard::poll` are timed; the messages are written
//! between. The clock moves on with every call, so that the tables hold the
//! transactions of the last 32 seconds and no more, as in service.
//!
//! `STEADFAST_CALLS=n` makes n calls and measures nothing: `perf/instructions`
//! counts what the processor does meanwhile. `STEADFAST_RECORDER=bytes` has the flight
//! recorder on.

use std::net::SocketAddr;
use std::time::{Duration, Instant as Stopwatch};

use criterion::Criterion;
use steadfast_core::edge::{self, Member};
use steadfast_core::id::{Flow, ShardSet, SocketId, Transport};
use steadfast_core::send::Local;
use steadfast_core::shard::{Input, Output, Role, Setup, Shard};
use steadfast_core::time::{Instant, Wall};

const PHONE: &str = "127.0.0.1:5070";
const EDGE: &str = "127.0.0.11:5060";
const UPSTREAM: &str = "127.0.0.11:40000";
const HOME: &str = "127.0.0.10:5060";
/// Calls a second of virtual time: 6,400 linger.
const RATE: u64 = 200;

/// An edge between a registered phone and a home, both played by the bench.
struct Line {
    shard: Shard,
    now: Instant,
    calls: u64,
    /// The Record-Route of the edge.
    route: String,
    /// Time spent in the shard.
    spent: Duration,
    /// The message of a call that alone is timed, by its place.
    alone: Option<usize>,
    /// Messages of this call so far.
    index: usize,
}

impl Line {
    fn new() -> Self {
        let local = |addr: &str, upstream| Local {
            transport: Transport::Udp,
            addr: parse(addr),
            upstream,
        };
        let setup = Setup {
            locals: vec![local(EDGE, false), local(UPSTREAM, true)],
            role: Role::Edge(settings()),
            seed: [1, 2, 3, 4],
            shard_set: ShardSet::alone([1, 2, 3, 4]),
            wall: Wall {
                unix_at_zero: 1_800_000_000,
            },
        };
        let mut shard = Shard::new(setup, Instant::ZERO);
        if let Ok(bytes) = std::env::var("STEADFAST_RECORDER") {
            shard.set_recorder(bytes.parse().expect("STEADFAST_RECORDER is a number"));
        }
        let mut line = Self {
            shard,
            now: Instant::ZERO,
            calls: 0,
            route: String::new(),
            spent: Duration::ZERO,
            alone: None,
            index: 0,
        };
        line.register();
        line
    }

    fn register(&mut self) {
        let contact = format!("Contact: <sip:joe@{PHONE}>;+sip.instance=\"<urn:uuid:1>\";reg-id=1");
        let register = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {PHONE};rport;branch=z9hG4bKreg\r\n\
             Route: <sip:edge.example.com;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:joe@example.com>;tag=f\r\n\
             To: <sip:joe@example.com>\r\nCall-ID: r\r\nCSeq: 1 REGISTER\r\n{contact}\r\n\
             Supported: path, outbound, alt-proxies\r\n\
             Authorization: Digest username=\"joe\", realm=\"example.com\", nonce=\"1\", uri=\"sip:example.com\", response=\"0\"\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let received = self.one(PHONE, &register, "REGISTER ");
        let path = received
            .split("\r\n")
            .find(|line| line.starts_with("Path: "))
            .unwrap_or_default()
            .to_owned();
        let extra = format!(
            "{path}\r\n{contact};expires=3600\r\nRequire: outbound\r\nSupported: path, outbound\r\n"
        );
        let ok = answer(&received, 200, &extra);
        self.one(HOME, &ok, "SIP/2.0 200 ");
    }

    /// Hands a message in and returns what came out.
    fn step(&mut self, from: &str, text: &str) -> Vec<String> {
        let socket = SocketId(u16::from(from == HOME));
        let peer = parse(from);
        let bytes = text.as_bytes();
        let mut out = Vec::with_capacity(4);
        let watch = Stopwatch::now();
        self.shard.handle(
            self.now,
            Input::Datagram {
                socket,
                peer,
                bytes,
            },
        );
        while let Some(output) = self.shard.poll() {
            out.push(output);
        }
        if self.alone.is_none_or(|alone| alone == self.index) {
            self.spent += watch.elapsed();
        }
        self.index += 1;
        let mut texts = Vec::new();
        for output in out {
            if let Output::Transmit {
                flow: Flow::Udp { .. },
                bytes,
            } = output
                // A keep-alive to the home is no part of the call.
                && bytes.first().is_some_and(u8::is_ascii_alphabetic)
            {
                texts.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        texts
    }

    /// The last message that came out, which begins like this.
    fn one(&mut self, from: &str, text: &str, begins: &str) -> String {
        let got = self.step(from, text).pop().unwrap_or_default();
        assert!(got.starts_with(begins), "wanted {begins}, got {got}");
        got
    }

    /// The next call's INVITE as the phone sends it.
    fn invite(&mut self) -> String {
        self.calls += 1;
        self.index = 0;
        self.now = self.now + Duration::from_micros(1_000_000 / RATE);
        self.request("INVITE", "sip:ann@example.com", "", "")
    }

    fn request(&self, method: &str, uri: &str, route: &str, tag: &str) -> String {
        let number = self.calls;
        let body = if method == "INVITE" { SDP } else { "" };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {PHONE};rport;branch=z9hG4bK{method}{number}\r\n{route}\
             Max-Forwards: 70\r\nFrom: <sip:joe@example.com>;tag=j\r\nTo: <sip:ann@example.com>{tag}\r\n\
             Call-ID: call-{number}\r\nCSeq: 1 {method}\r\nContact: <sip:joe@{PHONE}>\r\n\
             User-Agent: bench\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\nSupported: outbound, path\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// An INVITE that is refused; only its way in and out is timed.
    fn attempt(&mut self) {
        let text = self.invite();
        let received = self.one(PHONE, &text, "INVITE ");
        let spent = self.spent;
        self.one(HOME, &answer(&received, 486, ""), "SIP/2.0 486 ");
        self.step(
            PHONE,
            &self
                .request("ACK", "sip:ann@example.com", "", ";tag=a")
                .replace("bKACK", "bKINVITE"),
        );
        self.spent = spent;
    }

    /// INVITE, 100, 180, 200, ACK, BYE, 200: twelve messages.
    fn call(&mut self) {
        let text = self.invite();
        let received = self.one(PHONE, &text, "INVITE ");
        assert!(
            self.step(HOME, &answer(&received, 100, "")).is_empty(),
            "a 100 ends here"
        );
        self.one(HOME, &answer(&received, 180, ""), "SIP/2.0 180 ");
        let ok = answer(&received, 200, "Contact: <sip:ann@10.0.0.1>\r\n");
        let ok = self.one(HOME, &ok, "SIP/2.0 200 ");
        let route = ok
            .split("\r\n")
            .find_map(|line| line.strip_prefix("Record-Route: "));
        self.route = format!(
            "Route: {}\r\nRoute: <sip:example.com;lr>\r\n",
            route.unwrap_or_default()
        );
        for method in ["ACK", "BYE"] {
            let text = self.request(method, "sip:ann@10.0.0.1", &self.route, ";tag=a");
            let received = self.one(PHONE, &text, method);
            if method == "BYE" {
                self.one(HOME, &answer(&received, 200, ""), "SIP/2.0 200 ");
            }
        }
        assert_eq!(self.index, MESSAGES.len(), "each message has its name");
    }
}

fn parse(addr: &str) -> SocketAddr {
    addr.parse()
        .unwrap_or_else(|error| panic!("{addr}: {error}"))
}

/// The home's answer to a request that the edge sent it.
fn answer(request: &str, status: u16, extra: &str) -> String {
    let mut out = format!("SIP/2.0 {status} Bench\r\n");
    for line in request
        .split("\r\n")
        .skip(1)
        .take_while(|line| !line.is_empty())
    {
        let name = line.split(':').next().unwrap_or_default();
        if matches!(
            name,
            "Via" | "From" | "To" | "Call-ID" | "CSeq" | "Record-Route"
        ) {
            out += line;
            if name == "To" && status > 100 && !line.contains(";tag=") {
                out += ";tag=a";
            }
            out += "\r\n";
        }
    }
    out + extra + "Content-Length: 0\r\n\r\n"
}

fn settings() -> edge::Settings {
    let member = |index: u8| Member {
        core_port: 40_000,
        ..Member::at(&format!("e{index}"), [127, 0, 0, 10 + index].into())
    };
    edge::Settings {
        rules: edge::Rules {
            destinations: steadfast_core::trust::Destinations {
                reach: vec![(std::net::IpAddr::from([127, 0, 0, 0]), 8)],
                deny: Vec::new(),
            },
            ..edge::Rules::default()
        },
        name: "e1".to_owned(),
        cluster: "edge.example.com".to_owned(),
        core_name: None,
        home: vec![edge::NextHop::At(edge::ConfiguredHop {
            transport: Transport::Udp,
            addr: parse(HOME),
            name: None,
        })],
        home_domains: vec!["example.com".to_owned()],
        members: (1..=3).map(member).collect(),
        member_names: false,
        names: Vec::new(),
        peers: Vec::new(),
        core_port: 40_000,
        path: edge::PathPolicy::Accept,
        set_size: 2,
        token_keys: vec![[9; 64]],
        flow_key: [3; 32],
        older_flow_keys: Vec::new(),
        keeps_flows: false,
        core_listen: Vec::new(),
    }
}

/// Times `work` alone, on a line that is warm.
fn measure(criterion: &mut Criterion, name: &str, alone: Option<usize>, work: fn(&mut Line)) {
    let mut line = Line::new();
    line.alone = alone;
    for _ in 0..40 * RATE {
        work(&mut line);
    }
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|rounds| {
            line.spent = Duration::ZERO;
            for _ in 0..rounds {
                work(&mut line);
            }
            line.spent
        });
    });
}

fn benches(criterion: &mut Criterion) {
    measure(criterion, "an INVITE through an edge", None, Line::attempt);
    measure(criterion, "a call through an edge", None, Line::call);
    for (index, name) in MESSAGES.into_iter().enumerate() {
        let name = format!("{name} of a call");
        measure(criterion, &name, Some(index), Line::call);
    }
}

/// In the order of `Line::call`.
const MESSAGES: [&str; 7] = ["INVITE", "100", "180", "200", "ACK", "BYE", "200 to BYE"];

const SDP: &str = "v=0\r\no=joe 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n";

fn main() {
    if let Ok(calls) = std::env::var("STEADFAST_CALLS") {
        let mut line = Line::new();
        for _ in 0..calls.parse().expect("STEADFAST_CALLS is a number") {
            line.call();
        }
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    benches(&mut criterion);
    criterion.final_summary();
}
