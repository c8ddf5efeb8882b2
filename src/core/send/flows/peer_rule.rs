//! By which addresses, transports and ports the configuration recognises homes, edges and
//! carriers. Only this file reads the notation, and only this file compares it with a flow.
//!
//! An address alone proves nothing: anybody who shares it, or writes it into a datagram,
//! would be an edge. So the port at the far end must be the peer's too, the one at
//! which it listens or one of its core ports, from which our nodes send to one another; or the
//! connection has come to a core-side listener, which strangers cannot
//! reach. Over TLS the certificate decides and none of this.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::guard::is_within;
use crate::id::Transport;
use crate::limits;

/// The far end of a flow, as the socket gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The transport of the flow.
    pub transport: Transport,
    /// Its address, with the port.
    pub addr: SocketAddr,
    /// It is a connection that came in at a core-side listener.
    pub core_side: bool,
}

impl End {
    /// The far end of a flow that no core-side listener has taken in.
    #[must_use]
    pub const fn new(transport: Transport, addr: SocketAddr) -> Self {
        Self {
            transport,
            addr,
            core_side: false,
        }
    }
}

/// Ports of one peer: at most two ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports([(u16, u16); 2]);

impl Ports {
    /// No port.
    pub const NONE: Self = Self([(1, 0), (1, 0)]);

    /// One port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        Self([(port, port), (1, 0)])
    }

    /// A range, both ends included.
    #[must_use]
    pub const fn range(first: u16, last: u16) -> Self {
        Self([(first, last), (1, 0)])
    }

    /// The first range, and the core ports that begin there.
    #[must_use]
    pub(crate) const fn and_core(self, first: u16) -> Self {
        let Self([own, _]) = self;
        Self([own, (first, first.saturating_add(limits::CORE_PORTS - 1))])
    }

    /// Whether a port is one of these.
    #[must_use]
    pub fn has(&self, port: u16) -> bool {
        let Self(ranges) = self;
        ranges
            .iter()
            .any(|&(first, last)| (first..=last).contains(&port))
    }
}

/// Which transports without certificates a peer may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clear {
    /// None.
    No,
    /// TCP.
    Tcp,
    /// UDP, and TCP for what is too long for it.
    Any,
}

/// A peer at known addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRule {
    /// Address and prefix length.
    pub network: (IpAddr, u8),
    /// The transports without certificates that it may use.
    pub clear: Clear,
    /// Its ports over UDP.
    pub udp: Ports,
    /// Its ports over TCP: those it listens at and those it connects from.
    pub tcp: Ports,
}

impl HostRule {
    /// A peer at exactly this address.
    #[must_use]
    pub const fn at(ip: IpAddr, clear: Clear, udp: Ports, tcp: Ports) -> Self {
        let network = (ip, if ip.is_ipv4() { 32 } else { 128 });
        Self {
            network,
            clear,
            udp,
            tcp,
        }
    }

    /// Whether an address is one of the peer's, with any port.
    #[must_use]
    pub(crate) fn lives_at(&self, ip: IpAddr) -> bool {
        let (network, len) = self.network;
        is_within(ip.to_canonical(), network.to_canonical(), len)
    }

    /// Whether the peer is at the end of a flow, by transport, address and port; never over TLS.
    #[must_use]
    pub fn believes(&self, end: &End) -> bool {
        let may = match end.transport {
            Transport::Udp => self.clear == Clear::Any,
            Transport::Tcp => self.clear != Clear::No,
            Transport::Tls => false,
        };
        may && self.comes_from(end)
    }

    /// Whether address and port are the peer's. That is enough to exempt a connection from the
    /// limits for strangers until its handshake is over, and for nothing else.
    #[must_use]
    pub(crate) fn comes_from(&self, end: &End) -> bool {
        let ports = match end.transport {
            Transport::Udp => &self.udp,
            Transport::Tcp | Transport::Tls => &self.tcp,
        };
        (end.core_side || ports.has(end.addr.port())) && self.lives_at(end.addr.ip())
    }

    /// Reads the notation of an edge: `192.0.2.11`, `192.0.2.0/24`, which speak in clear
    /// as far as `plain` says; `udp:192.0.2.11`, `tcp:192.0.2.11:5070`,
    /// `udp:192.0.2.11:15060-15187`, whatever that is; `tls:192.0.2.11`. Without
    /// a port: the usual one and the core ports from `core_port` on. `+20000` behind
    /// any of them: its core ports begin there.
    #[must_use]
    pub fn edge(text: &str, plain: Clear, core_port: u16) -> Option<Self> {
        let (text, own) = match text.split_once('+') {
            Some((text, own)) => (text, Some(core(own)?)),
            None => (text, None),
        };
        let usual = Ports::one(Transport::Udp.default_port()).and_core(core_port);
        let (clear, rest) = match text.split_once(':') {
            Some(("udp", rest)) => (Clear::Any, rest),
            Some(("tcp", rest)) => (Clear::Tcp, rest),
            Some(("tls", rest)) => (Clear::No, rest),
            Some(_) | None => (plain, text),
        };
        let named = rest.len() < text.len() && clear != Clear::No;
        let mut host = host(rest, clear, usual)?;
        // Ports may only be given together with a transport.
        let may = named || host.udp == usual;
        if let Some(own) = own {
            host.udp = host.udp.and_core(own);
            host.tcp = host.tcp.and_core(own);
        }
        may.then_some(host)
    }
}

