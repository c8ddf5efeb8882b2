//! REGISTER through an edge: Path on the way in, Outbound-Proxy and the flow
//! binding on the 2xx (protocol 1.A, D-E1 to D-E18; RFC 3327, RFC 5626 §5.1).

use super::policy::{Edge, Mine, Origin};
use super::{EdgeSet, Registration, Subscriber, set};
use crate::bytes::Buf;
use crate::edit::{Edits, decimal, host};
use crate::id::Transport;
use crate::limits;
use crate::proxy::{Context, Net, Note, Plan, Reply, Request, Response, Target, Verdict};
use crate::scan::address::Address;
use crate::scan::auth::Digest;
use crate::scan::uri::{Uri, same_host};
use crate::scan::{Message, Name, scan};
use crate::send::Flows;
use crate::span::Span;
use crate::time::{Duration, Instant};

/// Token flag: the phone asked for a list of outbound proxies.
const STICKY: u8 = 1;

/// What a REGISTER says of the phone behind it.
struct Phone {
    contact: Span,
    /// Value of `+sip.instance`.
    instance: Option<Span>,
    reg_id: u32,
    /// Credentials' user and realm.
    user: Span,
    realm: Span,
    /// `Supported: alt-proxies`.
    sticky: bool,
}

/// What the Contact of a REGISTER asks for.
enum Asks {
    /// The flow of this contact.
    Binding(Phone),
    /// `Contact: *`, or no Contact at all.
    Nothing,
}

impl Edge {
    /// Routes a REGISTER.
    pub(super) fn register(
        &mut self,
        net: &mut Net,
        request: &Request<'_>,
        plan: &mut Plan,
    ) -> Verdict {
        self.token.clear();
        let own = self.own_routes(net, request);
        plan.pop = own.count;
        match own.what {
            Mine::Elsewhere(place) => {
                // D-E4: the phone means another edge; that one is not its first hop.
                plan.pop = 0;
                net.counters.relays += 1;
                let hop = self.member_hop(place, Flows::transport(request.flow));
                plan.targets.extend(hop.map(Target::at));
                return Verdict::Forward;
            }
            Mine::Bad(_) => {
                net.counters.bad_tokens += 1;
                return Verdict::Answer(Reply::stateless(403, "Token Not Valid Here"));
            }
            Mine::Cluster
            | Mine::Token
            | Mine::Flow(_)
            | Mine::Address
            | Mine::Sibling
            | Mine::Not => {}
        }
        if let Err(reply) = self.retarget(net, request, plan) {
            return Verdict::Answer(reply);
        }
        let asks = match read(request.bytes, request.message) {
            Ok(asks) => asks,
            Err(reply) => return Verdict::Answer(reply),
        };
        self.to_home(plan);
        if let Asks::Binding(phone) = asks
            && !self.path(net, request, &phone, plan)
        {
            return Verdict::Answer(Reply::stateless(403, "User Or Instance Too Long"));
        }
        Verdict::Forward
    }

    /// D-E18: a phone that took the 300 for a retarget asks the cluster
    /// itself; it means the domain of its To.
    fn retarget(&mut self, net: &Net, request: &Request<'_>, plan: &mut Plan) -> Result<(), Reply> {
        let bytes = request.bytes;
        if !matches!(
            self.classify(net, bytes, request.message.request_uri()),
            Mine::Cluster | Mine::Address
        ) {
            return Ok(());
        }
        let to = request
            .message
            .first(Name::To)
            .and_then(|header| Address::parse(bytes, header.value).ok());
        let uri = to.and_then(|to| Uri::parse(bytes, to.uri).ok());
        let domain = uri.map(|uri| uri.host.of(bytes)).unwrap_or_default();
        if !self
            .settings
            .home_domains
            .iter()
            .any(|served| same_host(served.as_bytes(), domain))
        {
            return Err(Reply::stateless(404, "Domain Not Served Here"));
        }
        plan.request_uri.extend_from_slice(b"sip:");
        plan.request_uri.extend_from_slice(domain);
        Ok(())
    }

