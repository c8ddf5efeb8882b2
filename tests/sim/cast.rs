//! Who takes part: addresses and settings of the homes, edges and phones.

mod roles;

use std::net::{IpAddr, SocketAddr};

use steadfast::id::Transport;
use steadfast::send::Local;
use steadfast::trust::{Destinations, Strangers};

use super::dice::Dice;

pub(crate) const PASSWORD: &str = "secret";
/// The port towards the home of an edge's first shard; the others follow.
pub(crate) const UPSTREAM: u16 = 40_000;
/// The password of the attackers' accounts.
pub(crate) const EVIL_PASSWORD: &str = "evil";
/// Where an edge takes connections in that come from the home alone, from any port.
pub(crate) const CORE_LISTEN: u16 = 5080;
/// Whom calls to emergency services go to.
pub(crate) const SOS: &str = "sos";
/// Where a phone listens that gives its name in its Vias, and no port.
const NAMED_PORT: u16 = 5070;

/// What a phone understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// Outbound-Proxy: our own user agent.
    Sticky,
    /// RFC 5626 with two configured edges.
    Outbound,
    /// RFC 3261.
    Plain,
}

/// One phone of the cast.
#[derive(Clone, Debug)]
pub(crate) struct Extra {
    pub(crate) user: String,
    pub(crate) addr: SocketAddr,
    pub(crate) speaks: Speaks,
    pub(crate) tcp: bool,
    /// What it writes into its Vias, if that is a name: only the DNS knows at
    /// which port it listens.
    pub(crate) name: Option<String>,
    /// How its edges are configured in it.
    pub(crate) led: Led,
}

/// What a phone of somebody else's knows of its edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Led {
    /// Their addresses; it calls them by the cluster's name, which it does not
    /// resolve.
    Told,
    /// Their addresses alone.
    Address,
    /// The name of each, and it resolves what stands in its routes.
    Edge,
    /// The cluster's name, and it does.
    Cluster,
}

impl Extra {
    /// Whether it goes where the names in its routes lead.
    pub(crate) fn resolves(&self) -> bool {
        matches!(self.led, Led::Edge | Led::Cluster)
    }

    /// What it registers for, in seconds.
    pub(crate) fn expires_s(&self) -> u32 {
        if self.speaks == Speaks::Sticky {
            120
        } else {
            90
        }
    }
}

/// Somebody who means no good.
#[derive(Clone, Debug)]
pub(crate) struct AttackerSetup {
    pub(crate) addr: SocketAddr,
    pub(crate) tcp: bool,
    /// His account, if he has one.
    pub(crate) user: Option<String>,
}

/// The cluster and its phones.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    pub(crate) homes: Vec<SocketAddr>,
    /// The home is somebody else's.
    pub(crate) is_foreign: bool,
    /// Edges have a side of their own for it over TCP, and not a listener alone: then
    /// their Vias lead there too.
    pub(crate) core_side: bool,
    pub(crate) edges: Vec<SocketAddr>,
    pub(crate) phones: Vec<Extra>,
    pub(crate) attackers: Vec<AttackerSetup>,
    /// What edges speak to the home.
    pub(crate) core: Transport,
    /// Of every home and edge.
    pub(crate) shards: u8,
    sealed: bool,
    /// Edges find the homes by name.
    named: bool,
    /// The DNS has the names of the edges.
    pub(crate) member_names: bool,
    set_size: usize,
    pub(crate) strangers: Strangers,
    /// The edges assert nothing of calls over UDP.
    pub(crate) asks_udp: bool,
    /// Subscribers may call other domains.
    pub(crate) calls_out: bool,
}

fn addr(net: u8, host: usize) -> SocketAddr {
    format!("10.0.{net}.{}:5060", host + 1).parse().unwrap()
}

