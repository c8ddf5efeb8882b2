//! REGISTER at the home: redirect to the edges, challenge, bind, answer
//! (D-H1, D-H8; RFC 3261 §10.3, RFC 3327, 3608, 5626 §6).

use super::authenticate::As;
use super::state::Home;
use crate::proxy::{Pass, Plan, Reply, Request, Verdict};
use crate::scan::Name;
use crate::span::Span;
use crate::uri::{Uri, same_host};

mod answer;
mod contact;
mod redirect;
mod update;

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
}
