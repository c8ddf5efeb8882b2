//! Where a request goes next, as a plain value.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::names::{NameId, Names};
use crate::id::{Flow, Transport};
use crate::locate::LookupId;
use crate::span::Span;
use crate::uri::{Scheme, Uri, host_ip};

/// Where a request is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hop {
    /// Over this flow and no other.
    Flow(Flow),
    /// To a server of this name, which the DNS has to find first (RFC 3263).
    Named(LookupId),
    /// To this address, over a flow that exists or a new one.
    To {
        /// What to speak.
        transport: Transport,
        /// Where.
        addr: SocketAddr,
        /// Who must be there, over TLS: the domain that the address was found
        /// for. Without it nothing is opened over TLS.
        name: Option<NameId>,
    },
}

impl Hop {
    /// A hop that nobody has to prove a name at.
    #[must_use]
    pub const fn to(transport: Transport, addr: SocketAddr) -> Self {
        let name = None;
        Self::To {
            transport,
            addr,
            name,
        }
    }

    /// The hop a URI names by itself: a host (or `maddr`) that is an address
    /// needs no DNS (RFC 3263 §4; N-2, N-3). Over TLS the host is who must be
    /// there, whatever `maddr` says (D-U12, RFC 5922 §7.3). `None` for a name,
    /// for a transport not spoken, for `sips` over another one than TLS, and for
    /// port 0.
    #[must_use]
    pub fn literal(names: &mut Names, bytes: &[u8], uri: &Uri) -> Option<Self> {
        let ip = host_ip(uri.target(bytes).of(bytes))?;
        let transport = Self::transport_of(bytes, uri)?;
        let name = match transport {
            Transport::Tls => Some(names.intern(uri.host.of(bytes))?),
            Transport::Udp | Transport::Tcp => None,
        };
        let port = uri.port.unwrap_or_else(|| transport.default_port());
        (port != 0).then_some(Self::To {
            transport,
            addr: SocketAddr::new(ip, port),
            name,
        })
    }

    /// The transport a URI with an address means: the one it names, else UDP,
    /// and TLS for `sips` (N-3). `transport=tls` is understood although nobody
    /// should write it, and `sips` with `transport=tcp` is TLS too (RFC 5630
    /// §3.1.3). `None` for one not spoken.
    #[must_use]
    pub fn transport_of(bytes: &[u8], uri: &Uri) -> Option<Transport> {
        let named = uri.param(bytes, "transport").flatten();
        let is = |value: Span, token: &[u8]| value.of(bytes).eq_ignore_ascii_case(token);
        match (uri.scheme, named) {
            (Scheme::Sips, None) => Some(Transport::Tls),
            (Scheme::Sips, Some(value)) => {
                (is(value, b"tcp") || is(value, b"tls")).then_some(Transport::Tls)
            }
            (_, None) => Some(Transport::Udp),
            (_, Some(value)) if is(value, b"udp") => Some(Transport::Udp),
            (_, Some(value)) if is(value, b"tcp") => Some(Transport::Tcp),
            (_, Some(value)) => is(value, b"tls").then_some(Transport::Tls),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, want: Option<(Transport, &str, Option<&str>)>) {
        let mut names = Names::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let parsed = Uri::of(uri.as_bytes()).unwrap();
        let hop = Hop::literal(&mut names, uri.as_bytes(), &parsed);
        let got = hop.map(|hop| match hop {
            Hop::To {
                transport,
                addr,
                name,
            } => (
                transport,
                addr.to_string(),
                name.and_then(|id| names.get(id)),
            ),
            Hop::Flow(_) | Hop::Named(_) => panic!("{uri} names no address"),
        });
        let want = want.map(|(transport, addr, name)| (transport, addr.to_owned(), name));
        assert_eq!(got, want, "{uri}");
    }

    #[test]
    fn a_uri_with_an_address_says_what_to_speak_and_who_must_be_there() {
        // N-2, N-3, D-U12, C-3, C-15
        let udp = |addr| Some((Transport::Udp, addr, None));
        check("sip:192.0.2.1", udp("192.0.2.1:5060"));
        check("sip:a.example;maddr=192.0.2.1", udp("192.0.2.1:5060"));
        check("sip:192.0.2.1:5;transport=UDP", udp("192.0.2.1:5"));
        let tcp = Some((Transport::Tcp, "192.0.2.1:5060", None));
        check("sip:192.0.2.1;transport=tcp", tcp);
        let tls = |addr, name| Some((Transport::Tls, addr, Some(name)));
        let a = tls("192.0.2.1:5061", "a.example");
        check("sips:A.Example;maddr=192.0.2.1", a);
        check("sips:x@a.example;transport=tcp;maddr=192.0.2.1", a);
        check("sip:a.example;transport=TLS;maddr=192.0.2.1", a);
        check("sips:192.0.2.1:5071", tls("192.0.2.1:5071", "192.0.2.1"));
        for none in [
            "sip:a.example",
            "sips:a.example;maddr=b.example",
            "sips:192.0.2.1;transport=udp",
            "sip:192.0.2.1;transport=sctp",
        ] {
            check(none, None);
        }
    }
}