impl Cast {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let homes = 1 + usize::from(dice.permille(250));
        let edges = 2 + dice.index(3);
        let core = if dice.permille(600) {
            Transport::Udp
        } else {
            Transport::Tcp
        };
        let phones = 5 + dice.index(8);
        let mut user = 0;
        let mut cast = Self {
            homes: (0..homes).map(|host| addr(0, host)).collect(),
            edges: (0..edges).map(|host| addr(1, host)).collect(),
            is_foreign: false,
            core_side: false,
            phones: Vec::new(),
            attackers: Vec::new(),
            core,
            sealed: dice.permille(500),
            named: dice.permille(300),
            member_names: false,
            set_size: 2 + dice.index(2),
            shards: 1,
            strangers: match dice.below(10) {
                0..4 => Strangers::Challenge,
                4..8 => Strangers::Answer,
                _ => Strangers::Refuse,
            },
            asks_udp: dice.permille(400),
            calls_out: dice.permille(400),
        };
        for host in 0..phones {
            // Some users have two devices.
            user += usize::from(host == 0 || !dice.permille(250));
            let speaks = match dice.below(10) {
                0..5 => Speaks::Sticky,
                5..8 => Speaks::Outbound,
                _ => Speaks::Plain,
            };
            let tcp = dice.permille(350);
            let is_named = tcp && speaks != Speaks::Sticky && dice.permille(600);
            let mut own = addr(2, host);
            if is_named {
                own.set_port(NAMED_PORT);
            }
            cast.phones.push(Extra {
                user: format!("u{user}"),
                addr: own,
                speaks,
                tcp,
                name: is_named.then(|| format!("p{host}.example.net")),
                led: Led::Told,
            });
        }
        cast.shards += u8::from(dice.permille(300));
        if dice.permille(500) {
            cast.phones.last_mut().unwrap().user = SOS.to_owned();
        }
        for (host, user) in [Some("v1"), Some("v2"), None].into_iter().enumerate() {
            cast.attackers.push(AttackerSetup {
                addr: addr(3, host),
                tcp: dice.permille(400),
                user: user.map(str::to_owned),
            });
        }
        cast.estrange(&mut dice.fork("foreign"));
        cast.name(&mut dice.fork("names"));
        cast
    }

    /// In some runs the home is no steadfast. It has no stickiness, so no phone that
    /// lives by it.
    fn estrange(&mut self, dice: &mut Dice) {
        self.is_foreign = dice.permille(250);
        if !self.is_foreign {
            return;
        }
        self.homes.truncate(1);
        // Where there are more edges than a token names.
        for host in self.edges.len()..2 + dice.index(3) {
            self.edges.push(addr(1, host));
        }
        self.core_side = self.core == Transport::Tcp && dice.permille(500);
        for phone in &mut self.phones {
            if phone.speaks == Speaks::Sticky {
                phone.speaks = Speaks::Outbound;
            }
        }
    }

    /// In some runs the edges have names that phones resolve.
    fn name(&mut self, dice: &mut Dice) {
        self.member_names = dice.permille(400);
        for phone in &mut self.phones {
            let led = match dice.below(10) {
                0..6 => Led::Edge,
                6..9 => Led::Cluster,
                _ => Led::Address,
            };
            if self.member_names && phone.speaks != Speaks::Sticky {
                phone.led = led;
            }
        }
    }

    /// A home or an edge.
    pub(crate) fn is_node(&self, ip: IpAddr) -> bool {
        self.is_home(ip) || self.is_edge(ip)
    }

    pub(crate) fn is_attacker(&self, ip: IpAddr) -> bool {
        self.attackers
            .iter()
            .any(|attacker| attacker.addr.ip() == ip)
    }

    /// Whether whoever lives there has the password of that user.
    pub(crate) fn owns(&self, ip: IpAddr, user: &str) -> bool {
        let mut attackers = self.attackers.iter();
        attackers.any(|attacker| attacker.addr.ip() == ip && attacker.user.as_deref() == Some(user))
            || self.is_phone(ip) && self.phone(ip).user == user
    }

    /// Whether an address is one that a request may go to at all: where a node
    /// listens, and whoever else takes part. Everything else is this machine,
    /// its network, or another port of its own.
    pub(crate) fn is_open(&self, to: SocketAddr) -> bool {
        let nodes = self.homes.iter().chain(&self.edges);
        let mut locals = nodes.flat_map(|node| self.locals(*node));
        locals.any(|local| local.addr == to)
            || self.is_phone(to.ip())
            || self.is_attacker(to.ip())
            || is_victim(to.ip())
    }

    /// What is private and may be reached all the same.
    fn destinations(networks: &[&str]) -> Destinations {
        let network = |text: &&str| (text.parse().unwrap(), 24);
        Destinations {
            reach: networks.iter().map(network).collect(),
            deny: Vec::new(),
        }
    }

    pub(crate) fn is_edge(&self, ip: IpAddr) -> bool {
        self.edges.iter().any(|edge| edge.ip() == ip)
    }

    pub(crate) fn is_home(&self, ip: IpAddr) -> bool {
        self.homes.iter().any(|home| home.ip() == ip)
    }

    pub(crate) fn is_phone(&self, ip: IpAddr) -> bool {
        self.phones.iter().any(|phone| phone.addr.ip() == ip)
    }

    /// The phone of that address.
    pub(crate) fn phone(&self, ip: IpAddr) -> &Extra {
        let mut phones = self.phones.iter();
        phones.find(|phone| phone.addr.ip() == ip).unwrap()
    }

    /// How many shards the node there has.
    pub(crate) fn shards_at(&self, ip: IpAddr) -> u8 {
        if self.is_phone(ip) { 1 } else { self.shards }
    }

    /// The sockets of a node, the same on all its shards.
    pub(crate) fn locals(&self, addr: SocketAddr) -> Vec<Local> {
        let local = |transport, addr, upstream| Local {
            transport,
            addr,
            upstream,
        };
        let mut locals = vec![local(Transport::Udp, addr, false)];
        if self.is_edge(addr.ip()) {
            for shard in 0..u16::from(self.shards) {
                let upstream = SocketAddr::new(addr.ip(), UPSTREAM + shard);
                locals.push(local(Transport::Udp, upstream, true));
            }
        }
        locals.push(local(Transport::Tcp, addr, false));
        if self.is_foreign && self.is_edge(addr.ip()) {
            let core = SocketAddr::new(addr.ip(), CORE_LISTEN);
            locals.push(local(Transport::Tcp, core, false));
        }
        locals
    }
}

/// Somebody in the world outside who has asked for nothing.
pub(crate) const VICTIM: &str = "198.51.100.7";

pub(crate) fn is_victim(ip: IpAddr) -> bool {
    ip.to_string() == VICTIM
}