    /// D-E8, D-E10: writes the Path, the same bytes from every edge of the set.
    fn path(&mut self, net: &Net, request: &Request<'_>, phone: &Phone, plan: &mut Plan) -> bool {
        let bytes = request.bytes;
        let first_hop = request.hops() == 1 && self.origin(request.source) == Origin::Phone;
        let mut instance = std::mem::take(&mut self.text);
        instance.clear();
        phone.write_instance(bytes, &mut instance);
        let subscriber = Subscriber {
            user: phone.user.of(bytes),
            realm: phone.realm.of(bytes),
            instance: &instance,
        };
        // A token of somebody else in the Route is no refresh of this phone.
        let theirs = self.token.subscriber();
        let refresh = !self.token.is_anonymous()
            && theirs.user == subscriber.user
            && theirs.instance == subscriber.instance;
        let edges = if refresh {
            self.token_set()
        } else {
            self.choose(&subscriber, phone.sticky)
        };
        let flags = if phone.sticky { STICKY } else { 0 };
        let mut fits = true;
        let token = net.pool.build(limits::TOKEN_MAX, |out| {
            fits = self.write_token(&subscriber, edges, flags, out)
        });
        self.text = instance;
        if !fits {
            return false;
        }
        for part in [
            b"Path: <sip:",
            &token[..],
            b"@",
            self.settings.cluster.as_bytes(),
            b";lr",
        ] {
            plan.lines.extend_from_slice(part);
        }
        // O-1: the mark stands only where the phone itself is behind the flow.
        plan.lines
            .extend_from_slice(if first_hop { b";ob>\r\n" } else { b">\r\n" });
        plan.note = Note::Register {
            token,
            initial: !refresh,
            first_hop,
        };
        true
    }

    /// D-E5, D-E7. A phone that knows nothing of Outbound-Proxy registers
    /// through its configured edges one by one; for it the set is written in
    /// one order everywhere (protocol 2.4).
    fn choose(&mut self, subscriber: &Subscriber<'_>, sticky: bool) -> EdgeSet {
        let members = &self.settings.members;
        let size = self.settings.set_size;
        if sticky {
            set::choose(self.own, members, subscriber, size, &mut self.places);
        } else {
            set::canonical(self.own, members, subscriber, size, &mut self.places);
        }
        EdgeSet::new(&self.places).unwrap_or_else(|| self.alone())
    }

    /// The 2xx passes: binds the flow (D-E13) and tells the phone of its other
    /// edges (D-E9 to D-E12).
    pub(super) fn registered_with(
        &mut self,
        net: &mut Net,
        now: Instant,
        context: &Context,
        base: &Buf,
        token: &Buf,
        (initial, first_hop): (bool, bool),
        response: &Response<'_>,
        edits: &mut Edits,
    ) {
        let mut again = std::mem::take(&mut self.again);
        let asks = scan(base, &mut again).map(|()| read(base, &again));
        self.again = again;
        let Ok(Ok(Asks::Binding(phone))) = asks else {
            return;
        };
        let seconds = granted(base, &phone, response);
        let mut instance = std::mem::take(&mut self.text);
        instance.clear();
        phone.write_instance(base, &mut instance);
        let subscriber = Subscriber {
            user: phone.user.of(base),
            realm: phone.realm.of(base),
            instance: &instance,
        };
        if first_hop && seconds == 0 {
            self.registrations.unbind(&subscriber, phone.reg_id);
        }
        // D-E11: nothing for a de-registration.
        let known = seconds > 0 && self.codec.read(token, &mut self.token).is_ok();
        let edges = if known {
            self.token_set()
        } else {
            self.alone()
        };
        if first_hop && known {
            let bound = self.registrations.bind(&Registration {
                subscriber: fallback_user(subscriber, base, &mut self.again),
                reg_id: phone.reg_id,
                flow: context.flow,
                edges,
                flags: self.token.flags(),
                is_sticky: phone.sticky,
                expires: now + Duration::from_secs(seconds.into()),
            });
            net.counters.registrations += u64::from(bound.is_ok());
        }
        self.text = instance;
        if known && first_hop {
            let at = response.message.headers_end();
            edits.insert(at, |out| {
                self.tell(context, token, edges, initial, response, out);
            });
            if initial && phone.sticky && edges.iter().any(|place| place != self.own) {
                require(response, edits);
            }
        }
    }

