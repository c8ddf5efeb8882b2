//! Asking the DNS. What to ask and what it means is `locate::walk`; here a
//! query becomes a message, and an answer becomes records with their TTLs.
//!
//! Nothing is kept here: the shards know for how long an answer is good.

use std::net::SocketAddr;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::io::{DnsRequest, Order, Orders};
use crate::limits;
use crate::locate::{LookupId, Query, QueryType, Question, Record, Records, Set, WalkStep, walk};

/// Answers the questions of the shards for as long as there are any shards, by asking the name
/// servers that are configured at the time; none: those of the system.
pub(super) async fn serve(
    mut questions: Receiver<DnsRequest>,
    mut servers: watch::Receiver<Vec<SocketAddr>>,
    shards: &[Orders],
) {
    let mut asked = resolver(&servers.borrow_and_update());
    let mut asking: JoinSet<(usize, LookupId, Records)> = JoinSet::new();
    loop {
        tokio::select! {
            request = questions.recv(), if asking.len() < limits::DNS_QUESTIONS_MAX => {
                let Some(DnsRequest { shard, name, question }) = request else {
                    return std::future::pending().await;
                };
                let resolver = asked.clone();
                asking.spawn(async move { (shard, name, answer(resolver, &question).await) });
            }
            Ok(()) = servers.changed() => {
                asked = resolver(&servers.borrow_and_update());
            }
            Some(Ok((shard, name, records))) = asking.join_next() => {
                if let Some(shard) = shards.get(shard) {
                    let records = Box::new(records);
                    shard.give(Order::Resolved { name, records });
                }
            }
        }
    }
}

/// Asks the name servers, or those of the system, for all of these; in their order.
///
/// # Errors
/// When there can be no sockets.
pub fn look_up(servers: &[SocketAddr], queries: &[Query]) -> std::io::Result<Vec<(Query, Set)>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let resolver = resolver(servers);
        let mut found = Vec::new();
        for round in queries.chunks(limits::ZONE_CHECKED_AT_ONCE) {
            let lookups = round.iter().map(|query| {
                let (resolver, query) = (resolver.clone(), query.clone());
                tokio::spawn(async move { (look_up_records(resolver, &query).await, query) })
            });
            for lookup in lookups.collect::<Vec<_>>() {
                let (set, query) = lookup.await?;
                found.push((query, set));
            }
        }
        Ok(found)
    })
}

fn resolver(servers: &[SocketAddr]) -> Option<TokioResolver> {
    let builder = if servers.is_empty() {
        TokioResolver::builder_tokio()
    } else {
        let servers = servers.iter().map(name_server).collect();
        let config = ResolverConfig::from_name_servers(servers);
        let provider = TokioRuntimeProvider::default();
        Ok(Resolver::builder_with_config(config, provider))
    };
    let resolver = builder.and_then(|mut builder| {
        bound(builder.options_mut());
        builder.build()
    });
    match resolver {
        Ok(resolver) => Some(resolver),
        Err(why) => {
            tracing::warn!(
                "no name can be resolved: the system's name servers are not known ({why}); list them in [dns] `servers`"
            );
            None
        }
    }
}

/// The shards keep what was found, for as long as it is good.
fn bound(options: &mut ResolverOpts) {
    (options.timeout, options.attempts) = limits::DNS_QUERY;
    options.cache_size = 0;
}

fn name_server(addr: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = addr.port();
        connection
    });
    NameServerConfig::new(addr.ip(), true, connections.into())
}

/// Asks what the walk wants until it has all it needs. What is missing when the
/// time is over has failed.
async fn answer(resolver: Option<TokioResolver>, question: &Question) -> Records {
    let mut records = Records::default();
    let search = async {
        for _ in 0..limits::DNS_QUERIES_MAX.1 {
            let WalkStep::Missing(queries) = walk(question, &records) else {
                return;
            };
            let mut round = JoinSet::new();
            for query in queries.into_iter().take(limits::DNS_QUERIES_MAX.0) {
                let resolver = resolver.clone();
                round.spawn(async move {
                    let set = look_up_records(resolver, &query).await;
                    (query, set)
                });
            }
            while let Some(Ok((query, set))) = round.join_next().await {
                records.add(query, set);
            }
        }
    };
    if tokio::time::timeout(limits::DNS_ANSWER_MAX, search)
        .await
        .is_err()
    {
        tracing::warn!(name = &*question.name, "the DNS does not answer");
    }
    records
}

async fn look_up_records(resolver: Option<TokioResolver>, query: &Query) -> Set {
    let kind = match query.kind {
        QueryType::A => RecordType::A,
        QueryType::Aaaa => RecordType::AAAA,
        QueryType::Naptr => RecordType::NAPTR,
        QueryType::Srv => RecordType::SRV,
    };
    let (Some(resolver), Ok(mut name)) = (resolver, Name::from_utf8(&query.name)) else {
        return Set::Failed;
    };
    // No search list: a name in a URI is a whole name.
    name.set_fqdn(true);
    match resolver.lookup(name, kind).await {
        Ok(lookup) => found(lookup.answers(), query.kind),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Set::Nothing {
            ttl_s: none.negative_ttl.unwrap_or_else(negative_ttl_s),
        },
        Err(why) => {
            tracing::debug!(name = &*query.name, %why, "a DNS query failed");
            Set::Failed
        }
    }
}

fn negative_ttl_s() -> u32 {
    u32::try_from(limits::DNS_NEGATIVE_MAX.as_secs()).unwrap_or(u32::MAX)
}

/// The records of the kind asked for, and the shortest of all TTLs on the way
/// to them (CNAME).
fn found(answers: &[hickory_resolver::proto::rr::Record], kind: QueryType) -> Set {
    let records: Vec<_> = answers
        .iter()
        .filter_map(|answer| record(&answer.data, kind))
        .collect();
    let ttl_s = answers.iter().map(|answer| answer.ttl).min();
    match ttl_s {
        Some(ttl_s) if !records.is_empty() => Set::Found { records, ttl_s },
        Some(_) | None => Set::Nothing {
            ttl_s: negative_ttl_s(),
        },
    }
}

fn record(data: &RData, kind: QueryType) -> Option<Record> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
    match (data, kind) {
        (RData::A(a), QueryType::A) => Some(Record::Address(a.0.into())),
        (RData::AAAA(aaaa), QueryType::Aaaa) => Some(Record::Address(aaaa.0.into())),
        (RData::SRV(srv), QueryType::Srv) => Some(Record::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: plain(&srv.target),
        }),
        (RData::NAPTR(naptr), QueryType::Naptr) => Some(Record::Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: text(&naptr.flags),
            service: text(&naptr.services),
            replacement: plain(&naptr.replacement),
        }),
        _ => None,
    }
}

/// In lower case, without the last dot.
fn plain(name: &Name) -> Box<str> {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').unwrap_or(&text).into()
}
