//! Who takes part: addresses and settings of the homes, edges and phones.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use steadfast::agent;
use steadfast::digest::Algorithm;
use steadfast::edge::{self, Member, NextHop, PathPolicy};
use steadfast::home::{self, Redirect, Subscribers};
use steadfast::id::Transport;
use steadfast::send::{Clear, HostRule, Local};
use steadfast::shard::Role;
use steadfast::trust::{CallsOut, Destinations, IdentityHeaders, Strangers};

use super::dice::Dice;
use super::foreign;
use super::phone::Who;
use super::zone::{CLUSTER, Zone, name_of};

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

    /// The home that is somebody else's.
    pub(crate) fn foreign(&self, dice: &mut Dice) -> foreign::Setup {
        let mut edges = self.edges.clone();
        if self.core == Transport::Tcp {
            for edge in &mut edges {
                edge.set_port(CORE_LISTEN);
            }
        }
        let account = |(user, password): (&str, &str)| (user.to_owned(), password.to_owned());
        let attackers = self
            .attackers
            .iter()
            .filter_map(|attacker| attacker.user.as_deref());
        let attackers = attackers.map(|user| (user, EVIL_PASSWORD));
        let phones = self.phones.iter().map(|phone| (&phone.user[..], PASSWORD));
        foreign::Setup {
            addr: self.homes[0],
            tcp: self.core == Transport::Tcp,
            zone: Zone { edges },
            accounts: attackers.chain(phones).map(account).collect(),
            says_service_route: dice.permille(500),
        }
    }

    pub(crate) fn home(&self) -> Role {
        let peer = |edge: &SocketAddr| {
            HostRule::edge(&edge.ip().to_string(), Clear::Any, UPSTREAM).unwrap()
        };
        let settings = home::Settings {
            calls_out: CallsOut {
                anywhere: self.calls_out,
                domains: Vec::new(),
            },
            // Phones are behind the edges; who calls from elsewhere is not.
            destinations: Self::destinations(&["10.0.3.0"]),
            identities: IdentityHeaders::default(),
            name: String::new(),
            domain: "example.com".to_owned(),
            edges: "sip:edge.example.com;lr".to_owned(),
            edge_peers: self.edges.iter().map(peer).collect(),
            peers: Vec::new(),
            nonce_key: [7; 32],
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            redirect: Redirect::Always,
            ring_time: Some(steadfast::limits::RING_TIME),
            challenges_calls: true,
            authenticates: true,
            requires_path: false,
            requires_outbound: false,
            is_stored: true,
        };
        let mut text = format!("{SOS} example.com password={PASSWORD}\n");
        for user in self
            .attackers
            .iter()
            .filter_map(|attacker| attacker.user.as_ref())
        {
            text += &format!("{user} example.com password={EVIL_PASSWORD}\n");
        }
        for user in 0..=self.phones.len() {
            text += &format!("u{user} example.com password={PASSWORD}\n");
        }
        Role::Home(settings, Arc::new(Subscribers::parse(&text).unwrap()))
    }

    pub(crate) fn edge(&self, index: usize) -> Role {
        let core = |addr: &SocketAddr| {
            let core = SocketAddr::new(addr.ip(), CORE_LISTEN);
            let core = self.core_side.then_some((Transport::Tcp, core));
            core.into_iter().collect()
        };
        let member = |(index, addr): (usize, &SocketAddr)| Member {
            core_port: UPSTREAM,
            core: core(addr),
            ..Member::at(&format!("e{}", index + 1), addr.ip())
        };
        let home = |addr: &SocketAddr| {
            NextHop::At(edge::Hop {
                transport: self.core,
                addr: *addr,
                name: None,
            })
        };
        let core_listen = SocketAddr::new(self.edges[index].ip(), CORE_LISTEN);
        let core_listen = self.is_foreign.then_some(core_listen);
        let named = || vec![NextHop::Named("sip:example.com".to_owned())];
        let homes = if self.named {
            named()
        } else {
            self.homes.iter().map(home).collect()
        };
        Role::Edge(edge::Settings {
            rules: edge::Rules {
                strangers: self.strangers,
                destinations: Self::destinations(&["10.0.2.0", "10.0.3.0"]),
                challenges_udp_calls: self.asks_udp,
                ..edge::Rules::default()
            },
            name: format!("e{}", index + 1),
            cluster: "edge.example.com".to_owned(),
            core_name: None,
            home: homes,
            home_domains: vec!["example.com".to_owned()],
            members: self.edges.iter().enumerate().map(member).collect(),
            member_names: self.member_names,
            names: Vec::new(),
            peers: Vec::new(),
            core_port: UPSTREAM,
            path: PathPolicy::Accept,
            set_size: self.set_size.min(self.edges.len()),
            token_keys: if self.sealed {
                vec![[9; 64]]
            } else {
                Vec::new()
            },
            flow_key: [3; 32],
            keeps_flows: false,
            core_listen: core_listen.into_iter().collect(),
        })
    }

    /// The settings of a phone that is our own user agent.
    pub(crate) fn agent(&self, phone: &Extra, dice: &mut Dice) -> Role {
        let turn = dice.index(self.edges.len());
        let edges = self.edges.iter().cycle().skip(turn);
        let name = |addr: &SocketAddr| ("edge.example.com".to_owned(), *addr);
        Role::Agent(agent::Settings {
            user: phone.user.clone(),
            domain: "example.com".to_owned(),
            auth_user: phone.user.clone(),
            password: PASSWORD.to_owned(),
            transport: if phone.tcp {
                Transport::Tcp
            } else {
                Transport::Udp
            },
            home: self.homes[0],
            names: edges.take(self.edges.len()).map(name).collect(),
            instance: format!("urn:uuid:{}", phone.addr.ip()),
            expires_s: phone.expires_s(),
            answer_after: Some(dice.millis(50, 3_000)),
        })
    }

    /// The settings of any other phone.
    pub(crate) fn who(&self, phone: &Extra, dice: &mut Dice) -> Who {
        let turn = dice.index(self.edges.len());
        let edges = self.edges.iter().cycle().skip(turn);
        let led_by = (0..2).map(|flow| match phone.led {
            Led::Told | Led::Cluster => format!("<sip:{CLUSTER};lr>"),
            Led::Address => {
                let edge = self.edges[(turn + flow) % self.edges.len()];
                format!("<sip:{edge};lr>")
            }
            Led::Edge => {
                let name = name_of((turn + flow) % self.edges.len());
                format!("<sip:{name};lr>")
            }
        });
        Who {
            user: phone.user.clone(),
            addr: phone.addr,
            sent_by: phone.name.clone().unwrap_or_else(|| phone.addr.to_string()),
            tcp: phone.tcp,
            outbound: phone.speaks == Speaks::Outbound,
            edges: edges.take(2).copied().collect(),
            led_by: led_by.collect(),
            zone: phone.resolves().then(|| Zone {
                edges: self.edges.clone(),
            }),
            expires_s: phone.expires_s(),
            intrudes: (phone.speaks == Speaks::Plain && !phone.tcp && !self.is_foreign)
                .then_some(self.homes[0]),
        }
    }
}

/// Somebody in the world outside who has asked for nothing.
pub(crate) const VICTIM: &str = "198.51.100.7";

pub(crate) fn is_victim(ip: IpAddr) -> bool {
    ip.to_string() == VICTIM
}
