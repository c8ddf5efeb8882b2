//! Who is in a `World`: the lab's nodes with the settings a test wants,
//! further ones, and what becomes of them.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use steadfast::home::Subscribers;
use steadfast::id::{ShardSet, Transport};
use steadfast::limits;
use steadfast::send::{Event, Local};
use steadfast::shard::{Configuration, Input, Role, RoleSettings, Setup, Shard};
use steadfast::time::{Duration, Instant, Wall};
use steadfast::{agent, edge, home};

use super::super::cables::Cables;
use super::super::names::Names;
use super::super::settings;
use super::upgrading::{self, Run};
use super::{EDGES, HOME, Tokens, World};

/// How many shards each node has where a test does not say: all tests must pass
/// with several (`STEADFAST_SHARDS=2 cargo test --test wire`), but for the one of
/// what a source may ask for, which each shard counts for itself.
fn width() -> u8 {
    let wanted = std::env::var("STEADFAST_SHARDS").ok();
    wanted.map_or(1, |width| width.parse().unwrap())
}

/// The calendar at the start of every test.
pub(super) const UNIX: u64 = 1_800_000_000;

/// What a node is, kept to start it again.
#[derive(Clone)]
pub(super) enum Kind {
    Home(home::Settings),
    Edge(edge::Settings),
    Agent(agent::Settings),
}

impl Kind {
    /// What its certificate is for.
    pub(super) fn domain(&self) -> &str {
        match self {
            Self::Home(home) => &home.domain,
            Self::Edge(edge) => &edge.cluster,
            Self::Agent(_) => "nobody.example.com",
        }
    }
}

impl World {
    /// The lab: a home and three edges.
    pub(crate) fn lab(tokens: Tokens) -> Self {
        Self::with(tokens, |_| (), |_, _| ())
    }

    /// The lab with other settings: of the home, and of each edge by its index.
    pub(crate) fn with(
        tokens: Tokens,
        home: impl Fn(&mut home::Settings),
        edge: impl Fn(usize, &mut edge::Settings),
    ) -> Self {
        Self::wide(width(), tokens, home, edge)
    }

    /// The lab whose edges let strangers call the subscribers.
    pub(crate) fn hospitable(tokens: Tokens) -> Self {
        let answers = |_, edge: &mut edge::Settings| {
            edge.rules.strangers = steadfast::trust::Strangers::Answer;
        };
        Self::with(tokens, |_| (), answers)
    }

    /// A lab with `width` shards in each node.
    pub(crate) fn wide(
        width: u8,
        tokens: Tokens,
        home: impl Fn(&mut home::Settings),
        edge: impl Fn(usize, &mut edge::Settings),
    ) -> Self {
        let mut world = Self {
            now: Instant::ZERO,
            nodes: BTreeMap::new(),
            shards: Vec::new(),
            teams: Vec::new(),
            width,
            steered: BTreeMap::new(),
            full: Vec::new(),
            locals: Vec::new(),
            kinds: Vec::new(),
            runs: Vec::new(),
            upgrades: upgrading::always(),
            inputs: 0,
            store: BTreeMap::new(),
            unwritten: Vec::new(),
            asked: Vec::new(),
            shared: super::sharing::Shared::default(),
            flows: BTreeMap::new(),
            flow_writes: 0,
            names: Names::new(),
            wire: VecDeque::new(),
            cables: Cables::default(),
            dialed: 0,
            inbox: VecDeque::new(),
            trace: Vec::new(),
            dead: Vec::new(),
            translated: Vec::new(),
            proven: BTreeMap::new(),
            frozen: Vec::new(),
            held: VecDeque::new(),
            icmp: false,
            beats: 0,
            restarts: 0,
            mute: Vec::new(),
            notices: Vec::new(),
            events: Vec::new(),
            around: |call| call(),
        };
        let mut settings = settings::home();
        home(&mut settings);
        world.add(&[(HOME, false)], Kind::Home(settings));
        for (index, addr) in EDGES.iter().enumerate() {
            let upstream = format!("{}:40000", addr.trim_end_matches(":5060"));
            let mut settings = settings::edge(index, tokens);
            edge(index, &mut settings);
            world.add(&[(addr, false), (&upstream, true)], Kind::Edge(settings));
        }
        world
    }

