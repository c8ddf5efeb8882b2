//! News of datagrams that did not arrive (RFC 792), as anybody forges them who
//! knows the addresses of both ends: 2,000 a second, about what was never sent
//! and about what was.
//!
//! They are written by a raw socket, which is for root alone.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use steadfast::limits::CORE_PORT;

use super::mob::{ANSWER_MAX, Mob, Pace, ROUTE, attacker, between, of, one_of};
use super::{measured, withstand};
use crate::lab::{EDGES, HOME, Lab};
use crate::process::poll;

/// Forged a second.
const RATE: u32 = 2_000;
/// Phones of the attackers, an address each: of what is about one source, fifty
/// a second are read.
const PHONES: u8 = 40;
/// Attackers who call them.
const CALLERS: u8 = 8;
/// Calls of theirs that ring before the first news.
const PENDING: u64 = 100_000;
/// Their calls a second until then.
const CALLS: u32 = 12_000;
/// How long it may take until so many ring.
const PENDING_MAX: Duration = Duration::from_secs(30);
/// Bytes of a datagram that come back, as routers send them (RFC 1812 §4.3.2.3).
const QUOTE: usize = 548;

/// Who writes them.
struct Forger {
    socket: Socket,
    pace: Pace,
    number: u32,
}

impl Forger {
    /// Nobody where raw sockets are not allowed, which is said.
    fn new() -> Option<Self> {
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4));
        let Ok(socket) = raw else {
            println!("raw sockets are for root: no ICMP is forged, and this test did not run");
            return None;
        };
        let from = SocketAddr::new(attacker(90).ip(), 0);
        socket
            .bind(&from.into())
            .expect("127.0.0.0/8 is this machine");
        Some(Self {
            socket,
            pace: Pace::new(RATE),
            number: 0,
        })
    }

    /// Forges while phones call. `write` says of each from where, where to and how
    /// a datagram left that did not arrive.
    #[track_caller]
    fn forge(
        &mut self,
        lab: &Lab,
        (what, counter): (&str, &str),
        mut write: impl FnMut(u32) -> (SocketAddr, SocketAddr, Vec<u8>),
    ) {
        self.pace = Pace::new(RATE);
        let moved = withstand(lab, what, counter, || self.turn(&mut write));
        let (given, reached) = (self.pace.given, self.pace.reached());
        println!("{what}: {given} of them, {reached} a second");
        assert!(reached >= u64::from(RATE) * 3 / 4, "{what}: {reached}");
        assert!(
            moved >= u64::from(given) * 3 / 4,
            "{what}: {counter} {moved}"
        );
    }

    fn turn(&mut self, write: &mut impl FnMut(u32) -> (SocketAddr, SocketAddr, Vec<u8>)) {
        for _ in 0..self.pace.due() {
            self.number += 1;
            let (from, to, bytes) = write(self.number);
            let news = port_unreachable(from, to, &bytes);
            self.socket
                .send_to(&news, &SocketAddr::new(from.ip(), 0).into())
                .expect("the kernel takes it");
        }
    }
}

/// RFC 792: the port is unreachable that this datagram was sent to.
fn port_unreachable(from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let quoted = &bytes[..bytes.len().min(QUOTE)];
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => panic!("the lab speaks IPv4"),
    };
    let length = |more: usize| u16::try_from(bytes.len() + more).expect("it was a datagram");
    // Code 3 of type 3; the checksum is still to come.
    let mut news = vec![3, 3, 0, 0, 0, 0, 0, 0];
    // RFC 791: no options, don't fragment, UDP.
    news.extend_from_slice(&[0x45, 0]);
    news.extend_from_slice(&length(28).to_be_bytes());
    news.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
    news.extend_from_slice(&octets(from));
    news.extend_from_slice(&octets(to));
    // RFC 768: without a checksum.
    for field in [from.port(), to.port(), length(8), 0] {
        news.extend_from_slice(&field.to_be_bytes());
    }
    news.extend_from_slice(quoted);
    let sum = checksum(&news);
    news[2..4].copy_from_slice(&sum.to_be_bytes());
    news
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    let words = words.map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |&b| b.into()));
    let sum: u32 = words.sum();
    let sum = (sum >> 16) + (sum & 0xFFFF);
    let sum = (sum >> 16) + (sum & 0xFFFF);
    !u16::try_from(sum).expect("the carries are in it")
}

