//! The same over a stream: what a stream makes different, and that no place
//! where a read may end makes any difference.

use std::path::Path;

use steadfast::id::{Flow, ShardSet, SocketId, StreamId, Transport};
use steadfast::send::{AcceptedConnection, Local, Output};
use steadfast::shard::{Input, Role, Setup, Shard};
use steadfast::time::{Instant, Wall};

use super::super::phone::{Phone, authorization};
use super::super::settings;
use super::super::world::{EDGES, HOME, Tokens};
use super::{Answer, Forward, Outcome, PHONE, RFC_4475, RFC_5118, Silence, compare, corpus};

/// Where a stream is not a datagram.
const OTHERWISE: [(&str, Outcome); 4] = [
    // It waits for the octets that its Content-Length promises.
    ("rfc4475/clerr.dat", Silence),
    ("rfc5118/wire/ipv6-in-sdp.sip", Silence),
    // It has no blank line: the header goes on.
    ("rfc4475/baddn.dat", Silence),
    // without Content-Length nobody knows where it ends.
    ("rfc4475/inv2543.dat", Answer(400)),
];

/// Where the stream cannot go on: nobody knows where the message ends, or what
/// follows its end is none.
const CLOSE: [&str; 6] = [
    "rfc4475/dblreq.dat",
    "rfc4475/ncl.dat",
    "rfc4475/mcl01.dat",
    "rfc4475/inv2543.dat",
    "rfc5118/wire/mult-ip-in-sdp.sip",
    "rfc5118/wire/ipv4-mapped-ipv6.sip",
];

/// Every file with its outcome over a stream.
fn files(corpus: &Path) -> Vec<(String, Vec<u8>, Outcome)> {
    let first = RFC_4475.map(|(name, want)| (format!("rfc4475/{name}.dat"), want));
    let second = RFC_5118.map(|(name, want)| (format!("rfc5118/wire-cl-fixed/{name}.sip"), want));
    let third = RFC_5118.map(|(name, want)| (format!("rfc5118/wire/{name}.sip"), want));
    let all = first.into_iter().chain(second).chain(third);
    let all = all.map(|(file, want)| {
        let bytes = std::fs::read(corpus.join(&file)).unwrap();
        let mut otherwise = OTHERWISE.iter();
        let other = otherwise.find_map(|(other, want)| (*other == file).then_some(*want));
        (file, bytes, other.unwrap_or(want))
    });
    all.collect()
}

#[test]
fn over_a_stream_the_table_holds_but_for_its_length() {
    // Protocol 4.1, X-9
    let Some(corpus) = corpus() else { return };
    for (file, bytes, want) in files(&corpus) {
        let mut world = super::open();
        world.connect(PHONE, EDGES[0]);
        Phone::new("joe", PHONE, false).register(&mut world, EDGES[0]);
        world.forget();
        world.send_bytes(PHONE, EDGES[0], &bytes);
        compare(&world, &file, &bytes, want);
        let closed = !world.is_connected(PHONE, EDGES[0]);
        assert_eq!(closed, CLOSE.contains(&&file[..]), "{file}");
        if file.ends_with("dblreq.dat") {
            let sent = world
                .trace
                .iter()
                .filter(|seen| seen.to.to_string() == HOME);
            let starts: Vec<_> = sent.map(|seen| seen.text.split(' ').next()).collect();
            assert_eq!(starts[..2], [Some("REGISTER"), Some("INVITE")]);
        }
    }
}

/// An edge with a phone's connection, and what leaves it.
struct Bench {
    shard: Shard,
    stream: StreamId,
    /// What was sent, and that connections were closed (nothing sent).
    out: Vec<(Option<Flow>, Vec<u8>)>,
}

impl Bench {
    fn new() -> Self {
        let local = |transport, addr: &str, upstream| Local {
            transport,
            addr: addr.parse().unwrap(),
            upstream,
        };
        let setup = Setup {
            locals: vec![
                local(Transport::Udp, EDGES[0], false),
                local(Transport::Udp, "127.0.0.11:40000", true),
                local(Transport::Tcp, EDGES[0], false),
            ],
            role: Role::Edge(settings::edge(0, Tokens::Clear)),
            seed: [1, 2, 3, 4],
            shard_set: ShardSet::alone([1, 2, 3, 4]),
            wall: Wall {
                unix_at_zero: 1_800_000_000,
            },
        };
        let mut shard = Shard::new(setup, Instant::ZERO);
        let accepted = AcceptedConnection {
            core_side: false,
            transport: Transport::Tcp,
            peer: PHONE.parse().unwrap(),
            identities: &[],
        };
        let stream = shard.accept(Instant::ZERO, &accepted).unwrap();
        let mut bench = Self {
            shard,
            stream,
            out: Vec::new(),
        };
        bench.poll();
        bench
    }