    /// The header lines the phone gets.
    fn tell(
        &self,
        context: &Context,
        token: &[u8],
        edges: EdgeSet,
        initial: bool,
        response: &Response<'_>,
        out: &mut Vec<u8>,
    ) {
        let others = || edges.iter().filter(|place| *place != self.own);
        if initial {
            for place in others() {
                self.outbound_proxy(token, place, Flows::transport(context.flow), out);
            }
        }
        // O-9
        let outbound = response
            .message
            .has_token(response.bytes, Name::Require, "outbound");
        if outbound && response.message.first(Name::FlowTimer).is_none() {
            out.extend_from_slice(b"Flow-Timer: ");
            decimal(out, limits::FLOW_TIMER_S);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The Path URI without `ob`, with the address of the other edge; port and
    /// transport where they are not what `maddr` alone means (protocol 2.3
    /// item 3).
    fn outbound_proxy(&self, token: &[u8], place: usize, transport: Transport, out: &mut Vec<u8>) {
        let Some(member) = self.settings.members.get(place) else {
            return;
        };
        let port = match transport {
            Transport::Udp => member.udp,
            Transport::Tcp => member.tcp,
        };
        for part in [
            b"Outbound-Proxy: <sip:",
            token,
            b"@",
            self.settings.cluster.as_bytes(),
        ] {
            out.extend_from_slice(part);
        }
        if port != transport.default_port() {
            out.push(b':');
            decimal(out, port);
        }
        out.extend_from_slice(b";lr;maddr=");
        host(out, member.address);
        if transport != Transport::Udp {
            out.extend_from_slice(b";transport=");
            out.extend_from_slice(transport.uri_token().as_bytes());
        }
        out.extend_from_slice(b">\r\n");
    }
}

impl Phone {
    fn write_instance(&self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.instance {
            Some(instance) => out.extend_from_slice(instance.of(bytes)),
            None => super::pseudo_instance(self.contact.of(bytes), out),
        }
    }
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

/// Protocol 2.3 item 6: where the home identifies phones without digest, the
/// registered address of record is who it is.
fn fallback_user<'a>(
    subscriber: Subscriber<'a>,
    base: &'a [u8],
    again: &mut Message,
) -> Subscriber<'a> {
    if !subscriber.user.is_empty() || scan(base, again).is_err() {
        return subscriber;
    }
    let to = again
        .first(Name::To)
        .and_then(|header| Address::parse(base, header.value).ok());
    let user = to
        .and_then(|to| Uri::parse(base, to.uri).ok())
        .and_then(|uri| uri.user);
    Subscriber {
        user: user.map(|user| user.of(base)).unwrap_or_default(),
        ..subscriber
    }
}

/// Reads what this edge needs of a REGISTER: the first Contact with an
/// instance, else the first, and the user of its credentials (D-E14).
fn read(bytes: &[u8], message: &Message) -> Result<Asks, Reply> {
    let malformed = |_| Reply::stateless(400, "Malformed Contact");
    let mut chosen: Option<Address> = None;
    for value in message
        .values(bytes, Name::Contact)
        .take(limits::CONTACTS_MAX)
    {
        if value.of(bytes) == b"*" {
            return Ok(Asks::Nothing);
        }
        let address = Address::parse(bytes, value).map_err(malformed)?;
        let has_instance = address.param(bytes, "+sip.instance").is_some();
        if chosen.is_none() || has_instance {
            chosen = Some(address);
        }
        if has_instance {
            break;
        }
    }
    let Some(contact) = chosen else {
        return Ok(Asks::Nothing);
    };
    let (user, realm) = credentials(bytes, message);
    Ok(Asks::Binding(Phone {
        contact: contact.uri,
        instance: contact
            .param(bytes, "+sip.instance")
            .flatten()
            .map(|value| unbracketed(bytes, value)),
        reg_id: contact
            .param(bytes, "reg-id")
            .flatten()
            .and_then(|value| number(value.of(bytes)))
            .unwrap_or(0),
        user,
        realm,
        sticky: message.has_token(bytes, Name::Supported, "alt-proxies"),
    }))
}

fn credentials(bytes: &[u8], message: &Message) -> (Span, Span) {
    let headers = message
        .all(Name::Authorization)
        .chain(message.all(Name::ProxyAuthorization));
    let mut digests =
        headers.filter_map(|header| Digest::parse(bytes, header.value).ok().flatten());
    digests
        .next()
        .map(|digest| (digest.username, digest.realm))
        .unwrap_or_default()
}

/// O-22: the URN stands in angle brackets inside the quotes.
fn unbracketed(bytes: &[u8], value: Span) -> Span {
    match value.of(bytes) {
        [b'<', .., b'>'] => Span {
            start: value.start + 1,
            end: value.end - 1,
        },
        _ => value,
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The lifetime the 2xx grants this phone's contact, in seconds; 0 when the
/// contact is not among those bound.
fn granted(base: &[u8], phone: &Phone, response: &Response<'_>) -> u32 {
    let bytes = response.bytes;
    let default = response
        .message
        .number(bytes, Name::Expires)
        .ok()
        .flatten()
        .unwrap_or(limits::EXPIRES_DEFAULT_S);
    let contacts = response.message.values(bytes, Name::Contact);
    let ours = contacts
        .filter_map(|value| Address::parse(bytes, value).ok())
        .find(|address| {
            let instance = address
                .param(bytes, "+sip.instance")
                .flatten()
                .map(|value| unbracketed(bytes, value).of(bytes));
            let reg_id = address
                .param(bytes, "reg-id")
                .flatten()
                .and_then(|value| number(value.of(bytes)));
            match phone.instance {
                Some(wanted) if instance.is_some() => {
                    instance == Some(wanted.of(base))
                        && reg_id.is_none_or(|reg_id| reg_id == phone.reg_id)
                }
                _ => address.uri.of(bytes) == phone.contact.of(base),
            }
        });
    ours.map_or(0, |address| {
        address
            .param(bytes, "expires")
            .flatten()
            .and_then(|value| number(value.of(bytes)))
            .unwrap_or(default)
    })
}
