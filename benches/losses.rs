//! What the end of a connection and an ICMP error cost an edge shard while few
//! and many requests are under way: the same, within 20 µs.
//! Only `Shard::handle` is timed; the clock stands still, so that nothing ends but
//! what is ended. The phone speaks TCP, where nothing lingers after its answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant as Stopwatch};

use criterion::Criterion;
use steadfast::edge::{self, Member};
use steadfast::id::{Flow, ShardSet, SocketId, StreamId, Transport};
use steadfast::send::{AcceptedConnection, Local};
use steadfast::shard::{Input, Output, Role, Setup, Shard};
use steadfast::time::{Instant, Wall};

const PHONE: &str = "127.0.0.1:5070";
const EDGE: &str = "127.0.0.11:5060";
const UPSTREAM: &str = "127.0.0.11:40000";
const HOME: &str = "127.0.0.10:5060";
/// How much dearer it may be among the many.
const APART_MAX: Duration = Duration::from_micros(20);
const FEW: usize = 100;
const MANY: usize = 100_000;

/// Something that ends, and what it took.
type Event = fn(&mut Edge) -> Duration;

/// An edge with requests to its home that nobody answers.
struct Edge {
    shard: Shard,
    phone: StreamId,
    sent: u64,
}

impl Edge {
    fn with(pending: usize) -> Self {
        let local = |transport, addr: &str, upstream| Local {
            transport,
            addr: parse(addr),
            upstream,
        };
        let setup = Setup {
            locals: vec![
                local(Transport::Udp, EDGE, false),
                local(Transport::Udp, UPSTREAM, true),
                local(Transport::Tcp, EDGE, false),
            ],
            role: Role::Edge(settings()),
            seed: [1, 2, 3, 4],
            shard_set: ShardSet::alone([1, 2, 3, 4]),
            wall: Wall {
                unix_at_zero: 1_800_000_000,
            },
        };
        let mut shard = Shard::new(setup, Instant::ZERO);
        let phone = accept(&mut shard);
        let mut edge = Self {
            shard,
            phone,
            sent: 0,
        };
        for _ in 1..pending {
            edge.request();
        }
        edge
    }

    fn handle(&mut self, input: Input<'_>) -> Vec<Output> {
        self.shard.handle(Instant::ZERO, input);
        std::iter::from_fn(|| self.shard.poll()).collect()
    }

    /// A phone's request, as it leaves for the home.
    fn request(&mut self) -> Vec<u8> {
        self.sent += 1;
        let number = self.sent;
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP {PHONE};rport;branch=z9hG4bK{number}\r\n\
             Route: <sip:edge.example.com;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:joe@example.com>;tag=f\r\n\
             To: <sip:joe@example.com>\r\nCall-ID: r{number}\r\nCSeq: 1 REGISTER\r\n\
             Contact: <sip:joe@{PHONE}>\r\nContent-Length: 0\r\n\r\n"
        );
        let out = self.handle(Input::Stream {
            stream: self.phone,
            bytes: text.as_bytes(),
        });
        let sent = out.iter().find_map(|output| match output {
            Output::Transmit {
                flow: Flow::Udp { peer, .. },
                bytes,
            } if *peer == parse(HOME) && bytes.starts_with(b"REGISTER") => Some(bytes.to_vec()),
            Output::Transmit { .. }
            | Output::Connect { .. }
            | Output::Close { .. }
            | Output::Resolve { .. }
            | Output::Store { .. }
            | Output::Ask { .. }
            | Output::Handoff { .. }
            | Output::Notice(_)
            | Output::Event(_) => None,
        });
        sent.expect("it is sent to the home")
    }

    /// ICMP about the youngest of the requests.
    fn icmp(&mut self) -> Duration {
        let quoted = self.request();
        let watch = Stopwatch::now();
        self.shard.handle(
            Instant::ZERO,
            Input::Unreachable {
                socket: SocketId(1),
                peer: parse(HOME),
                quoted: &quoted,
            },
        );
        let spent = watch.elapsed();
        while self.shard.poll().is_some() {}
        spent
    }

    /// The end of a connection that a phone has just opened.
    fn close(&mut self) -> Duration {
        let stream = accept(&mut self.shard);
        let watch = Stopwatch::now();
        self.shard.handle(Instant::ZERO, Input::Closed { stream });
        let spent = watch.elapsed();
        while self.shard.poll().is_some() {}
        spent
    }
}

/// A phone's connection.
fn accept(shard: &mut Shard) -> StreamId {
    let accepted = AcceptedConnection {
        transport: Transport::Tcp,
        peer: parse(PHONE),
        identities: &[],
        core_side: false,
    };
    let stream = shard.accept(Instant::ZERO, &accepted);
    stream.expect("there is room")
}

fn parse(addr: &str) -> SocketAddr {
    addr.parse()
        .unwrap_or_else(|error| panic!("{addr}: {error}"))
}

fn settings() -> edge::Settings {
    edge::Settings {
        name: "e1".to_owned(),
        cluster: "edge.example.com".to_owned(),
        core_name: None,
        home: vec![edge::NextHop::At(edge::ConfiguredHop {
            transport: Transport::Udp,
            addr: parse(HOME),
            name: None,
        })],
        home_domains: vec!["example.com".to_owned()],
        members: vec![Member {
            core_port: 40_000,
            ..Member::at("e1", [127, 0, 0, 11].into())
        }],
        path: edge::PathPolicy::Accept,
        set_size: 1,
        token_keys: vec![[9; 64]],
        flow_key: [3; 32],
        older_flow_keys: Vec::new(),
        keeps_flows: false,
        core_listen: Vec::new(),
        member_names: false,
        names: Vec::new(),
        peers: Vec::new(),
        core_port: 40_000,
        rules: edge::Rules {
            destinations: steadfast::trust::Destinations {
                reach: vec![(std::net::IpAddr::from([127, 0, 0, 0]), 8)],
                deny: Vec::new(),
            },
            ..edge::Rules::default()
        },
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let events: [(&str, Event); 2] = [
        ("an ICMP error", Edge::icmp),
        ("the end of a connection", Edge::close),
    ];
    for (name, event) in events {
        let medians = [FEW, MANY].map(|pending| {
            let mut edge = Edge::with(pending);
            let mut times: Vec<_> = (0..1_000).map(|_| event(&mut edge)).collect();
            times.sort_unstable();
            criterion.bench_function(&format!("{name} among {pending} pending"), |bencher| {
                bencher.iter_custom(|rounds| (0..rounds).map(|_| event(&mut edge)).sum());
            });
            times[times.len() / 2]
        });
        let [few, many] = medians;
        assert!(many <= few + APART_MAX, "{name}: {few:?} and {many:?}");
    }
    criterion.final_summary();
}