/// A peer of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerRule {
    /// A peer whose certificate names this domain.
    Domain(String),
    /// A peer at these addresses.
    Host(HostRule),
}

impl PeerRule {
    /// Whether this peer is at the far end of a flow: over TLS by the domains of its
    /// certificate, otherwise by address and port.
    #[must_use]
    pub fn believes(&self, end: &End, identities: &[Box<str>]) -> bool {
        match self {
            Self::Domain(domain) => {
                let mut names = identities.iter();
                end.transport == Transport::Tls
                    && names.any(|name| name.eq_ignore_ascii_case(domain))
            }
            Self::Host(host) => host.believes(end),
        }
    }

    /// The addresses it names; none for a domain.
    #[must_use]
    pub const fn host(&self) -> Option<&HostRule> {
        match self {
            Self::Domain(_) => None,
            Self::Host(host) => Some(host),
        }
    }

    /// Reads the notation of another carrier: `tls:carrier.example.net` by certificate,
    /// `udp:192.0.2.50`, `tcp:192.0.2.50:5070` by address, with a port or a
    /// range of them if it is not the usual one. A carrier has no core ports.
    #[must_use]
    pub fn carrier(text: &str) -> Option<Self> {
        let usual = Ports::one(Transport::Udp.default_port());
        let (transport, rest) = text.split_once(':')?;
        match transport {
            "udp" => host(rest, Clear::Any, usual).map(Self::Host),
            "tcp" => host(rest, Clear::Tcp, usual).map(Self::Host),
            "tls" => is_domain(rest).then(|| Self::Domain(rest.to_ascii_lowercase())),
            _ => None,
        }
    }
}

/// `192.0.2.1`, `192.0.2.0/24:5060`, `[2001:db8::1]:5060-5070`.
fn host(text: &str, clear: Clear, usual: Ports) -> Option<HostRule> {
    let (network, ports) = match text.strip_prefix('[') {
        Some(rest) => {
            let (network, ports) = rest.split_once(']')?;
            let ports = match ports {
                "" => None,
                ports => Some(ports.strip_prefix(':')?),
            };
            (network, ports)
        }
        // Several colons are those of an IPv6 address.
        None => match text.split_once(':') {
            Some((network, ports)) if !ports.contains(':') => (network, Some(ports)),
            Some(_) | None => (text, None),
        },
    };
    let ports = ports.map_or(Some(usual), range)?;
    Some(HostRule {
        network: self::network(network)?,
        clear,
        udp: ports,
        tcp: ports,
    })
}

/// The first of the core ports of a node.
fn core(text: &str) -> Option<u16> {
    let first = text.parse().ok()?;
    let last = u16::MAX - (limits::CORE_PORTS - 1);
    (1_024..=last).contains(&first).then_some(first)
}

fn range(text: &str) -> Option<Ports> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (0 < first && first <= last).then_some(Ports::range(first, last))
}

/// `192.0.2.1` or `192.0.2.0/24`.
#[must_use]
pub fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, len) = text.split_once('/').unwrap_or((text, ""));
    let ip: IpAddr = ip.parse().ok()?;
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let len = if len.is_empty() {
        longest
    } else {
        len.parse().ok()?
    };
    (len <= longest).then_some((ip, len))
}

