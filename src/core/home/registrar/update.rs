//! What a REGISTER changes: the bindings of its address of record, and what sticks to the
//! flow it came on.

use std::net::IpAddr;

use super::answer::write_list;
use super::contact::{Lifetime, ParsedContact, is_secure_throughout};
use crate::error::Malformed;
use crate::home::location::{ChangeKind, ChangeOrigin};
use crate::home::rules::{self, Arrival, Outbound, OutboundOffer};
use crate::home::state::Home;
use crate::home::{Binding, Change, Conflict, Register};
use crate::limits;
use crate::proxy::{Net, Pass, Plan, Reply, Request, Step};
use crate::recorder::Decision;
use crate::scan::Name;
use crate::scan::address::Address;
use crate::span::Span;
use crate::stick::Source;
use crate::time::{Duration, Instant};
use crate::uri::{Uri, host_ip};

impl Home {
    /// Applies the Contacts to the address of record in the plan, behind which it
    /// leaves the Path. True when RFC 5626 governs the binding that was made.
    pub(super) fn update(&mut self, pass: &mut Pass<'_, '_>) -> Result<bool, Reply> {
        let Pass {
            net,
            now,
            request,
            plan,
            ..
        } = pass;
        let step = &mut Step::new(net, *now);
        let Plan { lines, text, .. } = &mut **plan;
        let request = *request;
        let (bytes, message) = (request.bytes, request.message);
        // The Path values in one piece, as a binding stores them.
        let end = text.len();
        write_list(bytes, message.values(bytes, Name::Path), text);
        let (aor, path) = text.split_at(end);
        let call_id = message
            .first(Name::CallId)
            .map(|header| header.value.of(bytes))
            .unwrap_or_default();
        let expires = message.number(bytes, Name::Expires);
        let mut values = message.values(bytes, Name::Contact);
        let Some(first) = values.next() else {
            return Ok(false);
        };
        if first.of(bytes) == b"*" {
            if expires != Ok(Some(0)) || values.next().is_some() {
                let reason = "Contact * Needs Expires 0 And Stands Alone";
                return Err(Reply::new(400, reason));
            }
            self.clear(step, aor, call_id, message.cseq())?;
            return Ok(false);
        }
        let values = std::iter::once(first).chain(values);
        let mut params = Vec::with_capacity(128);
        let mut contacts =
            self.read_contacts(step.net, request, values, expires, &mut params, lines)?;
        let mut outbound = false;
        for contact in &mut contacts {
            outbound |= self.decide_outbound(request, contact)?;
        }
        let changes: Vec<Change<'_>> = contacts
            .iter()
            .map(|contact| contact.change(bytes, &params))
            .collect();
        if !rules::has_one_flow(&changes) {
            return Err(Reply::new(400, "One REGISTER Makes One Flow"));
        }
        let register = Register {
            call_id,
            cseq: message.cseq(),
            path,
            flow: Some(request.ingress.flow),
        };
        self.apply(step, request, aor, &register, &contacts, &changes)?;
        Ok(outbound)
    }

    /// Removes all bindings of an address of record.
    fn clear(
        &mut self,
        step: &mut Step<'_>,
        aor: &[u8],
        call_id: &[u8],
        cseq: u32,
    ) -> Result<(), Reply> {
        let before = self.before(step.now, aor);
        let cleared = self.location.clear(step.now, aor, call_id, cseq);
        cleared.map_err(reply_of)?;
        let origin = ChangeOrigin {
            kind: ChangeKind::Clear,
            call_id,
            cseq,
        };
        self.store_change(step, aor, origin, before);
        Ok(())
    }

