//! A REGISTER on its way to the home: which edge it is for, which subscriber it is of, and
//! the Path (D-E1 to D-E18; RFC 3327, RFC 5626 §5.1).
//!
//! The subscriber is the address of record in the To and nobody else: that is what a 2xx of
//! the home registers (RFC 3261 §10.3), whatever the home took as proof. The proof itself
//! (credentials of this realm or of another, an address, a certificate) is not read here: an
//! edge that named another user by it would lead that user's calls to whoever sent the
//! REGISTER. So the token names the user from the first REGISTER on (D-E15), and it leads
//! nowhere new until a 2xx has bound the flow.

use super::own_routes::RouteKind;
use super::phone::{ContactAction, Phone, SubscriberText, by_name, is_v6};
use super::state::Edge;
use super::token::STICKY;
use super::{EdgeSet, PathPolicy, Subscriber, Token, set};
use crate::limits;
use crate::proxy::{Note, Pass, Plan, Reply, Step, Verdict};
use crate::trust::Principal;
use crate::uri::{is_sips, same_host};

impl Edge {
    /// Routes a REGISTER: to the home, or to the edge that its Route names.
    pub(super) fn route_register(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        let mut token = Token::new();
        let request = pass.request;
        let own = self.own_routes(pass.net, request, &mut token);
        pass.plan.pop = own.count;
        match own.kind {
            // The edge that relayed it takes this one for the edge that the value names, and this
            // one does not: their configurations differ, and they would relay it to and fro.
            RouteKind::Elsewhere(_) if request.ingress.principal == Principal::Edge => {
                return Verdict::Answer(Reply::stateless(482, "Relayed Twice Between Edges"));
            }
            RouteKind::Elsewhere(index) => {
                // D-E4: the phone means another edge, which takes what comes from an edge as
                // vouched for: a REGISTER that leads elsewhere from there ends here.
                if let Some(reply) = self.refuse_detour(pass) {
                    return Verdict::Answer(reply);
                }
                return self.forward_to(pass, index);
            }
            RouteKind::Bad(_) => {
                pass.net.counters.bad_tokens += 1;
                return Verdict::Answer(Reply::stateless(403, "Token Not Valid Here"));
            }
            RouteKind::Cluster
            | RouteKind::Token
            | RouteKind::Flow { .. }
            | RouteKind::Address
            | RouteKind::Sibling
            | RouteKind::Foreign => {}
        }
        if let Some(reply) = self.refuse_detour(pass) {
            return Verdict::Answer(reply);
        }
        if let Err(reply) = self.retarget(pass) {
            return Verdict::Answer(reply);
        }
        let contact = match ContactAction::read(request.bytes, request.message) {
            Ok(contact) => contact,
            Err(reply) => return Verdict::Answer(reply),
        };
        let domain = request.message.request_uri();
        let step = &mut Step::new(pass.net, pass.now);
        self.plan_homes(step, domain.of(request.bytes), pass.plan);
        if let ContactAction::Binding(phone) = contact
            && let Err(reply) = self.path(pass, &phone, &token)
        {
            return Verdict::Answer(reply);
        }
        Verdict::Forward
    }

    /// The refusal of a REGISTER from outside that leads elsewhere than to the homes, by a Route
    /// behind ours or by `maddr`; `None` where it leads to them.
    fn refuse_detour(&self, pass: &mut Pass<'_, '_>) -> Option<Reply> {
        let request = pass.request;
        if request.ingress.principal.is_cluster_node() {
            return None;
        }
        let (bytes, message) = (request.bytes, request.message);
        let mut further = message.routes().iter().skip(pass.plan.pop);
        let is_home = further.all(|route| {
            let uri = route.uri.as_ref();
            uri.is_some_and(|uri| self.is_home(pass.net, bytes, uri))
        });
        let mut uri = message.target().into_iter();
        if is_home && uri.all(|uri| self.stays_at_host(pass.net, bytes, uri)) {
            return None;
        }
        pass.net.counters.not_allowed += 1;
        Some(Reply::stateless(403, "A REGISTER Goes To The Home"))
    }

    /// D-E18: sets the Request-URI to the domain of the To where it is the cluster itself, as
    /// from a phone that took the 300 for a new registrar.
    ///
    /// # Errors
    /// The answer where that domain is not served.
    fn retarget(&self, pass: &mut Pass<'_, '_>) -> Result<(), Reply> {
        let request = pass.request;
        let bytes = request.bytes;
        let uri = request.message.target();
        let what = uri.map(|uri| self.classify(pass.net, bytes, uri, &mut Token::new()));
        if !matches!(what, Some(RouteKind::Cluster | RouteKind::Address)) {
            return Ok(());
        }
        let uri = request.message.to_uri(bytes);
        let domain = uri.map(|uri| uri.host.of(bytes)).unwrap_or_default();
        if !self
            .settings
            .home_domains
            .iter()
            .any(|served| same_host(served.as_bytes(), domain))
        {
            return Err(Reply::stateless(404, "Domain Not Served Here"));
        }
        pass.plan.request_uri.extend_from_slice(b"sip:");
        pass.plan.request_uri.extend_from_slice(domain);
        Ok(())
    }

