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
//!   comes from where no phone is registered (`target_refresh`).
//! - A phone whose Route has a genuine token, on a flow over which nobody is registered
//!   (this edge was restarted, and the phone has not noticed), gets that token
//!   too, and the flow token in a parameter: while this edge lives the flow token leads to
//!   the very flow, and when it dies the token leads to the phone's other edge.
//!   From must be the user of the token, since the home then has the phone prove that it is.
//! - Any other phone gets a flow token at this edge's own address, and a second value for
//!   the other side where the two differ in transport or address family; a phone that
//!   resolves names gets it at this edge's name on its own side.
//!
//! Where the two sides need two values, a request carries the value for the side that it
//! goes to, and in its answers we replace that by the value for the side it came from
//! (RFC 3261 §16.7-8). Both values in every INVITE, at both edges, would make it too long for
//! one packet, and each is of use to one side alone. We find our value in an answer by the mark
//! of the dialog in it. A request without a mark (no Contact to answer to, or a dialog that is
//! not ours to vouch for) carries both values, a pair.
//!
//! `ob` is in none of them (O-4).

use super::flow_bindings::{FlowBinding, User};
use super::state::Edge;
use super::token::STICKY;
use super::uris::EdgeSide;
use super::{Follows, Subscriber, Token, flow_token};
use crate::id::{Flow, Transport};
use crate::omit::Omit;
use crate::proxy::{Net, Pass, Request};
use crate::scan::{Method, Name};
use crate::send::Hop;
use crate::trust::mark::{Mark, MarkedValue, PhoneName, begin_param, write_param};
use crate::uri::own_params::FLOW_PARAM;

/// Octets that the value for the answers takes, about.
const BACK_LEN: usize = 128;

/// Which way a request goes through the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the phone.
    Out,
    /// To the phone.
    In,
}

/// By what Record-Route values name a phone. In the first two: how it resolves a route, and the
/// name it has in the value of its own side.
enum NamedBy {
    /// By the token of its binding.
    Binding(Follows, Option<PhoneName>),
    /// By the token in the Route of the request, with a flow token beside it.
    Request(Follows, Option<PhoneName>),
    /// By a flow token.
    Flow,
}

