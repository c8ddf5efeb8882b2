//! Where an edge sends everything but REGISTER: the decision table of
//! protocol 2.4 (RFC 5626 §5.3; H-5, H-10 to H-12).
//!
//! Outgoing or incoming is decided by identity: the flow a request came on and
//! the token in its Route, never by a source port or the direction of the
//! dialog (protocol 3.4).

use super::policy::{Edge, Mine, Origin};
use super::{BadToken, flow_token};
use crate::edit::host_port;
use crate::id::{Flow, Transport};
use crate::proxy::{Net, Note, Plan, Reply, Request, Target, Verdict};
use crate::scan::address::Address;
use crate::scan::uri::{Uri, host_ip, same_host};
use crate::scan::{Method, Name};
use crate::send::{Flows, Hop};
use crate::time::Instant;

/// Dialog parameter of a Record-Route value: which edge handled the dialog
/// (protocol 2.3 item 13).
pub(super) const DIALOG_PARAM: &str = "gunk";

/// Which way a request goes through the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Out,
    In,
}

impl Edge {
    /// Routes a request.
    pub(super) fn call(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
    ) -> Verdict {
        let origin = self.origin(request.source);
        self.token.clear();
        let own = self.own_routes(net, request);
        plan.pop = own.count;
        let (mut what, uri_mine) = (own.what, self.strict(net, request, own.count));
        if let Some(mine) = uri_mine {
            // P-7: a strict router upstream left our own value in the Request-URI.
            plan.restore_uri = true;
            what = mine;
        }
        let more = request.message.values(request.bytes, Name::Route).count()
            > plan.pop + usize::from(plan.restore_uri);
        match what {
            Mine::Bad(BadToken::Stale) => self.no_flow(net, request),
            Mine::Bad(bad) => {
                net.counters.bad_tokens += 1;
                let (status, _) = bad.answer();
                refuse(request, Reply::new(status, "Token Not Valid Here"))
            }
            Mine::Elsewhere(place) => self.forward_to(net, request, plan, place),
            Mine::Token => self.with_token(net, now, request, plan, origin, more),
            Mine::Flow(flow) => self.with_flow(net, now, request, plan, origin, flow, more),
            Mine::Cluster | Mine::Address | Mine::Sibling | Mine::Not => {
                self.plain(net, now, request, plan, origin, what, more)
            }
        }
    }

    /// Our own Record-Route value standing in the Request-URI of a request
    /// that still has routes.
    fn strict(&mut self, net: &Net, request: &Request<'_>, popped: usize) -> Option<Mine> {
        let uri = request.message.request_uri();
        request
            .message
            .values(request.bytes, Name::Route)
            .nth(popped)?;
        let parsed = Uri::parse(request.bytes, uri).ok()?;
        if popped > 0 || !parsed.is_loose(request.bytes) {
            return None;
        }
        let mine = self.classify(net, request.bytes, uri);
        matches!(mine, Mine::Token | Mine::Flow(_) | Mine::Address).then_some(mine)
    }

    fn with_token(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
        origin: Origin,
        more: bool,
    ) -> Verdict {
        if self.token.is_anonymous() {
            // D-E15
            net.counters.bad_tokens += 1;
            return refuse(request, Reply::new(403, "Token Names No User"));
        }
        let here = self
            .registrations
            .flow_of(now, &self.token.subscriber(), None)
            .filter(|flow| net.flows.lives(*flow));
        if origin == Origin::Phone {
            if self
                .registrations
                .has_flow(now, request.flow, &self.token.subscriber())
            {
                return self.outgoing(net, now, request, plan);
            }
            if !request.in_dialog() {
                // Protocol 2.3 item 9: a leaked token opens nothing.
                return refuse(request, Reply::new(403, "Token Of Another Flow"));
            }
            if more {
                // The phone's own address changed; its routes lead on.
                return self.outgoing(net, now, request, plan);
            }
        }
        match here {
            Some(flow) => self.incoming(net, now, request, plan, flow),
            None if origin == Origin::Edge => self.no_flow(net, request),
            None => self.relay(net, request, plan),
        }
    }

    fn with_flow(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
        origin: Origin,
        flow: Flow,
        more: bool,
    ) -> Verdict {
        let outward = flow == request.flow || (origin == Origin::Phone && more);
        if outward {
            return self.outgoing(net, now, request, plan);
        }
        if origin == Origin::Phone && !request.in_dialog() {
            return refuse(request, Reply::new(403, "Token Of Another Flow"));
        }
        if net.flows.lives(flow) {
            self.incoming(net, now, request, plan, flow)
        } else {
            self.no_flow(net, request)
        }
    }

