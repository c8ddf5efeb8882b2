//! The memory attack: long requests to phones that let them wait, more of them
//! than a shard has buffers for. What one source makes us keep is bounded, and
//! only that source hears of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use steadfast::limits::{BUFFER_BYTES_MAX, SOURCE_MEMORY, SOURCE_MEMORY_KNOWN};

use super::mob::{ANSWER_MAX, Line as _, Mob, Pace, ROUTE, attacker, between, over, sign_in};
use super::streams::connect;
use super::{LOAD_MAX, counted, withstand_for};
use crate::lab::{DOMAIN, EDGES, HOME, Lab, load_user};
use crate::process::{Process, poll};

/// The edge of the phone.
const FAR: &str = EDGES[1];
/// Bytes of a request's body.
const BODY: usize = 60_000;
/// Bytes that a request is kept in: the largest class of buffers.
const BUFFER: usize = 65_536;
/// Requests a second: 720 Mbit/s, where 14 and 72 were seen to be enough.
const RATE: u32 = 1_500;
/// Good calls of a round: seven seconds, in which all buffers would be taken.
const CALLS: u32 = 700;
/// So many would take all buffers of a shard, since each is kept twice.
const ENOUGH: usize = BUFFER_BYTES_MAX / (2 * BUFFER);
/// Bytes that may wait for an edge to read them.
const UNSENT_MAX: usize = 1 << 20;
/// What a node may grow by beside what it keeps for a source: buffers that lie
/// ready (64 MiB of a class), tables, and what the good phones need.
const SLACK: usize = 96 << 20;

/// Somebody who talks all the time over TCP.
struct Talker {
    stream: TcpStream,
    pace: Pace,
    number: u32,
    unsent: Vec<u8>,
    heard: String,
}

impl Talker {
    fn new(from: u8) -> Self {
        let stream = connect(from, 5_060);
        Self {
            stream: stream.expect("an edge takes a connection"),
            pace: Pace::new(RATE),
            number: 0,
            unsent: Vec::new(),
            heard: String::new(),
        }
    }

    /// Says what is due, as far as the edge reads it.
    fn turn(&mut self, write: impl Fn(u32, SocketAddr) -> Vec<u8>) {
        for _ in 0..self.pace.due() {
            if self.unsent.len() >= UNSENT_MAX {
                self.pace.given -= 1;
                continue;
            }
            self.number += 1;
            let request = write(self.number, self.stream.own());
            self.unsent.extend(over::<TcpStream>(&request));
        }
        self.go_on();
    }

    /// Says what is still to be said, and hears what is answered.
    fn go_on(&mut self) {
        while let Ok(len) = self.stream.write(&self.unsent) {
            self.unsent.drain(..len);
            if self.unsent.is_empty() {
                break;
            }
        }
        let mut bytes = [0; 4_096];
        while let Ok(len) = self.stream.read(&mut bytes) {
            assert!(len > 0, "the edge has closed the connection");
            self.heard.push_str(&String::from_utf8_lossy(&bytes[..len]));
        }
    }

    /// How many answers of this status it has heard.
    fn answers(&self, status: u16) -> u64 {
        let line = format!("SIP/2.0 {status} ");
        let all = self.heard.matches(&line).count();
        u64::try_from(all).expect("a number of answers")
    }
}

/// A request with a long body.
fn long(method: &str, number: u32, from: SocketAddr, users: (&str, &str), more: &str) -> Vec<u8> {
    let request = between(method, number, from, users, more);
    let request = String::from_utf8_lossy(&request);
    let sized = request.replace("Content-Length: 0", &format!("Content-Length: {BODY}"));
    format!("{sized}{:BODY$}", "x").into_bytes()
}

/// The nodes on the way of the requests, by their process ids.
type Nodes = [String; 3];

/// MiB of memory that each of them has to itself.
fn memory(nodes: &Nodes) -> [usize; 3] {
    nodes.each_ref().map(|id| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let row = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = row.and_then(|row| row.trim().strip_suffix(" kB"));
        let kib = kib.and_then(|kib| kib.parse::<usize>().ok());
        kib.expect("the kernel says it") >> 10
    })
}

