//! An edge that has not the flow of a token redirects the home to the edges that the token
//! names (S-25, S-26, H-12; B-2, B-3, B-10).
//!
//! Only a home that shows in its Via that it follows a loose redirect is redirected, and
//! only for requests whose answer it can act on; everything else is relayed.

use super::Token;
use super::state::Edge;
use super::uris::UriAddress;
use crate::grammar::params;
use crate::limits;
use crate::proxy::{Pass, Verdict, follows_loose_redirects};
use crate::recorder::Decision;
use crate::scan::Method;
use crate::trust::Principal;

impl Edge {
    /// 302 with one Contact per live edge of the token, its parameters those of
    /// the Route value with the token: the next edge is to see what the first one wrote
    /// (H-9). `None` when the request has to be relayed.
    pub(super) fn redirect(&self, pass: &mut Pass<'_, '_>, token: &Token) -> Option<Verdict> {
        let request = pass.request;
        let may = pass.request.ingress.principal == Principal::Home
            && !pass.plan.restore_uri
            && follows_loose_redirects(request)
            && is_worth_it(request.message.method());
        let uri = self.token_uri(request, pass.plan.pop).filter(|_| may)?;
        let bytes = request.bytes;
        let text = uri.user?.of(bytes);
        let mut kept = [&b""[..]; limits::URI_PARAMS_MAX];
        let mut count = 0;
        for param in params::iter(bytes, uri.params) {
            let name = param.name.of(bytes);
            // These name this edge; each Contact gets those of its own edge.
            let ours = [&b"maddr"[..], b"transport"];
            if !ours.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
                *kept.get_mut(count)? = param.whole.of(bytes);
                count += 1;
            }
        }
        let transport = pass.net.flows.transport(request.ingress.flow);
        let before = pass.plan.lines.len();
        for index in self.token_indices(token) {
            let hop = self.member_hop(pass.net, index, request.ingress.flow);
            let hop = hop.filter(|hop| index != self.own && !pass.net.is_down(pass.now, *hop));
            // The address for homes, over the transport that this home speaks.
            let member = self.settings.members.get(index).filter(|_| hop.is_some());
            let addr = member.and_then(|member| member.peer_addrs(transport).next());
            if let Some(addr) = addr {
                let edge = UriAddress {
                    addr,
                    transport,
                    secure: pass.plan.is_secure(pass.request),
                };
                let lines = &mut pass.plan.lines;
                lines.extend_from_slice(b"Contact: ");
                self.write_token_uri_at(text, kept.get(..count)?, edge, lines);
                lines.extend_from_slice(b"\r\n");
            }
        }
        if pass.plan.lines.len() == before {
            return None;
        }
        pass.net.counters.redirects += 1;
        pass.net.decided(Decision::NotHere);
        Some(Verdict::refuse(302, "Another Edge Has The Flow"))
    }
}

/// An ACK and a CANCEL have no answer of their own; a BYE and a PRACK end what
/// a redirect would make faster.
const fn is_worth_it(method: Method) -> bool {
    !matches!(
        method,
        Method::Ack | Method::Bye | Method::Cancel | Method::Prack
    )
}
