//! Addresses that nothing is sent to on behalf of anybody but a peer, whether
//! they stood in a URI, in `maddr`, in a Via or in the DNS: a SIP proxy that
//! sends wherever it is told is a way into the machine and the network that it
//! stands in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::guard::is_within;

/// Where messages may go, as the operator says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destinations {
    /// Networks (address and prefix length) that may be reached although they
    /// are private, or on this machine.
    pub reach: Vec<(IpAddr, u8)>,
    /// Networks that may not.
    pub deny: Vec<(IpAddr, u8)>,
}

/// Networks that are somebody's own: RFC 1918, RFC 6598, RFC 4193.
const PRIVATE: [(IpAddr, u8); 5] = [
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
];

/// Networks that lead to this machine, to this link, to many or to nobody.
const SPECIAL: [(IpAddr, u8); 7] = [
    (IpAddr::V4(Ipv4Addr::new(0, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    // Multicast, reserved and the limited broadcast.
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 3),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 127),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
];

impl Destinations {
    /// Whether a message may go to an address on behalf of somebody who is no
    /// peer. `is_ours` says whether one of our listeners has an IP address, and
    /// whether one of them has it with a port.
    #[must_use]
    pub(crate) fn permit(&self, addr: SocketAddr, is_ours: (bool, bool)) -> bool {
        let ip = addr.ip().to_canonical();
        let end = end_of(ip);
        let is_in = |ip, networks: &[(IpAddr, u8)]| {
            let mut networks = networks.iter();
            networks.any(|&(network, len)| is_within(ip, network.to_canonical(), len))
        };
        // The operator may name the network of an address, or where it leads.
        let is_named = |networks: &[_]| is_in(ip, networks) || is_in(end, networks);
        // A port of this machine that is none of our listeners may be an administrative service.
        let (host_is_ours, port_is_ours) = is_ours;
        if addr.port() == 0 || is_named(&self.deny) || host_is_ours && !port_is_ours {
            return false;
        }
        is_named(&self.reach) || !is_in(end, &SPECIAL) && !is_in(end, &PRIVATE)
    }
}

/// Where a canonical address leads: an IPv4 one that an IPv6 one stands for is
/// that (RFC 4291 §2.5.5, RFC 3056 §2, RFC 6052 §2.1).
fn end_of(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else {
        return ip;
    };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let octets = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
    match [a, b, c, d, e, f] {
        // `::` and `::1` are no IPv4 addresses.
        [0, 0, 0, 0, 0, 0] if octets(g, h) > 1 => Ipv4Addr::from_bits(octets(g, h)).into(),
        [0x64, 0xff9b, 0, 0, 0, 0] => Ipv4Addr::from_bits(octets(g, h)).into(),
        [0x2002, ..] => Ipv4Addr::from_bits(octets(b, c)).into(),
        _ => v6.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rules: &Destinations, addr: &str, is_ours: (bool, bool), want: bool) {
        let parsed = addr.parse().unwrap();
        assert_eq!(rules.permit(parsed, is_ours), want, "{addr}");
    }

    #[test]
    fn nobody_reaches_this_machine_its_link_or_its_network() {
        // I-6
        let rules = Destinations::default();
        for addr in [
            "127.0.0.1:6379",
            "127.8.0.1:5060",
            "0.0.0.0:5060",
            "169.254.169.254:80",
            "224.0.1.75:5060",
            "240.0.0.1:5060",
            "255.255.255.255:5060",
            "10.1.2.3:5060",
            "172.16.0.1:5060",
            "172.31.255.255:5060",
            "192.168.1.1:5060",
            "100.127.0.1:5060",
            "198.51.100.1:0",
            "[::]:5060",
            "[::1]:5060",
            "[::ffff:127.0.0.1]:5060",
            "[::ffff:10.0.0.1]:5060",
            "[::127.0.0.1]:5060",
            "[64:ff9b::7f00:1]:5060",
            "[64:ff9b::a9fe:a9fe]:5060",
            "[2002:7f00:1::]:5060",
            "[2002:a00:1::1]:5060",
            "[fe80::1]:5060",
            "[fd00::1]:5060",
            "[ff02::1]:5060",
        ] {
            check(&rules, addr, (false, false), false);
        }
        for addr in [
            "198.51.100.1:5060",
            "172.32.0.1:5060",
            "100.128.0.1:5060",
            "223.255.255.255:5060",
            "[2001:db8::1]:5060",
            "[64:ff9b::c633:6401]:5060",
            "[2002:c633:6401::1]:5060",
            "[::198.51.100.1]:5060",
        ] {
            check(&rules, addr, (false, false), true);
        }
    }

    #[test]
    fn our_own_addresses_are_their_listeners() {
        // I-6
        let rules = Destinations {
            reach: vec![("0.0.0.0".parse().unwrap(), 0)],
            deny: Vec::new(),
        };
        check(&rules, "198.51.100.1:6379", (true, false), false);
        check(&rules, "198.51.100.1:5060", (true, true), true);
    }

    #[test]
    fn the_operator_opens_and_closes_networks() {
        // I-6
        let network = |text: &str, len| (text.parse().unwrap(), len);
        let rules = Destinations {
            reach: vec![network("10.1.0.0", 16), network("127.0.0.9", 32)],
            deny: vec![network("10.1.2.0", 24), network("198.51.100.0", 24)],
        };
        check(&rules, "10.1.1.1:5060", (false, false), true);
        check(&rules, "10.1.2.1:5060", (false, false), false);
        check(&rules, "10.2.0.1:5060", (false, false), false);
        check(&rules, "127.0.0.9:5060", (false, false), true);
        check(&rules, "127.0.0.1:5060", (false, false), false);
        check(&rules, "198.51.100.7:5060", (false, false), false);
    }

    #[test]
    fn an_address_is_in_the_network_that_it_is_of_and_in_that_where_it_leads() {
        // I-6
        let network = |text: &str, len| (text.parse().unwrap(), len);
        let translated = ("64:ff9b::", 96);
        let six_to_four = ("2002::", 16);
        let compatible = ("::", 96);
        for (networks, addr) in [
            (translated, "[64:ff9b::c633:6401]:5060"),
            (six_to_four, "[2002:c633:6401::1]:5060"),
            (("2000::", 3), "[2002:c633:6401::1]:5060"),
            (compatible, "[::198.51.100.1]:5060"),
            (("198.51.100.0", 24), "[64:ff9b::c633:6401]:5060"),
            (("198.51.100.0", 24), "[2002:c633:6401::1]:5060"),
            (("198.51.100.0", 24), "[::ffff:198.51.100.1]:5060"),
        ] {
            let rules = Destinations {
                reach: Vec::new(),
                deny: vec![network(networks.0, networks.1)],
            };
            check(&rules, addr, (false, false), false);
            // Nobody is closed out by the network of others.
            check(&rules, "203.0.113.1:5060", (false, false), true);
        }
        for (networks, addr) in [
            (translated, "[64:ff9b::a01:101]:5060"),
            (six_to_four, "[2002:a01:101::1]:5060"),
            (compatible, "[::10.1.1.1]:5060"),
            (("10.1.0.0", 16), "[64:ff9b::a01:101]:5060"),
        ] {
            let mut rules = Destinations {
                reach: vec![network(networks.0, networks.1)],
                deny: Vec::new(),
            };
            check(&rules, addr, (false, false), true);
            check(&rules, "10.2.0.1:5060", (false, false), false);
            rules.deny.push(network("10.1.1.0", 24));
            check(&rules, addr, (false, false), false);
        }
    }
}
