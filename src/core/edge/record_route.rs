//! The Record-Route values an edge writes (RFC 3261 §16.6-4, RFC 5626 §5.3;
//! H-5, O-4, O-6, B-4, R-6).
//!
//! - A registered phone that keeps to the flow a route was learned on gets one
//!   value, its token with the dialog parameter: equal to the Path URI under
//!   RFC 3261, and not the same.
//! - A registered phone that resolves its routes needs two: the token towards
//!   the home, and towards itself the name of this edge, or its address, which is
//!   where its flow is (`names` says to whom which). The user part of that says in
//!   five letters which phone it is (`trust::mark::PhoneName`), for a request that
//!   comes from where no phone is registered (`refreshed`).
//! - A phone that shows a genuine token on a flow where nobody is registered
//!   (this edge was restarted, and the phone has not noticed) gets that token
//!   too, and in a parameter the flow token: while this edge lives it leads to
//!   the very flow, and when it dies the token leads to the phone's other edge.
//!   It has to call in the name that stands in the token, which the home has it
//!   prove.
//! - Anyone else gets a flow token at this edge's own address, another one for each
//!   side where the two differ in transport or address family; one who resolves gets
//!   it at this edge's name on his own side.
//!
//! Where the two sides need two values, a request carries the one of the side that it
//! goes to, and the answers the other one in its place (RFC 3261 §16.7-8): each value is
//! of use to one side alone, and both of them in every INVITE, at both edges, are what
//! makes it too long for one packet. The mark of the dialog, which changes in the answers
//! as well, is how ours is found there. Without one (nobody could be answered, or the
//! dialog is not ours to vouch for) both stand in the request.
//!
//! `ob` is in none of them (O-4).

use std::net::SocketAddr;

use super::flow_bindings::{FlowBinding, User};
use super::state::Edge;
use super::token::STICKY;
use super::{Follows, Subscriber, Token, flow_token};
use crate::edit::{decimal, host, host_port};
use crate::id::{Flow, Transport};
use crate::omit::Omit;
use crate::proxy::{Net, Pass, Request};
use crate::scan::{Method, Name};
use crate::send::Hop;
use crate::trust::mark::{Mark, MarkedValue, PhoneName, begin_param, write_param};
use crate::uri::own::FLOW_PARAM;

/// Octets of a value that is kept for the answers, about.
const THERE: usize = 128;

/// Which way a request goes through the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the phone.
    Out,
    /// To the phone.
    In,
}

/// One side of the edge: what a URI must say to be reached from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Side {
    transport: Transport,
    v6: bool,
    /// Peers alone are there.
    core: bool,
}

