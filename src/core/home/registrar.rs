//! REGISTER at the home: redirect to the edges, challenge, bind, answer
//! (D-H1, D-H8; RFC 3261 §10.3, RFC 3327, 3608, 5626 §6).

use super::aor;
use super::authenticate::Challenger;
use super::state::Home;
use crate::proxy::{Pass, Plan, Reply, Request, Verdict};
use crate::scan::Name;
use crate::span::Span;
use crate::uri::{Uri, same_host};

mod answer;
mod contact;
mod durable;
mod redirect;
mod update;

impl Home {
    /// Serves a REGISTER.
    pub(super) fn register(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        let request = pass.request;
        let from_edge = request.ingress.principal.is_cluster_node();
        // D-H1, D-H3: before anything is looked up or created.
        if !from_edge && self.redirects(request) {
            self.note_unrecognised_edge(&mut pass.step(), request);
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
            self.authenticate(pass, user, Challenger::Registrar)
        } else {
            self.check_subscriber(user.of(bytes))
        };
        if let Err(reply) = proven {
            return Verdict::Answer(reply);
        }
        let served = Self::check_require(request, pass.plan);
        if let Err(reply) = served.and_then(|()| self.check_path_support(request, pass.plan)) {
            return Verdict::Answer(reply);
        }
        // A phone that may register without an edge may not say that an edge leads to it:
        // the Path would be that of another phone.
        if !from_edge && self.has_path_of_edges(request) {
            self.note_unrecognised_edge(&mut pass.step(), request);
            pass.net.counters.not_allowed += 1;
            return Verdict::Answer(Reply::new(403, "Only An Edge Has A Path Through It"));
        }
        if let Err(reply) = self.check_store(pass) {
            return Verdict::Answer(reply);
        }
        self.carry_out(pass)
    }

    /// Changes the bindings as an admitted REGISTER asks, and answers with what they are then.
    fn carry_out(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        // `update` puts the Path together behind the address of record; what follows reads
        // the address alone.
        let end = pass.plan.text.len();
        let updated = self.update(pass);
        pass.plan.text.truncate(end);
        match updated {
            Ok(outbound) => {
                self.describe(pass.now, pass.request, pass.plan, outbound);
                let awaited = self.tentative.awaited();
                if let Some(number) = awaited.filter(|_| self.settings.is_durable) {
                    return Verdict::AnswerOnceStored(number);
                }
                pass.net.counters.registrations += 1;
                // A retransmission is found to be carried out and gets the same answer, so
                // none has to be kept for it. With authentication one is kept: a nonce
                // count passes once, so the retransmission would be challenged.
                Verdict::Answer(if self.settings.authenticates {
                    Reply::new(200, "OK")
                } else {
                    Reply::stateless(200, "OK")
                })
            }
            Err(reply) => Verdict::Answer(reply),
        }
    }

    /// Refuses a user who is no subscriber, where nobody has to prove who he is.
    fn check_subscriber(&self, user: &[u8]) -> Result<(), Reply> {
        let domain = self.settings.domain.as_bytes();
        let found = self.subscribers.find(user, domain);
        found.map_or(Err(Reply::stateless(404, "No Such Subscriber")), |_| Ok(()))
    }

    /// Refuses a phone that does not say that it knows Path, where a Path was added for it
    /// and the operator requires that (R-2, RFC 3327 §5.3).
    fn check_path_support(&self, request: &Request<'_>, plan: &mut Plan) -> Result<(), Reply> {
        let message = request.message;
        let is_met = !self.settings.requires_path
            || message.first(Name::Path).is_none()
            || message.has_token(request.bytes, Name::Supported, "path");
        if is_met {
            return Ok(());
        }
        plan.lines.extend_from_slice(b"Unsupported: path\r\n");
        Err(Reply::new(420, "The Phone Must Support Path"))
    }

    /// Refuses a REGISTER that requires what this registrar does not support, and names
    /// it (RFC 3261 §8.2.2.3).
    fn check_require(request: &Request<'_>, plan: &mut Plan) -> Result<(), Reply> {
        /// What a phone may require of this registrar.
        const SUPPORTED: [&str; 3] = ["path", "outbound", "alt-proxies"];
        let tags = request.message.values(request.bytes, Name::Require);
        let tags = tags.map(|tag| tag.of(request.bytes));
        let is_supported = |tag: &&[u8]| {
            SUPPORTED
                .iter()
                .any(|known| tag.eq_ignore_ascii_case(known.as_bytes()))
        };
        let mut is_first = true;
        for tag in tags.filter(|tag| !is_supported(tag)) {
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

    /// Whether a Path leads through an edge, and so to some phone behind it.
    fn has_path_of_edges(&self, request: &Request<'_>) -> bool {
        let bytes = request.bytes;
        let mut path = request.message.values(bytes, Name::Path);
        path.any(|value| Uri::in_value(bytes, value).is_ok_and(|uri| self.names_edge(bytes, &uri)))
    }

    /// Writes the To's address of record to `aor` in its canonical form, and gives the span
    /// of its user.
    fn address_of_record(&self, request: &Request<'_>, aor: &mut Vec<u8>) -> Result<Span, Reply> {
        let bytes = request.bytes;
        let Some(uri) = request.message.to_uri(bytes) else {
            return Err(Reply::stateless(400, "Malformed To"));
        };
        let ours = same_host(uri.host.of(bytes), self.settings.domain.as_bytes());
        aor.clear();
        match uri.user {
            Some(user) if ours => {
                aor::write(user.of(bytes), uri.host.of(bytes), aor);
                Ok(user)
            }
            _ => Err(Reply::stateless(404, "No Such Address Of Record Here")),
        }
    }
}
