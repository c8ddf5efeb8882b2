//! TCP: in order and whole, or broken; refused, half-open, or not read.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use steadfast::id::StreamId;
use steadfast::limits;
use steadfast::shard::Input;
use steadfast::time::{Duration, Instant};

use super::{Actor, Event, Way, World};
use crate::cast::UPSTREAM;
use crate::cast::is_victim;
use crate::text::Text;

/// One connection; side 0 opened it.
#[derive(Debug)]
pub(super) struct Conn {
    ends: [End; 2],
    up: bool,
    /// Written before it was up, or into a cut.
    waiting: [Vec<Vec<u8>>; 2],
    /// When the last bytes towards each side arrive.
    last: [Instant; 2],
    /// Until when each side reads nothing.
    pub(super) stalled: [Instant; 2],
    /// Bytes under way towards each side.
    flight: [usize; 2],
    /// This side knows of the connection no more.
    pub(super) gone: [bool; 2],
}

#[derive(Clone, Copy, Debug)]
struct End {
    actor: Option<Actor>,
    life: u32,
    stream: Option<StreamId>,
    addr: SocketAddr,
}

impl Conn {
    pub(super) const fn is_live(&self) -> bool {
        self.up && !self.gone[0] && !self.gone[1]
    }
}

impl World {
    fn life(&self, actor: Option<Actor>) -> u32 {
        match actor {
            Some(Actor::Node(index)) => self.nodes[index].life,
            Some(Actor::Foreign) => self.foreign_life(),
            Some(Actor::Phone(_) | Actor::Attacker(_)) | None => 0,
        }
    }

    pub(super) fn end_of(&self, conn: u64, side: usize) -> Option<Actor> {
        self.conns.get(&conn)?.ends[side].actor
    }

    /// The connection that a node calls by this name, and its side of it.
    pub(super) fn conn_of(&self, index: usize, stream: StreamId) -> Option<(u64, usize)> {
        let life = self.nodes[index].life;
        let hit = |end: &End| {
            end.actor == Some(Actor::Node(index)) && end.life == life && end.stream == Some(stream)
        };
        self.conns.iter().find_map(|(id, conn)| {
            let side = conn.ends.iter().position(hit)?;
            (!conn.gone[side]).then_some((*id, side))
        })
    }

    pub(super) fn dial(
        &mut self,
        actor: Actor,
        from: SocketAddr,
        stream: Option<StreamId>,
        to: SocketAddr,
    ) -> u64 {
        self.judge.opens(from.ip(), to);
        self.serial += 1;
        let id = self.serial;
        let end = |actor, stream, addr| End {
            actor,
            life: self.life(actor),
            stream,
            addr,
        };
        let conn = Conn {
            ends: [
                end(Some(actor), stream, from),
                end(self.receiver(from, to), None, to),
            ],
            up: false,
            waiting: [Vec::new(), Vec::new()],
            last: [self.now; 2],
            stalled: [Instant::ZERO; 2],
            flight: [0; 2],
            gone: [false; 2],
        };
        self.conns.insert(id, conn);
        let late = self.latency(from.ip(), to.ip());
        let dark = self.is_cut(from.ip(), to.ip())
            || self.is_cut(to.ip(), from.ip())
            || self.is_walled(actor, to);
        let (deaf, silent) = match self.actor(to) {
            Some(there @ (Actor::Node(_) | Actor::Foreign)) => {
                (self.is_down(there), self.is_silent(there))
            }
            Some(Actor::Phone(_) | Actor::Attacker(_)) => (false, false),
            // Whoever it is takes what he gets.
            None => (!is_victim(to.ip()), false),
        };
        if dark || deaf && silent {
            self.push(self.now + limits::CONNECT_MAX, Event::Fin(id, 0));
        } else if deaf {
            self.push(self.now + late * 2, Event::Fin(id, 0));
        } else {
            self.push(self.now + late, Event::Syn(id));
        }
        id
    }

    /// Where a connection of a node comes from: the next of its core ports.
    pub(super) fn core_port(&mut self, node: SocketAddr) -> SocketAddr {
        self.dialed += 1;
        SocketAddr::new(node.ip(), UPSTREAM + self.dialed % limits::CORE_PORTS)
    }

