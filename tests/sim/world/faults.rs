//! What goes wrong, and the memory of it: a promise holds only where nothing
//! it stands on was hurt.

use std::net::{IpAddr, SocketAddr};

use steadfast::shard::{Configuration, Input, Role, RoleSettings};
use steadfast::time::{Duration, Instant};
use steadfast::{edge, home, limits};

use super::{Actor, Event, Weather, World};
use crate::plot::{Act, Keys};

/// What was wrong with somebody, from the least to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    Nothing,
    /// Connections were lost, and nothing that was known.
    Severed,
    /// It was stopped for some seconds, in which others gave up their connections.
    Still,
    /// It has another address.
    Moved,
    /// Its process died, and came back with an empty memory.
    Dead,
    /// Its machine died with it, so that not even the kernel answers for it.
    Gone,
    Worse,
}

/// Something was not as it should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spell {
    /// Whom it hurt; `None`: everybody.
    pub(crate) who: Option<IpAddr>,
    pub(crate) from: Instant,
    pub(crate) until: Instant,
    harm: Harm,
}

impl Harm {
    const fn is_death(self) -> bool {
        matches!(self, Self::Dead | Self::Gone)
    }
}

impl Spell {
    /// Whether somebody died in it, between the two.
    fn is_death(&self, who: IpAddr, from: Instant, until: Instant) -> bool {
        let died = self.from + MARGIN;
        self.who == Some(who) && self.harm.is_death() && died >= from && died <= until
    }
}

/// What was under way when something began or ended suffers too.
const MARGIN: Duration = Duration::from_millis(500);

impl World {
    /// True when nothing hurt `who` between the two.
    pub(crate) fn is_clean(&self, who: IpAddr, from: Instant, until: Instant) -> bool {
        self.harm(who, from, until) == Harm::Nothing
    }

    /// The worst that hurt `who` between the two.
    pub(crate) fn harm(&self, who: IpAddr, from: Instant, until: Instant) -> Harm {
        let hits = |spell: &&Spell| {
            spell.who.is_none_or(|hurt| hurt == who) && spell.from <= until && spell.until >= from
        };
        let harms = self.spells.iter().filter(hits).map(|spell| spell.harm);
        harms.max().unwrap_or(Harm::Nothing)
    }

    /// True when that hurt `who` between the two, whatever else did.
    pub(crate) fn has_borne(&self, harm: Harm, who: IpAddr, from: Instant, until: Instant) -> bool {
        let hits = |spell: &Spell| {
            spell.who == Some(who)
                && spell.harm == harm
                && spell.from <= until
                && spell.until >= from
        };
        self.spells.iter().any(hits)
    }

    /// True when `who` went on from another address after that moment.
    pub(crate) fn moves_after(&self, who: IpAddr, when: Instant, until: Instant) -> bool {
        let hits = |spell: &Spell| {
            let moved = spell.from + MARGIN;
            spell.who == Some(who) && spell.harm == Harm::Moved && moved > when && moved <= until
        };
        self.spells.iter().any(hits)
    }

    /// True when `who` died between the two.
    pub(crate) fn has_died(&self, who: IpAddr, from: Instant, until: Instant) -> bool {
        let mut spells = self.spells.iter();
        spells.any(|spell| spell.is_death(who, from, until))
    }

    pub(super) fn hurt(&mut self, who: Option<IpAddr>, length: Duration) {
        self.harmed(who, length, Harm::Worse);
    }

    pub(super) fn harmed(&mut self, who: Option<IpAddr>, length: Duration, harm: Harm) {
        self.spells.push(Spell {
            who,
            from: self.now - MARGIN,
            until: self.now + length + MARGIN,
            harm,
        });
    }

    /// What is to be done by nodes of ours, of what the script says.
    fn begun(&mut self, act: &Act) -> Option<Act> {
        if !matches!(act, Act::Attack(_)) {
            self.record.event(self.now, &format!("{act:?}"));
        }
        self.foreign_act(act)
    }

