//! Where a request goes: its topmost Route, else its Request-URI (RFC 3261
//! §8.1.2), by address, by the table of names, or by the flow it sticks to.

use super::Agent;
use super::request::{ClientRequest, RequestFailure};
use crate::id::{Flow, Transport};
use crate::proxy::{Net, Step};
use crate::send::Hop;
use crate::uri::{Scheme, Uri, host_ip, same_host};

impl Agent {
    /// The hop a URI names: `maddr` first (D-U12), then an address, then a
    /// name that was told us. A URI without `transport` means ours, not UDP:
    /// a phone set to TCP has no other socket. `address_index` goes through the
    /// addresses of a name that has several. Over TLS the host of the URI is
    /// who must be there (D-U12, RFC 5922 §7.3).
    pub(super) fn hop(
        &self,
        net: &mut Net,
        uri: &[u8],
        address_index: usize,
    ) -> Result<Hop, RequestFailure> {
        let shown = || super::text(uri);
        let Ok(parsed) = Uri::of(uri) else {
            return Err(RequestFailure::hopeless(
                0,
                format!("the URI {} is malformed", shown()),
            ));
        };
        if !matches!(parsed.scheme, Scheme::Sip | Scheme::Sips) {
            return Err(RequestFailure::hopeless(
                0,
                format!("{}: only SIP is spoken here", shown()),
            ));
        }
        let transport = parsed.param(uri, "transport").flatten();
        let transport = match transport.map(|token| token.of(uri)) {
            _ if parsed.scheme == Scheme::Sips => Transport::Tls,
            None => self.settings.transport,
            Some(token) if token.eq_ignore_ascii_case(b"udp") => Transport::Udp,
            Some(token) if token.eq_ignore_ascii_case(b"tcp") => Transport::Tcp,
            Some(token) if token.eq_ignore_ascii_case(b"tls") => Transport::Tls,
            Some(token) => {
                let why = format!(
                    "the transport \"{}\" is not spoken here",
                    super::text(token)
                );
                return Err(RequestFailure::hopeless(0, why));
            }
        };
        let host = parsed.target(uri).of(uri);
        let port = parsed.port.filter(|port| *port != 0);
        let addr = match host_ip(host) {
            Some(ip) => (ip, port.unwrap_or_else(|| transport.default_port())).into(),
            None => {
                let Some(mut addr) = self.named(host, address_index) else {
                    let host = super::text(host);
                    let why = format!("nobody said where {host} is: give --resolve {host}=ADDRESS");
                    return Err(RequestFailure::hopeless(0, why));
                };
                addr.set_port(port.unwrap_or_else(|| addr.port()));
                addr
            }
        };
        let name = match transport {
            Transport::Tls => net.flows.names.intern(parsed.host.of(uri)),
            Transport::Udp | Transport::Tcp => None,
        };
        Ok(Hop::To {
            transport,
            addr,
            name,
        })
    }

    fn named(&self, host: &[u8], address_index: usize) -> Option<std::net::SocketAddr> {
        let addrs = self
            .settings
            .names
            .iter()
            .filter(|(name, _)| same_host(name.as_bytes(), host));
        let count = addrs.clone().count();
        if count > 0 {
            return addrs.map(|(_, addr)| *addr).nth(address_index % count);
        }
        same_host(self.settings.domain.as_bytes(), host).then_some(self.settings.home)
    }

    /// The flow for a request that follows no flow yet, opened if need be.
    pub(super) fn open(
        &self,
        net: &mut Net,
        outgoing: &ClientRequest,
        address_index: usize,
    ) -> Result<Flow, RequestFailure> {
        let target = outgoing.first_hop();
        let hop = self.hop(net, target, address_index)?;
        net.reach(hop)
            .ok_or_else(|| RequestFailure::lost("there is no socket of that transport"))
    }

    /// The flow for a request of a dialog (S-14, S-15, H-8): the one its
    /// topmost Route is bound to, or another one that serves the same URI; with
    /// none of those where the URI leads, and last any flow that lives.
    pub(super) fn sticky_flow(
        &mut self,
        step: &mut Step<'_>,
        outgoing: &ClientRequest,
    ) -> Result<Flow, RequestFailure> {
        let target = outgoing.first_hop();
        let chance = step.net.secrets.chance();
        if let Some(found) = self.stick.find(step.now, target, &[], chance) {
            return Ok(found.flow);
        }
        let literal = self.hop(step.net, target, 0);
        if let Ok(hop) = literal
            && let Some(flow) = step.net.reach(hop)
        {
            return Ok(flow);
        }
        self.live_flow().ok_or_else(|| {
            literal
                .err()
                .unwrap_or_else(|| RequestFailure::lost("no flow is left"))
        })
    }

    /// The flow of the lowest reg-id that is registered.
    pub(super) fn live_flow(&self) -> Option<Flow> {
        let live = self.registrations.iter().find(|r| r.is_live());
        live.and_then(|registration| registration.flow)
    }
}