    /// Somebody wants to connect.
    pub(super) fn syn(&mut self, id: u64) {
        let conn = &self.conns[&id];
        let (from, to, actor) = (conn.ends[0].addr, conn.ends[1].addr, conn.ends[1].actor);
        let late = self.latency(from.ip(), to.ip());
        let stream = match actor {
            Some(Actor::Node(index)) => match self.accept(index, from, to) {
                Some(stream) => Some(stream),
                None => return self.push(self.now + late, Event::Fin(id, 0)),
            },
            Some(Actor::Phone(_) | Actor::Attacker(_) | Actor::Foreign) | None => None,
        };
        let life = self.life(actor);
        let conn = self.conns.get_mut(&id).unwrap();
        conn.ends[1].stream = stream;
        conn.ends[1].life = life;
        if conn.gone[0] {
            return self.push(self.now + late, Event::Fin(id, 1));
        }
        self.push(self.now + late, Event::Up(id));
    }

    pub(super) fn up(&mut self, id: u64) {
        let conn = self.conns.get_mut(&id).unwrap();
        if conn.gone[0] {
            return;
        }
        conn.up = true;
        self.judge.is_up(id);
        let conn = self.conns.get_mut(&id).unwrap();
        // The side that accepted may have written before this one knew.
        let waiting = std::mem::take(&mut conn.waiting);
        let end = conn.ends[0];
        if let (Some(Actor::Node(index)), Some(stream)) = (end.actor, end.stream) {
            self.input(
                index,
                Input::Connected {
                    stream,
                    identities: &[],
                },
            );
        }
        for (side, waiting) in waiting.into_iter().enumerate() {
            for bytes in waiting {
                self.put(id, side, &bytes);
            }
        }
    }

    /// One message is written.
    pub(super) fn write(&mut self, id: u64, side: usize, bytes: &[u8]) {
        let conn = &self.conns[&id];
        if conn.gone[side] {
            return;
        }
        let (near, far) = (conn.ends[side], conn.ends[1 - side]);
        let way = Way {
            from: near.addr,
            to: far.addr,
            conn: Some(id),
        };
        if let Some(actor) = near.actor {
            self.show(true, actor, way, bytes);
        }
        let addrs = (near.addr, far.addr);
        self.record.message(self.now, addrs, true, "", bytes);
        self.put(id, side, bytes);
    }

    fn put(&mut self, id: u64, side: usize, bytes: &[u8]) {
        let conn = &self.conns[&id];
        let (near, far) = (conn.ends[side].addr, conn.ends[1 - side].addr);
        let cut = self.is_cut(near.ip(), far.ip()) || self.is_cut(far.ip(), near.ip());
        let late = self.latency(near.ip(), far.ip());
        let there = self.conns[&id].ends[1 - side].actor;
        let silent = there.is_some_and(|actor| self.is_silent(actor));
        if self.conns[&id].gone[1 - side] && !silent && !cut {
            // Whoever is there now knows nothing of it: RST.
            return self.push(self.now + late * 2, Event::Fin(id, side));
        }
        let conn = self.conns.get_mut(&id).unwrap();
        if !conn.up || cut || silent || !conn.waiting[side].is_empty() {
            conn.waiting[side].push(bytes.to_vec());
            let wait = limits::USER_TIMEOUT;
            if conn.up && conn.waiting[side].len() == 1 {
                self.push(self.now + wait, Event::Stuck(id, side));
            }
            return;
        }
        let far = 1 - side;
        conn.flight[far] += bytes.len();
        if conn.flight[far] > limits::STREAM_QUEUE_MAX {
            // A reader too slow: the shell closes, as does the far side then.
            self.push(self.now, Event::Fin(id, side));
            return self.push(self.now + late, Event::Fin(id, far));
        }
        let step = Duration::from_micros(1);
        let mut at = (self.now + late)
            .max(conn.last[far] + step)
            .max(conn.stalled[far]);
        let whole: Rc<[u8]> = bytes.into();
        let cut = self.dice.index(bytes.len());
        let (first, second) = bytes.split_at(cut);
        for (part, whole) in [(first, None), (second, Some(whole))] {
            let bytes = part.into();
            let side = far;
            let event = Event::Bytes {
                conn: id,
                side,
                bytes,
                whole,
            };
            self.push(at, event);
            self.conns.get_mut(&id).unwrap().last[far] = at;
            at = at
                + Duration::from_micros(
                    self.dice.below(2_000) * u64::from(cut.is_multiple_of(3)) + 1,
                );
        }
    }