    pub(super) fn act(&mut self, act: &Act) {
        let Some(act) = &self.begun(act) else { return };
        match act {
            Act::Order(phone, order) => self.command(*phone, order),
            Act::Crash(index, silent) => self.crash(*index, *silent),
            Act::Restart(index) => self.restart(*index),
            Act::Pause(index, length) => self.pause(*index, *length, Harm::Worse),
            Act::Resume(index) => self.unpause(*index),
            Act::Cut(one, other, both, length) => {
                let until = self.now + *length;
                self.cuts.push((*one, *other, until));
                if *both {
                    self.cuts.push((*other, *one, until));
                }
                self.hurt(Some(*one), *length);
                self.hurt(Some(*other), *length);
                self.push(until, Event::Heal);
            }
            Act::Storm(weather, length) => self.storm(*weather, *length),
            Act::Calm => self.calm_down(),
            Act::Reset(pick) => {
                if let Some(addr) = self.spoil_stream(*pick, None) {
                    self.hurt(Some(addr.ip()), Duration::ZERO);
                }
            }
            Act::Stall(pick, length) => {
                if let Some(addr) = self.spoil_stream(*pick, Some(*length)) {
                    self.hurt(Some(addr.ip()), *length);
                }
            }
            Act::Standstill(phone, length) => self.stand_still(*phone, *length),
            Act::Isolate(phone) => self.lose_home(*phone),
            Act::Kill(phone, silent, length) => {
                self.kill(self.edge_of(*phone), *silent, *length);
            }
            Act::Strand(phone, length) => self.kill(self.far_edge_of(*phone), false, *length),
            Act::Sever(phone) => {
                let ip = self.cast.phones[*phone].addr.ip();
                self.harmed(Some(ip), Duration::ZERO, Harm::Severed);
                self.sever(ip);
            }
            Act::Attack(attacker) => {
                let messages = self.attackers.act(self.now, *attacker);
                self.schedule_attack(messages);
            }
            Act::Visit(edge, uri) => {
                let edge = self.cast.edges[*edge];
                let messages = self.attackers.call_as_visitor(edge, uri);
                self.schedule_attack(messages);
            }
            Act::Move(phone) => self.relocate(*phone),
            Act::Jump(index, by) => {
                let addr = self.nodes[*index].addr;
                self.hurt(Some(addr.ip()), Duration::ZERO);
                for index in self.nodes[*index].shard_set.clone() {
                    self.nodes[index].skew += *by;
                    self.input(index, Input::Tick);
                }
            }
            Act::Drain(index) => self.drain(*index),
            Act::Leave(index) => self.leave(*index),
            Act::Rotate(index, keys) => self.rotate(*index, *keys),
            // Nobody is hurt: what a home has in memory it has.
            Act::Disk(length, lost) => self.disk = (self.now + *length, *lost),
            Act::Reboot(phone) => self.reboot(*phone),
            Act::Quiet => self.quiet(),
        }
    }

    /// A node that is down starts with the keys of the day.
    fn rotate(&mut self, index: usize, keys: Keys) {
        for index in self.nodes[index].shard_set.clone() {
            let settings = match &mut self.nodes[index].role {
                Role::Edge(settings) => {
                    turn_edge(settings, keys);
                    RoleSettings::Edge(settings.clone())
                }
                Role::Home(settings, _) => {
                    turn_home(settings, keys);
                    RoleSettings::Home(settings.clone())
                }
                Role::Agent(_) => return,
            };
            if self.nodes[index].shard.is_some() {
                let configuration = Configuration {
                    role: settings,
                    unlimited: None,
                    connections_per_source: limits::SOURCE_STREAMS,
                    source_memory: limits::SOURCE_MEMORY,
                };
                self.input(index, Input::Configured(&configuration));
            }
        }
    }

    fn storm(&mut self, weather: Weather, length: Duration) {
        self.weather = weather;
        self.calm.1 += 1;
        self.hurt(None, length);
        self.push(self.now + length, Event::Act(Act::Calm));
    }

