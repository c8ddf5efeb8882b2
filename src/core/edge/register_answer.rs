//! What an edge does with the 2xx to a REGISTER: it binds the phone to its flow (D-E13) and
//! adds header lines for the phone (D-E9 to D-E12; RFC 5626 §5.4).
//!
//! Only the phone's first hop does either: a REGISTER that another proxy
//! relayed came over a flow that is not the phone's (D-E4).

use super::granted::Granted;
use super::phone::{ContactAction, Phone, SubscriberText};
use super::state::Edge;
use super::uris::UriAddress;
use super::{BindResult, EdgeSet, FlowBinding, Follows, Subscriber, Token};
use crate::edit::{Edits, decimal};
use crate::id::{Flow, Transport};
use crate::limits;
use crate::omit::Omit;
use crate::proxy::{Context, Net, Note, Response, Step};
use crate::recorder::Decision;
use crate::scan::{Name, scan};
use crate::time::Duration;
use crate::trust::Ingress;
use crate::uri::is_sips;

/// A REGISTER that got a 2xx by which its phone is bound.
struct AcceptedRegister<'a> {
    /// The user part of its Path URI.
    token: &'a [u8],
    /// The REGISTER is no refresh: its Route had no token of this phone.
    initial: bool,
    /// The phone has resolved a name to come here.
    by_name: bool,
    subscriber: Subscriber<'a>,
    /// The address of record, as a flow binding has it.
    aor: &'a [u8],
    phone: &'a Phone,
    ours: Granted,
    /// The Request-URI is `sips`.
    secure: bool,
}

/// What the header lines that the edge adds to a 2xx for its phone follow from.
struct PhoneAnswer<'a> {
    /// The user part of its Path URI.
    token: &'a [u8],
    /// The edges that the token names.
    edges: EdgeSet,
    /// The REGISTER is no refresh: its Route had no token of this phone.
    initial: bool,
    /// How the phone resolves a route.
    follows: Follows,
    /// The transport of the phone's flow.
    transport: Transport,
    /// The phone's flow is over IPv6.
    v6: bool,
    /// The Request-URI is `sips`.
    secure: bool,
}

impl Edge {
    /// Takes note of the 2xx to a REGISTER; a 2xx to anything else is none of its business.
    pub(super) fn on_register_accepted(
        &mut self,
        step: &mut Step<'_>,
        context: &Context,
        response: &Response<'_>,
        edits: &mut Edits,
    ) {
        let Note::Register {
            token,
            initial,
            first_hop: true,
            vouched,
            by_name,
        } = &context.note
        else {
            return;
        };
        // The home has registered it, so the phone has received what was sent to its address.
        step.net.guard.prove(step.now, context.ingress.source.ip());
        let Some(base) = context.request() else {
            return;
        };
        let contact =
            scan(base, &mut self.rescanned).map(|()| ContactAction::read(base, &self.rescanned));
        if *vouched {
            remove_path(response, edits);
        }
        if let Ok(Ok(ContactAction::Binding(phone))) = contact {
            let ours = Granted::of(base, &phone, response);
            let secure = is_sips(self.rescanned.request_uri().of(base));
            let mut registering = SubscriberText::default();
            let text = step.net.pool.build(limits::TOKEN_MAX, |out| {
                registering = SubscriberText::write(base, &self.rescanned, &phone, out);
            });
            let subscriber = registering.subscriber(&text);
            match ours.filter(|ours| ours.seconds > 0) {
                // A To without a user: its token leads nowhere (D-E15).
                _ if subscriber.user.is_empty() => {}
                // D-E11: after a de-registration the phone gets no lines of ours.
                None => self.unbind_phone(step, &subscriber, phone.reg_id),
                Some(ours) => {
                    let accepted = AcceptedRegister {
                        token,
                        initial: *initial,
                        by_name: *by_name,
                        subscriber,
                        aor: registering.aor(&text),
                        phone: &phone,
                        ours,
                        secure,
                    };
                    self.bind_phone(step, context, response, &accepted, edits);
                }
            }
        }
    }