    pub(super) fn bytes(&mut self, id: u64, side: usize, bytes: &[u8], whole: Option<&[u8]>) {
        let conn = self.conns.get_mut(&id).unwrap();
        conn.flight[side] = conn.flight[side].saturating_sub(bytes.len());
        let (near, far) = (conn.ends[side], conn.ends[1 - side]);
        let Some(actor) = near.actor else { return };
        if conn.gone[side] || self.life(near.actor) != near.life || bytes.is_empty() {
            return;
        }
        if let Some(whole) = whole {
            let way = Way {
                from: far.addr,
                to: near.addr,
                conn: Some(id),
            };
            self.show(false, actor, way, whole);
        }
        match (actor, near.stream) {
            (Actor::Node(index), Some(stream)) => {
                self.input(index, Input::Stream { stream, bytes });
            }
            (Actor::Node(_), None) => {}
            (Actor::Phone(index), _) => self.read(index, id, far.addr, bytes),
            (Actor::Attacker(index), _) => self.attacker_reads(index, id, far.addr, bytes),
            (Actor::Foreign, _) => self.foreign_reads(id, far.addr, bytes),
        }
    }

    /// A phone reads from its connection.
    fn read(&mut self, index: usize, id: u64, from: SocketAddr, bytes: &[u8]) {
        let unread = self.phones[index].unread.entry(id).or_default();
        unread.extend_from_slice(bytes);
        let now = self.now;
        loop {
            let unread = self.phones[index].unread.entry(id).or_default();
            let skip = unread.iter().take_while(|b| **b == b'\r' || **b == b'\n');
            let skip = skip.count();
            unread.drain(..skip);
            let Some(whole) = Text::frame(unread) else {
                return;
            };
            let message: Vec<u8> = unread.drain(..whole).collect();
            self.talk(index, |phone| phone.receive(now, from, true, &message));
        }
    }

    /// A phone sends over the connection it has, or a new one. Its requests
    /// take none that somebody else has opened (RFC 5923 §5).
    pub(super) fn send_stream(
        &mut self,
        actor: Actor,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        let is_answer = bytes.starts_with(b"SIP/2.0 ");
        let open = self.conns.iter().rev().find_map(|(id, conn)| {
            let side = conn.ends.iter().position(|e| e.actor == Some(actor))?;
            let is_ours = side == 0 || is_answer;
            let fits = is_ours && !conn.gone[side] && conn.ends[1 - side].addr == to;
            fits.then_some((*id, side))
        });
        let (id, side) = match open {
            Some(found) => found,
            None => {
                // Its own port, as a client's is.
                self.serial += 1;
                let port = 20_000 + u16::try_from(self.serial % 20_000).unwrap();
                let from = SocketAddr::new(from.ip(), port);
                (self.dial(actor, from, None, to), 0)
            }
        };
        self.write(id, side, bytes);
    }

    /// A side closes in order.
    pub(super) fn close(&mut self, id: u64, side: usize) {
        let conn = self.conns.get_mut(&id).unwrap();
        conn.gone[side] = true;
        let (near, far) = (conn.ends[side].addr, conn.ends[1 - side].addr);
        let at = conn.last[1 - side] + Duration::from_micros(1);
        if self.is_cut(near.ip(), far.ip()) {
            return;
        }
        let late = self.latency(near.ip(), far.ip());
        self.push(at.max(self.now + late), Event::Fin(id, 1 - side));
    }

    pub(super) fn fin(&mut self, id: u64, side: usize) {
        let conn = self.conns.get_mut(&id).unwrap();
        if std::mem::replace(&mut conn.gone[side], true) {
            return;
        }
        let refused = !conn.up;
        let (near, far) = (conn.ends[side], conn.ends[1 - side].addr);
        if self.life(near.actor) != near.life {
            return;
        }
        match (near.actor, near.stream) {
            (Some(Actor::Node(index)), Some(stream)) => {
                self.input(index, Input::Closed { stream });
            }
            (Some(Actor::Phone(index)), _) => {
                self.phones[index].unread.remove(&id);
                let now = self.now;
                // Where another one leads there by now, what it carries is not lost;
                // what this one carried has its timers.
                let mut others = self.conns.values();
                let is_replaced = others.any(|conn| {
                    let (end, other) = (&conn.ends[0], &conn.ends[1]);
                    !conn.gone[0] && end.actor == near.actor && other.addr == far
                });
                if !is_replaced {
                    self.talk(index, |phone| phone.closed(now, far, refused));
                }
            }
            (Some(Actor::Foreign), _) => self.foreign_loses(id, far, refused),
            (Some(Actor::Node(_) | Actor::Attacker(_)) | None, _) => {}
        }
    }

