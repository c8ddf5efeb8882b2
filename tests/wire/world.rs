//! A network of shards in virtual time: datagrams arrive at once, streams are
//! not used, and whoever is no shard is the test itself.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use steadfast::agent;
use steadfast::digest::Algorithm;
use steadfast::edge::{self, Member};
use steadfast::home::{self, Redirect, Subscribers};
use steadfast::id::{Flow, SocketId, Transport};
use steadfast::send::{Event, Local};
use steadfast::shard::{Input, Output, Role, Setup, Shard};
use steadfast::time::{Duration, Instant, Wall};

/// Address of the home.
pub(crate) const HOME: &str = "127.0.0.10:5060";
/// Addresses of the edges.
pub(crate) const EDGES: [&str; 3] = ["127.0.0.11:5060", "127.0.0.12:5060", "127.0.0.13:5060"];
/// The calendar at the start of every test.
const UNIX: u64 = 1_800_000_000;

/// One message seen by the test or passed between nodes.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) text: String,
    bytes: Vec<u8>,
}

impl Seen {
    /// Bytes that are no text (STUN) are shown as well as can be.
    fn new(from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Self {
            from,
            to,
            text,
            bytes,
        }
    }
}

/// Nodes by address, and what is under way between them.
pub(crate) struct World {
    pub(crate) now: Instant,
    nodes: BTreeMap<SocketAddr, usize>,
    shards: Vec<Shard>,
    locals: Vec<Vec<Local>>,
    wire: VecDeque<Seen>,
    /// What came to addresses that are no node, oldest first.
    inbox: VecDeque<Seen>,
    /// Every message of the run, for the trace of a failure.
    pub(crate) trace: Vec<Seen>,
    dead: Vec<IpAddr>,
    /// What each agent had to say, oldest first.
    events: Vec<(SocketAddr, Event)>,
}

/// How the edges write their tokens.
#[derive(Clone, Copy)]
pub(crate) enum Tokens {
    Clear,
    Sealed,
}

impl World {
    /// The lab: a home and three edges.
    pub(crate) fn lab(tokens: Tokens) -> Self {
        let mut world = Self {
            now: Instant::ZERO,
            nodes: BTreeMap::new(),
            shards: Vec::new(),
            locals: Vec::new(),
            wire: VecDeque::new(),
            inbox: VecDeque::new(),
            trace: Vec::new(),
            dead: Vec::new(),
            events: Vec::new(),
        };
        world.add(HOME, None, Role::Home(home_settings(), subscribers()));
        for (place, addr) in EDGES.iter().enumerate() {
            let upstream = format!("{}:40000", addr.trim_end_matches(":5060"));
            world.add(
                addr,
                Some(&upstream),
                Role::Edge(edge_settings(place, tokens)),
            );
        }
        world
    }

    fn add(&mut self, addr: &str, upstream: Option<&str>, role: Role) {
        let local = |addr: &str, upstream| Local {
            transport: Transport::Udp,
            addr: addr.parse().unwrap(),
            upstream,
        };
        let mut locals = vec![local(addr, false)];
        locals.extend(upstream.map(|addr| local(addr, true)));
        let place = self.shards.len();
        let seed = u64::try_from(place).unwrap() + 1;
        for local in &locals {
            self.nodes.insert(local.addr, place);
        }
        let setup = Setup {
            locals: locals.clone(),
            role,
            seed: [seed, seed * 7, seed * 13, seed * 29],
            wall: Wall { unix_at_zero: UNIX },
        };
        self.shards.push(Shard::new(setup, self.now));
        self.locals.push(locals);
    }

    /// Adds the user agent `user` at `addr`, with the table of names that the
    /// lab has no DNS for; `names` are the addresses of the cluster.
    pub(crate) fn agent(&mut self, user: &str, addr: &str, password: &str, names: &[&str]) {
        let names = names
            .iter()
            .map(|addr| ("edge.example.com".to_owned(), addr.parse().unwrap()))
            .collect();
        let settings = agent::Settings {
            user: user.to_owned(),
            domain: "example.com".to_owned(),
            auth_user: user.to_owned(),
            password: password.to_owned(),
            transport: Transport::Udp,
            home: HOME.parse().unwrap(),
            names,
            instance: format!("urn:uuid:{user}"),
            expires_s: 600,
            answer_after: Some(Duration::from_secs(1)),
        };
        self.add(addr, None, Role::Agent(settings));
    }

    /// Tells an agent what to do, and lets everything settle.
    pub(crate) fn command(&mut self, addr: &str, command: agent::Command) {
        let place = self.nodes[&addr.parse().unwrap()];
        self.shards[place].handle(self.now, Input::Command(command));
        self.collect(place);
        self.settle();
    }

    /// What an agent has had to say since the last call.
    pub(crate) fn events(&mut self, addr: &str) -> Vec<Event> {
        let addr: SocketAddr = addr.parse().unwrap();
        let (mine, others) = std::mem::take(&mut self.events)
            .into_iter()
            .partition(|(who, _)| *who == addr);
        self.events = others;
        let mine: Vec<(SocketAddr, Event)> = mine;
        mine.into_iter().map(|(_, event)| event).collect()
    }

    /// What an agent is in the middle of.
    pub(crate) fn is_idle(&self, addr: &str) -> bool {
        self.shards[self.nodes[&addr.parse().unwrap()]].is_idle()
    }

