//! The procedure of RFC 3263 §4 over the records known so far.
//!
//! Beyond the RFC: a NAPTR or SRV query that fails is taken for an empty one,
//! since resolvers that cannot carry these types are common, and the answer is
//! then kept for `limits::DNS_RETRY` only; NAPTR records without any service of
//! SIP (ENUM has them) count as none.

use std::net::SocketAddr;

use super::{Query, QueryType, Question, Record, Records, Server, Set, is_unicast};
use crate::id::Transport;
use crate::limits;

/// Per transport: the service of its NAPTR records and the front of the name
/// of its SRV records, in the order in which they are tried without NAPTR.
const SERVICES: [(Transport, &str, &str); 3] = [
    (Transport::Udp, "SIP+D2U", "_sip._udp."),
    (Transport::Tcp, "SIP+D2T", "_sip._tcp."),
    (Transport::Tls, "SIPS+D2T", "_sips._tcp."),
];

/// How far the records lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkStep {
    /// These queries are to be answered first.
    Missing(Vec<Query>),
    /// To the end.
    Done(Found),
}

/// The end of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The servers by rank; at most `limits::DNS_SERVERS_MAX`.
    pub servers: Vec<Server>,
    /// How long that is good, in seconds: the shortest of all answers used.
    pub ttl_s: u32,
    /// A query failed: without servers nothing is known.
    pub failed: bool,
}

struct Walk<'a> {
    question: &'a Question,
    records: &'a Records,
    missing: Vec<Query>,
    servers: Vec<Server>,
    /// Targets seen so far.
    targets: u8,
    ttl_s: u32,
    failed: bool,
}

/// Goes as far as the records lead.
#[must_use]
pub fn walk(question: &Question, records: &Records) -> WalkStep {
    let mut walk = Walk {
        question,
        records,
        missing: Vec::new(),
        servers: Vec::new(),
        targets: 0,
        ttl_s: u32::MAX,
        failed: false,
    };
    walk.run();
    if !walk.missing.is_empty() {
        return WalkStep::Missing(walk.missing);
    }
    walk.servers.sort_by_key(|server| server.rank);
    walk.servers.truncate(limits::DNS_SERVERS_MAX);
    WalkStep::Done(Found {
        servers: walk.servers,
        ttl_s: walk.ttl_s,
        failed: walk.failed,
    })
}

impl<'a> Walk<'a> {
    fn run(&mut self) {
        let question = self.question;
        if let Some(port) = question.port {
            // N-6
            return self.by_address(port);
        }
        if let Some(transport) = question.transport {
            // N-3
            if !self.by_services(&[transport]) {
                self.by_address(transport.default_port());
            }
            return;
        }
        let Some(naptr) = self.records(&question.name, QueryType::Naptr) else {
            return;
        };
        if naptr.iter().any(is_of_sip) {
            return self.by_naptr(naptr);
        }
        // N-5
        let all = SERVICES.map(|(transport, ..)| transport);
        if !self.by_services(&all) {
            self.by_address(self.default_transport().default_port());
        }
    }

    /// N-4: the services that we speak, by order and preference.
    fn by_naptr(&mut self, naptr: &[Record]) {
        let mut usable: Vec<(u16, u16, Transport, &str)> = Vec::new();
        for record in naptr {
            if let Record::Naptr {
                order,
                preference,
                flags,
                service,
                replacement,
            } = record
                && flags.eq_ignore_ascii_case("s")
                && let Some(transport) = self.transport_of(service)
            {
                usable.push((*order, *preference, transport, replacement));
            }
        }
        usable.sort_unstable_by_key(|&(order, preference, ..)| (order, preference));
        for (index, (_, _, transport, name)) in (0..).zip(usable) {
            self.by_srv(index, transport, name);
        }
    }

    /// N-5: SRV per transport; false when there are no such records at all.
    fn by_services(&mut self, transports: &[Transport]) -> bool {
        let mut any = false;
        for (index, (transport, _, front)) in (0..).zip(SERVICES) {
            if transports.contains(&transport) && self.question.may_use(transport) {
                let name = format!("{front}{}", self.question.name);
                any |= self.by_srv(index, transport, &name);
            }
        }
        any
    }

    /// True when there are records, or none is known yet.
    fn by_srv(&mut self, index: u32, transport: Transport, name: &str) -> bool {
        let Some(records) = self.records(name, QueryType::Srv) else {
            return true;
        };
        for record in records {
            if let Record::Srv {
                priority,
                weight,
                port,
                target,
            } = record
                && !target.is_empty()
                && *port != 0
            {
                let rank = index << 16 | u32::from(*priority);
                self.addresses(target, transport, *port, (rank, *weight));
            }
        }
        !records.is_empty()
    }

    /// The name itself has the addresses.
    fn by_address(&mut self, port: u16) {
        let transport = self
            .question
            .transport
            .unwrap_or_else(|| self.default_transport());
        let question = self.question;
        self.addresses(&question.name, transport, port, (0, 0));
    }

    /// N-11: all addresses of a target that we can reach.
    fn addresses(&mut self, name: &str, transport: Transport, port: u16, at: (u32, u16)) {
        if usize::from(self.targets) >= limits::DNS_TARGETS_MAX {
            return;
        }
        let target = self.targets;
        self.targets += 1;
        let spoken = self.question.transports;
        let kinds = [
            (QueryType::Aaaa, spoken.v6(transport)),
            (QueryType::A, spoken.v4(transport)),
        ];
        for (kind, _) in kinds.into_iter().filter(|(_, reached)| *reached) {
            for record in self.records(name, kind).unwrap_or_default() {
                if let Record::Address(ip) = record
                    && is_unicast(*ip)
                {
                    self.servers.push(Server {
                        transport,
                        addr: SocketAddr::new(*ip, port),
                        rank: at.0,
                        weight: at.1,
                        target,
                    });
                }
            }
        }
    }

    /// The records of a query: empty where there are none, `None` when it is
    /// still to be asked.
    fn records(&mut self, name: &str, kind: QueryType) -> Option<&'a [Record]> {
        let Some(set) = self.records.find(name, kind) else {
            let name = name.into();
            let query = Query { name, kind };
            if !self.missing.contains(&query) {
                self.missing.push(query);
            }
            return None;
        };
        let (records, ttl_s) = match set {
            Set::Found { records, ttl_s } => (&records[..], *ttl_s),
            Set::Nothing { ttl_s } => (&[][..], *ttl_s),
            Set::Failed => {
                self.failed = true;
                (&[][..], u32::MAX)
            }
        };
        self.ttl_s = self.ttl_s.min(ttl_s);
        Some(records)
    }

    /// What a URI that says nothing else means (§4.1), as far as it is spoken.
    fn default_transport(&self) -> Transport {
        let mut all = SERVICES.into_iter().map(|(transport, ..)| transport);
        all.find(|transport| self.question.may_use(*transport))
            .unwrap_or(Transport::Udp)
    }

    /// The transport of a NAPTR service, if we speak it.
    fn transport_of(&self, service: &str) -> Option<Transport> {
        let mut all = SERVICES.into_iter();
        let (transport, ..) = all.find(|(_, known, _)| known.eq_ignore_ascii_case(service))?;
        self.question.may_use(transport).then_some(transport)
    }
}

fn is_of_sip(record: &Record) -> bool {
    matches!(record, Record::Naptr { service, .. }
        if service.len() > 3 && service.as_bytes()[..3].eq_ignore_ascii_case(b"SIP"))
}

#[cfg(test)]
mod tests;
