//! `sips` on its way: never less than TLS on any hop (RFC 5630 §5.3, C-15;
//! S-21, P-12); and which connections over TLS serve both directions (RFC 5923).

use super::{Net, Plan, Proxy, Request, Response, Target};
use crate::edit::Edits;
use crate::grammar::params;
use crate::id::{Flow, Transport};
use crate::scan::address::Address;
use crate::scan::{Method, Name};
use crate::send::{Flows, Hop, Notice};
use crate::uri::{Scheme, is_sips};

/// What a proxy says that has no way for a `sips` request (RFC 5630 §6).
pub(super) const NOT_ALLOWED: &[u8] = b"Warning: 380 steadfast \"SIPS Not Allowed\"\r\n";

impl Plan {
    /// Whether the request, as planned, asks for TLS on its further way: its
    /// Request-URI or the next Route value is `sips`.
    #[must_use]
    pub(crate) fn is_secure(&self, request: &Request<'_>) -> bool {
        let next = request.message.routes().get(self.pop);
        let next = next.and_then(|next| next.uri);
        is_sips(self.uri(request)) || next.is_some_and(|next| next.scheme == Scheme::Sips)
    }

    fn uri<'a>(&'a self, request: &Request<'a>) -> &'a [u8] {
        let bytes = request.bytes;
        let received = request.message.request_uri().of(bytes);
        if self.restore_uri {
            let last = request.message.routes().last();
            let last = last.and_then(|last| last.uri);
            last.map_or(received, |last| last.whole.of(bytes))
        } else if self.request_uri.is_empty() {
            received
        } else {
            &self.request_uri
        }
    }

    /// Removes the targets that would carry `sips` over less than TLS, or make
    /// `sip` of it. True when there was one.
    pub(super) fn remove_insecure(&mut self, net: &Net, request: &Request<'_>) -> bool {
        let secure = self.is_secure(request);
        let uri_is_sips = is_sips(self.uri(request));
        let count = self.targets.len();
        let mut index = 0;
        while let Some(target) = self.targets.get(index) {
            if fits(net, target, secure, uri_is_sips) {
                index += 1;
            } else {
                self.remove_target(index);
            }
        }
        self.targets.len() < count
    }

    /// C-15: a `sips` Contact of whoever goes on by `sip`, and not over TLS alone, becomes
    /// `sip` on the way there: the other side does not come back over TLS, and each of its
    /// requests of the dialog would be refused where they come in, the BYE too. The last
    /// hop, to the phone, is its own TLS flow all the same.
    pub(super) fn relax_contact(&mut self, net: &Net, contact: Option<usize>) {
        let is_tls = |target: &Target| transport_of(net, target) == Transport::Tls;
        self.sips_contact = contact.filter(|_| !self.targets.iter().all(is_tls));
    }

    /// Removes one target from the plan. If it was somebody's stand-by, its own
    /// stand-by takes that place; else that one becomes a target of its own.
    fn remove_target(&mut self, index: usize) {
        let gone = self.targets.remove(index).after;
        for target in &mut self.targets {
            match target.after.map(usize::from) {
                Some(after) if after == index => target.after = gone,
                Some(after) if after > index => {
                    target.after = u8::try_from(after - 1).ok();
                }
                Some(_) | None => {}
            }
        }
    }
}

fn fits(net: &Net, target: &Target, secure: bool, uri_is_sips: bool) -> bool {
    let contact = target.uri.as_deref().map(is_sips);
    if uri_is_sips && contact == Some(false) {
        return false;
    }
    transport_of(net, target) == Transport::Tls || !(secure || contact == Some(true))
}

/// Over what a target is reached; a name that may lead to anything counts as the least.
fn transport_of(net: &Net, target: &Target) -> Transport {
    match target.hop {
        Hop::To { transport, .. } => transport,
        Hop::Flow(flow) => net.flows.transport(flow),
        Hop::Named(name) if net.servers.locator.is_secure(name) => Transport::Tls,
        Hop::Named(_) => Transport::Udp,
    }
}

/// Writes `sip` in place of the `sips` that begins there.
pub(super) fn relax(sips: usize, edits: &mut Edits) {
    edits.replace(sips..sips + b"sips".len(), |out| {
        out.extend_from_slice(b"sip")
    });
}

/// Writes `sip` for `sips` in the Contact of an answer on its way `to` a caller who
/// does not speak TLS to us.
pub(super) fn relax_answer(
    net: &Net,
    method: Method,
    to: Flow,
    response: &Response<'_>,
    edits: &mut Edits,
) {
    let is_target = method.refreshes_target() && (101..300).contains(&response.status);
    let is_tls = |flow| net.flows.transport(flow) == Transport::Tls;
    // Where it leaves TLS: elsewhere there is nothing to be looked for.
    if !is_target || is_tls(to) || !is_tls(response.flow) {
        return;
    }
    let (bytes, message) = (response.bytes, response.message);
    let contact = message.values(bytes, Name::Contact).next();
    let contact = contact.and_then(|value| Address::parse(bytes, value).ok());
    if let Some(contact) = contact.filter(|contact| is_sips(contact.uri.of(bytes))) {
        relax(contact.uri.start.into(), edits);
    }
}

impl Proxy {
    /// Tells the operator, once, that `sips` asks for more than this node has.
    pub(super) fn tell_of_sips(&mut self, net: &mut Net, request: &Request<'_>) {
        if !self.told_of_sips {
            self.told_of_sips = true;
            let source = request.ingress.source.ip().to_canonical();
            net.outbox.notify(Notice::SipsRefused { source });
        }
    }
}

impl Request<'_> {
    /// C-10: a peer that has proven who it is may have its connection used for
    /// requests to where it listens.
    pub(super) fn grant_alias(&self, flows: &mut Flows) {
        let Flow::Stream(stream) = self.ingress.flow else {
            return;
        };
        // Most flows are phones' and have proven nothing.
        if flows.identities(self.ingress.flow).is_empty() {
            return;
        }
        let via = self.via;
        if params::find(self.bytes, via.params, "alias").is_some() {
            let port = via.port.unwrap_or(Transport::Tls.default_port());
            flows.grant_alias(stream, port);
        }
    }
}
