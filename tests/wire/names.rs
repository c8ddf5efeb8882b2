//! The DNS of a `World`: a zone as text, and how well it answers.

use steadfast::limits;
use steadfast::locate::{
    LookupId, Query, QueryType, Question, Record, Records, Set, WalkStep, walk,
};

/// How questions are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    AtOnce,
    /// Not until `World::answer_names`.
    Held,
    /// The DNS has failed.
    Failed,
    /// With records that nobody asked for.
    Wrong,
}

/// The DNS.
pub(crate) struct Names {
    /// Lines of `NAME TTL A|AAAA ADDRESS`, `NAME TTL SRV PRIORITY WEIGHT PORT
    /// TARGET`, `NAME TTL NAPTR ORDER PREFERENCE FLAGS SERVICE REPLACEMENT`.
    pub(crate) zone: String,
    pub(crate) answers: Answers,
    /// Names asked for so far.
    pub(crate) queries: Vec<String>,
    /// Questions that wait.
    pub(crate) held: Vec<(usize, LookupId, Question)>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            zone: String::new(),
            answers: Answers::AtOnce,
            queries: Vec::new(),
            held: Vec::new(),
        }
    }

    /// What the DNS knows about the question.
    pub(crate) fn records(&self, question: &Question) -> Records {
        let mut records = Records::default();
        if self.answers == Answers::Wrong {
            let name = "elsewhere.example.net".into();
            let address = Record::Address("127.0.0.66".parse().unwrap());
            let set = Set::Found {
                records: vec![address],
                ttl_s: 60,
            };
            let kind = QueryType::A;
            records.add(Query { name, kind }, set);
            return records;
        }
        for _ in 0..limits::DNS_QUERIES_MAX.1 {
            let WalkStep::Missing(queries) = walk(question, &records) else {
                break;
            };
            for query in queries {
                let set = self.set(&query);
                records.add(query, set);
            }
        }
        records
    }

    fn set(&self, query: &Query) -> Set {
        if self.answers == Answers::Failed {
            return Set::Failed;
        }
        let (mut records, mut ttl_s) = (Vec::new(), u32::MAX);
        for line in self.zone.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            if let [name, ttl, kind, rest @ ..] = &words[..]
                && **name == *query.name
                && let Some(record) = record(kind, rest, query.kind)
            {
                records.push(record);
                ttl_s = ttl_s.min(ttl.parse().unwrap());
            }
        }
        if records.is_empty() {
            Set::Nothing { ttl_s: 5 }
        } else {
            Set::Found { records, ttl_s }
        }
    }
}

fn record(kind: &str, rest: &[&str], wanted: QueryType) -> Option<Record> {
    let number = |index: usize| rest[index].parse().unwrap();
    match (kind, wanted) {
        ("A", QueryType::A) | ("AAAA", QueryType::Aaaa) => {
            Some(Record::Address(rest[0].parse().unwrap()))
        }
        ("SRV", QueryType::Srv) => Some(Record::Srv {
            priority: number(0),
            weight: number(1),
            port: number(2),
            target: rest[3].into(),
        }),
        ("NAPTR", QueryType::Naptr) => Some(Record::Naptr {
            order: number(0),
            preference: number(1),
            flags: rest[2].into(),
            service: rest[3].into(),
            replacement: rest[4].into(),
        }),
        _ => None,
    }
}
