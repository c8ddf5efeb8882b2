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
    /// As it went over the wire.
    pub(crate) bytes: Vec<u8>,
    /// The same, for reading.
    pub(crate) text: String,
}

impl Seen {
    fn new(from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Self {
        Self {
            from,
            to,
            bytes: bytes.to_vec(),
            text: String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

/// Nodes by address, and what is under way between them.
pub(crate) struct World {
    pub(crate) now: Instant,
    nodes: BTreeMap<SocketAddr, usize>,
    shards: Vec<Shard>,
    locals: Vec<Vec<Local>>,
    kinds: Vec<Kind>,
    /// What the homes handed to their store.
    pub(crate) store: BTreeMap<Vec<u8>, Vec<u8>>,
    wire: VecDeque<Seen>,
    /// What came to addresses that are no node, oldest first.
    inbox: VecDeque<Seen>,
    /// Every message of the run, for the trace of a failure.
    pub(crate) trace: Vec<Seen>,
    dead: Vec<IpAddr>,
    /// Whether the network reports that a dead node is not there.
    pub(crate) icmp: bool,
    /// What each agent had to say, oldest first.
    events: Vec<(SocketAddr, Event)>,
}

/// What a node is, kept to start it again.
#[derive(Clone)]
enum Kind {
    Home(home::Settings),
    Edge(edge::Settings),
    Agent(agent::Settings),
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
        Self::with(tokens, |_| (), |_, _| ())
    }

    /// The lab with other settings: of the home, and of each edge by its place.
    pub(crate) fn with(
        tokens: Tokens,
        home: impl Fn(&mut home::Settings),
        edge: impl Fn(usize, &mut edge::Settings),
    ) -> Self {
        let mut world = Self {
            now: Instant::ZERO,
            nodes: BTreeMap::new(),
            shards: Vec::new(),
            locals: Vec::new(),
            kinds: Vec::new(),
            store: BTreeMap::new(),
            wire: VecDeque::new(),
            inbox: VecDeque::new(),
            trace: Vec::new(),
            dead: Vec::new(),
            icmp: false,
            events: Vec::new(),
        };
        let mut settings = home_settings();
        home(&mut settings);
        world.add(&[(HOME, false)], Kind::Home(settings));
        for (place, addr) in EDGES.iter().enumerate() {
            let upstream = format!("{}:40000", addr.trim_end_matches(":5060"));
            let mut settings = edge_settings(place, tokens);
            edge(place, &mut settings);
            world.add(&[(addr, false), (&upstream, true)], Kind::Edge(settings));
        }
        world
    }

    /// Adds another home like the first.
    pub(crate) fn add_home(&mut self, addr: &str) {
        self.add(&[(addr, false)], Kind::Home(home_settings()));
    }

    /// Adds an edge with sockets of its own (true: towards the home); `change`
    /// makes its settings from those of e1.
    pub(crate) fn add_edge(
        &mut self,
        addrs: &[(&str, bool)],
        change: impl Fn(&mut edge::Settings),
    ) {
        let mut settings = edge_settings(0, Tokens::Clear);
        change(&mut settings);
        self.add(addrs, Kind::Edge(settings));
    }

    /// Adds the user agent `user` at `addr`. It is told where the cluster is,
    /// since nobody else here could.
    pub(crate) fn add_agent(&mut self, user: &str, addr: &str, password: &str, cluster: &[&str]) {
        let name = |addr: &&str| ("edge.example.com".to_owned(), addr.parse().unwrap());
        let settings = agent::Settings {
            user: user.to_owned(),
            domain: "example.com".to_owned(),
            auth_user: user.to_owned(),
            password: password.to_owned(),
            transport: Transport::Udp,
            home: HOME.parse().unwrap(),
            names: cluster.iter().map(name).collect(),
            instance: format!("urn:uuid:{user}"),
            expires_s: 600,
            answer_after: Some(Duration::from_secs(1)),
        };
        self.add(&[(addr, false)], Kind::Agent(settings));
    }

    /// Tells an agent what to do, and lets everything settle.
    pub(crate) fn command(&mut self, addr: &str, command: agent::Command) {
        let place = self.nodes[&addr.parse().unwrap()];
        self.shards[place].handle(self.now, Input::Command(command));
        self.collect(place);
        self.settle();
    }

    /// What an agent has said since it was last asked.
    pub(crate) fn events(&mut self, addr: &str) -> Vec<Event> {
        let addr: SocketAddr = addr.parse().unwrap();
        let said = self.events.extract_if(.., |(who, _)| *who == addr);
        said.map(|(_, event)| event).collect()
    }

    /// Whether nothing is under way at a node.
    pub(crate) fn is_idle(&self, addr: &str) -> bool {
        self.shards[self.nodes[&addr.parse().unwrap()]].is_idle()
    }

    /// Adds a node with these sockets; true: towards the home.
    fn add(&mut self, addrs: &[(&str, bool)], kind: Kind) {
        let local = |(addr, upstream): &(&str, bool)| Local {
            transport: Transport::Udp,
            addr: addr.parse().unwrap(),
            upstream: *upstream,
        };
        let locals: Vec<Local> = addrs.iter().map(local).collect();
        let place = self.shards.len();
        for local in &locals {
            self.nodes.insert(local.addr, place);
        }
        self.locals.push(locals);
        self.kinds.push(kind);
        let shard = self.start(place, 1);
        self.shards.push(shard);
    }

    fn start(&self, place: usize, run: u64) -> Shard {
        let seed = (u64::try_from(place).unwrap() + 1) * run;
        let role = match self.kinds[place].clone() {
            Kind::Home(settings) => Role::Home(settings, subscribers()),
            Kind::Edge(settings) => Role::Edge(settings),
            Kind::Agent(settings) => Role::Agent(settings),
        };
        let setup = Setup {
            locals: self.locals[place].clone(),
            role,
            seed: [seed, seed * 7, seed * 13, seed * 29],
            wall: Wall { unix_at_zero: UNIX },
        };
        Shard::new(setup, self.now)
    }

    /// Starts a node anew, alive again: it remembers what its store gives back.
    pub(crate) fn restart(&mut self, addr: &str) {
        let addr: SocketAddr = addr.parse().unwrap();
        let place = self.nodes[&addr];
        self.dead.retain(|dead| *dead != addr.ip());
        let mut shard = self.start(place, 1_000);
        if matches!(self.kinds[place], Kind::Home(_)) {
            for (key, value) in &self.store {
                shard.handle(self.now, Input::Restored { key, value });
            }
        }
        self.shards[place] = shard;
    }

    /// Takes a node off the network: what is sent to it vanishes.
    pub(crate) fn kill(&mut self, addr: &str) {
        self.dead.push(addr.parse::<SocketAddr>().unwrap().ip());
    }

    /// Sends from an address of the test and lets everything settle.
    pub(crate) fn send(&mut self, from: &str, to: &str, text: &str) {
        self.send_bytes(from, to, text.replace('\n', "\r\n").as_bytes());
    }

    /// Sends these very bytes and lets everything settle.
    pub(crate) fn send_bytes(&mut self, from: &str, to: &str, bytes: &[u8]) {
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

    /// The last message that went to an address, whoever lives there.
    #[track_caller]
    pub(crate) fn last(&self, to: &str) -> &str {
        let to: SocketAddr = to.parse().unwrap();
        let found = self.trace.iter().rfind(|seen| seen.to == to);
        &found.unwrap_or_else(|| panic!("nothing for {to}")).text
    }

    /// What a node holds at this moment.
    pub(crate) fn gauge(&self, addr: &str, name: &str) -> usize {
        let place = self.nodes[&addr.parse().unwrap()];
        let gauges = self.shards[place].gauges();
        gauges.iter().find(|(row, _)| *row == name).unwrap().1
    }

    /// Forgets what came and was not looked at.
    pub(crate) fn forget(&mut self) {
        self.inbox.clear();
        self.trace.clear();
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
                self.report(&seen);
                continue;
            }
            let Some((place, socket)) = self.socket(seen.to) else {
                self.inbox.push_back(seen);
                continue;
            };
            let input = Input::Datagram {
                socket,
                peer: seen.from,
                bytes: &seen.bytes,
            };
            self.shards[place].handle(self.now, input);
            self.collect(place);
        }
    }

    /// The socket at a node's address.
    fn socket(&self, addr: SocketAddr) -> Option<(usize, SocketId)> {
        let place = *self.nodes.get(&addr)?;
        let mut locals = self.locals[place].iter();
        let socket = locals.position(|local| local.addr == addr)?;
        Some((place, SocketId(u16::try_from(socket).unwrap())))
    }

    /// Port unreachable, to the sender of what was lost.
    fn report(&mut self, lost: &Seen) {
        let Some((place, socket)) = self.socket(lost.from).filter(|_| self.icmp) else {
            return;
        };
        let peer = lost.to;
        self.shards[place].handle(self.now, Input::Unreachable { socket, peer });
        self.collect(place);
    }

    fn collect(&mut self, place: usize) {
        while let Some(output) = self.shards[place].poll() {
            match &output {
                Output::Transmit {
                    flow: Flow::Udp { socket, peer },
                    bytes,
                } => {
                    let from = self.locals[place][usize::from(socket.0)].addr;
                    self.wire.push_back(Seen::new(from, *peer, bytes));
                }
                Output::Store { key, value } => {
                    match value {
                        Some(value) => self.store.insert(key.to_vec(), value.to_vec()),
                        None => self.store.remove(&key[..]),
                    };
                }
                Output::Event(event) => {
                    self.events
                        .push((self.locals[place][0].addr, (**event).clone()));
                }
                Output::Notice(_) => {}
                Output::Transmit { .. } | Output::Connect { .. } | Output::Close { .. } => {
                    panic!("there are no streams here: {output:?}")
                }
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
    let text = "joe example.com password=secret\nann example.com password=secret\nbob example.com password=secret\n";
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
