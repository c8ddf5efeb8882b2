//! From a question to its answer, both as bytes; nothing is kept in between.
//!
//! - REFUSED: another zone, another class than IN, a zone transfer.
//! - NXDOMAIN and NODATA come with the SOA, for negative caching (RFC 2308); a
//!   name that only has names below it exists.
//! - The question is echoed as it came, letter case included, which askers use
//!   against forgers (draft-vixie-dnsext-dns0x20).
//! - An answer that is too long for a datagram is empty and truncated.
//! - A question for ANY is answered with one set (RFC 8482 §4.1).

use std::collections::BTreeMap;
use std::net::IpAddr;

use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::{Edns, Message, Metadata, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, NS, SOA, SRV};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::limits;
use crate::locate;
use crate::zone::{self, Silent, Zone};

/// How long an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// As long as over TCP.
    Stream,
    /// As long as the asker takes, and one datagram.
    Datagram,
    /// No longer than the question: it is truncated in any case.
    Header,
}

/// Everything that can be answered.
#[derive(Debug)]
pub(super) struct Answers {
    /// The names from which on this server knows everything, with their SOA.
    origins: Vec<Record>,
    /// By name; a name without records has names below it.
    sets: BTreeMap<Name, Vec<Record>>,
}

impl Answers {
    /// The records of a cluster while these members are silent.
    pub(super) fn new(zone: &Zone, with_domains: bool, silent: Silent) -> Self {
        let mut answers = Self {
            origins: Vec::new(),
            sets: BTreeMap::new(),
        };
        let mut origins = vec![(zone.cluster(), zone.cluster_records(silent))];
        if with_domains {
            for domain in zone.domains() {
                let mut records = zone.domain_records(domain, silent);
                // For phones that ask for nothing but addresses.
                zone.addresses(domain, silent, &mut records);
                origins.push((domain, records));
            }
        }
        for (origin, records) in origins {
            // What does not fit into the wire's format is no name: `Zone` has seen to it.
            let Ok(name) = absolute(origin) else { continue };
            let servers: Vec<_> = zone
                .servers()
                .filter_map(|one| absolute(one).ok())
                .collect();
            let Some(soa) = servers.first().and_then(|first| soa(&name, first)) else {
                continue;
            };
            answers.add(&name, soa.clone());
            for server in servers {
                let data = RData::NS(NS(server));
                let ttl_s = limits::ZONE_TTL_LASTING_S;
                answers.add(&name, Record::from_rdata(name.clone(), ttl_s, data));
            }
            answers.origins.push(soa);
            for record in &records {
                if let Ok(record) = wire(record) {
                    answers.add(&name, record);
                }
            }
        }
        // The innermost first.
        answers
            .origins
            .sort_by_key(|soa| std::cmp::Reverse(soa.name.num_labels()));
        answers
    }

    /// Adds a record, and the names between it and its origin.
    fn add(&mut self, origin: &Name, record: Record) {
        let mut name = record.name.base_name();
        while origin.zone_of(&name) && name.num_labels() > origin.num_labels() {
            self.sets.entry(name.clone()).or_default();
            name = name.base_name();
        }
        self.sets
            .entry(record.name.clone())
            .or_default()
            .push(record);
    }

    /// Writes the answer to a message into `out`; false where there is none to give,
    /// to what is no question or no DNS at all.
    pub(super) fn reply(&self, question: &[u8], room: Room, out: &mut Vec<u8>) -> bool {
        out.clear();
        let Some(head) = Head::of(question) else {
            return false;
        };
        let request = head.is_question().then(|| Message::from_vec(question));
        let Some(Ok(request)) = request else {
            return written(&head.refusal(), out);
        };
        let mut answer = self.answer(&request);
        let longest = match room {
            Room::Header => return written(&answer.truncate(), out),
            Room::Stream => usize::from(u16::MAX),
            Room::Datagram => usize::from(longest(&request)),
        };
        if !written(&answer, out) {
            return false;
        }
        if out.len() > longest {
            return written(&answer.truncate(), out);
        }
        // The addresses of what was found, if they fit: who has them need not ask.
        self.add_addresses(&mut answer);
        if !answer.additionals.is_empty() {
            let mut more = Vec::new();
            if written(&answer, &mut more) && more.len() <= longest {
                *out = more;
            }
        }
        true
    }