    fn read(&mut self, bytes: &[u8]) {
        let stream = self.stream;
        self.shard
            .handle(Instant::ZERO, Input::Stream { stream, bytes });
        self.poll();
    }

    fn home_says(&mut self, bytes: &[u8]) {
        let input = Input::Datagram {
            socket: SocketId(1),
            peer: HOME.parse().unwrap(),
            bytes,
        };
        self.shard.handle(Instant::ZERO, input);
        self.poll();
    }

    fn poll(&mut self) {
        while let Some(output) = self.shard.poll() {
            match output {
                Output::Transmit { flow, bytes } => self.out.push((Some(flow), bytes.to_vec())),
                Output::Close { stream } => self.out.push((Some(Flow::Stream(stream)), Vec::new())),
                Output::Connect { peer, .. } => {
                    self.out.push((None, peer.to_string().into_bytes()))
                }
                Output::Resolve { .. }
                | Output::Handoff { .. }
                | Output::Store { .. }
                | Output::Ask { .. }
                | Output::Notice(_)
                | Output::Event(_) => {}
            }
        }
    }

    /// joe's REGISTER, and what the home answered when it was first asked.
    fn register(&mut self, script: &Script) {
        self.read(&script.register);
        self.home_says(&script.answer);
        self.out.clear();
    }
}

/// What registers joe. The same seed makes the same branches, so that one
/// answer fits every bench.
struct Script {
    register: Vec<u8>,
    answer: Vec<u8>,
}

impl Script {
    fn new() -> Self {
        let challenge = "SIP/2.0 401 X\r\nWWW-Authenticate: Digest realm=\"example.com\", nonce=\"n\", algorithm=MD5,qop=\"auth\"\r\n";
        let register = format!(
            "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/TCP {PHONE};branch=z9hG4bKregister\n\
             Route: <sip:edge.example.com;lr>\nMax-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\n\
             To: <sip:joe@example.com>\nCall-ID: register\nCSeq: 1 REGISTER\nContact: <sip:joe@{PHONE}>\n\
             {}Content-Length: 0\n\n",
            authorization("joe", challenge)
        );
        let register = register.replace('\n', "\r\n").into_bytes();
        let mut bench = Bench::new();
        bench.read(&register);
        let (_, sent) = bench
            .out
            .iter()
            .find(|(_, bytes)| bytes.starts_with(b"REGISTER "))
            .unwrap();
        let sent = String::from_utf8(sent.clone()).unwrap();
        let kept = ["Via", "From", "To", "Call-ID", "CSeq", "Contact", "Path"];
        let kept = sent
            .split("\r\n")
            .filter(|line| kept.iter().any(|name| line.starts_with(name)));
        let lines: String = kept.map(|line| format!("{line}\r\n")).collect();
        let answer = format!("SIP/2.0 200 OK\r\n{lines}Expires: 600\r\nContent-Length: 0\r\n\r\n");
        let answer = answer.replace(
            "To: <sip:joe@example.com>",
            "To: <sip:joe@example.com>;tag=h",
        );
        Self {
            register,
            answer: answer.into_bytes(),
        }
    }

    /// What leaves when the bytes are read in these pieces.
    fn play(&self, pieces: &[&[u8]]) -> Vec<(Option<Flow>, Vec<u8>)> {
        let mut bench = Bench::new();
        bench.register(self);
        for piece in pieces {
            bench.read(piece);
        }
        bench.out
    }
}

#[test]
fn wherever_a_read_ends_the_same_octets_leave() {
    //
    let Some(corpus) = corpus() else { return };
    let script = Script::new();
    let mut forwarded = 0;
    for (file, bytes, want) in files(&corpus) {
        let whole = script.play(&[&bytes]);
        forwarded += usize::from(want == Forward && !whole.is_empty());
        assert_eq!(whole.is_empty(), want == Silence, "{file}");
        for at in 1..bytes.len() {
            let (first, second) = bytes.split_at(at);
            assert!(
                script.play(&[first, second]) == whole,
                "{file} in two at {at}"
            );
        }
        let octets: Vec<&[u8]> = bytes.chunks(1).collect();
        assert!(script.play(&octets) == whole, "{file} octet by octet");
    }
    assert!(forwarded > 30, "{forwarded}");
}
