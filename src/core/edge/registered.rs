//! What an edge makes of the 2xx to a REGISTER: the flow binding (D-E13) and
//! what the phone is told (D-E9 to D-E12; RFC 5626 §5.4).
//!
//! Only the phone's first hop does any of it: a REGISTER that another proxy
//! relayed came over a flow that is not the phone's (D-E4).

use std::net::SocketAddr;

use super::policy::Edge;
use super::register::{ContactAction, Phone, Who};
use super::{EdgeSet, Follows, Known, Registration, Token};
use crate::edit::{Edits, decimal, host};
use crate::id::{Flow, Transport};
use crate::limits;
use crate::omit::Omit;
use crate::proxy::{Context, Net, Note, Response};
use crate::scan::address::Address;
use crate::scan::{Name, scan};
use crate::time::{Duration, Instant};
use crate::uri::{self, is_sips};

/// What the phone is to know of its registration.
struct Granted<'a> {
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
        net: &mut Net,
        now: Instant,
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
        net.guard.prove(now, context.ingress.source.ip());
        let Some(base) = context.request() else {
            return;
        };
        let mut named = Token::new();
        let mut again = std::mem::take(&mut self.again);
        let asks = scan(base, &mut again).map(|()| Self::read(base, &again));
        if *vouched {
            take_path(response, edits);
        }
        if let Ok(Ok(ContactAction::Binding(phone))) = asks {
            let ours = granted(base, &phone, response);
            let seconds = lifetime(ours);
            let mut text = std::mem::take(&mut self.text);
            let who = Who::write(base, &again, &phone, &mut text);
            let subscriber = who.subscriber(&text);
            if subscriber.user.is_empty() {
                // Nobody could be called by it.
            } else if seconds == 0 {
                // D-E11: nothing is told after a de-registration.
                self.unbind_phone(net, now, &subscriber, phone.reg_id);
            } else if self.codec.read(token, &mut named).is_ok() {
                let edges = self.token_set(&named);
                let until = now + Duration::from_secs(seconds.into());
                let follows = Follows::of(phone.sticky, *by_name);
                let asked = (&context.ingress, &again);
                let is_kept_open = self.keep_reachable(net, asked, (response, ours), edits);
                let bound = self.registrations.bind(&Registration {
                    subscriber,
                    aor: who.aor(&text),
                    reg_id: phone.reg_id,
                    flow: context.ingress.flow,
                    edges,
                    flags: named.flags(),
                    follows,
                    is_kept_open,
                    is_restored: false,
                    expires: until,
                });
                self.arm_pings(net, now);
                if let Ok(known) = bound {
                    let came = (known == Known::First).then_some(phone.reg_id);
                    self.claim_phone(net, now, &subscriber, (until, came));
                    self.refreshed.outdate(net, &self.marks, &subscriber);
                }
                net.counters.registrations += u64::from(bound.is_ok());
                self.stick_service_route(net, now, token, response, until);
                let granted = Granted {
                    token,
                    edges,
                    initial: *initial || net.omit.leaves_out(Omit::QuietRefresh),
                    follows,
                    transport: net.flows.transport(context.ingress.flow),
                    v6: context.ingress.source.is_ipv6(),
                    secure: is_sips(again.request_uri().of(base)),
                };
                self.answer_phone(net, context.ingress.flow, &granted, response, edits);
            }
            self.text = text;
        }
        self.again = again;
    }

    /// What the phone on `flow` is told besides what the home says.
    fn answer_phone(
        &self,
        net: &mut Net,
        flow: Flow,
        granted: &Granted<'_>,
        response: &Response<'_>,
        edits: &mut Edits,
    ) {
        if self.asked_to(granted.follows) == Follows::Name {
            let how = (granted.transport, granted.secure);
            self.name_service_route(granted.token, how, response, edits);
        }
        let at = response.message.headers_end();
        edits.insert(at, |out| self.tell(net, granted, response, out));
        if keeps_alive(response) {
            net.expect_keepalives(flow);
        }
        let is_sticky = granted.follows == Follows::Flow;
        if granted.initial && is_sticky && self.others(granted.edges).next().is_some() {
            require(response, edits);
        }
    }

    fn others(&self, edges: EdgeSet) -> impl Iterator<Item = usize> + use<> {
        let own = self.own;
        edges.iter().filter(move |place| *place != own)
    }

    /// Writes the header lines the phone gets.
    fn tell(&self, net: &Net, granted: &Granted<'_>, response: &Response<'_>, out: &mut Vec<u8>) {
        if granted.initial {
            for place in self.others(granted.edges) {
                self.outbound_proxy(granted, place, out);
            }
        }
        // O-9
        if keeps_alive(response) {
            out.extend_from_slice(b"Flow-Timer: ");
            decimal(out, net.flow_timer_s(response));
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The Path URI without `ob`, with the address of the other edge; port and
    /// transport where they are not what `maddr` alone means (B-3).
    fn outbound_proxy(&self, granted: &Granted<'_>, place: usize, out: &mut Vec<u8>) {
        let member = self.settings.members.get(place);
        let transport = granted.transport;
        let addr = member.and_then(|member| member.public_addr(transport, granted.v6));
        // One that its family does not lead to was of its set before.
        let Some(addr) = addr else {
            return;
        };
        out.extend_from_slice(b"Outbound-Proxy: ");
        let how = (granted.secure, transport);
        self.write_at(granted.token, &[b"lr"], addr, how, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the URI of a token at the edge that is there, in brackets: its
    /// address as `maddr`, port and transport where they are not what that
    /// alone means.
    pub(super) fn write_at(
        &self,
        token: &[u8],
        params: &[&[u8]],
        addr: SocketAddr,
        (secure, transport): (bool, Transport),
        out: &mut Vec<u8>,
    ) {
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

/// For how long a contact is bound, in seconds; 0 where it is not.
fn lifetime(contact: Option<(Address, u32)>) -> u32 {
    contact.map_or(0, |(_, seconds)| seconds)
}

/// This phone's contact in the 2xx, and the lifetime that it grants that, in seconds;
/// `None` when the contact is not among those bound.
fn granted(base: &[u8], phone: &Phone, response: &Response<'_>) -> Option<(Address, u32)> {
    let bytes = response.bytes;
    let default = response
        .message
        .number(bytes, Name::Expires)
        .ok()
        .flatten()
        .unwrap_or(limits::EXPIRES_DEFAULT_S);
    let ours = contact_of(base, phone, response)?;
    let seconds = ours.number(bytes, "expires").unwrap_or(default);
    Some((ours, seconds))
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