/// Attacks by what `write` makes, and finds that nobody else is refused and no
/// node grows by more than the share of one source.
#[track_caller]
fn attack(
    (lab, nodes): (&Lab, &Nodes),
    (what, counter): (&str, &str),
    share: usize,
    talker: &mut Talker,
    (phone, write): (&Mob, &dyn Fn(u32, SocketAddr) -> Vec<u8>),
) {
    let (before, kept_out) = (memory(nodes), counted(lab, "kept_out"));
    talker.pace = Pace::new(RATE);
    let turn = |talker: &mut Talker| {
        talker.turn(write);
        phone.ring(FAR);
    };
    withstand_for(lab, CALLS, what, counter, || turn(talker));
    let enough = poll(LOAD_MAX, || {
        turn(talker);
        (talker.pace.given as usize >= ENOUGH).then_some(())
    });
    let (given, reached) = (talker.pace.given, talker.pace.reached());
    assert!(enough.is_some(), "{what}: {given} are no attack");
    // Nobody was refused but the attacker, and no shard ran out of buffers.
    let only = poll(ANSWER_MAX, || {
        talker.go_on();
        let refused = counted(lab, "kept_out") - kept_out;
        (refused == talker.answers(503)).then_some(())
    });
    let answers = [407, 480, 503].map(|status| (status, talker.answers(status)));
    let grown = memory(nodes).into_iter().zip(before);
    let grown: Vec<_> = grown
        .map(|(now, before)| now.saturating_sub(before))
        .collect();
    println!("{what}: {given}, {reached} a second; answers {answers:?}; grown by {grown:?} MiB");
    assert!(
        only.is_some(),
        "{what}: {}",
        counted(lab, "kept_out") - kept_out
    );
    assert_eq!(counted(lab, "overflows"), 0);
    let most = (share + SLACK) >> 20;
    assert!(grown.iter().all(|grown| *grown <= most), "{what}: {most}");
}

/// Has the first edge let strangers reach subscribers.
fn open_to_strangers(lab: &Lab) -> Process {
    let path = lab.path("lab/e1.toml");
    let config = std::fs::read_to_string(&path).expect("the lab wrote it");
    let open = config.replace("[edge]\n", "[edge]\nstrangers = \"answer\"\n");
    std::fs::write(&path, open).expect("a file can be written");
    lab.signal("-TERM", EDGES[0]);
    lab.until_said("e1 ended");
    lab.start_again("e1")
}

#[test]
fn long_requests_of_one_source_leave_room_for_others() {
    let lab = Lab::start_with("abuse-memory", &["--strict"]);
    let called = load_user(101);
    let phone = Mob::registered(FAR, [attacker(101)], |_| called.clone());
    let visit = |number: u32, from: SocketAddr| {
        let request = long("INVITE", number, from, ("visitor", &called), ROUTE);
        let text = String::from_utf8_lossy(&request);
        let here = format!("From: <sip:visitor@{DOMAIN}>");
        text.replace(&here, "From: <sip:visitor@elsewhere.example>")
            .into_bytes()
    };
    // Strangers are asked who they are, and reach no phone.
    let mut stranger = Talker::new(102);
    let asked = poll(ANSWER_MAX, || {
        stranger.turn(visit);
        (stranger.answers(407) > 0).then_some(())
    });
    assert!(asked.is_some(), "{}", stranger.heard);
    assert_eq!(phone.ring(FAR), [], "a stranger's call rings");
    drop(stranger);
    let edge = open_to_strangers(&lab);
    let nodes = [edge.id(), lab.process_of(FAR), lab.process_of(HOME)];
    let at = (&lab, &nodes);
    attack(
        at,
        ("long INVITEs of a stranger", "kept_out"),
        SOURCE_MEMORY,
        &mut Talker::new(102),
        (&phone, &visit),
    );
    // A subscriber has a larger share: there may be many phones at his address.
    for (number, method, counter) in [(103, "INVITE", "kept_out"), (104, "MESSAGE", "unheard")] {
        let (mut subscriber, user) = (Talker::new(number), load_user(number.into()));
        sign_in(&subscriber.stream, EDGES[0], &user);
        let what = format!("long {method}s of a subscriber");
        attack(
            at,
            (&what, counter),
            SOURCE_MEMORY_KNOWN,
            &mut subscriber,
            (&phone, &|number, from| {
                long(method, number, from, (&user, &called), ROUTE)
            }),
        );
    }
    // They would wait for what rings.
    edge.signal("-KILL");
    for node in [FAR, HOME] {
        lab.signal("-KILL", node);
    }
}
