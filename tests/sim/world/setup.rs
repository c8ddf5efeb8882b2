//! How a world begins: the nodes and phones of its cast.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use steadfast::omit::Omit;
use steadfast::shard::Role;
use steadfast::time::{Duration, Instant};

use super::{Actor, Node, PhoneActor, Weather, World};
use crate::attackers::Attackers;
use crate::cast::{Cast, Speaks};
use crate::dice::Dice;
use crate::judge::Judge;
use crate::phone::Phone;
use crate::record::Record;

impl World {
    pub(crate) fn new(seed: u64, omit: Omit) -> Self {
        let mut dice = Dice::new(seed);
        let cast = Cast::draw(&mut dice.fork("cast"));
        let weather = Weather {
            loss: dice.below(20),
            twice: dice.below(20),
            late: dice.below(60),
        };
        let mut world = Self {
            now: Instant::from_micros(1_000_000),
            judge: Judge::new(cast.clone()),
            nodes: Vec::new(),
            phones: Vec::new(),
            foreign: None,
            attackers: Attackers::new(cast.clone(), dice.fork("gang")),
            unread: BTreeMap::new(),
            players: Vec::new(),
            by_addr: BTreeMap::new(),
            heap: BTreeMap::new(),
            serial: 0,
            conns: BTreeMap::new(),
            dialed: 0,
            dice: dice.fork("world"),
            weather,
            calm: (weather, 0),
            cuts: Vec::new(),
            spells: Vec::new(),
            store: BTreeMap::new(),
            disk: (Instant::ZERO, false),
            record: Record::default(),
            omit,
            cast,
        };
        world.people();
        world
    }

    fn people(&mut self) {
        let cast = self.cast.clone();
        if cast.is_foreign {
            self.settle();
        } else {
            for home in &cast.homes {
                self.node(*home, cast.home());
            }
        }
        for (index, edge) in cast.edges.iter().enumerate() {
            self.node(*edge, cast.edge(index));
        }
        for phone in &cast.phones {
            let mut dice = self.dice.fork(&phone.addr.to_string());
            let actor = if phone.speaks == Speaks::Sticky {
                let role = cast.agent(phone, &mut dice);
                self.node(phone.addr, role)
            } else {
                let who = cast.who(phone, &mut dice);
                self.phones.push(PhoneActor {
                    addr: phone.addr,
                    phone: Phone::new(who, dice),
                    tick: None,
                    unread: BTreeMap::new(),
                });
                Actor::Phone(self.phones.len() - 1)
            };
            self.by_addr.insert(phone.addr, actor);
            self.players.push(actor);
        }
        for (index, attacker) in cast.attackers.iter().enumerate() {
            self.by_addr.insert(attacker.addr, Actor::Attacker(index));
        }
        let first: Vec<usize> = (0..self.nodes.len()).collect();
        for index in &first {
            self.widen(*index);
        }
        for index in first {
            self.start(index);
        }
    }

    pub(super) fn node(&mut self, addr: SocketAddr, role: Role) -> Actor {
        let locals = self.cast.locals(addr);
        let index = self.nodes.len();
        for local in &locals {
            self.by_addr.insert(local.addr, Actor::Node(index));
        }
        self.nodes.push(Node {
            addr,
            shard_set: vec![index],
            role,
            locals,
            shard: None,
            life: 0,
            skew: Duration::ZERO,
            tick: None,
            paused: false,
            held: Vec::new(),
            written: Instant::ZERO,
            silent: false,
        });
        Actor::Node(index)
    }
}