/// The beginning of a request that nobody sent, under a branch of our form.
fn guessed(number: u32, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bits = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let branch = (0..24).map(|_| {
        bits = bits.rotate_left(5);
        char::from(LETTERS[usize::from(bits.to_le_bytes()[0] & 31)])
    });
    let branch: String = branch.collect();
    let text = format!(
        "INVITE sip:{number}@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 69\r\nFrom: <sip:{number}@{from}>;tag=1\r\n"
    );
    text.into_bytes()
}

/// The address of a node.
fn node(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}

/// Calls of attackers to phones of theirs, which ring and never answer.
struct Ringing {
    callers: Mob,
    phones: Mob,
    pace: Pace,
    /// What the edge of the phones sent, and to whom.
    sent: VecDeque<(SocketAddr, String)>,
}

impl Ringing {
    /// The edge of the callers, and that of the phones.
    const EDGES: [&str; 2] = [EDGES[1], EDGES[0]];

    fn new() -> Self {
        let [far, near] = Self::EDGES;
        let callers = (0..CALLERS).map(|number| of(1, number));
        let phones = (0..PHONES).map(|number| of(2, number));
        Self {
            callers: Mob::registered(far, callers, caller),
            phones: Mob::registered(near, phones, callee),
            pace: Pace::new(CALLS),
            sent: VecDeque::new(),
        }
    }

    /// Calls as often as is due.
    fn turn(&mut self) {
        let [far, near] = Self::EDGES;
        self.callers.burst(self.pace.due(), far, &|number, from| {
            let users = (&*caller(number), &*callee(number / u32::from(CALLERS)));
            between("INVITE", number, from, users, ROUTE)
        });
        self.sent.extend(self.phones.ring(near));
    }
}

fn caller(number: u32) -> String {
    one_of(400, CALLERS, number)
}

fn callee(number: u32) -> String {
    one_of(440, PHONES, number)
}

#[test]
fn forged_icmp_disturbs_nobody() {
    let lab = Lab::start_with("abuse-icmp", &["--strict"]);
    let Some(mut forger) = Forger::new() else {
        return;
    };
    let [near, core, home] = [(EDGES[0], 5_060), (EDGES[0], CORE_PORT), (HOME, 5_060)]
        .map(|(address, port)| node(address, port));
    let phone = |number: u32| {
        // A phone of a good caller, or anybody.
        let [.., a, b] = number.to_be_bytes();
        let ip = if number.is_multiple_of(2) {
            Ipv4Addr::new(127, 16, 0, a % 40 + 1)
        } else {
            Ipv4Addr::new(127, 66, a, b)
        };
        SocketAddr::from((ip, 5_060))
    };
    forger.forge(
        &lab,
        ("ICMP of guesses at an edge", "unreachable_strange"),
        |number| {
            let (from, to) = match number % 3 {
                0 => (core, home),
                _ => (near, phone(number)),
            };
            (from, to, guessed(number, from, to))
        },
    );
    forger.forge(
        &lab,
        ("ICMP of guesses at the home", "unreachable_strange"),
        |number| {
            let to = if number.is_multiple_of(3) {
                core
            } else {
                phone(number)
            };
            (home, to, guessed(number, home, to))
        },
    );
    let mut calls = Ringing::new();
    let pending = poll(PENDING_MAX, || {
        calls.turn();
        // The home and two edges have each of them.
        let pending = measured(&lab, "client_transactions") / 3;
        (pending >= PENDING).then_some(pending)
    });
    let reached = calls.pace.reached();
    println!("{pending:?} calls ring, of {reached} a second");
    assert!(pending.is_some(), "they do not ring: {}", lab.last_words());
    forger.forge(&lab, ("ICMP of what rings", "unreachable_heeded"), |_| {
        let (to, bytes) = calls.sent.pop_front().expect("there are enough");
        (near, to, bytes.into_bytes())
    });
    // It unregisters nobody.
    calls.sent.clear();
    let reached = poll(ANSWER_MAX, || {
        calls.turn();
        calls.sent.pop_front()
    });
    assert!(reached.is_some(), "their phones ring no more");
    // They would wait for what rings.
    for node in EDGES.into_iter().chain([HOME]) {
        lab.signal("-KILL", node);
    }
}
