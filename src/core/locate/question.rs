//! What a URI asks the DNS for (RFC 3263 §4; N-2, N-3, N-6).

use std::net::SocketAddr;
use std::ops::Range;

use crate::id::Transport;
use crate::limits;
use crate::uri::{Scheme, Uri, host_ip};

/// What a shard can speak, and over which address families: nothing else is
/// asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    udp: Families,
    tcp: Families,
    tls: Families,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Families {
    v4: bool,
    v6: bool,
}

/// A name to be located. Two URIs that ask the same share one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// What the asking shard can speak.
    pub spoken: Spoken,
}

impl Spoken {
    /// These endpoints and what they can reach.
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

    /// Whether it is spoken at all.
    #[must_use]
    pub const fn has(self, transport: Transport) -> bool {
        self.v4(transport) || self.v6(transport)
    }

    /// Whether it is spoken over IPv4.
    #[must_use]
    pub const fn v4(self, transport: Transport) -> bool {
        self.families(transport).v4
    }

    /// Whether it is spoken over IPv6.
    #[must_use]
    pub const fn v6(self, transport: Transport) -> bool {
        self.families(transport).v6
    }
}

impl Question {
    /// What the URI asks for; `None` for an address, for a scheme or transport
    /// that is not spoken, for port 0, and for what is no domain name.
    #[must_use]
    pub fn of(bytes: &[u8], uri: &Uri, spoken: Spoken) -> Option<Self> {
        let mut key = Vec::new();
        let facts = Facts::read(bytes, uri, spoken, &mut key)?;
        let name = std::str::from_utf8(key.get(facts.name)?).ok()?;
        let domain = std::str::from_utf8(key.get(facts.domain)?).ok()?;
        Some(Self {
            name: name.into(),
            domain: domain.into(),
            port: facts.port,
            transport: facts.transport,
            secure: facts.secure,
            spoken,
        })
    }

    /// Whether a transport is spoken and good enough.
    pub(super) const fn may_use(&self, transport: Transport) -> bool {
        self.spoken.has(transport) && (!self.secure || matches!(transport, Transport::Tls))
    }
}

/// A question without memory of its own: the name lies in the key.
pub(super) struct Facts {
    name: Range<usize>,
    domain: Range<usize>,
    port: Option<u16>,
    transport: Option<Transport>,
    secure: bool,
}

impl Facts {
    /// Reads the URI and writes the bytes that name the question, the same for
    /// all URIs that ask the same.
    pub(super) fn read(bytes: &[u8], uri: &Uri, spoken: Spoken, key: &mut Vec<u8>) -> Option<Self> {
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
        let target = plain(maddr.unwrap_or(uri.host).of(bytes));
        if !is_name(target) {
            return None;
        }
        key.extend(target.iter().map(u8::to_ascii_lowercase));
        let name = start..key.len();
        let domain = if maddr.is_some() {
            let host = plain(uri.host.of(bytes));
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

/// Without the dot that ends a whole name.
fn plain(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
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
