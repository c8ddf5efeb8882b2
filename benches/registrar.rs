//! A REGISTER through a home's shard, which believes its phones: one that is
//! new, and one refreshed among ten thousand. Only `Shard::handle` and
//! `Shard::poll` are timed; the messages are written between.
//!
//! `STEADFAST_REGISTERS=n` makes n of each kind and measures nothing:
//! `perf/instructions` counts what the processor does meanwhile.
//! `STEADFAST_RECORDER=bytes` has the flight recorder on.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use criterion::Criterion;
use steadfast_core::digest::Algorithm;
use steadfast_core::home::{self, Redirect, Subscribers};
use steadfast_core::id::{ShardSet, SocketId, Transport};
use steadfast_core::send::Local;
use steadfast_core::shard::{Input, Output, Role, Setup, Shard};
use steadfast_core::time::{Instant, Wall};

const PHONES: u64 = 10_000;
/// REGISTERs a second of virtual time.
const RATE: u64 = 1_000;

struct Registrar {
    shard: Shard,
    now: Instant,
    sent: u64,
    text: String,
    /// Time spent in the shard.
    spent: Duration,
}

impl Registrar {
    fn new(phones: u64) -> Self {
        let mut lines = String::new();
        for phone in 0..phones {
            let hash = "0123456789abcdef".repeat(2);
            writeln!(lines, "u{phone:06} example.com md5={hash}").expect("a string takes it");
        }
        let subscribers = Subscribers::parse(&lines).expect("lines of subscribers");
        let setup = Setup {
            locals: vec![Local {
                transport: Transport::Udp,
                addr: SocketAddr::from(([127, 0, 0, 3], 5060)),
                upstream: false,
            }],
            role: Role::Home(settings(), Arc::new(subscribers)),
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
        Self {
            shard,
            now: Instant::ZERO,
            sent: 0,
            text: String::new(),
            spent: Duration::ZERO,
        }
    }

    /// The next REGISTER: each phone's first, then each one's second, and so on.
    fn register(&mut self, phones: u64) {
        let (phone, cseq) = (self.sent % phones, 1 + self.sent / phones);
        self.sent += 1;
        self.now = self.now + Duration::from_micros(1_000_000 / RATE);
        let peer = SocketAddr::from(([127, 0, 0, 1], 5_070));
        self.text.clear();
        write!(
            self.text,
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {peer};rport;branch=z9hG4bKr{}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{phone:06}@example.com>;tag=f{phone}\r\n\
             To: <sip:u{phone:06}@example.com>\r\nCall-ID: bench-{phone:08x}@127.0.0.1\r\n\
             CSeq: {cseq} REGISTER\r\nContact: <sip:u{phone:06}@{peer}>\r\nExpires: 3600\r\n\
             Content-Length: 0\r\n\r\n",
            self.sent
        )
        .expect("a string takes it");
        let watch = Stopwatch::now();
        self.shard.handle(
            self.now,
            Input::Datagram {
                socket: SocketId(0),
                peer,
                bytes: self.text.as_bytes(),
            },
        );
        let mut answers = 0;
        while let Some(output) = self.shard.poll() {
            if let Output::Transmit { bytes, .. } = &output {
                assert!(bytes.starts_with(b"SIP/2.0 200 "), "every REGISTER is good");
                answers += 1;
            }
        }
        self.spent += watch.elapsed();
        assert_eq!(answers, 1, "every REGISTER is answered");
    }
}

fn settings() -> home::Settings {
    home::Settings {
        calls_out: steadfast_core::trust::CallsOut::anywhere(),
        destinations: steadfast_core::trust::Destinations {
            reach: vec![(std::net::IpAddr::from([127, 0, 0, 0]), 8)],
            deny: Vec::new(),
        },
        identities: steadfast_core::trust::IdentityHeaders::default(),
        domain: "example.com".to_owned(),
        name: String::new(),
        edges: "sip:edge.example.com;lr".to_owned(),
        edge_peers: Vec::new(),
        peers: Vec::new(),
        nonce_key: [3; 32],
        older_nonce_keys: Vec::new(),
        algorithms: vec![Algorithm::Sha256],
        authenticates: false,
        redirect: Redirect::Never,
        ring_time: Some(steadfast_core::limits::RING_TIME),
        challenges_calls: false,
        requires_path: false,
        requires_outbound: false,
        is_stored: false,
        is_shared: false,
        is_durable: false,
    }
}

fn benches(criterion: &mut Criterion) {
    criterion.bench_function("a refreshed REGISTER at a home", |bencher| {
        let mut home = Registrar::new(PHONES);
        for _ in 0..2 * PHONES {
            home.register(PHONES);
        }
        bencher.iter_custom(|rounds| {
            home.spent = Duration::ZERO;
            for _ in 0..rounds {
                home.register(PHONES);
            }
            home.spent
        });
    });
    criterion.bench_function("a new REGISTER at a home", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut home = Registrar::new(rounds);
            for _ in 0..rounds {
                home.register(rounds);
            }
            home.spent
        });
    });
}

fn main() {
    if let Ok(count) = std::env::var("STEADFAST_REGISTERS") {
        let count = count.parse().expect("STEADFAST_REGISTERS is a number");
        let mut home = Registrar::new(count);
        for _ in 0..2 * count {
            home.register(count);
        }
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    benches(&mut criterion);
    criterion.final_summary();
}