    fn answer(&self, request: &Message) -> Message {
        let mut answer = Message::response(request.id, OpCode::Query);
        answer.metadata = Metadata::response_from_request(&request.metadata);
        let [query] = &request.queries[..] else {
            answer.metadata.response_code = ResponseCode::FormErr;
            return answer;
        };
        answer.add_query(query.clone());
        if let Some(edns) = &request.edns {
            let mut own = Edns::new();
            own.set_max_payload(limits::ZONE_DATAGRAM_MAX);
            answer.set_edns(own);
            if edns.version() > 0 {
                answer.metadata.response_code = ResponseCode::BADVERS;
                return answer;
            }
        }
        // No EDNS of theirs has a say in ours.
        let mut origins = self.origins.iter();
        let soa = origins.find(|soa| soa.name.zone_of(&query.name));
        let is_transfer = matches!(query.query_type, RecordType::AXFR | RecordType::IXFR);
        let Some(soa) = soa.filter(|_| query.query_class == DNSClass::IN && !is_transfer) else {
            answer.metadata.response_code = ResponseCode::Refused;
            return answer;
        };
        answer.metadata.authoritative = true;
        let all = self.sets.get(&query.name);
        let kind = match (query.query_type, all.and_then(|all| all.first())) {
            (RecordType::ANY, Some(first)) => first.record_type(),
            (kind, _) => kind,
        };
        let of_kind = all.into_iter().flatten();
        for record in of_kind.filter(|record| record.record_type() == kind) {
            let mut record = record.clone();
            record.name = query.name.clone();
            answer.add_answer(record);
        }
        if answer.answers.is_empty() {
            if all.is_none() {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            let mut soa = soa.clone();
            soa.ttl = limits::ZONE_TTL_NEGATIVE_S;
            answer.add_authority(soa);
        }
        answer
    }

    fn add_addresses(&self, answer: &mut Message) {
        let target = |record: &Record| {
            if let RData::SRV(srv) = &record.data {
                return Some(srv.target.clone());
            }
            if let RData::NS(ns) = &record.data {
                return Some(ns.0.clone());
            }
            None
        };
        let targets: Vec<_> = answer.answers.iter().filter_map(target).collect();
        for target in targets {
            let all = self.sets.get(&target).into_iter().flatten();
            let addresses =
                all.filter(|one| matches!(one.record_type(), RecordType::A | RecordType::AAAA));
            answer.add_additionals(addresses.cloned());
        }
    }
}

/// What the first twelve bytes say, read before anything is made of the rest.
struct Head {
    id: u16,
    opcode: u8,
    counts: [u16; 4],
}

impl Head {
    /// `None` for what is too short, or an answer.
    fn of(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; 12] = bytes.first_chunk()?;
        let [id, flags, counts @ ..] = head.as_chunks::<2>().0 else {
            return None;
        };
        let counts: &[[u8; 2]; 4] = counts.try_into().ok()?;
        let [flags, _] = *flags;
        (flags & 0x80 == 0).then(|| Self {
            id: u16::from_be_bytes(*id),
            opcode: flags >> 3 & 0x0F,
            counts: counts.map(u16::from_be_bytes),
        })
    }

    /// One question, and no more beside it than EDNS and a signature. (IXFR shows
    /// the SOA that it has.)
    fn is_question(&self) -> bool {
        let [questions, answers, authorities, additionals] = self.counts;
        self.opcode == 0 && questions == 1 && answers == 0 && authorities <= 1 && additionals <= 2
    }

    /// What is answered when nothing but the header can be trusted.
    fn refusal(&self) -> Message {
        let is_query = self.opcode == 0;
        let mut answer = Message::response(self.id, OpCode::from_u8(self.opcode));
        answer.metadata.response_code = if is_query {
            ResponseCode::FormErr
        } else {
            ResponseCode::NotImp
        };
        answer
    }
}

/// The longest datagram for who asked like that.
fn longest(request: &Message) -> u16 {
    let edns = request.edns.as_ref();
    let takes = edns.map_or(limits::ZONE_DATAGRAM, Edns::max_payload);
    takes.clamp(limits::ZONE_DATAGRAM, limits::ZONE_DATAGRAM_MAX)
}

/// False where it does not fit into any message, which no zone comes to.
fn written(message: &Message, out: &mut Vec<u8>) -> bool {
    match message.to_vec() {
        Ok(bytes) => {
            *out = bytes;
            true
        }
        Err(error) => {
            tracing::debug!(%error, "an answer of the name server cannot be written");
            false
        }
    }
}

/// Names of the zone are absolute.
fn absolute(name: &str) -> Result<Name, ProtoError> {
    let mut name = Name::from_ascii(name)?;
    name.set_fqdn(true);
    Ok(name)
}

fn soa(origin: &Name, server: &Name) -> Option<Record> {
    /// No server copies the zone from another one, so that its number says nothing,
    /// nor how often to look for a new one.
    const SERIAL: u32 = 1;
    let lasting = i32::try_from(limits::ZONE_TTL_LASTING_S).unwrap_or(i32::MAX);
    let mailbox = origin.prepend_label("hostmaster").ok()?;
    let soa = SOA::new(
        server.clone(),
        mailbox,
        SERIAL,
        lasting,
        lasting,
        lasting,
        limits::ZONE_TTL_NEGATIVE_S,
    );
    let data = RData::SOA(soa);
    let ttl_s = limits::ZONE_TTL_LASTING_S;
    Some(Record::from_rdata(origin.clone(), ttl_s, data))
}

fn wire(record: &zone::Record) -> Result<Record, ProtoError> {
    let data = match &record.data {
        locate::Record::Address(IpAddr::V4(ip)) => RData::A(A(*ip)),
        locate::Record::Address(IpAddr::V6(ip)) => RData::AAAA(AAAA(*ip)),
        locate::Record::Naptr {
            order,
            preference,
            flags,
            service,
            replacement,
        } => RData::NAPTR(NAPTR::new(
            *order,
            *preference,
            flags.as_bytes().into(),
            service.as_bytes().into(),
            Box::default(),
            absolute(replacement)?,
        )),
        locate::Record::Srv {
            priority,
            weight,
            port,
            target,
        } => RData::SRV(SRV::new(*priority, *weight, *port, absolute(target)?)),
    };
    Ok(Record::from_rdata(
        absolute(&record.name)?,
        record.ttl_s,
        data,
    ))
}

#[cfg(test)]
mod tests;
