//! The order in which a request tries the servers of a name (RFC 2782; N-7,
//! N-11).

use std::net::SocketAddr;

use super::Server;
use crate::id::Transport;

/// Writes the servers in the order in which to try them: lower ranks first;
/// in a rank the targets by weight, each with all its addresses; no address
/// twice. `servers` are sorted by rank. Equal `chance` gives an equal order,
/// which is what a stateless sender needs (N-9).
pub fn order(servers: &[Server], chance: u64, out: &mut Vec<(Transport, SocketAddr)>) {
    out.clear();
    let mut chance = chance | 1;
    for rank in servers.chunk_by(|a, b| a.rank == b.rank) {
        let mut tried = 0_u64;
        while let Some(target) = pick(rank, tried, &mut chance) {
            tried |= bit(target);
            push(rank, target, next(&mut chance), out);
        }
    }
}

/// One of the targets that are left (RFC 2782, the running sum): those without
/// weight stand first and have the chance of the number 0.
fn pick(rank: &[Server], tried: u64, chance: &mut u64) -> Option<u8> {
    let left = |weightless: bool| {
        let firsts = rank.chunk_by(|a, b| a.target == b.target);
        let firsts = firsts.filter_map(<[Server]>::first);
        firsts.filter(move |server| {
            tried & bit(server.target) == 0 && (server.weight == 0) == weightless
        })
    };
    let sum: u64 = left(false).map(|server| u64::from(server.weight)).sum();
    let number = next(chance) % (sum + 1);
    let mut running = 0;
    for server in left(true).chain(left(false)) {
        running += u64::from(server.weight);
        if running >= number {
            return Some(server.target);
        }
    }
    None
}

/// All addresses of a target, IPv6 first (RFC 6724 §2.1, RFC 7984), each
/// family from a random one on so that they share the load.
fn push(rank: &[Server], target: u8, chance: u64, out: &mut Vec<(Transport, SocketAddr)>) {
    for v6 in [true, false] {
        let family = || {
            rank.iter()
                .filter(move |server| server.target == target && server.addr.is_ipv6() == v6)
        };
        let count = family().count();
        let start = usize::try_from(chance).unwrap_or_default() % count.max(1);
        for server in family().cycle().skip(start).take(count) {
            let hop = (server.transport, server.addr);
            if !out.contains(&hop) {
                out.push(hop);
            }
        }
    }
}

const fn bit(target: u8) -> u64 {
    1 << (target % 64)
}

/// xorshift64*.
const fn next(chance: &mut u64) -> u64 {
    *chance ^= *chance >> 12;
    *chance ^= *chance << 25;
    *chance ^= *chance >> 27;
    chance.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(rank: u32, weight: u16, target: u8, addr: &str) -> Server {
        Server {
            transport: Transport::Udp,
            addr: addr.parse().unwrap(),
            rank,
            weight,
            target,
        }
    }

    fn hosts(servers: &[Server], chance: u64) -> Vec<String> {
        let mut out = Vec::new();
        order(servers, chance, &mut out);
        out.iter().map(|(_, addr)| addr.ip().to_string()).collect()
    }

    #[test]
    fn weights_share_the_load_and_priorities_stay_apart() {
        // N-7, RFC 2782
        let servers = [
            server(10, 60, 0, "192.0.2.1:5060"),
            server(10, 20, 1, "192.0.2.2:5060"),
            server(10, 20, 2, "192.0.2.3:5060"),
            server(20, 0, 3, "192.0.2.4:5060"),
        ];
        let mut first = [0; 3];
        for chance in 0..10_000_u64 {
            let order = hosts(&servers, chance.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            assert_eq!((order.len(), &*order[3]), (4, "192.0.2.4"));
            let index = order[0].as_bytes()[8] - b'1';
            first[usize::from(index)] += 1;
        }
        assert!((5_600..6_400).contains(&first[0]), "{first:?}");
        assert!((1_700..2_300).contains(&first[1]), "{first:?}");
        assert!((1_700..2_300).contains(&first[2]), "{first:?}");
    }

    #[test]
    fn a_target_without_weight_is_seldom_first_and_never_left_out() {
        // RFC 2782
        let servers = [
            server(1, 0, 0, "192.0.2.1:5060"),
            server(1, 9, 1, "192.0.2.2:5060"),
        ];
        let orders =
            (0..10_000_u64).map(|n| hosts(&servers, n.wrapping_mul(0xD129_8E3F_0000_5EED)));
        let (mut first, mut all) = (0, 0);
        for order in orders {
            first += usize::from(order[0] == "192.0.2.1");
            all += usize::from(order.len() == 2);
        }
        assert_eq!(all, 10_000);
        assert!((700..1_300).contains(&first), "one in ten: {first}");
    }

    #[test]
    fn no_address_is_tried_twice_and_ipv6_goes_first() {
        // N-11
        let servers = [
            server(1, 0, 0, "192.0.2.1:5060"),
            server(1, 0, 0, "[2001:db8::1]:5060"),
            server(2, 0, 1, "192.0.2.1:5060"),
            server(2, 0, 1, "192.0.2.1:5070"),
        ];
        let mut out = Vec::new();
        order(&servers, 7, &mut out);
        let got: Vec<_> = out.iter().map(|(_, addr)| addr.to_string()).collect();
        assert_eq!(
            got,
            ["[2001:db8::1]:5060", "192.0.2.1:5060", "192.0.2.1:5070"]
        );
    }

    #[test]
    fn equal_chance_gives_an_equal_order() {
        // N-9
        let servers = [1, 2, 3, 4].map(|n| server(1, 5, n, &format!("192.0.2.{n}:5060")));
        assert_eq!(hosts(&servers, 99), hosts(&servers, 99));
        let differs = (0..50).any(|chance| hosts(&servers, chance) != hosts(&servers, 99));
        assert!(differs);
    }
}
