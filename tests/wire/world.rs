//! A network of shards in virtual time: messages arrive at once and in order,
//! and whoever is no shard is the test itself.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use steadfast::home::BindingReport;
use steadfast::id::{ShardSet, Transport};
use steadfast::locate::{LookupId, Records};
use steadfast::proxy::{Facts, Reject, Traffic};
use steadfast::recorder::{Filter, What};
use steadfast::send::{self, Handoff, Local};
use steadfast::shard::{Input, Notice, Shard};
use steadfast::time::{Duration, Instant};

use staging::Kind;
use storing::Unwritten;
use upgrading::Run;

use super::cables::{Cables, End};
use super::names::{Answers, Names};

mod breaking;
mod delivery;
mod lateness;
mod proof;
mod sharing;
mod spread;
mod staging;
mod storing;
mod upgrading;

/// Address of the home.
pub(crate) const HOME: &str = "127.0.0.10:5060";
/// Addresses of the edges.
pub(crate) const EDGES: [&str; 3] = ["127.0.0.11:5060", "127.0.0.12:5060", "127.0.0.13:5060"];

/// One message seen by the test or passed between nodes.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// Its bytes as text, whatever is not UTF-8 replaced.
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) transport: Transport,
}

/// What is about to happen to a node or to the test.
enum Event {
    Datagram(Seen),
    Stream(End, Seen),
    /// With the domains that the far side has proven.
    Connected(End, Vec<Box<str>>),
    Closed(End),
    Resolved(usize, LookupId, Records),
    /// From one shard to another.
    Handoff(usize, u8, Handoff),
}

impl Event {
    /// The node it happens to.
    fn index(&self, world: &World) -> Option<usize> {
        match self {
            Self::Datagram(seen) => world.nodes.get(&seen.to).map(|(first, _)| *first),
            Self::Resolved(index, ..) | Self::Handoff(index, ..) => Some(*index),
            Self::Stream(end, _) | Self::Connected(end, _) | Self::Closed(end) => match end {
                End::Node { index, .. } => Some(*index),
                End::Test { .. } => None,
            },
        }
    }
}

/// Nodes by address, and what is under way between them.
pub(crate) struct World {
    pub(crate) now: Instant,
    /// The index of the first shard that has the address, and how many have.
    nodes: BTreeMap<SocketAddr, (usize, usize)>,
    shards: Vec<Shard>,
    /// The shard_set of each shard.
    teams: Vec<ShardSet>,
    /// How many shards the nodes have that are added from now on.
    pub(crate) width: u8,
    /// Which shard of any node the flows from an address come to; the others
    /// fall where their port says.
    steered: BTreeMap<SocketAddr, usize>,
    /// Nodes whose rings are full.
    full: Vec<IpAddr>,
    locals: Vec<Vec<Local>>,
    kinds: Vec<Kind>,
    /// What each shard was started with besides.
    runs: Vec<Run>,
    /// Shards go on in another one after each input.
    pub(crate) upgrades: bool,
    /// Inputs so far.
    inputs: u32,
    /// What the homes handed to their store.
    pub(crate) store: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What a home with `durable` has put out and the store has not written, in order.
    unwritten: Vec<Unwritten>,
    /// What the homes that share a store have asked, and not been told.
    asked: Vec<sharing::Asked>,
    /// That store.
    pub(crate) shared: sharing::Shared,
    /// What each edge keeps for its next run, and which shard said so last.
    pub(crate) flows: BTreeMap<(IpAddr, Vec<u8>), (Vec<u8>, u8)>,
    /// How often it was told something of that.
    pub(crate) flow_writes: usize,
    /// The DNS.
    pub(crate) names: Names,
    wire: VecDeque<Event>,
    cables: Cables,
    /// Connections that nodes have opened.
    dialed: u16,
    /// What came to addresses that are no node, oldest first.
    inbox: VecDeque<Seen>,
    /// Every message of the run, for the trace of a failure.
    pub(crate) trace: Vec<Seen>,
    dead: Vec<IpAddr>,
    /// Addresses inside, and the one each has for whoever is no node.
    translated: Vec<(IpAddr, IpAddr)>,
    /// Certificates of the test's addresses.
    proven: BTreeMap<SocketAddr, Vec<Box<str>>>,
    /// Counts them, since no two runs of a node have the same seed.
    restarts: u64,
    frozen: Vec<IpAddr>,
    /// What waits for nodes that are frozen.
    held: VecDeque<Event>,
    /// Whether the network reports that a dead node is not there.
    pub(crate) icmp: bool,
    /// Keep-alives that nodes sent.
    pub(crate) beats: usize,
    /// Elements that the test plays and that answer no keep-alive.
    pub(crate) mute: Vec<SocketAddr>,
    /// What each node told its operator, oldest first.
    pub(crate) notices: Vec<(SocketAddr, Notice)>,
    /// What each agent had to say, oldest first.
    events: Vec<(SocketAddr, send::Event)>,
    /// Stands around every call into a shard, for a test that measures it.
    pub(crate) around: fn(&mut dyn FnMut()),
}

