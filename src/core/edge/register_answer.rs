//! What an edge makes of the 2xx to a REGISTER: the flow binding (D-E13) and
//! what the phone is told (D-E9 to D-E12; RFC 5626 §5.4).
//!
//! Only the phone's first hop does any of it: a REGISTER that another proxy
//! relayed came over a flow that is not the phone's (D-E4).

use std::net::SocketAddr;

use super::register_request::{ContactAction, Phone, Who};
use super::state::Edge;
use super::{EdgeSet, FlowBinding, Follows, Known, Subscriber, Token};
use crate::edit::{Edits, decimal, host};
use crate::id::{Flow, Transport};
use crate::limits;
use crate::omit::Omit;
use crate::proxy::{Context, Net, Note, Response, Step};
use crate::scan::address::Address;
use crate::scan::{Name, scan};
use crate::time::Duration;
use crate::trust::Ingress;
use crate::uri::{self, is_sips};

/// What the home has granted a phone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    /// Its Contact in the 2xx.
    pub(super) contact: Address,
    /// For how long that is bound.
    pub(super) seconds: u32,
}

/// A REGISTER whose 2xx binds its phone.
struct Accepted<'a> {
    /// The user part of its Path URI.
    token: &'a [u8],
    /// Not a refresh.
    initial: bool,
    /// A name led the phone here.
    by_name: bool,
    subscriber: Subscriber<'a>,
    /// The address of record, as a registration has it.
    aor: &'a [u8],
    phone: &'a Phone,
    ours: Granted,
    /// It registers `sips`.
    secure: bool,
}

/// What the phone is to know of its registration.
struct Told<'a> {
    /// The user part of its Path URI.
    token: &'a [u8],
    /// The edges that the token names.
    edges: EdgeSet,
    /// Not a refresh.
    initial: bool,
    /// What it does with a route.
    follows: Follows,
    /// What it speaks to us.
    transport: Transport,
    /// It came over IPv6.
    v6: bool,
    /// It registers `sips`.
    secure: bool,
}

impl Edge {
    /// The 2xx to a request of `context` passes.
    pub(super) fn registered_with(
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
        step.net.guard.prove(step.now, context.ingress.source.ip());
        let Some(base) = context.request() else {
            return;
        };
        let asks = scan(base, &mut self.again).map(|()| Self::read(base, &self.again));
        if *vouched {
            take_path(response, edits);
        }
        if let Ok(Ok(ContactAction::Binding(phone))) = asks {
            let ours = granted(base, &phone, response);
            let secure = is_sips(self.again.request_uri().of(base));
            let mut who = Who::default();
            let text = step.net.pool.build(limits::TOKEN_MAX, |out| {
                who = Who::write(base, &self.again, &phone, out);
            });
            let subscriber = who.subscriber(&text);
            match ours.filter(|ours| ours.seconds > 0) {
                // Nobody could be called by it.
                _ if subscriber.user.is_empty() => {}
                // D-E11: nothing is told after a de-registration.
                None => self.unbind_phone(step, &subscriber, phone.reg_id),
                Some(ours) => {
                    let accepted = Accepted {
                        token,
                        initial: *initial,
                        by_name: *by_name,
                        subscriber,
                        aor: who.aor(&text),
                        phone: &phone,
                        ours,
                        secure,
                    };
                    self.bind_phone(step, context, response, &accepted, edits);
                }
            }
        }
    }

    /// Binds the phone to the flow that its REGISTER came on, and tells it what it has
    /// to know. What its token says cannot be read where another edge wrote it under a
    /// key that this one has not: then there is nothing to bind.
    fn bind_phone(
        &mut self,
        step: &mut Step<'_>,
        context: &Context,
        response: &Response<'_>,
        accepted: &Accepted<'_>,
        edits: &mut Edits,
    ) {
        let Accepted {
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
            &self.again,
            response,
            ours,
            edits,
        );
        let bound = self.registrations.bind(&FlowBinding {
            subscriber,
            aor: accepted.aor,
            reg_id: phone.reg_id,
            flow,
            edges,
            flags: named.flags(),
            follows,
            is_kept_open,
            is_restored: false,
            expires: until,
        });
        self.arm_pings(step);
        if let Ok(known) = bound {
            // What it had on another shard under this reg-id is over with this.
            let came = (known == Known::First).then_some(phone.reg_id);
            self.claim_phone(step, &subscriber, until, came);
            self.refreshed.outdate(step.net, &self.marks, &subscriber);
        }
        step.net.counters.registrations += u64::from(bound.is_ok());
        self.stick_service_route(step, token, response, until);
        let told = Told {
            token,
            edges,
            initial: accepted.initial || step.net.omit.leaves_out(Omit::QuietRefresh),
            follows,
            transport: step.net.flows.transport(flow),
            v6: source.is_ipv6(),
            secure: accepted.secure,
        };
        self.answer_phone(step.net, flow, &told, response, edits);
    }

