//! What the homes serve: which URIs lead to them, and which away from them.

use super::state::Edge;
use crate::grammar::params;
use crate::proxy::Net;
use crate::uri::{Scheme, Uri, host_ip, same_host};

impl Edge {
    /// True when a Route value is for the home: it names a served domain, the address of a home,
    /// or the cluster again, which is of another edge that only the home can find.
    pub(super) fn is_home(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        self.is_served(bytes, uri) && self.stays_at_host(net, bytes, uri)
            || self.settings.is_cluster(uri.host.of(bytes))
    }

    /// True when the host is a served domain or where a home listens.
    pub(super) fn is_served(&self, bytes: &[u8], uri: &Uri) -> bool {
        let host = uri.host.of(bytes);
        let is_home_at = |ip| self.homes.listens(ip, port_of(bytes, uri));
        matches!(uri.scheme, Scheme::Sip | Scheme::Sips)
            && (self.is_name_of_home(host) || host_ip(host).is_some_and(is_home_at))
    }

    /// True for a served domain, and for a name by which the homes are known.
    pub(super) fn is_name_of_home(&self, host: &[u8]) -> bool {
        let mut domains = self.settings.home_domains.iter();
        domains.any(|domain| same_host(host, domain.as_bytes())) || self.homes.has_name(host)
    }

    /// False when a `maddr` leads away from the host of the URI (P-8).
    pub(super) fn stays_at_host(&self, net: &Net, bytes: &[u8], uri: &Uri) -> bool {
        let Some(maddr) = uri.param(bytes, "maddr") else {
            return true;
        };
        let ip = maddr.and_then(|maddr| host_ip(maddr.of(bytes)));
        let port = port_of(bytes, uri);
        ip.is_some_and(|ip| net.flows.is_local(ip, port) || self.homes.listens(ip, port))
    }
}

/// The port that a URI leads to.
fn port_of(bytes: &[u8], uri: &Uri) -> u16 {
    let transport = params::find(bytes, uri.params, "transport").flatten();
    let is_tls = uri.scheme == Scheme::Sips
        || transport.is_some_and(|named| named.of(bytes).eq_ignore_ascii_case(b"tls"));
    uri.port.unwrap_or(if is_tls { 5061 } else { 5060 })
}
