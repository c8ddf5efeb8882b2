//! Everything but REGISTER at the home: to the contacts of its subscribers, by
//! the Route of a dialog, or on to the rest of the world (RFC 3261 §16.5,
//! RFC 3327 §5.4, RFC 5626 §7).
//!
//! Whose requests go where is decided by who sent them (`caller`), not by their
//! Routes. Everybody reaches the subscribers; what leads elsewhere, or past the
//! services of this home, needs a subscriber, or the mark of a dialog that our
//! Record-Route carries.

use super::caller::Caller;
use super::state::Home;
use crate::proxy::{Maddr, Pass, Plan, Reply, Step, Target, Verdict};
use crate::scan::auth::Digest;
use crate::scan::{Method, Name};
use crate::send::{End, Hop};
use crate::uri::{Scheme, Uri, same_host};

/// How far a request has come by its Routes.
#[derive(Clone, Copy)]
struct Reach {
    /// No Route is left.
    is_last: bool,
    /// And the URI is of our domain.
    ends_here: bool,
}

impl Home {
    /// Routes a request.
    pub(super) fn call(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        self.find_own(pass);
        pass.plan.check_loops = true;
        let left = pass.next_route();
        let uri = match left {
            Some(next) => next.uri,
            None if pass.plan.restore_uri => message.routes().last().and_then(|last| last.uri),
            None => message.target().copied(),
        };
        let Some(uri) = uri else {
            return Verdict::refuse(400, "Malformed Route");
        };
        let ends_here = left.is_none() && self.is_own_host(pass.net, bytes, &uri);
        let is_for_us = ends_here && uri.user.is_none();
        // Whoever stands next to us may ask whether we live (S-32); what comes by
        // way of an edge asks for a service.
        if is_for_us && pass.request.is_first_hop() {
            return for_us(pass);
        }
        let (caller, proven) = match self.identify(pass) {
            Ok(found) => found,
            Err(reply) => return Verdict::Answer(reply),
        };
        if is_for_us {
            return for_us(pass);
        }
        if !self.may_acknowledge(pass, caller) {
            return Verdict::Drop;
        }
        self.consume(pass);
        let reach = Reach {
            is_last: left.is_none(),
            ends_here,
        };
        let verdict = self.after(pass, caller, reach, &uri);
        if verdict == Verdict::Forward {
            self.assert(pass, proven);
        }
        verdict
    }

    /// Routes a request whose caller is known, by `uri`.
    fn after(
        &mut self,
        pass: &mut Pass<'_, '_>,
        caller: Caller,
        reach: Reach,
        uri: &Uri,
    ) -> Verdict {
        let Reach { is_last, ends_here } = reach;
        let (bytes, request) = (pass.request.bytes, pass.request);
        if is_last && request.is_emergency() {
            return self.by_location(pass, SOS);
        }
        // P-8
        let maddr = if is_last && !pass.plan.restore_uri {
            pass.plan.strip_maddr(&pass.net.flows, request, uri)
        } else {
            Maddr::Absent
        };
        match maddr {
            Maddr::Absent | Maddr::Ours if ends_here => {
                // An address of ours in the host means the domain.
                let user = uri.user.map(|user| user.of(bytes));
                self.by_location(pass, user.unwrap_or_default())
            }
            Maddr::Absent | Maddr::Other => self.by_uri(pass, caller, bytes, uri),
            Maddr::Ours => self.by_rest(pass, caller),
        }
    }

    /// To what a Request-URI says without the `maddr` that was ours.
    fn by_rest(&mut self, pass: &mut Pass<'_, '_>, caller: Caller) -> Verdict {
        let rest = std::mem::take(&mut pass.plan.request_uri);
        let verdict = match Uri::of(&rest) {
            Ok(uri) => self.by_uri(pass, caller, &rest, &uri),
            Err(_) => Verdict::refuse(400, "Malformed URI"),
        };
        pass.plan.request_uri = rest;
        verdict
    }