/// One Record-Route value.
enum Value<'a> {
    /// The token URI with the dialog parameter, as the homes resolve it; and with
    /// a flow token.
    Token(&'a [u8], Option<&'a [u8]>),
    /// The token URI with the dialog parameter, as phones know it, where homes
    /// know it by another name.
    Known(&'a [u8]),
    /// Our address, for a phone that goes where its Route says. The user part says
    /// who it is: a name without meaning, or a flow token.
    Address(&'a [u8], Side),
    /// The same with our name, for one that resolves what it says.
    Name(&'a [u8], Transport),
}

impl Edge {
    /// Record-Routes such that later requests come back to `flow`, the phone's;
    /// `home` is the way on the other side.
    pub(super) fn record_route(
        &self,
        pass: &mut Pass<'_, '_>,
        flow: Flow,
        home: Hop,
        way: Direction,
        token: &Token,
    ) {
        if !needs_record_route(pass.request) {
            return;
        }
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let (phone, home) = Side::both(pass.net, flow, home);
        // Lent out of the plan, which is read while it is written.
        let mut text = std::mem::take(&mut pass.plan.text);
        text.clear();
        let known = self.write_phone(pass, flow, token, way, &mut text);
        if known.is_none() && way == Direction::Out && is_within(pass.request) {
            // A mark lets it pass from any address, and over UDP that may be forged:
            // a route to it would be one to somebody else. The dialog has its own.
            pass.plan.text = text;
            return;
        }
        let shown = match known {
            Some(_) => None,
            None => self.write_shown(pass, token, &mut text),
        };
        let end = text.len();
        // Behind the token, if there is one: both are of the same text.
        if known.is_none() {
            let shard = pass.net.shard_set.own;
            flow_token::write(&self.flow_key, &flow, shard, self.boot, &mut text);
        }
        let (name, bare) = text.split_at(end);
        let (token, own, is_single) = match (&known, &shown) {
            // A phone that keeps to its flows finds them by the cluster's name.
            (Some((Follows::Flow, _)), _) if self.settings.core_name.is_some() => {
                (Value::Token(name, None), Value::Known(name), false)
            }
            (Some((follows, user)), _) => {
                phone.values(Value::Token(name, None), *follows, user_part(user))
            }
            (None, Some((follows, user))) => {
                phone.values(Value::Token(name, Some(bare)), *follows, user_part(user))
            }
            (None, None) if way == Direction::Out && self.came_by_name(bytes, message) => {
                phone.values(Value::Address(bare, home), Follows::Name, bare)
            }
            (None, None) => (
                Value::Address(bare, home),
                Value::Address(bare, phone),
                home == phone,
            ),
        };
        // The one of the side the request goes to, and the one of the side it came from.
        let (here, there) = match way {
            Direction::In if !is_single => (own, token),
            Direction::In | Direction::Out => (token, own),
        };
        let there = Some(there).filter(|_| !is_single);
        self.write_values(pass, way, &here, there.as_ref());
        pass.plan.text = text;
    }

    /// Writes the value of the side that the request goes to, and keeps `there`, that of
    /// the side it came from, for the answers.
    fn write_values(
        &self,
        pass: &mut Pass<'_, '_>,
        way: Direction,
        here: &Value<'_>,
        there: Option<&Value<'_>>,
    ) {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let mark = match way {
            Direction::Out => self.marks.of_phone(bytes, message, here.own()),
            // Past the home nobody begins a dialog.
            Direction::In if pass.request.ingress.principal.is_cluster_node() => {
                self.marks.of_request(bytes, message, here.own())
            }
            Direction::In => None,
        };
        let secure = pass.plan.is_secure(pass.request);
        let (net, own) = (&*pass.net, &mut pass.plan.record_route);
        self.value(net, here, secure, mark, own);
        let there = match (there, mark) {
            (Some(there), Some(_)) => Some(net.pool.build(THERE, |out| {
                self.uri(net, there, secure, out);
                begin_param(self.dialog_name(there), out);
            })),
            (Some(there), None) => {
                own.extend_from_slice(b", ");
                self.value(net, there, secure, None, own);
                None
            }
            (None, _) => None,
        };
        pass.note_dialog(mark, there);
    }

    /// Writes the token of the phone on `flow`; what that one does with a route.
    /// `None` when nobody in particular is registered there.
    fn write_phone(
        &self,
        pass: &Pass<'_, '_>,
        flow: Flow,
        token: &Token,
        way: Direction,
        out: &mut Vec<u8>,
    ) -> Option<(Follows, Option<PhoneName>)> {
        // With a token in the Route the dialog is that subscriber's; without,
        // the user of From or To tells the subscribers of one flow apart.
        let routed = !token.is_empty()
            && self
                .registrations
                .has_flow(pass.now, flow, &token.subscriber());
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let claim = match way {
            _ if routed => User {
                name: token.user(),
                realm: token.realm(),
            },
            Direction::Out => User::of_uri(bytes, message.uri_of_from(bytes)),
            Direction::In => User::of_uri(bytes, message.to_uri(bytes)),
        };
        let found = self.registrations.on_flow(pass.now, flow, claim)?;
        let follows = match self.asked_to(found.follows) {
            Follows::Name if pass.net.omit.leaves_out(Omit::Names) => Follows::Address,
            follows @ (Follows::Flow | Follows::Name | Follows::Address) => follows,
        };
        let is_written = routed && self.copy_token(pass, token, &found, out)
            || self.write_token(&found.subscriber, found.edges, found.flags, out);
        is_written.then(|| (follows, self.name_for(follows, &found.subscriber)))
    }

    /// Copies the token of a registration from the Route, where it stands as it
    /// would be written: it is the same bytes from every edge. False, and nothing
    /// written, where it does not.
    fn copy_token(
        &self,
        pass: &Pass<'_, '_>,
        token: &Token,
        found: &FlowBinding<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let uri = self.token_uri(pass.request, pass.plan.pop);
        let text = uri.and_then(|uri| uri.user);
        let text = text.unwrap_or_default().of(pass.request.bytes);
        let is_same = token.subscriber() == found.subscriber
            && token.flags() == found.flags
            && self.token_places(token).eq(found.edges.iter())
            && self.codec.writes_like(text);
        if is_same {
            out.extend_from_slice(text);
        }
        is_same
    }

    /// Writes the token that the request itself shows, for a flow that nobody
    /// is registered on; what its phone does with a route. `None`, and
    /// nothing written, when it shows none, or one that names no user (D-E15).
    fn write_shown(
        &self,
        pass: &Pass<'_, '_>,
        token: &Token,
        out: &mut Vec<u8>,
    ) -> Option<(Follows, Option<PhoneName>)> {
        out.clear();
        if token.is_empty() || token.is_anonymous() {
            return None;
        }
        if !pass.request.ingress.principal.is_cluster_node() && !self.claims_own(pass, token) {
            return None;
        }
        let (edges, flags) = (self.token_set(token), token.flags());
        if !self.write_token(&token.subscriber(), edges, flags, out) {
            out.clear();
            return None;
        }
        // A clear token does not say it, but the phone does.
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let says = |tag| message.has_token(bytes, Name::Supported, tag);
        let is_peer = pass.request.ingress.principal.is_cluster_node();
        let is_sticky = flags & STICKY != 0 || !is_peer && says("sticky");
        let by_name = !is_sticky && !is_peer && self.came_by_name(bytes, message);
        let follows = Follows::of(is_sticky, by_name);
        Some((follows, self.name_for(follows, &token.subscriber())))
    }

    /// What a phone is called in the value of its own side, where it has one.
    fn name_for(&self, follows: Follows, phone: &Subscriber<'_>) -> Option<PhoneName> {
        (follows != Follows::Flow).then(|| self.phone_name(phone))
    }

    /// Whether whoever shows the token at hand calls in the name that stands in it:
    /// then the home asks him whether he is that. Another one's token would have
    /// the called side's requests go to that one's phone.
    fn claims_own(&self, pass: &Pass<'_, '_>, token: &Token) -> bool {
        let (bytes, request) = (pass.request.bytes, pass.request);
        let from = request.message.uri_of_from(bytes);
        !request.is_emergency()
            && from.is_some_and(|from| {
                let user = from.user.unwrap_or_default().of(bytes);
                user == token.user() && self.is_served(bytes, &from)
            })
    }

    /// Writes a value with the parameter of its dialog.
    fn value(
        &self,
        net: &Net,
        value: &Value<'_>,
        secure: bool,
        mark: Option<Mark>,
        out: &mut Vec<u8>,
    ) {
        out.push(b'<');
        self.uri(net, value, secure, out);
        write_param(self.dialog_name(value), mark, out);
        out.push(b'>');
    }

    /// Who handles the dialog, where a value says it.
    fn dialog_name(&self, value: &Value<'_>) -> &[u8] {
        match value {
            Value::Token(..) | Value::Known(_) => self.settings.name.as_bytes(),
            Value::Address(..) | Value::Name(..) => &[],
        }
    }

    /// P-17: what goes on as `sips` comes back as `sips`. The parameter of the dialog
    /// comes behind.
    fn uri(&self, net: &Net, value: &Value<'_>, secure: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(if secure { b"sips:" } else { b"sip:" });
        match value {
            Value::Token(token, flow) => {
                self.token(token, self.settings.home_side(), out);
                if let Some(flow) = flow {
                    for part in [";", FLOW_PARAM, "="] {
                        out.extend_from_slice(part.as_bytes());
                    }
                    out.extend_from_slice(flow);
                }
            }
            Value::Known(token) => self.token(token, self.settings.cluster.as_bytes(), out),
            Value::Address(user, side) => {
                out.extend_from_slice(user);
                out.push(b'@');
                self.own_address(net, *side, secure, out);
            }
            Value::Name(user, transport) => {
                out.extend_from_slice(user);
                out.push(b'@');
                self.own_name(*transport, secure, out);
                out.extend_from_slice(b";lr");
            }
        }
    }

    fn token(&self, token: &[u8], host: &[u8], lines: &mut Vec<u8>) {
        for part in [token, &b"@"[..], host, b";lr"] {
            lines.extend_from_slice(part);
        }
    }

    /// The address this edge is known by on one side, as a URI's host, port,
    /// `maddr` and transport. A listener may stand on the unspecified address or behind
    /// address translation, so the configured one is written where it fits.
    fn own_address(&self, net: &Net, side: Side, secure: bool, lines: &mut Vec<u8>) {
        let Side {
            transport,
            v6,
            core,
        } = side;
        let own = self.settings.members.get(self.own);
        let met = own.filter(|_| core);
        let known = |v6| own?.public_addr(transport, v6);
        let addr = met
            .and_then(|own| own.core_addr(transport, v6))
            .or_else(|| known(v6))
            .or_else(|| net.flows.listener(transport, v6))
            .or_else(|| known(!v6));
        match addr {
            Some(addr) if transport == Transport::Tls => self.proven_address(addr, lines),
            // RFC 3261 §19.1.2: it is what a URI without a port means.
            Some(addr) if addr.port() == transport.default_port() => host(lines, addr.ip()),
            Some(addr) => host_port(lines, addr),
            None => {}
        }
        // C-15 wants no `transport=tls`, since DNS can say it instead. Here stands
        // an address that was written for one phone, which speaks TLS with us by
        // a `sip` URI: nothing else would bring it back the same way.
        if transport != Transport::Udp && !secure {
            lines.extend_from_slice(b";transport=");
            lines.extend_from_slice(transport.uri_token().as_bytes());
        }
        lines.extend_from_slice(b";lr");
    }

    /// C-6: over TLS the host is what our certificate names, and `maddr` says
    /// which of the edges it is (D-U12).
    fn proven_address(&self, addr: SocketAddr, lines: &mut Vec<u8>) {
        lines.extend_from_slice(self.settings.cluster.as_bytes());
        if addr.port() != Transport::Tls.default_port() {
            lines.push(b':');
            decimal(lines, addr.port());
        }
        lines.extend_from_slice(b";maddr=");
        host(lines, addr.ip());
    }
}

impl<'a> Value<'a> {
    /// The phone that it names.
    const fn own(&self) -> MarkedValue<'a> {
        match *self {
            Self::Token(token, flow) => MarkedValue {
                user: token,
                flow: match flow {
                    Some(flow) => flow,
                    None => &[],
                },
            },
            Self::Known(user) | Self::Address(user, _) | Self::Name(user, _) => {
                MarkedValue { user, flow: &[] }
            }
        }
    }
}

impl Side {
    /// The values of a phone on this side: the home's, its own, and whether the
    /// home's is that of both.
    fn values<'a>(
        self,
        home: Value<'a>,
        follows: Follows,
        user: &'a [u8],
    ) -> (Value<'a>, Value<'a>, bool) {
        let own = match follows {
            Follows::Flow | Follows::Address => Value::Address(user, self),
            Follows::Name => Value::Name(user, self.transport),
        };
        (home, own, follows == Follows::Flow)
    }

    /// That of the phone, who is never on the core side, and the other one.
    fn both(net: &Net, flow: Flow, home: Hop) -> (Self, Self) {
        let phone = Self {
            core: false,
            ..Self::of(net, Hop::Flow(flow))
        };
        (phone, Self::of(net, home))
    }

    /// That of an address.
    fn at(net: &Net, transport: Transport, addr: SocketAddr) -> Self {
        Self {
            transport,
            v6: addr.is_ipv6(),
            core: net.flows.is_beyond_core(addr.ip()),
        }
    }

    fn of(net: &Net, hop: Hop) -> Self {
        match hop {
            Hop::To {
                transport, addr, ..
            } => Self::at(net, transport, addr),
            // Where it leads as far as is known; else what a URI means by itself.
            Hop::Named(name) => match net.servers.locator.last_known(name).first() {
                Some(server) => Self::at(net, server.transport, server.addr),
                None => Self {
                    transport: Transport::Udp,
                    v6: net.flows.listener(Transport::Udp, false).is_none(),
                    core: false,
                },
            },
            Hop::Flow(flow) => {
                let transport = net.flows.transport(flow);
                match net.flows.peer(flow) {
                    Some(peer) => Self::at(net, transport, peer),
                    None => Self {
                        transport,
                        v6: false,
                        core: false,
                    },
                }
            }
        }
    }
}

fn user_part(name: &Option<PhoneName>) -> &[u8] {
    name.as_ref().map_or(&[], PhoneName::as_bytes)
}

/// Whether somebody who is no peer sends it within a dialog.
fn is_within(request: &Request<'_>) -> bool {
    request.in_dialog() && !request.ingress.principal.is_cluster_node()
}

/// P-16: what may create a dialog or a usage, and what nobody here knows.
fn needs_record_route(request: &Request<'_>) -> bool {
    let method = request.message.method();
    method.forms_dialog() || method == Method::Other
}
