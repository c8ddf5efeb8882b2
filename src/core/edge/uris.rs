//! How this cluster is written into URIs: by the address or the name of this edge, for one of its
//! sides, and by a token at the address of one edge.

use std::net::SocketAddr;

use super::state::Edge;
use crate::edit::{decimal, host, host_port};
use crate::id::{Flow, Transport};
use crate::proxy::Net;
use crate::send::Hop;

/// The address of an edge, as a URI gives it.
#[derive(Clone, Copy, Debug)]
pub(super) struct UriAddress {
    pub(super) addr: SocketAddr,
    pub(super) transport: Transport,
    /// The URI is `sips`.
    pub(super) secure: bool,
}

/// One side of the edge, that of the phone or that of the home: what a URI of the edge must say
/// to be reached from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EdgeSide {
    pub(super) transport: Transport,
    v6: bool,
    /// Peers alone are there.
    core: bool,
}

impl Edge {
    /// Writes the URI of a token at one edge, in brackets: the edge's address as `maddr`, port
    /// and transport where they are not the default.
    pub(super) fn write_token_uri_at(
        &self,
        token: &[u8],
        params: &[&[u8]],
        edge: UriAddress,
        out: &mut Vec<u8>,
    ) {
        let UriAddress {
            addr,
            transport,
            secure,
        } = edge;
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

    /// The address this edge is known by on one side, as a URI's host, port,
    /// `maddr` and transport. A listener may stand on the unspecified address or behind
    /// address translation, so the configured one is written where it fits.
    pub(super) fn own_address(&self, net: &Net, side: EdgeSide, secure: bool, lines: &mut Vec<u8>) {
        let EdgeSide {
            transport,
            v6,
            core,
        } = side;
        let own = self.settings.members.get(self.own);
        let core = own.filter(|_| core);
        let known = |v6| own?.public_addr(transport, v6);
        let addr = core
            .and_then(|own| own.core_addr(transport, v6))
            .or_else(|| known(v6))
            .or_else(|| net.flows.listener(transport, v6))
            .or_else(|| known(!v6));
        match addr {
            Some(addr) if transport == Transport::Tls => self.proven_address(addr, lines),
            // RFC 3261 §19.1.2: it is what a URI without a port means.
            Some(addr) if addr.port() == transport.default_port() => host(lines, addr.ip()),
            Some(addr) => host_port(lines, addr),
            None => {}
        }
        // C-15 wants no `transport=tls`, since DNS can say it instead. But this is an address,
        // written for one phone that speaks TLS with us by a `sip` URI: nothing else would bring
        // that phone back over TLS.
        if transport != Transport::Udp && !secure {
            lines.extend_from_slice(b";transport=");
            lines.extend_from_slice(transport.uri_token().as_bytes());
        }
        lines.extend_from_slice(b";lr");
    }

    /// C-6: over TLS the host is what our certificate names, and `maddr` says
    /// which of the edges it is (D-U12).
    fn proven_address(&self, addr: SocketAddr, lines: &mut Vec<u8>) {
        lines.extend_from_slice(self.settings.cluster.as_bytes());
        if addr.port() != Transport::Tls.default_port() {
            lines.push(b':');
            decimal(lines, addr.port());
        }
        lines.extend_from_slice(b";maddr=");
        host(lines, addr.ip());
    }

    /// Writes this edge's name with `transport`, as the host of a URI. A port would keep the
    /// reader from the SRV records (RFC 3263 §4.2), and so from the other edges. Without
    /// `transport` the reader would resolve NAPTR records, and perhaps change the transport.
    pub(super) fn own_name(&self, transport: Transport, secure: bool, out: &mut Vec<u8>) {
        for part in [&self.settings.name, ".", &self.settings.cluster] {
            out.extend_from_slice(part.as_bytes());
        }
        if !secure {
            out.extend_from_slice(b";transport=");
            out.extend_from_slice(transport.uri_token().as_bytes());
        }
    }
}

impl EdgeSide {
    /// The side of the phone, which is never the core side, and the side of `home`.
    pub(super) fn both(net: &Net, flow: Flow, home: Hop) -> (Self, Self) {
        let phone = Self {
            core: false,
            ..Self::of(net, Hop::Flow(flow))
        };
        (phone, Self::of(net, home))
    }

    /// The side that an address is on.
    fn at(net: &Net, transport: Transport, addr: SocketAddr) -> Self {
        Self {
            transport,
            v6: addr.is_ipv6(),
            core: net.flows.is_beyond_core(addr.ip()),
        }
    }

    fn of(net: &Net, hop: Hop) -> Self {
        match hop {
            Hop::To {
                transport, addr, ..
            } => Self::at(net, transport, addr),
            // Where it leads as far as is known; else what a URI means by itself.
            Hop::Named(name) => match net.servers.locator.last_known(name).first() {
                Some(server) => Self::at(net, server.transport, server.addr),
                None => Self {
                    transport: Transport::Udp,
                    v6: net.flows.listener(Transport::Udp, false).is_none(),
                    core: false,
                },
            },
            Hop::Flow(flow) => {
                let transport = net.flows.transport(flow);
                match net.flows.peer(flow) {
                    Some(peer) => Self::at(net, transport, peer),
                    None => Self {
                        transport,
                        v6: false,
                        core: false,
                    },
                }
            }
        }
    }
}