/// How the edges write their tokens.
#[derive(Clone, Copy)]
pub(crate) enum Tokens {
    Clear,
    Sealed,
}

impl World {
    /// Takes a node off the network: what is sent to it vanishes.
    pub(crate) fn kill(&mut self, addr: &str) {
        self.dead.push(addr.parse::<SocketAddr>().unwrap().ip());
    }

    /// Stops a node without a word (SIGSTOP): what is sent to it waits.
    pub(crate) fn freeze(&mut self, addr: &str) {
        self.frozen.push(addr.parse::<SocketAddr>().unwrap().ip());
    }

    /// Lets it go on, with what has come meanwhile.
    pub(crate) fn thaw(&mut self, addr: &str) {
        let ip = addr.parse::<SocketAddr>().unwrap().ip();
        self.frozen.retain(|frozen| *frozen != ip);
        self.wire.append(&mut self.held);
        self.settle();
        self.tick();
    }

    /// A 1:1 address translation stands between a node and whoever is none.
    pub(crate) fn translate(&mut self, inside: &str, outside: &str) {
        let pair = [inside, outside].map(|ip| ip.parse().unwrap());
        self.translated.push(pair.into());
    }

    /// Connections to `addr` are refused from now on.
    pub(crate) fn refuse(&mut self, addr: &str) {
        self.cables.refuse(addr.parse().unwrap());
    }

    /// The test takes connections at `addr`.
    pub(crate) fn listen(&mut self, addr: &str) {
        self.cables.listen(addr.parse().unwrap());
    }

    /// ICMP tells `node` that `peer` is not there, and quotes what went there last.
    pub(crate) fn unreachable(&mut self, node: &str, peer: &str) {
        let (from, to) = (node.parse().unwrap(), peer.parse().unwrap());
        let mut trace = self.trace.iter().rev();
        let last = trace.find(|seen| (seen.from, seen.to) == (from, to));
        let quoted = last.map(|seen| seen.bytes.clone()).unwrap_or_default();
        self.object(node, peer, &quoted);
    }

    /// ICMP sends `quoted` back to `node`, as if it had gone to `peer`.
    pub(crate) fn object(&mut self, node: &str, peer: &str, quoted: &[u8]) {
        let peer = peer.parse().unwrap();
        let (index, socket) = self.socket(peer, node.parse().unwrap());
        let input = Input::Unreachable {
            socket,
            peer,
            quoted,
        };
        self.input(index, input);
        self.settle();
    }

    /// Tells a node to drain.
    pub(crate) fn drain(&mut self, node: &str) {
        for index in self.shards_of(node) {
            let within = steadfast::limits::EDGE_DRAIN_MAX;
            self.input(index, Input::Drain { within });
        }
    }

    /// A home that drains leaves, once all its shards have answered what they had.
    pub(crate) fn leave(&mut self, node: &str) {
        assert!(self.is_idle(node), "something is under way");
        for index in self.shards_of(node) {
            assert!(self.shards[index].goes_on());
            self.input(index, Input::Leave);
        }
        self.settle();
    }

    /// Sends from an address of the test and lets everything settle.
    pub(crate) fn send(&mut self, from: &str, to: &str, text: &str) {
        self.send_bytes(from, to, text.replace('\n', "\r\n").as_bytes());
    }

