//! The names of a cluster in the DNS: what a phone finds that resolves them
//! (RFC 3263), so that it comes to the next edge when its own is dead.
//!
//! - The cluster's name leads to all members that are not to be retired.
//! - Each member has a name below it, `e1.edge.example.com`, which leads to that
//!   member first and to its siblings after it: what stands in a route set by that
//!   name outlives the member (RFC 3263 §4.3).
//! - The domain of the home leads to the cluster, so that an address of record
//!   alone is enough. Not over TLS: there the edge would have to prove that domain
//!   (RFC 5922), which is what makes a home.
//!
//! A function from the configuration to records, which the printer (`steadfast
//! zone`), the name server of a node and `check --dns` share. Members that are
//! silent come in as an argument.
//!
//! Not here: asking and answering (`control`).

mod compare;
mod text;

use std::net::IpAddr;

pub use compare::{Difference, Weight, differences, queries};

use crate::config::{Config, Role};
use crate::edge::{Member, Settings};
use crate::id::Transport;
use crate::limits;
use crate::locate;

/// What the DNS says of a cluster.
#[derive(Clone, Debug)]
pub struct Zone {
    cluster: String,
    domains: Vec<String>,
    nodes: Vec<Node>,
    /// The index of the node itself.
    own: usize,
}

/// A member with the name that it has in the DNS.
#[derive(Clone, Debug)]
struct Node {
    name: String,
    /// Where phones reach it.
    addresses: Vec<IpAddr>,
    /// Where its siblings do.
    listens: Option<IpAddr>,
    /// What it speaks, safest first, and where.
    ports: Vec<(Transport, u16)>,
    retires: bool,
}

impl Node {
    /// Where it speaks that, if it does.
    fn port(&self, transport: Transport) -> Option<u16> {
        let mut ports = self.ports.iter();
        let (_, port) = ports.find(|(one, _)| *one == transport)?;
        Some(*port)
    }
}

/// Members that are not heard of, by their indices in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silent(u64);

/// One record; its class is IN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose, in lower case, without the last dot.
    pub name: String,
    /// How long it is good, in seconds.
    pub ttl_s: u32,
    /// What it says.
    pub data: locate::Record,
}

/// Why a configuration has no zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is that of a home.
    #[error("a home has no names of its own in the DNS: give the file of an edge")]
    Home,
    /// A label or the whole is too long.
    #[error(
        "{name:?} is no name for the DNS, where {} characters between two dots and {} in all are \
         the most: shorten the member's name",
        limits::DNS_LABEL_MAX,
        limits::DNS_NAME_MAX
    )]
    Long {
        /// The name.
        name: String,
    },
    /// The DNS does not tell capital letters from small ones.
    #[error("two members are both {name:?} in the DNS, which has no capital letters")]
    Twice {
        /// The name.
        name: String,
    },
}

/// Per transport, safest first: its service in NAPTR records and the front of the
/// name of its SRV records (RFC 3263 §4.1).
const SERVICES: [(Transport, &str, &str); 3] = [
    (Transport::Tls, "SIPS+D2T", "_sips._tcp"),
    (Transport::Tcp, "SIP+D2T", "_sip._tcp"),
    (Transport::Udp, "SIP+D2U", "_sip._udp"),
];
/// Who is tried first, after that, and last: a member that is silent.
const FIRST: u16 = 10;
const NEXT: u16 = 20;
const LAST: u16 = 30;
/// All of one priority have the same share.
const WEIGHT: u16 = 100;
/// Between the orders of two NAPTR records.
const ORDER: u16 = 10;

impl Silent {
    /// The set with the member at `index` added, or removed from it.
    #[must_use]
    pub const fn with(self, index: usize, is_silent: bool) -> Self {
        let bit = 1 << (index % 64);
        Self(if is_silent {
            self.0 | bit
        } else {
            self.0 & !bit
        })
    }

    /// Whether that member is silent.
    #[must_use]
    pub const fn has(self, index: usize) -> bool {
        self.0 & (1 << (index % 64)) != 0
    }
}

impl Zone {
    /// The zone of the cluster that this edge is of.
    ///
    /// # Errors
    /// When it has none.
    pub fn of(config: &Config) -> Result<Self, Unfit> {
        let Role::Edge(edge) = &config.role else {
            return Err(Unfit::Home);
        };
        // A member does not say that it speaks TLS, but all of them do as this one.
        let speaks = |transport| config.listen.iter().any(|(one, _)| *one == transport);
        let transports: Vec<_> = SERVICES.map(|(transport, ..)| transport).into();
        let transports: Vec<_> = transports.into_iter().filter(|one| speaks(*one)).collect();
        let nodes = edge.members.iter().map(|one| node(edge, one, &transports));
        let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        for (index, node) in nodes.iter().enumerate() {
            let mut others = nodes.iter().skip(index + 1);
            if let Some(other) = others.find(|other| other.name == node.name) {
                let name = other.name.clone();
                return Err(Unfit::Twice { name });
            }
        }
        let mut own = edge.members.iter();
        let mut domains = edge.home_domains.clone();
        domains.retain(|domain| *domain != edge.cluster);
        Ok(Self {
            cluster: edge.cluster.clone(),
            domains,
            nodes,
            own: own.position(|one| one.name == edge.name).unwrap_or(0),
        })
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The domains of the home.
    #[must_use]
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// The names of the members that can serve the zone, this one first.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        let own = self.nodes.get(self.own);
        let others = self.staying().filter(|(index, _)| *index != self.own);
        let all = own.into_iter().chain(others.map(|(_, node)| node));
        all.map(|node| node.name.as_str())
    }

