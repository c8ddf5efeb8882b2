//! The world of one run: nodes and phones, one clock, one heap of events.

mod attackers;
mod datagrams;
mod faults;
mod foreign;
mod names;
mod outputs;
mod setup;
mod shards;
mod streams;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use steadfast::agent;
use steadfast::id::{SocketId, StreamId, Transport};
use steadfast::locate::{LookupId, Records};
use steadfast::omit::Omit;
use steadfast::send::{AcceptedConnection, Handoff, Local};
use steadfast::shard::{Input, Role, Shard};
use steadfast::time::{Duration, Instant};

use super::attackers::{AttackMessage, Attackers};
use super::cast::{CORE_LISTEN, Cast};
use super::dice::Dice;
use super::judge::{Judge, Passage};
use super::phone::Phone;
use super::plot::Act;
use super::record::Record;
use faults::Spell;
use foreign::Station;

pub(crate) use faults::Harm;
use streams::Conn;

/// The calendar at the start of every run.
const UNIX: u64 = 1_800_000_000;

/// Whoever has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Actor {
    Node(usize),
    Phone(usize),
    Attacker(usize),
    /// The home that is no node of ours.
    Foreign,
}

/// A shard and what surrounds it. Whatever happens to a node happens to all its
/// shards.
pub(crate) struct Node {
    pub(crate) addr: SocketAddr,
    /// The indices of all shards of the node, in order.
    pub(crate) shard_set: Vec<usize>,
    pub(crate) role: Role,
    locals: Vec<Local>,
    pub(crate) shard: Option<Shard>,
    /// Counts the starts.
    pub(crate) life: u32,
    /// How far its clock is ahead of the world's.
    skew: Duration,
    tick: Option<Instant>,
    paused: bool,
    held: Vec<Event>,
    /// When the last of its rows reaches the store.
    written: Instant,
    /// While it is down: the whole machine is, nobody answers for it.
    silent: bool,
}

/// A scripted phone and what surrounds it.
pub(crate) struct PhoneActor {
    pub(crate) addr: SocketAddr,
    pub(crate) phone: Phone,
    tick: Option<Instant>,
    unread: BTreeMap<u64, Vec<u8>>,
}

/// What is about to happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Rc<[u8]>,
    },
    Unreachable {
        at: SocketAddr,
        peer: SocketAddr,
        quoted: Rc<[u8]>,
    },
    Syn(u64),
    Up(u64),
    Bytes {
        conn: u64,
        side: usize,
        bytes: Rc<[u8]>,
        /// The message that ends with these bytes.
        whole: Option<Rc<[u8]>>,
    },
    /// The end of that side learns that the connection is gone.
    Fin(u64, usize),
    /// Nobody has acknowledged what that side wrote.
    Stuck(u64, usize),
    Tick(Actor, Instant),
    Row {
        home: usize,
        life: u32,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    },
    Resolved {
        index: usize,
        life: u32,
        name: LookupId,
        records: Records,
    },
    /// From one shard of a node to another.
    Handoff {
        index: usize,
        life: u32,
        from: u8,
        handoff: Box<Handoff>,
    },
    Act(Act),
    Attack(Box<AttackMessage>),
    Heal,
}

/// The world.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) cast: Cast,
    pub(crate) nodes: Vec<Node>,
    pub(crate) phones: Vec<PhoneActor>,
    foreign: Option<Station>,
    pub(super) attackers: Attackers,
    /// What of a message has come to an attacker, by connection.
    unread: BTreeMap<u64, Vec<u8>>,
    /// Who plays each phone of the cast.
    pub(crate) players: Vec<Actor>,
    by_addr: BTreeMap<SocketAddr, Actor>,
    heap: BTreeMap<(Instant, u64), Event>,
    serial: u64,
    conns: BTreeMap<u64, Conn>,
    /// Connections that nodes have opened.
    dialed: u16,
    dice: Dice,
    weather: Weather,
    /// What it is when no storm blows, and how many do.
    calm: (Weather, u32),
    cuts: Vec<(IpAddr, IpAddr, Instant)>,
    pub(crate) spells: Vec<Spell>,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Until when rows reach the store late; true: never.
    disk: (Instant, bool),
    pub(crate) record: Record,
    pub(crate) judge: Judge,
    omit: Omit,
}