    fn calm_down(&mut self) {
        let (calm, storms) = &mut self.calm;
        *storms -= 1;
        if *storms == 0 {
            self.weather = *calm;
        }
    }

    /// A phone goes on from another port, without a word to anybody.
    fn relocate(&mut self, phone: usize) {
        let Actor::Phone(index) = self.players[phone] else {
            return;
        };
        let old = self.phones[index].addr;
        self.harmed(Some(old.ip()), Duration::ZERO, Harm::Moved);
        self.break_streams(old, false);
        self.serial += 1;
        let port = 6_000 + u16::try_from(self.serial % 10_000).unwrap();
        let new = SocketAddr::new(old.ip(), port);
        self.by_addr.remove(&old);
        self.by_addr.insert(new, Actor::Phone(index));
        self.phones[index].addr = new;
        let now = self.now;
        self.talk(index, |phone| phone.relocate(now, new));
    }

    fn stand_still(&mut self, phone: usize, length: Duration) {
        if let Some(index) = self.edge_of(phone) {
            self.pause(index, length, Harm::Still);
        }
    }

    fn lose_home(&mut self, phone: usize) {
        if let Some(index) = self.edge_of(phone) {
            let ip = self.nodes[index].addr.ip();
            self.harmed(Some(ip), Duration::ZERO, Harm::Severed);
            self.isolate(ip);
        }
    }

    fn kill(&mut self, edge: Option<usize>, silent: bool, length: Duration) {
        if let Some(index) = edge {
            self.crash(index, silent);
            let index = self.in_script(index);
            self.push(self.now + length, Event::Act(Act::Restart(index)));
        }
    }

    /// The edge of the call that a phone is in, unless it has enough to bear.
    fn edge_of(&self, phone: usize) -> Option<usize> {
        let phone = self.cast.phones[phone].addr.ip();
        let (own, _) = self.judge.calls.edges_of(phone, self.now)?;
        self.unhurt(own)
    }

    /// The edge of the other side of the phone's call, where that is another edge.
    fn far_edge_of(&self, phone: usize) -> Option<usize> {
        let phone = self.cast.phones[phone].addr.ip();
        let (own, far) = self.judge.calls.edges_of(phone, self.now)?;
        self.unhurt(far).filter(|_| far != own)
    }

    fn unhurt(&self, edge: IpAddr) -> Option<usize> {
        let before = self.now - Duration::from_secs(1);
        if !self.is_clean(edge, before, self.now) {
            return None;
        }
        self.nodes.iter().position(|node| node.addr.ip() == edge)
    }

    fn drain(&mut self, index: usize) {
        let within = limits::EDGE_DRAIN_MAX;
        for index in self.nodes[index].shard_set.clone() {
            self.input(index, Input::Drain { within });
        }
        let addr = self.nodes[index].addr;
        self.hurt(Some(addr.ip()), Duration::from_secs(10));
    }

    fn leave(&mut self, index: usize) {
        for index in self.nodes[index].shard_set.clone() {
            let shard = self.nodes[index].shard.as_ref();
            if shard.is_some_and(|shard| shard.goes_on()) {
                self.input(index, Input::Leave);
            }
        }
    }

    fn crash(&mut self, index: usize, silent: bool) {
        let addr = self.nodes[index].addr;
        if self.nodes[index].shard.is_none() {
            return;
        }
        let harm = if silent { Harm::Gone } else { Harm::Dead };
        self.harmed(Some(addr.ip()), Duration::ZERO, harm);
        for index in self.nodes[index].shard_set.clone() {
            let node = &mut self.nodes[index];
            node.shard = None;
            node.silent = silent;
            node.paused = false;
            node.held.clear();
            node.tick = None;
        }
        self.break_streams(addr, silent);
    }

    fn restart(&mut self, index: usize) {
        if self.nodes[index].shard.is_some() {
            return;
        }
        let addr = self.nodes[index].addr;
        // Down until now.
        self.hurt_since_crash(addr.ip());
        self.start(index);
        if self.cast.is_phone(addr.ip()) {
            let phone = self.cast.phones.iter().position(|p| p.addr == addr);
            self.command(phone.unwrap(), &super::Order::Register);
        }
    }

