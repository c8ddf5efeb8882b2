//! The shard and a sequence of inputs: no panic, every request that leaves is
//! sound, time always goes on, and everything comes to rest.
//!
//! The bytes are a small program: records between 0x1E, of which the first byte
//! says what happens (see `Play::step`), the rest is what comes with it.

use std::net::SocketAddr;

use steadfast::frame::{self, DatagramFrame};
use steadfast::id::{Flow, ShardSet, SocketId, StreamId, Transport};
use steadfast::limits;
use steadfast::locate::{LookupId, Records};
use steadfast::scan::{self, Message, Name, StartLine};
use steadfast::send::{AcceptedConnection, Local, Output};
use steadfast::shard::{Input, Role, Setup, Shard};
use steadfast::time::{Duration, Instant, Wall};

use super::super::wire::settings;
use super::super::wire::world::{EDGES, HOME, Tokens};

/// Records played of one program.
const RECORDS_MAX: usize = 48;
/// After this long without input nothing may be under way: Timer C, a CANCEL
/// and its own wait, with room.
const REST: Duration = Duration::from_secs(900);

/// Plays the program at an edge, or at the home.
///
/// # Panics
/// When an unsound request leaves, or the shard does not come to rest.
pub(crate) fn check(program: &[u8]) {
    let Some((&first, records)) = program.split_first() else {
        return;
    };
    let mut play = Play::new(first);
    for record in records.split(|&byte| byte == 0x1e).take(RECORDS_MAX) {
        play.step(record);
        play.drain();
    }
    play.pass(REST);
    assert!(play.shard.is_idle(play.now), "{}", program.escape_ascii());
    let gauges = play.shard.gauges();
    let held = |name| gauges.iter().find(|gauge| gauge.0 == name).unwrap().1;
    let left = ["server_transactions", "client_transactions"].map(held);
    assert_eq!(left, [0, 0], "{}", program.escape_ascii());
}

struct Play {
    shard: Shard,
    now: Instant,
    streams: Vec<StreamId>,
    connecting: Vec<StreamId>,
    /// Questions to the DNS that wait.
    lookups: Vec<LookupId>,
    /// The requests that left, for answers to them.
    sent: Vec<(Flow, Vec<u8>)>,
    message: Message,
}

impl Play {
    fn new(first: u8) -> Self {
        let local = |transport, addr: &str, upstream| Local {
            transport,
            addr: addr.parse().unwrap(),
            upstream,
        };
        let (role, own) = match first {
            b'H' => (Role::Home(settings::home(), settings::subscribers()), HOME),
            b'S' => (Role::Edge(settings::edge(0, Tokens::Sealed)), EDGES[0]),
            _ => (Role::Edge(settings::edge(0, Tokens::Clear)), EDGES[0]),
        };
        let locals = vec![
            local(Transport::Udp, own, false),
            local(Transport::Udp, "127.0.0.11:40000", own != HOME),
            local(Transport::Tcp, own, false),
        ];
        let setup = Setup {
            locals,
            role,
            seed: [1, 2, 3, 4],
            shard_set: ShardSet::alone([1, 2, 3, 4]),
            wall: Wall {
                unix_at_zero: 1_800_000_000,
            },
        };
        let now = Instant::ZERO;
        Self {
            shard: Shard::new(setup, now),
            now,
            streams: Vec::new(),
            connecting: Vec::new(),
            lookups: Vec::new(),
            sent: Vec::new(),
            message: Message::default(),
        }
    }

