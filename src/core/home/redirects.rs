//! Following the redirect of an edge that has not the flow (S-23 to S-25,
//! B-10): never to the caller, never twice, and only to where
//! edges live.

use super::state::Home;
use crate::bytes::Buf;
use crate::id::Transport;
use crate::limits;
use crate::proxy::{Context, Net, Response, Target};
use crate::scan::address::first_uri;
use crate::scan::{Message, Name, first_value, scan_again};
use crate::send::{End, Hop};
use crate::uri::{Uri, same_host};

impl Home {
    /// Fills in the edges that a redirect names. False when it is an ordinary
    /// one, from beyond the edges: its Contact is not a token of the Route the
    /// request took.
    ///
    /// A phone can say the same as its edge. What it gains is that a request to
    /// itself goes to another edge of its own.
    pub(super) fn redirect(
        &mut self,
        net: &mut Net,
        context: &Context,
        target: &Target,
        response: &Response<'_>,
        instead: &mut Vec<Target>,
    ) -> bool {
        if !self.is_edge(net, response.flow) {
            return false;
        }
        let taken = taken_route(net, context, target, &mut self.again);
        let Some(taken) = taken else { return false };
        let named = self.named(net, response, &taken);
        if named.is_empty() {
            return false;
        }
        // S-23: whatever comes of it, the URI is not this flow's.
        self.stick.unbind(&taken, response.flow);
        if target.is_redirected {
            // Once is enough: the next edge of the first redirect has its turn.
            return true;
        }
        for (value, hop) in named {
            let route = target.route.as_deref().unwrap_or_default();
            let rest = route
                .get(first_value(route).range().end..)
                .unwrap_or_default();
            let route = net.pool.build(value.len() + rest.len(), |out| {
                out.extend_from_slice(value);
                out.extend_from_slice(rest);
            });
            instead.push(Target {
                uri: target.uri.clone(),
                rank: target.rank,
                replaces_route: target.route.is_none(),
                route: Some(route),
                is_redirected: true,
                learns: Some(taken.clone()),
                ..Target::at(hop)
            });
        }
        net.counters.redirects_followed += u64::from(!instead.is_empty());
        true
    }

    /// The Contacts that name an edge for the same token.
    fn named<'a>(
        &self,
        net: &mut Net,
        response: &Response<'a>,
        taken: &[u8],
    ) -> Vec<(&'a [u8], Hop)> {
        let bytes = response.bytes;
        let whole = Uri::of(taken);
        let Some(user) = whole.ok().and_then(|uri| uri.user) else {
            return Vec::new();
        };
        let contacts = response.message.values(bytes, Name::Contact);
        let named = contacts.filter_map(|value| {
            let uri = Uri::in_value(bytes, value).ok()?;
            let same = uri.is_loose(bytes)
                && same_host(uri.host.of(bytes), &self.cluster)
                && uri.user.map(|user| user.of(bytes)) == Some(user.of(taken));
            let hop = same.then(|| Hop::literal(&mut net.flows.names, bytes, &uri))??;
            let Hop::To {
                transport, addr, ..
            } = hop
            else {
                return None;
            };
            // Over TLS the certificate has to name the cluster, wherever it is. A
            // phone may have written it, and means any port.
            let is_edge = transport == Transport::Tls
                || self.settings.may_be_edge(&End::new(transport, addr));
            let value = value.of(bytes);
            (is_edge && value.starts_with(b"<")).then_some((value, hop))
        });
        named.take(limits::EDGE_SET_MAX).collect()
    }
}

/// The URI of the Route value that led to the target.
fn taken_route(net: &Net, context: &Context, target: &Target, again: &mut Message) -> Option<Buf> {
    // Where a redirect led, the Route names an edge besides. A stand-by may be
    // there to learn the URI of a redirect that led to the same edge; the Route
    // it took is its own.
    if let Some(learns) = target.learns.as_ref().filter(|_| target.is_redirected) {
        return Some(learns.clone());
    }
    let taken = if let Some(route) = &target.route {
        first_uri(route)?
    } else {
        let base = context.request()?;
        scan_again(base, again).ok()?;
        first_uri(again.routes().first()?.value.of(base))?
    };
    Some(net.pool.copy(taken))
}
