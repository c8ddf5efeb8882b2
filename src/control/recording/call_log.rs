//! Calls and registrations as they pass a node, one line of JSON for each that ended.
//!
//! All of it follows from what the recorder has kept: messages, and the decisions about them. A
//! node tells what it has seen: an edge that took a call over in the middle knows nothing of its
//! beginning and says so by leaving it out.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde::Serialize;

use crate::config::Role;
use crate::limits;
use crate::scan::{Message, Name, scan};
use crate::time::date;
use crate::trace::{Kind, Row, Sip};
use crate::uri::Uri;

/// What is under way.
pub(super) struct CallLog {
    node: String,
    is_edge: bool,
    /// The hosts of the Record-Routes in which an edge of the cluster names itself.
    hosts: Vec<String>,
    calls: HashMap<String, Call>,
    /// The order in which they began; those that ended stand there until their turn.
    order: VecDeque<String>,
    /// REGISTERs without an answer, by Call-ID and CSeq.
    registers: HashMap<(String, u32), Call>,
    register_order: VecDeque<(String, u32)>,
    /// To which call a request belongs, by its shard and number.
    causes: HashMap<(usize, u64), String>,
    cause_order: VecDeque<(usize, u64)>,
}

#[derive(Clone, Debug, Default)]
struct Call {
    began_us: u64,
    from: String,
    to: String,
    edges: BTreeSet<String>,
    /// Its INVITE, or its REGISTER, was seen.
    is_begun: bool,
    has_credentials: bool,
    answered_us: Option<u64>,
    bye_us: Option<u64>,
    failed_over: bool,
}

/// A line.
#[derive(Debug, Serialize)]
struct Event<'a> {
    time: String,
    node: &'a str,
    kind: &'a str,
    call_id: &'a str,
    from: &'a str,
    to: &'a str,
    edges: &'a BTreeSet<String>,
    status: u16,
    reason: &'a str,
    setup_ms: Option<f64>,
    duration_ms: Option<f64>,
    failed_over: bool,
}

/// Decisions by which a request took another way than the first one.
const ANOTHER_WAY: [&str; 3] = ["stuck-equal", "stand-by", "relayed"];

impl CallLog {
    pub(super) fn new(node: &str, role: &Role) -> Self {
        let hosts = match role {
            Role::Edge(edge) => {
                let core = edge.core_name.as_ref().map(|core| core.host.clone());
                core.into_iter().chain([edge.cluster.clone()]).collect()
            }
            Role::Home(home) => host(&home.settings.edges).into_iter().collect(),
        };
        Self {
            node: node.to_owned(),
            is_edge: matches!(role, Role::Edge(_)),
            hosts,
            calls: HashMap::new(),
            order: VecDeque::new(),
            registers: HashMap::new(),
            register_order: VecDeque::new(),
            causes: HashMap::new(),
            cause_order: VecDeque::new(),
        }
    }

    /// Takes note of one row; the lines of what ended with it.
    pub(super) fn take(&mut self, row: &Row) -> Vec<String> {
        match row.kind {
            Kind::Decision => {
                self.decided(row);
                Vec::new()
            }
            Kind::In | Kind::Handed | Kind::Out => match Sip::read(&row.bytes) {
                Some(sip) => self.passed(row, &sip),
                None => Vec::new(),
            },
        }
    }

    fn decided(&mut self, row: &Row) {
        let cause = row.cause.map(|cause| (row.shard, cause));
        let call_id = cause.and_then(|cause| self.causes.get(&cause));
        if let Some(call) = call_id.and_then(|id| self.calls.get_mut(id)) {
            // A dialog that does not go by the very URI that its edge has written goes by
            // another edge; what has not begun to go anywhere has no first way.
            let is_in_dialog = call.answered_us.is_some();
            call.failed_over |= ANOTHER_WAY.contains(&row.name.as_str())
                && (is_in_dialog || row.name != "stuck-equal");
        }
    }

    fn passed(&mut self, row: &Row, sip: &Sip) -> Vec<String> {
        if sip.is_request() && row.kind == Kind::In {
            self.remember_cause(row, sip);
        }
        match (sip.method.as_str(), row.kind, sip.is_request()) {
            ("REGISTER", Kind::In, true) => {
                self.register_came(row, sip);
                Vec::new()
            }
            ("REGISTER", Kind::Out, false) => self.register_ended(row, sip),
            ("INVITE", Kind::In, true) if !sip.has_to_tag => self.call_came(row, sip),
            ("INVITE", _, false) => self.call_answered(row, sip),
            ("BYE", Kind::In, true) => self.bye_came(row, sip),
            ("BYE", Kind::Out, false) if sip.status >= 200 => self.call_over(row, sip),
            _ => {
                self.note_edges(row, sip);
                Vec::new()
            }
        }
    }