    fn step(&mut self, record: &[u8]) {
        let [what, rest @ ..] = record else { return };
        let peer = SocketAddr::from(([127, 0, 0, 1], 5070 + u16::from(what % 2)));
        match what {
            b'd' | b'e' => self.datagram(0, peer, rest),
            b'h' => self.datagram(1, HOME.parse().unwrap(), rest),
            b'n' => self.datagram(0, EDGES[1].parse().unwrap(), rest),
            b's' => self.stream(peer, rest),
            b'x' => {
                if let Some(stream) = self.streams.pop() {
                    self.shard.handle(self.now, Input::Closed { stream });
                }
            }
            b'c' => {
                if let Some(stream) = self.connecting.pop() {
                    let identities = &[];
                    self.shard
                        .handle(self.now, Input::Connected { stream, identities });
                    self.streams.push(stream);
                }
            }
            b't' => self.pass(Duration::from_millis(
                rest.iter().map(|&byte| u64::from(byte) * 50).sum(),
            )),
            b'r' => self.answer(rest),
            b'u' => {
                let socket = SocketId(u16::from(rest.len() > 1));
                let peer = HOME.parse().unwrap();
                let sent = self.sent.last().map(|(_, bytes)| &bytes[..]);
                let quoted = sent.unwrap_or(rest);
                let input = Input::Unreachable {
                    socket,
                    peer,
                    quoted,
                };
                self.shard.handle(self.now, input);
            }
            b'w' => {
                // Nothing is known of the name.
                if let Some(name) = self.lookups.pop() {
                    let records = Records::default();
                    self.shard
                        .handle(self.now, Input::Resolved { name, records });
                }
            }
            b'q' => self.shard.handle(
                self.now,
                Input::Drain {
                    within: limits::DRAIN_MAX,
                },
            ),
            _ => {}
        }
    }

    fn datagram(&mut self, socket: u16, peer: SocketAddr, bytes: &[u8]) {
        let socket = SocketId(socket);
        self.shard.handle(
            self.now,
            Input::Datagram {
                socket,
                peer,
                bytes,
            },
        );
    }

    fn stream(&mut self, peer: SocketAddr, bytes: &[u8]) {
        if self.streams.is_empty() {
            let accepted = AcceptedConnection {
                core_side: false,
                transport: Transport::Tcp,
                peer,
                identities: &[],
            };
            self.streams.extend(self.shard.accept(self.now, &accepted));
        }
        if let Some(&stream) = self.streams.last() {
            self.shard.handle(self.now, Input::Stream { stream, bytes });
        }
    }

    /// Answers the last request that left: `200` and, behind it, more headers.
    fn answer(&mut self, rest: &[u8]) {
        let Some((flow, request)) = self.sent.pop() else {
            return;
        };
        let (status, more) = rest.split_at(rest.len().min(3));
        let mut text = [b"SIP/2.0 ", status, b" X\r\n"].concat();
        if scan::scan(&request, &mut self.message).is_err() {
            return;
        }
        for header in self.message.headers() {
            let copied = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];
            if copied.contains(&header.name) || header.name == Name::RecordRoute {
                text.extend_from_slice(header.line.of(&request));
            }
        }
        text.extend_from_slice(more);
        text.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
        match flow {
            Flow::Udp { socket, peer } => self.datagram(socket.0, peer, &text),
            Flow::Stream(stream) => self.shard.handle(
                self.now,
                Input::Stream {
                    stream,
                    bytes: &text,
                },
            ),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.shard.poll() {
            match output {
                Output::Transmit { flow, bytes } => self.left(flow, &bytes),
                Output::Connect { stream, .. } => self.connecting.push(stream),
                Output::Close { stream } => {
                    self.streams.retain(|other| *other != stream);
                    self.connecting.retain(|other| *other != stream);
                }
                Output::Resolve { name, .. } => self.lookups.push(name),
                Output::Handoff { .. } => panic!("there is no other shard"),
                Output::Store { .. }
                | Output::Ask { .. }
                | Output::Notice(_)
                | Output::Event(_) => {}
            }
        }
    }

    /// A request that leaves is sound, and an answer has a status.
    fn left(&mut self, flow: Flow, bytes: &[u8]) {
        let DatagramFrame::Sip(sip) = frame::datagram(bytes) else {
            return;
        };
        assert_eq!(sip.len(), bytes.len(), "{}", bytes.escape_ascii());
        let verdict = scan::scan(sip, &mut self.message);
        match self.message.start() {
            Some(StartLine::Request { .. }) => {
                assert_eq!(verdict, Ok(()), "{}", bytes.escape_ascii());
                self.sent.push((flow, bytes.to_vec()));
            }
            Some(StartLine::Response { status, .. }) => assert!((100..=699).contains(&status)),
            None => panic!("{}", bytes.escape_ascii()),
        }
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.shard.deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.shard.handle(self.now, Input::Tick);
            self.drain();
            let due = self.shard.deadline();
            assert!(due.is_none_or(|due| due > self.now), "time stands still");
        }
        self.now = end;
    }
}