/// What becomes of datagrams, in a thousand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) loss: u64,
    pub(crate) twice: u64,
    pub(crate) late: u64,
}

impl World {
    pub(crate) fn push(&mut self, at: Instant, event: Event) {
        self.serial += 1;
        self.heap.insert((at.max(self.now), self.serial), event);
    }

    /// Lets time pass until `end`, or until something is wrong.
    pub(crate) fn run(&mut self, end: Instant) {
        while let Some(entry) = self.heap.first_entry() {
            let at = entry.key().0;
            if at > end || self.judge.broken.is_some() {
                break;
            }
            let event = entry.remove();
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = self.now.max(end);
    }

    fn happen(&mut self, event: Event) {
        if let Some(Actor::Node(index)) = self.aim(&event)
            && self.nodes[index].paused
        {
            self.nodes[index].held.push(event);
            return;
        }
        let event = match self.aim(&event) {
            Some(Actor::Foreign) => match self.delay(event) {
                Some(event) => event,
                None => return,
            },
            Some(Actor::Node(_) | Actor::Phone(_) | Actor::Attacker(_)) | None => event,
        };
        match event {
            Event::Datagram { from, to, bytes } => self.datagram(from, to, &bytes),
            Event::Unreachable { at, peer, quoted } => self.unreachable(at, peer, &quoted),
            Event::Syn(conn) => self.syn(conn),
            Event::Up(conn) => self.up(conn),
            Event::Bytes {
                conn,
                side,
                bytes,
                whole,
            } => self.bytes(conn, side, &bytes, whole.as_deref()),
            Event::Fin(conn, side) => self.fin(conn, side),
            Event::Stuck(conn, side) => self.stuck(conn, side),
            Event::Tick(actor, at) => self.tick(actor, at),
            Event::Row {
                home,
                life,
                key,
                value,
            } => self.row(home, life, key, value),
            Event::Resolved {
                index,
                life,
                name,
                records,
            } => {
                if self.nodes[index].life == life {
                    self.input(index, Input::Resolved { name, records });
                }
            }
            Event::Handoff {
                index,
                life,
                from,
                handoff,
            } => {
                if self.nodes[index].life == life {
                    let handoff = *handoff;
                    self.input(index, Input::Handoff { from, handoff });
                }
            }
            Event::Act(act) => self.act(&act),
            Event::Attack(message) => self.send_attack(&message),
            Event::Heal => self.heal(),
        }
    }

    /// Whose event it is, as far as a stopped process can put it off.
    fn aim(&self, event: &Event) -> Option<Actor> {
        match event {
            Event::Datagram { to, .. } => self.by_addr.get(to).copied(),
            Event::Unreachable { at, .. } => self.by_addr.get(at).copied(),
            Event::Syn(conn) => self.end_of(*conn, 1),
            Event::Up(conn) => self.end_of(*conn, 0),
            Event::Bytes { conn, side, .. } | Event::Fin(conn, side) => self.end_of(*conn, *side),
            Event::Tick(actor, _) => Some(*actor),
            Event::Resolved { index, .. } | Event::Handoff { index, .. } => {
                Some(Actor::Node(*index))
            }
            Event::Stuck(..)
            | Event::Row { .. }
            | Event::Act(_)
            | Event::Attack(_)
            | Event::Heal => None,
        }
    }

    fn tick(&mut self, actor: Actor, at: Instant) {
        match actor {
            Actor::Node(index) if self.nodes[index].tick == Some(at) => {
                self.nodes[index].tick = None;
                self.input(index, Input::Tick);
            }
            Actor::Phone(index) if self.phones[index].tick == Some(at) => {
                self.phones[index].tick = None;
                let now = self.now;
                self.talk(index, |phone| phone.tick(now));
            }
            Actor::Foreign => self.foreign_tick(at),
            Actor::Node(_) | Actor::Phone(_) | Actor::Attacker(_) => {}
        }
    }

    /// Hands a node its input, carries out what it asks for and sets its timer.
    fn input(&mut self, index: usize, input: Input<'_>) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let local = now + node.skew;
        let Some(shard) = &mut node.shard else { return };
        shard.handle(local, input);
        while let Some(output) = self.nodes[index].shard.as_mut().and_then(Shard::poll) {
            self.output(index, output);
        }
        self.arm(index);
    }

    fn arm(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let due = node.shard.as_ref().and_then(Shard::deadline);
        let Some(due) = due.map(|due| due - node.skew) else {
            return;
        };
        let due = due.max(self.now + Duration::from_micros(500));
        if node.tick.is_none_or(|tick| due < tick) {
            node.tick = Some(due);
            self.push(due, Event::Tick(Actor::Node(index), due));
        }
    }

    /// Lets a phone act, sends what it has to say and sets its timer.
    fn talk(&mut self, index: usize, act: impl FnOnce(&mut Phone)) {
        act(&mut self.phones[index].phone);
        let from = self.phones[index].addr;
        for sent in self.phones[index].phone.take() {
            if sent.tcp {
                self.send_stream(Actor::Phone(index), from, sent.to, &sent.bytes);
            } else {
                self.send_datagram(Actor::Phone(index), from, sent.to, &sent.bytes);
            }
        }
        let due = self.phones[index].phone.deadline();
        let Some(due) = due.map(|due| due.max(self.now + Duration::from_micros(500))) else {
            return;
        };
        let phone_actor = &mut self.phones[index];
        if phone_actor.tick.is_none_or(|tick| due < tick) {
            phone_actor.tick = Some(due);
            self.push(due, Event::Tick(Actor::Phone(index), due));
        }
    }

    /// Shows the judge a message that leaves or arrives.
    fn show(&mut self, leaves: bool, actor: Actor, way: Way, bytes: &[u8]) {
        let (life, now) = match actor {
            Actor::Node(index) => {
                let node = &self.nodes[index];
                (node.life, self.now + node.skew)
            }
            Actor::Phone(_) | Actor::Attacker(_) | Actor::Foreign => (0, self.now),
        };
        let who = match actor {
            Actor::Attacker(index) if leaves => self.cast.attackers[index].addr.ip(),
            Actor::Attacker(_) | Actor::Node(_) | Actor::Phone(_) | Actor::Foreign => way.from.ip(),
        };
        let passage = Passage {
            now: self.now,
            local: now,
            life,
            who,
            from: way.from,
            to: way.to,
            conn: way.conn,
            bytes,
        };
        if leaves {
            self.judge.sent(&passage);
        } else {
            self.judge.came(&passage);
        }
    }

    pub(crate) fn actor(&self, addr: SocketAddr) -> Option<Actor> {
        self.by_addr.get(&addr).copied()
    }

    fn socket(&self, index: usize, addr: SocketAddr) -> SocketId {
        let locals = &self.nodes[index].locals;
        let index = locals.iter().position(|local| local.addr == addr).unwrap();
        SocketId(u16::try_from(index).unwrap())
    }

    /// Tells a phone of the cast what to do.
    pub(crate) fn command(&mut self, phone: usize, order: &Order) {
        let now = self.now;
        match self.players[phone] {
            Actor::Node(index) => {
                let command = match order {
                    Order::Register => agent::Command::Register,
                    Order::Call(uri) => agent::Command::Call(uri.clone()),
                    Order::HangUp => agent::Command::Hangup,
                    Order::Reinvite => agent::Command::Renew,
                };
                self.input(index, Input::Command(command));
            }
            Actor::Phone(index) => self.talk(index, |phone| match order {
                Order::Register => phone.start(now),
                Order::Call(uri) => {
                    phone.call(now, uri);
                }
                Order::HangUp => phone.hang_up(now),
                Order::Reinvite => phone.reinvite(now),
            }),
            Actor::Attacker(_) | Actor::Foreign => {}
        }
    }

    fn local(&self, index: usize) -> Instant {
        self.now + self.nodes[index].skew
    }

    fn accept(&mut self, index: usize, from: SocketAddr, at: SocketAddr) -> Option<StreamId> {
        let local = self.local(index);
        let accepted = AcceptedConnection {
            transport: Transport::Tcp,
            peer: from,
            core_side: at.port() == CORE_LISTEN,
            identities: &[],
        };
        self.nodes[index].shard.as_mut()?.accept(local, &accepted)
    }
}

/// What a phone is told.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Register,
    Call(String),
    HangUp,
    Reinvite,
}

/// From where to where a message goes.
#[derive(Clone, Copy, Debug)]
struct Way {
    from: SocketAddr,
    to: SocketAddr,
    conn: Option<u64>,
}