    fn remember_cause(&mut self, row: &Row, sip: &Sip) {
        let cause = (row.shard, row.number);
        self.causes.insert(cause, sip.call_id.clone());
        self.cause_order.push_back(cause);
        if self.cause_order.len() > limits::CAUSES_KEPT
            && let Some(oldest) = self.cause_order.pop_front()
        {
            self.causes.remove(&oldest);
        }
    }

    fn register_came(&mut self, row: &Row, sip: &Sip) {
        let key = (sip.call_id.clone(), sip.cseq);
        let call = Call {
            began_us: row.unix_us,
            from: sip.from.clone(),
            to: sip.to.clone(),
            edges: self.edges(row),
            is_begun: true,
            has_credentials: sip.has_credentials,
            ..Call::default()
        };
        if self.registers.insert(key.clone(), call).is_none() {
            self.register_order.push_back(key);
        }
        if self.register_order.len() > limits::CALLS_LOGGED_MAX
            && let Some(oldest) = self.register_order.pop_front()
        {
            self.registers.remove(&oldest);
        }
    }

    fn register_ended(&mut self, row: &Row, sip: &Sip) -> Vec<String> {
        if sip.status < 200 {
            return Vec::new();
        }
        let key = (sip.call_id.clone(), sip.cseq);
        let Some(mut call) = self.registers.remove(&key) else {
            return Vec::new();
        };
        // The question for credentials, or for fresh ones, is no end.
        let is_question = is_challenge(sip.status)
            && (!call.has_credentials || memchr::memmem::find(&row.bytes, b"stale=true").is_some());
        if is_question {
            return Vec::new();
        }
        self.note(&mut call, row);
        let took = millis(call.began_us, row.unix_us);
        let end = End {
            status: sip.status,
            reason: &sip.phrase,
            setup_ms: Some(took),
            duration_ms: None,
        };
        vec![self.line("registration", row.unix_us, &sip.call_id, &call, &end)]
    }

    fn call_came(&mut self, row: &Row, sip: &Sip) -> Vec<String> {
        let call = Call {
            began_us: row.unix_us,
            is_begun: true,
            has_credentials: sip.has_credentials,
            ..self.new_call(row, sip)
        };
        self.insert(&sip.call_id, call, row.unix_us)
    }

    fn new_call(&self, row: &Row, sip: &Sip) -> Call {
        Call {
            from: sip.from.clone(),
            to: sip.to.clone(),
            edges: self.edges(row),
            ..Call::default()
        }
    }

    /// Takes a call in; the line of the one that has to go for it.
    fn insert(&mut self, call_id: &str, call: Call, now_us: u64) -> Vec<String> {
        // An INVITE that is sent again, or with credentials, is the same call.
        if let Some(known) = self.calls.get_mut(call_id) {
            known.has_credentials |= call.has_credentials;
            known.add(call.edges);
            return Vec::new();
        }
        self.calls.insert(call_id.to_owned(), call);
        self.order.push_back(call_id.to_owned());
        let mut lines = Vec::new();
        while self.order.len() > limits::CALLS_LOGGED_MAX {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Some(call) = self.calls.remove(&oldest) {
                let end = End {
                    status: 0,
                    reason: "not seen to end",
                    setup_ms: None,
                    duration_ms: None,
                };
                lines.push(self.line("call", now_us, &oldest, &call, &end));
            }
        }
        lines
    }

    /// An answer to an INVITE passed: what is sent on ends a call that fails.
    fn call_answered(&mut self, row: &Row, sip: &Sip) -> Vec<String> {
        let found = self.edges(row);
        let Some(call) = self.calls.get_mut(&sip.call_id) else {
            return Vec::new();
        };
        call.add(found);
        if row.kind != Kind::Out || sip.status < 200 || call.answered_us.is_some() {
            return Vec::new();
        }
        if sip.status < 300 {
            call.answered_us = Some(row.unix_us);
            return Vec::new();
        }
        if is_challenge(sip.status) && !call.has_credentials {
            return Vec::new();
        }
        let Some(call) = self.calls.remove(&sip.call_id) else {
            return Vec::new();
        };
        let end = End {
            status: sip.status,
            reason: &sip.phrase,
            setup_ms: Some(millis(call.began_us, row.unix_us)),
            duration_ms: None,
        };
        vec![self.line("call", row.unix_us, &sip.call_id, &call, &end)]
    }