    /// P-6: credentials for our realm end here, those for others go on.
    fn consume(&self, pass: &mut Pass<'_, '_>) {
        let bytes = pass.request.bytes;
        if pass
            .request
            .message
            .first(Name::ProxyAuthorization)
            .is_none()
        {
            return;
        }
        let realm = self.settings.domain.as_bytes();
        let lines = pass.request.message.all(Name::ProxyAuthorization);
        let ours = lines.filter(|header| {
            Digest::parse(bytes, header.value)
                .is_ok_and(|digest| digest.is_some_and(|digest| digest.realm.of(bytes) == realm))
        });
        pass.plan.consumed.extend(ours.map(|header| header.line));
    }

    /// Says in the plan which values are ours: up to two (one per transport).
    pub(super) fn find_own(&self, pass: &mut Pass<'_, '_>) {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let is_own = |uri: &Uri| self.is_own(pass.net, bytes, uri);
        let routes = message.routes();
        pass.plan.pop = routes
            .iter()
            .take(2)
            .take_while(|route| route.uri.as_ref().is_some_and(is_own))
            .count();
        let uri = message.target();
        // P-7: what we record-routed is our domain with `lr`.
        pass.plan.restore_uri = pass.plan.pop == 0
            && uri.is_some_and(|uri| uri.is_loose(bytes) && is_own(uri))
            && !routes.is_empty();
    }

    /// To a Route or a foreign Request-URI, which stands in `bytes`.
    fn by_uri(
        &mut self,
        pass: &mut Pass<'_, '_>,
        caller: Caller,
        bytes: &[u8],
        uri: &Uri,
    ) -> Verdict {
        let cluster = same_host(uri.host.of(bytes), &self.cluster);
        if let Some(verdict) = self.refusal(pass, caller, bytes, uri) {
            return verdict;
        }
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Verdict::refuse(404, "No Route To That Scheme");
        }
        let step = &mut Step::new(pass.net, pass.now);
        let known = self.hops_to(step, Some(pass.request), bytes, uri, &mut pass.plan.hops);
        if !cluster && !self.may_go(pass) {
            return pass.not_allowed("Destination Not Allowed");
        }
        pass.plan.is_leaving = !self.names_edge(bytes, uri);
        let method = pass.request.message.method();
        let learns = (cluster && known == 0 && shows_flow(method))
            .then(|| pass.net.pool.copy(uri.whole.of(bytes)));
        let Plan { hops, targets, .. } = &mut *pass.plan;
        for (index, &hop) in hops.iter().enumerate() {
            let is_known = matches!(hop, Hop::Flow(_));
            let after = index
                .checked_sub(1)
                .and_then(|before| u8::try_from(before).ok());
            targets.push(Target {
                after,
                is_last_resort: known > 0 && !is_known,
                learns: learns.clone(),
                ..Target::at(hop)
            });
        }
        if targets.is_empty() {
            return Verdict::refuse(404, "Next Hop Cannot Be Resolved");
        }
        self.record_route(pass);
        Verdict::Forward
    }

    /// Whether the addresses at hand may be sent to (I-6).
    fn may_go(&self, pass: &mut Pass<'_, '_>) -> bool {
        (0..pass.plan.hops.len()).all(|index| match pass.plan.hops[index] {
            // An edge is named by its address in the dialogs of its guests alone.
            Hop::To {
                transport, addr, ..
            } if self.settings.has_edge_at(addr.ip()) => {
                self.settings.may_be_edge(&End::new(transport, addr)) && self.shows_mark(pass)
            }
            Hop::To { addr, .. } => pass.net.permits(addr),
            Hop::Flow(_) | Hop::Named(_) => true,
        })
    }
}

/// Whom calls to emergency services go to (RFC 5031): whoever is registered so.
const SOS: &[u8] = b"sos";

/// Whether the edge that accepts a request has the flow itself: it redirects
/// where it has not, and relays only what a redirect would not help.
const fn shows_flow(method: Method) -> bool {
    !matches!(method, Method::Ack | Method::Bye | Method::Prack)
}

/// A request to the domain itself.
fn for_us(pass: &mut Pass<'_, '_>) -> Verdict {
    if pass.request.message.method() == Method::Options {
        let lines = b"Accept: application/sdp\r\nSupported: path, outbound\r\n";
        pass.plan.lines.extend_from_slice(lines);
        return Verdict::Answer(Reply::stateless(200, "OK"));
    }
    Verdict::refuse(404, "The Domain Itself Takes No Calls")
}
