//! REGISTER at the home: redirect to the edges, challenge, bind, answer
//! (D-H1, D-H8; RFC 3261 §10.3, RFC 3327, 3608, 5626 §6).

use std::net::IpAddr;

use super::authenticate::As;
use super::policy::Home;
use super::rules::{self, Outbound, Shown, Way};
use super::{Change, Conflict, Redirect, Register};
use crate::edit::decimal;
use crate::error::Malformed;
use crate::limits;
use crate::pacing;
use crate::proxy::{Net, Pass, Plan, Reply, Request, Step, Verdict, shows_loose};
use crate::scan::Name;
use crate::scan::address::Address;
use crate::span::Span;
use crate::stick::Source;
use crate::time::{Duration, Instant};
use crate::uri::{Uri, host_ip, is_sips, same_host};

/// One Contact of a REGISTER, before it becomes a `Change`.
#[derive(Clone, Copy, Debug)]
struct ParsedContact {
    address: Address,
    uri: Uri,
    instance: Option<Span>,
    reg_id: Option<u32>,
    q: u16,
    expires_s: u32,
    /// Its parameters as they are echoed, in the text of all of them.
    params: (usize, usize),
}

impl Home {
    /// Serves a REGISTER.
    pub(super) fn register(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        let request = pass.request;
        let from_edge = request.ingress.principal.is_cluster_node();
        if !from_edge && self.redirects(request) {
            // D-H1, D-H3: before anything is created.
            self.note_unrecognised(&mut pass.step(), request);
            for part in ["Contact: <", &self.settings.edges, ">\r\n"] {
                pass.plan.lines.extend_from_slice(part.as_bytes());
            }
            return Verdict::Answer(Reply::stateless(300, "Register Through An Edge"));
        }
        let bytes = request.bytes;
        let uri = request.message.target();
        if !uri.is_some_and(|uri| self.is_own_host(pass.net, bytes, uri)) {
            return Verdict::Answer(Reply::stateless(404, "Domain Not Served Here"));
        }
        let user = match self.address_of_record(request, &mut pass.plan.text) {
            Ok(user) => user,
            Err(reply) => return Verdict::Answer(reply),
        };
        let keeper = Self::keeper(pass.net, &pass.plan.text);
        if pass.net.shard_set.is_other(keeper) && request.ingress.handed == 0 {
            return Verdict::HandOver(keeper);
        }
        let proven = if self.settings.authenticates {
            self.authenticate(pass, user, As::Registrar)
        } else {
            self.believe(user.of(bytes))
        };
        if let Err(reply) = proven {
            return Verdict::Answer(reply);
        }
        let served = Self::meets_requirements(request, pass.plan);
        if let Err(reply) = served.and_then(|()| self.knows_path(request, pass.plan)) {
            return Verdict::Answer(reply);
        }
        if !from_edge && self.has_path_of_edges(request) {
            self.note_unrecognised(&mut pass.step(), request);
            pass.net.counters.not_allowed += 1;
            return Verdict::Answer(Reply::new(403, "Only An Edge Has A Path Through It"));
        }
        // Behind the address of record the Path is put together; what follows reads the
        // address alone.
        let end = pass.plan.text.len();
        let updated = self.update(pass);
        pass.plan.text.truncate(end);
        match updated {
            Ok(outbound) => {
                self.describe(pass.now, request, pass.plan, outbound);
                pass.net.counters.registrations += 1;
                // A retransmission finds itself carried out and gets the same
                // answer, so that none has to be kept for it; but a nonce
                // counts no request twice.
                Verdict::Answer(if self.settings.authenticates {
                    Reply::new(200, "OK")
                } else {
                    Reply::stateless(200, "OK")
                })
            }
            Err(reply) => Verdict::Answer(reply),
        }
    }

    /// Whoever the user is said to be, it must be a subscriber.
    fn believe(&self, user: &[u8]) -> Result<(), Reply> {
        let domain = self.settings.domain.as_bytes();
        let found = self.subscribers.find(user, domain);
        found.map_or(Err(Reply::stateless(404, "No Such Subscriber")), |_| Ok(()))
    }

