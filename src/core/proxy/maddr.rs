//! `maddr` in a Request-URI (RFC 3261 §16.4; P-8): an address of ours that the
//! request came to is taken off, any other one is where the request goes.

use super::{Plan, Request};
use crate::grammar::params;
use crate::send::Flows;
use crate::uri::{Uri, host_ip};

/// What the `maddr` of a Request-URI says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maddr {
    /// There is none.
    Absent,
    /// The address and port the request came to, over the transport it came by:
    /// `Plan::request_uri` is what remains without it.
    Ours,
    /// Somebody else: the request goes there and nowhere else.
    Other,
}

impl Plan {
    /// Reads the `maddr` of the Request-URI, and plans a Request-URI without it where it is
    /// ours.
    pub(crate) fn strip_maddr(&mut self, flows: &Flows, request: &Request<'_>, uri: &Uri) -> Maddr {
        let bytes = request.bytes;
        let Some(maddr) = uri.param(bytes, "maddr") else {
            return Maddr::Absent;
        };
        let ip = maddr.and_then(|maddr| host_ip(maddr.of(bytes)));
        let came_by = flows.reached_at(request.ingress.flow);
        let is_ours = ip.zip(came_by).is_some_and(|(ip, (transport, local))| {
            let named = uri.param(bytes, "transport").flatten();
            let named = named.map_or(&b"udp"[..], |named| named.of(bytes));
            let port = uri.port.unwrap_or_else(|| transport.default_port());
            named.eq_ignore_ascii_case(transport.uri_token().as_bytes())
                && port == local.port()
                && flows.is_local(ip, port)
        });
        if !is_ours {
            return Maddr::Other;
        }
        let out = &mut self.request_uri;
        out.clear();
        let until = usize::from(uri.host.end);
        let from = usize::from(uri.whole.start);
        out.extend_from_slice(bytes.get(from..until).unwrap_or_default());
        for param in params::iter(bytes, uri.params) {
            let name = param.name.of(bytes);
            if !(name.eq_ignore_ascii_case(b"maddr") || name.eq_ignore_ascii_case(b"transport")) {
                out.push(b';');
                out.extend_from_slice(param.whole.of(bytes));
            }
        }
        Maddr::Ours
    }
}