    /// What the phone on `flow` is told besides what the home says.
    fn answer_phone(
        &self,
        net: &mut Net,
        flow: Flow,
        told: &Told<'_>,
        response: &Response<'_>,
        edits: &mut Edits,
    ) {
        if self.asked_to(told.follows) == Follows::Name {
            let Told {
                token,
                transport,
                secure,
                ..
            } = *told;
            self.name_service_route(token, transport, secure, response, edits);
        }
        let at = response.message.headers_end();
        edits.insert(at, |out| self.tell(net, told, response, out));
        if keeps_alive(response) {
            net.flows.expect_keepalives(flow);
        }
        let is_sticky = told.follows == Follows::Flow;
        if told.initial && is_sticky && self.others(told.edges).next().is_some() {
            require(response, edits);
        }
    }

    fn others(&self, edges: EdgeSet) -> impl Iterator<Item = usize> + use<> {
        let own = self.own;
        edges.iter().filter(move |index| *index != own)
    }

    /// Writes the header lines the phone gets.
    fn tell(&self, net: &Net, told: &Told<'_>, response: &Response<'_>, out: &mut Vec<u8>) {
        if told.initial {
            for index in self.others(told.edges) {
                self.outbound_proxy(told, index, out);
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
    fn outbound_proxy(&self, told: &Told<'_>, index: usize, out: &mut Vec<u8>) {
        let member = self.settings.members.get(index);
        let transport = told.transport;
        let addr = member.and_then(|member| member.public_addr(transport, told.v6));
        // One that its family does not lead to was of its set before.
        let Some(addr) = addr else {
            return;
        };
        out.extend_from_slice(b"Outbound-Proxy: ");
        let at = At {
            addr,
            transport,
            secure: told.secure,
        };
        self.write_at(told.token, &[b"lr"], at, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the URI of a token at the edge that is there, in brackets: its
    /// address as `maddr`, port and transport where they are not what that
    /// alone means.
    pub(super) fn write_at(&self, token: &[u8], params: &[&[u8]], at: At, out: &mut Vec<u8>) {
        let At {
            addr,
            transport,
            secure,
        } = at;
        let port = addr.port();
        let scheme: &[u8] = if secure { b"<sips:" } else { b"<sip:" };
        for part in [scheme, token, b"@", self.settings.cluster.as_bytes()] {
            out.extend_from_slice(part);
        }
        if port != transport.default_port() {
            out.push(b':');
            decimal(out, port);
        }
        for param in params {
            out.push(b';');
            out.extend_from_slice(param);
        }
        out.extend_from_slice(b";maddr=");
        host(out, addr.ip());
        // `transport=tls` for the reason given at `own_address`: the address is
        // for one peer, which speaks TLS by `sip` URIs.
        if transport != Transport::Udp && !secure {
            out.extend_from_slice(b";transport=");
            out.extend_from_slice(transport.uri_token().as_bytes());
        }
        out.push(b'>');
    }
}

/// Where an edge is reached, as a URI says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) addr: SocketAddr,
    pub(super) transport: Transport,
    /// By a `sips` URI.
    pub(super) secure: bool,
}

/// a phone that never asked for Path gets none.
fn take_path(response: &Response<'_>, edits: &mut Edits) {
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

/// This phone's contact in the 2xx; `None` when it is not among those bound.
fn granted(base: &[u8], phone: &Phone, response: &Response<'_>) -> Option<Granted> {
    let bytes = response.bytes;
    let default = response
        .message
        .number(bytes, Name::Expires)
        .ok()
        .flatten()
        .unwrap_or(limits::EXPIRES_DEFAULT_S);
    let ours = contact_of(base, phone, response)?;
    let seconds = ours.number(bytes, "expires").unwrap_or(default);
    Some(Granted {
        contact: ours,
        seconds,
    })
}

/// Which Contact of the 2xx is this phone's: the one of its URI (RFC 3261
/// §19.1.4), since a phone without flows may have several, else the one of its
/// instance and reg-id (RFC 5626 §6). One URI may be that of several flows.
fn contact_of(base: &[u8], phone: &Phone, response: &Response<'_>) -> Option<Address> {
    let bytes = response.bytes;
    let wanted = phone.instance.map(|value| value.of(base));
    // How far it is from being this phone's; `None`: it is another one's.
    let distance = |address: &Address| {
        let instance = address.instance(bytes).map(|value| value.of(bytes));
        let is_instance = wanted.is_some() && instance == wanted;
        let reg_id = address.number(bytes, "reg-id").unwrap_or(0);
        let is_contact = uri::equal(address.uri.of(bytes), phone.contact.of(base));
        match (is_contact, is_instance) {
            (true, true) if reg_id == phone.reg_id => Some(0),
            (true, _) if phone.reg_id == 0 => Some(1),
            (_, true) if reg_id == phone.reg_id => Some(2),
            (_, true) if reg_id == 0 => Some(3),
            (true, _) => Some(4),
            (false, _) => None,
        }
    };
    let contacts = response.message.values(bytes, Name::Contact);
    let contacts = contacts.filter_map(|value| Address::parse(bytes, value).ok());
    let ours = contacts.filter_map(|address| Some((distance(&address)?, address)));
    ours.min_by_key(|(distance, _)| *distance)
        .map(|(_, address)| address)
}
