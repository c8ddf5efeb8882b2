//! Everything but REGISTER at the home: to the contacts of its subscribers, by
//! the Route of a dialog, or on to the rest of the world (RFC 3261 §16.5,
//! RFC 3327 §5.4, RFC 5626 §7).

use std::cmp::Reverse;

use super::policy::Home;
use crate::id::{Flow, Transport};
use crate::proxy::{Net, Note, Plan, Reply, Request, Target, Verdict};
use crate::scan::address::Address;
use crate::scan::uri::{Scheme, Uri, same_host};
use crate::scan::{Method, Name};
use crate::send::{Flows, Hop};
use crate::span::Span;
use crate::time::Instant;

impl Home {
    /// Routes a request.
    pub(super) fn call(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
        from_edge: bool,
    ) -> Verdict {
        let bytes = request.bytes;
        self.own_routes(net, request, plan);
        plan.check_loops = true;
        let routed = plan.pop > 0 || plan.restore_uri;
        let left = request.message.values(bytes, Name::Route).nth(plan.pop);
        let left = left.filter(|_| {
            !plan.restore_uri || request.message.values(bytes, Name::Route).count() > 1
        });
        if let Some(next) = left {
            let Ok(address) = Address::parse(bytes, next) else {
                return Verdict::Answer(Reply::new(400, "Malformed Route"));
            };
            return self.by_uri(net, now, request, plan, address.uri, from_edge || routed);
        }
        let target = if plan.restore_uri {
            last_route(request)
        } else {
            request.message.request_uri()
        };
        let Ok(uri) = Uri::parse(bytes, target) else {
            return Verdict::Answer(Reply::new(400, "Malformed URI"));
        };
        if !self.is_own_host(net, bytes, &uri) {
            return self.by_uri(net, now, request, plan, target, from_edge || routed);
        }
        if uri.user.is_none() {
            return self.for_us(request, plan);
        }
        self.to_subscriber(net, now, request, plan, &uri)
    }

    /// Takes our own values off: up to two (one per transport).
    fn own_routes(&self, net: &Net, request: &Request<'_>, plan: &mut Plan) {
        let bytes = request.bytes;
        let is_own = |value: Span| {
            let uri =
                Address::parse(bytes, value).and_then(|address| Uri::parse(bytes, address.uri));
            uri.is_ok_and(|uri| self.is_own(net, bytes, &uri))
        };
        plan.pop = request
            .message
            .values(bytes, Name::Route)
            .take(2)
            .take_while(|value| is_own(*value))
            .count();
        let uri = Uri::parse(bytes, request.message.request_uri());
        // P-7: what we record-routed is our domain with `lr`.
        plan.restore_uri = plan.pop == 0
            && uri.is_ok_and(|uri| uri.is_loose(bytes) && self.is_own(net, bytes, &uri))
            && request.message.first(Name::Route).is_some();
    }

    /// A request to the domain itself.
    fn for_us(&self, request: &Request<'_>, plan: &mut Plan) -> Verdict {
        match request.message.method() {
            Method::Options => {
                plan.lines
                    .extend_from_slice(b"Accept: application/sdp\r\nSupported: path, outbound\r\n");
                Verdict::Answer(Reply::stateless(200, "OK"))
            }
            Method::Ack => Verdict::Drop,
            _ => Verdict::Answer(Reply::new(404, "The Domain Itself Takes No Calls")),
        }
    }

    /// RFC 3261 §16.5 with the location service: all contacts, highest q
    /// first, one flow of an instance at a time (O-19, O-20).
    fn to_subscriber(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
        uri: &Uri,
    ) -> Verdict {
        let bytes = request.bytes;
        let mut aor = std::mem::take(&mut self.aor);
        aor.clear();
        // An address of ours in the host means the domain.
        let user = uri.user.map(|user| user.of(bytes)).unwrap_or_default();
        super::aor::file(user, self.settings.domain.as_bytes(), &mut aor);
        let transport = Flows::transport(request.flow);
        let mut bindings = std::mem::take(&mut self.order);
        bindings.clear();
        let ranked = self.location.bindings(now, &aor).enumerate();
        // Highest q first; of one instance its first flow, else the newest.
        bindings.extend(ranked.map(|(place, binding)| {
            (
                Reverse(binding.q),
                binding.reg_id().unwrap_or(0),
                Reverse(place),
            )
        }));
        bindings.sort_unstable();
        let mut rank: u16 = 0;
        let mut last_q = None;
        for &(Reverse(q), _, Reverse(place)) in &bindings {
            if last_q.is_some_and(|last| last != q) {
                rank += 1;
            }
            last_q = Some(q);
            if self
                .add_binding(net, now, &aor, place, rank, transport, plan)
                .is_none()
            {
                break;
            }
        }
        self.order = bindings;
        let known = self
            .subscribers
            .find(user, self.settings.domain.as_bytes())
            .is_some();
        self.aor = aor;
        if plan.targets.is_empty() {
            // P-18
            let reply = if known {
                Reply::new(480, "Not Registered")
            } else {
                Reply::new(404, "No Such Subscriber")
            };
            return if request.message.method() == Method::Ack {
                Verdict::Drop
            } else {
                Verdict::Answer(reply)
            };
        }
        self.record_route(request, plan);
        Verdict::Forward
    }