    /// Adds another home like the first.
    pub(crate) fn add_home(&mut self, addr: &str) {
        self.add(&[(addr, false)], Kind::Home(settings::home()));
    }

    /// Adds a home with changed settings.
    pub(crate) fn add_home_with(&mut self, addr: &str, change: impl Fn(&mut home::Settings)) {
        let mut settings = settings::home();
        change(&mut settings);
        self.add(&[(addr, false)], Kind::Home(settings));
    }

    /// Adds an edge with sockets of its own (true: towards the home); `change`
    /// makes its settings from those of e1.
    pub(crate) fn add_edge(
        &mut self,
        addrs: &[(&str, bool)],
        change: impl Fn(&mut edge::Settings),
    ) {
        let mut settings = settings::edge(0, Tokens::Clear);
        change(&mut settings);
        self.add(addrs, Kind::Edge(settings));
    }

    /// Adds the user agent `user` at `addr`. It is told where the cluster is,
    /// since nobody else here could.
    pub(crate) fn add_agent(&mut self, user: &str, addr: &str, password: &str, cluster: &[&str]) {
        self.add_agent_over(Transport::Udp, user, addr, password, cluster);
    }

    /// Adds a user agent over TCP.
    pub(crate) fn add_stream_agent(
        &mut self,
        user: &str,
        addr: &str,
        password: &str,
        cluster: &[&str],
    ) {
        self.add_agent_over(Transport::Tcp, user, addr, password, cluster);
    }

    fn add_agent_over(
        &mut self,
        transport: Transport,
        user: &str,
        addr: &str,
        password: &str,
        cluster: &[&str],
    ) {
        let name = |addr: &&str| ("edge.example.com".to_owned(), addr.parse().unwrap());
        let settings = agent::Settings {
            user: user.to_owned(),
            domain: "example.com".to_owned(),
            auth_user: user.to_owned(),
            password: password.to_owned(),
            transport,
            home: HOME.parse().unwrap(),
            names: cluster.iter().map(name).collect(),
            instance: format!("urn:uuid:{user}"),
            expires_s: 600,
            answer_after: Some(Duration::from_secs(1)),
        };
        self.add(&[(addr, false)], Kind::Agent(settings));
    }

    /// Gives each shard of a node buffers of so many bytes and no more.
    pub(crate) fn shrink(&mut self, addr: &str, bytes: usize) {
        for index in self.shards_of(addr) {
            self.shards[index].set_buffer_bytes(bytes);
        }
    }

    /// Tells an agent what to do, and lets everything settle.
    pub(crate) fn command(&mut self, addr: &str, command: agent::Command) {
        let index = self.shards_of(addr).start;
        self.input(index, Input::Command(command));
        self.settle();
    }

    /// What an agent has said since it was last asked.
    pub(crate) fn events(&mut self, addr: &str) -> Vec<Event> {
        let addr: SocketAddr = addr.parse().unwrap();
        let events = self.events.extract_if(.., |(who, _)| *who == addr);
        events.map(|(_, event)| event).collect()
    }

    /// Whether nothing is under way at a node.
    pub(crate) fn is_idle(&mut self, addr: &str) -> bool {
        let of_node = self.shards_of(addr);
        let mut shards = self.shards[of_node].iter_mut();
        shards.all(|shard| shard.is_idle(self.now))
    }