    /// Sends exactly these bytes.
    pub(crate) fn send_bytes(&mut self, from: &str, to: &str, bytes: &[u8]) {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let event = match self.cables.between(from, to) {
            Some(end) => Event::Stream(end.across(), Seen::new(from, to, bytes, Transport::Tcp)),
            None => Event::Datagram(Seen::new(from, to, bytes, Transport::Udp)),
        };
        self.wire.push_back(event);
        self.settle();
    }

    /// The next message that came to `to`.
    #[track_caller]
    pub(crate) fn receive(&mut self, to: &str) -> Seen {
        let to: SocketAddr = to.parse().unwrap();
        let index = self.inbox.iter().position(|seen| seen.to == to);
        let Some(index) = index else {
            panic!("nothing for {to}\n{}", self.ladder())
        };
        self.inbox.remove(index).unwrap()
    }

    /// Whether anything waits for `to`.
    pub(crate) fn has(&self, to: &str) -> bool {
        let to: SocketAddr = to.parse().unwrap();
        self.inbox.iter().any(|seen| seen.to == to)
    }

    /// Throws away what came so far.
    pub(crate) fn forget(&mut self) {
        self.inbox.clear();
        self.trace.clear();
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.tick();
            if next == self.now && self.deadline() == Some(next) {
                self.now = self.now + Duration::from_millis(1);
            }
        }
        self.now = end;
        self.tick();
    }

    fn tick(&mut self) {
        for index in 0..self.shards.len() {
            if !self.is_frozen(index) {
                self.input(index, Input::Tick);
            }
        }
        self.settle();
    }

    fn deadline(&self) -> Option<Instant> {
        let awake = (0..self.shards.len()).filter(|index| !self.is_frozen(*index));
        awake
            .filter_map(|index| self.shards[index].deadline())
            .min()
    }

    fn is_frozen(&self, index: usize) -> bool {
        let ip = self.locals[index][0].addr.ip();
        self.frozen.contains(&ip)
    }

    /// A counter of the node at `addr`, over all its shards.
    pub(crate) fn counter(&self, addr: &str, name: &str) -> u64 {
        self.counters(addr, name).iter().sum()
    }

    /// A counter of each shard of a node.
    pub(crate) fn counters(&self, addr: &str, name: &str) -> Vec<u64> {
        let row = |shard: &Shard| {
            let mut rows = shard.counters().rows();
            let found = rows.find(|(row, _)| *row == name);
            found.unwrap_or_else(|| panic!("no counter {name}")).1
        };
        self.shards[self.shards_of(addr)].iter().map(row).collect()
    }

    /// The last message to an address, with its source and transport.
    #[track_caller]
    pub(crate) fn last_to(&self, to: &str) -> &Seen {
        let to: SocketAddr = to.parse().unwrap();
        let found = self.trace.iter().rfind(|seen| seen.to == to);
        found.unwrap_or_else(|| panic!("nothing for {to}\n{}", self.ladder()))
    }

    /// The last message that went to an address, whoever lives there.
    #[track_caller]
    pub(crate) fn last(&self, to: &str) -> &str {
        &self.last_to(to).text
    }

    /// Who was sent requests, in order, the first sender's next hop included.
    pub(crate) fn way(&self) -> Vec<String> {
        let trace = self.trace.iter();
        let requests = trace.filter(|seen| !seen.text.starts_with("SIP/2.0"));
        let mut way: Vec<_> = requests.map(|seen| seen.to.to_string()).collect();
        way.dedup();
        way
    }

    /// What a node says of a URI.
    pub(crate) fn why(&mut self, addr: &str, uri: &str) -> Facts {
        self.why_by_shard(addr, uri).remove(0)
    }

    /// What each shard of a node explains of a URI.
    pub(crate) fn why_by_shard(&mut self, addr: &str, uri: &str) -> Vec<Facts> {
        let (now, all) = (self.now, self.shards_of(addr));
        let shards = self.shards[all].iter_mut();
        shards.map(|shard| shard.why(now, uri.as_bytes())).collect()
    }

    /// What a node refused of late, shard by shard.
    pub(crate) fn rejected(&self, addr: &str) -> Vec<Reject> {
        let shards = self.shards[self.shards_of(addr)].iter();
        shards.flat_map(|shard| shard.rejected().1).collect()
    }

    /// What a node decided about messages with this text, each as its sentence.
    pub(crate) fn decisions(&self, addr: &str, text: &str) -> Vec<String> {
        let filter = Filter::Texts([text.as_bytes().into()].into());
        let shards = self.shards[self.shards_of(addr)].iter();
        let mut all = Vec::new();
        for shard in shards {
            let piece = shard.recorded(0, &filter);
            assert!(piece.is_last, "one piece has all of it");
            let records = piece.records.iter();
            all.extend(records.filter_map(|record| match record.what {
                What::Decided(decision) => Some(decision.sentence(record.link.as_ref())),
                What::In | What::Handed | What::Out => None,
            }));
        }
        all
    }

    /// Has a home take the bindings of an address of record away; what its keeper
    /// says.
    pub(crate) fn remove_bindings(
        &mut self,
        addr: &str,
        uri: &str,
    ) -> Result<BindingReport, String> {
        let (now, all) = (self.now, self.shards_of(addr));
        let shards = self.shards[all.clone()].iter_mut();
        let answers: Vec<_> = shards
            .map(|shard| shard.remove_bindings(now, uri.as_bytes()))
            .collect();
        for index in all {
            self.input(index, Input::Tick);
        }
        self.settle();
        let is_keeper =
            |answers: &Result<BindingReport, _>| answers.as_ref().is_ok_and(|it| it.is_keeper);
        let index = answers.iter().position(is_keeper).unwrap_or_default();
        answers.into_iter().nth(index).unwrap()
    }

    /// What passed a node, over all its shards.
    pub(crate) fn traffic(&self, addr: &str) -> Traffic {
        let mut all = Traffic::default();
        for shard in &self.shards[self.shards_of(addr)] {
            all.merge(shard.traffic());
        }
        all
    }

    /// The phones that are bound to flows of an edge, by transport.
    pub(crate) fn phones(&self, addr: &str) -> [u32; 3] {
        let mut all = [0; 3];
        for shard in &self.shards[self.shards_of(addr)] {
            for (all, (_, count)) in all.iter_mut().zip(shard.phones().unwrap()) {
                *all += count;
            }
        }
        all
    }

    /// What a node holds at this moment, over all its shards.
    pub(crate) fn gauge(&self, addr: &str, name: &str) -> usize {
        let row = |shard: &Shard| {
            let gauges = shard.gauges();
            gauges.iter().find(|(row, _)| *row == name).unwrap().1
        };
        self.shards[self.shards_of(addr)].iter().map(row).sum()
    }

    /// Waits until every timer has run out, and checks that no node holds
    /// anything of a request any more (P-28).
    #[track_caller]
    pub(crate) fn drained(&mut self) {
        self.pass(Duration::from_secs(200));
        for (index, shard) in self.shards.iter().enumerate() {
            lateness::balances(shard);
            let gauges = shard.gauges();
            let held = gauges.iter().filter(|(name, held)| {
                !matches!(*name, "registered" | "streams" | "dialogs") && *held > 0
            });
            let held: Vec<_> = held.collect();
            assert!(
                held.is_empty(),
                "{} holds {held:?}\n{}",
                self.locals[index][0].addr,
                self.ladder()
            );
        }
    }

    /// The run as text.
    pub(crate) fn ladder(&self) -> String {
        let line = |seen: &Seen| {
            format!(
                "--- {} -> {} {}\n{}\n",
                seen.from,
                seen.to,
                seen.transport.via_token(),
                seen.text.trim_end()
            )
        };
        self.trace.iter().map(line).collect()
    }
}

impl Seen {
    /// A keep-alive and not a message.
    fn is_beat(&self) -> bool {
        matches!(self.bytes[..], [0 | 1, _, ..] | [b'\r', b'\n', ..])
    }

    /// A STUN request.
    fn is_question(&self) -> bool {
        self.bytes.starts_with(&[0, 1])
    }

    fn new(from: SocketAddr, to: SocketAddr, bytes: &[u8], transport: Transport) -> Self {
        Self {
            from,
            to,
            text: String::from_utf8_lossy(bytes).into_owned(),
            bytes: bytes.to_vec(),
            transport,
        }
    }
}
