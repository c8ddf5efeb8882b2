//! Moving phones to other edges (D-E17): an edge that is to be taken out of
//! service loses its phones one refresh after the other, and none of them a
//! call.
//!
//! An operator marks the member with `retire` on every edge. From then on it is in no new
//! set, a refresh whose token names it (or names an edge that is no
//! member any more) gets a 300, and the phone registers anew, with a set of
//! other edges. Flow bindings last until they expire, so calls go on meanwhile. Only phones
//! that know `Outbound-Proxy` are moved: the others register where they are configured to, and
//! are served there.

use super::phone::is_v6;
use super::state::Edge;
use super::{Subscriber, Token, set};
use crate::edit::{decimal, host};
use crate::id::Transport;
use crate::limits;
use crate::proxy::{Net, Reply, Request};

impl Edge {
    /// The 300 that moves a phone to other edges, whose Contact lines are written to `lines`;
    /// `None` where it may stay. `old` is the token of this phone in the Route of a refresh.
    pub(super) fn redirect_retired(
        &mut self,
        net: &mut Net,
        request: &Request<'_>,
        subscriber: &Subscriber<'_>,
        old: Option<&Token>,
        lines: &mut Vec<u8>,
    ) -> Option<Reply> {
        let own = self.settings.members.get(self.own);
        let retires = own.is_some_and(|own| own.retires);
        let moves = retires || old.is_some_and(|old| self.names_retired(old));
        if !moves {
            return None;
        }
        if retires {
            let v6 = is_v6(net, request);
            let transport = net.flows.transport(request.ingress.flow);
            self.other_edges(transport, v6, subscriber, lines);
        } else {
            for part in ["Contact: <sip:", &self.settings.cluster, ";lr>\r\n"] {
                lines.extend_from_slice(part.as_bytes());
            }
        }
        if lines.is_empty() {
            // All other edges retire too.
            return None;
        }
        net.counters.moved += 1;
        Some(Reply::stateless(300, "Register Through Another Edge"))
    }

    /// Whether a token names an edge that retires or is gone.
    fn names_retired(&self, token: &Token) -> bool {
        let stays = |name: &[u8]| {
            let mut staying = self.settings.members.iter().filter(|m| !m.retires);
            staying.any(|member| member.name.as_bytes() == name)
        };
        !token.edges().all(stays)
    }

    /// Writes Contact lines for the edges that would serve a phone, the best first, with their
    /// addresses: the name of the cluster alone may lead back here.
    fn other_edges(
        &mut self,
        transport: Transport,
        v6: bool,
        subscriber: &Subscriber<'_>,
        out: &mut Vec<u8>,
    ) {
        let members = &self.settings.members;
        let size = limits::EDGE_SET_MAX;
        set::choose(self.own, members, subscriber, v6, size, &mut self.indices);
        for member in self.indices.iter().filter_map(|&index| members.get(index)) {
            let Some(ip) = member.public(v6).filter(|_| !member.retires) else {
                continue;
            };
            let port = member.port(transport);
            out.extend_from_slice(b"Contact: <sip:");
            out.extend_from_slice(self.settings.cluster.as_bytes());
            if port != transport.default_port() {
                out.push(b':');
                decimal(out, port);
            }
            out.extend_from_slice(b";lr;maddr=");
            host(out, ip);
            if transport != Transport::Udp {
                out.extend_from_slice(b";transport=");
                out.extend_from_slice(transport.uri_token().as_bytes());
            }
            out.extend_from_slice(b">\r\n");
        }
    }
}
