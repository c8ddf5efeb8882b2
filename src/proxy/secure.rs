//! `sips` on its way: never less than TLS on any hop (RFC 5630 §5.3, C-15;
//! S-21, P-12); and which connections over TLS serve both directions (RFC 5923).

use super::{Net, Plan, Request, Target};
use crate::id::{Flow, Transport};
use crate::scan::params;
use crate::scan::uri::Scheme;
use crate::send::Hop;

/// What a proxy says that has no way for a `sips` request (RFC 5630 §6).
pub(super) const NOT_ALLOWED: &[u8] = b"Warning: 380 steadfast \"SIPS Not Allowed\"\r\n";

/// True for the text of a `sips` URI.
#[must_use]
pub fn is_sips(uri: &[u8]) -> bool {
    uri.get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"))
}

impl Plan {
    /// Whether the request, as planned, asks for TLS on its further way: its
    /// Request-URI or the next Route value is `sips`.
    #[must_use]
    pub fn is_secure(&self, request: &Request<'_>) -> bool {
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

    /// Takes out the targets that would carry `sips` over less than TLS, or make
    /// `sip` of it. True when there was one.
    pub(super) fn secure(&mut self, net: &Net, request: &Request<'_>) -> bool {
        let secure = self.is_secure(request);
        let uri_is_sips = is_sips(self.uri(request));
        let count = self.targets.len();
        let mut place = 0;
        while let Some(target) = self.targets.get(place) {
            if fits(net, target, secure, uri_is_sips) {
                place += 1;
            } else {
                self.take_out(place);
            }
        }
        self.targets.len() < count
    }

    /// Who stood by for it stands by for whom it stood by for.
    fn take_out(&mut self, place: usize) {
        let gone = self.targets.remove(place).after;
        for target in &mut self.targets {
            match target.after.map(usize::from) {
                Some(after) if after == place => target.after = gone,
                Some(after) if after > place => {
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
    let transport = match target.hop {
        Hop::To { transport, .. } => transport,
        Hop::Flow(flow) => net.flows.transport(flow),
        Hop::Named(name) if net.locator.is_secure(name) => Transport::Tls,
        Hop::Named(_) => Transport::Udp,
    };
    transport == Transport::Tls || !(secure || contact == Some(true))
}

impl Net {
    /// C-10: a peer that has proven who it is may have its connection used for
    /// requests to where it listens.
    pub(super) fn learn_alias(&mut self, request: &Request<'_>) {
        let Flow::Stream(stream) = request.ingress.flow else {
            return;
        };
        // Most flows are phones' and have proven nothing.
        if self.flows.identities(request.ingress.flow).is_empty() {
            return;
        }
        let via = request.via;
        if params::find(request.bytes, via.params, "alias").is_some() {
            let port = via.port.unwrap_or(Transport::Tls.default_port());
            self.flows.grant_alias(stream, port);
        }
    }
}