    /// No token: from a phone it goes out, from the core it has no flow to go to.
    fn plain(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
        origin: Origin,
        what: Mine,
        more: bool,
    ) -> Verdict {
        if request.message.method() == Method::Options && !more && self.is_for_us(net, request) {
            plan.lines.extend_from_slice(
                b"Accept: application/sdp\r\nSupported: path, outbound, sticky\r\n",
            );
            return Verdict::Answer(Reply::stateless(200, "OK"));
        }
        if origin == Origin::Phone {
            return self.outgoing(net, now, request, plan);
        }
        if more && what != Mine::Not {
            return self.outgoing(net, now, request, plan);
        }
        refuse(request, Reply::new(404, "No Flow Is Named In The Route"))
    }

    /// An OPTIONS to the edge itself: a ping (S-32).
    fn is_for_us(&mut self, net: &Net, request: &Request<'_>) -> bool {
        matches!(
            self.classify(net, request.bytes, request.message.request_uri()),
            Mine::Cluster | Mine::Address
        )
    }

    /// The flow is gone and nobody else has it: 430 to the proxy (O-5).
    fn no_flow(&self, net: &mut Net, request: &Request<'_>) -> Verdict {
        net.counters.flows_failed += 1;
        refuse(request, Reply::new(430, "Flow Failed"))
    }

    /// H-12: another edge of the token may hold the flow. The Route stays, so
    /// that edge finds the token again; that it comes from an edge is the mark
    /// that ends the relaying there.
    fn relay(&mut self, net: &mut Net, request: &Request<'_>, plan: &mut Plan) -> Verdict {
        let set = self.token_set();
        plan.pop = 0;
        plan.restore_uri = false;
        let transport = Flows::transport(request.flow);
        for place in set.iter().filter(|place| *place != self.own) {
            if let Some(hop) = self.member_hop(place, transport) {
                push_in_order(plan, hop);
            }
        }
        if plan.targets.is_empty() {
            return self.no_flow(net, request);
        }
        net.counters.relays += 1;
        Verdict::Forward
    }

    /// D-E4: the value names another edge; it goes there as it is.
    fn forward_to(
        &mut self,
        net: &mut Net,
        request: &Request<'_>,
        plan: &mut Plan,
        place: usize,
    ) -> Verdict {
        plan.pop = 0;
        if self.origin(request.source) == Origin::Edge {
            return refuse(request, Reply::new(482, "Relayed Twice Between Edges"));
        }
        net.counters.relays += 1;
        let hop = self.member_hop(place, Flows::transport(request.flow));
        plan.targets.extend(hop.map(Target::at));
        Verdict::Forward
    }

    /// To the phone, over its flow and no other (RFC 5626 §5.3.1).
    fn incoming(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
        flow: Flow,
    ) -> Verdict {
        plan.targets.push(Target::at(Hop::Flow(flow)));
        if needs_record_route(request) {
            let home_side = Flows::transport(request.flow);
            self.record_route(net, now, request, plan, flow, home_side, Way::In);
        }
        Verdict::Forward
    }

    /// From a phone: by its next Route, else to the home.
    fn outgoing(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
    ) -> Verdict {
        let bytes = request.bytes;
        let next = request.message.values(bytes, Name::Route).nth(plan.pop);
        let next = next.and_then(|value| Address::parse(bytes, value).ok());
        let next = next.filter(|_| {
            !plan.restore_uri || request.message.values(bytes, Name::Route).count() > plan.pop + 1
        });
        let Some(uri) = next.map(|address| Uri::parse(bytes, address.uri)) else {
            self.to_home(plan);
            return self.out(net, now, request, plan);
        };
        let Ok(uri) = uri else {
            return refuse(request, Reply::new(400, "Malformed Route"));
        };
        let host = uri.host.of(bytes);
        let home = self
            .settings
            .home_domains
            .iter()
            .any(|domain| same_host(host, domain.as_bytes()))
            || same_host(host, self.settings.cluster.as_bytes())
            || host_ip(host)
                .is_some_and(|ip| self.settings.home.iter().any(|home| home.addr.ip() == ip));
        if home {
            self.to_home(plan);
            return self.out(net, now, request, plan);
        }
        // Elsewhere only for those who are known or already talk: an edge is
        // no open relay.
        let known =
            request.in_dialog() || self.registrations.on_flow(now, request.flow, b"").is_some();
        if !known {
            return refuse(request, Reply::new(403, "Route Leaves The Network"));
        }
        let Some(hop) = Hop::literal(bytes, &uri) else {
            return refuse(request, Reply::new(404, "Next Hop Cannot Be Resolved"));
        };
        plan.targets.push(Target::at(hop));
        self.out(net, now, request, plan)
    }

    fn out(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
    ) -> Verdict {
        let home_side = plan.targets.first().map(|target| match target.hop {
            Hop::To { transport, .. } => transport,
            Hop::Flow(flow) => Flows::transport(flow),
        });
        if needs_record_route(request)
            && let Some(home_side) = home_side
        {
            self.record_route(net, now, request, plan, request.flow, home_side, Way::Out);
        }
        Verdict::Forward
    }

    /// The configured homes, one after the other.
    pub(super) fn to_home(&self, plan: &mut Plan) {
        for home in &self.settings.home {
            push_in_order(
                plan,
                Hop::To {
                    transport: home.transport,
                    addr: home.addr,
                },
            );
        }
    }

