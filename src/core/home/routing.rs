//! Everything but REGISTER at the home: to the contacts of its subscribers, by
//! the Route of a dialog, or on to the rest of the world (RFC 3261 §16.5,
//! RFC 3327 §5.4, RFC 5626 §7).
//!
//! Whose requests go where is decided by who sent them (`caller`), not by their
//! Routes. Everybody reaches the subscribers; what leads elsewhere, or past the
//! services of this home, needs a subscriber, or the mark of a dialog that our
//! Record-Route carries.

use std::cmp::Reverse;

use super::caller::Caller;
use super::dialog::dialog_of;
use super::policy::Home;
use super::ways::Element;
use crate::bytes::Buf;
use crate::id::{Flow, Transport};
use crate::limits;
use crate::proxy::{Maddr, Net, Pass, Plan, Reply, Request, Step, Target, Trust, Verdict};
use crate::scan::address::Address;
use crate::scan::auth::Digest;
use crate::scan::{Method, Name, first_value};
use crate::send::{End, Hop};
use crate::trust::mark::{Mark, MarkedValue, Next, write_param};
use crate::uri::{Scheme, Uri, is_sips, same_host};

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
            pass.net.strip_maddr(request, uri, pass.plan)
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

    /// RFC 3261 §16.5 with the location service: all contacts, highest q
    /// first, one flow of an instance at a time (O-19, O-20).
    fn by_location(&mut self, pass: &mut Pass<'_, '_>, user: &[u8]) -> Verdict {
        let aor = &mut pass.plan.text;
        aor.clear();
        super::aor::file(user, self.settings.domain.as_bytes(), aor);
        let mut order = [Rank::default(); limits::CONTACTS_MAX];
        let mut count = 0;
        let (net, now) = (&*pass.net, pass.now);
        let is_down = |flow| net.is_down(now, Hop::Flow(flow));
        let bindings = self.location.bindings(now, &pass.plan.text).enumerate();
        for (slot, (index, binding)) in order.iter_mut().zip(bindings) {
            *slot = Rank {
                preference: Reverse(binding.q),
                is_silent: binding.flow.is_some_and(is_down),
                reg_id: binding.reg_id().unwrap_or(0),
                index: Reverse(index),
            };
            count += 1;
        }
        let order = &mut order[..count];
        order.sort_unstable();
        pass.plan.groups.clear();
        let mut rank: u16 = 0;
        let mut last = None;
        for &Rank {
            preference, index, ..
        } in &*order
        {
            rank += u16::from(last.is_some_and(|last| last != preference));
            last = Some(preference);
            // The indexes of targets are octets: more of them there cannot be, and the
            // best are there already.
            if self.add_binding(pass, index.0, rank).is_none() {
                break;
            }
        }
        if !pass.plan.targets.is_empty() {
            self.record_route(pass);
            return Verdict::Forward;
        }
        // P-18
        let (user, _) = super::aor::parts(&pass.plan.text);
        let domain = self.settings.domain.as_bytes();
        if self.subscribers.find(user, domain).is_some() {
            Verdict::refuse(480, "Not Registered")
        } else {
            Verdict::refuse(404, "No Such Subscriber")
        }
    }

    /// Adds the ways to one binding of the address of record in the plan: the flow its
    /// REGISTER came on, else where its Path sticks, else any edge. A further flow of
    /// an instance already there stands by for it. `None` when there is no room
    /// for more.
    fn add_binding(&mut self, pass: &mut Pass<'_, '_>, index: usize, rank: u16) -> Option<()> {
        let called = self.find_binding(pass, index)?;
        let Plan {
            hops,
            groups,
            targets,
            ..
        } = &mut *pass.plan;
        let first = groups.iter().rposition(|seen| *seen == called.group);
        let mut after = first
            .filter(|_| called.group != 0)
            .and_then(|place| u8::try_from(place).ok());
        for &hop in &*hops {
            let mut seen = targets.iter().zip(&*groups);
            let again = |(target, group): (&Target, &u64)| {
                self.is_asked_for(pass.net, &called, hop, target, *group)
            };
            if seen.any(again) {
                continue;
            }
            let index = u8::try_from(targets.len()).ok()?;
            targets.push(Target {
                hop,
                uri: Some(called.uri.clone()),
                route: called.route.clone(),
                rank,
                after,
                ..Target::at(hop)
            });
            groups.push(called.group);
            after = Some(index);
        }
        Some(())
    }

    /// Whether what a binding leads to by `hop` is asked for by a target of `group`
    /// that is there. An edge looks for a phone by user and instance, whatever the
    /// Path: asked for the one flow, it has answered for the other. Without an
    /// instance, what is the same in every part is asked for once.
    fn is_asked_for(
        &self,
        net: &Net,
        called: &Called,
        hop: Hop,
        target: &Target,
        group: u64,
    ) -> bool {
        let Called { uri, route, .. } = called;
        let same = called.group != 0 && group == called.group && !matches!(hop, Hop::Named(_));
        let equal =
            target.uri.as_deref() == Some(&uri[..]) && target.route.as_deref() == route.as_deref();
        // Without a Path the flow is the phone's own.
        let is_one = || {
            target.route.is_some()
                && route.is_some()
                && Element::at(&self.settings, net, target.hop)
                    .is_some_and(|there| there.is_at(&self.settings, net, hop))
        };
        (same || equal) && (target.hop == hop || is_one())
    }

    /// What a request for a binding of the address of record in the plan is called by,
    /// and in the plan the hops to it; `None` where there is no such binding.
    fn find_binding(&mut self, pass: &mut Pass<'_, '_>, index: usize) -> Option<Called> {
        let Pass {
            net,
            now,
            request,
            plan,
            ..
        } = pass;
        let (net, now, request) = (&mut **net, *now, *request);
        let Plan {
            text: aor,
            hops,
            is_leaving,
            ..
        } = &mut **plan;
        let binding = self.location.bindings(now, aor).nth(index)?;
        let uri = as_called(net, request, binding.contact());
        let route = (!binding.path().is_empty()).then(|| net.pool.copy(binding.path()));
        let live = binding.flow.filter(|flow| net.flows.lives(*flow));
        let group = binding
            .instance()
            .map_or(0, |instance| net.secrets.hash([instance]) | 1);
        hops.clear();
        match (live, &route) {
            (Some(flow), _) => {
                *is_leaving |= route.is_none();
                hops.push(Hop::Flow(flow));
            }
            (None, Some(path)) => {
                let top = Address::parse(path, first_value(path)).map(|address| address.uri);
                if let Ok(top) = top.and_then(|uri| Uri::parse(path, uri)) {
                    let step = &mut Step::new(net, now);
                    self.hops_to(step, Some(request), path, &top, hops);
                    if !same_host(top.host.of(path), &self.cluster) {
                        self.keep_phones(net, hops);
                    }
                }
            }
            (None, None) => {
                *is_leaving = true;
                let contact = binding.contact();
                let uri = Uri::of(contact);
                let hop = uri.map(|uri| net.hop(now, contact, &uri));
                hops.extend(hop.ok().flatten());
                self.keep_phones(net, hops);
            }
        }
        Some(Called { uri, route, group })
    }

    /// Leaves in `hops` what a contact, or a Path that is no edge's, may lead to.
    /// A node of ours is nobody's phone: what is sent there comes back, once for each
    /// binding and each time. Beside an edge, at its address, there may be one.
    fn keep_phones(&self, net: &mut Net, hops: &mut Vec<Hop>) {
        hops.retain(|hop| {
            let may = match *hop {
                Hop::To {
                    transport, addr, ..
                } => {
                    let is_own = net.flows.is_local(addr.ip().to_canonical(), addr.port());
                    let is_edge = self.may_be_cluster_node(&End::new(transport, addr));
                    !is_own && !is_edge && net.permits(addr)
                }
                Hop::Flow(_) | Hop::Named(_) => true,
            };
            net.counters.out_of_bounds += u64::from(!may);
            may
        });
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
                self.may_be_cluster_node(&End::new(transport, addr)) && self.shows_mark(pass)
            }
            Hop::To { addr, .. } => pass.net.permits(addr),
            Hop::Flow(_) | Hop::Named(_) => true,
        })
    }

    /// Fills `hops` for a URI: of the cluster by `cluster_hops`, of anybody
    /// else (a proxy between us and an edge, an edge of another domain: D-H9)
    /// the flow it sticks to, or what it names (RFC 3263), as `request` would go
    /// there. The number of flows of the cluster that the table knew.
    pub(super) fn hops_to(
        &mut self,
        step: &mut Step<'_>,
        request: Option<&Request<'_>>,
        bytes: &[u8],
        uri: &Uri,
        hops: &mut Vec<Hop>,
    ) -> usize {
        let text = uri.whole.of(bytes);
        hops.clear();
        if same_host(uri.host.of(bytes), &self.cluster) {
            // The edges are asked over what the request came by.
            let came_by = request.map(|request| step.net.flows.transport(request.ingress.flow));
            let transport = came_by.unwrap_or(Transport::Udp);
            return self.cluster_hops(step, text, transport, hops);
        }
        if let Some(found) = self.stuck(step, request, text) {
            hops.push(Hop::Flow(found));
        } else {
            hops.extend(step.net.hop(step.now, bytes, uri));
        }
        0
    }

    fn stuck(
        &mut self,
        step: &mut Step<'_>,
        request: Option<&Request<'_>>,
        uri: &[u8],
    ) -> Option<Flow> {
        let chance = step.net.secrets.chance();
        let dialog =
            request.and_then(|request| dialog_of(step.net, request.bytes, request.message));
        let found = match dialog {
            Some(dialog) => self
                .stick
                .find_in_dialog(step.now, uri, dialog, &[], chance)?,
            None => self.stick.find(step.now, uri, &[], chance)?,
        };
        step.net.flows.lives(found.flow).then_some(found.flow)
    }

    /// Writes a URI of this home but for its scheme: its domain, the mark of a dialog
    /// where it is for one, and its name where it has one, which makes the URI another one than that of its siblings and
    /// still equal to the domain's (RFC 3261 §19.1.4, as with H-5).
    pub(super) fn write_own(&self, mark: Option<Mark>, out: &mut Vec<u8>) {
        for part in [&self.settings.domain, ";lr"] {
            out.extend_from_slice(part.as_bytes());
        }
        write_param(self.settings.name.as_bytes(), mark, out);
    }

    /// H-17: the domain itself, on any transport.
    fn record_route(&self, pass: &mut Pass<'_, '_>) {
        let method = pass.request.message.method();
        if !method.forms_dialog() && method != Method::Other {
            return;
        }
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        // Nobody but an edge stands behind a URI of the cluster. Whoever else
        // claims one would have the called side's requests go there, past the
        // services of this home.
        let is_claim = |next: Next<'_>| self.names_cluster_node(next.uri());
        let is_peer = pass.request.ingress.principal.is_cluster_node();
        let is_false = !is_peer && Next::behind(bytes, message).is_some_and(is_claim);
        let mark = self
            .marks
            .of_request(bytes, message, MarkedValue::default());
        let mark = mark.filter(|_| !is_false);
        // P-17
        let scheme = if pass.plan.is_secure(pass.request) {
            "sips:"
        } else {
            "sip:"
        };
        let own = &mut pass.plan.record_route;
        for part in ["<", scheme] {
            own.extend_from_slice(part.as_bytes());
        }
        self.write_own(mark, own);
        own.push(b'>');
        pass.note_dialog(mark, None);
    }
}

/// Where a binding stands among those of its address of record, in the order in which
/// they are tried: the highest preference first, of one instance the first flow, else
/// the newest binding; flows that are silent last.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// In thousandths.
    preference: Reverse<u16>,
    is_silent: bool,
    /// 0 where it has none.
    reg_id: u32,
    /// Among the live ones, the last updated last.
    index: Reverse<usize>,
}

/// How a binding is called.
struct Called {
    /// The Request-URI.
    uri: Buf,
    /// Its Path, as Route values.
    route: Option<Buf>,
    /// The number that bindings of one instance share; 0 stands alone.
    group: u64,
}

/// Whom calls to emergency services go to (RFC 5031): whoever is registered so.
const SOS: &[u8] = b"sos";

/// C-15: a phone that registered `sips` is called as it was called.
fn as_called(net: &Net, request: &Request<'_>, contact: &[u8]) -> Buf {
    let secure = is_sips(request.message.request_uri().of(request.bytes));
    match contact.get(5..) {
        Some(rest) if is_sips(contact) && !secure => net.pool.build(contact.len(), |out| {
            out.extend_from_slice(b"sip:");
            out.extend_from_slice(rest);
        }),
        Some(_) | None => net.pool.copy(contact),
    }
}

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
