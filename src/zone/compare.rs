//! What the live DNS says, beside what the members need.

use std::collections::BTreeSet;

use super::{Record, Silent, Zone};
use crate::locate::{self, Query, QueryType, Set};

/// How much a difference costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Something that phones need is not there.
    Missing,
    /// Calls work, and not as well as they might.
    Odd,
}

/// One difference, in one sentence without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it costs.
    pub weight: Weight,
    /// The sentence.
    pub says: String,
}

/// What is to be asked for a comparison, each once.
#[must_use]
pub fn queries(zone: &Zone) -> Vec<Query> {
    let mut queries: Vec<Query> = Vec::new();
    let mut compare_set = |name: &str, kind| {
        let query = Query {
            name: name.into(),
            kind,
        };
        if !queries.contains(&query) {
            queries.push(query);
        }
    };
    for record in zone.cluster_records(Silent::default()) {
        match kind(&record.data) {
            // An address of the other family leads astray as well.
            QueryType::A | QueryType::Aaaa => {
                compare_set(&record.name, QueryType::A);
                compare_set(&record.name, QueryType::Aaaa);
            }
            other @ (QueryType::Naptr | QueryType::Srv) => compare_set(&record.name, other),
        }
    }
    for domain in &zone.domains {
        for record in zone.domain_records(domain, Silent::default()) {
            if kind(&record.data) == QueryType::Srv {
                compare_set(&record.name, QueryType::Srv);
            }
        }
    }
    queries
}

/// What is different, in the order of the queries.
#[must_use]
pub fn differences(zone: &Zone, found: &[(Query, Set)]) -> Vec<Difference> {
    let wanted = zone.cluster_records(Silent::default());
    let mut differences = Vec::new();
    for (query, set) in found {
        let wanted: Vec<_> = wanted.iter().filter(|one| answers(one, query)).collect();
        let found = match set {
            Set::Found { records, .. } => &records[..],
            Set::Nothing { .. } => &[],
            Set::Failed => {
                let says = format!("the DNS does not answer for {}", title(query));
                differences.push(missing(says));
                continue;
            }
        };
        let domain = zone.domains.iter().find(|domain| leads(query, domain));
        match domain {
            Some(domain) if wanted.is_empty() => {
                differences.extend(domain_leads(zone, domain, found, query));
            }
            Some(_) | None => compare(query, &wanted, found, &mut differences),
        }
    }
    differences
}

/// Whether the query is for the services of that very domain.
fn leads(query: &Query, domain: &str) -> bool {
    query.kind == QueryType::Srv
        && ["_sip._udp.", "_sip._tcp."]
            .iter()
            .any(|front| query.name.strip_prefix(front) == Some(domain))
}

/// A domain may lead elsewhere first, but should lead to an edge at all.
fn domain_leads(
    zone: &Zone,
    domain: &str,
    found: &[locate::Record],
    query: &Query,
) -> Option<Difference> {
    let is_ours = |record: &locate::Record| match record {
        locate::Record::Srv { target, .. } => zone.nodes.iter().any(|one| *one.name == **target),
        locate::Record::Address(_) | locate::Record::Naptr { .. } => false,
    };
    if found.iter().any(is_ours) {
        return None;
    }
    Some(odd(format!(
        "{} leads to no member: a phone that knows nothing but {domain} comes to no edge by it",
        title(query)
    )))
}

fn compare(
    query: &Query,
    wanted: &[&Record],
    found: &[locate::Record],
    differences: &mut Vec<Difference>,
) {
    let title = title(query);
    let want: BTreeSet<_> = wanted.iter().map(|record| goal(&record.data)).collect();
    let have: BTreeSet<_> = found.iter().map(goal).collect();
    if have.is_empty() && !want.is_empty() {
        let list = Vec::from_iter(want).join(", ");
        differences.push(missing(format!("{title} does not exist: it needs {list}")));
        return;
    }
    let lacks = want.difference(&have);
    differences.extend(lacks.map(|one| missing(format!("{title} lacks {one}"))));
    let extra = have.difference(&want);
    let extra = extra.map(|one| odd(format!("{title} has {one}, which no member is or needs")));
    differences.extend(extra);
    differences.extend(disorder(&title, wanted, found));
}

/// The first pair of members that a phone would try in the wrong order.
fn disorder(title: &str, wanted: &[&Record], found: &[locate::Record]) -> Option<Difference> {
    let priority = |record: &locate::Record| match record {
        locate::Record::Srv { priority, .. } => Some((goal(record), *priority)),
        locate::Record::Address(_) | locate::Record::Naptr { .. } => None,
    };
    let found: Vec<_> = found.iter().filter_map(priority).collect();
    let of = |goal: &str| found.iter().find(|(one, _)| one == goal).map(|one| one.1);
    let wanted: Vec<_> = wanted
        .iter()
        .filter_map(|one| priority(&one.data))
        .collect();
    for (first, early) in &wanted {
        for (then, _) in wanted.iter().filter(|(_, late)| early < late) {
            if let (Some(early), Some(late)) = (of(first), of(then))
                && early >= late
            {
                return Some(odd(format!(
                    "{title} should lead to {first} before {then}, whose priorities are {early} and \
                     {late}: it is wrong, or the first does not answer"
                )));
            }
        }
    }
    None
}

/// What a record leads to, priorities and weights apart.
fn goal(record: &locate::Record) -> String {
    match record {
        locate::Record::Address(ip) => ip.to_string(),
        locate::Record::Naptr {
            service,
            replacement,
            ..
        } => format!("{} to {replacement}", service.to_ascii_uppercase()),
        locate::Record::Srv { port, target, .. } => format!("{target} port {port}"),
    }
}

fn answers(record: &Record, query: &Query) -> bool {
    *record.name == *query.name && kind(&record.data) == query.kind
}

const fn kind(record: &locate::Record) -> QueryType {
    match record {
        locate::Record::Address(ip) if ip.is_ipv4() => QueryType::A,
        locate::Record::Address(_) => QueryType::Aaaa,
        locate::Record::Naptr { .. } => QueryType::Naptr,
        locate::Record::Srv { .. } => QueryType::Srv,
    }
}

fn title(query: &Query) -> String {
    let kind = match query.kind {
        QueryType::A => "A",
        QueryType::Aaaa => "AAAA",
        QueryType::Naptr => "NAPTR",
        QueryType::Srv => "SRV",
    };
    format!("{kind} of {}", query.name)
}

const fn missing(says: String) -> Difference {
    let weight = Weight::Missing;
    Difference { weight, says }
}

const fn odd(says: String) -> Difference {
    let weight = Weight::Odd;
    Difference { weight, says }
}