    /// The user timeout: only this side learns of it.
    pub(super) fn stuck(&mut self, id: u64, side: usize) {
        if !self.conns[&id].waiting[side].is_empty() {
            self.fin(id, side);
        }
    }

    /// What waited in a cut goes on.
    pub(super) fn resume_streams(&mut self) {
        let ids: Vec<u64> = self.conns.keys().copied().collect();
        for id in ids {
            for side in [0, 1] {
                let conn = self.conns.get_mut(&id).unwrap();
                if conn.up && !conn.gone[side] {
                    let waiting = std::mem::take(&mut conn.waiting[side]);
                    for bytes in waiting {
                        self.put(id, side, &bytes);
                    }
                }
            }
        }
    }

    /// The connections of a node that died end, or are left half open.
    pub(super) fn break_streams(&mut self, addr: SocketAddr, silent: bool) {
        let ids: Vec<u64> = self.conns.keys().copied().collect();
        for id in ids {
            for side in [0, 1] {
                let conn = self.conns.get_mut(&id).unwrap();
                if conn.ends[side].addr.ip() != addr.ip() || conn.gone[side] {
                    continue;
                }
                conn.gone[side] = true;
                let far = conn.ends[1 - side].addr;
                if !silent && !self.is_cut(addr.ip(), far.ip()) {
                    let late = self.latency(addr.ip(), far.ip());
                    self.push(self.now + late, Event::Fin(id, 1 - side));
                } else if silent {
                    // TCP keep-alive finds out at last.
                    let late = limits::TCP_KEEPALIVE + Duration::from_secs(5);
                    self.push(self.now + late, Event::Fin(id, 1 - side));
                }
            }
        }
    }

    /// The connections between an edge and the homes break.
    pub(super) fn isolate(&mut self, edge: IpAddr) {
        for (id, side) in self.live_ends(edge) {
            let far = self.conns[&id].ends[1 - side].addr.ip();
            if self.cast.is_home(far) {
                self.push(self.now, Event::Fin(id, side));
                self.push(self.now, Event::Fin(id, 1 - side));
            }
        }
    }

    /// Whatever stands between a phone and the others forgets its connections:
    /// they see them reset, and the phone learns of it when it writes.
    pub(super) fn sever(&mut self, phone: IpAddr) {
        for (id, side) in self.live_ends(phone) {
            self.push(self.now, Event::Fin(id, 1 - side));
        }
    }

    fn live_ends(&self, ip: IpAddr) -> Vec<(u64, usize)> {
        let live = self.conns.iter().filter(|(_, conn)| conn.is_live());
        let ends = live.filter_map(|(id, conn)| {
            let side = conn.ends.iter().position(|end| end.addr.ip() == ip)?;
            Some((*id, side))
        });
        ends.collect()
    }

    /// Breaks or stalls a connection by chance.
    pub(super) fn spoil_stream(
        &mut self,
        pick: u64,
        stall: Option<Duration>,
    ) -> Option<SocketAddr> {
        let live = self.conns.iter().filter(|(_, conn)| conn.is_live());
        let live: Vec<u64> = live.map(|(id, _)| *id).collect();
        let len = u64::try_from(live.len()).unwrap();
        let id = live[usize::try_from(pick.checked_rem(len)?).unwrap()];
        let conn = self.conns.get_mut(&id).unwrap();
        let addr = conn.ends[0].addr;
        match stall {
            Some(stall) => {
                let until = self.now + stall;
                let side = usize::from(pick & 64 != 0);
                conn.stalled[side] = until;
            }
            None => {
                self.push(self.now, Event::Fin(id, 0));
                self.push(self.now, Event::Fin(id, 1));
            }
        }
        Some(addr)
    }
}