    /// Applies changes to the bindings of an address of record, and all that follows from them:
    /// what the Path and the dialogs of phones that moved are bound to, and the store.
    fn apply(
        &mut self,
        step: &mut Step<'_>,
        request: &Request<'_>,
        aor: &[u8],
        register: &Register<'_>,
        contacts: &[ParsedContact],
        changes: &[Change<'_>],
    ) -> Result<(), Reply> {
        let left = self.bindings_of_other_flows(step.now, aor, request.ingress.flow, changes);
        let before = self.before(step.now, aor);
        let applied = self.location.apply(step.now, aor, register, changes);
        // A retransmission: the first one was carried out, stored and shared.
        if applied == Err(Conflict::Repeated) {
            return Ok(());
        }
        applied.map_err(reply_of)?;
        self.bind_path(step, request, contacts, aor);
        if !left.is_empty() {
            self.move_dialogs(step, aor, &left);
        }
        let origin = ChangeOrigin {
            kind: ChangeKind::Register,
            call_id: register.call_id,
            cseq: register.cseq,
        };
        self.store_change(step, aor, origin, before);
        Ok(())
    }

    /// The bindings that a change may have to be taken back to, and is told from.
    fn before(&self, now: Instant, aor: &[u8]) -> Vec<Binding> {
        match self.settings.is_durable || self.settings.is_shared {
            true => self.location.bindings(now, aor).cloned().collect(),
            false => Vec::new(),
        }
    }

    /// Hands over the row of a change, which may be taken back until it is on disk.
    fn store_change(
        &mut self,
        step: &mut Step<'_>,
        aor: &[u8],
        origin: ChangeOrigin<'_>,
        before: Vec<Binding>,
    ) {
        self.store(step, aor);
        if self.settings.is_shared {
            self.put_out_change(step, aor, origin, &before);
        }
        if self.settings.is_durable {
            self.tentative.push(aor, before);
        }
    }

    /// Reads the Contacts, with what the Expires header says, and refuses those that lead
    /// where they may not. Their parameters are appended to `params`.
    fn read_contacts(
        &self,
        net: &mut Net,
        request: &Request<'_>,
        values: impl Iterator<Item = Span>,
        expires: Result<Option<u32>, Malformed>,
        params: &mut Vec<u8>,
        lines: &mut Vec<u8>,
    ) -> Result<Vec<ParsedContact>, Reply> {
        let bytes = request.bytes;
        // One random number for all of them: they are renewed together.
        let lifetime = Lifetime {
            default_s: expires.ok().flatten(),
            chance: net.secrets.chance(),
        };
        let mut contacts = Vec::with_capacity(1);
        for value in values.take(limits::VALUES_MAX) {
            let contact = ParsedContact::parse(bytes, value, lifetime, params, lines)?;
            // A malformed header does no harm where each contact has an `expires` of its own.
            if expires.is_err() && contact.address.param(bytes, "expires").is_none() {
                return Err(Reply::new(400, "Malformed Expires"));
            }
            contacts.push(contact);
        }
        if !request.ingress.principal.is_cluster_node()
            && self.has_contact_at_edges(request, &contacts)
        {
            net.counters.not_allowed += 1;
            return Err(Reply::new(403, "Only Who Is There Is Called There"));
        }
        if !is_secure_throughout(request, &contacts) {
            return Err(Reply::new(400, "SIPS Contact Without SIPS All The Way"));
        }
        Ok(contacts)
    }

    /// Whether a phone that would be called by its Contact names an address of the edges
    /// there which is not its own. It may share one with an edge, as behind one address
    /// translation; from anywhere else it would have us try the ports of the edges.
    fn has_contact_at_edges(&self, request: &Request<'_>, contacts: &[ParsedContact]) -> bool {
        let (bytes, source) = (request.bytes, request.ingress.source.ip().to_canonical());
        let is_edge = |ip: IpAddr| self.settings.has_edge_at(ip) && ip.to_canonical() != source;
        let leads_to_edge = |contact: &ParsedContact| {
            host_ip(contact.uri.target(bytes).of(bytes)).is_some_and(is_edge)
        };
        request.message.first(Name::Path).is_none() && contacts.iter().any(leads_to_edge)
    }

    /// Whether RFC 5626 governs a contact (O-12, O-13); its reg-id is taken away where not.
    fn decide_outbound(
        &self,
        request: &Request<'_>,
        contact: &mut ParsedContact,
    ) -> Result<bool, Reply> {
        let (bytes, message) = (request.bytes, request.message);
        let first_hop = message.values(bytes, Name::Path).last();
        let keeps_flows = first_hop.is_some_and(|value| {
            Uri::in_value(bytes, value).is_ok_and(|uri| {
                uri.param(bytes, "ob").is_some() || uri.param(bytes, "keepalive").is_some()
            })
        });
        let arrival = match (first_hop.is_some(), keeps_flows) {
            (_, true) => Arrival::OutboundProxy,
            (false, false) if request.is_first_hop() => Arrival::Direct,
            (_, false) => Arrival::PlainProxy,
        };
        // RFC 3261 §20.32: who requires it is not served without it.
        let requires = message.has_token(bytes, Name::Require, "outbound");
        let offer = OutboundOffer {
            reg_id: contact.reg_id,
            has_instance: contact.instance.is_some(),
            is_supported: message.has_token(bytes, Name::Supported, "outbound"),
            arrival,
        };
        match offer.decide() {
            Outbound::Used => Ok(true),
            Outbound::FirstHopLacks if self.settings.requires_outbound || requires => {
                Err(Reply::new(439, "First Hop Lacks Outbound Support"))
            }
            Outbound::Ignored | Outbound::FirstHopLacks => {
                contact.reg_id = None;
                Ok(false)
            }
        }
    }

    /// Binds the topmost Path URI to the flow the REGISTER came on (S-4), and the
    /// Paths of a phone with several flows to all of them.
    fn bind_path(
        &mut self,
        step: &mut Step<'_>,
        request: &Request<'_>,
        contacts: &[ParsedContact],
        aor: &[u8],
    ) {
        let bytes = request.bytes;
        let lifetimes = contacts.iter().map(|contact| contact.expires_s);
        let longest_s = lifetimes.max().unwrap_or(0);
        let top = request.message.values(bytes, Name::Path).next();
        let top = top.and_then(|value| Address::parse(bytes, value).ok());
        // A REGISTER that only removes contacts leaves the Path as it is bound.
        if let Some(top) = top
            && longest_s > 0
        {
            let until = step.now + Duration::from_secs(longest_s.into());
            step.net
                .decided_on(request.ingress.flow, Decision::Registered);
            self.bind(
                step,
                request.ingress.flow,
                top.uri.of(bytes),
                Source::Path,
                until,
            );
        }
        if contacts.iter().any(|contact| contact.reg_id.is_some()) {
            self.bind_sibling_flows(step, aor);
        }
    }
}

fn reply_of(conflict: Conflict) -> Reply {
    let (status, reason) = conflict.answer();
    Reply::new(status, reason)
}
