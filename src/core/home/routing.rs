//! Everything but REGISTER at the home: to the contacts of its subscribers, by
//! the Route of a dialog, or on to the rest of the world (RFC 3261 §16.5,
//! RFC 3327 §5.4, RFC 5626 §7).
//!
//! Which request may go where is decided by who sent it (`caller`), not by its
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

/// Whether a request has come to the end of its Routes.
#[derive(Clone, Copy)]
struct Reach {
    /// No Route is left: the Request-URI decides.
    is_last: bool,
    /// No Route is left, and the Request-URI is of our domain.
    ends_here: bool,
}

/// The user to whom calls to emergency services go (RFC 5031): whoever has registered so.
const SOS: &[u8] = b"sos";

impl Home {
    /// Routes a request other than REGISTER.
    pub(super) fn route_request(&mut self, pass: &mut Pass<'_, '_>) -> Verdict {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        self.find_own_routes(pass);
        pass.plan.check_loops = true;
        let next_route = pass.next_route();
        let uri = match next_route {
            Some(next) => next.uri,
            None if pass.plan.restore_uri => message.routes().last().and_then(|last| last.uri),
            None => message.target().copied(),
        };
        let Some(uri) = uri else {
            return Verdict::refuse(400, "Malformed Route");
        };
        let ends_here = next_route.is_none() && self.is_own_host(pass.net, bytes, &uri);
        let is_for_domain = ends_here && uri.user.is_none();
        // Whoever stands next to us may ask whether we live (S-32); what comes by
        // way of an edge asks for a service.
        if is_for_domain && pass.request.is_first_hop() {
            return answer_for_domain(pass);
        }
        if self.is_to_be_asked_for(pass, next_route.is_none(), ends_here, &uri) {
            return Verdict::AskStore;
        }
        let (caller, proven) = match self.identify_caller(pass) {
            Ok(found) => found,
            Err(reply) => return Verdict::Answer(reply),
        };
        if is_for_domain {
            return answer_for_domain(pass);
        }
        if !self.is_permitted_ack(pass, caller) {
            return Verdict::Drop;
        }
        self.consume_credentials(pass);
        let reach = Reach {
            is_last: next_route.is_none(),
            ends_here,
        };
        let verdict = self.route_to(pass, caller, reach, &uri);
        if verdict == Verdict::Forward {
            self.assert_identity(pass, proven);
        }
        verdict
    }

    /// Whether the store that several homes share has to say where a request goes, before
    /// anything is done for it; then the address of record stands in the plan.
    fn is_to_be_asked_for(
        &self,
        pass: &mut Pass<'_, '_>,
        is_last: bool,
        ends_here: bool,
        uri: &Uri,
    ) -> bool {
        let request = pass.request;
        let is_repeated = request.ingress.handed > 0;
        let method = request.message.method();
        if !self.settings.is_shared
            || is_repeated
            || matches!(method, Method::Ack | Method::Cancel)
            || !pass.net.may_ask_store(request)
        {
            return false;
        }
        let user = match (is_last && request.is_emergency(), uri.user) {
            (true, _) => SOS,
            (false, Some(user)) if ends_here => user.of(request.bytes),
            (false, _) => return false,
        };
        let now = pass.now;
        self.may_be_elsewhere(now, user, &mut pass.plan.text)
    }

    /// Routes a request whose caller is known to `uri`: its next Route, else its Request-URI.
    fn route_to(
        &mut self,
        pass: &mut Pass<'_, '_>,
        caller: Caller,
        reach: Reach,
        uri: &Uri,
    ) -> Verdict {
        let Reach { is_last, ends_here } = reach;
        let (bytes, request) = (pass.request.bytes, pass.request);
        if is_last && request.is_emergency() {
            return self.fork(pass, SOS);
        }
        // P-8, of a Request-URI as it came.
        let maddr = if is_last && !pass.plan.restore_uri {
            pass.plan.strip_maddr(&pass.net.flows, request, uri)
        } else {
            Maddr::Absent
        };
        match maddr {
            Maddr::Absent | Maddr::Ours if ends_here => {
                // An address of ours in the host means the domain.
                let user = uri.user.map(|user| user.of(bytes));
                self.fork(pass, user.unwrap_or_default())
            }
            Maddr::Absent | Maddr::Other => self.route_by_uri(pass, caller, bytes, uri),
            Maddr::Ours => self.route_without_maddr(pass, caller),
        }
    }