    /// Adds a node with these sockets; true: towards the home. With `tcp:` or
    /// `tls:` before it an address has that listener alone.
    fn add(&mut self, addrs: &[(&str, bool)], kind: Kind) {
        let local = |transport, addr: &str, upstream| Local {
            transport,
            addr: addr.parse().unwrap(),
            upstream,
        };
        let width = match kind {
            Kind::Agent(_) => 1,
            Kind::Home(_) | Kind::Edge(_) => usize::from(self.width),
        };
        let first = self.shards.len();
        let mut locals: Vec<Local> = Vec::new();
        for (addr, _) in addrs.iter().filter(|(_, upstream)| !upstream) {
            let one = [("tcp:", Transport::Tcp), ("tls:", Transport::Tls)];
            let one = one.map(|(token, only)| Some((addr.strip_prefix(token)?, only)));
            if let Some((addr, only)) = one.into_iter().flatten().next() {
                locals.push(local(only, addr, false));
                self.cables.listen(addr.parse().unwrap());
                continue;
            }
            locals.push(local(Transport::Udp, addr, false));
            locals.push(local(Transport::Tcp, addr, false));
            self.cables.listen(addr.parse().unwrap());
            if let Some(host) = addr.strip_suffix(":5060") {
                let addr = format!("{host}:5061");
                locals.push(local(Transport::Tls, &addr, false));
                self.cables.listen(addr.parse().unwrap());
            }
        }
        for local in &locals {
            self.nodes.insert(local.addr, (first, width));
        }
        for shard in 0..width {
            for (addr, _) in addrs.iter().filter(|(_, upstream)| *upstream) {
                let mut local = local(Transport::Udp, addr, true);
                let port = local.addr.port() + u16::try_from(shard).unwrap();
                local.addr.set_port(port);
                self.nodes.insert(local.addr, (first + shard, 1));
                locals.push(local);
            }
        }
        for own in 0..width {
            let number = |number: usize| u8::try_from(number).unwrap();
            self.teams.push(ShardSet {
                own: number(own),
                count: number(width),
                seed: [0; 4],
            });
            self.locals.push(locals.clone());
            self.kinds.push(kind.clone());
            self.runs.push(Run::new(1));
            let mut shard = Shard::new(self.setup(first + own), self.now);
            // As nodes have it: what it costs or breaks is seen by every test.
            shard.set_recorder(limits::RECORDER_BYTES_MIN);
            self.shards.push(shard);
        }
    }

    pub(super) fn setup(&self, index: usize) -> Setup {
        let Run { run, list, .. } = &self.runs[index];
        let seed = (u64::try_from(index).unwrap() + 1) * run;
        let list = || list.clone().unwrap_or_else(settings::subscribers);
        let role = match self.kinds[index].clone() {
            Kind::Home(settings) => Role::Home(settings, list()),
            Kind::Edge(settings) => Role::Edge(settings),
            Kind::Agent(settings) => Role::Agent(settings),
        };
        let shard_set = self.teams[index];
        let node = seed - u64::from(shard_set.own) * run;
        let words = |seed: u64| [seed, seed * 7, seed * 13, seed * 29];
        Setup {
            locals: self.locals[index].clone(),
            role,
            seed: words(seed),
            shard_set: ShardSet {
                seed: words(node),
                ..shard_set
            },
            wall: Wall { unix_at_zero: UNIX },
        }
    }

    /// Gives a home the list `text` in place of `old`.
    pub(crate) fn subscribe(&mut self, addr: &str, old: &Subscribers, text: &str) {
        let list = Arc::new(Subscribers::parse(text).unwrap());
        let revoked = old.revoked_by(&list);
        for index in self.shards_of(addr) {
            let (list, revoked) = (Arc::clone(&list), Arc::clone(&revoked));
            self.runs[index].list = Some(Arc::clone(&list));
            self.input(index, Input::Subscribers { list, revoked });
        }
        self.settle();
    }

    /// An edge takes over changed settings while it runs.
    pub(crate) fn reconfigure_edge(&mut self, addr: &str, change: impl Fn(&mut edge::Settings)) {
        self.reconfigure(addr, |kind| match kind {
            Kind::Edge(settings) => {
                change(settings);
                RoleSettings::Edge(settings.clone())
            }
            Kind::Home(_) | Kind::Agent(_) => panic!("no edge"),
        });
    }