/// A name of letters, digits, hyphens and dots that is no address.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        !label.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.split('.').all(is_label) && text.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: u16 = 15_060;

    fn end(text: &str) -> End {
        let (core_side, text) = match text.strip_prefix("core ") {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (transport, addr) = text.split_once(':').unwrap();
        let transport = match transport {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            _ => Transport::Tls,
        };
        End {
            core_side,
            ..End::new(transport, addr.parse().unwrap())
        }
    }

    /// Who of these is the peer that the rule names.
    #[track_caller]
    fn check(rule: Option<PeerRule>, peers: &[&str], strangers: &[&str]) {
        let rule = rule.unwrap();
        for peer in peers {
            assert!(rule.believes(&end(peer), &[]), "{peer} by {rule:?}");
        }
        for stranger in strangers {
            assert!(
                !rule.believes(&end(stranger), &[]),
                "{stranger} by {rule:?}"
            );
        }
    }

    // D-H2
    #[test]
    fn an_edge_is_told_by_its_address_and_its_port() {
        let edge = |text| HostRule::edge(text, Clear::Any, CORE).map(PeerRule::Host);
        let all = [
            "udp:192.0.2.1:5060",
            "udp:192.0.2.1:15060",
            "udp:192.0.2.1:15187",
            "tcp:192.0.2.1:5060",
            "tcp:192.0.2.1:15100",
            "core tcp:192.0.2.1:40000",
            "udp:[::ffff:192.0.2.1]:5060",
        ];
        let none = [
            "udp:192.0.2.1:5061",
            "udp:192.0.2.1:15188",
            "udp:192.0.2.1:15059",
            "udp:192.0.2.2:5060",
            "udp:[2001:db8::1]:5060",
            "tcp:192.0.2.1:40000",
            "tls:192.0.2.1:5060",
            "core tcp:192.0.2.2:15060",
            "core tls:192.0.2.1:5060",
        ];
        check(edge("192.0.2.1"), &all, &none);
        check(edge("udp:192.0.2.1"), &all, &none);
        check(edge("192.0.2.0/31"), &all, &none);
        let (udp, tcp): (Vec<&str>, _) = all.iter().partition(|end| end.starts_with("udp"));
        check(edge("tcp:192.0.2.1"), &tcp, &[&udp[..], &none].concat());
        check(edge("tls:192.0.2.1"), &[], &[&all[..], &none].concat());
        let plain = HostRule::edge("192.0.2.1", Clear::No, CORE).map(PeerRule::Host);
        check(plain, &[], &[&all[..], &none].concat());
        let other = HostRule::edge("192.0.2.1", Clear::Any, 20_000).map(PeerRule::Host);
        check(
            other,
            &["udp:192.0.2.1:5060", "udp:192.0.2.1:20127"],
            &["udp:192.0.2.1:15060", "udp:192.0.2.1:20128"],
        );
        check(
            edge("2001:db8:1::/48"),
            &["udp:[2001:db8:1:ffff::9]:5060"],
            &["udp:[2001:db8:2::9]:5060"],
        );
    }

    #[test]
    fn an_edge_may_have_core_ports_of_its_own() {
        for plain in [
            "192.0.2.1+20000",
            "192.0.2.0/31+20000",
            "udp:192.0.2.1+20000",
        ] {
            check(
                HostRule::edge(plain, Clear::Any, CORE).map(PeerRule::Host),
                &[
                    "udp:192.0.2.1:5060",
                    "udp:192.0.2.1:20000",
                    "tcp:192.0.2.1:20127",
                ],
                &["udp:192.0.2.1:15060", "tcp:192.0.2.1:20128"],
            );
        }
        check(
            HostRule::edge("udp:[2001:db8::1]:5070+1024", Clear::No, CORE).map(PeerRule::Host),
            &["udp:[2001:db8::1]:5070", "udp:[2001:db8::1]:1151"],
            &["udp:[2001:db8::1]:5060", "udp:[2001:db8::1]:15060"],
        );
    }

    #[test]
    fn ports_that_are_given_are_the_only_ones() {
        let edge = |text| HostRule::edge(text, Clear::No, CORE).map(PeerRule::Host);
        check(
            edge("udp:192.0.2.1:5070"),
            &["udp:192.0.2.1:5070", "tcp:192.0.2.1:5070"],
            &["udp:192.0.2.1:5060", "udp:192.0.2.1:15060"],
        );
        check(
            edge("tcp:[2001:db8::1]:1024-65535"),
            &["tcp:[2001:db8::1]:40000", "core tcp:[2001:db8::1]:7"],
            &["tcp:[2001:db8::1]:1023", "udp:[2001:db8::1]:40000"],
        );
        check(
            PeerRule::carrier("udp:192.0.2.0/24"),
            &["udp:192.0.2.50:5060", "tcp:192.0.2.50:5060"],
            &["udp:192.0.2.50:15060", "tcp:192.0.2.50:40000"],
        );
        check(
            PeerRule::carrier("tcp:2001:db8::1"),
            &["core tcp:[2001:db8::1]:40000"],
            &["tcp:[2001:db8::1]:40000"],
        );
    }

    #[test]
    fn a_certificate_counts_over_tls_alone() {
        let rule = PeerRule::carrier("tls:Carrier.example.net").unwrap();
        let named = ["other.example".into(), "CARRIER.example.net".into()];
        assert!(rule.believes(&end("tls:192.0.2.1:7"), &named));
        assert!(!rule.believes(&end("tcp:192.0.2.1:7"), &named));
        assert!(!rule.believes(&end("tls:192.0.2.1:7"), &named[..1]));
        assert!(!rule.believes(&end("tls:192.0.2.1:7"), &["example.net".into()]));
    }

    #[test]
    fn what_means_nobody_is_refused() {
        for text in [
            "192.0.2.1:5060",
            "[192.0.2.1]x",
            "udp:192.0.2.1:0",
            "udp:192.0.2.1:9-8",
            "udp:192.0.2.1:",
            "192.0.2.1/33",
            "sctp:192.0.2.1",
            "tls:192.0.2.1:5061",
            "192.0.2.1+",
            "192.0.2.1+80",
            "192.0.2.1+65409",
            "192.0.2.1:5060+20000",
            "192.0.2.1+20000+20000",
            "tls:edge.example.com",
            "edge.example.com",
            "",
        ] {
            assert_eq!(HostRule::edge(text, Clear::Any, CORE), None, "{text}");
        }
        for text in [
            "192.0.2.1",
            "tls:192.0.2.1",
            "tls:",
            "udp:a.example",
            "tls:a b",
        ] {
            assert_eq!(PeerRule::carrier(text), None, "{text}");
        }
    }
}