    /// Adds the ways to one binding: the flow its REGISTER came on, else where
    /// its Path sticks, else any edge. A further flow of an instance already
    /// there stands by for it.
    fn add_binding(
        &mut self,
        net: &mut Net,
        now: Instant,
        aor: &[u8],
        place: usize,
        rank: u16,
        transport: Transport,
        plan: &mut Plan,
    ) -> Option<()> {
        let binding = self.location.bindings(now, aor).nth(place)?;
        let uri = Some(net.pool.copy(binding.contact()));
        let route = (!binding.path().is_empty()).then(|| net.pool.copy(binding.path()));
        let live = binding.flow.filter(|flow| net.flows.lives(*flow));
        // Bindings of one instance share a group; 0 stands alone.
        let group = binding
            .instance()
            .map_or(0, |instance| net.hash([instance]) | 1);
        let first = self
            .groups
            .iter()
            .rposition(|seen| *seen == group)
            .filter(|_| group != 0 && !plan.targets.is_empty());
        let mut after = first.and_then(|place| u8::try_from(place).ok());
        self.hops.clear();
        match (live, &route) {
            (Some(flow), _) => self.hops.push(Hop::Flow(flow)),
            (None, Some(path)) => {
                let whole = Span::new(0, path.len().min(first_value(path)));
                let top = Address::parse(path, whole)
                    .map(|address| address.uri.of(path))
                    .unwrap_or_default();
                self.cluster_hops(net, now, top, transport);
            }
            (None, None) => self.hops.extend(contact_hop(binding.contact())),
        }
        if plan.targets.is_empty() {
            self.groups.clear();
        }
        for place in 0..self.hops.len() {
            let hop = self.hops[place];
            let index = u8::try_from(plan.targets.len()).ok()?;
            plan.targets.push(Target {
                hop,
                uri: uri.clone(),
                route: route.clone(),
                rank,
                after,
            });
            self.groups.push(group);
            after = Some(index);
        }
        Some(())
    }

    /// To a Route or a foreign Request-URI.
    fn by_uri(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
        target: Span,
        trusted: bool,
    ) -> Verdict {
        let bytes = request.bytes;
        let refuse = |status, reason| {
            if request.message.method() == Method::Ack {
                Verdict::Drop
            } else {
                Verdict::Answer(Reply::new(status, reason))
            }
        };
        if !trusted {
            return refuse(403, "No Relaying For Strangers");
        }
        let Ok(uri) = Uri::parse(bytes, target) else {
            return refuse(400, "Malformed URI");
        };
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return refuse(404, "No Route To That Scheme");
        }
        self.hops.clear();
        let text = target.of(bytes);
        if same_host(uri.host.of(bytes), &self.cluster) {
            self.cluster_hops(net, now, text, Flows::transport(request.flow));
        } else if let Some(found) = self.stuck(net, now, text) {
            self.hops.push(Hop::Flow(found));
        } else {
            self.hops.extend(Hop::literal(bytes, &uri));
        }
        for place in 0..self.hops.len() {
            let after = place
                .checked_sub(1)
                .and_then(|before| u8::try_from(before).ok());
            plan.targets.push(Target {
                after,
                ..Target::at(self.hops[place])
            });
        }
        if plan.targets.is_empty() {
            return refuse(404, "Next Hop Cannot Be Resolved");
        }
        self.record_route(request, plan);
        Verdict::Forward
    }

    fn stuck(&mut self, net: &mut Net, now: Instant, uri: &[u8]) -> Option<Flow> {
        let chance = net.chance();
        let found = self.stick.find(now, uri, &[], chance)?;
        net.flows.lives(found.flow).then_some(found.flow)
    }

    /// H-17: the domain itself, on any transport.
    fn record_route(&self, request: &Request<'_>, plan: &mut Plan) {
        let method = request.message.method();
        if !method.forms_dialog() && method != Method::Other {
            return;
        }
        plan.note = Note::Dialog;
        for part in ["Record-Route: <sip:", &self.settings.domain, ";lr>\r\n"] {
            plan.lines.extend_from_slice(part.as_bytes());
        }
    }
}

fn last_route(request: &Request<'_>) -> Span {
    let bytes = request.bytes;
    let last = request.message.values(bytes, Name::Route).last();
    last.and_then(|value| Address::parse(bytes, value).ok())
        .map(|address| address.uri)
        .unwrap_or_default()
}

/// Where the first of the comma-separated values ends. Values are name-addrs
/// as they stood in Path headers.
fn first_value(path: &[u8]) -> usize {
    memchr::memchr(b'>', path).map_or(path.len(), |end| end + 1)
}

fn contact_hop(contact: &[u8]) -> Option<Hop> {
    let uri = Uri::parse(contact, Span::new(0, contact.len())).ok()?;
    Hop::literal(contact, &uri)
}