    /// R-2 (RFC 3327 §5.3): whether a phone that a Path was added for knows what
    /// that is, where the operator wants it to.
    fn knows_path(&self, request: &Request<'_>, plan: &mut Plan) -> Result<(), Reply> {
        let message = request.message;
        let knows = !self.settings.requires_path
            || message.first(Name::Path).is_none()
            || message.has_token(request.bytes, Name::Supported, "path");
        if knows {
            return Ok(());
        }
        plan.lines.extend_from_slice(b"Unsupported: path\r\n");
        Err(Reply::new(420, "The Phone Must Support Path"))
    }

    /// RFC 3261 §8.2.2.3: what the phone requires of a registrar must be known here.
    fn meets_requirements(request: &Request<'_>, plan: &mut Plan) -> Result<(), Reply> {
        /// What a phone may require of this registrar.
        const KNOWN: [&str; 3] = ["path", "outbound", "alt-proxies"];
        let tags = request.message.values(request.bytes, Name::Require);
        let tags = tags.map(|tag| tag.of(request.bytes));
        let is_known = |tag: &&[u8]| {
            KNOWN
                .iter()
                .any(|known| tag.eq_ignore_ascii_case(known.as_bytes()))
        };
        let mut is_first = true;
        for tag in tags.filter(|tag| !is_known(tag)) {
            let before: &[u8] = if is_first { b"Unsupported: " } else { b", " };
            plan.lines.extend_from_slice(before);
            plan.lines.extend_from_slice(tag);
            is_first = false;
        }
        if is_first {
            return Ok(());
        }
        plan.lines.extend_from_slice(b"\r\n");
        Err(Reply::new(420, "Bad Extension"))
    }