/// One Record-Route value.
enum Value<'a> {
    /// The token URI under the name that the homes resolve, with the dialog parameter; the
    /// second field is the flow token for the parameter beside it, if any.
    HomeToken(&'a [u8], Option<&'a [u8]>),
    /// The token URI under the name that phones know, with the dialog parameter; used where
    /// the homes resolve another name (`core_name`).
    PhoneToken(&'a [u8]),
    /// Our address on a side, for a phone that sends to the address in its Route. The user part
    /// is the phone's `PhoneName`, or a flow token.
    Address(&'a [u8], EdgeSide),
    /// Our name and a transport, for a phone that resolves the name in its Route; the user
    /// part is that of `Address`.
    Name(&'a [u8], Transport),
}

impl Edge {
    /// Record-routes a request so that later requests of its dialog come back to `flow`, that of
    /// the phone; `home` is the hop on the other side.
    pub(super) fn record_route(
        &self,
        pass: &mut Pass<'_, '_>,
        flow: Flow,
        home: Hop,
        direction: Direction,
        token: &Token,
    ) {
        if !needs_record_route(pass.request) {
            return;
        }
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let (phone, home) = EdgeSide::both(pass.net, flow, home);
        // Taken out of the plan, which is borrowed while the text is written.
        let mut text = std::mem::take(&mut pass.plan.text);
        let Some((named, end)) = self.write_user_parts(pass, flow, token, direction, &mut text)
        else {
            pass.plan.text = text;
            return;
        };
        let (name, bare) = text.split_at(end);
        let (token, own, is_single) = match &named {
            // A phone that keeps to its flows finds them by the cluster's name.
            NamedBy::Binding(Follows::Flow, _) if self.settings.core_name.is_some() => {
                (Value::HomeToken(name, None), Value::PhoneToken(name), false)
            }
            NamedBy::Binding(follows, user) => {
                let token = Value::HomeToken(name, None);
                Value::pair(token, phone, *follows, user_part(user))
            }
            NamedBy::Request(follows, user) => {
                let token = Value::HomeToken(name, Some(bare));
                Value::pair(token, phone, *follows, user_part(user))
            }
            NamedBy::Flow if direction == Direction::Out && self.came_by_name(bytes, message) => {
                Value::pair(Value::Address(bare, home), phone, Follows::Name, bare)
            }
            NamedBy::Flow => (
                Value::Address(bare, home),
                Value::Address(bare, phone),
                home == phone,
            ),
        };
        // The value for the side that the request goes to, and the one for the side it came from.
        let (onward, back) = match direction {
            Direction::In if !is_single => (own, token),
            Direction::In | Direction::Out => (token, own),
        };
        let back = Some(back).filter(|_| !is_single);
        self.write_values(pass, direction, &onward, back.as_ref());
        pass.plan.text = text;
    }

    /// Writes the user parts of the values into one buffer: the token of the phone, if there is
    /// one, and where nobody is registered over the flow a flow token behind it. Returns by what
    /// they name the phone, and where the token ends. `None`: nothing is to be written.
    fn write_user_parts(
        &self,
        pass: &Pass<'_, '_>,
        flow: Flow,
        token: &Token,
        direction: Direction,
        text: &mut Vec<u8>,
    ) -> Option<(NamedBy, usize)> {
        text.clear();
        let bound = self.write_token_of_binding(pass, flow, token, direction, text);
        if let Some((follows, user)) = bound {
            return Some((NamedBy::Binding(follows, user), text.len()));
        }
        if direction == Direction::Out && is_in_dialog_from_outside(pass.request) {
            // A mark lets a request of a dialog pass from any address, and over UDP that may be
            // forged: a value with the flow of it would lead the dialog to somebody else. The
            // dialog keeps the value that its INVITE got.
            return None;
        }
        let requested = self.write_token_of_request(pass, token, text);
        let end = text.len();
        flow_token::write(
            &self.flow_key,
            &flow,
            pass.net.shard_set.own,
            self.boot,
            text,
        );
        let named = requested.map_or(NamedBy::Flow, |(follows, user)| {
            NamedBy::Request(follows, user)
        });
        Some((named, end))
    }

    /// Writes `onward`, the value for the side that the request goes to, and keeps `back`, the one
    /// for the side it came from, for the answers; without a mark both are written.
    fn write_values(
        &self,
        pass: &mut Pass<'_, '_>,
        direction: Direction,
        onward: &Value<'_>,
        back: Option<&Value<'_>>,
    ) {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let mark = match direction {
            Direction::Out => self.marks.of_phone(bytes, message, onward.marked_value()),
            // A dialog that did not pass the home is not vouched for.
            Direction::In if pass.request.ingress.principal.is_cluster_node() => {
                self.marks.of_request(bytes, message, onward.marked_value())
            }
            Direction::In => None,
        };
        let secure = pass.plan.is_secure(pass.request);
        let (net, own) = (&*pass.net, &mut pass.plan.record_route);
        self.value(net, onward, secure, mark, own);
        let back = match (back, mark) {
            (Some(back), Some(_)) => Some(net.pool.build(BACK_LEN, |out| {
                self.uri(net, back, secure, out);
                begin_param(self.dialog_name(back), out);
            })),
            (Some(back), None) => {
                own.extend_from_slice(b", ");
                self.value(net, back, secure, None, own);
                None
            }
            (None, _) => None,
        };
        pass.note_dialog(mark, back);
    }

    /// Writes the token of the phone that is registered over `flow`; returns how that phone
    /// resolves a route and the name it has in the value of its side. `None` where nobody, or no
    /// one phone in particular, is registered over the flow.
    fn write_token_of_binding(
        &self,
        pass: &Pass<'_, '_>,
        flow: Flow,
        token: &Token,
        direction: Direction,
        out: &mut Vec<u8>,
    ) -> Option<(Follows, Option<PhoneName>)> {
        // With a token in the Route the dialog is that subscriber's; without,
        // the user of From or To tells the subscribers of one flow apart.
        let routed = !token.is_empty()
            && self
                .flow_bindings
                .has_flow(pass.now, flow, &token.subscriber());
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let claim = match direction {
            _ if routed => User {
                name: token.user(),
                realm: token.realm(),
            },
            Direction::Out => User::of_uri(bytes, pass.uri_of_from()),
            Direction::In => User::of_uri(bytes, message.to_uri(bytes)),
        };
        let found = self.flow_bindings.on_flow(pass.now, flow, claim)?;
        let follows = match self.effective_follows(found.follows) {
            Follows::Name if pass.net.omit.leaves_out(Omit::Names) => Follows::Address,
            follows @ (Follows::Flow | Follows::Name | Follows::Address) => follows,
        };
        let is_written = routed && self.copy_token(pass, token, &found, out)
            || self.write_token(&found.subscriber, found.edges, found.flags, out);
        is_written.then(|| (follows, self.name_for(follows, &found.subscriber)))
    }

    /// Copies the token of a binding from the Route instead of sealing it again, where the Route
    /// has the very bytes that would be written. False, and nothing written, where it has not.
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
            && self.token_indices(token).eq(found.edges.iter())
            && self.codec.writes_like(text);
        if is_same {
            out.extend_from_slice(text);
        }
        is_same
    }

    /// Writes the token in the Route of the request anew, for a flow over which nobody is
    /// registered; returns how its phone resolves a route and the name it has in the value of its
    /// side. `None`, and nothing written, where the Route has no token, or one that names no user
    /// (D-E15).
    fn write_token_of_request(
        &self,
        pass: &Pass<'_, '_>,
        token: &Token,
        out: &mut Vec<u8>,
    ) -> Option<(Follows, Option<PhoneName>)> {
        out.clear();
        if token.is_empty() || token.is_anonymous() {
            return None;
        }
        if !pass.request.ingress.principal.is_cluster_node() && !self.claims_token_user(pass, token)
        {
            return None;
        }
        let (edges, flags) = (self.token_set(token), token.flags());
        if !self.write_token(&token.subscriber(), edges, flags, out) {
            out.clear();
            return None;
        }
        // The flag is in sealed tokens alone; otherwise the phone's own Supported tells.
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let says = |tag| message.has_token(bytes, Name::Supported, tag);
        let is_peer = pass.request.ingress.principal.is_cluster_node();
        let is_sticky = flags & STICKY != 0 || !is_peer && says("sticky");
        let by_name = !is_sticky && !is_peer && self.came_by_name(bytes, message);
        let follows = Follows::of(is_sticky, by_name);
        Some((follows, self.name_for(follows, &token.subscriber())))
    }

    /// The name of a phone in the value of its own side; `None` for a phone that keeps to its
    /// flows, which has the token in both.
    fn name_for(&self, follows: Follows, phone: &Subscriber<'_>) -> Option<PhoneName> {
        (follows != Follows::Flow).then(|| self.phone_name(phone))
    }

    /// Whether From is the user of the token, whom the home then has prove that he is. With the
    /// token of somebody else in our Record-Route, requests of the called side would go to the
    /// phone of that other one.
    fn claims_token_user(&self, pass: &Pass<'_, '_>, token: &Token) -> bool {
        let (bytes, request) = (pass.request.bytes, pass.request);
        let from = pass.uri_of_from();
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

    /// The name of this edge for the dialog parameter (`gunk`), in the values that have it.
    fn dialog_name(&self, value: &Value<'_>) -> &[u8] {
        match value {
            Value::HomeToken(..) | Value::PhoneToken(_) => self.settings.name.as_bytes(),
            Value::Address(..) | Value::Name(..) => &[],
        }
    }

    /// Writes the URI of a value up to the dialog parameter, with the scheme `sips` where the
    /// request goes on as `sips` (P-17).
    fn uri(&self, net: &Net, value: &Value<'_>, secure: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(if secure { b"sips:" } else { b"sip:" });
        match value {
            Value::HomeToken(token, flow) => {
                self.token(token, self.settings.home_side(), out);
                if let Some(flow) = flow {
                    for part in [";", FLOW_PARAM, "="] {
                        out.extend_from_slice(part.as_bytes());
                    }
                    out.extend_from_slice(flow);
                }
            }
            Value::PhoneToken(token) => self.token(token, self.settings.cluster.as_bytes(), out),
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
}

impl<'a> Value<'a> {
    /// The values for the home and for a phone on `side`, and whether the one for the home serves
    /// both.
    fn pair(home: Self, side: EdgeSide, follows: Follows, user: &'a [u8]) -> (Self, Self, bool) {
        let own = match follows {
            Follows::Flow | Follows::Address => Self::Address(user, side),
            Follows::Name => Self::Name(user, side.transport),
        };
        (home, own, follows == Follows::Flow)
    }

    /// The fields of the value that its mark is over.
    const fn marked_value(&self) -> MarkedValue<'a> {
        match *self {
            Self::HomeToken(token, flow) => MarkedValue {
                user: token,
                flow: match flow {
                    Some(flow) => flow,
                    None => &[],
                },
            },
            Self::PhoneToken(user) | Self::Address(user, _) | Self::Name(user, _) => {
                MarkedValue { user, flow: &[] }
            }
        }
    }
}

fn user_part(name: &Option<PhoneName>) -> &[u8] {
    name.as_ref().map_or(&[], PhoneName::as_bytes)
}

/// Whether a request within a dialog comes from outside the cluster.
fn is_in_dialog_from_outside(request: &Request<'_>) -> bool {
    request.in_dialog() && !request.ingress.principal.is_cluster_node()
}

/// P-16: what may create a dialog or a usage, and what nobody here knows.
fn needs_record_route(request: &Request<'_>) -> bool {
    let method = request.message.method();
    method.forms_dialog() || method == Method::Other
}
