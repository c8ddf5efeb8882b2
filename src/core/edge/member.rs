//! One edge of the cluster and where it is found: by phones, by the homes and
//! by the other edges.
//!
//! An edge has up to three kinds of addresses. `addresses` are those it is
//! reached at, one family or both. Behind a 1:1 address translation phones are
//! told the `advertised` ones instead, and those stand in whatever a phone
//! sends back: so all of them name the edge. `core` is a side of its own for
//! the homes and the other edges, who then meet it there and nowhere else.

use std::net::{IpAddr, SocketAddr};

use crate::id::Transport;
use crate::limits;
use crate::proxy::Net;
use crate::send::{Clear, HostRule, Ports};

/// One edge of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// How tokens name it.
    pub name: String,
    /// Where phones and other edges reach it; of each family the first is told
    /// to others.
    pub addresses: Vec<IpAddr>,
    /// What phones are told instead, one of each family at most.
    pub advertised: Vec<IpAddr>,
    /// Where homes and other edges reach it instead, over these transports.
    pub core: Vec<(Transport, SocketAddr)>,
    /// Its UDP port.
    pub udp: u16,
    /// Its TCP port.
    pub tcp: u16,
    /// Its TLS port.
    pub tls: u16,
    /// The first of its core ports.
    pub core_port: u16,
    /// It is to be taken out of service: no subscriber gets it any more, and
    /// those who have it are moved (D-E17).
    pub retires: bool,
    /// What it shares its fate with: a building, a power supply. A subscriber's
    /// edges are of several where there are several.
    pub site: String,
}

impl Member {
    /// A member with one address and the usual ports.
    #[must_use]
    pub fn at(name: &str, address: IpAddr) -> Self {
        Self {
            name: name.to_owned(),
            addresses: vec![address],
            advertised: Vec::new(),
            core: Vec::new(),
            udp: Transport::Udp.default_port(),
            tcp: Transport::Tcp.default_port(),
            tls: Transport::Tls.default_port(),
            core_port: limits::CORE_PORT,
            retires: false,
            site: String::new(),
        }
    }

    /// Its port of that transport, for phones.
    #[must_use]
    pub const fn port(&self, transport: Transport) -> u16 {
        match transport {
            Transport::Udp => self.udp,
            Transport::Tcp => self.tcp,
            Transport::Tls => self.tls,
        }
    }

    /// The address that phones of a family are told; `None`: those do not reach
    /// it.
    #[must_use]
    pub fn public(&self, v6: bool) -> Option<IpAddr> {
        let mut all = self.advertised.iter().chain(&self.addresses);
        all.find(|ip| ip.is_ipv6() == v6).copied()
    }