    /// Whether a Path leads through an edge, which is to say to a phone behind it,
    /// whoever's that may be.
    fn has_path_of_edges(&self, request: &Request<'_>) -> bool {
        let bytes = request.bytes;
        let mut path = request.message.values(bytes, Name::Path);
        path.any(|value| Uri::in_value(bytes, value).is_ok_and(|uri| self.names_edge(bytes, &uri)))
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

    /// D-H5.
    fn redirects(&self, request: &Request<'_>) -> bool {
        let (bytes, message) = (request.bytes, request.message);
        let shows = |tag| message.has_token(bytes, Name::Supported, tag);
        match self.settings.redirect {
            Redirect::Always => true,
            // D-U8: by an option tag, or in the Via, as hops do.
            Redirect::IfSupported => {
                ["alt-proxies", "ua-loose", "sr"].into_iter().any(shows) || shows_loose(request)
            }
            Redirect::Never => false,
        }
    }

    /// Writes the To's address of record to `aor` in its canonical form; the span of
    /// its user.
    fn address_of_record(&self, request: &Request<'_>, aor: &mut Vec<u8>) -> Result<Span, Reply> {
        let bytes = request.bytes;
        let Some(uri) = request.message.to_uri(bytes) else {
            return Err(Reply::stateless(400, "Malformed To"));
        };
        let ours = same_host(uri.host.of(bytes), self.settings.domain.as_bytes());
        aor.clear();
        match uri.user {
            Some(user) if ours => {
                super::aor::file(user.of(bytes), uri.host.of(bytes), aor);
                Ok(user)
            }
            _ => Err(Reply::stateless(404, "No Such Address Of Record Here")),
        }
    }

    /// Applies the Contacts to the address of record in the plan, behind which it
    /// leaves the Path. True: RFC 5626 governs the binding made.
    fn update(&mut self, pass: &mut Pass<'_, '_>) -> Result<bool, Reply> {
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

    /// The header lines of the 200: every binding, the Path back, the
    /// Service-Route (D-H6) and what was used of RFC 5626 (O-16).
    fn describe(&self, now: Instant, request: &Request<'_>, plan: &mut Plan, outbound: bool) {
        let (bytes, message, out) = (request.bytes, request.message, &mut plan.lines);
        for binding in self.location.bindings(now, &plan.text) {
            out.extend_from_slice(b"Contact: <");
            out.extend_from_slice(binding.contact());
            out.push(b'>');
            out.extend_from_slice(binding.params());
            out.extend_from_slice(b";expires=");
            decimal(out, binding.left_s(now));
            out.extend_from_slice(b"\r\n");
        }
        if message.first(Name::Path).is_some() {
            out.extend_from_slice(b"Path: ");
            join(bytes, message.values(bytes, Name::Path), out);
            out.extend_from_slice(b"\r\nService-Route: ");
            // Path is nearest the registrar first, Service-Route nearest the
            // phone first.
            let count = message.values(bytes, Name::Path).count();
            for index in (0..count).rev() {
                let value = message
                    .values(bytes, Name::Path)
                    .nth(index)
                    .unwrap_or_default();
                out.extend_from_slice(value.of(bytes));
                out.extend_from_slice(b", ");
            }
            let secure = is_sips(message.request_uri().of(bytes));
            let scheme = if secure { "<sips:" } else { "<sip:" };
            out.extend_from_slice(scheme.as_bytes());
            self.write_own(None, out);
            out.extend_from_slice(b">\r\n");
        }
        out.extend_from_slice(b"Supported: path, outbound\r\n");
        if outbound {
            out.extend_from_slice(b"Require: outbound\r\n");
        }
    }
}

/// C-16: a `sips` contact needs `sips` in the Request-URI and in every Path, and
/// in every other contact.
fn is_secure_throughout(request: &Request<'_>, asked: &[ParsedContact]) -> bool {
    let (bytes, message) = (request.bytes, request.message);
    let contacts = || asked.iter().map(|asked| asked.address.uri.of(bytes));
    if !contacts().any(is_sips) {
        return true;
    }
    let path = message.values(bytes, Name::Path).all(|value| {
        Address::parse(bytes, value).is_ok_and(|address| is_sips(address.uri.of(bytes)))
    });
    path && contacts().all(is_sips) && is_sips(message.request_uri().of(bytes))
}

impl ParsedContact {
    fn change<'a>(&self, bytes: &'a [u8], params: &'a [u8]) -> Change<'a> {
        Change {
            contact: self.address.uri.of(bytes),
            params: params.get(self.params.0..self.params.1).unwrap_or_default(),
            q: self.q,
            expires_s: self.expires_s,
            instance: self.instance.map(|instance| instance.of(bytes)),
            reg_id: self.reg_id,
        }
    }
}

/// How long the contacts of a REGISTER last that do not say it themselves.
#[derive(Clone, Copy, Debug)]
struct Lifetime {
    /// The Expires header, in seconds.
    default_s: Option<u32>,
    /// By this what is granted is a little shorter than asked for, so that phones that
    /// registered at one time do not come back at one time.
    chance: u64,
}

/// Reads one Contact. Its parameters but for
/// `expires`, which changes from answer to answer, are appended to `params`.
fn parse_contact(
    bytes: &[u8],
    value: Span,
    lasts: Lifetime,
    params: &mut Vec<u8>,
    lines: &mut Vec<u8>,
) -> Result<ParsedContact, Reply> {
    let bad = |_| Reply::new(400, "Malformed Contact");
    let address = Address::parse(bytes, value).map_err(bad)?;
    let uri = Uri::parse(bytes, address.uri).map_err(bad)?;
    let param = |name| {
        address
            .param(bytes, name)
            .flatten()
            .map(|value: Span| value.of(bytes))
    };
    // A malformed expires counts as the default (RFC 3261 §20.10).
    let expires = address.number(bytes, "expires").or(lasts.default_s);
    let expires_s = rules::lifetime_s(expires).map_err(|rules::TooBrief| {
        lines.extend_from_slice(b"Min-Expires: ");
        decimal(lines, limits::EXPIRES_MIN_S);
        lines.extend_from_slice(b"\r\n");
        Reply::new(423, "Interval Too Brief")
    })?;
    let q = param("q")
        .map_or(Some(1_000), rules::preference)
        .ok_or(Reply::new(400, "Malformed Contact"))?;
    let reg_id = param("reg-id").and_then(rules::reg_id);
    let from = params.len();
    for param in crate::grammar::params::iter(bytes, address.params) {
        if !param.name.of(bytes).eq_ignore_ascii_case(b"expires") {
            params.push(b';');
            params.extend_from_slice(param.whole.of(bytes));
        }
    }
    Ok(ParsedContact {
        address,
        uri,
        instance: address.instance(bytes),
        reg_id,
        q,
        expires_s: pacing::expires_s(expires_s, lasts.chance),
        params: (from, params.len()),
    })
}

fn reply_of(conflict: Conflict) -> Reply {
    let (status, reason) = conflict.answer();
    Reply::new(status, reason)
}

/// Writes the values with `, ` between.
fn join(bytes: &[u8], values: impl Iterator<Item = Span>, out: &mut Vec<u8>) {
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(value.of(bytes));
    }
}