    fn bye_came(&mut self, row: &Row, sip: &Sip) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.calls.contains_key(&sip.call_id) {
            let mut call = self.new_call(row, sip);
            // Its Route names the edge that the call began by.
            call.failed_over =
                self.is_edge && !call.edges.is_empty() && !call.edges.contains(&self.node);
            lines = self.insert(&sip.call_id, call, row.unix_us);
        }
        let found = self.edges(row);
        if let Some(call) = self.calls.get_mut(&sip.call_id) {
            call.add(found);
            call.bye_us.get_or_insert(row.unix_us);
        }
        lines
    }

    fn call_over(&mut self, row: &Row, sip: &Sip) -> Vec<String> {
        // One that is to be sent again with credentials, or by another edge, is no end.
        if is_challenge(sip.status) || matches!(sip.status, 300..400 | 430) {
            return Vec::new();
        }
        let Some(mut call) = self.calls.remove(&sip.call_id) else {
            return Vec::new();
        };
        self.note(&mut call, row);
        let bye = call.bye_us.unwrap_or(row.unix_us);
        let end = End {
            status: sip.status,
            reason: "BYE",
            setup_ms: call.answered_us.map(|at| millis(call.began_us, at)),
            duration_ms: call.answered_us.map(|at| millis(at, bye)),
        };
        let end = End {
            setup_ms: end.setup_ms.filter(|_| call.is_begun),
            ..end
        };
        vec![self.line("call", row.unix_us, &sip.call_id, &call, &end)]
    }

    fn note_edges(&mut self, row: &Row, sip: &Sip) {
        let found = self.edges(row);
        if let Some(call) = self.calls.get_mut(&sip.call_id) {
            call.add(found);
        }
    }

    fn note(&self, call: &mut Call, row: &Row) {
        call.add(self.edges(row));
    }

    /// The edges of the cluster that a message names: what stands behind `gunk=`, up to the mark, in
    /// its Route and Record-Route values whose host is the cluster's. A phone may write such a
    /// value too, and nothing else of a message counts.
    fn edges(&self, row: &Row) -> BTreeSet<String> {
        let bytes = &row.bytes[..];
        let mut message = Message::default();
        if memchr::memmem::find(bytes, GUNK).is_none() || scan(bytes, &mut message).is_err() {
            return BTreeSet::new();
        }
        let values = [Name::RecordRoute, Name::Route].map(|name| message.values(bytes, name));
        let names = values
            .into_iter()
            .flatten()
            .filter_map(|span| self.edge(span.of(bytes)));
        names.collect()
    }

    /// The edge that a value names.
    fn edge(&self, value: &[u8]) -> Option<String> {
        let value = std::str::from_utf8(value).ok()?;
        let uri = value.split_once('<')?.1.split_once('>')?.0;
        let host = host(uri)?;
        let (_, rest) = uri.split_once(";gunk=")?;
        let name = rest.split(['.', ';', '?']).next()?;
        let is_ours = self.hosts.iter().any(|one| one.eq_ignore_ascii_case(&host));
        (is_ours && !name.is_empty()).then(|| name.to_owned())
    }

    /// The edges that it is known to have passed: an edge that tells of it is one.
    fn with_itself(&self, call: &Call) -> BTreeSet<String> {
        let own = self.is_edge.then(|| self.node.clone());
        call.edges.iter().cloned().chain(own).collect()
    }

    fn line(&self, kind: &str, at_us: u64, call_id: &str, call: &Call, end: &End<'_>) -> String {
        let event = Event {
            time: time(at_us),
            node: &self.node,
            kind,
            call_id,
            from: &call.from,
            to: &call.to,
            edges: &self.with_itself(call),
            status: end.status,
            reason: end.reason,
            setup_ms: end.setup_ms,
            duration_ms: end.duration_ms,
            failed_over: call.failed_over,
        };
        // Every part of it can be written.
        serde_json::to_string(&event).unwrap_or_default()
    }
}

impl Call {
    /// Adds edges; more than `limits::EDGES_LOGGED_MAX` are left out.
    fn add(&mut self, edges: BTreeSet<String>) {
        for edge in edges {
            if self.edges.len() < limits::EDGES_LOGGED_MAX {
                self.edges.insert(edge);
            }
        }
    }
}

/// How something ended.
struct End<'a> {
    status: u16,
    reason: &'a str,
    setup_ms: Option<f64>,
    duration_ms: Option<f64>,
}

const fn is_challenge(status: u16) -> bool {
    matches!(status, 401 | 407)
}

/// `2026-11-30T12:00:00.123Z`.
fn time(unix_us: u64) -> String {
    let text = date(unix_us / 1_000_000);
    let text = text.trim_end_matches(" UTC").replace(' ', "T");
    format!("{text}.{:03}Z", unix_us / 1_000 % 1_000)
}

fn millis(from_us: u64, to_us: u64) -> f64 {
    let micros = u32::try_from(to_us.saturating_sub(from_us) / 100).unwrap_or(u32::MAX);
    f64::from(micros) / 10.0
}

/// What an edge names itself behind.
const GUNK: &[u8] = b";gunk=";

/// The host of a URI.
fn host(uri: &str) -> Option<String> {
    let bytes = uri.as_bytes();
    let host = Uri::of(bytes).ok()?.host.of(bytes);
    Some(String::from_utf8_lossy(host).into_owned())
}

#[cfg(test)]
mod tests;