    /// Binds the phone to the flow that its REGISTER came over and adds our header lines to the
    /// 2xx. Nothing is bound where the token of its Path cannot be read: another edge has written
    /// it, under a key that this one has not.
    fn bind_phone(
        &mut self,
        step: &mut Step<'_>,
        context: &Context,
        response: &Response<'_>,
        accepted: &AcceptedRegister<'_>,
        edits: &mut Edits,
    ) {
        let AcceptedRegister {
            token,
            subscriber,
            phone,
            ours,
            ..
        } = *accepted;
        let mut named = Token::new();
        if self.codec.read(token, &mut named).is_err() {
            return;
        }
        let Ingress { flow, source, .. } = context.ingress;
        let edges = self.token_set(&named);
        let until = step.now + Duration::from_secs(ours.seconds.into());
        let follows = Follows::of(phone.sticky, accepted.by_name);
        let is_kept_open = self.keep_reachable(
            step.net,
            &context.ingress,
            &self.rescanned,
            response,
            ours,
            edits,
        );
        let bound = self.flow_bindings.bind(&FlowBinding {
            subscriber,
            aor: accepted.aor,
            reg_id: phone.reg_id,
            flow,
            edges,
            flags: named.flags(),
            follows,
            is_tls: step.net.flows.transport(flow) == Transport::Tls,
            is_kept_open,
            is_restored: false,
            expires: until,
        });
        self.arm_pings(step);
        if let Ok(known) = bound {
            // A phone that is new here may have had this reg-id on another shard, which is to
            // forget it; a renewed one had it here.
            let new_reg_id = (known == BindResult::New).then_some(phone.reg_id);
            self.announce_phone(step, &subscriber, until, new_reg_id);
            self.refreshed
                .end_all_of_subscriber(step.net, &self.marks, &subscriber);
        }
        step.net.counters.registrations += u64::from(bound.is_ok());
        if bound.is_ok() {
            step.net.decided_on(flow, Decision::Registered);
        }
        self.stick_service_route(step, token, response, until);
        let answer = PhoneAnswer {
            token,
            edges,
            initial: accepted.initial || step.net.omit.leaves_out(Omit::QuietRefresh),
            follows,
            transport: step.net.flows.transport(flow),
            v6: source.is_ipv6(),
            secure: accepted.secure,
        };
        self.answer_phone(step.net, flow, &answer, response, edits);
    }

    /// Adds to the 2xx for the phone on `flow` what the edge has to say besides the home.
    fn answer_phone(
        &self,
        net: &mut Net,
        flow: Flow,
        answer: &PhoneAnswer<'_>,
        response: &Response<'_>,
        edits: &mut Edits,
    ) {
        if self.effective_follows(answer.follows) == Follows::Name {
            let PhoneAnswer {
                token,
                transport,
                secure,
                ..
            } = *answer;
            self.name_service_route(token, transport, secure, response, edits);
        }
        let at = response.message.headers_end();
        edits.insert(at, |out| {
            self.write_answer_lines(net, answer, response, out)
        });
        if keeps_alive(response) {
            net.flows.expect_keepalives(flow);
        }
        let is_sticky = answer.follows == Follows::Flow;
        if answer.initial && is_sticky && self.others(answer.edges).next().is_some() {
            require(response, edits);
        }
    }

    fn others(&self, edges: EdgeSet) -> impl Iterator<Item = usize> + use<> {
        let own = self.own;
        edges.iter().filter(move |index| *index != own)
    }

    /// Writes the header lines that the phone gets from the edge.
    fn write_answer_lines(
        &self,
        net: &Net,
        answer: &PhoneAnswer<'_>,
        response: &Response<'_>,
        out: &mut Vec<u8>,
    ) {
        if answer.initial {
            for index in self.others(answer.edges) {
                self.outbound_proxy(answer, index, out);
            }
        }
        // O-9
        if keeps_alive(response) {
            out.extend_from_slice(b"Flow-Timer: ");
            decimal(out, response.flow_timer_s(&net.secrets));
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The Path URI without `ob`, with the address of the other edge; port and
    /// transport where they are not what `maddr` alone means (B-3).
    fn outbound_proxy(&self, answer: &PhoneAnswer<'_>, index: usize, out: &mut Vec<u8>) {
        let member = self.settings.members.get(index);
        let transport = answer.transport;
        let addr = member.and_then(|member| member.public_addr(transport, answer.v6));
        // An edge of a token from before may have no address of the phone's family by now.
        let Some(addr) = addr else {
            return;
        };
        out.extend_from_slice(b"Outbound-Proxy: ");
        let edge = UriAddress {
            addr,
            transport,
            secure: answer.secure,
        };
        self.write_token_uri_at(answer.token, &[b"lr"], edge, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// removes the Path from the answer to a phone that has not said that it supports Path.
fn remove_path(response: &Response<'_>, edits: &mut Edits) {
    for header in response.message.all(Name::Path) {
        edits.remove(header.line.range());
    }
}

/// O-9: whether this edge tells the phone how often to keep its flow alive.
fn keeps_alive(response: &Response<'_>) -> bool {
    let (bytes, message) = (response.bytes, response.message);
    message.has_token(bytes, Name::Require, "outbound") && message.first(Name::FlowTimer).is_none()
}

/// D-E12: `alt-proxies` joins the Require that is there, since many phones
/// read only the first of several.
fn require(response: &Response<'_>, edits: &mut Edits) {
    match response.message.first(Name::Require) {
        Some(header) => edits.insert(usize::from(header.value.end), |out| {
            out.extend_from_slice(b", alt-proxies");
        }),
        None => edits.insert(response.message.headers_end(), |out| {
            out.extend_from_slice(b"Require: alt-proxies\r\n");
        }),
    }
}