    /// The records of the cluster's name and of its members' names.
    #[must_use]
    pub fn cluster_records(&self, silent: Silent) -> Vec<Record> {
        let mut records = Vec::new();
        let all: Vec<_> = self.staying().collect();
        let ranked = ranked(&all, silent, |_| FIRST);
        services(&self.cluster, &ranked, Reach::Everywhere, &mut records);
        self.addresses(&self.cluster, silent, &mut records);
        for (index, node) in self.nodes.iter().enumerate() {
            let others = self.staying().filter(|(other, _)| *other != index);
            let all: Vec<_> = std::iter::once((index, node)).chain(others).collect();
            let own = |other| if other == index { FIRST } else { NEXT };
            let ranked = self::ranked(&all, silent, own);
            services(&node.name, &ranked, Reach::Everywhere, &mut records);
            for &ip in &node.addresses {
                let ttl_s = limits::ZONE_TTL_LASTING_S;
                records.push(address(&node.name, ttl_s, ip));
            }
        }
        records
    }

    /// What leads from a domain of the home to the cluster.
    #[must_use]
    pub fn domain_records(&self, domain: &str, silent: Silent) -> Vec<Record> {
        let mut records = Vec::new();
        let all: Vec<_> = self.staying().collect();
        let ranked = ranked(&all, silent, |_| FIRST);
        services(domain, &ranked, Reach::InTheClear, &mut records);
        records
    }

    /// The addresses of the cluster, by that name: of members that live, as long
    /// as any does.
    pub fn addresses(&self, name: &str, silent: Silent, records: &mut Vec<Record>) {
        let alive = self.staying().any(|(index, _)| !silent.has(index));
        for (index, node) in self.staying() {
            if !alive || !silent.has(index) {
                let all = node.addresses.iter();
                records.extend(all.map(|&ip| address(name, limits::ZONE_TTL_S, ip)));
            }
        }
    }

    /// The members by index whose UDP ports can be asked whether they live: all but
    /// the node itself.
    pub fn siblings(&self) -> impl Iterator<Item = (usize, IpAddr, u16)> {
        let others = self.nodes.iter().enumerate();
        others.filter_map(|(index, node)| {
            let port = node.port(Transport::Udp)?;
            // Not as phones reach it: that may lead through an address translation.
            let ip = node.listens?;
            (index != self.own).then_some((index, ip, port))
        })
    }

    /// The name of the member at that index.
    #[must_use]
    pub fn member(&self, index: usize) -> &str {
        self.nodes.get(index).map_or("", |node| &node.name)
    }

    /// The members that phones are given; all of them where all are to be retired.
    fn staying(&self) -> impl Iterator<Item = (usize, &Node)> {
        let any = self.nodes.iter().any(|node| !node.retires);
        let all = self.nodes.iter().enumerate();
        all.filter(move |(_, node)| !any || !node.retires)
    }
}

fn node(edge: &Settings, member: &Member, transports: &[Transport]) -> Result<Node, Unfit> {
    let name = format!("{}.{}", member.name.to_ascii_lowercase(), edge.cluster);
    // The longest name below it must fit as well.
    let longest = name.len() + "_sips._tcp.".len();
    if longest > limits::DNS_NAME_MAX
        || name.split('.').any(|one| one.len() > limits::DNS_LABEL_MAX)
    {
        return Err(Unfit::Long { name });
    }
    let ports = transports.iter().map(|&one| (one, member.port(one)));
    Ok(Node {
        name,
        addresses: member.publics().collect(),
        listens: member.addresses.first().copied(),
        ports: ports.collect(),
        retires: member.retires,
    })
}

/// Each with its priority, best first; the silent ones last.
fn ranked<'a>(
    nodes: &[(usize, &'a Node)],
    silent: Silent,
    priority: impl Fn(usize) -> u16,
) -> Vec<(u16, &'a Node)> {
    let rank = |index| {
        if silent.has(index) {
            LAST
        } else {
            priority(index)
        }
    };
    let mut ranked: Vec<_> = nodes
        .iter()
        .map(|&(index, node)| (rank(index), node))
        .collect();
    ranked.sort_by_key(|(priority, _)| *priority);
    ranked
}

/// Which transports lead to members.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Everywhere,
    InTheClear,
}

/// NAPTR and SRV of a name that leads to these members.
fn services(name: &str, ranked: &[(u16, &Node)], reach: Reach, records: &mut Vec<Record>) {
    let mut order = 0;
    let mut servers = Vec::new();
    for (transport, service, front) in SERVICES {
        if reach == Reach::InTheClear && transport == Transport::Tls {
            continue;
        }
        let below = format!("{front}.{name}");
        let targets = ranked.iter().filter_map(|(priority, node)| {
            Some(Record {
                name: below.clone(),
                ttl_s: limits::ZONE_TTL_S,
                data: locate::Record::Srv {
                    priority: *priority,
                    weight: WEIGHT,
                    port: node.port(transport)?,
                    target: node.name.as_str().into(),
                },
            })
        });
        let before = servers.len();
        servers.extend(targets);
        if servers.len() > before {
            order += ORDER;
            let naptr = Record {
                name: name.to_owned(),
                ttl_s: limits::ZONE_TTL_LASTING_S,
                data: locate::Record::Naptr {
                    order,
                    preference: 0,
                    flags: "s".into(),
                    service: service.into(),
                    replacement: below.into(),
                },
            };
            records.push(naptr);
        }
    }
    records.append(&mut servers);
}

fn address(name: &str, ttl_s: u32, ip: IpAddr) -> Record {
    Record {
        name: name.to_owned(),
        ttl_s,
        data: locate::Record::Address(ip),
    }
}

#[cfg(test)]
mod tests;
