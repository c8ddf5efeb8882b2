//! What of a URI decides its look-up (RFC 3263 §4; N-2, N-3, N-6).

use std::net::SocketAddr;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::id::Transport;
use crate::limits;
use crate::uri::{Scheme, Uri, host_ip, without_dot};

/// The transports of a shard and their address families: records for others are not looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transports {
    udp: Families,
    tcp: Families,
    tls: Families,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Families {
    v4: bool,
    v6: bool,
}

/// One look-up, which all URIs that are equal in these fields share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// TARGET of RFC 3263: `maddr` or the host, in lower case, without the last
    /// dot.
    pub name: Box<str>,
    /// The host: a certificate is checked against this name and no other (N-8,
    /// D-U12).
    pub domain: Box<str>,
    /// The port in the URI: there is no SRV look-up then (N-6).
    pub port: Option<u16>,
    /// The `transport` parameter: there is no NAPTR look-up then (N-3). `sips`
    /// with `tcp` means TLS (RFC 5630 §3.1.3).
    pub transport: Option<Transport>,
    /// `sips`: TLS only.
    pub secure: bool,
    /// The transports of the shard.
    pub transports: Transports,
}

impl Transports {
    /// The transports of these endpoints.
    #[must_use]
    pub fn over(endpoints: impl IntoIterator<Item = (Transport, SocketAddr)>) -> Self {
        let mut spoken = Self::default();
        for (transport, addr) in endpoints {
            let families = match transport {
                Transport::Udp => &mut spoken.udp,
                Transport::Tcp => &mut spoken.tcp,
                Transport::Tls => &mut spoken.tls,
            };
            families.v4 |= addr.is_ipv4();
            families.v6 |= addr.is_ipv6();
        }
        spoken
    }

    const fn families(self, transport: Transport) -> Families {
        match transport {
            Transport::Udp => self.udp,
            Transport::Tcp => self.tcp,
            Transport::Tls => self.tls,
        }
    }

    /// Whether the shard has the transport, in either family.
    #[must_use]
    pub const fn has(self, transport: Transport) -> bool {
        self.v4(transport) || self.v6(transport)
    }

    /// Whether the shard has the transport over IPv4.
    #[must_use]
    pub const fn v4(self, transport: Transport) -> bool {
        self.families(transport).v4
    }

    /// Whether the shard has the transport over IPv6.
    #[must_use]
    pub const fn v6(self, transport: Transport) -> bool {
        self.families(transport).v6
    }
}

impl Question {
    /// The look-up of a URI; `None` for an address, for a scheme or transport
    /// that the shard has not, for port 0, and for a host that is no domain name.
    #[must_use]
    pub fn of(bytes: &[u8], uri: &Uri, spoken: Transports) -> Option<Self> {
        let mut key = Vec::new();
        let facts = PackedQuestion::read(bytes, uri, spoken, &mut key)?;
        let name = std::str::from_utf8(key.get(facts.name)?).ok()?;
        let domain = std::str::from_utf8(key.get(facts.domain)?).ok()?;
        Some(Self {
            name: name.into(),
            domain: domain.into(),
            port: facts.port,
            transport: facts.transport,
            secure: facts.secure,
            transports: spoken,
        })
    }

    /// Whether the shard has the transport, and a `sips` URI allows it.
    pub(super) const fn may_use(&self, transport: Transport) -> bool {
        self.transports.has(transport) && (!self.secure || matches!(transport, Transport::Tls))
    }
}

/// A question whose names are ranges of its key, so that reading it allocates nothing.
pub(super) struct PackedQuestion {
    name: Range<usize>,
    domain: Range<usize>,
    port: Option<u16>,
    transport: Option<Transport>,
    secure: bool,
}

impl PackedQuestion {
    /// Reads a URI and writes the key of its look-up, the same for all URIs that share one.
    pub(super) fn read(
        bytes: &[u8],
        uri: &Uri,
        spoken: Transports,
        key: &mut Vec<u8>,
    ) -> Option<Self> {
        let secure = match uri.scheme {
            Scheme::Sip | Scheme::Sips if uri.port == Some(0) => return None,
            Scheme::Sip => false,
            Scheme::Sips => true,
            Scheme::Tel | Scheme::Other => return None,
        };
        let named = uri.param(bytes, "transport").flatten();
        let transport = match named.map(|value| transport(value.of(bytes))) {
            Some(None) => return None,
            Some(Some(Transport::Udp)) if secure => return None,
            Some(Some(_)) if secure => Some(Transport::Tls),
            Some(named) => named,
            None => None,
        };
        let needed = transport.or_else(|| secure.then_some(Transport::Tls));
        if needed.is_some_and(|needed| !spoken.has(needed)) {
            return None;
        }
        key.clear();
        key.push(u8::from(secure));
        key.push(transport.map_or(0, |transport| match transport {
            Transport::Udp => 1,
            Transport::Tcp => 2,
            Transport::Tls => 3,
        }));
        key.extend_from_slice(&uri.port.unwrap_or(0).to_be_bytes());
        let start = key.len();
        let maddr = uri.param(bytes, "maddr").flatten();
        let target = without_dot(maddr.unwrap_or(uri.host).of(bytes));
        if !is_name(target) {
            return None;
        }
        key.extend(target.iter().map(u8::to_ascii_lowercase));
        let name = start..key.len();
        let domain = if maddr.is_some() {
            let host = without_dot(uri.host.of(bytes));
            key.push(0);
            key.extend(host.iter().map(u8::to_ascii_lowercase));
            name.end + 1..key.len()
        } else {
            name.clone()
        };
        Some(Self {
            name,
            domain,
            port: uri.port,
            transport,
            secure,
        })
    }
}

fn transport(value: &[u8]) -> Option<Transport> {
    let known = [Transport::Udp, Transport::Tcp, Transport::Tls];
    known
        .into_iter()
        .find(|known| value.eq_ignore_ascii_case(known.uri_token().as_bytes()))
}

/// Letters, digits, hyphens and underscores between dots, and no address.
fn is_name(text: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_number = || {
        text.iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.')
    };
    text.len() <= limits::DNS_NAME_MAX
        && text.split(|byte| *byte == b'.').all(is_label)
        && !is_number()
        && host_ip(text).is_none()
}