    /// H-5, O-4, O-6: Record-Route such that later requests come back to this
    /// flow, by token where the phone is registered, else by flow token.
    fn record_route(
        &mut self,
        net: &Net,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
        flow: Flow,
        home_side: Transport,
        way: Way,
    ) {
        plan.note = Note::Dialog;
        let hint = match way {
            Way::Out => user_of(request, Name::From),
            Way::In => user_of(request, Name::To),
        };
        // With a token in the Route the dialog is that subscriber's.
        let routed = plan.pop > 0
            && self
                .registrations
                .has_flow(now, flow, &self.token.subscriber());
        let found =
            self.registrations
                .on_flow(now, flow, if routed { self.token.user() } else { hint });
        let phone_side = Flows::transport(flow);
        self.text.clear();
        let mut text = std::mem::take(&mut self.text);
        let sticky = found
            .as_ref()
            .is_some_and(|registration| registration.is_sticky);
        let written = found.is_some_and(|registration| {
            self.write_token(
                &registration.subscriber,
                registration.edges,
                registration.flags,
                &mut text,
            )
        });
        let values: [Value<'_>; 2] = if written {
            [Value::Token(&text), Value::Address(phone_side)]
        } else {
            text.clear();
            flow_token::write(&self.flow_key, &flow, self.boot, &mut text);
            [
                Value::Flow(&text, home_side),
                Value::Flow(&text, phone_side),
            ]
        };
        let single = if written {
            sticky
        } else {
            home_side == phone_side
        };
        let v6 = net.flows.peer(flow).is_some_and(|peer| peer.is_ipv6());
        match (way, single) {
            (_, true) => self.value(net, v6, &values[0], &mut plan.lines),
            (Way::Out, false) => {
                self.value(net, v6, &values[0], &mut plan.lines);
                self.value(net, v6, &values[1], &mut plan.lines);
            }
            (Way::In, false) => {
                self.value(net, v6, &values[1], &mut plan.lines);
                self.value(net, v6, &values[0], &mut plan.lines);
            }
        }
        self.text = text;
    }

    fn value(&self, net: &Net, v6: bool, value: &Value<'_>, lines: &mut Vec<u8>) {
        lines.extend_from_slice(b"Record-Route: <sip:");
        match value {
            Value::Token(token) => {
                for part in [token, &b"@"[..], self.settings.cluster.as_bytes(), b";lr;"] {
                    lines.extend_from_slice(part);
                }
                for part in [DIALOG_PARAM, "=", &self.settings.name] {
                    lines.extend_from_slice(part.as_bytes());
                }
            }
            Value::Flow(token, transport) => {
                lines.extend_from_slice(token);
                lines.push(b'@');
                self.own_address(net, v6, *transport, lines);
            }
            Value::Address(transport) => self.own_address(net, v6, *transport, lines),
        }
        lines.extend_from_slice(b">\r\n");
    }

    /// Our own listener as a URI's host, port and transport.
    fn own_address(&self, net: &Net, v6: bool, transport: Transport, lines: &mut Vec<u8>) {
        if let Some(addr) = net.flows.listener(transport, v6) {
            host_port(lines, addr);
        }
        if transport != Transport::Udp {
            lines.extend_from_slice(b";transport=");
            lines.extend_from_slice(transport.uri_token().as_bytes());
        }
        lines.extend_from_slice(b";lr");
    }
}

/// One Record-Route value.
enum Value<'a> {
    /// The token URI with the dialog parameter.
    Token(&'a [u8]),
    /// A flow token at our address.
    Flow(&'a [u8], Transport),
    /// Our address, for a phone that resolves its Route.
    Address(Transport),
}

/// An ACK is never answered (P-34); everything else gets the reply.
pub(super) fn refuse(request: &Request<'_>, reply: Reply) -> Verdict {
    if request.message.method() == Method::Ack {
        Verdict::Drop
    } else {
        Verdict::Answer(reply)
    }
}

/// Each further target stands by for the one before it.
fn push_in_order(plan: &mut Plan, hop: Hop) {
    let after = u8::try_from(plan.targets.len())
        .ok()
        .and_then(|count| count.checked_sub(1));
    plan.targets.push(Target {
        after,
        ..Target::at(hop)
    });
}

/// P-16: what may create a dialog or a usage, and what nobody here knows.
fn needs_record_route(request: &Request<'_>) -> bool {
    let method = request.message.method();
    method.forms_dialog() || method == Method::Other
}

/// The user of a From or To, to tell the subscribers of one flow apart.
fn user_of<'a>(request: &Request<'a>, name: Name) -> &'a [u8] {
    let bytes = request.bytes;
    let address = request
        .message
        .first(name)
        .and_then(|header| Address::parse(bytes, header.value).ok());
    let uri = address.and_then(|address| Uri::parse(bytes, address.uri).ok());
    uri.and_then(|uri| uri.user)
        .map(|user| user.of(bytes))
        .unwrap_or_default()
}
