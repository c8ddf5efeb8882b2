//! UDP: lost, late, twice, out of order, or answered by ICMP.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use steadfast::shard::Input;
use steadfast::time::Duration;

use super::{Actor, Event, Way, World};
use crate::dice::fnv;

impl World {
    pub(super) fn send_datagram(
        &mut self,
        actor: Actor,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        let conn = None;
        self.show(true, actor, Way { from, to, conn }, bytes);
        let lost = self.is_cut(from.ip(), to.ip())
            || self.is_walled(actor, to)
            || self.dice.permille(self.weather.loss);
        let what = if lost { "lost" } else { "" };
        self.record
            .message(self.now, (from, to), false, what, bytes);
        if lost {
            return;
        }
        let copies = 1 + u64::from(self.dice.permille(self.weather.twice));
        let bytes: Rc<[u8]> = bytes.into();
        for _ in 0..copies {
            let mut late = self.latency(from.ip(), to.ip());
            if self.dice.permille(self.weather.late) {
                late += self.dice.millis(1, 400);
            }
            let bytes = Rc::clone(&bytes);
            self.push(self.now + late, Event::Datagram { from, to, bytes });
        }
    }

    /// How long this message takes between the two.
    pub(super) fn latency(&mut self, from: IpAddr, to: IpAddr) -> Duration {
        let (low, high) = if from < to { (from, to) } else { (to, from) };
        let pair = fnv(1, format!("{low} {high}").as_bytes());
        let base = Duration::from_micros(300 + pair % 25_000);
        base + Duration::from_micros(self.dice.below(3_000))
    }

    pub(super) fn is_cut(&self, from: IpAddr, to: IpAddr) -> bool {
        let mut cuts = self.cuts.iter();
        cuts.any(|(a, b, until)| (*a, *b) == (from, to) && *until > self.now)
    }

    pub(super) fn datagram(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let Some(actor) = self.receiver(from, to) else {
            return;
        };
        let way = Way {
            from,
            to,
            conn: None,
        };
        match actor {
            Actor::Node(index) if self.nodes[index].shard.is_none() => {
                self.refused(from, to, bytes);
            }
            Actor::Node(index) => {
                self.show(false, actor, way, bytes);
                let socket = self.socket(index, to);
                let peer = from;
                self.input(
                    index,
                    Input::Datagram {
                        socket,
                        peer,
                        bytes,
                    },
                );
            }
            Actor::Foreign if self.is_down(actor) => self.refused(from, to, bytes),
            Actor::Foreign => {
                self.show(false, actor, way, bytes);
                self.foreign_hears((false, from), bytes);
            }
            Actor::Phone(index) => {
                self.show(false, actor, way, bytes);
                let now = self.now;
                self.talk(index, |phone| phone.receive(now, from, false, bytes));
            }
            Actor::Attacker(index) => {
                self.show(false, actor, way, bytes);
                self.attacker_receives(index, from, false, bytes);
            }
        }
    }

    /// Nobody has that port: its machine says so, if there is one.
    fn refused(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let silent = self.actor(to).is_some_and(|actor| self.is_silent(actor));
        if silent || self.is_cut(to.ip(), from.ip()) {
            return;
        }
        let late = self.latency(from.ip(), to.ip());
        // As much as Linux sends back.
        let quoted = bytes.get(..520).unwrap_or(bytes).into();
        let event = Event::Unreachable {
            at: from,
            peer: to,
            quoted,
        };
        self.push(self.now + late, event);
    }

    pub(super) fn unreachable(&mut self, at: SocketAddr, peer: SocketAddr, quoted: &[u8]) {
        if let Some(Actor::Node(index)) = self.receiver(peer, at) {
            let socket = self.socket(index, at);
            let life = self.nodes[index].life;
            self.judge.bounced(at.ip(), life, quoted);
            let input = Input::Unreachable {
                socket,
                peer,
                quoted,
            };
            self.input(index, input);
        }
    }
}
