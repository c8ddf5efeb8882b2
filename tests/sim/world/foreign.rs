//! The home that is no node of ours, and its surroundings. It stands in a network
//! of its own with the edges: nobody else reaches it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use steadfast::time::{Duration, Instant};

use super::{Actor, Event, Harm, World};
use crate::cast::CORE_LISTEN;
use crate::foreign::Foreign;
use crate::plot::Act;
use crate::text::Text;

/// The home and what surrounds it.
pub(super) struct Station {
    addr: SocketAddr,
    home: Foreign,
    tick: Option<Instant>,
    unread: BTreeMap<u64, Vec<u8>>,
    /// Counts the starts.
    life: u32,
    /// While it is down; true: its machine is, too.
    down: Option<bool>,
    is_paused: bool,
    held: Vec<Event>,
}

impl World {
    pub(super) fn settle(&mut self) {
        let mut dice = self.dice.fork("foreign");
        let setup = self.cast.foreign(&mut dice);
        let addr = setup.addr;
        self.by_addr.insert(addr, Actor::Foreign);
        self.foreign = Some(Station {
            addr,
            home: Foreign::new(setup, dice),
            tick: None,
            unread: BTreeMap::new(),
            life: 0,
            down: None,
            is_paused: false,
            held: Vec::new(),
        });
    }

    pub(super) fn foreign_life(&self) -> u32 {
        self.foreign.as_ref().map_or(0, |station| station.life)
    }

    /// Whether nobody is at home there.
    pub(super) fn is_down(&self, actor: Actor) -> bool {
        match actor {
            Actor::Node(index) => self.nodes[index].shard.is_none(),
            Actor::Foreign => self.foreign.as_ref().is_some_and(|own| own.down.is_some()),
            Actor::Phone(_) | Actor::Attacker(_) => false,
        }
    }

    /// Whether the machine there says nothing either.
    pub(super) fn is_silent(&self, actor: Actor) -> bool {
        match actor {
            Actor::Node(index) => self.nodes[index].silent,
            Actor::Foreign => self
                .foreign
                .as_ref()
                .is_some_and(|own| own.down == Some(true)),
            Actor::Phone(_) | Actor::Attacker(_) => false,
        }
    }

    /// Whether there is no way: only the edges and that home have one to each other,
    /// and it has one to nobody else.
    pub(super) fn is_walled(&self, actor: Actor, to: SocketAddr) -> bool {
        let Some(station) = &self.foreign else {
            return false;
        };
        let is_edge = |actor: Actor| matches!(actor, Actor::Node(index) if self.cast.is_edge(self.nodes[index].addr.ip()));
        if actor == Actor::Foreign {
            return !self.cast.is_edge(to.ip());
        }
        let is_theirs =
            to.ip() == station.addr.ip() || to.port() == CORE_LISTEN && self.cast.is_edge(to.ip());
        is_theirs && !is_edge(actor)
    }

    /// An event for that home, unless it has to wait until the home goes on.
    pub(super) fn delay(&mut self, event: Event) -> Option<Event> {
        match &mut self.foreign {
            Some(station) if station.is_paused => {
                station.held.push(event);
                None
            }
            Some(_) | None => Some(event),
        }
    }

    /// Lets that home act, sends what it has to say and sets its timer.
    fn at_home(&mut self, act: impl FnOnce(&mut Foreign)) {
        let Some(station) = &mut self.foreign else {
            return;
        };
        if station.down.is_some() {
            return;
        }
        act(&mut station.home);
        let (from, out) = (station.addr, station.home.take());
        let due = station.home.deadline();
        for sent in out {
            if sent.tcp {
                self.send_stream(Actor::Foreign, from, sent.to, &sent.bytes);
            } else {
                self.send_datagram(Actor::Foreign, from, sent.to, &sent.bytes);
            }
        }
        let Some(due) = due.map(|due| due.max(self.now + Duration::from_micros(500))) else {
            return;
        };
        let Some(station) = &mut self.foreign else {
            return;
        };
        if station.tick.is_none_or(|tick| due < tick) {
            station.tick = Some(due);
            self.push(due, Event::Tick(Actor::Foreign, due));
        }
    }

