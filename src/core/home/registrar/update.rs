//! What a REGISTER changes: the bindings of its address of record, and what sticks to the
//! flow it came on.

use std::net::IpAddr;

use super::answer::join;
use super::contact::{Lifetime, ParsedContact, is_secure_throughout, parse_contact};
use crate::error::Malformed;
use crate::home::rules::{self, Outbound, Shown, Way};
use crate::home::state::Home;
use crate::home::{Change, Conflict, Register};
use crate::limits;
use crate::proxy::{Net, Pass, Plan, Reply, Request, Step};
use crate::scan::Name;
use crate::scan::address::Address;
use crate::span::Span;
use crate::stick::Source;
use crate::time::Duration;
use crate::uri::{Uri, host_ip};

impl Home {
    /// Applies the Contacts to the address of record in the plan, behind which it
    /// leaves the Path. True: RFC 5626 governs the binding made.
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
        // As it is filed, in one piece.
        let end = text.len();
        join(bytes, message.values(bytes, Name::Path), text);
        let (aor, path) = text.split_at(end);
        let call_id = message
            .first(Name::CallId)
            .map(|header| header.value.of(bytes))
            .unwrap_or_default();
        let expires = message.number(bytes, Name::Expires);
        let mut contacts = message.values(bytes, Name::Contact);
        let Some(first) = contacts.next() else {
            return Ok(false);
        };
        if first.of(bytes) == b"*" {
            if expires != Ok(Some(0)) || contacts.next().is_some() {
                return Err(Reply::new(
                    400,
                    "Contact * Needs Expires 0 And Stands Alone",
                ));
            }
            let cleared = self.location.clear(step.now, aor, call_id, message.cseq());
            cleared.map_err(reply_of)?;
            self.store(step, aor);
            return Ok(false);
        }
        let contacts = std::iter::once(first).chain(contacts);
        let mut params = Vec::with_capacity(128);
        let mut asked =
            self.read_contacts(step.net, request, contacts, expires, &mut params, lines)?;
        let mut outbound = false;
        for asked in &mut asked {
            outbound |= self.outbound(request, asked)?;
        }
        let changes: Vec<Change<'_>> = asked
            .iter()
            .map(|asked| asked.change(bytes, &params))
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
        let flow = request.ingress.flow;
        let left = self.to_be_left(step.now, aor, flow, &changes);
        let applied = self.location.apply(step.now, aor, &register, &changes);
        // It was carried out and stored, and everybody was told.
        if applied == Err(Conflict::Repeated) {
            return Ok(outbound);
        }
        applied.map_err(reply_of)?;
        self.stick_path(step, request, &asked, aor);
        if !left.is_empty() {
            self.follow(step, aor, &left);
        }
        self.store(step, aor);
        Ok(outbound)
    }

    /// Reads the Contacts, with what the Expires header says; their parameters go to
    /// `params`.
    fn read_contacts(
        &self,
        net: &mut Net,
        request: &Request<'_>,
        contacts: impl Iterator<Item = Span>,
        expires: Result<Option<u32>, Malformed>,
        params: &mut Vec<u8>,
        lines: &mut Vec<u8>,
    ) -> Result<Vec<ParsedContact>, Reply> {
        let bytes = request.bytes;
        // One chance for all of them: they are renewed together.
        let lasts = Lifetime {
            default_s: expires.ok().flatten(),
            chance: net.secrets.chance(),
        };
        let mut asked = Vec::with_capacity(1);
        for value in contacts.take(limits::VALUES_MAX) {
            let one = parse_contact(bytes, value, lasts, params, lines)?;
            // Who says it at the Contact has said it.
            if expires.is_err() && one.address.param(bytes, "expires").is_none() {
                return Err(Reply::new(400, "Malformed Expires"));
            }
            asked.push(one);
        }
        if !request.ingress.principal.is_cluster_node() && self.is_called_at_edges(request, &asked)
        {
            net.counters.not_allowed += 1;
            return Err(Reply::new(403, "Only Who Is There Is Called There"));
        }
        if !is_secure_throughout(request, &asked) {
            return Err(Reply::new(400, "SIPS Contact Without SIPS All The Way"));
        }
        Ok(asked)
    }

    /// Whether a Contact by which the phone would be called names an address of the
    /// edges that the phone itself has not: it may share one, as behind one address
    /// translation, but nobody else has us try the ports there.
    fn is_called_at_edges(&self, request: &Request<'_>, asked: &[ParsedContact]) -> bool {
        let (bytes, source) = (request.bytes, request.ingress.source.ip().to_canonical());
        let is_edge = |ip: IpAddr| self.settings.has_edge_at(ip) && ip.to_canonical() != source;
        let leads =
            |asked: &ParsedContact| host_ip(asked.uri.target(bytes).of(bytes)).is_some_and(is_edge);
        request.message.first(Name::Path).is_none() && asked.iter().any(leads)
    }

    /// O-12, O-13: whether outbound governs a contact; takes its reg-id away
    /// where not.
    fn outbound(&self, request: &Request<'_>, asked: &mut ParsedContact) -> Result<bool, Reply> {
        let (bytes, message) = (request.bytes, request.message);
        let first_hop = message.values(bytes, Name::Path).last();
        let keeps_flows = first_hop.is_some_and(|value| {
            Uri::in_value(bytes, value).is_ok_and(|uri| {
                uri.param(bytes, "ob").is_some() || uri.param(bytes, "keepalive").is_some()
            })
        });
        let way = match (first_hop.is_some(), keeps_flows) {
            (_, true) => Way::Flow,
            (false, false) if request.is_first_hop() => Way::Direct,
            (_, false) => Way::Plain,
        };
        let supported = message.has_token(bytes, Name::Supported, "outbound");
        // RFC 3261 §20.32: who requires it is not served without it.
        let requires = message.has_token(bytes, Name::Require, "outbound");
        let shown = Shown {
            reg_id: asked.reg_id,
            instance: asked.instance.is_some(),
            supported,
            way,
        };
        match shown.outbound() {
            Outbound::Used => Ok(true),
            Outbound::FirstHopLacks if self.settings.requires_outbound || requires => {
                Err(Reply::new(439, "First Hop Lacks Outbound Support"))
            }
            Outbound::Ignored | Outbound::FirstHopLacks => {
                asked.reg_id = None;
                Ok(false)
            }
        }
    }

    /// S-4: the topmost Path URI sticks to the flow the REGISTER came on; and the
    /// Paths of a phone with several flows to all of them.
    fn stick_path(
        &mut self,
        step: &mut Step<'_>,
        request: &Request<'_>,
        asked: &[ParsedContact],
        aor: &[u8],
    ) {
        let bytes = request.bytes;
        let seconds = asked.iter().map(|asked| asked.expires_s).max().unwrap_or(0);
        let top = request.message.values(bytes, Name::Path).next();
        let top = top.and_then(|value| Address::parse(bytes, value).ok());
        if let Some(top) = top
            && seconds > 0
        {
            let until = step.now + Duration::from_secs(seconds.into());
            self.bind(
                step,
                request.ingress.flow,
                top.uri.of(bytes),
                Source::Path,
                until,
            );
        }
        if asked.iter().any(|asked| asked.reg_id.is_some()) {
            self.bind_sibling_flows(step, aor);
        }
    }
}

fn reply_of(conflict: Conflict) -> Reply {
    let (status, reason) = conflict.answer();
    Reply::new(status, reason)
}
