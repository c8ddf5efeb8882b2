//! Which peers of an upstream socket have a socket of their own, at the same port and
//! connected to them: for these the kernel looks up neither the way there nor the socket that
//! what they send is for.
//!
//! Who talks all the time is found by counting what comes through the socket that is
//! connected to nobody, for a few candidates at a time: each datagram of somebody else costs
//! every candidate one, so nobody stays on the list who sends less than his share (the
//! heavy hitters of Misra and Gries).

use std::net::SocketAddr;

use crate::limits;

/// The peers of one upstream socket.
#[derive(Debug, Default)]
pub(super) struct Peers {
    connected: Vec<Connected>,
    candidates: [Option<Candidate>; limits::PEER_CANDIDATES_MAX],
    /// Who gets a socket next.
    next: Option<SocketAddr>,
}

#[derive(Debug)]
struct Connected {
    peer: SocketAddr,
    /// The index of its socket among those of the shard.
    port: usize,
    /// Something was sent there since a socket was wanted last.
    is_used: bool,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    peer: SocketAddr,
    count: u32,
}

/// Which socket a peer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A new one.
    New(SocketAddr),
    /// The one with that index, whose peer it is used for no more.
    Reuse(SocketAddr, usize),
}

impl Peers {
    /// The socket that is connected to a peer.
    pub(super) fn port_to(&mut self, peer: SocketAddr) -> Option<usize> {
        let mut all = self.connected.iter_mut();
        let found = all.find(|connected| connected.peer == peer)?;
        found.is_used = true;
        Some(found.port)
    }

    /// A datagram of this peer came through the socket that is connected to nobody.
    pub(super) fn on_datagram(&mut self, peer: SocketAddr) {
        let known = |it: &&mut Option<Candidate>| it.is_some_and(|it| it.peer == peer);
        if let Some(Some(candidate)) = self.candidates.iter_mut().find(known) {
            candidate.count = candidate.count.saturating_add(1);
            // What came before its own socket was connected may still wait in this one.
            if self.connected.iter().any(|it| it.peer == peer) {
                candidate.count = 0;
            } else if candidate.count >= limits::PEER_SOCKET_AFTER && self.next.is_none() {
                candidate.count = 0;
                self.next = Some(peer);
            }
        } else if let Some(free) = self.candidates.iter_mut().find(|it| it.is_none()) {
            *free = Some(Candidate { peer, count: 1 });
        } else {
            for slot in &mut self.candidates {
                let rest = slot.map(|it| Candidate {
                    count: it.count.saturating_sub(1),
                    ..it
                });
                *slot = rest.filter(|it| it.count > 0);
            }
        }
    }

    /// Who gets a socket now, if anybody does: at the bound the one whose peer nothing was
    /// sent to for the longest time; nobody, where all are in use.
    pub(super) fn take_wanted(&mut self) -> Option<Wanted> {
        let peer = self.next.take()?;
        if self.connected.len() < limits::PEER_SOCKETS_MAX {
            return Some(Wanted::New(peer));
        }
        let idle = self.connected.iter().position(|it| !it.is_used);
        for connected in &mut self.connected {
            connected.is_used = false;
        }
        let port = self.connected.swap_remove(idle?).port;
        Some(Wanted::Reuse(peer, port))
    }

    /// The peer has that socket from now on.
    pub(super) fn on_connected(&mut self, peer: SocketAddr, port: usize) {
        self.connected.push(Connected {
            peer,
            port,
            is_used: true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], number))
    }

    /// Everybody sends one datagram after the other, so many times; who is given a socket.
    fn given(peers: &mut Peers, senders: &[SocketAddr], times: u32) -> Vec<Wanted> {
        let mut given = Vec::new();
        for _ in 0..times {
            for sender in senders {
                if peers.port_to(*sender).is_none() {
                    peers.on_datagram(*sender);
                }
                if let Some(wanted) = peers.take_wanted() {
                    let (Wanted::New(peer) | Wanted::Reuse(peer, _)) = wanted;
                    let port = match wanted {
                        Wanted::New(_) => 100 + given.len(),
                        Wanted::Reuse(_, port) => port,
                    };
                    peers.on_connected(peer, port);
                    given.push(wanted);
                }
            }
        }
        given
    }

    #[test]
    fn who_talks_all_the_time_gets_a_socket_beside_many_who_do_not() {
        let mut peers = Peers::default();
        let homes = [peer(1), peer(2)];
        let after = limits::PEER_SOCKET_AFTER;
        assert_eq!(given(&mut peers, &homes, after - 1), []);
        let want = homes.map(Wanted::New);
        assert_eq!(given(&mut peers, &homes, 1), want);
        assert_eq!(peers.port_to(homes[0]), Some(100));
        assert_eq!(peers.port_to(homes[1]), Some(101));
        // A hundred others, each of whom sends as much in all.
        let others: Vec<_> = (10..110).map(peer).collect();
        assert_eq!(given(&mut peers, &others, 2 * after), []);
        // One more among them, who sends half of it.
        let mix: Vec<_> = others.iter().flat_map(|it| [*it, peer(3)]).collect();
        assert_eq!(given(&mut peers, &mix, 20), [Wanted::New(peer(3))]);
    }

    #[test]
    fn at_the_bound_the_idle_one_gives_way_and_none_that_is_in_use() {
        let most = u16::try_from(limits::PEER_SOCKETS_MAX).unwrap();
        let mut peers = Peers::default();
        for number in 0..most {
            given(&mut peers, &[peer(number)], limits::PEER_SOCKET_AFTER);
        }
        let late = [peer(most)];
        // All were used since they came: the next time one that was not used since then
        // gives way.
        assert_eq!(given(&mut peers, &late, limits::PEER_SOCKET_AFTER), []);
        for number in 1..most {
            assert!(peers.port_to(peer(number)).is_some());
        }
        let given = given(&mut peers, &late, limits::PEER_SOCKET_AFTER);
        assert_eq!(given, [Wanted::Reuse(late[0], 100)]);
        assert_eq!(peers.port_to(peer(0)), None);
        assert_eq!(peers.port_to(late[0]), Some(100));
    }
}