    pub(super) fn foreign_tick(&mut self, at: Instant) {
        let now = self.now;
        if let Some(station) = &mut self.foreign
            && station.tick == Some(at)
        {
            station.tick = None;
            self.at_home(|home| home.tick(now));
        }
    }

    pub(super) fn foreign_hears(&mut self, (tcp, from): (bool, SocketAddr), bytes: &[u8]) {
        let now = self.now;
        self.at_home(|home| home.receive(now, from, tcp, bytes));
    }

    /// It reads from a connection.
    pub(super) fn foreign_reads(&mut self, id: u64, from: SocketAddr, bytes: &[u8]) {
        let Some(station) = &mut self.foreign else {
            return;
        };
        let mut unread = station.unread.remove(&id).unwrap_or_default();
        unread.extend_from_slice(bytes);
        loop {
            let skip = unread.iter().take_while(|b| **b == b'\r' || **b == b'\n');
            let skip = skip.count();
            unread.drain(..skip);
            let Some(whole) = Text::frame(&unread) else {
                break;
            };
            let message: Vec<u8> = unread.drain(..whole).collect();
            self.foreign_hears((true, from), &message);
        }
        if let Some(station) = &mut self.foreign {
            station.unread.insert(id, unread);
        }
    }

    pub(super) fn foreign_loses(&mut self, id: u64, peer: SocketAddr, refused: bool) {
        if let Some(station) = &mut self.foreign {
            station.unread.remove(&id);
        }
        let now = self.now;
        self.at_home(|home| home.closed(now, peer, refused));
    }

    /// What the script wants done, with the indices of our nodes; what is for that home
    /// is done.
    pub(super) fn foreign_act(&mut self, act: &Act) -> Option<Act> {
        if self.foreign.is_none() {
            return Some(act.clone());
        }
        let mut act = act.clone();
        let (Act::Crash(index, _)
        | Act::Restart(index)
        | Act::Pause(index, _)
        | Act::Resume(index)
        | Act::Jump(index, _)
        | Act::Rotate(index, _)
        | Act::Drain(index)
        | Act::Leave(index)) = &mut act
        else {
            return (!matches!(act, Act::Disk(..))).then_some(act);
        };
        if let Some(own) = index.checked_sub(1) {
            *index = own;
            return Some(act);
        }
        // Its clock is nobody's business, and it is not drained.
        if let Act::Crash(_, silent) = act {
            self.foreign_crash(silent);
        } else if let Act::Pause(_, length) = act {
            self.foreign_pause(length);
        } else if matches!(act, Act::Restart(_)) {
            self.foreign_restart();
        } else if matches!(act, Act::Resume(_)) {
            self.foreign_resume();
        }
        None
    }

    /// The index of a node of ours as the script has it.
    pub(super) fn in_script(&self, index: usize) -> usize {
        index + usize::from(self.foreign.is_some())
    }

    fn foreign_crash(&mut self, silent: bool) {
        let Some(station) = &mut self.foreign else {
            return;
        };
        if station.down.is_some() {
            return;
        }
        let addr = station.addr;
        station.down = Some(silent);
        station.is_paused = false;
        station.held.clear();
        station.tick = None;
        station.unread.clear();
        let harm = if silent { Harm::Gone } else { Harm::Dead };
        self.harmed(Some(addr.ip()), Duration::ZERO, harm);
        self.break_streams(addr, silent);
    }

    fn foreign_restart(&mut self) {
        let Some(station) = &mut self.foreign else {
            return;
        };
        if station.down.take().is_none() {
            return;
        }
        station.life += 1;
        station.home.restart();
        let ip = station.addr.ip();
        self.hurt_since_crash(ip);
    }

    fn foreign_pause(&mut self, length: Duration) {
        let Some(station) = &mut self.foreign else {
            return;
        };
        if station.down.is_some() || station.is_paused {
            return;
        }
        station.is_paused = true;
        let ip = station.addr.ip();
        self.harmed(Some(ip), length, Harm::Worse);
        self.push(self.now + length, Event::Act(Act::Resume(0)));
    }

    fn foreign_resume(&mut self) {
        let Some(station) = &mut self.foreign else {
            return;
        };
        station.is_paused = false;
        let held = std::mem::take(&mut station.held);
        for event in held {
            self.push(self.now, event);
        }
    }
}