    /// Routes by what is left of the Request-URI without the `maddr` that was ours.
    fn route_without_maddr(&mut self, pass: &mut Pass<'_, '_>, caller: Caller) -> Verdict {
        let stripped = std::mem::take(&mut pass.plan.request_uri);
        let verdict = match Uri::of(&stripped) {
            Ok(uri) => self.route_by_uri(pass, caller, &stripped, &uri),
            Err(_) => Verdict::refuse(400, "Malformed URI"),
        };
        pass.plan.request_uri = stripped;
        verdict
    }

    /// Takes credentials for our realm out of what is forwarded; those for others go on
    /// (P-6).
    fn consume_credentials(&self, pass: &mut Pass<'_, '_>) {
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

    /// Says in the plan how many Route values are ours: up to two, one per transport.
    pub(super) fn find_own_routes(&self, pass: &mut Pass<'_, '_>) {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let is_own = |uri: &Uri| self.is_own_uri(pass.net, bytes, uri);
        let routes = message.routes();
        pass.plan.pop = routes
            .iter()
            .take(2)
            .take_while(|route| route.uri.as_ref().is_some_and(is_own))
            .count();
        let uri = message.target();
        // P-7: a strict router has put our Record-Route, the domain with `lr`, into the
        // Request-URI.
        pass.plan.restore_uri = pass.plan.pop == 0
            && uri.is_some_and(|uri| uri.is_loose(bytes) && is_own(uri))
            && !routes.is_empty();
    }

    /// Routes to a Route or a foreign Request-URI, which stands in `bytes`.
    fn route_by_uri(
        &mut self,
        pass: &mut Pass<'_, '_>,
        caller: Caller,
        bytes: &[u8],
        uri: &Uri,
    ) -> Verdict {
        let is_cluster = same_host(uri.host.of(bytes), &self.cluster);
        if let Some(verdict) = self.refusal(pass, caller, bytes, uri) {
            return verdict;
        }
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Verdict::refuse(404, "No Route To That Scheme");
        }
        let step = &mut Step::new(pass.net, pass.now);
        let bound = self.hops_to(step, Some(pass.request), bytes, uri, &mut pass.plan.hops);
        if !is_cluster && !self.are_permitted_hops(pass) {
            return pass.not_allowed("Destination Not Allowed");
        }
        pass.plan.is_leaving = !self.names_edge(bytes, uri);
        let method = pass.request.message.method();
        // Where no flow is bound to a token, the edge that accepts the request has the phone's
        // flow, and the token is bound to it (H-13).
        let learns = (is_cluster && bound == 0 && acceptor_has_flow(method))
            .then(|| pass.net.pool.copy(uri.whole.of(bytes)));
        let Plan { hops, targets, .. } = &mut *pass.plan;
        for (index, &hop) in hops.iter().enumerate() {
            let is_flow = matches!(hop, Hop::Flow(_));
            // One after the other: all of them lead to one phone. Where flows are bound to the
            // URI an edge besides them is tried only for their silence or loss, since what one
            // of them answers is the word of the set.
            let after = index
                .checked_sub(1)
                .and_then(|before| u8::try_from(before).ok());
            targets.push(Target {
                after,
                is_last_resort: bound > 0 && !is_flow,
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

    /// Whether the hops in the plan may be sent to (I-6).
    fn are_permitted_hops(&self, pass: &mut Pass<'_, '_>) -> bool {
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

/// Whether an edge that accepts a request has the phone's flow itself. Where it has not, it
/// redirects, but for these methods, which it relays: a redirect would not help them.
const fn acceptor_has_flow(method: Method) -> bool {
    !matches!(method, Method::Ack | Method::Bye | Method::Prack)
}

/// Answers a request to the domain itself: OPTIONS, and nothing else.
fn answer_for_domain(pass: &mut Pass<'_, '_>) -> Verdict {
    if pass.request.message.method() == Method::Options {
        let lines = b"Accept: application/sdp\r\nSupported: path, outbound\r\n";
        pass.plan.lines.extend_from_slice(lines);
        return Verdict::Answer(Reply::stateless(200, "OK"));
    }
    Verdict::refuse(404, "The Domain Itself Takes No Calls")
}
