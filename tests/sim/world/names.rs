//! The DNS: SRV and A records of the homes and of the phones that go by their
//! names, answered late, wrongly or never.

use steadfast::id::Transport;
use steadfast::limits;
use steadfast::locate::{
    LookupId, Query, QueryType, Question, Record, Records, Set, WalkStep, walk,
};
use steadfast::time::Duration;

use super::{Event, World};
use crate::cast::Extra;

/// How long a failed answer may be remembered.
const REMEMBERED: Duration = Duration::from_secs(8);

impl World {
    /// A node asks.
    pub(super) fn resolve(&mut self, index: usize, name: LookupId, question: &Question) {
        let lot = self.dice.below(100);
        let late = self.dice.millis(2, 250);
        let life = self.nodes[index].life;
        let ip = self.nodes[index].addr.ip();
        if lot < 6 {
            let what = format!("DNS fault {lot} for {ip}");
            self.record.event(self.now, &what);
            self.hurt(Some(ip), REMEMBERED);
        }
        let records = match lot {
            // Nobody answers at all.
            0..2 => return,
            2..4 => self.records(question, |_| Set::Failed),
            4..6 => {
                let mut records = Records::default();
                let name = "elsewhere.example.net".into();
                let address = Record::Address("10.9.9.9".parse().unwrap());
                let set = Set::Found {
                    records: vec![address],
                    ttl_s: 60,
                };
                let kind = QueryType::A;
                records.add(Query { name, kind }, set);
                records
            }
            _ => self.records(question, |query| self.set(query)),
        };
        let late = if lot < 12 { late * 8 } else { late };
        let event = Event::Resolved {
            index,
            life,
            name,
            records,
        };
        self.push(self.now + late, event);
    }

    fn records(&self, question: &Question, set: impl Fn(&Query) -> Set) -> Records {
        let mut records = Records::default();
        for _ in 0..limits::DNS_QUERIES_MAX.1 {
            let WalkStep::Missing(queries) = walk(question, &records) else {
                break;
            };
            for query in queries {
                let found = set(&query);
                records.add(query, found);
            }
        }
        records
    }

    fn set(&self, query: &Query) -> Set {
        let homes = self.cast.homes.iter().enumerate();
        let service = match self.cast.core {
            Transport::Udp => "_sip._udp.example.com",
            Transport::Tcp | Transport::Tls => "_sip._tcp.example.com",
        };
        let mut found: Vec<Record> = match query.kind {
            QueryType::Srv if *query.name == *service => homes
                .map(|(index, home)| Record::Srv {
                    priority: u16::try_from(index).unwrap(),
                    weight: 0,
                    port: home.port(),
                    target: format!("h{index}.example.com").into(),
                })
                .collect(),
            QueryType::A => {
                let named = |index: &usize| *query.name == *format!("h{index}.example.com");
                let ips = homes.filter(|(index, _)| named(index));
                let ips = ips.map(|(_, home)| home.ip());
                ips.map(Record::Address).collect::<Vec<_>>()
            }
            QueryType::Srv | QueryType::Naptr | QueryType::Aaaa => Vec::new(),
        };
        let named = |phone: &Extra| phone_record(phone, query);
        found.extend(self.cast.phones.iter().filter_map(named));
        if found.is_empty() {
            Set::Nothing { ttl_s: 5 }
        } else {
            Set::Found {
                records: found,
                ttl_s: 20,
            }
        }
    }
}

/// What the DNS says of a phone that goes by its name.
fn phone_record(phone: &Extra, query: &Query) -> Option<Record> {
    let name = phone.name.as_ref()?;
    match query.kind {
        QueryType::Srv if *query.name == *format!("_sip._tcp.{name}") => Some(Record::Srv {
            priority: 0,
            weight: 0,
            port: phone.addr.port(),
            target: name.clone().into(),
        }),
        QueryType::A if *query.name == **name => Some(Record::Address(phone.addr.ip())),
        QueryType::Srv | QueryType::Naptr | QueryType::A | QueryType::Aaaa => None,
    }
}