    /// The addresses that phones are told, one of each family it has: with
    /// `port`, what the DNS has to say of it.
    pub fn publics(&self) -> impl Iterator<Item = IpAddr> + '_ {
        [false, true].into_iter().filter_map(|v6| self.public(v6))
    }

    /// Where the homes and the other edges reach it over a transport.
    pub(crate) fn peer_addrs(&self, transport: Transport) -> impl Iterator<Item = SocketAddr> + '_ {
        let core = self.core.iter();
        let core = core.filter(move |(with, _)| *with == transport);
        let port = self.port(transport);
        let access = self.addresses.iter();
        let access = access.map(move |ip| SocketAddr::new(*ip, port));
        let has_core = self.core.iter().any(|(with, _)| *with == transport);
        core.map(|(_, addr)| *addr)
            .chain(access.filter(move |_| !has_core))
    }

    /// The first of these that this node speaks to.
    pub(crate) fn peer_addr(&self, net: &Net, transport: Transport) -> Option<SocketAddr> {
        let mut addrs = self.peer_addrs(transport);
        addrs.find(|addr| net.flows.speaks(transport, *addr))
    }

    /// Where phones of a family are told to reach it over a transport.
    pub(crate) fn public_addr(&self, transport: Transport, v6: bool) -> Option<SocketAddr> {
        let ip = self.public(v6)?;
        Some(SocketAddr::new(ip, self.port(transport)))
    }

    /// The addresses where the homes and the other edges reach it.
    #[must_use]
    pub fn peer_ips(&self) -> Vec<IpAddr> {
        let mut ips = Vec::new();
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            for addr in self.peer_addrs(transport) {
                if !ips.contains(&addr.ip()) {
                    ips.push(addr.ip());
                }
            }
        }
        ips
    }

    /// Its core-side address of a transport and family.
    pub(crate) fn core_addr(&self, transport: Transport, v6: bool) -> Option<SocketAddr> {
        let mut core = self.core.iter();
        let fits =
            |(with, addr): &&(Transport, SocketAddr)| *with == transport && addr.is_ipv6() == v6;
        core.find(fits).map(|(_, addr)| *addr)
    }

    /// How it is told over UDP and TCP, where the edges use those: by where it
    /// is reached, and by its core ports there.
    pub(crate) fn rules(&self) -> Vec<HostRule> {
        let addrs = |transport| self.peer_addrs(transport);
        let ports = |ip, transport| {
            let found = addrs(transport).find(|addr| addr.ip() == ip);
            found.map(|addr| Ports::one(addr.port()).and_core(self.core_port))
        };
        let rule = |ip| {
            let (udp, tcp) = (ports(ip, Transport::Udp), ports(ip, Transport::Tcp));
            let clear = match (udp, tcp) {
                (Some(_), _) => Clear::Any,
                (None, Some(_)) => Clear::Tcp,
                (None, None) => Clear::No,
            };
            let streams = tcp.or_else(|| ports(ip, Transport::Tls));
            HostRule::at(
                ip,
                clear,
                udp.unwrap_or(Ports::NONE),
                streams.unwrap_or(Ports::NONE),
            )
        };
        self.peer_ips().into_iter().map(rule).collect()
    }

    /// Every address that is its own.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let core = self.core.iter().map(|(_, addr)| addr.ip());
        let access = self.addresses.iter().chain(&self.advertised);
        access.copied().chain(core)
    }

    /// True for an address of its own, whatever the port.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        self.ips().any(|own| own == ip)
    }

    /// True when one of its listeners for phones has that port.
    pub(crate) fn listens(&self, port: u16) -> bool {
        [self.udp, self.tcp, self.tls].contains(&port)
    }

    /// True where one of its listeners is.
    pub(crate) fn listens_at(&self, ip: IpAddr, port: u16) -> bool {
        let mut access = self.addresses.iter().chain(&self.advertised);
        let is_open = self.listens(port) && access.any(|own| *own == ip);
        let mut core = self.core.iter();
        is_open || core.any(|(_, addr)| *addr == SocketAddr::new(ip, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::End;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn two_sides() -> Member {
        Member {
            addresses: vec![ip("10.1.1.11"), ip("2001:db8::11")],
            advertised: vec![ip("198.51.100.11")],
            core: vec![
                (Transport::Udp, "10.0.0.1:5070".parse().unwrap()),
                (Transport::Tcp, "10.0.0.1:5070".parse().unwrap()),
            ],
            ..Member::at("e1", ip("10.1.1.11"))
        }
    }

    #[test]
    fn phones_are_told_what_is_advertised_and_of_their_family() {
        let member = two_sides();
        assert_eq!(member.public(false), Some(ip("198.51.100.11")));
        assert_eq!(member.public(true), Some(ip("2001:db8::11")));
        assert!(
            member
                .publics()
                .eq([ip("198.51.100.11"), ip("2001:db8::11")])
        );
        let plain = Member::at("e2", ip("192.0.2.12"));
        assert_eq!(plain.public(true), None);
        assert!(plain.publics().eq([ip("192.0.2.12")]));
    }

    #[test]
    fn peers_meet_it_on_the_core_side_where_it_has_one() {
        let member = two_sides();
        let at = |transport| member.peer_addrs(transport).collect::<Vec<_>>();
        assert_eq!(at(Transport::Udp), ["10.0.0.1:5070".parse().unwrap()]);
        let open = ["10.1.1.11:5061", "[2001:db8::11]:5061"];
        assert_eq!(at(Transport::Tls), open.map(|addr| addr.parse().unwrap()));
        let rules = member.rules();
        let believed = |transport, addr: &str| {
            let end = End::new(transport, addr.parse().unwrap());
            rules.iter().any(|rule| rule.believes(&end))
        };
        for (transport, addr, want) in [
            (Transport::Udp, "10.0.0.1:5070", true),
            (Transport::Udp, "10.0.0.1:15061", true),
            (Transport::Tcp, "10.0.0.1:15060", true),
            (Transport::Udp, "10.0.0.1:5060", false),
            (Transport::Tls, "10.0.0.1:5070", false),
            // Phones meet it there, and may share the address with it.
            (Transport::Udp, "10.1.1.11:5060", false),
            (Transport::Tcp, "10.1.1.11:15060", false),
            (Transport::Udp, "198.51.100.11:5060", false),
        ] {
            assert_eq!(believed(transport, addr), want, "{transport:?} {addr}");
        }
    }

    #[test]
    fn all_of_its_addresses_name_it_with_the_ports_of_their_side() {
        let member = two_sides();
        for (addr, want) in [
            ("198.51.100.11:5060", true),
            ("10.1.1.11:5061", true),
            ("[2001:db8::11]:5060", true),
            ("10.0.0.1:5070", true),
            ("10.0.0.1:5060", false),
            ("10.1.1.11:5070", false),
        ] {
            let addr: SocketAddr = addr.parse().unwrap();
            assert_eq!(member.listens_at(addr.ip(), addr.port()), want, "{addr}");
            assert!(member.has(addr.ip()));
        }
        assert!(!member.has(ip("10.0.0.2")));
    }
}