    /// A home takes over changed settings while it runs.
    pub(crate) fn reconfigure_home(&mut self, addr: &str, change: impl Fn(&mut home::Settings)) {
        self.reconfigure(addr, |kind| match kind {
            Kind::Home(settings) => {
                change(settings);
                RoleSettings::Home(settings.clone())
            }
            Kind::Edge(_) | Kind::Agent(_) => panic!("no home"),
        });
    }

    fn reconfigure(&mut self, addr: &str, change: impl Fn(&mut Kind) -> RoleSettings) {
        for index in self.shards_of(addr) {
            let role = change(&mut self.kinds[index]);
            self.configure(index, role, None, limits::SOURCE_STREAMS);
        }
        self.settle();
    }

    /// Sources in these networks are not limited by an edge from here on, and others may have so
    /// many connections; `None`: those of this machine.
    pub(crate) fn limit(
        &mut self,
        addr: &str,
        unlimited: Option<Vec<(IpAddr, u8)>>,
        connections: u32,
    ) {
        for index in self.shards_of(addr) {
            let Kind::Edge(settings) = self.kinds[index].clone() else {
                panic!("no edge")
            };
            let role = RoleSettings::Edge(settings);
            self.configure(index, role, unlimited.clone(), connections);
        }
        self.settle();
    }

    fn configure(
        &mut self,
        index: usize,
        role: RoleSettings,
        unlimited: Option<Vec<(IpAddr, u8)>>,
        connections_per_source: u32,
    ) {
        self.runs[index].limits = Some((unlimited.clone(), connections_per_source));
        let configuration = Configuration {
            role,
            unlimited,
            connections_per_source,
            source_memory: limits::SOURCE_MEMORY,
        };
        self.input(index, Input::Configured(&configuration));
    }

    /// Starts a node anew, alive again: it remembers what its store gives back.
    pub(crate) fn restart(&mut self, addr: &str) {
        let addr: SocketAddr = addr.parse().unwrap();
        let (first, count) = self.nodes[&addr];
        self.dead.retain(|dead| *dead != addr.ip());
        self.restarts += 1;
        self.unwritten
            .retain(|record| !(first..first + count).contains(&record.index));
        for index in first..first + count {
            // The kernel ends the connections of a process that ends.
            for joined in self.cables.all_of(index) {
                self.hang_up(joined);
            }
            self.runs[index] = Run::new(1_000 * self.restarts);
            let mut shard = Shard::new(self.setup(index), self.now);
            match self.kinds[index] {
                Kind::Home(_) => {
                    for (key, value) in &self.store {
                        shard.handle(self.now, Input::Restored { key, value });
                    }
                }
                Kind::Edge(_) => {
                    let rows = self.flows.iter().filter(|((ip, _), _)| *ip == addr.ip());
                    for ((_, key), (value, _)) in rows {
                        shard.handle(self.now, Input::Restored { key, value });
                    }
                }
                Kind::Agent(_) => {}
            }
            self.shards[index] = shard;
        }
        // In the file nobody of this run has written yet.
        for ((ip, _), (_, shard)) in &mut self.flows {
            if *ip == addr.ip() {
                *shard = u8::MAX;
            }
        }
        for index in first..first + count {
            self.input(index, Input::Tick);
        }
        self.settle();
    }

    pub(super) fn is_edge(&self, index: usize) -> bool {
        matches!(self.kinds[index], Kind::Edge(_))
    }

    /// As the table of flows of an edge takes a row, or takes it out.
    pub(super) fn keep_flow(&mut self, index: usize, key: &[u8], value: Option<&[u8]>) {
        let (own, ip) = (self.teams[index].own, self.locals[index][0].addr.ip());
        self.flow_writes += 1;
        let key = (ip, key.to_vec());
        match value {
            Some(value) => {
                self.flows.insert(key, (value.to_vec(), own));
            }
            None => {
                let owner = self.flows.get(&key).map_or(own, |(_, owner)| *owner);
                if owner == own || owner == u8::MAX {
                    self.flows.remove(&key);
                }
            }
        }
    }
}