    /// D-E8, D-E10: writes the Path, the same bytes from every edge of the set, and the note for
    /// the 2xx.
    ///
    /// # Errors
    /// The answer to a phone that gets no Path.
    fn path(&mut self, pass: &mut Pass<'_, '_>, phone: &Phone, token: &Token) -> Result<(), Reply> {
        let (net, request) = (&mut *pass.net, pass.request);
        let Plan {
            lines, text, note, ..
        } = &mut *pass.plan;
        let bytes = request.bytes;
        let first_hop = request.is_first_hop() && !request.ingress.principal.is_cluster_node();
        let vouched = self.vouch_for_path(first_hop && !phone.path, lines)?;
        let registering = SubscriberText::write(bytes, request.message, phone, text);
        let subscriber = registering.subscriber(text);
        // D-E2: a refresh keeps the edges of the token in its Route, so that the Path stays the
        // same. No refresh is a token of somebody else, nor one that does not name this edge: by
        // that token nobody would look for the phone here.
        let is_same = !token.is_anonymous() && token.subscriber() == subscriber;
        let same = Some(token).filter(|_| is_same);
        if first_hop
            && phone.is_movable()
            && let Some(reply) = self.redirect_retired(net, request, &subscriber, same, lines)
        {
            return Err(reply);
        }
        let old = same.map(|token| self.token_set(token));
        let old = old.filter(|set| {
            set.iter().any(|index| index == self.own) && set.iter().count() == token.edges().count()
        });
        let refresh = old.is_some();
        let v6 = is_v6(net, request);
        let edges = old.unwrap_or_else(|| self.choose(&subscriber, v6, phone.sticky));
        let flags = if phone.sticky { STICKY } else { 0 };
        let mut fits = true;
        let path = net.pool.build(limits::TOKEN_MAX, |out| {
            fits = self.write_token(&subscriber, edges, flags, out)
        });
        if !fits {
            return Err(Reply::stateless(403, "User Or Instance Too Long"));
        }
        let secure = is_sips(request.message.request_uri().of(bytes));
        self.write_path(&path, secure, first_hop, lines);
        *note = Note::Register {
            token: path,
            initial: !refresh,
            first_hop,
            vouched,
            by_name: by_name(bytes, request.message),
        };
        Ok(())
    }

    /// R-2 (RFC 3327 §5.2): whether the edge says to the home that a phone supports Path, of which
    /// the phone has said nothing where `unsaid`.
    fn vouch_for_path(&self, unsaid: bool, lines: &mut Vec<u8>) -> Result<bool, Reply> {
        if unsaid && self.settings.path == PathPolicy::Require {
            lines.extend_from_slice(b"Require: path\r\n");
            return Err(Reply::stateless(421, "The Phone Must Support Path"));
        }
        let vouched = unsaid && self.settings.path == PathPolicy::Vouch;
        if vouched {
            lines.extend_from_slice(b"Supported: path\r\n");
        }
        Ok(vouched)
    }

    /// Writes the Path line with a token: `sips` where the request is (C-16), and `ob` only where
    /// the phone itself is at the other end of the flow (O-1).
    fn write_path(&self, token: &[u8], secure: bool, first_hop: bool, lines: &mut Vec<u8>) {
        for part in [
            if secure {
                &b"Path: <sips:"[..]
            } else {
                b"Path: <sip:"
            },
            token,
            b"@",
            self.settings.home_side(),
            b";lr",
        ] {
            lines.extend_from_slice(part);
        }
        lines.extend_from_slice(if first_hop { b";ob>\r\n" } else { b">\r\n" });
    }

    /// D-E5, D-E7: the edges for a subscriber. The order of the set is one everywhere for a phone
    /// that knows nothing of Outbound-Proxy, since it registers through its configured edges one
    /// by one (B-5); for any other this edge comes first.
    fn choose(&mut self, subscriber: &Subscriber<'_>, v6: bool, sticky: bool) -> EdgeSet {
        let members = &self.settings.members;
        let size = self.settings.set_size;
        if sticky {
            set::choose(self.own, members, subscriber, v6, size, &mut self.indices);
        } else {
            set::canonical(self.own, members, subscriber, v6, size, &mut self.indices);
        }
        EdgeSet::new(&self.indices).unwrap_or_else(|| self.own_set())
    }
}