    /// Puts a dead node back.
    pub(crate) fn revive(&mut self, addr: &str) {
        let ip = addr.parse::<SocketAddr>().unwrap().ip();
        self.dead.retain(|dead| *dead != ip);
    }

    /// Takes a node off the network: what is sent to it vanishes.
    pub(crate) fn kill(&mut self, addr: &str) {
        self.dead.push(addr.parse::<SocketAddr>().unwrap().ip());
    }

    /// Sends from an address of the test and lets everything settle.
    pub(crate) fn send(&mut self, from: &str, to: &str, text: &str) {
        let bytes = text.replace('\n', "\r\n").into_bytes();
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        self.wire.push_back(Seen::new(from, to, bytes));
        self.settle();
    }

    /// The next message that came to `to`.
    #[track_caller]
    pub(crate) fn receive(&mut self, to: &str) -> Seen {
        let to: SocketAddr = to.parse().unwrap();
        let place = self.inbox.iter().position(|seen| seen.to == to);
        let Some(place) = place else {
            panic!("nothing for {to}\n{}", self.ladder())
        };
        self.inbox.remove(place).unwrap()
    }

    /// Whether anything waits for `to`.
    pub(crate) fn has(&self, to: &str) -> bool {
        let to: SocketAddr = to.parse().unwrap();
        self.inbox.iter().any(|seen| seen.to == to)
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.shards.iter().filter_map(Shard::deadline).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            for place in 0..self.shards.len() {
                self.shards[place].handle(self.now, Input::Tick);
                self.collect(place);
            }
            self.settle();
            if next == self.now
                && self.shards.iter().filter_map(Shard::deadline).min() == Some(next)
            {
                self.now = self.now + Duration::from_millis(1);
            }
        }
        self.now = end;
        for place in 0..self.shards.len() {
            self.shards[place].handle(self.now, Input::Tick);
            self.collect(place);
        }
        self.settle();
    }

    /// A counter of the node at `addr`.
    pub(crate) fn counter(&self, addr: &str, name: &str) -> u64 {
        let place = self.nodes[&addr.parse().unwrap()];
        let found = self.shards[place]
            .counters()
            .rows()
            .find(|(row, _)| *row == name);
        found.unwrap_or_else(|| panic!("no counter {name}")).1
    }

    /// The run as text.
    pub(crate) fn ladder(&self) -> String {
        let line = |seen: &Seen| {
            format!(
                "--- {} -> {}\n{}\n",
                seen.from,
                seen.to,
                seen.text.trim_end()
            )
        };
        self.trace.iter().map(line).collect()
    }

    fn settle(&mut self) {
        while let Some(seen) = self.wire.pop_front() {
            self.trace.push(seen.clone());
            if self.dead.contains(&seen.to.ip()) || self.dead.contains(&seen.from.ip()) {
                continue;
            }
            let Some(&place) = self.nodes.get(&seen.to) else {
                self.inbox.push_back(seen);
                continue;
            };
            let socket = self.locals[place]
                .iter()
                .position(|local| local.addr == seen.to)
                .unwrap();
            let socket = SocketId(u16::try_from(socket).unwrap());
            let input = Input::Datagram {
                socket,
                peer: seen.from,
                bytes: &seen.bytes,
            };
            self.shards[place].handle(self.now, input);
            self.collect(place);
        }
    }

    fn collect(&mut self, place: usize) {
        while let Some(output) = self.shards[place].poll() {
            match output {
                Output::Transmit {
                    flow: Flow::Udp { socket, peer },
                    bytes,
                } => {
                    let from = self.locals[place][usize::from(socket.0)].addr;
                    self.wire.push_back(Seen::new(from, peer, bytes.to_vec()));
                }
                Output::Event(event) => {
                    self.events.push((self.locals[place][0].addr, *event));
                }
                Output::Store { .. } | Output::Notice(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn home_settings() -> home::Settings {
    home::Settings {
        domain: "example.com".to_owned(),
        edges: "sip:edge.example.com;lr".to_owned(),
        edge_peers: vec![
            ("127.0.0.11".parse().unwrap(), 32),
            ("127.0.0.12".parse().unwrap(), 31),
        ],
        nonce_key: [7; 32],
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        redirect: Redirect::Always,
    }
}

fn subscribers() -> Arc<Subscribers> {
    let text = "joe example.com password=secret\nann example.com password=secret\n";
    Arc::new(Subscribers::parse(text).unwrap())
}

fn edge_settings(place: usize, tokens: Tokens) -> edge::Settings {
    let member = |place: usize| Member {
        name: format!("e{}", place + 1),
        address: EDGES[place].parse::<SocketAddr>().unwrap().ip(),
        udp: 5060,
        tcp: 5060,
        tls: 5061,
    };
    edge::Settings {
        name: format!("e{}", place + 1),
        cluster: "edge.example.com".to_owned(),
        home: vec![edge::Hop {
            transport: Transport::Udp,
            addr: HOME.parse().unwrap(),
        }],
        home_domains: vec!["example.com".to_owned()],
        members: (0..3).map(member).collect(),
        set_size: 2,
        token_keys: match tokens {
            Tokens::Clear => Vec::new(),
            Tokens::Sealed => vec![[9; 64]],
        },
        flow_key: [3; 32],
    }
}