    pub(super) fn hurt_since_crash(&mut self, ip: IpAddr) {
        let now = self.now + Duration::from_millis(500);
        let of = |s: &&mut Spell| s.who == Some(ip) && s.harm.is_death();
        let last = self.spells.iter_mut().rfind(of);
        if let Some(spell) = last {
            spell.until = spell.until.max(now);
        }
    }

    fn pause(&mut self, index: usize, length: Duration, harm: Harm) {
        if self.nodes[index].shard.is_none() || self.nodes[index].paused {
            return;
        }
        for index in self.nodes[index].shard_set.clone() {
            self.nodes[index].paused = true;
        }
        let ip = self.nodes[index].addr.ip();
        self.harmed(Some(ip), length, harm);
        let index = self.in_script(index);
        self.push(self.now + length, Event::Act(Act::Resume(index)));
    }

    fn unpause(&mut self, index: usize) {
        for index in self.nodes[index].shard_set.clone() {
            self.nodes[index].paused = false;
            let held = std::mem::take(&mut self.nodes[index].held);
            for event in held {
                self.push(self.now, event);
            }
        }
    }

    fn reboot(&mut self, phone: usize) {
        let addr = self.cast.phones[phone].addr;
        self.hurt(Some(addr.ip()), Duration::ZERO);
        match self.players[phone] {
            Actor::Node(index) => {
                self.crash(index, false);
                self.restart(index);
            }
            Actor::Phone(index) => {
                self.break_streams(addr, false);
                let now = self.now;
                self.talk(index, |phone| phone.reboot(now));
            }
            Actor::Attacker(_) | Actor::Foreign => {}
        }
    }

    /// The phones are switched off; what is left must come to its end.
    fn quiet(&mut self) {
        for index in 0..self.nodes.len() {
            if self.cast.is_phone(self.nodes[index].addr.ip()) {
                self.crash(index, false);
            }
        }
        for phone_actor in &mut self.phones {
            phone_actor.phone.quiet();
        }
        self.attackers.quiet();
    }

    /// What a node still holds at the end, which must be nothing.
    pub(crate) fn left_over(&self) -> Option<(String, String)> {
        self.nodes.iter().find_map(|node| {
            let shard = node.shard.as_ref()?;
            let gauges = shard.gauges();
            // A dialog is over when it says so; some end without a word.
            let lasts = |name: &str| matches!(name, "streams" | "refreshed_dialogs" | "dialogs");
            let held = |(name, held): &&(&str, usize)| !lasts(name) && *held > 0;
            let held: Vec<_> = gauges.iter().filter(held).collect();
            let what = format!("{} still holds {held:?}", node.addr);
            (!held.is_empty()).then_some((what, String::new()))
        })
    }

    /// A cut has ended.
    pub(super) fn heal(&mut self) {
        let now = self.now;
        self.cuts.retain(|(.., until)| *until > now);
        self.resume_streams();
    }
}

impl Weather {
    pub(crate) const fn storm(dice: &mut crate::dice::Dice) -> Self {
        Self {
            loss: 50 + dice.below(300),
            twice: dice.below(200),
            late: dice.below(500),
        }
    }
}

fn turn_edge(settings: &mut edge::Settings, keys: Keys) {
    match keys {
        Keys::Listed => {
            if !settings.token_keys.is_empty() {
                settings.token_keys.push([8; 64]);
            }
            settings.older_flow_keys = vec![[4; 32]];
        }
        Keys::Turned => {
            settings.token_keys.reverse();
            settings.older_flow_keys = vec![settings.flow_key];
            settings.flow_key = [4; 32];
        }
    }
}

fn turn_home(settings: &mut home::Settings, keys: Keys) {
    match keys {
        Keys::Listed => settings.older_nonce_keys = vec![[6; 32]],
        Keys::Turned => {
            settings.older_nonce_keys = vec![settings.nonce_key];
            settings.nonce_key = [6; 32];
        }
    }
}
